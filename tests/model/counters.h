/* SPDX-License-Identifier: BSD-2-Clause */
/* Modelled performance counters, of a CPU or of the one that a guest believes to have. */
#ifndef TESTS_MODEL_COUNTERS_H
#define TESTS_MODEL_COUNTERS_H

#include "socle/cpu/regs.h"

enum model_pmu {
	MODEL_PMU_NONE,
	MODEL_PMU_AMD,	 /* legacy, extended, with global registers */
	MODEL_PMU_INTEL, /* architectural */
};
enum { MODEL_GENERAL = 8, MODEL_FIXED = 4 };

/* For a test to set. */
static struct {
	enum model_pmu kind;
	unsigned general, fixed, version;
	bool core, v2;	  /* AMD: extended registers, global ones */
	bool short_event; /* AMD: event selects refuse bits 35:32 of the event's number */
	bool any;	  /* Intel: event selects take AnyThread */
	bool full_width;  /* Intel: there are full-width writes */
	bool stuck;	  /* nothing counts */
	bool never_stops; /* everything counts: no GuestOnly, no global control */
} modelled_pmu;

struct model_counters {
	bool ideal; /* a guest's own machine: it is always in the guest */
	uint64_t select[MODEL_GENERAL], counter[MODEL_GENERAL];
	uint64_t fixed_ctrl, fixed[MODEL_FIXED], global, status;
	bool masked;	    /* LVT entry; Intel's masks itself */
	unsigned overflows; /* that raised an interrupt, if ideal */
	bool requested;	    /* the interrupt is in the local APIC, if not */
};

enum {
	SELECT_INT = BIT(20), SELECT_ANYTHREAD = BIT(21), SELECT_EN = BIT(22),
	MODEL_FIXED_PMI = BIT(3), MODEL_FIXED_ANY = 0x4444,
};
#define COUNTER_MASK	  MASK(47, 0)
#define MODEL_GUEST_ONLY  BIT(40)
#define MODEL_HOST_ONLY	  BIT(41)
#define MODEL_AMD_SELECT  0x0000000fffd7ffffull
#define MODEL_STATUS_MORE (BIT(61) | BIT(62) | BIT(63))

static uint64_t model_counter_bits(void)
{
	return (MASK(modelled_pmu.general - 1, 0)) |
	       (modelled_pmu.fixed ? MASK(modelled_pmu.fixed - 1, 0) << 32 : 0);
}

static void model_overflow(struct model_counters *c, uint64_t bit, bool interrupt)
{
	if (modelled_pmu.v2 || modelled_pmu.kind == MODEL_PMU_INTEL)
		c->status |= bit;
	if (!interrupt || c->masked)
		return;
	if (c->ideal)
		c->overflows++;
	else
		c->requested = true;
	c->masked = !c->ideal && modelled_pmu.kind == MODEL_PMU_INTEL;
}

static void model_count(struct model_counters *c, uint64_t *counter, uint64_t bit, bool interrupt)
{
	*counter = (*counter + 1) & COUNTER_MASK;
	if (!*counter)
		model_overflow(c, bit, interrupt);
}

/* Does general counter @n count an instruction now? */
static bool model_counts(const struct model_counters *c, unsigned n, bool in_guest)
{
	uint64_t select = c->select[n];

	if (modelled_pmu.stuck || !(select & SELECT_EN))
		return false;
	if (modelled_pmu.never_stops)
		return true;
	if ((modelled_pmu.v2 || modelled_pmu.kind == MODEL_PMU_INTEL) && !(c->global >> n & 1))
		return false;
	if (modelled_pmu.kind == MODEL_PMU_AMD && !c->ideal &&
	    (select & (in_guest ? MODEL_HOST_ONLY : MODEL_GUEST_ONLY)))
		return !(in_guest ? ~select & MODEL_GUEST_ONLY : ~select & MODEL_HOST_ONLY);
	return true;
}

/* An instruction, by whoever runs. */
static __unused void model_instruction(struct model_counters *c, bool in_guest)
{
	for (unsigned n = 0; n < modelled_pmu.general; n++)
		if (model_counts(c, n, in_guest))
			model_count(c, &c->counter[n], BIT(n), c->select[n] & SELECT_INT);
	for (unsigned n = 0; n < modelled_pmu.fixed; n++) {
		uint64_t field = c->fixed_ctrl >> 4 * n;

		if ((field & 3) && (c->global >> (32 + n) & 1))
			model_count(c, &c->fixed[n], BIT(32 + n), field & MODEL_FIXED_PMI);
	}
}

/* The register behind @index that keeps a value; NULL: none. */
static uint64_t *model_counter(struct model_counters *c, uint32_t index)
{
	uint32_t core = index - MSR_PERF_CORE_CTL0;
	bool intel = modelled_pmu.kind == MODEL_PMU_INTEL, amd = modelled_pmu.kind == MODEL_PMU_AMD;
	unsigned general = modelled_pmu.general, legacy = amd ? MIN(general, 4u) : 0;
	const struct {
		uint32_t first;
		unsigned count;
		uint64_t *value;
	} rows[] = {
		{MSR_PERFEVTSEL0, legacy, c->select},
		{MSR_PERFCTR0, legacy, c->counter},
		{MSR_AMD_GLOBAL_CTL, modelled_pmu.v2, &c->global},
		{MSR_AMD_GLOBAL_STATUS, modelled_pmu.v2, &c->status},
		{MSR_P6_EVNTSEL0, intel ? general : 0, c->select},
		{MSR_P6_PERFCTR0, intel ? general : 0, c->counter},
		{MSR_PMC0, intel && modelled_pmu.full_width ? general : 0, c->counter},
		{MSR_FIXED_CTR0, modelled_pmu.fixed, c->fixed},
		{MSR_FIXED_CTR_CTRL, intel, &c->fixed_ctrl},
		{MSR_PERF_GLOBAL_CTRL, intel, &c->global},
		{MSR_PERF_GLOBAL_STATUS, intel, &c->status},
	};

	if (modelled_pmu.core && core < 2 * general)
		return core % 2 ? &c->counter[core / 2] : &c->select[core / 2];
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (index - rows[i].first < rows[i].count)
			return &rows[i].value[index - rows[i].first];
	return NULL;
}

/* Writes @index clear or set overflows? */
static bool model_clears(uint32_t index)
{
	return (modelled_pmu.v2 && index == MSR_AMD_GLOBAL_CLR) ||
	       (modelled_pmu.kind == MODEL_PMU_INTEL && index == MSR_PERF_GLOBAL_RESET);
}

static bool model_sets(uint32_t index)
{
	return (modelled_pmu.v2 && index == MSR_AMD_GLOBAL_SET) ||
	       (modelled_pmu.version >= 4 && index == MSR_PERF_GLOBAL_SET);
}

/* Is it one of theirs? The access is in @ok: false is #GP. */
static bool model_counter_read(struct model_counters *c, uint32_t index, uint64_t *value, bool *ok)
{
	const uint64_t *r = model_counter(c, index);

	if (!r && !model_clears(index) && !model_sets(index))
		return false;
	*value = r ? *r : 0;
	*ok = true;
	return true;
}

/* What an Intel CPU refuses. */
static bool model_intel_takes(const struct model_counters *c, const uint64_t *r, uint32_t index,
			      uint64_t value)
{
	bool any = modelled_pmu.any && !c->ideal;

	if (r == &c->status)
		return false;
	if (r == &c->global)
		return !(value & ~model_counter_bits());
	if (r == &c->fixed_ctrl)
		return !(value >> 4 * modelled_pmu.fixed) && (any || !(value & MODEL_FIXED_ANY));
	if (r >= c->select && r < c->select + MODEL_GENERAL)
		return !(value >> 32) && (any || !(value & SELECT_ANYTHREAD));
	return index - MSR_P6_PERFCTR0 < MODEL_GENERAL || !(value & ~COUNTER_MASK);
}

static bool model_counter_write(struct model_counters *c, uint32_t index, uint64_t value, bool *ok)
{
	bool intel = modelled_pmu.kind == MODEL_PMU_INTEL;
	uint64_t *r = model_counter(c, index), more = intel ? MODEL_STATUS_MORE : 0;

	*ok = true;
	if (model_clears(index) || model_sets(index)) {
		*ok = !intel || !(value & ~(model_counter_bits() | more));
		if (!*ok)
			return true;
		if (model_sets(index))
			c->status |= value & model_counter_bits();
		else
			c->status &= ~value;
		return true;
	}
	if (!r)
		return false;
	if (intel)
		*ok = model_intel_takes(c, r, index, value);
	else if (r == &c->status)
		return true;
	else if (r >= c->select && r < c->select + MODEL_GENERAL && modelled_pmu.short_event &&
		 (value >> 32 & 0xf))
		*ok = false;
	else if (r >= c->select && r < c->select + MODEL_GENERAL)
		value &= MODEL_AMD_SELECT | (c->ideal ? 0 : MODEL_GUEST_ONLY | MODEL_HOST_ONLY);
	else if (r == &c->global)
		value &= model_counter_bits();
	if (intel && index - MSR_P6_PERFCTR0 < MODEL_GENERAL)
		value = (uint64_t)(int32_t)value;
	if (r >= c->counter && r < c->counter + MODEL_GENERAL)
		value &= COUNTER_MASK;
	if (*ok)
		*r = value;
	return true;
}

#endif
