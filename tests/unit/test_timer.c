/* SPDX-License-Identifier: BSD-2-Clause */
/* The timer queues against a plain list: order, cancelling, re-arming, several CPUs, claims.
 * libs: -lpthread
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "panic_mock.h"
#include "smp_mock.h"
#include "../../kernel/timer.c"

enum { CPUS = 4, HERE = 3 /* where tests of one CPU run */ };
unsigned cpu_count = CPUS;
static uint64_t now;	       /* ns since boot; atomic */
static uint64_t apic_at[CPUS]; /* when the local APICs will interrupt; TIME_NEVER: disarmed */
static void (*interrupt)(void);
static unsigned allocations, refuse_from; /* pages_alloc() fails from that one on; 0: never */

uint64_t time_now(void)
{
	return __atomic_load_n(&now, __ATOMIC_RELAXED);
}

void apic_timer_arm(uint64_t ns)
{
	apic_at[cpu_index()] = ns ? time_now() + ns : TIME_NEVER;
}

void interrupt_bind(uint8_t vector, void (*handler)(void))
{
	assert_int_equal(vector, HOST_VEC_TIMER);
	interrupt = handler;
}

void *pages_alloc(size_t bytes, uint32_t owner)
{
	assert_int_equal(bytes % PAGE_SIZE, 0);
	assert_int_equal(owner, OWNER_CORE);
	allocations++;
	return refuse_from && allocations >= refuse_from ? NULL : calloc(1, bytes);
}

void pages_free(void *va, size_t bytes, uint32_t owner)
{
	assert_int_equal(owner, OWNER_CORE);
	assert_int_equal(va ? bytes != 0 : bytes, va ? 1 : 0);
	free(va);
}

enum { COUNT = 200 };
static struct timer timers[COUNT];
static unsigned fired_order[COUNT * 4], fired;
static unsigned fired_on;     /* CPU */
static uint64_t again;	      /* a timer that fires sets itself this much later; 0: not */
static bool leaves_unclaimed; /* fire() does not claim */

static void fire(struct timer *t)
{
	assert_false(timer_armed(t));
	assert_true(t->expires <= now);
	/* No lock is held, or its owner's could not be taken. */
	assert_int_equal(this_queue()->lock.held, 0);
	fired_on = cpu_index();
	fired_order[fired++ % ARRAY_SIZE(fired_order)] = (unsigned)(t - timers);
	if (!leaves_unclaimed)
		assert_true(timer_claim(t));
	if (again)
		timer_set(t, now + again);
}

static int setup(void **state __unused)
{
	now = 1000;
	fired = 0;
	again = 0;
	leaves_unclaimed = false;
	reserved = 0;
	refuse_from = 0;
	for (unsigned i = 0; i < COUNT; i++)
		timer_init(&timers[i], fire);
	for (unsigned i = 0; i < CPUS; i++) {
		free(queues[i].heap);
		queues[i] = (struct queue){0};
		apic_at[i] = TIME_NEVER;
		test_cpu_index = i;
		assert_int_equal(timers_init(), 0);
	}
	test_cpu_index = HERE;
	assert_non_null(interrupt);
	return 0;
}

/* Lets time pass to @when, interrupts as the local APIC delivers them. */
static void pass_to(uint64_t when)
{
	uint64_t *at = &apic_at[cpu_index()];

	while (*at <= when) {
		now = MAX(now, *at);
		*at = TIME_NEVER;
		interrupt();
	}
	now = when;
}

/* Of all CPUs. */
static void check_heaps(void)
{
	uint64_t first[CPUS];
	unsigned armed[CPUS] = {0};

	for (unsigned i = 0; i < CPUS; i++)
		first[i] = TIME_NEVER;
	for (unsigned i = 0; i < COUNT; i++) {
		if (!timer_armed(&timers[i]))
			continue;
		armed[timers[i].cpu]++;
		first[timers[i].cpu] = MIN(first[timers[i].cpu], timers[i].expires);
		assert_ptr_equal(queues[timers[i].cpu].heap[timers[i].slot - 1], &timers[i]);
	}
	for (unsigned i = 0; i < CPUS; i++) {
		assert_int_equal(queues[i].count, armed[i]);
		assert_int_equal(queues[i].lock.held, 0);
		for (unsigned n = 1; n < armed[i]; n++)
			assert_true(queues[i].heap[(n - 1) / 2]->expires <=
				    queues[i].heap[n]->expires);
		/* The interrupt comes no later than the first timer wants it. */
		if (armed[i])
			assert_true(apic_at[i] <= MAX(first[i], now + 1));
	}
}

static void fires_in_order(void **state __unused)
{
	/* 77 is prime to 200: all times once, shuffled. */
	for (unsigned i = 0; i < COUNT; i++)
		timer_set(&timers[i], 2000 + i * 77 % COUNT * 10);
	assert_int_equal(timers[0].cpu, HERE);
	check_heaps();
	pass_to(1999);
	assert_int_equal(fired, 0);
	pass_to(2000);
	assert_int_equal(fired, 1);
	pass_to(5000);
	assert_int_equal(fired, COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(fired_order[i] * 77 % COUNT, i);
	assert_int_equal(timers_armed(), 0);
	assert_int_equal(apic_at[HERE], TIME_NEVER);
}

static void past_and_now(void **state __unused)
{
	timer_set(&timers[0], 0);
	assert_true(apic_at[HERE] <= now + 1);
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
	check_heaps();
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

static void polling(void **state __unused)
{
	timer_set(&timers[0], 2000);
	now = 1999;
	timers_poll();
	assert_int_equal(fired, 0);
	now = 2000;
	/* Of its own CPU only. */
	test_cpu_index = 1;
	timers_poll();
	assert_int_equal(fired, 0);
	test_cpu_index = HERE;
	timers_poll();
	assert_int_equal(fired, 1);
	assert_int_equal(fired_on, HERE);
}

/* The local APIC counts in its own ticks, so it may come before the time as we count it. */
static void early_interrupt_is_repeated(void **state __unused)
{
	timer_set(&timers[0], 2000);
	now = 1999;
	apic_at[HERE] = TIME_NEVER;
	interrupt();
	assert_int_equal(fired, 0);
	assert_int_equal(apic_at[HERE], 2000);
	pass_to(2000);
	assert_int_equal(fired, 1);
}

static void moves_to_the_cpu_that_sets_it(void **state __unused)
{
	test_cpu_index = 1;
	timer_set(&timers[0], 2000);
	timer_set(&timers[1], 2500);
	assert_int_equal(timers_armed(), 2);
	test_cpu_index = 2;
	timer_set(&timers[0], 3000);
	assert_int_equal(timers_armed(), 1);
	assert_int_equal(timers[0].cpu, 2);
	assert_int_equal(apic_at[2], 3000);
	check_heaps();
	/* The first one interrupts for nothing and goes on to what it has left. */
	test_cpu_index = 1;
	assert_int_equal(timers_armed(), 1);
	pass_to(2400);
	assert_int_equal(fired, 0);
	assert_int_equal(apic_at[1], 2500);
	pass_to(3000);
	assert_int_equal(fired, 1);
	assert_int_equal(fired_order[0], 1);
	test_cpu_index = 2;
	interrupt();
	assert_int_equal(fired, 2);
	assert_int_equal(fired_on, 2);
	assert_int_equal(fired_order[1], 0);
}

static void cancelled_from_afar(void **state __unused)
{
	test_cpu_index = 1;
	for (unsigned i = 0; i < 9; i++)
		timer_set(&timers[i], 2000 + 100 * i);
	test_cpu_index = 2;
	for (unsigned i = 0; i < 9; i += 2)
		timer_cancel(&timers[i]);
	check_heaps();
	/* Of no concern to this CPU's own APIC. */
	assert_int_equal(apic_at[2], TIME_NEVER);
	assert_int_equal(apic_at[1], 2000);
	test_cpu_index = 1;
	pass_to(5000);
	assert_int_equal(fired, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(fired_order[i], 2 * i + 1);
	assert_int_equal(apic_at[1], TIME_NEVER);
}

/* Expired, and what it was for not done yet: whoever asks first, once. */
static void claimed_once(void **state __unused)
{
	leaves_unclaimed = true;
	test_cpu_index = 1;
	timer_set(&timers[0], 2000);
	assert_false(timer_claim(&timers[0]));
	pass_to(1999);
	assert_false(timer_claim(&timers[0]));
	pass_to(2000);
	assert_int_equal(fired, 1);
	test_cpu_index = 2;
	assert_true(timer_claim(&timers[0]));
	assert_false(timer_claim(&timers[0]));
	test_cpu_index = 1;
	assert_false(timer_claim(&timers[0]));
}

/* What the owner does after it expired and before the claim counts. */
static void not_meant_any_more(void **state __unused)
{
	leaves_unclaimed = true;
	for (unsigned cpu = 1; cpu < 3; cpu++) {
		setup(NULL);
		leaves_unclaimed = true;
		test_cpu_index = 1;
		timer_set(&timers[0], 2000);
		timer_set(&timers[1], 2000);
		pass_to(2000);
		assert_int_equal(fired, 2);
		test_cpu_index = cpu;
		timer_cancel(&timers[0]);
		assert_false(timer_claim(&timers[0]));
		timer_set(&timers[1], 3000);
		assert_false(timer_claim(&timers[1]));
		pass_to(2999);
		assert_false(timer_claim(&timers[1]));
		pass_to(3000);
		assert_true(timer_claim(&timers[1]));
		assert_false(timer_claim(&timers[1]));
		assert_int_equal(fired, 3);
	}
}

/* Larger arrays while timers are armed, on all CPUs. */
static void room_grows(void **state __unused)
{
	static struct timer many[FIRST_TIMERS + 1];
	struct timer **before[CPUS];

	for (unsigned i = 0; i < COUNT; i++) {
		test_cpu_index = i % CPUS;
		timer_set(&timers[i], 2000 + i * 77 % COUNT * 10);
	}
	test_cpu_index = 0;
	for (unsigned i = 0; i < CPUS; i++)
		before[i] = queues[i].heap;
	assert_int_equal(timers_reserve(FIRST_TIMERS), 0);
	for (unsigned i = 0; i < CPUS; i++)
		assert_ptr_equal(queues[i].heap, before[i]);
	assert_int_equal(timers_reserve(1), 0);
	for (unsigned i = 0; i < CPUS; i++) {
		assert_ptr_not_equal(queues[i].heap, before[i]);
		assert_true(queues[i].room > FIRST_TIMERS);
	}
	check_heaps();
	for (unsigned i = 0; i < CPUS; i++) {
		test_cpu_index = i;
		pass_to(now);
	}
	/* They may all come to one CPU. */
	test_cpu_index = 2;
	for (unsigned i = 0; i <= FIRST_TIMERS; i++) {
		timer_init(&many[i], fire);
		timer_set(&many[i], 100000 - i);
	}
	for (unsigned i = 0; i <= FIRST_TIMERS; i++)
		timer_cancel(&many[i]);
	check_heaps();
	for (unsigned i = 0; i < CPUS; i++) {
		test_cpu_index = i;
		now = 4000;
		interrupt();
	}
	assert_int_equal(fired, COUNT);
}

static void no_room(void **state __unused)
{
	timer_set(&timers[0], 2000);
	refuse_from = allocations + 3;
	assert_int_equal(timers_reserve(FIRST_TIMERS + 1), -S_NOMEM);
	check_heaps();
	/* Nothing was promised. */
	assert_int_equal(reserved, 0);
	refuse_from = 0;
	assert_int_equal(timers_reserve(FIRST_TIMERS + 1), 0);
	for (unsigned i = 0; i < CPUS; i++)
		assert_true(queues[i].room > FIRST_TIMERS);
	/* A CPU that starts later has as much. */
	free(queues[1].heap);
	queues[1] = (struct queue){0};
	test_cpu_index = 1;
	refuse_from = allocations + 1;
	assert_int_equal(timers_init(), -S_NOMEM);
	refuse_from = 0;
	assert_int_equal(timers_init(), 0);
	assert_int_equal(queues[1].room, queues[0].room);
}

/* Random use by all CPUs against what a plain search says. */
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
		test_cpu_index = seed >> 13 & 3;
		if (seed >> 62 == 0) {
			timer_cancel(&timers[i]);
			due[i] = 0;
		} else if (seed >> 62 < 3) {
			due[i] = now + 1 + (seed >> 20 & 0x3ff) * (seed >> 61 & 1 ? 1 : 20);
			timer_set(&timers[i], due[i]);
		} else {
			uint64_t from = now, to = now + (seed >> 20 & 0xff);

			for (unsigned n = 0; n < COUNT; n++) {
				if (due[n] && due[n] <= to) {
					due[n] = 0;
					expected++;
				}
			}
			for (unsigned n = 0; n < CPUS; n++) {
				now = from;
				test_cpu_index = n;
				pass_to(to);
			}
			assert_int_equal(fired, expected);
		}
		for (unsigned n = 0; n < COUNT; n++)
			assert_int_equal(timer_armed(&timers[n]) ? timers[n].expires : 0, due[n]);
		if (step % 16 == 0)
			check_heaps();
	}
	assert_true(expected > 1000);
}

static void too_many_panic(void **state __unused)
{
	static struct timer many[FIRST_TIMERS + 1];

	for (unsigned i = 0; i < FIRST_TIMERS; i++) {
		timer_init(&many[i], fire);
		timer_set(&many[i], 5000 + i);
	}
	timer_set(&many[0], 9000); /* moving one needs no room */
	timer_init(&many[FIRST_TIMERS], fire);
	assert_panics(timer_set(&many[FIRST_TIMERS], 1));
}

/*
 * All CPUs at once. Each timer has an owner's lock, as a device's or a vCPU's would be, which
 * whoever sets, cancels or claims it holds; and below that lock a note of what is meant.
 */
enum { STRESS_TIMERS = 24, STEPS = 60000 };
static struct owned {
	struct timer timer;
	struct spinlock lock;
	bool meant; /* it was set, and neither cancelled nor claimed since */
	unsigned claims;
} owned[STRESS_TIMERS];
static unsigned through; /* CPUs that are; atomic */
static unsigned stale;	 /* calls of fire() that were not meant any more; atomic */

static void owned_fire(struct timer *t)
{
	struct owned *o = container_of(t, struct owned, timer);

	/* The owner may come first. */
	if (time_now() % 4 == 0)
		sched_yield();
	spin_lock(&o->lock);
	if (timer_claim(t)) {
		CHECK(o->meant);
		CHECK(t->expires <= time_now());
		CHECK(!timer_armed(t));
		o->meant = false;
		o->claims++;
	} else {
		__atomic_fetch_add(&stale, 1, __ATOMIC_RELAXED);
	}
	spin_unlock(&o->lock);
}

static void change(struct owned *o, uint32_t random)
{
	spin_lock(&o->lock);
	if (random >> 30 == 0) {
		timer_cancel(&o->timer);
		o->meant = false;
	} else {
		timer_set(&o->timer, time_now() + (random & 63));
		o->meant = true;
	}
	spin_unlock(&o->lock);
}

static void *stress_cpu(void *arg)
{
	uint32_t seed = (uint32_t)(uintptr_t)arg;

	test_cpu_index = (unsigned)(uintptr_t)arg;
	for (unsigned step = 0; step < STEPS; step++) {
		seed = seed * 1664525 + 1013904223;
		change(&owned[(seed >> 16) % STRESS_TIMERS], seed);
		__atomic_fetch_add(&now, 1, __ATOMIC_RELAXED);
		if (seed >> 27 == 0)
			sched_yield();
		/* Only when its APIC says so: who does not tell it loses a timer. */
		if (apic_at[cpu_index()] <= time_now())
			interrupt();
	}
	__atomic_fetch_add(&through, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&through, __ATOMIC_SEQ_CST) < CPUS || timers_armed()) {
		__atomic_fetch_add(&now, 1, __ATOMIC_RELAXED);
		if (apic_at[cpu_index()] <= time_now())
			interrupt();
	}
	return NULL;
}

static void all_cpus_at_once(void **state __unused)
{
	pthread_t thread[CPUS];
	unsigned claims = 0;

	through = stale = 0;
	for (unsigned i = 0; i < STRESS_TIMERS; i++) {
		owned[i] = (struct owned){0};
		timer_init(&owned[i].timer, owned_fire);
	}
	for (uintptr_t i = 0; i < CPUS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, stress_cpu, (void *)i), 0);
	for (unsigned i = 0; i < CPUS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < STRESS_TIMERS; i++) {
		assert_false(owned[i].meant);
		assert_false(timer_armed(&owned[i].timer));
		claims += owned[i].claims;
	}
	assert_true(claims > STEPS / 100);
	assert_true(stale > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fires_in_order, setup),
		cmocka_unit_test_setup(past_and_now, setup),
		cmocka_unit_test_setup(setting_again_moves, setup),
		cmocka_unit_test_setup(a_timer_may_set_itself, setup),
		cmocka_unit_test_setup(changes_from_inside, setup),
		cmocka_unit_test_setup(polling, setup),
		cmocka_unit_test_setup(early_interrupt_is_repeated, setup),
		cmocka_unit_test_setup(moves_to_the_cpu_that_sets_it, setup),
		cmocka_unit_test_setup(cancelled_from_afar, setup),
		cmocka_unit_test_setup(claimed_once, setup),
		cmocka_unit_test_setup(not_meant_any_more, setup),
		cmocka_unit_test_setup(room_grows, setup),
		cmocka_unit_test_setup(no_room, setup),
		cmocka_unit_test_setup(random_use, setup),
		cmocka_unit_test_setup(too_many_panic, setup),
		cmocka_unit_test_setup(all_cpus_at_once, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
