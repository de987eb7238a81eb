/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests to a vCPU: its CPU is interrupted if it runs, and chosen anew if it sleeps. */
#include "sched_cpu.h"
#include "socle/cpu/apic.h"

/*
 * Chooses the CPU for @v, which sleeps and whose queue @s is locked: not another while that one
 * holds its registers. Returns with the chosen one's queue locked; NULL if meanwhile somebody else
 * woke @v.
 */
static struct cpu_sched *place(struct vcpu *v, struct cpu_sched *s)
{
	unsigned cpu;

	if (s->last == v || cpu_count == 1)
		return s;
	cpu = fair_place(sched_queues, cpu_count, &v->fair)->cpu;
	if (cpu == id_of(s))
		return s;
	__atomic_store_n(&v->cpu, cpu, __ATOMIC_RELAXED);
	v->moves++;
	spin_unlock(&s->lock);
	s = sched_lock_of(v);
	if (v->state == VCPU_HALTED)
		return s;
	spin_unlock(&s->lock);
	return NULL;
}

static void sched_wake(struct vcpu *v)
{
	struct cpu_sched *s = sched_lock_of(v);
	bool busy;

	if (v->state != VCPU_HALTED) {
		spin_unlock(&s->lock);
		return;
	}
	s = place(v, s);
	if (!s)
		return;
	set_state(v, VCPU_RUNNABLE);
	fair_wake(&s->queue, &v->fair, time_now());
	busy = s->current;
	sched_came(s, v);
	spin_unlock(&s->lock);
	/* One that fell asleep meanwhile may have looked before there was anything to take. */
	if (busy) {
		unsigned idle;

		/* It sets its bit, then looks at the queues; so this is not to be read too early.
		 */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		idle = sched_find_idle(v->fair.cpuset);
		if (idle != NOBODY)
			sched_poke(idle);
	}
}

void vcpu_request(struct vcpu *v, uint32_t requests)
{
	uint32_t old = __atomic_fetch_or(&v->requests, requests, __ATOMIC_SEQ_CST);
	unsigned cpu;

	switch (__atomic_load_n(&v->state, __ATOMIC_SEQ_CST)) {
	case VCPU_HALTED:
		if (requests & VCPU_REQ_WAKING)
			sched_wake(v);
		break;
	case VCPU_RUNNING:
		cpu = __atomic_load_n(&v->cpu, __ATOMIC_RELAXED);
		if (cpu != cpu_index() && (old & requests) != requests)
			apic_send(all_cpus[cpu]->apic_id, HOST_VEC_KICK);
		break;
	default:
		break;
	}
}
