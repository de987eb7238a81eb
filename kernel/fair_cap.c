/* SPDX-License-Identifier: BSD-2-Clause */
/* Caps: the CPU time that a VM's vCPUs may use together, by the generic cell rate algorithm.
 *
 * One word for each group says until when the time that was handed out will have been earned at
 * the rate of the cap (ITU-T I.371, annex A: the theoretical arrival time of a virtual scheduling
 * algorithm). Handing out a chunk moves it on; a chunk may be used FAIR_BURST before it is earned,
 * so that a group which had to wait for a CPU can make up for it. What is not used while the group
 * is idle is lost, since the word never counts from before now.
 */
#include "fair_heap.h"

enum { PERCENT = 100 };

/* Less than this is not worth a switch. */
#define CHUNK_LEAST (50 * NS_PER_US)

/* How long the group takes to earn @ns. */
static uint64_t earned_in(const struct fair_group *g, uint64_t ns)
{
	return (ns * PERCENT + g->cap / 2) / g->cap;
}

/* A slice, or what is earned in half of the burst: the other half is for delays. */
static uint64_t chunk(const struct fair_group *g)
{
	return MIN(FAIR_SLICE, FAIR_BURST / 2 * g->cap / PERCENT);
}

void fair_cap_book(struct fair_entity *e, uint64_t now)
{
	struct fair_group *g = e->group;
	uint64_t old = __atomic_load_n(&g->spent, __ATOMIC_RELAXED), ahead, spent;
	int64_t want = (int64_t)chunk(g) - e->budget;

	if (e->budget > (int64_t)MIN(CHUNK_LEAST, chunk(g) / 2)) {
		e->release = now;
		return;
	}
	do
		spent = MAX(old, now) + earned_in(g, (uint64_t)want);
	while (!__atomic_compare_exchange_n(&g->spent, &old, spent, true, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED));
	ahead = spent - now;
	e->release = ahead > FAIR_BURST ? spent - FAIR_BURST : now;
	e->budget += want;
}

void fair_cap_return(struct fair_entity *e)
{
	/* What it owes stays with it. */
	if (!fair_is_capped(e) || e->budget <= 0)
		return;
	__atomic_fetch_sub(&e->group->spent, earned_in(e->group, (uint64_t)e->budget),
			   __ATOMIC_RELAXED);
	e->budget = 0;
}

void fair_group_init(struct fair_group *g, unsigned cap)
{
	*g = (struct fair_group){.cap = cap};
}
