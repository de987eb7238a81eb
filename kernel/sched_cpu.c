/* SPDX-License-Identifier: BSD-2-Clause */
/* A CPU's part of the scheduler as others see it: its lock, and what they tell it by interrupts. */
#include "sched_cpu.h"
#include "socle/cpu/apic.h"

struct cpu_sched scheds[CPU_MAX];
struct fair_queue *sched_queues[CPU_MAX];
uint64_t sched_idle;

void sched_kick(void)
{
	struct cpu_sched *s = this_sched();

	s->attend = true;
	if (s->current)
		vcpu_request_self(s->current, VCPU_REQ_LEAVE);
}

void sched_cut_slice(struct cpu_sched *s)
{
	uint64_t until = __atomic_load_n(&s->until, __ATOMIC_RELAXED);

	if (!s->current || until == TIME_NEVER)
		return;
	/* One that comes earlier, of a former slice, will look at this again. */
	if (!timer_armed(&s->slice) || s->slice.expires > until)
		timer_set(&s->slice, until);
}

/* Somebody waits since a moment ago, perhaps for that long only as who runs spins. */
static void shorten(struct cpu_sched *s)
{
	sched_cut_slice(s);
	if (s->current)
		vcpu_request_self(s->current, VCPU_REQ_CONTENDED);
}

static void poke(struct cpu_sched *s, enum poke what)
{
	if (s == this_sched()) {
		/* We are out of the guest already. */
		if (what == POKE_LEAVE)
			sched_kick();
		else
			shorten(s);
		return;
	}
	if (!(__atomic_fetch_or(&s->pokes, what, __ATOMIC_SEQ_CST) & what))
		apic_send(all_cpus[id_of(s)]->apic_id, HOST_VEC_KICK);
}

void sched_poke(unsigned cpu)
{
	poke(&scheds[cpu], POKE_LEAVE);
}

static void kicked(void)
{
	struct cpu_sched *s = this_sched();
	uint32_t pokes = __atomic_exchange_n(&s->pokes, 0, __ATOMIC_SEQ_CST);

	if (pokes & POKE_LEAVE)
		sched_kick();
	else if (pokes & POKE_SLICE)
		shorten(s);
}

/* Of this slice, or of a former one: where vCPUs change often, it is not armed for each. */
static void slice_end(struct timer *t)
{
	struct cpu_sched *s = this_sched();

	if (time_now() < __atomic_load_n(&s->until, __ATOMIC_RELAXED))
		sched_cut_slice(s);
	else
		sched_kick();
}

static void wakeup(struct timer *t)
{
}

void sched_add_cpu(unsigned cpu)
{
	struct cpu_sched *s = &scheds[cpu];

	spinlock_init(&s->lock, "run queue", LOCK_RUNQUEUE);
	fair_queue_init(&s->queue, cpu);
	sched_queues[cpu] = &s->queue;
	s->until = TIME_NEVER;
	timer_init(&s->slice, slice_end);
	timer_init(&s->wakeup, wakeup);
	interrupt_bind(HOST_VEC_KICK, kicked);
}

struct cpu_sched *sched_lock_of(struct vcpu *v)
{
	for (;;) {
		unsigned cpu = __atomic_load_n(&v->cpu, __ATOMIC_RELAXED);
		struct cpu_sched *s = &scheds[cpu];

		spin_lock(&s->lock);
		if (likely(cpu == __atomic_load_n(&v->cpu, __ATOMIC_RELAXED)))
			return s;
		spin_unlock(&s->lock);
	}
}

unsigned sched_find_idle(uint64_t allowed)
{
	uint64_t idle = __atomic_load_n(&sched_idle, __ATOMIC_SEQ_CST) & allowed;

	return idle ? (unsigned)__builtin_ctzll(idle) : (unsigned)NOBODY;
}

void sched_came(struct cpu_sched *s, struct vcpu *v)
{
	uint64_t now, in;

	if (!s->current) {
		poke(s, POKE_LEAVE);
		return;
	}
	now = time_now();
	in = fair_preempt_in(&s->queue, &v->fair, &s->current->fair, now - s->since, now);
	if (in == 0) {
		poke(s, POKE_LEAVE);
	} else if (now + in < s->until) {
		__atomic_store_n(&s->until, now + in, __ATOMIC_RELAXED);
		poke(s, POKE_SLICE);
	}
}
