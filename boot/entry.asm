; SPDX-License-Identifier: BSD-2-Clause
; From GRUB's 32-bit entry to long mode and kernel_main().

	extern kernel_main
	extern boot_cpu
	extern __bss_start
	extern __bss_end
	global boot_pml4

%include "boot/bits.inc"
PTE_P		equ 1 << 0
PTE_RW		equ 1 << 1
PTE_PS		equ 1 << 7
MULTIBOOT2_MAGIC equ 0x36d76289

	section .boot progbits alloc exec nowrite align=16
	bits 32
	global boot_entry
boot_entry:
	cli
	cld
	mov esi, eax		; multiboot2 magic
	mov edi, ebx		; multiboot2 information
	rdtsc
	mov [boot_tsc - KERNEL_BASE], eax
	mov [boot_tsc - KERNEL_BASE + 4], edx
	mov esp, boot_stack_top - KERNEL_BASE
	cmp esi, MULTIBOOT2_MAGIC
	jne .no_multiboot
	; long mode? (APM vol. 3, CPUID Fn8000_0001 EDX[29]; NX is EDX[20])
	mov eax, 0x80000000
	cpuid
	cmp eax, 0x80000001
	jb .no_long_mode
	mov eax, 0x80000001
	cpuid
	bt edx, 29
	jnc .no_long_mode
	bt edx, 20
	jnc .no_long_mode

	; zero the page tables, which lie in .bss (GRUB cleared it)
	; 4 GiB by 2 MiB pages, seen at 0, at the direct map's base and (first GiB) at KERNEL_BASE
	mov eax, PTE_P | PTE_RW | PTE_PS
	mov ebx, boot_pd - KERNEL_BASE
	mov ecx, 4 * 512
.fill_pd:
	mov [ebx], eax
	mov dword [ebx + 4], 0
	add eax, 0x200000
	add ebx, 8
	loop .fill_pd
	mov eax, boot_pd - KERNEL_BASE + (PTE_P | PTE_RW)
	mov ebx, boot_pdpt - KERNEL_BASE
	mov ecx, 4
.fill_pdpt:
	mov [ebx], eax
	add eax, 4096
	add ebx, 8
	loop .fill_pdpt
	mov dword [boot_pdpt_high - KERNEL_BASE + 510 * 8], boot_pd - KERNEL_BASE + (PTE_P | PTE_RW)
	mov eax, boot_pdpt - KERNEL_BASE + (PTE_P | PTE_RW)
	mov [boot_pml4 - KERNEL_BASE], eax
	mov [boot_pml4 - KERNEL_BASE + 256 * 8], eax
	mov dword [boot_pml4 - KERNEL_BASE + 511 * 8], boot_pdpt_high - KERNEL_BASE + (PTE_P | PTE_RW)

	mov eax, CR4_PAE
	mov cr4, eax
	mov eax, boot_pml4 - KERNEL_BASE
	mov cr3, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME | EFER_NXE
	wrmsr
	mov eax, CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG
	mov cr0, eax
	lgdt [boot_gdt_pointer]
	jmp 0x08:.long_mode

.no_multiboot:
	mov ebx, text_multiboot
	jmp boot_fail
.no_long_mode:
	mov ebx, text_long_mode
	jmp boot_fail

	bits 64
.long_mode:
	mov ax, 0x10
	mov ds, ax
	mov es, ax
	mov ss, ax
	xor eax, eax
	mov fs, ax
	mov gs, ax
	mov rax, .high
	jmp rax

	bits 32
; Prints the text at EBX on COM1 at 115200 baud, as the machine cannot do better yet, and stops.
boot_fail:
	mov dx, 0x3fb
	mov al, 0x83		; 8 data bits, no parity, 1 stop bit; divisor next
	out dx, al
	mov dx, 0x3f9
	xor eax, eax
	out dx, al
	mov dx, 0x3f8
	inc eax
	out dx, al
	mov dx, 0x3fb
	mov al, 3
	out dx, al
.next:
	mov dx, 0x3fd
.wait:
	in al, dx
	test al, 0x20
	jz .wait
	mov al, [ebx]
	test al, al
	jz .stop
	mov dx, 0x3f8
	out dx, al
	inc ebx
	jmp .next
.stop:
	hlt
	jmp .stop

text_multiboot:
	db 13, 10, "socle: not started by a multiboot2 boot loader: use GRUB's multiboot2 command", 13, 10, 0
text_long_mode:
	db 13, 10, "socle: this CPU has no 64-bit mode or no execute-disable (NX): ", \
	   "turn on 'Execute Disable Bit' in the firmware setup if it is there", 13, 10, 0

	align 8
boot_gdt:
	dq 0
	dq 0x00af9b000000ffff	; 64-bit code
	dq 0x00cf93000000ffff	; data
boot_gdt_pointer:
	dw $ - boot_gdt - 1
	dd boot_gdt

	section .text
	bits 64
boot_entry.high:
	; this_cpu() finds its CPU at the top of the stack
	mov rax, boot_cpu
	mov [boot_stack_top - 8], rax
	mov rsp, boot_stack_top - 16
	xor ebp, ebp
	; arguments: multiboot2 information (physical), TSC at entry
	mov edi, edi
	mov rsi, [rel boot_tsc]
	call kernel_main
.stop:
	cli
	hlt
	jmp .stop

	section .bss nobits alloc noexec write align=32768
boot_stack:	resb 32768	; one slot of CPU_STACK_SLOT bytes
boot_stack_top:
boot_pml4:	resb 4096
boot_pdpt:	resb 4096
boot_pdpt_high:	resb 4096
boot_pd:	resb 4 * 4096
boot_tsc:	resq 1

	section .note.GNU-stack noalloc noexec nowrite progbits
