/* SPDX-License-Identifier: BSD-2-Clause */
/* STI; HLT: an interrupt that comes in between is taken after the HLT, and so none is slept
 * through. */
#include "rt.h"

const char test_name[] = "sti_hlt";

enum { ROUNDS = 4000, STEP = 50, LONGEST = 40000 };

static volatile unsigned taken;

static void tick(struct frame *f)
{
	taken++;
	lapic_write(LAPIC_EOI, 0);
}

void test_main(void)
{
	lapic_enable();
	irq_set(0x60, tick);
	lapic_write(LAPIC_TDCR, 0xb);
	lapic_write(LAPIC_LVTT, 0x60);
	/* From one that is due at once to one that is due when the CPU halts already. */
	for (unsigned i = 0; i < ROUNDS; i++) {
		lapic_write(LAPIC_TMICT, 1 + i * STEP % LONGEST);
		irq_wait();
		if (taken != i + 1)
			break;
	}
	check(taken == ROUNDS, "%u of %u interrupts", taken, (unsigned)ROUNDS);
}
