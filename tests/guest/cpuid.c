/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID: leaves are consistent with each other, and a prefixed instruction has its true length. */
#include "rt.h"

const char test_name[] = "cpuid";

void test_main(void)
{
	struct cpuid c = cpuid(0, 0), d;
	uint64_t after, expected;

	check(c.eax >= 1, "highest leaf is %u", c.eax);
	d = cpuid(0x80000000, 0);
	check(d.eax >= 0x80000008, "highest extended leaf is %#x", d.eax);
	/* Intel's leaf has none. */
	check((d.ebx == c.ebx && d.ecx == c.ecx && d.edx == c.edx) ||
		      (c.ebx == 0x756e6547 && !(d.ebx | d.ecx | d.edx)),
	      "vendor strings differ");
	c = cpuid(1, 0);
	d = cpuid(0x80000001, 0);
	check(d.edx >> 29 & 1, "long mode is not offered");
	check(c.edx >> 9 & 1, "no local APIC");
	check(!(c.ecx >> 27 & 1) == !(read_cr4() & BIT(18)), "OSXSAVE is not CR4.OSXSAVE");
	if (c.ecx >> 26 & 1) {
		write_cr4(read_cr4() | BIT(18));
		check(cpuid(1, 0).ecx >> 27 & 1, "OSXSAVE does not follow CR4");
		check(cpuid(0xd, 0).ebx >= 576, "size of the XSAVE area is %u", cpuid(0xd, 0).ebx);
		write_cr4(read_cr4() & ~BIT(18));
		check(!(cpuid(1, 0).ecx >> 27 & 1), "OSXSAVE stays set");
	}
	check((cpuid(0x80000008, 0).eax & 0xff) >= 36, "physical address width");
	/* Only the low 32 bits select; the high halves of the results are cleared. */
	uint64_t a = 0xdeadbeef00000000, b = ~0ull, cx = ~0ull << 32, dx = ~0ull;
	__asm__ volatile("cpuid" : "+a"(a), "+b"(b), "+c"(cx), "+d"(dx));
	check(!((a | b | cx | dx) >> 32), "high halves are not cleared");
	check((uint32_t)a == cpuid(0, 0).eax, "high half of RAX selects");
	/* Prefixes belong to the instruction: the next one must be the right one. */
	__asm__ volatile(".byte 0x48, 0x0f, 0xa2\n1: lea 1b(%%rip), %0\n lea 1b(%%rip), %1"
			 : "=r"(after), "=r"(expected)
			 : "a"(0), "c"(0)
			 : "rbx", "rdx");
	check(after == expected, "rex.w cpuid has a wrong length");
	uint32_t mark = 0;
	__asm__ volatile(".byte 0x66, 0x2e, 0x48, 0x0f, 0xa2\n inc %0"
			 : "+S"(mark)
			 : "a"(0), "c"(0)
			 : "rbx", "rdx");
	check(mark == 1, "66 2e rex.w cpuid has a wrong length");
	info("hypervisor bit %u, vendor leaf %#x", c.ecx >> 31, cpuid(0x40000000, 0).eax);
	if (hosted()) {
		check(c.ecx >> 31, "hypervisor bit is clear");
		check(cpuid(0x40000000, 0).eax >= 0x40000000, "no hypervisor leaf");
		check(!(d.ecx >> 2 & 1), "SVM is offered");
		check(!(c.ecx >> 5 & 1), "VMX is offered");
	}
}
