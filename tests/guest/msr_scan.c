/* SPDX-License-Identifier: BSD-2-Clause */
/* Every MSR index of the architectural ranges is read and written: nothing may break. */
#include "rt.h"

const char test_name[] = "msr_scan";

static unsigned readable, writable;

static void probe(uint32_t index)
{
	uint64_t old = 0, tmp;

	if (rdmsr_safe(index, &old) != -1) {
		wrmsr_safe(index, 0);
		return;
	}
	readable++;
	if (wrmsr_safe(index, ~0ull) == -1)
		writable++;
	wrmsr_safe(index, 0);
	wrmsr_safe(index, old);
	rdmsr_safe(index, &tmp);
}

void test_main(void)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0, 0x1fff},
		{0xc0000000, 0xc0001fff},
		{0xc0010000, 0xc0011fff},
		{0x40000000, 0x400001ff},
		{0x4b564d00, 0x4b564d0f},
		{0xffffff00, 0xfffffffe},
	};

	for (unsigned r = 0; r < ARRAY_SIZE(ranges); r++)
		for (uint32_t i = ranges[r].first; i <= ranges[r].last; i++)
			probe(i);
	info("%u readable, %u take all ones", readable, writable);
	check(readable >= 15, "only %u registers can be read", readable);
	check(rdmsr(0xc0000080) & BIT(10), "EFER.LMA is gone");
}
