/* SPDX-License-Identifier: BSD-2-Clause */
/* A million switches between real, protected, compatibility and long mode, paging on and off. */
#include "rt.h"

const char test_name[] = "mode_flip";

enum { SWITCHES = 1000000, PER_ROUND = 8 };

void test_main(void)
{
	uint64_t done = mode_flip(SWITCHES / PER_ROUND);

	check(done == SWITCHES, "%lu switches", done);
	check(rdmsr(0xc0000080) & BIT(10), "EFER.LMA is clear");
	check(cpuid(0, 0).eax >= 1, "CPUID after all of them");
}
