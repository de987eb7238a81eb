; SPDX-License-Identifier: BSD-2-Clause
; Enters the guest and comes back: the loop in which all of a guest's life happens.

%ifdef VMX_COUNT_ACCESSES
%define vmx_exit vmx_exit_counted
%endif
	extern vmx_exit
	extern vmx_entry_refused

; struct vmx_vcpu (vmx.h)
LAUNCHED	equ 0
GPR		equ 128
%define REG(n)	GPR + 8 * n	; in the order of enum x86_gpr
; enum vmcs_field
HOST_RSP	equ 0x6c14
HOST_RIP	equ 0x6c16
GUEST_RIP	equ 0x681e
EXIT_REASON	equ 0x4402
REASON_VMCALL	equ 18

	section .text
	bits 64

; The guest's general registers but RSP, which is in the VMCS, from RDI.
%macro LOAD_GUEST 0
	mov rax, [rdi + REG(0)]
	mov rcx, [rdi + REG(1)]
	mov rdx, [rdi + REG(2)]
	mov rbx, [rdi + REG(3)]
	mov rbp, [rdi + REG(5)]
	mov rsi, [rdi + REG(6)]
	mov r8, [rdi + REG(8)]
	mov r9, [rdi + REG(9)]
	mov r10, [rdi + REG(10)]
	mov r11, [rdi + REG(11)]
	mov r12, [rdi + REG(12)]
	mov r13, [rdi + REG(13)]
	mov r14, [rdi + REG(14)]
	mov r15, [rdi + REG(15)]
	mov rdi, [rdi + REG(7)]
%endmacro

; To the block whose address is on top of the stack; it is in RDI afterwards.
%macro SAVE_GUEST 0
	push rdi
	mov rdi, [rsp + 8]
	mov [rdi + REG(0)], rax
	mov [rdi + REG(1)], rcx
	mov [rdi + REG(2)], rdx
	mov [rdi + REG(3)], rbx
	mov [rdi + REG(5)], rbp
	mov [rdi + REG(6)], rsi
	pop qword [rdi + REG(7)]
	mov [rdi + REG(8)], r8
	mov [rdi + REG(9)], r9
	mov [rdi + REG(10)], r10
	mov [rdi + REG(11)], r11
	mov [rdi + REG(12)], r12
	mov [rdi + REG(13)], r13
	mov [rdi + REG(14)], r14
	mov [rdi + REG(15)], r15
%endmacro

; int vmx_run_loop(struct vmx_vcpu *s): interrupts are off here and in vmx_exit(); a physical one
; ends the guest's run (SDM vol. 3, 26.2). The VMCS of @s is current.
	align 16
	global vmx_run_loop
vmx_run_loop:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	push rdi		; RSP is a multiple of 16 now, as the calls below want it
	mov eax, HOST_RSP
	vmwrite rax, rsp
	mov eax, HOST_RIP
	lea rcx, [rel .exit]
	vmwrite rax, rcx
	cmp byte [rdi + LAUNCHED], 0
	jne .enter
	mov byte [rdi + LAUNCHED], 1
	LOAD_GUEST
	vmlaunch
	mov rdi, [rsp]		; still here: refused
	mov byte [rdi + LAUNCHED], 0
	call vmx_entry_refused
	jmp .done
	align 16
.enter:
	LOAD_GUEST
	vmresume
	mov rdi, [rsp]
	call vmx_entry_refused
	jmp .done
	align 16
.exit:
	SAVE_GUEST
	call vmx_exit
	mov rdi, [rsp]
	test eax, eax
	jz .enter
.done:
	pop rdi
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret

; void vmx_floor_loop(uint64_t rounds): what any hypervisor must pay: entry, exit, all general
; registers, a compare of the exit reason, RIP moved on. The VMCS of the measurement is current.
	align 16
	global vmx_floor_loop
vmx_floor_loop:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	sub rsp, GPR + 16 * 8	; a register block laid out as in struct vmx_vcpu
	mov rax, rsp
	push rdi		; rounds
	push rax		; the block's address, where SAVE_GUEST expects it
	mov eax, HOST_RSP
	vmwrite rax, rsp
	mov eax, HOST_RIP
	lea rcx, [rel .exit]
	vmwrite rax, rcx
	mov rdi, [rsp]
	LOAD_GUEST
	vmlaunch
	jmp .done
.exit:
	SAVE_GUEST
	mov eax, EXIT_REASON
	vmread rcx, rax
	cmp ecx, REASON_VMCALL
	jne .done
	mov eax, GUEST_RIP
	vmread rcx, rax
	add rcx, 3
	vmwrite rax, rcx
	dec qword [rsp + 8]
	jz .done
	LOAD_GUEST
	vmresume
.done:
	add rsp, 16 + GPR + 16 * 8
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret

; The guest of the floor measurement; VMCALL is three bytes long.
	align 16
	global vmx_floor_guest
vmx_floor_guest:
	vmcall
	jmp vmx_floor_guest

	section .note.GNU-stack noalloc noexec nowrite progbits
