/* SPDX-License-Identifier: BSD-2-Clause */
/* Every port is read and written in every width, except those that end the test. */
#include "rt.h"

const char test_name[] = "port_scan";

/* Ports whose write resets, turns off, ends the test, starts DMA or garbles the output. */
static bool harmful(uint32_t port)
{
	static const uint16_t ranges[][2] = {
		{0x60, 0x64},	{0x92, 0x92},	{0xb2, 0xb3},	{0xf4, 0xf7},	{0x3f8, 0x3ff},
		{0x510, 0x51b}, {0x600, 0x67f}, {0xcf8, 0xcff}, {0xcd8, 0xce3},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++)
		if (port + 3 >= ranges[i][0] && port <= ranges[i][1])
			return true;
	return false;
}

void test_main(void)
{
	uint64_t ones = 0;

	for (uint32_t port = 0; port < 0x10000; port++) {
		ones += inb((uint16_t)port) == 0xff;
		/* QEMU's own UART aborts on wide reads. */
		if (hosted() || port + 3 < 0x3f8 || port > 0x3ff) {
			inw((uint16_t)port);
			inl((uint16_t)port);
		}
		if (harmful(port))
			continue;
		outb((uint16_t)port, 0);
		outb((uint16_t)port, 0xff);
		outw((uint16_t)port, 0xffff);
		outl((uint16_t)port, 0xffffffff);
	}
	info("%lu ports read as ones", ones);
	check(ones > 60000, "only %lu ports read as ones", ones);
}
