/* SPDX-License-Identifier: BSD-2-Clause */
/* Performance counters of guests on modelled Intel CPUs: whose instructions count for whom? */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "../unit/panic_mock.h"
#include "no_spec_ctrl.h"
#include "vmx.h"
#include "pmu_room.h"
#include "../../arch/x86/guest/debugctl.c"
#include "../../arch/x86/vmx/pmu.c"
#include "../../arch/x86/vmx/maps.c"
#include "guest_counters.h"

struct vmx_caps vmx_caps;

static uint64_t debugctl; /* of the vCPU that is told of an overflow */

static void load(struct x86_vcpu *v, uint32_t groups __unused)
{
	v->state.debugctl = debugctl;
}

static const struct vendor vmx = {.load = load};
const struct vendor *vendor = &vmx;

/* No features of AMD's. */
static const struct guest_cpuid no_features;

bool vmx_lbr_direct(uint32_t index __unused)
{
	return false;
}

void vmx_apicv_msrs(void (*allow_one)(uint32_t index, bool read, bool write, void *map) __unused,
		    void *map __unused)
{
}

static struct cpuid leaf_a;

static struct cpuid model_cpuid(uint32_t leaf, uint32_t subleaf __unused)
{
	return leaf == 0 ? (struct cpuid){.eax = 0x1c} : leaf == 0xa ? leaf_a : (struct cpuid){0};
}

static struct room {
	struct vmx_vcpu s;
	struct model_vmcs vmcs;
} rooms[COUNTING];

static struct room *room_of(const struct counting *g)
{
	return &rooms[g - counting];
}

static void guest_enter(struct counting *g)
{
	model_current[test_cpu_index] = &room_of(g)->vmcs;
	assert_true(model_vmenter());
}

static void guest_leave(struct counting *g __unused)
{
	model_vmexit();
}

static void guest_reset(struct counting *g, bool init)
{
	model_current[test_cpu_index] = &room_of(g)->vmcs;
	vmx_pmu_reset(&room_of(g)->s, init);
}

static uint64_t entries, exits; /* what the controls can be, as in the upper halves of the MSRs */

static void power_on(void)
{
	memset(&pmu_offer, 0, sizeof(pmu_offer));
	memset(&perfmon, 0, sizeof(perfmon));
	memset(owners, 0, sizeof(owners));
	memset(rooms, 0, sizeof(rooms));
	memset(counting, 0, sizeof(counting));
	memset(running, 0, sizeof(running));
	memset(model_current, 0, sizeof(model_current));
	pages_used = 0;
	model_cpus_new(0);
	/* The firmware counts something. */
	for (unsigned i = 0; i < MODEL_CPUS; i++) {
		struct model_counters *c = &model_cpus[i].counters;

		c->select[1] = SELECT_EN | 0xc0;
		c->fixed_ctrl = 3;
		c->global = model_counter_bits();
		model_cpus[i].debugctl = 0;
	}
	msr_init();
	vmx_caps.pmu_exit = vmx_pmu_exit_controls(entries, exits);
	for (test_cpu_index = 0; test_cpu_index < MODEL_CPUS; test_cpu_index++)
		vmx_pmu_cpu_on(test_cpu_index == 0);
	test_cpu_index = 0;
	if (!pmu_offered())
		return;
	for (test_cpu_index = 0; test_cpu_index < MODEL_CPUS; test_cpu_index++)
		nothing_is_left();
	test_cpu_index = 0;
	for (unsigned i = 0; i < COUNTING; i++) {
		struct counting *g = &counting[i];

		g->v = &rooms[i].s.x;
		g->v->base.vm = &g->vm;
		g->v->pmu = &g->pmu;
		g->v->cpuid = &no_features;
		g->cpu = g->home = NO_CPU;
		model_current[0] = &rooms[i].vmcs;
		msr_create(g->v);
		assert_int_equal(vmx_msr_maps(&rooms[i].s.x), 0);
		vmx_use_msr_bitmap(&rooms[i].s);
		vmwrite(VMCS_ENTRY_CONTROLS, vmx_pmu_entry_control(g->v));
		vmwrite(VMCS_EXIT_CONTROLS, vmx_pmu_exit_control(g->v));
		/* Left from before: a reset writes it. */
		vmwrite(VMCS_HOST_PERF_GLOBAL_CTRL, 1);
		guest_power_on(g);
	}
}

/* Sapphire Rapids, about. */
static int setup(void **state __unused)
{
	memset(&modelled, 0, sizeof(modelled));
	modelled.lbr = MODEL_LBR_AMD;
	modelled.capabilities = CAP_FULL_WIDTH | 6;
	memset(&cpu_info, 0, sizeof(cpu_info));
	cpu_info.feature[CPU_PDCM] = true;
	memset(&lbr_offer, 0, sizeof(lbr_offer));
	memset(&modelled_pmu, 0, sizeof(modelled_pmu));
	modelled_pmu.kind = MODEL_PMU_INTEL;
	modelled_pmu.general = 8;
	modelled_pmu.fixed = 4;
	modelled_pmu.version = 5;
	modelled_pmu.full_width = true;
	leaf_a = (struct cpuid){.eax = 0x07300805, .ecx = 0xf, .edx = 0x8604};
	entries = exits = UINT64_MAX;
	model_seed = 1;
	return 0;
}

enum { ROUNDS = 60000 };
#define EVENT (SELECT_EN | BIT(16) | BIT(17) | 0xc0)

static const uint64_t values[] = {
	0, 0, EVENT, EVENT, EVENT, EVENT | SELECT_INT, EVENT | SELECT_INT,
	EVENT | SELECT_ANYTHREAD, 0x333, 0xbbb, 0x400, COUNTER_MASK, COUNTER_MASK - 1,
	COUNTER_MASK - 4, 0xff, 0xff | MASK(34, 32), 3 | BIT(33), UINT64_MAX, 0x80000001,
};
static const uint32_t msrs[] = {
	MSR_P6_EVNTSEL0, MSR_P6_EVNTSEL0 + 3, MSR_P6_EVNTSEL0 + 7, MSR_P6_PERFCTR0,
	MSR_P6_PERFCTR0 + 3, MSR_PMC0, MSR_PMC0 + 3, MSR_PMC0 + 7, MSR_FIXED_CTR0,
	MSR_FIXED_CTR0 + 1, MSR_FIXED_CTR0 + 3, MSR_FIXED_CTR_CTRL, MSR_FIXED_CTR_CTRL,
	MSR_PERF_GLOBAL_CTRL, MSR_PERF_GLOBAL_CTRL, MSR_PERF_GLOBAL_STATUS,
	MSR_PERF_GLOBAL_RESET, MSR_PERF_GLOBAL_SET,
};

static void try_all(const char *text)
{
	power_on();
	assert_string_equal(pmu_offer.text, text);
	all_take_turns(ROUNDS, msrs, ARRAY_SIZE(msrs), values, ARRAY_SIZE(values));
}

static void skylake(void)
{
	modelled_pmu.version = 4;
	modelled_pmu.general = 4;
	modelled_pmu.fixed = 3;
	modelled_pmu.any = true;
	leaf_a = (struct cpuid){.eax = 0x07300404, .edx = 0x603};
	exits = ~(uint64_t)EXITCTL_SAVE_PERF_GLOBAL << 32;
}

/* Overflows cannot be set. */
static void haswell(void)
{
	skylake();
	modelled_pmu.version = 3;
	leaf_a.eax = 0x07300403;
}

static void each_counts_its_own(void **state __unused)
{
	try_all("offered: version 5, 8 and 4 fixed");
	skylake();
	try_all("offered: version 4, 4 and 3 fixed");
	haswell();
	try_all("offered: version 3, 4 and 3 fixed");
}

static void no_overflow_survives_reset(void **state __unused)
{
	power_on();
	reset_forgets(MSR_P6_EVNTSEL0, MSR_PMC0, EVENT | SELECT_INT);
	haswell();
	power_on();
	reset_forgets(MSR_P6_EVNTSEL0, MSR_PMC0, EVENT | SELECT_INT);
}

static void check_exits(uint32_t index, bool reads, bool writes)
{
	if (model_msr_exits(index, false) != reads || model_msr_exits(index, true) != writes)
		fail_msg("%#x: exits %d %d", index, model_msr_exits(index, false),
			 model_msr_exits(index, true));
}

static void what_is_direct(void **state __unused)
{
	power_on();
	guest_schedule(&counting[0], 0);
	check_exits(MSR_P6_EVNTSEL0, false, false);
	check_exits(MSR_P6_EVNTSEL0 + 7, false, false);
	check_exits(MSR_PMC0 + 7, false, false);
	check_exits(MSR_FIXED_CTR_CTRL, false, false);
	check_exits(MSR_PERF_GLOBAL_CTRL, false, false);
	check_exits(MSR_PERF_GLOBAL_STATUS, false, true);
	check_exits(MSR_PERF_GLOBAL_RESET, false, false);
	check_exits(MSR_PERF_GLOBAL_SET, false, false);
	check_exits(MSR_PERF_GLOBAL_INUSE, false, true);
	check_exits(MSR_FIXED_CTR0 + 4, true, true);
	check_exits(MSR_PERF_METRICS, true, true);
	check_exits(0x3f1, true, true); /* PEBS_ENABLE */
	check_exits(MSR_PERFEVTSEL0, true, true);
	haswell();
	power_on();
	guest_schedule(&counting[0], 0);
	check_exits(MSR_P6_EVNTSEL0, false, true);
	check_exits(MSR_P6_EVNTSEL0 + 4, true, true);
	check_exits(MSR_PMC0 + 3, false, false);
	check_exits(MSR_FIXED_CTR_CTRL, false, true);
	check_exits(MSR_PERF_GLOBAL_CTRL, false, true);
	check_exits(MSR_PERF_GLOBAL_STATUS, true, true);
	check_exits(MSR_PERF_GLOBAL_RESET, true, true);
	check_exits(MSR_PERF_GLOBAL_SET, true, true);
}

/* What CPUID and PERF_CAPABILITIES tell: never more than there is. */
static void what_is_told(void **state __unused)
{
	uint64_t value;

	power_on();
	assert_int_equal(msr_guest_read(counting[0].v, MSR_PERF_CAPABILITIES, &value), MSR_OK);
	assert_int_equal(value, CAP_FULL_WIDTH);
	assert_int_equal(pmu_offer.intel.eax, 0x07300805);
	assert_int_equal(pmu_offer.intel.ecx, 0xf);
	assert_int_equal(pmu_offer.intel.edx, 0x8604);
	/* A later CPU has more of all. */
	leaf_a = (struct cpuid){.eax = 0x07300a06, .ebx = 0xc, .ecx = 0xff, .edx = 0x8607};
	power_on();
	assert_int_equal(pmu_offer.intel.eax, 0x07300805);
	assert_int_equal(pmu_offer.intel.ebx, 0xc);
	assert_int_equal(pmu_offer.intel.ecx, 0xf);
	assert_int_equal(pmu_offer.intel.edx, 0x8604);
	/* Fixed counters are told by a bitmap, not all of them by a number. */
	modelled_pmu.fixed = 3;
	leaf_a = (struct cpuid){.eax = 0x07300805, .ecx = 0x7, .edx = 0x8602};
	power_on();
	assert_string_equal(pmu_offer.text, "offered: version 5, 8 and 3 fixed");
	assert_int_equal(pmu_offer.intel.ecx, 7);
	assert_int_equal(pmu_offer.intel.edx, 0x8602);
	/* Without counters: nothing. */
	counting[1].v->pmu = NULL;
	msr_create(counting[1].v);
	assert_int_equal(msr_guest_read(counting[1].v, MSR_PERF_CAPABILITIES, &value),
			 MSR_UNSUPPORTED);
	assert_int_equal(msr_guest_read(counting[1].v, MSR_PMC0, &value), MSR_UNSUPPORTED);
	assert_int_equal(msr_guest_read(counting[1].v, MSR_P6_PERFCTR0, &value), MSR_OK);
	assert_int_equal(msr_guest_write(counting[1].v, MSR_P6_EVNTSEL0, EVENT), MSR_OK);
	assert_int_equal(msr_guest_write(counting[1].v, MSR_PERF_GLOBAL_CTRL, 1), MSR_UNSUPPORTED);
	assert_int_equal(model_cpu()->counters.select[0], 0);
	assert_int_equal(vmx_pmu_entry_control(counting[1].v), 0);
	assert_int_equal(vmx_pmu_exit_control(counting[1].v), 0);
}

static void refused(const char *why)
{
	power_on();
	assert_false(pmu_offered());
	assert_non_null(strstr(pmu_offer.text, "not offered: "));
	assert_non_null(strstr(pmu_offer.text, why));
	setup(NULL);
}

static void not_offered(void **state __unused)
{
	leaf_a = (struct cpuid){0};
	refused("architectural ones of version 2");
	leaf_a.eax = 0x07300801;
	refused("architectural ones of version 2");
	entries = ~(uint64_t)ENTRYCTL_LOAD_PERF_GLOBAL << 32;
	refused("VMX cannot switch");
	exits = ~(uint64_t)EXITCTL_LOAD_PERF_GLOBAL << 32;
	refused("VMX cannot switch");
	modelled.capabilities = 5;
	refused("full width");
	leaf_a.ebx = 2;
	refused("do not count instructions");
	modelled_pmu.stuck = true;
	refused("do not count");
	modelled_pmu.never_stops = true;
	refused("cannot be stopped");
	modelled_pmu.full_width = false;
	refused("lacks the registers");
	/* Emulators: nothing is there, and all accesses succeed, or none does. */
	modelled_pmu.kind = MODEL_PMU_NONE;
	modelled_pmu.version = modelled_pmu.fixed = 0;
	refused("lacks the registers");
	modelled_pmu.kind = MODEL_PMU_NONE;
	modelled_pmu.version = modelled_pmu.fixed = 0;
	modelled.lbr = MODEL_LBR_NONE;
	refused("lacks the registers");
}

/* Cores of different kinds in one machine. */
static void cpus_differ(void **state __unused)
{
	power_on();
	assert_true(pmu_offered());
	test_cpu_index = 1;
	leaf_a.edx = 0x8603;
	vmx_pmu_cpu_on(false);
	assert_false(pmu_offered());
	assert_non_null(strstr(pmu_offer.text, "same counters"));
}

/* Versions 2 and 3: an overflow ends the recording of branches, if the guest wants it to. */
static void branches_freeze(void **state __unused)
{
	struct x86_vcpu *v;

	haswell();
	power_on();
	v = counting[0].v;
	debugctl = DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI;
	pmu_deliver(v);
	assert_int_equal(v->state.debugctl, DEBUGCTL_FREEZE_LBRS_ON_PMI);
	assert_int_equal(v->dirty, X86_DR);
	v->avail = v->dirty = 0;
	debugctl = DEBUGCTL_LBR;
	pmu_deliver(v);
	assert_int_equal(v->state.debugctl, DEBUGCTL_LBR);
	assert_int_equal(v->dirty, 0);
	setup(NULL);
	power_on();
	v = counting[0].v;
	debugctl = DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI;
	pmu_deliver(v);
	assert_int_equal(v->dirty, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_counts_its_own, setup),
		cmocka_unit_test_setup(no_overflow_survives_reset, setup),
		cmocka_unit_test_setup(what_is_direct, setup),
		cmocka_unit_test_setup(what_is_told, setup),
		cmocka_unit_test_setup(not_offered, setup),
		cmocka_unit_test_setup(cpus_differ, setup),
		cmocka_unit_test_setup(branches_freeze, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
