; SPDX-License-Identifier: BSD-2-Clause
; Where another CPU begins: from real mode in a page below 1 MiB to long mode on a stack of its own.

%include "tests/guest/rt/long_mode.inc"

CODE32		equ 0x18			; selectors of start.asm's table
CODE64		equ 0x08
DATA		equ 0x10
STACKS		equ 0x2000000			; at 32 MiB, as smp.c says
STACK_SHIFT	equ 14
REGISTERS_SHIFT	equ 6				; struct smp_registers (smp.h)

		extern page_pml4, smp_next, smp_end, smp_strays, smp_registers, smp_main

		section .rodata
		bits 16
		global smp_code, smp_code_gdtr, smp_code_end
; Copied to the start of a page: CS is the page's, IP is 0 (SDM vol. 3, 9.4.3).
smp_code:
		cli
		cld
		mov bx, cs
		mov ds, bx
		o32 lgdt [smp_code_gdtr - smp_code]
		mov ebp, cr4
		mov eax, cr0
		mov edi, eax
		or al, 1
		mov cr0, eax
		jmp dword CODE32:start32
smp_code_gdtr:	dw 0				; the copy has gdtr's limit and base
		dd 0
smp_code_end:

; Notes a register, or the lower half of an MSR, of CPU ESI.
%macro NOTE 2
		mov eax, %1
		mov [edx + %2], eax
%endmacro
%macro NOTE_MSR 2
		mov ecx, %1
		rdmsr
		mov ecx, esi
		shl ecx, REGISTERS_SHIFT
		mov [smp_registers + ecx + %2], eax
%endmacro

		section .text
		bits 32
start32:
		mov ax, DATA
		mov ds, ax
		mov es, ax
		mov ss, ax
		mov eax, 1
		lock xadd [smp_next], eax	; our number, if one is wanted
		cmp eax, [smp_end]
		jae .stray
		mov esi, eax

		mov edx, esi
		shl edx, REGISTERS_SHIFT
		add edx, smp_registers
		NOTE dr0, 0
		NOTE dr1, 4
		NOTE dr2, 8
		NOTE dr3, 12
		NOTE dr6, 16
		NOTE dr7, 20
		NOTE cr2, 24
		NOTE cr3, 28
		NOTE_MSR 0xC0000080, 32		; EFER
		NOTE_MSR 0xC0000100, 36		; FS.base
		NOTE_MSR 0xC0000101, 40		; GS.base

		ENTER_LONG_MODE
		jmp CODE64:start64
.stray:
		lock dec dword [smp_next]
		lock inc dword [smp_strays]
.stop:		cli
		hlt
		jmp .stop

		bits 64
start64:
		xor eax, eax
		mov fs, eax
		mov gs, eax
		lea rsp, [rsi + 1]
		shl rsp, STACK_SHIFT
		add rsp, STACKS
		mov edx, edi			; CR0 and CR4 as they were
		mov ecx, ebp
		mov edi, esi			; the number
		movzx esi, bx
		shr esi, 8			; the page
		xor ebp, ebp
		call smp_main
		ud2
