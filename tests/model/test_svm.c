/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests and the host on modelled CPUs with SVM: whose branches does whom get to see? */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "../unit/panic_mock.h"
#include "../unit/pmu_mock.h"
#include "no_spec_ctrl.h"
#include "pages.h"
#include "svm.h"
#include "../../lib/format.c"
#include "../../arch/x86/guest/msr.c"
#include "../../arch/x86/guest/msr_filter.c"
#include "../../arch/x86/guest/msr_model.c"
#include "../../arch/x86/guest/debugctl.c"
#include "../../arch/x86/svm/lbr.c"
#include "../../arch/x86/svm/maps.c"
#include "../../arch/x86/svm/state.c"

uintptr_t test_memory;

void cpu_model_withhold(enum guest_feature f __unused)
{
}

struct cpu_info cpu_info;

static struct cpuid model_cpuid(uint32_t leaf __unused, uint32_t subleaf __unused)
{
	return (struct cpuid){0};
}

bool cpuid_guest_bit(const struct guest_cpuid *t __unused, uint32_t leaf __unused,
		     unsigned reg __unused, unsigned bit __unused)
{
	return false;
}

static const struct vendor svm = {.load = svm_load};
const struct vendor *vendor = &svm;

enum { GUESTS = 3, ROUNDS = 60000, NOWHERE_CPU = -1 };
#define HOST	 0x7fff00000000ull /* addresses of ours */
#define FIRMWARE 0x7ffe00000000ull

/* A virtual CPU, and what it would read if it had a real one to itself. */
static struct guest {
	struct svm_vcpu s;
	_Alignas(PAGE_SIZE) struct vmcb vmcb;
	struct vm vm;
	int cpu;	   /* where it is, in the guest; NOWHERE_CPU: not running */
	uint64_t own;	   /* first of its addresses; below GUEST_SIZE more */
	uint64_t branches; /* that it made: the offset of the next one */
	uint64_t debugctl, last[4];
} guests[GUESTS];

static struct guest *running[MODEL_CPUS]; /* which guest is on each */

static void enter(struct guest *g)
{
	if (g->s.x.dirty)
		svm_write_back(&g->s);
	model_vmrun(&g->vmcb);
}

/* As svm_exit() begins, and what the host does meanwhile. */
static void leave(struct guest *g)
{
	model_vmexit(&g->vmcb);
	g->s.x.avail = 0;
	g->vmcb.clean = CLEAN_ALL;
	assert_int_equal(model_cpu()->debugctl, 0);
	model_branch(model_cpu(), HOST, HOST + 1);
}

/* The scheduler gives @g the CPU: svm_run(). */
static void schedule(struct guest *g, int cpu)
{
	g->cpu = cpu;
	running[cpu] = g;
	g->vmcb.clean = 0;
	enter(g);
}

static void preempt(struct guest *g)
{
	leave(g);
	if (g->s.x.dirty)
		svm_write_back(&g->s);
	running[g->cpu] = NULL;
	g->cpu = NOWHERE_CPU;
}

static void guest_branch(struct guest *g, bool exception)
{
	uint64_t from = g->own + g->branches, to = from + 1;

	g->branches += 2;
	if (exception)
		model_exception(model_cpu(), from, to);
	else
		model_branch(model_cpu(), from, to);
	if (!(g->debugctl & DEBUGCTL_LBR))
		return;
	if (exception)
		memcpy(&g->last[2], g->last, 2 * sizeof(g->last[0]));
	g->last[0] = from;
	g->last[1] = to;
}

static void guest_reads_record(struct guest *g, unsigned n)
{
	uint32_t index = MSR_LASTBRANCHFROM + n;
	uint64_t value;

	if (model_msr_exits(index, false)) {
		leave(g);
		assert_int_equal(msr_guest_read(&g->s.x, index, &value), MSR_OK);
		enter(g);
	} else {
		/* Direct only while DEBUGCTL is not 0, in its own eyes. */
		assert_int_not_equal(g->debugctl, 0);
		assert_true(model_rdmsr(model_cpu(), index, &value));
	}
	assert_int_equal(value, g->last[n]);
}

static void guest_writes_record(struct guest *g, unsigned n)
{
	assert_true(model_msr_exits(MSR_LASTBRANCHFROM + n, true));
	leave(g);
	assert_int_not_equal(msr_guest_write(&g->s.x, MSR_LASTBRANCHFROM + n, g->own), MSR_OK);
	enter(g);
}

static void guest_reads_debugctl(struct guest *g)
{
	uint64_t value;

	assert_true(model_msr_exits(MSR_DEBUGCTL, false));
	leave(g);
	assert_int_equal(msr_guest_read(&g->s.x, MSR_DEBUGCTL, &value), MSR_OK);
	assert_int_equal(value, g->debugctl);
	enter(g);
}

static void guest_writes_debugctl(struct guest *g, uint64_t value)
{
	bool valid = !(value & ~0x3full);

	assert_true(model_msr_exits(MSR_DEBUGCTL, true));
	leave(g);
	assert_int_equal(msr_guest_write(&g->s.x, MSR_DEBUGCTL, value),
			 valid ? MSR_OK : MSR_INVALID);
	if (valid)
		g->debugctl = value & 3;
	enter(g);
}

/* As on_exception() does for #DB. */
static void guest_debug_exception(struct guest *g)
{
	leave(g);
	x86_load(&g->s.x, X86_DR);
	g->s.x.state.debugctl &= ~(uint64_t)(DEBUGCTL_LBR | DEBUGCTL_BTF);
	x86_dirty(&g->s.x, X86_DR);
	g->debugctl = 0;
	enter(g);
}

/* svm_vcpu_reset(): all of the VMCB, then what lbr.c has to do. */
static void reset(struct guest *g, bool init)
{
	struct svm_lbr kept = svm_lbr_get(&g->s);

	memset(&g->s.x.state, 0, sizeof(g->s.x.state));
	g->s.x.avail = g->s.x.dirty = 0;
	g->vmcb.clean = 0;
	svm_lbr_reset(&g->s, init ? &kept : NULL);
	g->debugctl = 0;
	if (!init)
		memset(g->last, 0, sizeof(g->last));
}

static void guest_step(struct guest *g)
{
	static const uint64_t values[] = {0, 0, 0, 1, 1, 1, 2, 3, 0x3c, 0x3d, 0x40, BIT(63)};

	switch (model_random(12)) {
	case 0 ... 2:
		guest_branch(g, false);
		break;
	case 3:
		guest_branch(g, true);
		break;
	case 4 ... 6:
		guest_reads_record(g, model_random(4));
		break;
	case 7:
		guest_writes_record(g, model_random(4));
		break;
	case 8:
		guest_reads_debugctl(g);
		break;
	case 9:
		guest_writes_debugctl(g, values[model_random(ARRAY_SIZE(values))]);
		break;
	case 10:
		leave(g);
		enter(g);
		break;
	default:
		if (model_random(4) == 0)
			guest_debug_exception(g);
		else
			preempt(g);
	}
}

static void one_step(void)
{
	struct guest *g = &guests[model_random(GUESTS)];

	test_cpu_index = model_random(MODEL_CPUS);
	if (running[test_cpu_index]) {
		guest_step(running[test_cpu_index]);
		return;
	}
	assert_int_equal(model_cpu()->debugctl, 0);
	model_branch(model_cpu(), HOST + 2, HOST + 3);
	if (g->cpu != NOWHERE_CPU)
		return;
	if (model_random(20) == 0)
		reset(g, model_random(2));
	schedule(g, test_cpu_index);
}

/* A machine as Socle finds it, and its guests. */
static void power_on(void)
{
	memset(model_svms, 0, sizeof(model_svms));
	memset(guests, 0, sizeof(guests));
	memset(running, 0, sizeof(running));
	memset(&lbr_offer, 0, sizeof(lbr_offer));
	pages_used = 0;
	model_cpus_new(FIRMWARE);
	msr_init();
	for (test_cpu_index = 0; test_cpu_index < MODEL_CPUS; test_cpu_index++)
		svm_lbr_cpu_on(test_cpu_index == 0);
	test_cpu_index = 0;
	assert_int_equal(svm_maps_init(), 0);
	for (unsigned i = 0; i < GUESTS; i++) {
		struct guest *g = &guests[i];

		g->s.vmcb = &g->vmcb;
		g->s.vmcb_pa = virt_to_phys(&g->vmcb);
		g->s.x.base.vm = &g->vm;
		g->own = (uint64_t)(i + 1) << 40;
		g->cpu = NOWHERE_CPU;
		msr_create(&g->s.x);
		assert_int_equal(svm_msr_maps(&g->s.x), 0);
		reset(g, false);
	}
}

static int setup(void **state __unused)
{
	memset(&modelled, 0, sizeof(modelled));
	modelled.lbr = MODEL_LBR_AMD;
	memset(&cpu_info, 0, sizeof(cpu_info));
	cpu_info.feature[CPU_SVM_LBRV] = true;
	model_seed = 1;
	return 0;
}

/* All of them, in any order: each reads its own records, and nothing else. */
static void each_sees_its_own(void **state __unused)
{
	power_on();
	assert_true(lbr_offered());
	assert_int_equal(memcmp(lbr_offer.text, "offered", 7), 0);
	for (unsigned i = 0; i < ROUNDS; i++)
		one_step();
	for (unsigned i = 0; i < GUESTS; i++)
		assert_true(guests[i].branches > 1000);
}

/* Not offered: DEBUGCTL takes its bits and does nothing, and there are no records. */
static void check_not_offered(const char *why)
{
	uint64_t value;

	power_on();
	assert_false(lbr_offered());
	assert_non_null(strstr(lbr_offer.text, why));
	schedule(&guests[0], 0);
	for (unsigned n = 0; n < 4; n++)
		assert_true(model_msr_exits(MSR_LASTBRANCHFROM + n, false));
	leave(&guests[0]);
	assert_int_equal(msr_guest_write(&guests[0].s.x, MSR_DEBUGCTL, 3), MSR_OK);
	enter(&guests[0]);
	leave(&guests[0]);
	assert_int_equal(guests[0].vmcb.lbr_control, 0);
	assert_int_equal(msr_guest_read(&guests[0].s.x, MSR_DEBUGCTL, &value), MSR_OK);
	assert_int_equal(value, 0);
	assert_int_equal(msr_guest_write(&guests[0].s.x, MSR_DEBUGCTL, 0x40), MSR_INVALID);
	assert_int_equal(msr_guest_read(&guests[0].s.x, MSR_LASTBRANCHFROM, &value),
			 MSR_UNSUPPORTED);
}

static void cpu_without(void **state __unused)
{
	cpu_info.feature[CPU_SVM_LBRV] = false;
	check_not_offered("LBRV");
}

/* Bochs' ryzen: it is advertised, and unknown registers read 0 and take everything. */
static void emulator_without(void **state __unused)
{
	modelled.lbr = MODEL_LBR_NONE;
	check_not_offered("DEBUGCTL");
}

/* S_CET, SSP and the table change hands without a control: the model itself, for cet.c. */
static void cet_is_always_switched(void **state __unused)
{
	struct vmcb *c = &guests[0].vmcb;

	modelled.cet = true;
	power_on();
	model_cpu()->ssp = 0x1000;
	c->ssp = 0x2000;
	model_vmrun(c);
	assert_int_equal(model_cpu()->ssp, 0x2000);
	model_cpu()->ssp = 0x2008;
	model_vmexit(c);
	assert_int_equal(c->ssp, 0x2008);
	assert_int_equal(model_cpu()->ssp, 0x1000);
	/* What is changed behind the CPU's back has no effect while the clean bit is set. */
	c->clean = CLEAN_ALL;
	c->ssp = 0x3000;
	model_vmrun(c);
	assert_int_equal(model_cpu()->ssp, 0x2008);
	model_vmexit(c);
	c->ssp = 0x3000;
	svm_touch(c, CLEAN_CET);
	model_vmrun(c);
	assert_int_equal(model_cpu()->ssp, 0x3000);
	model_vmexit(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_sees_its_own, setup),
		cmocka_unit_test_setup(cpu_without, setup),
		cmocka_unit_test_setup(emulator_without, setup),
		cmocka_unit_test_setup(cet_is_always_switched, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
