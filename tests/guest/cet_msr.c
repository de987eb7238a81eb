/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers of control-flow enforcement: what they take, what faults, and CR4.CET with CR0.WP. */
#include "cet.h"
#include "socle/guest/state.h"

const char test_name[] = "cet_msr";

static const uint32_t all[] = {MSR_U_CET,   MSR_S_CET,	 MSR_PL0_SSP,	 MSR_PL1_SSP,
			       MSR_PL2_SSP, MSR_PL3_SSP, MSR_INT_SSP_TAB};

static void keeps(uint32_t index, uint64_t value)
{
	uint64_t got = 0;

	check(wrmsr_safe(index, value) == -1, "msr %#x does not take %#lx", index, value);
	check(rdmsr_safe(index, &got) == -1 && got == value, "msr %#x reads %#lx after %#lx", index,
	      got, value);
	wrmsr(index, 0);
}

static void faults(uint32_t index, uint64_t value)
{
	uint64_t got = 1;

	check(wrmsr_safe(index, value) == VEC_GP && !last_trap.error, "msr %#x takes %#lx", index,
	      value);
	check(rdmsr_safe(index, &got) == -1 && !got, "msr %#x is %#lx after a fault", index, got);
}

/* SDM vol. 4, table 2-2. CR4.CET is off meanwhile, but for user code that has no effect. */
static void control(uint32_t index)
{
	const uint64_t shstk = CET_SH_STK_EN | CET_WR_SHSTK_EN;
	const uint64_t ibt = CET_ENDBR_EN | CET_LEG_IW_EN | CET_NO_TRACK_EN | CET_SUPPRESS_DIS;

	for (unsigned i = 0; i < 2; i++)
		if (cpu_has_shstk())
			keeps(index, BIT(i));
	for (unsigned i = 2; i < 6; i++)
		if (cpu_has_ibt())
			keeps(index, BIT(i));
	if (cpu_has_shstk() && cpu_has_ibt())
		keeps(index, shstk | ibt | 0x7ffffffff000);
	if (cpu_has_ibt()) {
		keeps(index, ibt | CET_SUPPRESS);
		keeps(index, ibt | CET_TRACKER);
		keeps(index, 0xffff800000000000 | CET_TRACKER);
	}
	faults(index, CET_SUPPRESS | CET_TRACKER);
	for (unsigned i = 6; i < 10; i++)
		faults(index, BIT(i) | CET_SH_STK_EN);
	faults(index, 0x0000800000000000);
	faults(index, 0xffff7ffffffff000);
}

static void pointers(void)
{
	for (uint32_t index = MSR_PL0_SSP; index <= MSR_PL3_SSP; index++) {
		keeps(index, 0x1000);
		keeps(index, 0x1004);
		keeps(index, 0x7ffffffffffc);
		keeps(index, 0xffff800000000008);
		for (unsigned i = 1; i < 4; i++)
			faults(index, 0x1000 + i);
		faults(index, 0x0000800000000000);
	}
	keeps(MSR_INT_SSP_TAB, 0x1000);
	keeps(MSR_INT_SSP_TAB, 0x1001);
	keeps(MSR_INT_SSP_TAB, 0xffff800000000000);
	faults(MSR_INT_SSP_TAB, 0x0000800000000000);
}

/* SDM vol. 3, 2.5: CR4.CET and CR0.WP depend on each other. */
static void control_registers(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	check(cr0 & CR0_WP, "CR0 is %#lx", cr0);
	check(EXCEPTION_OF(write_cr4(cr4 | CR4_CET)) == -1 && (read_cr4() & CR4_CET),
	      "CR4.CET cannot be set");
	check(EXCEPTION_OF(write_cr0(cr0 & ~CR0_WP)) == VEC_GP && !last_trap.error,
	      "CR0.WP can be cleared with CR4.CET");
	check(read_cr0() == cr0, "CR0 is %#lx after a fault", read_cr0());
	/* Others change meanwhile. */
	check(EXCEPTION_OF(write_cr0(cr0 ^ BIT(18))) == -1 && read_cr0() == (cr0 ^ BIT(18)),
	      "CR0.AM cannot be changed with CR4.CET");
	write_cr0(cr0);
	check(EXCEPTION_OF(write_cr4(read_cr4() ^ BIT(2))) == -1 &&
		      read_cr4() == ((cr4 | CR4_CET) ^ BIT(2)),
	      "CR4.TSD cannot be changed with CR4.CET");
	write_cr4(cr4);
	check(EXCEPTION_OF(write_cr0(cr0 & ~CR0_WP)) == -1 && !(read_cr0() & CR0_WP),
	      "CR0.WP cannot be cleared");
	check(EXCEPTION_OF(write_cr4(cr4 | CR4_CET)) == VEC_GP && !last_trap.error,
	      "CR4.CET can be set without CR0.WP");
	check(read_cr4() == cr4, "CR4 is %#lx after a fault", read_cr4());
	write_cr0(cr0);
	check(EXCEPTION_OF(write_cr4(cr4 | CR4_CET)) == -1, "CR4.CET cannot be set again");
	write_cr4(cr4);
}

/*
 * Values of our own, different in each guest, that a neighbour on the same CPU must not change nor
 * see: "paint" writes some, "look" expects those of a CPU that nobody has used.
 */
static void neighbours(uint64_t seed)
{
	enum { ROUNDS = 200 };
	uint64_t value[ARRAY_SIZE(all)] = {0};
	uint64_t xss = cpuid(0xd, 1).eax & BIT(3) ? cpuid(0xd, 1).ecx & 0x1800 : 0;

	for (unsigned i = 0; seed && i < ARRAY_SIZE(all); i++) {
		/* Bits of S_CET and U_CET that do nothing while CR4.CET is 0. */
		value[i] = i < 2 ? (seed << 12 | CET_WR_SHSTK_EN) : (seed << 16 | i << 4);
		wrmsr(all[i], value[i]);
	}
	if (seed && xss)
		wrmsr(MSR_XSS, xss);
	for (unsigned n = 0; n < ROUNDS; n++) {
		for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
			if (!check(rdmsr(all[i]) == value[i], "msr %#x is %#lx, not %#lx", all[i],
				   rdmsr(all[i]), value[i]))
				return;
		check(!xss || rdmsr(MSR_XSS) == (seed ? xss : 0), "XSS is %#lx", rdmsr(MSR_XSS));
		delay_us(1000);
	}
}

void test_main(void)
{
	uint64_t v = 1;

	if (!cpu_has_shstk()) {
		bool intel = cpuid(0, 0).ebx == 0x756e6547;

		/* What CPUID hides is not there. */
		for (unsigned i = 0; hosted() && !cpu_has_ibt() && i < ARRAY_SIZE(all); i++)
			check(rdmsr_safe(all[i], &v) == VEC_GP && wrmsr_safe(all[i], 0) == VEC_GP,
			      "msr %#x is there without CET", all[i]);
		/* On SVM, CR4 makes no exit, and QEMU's TCG checks none of its bits. */
		if (hosted() && intel && !cpu_has_ibt())
			check(EXCEPTION_OF(write_cr4(read_cr4() | CR4_CET)) == VEC_GP,
			      "CR4.CET can be set without CET");
		skip("no shadow stacks");
	}
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		check(rdmsr_safe(all[i], &v) == -1 && !v, "msr %#x is %#lx at first", all[i], v);
	if (option("paint") || option("paint2") || option("look")) {
		neighbours(option("paint") ? 0x1234 : option("paint2") ? 0x4321 : 0);
		return;
	}
	control(MSR_U_CET);
	control(MSR_S_CET);
	pointers();
	control_registers();
}
