; SPDX-License-Identifier: BSD-2-Clause
; Where the other processors start: from real mode below 1 MiB to ap_main() in our address space.

	extern boot_pml4
	extern ap_main

%include "boot/bits.inc"
CODE64		equ 0x08
DATA		equ 0x10

; Copied to a page below 1 MiB, at which CS starts with IP 0. What depends on the page's address is
; written into the copy by kernel/smp.c. The boot page tables map all of it where it is.
	section .rodata
	bits 16
	global ap_trampoline
ap_trampoline:
	cli
	cld
	mov ax, cs
	mov ds, ax
	lgdt [ap_gdt_pointer - ap_trampoline]
	mov eax, CR4_PAE
	mov cr4, eax
	mov eax, boot_pml4 - KERNEL_BASE
	mov cr3, eax
	mov ecx, MSR_EFER
	xor edx, edx
	mov eax, EFER_LME | EFER_NXE
	wrmsr
	; protection and paging at once: long mode's compatibility mode
	mov eax, CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG
	mov cr0, eax
	jmp dword far [ap_far - ap_trampoline]

	bits 64
.long_mode:
	mov ax, DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	xor eax, eax
	mov fs, ax
	mov gs, ax
	mov rax, ap_high
	jmp rax

	align 8
	global ap_far
ap_far:				; offset, with the page's address added by kernel/smp.c; selector
	dd ap_trampoline.long_mode - ap_trampoline
	dw CODE64
	align 8
ap_gdt:
	dq 0
	dq 0x00af9b000000ffff	; 64-bit code
	dq 0x00cf93000000ffff	; data
	global ap_gdt_pointer
ap_gdt_pointer:			; limit; base, likewise
	dw $ - ap_gdt - 1
	dd ap_gdt - ap_trampoline
	global ap_trampoline_end
ap_trampoline_end:

	section .text
	bits 64
ap_high:
	mov rax, [rel ap_root]
	mov cr3, rax
	mov rsp, [rel ap_stack]
	xor ebp, ebp
	call ap_main
.stop:
	cli
	hlt
	jmp .stop

; Of the CPU that starts now: they start one after another.
	section .data
	align 8
	global ap_root
	global ap_stack
ap_root:	dq 0		; CR3
ap_stack:	dq 0		; top of its stack, below the pointer to its struct cpu

	section .note.GNU-stack noalloc noexec nowrite progbits
