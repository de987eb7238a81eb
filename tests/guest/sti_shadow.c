/* SPDX-License-Identifier: BSD-2-Clause */
/* STI and MOV SS hold interrupts back for one instruction, also where that one exits. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "sti_shadow";

static volatile uint64_t saved_rip;
static volatile unsigned ticks;

static void tick(struct frame *f)
{
	saved_rip = f->rip;
	ticks++;
	lapic_write(LAPIC_EOI, 0);
}

static void pend(void)
{
	ticks = 0;
	lapic_write(LAPIC_ICR, 0x40040);
}

void test_main(void)
{
	uint64_t after;

	lapic_enable();
	irq_set(0x40, tick);
	pend();
	__asm__ volatile("lea 1f(%%rip), %0; sti; nop; 1: nop; cli" : "=&r"(after)::"memory");
	check(ticks == 1 && saved_rip == after, "sti; nop: at %#lx, not %#lx", saved_rip, after);
	pend();
	__asm__ volatile("sti; cli" ::: "memory");
	delay_us(100);
	check(!ticks, "sti; cli lets an interrupt in");
	irq_on();
	irq_off();
	check(ticks == 1, "the interrupt is lost");
	/* CPUID exits: the shadow covers it and ends with it. */
	pend();
	__asm__ volatile("lea 1f(%%rip), %0; xor %%eax, %%eax; sti; cpuid; 1: nop; cli"
			 : "=&S"(after)::"rax", "rbx", "rcx", "rdx", "memory");
	check(ticks == 1 && saved_rip == after, "sti; cpuid: at %#lx, not %#lx", saved_rip, after);
	pend();
	__asm__ volatile("lea 1f(%%rip), %0; sti; inb $0x80, %%al; 1: nop; cli"
			 : "=&S"(after)::"rax", "memory");
	check(ticks == 1 && saved_rip == after, "sti; in: at %#lx, not %#lx", saved_rip, after);
	/* A long string of exits in between loses nothing. */
	for (unsigned i = 0; i < 100; i++) {
		pend();
		__asm__ volatile("sti; hlt; cli" ::: "memory");
		if (!check(ticks == 1, "sti; hlt woke %u times", ticks))
			break;
	}
}
