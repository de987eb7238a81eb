/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler on several CPUs at once: no request is lost, and no vCPU is in two places.
 * libs: -lpthread
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <time.h>

#define MOCK_JITTER
#include "sched_mock.h"

/* Time goes faster than the world's, so that slices end often. */
enum { HASTE = 20, SECONDS_MAX = 30, RUNNERS = 3 /* CPUs */, ASKERS = 2, ROUNDS = 400 };

static _Thread_local uint32_t seed;
static unsigned done;	/* askers that are through; atomic */
static unsigned askers; /* their number */
static bool chatty;	/* vCPUs ask each other, too; atomic */
static bool stoppable;	/* some VMs stop now and then */
static unsigned stops;	/* how often they did; the boot CPU's */
static uint64_t yields; /* atomic */

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

uint64_t time_now(void)
{
	return clock_ns() * HASTE;
}

static uint32_t any(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 16) % below;
}

static void jitter(void)
{
	if (any(24) == 0)
		sched_yield();
}

/* What takes that long does not happen any more. */
static void watch(uint64_t since, const char *what)
{
	if (clock_ns() - since < SECONDS_MAX * NS_PER_SEC)
		return;
	for (unsigned i = 0; i < cpu_count; i++)
		print_error("CPU %u: %s, pokes %#x, interrupt %u, %u wait\n", i,
			    scheds[i].current ? "runs" : "does not run", scheds[i].pokes, ipi[i],
			    scheds[i].queue.waiting.count);
	for (unsigned i = 0; i < VMS; i++)
		for (unsigned n = 0; n < vms[i].settings.cpus; n++)
			print_error("%u/%u: state %u, CPU %u, requests %#x, asked %u, saw %u\n", i,
				    n, vcpus[i][n].base.state, vcpus[i][n].base.cpu,
				    vcpus[i][n].base.requests, vcpus[i][n].posted,
				    vcpus[i][n].noted);
	panic("%s for ever", what);
}

static bool all_done(void)
{
	return __atomic_load_n(&done, __ATOMIC_SEQ_CST) == askers;
}

static bool interrupt_window(void)
{
	const struct cpu_sched *s = this_sched();

	if (!cleaned)
		while (!__atomic_load_n(&ipi[cpu_index()], __ATOMIC_SEQ_CST) &&
		       !is_due(&s->wakeup) && !all_done())
			sched_yield();
	take_interrupts();
	return false;
}

/* Asks @v for something, and counts that first. Returns the count. */
static unsigned ask(struct mock_vcpu *v)
{
	static const uint32_t requests[] = {VCPU_REQ_EVENT, VCPU_REQ_TIMER, VCPU_REQ_NMI,
					    VCPU_REQ_EVENT | VCPU_REQ_FLUSH, VCPU_REQ_STARTUP};
	unsigned count = __atomic_add_fetch(&v->posted, 1, __ATOMIC_SEQ_CST);

	vcpu_request(&v->base, requests[any(ARRAY_SIZE(requests))]);
	return count;
}

static struct mock_vcpu *any_vcpu(void)
{
	unsigned i = any(VMS);

	return &vcpus[i][any(vms[i].settings.cpus)];
}

/* Takes what was asked for. Was there anything? */
static bool look(struct mock_vcpu *v, bool *leave)
{
	uint32_t requests = __atomic_exchange_n(&v->base.requests, 0, __ATOMIC_ACQUIRE);

	*leave = requests & VCPU_REQ_LEAVE;
	__atomic_store_n(&v->noted, __atomic_load_n(&v->posted, __ATOMIC_SEQ_CST),
			 __ATOMIC_SEQ_CST);
	return requests & VCPU_REQ_WAKING;
}

/* As vm_stop() does. */
static void stop(struct vm *vm)
{
	enum vm_state running = VM_RUNNING;

	if (!__atomic_compare_exchange_n(&vm->state, &running, VM_STOPPING, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return;
	for (unsigned i = 0; i < vm->settings.cpus; i++)
		vcpu_request(vm->vcpu[i], VCPU_REQ_LEAVE);
	sched_poke(0);
}

/* As vm_reap() does; and starts the VM again, whose vCPUs have much to do then. */
static void reap(struct vm *vm)
{
	bool off = true;

	if (__atomic_load_n(&vm->state, __ATOMIC_SEQ_CST) != VM_STOPPING)
		return;
	for (unsigned i = 0; i < vm->settings.cpus; i++)
		off = sched_remove(vm->vcpu[i]) && off;
	if (!off)
		return;
	stops++;
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		struct mock_vcpu *v = mock_of(vm->vcpu[i]);

		CHECK(v->base.state == VCPU_OFF);
		CHECK(!__atomic_load_n(&v->runs, __ATOMIC_SEQ_CST));
		CHECK(__atomic_load_n(&v->regs, __ATOMIC_SEQ_CST) == 0);
	}
	__atomic_store_n(&vm->state, VM_RUNNING, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		sched_start(vm->vcpu[i]);
		vcpu_request(vm->vcpu[i], VCPU_REQ_EVENT);
	}
}

/* Works for a short or a long while, and asks others for something. */
static enum vcpu_leave lives(struct mock_vcpu *v)
{
	unsigned steps = any(32) ? 8 : 500;

	for (;;) {
		bool leave, more = look(v, &leave);

		if (leave)
			return VCPU_LEAVE_REQUESTED;
		if (!more && !any(steps)) {
			/* Here is where a request may be overlooked. */
			for (unsigned i = any(16); i; i--)
				jitter();
			return VCPU_LEAVE_HALTED;
		}
		jitter();
		take_interrupts();
		if (!any(16) && __atomic_load_n(&chatty, __ATOMIC_RELAXED))
			ask(any_vcpu());
		if (!any(8)) {
			sched_give_way();
			__atomic_fetch_add(&yields, 1, __ATOMIC_RELAXED);
		}
		if (stoppable && v->base.vm != &vms[1] && !any(400))
			stop(v->base.vm);
	}
}

static void cpu_thread(struct smp_cpu *cpu)
{
	seed = cpu->seed;
	while (!all_done()) {
		for (unsigned i = 0; i < VMS && cpu->index == 0; i++)
			reap(&vms[i]);
		turn(this_sched());
		jitter();
	}
}

/* Each request must be seen, also if nothing follows that would wake the vCPU once more. */
static void asker_thread(struct smp_cpu *cpu)
{
	seed = cpu->seed;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct mock_vcpu *v[6];
		unsigned count = 1 + any(ARRAY_SIZE(v)), number[ARRAY_SIZE(v)];
		uint64_t since = clock_ns();

		__atomic_store_n(&chatty, !any(4), __ATOMIC_RELAXED);
		for (unsigned i = 0; i < count; i++) {
			v[i] = any_vcpu();
			number[i] = ask(v[i]);
		}
		for (unsigned i = 0; i < count; i++)
			while (__atomic_load_n(&v[i]->noted, __ATOMIC_SEQ_CST) < number[i]) {
				watch(since, "a request waits");
				sched_yield();
			}
	}
	__atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
}

static int setup(void **state __unused)
{
	static const uint64_t cpusets[] = {UINT64_MAX, BIT(1), UINT64_MAX, BIT(0) | BIT(2)};
	static const unsigned counts[] = {3, 1, 2, 2}, caps[] = {0, 0, 60, 0};

	new_machine(RUNNERS);
	guest = lives;
	for (unsigned i = 0; i < VMS; i++)
		new_vm(i, counts[i], cpusets[i], caps[i]);
	done = stops = 0;
	yields = 0;
	chatty = stoppable = false;
	return 0;
}

static void run_all(unsigned count)
{
	void (*threads[])(struct smp_cpu * cpu) = {cpu_thread,	 cpu_thread,   cpu_thread,
						   asker_thread, asker_thread, NULL};
	uint64_t moves = 0, runs[RUNNERS] = {0};

	_Static_assert(ARRAY_SIZE(threads) == RUNNERS + ASKERS + 1, "threads");
	askers = count;
	threads[RUNNERS + count] = NULL;
	smp_run(threads, 7);
	for (unsigned i = 0; i < VMS; i++) {
		for (unsigned n = 0; n < vms[i].settings.cpus; n++) {
			moves += vcpus[i][n].base.moves;
			for (unsigned cpu = 0; cpu < RUNNERS; cpu++)
				runs[cpu] += vcpus[i][n].runs_on[cpu];
		}
	}
	/* Otherwise this has shown nothing. */
	assert_true(moves > 10);
	for (unsigned cpu = 0; cpu < RUNNERS; cpu++)
		assert_true(runs[cpu] > 10);
	assert_true(releases > 10 && yields > 10);
	assert_int_equal(vcpus[1][0].base.moves, 0);
}

/* With one that asks, since the request of a second could hide that the first one's was lost. */
static void no_request_is_lost(void **state __unused)
{
	run_all(1);
}

static void each_in_one_place(void **state __unused)
{
	run_all(2);
}

static void stopped_and_started(void **state __unused)
{
	stoppable = true;
	run_all(1);
	assert_true(stops > 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_request_is_lost, setup),
		cmocka_unit_test_setup(each_in_one_place, setup),
		cmocka_unit_test_setup(stopped_and_started, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
