/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: the scheduler turn by turn, in one thread, whose time passes while guests work. */
#ifndef TESTS_UNIT_SCHED_STEPS_H
#define TESTS_UNIT_SCHED_STEPS_H

#include "sched_mock.h"

#define FOR_EVER UINT64_MAX
#define LONGEST	 (20 * NS_PER_MS) /* no turn is longer */

static uint64_t now; /* ns since boot */
static unsigned sleeps, scrubs;
static void (*asleep)(void);		       /* what happens then */
static void (*meanwhile)(struct mock_vcpu *v); /* what happens once while a vCPU runs */
static struct mock_vcpu *last_ran;	       /* NULL: nobody, in the last turn */
static uint64_t last_ns;		       /* for how long */

uint64_t time_now(void)
{
	return now;
}

static bool interrupt_window(void)
{
	if (cleaned) {
		scrubs++;
	} else {
		sleeps++;
		assert_true(sched_idle & BIT(cpu_index()));
		now += 1000;
		if (asleep)
			asleep();
	}
	take_interrupts();
	return false;
}

/* Works until it is done or interrupted. */
static enum vcpu_leave works(struct mock_vcpu *v)
{
	uint64_t start = now, step;

	last_ran = v;
	v->base.requests &= ~(uint32_t)VCPU_REQ_LEAVE;
	for (;;) {
		struct timer *slice = &this_sched()->slice;
		uint32_t requests;

		take_interrupts();
		requests = __atomic_exchange_n(&v->base.requests, 0, __ATOMIC_SEQ_CST);
		v->served |= requests;
		last_ns = now - start;
		if (requests & VCPU_REQ_LEAVE || last_ns >= LONGEST)
			return VCPU_LEAVE_REQUESTED;
		if (!v->work && !meanwhile)
			return VCPU_LEAVE_HALTED;
		step = MIN(v->work, (uint64_t)NS_PER_MS);
		if (timer_armed(slice))
			step = MIN(step, slice->expires > now ? slice->expires - now : 0);
		now += step;
		if (v->work != FOR_EVER)
			v->work -= step;
		if (meanwhile) {
			void (*once)(struct mock_vcpu * v) = meanwhile;

			meanwhile = NULL;
			once(v);
		}
	}
}

static struct mock_vcpu *turn_on(unsigned cpu)
{
	unsigned before = test_cpu_index;

	last_ran = NULL;
	test_cpu_index = cpu;
	/* What woke it. */
	take_interrupts();
	turn(this_sched());
	assert_int_equal(mock_cpu[cpu].held_count, 0);
	assert_null(scheds[cpu].current);
	/* No tick when idle. */
	assert_true(last_ran || !timer_armed(&scheds[cpu].slice));
	assert_true(scheds[cpu].until == TIME_NEVER);
	test_cpu_index = before;
	return last_ran;
}

/* From CPU @cpu. */
static void ask(unsigned cpu, struct mock_vcpu *v, uint32_t requests)
{
	unsigned before = test_cpu_index;

	test_cpu_index = cpu;
	vcpu_request(&v->base, requests);
	assert_int_equal(mock_cpu[cpu].held_count, 0);
	test_cpu_index = before;
}

static struct mock_vcpu *wake(unsigned cpu, struct mock_vcpu *v, uint64_t work)
{
	v->work = work;
	ask(cpu, v, VCPU_REQ_EVENT);
	return v;
}

static __unused unsigned moves_of(const struct vm *vm)
{
	unsigned moves = 0;

	for (unsigned i = 0; i < vm->settings.cpus; i++)
		moves += vm->vcpu[i]->moves;
	return moves;
}

static int setup(void **state __unused)
{
	now = 1000000;
	sleeps = scrubs = 0;
	asleep = NULL;
	meanwhile = NULL;
	guest = works;
	new_machine(CPUS);
	return 0;
}

static struct mock_vcpu *const a = &vcpus[0][0], *const b = &vcpus[1][0], *const c = &vcpus[2][0];

/* Three VMs of one vCPU each, on the CPUs @cpuset. */
static __unused void three(uint64_t cpuset)
{
	for (unsigned i = 0; i < 3; i++)
		new_vm(i, 1, cpuset, 0);
}

#endif
