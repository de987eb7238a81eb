/* SPDX-License-Identifier: BSD-2-Clause */
/* XSETBV: bad values and registers fault, good ones are read back. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "xsetbv";

static void xset(uint32_t index, uint64_t v)
{
	__asm__ volatile("xsetbv" ::"a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(index));
}

static uint64_t xget(void)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

void test_main(void)
{
	struct cpuid d = cpuid(0xd, 0);
	uint64_t valid = (uint64_t)d.edx << 32 | d.eax;

	if (!(cpuid(1, 0).ecx >> 26 & 1))
		skip("no XSAVE");
	write_cr4(read_cr4() & ~BIT(18));
	check(EXCEPTION_OF(xset(0, 1)) == VEC_UD, "XSETBV works without OSXSAVE");
	write_cr4(read_cr4() | BIT(18));
	check(EXCEPTION_OF(xset(0, valid)) == -1, "XCR0 does not take %#lx", valid);
	check(xget() == valid, "XCR0 is %#lx", xget());
	check(EXCEPTION_OF(xset(0, 0)) == VEC_GP, "XCR0 takes 0");
	check(EXCEPTION_OF(xset(0, 2)) == VEC_GP, "XCR0 takes 2: no x87");
	check(EXCEPTION_OF(xset(0, valid | BIT(62))) == VEC_GP, "XCR0 takes bit 62");
	check(EXCEPTION_OF(xset(0, valid & ~2ull)) == (valid & 4 ? VEC_GP : -1),
	      "XCR0 takes AVX without SSE");
	check(EXCEPTION_OF(xset(1, 1)) == VEC_GP, "XCR1 can be written");
	check(xget() == valid, "XCR0 is %#lx after bad values", xget());
	check(EXCEPTION_OF(xset(0, 1)) == -1 && xget() == 1, "XCR0 does not take 1");
}
