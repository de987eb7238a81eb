/* SPDX-License-Identifier: BSD-2-Clause */
/* HLT waits, an interrupt wakes it, and execution goes on right behind it. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "hlt_wake";

static volatile unsigned ticks;
static volatile uint64_t saved_rip;

static void tick(struct frame *f)
{
	ticks++;
	saved_rip = f->rip;
	lapic_write(LAPIC_EOI, 0);
}

void test_main(void)
{
	uint64_t after;

	lapic_enable();
	irq_set(0x40, tick);
	lapic_write(LAPIC_TDCR, 0xb);
	lapic_write(LAPIC_LVTT, 0x40);
	for (unsigned i = 0; i < 50; i++) {
		unsigned before = ticks;
		lapic_write(LAPIC_TMICT, 1000000);
		__asm__ volatile("lea 1f(%%rip), %0; sti; hlt; 1: cli" : "=&r"(after)::"memory");
		if (!check(ticks == before + 1, "woke without an interrupt"))
			break;
		check(saved_rip == after, "returns to %#lx, not %#lx", saved_rip, after);
	}
	/* Already pending: HLT does not wait for another. */
	unsigned before = ticks;
	lapic_write(LAPIC_ICR, 0x40040);
	irq_wait();
	check(ticks == before + 1, "a pending interrupt does not end HLT");
}
