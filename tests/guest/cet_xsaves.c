/* SPDX-License-Identifier: BSD-2-Clause */
/* XSAVES and XRSTORS of the states of control-flow enforcement: sizes, layout, init optimization.
 */
#include "cet.h"
#include "socle/guest/state.h"

const char test_name[] = "cet_xsaves";

/* Components (SDM vol. 1, 13.1) and where they lie, compacted, without any other (13.4.3). */
#define CET_U	BIT(11)
#define CET_S	BIT(12)
#define COMPACT (1ull << 63)
enum { WORD_BV = 64, WORD_COMP = 65, WORD_FIRST = 72, WORDS = 512 };
enum { SIZE_LEGACY = 576, SIZE_U = 16, SIZE_S = 24, PATTERN = 0x5a };

static uint64_t area[WORDS] __aligned(64);

static const uint32_t registers[] = {MSR_U_CET, MSR_PL3_SSP, MSR_PL0_SSP, MSR_PL1_SSP, MSR_PL2_SSP};
static const uint64_t values[] = {0x7000 | CET_WR_SHSTK_EN, 0x1000, 0x2000, 0x3004,
				  0xffff800000004000};

static void xsaves(uint64_t which)
{
	__asm__ volatile("xsaves64 %0"
			 : "+m"(area)
			 : "a"((uint32_t)which), "d"((uint32_t)(which >> 32)));
}

static void xrstors(uint64_t which)
{
	__asm__ volatile("xrstors64 %0" ::"m"(area), "a"((uint32_t)which),
			 "d"((uint32_t)(which >> 32)));
}

static void load(const uint64_t *v)
{
	for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
		wrmsr(registers[i], v ? v[i] : 0);
}

static void expect(unsigned first, unsigned count, const uint64_t *v, int line)
{
	for (unsigned i = first; i < first + count; i++)
		check(rdmsr(registers[i]) == (v ? v[i] : 0), "line %d: msr %#x is %#lx", line,
		      registers[i], rdmsr(registers[i]));
}

/* An area as XSAVES must leave it, for @bv of @which, with @v in it. */
static void make(uint64_t which, uint64_t bv, const uint64_t *v)
{
	memset(area, 0, sizeof(area));
	area[WORD_BV] = bv;
	area[WORD_COMP] = COMPACT | which;
	for (unsigned i = 0; v && i < ARRAY_SIZE(values); i++)
		area[WORD_FIRST + i] = v[i];
}

static void fill(void)
{
	memset(area, PATTERN, sizeof(area));
}

/* Whether the words from @first on are the values of registers @from on. */
static bool holds(unsigned first, unsigned from, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (area[WORD_FIRST + first + i] != values[from + i])
			return false;
	return true;
}

static bool untouched(void)
{
	uint64_t pattern;

	memset(&pattern, PATTERN, sizeof(pattern));
	for (unsigned i = 0; i < WORDS; i++)
		if ((i < WORD_BV || i >= WORD_FIRST) && area[i] != pattern)
			return false;
	return true;
}

static void enumeration(void)
{
	struct cpuid u = cpuid(0xd, 11), s = cpuid(0xd, 12);
	uint32_t bare = cpuid(0xd, 1).ebx, with_u, with_s;

	/* In the list of components of the supervisor, not among XCR0's; no place of their own. */
	check((cpuid(0xd, 1).ecx & (CET_U | CET_S)) == (CET_U | CET_S), "XSS takes %#x",
	      cpuid(0xd, 1).ecx);
	check(!(cpuid(0xd, 0).eax & (CET_U | CET_S)), "XCR0 takes %#x", cpuid(0xd, 0).eax);
	check(u.eax == SIZE_U && !u.ebx && u.ecx == 1 && !u.edx, "leaf 0xd.11: %#x %#x %#x %#x",
	      u.eax, u.ebx, u.ecx, u.edx);
	check(s.eax == SIZE_S && !s.ebx && s.ecx == 1 && !s.edx, "leaf 0xd.12: %#x %#x %#x %#x",
	      s.eax, s.ebx, s.ecx, s.edx);
	wrmsr(MSR_XSS, CET_U);
	with_u = cpuid(0xd, 1).ebx;
	wrmsr(MSR_XSS, CET_S);
	with_s = cpuid(0xd, 1).ebx;
	wrmsr(MSR_XSS, CET_U | CET_S);
	check(bare == SIZE_LEGACY && with_u == bare + SIZE_U && with_s == bare + SIZE_S &&
		      cpuid(0xd, 1).ebx == bare + SIZE_U + SIZE_S,
	      "sizes %u, %u, %u, %u", bare, with_u, with_s, cpuid(0xd, 1).ebx);
	check(cpuid(0xd, 0).ebx == SIZE_LEGACY, "%u bytes for XSAVE", cpuid(0xd, 0).ebx);
}

/* Only what CPUID tells of can be set. */
static void xss(void)
{
	struct cpuid d = cpuid(0xd, 1);
	uint64_t known = d.ecx | (uint64_t)d.edx << 32 | CET_U | CET_S, v;

	check(rdmsr_safe(MSR_XSS, &v) == -1 && !v, "XSS is %#lx at first", v);
	for (unsigned i = 0; i < 64; i++)
		check((wrmsr_safe(MSR_XSS, BIT(i)) == -1) == !!(known & BIT(i)),
		      "XSS, bit %u: vector %d", i, last_trap.vector);
	wrmsr(MSR_XSS, CET_U | CET_S);
	check(rdmsr(MSR_XSS) == (CET_U | CET_S), "XSS is %#lx", rdmsr(MSR_XSS));
}

static void restoring(void)
{
	make(CET_U | CET_S, CET_U | CET_S, values);
	xrstors(CET_U);
	expect(0, 2, values, __LINE__);
	expect(2, 3, NULL, __LINE__);
	xrstors(CET_U | CET_S);
	expect(0, 5, values, __LINE__);
	/* What is not in XSTATE_BV gets its initial value (SDM vol. 1, 13.12). */
	make(CET_U | CET_S, CET_S, values);
	xrstors(CET_U | CET_S);
	expect(0, 2, NULL, __LINE__);
	expect(2, 3, values, __LINE__);
	make(CET_U | CET_S, 0, values);
	load(values);
	xrstors(CET_U | CET_S);
	expect(0, 5, NULL, __LINE__);
}

/* SDM vol. 1, 13.11: each of these lines is one check, as emulators have it wrong. */
static void saving(void)
{
	load(values);
	fill();
	xsaves(CET_U | CET_S);
	check(area[WORD_BV] == (CET_U | CET_S) && area[WORD_COMP] == (COMPACT | CET_U | CET_S),
	      "saving both: header %#lx %#lx", area[WORD_BV], area[WORD_COMP]);
	check(holds(0, 0, 5), "saving both: they are not where they should be");
	expect(0, 5, values, __LINE__);
	fill();
	xsaves(CET_S);
	check(area[WORD_BV] == CET_S && area[WORD_COMP] == (COMPACT | CET_S),
	      "saving CET_S: header %#lx %#lx", area[WORD_BV], area[WORD_COMP]);
	check(holds(0, 2, 3), "saving CET_S: it is not behind the header");

	/* What is in its initial state is not written; one register of it suffices. */
	load(NULL);
	fill();
	xsaves(CET_U | CET_S);
	check(!area[WORD_BV] && area[WORD_COMP] == (COMPACT | CET_U | CET_S),
	      "saving initial states: header %#lx %#lx", area[WORD_BV], area[WORD_COMP]);
	check(untouched(), "saving initial states: they were written");
	wrmsr(MSR_PL1_SSP, 0x3000);
	fill();
	xsaves(CET_U | CET_S);
	check(area[WORD_BV] == CET_S, "saving PL1_SSP: header %#lx", area[WORD_BV]);
	load(NULL);
}

static void by_user(void)
{
	xsaves(CET_U);
	user_return();
}

static void refused(void)
{
	make(CET_U | CET_S, CET_U | CET_S, values);
	area[WORD_FIRST] |= BIT(6);
	check(EXCEPTION_OF(xrstors(CET_U | CET_S)) == VEC_GP, "U_CET with bit 6: vector %d",
	      last_trap.vector);
	area[WORD_FIRST] = CET_SUPPRESS | CET_TRACKER;
	check(EXCEPTION_OF(xrstors(CET_U | CET_S)) == VEC_GP, "SUPPRESS and TRACKER: vector %d",
	      last_trap.vector);
	area[WORD_FIRST] = 0;
	area[WORD_FIRST + 1] |= 2;
	check(EXCEPTION_OF(xrstors(CET_U | CET_S)) == VEC_GP, "PL3_SSP misaligned: vector %d",
	      last_trap.vector);
	area[WORD_FIRST + 1] = 0;
	area[WORD_FIRST + 2] = 0x0000800000000000;
	check(EXCEPTION_OF(xrstors(CET_U | CET_S)) == VEC_GP, "PL0_SSP not canonical: vector %d",
	      last_trap.vector);
	area[WORD_FIRST + 2] = 0;
	check(EXCEPTION_OF(xrstors(CET_U | CET_S)) == -1, "in order again: vector %d",
	      last_trap.vector);
	/* What XSS does not have cannot be restored, and is not saved. */
	wrmsr(MSR_XSS, CET_U);
	check(EXCEPTION_OF(xrstors(CET_U | CET_S)) == VEC_GP, "CET_S without XSS: vector %d",
	      last_trap.vector);
	xsaves(CET_U | CET_S);
	check(area[WORD_COMP] == (COMPACT | CET_U), "header %#lx with CET_U in XSS",
	      area[WORD_COMP]);
	wrmsr(MSR_XSS, CET_U | CET_S);
	check(EXCEPTION_OF(user_call(by_user)) == VEC_GP, "XSAVES at level 3: vector %d",
	      last_trap.vector);
}

void test_main(void)
{
	if (!cpu_has_shstk())
		skip("no shadow stacks");
	if (!check(cpuid(0xd, 1).eax & BIT(3), "shadow stacks without XSAVES"))
		return;
	write_cr4(read_cr4() | BIT(18));
	__asm__ volatile("xsetbv" ::"a"(1), "d"(0), "c"(0));
	xss();
	wrmsr(MSR_XSS, 0);
	enumeration();
	wrmsr(MSR_XSS, CET_U | CET_S);
	restoring();
	saving();
	refused();
	wrmsr(MSR_XSS, 0);
	load(NULL);
}
