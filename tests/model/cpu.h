/* SPDX-License-Identifier: BSD-2-Clause */
/* Modelled CPUs: the registers that entries to a guest and exits switch, and branches. */
#ifndef TESTS_MODEL_CPU_H
#define TESTS_MODEL_CPU_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/guest/state.h"
#include "counters.h"

/*
 * The real files are compiled with the accessors below in the place of instructions. Several CPUs
 * take turns in one thread; cpu_index() says whose it is. What a CPU would answer with #GP is a
 * failure of the test if we did it, and comes back as a fault if a guest did.
 */
enum { MODEL_CPUS = 2, MODEL_RECORDS = 32, MODEL_OTHER_MSRS = 64 };

enum model_lbr {
	MODEL_LBR_NONE,	 /* registers that no write changes, as emulators have */
	MODEL_LBR_AMD,	 /* the last branch and exception */
	MODEL_LBR_STACK, /* a ring with a pointer to its newest record */
	MODEL_LBR_ARCH,	 /* record 0 is the newest; their number can be chosen */
};

/* What kind of CPU this is, for a test to set. */
static struct {
	enum model_lbr lbr;
	unsigned depth;	       /* records at most */
	uint32_t from, to;     /* first registers of the ring */
	bool info, select;     /* it has these registers */
	bool tsx_off;	       /* FROM reads without bits 62:61, and takes only copies of 60:59 */
	bool cet;	       /* S_CET, SSP and the table exist */
	uint64_t spec_ctrl;    /* bits that SPEC_CTRL takes; 0: no such register */
	bool v_spec_ctrl;      /* SVM switches it by itself */
	uint64_t capabilities; /* IA32_PERF_CAPABILITIES */
} modelled;

struct model_cpu {
	bool in_guest;
	uint64_t debugctl, lbr_ctl;
	uint64_t last[4]; /* AMD: branch from, to; exception from, to */
	uint64_t from[MODEL_RECORDS], to[MODEL_RECORDS], info[MODEL_RECORDS];
	uint64_t tos, select, depth;
	uint64_t s_cet, ssp, isst;
	struct model_counters counters;
	uint64_t spec_ctrl;  /* as RDMSR has it */
	uint64_t spec_under; /* in a guest of V_SPEC_CTRL: bits that are in force besides */
	unsigned barriers;   /* IBPBs */
	struct {
		uint32_t index;
		uint64_t value;
	} other[MODEL_OTHER_MSRS];
	unsigned others;
	unsigned host_faults; /* accesses of ours that a CPU would have refused, with a fixup */
};
static struct model_cpu model_cpus[MODEL_CPUS];

static struct model_cpu *model_cpu(void)
{
	return &model_cpus[cpu_index()];
}

enum { MODEL_EN = BIT(0), MODEL_TSX_SHIFT = 2 };
#define MODEL_TSX_FLAGS (BIT(61) | BIT(62))
#define MODEL_TSX_SIGN	(BIT(59) | BIT(60))

static bool model_records(const struct model_cpu *c)
{
	if (modelled.lbr == MODEL_LBR_ARCH)
		return c->lbr_ctl & MODEL_EN;
	return modelled.lbr != MODEL_LBR_NONE && (c->debugctl & DEBUGCTL_LBR);
}

/* A branch, by whoever runs on this CPU. */
static void model_branch(struct model_cpu *c, uint64_t from, uint64_t to)
{
	if (!model_records(c))
		return;
	switch (modelled.lbr) {
	case MODEL_LBR_NONE:
		break;
	case MODEL_LBR_AMD:
		c->last[0] = from;
		c->last[1] = to;
		break;
	case MODEL_LBR_STACK:
		c->tos = (c->tos + 1) % modelled.depth;
		c->from[c->tos] = modelled.tsx_off ? from & ~MODEL_TSX_FLAGS : from;
		c->to[c->tos] = to;
		c->info[c->tos] = (to & 0xff) + 1;
		break;
	case MODEL_LBR_ARCH:
		memmove(&c->from[1], c->from, (c->depth - 1) * sizeof(c->from[0]));
		memmove(&c->to[1], c->to, (c->depth - 1) * sizeof(c->to[0]));
		memmove(&c->info[1], c->info, (c->depth - 1) * sizeof(c->info[0]));
		c->from[0] = from;
		c->to[0] = to;
		c->info[0] = (to & 0xff) + 1;
		break;
	}
}

/* An exception: AMD keeps the branch before it, too (APM vol. 2, 13.1.6). */
static __unused void model_exception(struct model_cpu *c, uint64_t from, uint64_t to)
{
	if (!model_records(c))
		return;
	c->last[2] = c->last[0];
	c->last[3] = c->last[1];
	model_branch(c, from, to);
}

/* The register behind @index that is special; NULL: none. */
static uint64_t *model_register(struct model_cpu *c, uint32_t index)
{
	bool stack = modelled.lbr == MODEL_LBR_STACK, arch = modelled.lbr == MODEL_LBR_ARCH;
	unsigned records = stack ? modelled.depth : arch ? c->depth : 0;
	uint32_t info = stack ? (modelled.info ? MSR_LBR_INFO : 0) : MSR_ARCH_LBR_INFO;
	const struct {
		uint32_t first;
		unsigned count;
		uint64_t *value;
	} rows[] = {
		{MSR_DEBUGCTL, 1, &c->debugctl},
		{MSR_LASTBRANCHFROM, modelled.lbr == MODEL_LBR_AMD ? 4 : 0, c->last},
		{stack ? modelled.from : MSR_ARCH_LBR_FROM, records, c->from},
		{stack ? modelled.to : MSR_ARCH_LBR_TO, records, c->to},
		{info, info ? records : 0, c->info},
		{MSR_LBR_TOS, stack, &c->tos},
		{MSR_LBR_SELECT, stack && modelled.select, &c->select},
		{MSR_ARCH_LBR_CTL, arch, &c->lbr_ctl},
		{MSR_ARCH_LBR_DEPTH, arch, &c->depth},
		{MSR_S_CET, modelled.cet, &c->s_cet},
		{MSR_INT_SSP_TAB, modelled.cet, &c->isst},
		{MSR_SPEC_CTRL, modelled.spec_ctrl != 0, &c->spec_ctrl},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (index - rows[i].first < rows[i].count)
			return &rows[i].value[index - rows[i].first];
	return NULL;
}

/* One of those that only keep a value. */
static uint64_t *model_other(struct model_cpu *c, uint32_t index)
{
	for (unsigned i = 0; i < c->others; i++)
		if (c->other[i].index == index)
			return &c->other[i].value;
	return NULL;
}

/* Adds one that only keeps a value, to all CPUs. */
static __unused void model_has(uint32_t index, uint64_t value)
{
	for (unsigned i = 0; i < MODEL_CPUS; i++) {
		struct model_cpu *c = &model_cpus[i];

		assert_true(c->others < MODEL_OTHER_MSRS);
		c->other[c->others].index = index;
		c->other[c->others++].value = value;
	}
}

/* RDMSR and WRMSR, by a guest or us. False: #GP. */
static bool model_rdmsr(struct model_cpu *c, uint32_t index, uint64_t *value)
{
	uint64_t *r = model_register(c, index);

	bool ok;

	*value = 0;
	if (model_counter_read(&c->counters, index, value, &ok))
		return ok;
	if (!r)
		r = model_other(c, index);
	if (!r && index == MSR_PERF_CAPABILITIES) {
		*value = modelled.capabilities;
		return true;
	}
	if (!r)
		return modelled.lbr == MODEL_LBR_NONE;
	*value = *r;
	if (modelled.lbr == MODEL_LBR_NONE && index == MSR_DEBUGCTL)
		*value = 0;
	return true;
}

static bool model_takes(struct model_cpu *c, uint32_t index, const uint64_t *r, uint64_t value)
{
	if (index == MSR_DEBUGCTL)
		return !(value & ~(uint64_t)0xffff);
	if (index == MSR_SPEC_CTRL)
		return !(value & ~modelled.spec_ctrl);
	/* APM vol. 2, 13.1.1.7: read-only. */
	if (r >= c->last && r < c->last + ARRAY_SIZE(c->last))
		return false;
	if (r >= c->from && r < c->from + MODEL_RECORDS && modelled.tsx_off)
		return (value & MODEL_TSX_FLAGS) == (value & MODEL_TSX_SIGN) << MODEL_TSX_SHIFT;
	if (r == &c->tos)
		return value < modelled.depth;
	if (r == &c->select)
		return value <= 0x3ff;
	if (r == &c->depth)
		return value && value % 8 == 0 && value <= modelled.depth;
	/* Not canonical. */
	if (r >= c->to && r < c->to + MODEL_RECORDS)
		return (int64_t)(value << 16) >> 16 == (int64_t)value;
	return true;
}

static bool model_wrmsr(struct model_cpu *c, uint32_t index, uint64_t value)
{
	uint64_t *r = model_register(c, index);
	bool ok;

	if (model_counter_write(&c->counters, index, value, &ok))
		return ok;
	if (index == MSR_PRED_CMD && modelled.spec_ctrl) {
		c->barriers += value & 1;
		return !(value & ~1ull);
	}
	if (!r)
		r = model_other(c, index);
	if (!r)
		return modelled.lbr == MODEL_LBR_NONE;
	if (!model_takes(c, index, r, value))
		return false;
	*r = r >= c->from && r < c->from + MODEL_RECORDS && modelled.tsx_off
		     ? value & ~MODEL_TSX_FLAGS
		     : value;
	if (r == &c->depth) {
		memset(c->from, 0, sizeof(c->from));
		memset(c->to, 0, sizeof(c->to));
		memset(c->info, 0, sizeof(c->info));
	}
	return true;
}

/* Ours, without and with a fixup. */
static __unused uint64_t model_msr_read(uint32_t index)
{
	uint64_t value;

	if (!model_rdmsr(model_cpu(), index, &value))
		fail_msg("RDMSR of %#x by the host: #GP", index);
	return value;
}

static __unused void model_msr_write(uint32_t index, uint64_t value)
{
	if (!model_wrmsr(model_cpu(), index, value))
		fail_msg("WRMSR of %#llx to %#x by the host: #GP", (unsigned long long)value,
			 index);
}

static __unused bool model_msr_read_safe(uint32_t index, uint64_t *value)
{
	return model_rdmsr(model_cpu(), index, value);
}

static __unused bool model_msr_write_safe(uint32_t index, uint64_t value)
{
	return model_wrmsr(model_cpu(), index, value);
}

/* CPUID, for the test to define. */
static __unused struct cpuid model_cpuid(uint32_t leaf, uint32_t subleaf);

#undef msr_read
#undef msr_write
#define msr_read(index)			model_msr_read(index)
#define msr_write(index, value)		model_msr_write(index, value)
#define msr_write_ns(index, value)	model_msr_write(index, value)
#define msr_read_safe(index, value)	model_msr_read_safe(index, value)
#define msr_write_safe(index, value)	model_msr_write_safe(index, value)
#define msr_write_ns_safe(index, value) model_msr_write_safe(index, value)
#define cpuid(leaf, subleaf)		model_cpuid(leaf, subleaf)

/* Everything off, and what a firmware may have left: it recorded, and goes on. */
static void model_cpus_new(uint64_t firmware)
{
	memset(model_cpus, 0, sizeof(model_cpus));
	for (unsigned i = 0; i < MODEL_CPUS; i++) {
		struct model_cpu *c = &model_cpus[i];

		c->depth = modelled.depth;
		c->debugctl = DEBUGCTL_LBR;
		c->lbr_ctl = modelled.lbr == MODEL_LBR_ARCH ? MODEL_EN : 0;
		for (unsigned n = 0; n < 2 * MODEL_RECORDS; n++)
			model_branch(c, firmware + n, firmware + n + 1);
	}
}

/* The same numbers in each run. */
static uint64_t model_seed;

static uint64_t model_random(uint64_t below)
{
	model_seed = model_seed * 6364136223846793005ull + 1442695040888963407ull;
	return (model_seed >> 33) % below;
}

#endif
