/* SPDX-License-Identifier: BSD-2-Clause */
/* A triple fault on the last CPU ends the guest, whose others are busy. Never passes by itself. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "smp_triple";

static void fault(void *unused)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __packed none = {0, 0};

	(void)unused;
	__asm__ volatile("lidt %0; ud2" ::"m"(none));
}

void test_main(void)
{
	smp_init(4, SMP_MAX);
	smp_start_others();
	for (unsigned i = 1; i < smp_count - 1; i++)
		smp_run(i, smp_keep_busy, NULL);
	delay_us(100000);
	print("INFO: smp_triple: about to fault\n");
	smp_run(smp_count - 1, fault, NULL);
	smp_keep_busy(NULL);
}
