/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler's policy on one CPU: start-time fair queueing, in order of virtual time. */
#include "fair_heap.h"
#include "socle/mm/frames.h"
#include "socle/report.h"
#include "socle/string.h"

/*
 * The clock of a queue is the average virtual time of those that run or wait there, by weight: it
 * goes as if all of them ran at once. It is kept as a whole number and a rest, so that no rounding
 * error adds up.
 */
static void settle(struct fair_queue *q)
{
	int64_t load = (int64_t)q->load, whole = q->rest / load;

	q->rest -= whole * load;
	WRITE_ONCE(q->vtime, q->vtime + (uint64_t)whole);
}

static int64_t moment(const struct fair_queue *q, const struct fair_entity *e)
{
	return (int64_t)((e->vtime - q->vtime) * e->weight);
}

static void clock_add(struct fair_queue *q, const struct fair_entity *e)
{
	/* A clock of nobody has stood still: it takes over the time that the first one brings. */
	if (!q->load)
		WRITE_ONCE(q->vtime, e->vtime);
	WRITE_ONCE(q->load, q->load + e->weight);
	q->rest += moment(q, e);
	settle(q);
}

static void clock_remove(struct fair_queue *q, const struct fair_entity *e)
{
	WRITE_ONCE(q->load, q->load - e->weight);
	if (q->load) {
		q->rest -= moment(q, e);
		settle(q);
	} else {
		q->rest = 0;
		WRITE_ONCE(q->vtime, e->vtime);
	}
}

static uint64_t running_for(const struct fair_queue *q, uint64_t now)
{
	uint64_t since = READ_ONCE(q->run_since);

	return since && now > since ? now - since : 0;
}

uint64_t fair_vtime(const struct fair_queue *q, uint64_t now)
{
	uint64_t ran = running_for(q, now), v = READ_ONCE(q->vtime);

	return ran ? v + vtime_span(ran, (unsigned)READ_ONCE(q->load)) : v;
}

/* After each change of those that run or wait. */
static void publish(struct fair_queue *q)
{
	WRITE_ONCE(q->runnable, q->waiting.count + (q->running != NULL));
}

static void enqueue(struct fair_queue *q, struct fair_entity *e, uint64_t now)
{
	ASSERT(q->waiting.count < q->room);
	e->since = now;
	e->state = FAIR_WAITING;
	fair_heap_add(&q->waiting, e, e->vtime);
	clock_add(q, e);
	publish(q);
}

void fair_dequeue(struct fair_queue *q, struct fair_entity *e)
{
	if (e->state == FAIR_CAPPED) {
		fair_heap_remove(&q->capped, e);
		q->stopped -= e->weight;
	} else {
		fair_heap_remove(&q->waiting, e);
		clock_remove(q, e);
		publish(q);
	}
	e->state = FAIR_OUT;
}

static void wait_for_cap(struct fair_queue *q, struct fair_entity *e)
{
	ASSERT(q->capped.count < q->room);
	e->state = FAIR_CAPPED;
	fair_heap_add(&q->capped, e, e->release);
	q->stopped += e->weight;
}

/* Puts @e where it waits for a CPU, or for its group's cap. */
static void join(struct fair_queue *q, struct fair_entity *e, uint64_t now)
{
	e->queue = q;
	if (fair_is_capped(e)) {
		fair_cap_book(e, now);
		if (e->release > now) {
			wait_for_cap(q, e);
			return;
		}
	}
	enqueue(q, e, now);
}

/* Limits what @e is behind or ahead of @vtime, in CPU time. */
static void clamp_lag(struct fair_entity *e, uint64_t vtime, uint64_t behind, uint64_t ahead)
{
	uint64_t least = vtime - vtime_span(behind, e->weight);
	uint64_t most = vtime + vtime_span(ahead, e->weight);

	if (vtime_before(e->vtime, least))
		e->vtime = least;
	else if (vtime_before(most, e->vtime))
		e->vtime = most;
}

/* Where @e, which slept, stands among those of @q. */
static void enter(struct fair_queue *q, struct fair_entity *e, uint64_t now)
{
	struct fair_queue *old = e->queue;
	uint64_t v = fair_vtime(q, now);

	if (!old) {
		e->vtime = v;
		return;
	}
	if (old != q) {
		uint64_t there = fair_vtime(old, now);

		/* An idle CPU's clock stood still. Else what it is ahead by the old clock is enough
		 * to wait for by the new one.
		 */
		if (!q->runnable)
			v = there;
		else if (vtime_before(v, there))
			e->vtime += v - there;
	}
	/* Who is ahead has run, for two slices at most. */
	clamp_lag(e, v, FAIR_CREDIT, 2 * FAIR_SLICE);
}

void fair_wake(struct fair_queue *q, struct fair_entity *e, uint64_t now)
{
	ASSERT(e->state == FAIR_OUT);
	enter(q, e, now);
	/* So that a group's time does not lie idle with a sleeper, nor gather there. */
	fair_cap_return(e);
	join(q, e, now);
}

void fair_put(struct fair_queue *q, struct fair_entity *e, uint64_t now)
{
	ASSERT(e->state == FAIR_OUT);
	join(q, e, now);
}

void fair_move_in(struct fair_queue *q, struct fair_entity *e, uint64_t now)
{
	ASSERT(e->state == FAIR_OUT);
	if (q->runnable)
		clamp_lag(e, fair_vtime(q, now), FAIR_FAR, FAIR_FAR);
	q->moved_in++;
	e->moved = true;
	e->queue = q;
	if (fair_is_capped(e) && e->release > now)
		wait_for_cap(q, e);
	else
		enqueue(q, e, now);
}

/* Those whose cap lets them run again wait for a CPU, without credit for having been stopped. */
static __noinline void release(struct fair_queue *q, uint64_t now)
{
	while (q->capped.count && q->capped.slots[0].key <= now) {
		struct fair_entity *e = q->capped.slots[0].entity;

		fair_heap_remove(&q->capped, e);
		q->stopped -= e->weight;
		clamp_lag(e, fair_vtime(q, now), FAIR_CREDIT, FAIR_FAR);
		enqueue(q, e, now);
	}
}

static void start(struct fair_queue *q, struct fair_entity *e, uint64_t now)
{
	q->running = e;
	WRITE_ONCE(q->run_since, now);
	fair_heap_remove(&q->waiting, e);
	e->state = FAIR_RUNNING;
	e->moved = false;
	publish(q);
}

struct fair_entity *fair_pick(struct fair_queue *q, uint64_t now, uint64_t *slice)
{
	struct fair_entity *e;

	ASSERT(!q->running);
	if (q->capped.count)
		release(q, now);
	if (!q->waiting.count)
		return NULL;
	e = q->waiting.slots[0].entity;
	start(q, e, now);
	q->picks++;
	*slice = q->waiting.count ? FAIR_SLICE : TIME_NEVER;
	if (q->capped.count)
		*slice = MIN(*slice, MAX(q->capped.slots[0].key - now, FAIR_LEAST));
	if (fair_is_capped(e))
		*slice = MIN(*slice, (uint64_t)e->budget);
	return e;
}

static void advance(struct fair_entity *e, uint64_t ns)
{
	uint64_t total = (MIN(ns, FAIR_CHARGE_MAX) << FAIR_SHIFT) + e->remainder;

	/* The remainder is kept, so that no rounding error ever adds up. */
	e->vtime += total / e->weight;
	e->remainder = total % e->weight;
}

void fair_charge(struct fair_queue *q, struct fair_entity *e, uint64_t ns, uint64_t now)
{
	uint64_t start = e->vtime;

	ASSERT(q->running == e);
	advance(e, ns);
	q->rest += (int64_t)((e->vtime - start) * e->weight);
	if (fair_is_capped(e))
		e->budget -= (int64_t)MIN(ns, FAIR_CHARGE_MAX);
	e->state = FAIR_OUT;
	q->running = NULL;
	WRITE_ONCE(q->run_since, 0);
	WRITE_ONCE(q->left, now);
	clock_remove(q, e);
	publish(q);
}

void fair_remove(struct fair_queue *q, struct fair_entity *e)
{
	ASSERT(e->state != FAIR_RUNNING);
	if (e->state != FAIR_OUT)
		fair_dequeue(q, e);
	fair_cap_return(e);
	e->queue = NULL;
}

/* One group is one weight: load and clock stay what they are. */
void fair_swap(struct fair_queue *q, struct fair_entity *e, struct fair_entity *other)
{
	uint64_t vtime = e->vtime, remainder = e->remainder;

	ASSERT(e->group == other->group && e->weight == other->weight);
	fair_heap_swap(&q->waiting, e, other);
	e->vtime = other->vtime;
	e->remainder = other->remainder;
	other->vtime = vtime;
	other->remainder = remainder;
}

uint64_t fair_preempt_in(const struct fair_queue *q, const struct fair_entity *woken,
			 const struct fair_entity *running, uint64_t ran, uint64_t now)
{
	uint64_t rest = ran < FAIR_SLICE ? FAIR_SLICE - ran : 0;
	uint64_t vtime = running->vtime + vtime_span(ran, running->weight);

	if (woken->state == FAIR_CAPPED)
		return woken->release > now ? woken->release - now : 0;
	if (vtime_before(vtime, woken->vtime + vtime_span(FAIR_GRAIN, woken->weight)))
		return rest;
	return ran < FAIR_LEAST ? FAIR_LEAST - ran : 0;
}

uint64_t fair_next(const struct fair_queue *q, uint64_t now)
{
	return q->capped.count ? q->capped.slots[0].key : TIME_NEVER;
}

void fair_entity_init(struct fair_entity *e, struct fair_group *g, unsigned weight, uint64_t cpuset)
{
	ASSERT(weight && cpuset);
	*e = (struct fair_entity){.group = g, .weight = weight, .cpuset = cpuset};
}

void fair_queue_init(struct fair_queue *q, unsigned cpu)
{
	*q = (struct fair_queue){.cpu = cpu};
}

/* Both heaps lie in one piece. */
static size_t bytes(unsigned room)
{
	return 2ull * room * sizeof(struct fair_slot);
}

status_t fair_queue_reserve(struct fair_queue *q, unsigned entities)
{
	unsigned room = MAX(q->room, 128u);
	struct fair_slot *slots;

	while (room < entities)
		room *= 2;
	if (room == q->room)
		return 0;
	slots = pages_alloc(bytes(room), OWNER_CORE);
	if (!slots)
		return -S_NOMEM;
	if (q->room) {
		struct fair_slot *old = q->waiting.slots;

		memcpy(slots, old, q->waiting.count * sizeof(*slots));
		memcpy(slots + room, q->capped.slots, q->capped.count * sizeof(*slots));
		pages_free(old, bytes(q->room), OWNER_CORE);
	}
	q->waiting.slots = slots;
	q->capped.slots = slots + room;
	q->room = room;
	return 0;
}
