/* SPDX-License-Identifier: BSD-2-Clause */
/* The heaps of the scheduler's policy: entities by a key that wraps. */
#include "fair_heap.h"

static void place(struct fair_heap *h, unsigned i, struct fair_slot s)
{
	h->slots[i] = s;
	s.entity->slot = i;
}

static void sift_up(struct fair_heap *h, unsigned i, struct fair_slot s)
{
	while (i > 0) {
		unsigned parent = (i - 1) / 2;

		if (!vtime_before(s.key, h->slots[parent].key))
			break;
		place(h, i, h->slots[parent]);
		i = parent;
	}
	place(h, i, s);
}

static void sift_down(struct fair_heap *h, unsigned i, struct fair_slot s)
{
	for (;;) {
		unsigned child = 2 * i + 1;

		if (child >= h->count)
			break;
		if (child + 1 < h->count &&
		    vtime_before(h->slots[child + 1].key, h->slots[child].key))
			child++;
		if (!vtime_before(h->slots[child].key, s.key))
			break;
		place(h, i, h->slots[child]);
		i = child;
	}
	place(h, i, s);
}

void fair_heap_add(struct fair_heap *h, struct fair_entity *e, uint64_t key)
{
	sift_up(h, h->count++, (struct fair_slot){.key = key, .entity = e});
}

void fair_heap_remove(struct fair_heap *h, struct fair_entity *e)
{
	unsigned i = e->slot;
	struct fair_slot last;

	if (i == --h->count)
		return;
	last = h->slots[h->count];
	if (i > 0 && vtime_before(last.key, h->slots[(i - 1) / 2].key))
		sift_up(h, i, last);
	else
		sift_down(h, i, last);
}

void fair_heap_swap(struct fair_heap *h, struct fair_entity *e, struct fair_entity *other)
{
	unsigned slot = e->slot;

	h->slots[slot].entity = other;
	h->slots[other->slot].entity = e;
	e->slot = other->slot;
	other->slot = slot;
}
