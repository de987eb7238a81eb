/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler among CPUs: where vCPUs go, with their registers, and how they are turned off.
 * libs: -lpthread
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "sched_steps.h"

static void wake_b_and_c(struct mock_vcpu *v __unused)
{
	/* Others are asleep. b was here before, but here is somebody now. */
	sched_idle |= BIT(2) | BIT(3);
	b->base.fair.queue = &scheds[1].queue;
	wake(0, b, 1000);
	assert_int_equal(b->base.cpu, 2);
	assert_true(ipi[2]);
	assert_int_equal(b->base.moves, 1);
	/* Not where it may not run, however idle that is. */
	wake(0, c, 1000);
	assert_int_equal(c->base.cpu, 1);
	assert_int_equal(c->base.moves, 0);
	assert_int_equal(sent[2], 1);
	assert_int_equal(sent[3], 0);
}

static void sleeper_wakes_on_idle_cpu(void **state __unused)
{
	new_vm(0, 1, BIT(1), 0);
	new_vm(1, 1, BIT(1) | BIT(2), 0);
	new_vm(2, 1, BIT(1), 0);
	b->base.cpu = 1;
	wake(0, a, FOR_EVER);
	meanwhile = wake_b_and_c;
	assert_ptr_equal(turn_on(1), a);
	assert_ptr_equal(turn_on(2), b);
	assert_ptr_equal(turn_on(1), c);
	assert_int_equal(sched_idle, BIT(3));
}

static void stop(struct mock_vcpu *v)
{
	v->base.vm->state = VM_STOPPING;
	ask(0, v, VCPU_REQ_LEAVE);
	assert_false(sched_remove(&v->base));
	assert_int_equal(v->base.state, VCPU_RUNNING);
	ipi[0] = false;
	scheds[0].pokes = 0;
	sent[0] = 0;
}

static void running_one_is_removed_later(void **state __unused)
{
	three(BIT(1));
	wake(0, a, FOR_EVER);
	meanwhile = stop;
	assert_ptr_equal(turn_on(1), a);
	/* The boot CPU is told to try again; now it must work. */
	assert_int_equal(sent[0], 1);
	assert_int_equal(a->regs, 0);
	assert_true(sched_remove(&a->base));
	assert_int_equal(a->base.state, VCPU_OFF);
	assert_int_equal(scheds[1].queue.runnable, 0);
	assert_null(turn_on(1));
	/* And started anew. */
	a->base.vm->state = VM_RUNNING;
	sched_start(&a->base);
	wake(0, a, 1000);
	assert_ptr_equal(turn_on(1), a);
}

static void registers_elsewhere_are_waited_for(void **state __unused)
{
	three(BIT(1));
	for (unsigned i = 0; i < 2; i++) {
		/* Asleep the first time, waiting the second. */
		wake(0, a, i ? FOR_EVER : 1000);
		assert_ptr_equal(turn_on(1), a);
		assert_int_equal(a->base.state, i ? VCPU_RUNNABLE : VCPU_HALTED);
		assert_int_equal(a->regs, 1 + 1);
		a->base.vm->state = VM_STOPPING;
		ipi[0] = false;
		scheds[0].pokes = 0;
		sent[0] = 0;
		assert_false(sched_remove(&a->base));
		assert_int_equal(a->regs, 1 + 1);
		/* It does not run any more. */
		assert_null(turn_on(1));
		assert_int_equal(a->regs, 0);
		assert_int_equal(sent[0], 1);
		assert_true(sched_remove(&a->base));
		assert_int_equal(a->base.state, VCPU_OFF);
		a->base.vm->state = VM_RUNNING;
		sched_start(&a->base);
	}
}

/* Another one takes the CPU meanwhile. */
static void registers_make_room_and_tell(void **state __unused)
{
	three(BIT(1));
	wake(0, a, 1000);
	assert_ptr_equal(turn_on(1), a);
	a->base.vm->state = VM_STOPPING;
	assert_false(sched_remove(&a->base));
	ipi[0] = false;
	scheds[0].pokes = 0;
	sent[0] = 0;
	wake(0, b, 1000);
	assert_ptr_equal(turn_on(1), b);
	assert_int_equal(sent[0], 1);
	assert_true(sched_remove(&a->base));
}

static void removed_at_once(void **state __unused)
{
	three(BIT(0) | BIT(1));
	/* Asleep, and never run. */
	assert_true(sched_remove(&a->base));
	/* In the queue, its registers nowhere. */
	wake(0, b, 1000);
	assert_int_equal(b->base.state, VCPU_RUNNABLE);
	assert_true(sched_remove(&b->base));
	assert_int_equal(b->base.state, VCPU_OFF);
	for (unsigned i = 0; i < CPUS; i++) {
		assert_int_equal(scheds[i].queue.runnable, 0);
		assert_null(turn_on(i));
	}
	/* In the registers of the boot CPU, which asks. */
	c->base.fair.cpuset = BIT(0);
	c->base.cpu = 0;
	wake(0, c, 1000);
	assert_ptr_equal(turn_on(0), c);
	assert_int_equal(c->regs, 0 + 1);
	assert_true(sched_remove(&c->base));
	assert_int_equal(c->regs, 0);
}

static void pinned_one_stays(void **state __unused)
{
	for (unsigned i = 0; i < VMS; i++)
		new_vm(i, 2, BIT(2), 0);
	for (unsigned i = 0; i < VMS; i++)
		for (unsigned n = 0; n < 2; n++)
			wake(n, &vcpus[i][n], FOR_EVER);
	for (unsigned round = 0; round < 50; round++) {
		now += FAIR_BALANCE;
		assert_non_null(turn_on(2));
		for (unsigned cpu = 0; cpu < CPUS; cpu++)
			if (cpu != 2)
				assert_null(turn_on(cpu));
	}
	for (unsigned i = 0; i < VMS; i++) {
		assert_int_equal(moves_of(&vms[i]), 0);
		assert_int_equal(vcpus[i][0].base.cpu, 2);
		assert_true(vcpus[i][1].runs_on[2] > 5);
	}
	/* Nobody was poked for what it may not take. */
	assert_int_equal(sent[0] + sent[1] + sent[3], 0);
}

static void idle_cpu_takes(void **state __unused)
{
	three(BIT(1));
	wake(0, a, FOR_EVER);
	assert_ptr_equal(turn_on(1), a);
	wake(0, b, FOR_EVER);
	wake(0, c, FOR_EVER);
	now += LONGEST;
	assert_null(turn_on(2));
	b->base.fair.cpuset = c->base.fair.cpuset = BIT(1) | BIT(2);
	assert_non_null(turn_on(2));
	assert_int_equal(b->runs_on[2] + c->runs_on[2], 1);
	assert_int_equal(b->base.moves + c->base.moves, 1);
	assert_int_equal(a->base.cpu, 1);
	/* Both CPUs go on. */
	assert_non_null(turn_on(1));
	assert_non_null(turn_on(2));
}

/* However long it waits: only its CPU can take them out. */
static void registers_are_not_taken(void **state __unused)
{
	three(BIT(1));
	wake(0, a, FOR_EVER);
	assert_ptr_equal(turn_on(1), a);
	wake(0, b, FOR_EVER);
	wake(0, c, FOR_EVER);
	a->base.fair.cpuset = BIT(1) | BIT(2);
	now += LONGEST;
	assert_null(turn_on(2));
	assert_int_equal(a->base.cpu, 1);
	assert_int_equal(a->regs, 1 + 1);
	for (unsigned i = 0; turn_on(1) == a; i++)
		assert_true(i < 10);
	assert_int_equal(a->regs, 0);
	now += LONGEST;
	assert_ptr_equal(turn_on(2), a);
	assert_int_equal(a->regs, 2 + 1);
}

static void wake_c_here(struct mock_vcpu *v)
{
	unsigned before = sent[2];

	/* CPU 2 has begun to sleep in the very moment. */
	sched_idle |= BIT(2);
	wake(1, c, 1000);
	assert_int_equal(c->base.cpu, 1);
	assert_int_equal(sent[2] - before, c->base.fair.cpuset & BIT(2) ? 1 : 0);
	v->work = 0;
}

/* One joins a queue, as there was no idle CPU when it looked; there may be when it has. */
static void sleeping_cpu_is_told_of_a_queue(void **state __unused)
{
	three(BIT(1));
	new_vm(3, 4, BIT(2), 0);
	for (unsigned i = 0; i < 4; i++)
		wake(0, &vcpus[3][i], FOR_EVER);
	for (unsigned i = 0; i < 2; i++) {
		c->base.fair.cpuset = i ? BIT(1) | BIT(2) : BIT(1);
		c->base.fair.queue = &scheds[1].queue;
		scheds[2].pokes = 0;
		wake(0, a, FOR_EVER);
		meanwhile = wake_c_here;
		assert_ptr_equal(turn_on(1), a);
		sched_idle = 0;
		assert_ptr_equal(turn_on(1), c);
	}
}

/* One runs here and one waits, which those that sleep may not have seen yet. */
static void sleeping_cpu_is_told_of_who_waits(void **state __unused)
{
	three(BIT(1));
	wake(0, a, FOR_EVER);
	sched_idle = BIT(2);
	assert_ptr_equal(turn_on(1), a);
	assert_int_equal(sent[2], 0);
	wake(0, b, FOR_EVER);
	assert_non_null(turn_on(1));
	/* But not of somebody whom it may not run. */
	assert_int_equal(sent[2], 0);
	a->base.fair.cpuset = b->base.fair.cpuset = BIT(1) | BIT(2);
	assert_non_null(turn_on(1));
	assert_int_equal(sent[2], 1);
}

/* It wakes where its registers are, since only that CPU can take them out. */
static void wakes_where_its_registers_are(void **state __unused)
{
	three(BIT(1) | BIT(2));
	a->base.cpu = b->base.cpu = 1;
	b->base.fair.cpuset = BIT(1);
	wake(0, a, 1000);
	assert_ptr_equal(turn_on(1), a);
	wake(0, b, FOR_EVER);
	/* CPU 2 is idle; CPU 1 has b waiting. */
	wake(0, a, 1000);
	assert_int_equal(a->base.cpu, 1);
	for (unsigned i = 0; a->base.state != VCPU_HALTED; i++) {
		assert_true(i < 10);
		turn_on(1);
		turn_on(2);
	}
	/* Once they are out, it goes where nobody is. */
	assert_ptr_equal(turn_on(1), b);
	wake(0, a, 1000);
	assert_int_equal(a->base.cpu, 2);
	assert_ptr_equal(turn_on(2), a);
}

static void busy_cpu_gives(void **state __unused)
{
	for (unsigned i = 0; i < VMS; i++)
		new_vm(i, 2, BIT(1), 0);
	for (unsigned i = 0; i < VMS; i++)
		for (unsigned n = 0; n < 2; n++)
			wake(0, &vcpus[i][n], FOR_EVER);
	assert_int_equal(scheds[1].queue.runnable, 2 * VMS);
	assert_non_null(turn_on(1));
	for (unsigned i = 0; i < VMS; i++)
		for (unsigned n = 0; n < 2; n++)
			vcpus[i][n].base.fair.cpuset = MASK(CPUS - 1, 0);
	memset(sent, 0, sizeof(sent));
	now += 2 * FAIR_BALANCE;
	assert_non_null(turn_on(1));
	/* Before it picked, and those CPUs were told. */
	assert_true(scheds[1].queue.runnable < 2 * VMS);
	for (unsigned cpu = 0; cpu < CPUS; cpu++) {
		assert_true(scheds[cpu].queue.runnable > 0);
		assert_int_equal(sent[cpu], cpu == 1 ? 0 : 1);
	}
	for (unsigned round = 0; round < 20; round++)
		for (unsigned cpu = 0; cpu < CPUS; cpu++)
			assert_non_null(turn_on(cpu));
}

/* While another CPU has the other queue's lock, nobody waits for it. */
static void other_queue_is_locked(void **state __unused)
{
	three(BIT(1));
	wake(0, a, FOR_EVER);
	wake(0, b, FOR_EVER);
	assert_non_null(turn_on(1));
	a->base.fair.cpuset = b->base.fair.cpuset = BIT(1) | BIT(2);
	scheds[1].lock.held = 1;
	assert_null(turn_on(2));
	scheds[1].lock.held = 0;
	assert_non_null(turn_on(2));
}

static void release_before_the_next(void **state __unused)
{
	three(BIT(1));
	wake(0, a, 1000);
	assert_ptr_equal(turn_on(1), a);
	/* Once more: its registers are there still. */
	wake(0, a, 1000);
	assert_ptr_equal(turn_on(1), a);
	assert_int_equal(releases, 0);
	assert_int_equal(scheds[1].switches, 1);
	wake(0, b, 1000);
	assert_ptr_equal(turn_on(1), b);
	assert_int_equal(releases, 1);
	assert_int_equal(scheds[1].switches, 2);
	/* Asleep it has nobody's, so that any CPU may have them. */
	assert_null(turn_on(1));
	assert_int_equal(releases, 2);
	assert_int_equal(b->regs, 0);
}

static void one_cpu_keeps_registers(void **state __unused)
{
	new_machine(1);
	three(BIT(0));
	for (unsigned i = 0; i < 3; i++) {
		wake(0, a, 1000);
		assert_ptr_equal(turn_on(0), a);
		wake(0, b, 1000);
		assert_ptr_equal(turn_on(0), b);
		assert_null(turn_on(0));
	}
	assert_int_equal(releases, 0);
	assert_int_equal(scheds[0].switches, 6);
	assert_true(sched_remove(&b->base));
	assert_int_equal(releases, 1);
}

/* The VM stopped while it waited. */
static void queue_of_a_stopped_vm(void **state __unused)
{
	three(BIT(1));
	wake(0, a, 1000);
	a->base.vm->state = VM_STOPPING;
	assert_null(turn_on(1));
	assert_int_equal(a->base.run_count, 0);
	assert_int_equal(a->base.state, VCPU_HALTED);
	assert_int_equal(sent[0], 1);
	assert_int_equal(scheds[1].queue.runnable, 0);
	assert_true(sched_remove(&a->base));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(sleeper_wakes_on_idle_cpu, setup),
		cmocka_unit_test_setup(running_one_is_removed_later, setup),
		cmocka_unit_test_setup(registers_elsewhere_are_waited_for, setup),
		cmocka_unit_test_setup(registers_make_room_and_tell, setup),
		cmocka_unit_test_setup(removed_at_once, setup),
		cmocka_unit_test_setup(pinned_one_stays, setup),
		cmocka_unit_test_setup(idle_cpu_takes, setup),
		cmocka_unit_test_setup(registers_are_not_taken, setup),
		cmocka_unit_test_setup(sleeping_cpu_is_told_of_a_queue, setup),
		cmocka_unit_test_setup(sleeping_cpu_is_told_of_who_waits, setup),
		cmocka_unit_test_setup(wakes_where_its_registers_are, setup),
		cmocka_unit_test_setup(busy_cpu_gives, setup),
		cmocka_unit_test_setup(other_queue_is_locked, setup),
		cmocka_unit_test_setup(release_before_the_next, setup),
		cmocka_unit_test_setup(one_cpu_keeps_registers, setup),
		cmocka_unit_test_setup(queue_of_a_stopped_vm, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
