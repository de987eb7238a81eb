/* SPDX-License-Identifier: BSD-2-Clause */
/* vCPUs that spin beside those whom they wait for.
 * libs: -lpthread
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "sched_steps.h"

enum { SPINNERS = 31, SPIN_NS = 15000 /* until the CPU notices, at least */, TURNS = 20000 };

static unsigned worker; /* of VM 0: who does not spin; or SPINNERS + 1: all do */

static enum vcpu_leave spins(struct mock_vcpu *v)
{
	static uint64_t passed;

	if (v->base.vm != &vms[0] || v->base.id == worker)
		return works(v);
	last_ran = v;
	/* No two of them stand at the same place. */
	now += SPIN_NS + ++passed * 7919 % 1009;
	sched_give_way();
	v->base.requests = 0;
	return VCPU_LEAVE_REQUESTED;
}

static void wake_all(uint64_t work)
{
	guest = spins;
	for (unsigned i = 0; i <= SPINNERS; i++)
		wake(0, &vcpus[0][i], work);
}

/* The one that works need not wait until each of the others has spun for as long as it worked. */
static void spinners_let_it_work(void **state __unused)
{
	uint64_t start = now, work = 100 * NS_PER_MS, rounds = work / FAIR_SLICE;

	new_vm(0, SPINNERS + 1, BIT(1), 0);
	worker = 7;
	wake_all(work);
	while (vcpus[0][worker].base.state != VCPU_HALTED)
		turn_on(1);
	assert_true(now - start <= work + 2 * rounds * SPINNERS * SPIN_NS);
}

/* And if another is waited for then, it does not matter what they had or gave before. */
static void all_have_their_turn(void **state __unused)
{
	new_vm(0, SPINNERS + 1, BIT(1), 0);
	wake_all(FOR_EVER);
	for (unsigned i = 0; i < 200; i++) {
		unsigned before[SPINNERS + 1];

		/* One works for some slices, then they all spin. */
		worker = i * 7 % (SPINNERS + 1);
		for (unsigned n = 0; n < 3 * (SPINNERS + 1); n++)
			turn_on(1);
		worker = SPINNERS + 1;
		for (unsigned n = 0; n <= SPINNERS; n++)
			before[n] = vcpus[0][n].runs_on[1];
		for (unsigned n = 0; n < 2 * (SPINNERS + 1); n++)
			turn_on(1);
		for (unsigned n = 0; n <= SPINNERS; n++)
			assert_true(vcpus[0][n].runs_on[1] > before[n]);
	}
}

/* What they give each other is their own: another guest on that CPU neither gains nor loses. */
static void others_have_their_share(void **state __unused)
{
	uint64_t start, before, ideal, had;

	new_vm(0, SPINNERS + 1, BIT(1), 0);
	new_vm(1, 1, BIT(1), 0);
	worker = 7;
	wake_all(FOR_EVER);
	wake(0, b, FOR_EVER);
	for (unsigned i = 0; i < TURNS; i++)
		turn_on(1);
	start = now;
	before = b->base.run_ns;
	for (unsigned i = 0; i < 10 * TURNS; i++)
		turn_on(1);
	had = b->base.run_ns - before;
	ideal = (now - start) / (SPINNERS + 2);
	assert_true(had + 2 * FAIR_SLICE > ideal);
	assert_true(had < ideal + 2 * FAIR_SLICE);
}

static struct vcpu *waiting_one(struct vcpu *v, unsigned cpu, uint64_t vtime, uint64_t since)
{
	v->cpu = cpu;
	v->fair.vtime = vtime;
	fair_put(&scheds[cpu].queue, &v->fair, since);
	set_state(v, VCPU_RUNNABLE);
	return v;
}

/* Who sleeps or waits elsewhere has no place there, and other guests' turns are their own. */
static void only_among_those_who_wait_here(void **state __unused)
{
	struct vcpu *first, *longest, *elsewhere, *sleeper, *other;
	struct cpu_sched *s = &scheds[1];
	uint64_t clock;

	new_vm(0, 4, BIT(1) | BIT(2), 0);
	new_vm(1, 1, BIT(1), 0);
	elsewhere = waiting_one(vms[0].vcpu[0], 2, 0, now);
	longest = waiting_one(vms[0].vcpu[1], 1, 2000000, now + 2);
	first = waiting_one(vms[0].vcpu[2], 1, 1000000, now + 3);
	other = waiting_one(&b->base, 1, 3000000, now + 1);
	sleeper = vms[0].vcpu[3];
	sleeper->cpu = 1;
	clock = s->queue.vtime;
	take_turns(s, &vms[1]);
	assert_int_equal(first->fair.vtime, 1000000);
	assert_int_equal(other->fair.vtime, 3000000);
	take_turns(s, &vms[0]);
	assert_int_equal(first->fair.vtime, 2000000);
	assert_int_equal(longest->fair.vtime, 1000000);
	take_turns(s, &vms[0]);
	assert_int_equal(longest->fair.vtime, 1000000);
	assert_int_equal(elsewhere->fair.vtime, 0);
	assert_int_equal(sleeper->fair.vtime, 0);
	assert_int_equal(s->queue.vtime, clock);
	assert_int_equal(other->fair.vtime, 3000000);
	assert_int_equal(s->queue.load, 3 * 100);
	assert_int_equal(s->queue.waiting.count, 3);
	/* Nobody is left. */
	fair_dequeue(&s->queue, &first->fair);
	fair_dequeue(&s->queue, &longest->fair);
	fair_dequeue(&s->queue, &other->fair);
	take_turns(s, &vms[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(spinners_let_it_work, setup),
		cmocka_unit_test_setup(all_have_their_turn, setup),
		cmocka_unit_test_setup(others_have_their_share, setup),
		cmocka_unit_test_setup(only_among_those_who_wait_here, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
