/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptor tables of a CPU: GDT, TSS and IDT. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/regs.h"

struct __packed table_pointer {
	uint16_t limit;
	uint64_t base;
};

enum {
	GATE_INTERRUPT = 0x8e, /* present, DPL 0, 64-bit interrupt gate */
	STUB_SIZE = 16,
};

#define GDT_CODE64    0x00af9b000000ffffull
#define GDT_DATA64    0x00cf93000000ffffull
#define GDT_TSS_AVAIL 0x0000890000000000ull

extern const char trap_stubs[];

struct cpu boot_cpu;
struct cpu *all_cpus[CPU_MAX] = {&boot_cpu};
unsigned cpu_count = 1;

static void idt_fill(struct idt_gate *idt)
{
	for (unsigned i = 0; i < 256; i++) {
		uint64_t entry = (uintptr_t)trap_stubs + i * STUB_SIZE;

		idt[i] = (struct idt_gate){
			.offset_low = entry & 0xffff,
			.selector = GDT_CODE,
			.ist = i == VECTOR_DOUBLE_FAULT ? IST_DOUBLE_FAULT : 0,
			.type = GATE_INTERRUPT,
			.offset_mid = entry >> 16 & 0xffff,
			.offset_high = entry >> 32,
		};
	}
}

void cpu_tables_load(struct cpu *cpu)
{
	uint64_t tss = (uintptr_t)&cpu->tss;
	struct table_pointer gdtr = {sizeof(cpu->gdt) - 1, (uintptr_t)cpu->gdt};
	struct table_pointer idtr = {sizeof(cpu->idt) - 1, (uintptr_t)cpu->idt};

	idt_fill(cpu->idt);
	cpu->gdt[0] = 0;
	cpu->gdt[GDT_CODE / 8] = GDT_CODE64;
	cpu->gdt[GDT_DATA / 8] = GDT_DATA64;
	cpu->gdt[GDT_TSS / 8] = GDT_TSS_AVAIL | (sizeof(cpu->tss) - 1) | (tss & 0xffffff) << 16 |
				(tss >> 24 & 0xff) << 56;
	cpu->gdt[GDT_TSS / 8 + 1] = tss >> 32;
	cpu->tss.iomap = sizeof(cpu->tss);
	__asm__ volatile("lgdt %0\n\t"
			 "pushq %2\n\t"
			 "lea 1f(%%rip),%%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\n\t"
			 "mov %3,%%ds\n\t"
			 "mov %3,%%es\n\t"
			 "mov %3,%%ss\n\t"
			 "mov %4,%%fs\n\t"
			 "mov %4,%%gs\n\t"
			 "lidt %1\n\t"
			 "ltr %w5\n\t"
			 "lldt %w4"
			 :
			 : "m"(gdtr), "m"(idtr), "i"(GDT_CODE), "r"(GDT_DATA), "r"(0), "r"(GDT_TSS)
			 : "rax", "memory");
}
