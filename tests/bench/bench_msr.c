/* SPDX-License-Identifier: BSD-2-Clause */
/* What an access to each kind of model-specific register costs, in TSC ticks. */
#include "rt.h"

const char test_name[] = "bench_msr";

enum { ROUNDS = 1000, SPEC_CTRL = 0x48, STIBP = BIT(1) };

/* One or more of each kind; those that the CPU model lacks are left out. */
static const struct {
	const char *name; /* of the row in Socle's policy table */
	uint32_t index;
} msrs[] = {
	{"fs_base", 0xc0000100},       {"gs_base", 0xc0000101},	    {"kernel_gs_base", 0xc0000102},
	{"star", 0xc0000081},	       {"lstar", 0xc0000082},	    {"cstar", 0xc0000083},
	{"sfmask", 0xc0000084},	       {"sysenter_cs", 0x174},	    {"sysenter_esp", 0x175},
	{"sysenter_eip", 0x176},       {"tsc_aux", 0xc0000103},	    {"spec_ctrl", SPEC_CTRL},
	{"u_cet", 0x6a0},	       {"s_cet", 0x6a2},	    {"pl0_ssp", 0x6a4},
	{"pl1_ssp", 0x6a5},	       {"pl2_ssp", 0x6a6},	    {"pl3_ssp", 0x6a7},
	{"int_ssp_tab", 0x6a8},	       {"debugctl", 0x1d9},	    {"last_branch_from", 0x1db},
	{"lbr_select", 0x1c8},	       {"lbr_ctl", 0x14ce},	    {"xss", 0xda0},
	{"efer", 0xc0000080},	       {"pat", 0x277},		    {"tsc_adjust", 0x3b},
	{"mtrr_def_type", 0x2ff},      {"misc_enable", 0x1a0},	    {"hwcr", 0xc0010015},
	{"apic_base", 0x1b},	       {"pkrs", 0x6e1},
};

static uint64_t empty_loop(void)
{
	uint64_t start = rdtsc();

	for (unsigned i = 0; i < ROUNDS; i++)
		barrier();
	return rdtsc() - start;
}

static uint64_t reads(uint32_t index)
{
	uint64_t start = rdtsc();

	for (unsigned i = 0; i < ROUNDS; i++) {
		barrier();
		rdmsr(index);
	}
	return rdtsc() - start;
}

static uint64_t writes(uint32_t index, uint64_t value)
{
	uint64_t start = rdtsc();

	for (unsigned i = 0; i < ROUNDS; i++) {
		barrier();
		wrmsr(index, value);
	}
	return rdtsc() - start;
}

static unsigned average(uint64_t ticks, uint64_t loop)
{
	return (ticks - loop + ROUNDS / 2) / ROUNDS;
}

void test_main(void)
{
	uint64_t loop, value;

	empty_loop();
	loop = empty_loop();
	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
		uint32_t index = msrs[i].index;

		/* The value that is there is a good one; the first access is not counted. */
		if (rdmsr_safe(index, &value) != -1)
			continue;
		/* SPEC_CTRL is direct from the first value on that the host's does not cover. */
		if (index == SPEC_CTRL)
			wrmsr(index, value = STIBP);
		print("BENCH-MSR: %s %#x %u", msrs[i].name, index, average(reads(index), loop));
		if (wrmsr_safe(index, value) == -1)
			print(" %u\n", average(writes(index, value), loop));
		else
			print(" -\n");
	}
}
