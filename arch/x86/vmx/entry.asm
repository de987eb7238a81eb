; SPDX-License-Identifier: BSD-2-Clause
; Enters the guest and comes back: the loop in which all of a guest's life happens.

%include "arch/x86/guest/gpr.inc"

%ifdef VMX_COUNT_ACCESSES
%define vmx_exit vmx_exit_counted
%endif
	extern vmx_exit
	extern vmx_entry_refused

; struct vmx_vcpu (vmx.h)
LAUNCHED	equ 0
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
	LOAD_GPRS
%endmacro

; To the block whose address is on top of the stack; it is in RDI afterwards.
%macro SAVE_GUEST 0
	push rdi
	mov rdi, [rsp + 8]
	mov [rdi + REG(0)], rax
	SAVE_GPRS rdi
	pop qword [rdi + REG(7)]
%endmacro

; int vmx_run_loop(struct vmx_vcpu *s): interrupts are off here and in vmx_exit(); a physical one
; ends the guest's run (SDM vol. 3, 26.2). The VMCS of @s is current.
	align 16
	global vmx_run_loop
vmx_run_loop:
	PUSH_KEPT
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
	POP_KEPT
	ret

; void vmx_bare_loop(uint64_t rounds): runs a guest as of bare.c, whose VMCS is current and clear,
; until it has executed VMCALL @rounds times, or made any other exit. What any hypervisor must pay:
; entry, exit, all general registers, a compare of the exit reason, RIP moved on.
	align 16
	global vmx_bare_loop
vmx_bare_loop:
	PUSH_KEPT
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
	POP_KEPT
	ret

; The guest of the floor measurement; VMCALL is three bytes long.
	align 16
	global vmx_floor_guest
vmx_floor_guest:
	vmcall
	jmp vmx_floor_guest

; That of apicv_trial.c.
	global vmx_trial_guest
vmx_trial_guest:
	cli
	vmcall

	section .note.GNU-stack noalloc noexec nowrite progbits
