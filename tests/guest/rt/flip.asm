; SPDX-License-Identifier: BSD-2-Clause
; Round trips through all modes of the processor, as fast as it can.

REAL		equ 0x8000			; where the real-mode code runs
EFER		equ 0xC0000080

		section .text
		bits 64
		extern page_pml4
; uint64_t mode_flip(uint32_t rounds): returns how many switches were made, counted on each side.
; Interrupts must be off.
		global mode_flip
mode_flip:
		push rbx
		push rbp
		push r12
		mov ebx, edi
		mov [saved_rsp], rsp
		mov esi, real_start
		mov edi, REAL
		mov ecx, real_end - real_start
		rep movsb
		; Identity map of the first 4 GiB with 4 MiB pages.
		xor ecx, ecx
.pde:		mov eax, ecx
		shl eax, 22
		or eax, 0x83
		mov [legacy_pd + rcx * 4], eax
		inc ecx
		cmp ecx, 1024
		jne .pde
		mov ecx, EFER
		rdmsr
		mov ebp, eax			; EFER and CR4 of long mode
		mov rax, cr4
		mov esi, eax
		xor edi, edi			; switches so far
round:		push 0x18
		mov eax, compat
		push rax
		retfq

		bits 32
compat:		inc edi
		mov eax, 0x10
		mov ds, eax
		mov es, eax
		mov ss, eax
		mov eax, cr0
		and eax, 0x7fffffff
		mov cr0, eax			; protected mode without paging
		inc edi
		mov ecx, EFER
		mov eax, ebp
		and eax, ~0x500
		xor edx, edx
		wrmsr
		mov eax, esi
		and eax, ~0x20
		or eax, 0x10
		mov cr4, eax
		mov eax, legacy_pd
		mov cr3, eax
		mov eax, cr0
		or eax, 0x80000000
		mov cr0, eax			; 32-bit paging
		inc edi
		mov eax, cr0
		and eax, 0x7fffffff
		mov cr0, eax			; and off again
		inc edi
		jmp 0x20:REAL + (real16 - real_start)

protected:	inc edi
		mov eax, 0x10
		mov ds, eax
		mov es, eax
		mov ss, eax
		mov cr4, esi
		mov eax, page_pml4
		mov cr3, eax
		mov ecx, EFER
		mov eax, ebp
		and eax, ~0x400
		xor edx, edx
		wrmsr
		mov eax, cr0
		or eax, 0x80000000
		mov cr0, eax			; compatibility mode
		inc edi
		jmp 0x08:back64

		bits 64
back64:		inc edi
		dec ebx
		jnz round
		mov eax, 0x10
		mov ds, eax
		mov es, eax
		mov ss, eax
		xor eax, eax
		mov fs, eax
		mov gs, eax
		mov rsp, [saved_rsp]
		mov eax, edi
		pop r12
		pop rbp
		pop rbx
		ret

		bits 16
real_start:
real16:		mov ax, 0x28
		mov ds, ax
		mov es, ax
		mov ss, ax
		mov eax, cr0
		and al, 0xfe
		mov cr0, eax
		jmp 0:REAL + (.real - real_start)
.real:		xor ax, ax
		mov ds, ax
		mov ss, ax
		inc edi
		mov eax, cr0
		or al, 1
		mov cr0, eax
		jmp dword 0x18:protected
real_end:

		section .bss
		alignb 4096
legacy_pd:	resb 4096
saved_rsp:	resq 1
