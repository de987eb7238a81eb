/* SPDX-License-Identifier: BSD-2-Clause */
/* The timer queue of a CPU: a binary heap, its root programmed into the local APIC. */
#include "socle/cpu/apic.h"
#include "socle/cpu/cpu.h"
#include "socle/kernel/clock.h"
#include "socle/kernel/log.h"
#include "socle/kernel/time.h"

enum { TIMERS_MAX = 1024 }; /* 64 guests with their chips and vCPUs stay far below */

/* Owned by its CPU, touched with interrupts off. heap[0] expires first. */
static struct {
	struct timer *heap[TIMERS_MAX];
	unsigned count;
	uint64_t armed; /* what the local APIC was told; TIME_NEVER: nothing */
} queue = {.armed = TIME_NEVER};

static void place(unsigned i, struct timer *t)
{
	queue.heap[i] = t;
	t->slot = i + 1;
}

static void sift_up(unsigned i, struct timer *t)
{
	while (i > 0) {
		unsigned parent = (i - 1) / 2;

		if (queue.heap[parent]->expires <= t->expires)
			break;
		place(i, queue.heap[parent]);
		i = parent;
	}
	place(i, t);
}

static void sift_down(unsigned i, struct timer *t)
{
	for (;;) {
		unsigned child = 2 * i + 1;

		if (child >= queue.count)
			break;
		if (child + 1 < queue.count &&
		    queue.heap[child + 1]->expires < queue.heap[child]->expires)
			child++;
		if (queue.heap[child]->expires >= t->expires)
			break;
		place(i, queue.heap[child]);
		i = child;
	}
	place(i, t);
}

static void program(void)
{
	uint64_t next = queue.count ? queue.heap[0]->expires : TIME_NEVER, now;

	if (next == queue.armed)
		return;
	queue.armed = next;
	if (next == TIME_NEVER) {
		apic_timer_arm(0);
		return;
	}
	now = time_now();
	apic_timer_arm(next > now ? next - now : 1);
}

void timer_init(struct timer *t, void (*fire)(struct timer *timer))
{
	*t = (struct timer){.fire = fire};
}

static void dequeue(struct timer *t)
{
	unsigned i = t->slot - 1;
	struct timer *last = queue.heap[--queue.count];

	t->slot = 0;
	if (last == t)
		return;
	if (i > 0 && queue.heap[(i - 1) / 2]->expires > last->expires)
		sift_up(i, last);
	else
		sift_down(i, last);
}

void timer_set(struct timer *t, uint64_t expires)
{
	if (t->slot)
		dequeue(t);
	if (queue.count == TIMERS_MAX)
		panic("more than %d timers", TIMERS_MAX);
	t->expires = expires;
	t->due = false;
	t->cpu = this_cpu()->id;
	sift_up(queue.count++, t);
	program();
}

bool timer_claim(struct timer *t)
{
	bool due = t->due;

	t->due = false;
	return due;
}

void timer_cancel(struct timer *t)
{
	t->due = false;
	if (!t->slot)
		return;
	dequeue(t);
	/* Leave the local APIC as it is: an interrupt too early costs less than two writes here. */
}

static void expire(void)
{
	uint64_t now = time_now();

	queue.armed = TIME_NEVER;
	while (queue.count && queue.heap[0]->expires <= now) {
		struct timer *t = queue.heap[0];

		dequeue(t);
		t->due = true;
		t->fire(t);
	}
	program();
}

void timers_poll(void)
{
	if (queue.count && queue.heap[0]->expires <= time_now())
		expire();
}

void timers_init(void)
{
	interrupt_bind(HOST_VEC_TIMER, expire);
}

unsigned timers_armed(void)
{
	return queue.count;
}
