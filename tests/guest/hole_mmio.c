/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads of an address where nothing is give ones, writes vanish; neither faults. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "hole_mmio";

void test_main(void)
{
	/* Above memory, below the APICs, off QEMU's own devices. */
	static const uint64_t holes[] = {0x40000000, 0x9000a000, 0xf8000000};

	for (unsigned i = 0; i < ARRAY_SIZE(holes); i++) {
		volatile uint8_t *p = (volatile uint8_t *)holes[i];
		uint64_t v;

		p[0] = 0x12;
		*(volatile uint64_t *)(p + 8) = 0x123456789abcdef0;
		/* QEMU's own holes read as zero. */
		uint64_t ones = hosted() ? ~0ull : 0;
		v = p[0];
		check(v == (uint8_t)ones, "byte at %#lx is %#lx", holes[i], v);
		v = *(volatile uint16_t *)p;
		check(v == (uint16_t)ones, "word at %#lx is %#lx", holes[i], v);
		v = *(volatile uint32_t *)p;
		check(v == (uint32_t)ones, "dword at %#lx is %#lx", holes[i], v);
		v = *(volatile uint64_t *)(p + 8);
		check(v == ones, "qword at %#lx is %#lx", holes[i], v);
	}
}
