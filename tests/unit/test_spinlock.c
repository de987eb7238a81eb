/* SPDX-License-Identifier: BSD-2-Clause */
/* Spin locks in a debug build: their order, their holder; and that they exclude.
 * libs: -lpthread
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#define LOCK_DEBUG
#include "panic_mock.h"
#include "smp_mock.h"

enum { CPUS = 4 };
static struct cpu cpus[CPUS];
#define this_cpu() (&cpus[cpu_index()])
#include "../../arch/x86/cpu/spinlock.c"
#undef this_cpu

static struct spinlock low, middle, high, other;

static int setup(void **state __unused)
{
	memset(cpus, 0, sizeof(cpus));
	test_cpu_index = 0;
	spinlock_init(&low, "low", LOCK_CHIPS);
	spinlock_init(&middle, "middle", LOCK_RUNQUEUE);
	spinlock_init(&other, "other", LOCK_RUNQUEUE);
	spinlock_init(&high, "high", LOCK_LOG);
	lock_longest = 0;
	return 0;
}

static void in_order(void **state __unused)
{
	static struct spinlock constant = SPINLOCK_INIT("constant", LOCK_STOP);

	for (unsigned i = 0; i < 3; i++) {
		spin_lock(&low);
		spin_lock(&constant);
		spin_lock(&middle);
		spin_lock(&high);
		assert_int_equal(cpus[0].held_count, 4);
		assert_true(low.held && constant.held && middle.held && high.held);
		/* Given back in any order. */
		spin_unlock(&middle);
		assert_false(middle.held);
		spin_unlock(i ? &high : &low);
		spin_unlock(i ? &low : &high);
		spin_unlock(&constant);
		assert_int_equal(cpus[0].held_count, 0);
		assert_false(low.held || constant.held || middle.held || high.held);
	}
}

static void out_of_order(void **state __unused)
{
	char text[80];

	snprintf(text, sizeof(text), "lock low (level %d) taken while middle (level %d)",
		 LOCK_CHIPS, LOCK_RUNQUEUE);
	spin_lock(&middle);
	assert_panics(spin_lock(&low));
	assert_non_null(strstr(panic_text, text));
	/* Nobody says which of the same level is first. */
	assert_panics(spin_lock(&other));
	/* Before it would wait for itself for ever. */
	assert_panics(spin_lock(&middle));
	assert_false(low.held || other.held);
	spin_lock(&high);
	/* Not only against the last one. */
	spin_unlock(&middle);
	assert_panics(spin_lock(&middle));
	spin_lock(&(struct spinlock)SPINLOCK_INIT("higher", LOCK_LOG + 1));
	spin_unlock(&high);
	assert_panics(spin_lock(&high));
}

/* What is held elsewhere is of no concern. */
static void of_this_cpu_only(void **state __unused)
{
	spin_lock(&high);
	test_cpu_index = 1;
	spin_lock(&middle);
	spin_lock(&(struct spinlock)SPINLOCK_INIT("timers", LOCK_TIMERS));
	test_cpu_index = 2;
	spin_lock(&low);
	assert_int_equal(cpus[0].held_count, 1);
	assert_int_equal(cpus[1].held_count, 2);
	assert_int_equal(cpus[2].held_count, 1);
}

/* It does not wait, so it cannot wait for ever. */
static void trying_is_free(void **state __unused)
{
	spin_lock(&middle);
	assert_true(spin_try_lock(&other));
	assert_true(spin_try_lock(&low));
	assert_int_equal(cpus[0].held_count, 3);
	/* Taken already: false, by whomever. */
	assert_false(spin_try_lock(&middle));
	assert_int_equal(cpus[0].held_count, 3);
	test_cpu_index = 1;
	assert_false(spin_try_lock(&low));
	assert_int_equal(cpus[1].held_count, 0);
	test_cpu_index = 0;
	/* But what was got that way counts from then on, and so does what was before it. */
	assert_panics(spin_lock(&low));
	spin_unlock(&other);
	assert_panics(spin_lock(&other));
	assert_true(spin_try_lock(&other));
	spin_unlock(&middle);
	spin_unlock(&low);
	assert_panics(spin_lock(&middle));
	spin_unlock(&other);
	spin_lock(&middle);
	spin_unlock(&middle);
	assert_true(spin_try_lock(&middle));
	spin_unlock(&middle);
}

static void released_by_another(void **state __unused)
{
	spin_lock(&middle);
	test_cpu_index = 1;
	assert_panics(spin_unlock(&middle));
	assert_non_null(strstr(panic_text, "middle"));
	assert_true(middle.held);
	/* Also by one that holds others. */
	spin_lock(&high);
	assert_panics(spin_unlock(&middle));
	test_cpu_index = 0;
	spin_unlock(&middle);
	/* And twice. */
	assert_panics(spin_unlock(&middle));
}

static void too_many(void **state __unused)
{
	static struct spinlock many[ARRAY_SIZE(cpus[0].held) + 1];

	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		spinlock_init(&many[i], "many", i + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(cpus[0].held); i++)
		spin_lock(&many[i]);
	assert_panics(spin_lock(&many[ARRAY_SIZE(cpus[0].held)]));
}

static void none_at_an_entry(void **state __unused)
{
	lock_debug_none("VM entry");
	spin_lock(&low);
	assert_panics(lock_debug_none("VM entry"));
	assert_string_equal(panic_text, "VM entry with lock low held");
	test_cpu_index = 1;
	lock_debug_none("VM entry");
	test_cpu_index = 0;
	spin_unlock(&low);
	lock_debug_none("VM entry");
}

static void longest(void **state __unused)
{
	uint64_t first;

	spin_lock(&low);
	spin_unlock(&low);
	assert_true(lock_longest > 0);
	assert_string_equal(lock_longest_name, "low");
	spin_lock(&high);
	for (uint64_t start = rdtsc(); rdtsc() - start < 200000;)
		;
	spin_unlock(&high);
	first = lock_longest;
	assert_true(first >= 200000);
	assert_string_equal(lock_longest_name, "high");
	spin_lock(&low);
	spin_unlock(&low);
	assert_true(lock_longest == first);
	assert_string_equal(lock_longest_name, "high");
	/* Not since it was taken for the first time, but the last. */
	for (uint64_t start = rdtsc(); rdtsc() - start < 2 * first;)
		;
	lock_longest = 0;
	assert_true(spin_try_lock(&high));
	spin_unlock(&high);
	assert_true(lock_longest < 2 * first);
}

/* Without atomics: only the lock keeps them right. */
static uint64_t counts[CPUS], count;
static volatile unsigned inside; /* who has the lock */
enum { EACH = 100000, DWELL = 30 };

static void counter(struct smp_cpu *cpu)
{
	for (unsigned i = 0; i < EACH; i++) {
		if (smp_random(cpu, 4)) {
			spin_lock(&middle);
		} else {
			while (!spin_try_lock(&middle))
				sched_yield();
		}
		CHECK(cpus[cpu->index].held_count == 1);
		inside = cpu->index;
		count++;
		counts[cpu->index]++;
		if (smp_random(cpu, 500) == 0)
			sched_yield();
		for (unsigned n = 0; n < DWELL; n++)
			CHECK(inside == cpu->index);
		spin_unlock(&middle);
	}
}

static void excludes(void **state __unused)
{
	static void (*const run[])(struct smp_cpu * cpu) = {counter, counter, counter, counter,
							    NULL};

	count = 0;
	smp_run(run, 5);
	assert_int_equal(count, CPUS * EACH);
	for (unsigned i = 0; i < CPUS; i++)
		assert_int_equal(counts[i], EACH);
	assert_false(middle.held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(in_order, setup),
		cmocka_unit_test_setup(out_of_order, setup),
		cmocka_unit_test_setup(of_this_cpu_only, setup),
		cmocka_unit_test_setup(trying_is_free, setup),
		cmocka_unit_test_setup(released_by_another, setup),
		cmocka_unit_test_setup(too_many, setup),
		cmocka_unit_test_setup(none_at_an_entry, setup),
		cmocka_unit_test_setup(longest, setup),
		cmocka_unit_test_setup(excludes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
