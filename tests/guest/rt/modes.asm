; SPDX-License-Identifier: BSD-2-Clause
; Excursions of a test guest out of 64-bit code: compatibility, protected, PAE and real mode.

REAL		equ 0x8000			; where the real-mode code runs

		section .text
		bits 64
		extern page_pml4, page_pd, gdtr, stack_top
; void mode_call(enum mode mode)
		global mode_call
mode_call:
		push rbx
		push rbp
		push r12
		push r13
		push r14
		push r15
		mov [saved_rsp], rsp
		mov [mode], edi
		sidt [saved_idt]
		; The real-mode code goes below 1 MiB.
		mov esi, real_start
		mov edi, REAL
		mov ecx, real_end - real_start
		rep movsb
		mov edi, mode_result
		xor eax, eax
		mov ecx, 7
		rep stosd
		push 0x18
		mov eax, compat
		push rax
		retfq

		bits 32
compat:
		mov eax, 0x10
		mov ds, eax
		mov es, eax
		mov ss, eax
		mov esp, mode_stack_top
		cmp dword [mode], 0
		je .compat_work

		mov eax, cr0
		and eax, 0x7fffffff
		mov cr0, eax			; paging off: legacy protected mode
		mov ecx, 0xC0000080
		rdmsr
		mov [saved_efer], eax
		and eax, ~0x100
		wrmsr
		mov eax, cr4
		mov [saved_cr4], eax
		cmp dword [mode], 1
		je .pm32
		cmp dword [mode], 2
		je .paged32
		cmp dword [mode], 3
		je .pae
		jmp real_enter

.compat_work:	call work
		jmp 0x08:back64
.pm32:		call work
		jmp back

.paged32:	mov eax, [saved_cr4]
		and eax, ~0x20
		or eax, 0x10			; PSE, no PAE
		mov cr4, eax
		xor ecx, ecx
.pde:		mov eax, ecx
		shl eax, 22
		or eax, 0x83
		mov [legacy_pd + ecx * 4], eax
		inc ecx
		cmp ecx, 1024
		jne .pde
		mov eax, legacy_pd
		jmp .with_paging

.pae:		xor ecx, ecx
.pdpte:		mov eax, ecx
		shl eax, 12
		add eax, page_pd + 1
		mov [legacy_pdpt + ecx * 8], eax
		mov dword [legacy_pdpt + ecx * 8 + 4], 0
		inc ecx
		cmp ecx, 4
		jne .pdpte
		mov eax, legacy_pdpt
.with_paging:	mov cr3, eax
		mov eax, cr0
		or eax, 0x80000000
		mov cr0, eax
		call work
		mov eax, cr0
		and eax, 0x7fffffff
		mov cr0, eax
		jmp back

; Port, CPUID, memory-mapped and string accesses in 32-bit code.
work:
		xor eax, eax
		cpuid
		mov [mode_result + 0], eax
		mov edx, 0x1234
		in eax, dx
		mov [mode_result + 4], eax
		mov eax, [0xfee00030]
		mov [mode_result + 8], eax
		xor eax, eax
		mov ecx, 100
.sum:		add eax, ecx
		loop .sum
		mov [mode_result + 12], eax
		mov esi, 0xfee00000
		mov dword [esi + 0x80], 0x50
		mov ebx, 8
		mov eax, [esi + ebx * 8 + 0x40]
		mov [mode_result + 16], eax
		mov dword [esi + 0x80], 0
		mov edi, mode_result + 24
		mov ecx, 1
		rep insb
		ret

real_enter:	lidt [real_idt]
		jmp 0x20:REAL + (real16 - real_start)

; Back to long mode, from protected mode without paging.
back:		mov eax, [saved_cr4]
		or eax, 0x20
		mov cr4, eax
		mov eax, page_pml4
		mov cr3, eax
		mov ecx, 0xC0000080
		rdmsr
		or eax, 0x100
		wrmsr
		mov eax, cr0
		or eax, 0x80000000
		mov cr0, eax
		jmp 0x08:back64

		bits 64
back64:		mov eax, 0x10
		mov ds, eax
		mov es, eax
		mov ss, eax
		xor eax, eax
		mov fs, eax
		mov gs, eax
		mov rsp, [saved_rsp]
		lidt [saved_idt]
		pop r15
		pop r14
		pop r13
		pop r12
		pop rbp
		pop rbx
		ret

; Everything from here to real_end runs at REAL, in real mode except at its edges.
%define AT(label) (REAL + (label) - real_start)
		bits 16
real_start:
real16:		; 16-bit protected mode: keep a 4 GiB segment in FS, then leave.
		mov ax, 0x10
		mov fs, ax
		mov ax, 0x28
		mov ds, ax
		mov es, ax
		mov ss, ax
		mov eax, cr0
		and al, 0xfe
		mov cr0, eax
		jmp 0:AT(.real)
.real:		xor ax, ax
		mov ds, ax
		mov es, ax
		mov ss, ax
		mov sp, 0x7c00
		mov word [0x60 * 4], AT(.soft)
		mov word [0x60 * 4 + 2], 0
		mov word [0x50 * 4], AT(.timer)
		mov word [0x50 * 4 + 2], 0
		mov dword [AT(.count)], 0
		int 0x60
		xor eax, eax
		cpuid
		mov [AT(.cpuid)], eax
		mov dx, 0x1234
		in eax, dx
		mov [AT(.port)], eax
		mov eax, 0xfee00030		; big real mode: beyond 64 KiB through FS
		mov eax, [fs:eax]
		mov [AT(.lapic)], eax
		mov ebx, 0xfee00000
		mov dword [fs:ebx + 0x80], 0x50
		mov eax, [fs:ebx + 0x80]
		mov [AT(.tpr)], eax
		mov dword [fs:ebx + 0x80], 0
		xor eax, eax
		mov cx, 100
.sum:		add ax, cx
		loop .sum
		mov [AT(.total)], eax
		mov di, AT(.string)
		mov cx, 1
		cld
		rep insb
		; One timer interrupt: the 8254 through the 8259, whose vectors start at 0x50.
		mov al, 0x11
		out 0x20, al
		mov al, 0x50
		out 0x21, al
		mov al, 4
		out 0x21, al
		mov al, 1
		out 0x21, al
		mov al, 0xfe
		out 0x21, al
		mov al, 0x30
		out 0x43, al
		mov al, 0
		out 0x40, al
		mov al, 0x10
		out 0x40, al
		sti
.wait:		hlt
		cmp dword [AT(.count)], 2
		jb .wait
		cli
		mov al, 0xff
		out 0x21, al
		mov eax, cr0
		or al, 1
		mov cr0, eax
		jmp dword 0x18:real_done
.soft:		inc dword [AT(.count)]
		iret
.timer:		push ax
		inc dword [AT(.count)]
		mov al, 0x20
		out 0x20, al
		pop ax
		iret
		align 4
.cpuid:		dd 0
.port:		dd 0
.lapic:		dd 0
.total:		dd 0
.tpr:		dd 0
.count:		dd 0
.string:	dd 0
real_end:

		bits 32
real_done:	mov eax, 0x10
		mov ds, eax
		mov es, eax
		mov ss, eax
		mov esi, AT(real16.cpuid)
		mov edi, mode_result
		mov ecx, 7
		rep movsd
		jmp back

		section .rodata
real_idt:	dw 0x3ff
		dd 0

		section .bss
		alignb 4096
legacy_pd:	resb 4096
legacy_pdpt:	resb 4096
		resb 4096
mode_stack_top:
		alignb 8
saved_rsp:	resq 1
saved_idt:	resb 16
mode:		resd 1
saved_efer:	resd 1
saved_cr4:	resd 1
		global mode_result
mode_result:	resd 7
