/* SPDX-License-Identifier: BSD-2-Clause */
/* vCPUs that wait move to other CPUs: an idle one takes, a busy one gives away. */
#include "sched_cpu.h"

enum { LOCK_TRIES = 64 };

static bool may_move(struct fair_entity *e)
{
	struct vcpu *v = vcpu_of(e);

	return scheds[v->cpu].last != v;
}

/* The other queue's lock only by trying, since that CPU may be trying the same with ours. */
static bool try_lock(struct cpu_sched *s)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (spin_try_lock(&s->lock))
			return true;
		__asm__ volatile("pause");
	}
	return false;
}

static void moved(struct fair_entity *e, const struct cpu_sched *to)
{
	vcpu_of(e)->moves++;
	__atomic_store_n(&vcpu_of(e)->cpu, id_of(to), __ATOMIC_RELAXED);
}

bool sched_steal(struct cpu_sched *s, uint64_t now)
{
	struct fair_queue *busiest;
	uint64_t tried = BIT(id_of(s));

	while ((busiest = fair_busiest(sched_queues, cpu_count, id_of(s), tried))) {
		struct cpu_sched *from = &scheds[busiest->cpu];
		struct fair_entity *e;

		tried |= BIT(busiest->cpu);
		if (!try_lock(from))
			continue;
		e = fair_take(busiest, id_of(s), now, may_move);
		if (e) {
			moved(e, s);
			fair_move_in(&s->queue, e, now);
		}
		spin_unlock(&from->lock);
		if (e)
			return true;
	}
	return false;
}

void sched_balance(struct cpu_sched *s, uint64_t now)
{
	struct fair_queue *q;

	while ((q = fair_balance_to(&s->queue, sched_queues, cpu_count, now))) {
		struct cpu_sched *to = &scheds[q->cpu];
		struct fair_entity *e;

		if (!try_lock(to))
			return;
		e = fair_balance(&s->queue, q, now, may_move);
		if (e) {
			moved(e, to);
			sched_came(to, vcpu_of(e));
		}
		spin_unlock(&to->lock);
		if (!e)
			return;
	}
}
