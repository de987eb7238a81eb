/* SPDX-License-Identifier: BSD-2-Clause */
/* The debug-exit port ends a guest whose other CPUs spin, halt, do port I/O and sleep for ever. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "smp_stop";

void test_main(void)
{
	smp_init(4, SMP_MAX);
	smp_start_others();
	for (unsigned i = 1; i < smp_count; i++)
		smp_run(i, smp_keep_busy, NULL);
	delay_us(100000);
}
