/* SPDX-License-Identifier: BSD-2-Clause */
/* Resets itself from its last CPU while the others are busy; all of them come up each time. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "smp_reset";

static void reset(void *unused)
{
	(void)unused;
	if (option("cf9"))
		outb(0xcf9, 6);
	else if (option("fast"))
		outb(0x92, 1);
	else
		outb(0x64, 0xfe);
	delay_us(1000000);
	fail("still here");
}

void test_main(void)
{
	volatile uint64_t *mark = (volatile uint64_t *)(48 * MiB);

	check(!*mark, "memory is not clean: %#lx", *mark);
	*mark = 0x6d61726b;
	smp_init(4, SMP_MAX);
	check(rdmsr(0x1b) & BIT(8), "CPU 0 does not boot");
	smp_start_others();
	print("INFO: smp_reset: started\n");
	for (unsigned i = 1; i < smp_count - 1; i++)
		smp_run(i, smp_keep_busy, NULL);
	delay_us(300000);
	smp_run(smp_count - 1, reset, NULL);
	smp_keep_busy(NULL);
}
