/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler on one CPU: who wakes, runs, yields and sleeps, and who is told of it.
 * libs: -lpthread
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "sched_steps.h"

static void wake_a(void)
{
	wake(0, a, 1000);
	assert_true(ipi[1]);
	assert_int_equal(sent[1], 1);
	/* What comes before the CPU has looked needs no interrupt of its own. */
	wake(0, b, 1000);
	wake(2, c, 1000);
	assert_int_equal(sent[1], 1);
}

static void idle_cpu_is_poked(void **state __unused)
{
	three(BIT(1));
	assert_int_equal(a->base.state, VCPU_HALTED);
	asleep = wake_a;
	assert_null(turn_on(1));
	assert_int_equal(sleeps, 1);
	assert_false(ipi[1]);
	assert_int_equal(scheds[1].pokes, 0);
	assert_int_equal(sched_idle, 0);
	assert_int_equal(a->base.state, VCPU_RUNNABLE);
	asleep = NULL;
	for (unsigned i = 0; i < 3; i++)
		assert_non_null(turn_on(1));
	assert_int_equal(a->runs_on[1] + b->runs_on[1] + c->runs_on[1], 3);
	assert_int_equal(a->served, VCPU_REQ_EVENT);
	assert_int_equal(a->base.state, VCPU_HALTED);
	assert_int_equal(a->base.run_ns, 1000);
	assert_int_equal(a->base.run_count, 1);
	assert_null(turn_on(1));
	assert_int_equal(sleeps, 2);
	/* The next one needs one again. */
	asleep = wake_a;
	sent[1] = 0;
	turn_on(1);
	assert_int_equal(sent[1], 1);
}

/* Only what a sleeper is to look at wakes it. */
static void what_wakes(void **state __unused)
{
	three(BIT(1));
	for (unsigned bit = 0; bit < 8; bit++) {
		uint32_t request = 1u << bit;
		bool wakes = request & VCPU_REQ_WAKING;

		ask(0, a, request);
		assert_int_equal(a->base.state, wakes ? VCPU_RUNNABLE : VCPU_HALTED);
		assert_ptr_equal(turn_on(1), wakes ? a : NULL);
		a->base.requests = 0;
	}
	/* Somebody else woke it in between. */
	wake(0, a, 1000);
	sched_wake(&a->base);
	assert_int_equal(scheds[1].queue.runnable, 1);
	assert_ptr_equal(turn_on(1), a);
	assert_null(turn_on(1));
	/* Off is off. */
	assert_true(sched_remove(&a->base));
	ask(0, a, UINT32_MAX);
	assert_int_equal(a->base.state, VCPU_OFF);
	assert_null(turn_on(1));
}

static uint64_t woken_at;

static void wake_b_from_afar(struct mock_vcpu *v)
{
	struct cpu_sched *s = &scheds[1];

	assert_ptr_equal(v, a);
	assert_false(timer_armed(&s->slice)); /* nobody waited */
	assert_true(s->until == TIME_NEVER);
	woken_at = now;
	wake(0, b, 1000);
	assert_true(s->until <= now + FAIR_SLICE);
	assert_true(s->until > now);
	/* Its own timer, so it must do that itself. */
	assert_false(timer_armed(&s->slice));
	assert_true(ipi[1]);
}

static void wake_ends_the_slice(void **state __unused)
{
	three(BIT(1));
	wake(0, a, FOR_EVER);
	meanwhile = wake_b_from_afar;
	assert_ptr_equal(turn_on(1), a);
	assert_true(now - woken_at <= FAIR_SLICE);
	assert_ptr_equal(turn_on(1), b);
	/* By its own CPU, as from a's exit, without an interrupt. */
	assert_ptr_equal(turn_on(1), a);
	assert_true(last_ns >= LONGEST);
}

static void wake_b_from_here(struct mock_vcpu *v)
{
	wake(1, b, 1000);
	assert_int_equal(sent[1], 0);
	assert_true(timer_armed(&scheds[1].slice) || v->base.requests & VCPU_REQ_LEAVE);
}

static void own_cpu_needs_no_interrupt(void **state __unused)
{
	three(BIT(1));
	wake(1, a, FOR_EVER);
	meanwhile = wake_b_from_here;
	assert_ptr_equal(turn_on(1), a);
	assert_true(last_ns < LONGEST);
	assert_ptr_equal(turn_on(1), b);
}

static void kick(struct mock_vcpu *v)
{
	/* Where it runs, its own CPU looks by itself. */
	ask(1, v, VCPU_REQ_EVENT);
	assert_int_equal(sent[1], 0);
	v->base.requests = 0;
	ask(0, v, VCPU_REQ_EVENT);
	assert_int_equal(sent[1], 1);
	/* It has been told, and did not look yet. */
	ask(2, v, VCPU_REQ_EVENT);
	assert_int_equal(sent[1], 1);
	ask(2, v, VCPU_REQ_FLUSH);
	assert_int_equal(sent[1], 2);
}

static void running_one_is_kicked(void **state __unused)
{
	three(BIT(1));
	wake(0, a, FOR_EVER);
	a->served = sent[1] = 0;
	ipi[1] = false;
	scheds[1].pokes = 0;
	meanwhile = kick;
	assert_ptr_equal(turn_on(1), a);
	assert_int_equal(a->served, VCPU_REQ_EVENT | VCPU_REQ_FLUSH);
	/* It stays in the guest for that. */
	assert_true(last_ns >= LONGEST);
}

static uint32_t late_requests;

/* Has looked for work, found none, and is about to say so. */
static enum vcpu_leave halts_at_the_wrong_moment(struct mock_vcpu *v)
{
	last_ran = v;
	v->base.requests = 0;
	ask(0, v, late_requests);
	late_requests = 0;
	return VCPU_LEAVE_HALTED;
}

static void halt_misses_no_request(void **state __unused)
{
	three(BIT(1));
	guest = halts_at_the_wrong_moment;
	for (unsigned bit = 0; bit < 8; bit++) {
		uint32_t request = 1u << bit;

		late_requests = request;
		ask(0, a, VCPU_REQ_EVENT);
		assert_ptr_equal(turn_on(1), a);
		if (request & VCPU_REQ_WAKING) {
			assert_int_equal(a->base.state, VCPU_RUNNABLE);
			assert_ptr_equal(turn_on(1), a);
		}
		assert_int_equal(a->base.state, VCPU_HALTED);
		assert_null(turn_on(1));
	}
}

static void yield(struct mock_vcpu *v __unused)
{
	sched_give_way();
}

static void yields_to_somebody(void **state __unused)
{
	three(BIT(1));
	wake(0, a, FOR_EVER);
	meanwhile = yield;
	/* To nobody: it goes on. */
	assert_ptr_equal(turn_on(1), a);
	assert_true(last_ns >= LONGEST);
	assert_null(meanwhile);
	wake(0, b, FOR_EVER);
	/* b had nothing yet, so it comes first, until they have had the same. */
	for (unsigned i = 0; i < 20 && turn_on(1) != a; i++)
		;
	for (unsigned i = 0; i < 10; i++) {
		struct mock_vcpu *first, *second;

		meanwhile = yield;
		first = turn_on(1);
		assert_null(meanwhile);
		assert_true(last_ns <= NS_PER_MS);
		second = turn_on(1);
		assert_ptr_not_equal(first, second);
		/* It came before its time, and not for long. */
		assert_true(last_ns <= FAIR_SLICE);
	}
	/* What it gave away it gets back: neither loses time by that. */
	for (unsigned i = 0; i < 100; i++)
		turn_on(1);
	assert_true(a->base.run_ns + 2 * LONGEST > b->base.run_ns);
	assert_true(b->base.run_ns + 2 * LONGEST > a->base.run_ns);
	test_cpu_index = 2;
	sched_give_way(); /* nobody runs here */
}

/* Another one goes first but once, and its slice is no longer than if it was its turn. */
static void yields_but_once(void **state __unused)
{
	struct mock_vcpu *first;

	three(BIT(1));
	wake(0, a, FOR_EVER);
	wake(0, b, FOR_EVER);
	meanwhile = yield;
	first = turn_on(1);
	assert_int_equal(last_ns, NS_PER_MS);
	assert_ptr_not_equal(turn_on(1), first);
	/* The heap was empty when that one was picked; but it is not for ever. */
	assert_true(last_ns <= FAIR_SLICE);
	assert_ptr_equal(turn_on(1), first);
	assert_ptr_not_equal(turn_on(1), first);
}

/* The timer of a slice that was not used up does not end the next one's. */
static void slice_after_a_short_one(void **state __unused)
{
	three(BIT(1));
	wake(0, a, FOR_EVER);
	wake(0, b, 200000);
	wake(0, c, FOR_EVER);
	while (turn_on(1) != b)
		;
	assert_int_equal(b->base.state, VCPU_HALTED);
	assert_true(timer_armed(&scheds[1].slice));
	assert_true(scheds[1].slice.expires < now + FAIR_SLICE);
	assert_non_null(turn_on(1));
	assert_int_equal(last_ns, FAIR_SLICE);
}

static void cleans_before_it_sleeps(void **state __unused)
{
	three(BIT(1));
	dirty = true;
	assert_null(turn_on(1));
	assert_int_equal(scrubs, 1);
	assert_int_equal(sleeps, 0);
	assert_int_equal(sched_idle_ns(1), 0);
	dirty = false;
	assert_null(turn_on(1));
	assert_int_equal(sleeps, 1);
	assert_int_equal(sched_idle_ns(1), 1000);
	assert_int_equal(sched_idle, 0);
	/* An interrupt that waits does not make it run nobody. */
	sched_poke(1);
	assert_null(turn_on(1));
	dirty = true;
	wake(0, a, 1000);
	assert_ptr_equal(turn_on(1), a);
	assert_int_equal(scrubs, 1);
}

static void to_next_wakeup(void)
{
	struct cpu_sched *s = this_sched();

	assert_true(timer_armed(&s->wakeup));
	assert_true(s->wakeup.expires > now);
	now = s->wakeup.expires;
}

/* Half of a CPU, of one that has nothing else to do. */
static void sleeps_until_a_cap_allows(void **state __unused)
{
	uint64_t start = now;

	new_vm(0, 1, BIT(1), 50);
	wake(0, a, FOR_EVER);
	asleep = to_next_wakeup;
	while (now < start + NS_PER_SEC)
		turn_on(1);
	assert_true(sleeps > 2);
	assert_true(a->base.run_ns > NS_PER_SEC / 2 - FAIR_BURST);
	assert_true(a->base.run_ns < NS_PER_SEC / 2 + FAIR_BURST);
}

static void look_around(struct mock_vcpu *v)
{
	assert_false(sched_contended());
	wake(1, b, 1000);
	assert_true(sched_contended());
	v->base.requests = 0;
	sched_kick();
	assert_int_equal(v->base.requests, VCPU_REQ_LEAVE);
	v->base.requests = 0;
	/* Of the one that runs, wherever it is asked for. */
	sched_poke(1);
	assert_int_equal(v->base.requests, VCPU_REQ_LEAVE);
	assert_int_equal(sent[1], 0);
	v->base.requests = 0;
	test_cpu_index = 0;
	sched_poke(1);
	test_cpu_index = 1;
	assert_int_equal(sent[1], 1);
	assert_int_equal(v->base.requests, 0);
	assert_true(ipi[1]);
}

static void leaves_when_poked(void **state __unused)
{
	three(BIT(1));
	wake(1, a, FOR_EVER);
	meanwhile = look_around;
	assert_ptr_equal(turn_on(1), a);
	assert_true(last_ns <= NS_PER_MS);
	assert_int_equal(a->base.state, VCPU_RUNNABLE);
	/* Where nobody runs, nothing happens. */
	test_cpu_index = 2;
	sched_kick();
	assert_false(sched_contended());
}

static char printed[2000];
static size_t printed_len;

static void print_char(struct format_sink *sink __unused, char ch)
{
	assert_true(printed_len < sizeof(printed) - 1);
	printed[printed_len++] = ch;
	printed[printed_len] = 0;
}

static void print_all(struct mock_vcpu *v __unused)
{
	struct format_sink out = {print_char};

	test_cpu_index = 0;
	printed_len = 0;
	sched_print(1, &out);
	sched_print_vm(a->base.vm, &out);
	sched_print_vm(b->base.vm, &out);
	sched_print_vm(c->base.vm, &out);
	test_cpu_index = 1;
}

static void prints_what_it_does(void **state __unused)
{
	three(BIT(1));
	wake(0, a, 3 * NS_PER_MS);
	turn_on(1);
	wake(0, b, FOR_EVER);
	wake(0, a, FOR_EVER);
	assert_true(sched_remove(&c->base));
	meanwhile = print_all;
	assert_ptr_equal(turn_on(1), b);
	assert_non_null(strstr(printed, "cpu1: "));
	assert_non_null(strstr(printed, ", runs vm1/0\n"));
	assert_non_null(strstr(printed, "vm0/0: waits, cpu1, 3 ms, 1 runs, 0 moves, "));
	/* With what it has run since it came. */
	assert_non_null(strstr(printed, "vm1/0: runs, cpu1, 1 ms, 1 runs, 0 moves, "));
	assert_non_null(strstr(printed, "vm2/0: off, cpu1, 0 ms, 0 runs, 0 moves, "));
	assert_int_equal(scheds[1].lock.held, 0);
}

static uint64_t shown; /* the last answer of sched_run_ns() */

/* It is asked again and again while b runs, at last by a CPU whose clock is behind. */
static void ask_how_long(struct mock_vcpu *v)
{
	uint64_t ns, before = now;

	test_cpu_index = 0;
	ns = sched_run_ns(&v->base);
	assert_int_equal(ns, v->base.run_ns + now - scheds[1].since);
	assert_true(ns >= shown + NS_PER_MS);
	shown = ns;
	assert_int_equal(sched_run_ns(&a->base), 3 * NS_PER_MS);
	now = scheds[1].since - 5;
	assert_int_equal(sched_run_ns(&v->base), v->base.run_ns);
	now = before;
	test_cpu_index = 1;
	if (shown < 10 * NS_PER_MS)
		meanwhile = ask_how_long;
}

/* A vCPU that never leaves its CPU has run nevertheless. */
static void run_time_under_way(void **state __unused)
{
	three(BIT(1));
	wake(0, a, 3 * NS_PER_MS);
	turn_on(1);
	wake(0, b, FOR_EVER);
	shown = 0;
	meanwhile = ask_how_long;
	assert_ptr_equal(turn_on(1), b);
	assert_true(shown >= 10 * NS_PER_MS);
	/* Nothing is lost, or counted twice, when it leaves. */
	assert_int_equal(sched_run_ns(&b->base), b->base.run_ns);
	assert_int_equal(b->base.run_ns, last_ns);
	assert_int_equal(scheds[1].lock.held, 0);
}

/* Whoever asks for room gets it, though he that had asked before did not use it. */
static void room_is_for_who_uses_it(void **state __unused)
{
	unsigned before = vcpu_total, room;

	assert_int_equal(sched_reserve(500), 0);
	room = scheds[0].queue.room;
	assert_true(room >= before + 500);
	assert_int_equal(vcpu_total, before);
	assert_int_equal(sched_reserve(400), 0);
	assert_int_equal(scheds[0].queue.room, room);
	new_vm(0, 3, BIT(1), 0);
	assert_int_equal(vcpu_total, before + 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(idle_cpu_is_poked, setup),
		cmocka_unit_test_setup(what_wakes, setup),
		cmocka_unit_test_setup(wake_ends_the_slice, setup),
		cmocka_unit_test_setup(own_cpu_needs_no_interrupt, setup),
		cmocka_unit_test_setup(running_one_is_kicked, setup),
		cmocka_unit_test_setup(halt_misses_no_request, setup),
		cmocka_unit_test_setup(yields_to_somebody, setup),
		cmocka_unit_test_setup(yields_but_once, setup),
		cmocka_unit_test_setup(slice_after_a_short_one, setup),
		cmocka_unit_test_setup(cleans_before_it_sleeps, setup),
		cmocka_unit_test_setup(sleeps_until_a_cap_allows, setup),
		cmocka_unit_test_setup(leaves_when_poked, setup),
		cmocka_unit_test_setup(prints_what_it_does, setup),
		cmocka_unit_test_setup(run_time_under_way, setup),
		cmocka_unit_test_setup(room_is_for_who_uses_it, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
