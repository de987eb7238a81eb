; SPDX-License-Identifier: BSD-2-Clause
; Enters the guest and comes back: the loop in which all of a guest's life happens.

%include "arch/x86/guest/gpr.inc"

	extern svm_exit
	extern svm_exit_switched

; struct svm_vcpu (svm.h)
VMCB		equ 0
VMCB_PA		equ 8
VMCB_RAX	equ 0x5f8
VMCB_EXIT_CODE	equ 0x70
VMCB_RIP	equ 0x578

	section .text
	bits 64

; The guest's general registers but RAX and RSP, which are in the VMCB, to the block at RAX.
%macro SAVE_GUEST 0
	SAVE_GPRS rax
	mov [rax + REG(7)], rdi
%endmacro

; A function of struct svm_vcpu *s: the loop with %2 as the handler of exits. GIF is 0 and IF is 1
; here and there, so nothing interrupts it, and a physical interrupt ends the guest's run (APM vol.
; 2, 15.17 and 15.21).
%macro RUN_LOOP 2
	align 16
	global %1
%1:
	PUSH_KEPT
	push rdi		; RSP is a multiple of 16 now, as the call below wants it
%%enter:
	mov rax, [rdi + VMCB]
	mov rcx, [rdi + REG(0)]
	mov [rax + VMCB_RAX], rcx
	mov rax, [rdi + VMCB_PA]
	LOAD_GPRS
	vmrun
	mov rax, [rsp]
	SAVE_GUEST
	mov rdi, rax
	mov rcx, [rdi + VMCB]
	mov rcx, [rcx + VMCB_RAX]
	mov [rdi + REG(0)], rcx
	call %2
	mov rdi, [rsp]
	test eax, eax
	jz %%enter
	pop rdi
	POP_KEPT
	ret
%endmacro

	RUN_LOOP svm_run_loop, svm_exit
	RUN_LOOP svm_run_loop_switched, svm_exit_switched

; void svm_floor_loop(uint64_t vmcb_pa, uint64_t rounds, struct vmcb *vmcb): what any hypervisor
; must pay: entry, exit, all general registers, a compare of the exit code, GIF.
	align 16
	global svm_floor_loop
svm_floor_loop:
	PUSH_KEPT
	sub rsp, GPR + 16 * 8	; a register block laid out as in struct svm_vcpu
	mov [rsp + VMCB_PA], rdi
	mov [rsp + VMCB], rdx
	push rsi
.round:
	lea rdi, [rsp + 8]
	clgi
	mov rax, [rdi + VMCB_PA]
	LOAD_GPRS
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
	POP_KEPT
	ret

; The guest of the floor measurement; VMMCALL is three bytes long.
	align 16
	global svm_floor_guest
svm_floor_guest:
	vmmcall
	jmp svm_floor_guest

	section .note.GNU-stack noalloc noexec nowrite progbits
