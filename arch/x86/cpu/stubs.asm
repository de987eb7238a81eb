; SPDX-License-Identifier: BSD-2-Clause
; Entry points of all 256 exception and interrupt vectors, 16 bytes each.

	extern trap_handle

	section .text
	bits 64
	align 16
	global trap_stubs
trap_stubs:
%assign vector 0
%rep 256
	align 16
	%if vector = 8 || (vector >= 10 && vector <= 14) || vector = 17 || vector = 21
	%else
	push 0			; where the CPU pushes no error code
	%endif
	push strict dword vector
	jmp near trap_common
%assign vector vector + 1
%endrep

trap_common:
	push rax
	push rbx
	push rcx
	push rdx
	push rsi
	push rdi
	push rbp
	push r8
	push r9
	push r10
	push r11
	push r12
	push r13
	push r14
	push r15
	cld
	mov rdi, rsp
	call trap_handle
	pop r15
	pop r14
	pop r13
	pop r12
	pop r11
	pop r10
	pop r9
	pop r8
	pop rbp
	pop rdi
	pop rsi
	pop rdx
	pop rcx
	pop rbx
	pop rax
	add rsp, 16
	iretq

	section .note.GNU-stack noalloc noexec nowrite progbits
