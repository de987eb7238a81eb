/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler's policy among CPUs: where a vCPU wakes, and which ones move. */
#include "fair_heap.h"
#include "socle/cpu/cpu.h"
#include "socle/report.h"

/* How many of those that wait, the first ones, are looked at. The others come to the front. */
enum {
	SCAN = 16,
	TAKE_SCAN = 64, /* by an idle CPU */
};

/* How many move in one go, so that no lock is held for long. */
enum { MOVES = 8 };

static bool may_run_on(const struct fair_entity *e, unsigned cpu)
{
	return e->cpuset & BIT(cpu);
}

static bool can_move(struct fair_entity *e, unsigned cpu, bool (*may)(struct fair_entity *e))
{
	return may_run_on(e, cpu) && (!may || may(e));
}

/* Less loaded, or, both idle, idle for longer: others that sleep are less likely to return there.
 */
static bool better_place(const struct fair_queue *a, const struct fair_queue *b)
{
	if (fair_load(a) != fair_load(b))
		return fair_load(a) < fair_load(b);
	return !fair_load(a) && READ_ONCE(a->left) < READ_ONCE(b->left);
}

struct fair_queue *fair_place(struct fair_queue *const *queues, unsigned count,
			      const struct fair_entity *e)
{
	struct fair_queue *last = e->queue, *best = NULL;

	if (last && !may_run_on(e, last->cpu))
		last = NULL;
	if (last && !fair_load(last))
		return last;
	for (unsigned i = 0; i < count; i++)
		if (may_run_on(e, queues[i]->cpu) && (!best || better_place(queues[i], best)))
			best = queues[i];
	ASSERT(best);
	/* Caches are warm there, and balance comes soon. */
	if (last && fair_load(best) && fair_load(last) < 2 * (fair_load(best) + e->weight))
		return last;
	return best;
}

struct fair_queue *fair_busiest(struct fair_queue *const *queues, unsigned count, unsigned cpu,
				uint64_t tried)
{
	struct fair_queue *best = NULL;

	for (unsigned i = 0; i < count; i++) {
		if (queues[i]->cpu == cpu || tried & BIT(queues[i]->cpu))
			continue;
		if (fair_runnable(queues[i]) > 1 &&
		    (!best || fair_load(queues[i]) > fair_load(best)))
			best = queues[i];
	}
	return best;
}

struct fair_entity *fair_take(struct fair_queue *from, unsigned to_cpu, uint64_t now,
			      bool (*may)(struct fair_entity *e))
{
	for (unsigned i = 0; i < MIN(from->waiting.count, (unsigned)TAKE_SCAN); i++) {
		struct fair_entity *e = from->waiting.slots[i].entity;
		/* While nobody runs, that CPU is about to run the first one. */
		bool soon = i == 0 && !from->running && now - e->since < FAIR_SETTLE;

		if (!soon && can_move(e, to_cpu, may)) {
			fair_dequeue(from, e);
			return e;
		}
	}
	return NULL;
}

/* Moves all virtual times of @q ahead by @span. */
static void shift(struct fair_queue *q, uint64_t span)
{
	/* The same for all, so that the heap's order stays. */
	for (unsigned i = 0; i < q->waiting.count; i++) {
		q->waiting.slots[i].key += span;
		q->waiting.slots[i].entity->vtime += span;
	}
	for (unsigned i = 0; i < q->capped.count; i++)
		q->capped.slots[i].entity->vtime += span;
	if (q->running)
		q->running->vtime += span;
	WRITE_ONCE(q->vtime, q->vtime + span);
}

/* Why one should move; the last is the best. */
enum why {
	MOVE_NOT,
	MOVE_LAG,  /* the clock of @from is behind, and @from is not the less loaded one */
	MOVE_LOAD, /* the loads come closer */
};

/* A move between two queues. */
struct move {
	enum why why;
	struct fair_entity *entity;
	int64_t behind; /* the clock of @from behind that of @to */
	int64_t lag;	/* FAIR_LAG of the heaviest one that may move, as virtual time */
	int64_t far;	/* from this distance on the clocks have nothing to do with each other */
};

/* The greatest weight of those that wait, from the one in slot @i on, and may move. 0: none may. */
static unsigned heaviest(const struct fair_queue *from, const struct fair_queue *to, unsigned i,
			 bool (*may)(struct fair_entity *e))
{
	unsigned weight = 0;

	for (; i < MIN(from->waiting.count, (unsigned)SCAN); i++)
		if (can_move(from->waiting.slots[i].entity, to->cpu, may))
			weight = MAX(weight, from->waiting.slots[i].entity->weight);
	return weight;
}

/*
 * Chooses who moves: the one that leaves the loads as equal as possible. For after a move for lag
 * @to is the more loaded one, as it should be for a while, but not by too much.
 */
static void choose(struct move *m, const struct fair_queue *from, const struct fair_queue *to,
		   unsigned i, bool (*may)(struct fair_entity *e))
{
	int64_t more = (int64_t)(fair_load(from) - fair_load(to)), least = INT64_MAX;
	/* Not to a CPU that is behind, unless by so much that it means nothing. */
	bool even = !fair_runnable(to) || -m->behind < m->lag / 2 || -m->behind > m->far;

	if (m->behind >= m->lag)
		m->why = MOVE_LAG;
	for (; i < MIN(from->waiting.count, (unsigned)SCAN); i++) {
		struct fair_entity *e = from->waiting.slots[i].entity;
		int64_t after = more - 2 * (int64_t)e->weight;
		bool load = even && more > (int64_t)e->weight;

		if (!can_move(e, to->cpu, may))
			continue;
		if (load)
			m->why = MOVE_LOAD;
		after = after < 0 ? -after : after;
		if ((load || m->behind > 0) && after < least) {
			least = after;
			m->entity = e;
		}
	}
}

/*
 * Who is stopped by its group's cap competes with nobody and is part of no load; but before it
 * comes back to a CPU that is behind, it may as well come back elsewhere.
 */
static void choose_capped(struct move *m, const struct fair_queue *from,
			  const struct fair_queue *to, bool (*may)(struct fair_entity *e))
{
	for (unsigned i = 0; i < MIN(from->capped.count, (unsigned)SCAN); i++) {
		struct fair_entity *e = from->capped.slots[i].entity;
		int64_t lag = (int64_t)vtime_span(FAIR_LAG, e->weight);

		if (m->behind >= lag && can_move(e, to->cpu, may)) {
			m->why = MOVE_LAG;
			m->entity = e;
			m->lag = lag;
			return;
		}
	}
}

/*
 * The best move from @from to @to, if one is good for something. Not of the first of those that
 * wait, who will run here at once, unless all the others must stay; and then only once before it
 * runs: where turns are long, two CPUs would else take turns in being ahead, and hand it to each
 * other for long.
 */
static struct move plan(const struct fair_queue *from, const struct fair_queue *to, uint64_t now,
			bool (*may)(struct fair_entity *e))
{
	struct move m = {.why = MOVE_NOT};
	unsigned weight, first = 1;

	if (fair_runnable(to))
		m.behind = (int64_t)(fair_vtime(to, now) - fair_vtime(from, now));
	/* The clock of the less loaded one is the faster. */
	m.far = (int64_t)vtime_span(FAIR_FAR, (unsigned)MIN(fair_load(from), fair_load(to)));
	choose_capped(&m, from, to, may);
	/* Those that are capped will be back. */
	if (m.why || fair_load(from) + from->stopped < fair_load(to))
		return m;
	weight = heaviest(from, to, first, may);
	if (!weight && !from->waiting.slots[0].entity->moved)
		weight = heaviest(from, to, --first, may);
	if (!weight)
		return m;
	m.lag = (int64_t)vtime_span(FAIR_LAG, weight);
	choose(&m, from, to, first, may);
	return m;
}

static bool better(const struct move *m, const struct fair_queue *to, const struct move *best,
		   const struct fair_queue *best_to)
{
	if (m->why != best->why)
		return m->why > best->why;
	if (m->why == MOVE_LOAD)
		return fair_load(to) < fair_load(best_to);
	return m->why == MOVE_LAG && m->behind > best->behind;
}

struct fair_queue *fair_balance_to(struct fair_queue *from, struct fair_queue *const *queues,
				   unsigned count, uint64_t now)
{
	struct fair_queue *to = NULL;
	struct move best = {.why = MOVE_NOT};

	/* Somebody must stay. */
	if (now < from->balance_at || !from->waiting.count ||
	    from->waiting.count + from->capped.count < 2)
		return NULL;
	for (unsigned i = 0; i < count && from->moved_out < MOVES; i++) {
		struct move m;

		if (queues[i] == from)
			continue;
		m = plan(from, queues[i], now, NULL);
		if (better(&m, queues[i], &best, to)) {
			best = m;
			to = queues[i];
		}
	}
	if (!to) {
		from->balance_at = now + FAIR_BALANCE;
		from->moved_out = 0;
	}
	return to;
}

struct fair_entity *fair_balance(struct fair_queue *from, struct fair_queue *to, uint64_t now,
				 bool (*may)(struct fair_entity *e))
{
	struct move m = plan(from, to, now, may);

	if (!m.why) {
		from->balance_at = now + FAIR_BALANCE / 4;
		return NULL;
	}
	/*
	 * CPUs that had nothing to exchange for long have clocks that have nothing to do with each
	 * other. The one behind is set, for all on it: to give to the one that moves what lies
	 * between, or take it, would be unfair.
	 */
	if (m.behind > m.far)
		shift(from, (uint64_t)(m.behind - m.lag));
	else if (-m.behind > m.far)
		shift(to, (uint64_t)(-m.behind - m.lag));
	fair_dequeue(from, m.entity);
	fair_move_in(to, m.entity, now);
	from->moved_out++;
	return m.entity;
}
