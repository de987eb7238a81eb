/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler's policy, rule by rule: order, wake-up, preemption, caps, moves, print. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "panic_mock.h"
#include "../../lib/format.c"
#include "../../kernel/fair_heap.c"
#include "../../kernel/fair_cap.c"
#include "../../kernel/fair.c"
#include "../../kernel/fair_balance.c"
#include "../../kernel/fair_print.c"

#define MS NS_PER_MS
#define US NS_PER_US
enum { CPUS = 3, ROOM = 128, WEIGHT = 256 };
static const uint64_t all = BIT(CPUS) - 1;

static struct fair_queue queue[CPUS];
static struct fair_queue *const queues[] = {&queue[0], &queue[1], &queue[2]};
static struct fair_group no_cap;
static struct fair_entity entity[600];
static uint64_t now;
static bool out_of_memory;

void *pages_alloc(size_t size, uint32_t owner)
{
	assert_int_equal(owner, OWNER_CORE);
	return out_of_memory ? NULL : calloc(1, size);
}

void pages_free(void *va, size_t size, uint32_t owner)
{
	free(va);
}

static int setup(void **state __unused)
{
	out_of_memory = false;
	now = 1000 * MS;
	fair_group_init(&no_cap, 0);
	for (unsigned i = 0; i < CPUS; i++) {
		fair_queue_init(&queue[i], i);
		assert_int_equal(fair_queue_reserve(&queue[i], 1), 0);
		/* Close to where it wraps. */
		queue[i].vtime = UINT64_MAX - vtime_span(3 * MS, WEIGHT);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(entity); i++)
		fair_entity_init(&entity[i], &no_cap, WEIGHT, all);
	return 0;
}

static int teardown(void **state __unused)
{
	for (unsigned i = 0; i < CPUS; i++)
		free(queue[i].waiting.slots);
	return 0;
}

static struct fair_entity *pick(struct fair_queue *q)
{
	uint64_t slice;

	return fair_pick(q, now, &slice);
}

/* The one picked runs for @ns. */
static struct fair_entity *run(struct fair_queue *q, uint64_t ns)
{
	struct fair_entity *e = pick(q);

	assert_non_null(e);
	now += ns;
	fair_charge(q, e, ns, now);
	return e;
}

static void wake(struct fair_queue *q, struct fair_entity *e)
{
	fair_wake(q, e, now);
}

/* Runs @e alone on @q, so that it stays as the running one. */
static void occupy(struct fair_queue *q, struct fair_entity *e)
{
	wake(q, e);
	assert_ptr_equal(pick(q), e);
}

static void runs_by_weight(void **state __unused)
{
	uint64_t got[3] = {0};

	entity[1].weight = 2 * WEIGHT;
	entity[2].weight = 5 * WEIGHT;
	for (unsigned i = 0; i < 3; i++)
		wake(queues[0], &entity[i]);
	for (unsigned i = 0; i < 8000; i++) {
		struct fair_entity *e = run(queues[0], FAIR_SLICE);

		got[e - entity] += FAIR_SLICE;
		fair_put(queues[0], e, now);
	}
	for (unsigned i = 0; i < 3; i++) {
		uint64_t ideal = 8000ull * FAIR_SLICE * entity[i].weight / (8 * WEIGHT);

		assert_in_range(got[i] + FAIR_SLICE, ideal, ideal + 2 * FAIR_SLICE);
	}
}

static void slice_is_endless_only_alone(void **state __unused)
{
	uint64_t slice;

	wake(queues[0], &entity[0]);
	assert_ptr_equal(fair_pick(queues[0], now, &slice), &entity[0]);
	assert_true(slice == TIME_NEVER);
	fair_charge(queues[0], &entity[0], MS, now += MS);
	fair_put(queues[0], &entity[0], now);
	wake(queues[0], &entity[1]);
	assert_non_null(fair_pick(queues[0], now, &slice));
	assert_int_equal(slice, FAIR_SLICE);
}

static void empty_queue_has_nobody(void **state __unused)
{
	assert_null(pick(queues[0]));
	assert_true(fair_next(queues[0], now) == TIME_NEVER);
	wake(queues[0], &entity[0]);
	fair_remove(queues[0], &entity[0]);
	assert_null(pick(queues[0]));
	assert_int_equal(fair_load(queues[0]), 0);
	assert_int_equal(fair_runnable(queues[0]), 0);
}

static void load_is_of_those_that_run_or_wait(void **state __unused)
{
	entity[1].weight = 7;
	occupy(queues[0], &entity[0]);
	wake(queues[0], &entity[1]);
	assert_int_equal(fair_load(queues[0]), WEIGHT + 7);
	assert_int_equal(fair_runnable(queues[0]), 2);
	fair_charge(queues[0], &entity[0], MS, now += MS);
	assert_int_equal(fair_load(queues[0]), 7);
	assert_int_equal(fair_runnable(queues[0]), 1);
}

static void no_rounding_error_adds_up(void **state __unused)
{
	struct fair_entity *e = &entity[0];
	uint64_t before;

	e->weight = 65521; /* a prime */
	wake(queues[0], e);
	before = e->vtime;
	for (unsigned i = 0; i < 65521; i++) {
		assert_ptr_equal(run(queues[0], 3), e);
		fair_put(queues[0], e, now);
	}
	assert_int_equal(e->vtime - before, 3 << FAIR_SHIFT);
}

static void longest_time_may_be_charged(void **state __unused)
{
	wake(queues[0], &entity[0]);
	run(queues[0], UINT64_MAX / 2);
	fair_put(queues[0], &entity[0], now);
	wake(queues[0], &entity[1]);
	assert_int_equal(queue[0].vtime, entity[1].vtime);
}

static void newcomer_begins_at_the_clock(void **state __unused)
{
	occupy(queues[0], &entity[0]);
	now += 50 * MS;
	wake(queues[0], &entity[1]);
	assert_int_equal(fair_lag(queues[0], &entity[1], now), 0);
}

static void sleeper_has_bounded_credit(void **state __unused)
{
	wake(queues[0], &entity[1]);
	run(queues[0], MS);
	occupy(queues[0], &entity[0]);
	now += 500 * MS;
	wake(queues[0], &entity[1]);
	/* The clock of two is where their average is. */
	assert_int_equal(vtime_span(FAIR_CREDIT, WEIGHT),
			 entity[0].vtime + vtime_span(500 * MS, WEIGHT) - entity[1].vtime);
}

static void nap_wins_nothing(void **state __unused)
{
	uint64_t vtime;

	wake(queues[0], &entity[0]);
	wake(queues[0], &entity[1]);
	assert_ptr_equal(run(queues[0], 4 * MS), &entity[0]);
	vtime = entity[0].vtime;
	wake(queues[0], &entity[0]);
	assert_int_equal(entity[0].vtime, vtime);
	assert_ptr_equal(pick(queues[0]), &entity[1]);
}

static void sleeper_is_as_far_ahead_on_another_cpu(void **state __unused)
{
	queue[1].vtime += vtime_span(NS_PER_SEC, WEIGHT);
	wake(queues[1], &entity[1]);
	wake(queues[1], &entity[2]);
	run(queues[1], 4 * MS);
	occupy(queues[0], &entity[3]);
	wake(queues[0], &entity[1]);
	assert_int_equal(entity[1].vtime - entity[3].vtime, vtime_span(4 * MS, WEIGHT));
}

static void woken_one_behind_preempts(void **state __unused)
{
	struct fair_entity *hog = &entity[0], *woken = &entity[1];

	wake(queues[0], woken);
	run(queues[0], MS);
	occupy(queues[0], hog);
	now += 20 * MS;
	wake(queues[0], woken);
	assert_true(fair_preempts(queues[0], woken, hog, 20 * MS, now));
	/* Bounded rate: not before the running one had its least. */
	hog->vtime += vtime_span(20 * MS, WEIGHT);
	assert_int_equal(fair_preempt_in(queues[0], woken, hog, 100 * US, now),
			 FAIR_LEAST - 100 * US);
}

static void woken_one_ahead_waits_for_the_slice(void **state __unused)
{
	struct fair_entity *other = &entity[0], *woken = &entity[1];

	wake(queues[0], other);
	wake(queues[0], woken);
	woken->vtime = other->vtime + vtime_span(9 * MS, WEIGHT);
	assert_ptr_equal(pick(queues[0]), other);
	assert_false(fair_preempts(queues[0], woken, other, MS, now));
	assert_int_equal(fair_preempt_in(queues[0], woken, other, MS, now), FAIR_SLICE - MS);
	assert_int_equal(fair_preempt_in(queues[0], woken, other, 7 * MS, now), 0);
}

/* One VM with a cap, its two vCPUs. */
static struct fair_group capped;

static void cap(unsigned percent)
{
	fair_group_init(&capped, percent);
	entity[0].group = entity[1].group = &capped;
}

/* CPU time that those on the first queue get until @until, in all. */
static uint64_t run_until(uint64_t until)
{
	uint64_t got = 0, slice;

	while (now < until) {
		struct fair_entity *e = fair_pick(queues[0], now, &slice);

		if (!e) {
			uint64_t next = fair_next(queues[0], now);

			assert_true(next > now && next != TIME_NEVER);
			now = next;
			continue;
		}
		assert_true(slice > 0);
		got += MIN(slice, 10 * MS);
		now += MIN(slice, 10 * MS);
		fair_charge(queues[0], e, MIN(slice, 10 * MS), now);
		fair_put(queues[0], e, now);
	}
	return got;
}

static void cap_holds(void **state __unused)
{
	static const unsigned percents[] = {1, 10, 33, 50, 99, 100};

	for (unsigned i = 0; i < ARRAY_SIZE(percents); i++) {
		uint64_t start, got, ideal = 200 * NS_PER_SEC / 100 * percents[i];

		teardown(NULL);
		setup(NULL);
		cap(percents[i]);
		start = now;
		wake(queues[0], &entity[0]);
		wake(queues[0], &entity[1]);
		got = run_until(start + 200 * NS_PER_SEC);
		assert_in_range(got, ideal - ideal / 50, ideal + ideal / 50);
		/* And nothing beyond its burst in any short time. */
		start = now;
		got = run_until(start + 100 * MS);
		assert_true(got <= 100 * MS / 100 * percents[i] + FAIR_BURST / 100 * percents[i] +
					   2 * FAIR_SLICE);
	}
}

static void capped_one_is_no_load(void **state __unused)
{
	struct fair_entity *e = &entity[0];

	cap(10);
	wake(queues[0], e);
	while (e->state == FAIR_WAITING) {
		run(queues[0], 5 * MS);
		fair_put(queues[0], e, now);
	}
	assert_int_equal(e->state, FAIR_CAPPED);
	assert_int_equal(fair_load(queues[0]), 0);
	assert_int_equal(queue[0].stopped, WEIGHT);
	assert_null(pick(queues[0]));
	assert_int_equal(fair_next(queues[0], now), e->release);
	assert_true(e->release > now);
	/* Its return cuts the slice of another one. */
	wake(queues[0], &entity[2]);
	{
		uint64_t slice;

		assert_ptr_equal(fair_pick(queues[0], now, &slice), &entity[2]);
		assert_int_equal(slice, e->release - now);
		fair_charge(queues[0], &entity[2], slice, now += slice);
	}
	assert_ptr_equal(pick(queues[0]), e);
	assert_int_equal(queue[0].stopped, 0);
}

static void capped_one_is_removed(void **state __unused)
{
	cap(10);
	wake(queues[0], &entity[0]);
	while (entity[0].state == FAIR_WAITING) {
		run(queues[0], 5 * MS);
		fair_put(queues[0], &entity[0], now);
	}
	fair_remove(queues[0], &entity[0]);
	assert_int_equal(queue[0].stopped, 0);
	assert_true(fair_next(queues[0], now) == TIME_NEVER);
	assert_int_equal(entity[0].state, FAIR_OUT);
}

static void idle_group_saves_nothing(void **state __unused)
{
	uint64_t got, start;

	cap(50);
	wake(queues[0], &entity[0]);
	run(queues[0], MS);
	now += 100 * NS_PER_SEC;
	wake(queues[0], &entity[0]);
	start = now;
	got = run_until(start + NS_PER_SEC);
	assert_in_range(got, 500 * MS, 500 * MS + FAIR_BURST / 2 + FAIR_SLICE);
}

static void sleeper_keeps_no_part(void **state __unused)
{
	cap(50);
	wake(queues[0], &entity[0]);
	run(queues[0], MS);
	now += 10 * NS_PER_SEC;
	wake(queues[0], &entity[0]);
	assert_int_equal(entity[0].budget, FAIR_SLICE);
	assert_int_equal(capped.spent, now + 2 * FAIR_SLICE);
}

static void sleeper_gives_its_part_back(void **state __unused)
{
	uint64_t spent;

	cap(50);
	wake(queues[0], &entity[0]);
	spent = capped.spent;
	assert_true(spent > now);
	run(queues[0], MS);
	/* It sleeps: what it did not use is not lost for the group. */
	now += MS;
	fair_cap_return(&entity[0]);
	assert_int_equal(capped.spent, spent - 2 * 4 * MS);
	assert_int_equal(entity[0].budget, 0);
}

static void group_takes_turns(void **state __unused)
{
	uint64_t got[2] = {0}, slice;

	cap(30);
	wake(queues[0], &entity[0]);
	wake(queues[0], &entity[1]);
	while (now < 101 * NS_PER_SEC) {
		struct fair_entity *e = fair_pick(queues[0], now, &slice);

		if (!e) {
			now = fair_next(queues[0], now);
			continue;
		}
		got[e - entity] += slice;
		fair_charge(queues[0], e, slice, now += slice);
		fair_put(queues[0], e, now);
	}
	assert_in_range(got[0], 14700 * MS, 15300 * MS);
	assert_in_range(got[1], 14700 * MS, 15300 * MS);
}

static void reserve_keeps_what_is_there(void **state __unused)
{
	struct fair_slot *slots = queue[0].waiting.slots;

	for (unsigned i = 0; i < ROOM; i++) {
		wake(queues[0], &entity[i]);
		entity[i].weight = WEIGHT;
	}
	assert_panics(wake(queues[0], &entity[ROOM]));
	entity[ROOM].state = FAIR_OUT;
	assert_int_equal(fair_queue_reserve(queues[0], ROOM), 0);
	assert_ptr_equal(queue[0].waiting.slots, slots);
	out_of_memory = true;
	assert_int_equal(fair_queue_reserve(queues[0], ROOM + 1), -S_NOMEM);
	assert_ptr_equal(queue[0].waiting.slots, slots);
	assert_int_equal(queue[0].room, ROOM);
	out_of_memory = false;
	assert_int_equal(fair_queue_reserve(queues[0], 500), 0);
	assert_true(queue[0].room >= 500);
	for (unsigned i = ROOM; i < 500; i++)
		wake(queues[0], &entity[i]);
	for (unsigned i = 0; i < 500; i++) {
		struct fair_entity *e = run(queues[0], MS);

		assert_int_equal(e->state, FAIR_OUT);
		e->weight = 0; /* seen */
	}
	assert_null(pick(queues[0]));
}

static void picks_in_order_past_the_wrap(void **state __unused)
{
	for (unsigned i = 0; i < 100; i++) {
		wake(queues[0], &entity[i]);
		fair_dequeue(queues[0], &entity[i]);
		entity[i].vtime = UINT64_MAX - 5000 + (i * 37 % 100) * 100;
		fair_put(queues[0], &entity[i], now);
	}
	for (unsigned i = 0; i < 50; i++)
		fair_remove(queues[0], &entity[2 * i]);
	for (unsigned last = 0, i = 0; i < 50; i++) {
		unsigned at = (unsigned)(run(queues[0], 0) - entity) * 37 % 100;

		assert_true(i == 0 || at > last);
		last = at;
	}
}

static void heap_stays_in_order_when_one_leaves(void **state __unused)
{
	static const unsigned keys[] = {1, 10, 2, 11, 12, 3, 4}, order[] = {0, 2, 5, 6, 1, 4};
	struct fair_heap *h = &queue[0].waiting;

	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
		fair_heap_add(h, &entity[i], keys[i]);
	/* The last one, 4, takes the place of 11, below 10. */
	fair_heap_remove(h, &entity[3]);
	assert_ptr_equal(h->slots[1].entity, &entity[6]);
	assert_int_equal(entity[1].slot, 3);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
		assert_ptr_equal(h->slots[0].entity, &entity[order[i]]);
		fair_heap_remove(h, h->slots[0].entity);
	}
	assert_int_equal(h->count, 0);
}

static void wakes_where_it_was(void **state __unused)
{
	struct fair_entity *e = &entity[0];

	wake(queues[1], e);
	run(queues[1], MS);
	assert_ptr_equal(fair_place(queues, CPUS, e), queues[1]);
	/* Busy, and another is idle: there. */
	occupy(queues[1], &entity[1]);
	assert_ptr_not_equal(fair_place(queues, CPUS, e), queues[1]);
	/* All busy: where it was. */
	occupy(queues[0], &entity[2]);
	occupy(queues[2], &entity[3]);
	assert_ptr_equal(fair_place(queues, CPUS, e), queues[1]);
	for (unsigned i = 4; i < 6; i++)
		wake(queues[1], &entity[i]);
	assert_ptr_equal(fair_place(queues, CPUS, e), queues[1]);
	/* Unless it is much busier there. */
	wake(queues[1], &entity[6]);
	assert_ptr_not_equal(fair_place(queues, CPUS, e), queues[1]);
}

static void goes_to_the_longest_idle_cpu(void **state __unused)
{
	struct fair_entity *e = &entity[0];
	static const unsigned order[] = {0, 2, 1};

	for (unsigned i = 0; i < CPUS; i++) {
		wake(queues[order[i]], &entity[1]);
		run(queues[order[i]], MS);
	}
	assert_ptr_equal(fair_place(queues, CPUS, e), queues[0]);
	occupy(queues[0], &entity[2]);
	assert_ptr_equal(fair_place(queues, CPUS, e), queues[2]);
}

static void is_placed_in_its_cpuset(void **state __unused)
{
	struct fair_entity *e = &entity[0];

	wake(queues[1], e);
	run(queues[1], MS);
	e->cpuset = BIT(2);
	assert_ptr_equal(fair_place(queues, CPUS, e), queues[2]);
	for (unsigned i = 1; i < 20; i++)
		wake(queues[2], &entity[i]);
	assert_ptr_equal(fair_place(queues, CPUS, e), queues[2]);
}

static bool nobody(struct fair_entity *e __unused)
{
	return false;
}

static void idle_cpu_takes_who_waits(void **state __unused)
{
	occupy(queues[0], &entity[0]);
	assert_null(fair_busiest(queues, CPUS, 1, 0));
	assert_null(fair_take(queues[0], 1, now, NULL));
	wake(queues[0], &entity[1]);
	assert_ptr_equal(fair_busiest(queues, CPUS, 1, 0), queues[0]);
	assert_null(fair_busiest(queues, CPUS, 0, 0));
	assert_null(fair_busiest(queues, CPUS, 1, BIT(0)));
	occupy(queues[2], &entity[2]);
	wake(queues[2], &entity[3]);
	wake(queues[2], &entity[4]);
	assert_ptr_equal(fair_busiest(queues, CPUS, 1, 0), queues[2]);
	assert_null(fair_take(queues[0], 1, now, nobody));
	entity[1].cpuset = BIT(0) | BIT(2);
	assert_null(fair_take(queues[0], 1, now, NULL));
	entity[1].cpuset = all;
	assert_ptr_equal(fair_take(queues[0], 1, now, NULL), &entity[1]);
	fair_move_in(queues[1], &entity[1], now);
	assert_int_equal(queue[1].moved_in, 1);
	assert_ptr_equal(pick(queues[1]), &entity[1]);
}

static void idle_cpu_leaves_the_next_one(void **state __unused)
{
	wake(queues[0], &entity[0]);
	assert_null(fair_take(queues[0], 1, now, NULL));
	wake(queues[0], &entity[1]);
	assert_ptr_equal(fair_take(queues[0], 1, now, NULL), &entity[1]);
	assert_null(fair_take(queues[0], 1, now + FAIR_SETTLE / 2, NULL));
	/* That CPU does something else. */
	assert_ptr_equal(fair_take(queues[0], 1, now + 2 * FAIR_SETTLE, NULL), &entity[0]);
}

static void capped_one_is_not_taken(void **state __unused)
{
	cap(10);
	wake(queues[0], &entity[0]);
	while (entity[0].state == FAIR_WAITING) {
		run(queues[0], 5 * MS);
		fair_put(queues[0], &entity[0], now);
	}
	occupy(queues[0], &entity[2]);
	assert_null(fair_take(queues[0], 1, now, NULL));
}

/* Who waits on the first CPU, the first one in front, when it looks for a balance. */
static void crowd(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		wake(queues[0], &entity[i]);
		now += 10 * US;
	}
}

static void loads_become_equal(void **state __unused)
{
	struct fair_queue *to;
	unsigned moves = 0;

	crowd(6);
	while ((to = fair_balance_to(queues[0], queues, CPUS, now))) {
		struct fair_entity *e = fair_balance(queues[0], to, now, NULL);

		assert_non_null(e);
		assert_ptr_not_equal(e, &entity[0]);
		assert_ptr_equal(e->queue, to);
		assert_true(++moves < 6);
	}
	for (unsigned i = 0; i < CPUS; i++)
		assert_int_equal(fair_load(queues[i]), 2 * WEIGHT);
	/* It looks again after a while only. */
	crowd(0);
	for (unsigned i = 10; i < 16; i++)
		wake(queues[0], &entity[i]);
	assert_null(fair_balance_to(queues[0], queues, CPUS, now + FAIR_BALANCE / 2));
	assert_non_null(fair_balance_to(queues[0], queues, CPUS, now + FAIR_BALANCE));
}

static void few_move_in_one_go(void **state __unused)
{
	unsigned moves = 0;
	struct fair_queue *to;

	crowd(60);
	while ((to = fair_balance_to(queues[0], queues, CPUS, now))) {
		assert_non_null(fair_balance(queues[0], to, now, NULL));
		moves++;
	}
	assert_int_equal(moves, MOVES);
}

static void last_one_stays(void **state __unused)
{
	crowd(1);
	assert_null(fair_balance_to(queues[0], queues, CPUS, now));
}

static void pinned_ones_stay(void **state __unused)
{
	struct fair_queue *to;

	for (unsigned i = 0; i < 6; i++)
		entity[i].cpuset = i == 4 ? BIT(0) | BIT(2) : BIT(0);
	crowd(6);
	to = fair_balance_to(queues[0], queues, CPUS, now);
	assert_ptr_equal(to, queues[2]);
	assert_ptr_equal(fair_balance(queues[0], to, now, NULL), &entity[4]);
	assert_null(fair_balance_to(queues[0], queues, CPUS, now));
}

static bool not_the_second(struct fair_entity *e)
{
	return e != &entity[1];
}

static void first_one_moves_if_others_must_not(void **state __unused)
{
	struct fair_queue *to;

	crowd(2);
	to = fair_balance_to(queues[0], queues, CPUS, now);
	assert_non_null(to);
	assert_null(fair_balance(queues[0], to, now, nobody));
	assert_ptr_equal(fair_balance(queues[0], to, now, not_the_second), &entity[0]);
}

/* Two CPUs on which nobody can be interrupted do not hand over to each other who waits. */
static void first_one_moves_once(void **state __unused)
{
	struct fair_queue *to;
	uint64_t slice;

	crowd(2);
	entity[0].moved = true;
	to = fair_balance_to(queues[0], queues, CPUS, now);
	assert_non_null(to);
	assert_null(fair_balance(queues[0], to, now, not_the_second));
	/* It ran: it may move again. */
	now += FAIR_BALANCE;
	assert_ptr_equal(fair_pick(queues[0], now, &slice), &entity[0]);
	fair_charge(queues[0], &entity[0], 0, now);
	fair_put(queues[0], &entity[0], now);
	to = fair_balance_to(queues[0], queues, CPUS, now);
	assert_non_null(to);
	assert_ptr_equal(fair_balance(queues[0], to, now, not_the_second), &entity[0]);
	assert_true(entity[0].moved);
}

/* Two on the first CPU, one on the second, the others pinned and idle. */
static void odd_one(uint64_t behind)
{
	for (unsigned i = 0; i < 3; i++)
		entity[i].cpuset = BIT(0) | BIT(1);
	crowd(2);
	queue[1].vtime = queue[0].vtime + vtime_span(behind, WEIGHT);
	entity[2].vtime = queue[1].vtime;
	entity[2].queue = queues[1];
	occupy(queues[1], &entity[2]);
}

static void cpu_that_is_behind_gives(void **state __unused)
{
	odd_one(FAIR_LAG * 9 / 10);
	assert_null(fair_balance_to(queues[0], queues, CPUS, now));
	now += FAIR_BALANCE;
	/* Meanwhile the second one's clock ran on. */
	assert_ptr_equal(fair_balance_to(queues[0], queues, CPUS, now), queues[1]);
	assert_ptr_equal(fair_balance(queues[0], queues[1], now, NULL), &entity[1]);
	assert_int_equal(fair_load(queues[1]), 2 * WEIGHT);
	assert_null(fair_balance(queues[0], queues[1], now, NULL));
}

static void clocks_that_never_met_are_set(void **state __unused)
{
	uint64_t order;

	odd_one(10 * NS_PER_SEC);
	order = entity[1].vtime - entity[0].vtime;
	assert_ptr_equal(fair_balance(queues[0], queues[1], now, NULL), &entity[1]);
	/* For all, so that the one that moves is not a stranger there. */
	assert_int_equal(entity[1].vtime - entity[0].vtime, order);
	assert_int_equal(queue[0].waiting.slots[0].key, entity[0].vtime);
	assert_true(fair_lag(queues[1], &entity[1], now) <= (int64_t)FAIR_LAG);
}

static void cpu_that_is_ahead_gives_no_load(void **state __unused)
{
	/* The lighter one is behind: it is left to catch up. */
	odd_one(0);
	wake(queues[0], &entity[3]);
	queue[1].vtime -= vtime_span(FAIR_LAG * 2, WEIGHT);
	entity[2].vtime = queue[1].vtime;
	entity[0].cpuset = entity[1].cpuset = entity[3].cpuset = BIT(0) | BIT(1);
	assert_null(fair_balance(queues[0], queues[1], now, NULL));
	queue[1].vtime += vtime_span(FAIR_LAG * 2, WEIGHT);
	entity[2].vtime = queue[1].vtime;
	assert_non_null(fair_balance(queues[0], queues[1], now, NULL));
}

static void light_ones_clock_may_run_fast(void **state __unused)
{
	odd_one(0);
	wake(queues[0], &entity[3]);
	entity[3].cpuset = BIT(0) | BIT(1);
	fair_charge(queues[1], &entity[2], 0, now);
	fair_remove(queues[1], &entity[2]);
	entity[4].weight = 16;
	entity[4].vtime = queue[0].vtime + vtime_span(FAIR_FAR / 2, 16);
	entity[4].queue = queues[1];
	occupy(queues[1], &entity[4]);
	assert_non_null(fair_balance(queues[0], queues[1], now, NULL));
	/* No clock was set. */
	assert_int_equal(entity[0].vtime, UINT64_MAX - vtime_span(3 * MS, WEIGHT));
}

static void capped_ones_will_be_back(void **state __unused)
{
	/* The first CPU is the less loaded one, for now. */
	odd_one(FAIR_LAG * 2);
	wake(queues[1], &entity[3]);
	fair_remove(queues[0], &entity[1]);
	assert_null(fair_balance(queues[0], queues[1], now, NULL));
	cap(10);
	entity[0].group = &no_cap;
	entity[1].cpuset = BIT(0);
	entity[1].budget = -(int64_t)(20 * MS);
	wake(queues[0], &entity[1]);
	assert_int_equal(entity[1].state, FAIR_CAPPED);
	assert_ptr_equal(fair_balance(queues[0], queues[1], now, NULL), &entity[0]);
}

static void capped_one_leaves_a_cpu_that_is_behind(void **state __unused)
{
	odd_one(FAIR_LAG * 2);
	cap(10);
	entity[0].group = &no_cap;
	fair_remove(queues[0], &entity[1]);
	entity[1].budget = -(int64_t)(20 * MS);
	wake(queues[0], &entity[1]);
	assert_int_equal(entity[1].state, FAIR_CAPPED);
	assert_ptr_equal(fair_balance(queues[0], queues[1], now, NULL), &entity[1]);
	assert_int_equal(entity[1].state, FAIR_CAPPED);
	assert_int_equal(fair_next(queues[1], now), entity[1].release);
}

static void stranger_is_not_far_off(void **state __unused)
{
	occupy(queues[0], &entity[0]);
	occupy(queues[1], &entity[1]);
	wake(queues[1], &entity[2]);
	fair_dequeue(queues[1], &entity[2]);
	entity[2].vtime = queue[0].vtime - vtime_span(NS_PER_SEC, WEIGHT);
	fair_move_in(queues[0], &entity[2], now);
	assert_int_equal(entity[0].vtime - entity[2].vtime, vtime_span(FAIR_FAR, WEIGHT));
}

struct text {
	struct format_sink sink;
	char buffer[256];
	size_t length;
};

static void put_text(struct format_sink *sink, char c)
{
	struct text *t = container_of(sink, struct text, sink);

	assert_true(t->length < sizeof(t->buffer) - 1);
	t->buffer[t->length++] = c;
	t->buffer[t->length] = 0;
}

#define assert_prints(call, expected)                      \
	do {                                               \
		struct text t = {.sink = {put_text}};      \
                                                           \
		call;                                      \
		assert_string_equal(t.buffer, (expected)); \
	} while (0)

static void prints(void **state __unused)
{
	assert_prints(fair_entity_print(&entity[0], now, &t.sink), "out, weight 256");
	occupy(queues[1], &entity[0]);
	wake(queues[1], &entity[1]);
	now += 4 * MS;
	assert_prints(fair_queue_print(queues[1], now, &t.sink),
		      "2 runnable, 0 capped, load 512, 1 picks, 0 moved in");
	assert_prints(fair_entity_print(&entity[1], now, &t.sink),
		      "waiting, weight 256, CPU 1, behind by 2000 us");
	cap(10);
	fair_charge(queues[1], &entity[0], 4 * MS, now);
	fair_remove(queues[1], &entity[1]);
	entity[0].budget = -(int64_t)(20 * MS);
	fair_put(queues[1], &entity[0], now);
	assert_prints(fair_entity_print(&entity[0], now, &t.sink),
		      "capped, weight 256, cap 10%, CPU 1, for 150000 us");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(runs_by_weight),
		TEST(slice_is_endless_only_alone),
		TEST(empty_queue_has_nobody),
		TEST(load_is_of_those_that_run_or_wait),
		TEST(no_rounding_error_adds_up),
		TEST(longest_time_may_be_charged),
		TEST(newcomer_begins_at_the_clock),
		TEST(sleeper_has_bounded_credit),
		TEST(nap_wins_nothing),
		TEST(sleeper_is_as_far_ahead_on_another_cpu),
		TEST(woken_one_behind_preempts),
		TEST(woken_one_ahead_waits_for_the_slice),
		TEST(cap_holds),
		TEST(capped_one_is_no_load),
		TEST(capped_one_is_removed),
		TEST(idle_group_saves_nothing),
		TEST(sleeper_keeps_no_part),
		TEST(sleeper_gives_its_part_back),
		TEST(group_takes_turns),
		TEST(reserve_keeps_what_is_there),
		TEST(picks_in_order_past_the_wrap),
		TEST(heap_stays_in_order_when_one_leaves),
		TEST(wakes_where_it_was),
		TEST(goes_to_the_longest_idle_cpu),
		TEST(is_placed_in_its_cpuset),
		TEST(idle_cpu_takes_who_waits),
		TEST(idle_cpu_leaves_the_next_one),
		TEST(capped_one_is_not_taken),
		TEST(loads_become_equal),
		TEST(few_move_in_one_go),
		TEST(last_one_stays),
		TEST(pinned_ones_stay),
		TEST(first_one_moves_if_others_must_not),
		TEST(first_one_moves_once),
		TEST(cpu_that_is_behind_gives),
		TEST(clocks_that_never_met_are_set),
		TEST(cpu_that_is_ahead_gives_no_load),
		TEST(light_ones_clock_may_run_fast),
		TEST(capped_ones_will_be_back),
		TEST(capped_one_leaves_a_cpu_that_is_behind),
		TEST(stranger_is_not_far_off),
		TEST(prints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
