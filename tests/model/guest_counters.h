/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests that count on modelled CPUs, whatever the vendor: each against a machine of its own. */
#ifndef TESTS_MODEL_GUEST_COUNTERS_H
#define TESTS_MODEL_GUEST_COUNTERS_H

/*
 * Included behind the model of a vendor, which then defines guest_enter() and guest_leave(), an
 * entry and an exit, and guest_reset(), a reset or INIT.
 */
enum { COUNTING = 3, NO_CPU = -1 };

struct counting {
	struct x86_vcpu *v;
	struct vm vm;
	struct x86_pmu pmu;
	struct model_counters ideal;
	int cpu;	    /* where it is, in the guest; NO_CPU: not running */
	int home;	    /* where its counters may be; NO_CPU: in no CPU */
	unsigned overflows; /* interrupts that it was told of */
	unsigned accesses, instructions;
};
static struct counting counting[COUNTING];
static struct counting *running[MODEL_CPUS];

static void guest_enter(struct counting *g);
static void guest_leave(struct counting *g);
static void guest_reset(struct counting *g, bool init);

static void (*on_overflow)(void); /* bound by pmu.c */

void interrupt_bind(uint8_t vector, void (*handler)(void))
{
	assert_int_equal(vector, HOST_VEC_PMI);
	on_overflow = handler;
}

void apic_open_pmi(void)
{
	model_cpu()->counters.masked = false;
}

void events_pmi(struct x86_vcpu *v __unused)
{
}

void vcpu_request(struct vcpu *vcpu, uint32_t requests)
{
	assert_int_equal(requests, VCPU_REQ_PMI);
	for (unsigned i = 0; i < COUNTING; i++)
		if (&counting[i].v->base == vcpu)
			counting[i].overflows++;
}

/* The host takes interrupts. */
static void model_interrupts(void)
{
	struct model_counters *c = &model_cpu()->counters;

	assert_false(model_cpu()->in_guest);
	if (!c->requested)
		return;
	c->requested = false;
	on_overflow();
}

/* Instructions of the host. */
static void host_works(void)
{
	struct model_counters before = model_cpu()->counters;

	model_instruction(&model_cpu()->counters, false);
	assert_memory_equal(&before, &model_cpu()->counters, sizeof(before));
}

static void leave_for_a_moment(struct counting *g)
{
	guest_leave(g);
	host_works();
	if (model_random(2))
		model_interrupts();
	guest_enter(g);
}

static void same_overflows(struct counting *g)
{
	/* One that is on its way makes an exit before the next instruction. */
	if (model_cpu()->counters.requested) {
		guest_leave(g);
		model_interrupts();
		guest_enter(g);
	}
	assert_int_equal(g->overflows, g->ideal.overflows);
}

static void guest_counts(struct counting *g)
{
	unsigned before;

	same_overflows(g);
	before = g->ideal.overflows;
	g->instructions++;
	model_instruction(&model_cpu()->counters, true);
	model_instruction(&g->ideal, true);
	/* Two that overflow at once are one interrupt. */
	g->ideal.overflows = MIN(g->ideal.overflows, before + 1);
}

static void guest_reads(struct counting *g, uint32_t index)
{
	uint64_t value = 0, ideal = 0;
	bool ok, ideal_ok = false;

	model_counter_read(&g->ideal, index, &ideal, &ideal_ok);
	if (model_msr_exits(index, false)) {
		guest_leave(g);
		host_works();
		ok = msr_guest_read(g->v, index, &value) == MSR_OK;
		guest_enter(g);
	} else {
		ok = model_rdmsr(model_cpu(), index, &value);
	}
	g->accesses++;
	if (ok != ideal_ok || value != ideal)
		fail_msg("%#x reads %#llx (%d), not %#llx (%d)", index, (unsigned long long)value,
			 ok, (unsigned long long)ideal, ideal_ok);
}

static void guest_writes(struct counting *g, uint32_t index, uint64_t value)
{
	bool ok, ideal_ok = false;

	model_counter_write(&g->ideal, index, value, &ideal_ok);
	if (!model_counter(&g->ideal, index) && !model_clears(index) && !model_sets(index))
		ideal_ok = false;
	if (model_msr_exits(index, true)) {
		guest_leave(g);
		host_works();
		ok = msr_guest_write(g->v, index, value) == MSR_OK;
		guest_enter(g);
	} else {
		ok = model_wrmsr(model_cpu(), index, value);
	}
	if (ok != ideal_ok)
		fail_msg("%#x takes %#llx: %d, not %d", index, (unsigned long long)value, ok,
			 ideal_ok);
}

/* Of a guest that was on this CPU. */
static void nothing_is_left(void)
{
	const struct model_counters *c = &model_cpu()->counters;

	for (unsigned n = 0; n < MODEL_GENERAL; n++)
		assert_int_equal(c->select[n] | c->counter[n], 0);
	for (unsigned n = 0; n < MODEL_FIXED; n++)
		assert_int_equal(c->fixed[n], 0);
	assert_int_equal(c->fixed_ctrl | c->global | c->status, 0);
}

/* vendor->release(), on the CPU where it ran. */
static void guest_release(struct counting *g)
{
	unsigned here = test_cpu_index;

	if (g->home == NO_CPU)
		return;
	test_cpu_index = g->home;
	pmu_release(g->v);
	g->home = NO_CPU;
	assert_ptr_not_equal(owners[test_cpu_index], g->v);
	if (!owners[test_cpu_index])
		nothing_is_left();
	test_cpu_index = here;
}

/* Power-on: what it is told of before, it is not after. */
static void guest_power_on(struct counting *g)
{
	guest_release(g);
	pmu_reset(g->v);
	guest_reset(g, false);
	memset(&g->ideal, 0, sizeof(g->ideal));
	g->ideal.ideal = true;
	if (modelled_pmu.v2 || modelled_pmu.kind == MODEL_PMU_INTEL)
		g->ideal.global = MASK(modelled_pmu.general - 1, 0);
	g->overflows = 0;
}

static void guest_schedule(struct counting *g, int cpu)
{
	if (g->home != cpu)
		guest_release(g);
	g->cpu = g->home = cpu;
	running[cpu] = g;
	pmu_switch_to(g->v);
	host_works();
	guest_enter(g);
}

/* An interrupt may be on its way: it is still told of. */
static void guest_preempt(struct counting *g)
{
	guest_leave(g);
	pmu_left(g->v);
	running[g->cpu] = NULL;
	g->cpu = NO_CPU;
	assert_int_equal(g->overflows, g->ideal.overflows);
	if (model_random(2))
		guest_release(g);
}

/* One that may be anything, of @msrs. */
static void guest_step(struct counting *g, const uint32_t *msrs, unsigned count,
		       const uint64_t *values, unsigned values_count)
{
	uint32_t index = msrs[model_random(count)];

	switch (model_random(8)) {
	case 0 ... 2:
		guest_counts(g);
		break;
	case 3:
		guest_reads(g, index);
		break;
	case 4 ... 5:
		guest_writes(g, index, values[model_random(values_count)]);
		break;
	case 6:
		leave_for_a_moment(g);
		break;
	default:
		if (model_random(4) == 0)
			guest_preempt(g);
		else
			same_overflows(g);
	}
}

/* Guests and the host take turns, on all CPUs. */
static void all_take_turns(unsigned rounds, const uint32_t *msrs, unsigned count,
			   const uint64_t *values, unsigned values_count)
{
	for (unsigned i = 0; i < rounds; i++) {
		struct counting *g = &counting[model_random(COUNTING)];

		test_cpu_index = model_random(MODEL_CPUS);
		if (running[test_cpu_index]) {
			guest_step(running[test_cpu_index], msrs, count, values, values_count);
			continue;
		}
		host_works();
		model_interrupts();
		if (g->cpu != NO_CPU)
			continue;
		if (model_random(20) == 0)
			guest_power_on(g);
		else if (model_random(20) == 0)
			guest_reset(g, true);
		guest_schedule(g, test_cpu_index);
	}
	for (unsigned i = 0; i < COUNTING; i++)
		assert_true(counting[i].accesses > 500 && counting[i].instructions > 1000);
}

/* An overflow that raised its interrupt before the reset is not told of after it. */
static void reset_forgets(uint32_t select, uint32_t counter, uint64_t event)
{
	struct counting *g = &counting[0];

	test_cpu_index = 0;
	guest_schedule(g, 0);
	guest_writes(g, counter, COUNTER_MASK);
	guest_writes(g, select, event);
	guest_counts(g);
	assert_true(model_cpu()->counters.requested);
	guest_leave(g);
	running[0] = NULL;
	g->cpu = NO_CPU;
	guest_power_on(g);
	model_interrupts();
	assert_int_equal(g->overflows, 0);
	guest_schedule(g, 0);
	for (unsigned i = 0; i < 10; i++)
		guest_counts(g);
	same_overflows(g);
	assert_int_equal(g->overflows, 0);
	guest_reads(g, select);
	guest_reads(g, counter);
}

#endif
