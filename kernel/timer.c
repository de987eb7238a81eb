/* SPDX-License-Identifier: BSD-2-Clause */
/* The timer queues, one per CPU: a binary heap, its root programmed into the local APIC. */
#include "socle/cpu/apic.h"
#include "socle/cpu/cpu.h"
#include "socle/cpu/spinlock.h"
#include "socle/kernel/clock.h"
#include "socle/kernel/log.h"
#include "socle/kernel/time.h"
#include "socle/mm/frames.h"

enum { FIRST_TIMERS = PAGE_SIZE / sizeof(struct timer *) };

/* heap[0] expires first. Only its own CPU adds to a queue; others may take away. */
static struct __aligned(128) queue
{
	struct spinlock lock;
	struct timer **heap;
	unsigned count;
	unsigned room;
	uint64_t armed; /* what the local APIC was told; TIME_NEVER: nothing */
}
queues[CPU_MAX];

static unsigned reserved; /* timers that may be armed on one CPU at a time; the boot CPU's */

static struct queue *this_queue(void)
{
	return &queues[cpu_index()];
}

static void place(struct queue *q, unsigned i, struct timer *t)
{
	q->heap[i] = t;
	t->slot = i + 1;
}

static void sift_up(struct queue *q, unsigned i, struct timer *t)
{
	while (i > 0) {
		unsigned parent = (i - 1) / 2;

		if (q->heap[parent]->expires <= t->expires)
			break;
		place(q, i, q->heap[parent]);
		i = parent;
	}
	place(q, i, t);
}

static void sift_down(struct queue *q, unsigned i, struct timer *t)
{
	for (;;) {
		unsigned child = 2 * i + 1;

		if (child >= q->count)
			break;
		if (child + 1 < q->count && q->heap[child + 1]->expires < q->heap[child]->expires)
			child++;
		if (q->heap[child]->expires >= t->expires)
			break;
		place(q, i, q->heap[child]);
		i = child;
	}
	place(q, i, t);
}

/* Of this CPU's queue only. */
static void program(struct queue *q)
{
	uint64_t next = q->count ? q->heap[0]->expires : TIME_NEVER, now;

	if (next == q->armed)
		return;
	q->armed = next;
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

static void dequeue(struct queue *q, struct timer *t)
{
	unsigned i = t->slot - 1;
	struct timer *last = q->heap[--q->count];

	t->slot = 0;
	if (last == t)
		return;
	if (i > 0 && q->heap[(i - 1) / 2]->expires > last->expires)
		sift_up(q, i, last);
	else
		sift_down(q, i, last);
}

void timer_set(struct timer *t, uint64_t expires)
{
	struct queue *q = this_queue();

	if (unlikely(t->cpu != cpu_index()))
		timer_cancel(t);
	spin_lock(&q->lock);
	if (t->slot)
		dequeue(q, t);
	if (unlikely(q->count == q->room))
		panic("more than %u timers", q->room);
	t->expires = expires;
	__atomic_store_n(&t->due, false, __ATOMIC_RELAXED);
	t->cpu = cpu_index();
	sift_up(q, q->count++, t);
	program(q);
	spin_unlock(&q->lock);
}

bool timer_claim(struct timer *t)
{
	return __atomic_load_n(&t->due, __ATOMIC_RELAXED) &&
	       __atomic_exchange_n(&t->due, false, __ATOMIC_ACQUIRE);
}

/* t->cpu changes in timer_set() only, which does not run at the same time. */
void timer_cancel(struct timer *t)
{
	struct queue *q = &queues[t->cpu];

	spin_lock(&q->lock);
	__atomic_store_n(&t->due, false, __ATOMIC_RELAXED);
	/* Leave the local APIC as it is: an interrupt too early costs less than two writes here. */
	if (t->slot)
		dequeue(q, t);
	spin_unlock(&q->lock);
}

static void expire(void)
{
	struct queue *q = this_queue();
	uint64_t now = time_now();

	spin_lock(&q->lock);
	q->armed = TIME_NEVER;
	while (q->count && q->heap[0]->expires <= now) {
		struct timer *t = q->heap[0];

		dequeue(q, t);
		__atomic_store_n(&t->due, true, __ATOMIC_RELEASE);
		/* It may want to set it again, or wake somebody. */
		spin_unlock(&q->lock);
		t->fire(t);
		spin_lock(&q->lock);
	}
	program(q);
	spin_unlock(&q->lock);
}

void timers_poll(void)
{
	const struct queue *q = this_queue();
	const uint64_t armed = __atomic_load_n(&q->armed, __ATOMIC_RELAXED);

	if (armed != TIME_NEVER && armed <= time_now())
		expire();
}

/* Another, larger array for @q, which may be in use. */
static status_t grow(struct queue *q, unsigned room)
{
	struct timer **heap = pages_alloc(room * sizeof(*heap), OWNER_CORE), **old;
	unsigned old_room;

	if (!heap)
		return -S_NOMEM;
	spin_lock(&q->lock);
	old = q->heap;
	old_room = q->room;
	for (unsigned i = 0; i < q->count; i++)
		heap[i] = old[i];
	q->heap = heap;
	q->room = room;
	spin_unlock(&q->lock);
	pages_free(old, old_room * sizeof(*old), OWNER_CORE);
	return 0;
}

status_t timers_reserve(unsigned more)
{
	unsigned room = ALIGN_UP(reserved + more, FIRST_TIMERS);

	for (unsigned i = 0; i < MAX(cpu_count, 1u); i++)
		if (queues[i].room < room && grow(&queues[i], room))
			return -S_NOMEM;
	reserved += more;
	return 0;
}

status_t timers_init(void)
{
	struct queue *q = this_queue();

	spinlock_init(&q->lock, "timers", LOCK_TIMERS);
	q->armed = TIME_NEVER;
	interrupt_bind(HOST_VEC_TIMER, expire);
	return grow(q, MAX(ALIGN_UP(reserved, FIRST_TIMERS), (unsigned)FIRST_TIMERS));
}

unsigned timers_armed(void)
{
	return this_queue()->count;
}
