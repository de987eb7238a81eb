/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SPEC_CTRL, the commands beside it, ARCH_CAPABILITIES and MISC_ENABLE: what they take and what
 * faults. "paint" and "look" have two guests on one CPU, each with values of its own.
 */
#include "rt.h"

const char test_name[] = "spec_ctrl";

enum { GP = 13, ROUNDS = 300 };
enum {
	MISC_ENABLE = 0x1a0,
	SPEC_CTRL = 0x48,
	PRED_CMD = 0x49,
	ARCH_CAPABILITIES = 0x10a,
	FLUSH_CMD = 0x10b
};
enum { IBRS = BIT(0), STIBP = BIT(1), SSBD = BIT(2) };

static uint32_t features; /* CPUID leaf 7, EDX */

static bool has(unsigned bit)
{
	return features >> bit & 1;
}

static void keeps(uint64_t value)
{
	uint64_t got = ~0ull;

	check(wrmsr_safe(SPEC_CTRL, value) == -1, "SPEC_CTRL does not take %#lx", value);
	check(rdmsr_safe(SPEC_CTRL, &got) == -1 && got == value, "SPEC_CTRL reads %#lx after %#lx",
	      got, value);
}

static void faults(uint32_t index, uint64_t value)
{
	check(wrmsr_safe(index, value) == GP && !last_trap.error, "msr %#x takes %#lx", index,
	      value);
}

static void does_not_read(uint32_t index)
{
	uint64_t value;

	check(rdmsr_safe(index, &value) == GP, "msr %#x reads", index);
}

/* A write of the value that it has: to be told from a missing one. */
static void is_missing(uint32_t index)
{
	does_not_read(index);
	faults(index, 1);
}

static void spec_ctrl(void)
{
	uint64_t value;

	check(rdmsr_safe(SPEC_CTRL, &value) == -1 && !value, "SPEC_CTRL is %#lx at first", value);
	faults(SPEC_CTRL, BIT(63));
	faults(SPEC_CTRL, BIT(32) | IBRS);
	/* Before and after the first value that is not the host's own. */
	keeps(IBRS);
	keeps(0);
	if (has(27))
		keeps(STIBP);
	if (has(31))
		keeps(SSBD);
	if (has(27) && has(31))
		keeps(IBRS | STIBP | SSBD);
	faults(SPEC_CTRL, BIT(63));
	faults(SPEC_CTRL, BIT(32) | IBRS);
	keeps(0);
	keeps(IBRS);
	keeps(0);
}

static void commands(void)
{
	if (has(26)) {
		check(wrmsr_safe(PRED_CMD, 1) == -1, "no IBPB");
		check(wrmsr_safe(PRED_CMD, 0) == -1, "PRED_CMD does not take 0");
		faults(PRED_CMD, BIT(32));
		does_not_read(PRED_CMD);
	}
	if (has(28)) {
		check(wrmsr_safe(FLUSH_CMD, 1) == -1, "no L1D flush");
		faults(FLUSH_CMD, BIT(32));
		does_not_read(FLUSH_CMD);
	} else if (hosted()) {
		is_missing(FLUSH_CMD);
	}
}

static void arch_capabilities(void)
{
	enum {
		CTRLS = BIT(7) | BIT(10) | BIT(11) | BIT(12) | BIT(18) | BIT(21) | BIT(23) | BIT(25)
	};
	uint64_t value = 0;

	if (!has(29)) {
		if (hosted())
			is_missing(ARCH_CAPABILITIES);
		return;
	}
	check(rdmsr_safe(ARCH_CAPABILITIES, &value) == -1, "ARCH_CAPABILITIES does not read");
	faults(ARCH_CAPABILITIES, value);
	check(!hosted() || !(value & CTRLS), "ARCH_CAPABILITIES %#lx tells of other registers",
	      value);
	info("ARCH_CAPABILITIES %#lx", value);
}

/* SDM vol. 4, table 2-2; of AMD's CPUs only Socle's have it. */
static void misc_enable(void)
{
	enum { FIXED = BIT(7) | BIT(11) | BIT(12), FREE = BIT(0) | BIT(3) | BIT(22) };
	uint64_t old = rdmsr(MISC_ENABLE), value;

	check((old & (FIXED | FREE)) == (BIT(0) | BIT(11) | BIT(12)), "MISC_ENABLE is %#lx", old);
	value = (old & FIXED) | FREE;
	wrmsr(MISC_ENABLE, value);
	check(rdmsr(MISC_ENABLE) == value, "MISC_ENABLE is %#lx, not %#lx", rdmsr(MISC_ENABLE),
	      value);
	wrmsr(MISC_ENABLE, ~old & (FIXED | FREE));
	check(rdmsr(MISC_ENABLE) == ((old & FIXED) | (~old & FREE)), "MISC_ENABLE is %#lx",
	      rdmsr(MISC_ENABLE));
	faults(MISC_ENABLE, old | BIT(63));
	faults(MISC_ENABLE, old | BIT(34));
	wrmsr(MISC_ENABLE, old);
}

/* Exits of all kinds in between: the value is this guest's whenever it looks. */
static void neighbours(uint64_t mine)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t value = rdmsr(SPEC_CTRL);

		if (!check(value == mine, "round %u: SPEC_CTRL is %#lx, not %#lx", i, value, mine))
			return;
		cpuid(0, 0);
		delay_us(100);
		if (mine)
			wrmsr(SPEC_CTRL, mine);
	}
}

void test_main(void)
{
	features = cpuid(0, 0).eax >= 7 ? cpuid(7, 0).edx : 0;
	if (option("paint")) {
		wrmsr(SPEC_CTRL, STIBP | SSBD);
		neighbours(STIBP | SSBD);
		return;
	}
	if (option("look")) {
		neighbours(0);
		return;
	}
	if (hosted())
		misc_enable();
	if (!has(26) && hosted()) {
		is_missing(SPEC_CTRL);
		is_missing(PRED_CMD);
	}
	if (!has(26))
		skip("no SPEC_CTRL");
	spec_ctrl();
	commands();
	arch_capabilities();
}
