/* SPDX-License-Identifier: BSD-2-Clause */
/* A port that nobody answers reads as ones in every width and swallows writes. */
#include "rt.h"

const char test_name[] = "ports";

void test_main(void)
{
	static const uint16_t ports[] = {0x1234, 0x5678, 0x9abc, 0xe000, 0xfffc};

	for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
		uint16_t port = ports[i];

		outb(port, 0x12);
		outw(port, 0x1234);
		outl(port, 0x12345678);
		check(inb(port) == 0xff, "inb(%#x) is %#x", port, inb(port));
		check(inw(port) == 0xffff, "inw(%#x) is %#x", port, inw(port));
		check(inl(port) == 0xffffffff, "inl(%#x) is %#x", port, inl(port));
	}
	/* A narrow read leaves the rest of the register alone; a wide one clears the high half. */
	uint64_t rax = 0x1122334455667788;
	__asm__ volatile("inb %%dx, %%al" : "+a"(rax) : "d"(0x1234));
	check(rax == 0x11223344556677ff, "inb leaves rax %#lx", rax);
	rax = 0x1122334455667788;
	__asm__ volatile("inw %%dx, %%ax" : "+a"(rax) : "d"(0x1234));
	check(rax == 0x112233445566ffff, "inw leaves rax %#lx", rax);
	rax = 0x1122334455667788;
	__asm__ volatile("inl %%dx, %%eax" : "+a"(rax) : "d"(0x1234));
	check(rax == 0xffffffff, "inl leaves rax %#lx", rax);
}
