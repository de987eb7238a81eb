/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI configuration ports: the address reads back, an absent device reads as ones. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "pci_empty";

static uint32_t config(uint32_t bus, uint32_t dev, uint32_t reg)
{
	outl(0xcf8, 0x80000000 | bus << 16 | dev << 11 | reg);
	return inl(0xcfc);
}

void test_main(void)
{
	unsigned found = 0;

	outl(0xcf8, 0x80001234 & ~3u);
	check(inl(0xcf8) == (0x80001234 & ~3u), "address reads %#x", inl(0xcf8));
	check(config(0x42, 3, 0) == 0xffffffff, "bus 0x42 has %#x", config(0x42, 3, 0));
	outl(0xcf8, 0x80000000 | 0x42 << 16);
	check(inw(0xcfe) == 0xffff && inb(0xcfd) == 0xff, "narrow reads");
	outl(0xcfc, 0x12345678);
	check(inl(0xcfc) == 0xffffffff, "an absent device keeps a value");
	for (uint32_t dev = 0; dev < 32; dev++)
		found += config(0, dev, 0) != 0xffffffff;
	info("%u devices on bus 0", found);
}
