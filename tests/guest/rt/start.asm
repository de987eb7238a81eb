; SPDX-License-Identifier: BSD-2-Clause
; Entry of a test guest: multiboot 1 header, 32-bit entry to long mode, exception stubs.

%include "tests/guest/rt/long_mode.inc"

MB_MAGIC	equ 0x1BADB002
MB_FLAGS	equ 0x3			; modules page-aligned, memory information wanted

		section .multiboot align=4
		dd MB_MAGIC, MB_FLAGS, -(MB_MAGIC + MB_FLAGS)

		section .text
		bits 32
		global start32
; Multiboot entry state: EAX magic, EBX information, protected mode, paging off, interrupts off.
start32:
		mov [entry_eax], eax
		mov [entry_ebx], ebx
		mov [entry_cs], cs
		mov [entry_ds], ds
		mov [entry_es], es
		mov [entry_fs], fs
		mov [entry_gs], gs
		mov [entry_ss], ss
		mov [entry_gpr + 1 * 8], ecx
		mov [entry_gpr + 2 * 8], edx
		mov [entry_gpr + 4 * 8], esp
		mov [entry_gpr + 5 * 8], ebp
		mov [entry_gpr + 6 * 8], esi
		mov [entry_gpr + 7 * 8], edi
		mov eax, cr0
		mov [entry_cr0], eax
		mov esp, stack_top
		pushfd
		pop dword [entry_eflags]

		; Identity map of the first 4 GiB with 2 MiB pages: present, writable, user.
		mov edi, page_pd
		xor ecx, ecx
.pd:		mov eax, ecx
		shl eax, 21
		or eax, 0x87
		cmp ecx, 3 * 512		; the last GiB is for devices: not cached
		jb .cached
		or eax, 0x10
.cached:	mov [edi + ecx * 8], eax
		mov dword [edi + ecx * 8 + 4], 0
		inc ecx
		cmp ecx, 4 * 512
		jne .pd
		xor ecx, ecx
.pdpt:		mov eax, ecx
		shl eax, 12
		add eax, page_pd + 7
		mov [page_pdpt + ecx * 8], eax
		inc ecx
		cmp ecx, 4
		jne .pdpt
		mov dword [page_pml4], page_pdpt + 7

		ENTER_LONG_MODE
		lgdt [gdtr]
		jmp 0x08:start64

		bits 64
		extern rt_main
start64:
%assign number 8
%rep 8
		mov [entry_gpr + number * 8], r %+ number
%assign number number + 1
%endrep
		mov eax, 0x10
		mov ds, eax
		mov es, eax
		mov ss, eax
		xor eax, eax
		mov fs, eax
		mov gs, eax
		mov rsp, stack_top
		; The descriptor of the task state segment needs its address in pieces.
		mov rax, tss
		mov [gdt_tss + 2], ax
		shr rax, 16
		mov [gdt_tss + 4], al
		mov [gdt_tss + 7], ah
		mov qword [tss + 4], stack_kernel_top	; RSP0
		mov qword [tss + 36], stack_ist_top	; IST1
		mov word [tss + 102], 104	; no I/O permission map
		mov eax, 0x58
		ltr ax
		; An event that waits for memory of its stack is delivered anew; QEMU then forgets
		; that it was a second fault. So the other stacks are touched now.
		mov byte [stack_kernel_top - 8], 0
		mov byte [stack_ist_top - 8], 0
		mov byte [stack_user_top - 8], 0
		xor ebp, ebp
		call rt_main
.stop:		cli
		hlt
		jmp .stop

; bool trap_arm(void): returns false; true when an exception came between it and trap_disarm().
		global trap_arm
trap_arm:
		mov [trap_context + 0], rbx
		mov [trap_context + 8], rbp
		mov [trap_context + 16], r12
		mov [trap_context + 24], r13
		mov [trap_context + 32], r14
		mov [trap_context + 40], r15
		lea rax, [rsp + 8]
		mov [trap_context + 48], rax
		mov rax, [rsp]
		mov [trap_context + 56], rax
		pushfq
		pop qword [trap_context + 64]
		mov dword [trap_armed], 1
		xor eax, eax
		ret

; Not called: an exception handler returns here while armed.
		global trap_recover
trap_recover:
		cld
		mov eax, 0x10
		mov ds, eax
		mov es, eax
		mov ss, eax
		mov rbx, [trap_context + 0]
		mov rbp, [trap_context + 8]
		mov r12, [trap_context + 16]
		mov r13, [trap_context + 24]
		mov r14, [trap_context + 32]
		mov r15, [trap_context + 40]
		mov rsp, [trap_context + 48]
		push qword [trap_context + 64]
		popfq
		mov eax, 1
		jmp [trap_context + 56]

; void user_call(void (*fn)(void)): runs fn at privilege level 3; it ends by int 0x80.
		global user_call
user_call:
		push rbx
		push rbp
		push r12
		push r13
		push r14
		push r15
		pushfq
		mov [user_return], rsp
		mov rax, rsp
		mov [tss + 4], rax
		push 0x40 | 3
		mov rax, stack_user_top - 8
		push rax
		push 0x202
		pop rax
		and eax, ~0x200			; interrupts stay off
		push rax
		push 0x38 | 3
		push rdi
		iretq
		global user_end
user_end:
		mov rsp, [user_return]
		mov eax, 0x10
		mov ds, eax
		mov es, eax
		mov ss, eax
		mov qword [tss + 4], stack_kernel_top
		popfq
		pop r15
		pop r14
		pop r13
		pop r12
		pop rbp
		pop rbx
		ret

; One stub for each vector: pushes an error code where the CPU does not, and the vector. ENDBR64 is
; for guests that turn indirect branch tracking on, and nothing elsewhere.
		extern trap_entry
%assign v 0
%rep 256
stub_ %+ v:
		endbr64
%if !(v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21 || v == 29 || v == 30)
		push 0
%endif
		push v
		jmp near trap_common
%assign v v + 1
%endrep

trap_common:
		cld
		push rax
		push rcx
		push rdx
		push rbx
		push rbp
		push rsi
		push rdi
		push r8
		push r9
		push r10
		push r11
		push r12
		push r13
		push r14
		push r15
		mov rdi, rsp
		mov rbx, rsp
		and rsp, ~15
		call trap_entry
		mov rsp, rbx
		pop r15
		pop r14
		pop r13
		pop r12
		pop r11
		pop r10
		pop r9
		pop r8
		pop rdi
		pop rsi
		pop rbp
		pop rbx
		pop rdx
		pop rcx
		pop rax
		add rsp, 16
		iretq

		section .rodata
		global trap_stubs
		align 8
trap_stubs:
%assign v 0
%rep 256
		dq stub_ %+ v
%assign v v + 1
%endrep

		section .data
		align 16
		global gdt
gdt:		dq 0
		dq 0x00AF9B000000FFFF		; 08 code, 64-bit
		dq 0x00CF93000000FFFF		; 10 data
		dq 0x00CF9B000000FFFF		; 18 code, 32-bit
		dq 0x00009B000000FFFF		; 20 code, 16-bit, base 0
		dq 0x000093000000FFFF		; 28 data, 16-bit, base 0
		dq 0x00CF13000000FFFF		; 30 data, not present
		dq 0x00AFFB000000FFFF		; 38 code, 64-bit, user
		dq 0x00CFF3000000FFFF		; 40 data, user
		dq 0x00CFFB000000FFFF		; 48 code, 32-bit, user
		dq 0				; 50
gdt_tss:	dw 103, 0			; 58 task state, 64-bit
		db 0, 0x89, 0, 0
		dq 0
gdt_end:
		global gdtr
gdtr:		dw gdt_end - gdt - 1
		dq gdt

		section .bss
		alignb 4096
		global page_pml4, page_pdpt, page_pd
page_pml4:	resb 4096
page_pdpt:	resb 4096
page_pd:	resb 4 * 4096
		resb 32768
stack_top:
		resb 8192
stack_kernel_top:
		resb 8192
stack_ist_top:
		resb 8192
stack_user_top:
		global entry_eax, entry_ebx, entry_cr0, entry_eflags, entry_cs, entry_ds, entry_es
		global entry_fs, entry_gs, entry_ss, entry_gpr, trap_armed
		global tss
		alignb 16
tss:		resb 104
		alignb 8
trap_context:	resq 9
entry_gpr:	resq 16
user_return:	resq 1
trap_armed:	resd 1
entry_eax:	resd 1
entry_ebx:	resd 1
entry_cr0:	resd 1
entry_eflags:	resd 1
entry_cs:	resd 1
entry_ds:	resd 1
entry_es:	resd 1
entry_fs:	resd 1
entry_gs:	resd 1
entry_ss:	resd 1
