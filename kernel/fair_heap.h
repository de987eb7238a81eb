/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the scheduler's policy share: virtual time and the heaps. */
#ifndef KERNEL_FAIR_HEAP_H
#define KERNEL_FAIR_HEAP_H

#include "socle/kernel/fair.h"

/*
 * Virtual time is CPU time divided by weight, in units of 2^-16 ns, so that the greatest weight
 * still tells one ns from the next. It wraps after 78 hours of the smallest weight alone on a CPU
 * and is therefore compared by its distance, which the rules below keep far smaller.
 */
enum { FAIR_SHIFT = 16 };

/* Longest time that is charged at once: 19 hours. Who had a CPU for longer had it alone. */
#define FAIR_CHARGE_MAX BIT(63 - FAIR_SHIFT - 1)

static inline bool vtime_before(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) < 0;
}

/* By how much @ns of CPU time advance who has @weight, which racing readers may find to be 0. */
static inline uint64_t vtime_span(uint64_t ns, unsigned weight)
{
	return (MIN(ns, FAIR_CHARGE_MAX) << FAIR_SHIFT) / MAX(weight, 1u);
}

static inline bool fair_is_capped(const struct fair_entity *e)
{
	return e->group->cap != 0;
}

/* The virtual time of @q at @now; without the lock, an estimate. */
uint64_t fair_vtime(const struct fair_queue *q, uint64_t now);

/* Takes one that waits off @q. */
void fair_dequeue(struct fair_queue *q, struct fair_entity *e);

/*
 * Gives @e the next chunk of its group's time; entities of a group get them in turn. What is left
 * of the last one, or owed, is part of it. Sets when it may be used.
 */
void fair_cap_book(struct fair_entity *e, uint64_t now);

/* Gives back what @e has left of its chunk. */
void fair_cap_return(struct fair_entity *e);

/* The heap must have room for one more. */
void fair_heap_add(struct fair_heap *h, struct fair_entity *e, uint64_t key);
void fair_heap_remove(struct fair_heap *h, struct fair_entity *e);

/* Each gets the key and the place of the other. */
void fair_heap_swap(struct fair_heap *h, struct fair_entity *e, struct fair_entity *other);

#endif
