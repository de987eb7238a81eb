; SPDX-License-Identifier: BSD-2-Clause
; The multiboot2 header that GRUB looks for (Multiboot2 specification 1.6, 3.1).

MAGIC	equ 0xe85250d6
ARCH	equ 0			; 32-bit protected mode of i386

	section .multiboot progbits alloc noexec nowrite align=8
header:
	dd MAGIC
	dd ARCH
	dd header.end - header
	dd -(MAGIC + ARCH + (header.end - header))
	; information request: command line, modules, memory map, ACPI old and new
	align 8
.request:
	dw 1, 0
	dd .request_end - .request
	dd 1, 3, 6, 14, 15
.request_end:
	; modules on page boundaries
	align 8
	dw 6, 0
	dd 8
	; end
	align 8
	dw 0, 0
	dd 8
.end:

	section .note.GNU-stack noalloc noexec nowrite progbits
