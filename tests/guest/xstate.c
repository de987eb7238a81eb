/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Extended state: sizes in leaf 0xD follow XCR0 and IA32_XSS, and what is in every component that
 * is offered is there again after others had the CPU. A word `seed=N` tells several guests apart.
 */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "xstate";

enum { UD = 6, GP = 13, MSR_XSS = 0xda0, AREA = 8192, HEADER_END = 576, LAST = 12 };
enum { ROUNDS = 200, SLEEP = 100000 /* ticks of the local APIC's timer, 100 us on Socle */ };
enum { X87_FIRST = 32, X87_SIZE = 128, SSE_FIRST = 160, SSE_SIZE = 256, BV = 512, COMP_BV = 520 };

static uint8_t painted[AREA] __aligned(64), seen[AREA] __aligned(64);
static uint64_t offered;
static uint8_t seed;

static void set_xcr0(uint64_t v)
{
	__asm__ volatile("xsetbv" ::"a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(0));
}

/* SDM vol. 1, 13.4.2 and 13.4.3. */
static uint32_t size_of(uint64_t components, bool compacted)
{
	uint32_t size = HEADER_END;

	for (unsigned i = 2; i <= LAST; i++) {
		struct cpuid c = cpuid(0xd, i);

		if (!(components & BIT(i)))
			continue;
		check(c.eax, "component %u has no size", i);
		if (!compacted)
			size = MAX(size, c.ebx + c.eax);
		else
			size = (c.ecx & 2 ? (size + 63) & ~63u : size) + c.eax;
	}
	return size;
}

static void sizes(void)
{
	bool compacted = cpuid(0xd, 1).eax & (BIT(1) | BIT(3));
	uint64_t steps[] = {1, 3, offered & 7, offered & 0xe7, offered & 0x203, offered, 3};

	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		set_xcr0(steps[i]);
		check(cpuid(0xd, 0).ebx == size_of(steps[i], false), "XCR0 %#lx: size %u", steps[i],
		      cpuid(0xd, 0).ebx);
		check((!hosted() && !compacted) || /* of no meaning */
			      cpuid(0xd, 1).ebx == (compacted ? size_of(steps[i], true) : 0),
		      "XCR0 %#lx: compacted size %u", steps[i], cpuid(0xd, 1).ebx);
	}
	check(!hosted() || cpuid(0xd, 0).ecx == size_of(offered, false), "largest size %u",
	      cpuid(0xd, 0).ecx);
	for (unsigned i = 2; i < 20; i++) {
		struct cpuid c = cpuid(0xd, i);
		bool there = i <= LAST && ((offered | cpuid(0xd, 1).ecx) & BIT(i));

		check(!hosted() || there || !(c.eax | c.ebx | c.ecx | c.edx), "component %u shows",
		      i);
	}
}

static void supervisor(void)
{
	struct cpuid d = cpuid(0xd, 1);
	uint64_t xss = d.ecx | (uint64_t)d.edx << 32, v;

	if (!(d.eax & BIT(3))) {
		check(!hosted() || rdmsr_safe(MSR_XSS, &v) == GP, "XSS without XSAVES");
		return;
	}
	check(rdmsr_safe(MSR_XSS, &v) == -1 && v == 0, "XSS is %#lx at first", v);
	for (unsigned i = 0; hosted() && i < 64; i++) {
		bool ok = xss >> i & 1;

		check(wrmsr_safe(MSR_XSS, BIT(i)) == (ok ? -1 : GP), "XSS takes bit %u: %d", i,
		      !ok);
		check(cpuid(0xd, 1).ebx == size_of(3 | (ok ? BIT(i) : 0), true),
		      "XSS bit %u: size %u", i, cpuid(0xd, 1).ebx);
		check(wrmsr_safe(MSR_XSS, 0) == -1, "XSS does not take 0");
	}
	memset(seen, 0xa5, BV);
	memset(seen + BV, 0, HEADER_END - BV);
	__asm__ volatile("xsaves64 %0" : "+m"(seen) : "a"(-1), "d"(-1));
	memcpy(&v, seen + COMP_BV, 8);
	check(v == (BIT(63) | 3), "XSAVES: XCOMP_BV is %#lx", v);
	__asm__ volatile("xrstors64 %0" ::"m"(seen), "a"(-1), "d"(-1));
}

/* Where component @i is, and how much of it holds any values. */
static uint32_t place(unsigned i, uint32_t *size)
{
	struct cpuid c = cpuid(0xd, i);

	*size = i == 0 ? X87_SIZE : i == 1 ? SSE_SIZE : i == 9 ? 4 : c.eax;
	return i == 0 ? X87_FIRST : i == 1 ? SSE_FIRST : c.ebx;
}

static void paint(unsigned round)
{
	uint16_t fcw = 0x37f;
	uint32_t mxcsr = 0x1f80;

	memset(painted, 0, AREA);
	for (unsigned i = 0; i <= LAST; i++) {
		uint32_t size, at = place(i, &size);

		for (uint32_t k = 0; (offered & BIT(i)) && k < size; k++)
			painted[at + k] = (uint8_t)(seed + round * 31 + i * 7 + k) | 1;
	}
	/* x87 registers are 10 bytes in 16. */
	for (unsigned i = 0; i < X87_SIZE; i += 16)
		memset(painted + X87_FIRST + i + 10, 0, 6);
	memcpy(painted, &fcw, sizeof(fcw));
	painted[4] = 0xff; /* all of them are valid */
	memcpy(painted + 24, &mxcsr, sizeof(mxcsr));
	memcpy(painted + BV, &offered, sizeof(offered));
	__asm__ volatile("xrstor64 %0" ::"m"(painted), "a"(-1), "d"(-1));
}

static bool is_there(unsigned round)
{
	memset(seen, 0, AREA);
	__asm__ volatile("xsave64 %0" : "+m"(seen) : "a"(-1), "d"(-1));
	for (unsigned i = 0; i <= LAST; i++) {
		uint32_t size, at = place(i, &size);

		if ((offered & BIT(i)) && memcmp(painted + at, seen + at, size)) {
			for (uint32_t k = 0; k < size; k++)
				if (painted[at + k] != seen[at + k]) {
					fail("round %u: component %u, byte %u: %#x, not %#x", round,
					     i, k, seen[at + k], painted[at + k]);
					break;
				}
			return false;
		}
	}
	return true;
}

/* Before anything was painted: nothing of whoever had the CPU before. */
static void is_initial(void)
{
	memset(seen, 0, AREA);
	__asm__ volatile("xsave64 %0" : "+m"(seen) : "a"(-1), "d"(-1));
	for (unsigned i = 0; i <= LAST; i++) {
		uint32_t size, at = place(i, &size), k = 0;

		if (!(offered & BIT(i)))
			continue;
		while (k < size && !seen[at + k])
			k++;
		check(k == size, "component %u is not initial", i);
	}
}

static void tick(struct frame *f)
{
	(void)f;
	lapic_write(LAPIC_EOI, 0);
}

void test_main(void)
{
	struct cpuid d;

	if (!(cpuid(1, 0).ecx & BIT(26)))
		skip("no XSAVE");
	d = cpuid(0xd, 0);
	/* Without bounds registers and other things that Socle never offers. */
	offered = (d.eax | (uint64_t)d.edx << 32) & (hosted() ? ~0ull : 0x2e7);
	seed = option("seed=2") ? 100 : option("seed=3") ? 200 : 0;
	write_cr4(read_cr4() | BIT(18));
	set_xcr0(offered);
	is_initial();
	sizes();
	supervisor();
	set_xcr0(offered);
	lapic_enable();
	irq_set(0x40, tick);
	lapic_write(LAPIC_TDCR, 0xb);
	lapic_write(LAPIC_LVTT, 0x40);
	for (unsigned round = 0; round < ROUNDS; round++) {
		paint(round);
		lapic_write(LAPIC_TMICT, SLEEP);
		irq_wait();
		if (!is_there(round))
			break;
	}
	info("XCR0 %#lx, leaf 0xD.1 %#x", offered, cpuid(0xd, 1).eax);
}
