/* SPDX-License-Identifier: BSD-2-Clause */
/* Performance counters of guests on modelled AMD CPUs: whose instructions count for whom? */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "../unit/panic_mock.h"
#include "no_spec_ctrl.h"
#include "svm.h"
#include "pmu_room.h"
#include "socle/guest/lbr.h"
#include "../../arch/x86/svm/pmu.c"
#include "../../arch/x86/svm/maps.c"
#include "guest_counters.h"

struct lbr_offer lbr_offer;
static const struct vendor svm;
const struct vendor *vendor = &svm;

static struct guest_cpuid all_features;

static struct cpuid model_cpuid(uint32_t leaf, uint32_t subleaf __unused)
{
	switch (leaf) {
	case 0x80000000:
		return (struct cpuid){.eax = 0x80000022};
	case 0x80000001:
		return (struct cpuid){.ecx = modelled_pmu.core ? BIT(23) : 0};
	case 0x80000022:
		return (struct cpuid){.eax = modelled_pmu.v2, .ebx = modelled_pmu.general};
	default:
		return (struct cpuid){0};
	}
}

static struct room {
	struct svm_vcpu s;
	_Alignas(PAGE_SIZE) struct vmcb vmcb;
} rooms[COUNTING];

static struct vmcb *vmcb_of(const struct counting *g)
{
	return &rooms[g - counting].vmcb;
}

static void guest_enter(struct counting *g)
{
	model_vmrun(vmcb_of(g));
}

static void guest_leave(struct counting *g)
{
	model_vmexit(vmcb_of(g));
}

/* Changes nothing of them. */
static void guest_reset(struct counting *g __unused, bool init __unused)
{
}

static void power_on(void)
{
	memset(&pmu_offer, 0, sizeof(pmu_offer));
	memset(owners, 0, sizeof(owners));
	memset(rooms, 0, sizeof(rooms));
	memset(counting, 0, sizeof(counting));
	memset(running, 0, sizeof(running));
	memset(model_svms, 0, sizeof(model_svms));
	memset(&all_features, 0xff, sizeof(all_features));
	pages_used = 0;
	model_cpus_new(0);
	/* The firmware counts something. */
	for (unsigned i = 0; i < MODEL_CPUS; i++) {
		model_cpus[i].counters.select[1] = SELECT_EN | 0xc0;
		model_cpus[i].counters.global = modelled_pmu.v2 ? 2 : 0;
		model_cpus[i].debugctl = 0;
	}
	msr_init();
	for (test_cpu_index = 0; test_cpu_index < MODEL_CPUS; test_cpu_index++)
		svm_pmu_cpu_on(test_cpu_index == 0);
	test_cpu_index = 0;
	if (!pmu_offered())
		return;
	for (test_cpu_index = 0; test_cpu_index < MODEL_CPUS; test_cpu_index++)
		nothing_is_left();
	test_cpu_index = 0;
	assert_int_equal(svm_maps_init(), 0);
	for (unsigned i = 0; i < COUNTING; i++) {
		struct counting *g = &counting[i];

		g->v = &rooms[i].s.x;
		g->v->base.vm = &g->vm;
		g->v->pmu = &g->pmu;
		g->v->cpuid = &all_features;
		rooms[i].s.vmcb = &rooms[i].vmcb;
		g->cpu = g->home = NO_CPU;
		msr_create(g->v);
		assert_int_equal(svm_msr_maps(g->v), 0);
		rooms[i].vmcb.msrpm_pa = rooms[i].s.msrpm_pa[0];
		guest_power_on(g);
	}
}

static int setup(void **state __unused)
{
	memset(&modelled, 0, sizeof(modelled));
	modelled.lbr = MODEL_LBR_AMD;
	memset(&modelled_pmu, 0, sizeof(modelled_pmu));
	modelled_pmu.kind = MODEL_PMU_AMD;
	modelled_pmu.general = 6;
	modelled_pmu.core = modelled_pmu.v2 = true;
	model_seed = 1;
	return 0;
}

enum { ROUNDS = 60000 };
#define EVENT (SELECT_EN | BIT(16) | BIT(17) | 0xc0)

static const uint64_t values[] = {
	0, 0, EVENT, EVENT, EVENT, EVENT | SELECT_INT, EVENT | SELECT_INT,
	EVENT | MODEL_GUEST_ONLY, EVENT | MODEL_HOST_ONLY, COUNTER_MASK, COUNTER_MASK - 1,
	COUNTER_MASK - 4, 3, 0x3f, 0x3f, UINT64_MAX, 12345,
};

/* Three generations of CPUs; what one lacks, its guests have not. */
static void each_counts_its_own(void **state __unused)
{
	static const uint32_t msrs[] = {
		MSR_PERFEVTSEL0, MSR_PERFEVTSEL0 + 3, MSR_PERFCTR0, MSR_PERFCTR0 + 3,
		MSR_PERF_CORE_CTL0, MSR_PERF_CORE_CTL0 + 1, MSR_PERF_CORE_CTL0 + 2,
		MSR_PERF_CORE_CTL0 + 10, MSR_PERF_CORE_CTL0 + 11, MSR_AMD_GLOBAL_CTL,
		MSR_AMD_GLOBAL_CTL, MSR_AMD_GLOBAL_STATUS, MSR_AMD_GLOBAL_CLR, MSR_AMD_GLOBAL_SET,
	};

	power_on();
	assert_string_equal(pmu_offer.text, "offered: 6, with global control");
	all_take_turns(ROUNDS, msrs, ARRAY_SIZE(msrs), values, ARRAY_SIZE(values));
	modelled_pmu.v2 = false;
	power_on();
	assert_string_equal(pmu_offer.text, "offered: 6");
	all_take_turns(ROUNDS, msrs, ARRAY_SIZE(msrs), values, ARRAY_SIZE(values));
	modelled_pmu.core = false;
	modelled_pmu.general = 4;
	power_on();
	assert_string_equal(pmu_offer.text, "offered: 4");
	all_take_turns(ROUNDS, msrs, 4, values, ARRAY_SIZE(values));
}

static void no_overflow_survives_reset(void **state __unused)
{
	power_on();
	reset_forgets(MSR_PERF_CORE_CTL0, MSR_PERF_CORE_CTL0 + 1, EVENT | SELECT_INT);
	modelled_pmu.core = modelled_pmu.v2 = false;
	modelled_pmu.general = 4;
	power_on();
	reset_forgets(MSR_PERFEVTSEL0, MSR_PERFCTR0, EVENT | SELECT_INT);
}

/* What exits, with all that a guest can have. */
static void what_is_direct(void **state __unused)
{
	power_on();
	guest_schedule(&counting[0], 0);
	for (unsigned n = 0; n < 6; n++) {
		assert_true(model_msr_exits(MSR_PERF_CORE_CTL0 + 2 * n, false));
		assert_true(model_msr_exits(MSR_PERF_CORE_CTL0 + 2 * n, true));
		assert_false(model_msr_exits(MSR_PERF_CORE_CTL0 + 2 * n + 1, false));
		assert_false(model_msr_exits(MSR_PERF_CORE_CTL0 + 2 * n + 1, true));
	}
	assert_false(model_msr_exits(MSR_PERFCTR0 + 3, true));
	assert_true(model_msr_exits(MSR_PERFEVTSEL0 + 3, true));
	assert_false(model_msr_exits(MSR_AMD_GLOBAL_CTL, true));
	assert_true(model_msr_exits(MSR_AMD_GLOBAL_STATUS, true));
	assert_true(model_msr_exits(MSR_PERF_CORE_CTL0 + 12, false));
	assert_true(model_msr_exits(MSR_P6_PERFCTR0, false));
}

/* The guest has the fault, not we. */
static void cpu_refuses(void **state __unused)
{
	modelled_pmu.short_event = true;
	power_on();
	guest_schedule(&counting[0], 0);
	assert_int_equal(msr_guest_write(counting[0].v, MSR_PERFEVTSEL0, EVENT), MSR_OK);
	assert_int_equal(msr_guest_write(counting[0].v, MSR_PERFEVTSEL0, EVENT | BIT(32)),
			 MSR_INVALID);
	assert_int_equal(model_cpu()->counters.select[0], EVENT | MODEL_GUEST_ONLY);
}

/* Without counters all of it is dead or not there, also to one on the same CPU as one with. */
static void guest_without(void **state __unused)
{
	struct counting *g = &counting[1];
	uint64_t value;

	power_on();
	g->v->pmu = NULL;
	msr_create(g->v);
	memset(rooms[1].s.msrpm_pa, 0, sizeof(rooms[1].s.msrpm_pa));
	assert_int_equal(svm_msr_maps(g->v), 0);
	rooms[1].vmcb.msrpm_pa = rooms[1].s.msrpm_pa[0];
	guest_enter(g);
	for (unsigned i = 0; i < 8; i++) {
		assert_true(model_msr_exits(MSR_PERFEVTSEL0 + i, false));
		assert_true(model_msr_exits(MSR_PERFEVTSEL0 + i, true));
	}
	guest_leave(g);
	assert_int_equal(msr_guest_write(g->v, MSR_PERFEVTSEL0, EVENT), MSR_OK);
	assert_int_equal(msr_guest_write(g->v, MSR_PERFCTR0, 7), MSR_OK);
	assert_int_equal(msr_guest_read(g->v, MSR_PERFCTR0, &value), MSR_OK);
	assert_int_equal(value, 0);
	assert_int_equal(model_cpu()->counters.select[0], 0);
	assert_int_equal(model_cpu()->counters.counter[0], 0);
}

static void refused(const char *why)
{
	power_on();
	assert_false(pmu_offered());
	assert_non_null(strstr(pmu_offer.text, "not offered: "));
	assert_non_null(strstr(pmu_offer.text, why));
}

static void not_offered(void **state __unused)
{
	modelled_pmu.stuck = true;
	refused("do not count");
	setup(NULL);
	modelled_pmu.never_stops = true;
	refused("do not tell guests from the host");
	/* Emulators: nothing is there, and all accesses succeed, or none does. */
	setup(NULL);
	modelled_pmu.kind = MODEL_PMU_NONE;
	modelled_pmu.general = 0;
	modelled_pmu.core = modelled_pmu.v2 = false;
	modelled.lbr = MODEL_LBR_NONE;
	refused("lacks the registers");
	modelled.lbr = MODEL_LBR_AMD;
	refused("lacks the registers");
}

/* Another CPU has fewer. */
static void cpus_differ(void **state __unused)
{
	power_on();
	assert_true(pmu_offered());
	test_cpu_index = 1;
	modelled_pmu.v2 = false;
	svm_pmu_cpu_on(false);
	assert_false(pmu_offered());
	assert_non_null(strstr(pmu_offer.text, "same counters"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_counts_its_own, setup),
		cmocka_unit_test_setup(no_overflow_survives_reset, setup),
		cmocka_unit_test_setup(what_is_direct, setup),
		cmocka_unit_test_setup(cpu_refuses, setup),
		cmocka_unit_test_setup(guest_without, setup),
		cmocka_unit_test_setup(not_offered, setup),
		cmocka_unit_test_setup(cpus_differ, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
