/* SPDX-License-Identifier: BSD-2-Clause */
/* The real files that switch counters, on modelled CPUs: what both vendors' tests begin with. */
#ifndef TESTS_MODEL_PMU_ROOM_H
#define TESTS_MODEL_PMU_ROOM_H

#include "pages.h"
#include "socle/guest/pmu.h"

static void model_interrupts(void);
static void model_probe_loop(uint64_t rounds);
#define interrupts_take() model_interrupts()
#define pmu_loop(rounds)  model_probe_loop(rounds)

#include "../../lib/format.c"
#include "../../arch/x86/guest/msr.c"
#include "../../arch/x86/guest/msr_filter.c"
#include "../../arch/x86/guest/msr_model.c"
#include "../../arch/x86/guest/pmu.c"

uintptr_t test_memory;
struct cpu_info cpu_info;

/* All that a row of the table may need. */
bool cpuid_guest_bit(const struct guest_cpuid *t __unused, uint32_t leaf __unused,
		     unsigned reg __unused, unsigned bit __unused)
{
	return true;
}

static void model_probe_loop(uint64_t rounds)
{
	for (uint64_t i = 0; i < 2 * rounds; i++)
		model_instruction(&model_cpu()->counters, false);
}

#endif
