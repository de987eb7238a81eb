/* SPDX-License-Identifier: BSD-2-Clause */
/* The timer queue against a plain list: order, cancelling, re-arming, and what the APIC is told. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "panic_mock.h"
#include "socle/cpu/cpu.h"

/* The CPU is found from the stack, which is not ours here. */
static struct cpu mock_cpu = {.id = 3};
static struct cpu *mock_this_cpu(void)
{
	return &mock_cpu;
}
#define this_cpu mock_this_cpu
#include "../../kernel/timer.c"

static uint64_t now;	 /* ns since boot */
static uint64_t apic_at; /* when the local APIC will interrupt; TIME_NEVER: disarmed */
static void (*interrupt)(void);

uint64_t time_now(void)
{
	return now;
}

void apic_timer_arm(uint64_t ns)
{
	apic_at = ns ? now + ns : TIME_NEVER;
}

void interrupt_bind(uint8_t vector, void (*handler)(void))
{
	assert_int_equal(vector, HOST_VEC_TIMER);
	interrupt = handler;
}

enum { COUNT = 200 };
static struct timer timers[COUNT];
static unsigned fired_order[COUNT * 4], fired;
static uint64_t again; /* a timer that fires sets itself this much later; 0: not */

static void fire(struct timer *t)
{
	assert_false(timer_armed(t));
	assert_true(t->expires <= now);
	fired_order[fired++ % ARRAY_SIZE(fired_order)] = (unsigned)(t - timers);
	if (again)
		timer_set(t, now + again);
}

static int setup(void **state __unused)
{
	queue.count = 0;
	queue.armed = TIME_NEVER;
	apic_at = TIME_NEVER;
	now = 1000;
	fired = 0;
	again = 0;
	for (unsigned i = 0; i < COUNT; i++)
		timer_init(&timers[i], fire);
	timers_init();
	assert_non_null(interrupt);
	return 0;
}

/* Lets time pass to @when, interrupts as the local APIC delivers them. */
static void pass_to(uint64_t when)
{
	while (apic_at <= when) {
		now = MAX(now, apic_at);
		apic_at = TIME_NEVER;
		interrupt();
	}
	now = when;
}

static void check_heap(void)
{
	uint64_t first = TIME_NEVER;
	unsigned armed = 0;

	for (unsigned i = 0; i < queue.count; i++) {
		assert_int_equal(queue.heap[i]->slot, i + 1);
		if (i)
			assert_true(queue.heap[(i - 1) / 2]->expires <= queue.heap[i]->expires);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		armed += timer_armed(&timers[i]);
		if (timer_armed(&timers[i]) && timers[i].expires < first)
			first = timers[i].expires;
	}
	assert_int_equal(armed, timers_armed());
	/* The interrupt comes no later than the first timer wants it. */
	if (first != TIME_NEVER)
		assert_true(apic_at <= MAX(first, now + 1));
}

static void fires_in_order(void **state __unused)
{
	/* 77 is prime to 200: all times once, shuffled. */
	for (unsigned i = 0; i < COUNT; i++)
		timer_set(&timers[i], 2000 + i * 77 % COUNT * 10);
	assert_int_equal(timers[0].cpu, 3);
	check_heap();
	pass_to(1999);
	assert_int_equal(fired, 0);
	pass_to(2000);
	assert_int_equal(fired, 1);
	pass_to(5000);
	assert_int_equal(fired, COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(fired_order[i] * 77 % COUNT, i);
	assert_int_equal(timers_armed(), 0);
	assert_int_equal(apic_at, TIME_NEVER);
}

static void past_and_now(void **state __unused)
{
	timer_set(&timers[0], 0);
	assert_true(apic_at <= now + 1);
	timer_set(&timers[1], now);
	pass_to(now + 1);
	assert_int_equal(fired, 2);
	/* Never is a time like any other, only far. */
	timer_set(&timers[0], TIME_NEVER - 1);
	pass_to(now + NS_PER_SEC * 1000);
	assert_int_equal(fired, 2);
	assert_true(timer_armed(&timers[0]));
}

static void setting_again_moves(void **state __unused)
{
	timer_set(&timers[0], 5000);
	timer_set(&timers[0], 3000);
	assert_int_equal(timers_armed(), 1);
	pass_to(3000);
	assert_int_equal(fired, 1);
	timer_set(&timers[0], 5000);
	timer_set(&timers[0], 9000);
	pass_to(8999);
	assert_int_equal(fired, 1);
	pass_to(9000);
	assert_int_equal(fired, 2);
	timer_cancel(&timers[0]);
	timer_set(&timers[0], 10000);
	timer_cancel(&timers[0]);
	timer_cancel(&timers[0]);
	pass_to(20000);
	assert_int_equal(fired, 2);
}

static void a_timer_may_set_itself(void **state __unused)
{
	again = 100;
	timer_set(&timers[7], 2000);
	pass_to(3000);
	assert_int_equal(fired, 11);
	check_heap();
}

static void cancel_inside(struct timer *t)
{
	fired++;
	timer_cancel(t);
	timer_cancel(&timers[1]);
	timer_set(&timers[2], now);
}

static void changes_from_inside(void **state __unused)
{
	timer_init(&timers[0], cancel_inside);
	timer_set(&timers[0], 2000);
	timer_set(&timers[1], 2000 + 5);
	timer_set(&timers[2], 90000);
	now = 2500; /* all of them late */
	interrupt();
	assert_int_equal(fired, 2);
	assert_int_equal(timers_armed(), 0);
}

/* Random use against what a plain search says. */
static void random_use(void **state __unused)
{
	static uint64_t due[COUNT]; /* 0: not armed */
	uint64_t seed = 9;
	unsigned expected = 0;

	for (unsigned i = 0; i < COUNT; i++)
		due[i] = 0;
	for (unsigned step = 0; step < 20000; step++) {
		unsigned i;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		i = (seed >> 33) % COUNT;
		if (seed >> 62 == 0) {
			timer_cancel(&timers[i]);
			due[i] = 0;
		} else if (seed >> 62 < 3) {
			due[i] = now + 1 + (seed >> 20 & 0x3ff) * (seed >> 61 & 1 ? 1 : 20);
			timer_set(&timers[i], due[i]);
		} else {
			uint64_t to = now + (seed >> 20 & 0xff);

			for (unsigned n = 0; n < COUNT; n++) {
				if (due[n] && due[n] <= to) {
					due[n] = 0;
					expected++;
				}
			}
			pass_to(to);
			assert_int_equal(fired, expected);
		}
		for (unsigned n = 0; n < COUNT; n++)
			assert_int_equal(timer_armed(&timers[n]) ? timers[n].expires : 0, due[n]);
		if (step % 16 == 0)
			check_heap();
	}
	assert_true(expected > 1000);
}

static void too_many_panic(void **state __unused)
{
	static struct timer many[TIMERS_MAX + 1];

	for (unsigned i = 0; i < TIMERS_MAX; i++) {
		timer_init(&many[i], fire);
		timer_set(&many[i], 5000 + i);
	}
	timer_set(&many[0], 9000); /* moving one needs no room */
	timer_init(&many[TIMERS_MAX], fire);
	assert_panics(timer_set(&many[TIMERS_MAX], 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fires_in_order, setup),
		cmocka_unit_test_setup(past_and_now, setup),
		cmocka_unit_test_setup(setting_again_moves, setup),
		cmocka_unit_test_setup(a_timer_may_set_itself, setup),
		cmocka_unit_test_setup(changes_from_inside, setup),
		cmocka_unit_test_setup(random_use, setup),
		cmocka_unit_test_setup(too_many_panic, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
