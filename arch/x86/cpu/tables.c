/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptor tables of a CPU: GDT, TSS and the IDT that all share. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/regs.h"

/* 64-bit interrupt gate (SDM vol. 3, 6.14.1). */
struct __packed idt_gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_mid;
	uint32_t offset_high;
	uint32_t reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "IDT gate");

struct __packed table_pointer {
	uint16_t limit;
	uint64_t base;
};

enum {
	GATE_INTERRUPT = 0x8e, /* present, DPL 0, 64-bit interrupt gate */
	VECTOR_DOUBLE_FAULT = 8,
	IST_DOUBLE_FAULT = 1,
	STUB_SIZE = 16,
};

#define GDT_CODE64    0x00af9b000000ffffull
#define GDT_DATA64    0x00cf93000000ffffull
#define GDT_TSS_AVAIL 0x0000890000000000ull

extern const char trap_stubs[];

static struct idt_gate idt[256] __aligned(4096);

static void idt_fill(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(idt); i++) {
		uint64_t entry = (uintptr_t)trap_stubs + i * STUB_SIZE;

		idt[i] = (struct idt_gate){
			.offset_low = entry & 0xffff,
			.selector = GDT_CODE,
			.type = GATE_INTERRUPT,
			.offset_mid = entry >> 16 & 0xffff,
			.offset_high = entry >> 32,
		};
	}
	cpu_double_fault_stack(true);
}

void cpu_double_fault_stack(bool own_tss)
{
	idt[VECTOR_DOUBLE_FAULT].ist = own_tss ? IST_DOUBLE_FAULT : 0;
}

void cpu_tables_load(struct cpu *cpu)
{
	uint64_t tss = (uintptr_t)&cpu->tss;
	struct table_pointer gdtr = {sizeof(cpu->gdt) - 1, (uintptr_t)cpu->gdt};
	struct table_pointer idtr = {sizeof(idt) - 1, (uintptr_t)idt};

	if (idt[0].type == 0)
		idt_fill();
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
