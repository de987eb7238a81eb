; SPDX-License-Identifier: BSD-2-Clause
; Enters the guest and comes back: the loop in which all of a guest's life happens.

	extern svm_exit

; struct svm_vcpu (svm.h)
VMCB		equ 0
VMCB_PA		equ 8
GPR		equ 128
%define REG(n)	GPR + 8 * n	; in the order of enum x86_gpr
VMCB_RAX	equ 0x5f8
VMCB_EXIT_CODE	equ 0x70
VMCB_RIP	equ 0x578

	section .text
	bits 64

; The guest's general registers but RAX and RSP, which are in the VMCB, from and to RDI and RAX.
%macro LOAD_GUEST 0
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

%macro SAVE_GUEST 0
	mov [rax + REG(1)], rcx
	mov [rax + REG(2)], rdx
	mov [rax + REG(3)], rbx
	mov [rax + REG(5)], rbp
	mov [rax + REG(6)], rsi
	mov [rax + REG(7)], rdi
	mov [rax + REG(8)], r8
	mov [rax + REG(9)], r9
	mov [rax + REG(10)], r10
	mov [rax + REG(11)], r11
	mov [rax + REG(12)], r12
	mov [rax + REG(13)], r13
	mov [rax + REG(14)], r14
	mov [rax + REG(15)], r15
%endmacro

; int svm_run_loop(struct svm_vcpu *s): GIF is 0 and IF is 1 here and in svm_exit(), so nothing
; interrupts it, and a physical interrupt ends the guest's run (APM vol. 2, 15.17 and 15.21).
	align 16
	global svm_run_loop
svm_run_loop:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	push rdi		; RSP is a multiple of 16 now, as the call below wants it
.enter:
	mov rax, [rdi + VMCB]
	mov rcx, [rdi + REG(0)]
	mov [rax + VMCB_RAX], rcx
	mov rax, [rdi + VMCB_PA]
	LOAD_GUEST
	vmrun
	mov rax, [rsp]
	SAVE_GUEST
	mov rdi, rax
	mov rcx, [rdi + VMCB]
	mov rcx, [rcx + VMCB_RAX]
	mov [rdi + REG(0)], rcx
	call svm_exit
	mov rdi, [rsp]
	test eax, eax
	jz .enter
	pop rdi
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret

; void svm_floor_loop(uint64_t vmcb_pa, uint64_t rounds, struct vmcb *vmcb): what any hypervisor
; must pay: entry, exit, all general registers, a compare of the exit code, GIF.
	align 16
	global svm_floor_loop
svm_floor_loop:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	sub rsp, GPR + 16 * 8	; a register block laid out as in struct svm_vcpu
	mov [rsp + VMCB_PA], rdi
	mov [rsp + VMCB], rdx
	push rsi
.round:
	lea rdi, [rsp + 8]
	clgi
	mov rax, [rdi + VMCB_PA]
	LOAD_GUEST
	vmrun
	lea rax, [rsp + 8]
	SAVE_GUEST
	stgi
	mov rdi, [rax + VMCB]
	cmp dword [rdi + VMCB_EXIT_CODE], 0x81
	jne .done
	add qword [rdi + VMCB_RIP], 3
	dec qword [rsp]
	jnz .round
.done:
	add rsp, 8 + GPR + 16 * 8
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret

; The guest of the floor measurement; VMMCALL is three bytes long.
	align 16
	global svm_floor_guest
svm_floor_guest:
	vmmcall
	jmp svm_floor_guest

	section .note.GNU-stack noalloc noexec nowrite progbits
