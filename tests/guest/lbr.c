/* SPDX-License-Identifier: BSD-2-Clause */
/* Last branch records: they are this guest's own, stand still when turned off, and BTF steps. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "lbr";

enum {
	DEBUGCTL = 0x1d9, LAST_BRANCH = 0x1db, LBR_SELECT = 0x1c8, LBR_TOS = 0x1c9,
	LBR_FROM = 0x680, LBR_TO = 0x6c0, LBR_FROM_ATOM = 0x40, LBR_TO_ATOM = 0x60,
	ARCH_CTL = 0x14ce, ARCH_DEPTH = 0x14cf, ARCH_FROM = 0x1500, ARCH_TO = 0x1600,
	MAX_RECORDS = 32, BRANCHES = 100,
};
enum { ARCH_ALL = 0x7f0007, ARCH_EN = 1 };

/* What there is: FROM and TO of record n are these plus n times the step. */
static unsigned records, step;
static uint32_t from, to, control, on;

static bool is_amd(void)
{
	return cpuid(0, 0).ebx == 0x68747541;
}

/* How many registers there are from @first on, each of which can be read. */
static unsigned count(uint32_t first)
{
	uint64_t v;
	unsigned n = 0;

	while (n < MAX_RECORDS && rdmsr_safe(first + n, &v) == -1)
		n++;
	return n;
}

static void find(void)
{
	uint64_t v = 0;

	control = DEBUGCTL;
	on = DEBUGCTL_LBR;
	step = 1;
	if (is_amd()) {
		from = LAST_BRANCH;
		to = LAST_BRANCH + 1;
		records = 1;
	} else if (cpuid(0, 0).eax >= 0x1c && (cpuid(7, 0).edx >> 19 & 1)) {
		control = ARCH_CTL;
		on = ARCH_ALL;
		from = ARCH_FROM;
		to = ARCH_TO;
		records = rdmsr(ARCH_DEPTH);
	} else if (cpuid(1, 0).ecx >> 15 & 1) {
		from = LBR_FROM;
		to = LBR_TO;
		records = count(from);
		if (!records) {
			from = LBR_FROM_ATOM;
			to = LBR_TO_ATOM;
			records = count(from) > 8 ? 8 : count(from);
		}
	}
	/* Does it stay on? Emulators ignore the write. */
	if (!records || wrmsr_safe(control, on) != -1 || rdmsr_safe(control, &v) != -1 ||
	    !(v & on & 1))
		records = 0;
	wrmsr_safe(control, 0);
}

static bool is_own(uint64_t address)
{
	/* Upper bits may be flags or a sign. */
	address &= MASK(46, 0);
	return address >= (uintptr_t)image_start && address < (uintptr_t)image_end;
}

/* Branches, exits and accesses to ports, while everything is recorded. */
static __attribute__((noinline)) void branch(void)
{
	for (volatile unsigned i = 0; i < BRANCHES; i++) {
		if (i % 10 == 0)
			cpuid(0, 0);
		if (i % 10 == 5)
			inb(0x80);
	}
}

static struct record {
	uint64_t from, to;
} seen[MAX_RECORDS];

static void read_records(struct record *r)
{
	for (unsigned n = 0; n < records; n++)
		r[n] = (struct record){rdmsr(from + n * step), rdmsr(to + n * step)};
}

static void check_own(const struct record *r, const char *when)
{
	for (unsigned n = 0; n < records; n++)
		check(is_own(r[n].from) && is_own(r[n].to), "%s: record %u: %#lx to %#lx", when, n,
		      r[n].from, r[n].to);
}

static void records_are_own(void)
{
	struct record again[MAX_RECORDS];

	wrmsr(control, on);
	branch();
	read_records(seen);
	branch();
	wrmsr(control, 0);
	check_own(seen, "on");
	read_records(seen);
	check_own(seen, "off");
	/* They stand still now. */
	branch();
	read_records(again);
	for (unsigned n = 0; n < records; n++)
		check(again[n].from == seen[n].from && again[n].to == seen[n].to,
		      "record %u changed from %#lx to %#lx", n, seen[n].to, again[n].to);
}

/* Nothing comes with the CPU from whoever had it before. */
static void records_begin_empty(void)
{
	read_records(seen);
	for (unsigned n = 0; hosted() && n < records; n++)
		check(!seen[n].from && !seen[n].to, "record %u is %#lx to %#lx at the start", n,
		      seen[n].from, seen[n].to);
}

/* With BTF, TF traps behind the next branch, not behind each instruction; both bits go then. */
static void branch_steps(void)
{
	static uint64_t target;

	if (wrmsr_safe(DEBUGCTL, DEBUGCTL_BTF) != -1 || !(rdmsr(DEBUGCTL) & DEBUGCTL_BTF)) {
		info("no BTF");
		return;
	}
	check(EXCEPTION_OF(({
		      __asm__ volatile("lea 1f(%%rip), %%rax\n\t"
				       "mov %%rax, %0\n\t"
				       "pushfq\n\t"
				       "orq $0x100, (%%rsp)\n\t"
				       "popfq\n\t"
				       "nop\n\t"
				       "xor %%eax, %%eax\n\t"
				       "cpuid\n\t" /* an exit, and no branch */
				       "nop\n\t"
				       "jmp 1f\n\t"
				       "nop\n"
				       "1:\n\t"
				       "nop\n\t"
				       "pushfq\n\t"
				       "andq $~0x100, (%%rsp)\n\t"
				       "popfq"
				       : "=m"(target)::"rax", "rbx", "rcx", "rdx", "memory");
	      })) == VEC_DB,
	      "no #DB with BTF");
	check(last_trap.rip == target, "#DB at %#lx, not behind the branch at %#lx", last_trap.rip,
	      target);
	check(last_trap.dr6 & BIT(14), "DR6 is %#lx without BS", last_trap.dr6);
	check(!(rdmsr(DEBUGCTL) & DEBUGCTL_BTF), "BTF is still set after #DB");
	wrmsr(DEBUGCTL, 0);
}

/* What Socle makes of DEBUGCTL whatever the CPU has; there are no branch trace messages. */
static bool debugctl_is_checked(void)
{
	bool ok = check(wrmsr_safe(DEBUGCTL, BIT(6)) == VEC_GP, "DEBUGCTL takes TR");

	ok &= check(wrmsr_safe(DEBUGCTL, DEBUGCTL_LBR | DEBUGCTL_BTF) == -1, "DEBUGCTL: #GP");
	branch();
	return ok & check(wrmsr_safe(DEBUGCTL, 0) == -1 && !rdmsr(DEBUGCTL), "DEBUGCTL is %#lx",
			  rdmsr(DEBUGCTL));
}

void test_main(void)
{
	find();
	if (hosted() && !debugctl_is_checked())
		return;
	if (!records)
		skip("no LBR");
	info("%u records", records);
	records_begin_empty();
	records_are_own();
	branch_steps();
}
