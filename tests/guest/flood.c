/* SPDX-License-Identifier: BSD-2-Clause */
/* Provokes as many log lines as it can: the host must not drown. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "flood";

void test_main(void)
{
	uint64_t v;

	for (unsigned i = 0; i < 20000; i++) {
		rdmsr_safe(0x12340000 + i, &v);
		outl((uint16_t)(0x1000 + i % 0x1000), i);
		mmio_read(0x40000000 + i * 8);
	}
}
