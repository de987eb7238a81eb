/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests with and without shadow stacks take turns: the part that both vendors' tests share. */
#ifndef TESTS_MODEL_CET_H
#define TESTS_MODEL_CET_H

#include "no_spec_ctrl.h"
#include "context_room.h"
#include "../../arch/x86/guest/cet.c"

/* The features that matter here, by the bits that rows of the MSR table name. */
bool cpuid_guest_bit(const struct guest_cpuid *t, uint32_t leaf, unsigned reg, unsigned bit)
{
	if (leaf == 7 && reg == REG_ECX && bit == 7)
		return cpuid_guest_has(t, GUEST_shstk);
	return leaf == 7 && reg == REG_EDX && bit == 20 && cpuid_guest_has(t, GUEST_ibt);
}

enum { GUESTS = 4, ROUNDS = 60000, NO_CPU = -1 };
#define FIRMWARE 0x7ffe00000000ull

/* A virtual CPU, and a real one that it would have to itself. */
struct guest {
	struct room_vcpu room; /* the vendor's, in the test */
	struct vm vm;
	struct guest_cpuid cpuid;
	struct model_cpu ideal;
	int cpu;  /* where it is, in the guest; NO_CPU: not running */
	int home; /* whose registers may hold its own; NO_CPU: none's */
	uint64_t own, next;
};
static struct guest guests[GUESTS];
static struct guest *running[MODEL_CPUS];

/* For the test to define: an entry and an exit on this CPU, and what else belongs to coming. */
static void room_enter(struct guest *g);
static void room_leave(struct guest *g);
static void room_reset(struct guest *g, bool init);
static void room_release(struct guest *g);
static struct x86_vcpu *room_x86(struct guest *g);

static bool has_cet(const struct guest *g)
{
	return cpuid_guest_has(&g->cpuid, GUEST_shstk);
}

/* Those that no entry switches. */
static const uint32_t unswitched[] = {MSR_U_CET, MSR_PL0_SSP, MSR_PL0_SSP + 1, MSR_PL0_SSP + 2,
				      MSR_PL0_SSP + 3};

/* In the guest: the CPU holds what it put there, or nothing if it has no such registers. */
static void check_in_guest(struct guest *g)
{
	struct model_cpu *c = model_cpu();

	assert_int_equal(c->s_cet, g->ideal.s_cet);
	assert_int_equal(c->ssp, g->ideal.ssp);
	assert_int_equal(c->isst, g->ideal.isst);
	for (unsigned i = 0; i < ARRAY_SIZE(unswitched); i++)
		assert_int_equal(*model_other(c, unswitched[i]),
				 *model_other(&g->ideal, unswitched[i]));
}

/* We run without: what a guest's shadow stack was must not be ours. */
static void check_in_host(void)
{
	assert_int_equal(model_cpu()->s_cet, 0);
	assert_int_equal(model_cpu()->ssp, 0);
	assert_int_equal(model_cpu()->isst, 0);
}

static void enter(struct guest *g)
{
	check_in_host();
	room_enter(g);
	check_in_guest(g);
}

static void leave(struct guest *g)
{
	room_leave(g);
	check_in_host();
}

static void release(struct guest *g)
{
	unsigned here = test_cpu_index;

	if (g->home == NO_CPU)
		return;
	test_cpu_index = g->home;
	context_release(room_x86(g));
	room_release(g);
	g->home = NO_CPU;
	test_cpu_index = here;
}

static void forget(struct guest *g)
{
	g->ideal.s_cet = g->ideal.ssp = g->ideal.isst = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(unswitched); i++)
		*model_other(&g->ideal, unswitched[i]) = 0;
}

/* As guests.c and vcpu.c do it: at power-on, in no CPU; at an INIT, perhaps with all in the CPU. */
static void reset(struct guest *g, bool init)
{
	if (init) {
		context_init(room_x86(g));
	} else {
		release(g);
		context_reset(room_x86(g));
	}
	room_reset(g, init);
	forget(g);
}

static void schedule(struct guest *g, int cpu)
{
	if (g->home != cpu)
		release(g);
	if (model_random(10) == 0)
		reset(g, g->home == cpu && model_random(2));
	g->cpu = g->home = cpu;
	running[cpu] = g;
	context_load(room_x86(g));
	enter(g);
}

static void preempt(struct guest *g)
{
	leave(g);
	running[g->cpu] = NULL;
	g->cpu = NO_CPU;
	if (model_random(4) == 0)
		release(g);
}

/* A register of its own: direct, but for the table's, or not there. */
static void guest_uses_msr(struct guest *g)
{
	static const uint32_t all[] = {MSR_U_CET,	MSR_S_CET,	 MSR_PL0_SSP,
				       MSR_PL0_SSP + 1, MSR_PL0_SSP + 2, MSR_PL0_SSP + 3,
				       MSR_INT_SSP_TAB};
	uint32_t index = all[model_random(ARRAY_SIZE(all))];
	uint64_t value = g->own + 8 * g->next++, read, ideal;
	bool exits = model_msr_exits(index, true);

	assert_int_equal(exits, model_msr_exits(index, false));
	assert_int_equal(exits, !has_cet(g) || index == MSR_INT_SSP_TAB);
	if (exits) {
		leave(g);
		assert_int_equal(msr_guest_read(room_x86(g), index, &read),
				 has_cet(g) ? MSR_OK : MSR_UNSUPPORTED);
		assert_int_equal(msr_guest_write(room_x86(g), index, value),
				 has_cet(g) ? MSR_OK : MSR_UNSUPPORTED);
	} else {
		assert_true(model_rdmsr(model_cpu(), index, &read));
		assert_true(model_wrmsr(model_cpu(), index, value));
	}
	if (has_cet(g)) {
		assert_true(model_rdmsr(&g->ideal, index, &ideal));
		assert_true(model_wrmsr(&g->ideal, index, value));
		assert_int_equal(read, ideal);
	}
	if (exits)
		enter(g);
	check_in_guest(g);
}

static void guest_calls(struct guest *g)
{
	if (has_cet(g))
		g->ideal.ssp = model_cpu()->ssp = g->own + 8 * g->next++;
}

static void one_step(void)
{
	struct guest *g = &guests[model_random(GUESTS)];

	test_cpu_index = model_random(MODEL_CPUS);
	if (!running[test_cpu_index]) {
		if (g->cpu == NO_CPU)
			schedule(g, test_cpu_index);
		return;
	}
	g = running[test_cpu_index];
	switch (model_random(8)) {
	case 0 ... 3:
		guest_uses_msr(g);
		break;
	case 4:
		guest_calls(g);
		break;
	case 5 ... 6:
		leave(g);
		enter(g);
		break;
	default:
		preempt(g);
	}
}

/* Two guests with, two without; what the firmware had is in the CPUs. */
static void power_on_common(void)
{
	memset(guests, 0, sizeof(guests));
	memset(running, 0, sizeof(running));
	memset(holders, 0, sizeof(holders));
	memset(held, 0, sizeof(held));
	pages_used = 0;
	modelled.cet = true;
	cpu_info.linear_bits = 48;
	cpu_info.feature[CPU_SHSTK] = cet_caps.shadow_stacks = true;
	model_cpus_new(FIRMWARE);
	for (unsigned i = 0; i < ARRAY_SIZE(unswitched); i++)
		model_has(unswitched[i], FIRMWARE);
	for (test_cpu_index = 0; test_cpu_index < MODEL_CPUS; test_cpu_index++) {
		model_cpu()->s_cet = model_cpu()->isst = FIRMWARE;
		context_cpu_on();
	}
	test_cpu_index = 0;
	msr_init();
}

static void guest_create(struct guest *g, unsigned i)
{
	struct x86_vcpu *v = room_x86(g);

	if (i % 2 == 0)
		g->cpuid.model.feature[GUEST_shstk / 64] |= BIT(GUEST_shstk % 64);
	v->base.vm = &g->vm;
	v->cpuid = &g->cpuid;
	g->own = (uint64_t)(i + 1) << 40;
	g->cpu = g->home = NO_CPU;
	g->ideal.others = 0;
	for (unsigned k = 0; k < ARRAY_SIZE(unswitched); k++)
		g->ideal.other[g->ideal.others++].index = unswitched[k];
	msr_create(v);
	assert_int_equal(context_create(v), 0);
}

static void play(void)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		one_step();
	for (unsigned i = 0; i < GUESTS; i++)
		assert_true(guests[i].next > 1000);
}

#endif
