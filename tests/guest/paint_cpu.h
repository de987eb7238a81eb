/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPU's registers, as `paint` fills and looks at them. */
#ifndef PAINT_CPU_H
#define PAINT_CPU_H

#include "cet.h"
#include "paint_pattern.h"

enum { MSRS_MAX = 512, AREA_WORDS = 2048 };
enum { PAINTABLE_XCR0 = 0x2e7 }; /* x87, SSE, AVX, AVX-512, PKRU */

static struct {
	uint32_t index;
	uint64_t value;
} msrs[MSRS_MAX];
static unsigned msr_count;

static uint64_t area[AREA_WORDS] __aligned(64), mine[AREA_WORDS] __aligned(64);

/* Extended registers; from the first look on all of them can be used. */
static uint64_t get_xcr0(void)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return lo | (uint64_t)hi << 32;
}

static uint64_t offered(void)
{
	struct cpuid d = cpuid(0xd, 0);

	return cpuid(1, 0).ecx & BIT(26) ? d.eax | (uint64_t)d.edx << 32 : 0;
}

static uint64_t offered_xss(void)
{
	struct cpuid d = cpuid(0xd, 1);

	return offered() && (d.eax & BIT(3)) ? d.ecx | (uint64_t)d.edx << 32 : 0;
}

/* Words of an XSAVE area. */
enum { WORD_FIP = 1, WORD_FDP, WORD_MXCSR, WORD_ST0, WORD_XMM0 = 20, WORD_FREE = 52, WORD_BV = 64 };
enum { FCW_RESET = 0x37f, MXCSR_RESET = 0x1f80, MXCSR_PAINT = 0xffbf };

static bool is_amd(void)
{
	return cpuid(0, 0).ebx == 0x68747541;
}

static void save_extended(void)
{
	memset(area, 0, sizeof(area));
	if (offered())
		__asm__ volatile("xsave64 %0" : "+m"(area) : "a"(-1), "d"(-1));
	else
		__asm__ volatile("fxsave64 %0" : "+m"(area));
}

static bool x87_addresses_show(void)
{
	uint32_t env[7] = {0};

	/* FXSAVE does not tell them on AMD, FNSTENV does (CVE-2006-1056). */
	__asm__ volatile("fnstenv %0\n fldenv %0" : "+m"(env));
	return has_tag(env[3]) || has_tag(env[5]);
}

/* Runs an x87 instruction at an address with the pattern in it, with an operand that is there. */
static void paint_x87_addresses(void)
{
	static const uint8_t code[] = {0xdb, 0x07, 0xc3}; /* fildl (%rdi); ret */
	static uint8_t page[PAGE_SIZE] __aligned(PAGE_SIZE);
	uint64_t address = tagged(4, 0);

	memcpy(page + address % PAGE_SIZE, code, sizeof(code));
	*page_split(address) = (uintptr_t)page | PTE_P | PTE_W;
	invlpg(address);
	__asm__ volatile("call *%%rdi" ::"D"(address) : "memory");
	painted[K_X87_ADDRESS] = x87_addresses_show();
}

static void look_extended(void)
{
	static bool looked;
	bool clean = true;

	sight(K_X87_ADDRESS, x87_addresses_show(), "the x87 addresses have the pattern");
	if (offered() && !own) {
		write_cr4(read_cr4() | BIT(18));
		initial(looked || get_xcr0() == 1, "XCR0");
		looked = true;
		__asm__ volatile("xsetbv" ::"a"((uint32_t)offered()),
				 "d"((uint32_t)(offered() >> 32)), "c"(0));
	}
	save_extended();
	for (unsigned i = 0; i < AREA_WORDS; i++) {
		sight(i == WORD_FIP || i == WORD_FDP ? K_X87_ADDRESS : K_XSTATE, has_tag(area[i]),
		      "extended state: the pattern is in word %u", i);
		if (i >= WORD_ST0 && i != WORD_BV && (i < WORD_FREE || i > WORD_BV) && area[i])
			clean = false;
	}
	initial(clean, "extended state");
	initial((area[0] & 0xffffffffff) == FCW_RESET, "x87 control");
	initial((uint32_t)area[WORD_MXCSR] == MXCSR_RESET, "MXCSR");
	if (!offered_xss())
		return;
	initial(rdmsr(MSR_XSS) == 0, "XSS");
	wrmsr(MSR_XSS, offered_xss());
	memset(area, 0, sizeof(area));
	__asm__ volatile("xsaves64 %0" : "+m"(area) : "a"(-1), "d"(-1));
	for (unsigned i = 0; i < AREA_WORDS; i++)
		sight(K_XSTATE, has_tag(area[i]), "XSAVES: the pattern is in word %u", i);
	if (!own)
		wrmsr(MSR_XSS, 0);
}

static void paint_extended(void)
{
	uint64_t components = offered() & PAINTABLE_XCR0;

	if (components)
		write_cr4(read_cr4() | BIT(18));
	if (components)
		__asm__ volatile("xsetbv" ::"a"((uint32_t)offered()),
				 "d"((uint32_t)(offered() >> 32)), "c"(0));
	paint_x87_addresses();
	for (unsigned i = 0; i < AREA_WORDS; i++)
		area[i] = tagged(16, (i & 0xfff) << 4);
	area[0] = FCW_RESET | 0xffull << 32 | 0x2b5ull << 48;
	area[WORD_FIP] = tagged(4, 1);
	area[WORD_FDP] = tagged(4, 2);
	area[WORD_MXCSR] = MXCSR_PAINT;
	for (unsigned i = WORD_ST0 + 1; i < WORD_XMM0; i += 2)
		area[i] = 0x3fff; /* sign and exponent */
	memset(area + WORD_BV, 0, 64);
	area[WORD_BV] = components;
	if (components & BIT(9))
		area[cpuid(0xd, 9).ebx / 8] = tagged(4, 0);
	if (components)
		__asm__ volatile("xrstor64 %0" ::"m"(area), "a"(components), "d"(0));
	else
		__asm__ volatile("fxrstor64 %0" ::"m"(area));
	painted[K_XSTATE] = 1;
	if (offered_xss())
		wrmsr(MSR_XSS, offered_xss());
	save_extended();
	memcpy(mine, area, sizeof(mine));
}

/* AMD's XSAVE keeps x87 addresses only with an exception pending (APM vol. 2, 11.4.4). */
static void recheck_extended(void)
{
	save_extended();
	if (is_amd())
		memcpy(area, mine, WORD_MXCSR * 8);
	check(!memcmp(area, mine, sizeof(mine)), "extended state was lost");
	check(!offered() || get_xcr0() == offered(), "XCR0 was lost");
	check(!offered_xss() || rdmsr(MSR_XSS) == offered_xss(), "XSS was lost");
}

/* What is not painted: APIC_BASE, TSC, XSS, EFER; the last is long mode's. */
static bool leave_out(uint32_t index)
{
	return index == 0x1b || index == 0x10 || index == MSR_XSS || index == 0xc0000080;
}

static const struct {
	uint32_t first, last;
} msr_ranges[] = {
	{0, 0x1fff}, {0xc0000000, 0xc0001fff}, {0xc0010000, 0xc0011fff}, {0x4b564d00, 0x4b564d01}};
#define FOR_EACH_MSR(i)                                           \
	for (unsigned r = 0; r < ARRAY_SIZE(msr_ranges); r++)     \
		for (uint32_t i = msr_ranges[r].first; i <= msr_ranges[r].last; i++)

static void look_msrs(void)
{
	static const struct {
		uint32_t index;
		uint64_t value;
		const char *name;
	} resets[] = {
		{0x3b, 0, "TSC_ADJUST"},       {0x174, 0, "SYSENTER_CS"},
		{0x175, 0, "SYSENTER_ESP"},    {0x176, 0, "SYSENTER_EIP"},
		{0x1d9, 0, "DEBUGCTL"},	       {0x277, 0x0007040600070406, "PAT"},
		{0xc0000081, 0, "STAR"},       {0xc0000082, 0, "LSTAR"},
		{0xc0000083, 0, "CSTAR"},      {0xc0000084, 0, "SFMASK"},
		{0xc0000100, 0, "FS_BASE"},    {0xc0000101, 0, "GS_BASE"},
		{0xc0000102, 0, "KERNEL_GS_BASE"}, {0xc0000103, 0, "TSC_AUX"},
		{0x4b564d01, 0, "KVM_SYSTEM_TIME"},
	};
	uint64_t v = 0, types = as_types();

	FOR_EACH_MSR(i) {
		bool reads = rdmsr_safe(i, &v) == -1;

		sight(K_MSR, reads && (has_tag(v) || v == types), "msr %#x has the pattern", i);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(resets); i++)
		if (rdmsr_safe(resets[i].index, &v) == -1)
			initial(v == resets[i].value, resets[i].name);
	for (uint32_t i = MSR_U_CET; i <= MSR_INT_SSP_TAB; i++)
		if (rdmsr_safe(i, &v) == -1)
			initial(!v, "CET's state");
}

static bool takes(uint32_t index, uint64_t value)
{
	uint64_t v = 0;

	return wrmsr_safe(index, value) == -1 && rdmsr_safe(index, &v) == -1 && v == value;
}

static void paint_msr(uint32_t index)
{
	/* By what the register leaves free; the index shows if one appears in the wrong place. */
	uint64_t forms[] = {tagged(16, (index & 0xfff) << 4), tagged(12, 0), tagged(4, 0),
			    tagged(0, 0), as_types()};
	uint64_t old;

	if (leave_out(index) || rdmsr_safe(index, &old) != -1)
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++)
		if (takes(index, forms[i])) {
			if (msr_count == MSRS_MAX) {
				fail("too many registers");
				return;
			}
			msrs[msr_count].index = index;
			msrs[msr_count++].value = forms[i];
			return;
		}
	wrmsr_safe(index, old);
}

static void paint_msrs(void)
{
	FOR_EACH_MSR(i)
		paint_msr(i);
	painted[K_MSR] = msr_count;
}

static void recheck_msrs(void)
{
	for (unsigned i = 0; i < msr_count; i++)
		check(rdmsr(msrs[i].index) == msrs[i].value, "msr %#x was lost", msrs[i].index);
}

/* Control, debug and general registers. */
#define GET_DR(n)                                                    \
	({                                                           \
		uint64_t v_;                                         \
		__asm__ volatile("mov %%dr" #n ", %0" : "=r"(v_));   \
		v_;                                                  \
	})

static void set_drs(uint64_t v, uint64_t dr6)
{
	__asm__ volatile("mov %0, %%dr0" ::"r"(v));
	__asm__ volatile("mov %0, %%dr1" ::"r"(v | 1 << 4));
	__asm__ volatile("mov %0, %%dr2" ::"r"(v | 2 << 4));
	__asm__ volatile("mov %0, %%dr3" ::"r"(v | 3 << 4));
	__asm__ volatile("mov %0, %%dr6" ::"r"(dr6));
}

enum { DR6_RESET = 0xffff0ff0, DR6_PAINT = 0xffff0fff, DR7_RESET = 0x400 };

static void look_core(void)
{
	const uint64_t dr[] = {GET_DR(0), GET_DR(1), GET_DR(2), GET_DR(3)};

	sight(K_CR2, has_tag(read_cr2()), "CR2 has the pattern");
	initial(read_cr2() == 0, "CR2");
	for (unsigned i = 0; i < 4; i++) {
		sight(K_DR, has_tag(dr[i]), "DR%u has the pattern", i);
		initial(dr[i] == 0, "a breakpoint");
	}
	initial(GET_DR(6) == DR6_RESET, "DR6");
	initial(GET_DR(7) == DR7_RESET, "DR7");
}

static void look_gprs(void)
{
	for (unsigned i = 0; i < 16; i++) {
		sight(K_GPR, has_tag(entry_gpr[i]), "general register %u has the pattern", i);
		if (i >= 8)
			initial(entry_gpr[i] == 0, "a general register");
	}
}

static void paint_core(void)
{
	write_cr2(tagged(16, 0x20));
	set_drs(tagged(16, 0), DR6_PAINT);
	painted[K_CR2] = 1;
	painted[K_DR] = 4;
}

static void recheck_core(void)
{
	const uint64_t dr[] = {GET_DR(0), GET_DR(1), GET_DR(2), GET_DR(3)};

	check(read_cr2() == tagged(16, 0x20), "CR2 was lost");
	for (unsigned i = 0; i < 4; i++)
		check(dr[i] == tagged(16, i << 4), "DR%u was lost", i);
	check(GET_DR(6) == DR6_PAINT, "DR6 was lost");
}

/* Computes with the pattern in general registers; whether it is still in all of them. */
static bool spin(uint32_t rounds)
{
	uint64_t wrong = 0, v = tagged(16, 0);

	__asm__ volatile("mov %2, %%r8; mov %2, %%r9; mov %2, %%r10; mov %2, %%r11\n"
			 "mov %2, %%r12; mov %2, %%r13; mov %2, %%r14; mov %2, %%r15\n"
			 "mov %2, %%rsi; mov %2, %%rdi\n"
			 "1: dec %1; jnz 1b\n"
			 "xor %2, %%r8; xor %2, %%r9; xor %2, %%r10; xor %2, %%r11\n"
			 "xor %2, %%r12; xor %2, %%r13; xor %2, %%r14; xor %2, %%r15\n"
			 "xor %2, %%rsi; xor %2, %%rdi\n"
			 "or %%r8, %0; or %%r9, %0; or %%r10, %0; or %%r11, %0; or %%r12, %0\n"
			 "or %%r13, %0; or %%r14, %0; or %%r15, %0; or %%rsi, %0; or %%rdi, %0\n"
			 : "+b"(wrong), "+c"(rounds)
			 : "a"(v)
			 : "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rsi", "rdi", "cc",
			   "memory");
	return !wrong;
}

#endif
