/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests with and without SPEC_CTRL and protection keys take turns: for both vendors' tests. */
#ifndef TESTS_MODEL_SPEC_CTRL_H
#define TESTS_MODEL_SPEC_CTRL_H

#define verw(selector) ((void)(selector))

#include "context_room.h"
#include "../../lib/format.c"
#include "../../arch/x86/cpu/mitigations.c"
#include "../../arch/x86/guest/pks.c"
#include "../../arch/x86/guest/spec_ctrl.c"

struct cet_caps cet_caps;

/* The features that matter here, by the bits that rows of the MSR table name. */
bool cpuid_guest_bit(const struct guest_cpuid *t, uint32_t leaf, unsigned reg, unsigned bit)
{
	return leaf == 7 && ((reg == REG_EDX && bit == 26 && cpuid_guest_has(t, GUEST_spec_ctrl)) ||
			     (reg == REG_ECX && bit == 31 && cpuid_guest_has(t, GUEST_pks)));
}

void cet_cpu_on(void)
{
}

void cet_save(struct x86_vcpu *v __unused)
{
}

void cet_restore(const struct x86_vcpu *v __unused)
{
}

void cet_reset(struct x86_vcpu *v __unused)
{
}

void cet_init(struct x86_vcpu *v __unused, bool here __unused)
{
}

enum { GUESTS = 5, ROUNDS = 60000, NO_CPU = -1, NOBODY = -1 };
enum { TAKES = SPEC_CTRL_IBRS | SPEC_CTRL_STIBP | SPEC_CTRL_SSBD };

/* A virtual CPU, and what it would find if it had a real one to itself. */
struct guest {
	struct room_vcpu room; /* the vendor's, in the test */
	struct vm vm;
	struct guest_cpuid cpuid;
	uint64_t valid; /* bits of SPEC_CTRL that it has */
	uint64_t value; /* SPEC_CTRL */
	uint64_t pkrs;
	bool other;		/* it had another value than ours can stand for, since its reset */
	int cpu;		/* where it is, in the guest; NO_CPU: not running */
	int home;		/* whose registers may hold its own; NO_CPU: none's */
	unsigned turns, direct; /* how often it ran, and used SPEC_CTRL without an exit */
};
static struct guest guests[GUESTS];
static struct guest *running[MODEL_CPUS];
static int last_vm[MODEL_CPUS];

/* For the test to define: an entry; an exit, where @work is done, after which it runs on. */
static void room_enter(struct guest *g);
static void room_exit(struct guest *g, void (*work)(struct guest *g), bool leave);
static void room_reset(struct guest *g, bool init);
static void room_release(struct guest *g);
static struct x86_vcpu *room_x86(struct guest *g);

static void check_in_guest(const struct guest *g)
{
	struct model_cpu *c = model_cpu();
	uint64_t in_force = c->spec_ctrl | c->spec_under;

	assert_true(c->in_guest);
	/* At least what it wants, and else only what is ours. */
	assert_int_equal(in_force & g->value, g->value);
	assert_int_equal(in_force & ~(g->value | mitigations.spec_ctrl), 0);
	if (cpuid_guest_has(&g->cpuid, GUEST_pks))
		assert_int_equal(*model_other(c, MSR_PKRS), g->pkrs);
}

static void check_in_host(void)
{
	assert_false(model_cpu()->in_guest);
	assert_int_equal(model_cpu()->spec_ctrl, mitigations.spec_ctrl);
}

static void nothing(struct guest *g __unused)
{
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

/* An INIT keeps all of it. */
static void reset(struct guest *g, bool init)
{
	if (init) {
		context_init(room_x86(g));
	} else {
		release(g);
		context_reset(room_x86(g));
		g->value = g->pkrs = 0;
	}
	room_reset(g, init);
	g->other = g->value & ~mitigations.spec_ctrl;
}

static void schedule(struct guest *g, int cpu)
{
	unsigned barriers = model_cpu()->barriers;

	if (g->home != cpu)
		release(g);
	if (model_random(10) == 0)
		reset(g, model_random(2));
	g->cpu = g->home = cpu;
	running[cpu] = g;
	g->turns++;
	context_load(room_x86(g));
	/* Between guests of different VMs, and at no other time. */
	assert_int_equal(model_cpu()->barriers - barriers, last_vm[cpu] != (int)g->vm.id);
	last_vm[cpu] = (int)g->vm.id;
	check_in_host();
	room_enter(g);
	check_in_guest(g);
}

static void preempt(struct guest *g)
{
	room_exit(g, nothing, true);
	check_in_host();
	running[g->cpu] = NULL;
	g->cpu = NO_CPU;
	if (model_random(4) == 0)
		release(g);
}

static uint64_t wanted; /* what the guest writes next */

static void write_by_exit(struct guest *g)
{
	bool valid = g->valid && !(wanted & ~g->valid);
	enum msr_result result = msr_guest_write(room_x86(g), MSR_SPEC_CTRL, wanted);

	assert_int_equal(result, valid ? MSR_OK : g->valid ? MSR_INVALID : MSR_UNSUPPORTED);
	if (valid)
		g->value = wanted;
}

static void read_by_exit(struct guest *g)
{
	uint64_t value = 0;

	assert_int_equal(msr_guest_read(room_x86(g), MSR_SPEC_CTRL, &value),
			 g->valid ? MSR_OK : MSR_UNSUPPORTED);
	assert_int_equal(value, g->value);
}

static void guest_uses_spec_ctrl(struct guest *g)
{
	bool exits = model_msr_exits(MSR_SPEC_CTRL, true);
	uint64_t value;

	assert_int_equal(exits, model_msr_exits(MSR_SPEC_CTRL, false));
	/* Never where CPUID lacks something of it; else at least from its first value of its own.
	 */
	assert_true(exits || g->valid == TAKES);
	assert_true(!exits || g->valid != TAKES || !g->other);
	wanted = model_random(9); /* one that nobody has, too */
	if (exits) {
		room_exit(g, read_by_exit, false);
		room_exit(g, write_by_exit, false);
	} else {
		assert_true(model_rdmsr(model_cpu(), MSR_SPEC_CTRL, &value));
		assert_int_equal(value, g->value);
		if (model_wrmsr(model_cpu(), MSR_SPEC_CTRL, wanted))
			g->value = wanted;
		g->direct++;
	}
	g->other |= g->value & ~mitigations.spec_ctrl;
	check_in_guest(g);
}

static void guest_uses_pkrs(struct guest *g)
{
	bool exits = model_msr_exits(MSR_PKRS, true);

	assert_int_equal(exits, !cpuid_guest_has(&g->cpuid, GUEST_pks));
	if (exits)
		return;
	g->pkrs = model_random(UINT32_MAX);
	assert_true(model_wrmsr(model_cpu(), MSR_PKRS, g->pkrs));
	check_in_guest(g);
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
	case 0 ... 1:
		guest_uses_spec_ctrl(g);
		break;
	case 2:
		guest_uses_pkrs(g);
		break;
	case 3 ... 5:
		room_exit(g, nothing, false);
		check_in_guest(g);
		break;
	default:
		preempt(g);
	}
}

/* CPUs with eIBRS, or without, as the firmware left them. */
static void power_on_common(bool eibrs)
{
	memset(guests, 0, sizeof(guests));
	memset(running, 0, sizeof(running));
	memset(holders, 0, sizeof(holders));
	pages_used = 0;
	modelled.spec_ctrl = TAKES;
	cpu_info.feature[CPU_SPEC_CTRL] = cpu_info.feature[CPU_ARCH_CAPABILITIES] = true;
	model_cpus_new(0);
	model_has(MSR_PKRS, 0x55);
	model_has(MSR_ARCH_CAPABILITIES, eibrs ? ARCH_CAP_IBRS_ALL : 0);
	for (test_cpu_index = 0; test_cpu_index < MODEL_CPUS; test_cpu_index++) {
		model_cpu()->spec_ctrl = SPEC_CTRL_SSBD;
		last_vm[test_cpu_index] = NOBODY;
		context_cpu_on();
		mitigations_cpu_on();
		check_in_host();
	}
	test_cpu_index = 0;
	assert_int_equal(mitigations.spec_ctrl_takes, TAKES);
	assert_int_equal(mitigations.spec_ctrl, eibrs ? SPEC_CTRL_IBRS : 0);
	msr_init();
}

static void give(struct guest *g, enum guest_feature f)
{
	g->cpuid.model.feature[f / 64] |= BIT(f % 64);
}

/* Two of one VM and one of another with all of it, one without SSBD, one with nothing. */
static void guest_create(struct guest *g, unsigned i)
{
	struct x86_vcpu *v = room_x86(g);

	if (i < 4) {
		give(g, GUEST_spec_ctrl);
		give(g, GUEST_intel_stibp);
		g->valid = SPEC_CTRL_IBRS | SPEC_CTRL_STIBP;
	}
	if (i < 3) {
		give(g, GUEST_spec_ctrl_ssbd);
		give(g, GUEST_pks);
		g->valid = TAKES;
	}
	g->vm.id = i / 2;
	v->base.vm = &g->vm;
	v->cpuid = &g->cpuid;
	g->cpu = g->home = NO_CPU;
	msr_create(v);
	assert_int_equal(context_create(v), 0);
}

static void play(void)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		one_step();
	for (unsigned i = 0; i < GUESTS; i++) {
		assert_true(guests[i].turns > 500);
		assert_int_equal(guests[i].direct > 100, i < 3);
	}
}

#endif
