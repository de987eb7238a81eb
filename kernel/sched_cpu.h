/* SPDX-License-Identifier: BSD-2-Clause */
/* What the scheduler's files share: a CPU's part of it, how to lock it and to tell it something. */
#ifndef KERNEL_SCHED_CPU_H
#define KERNEL_SCHED_CPU_H

#include "socle/cpu/cpu.h"
#include "socle/kernel/sched.h"
#include "socle/kernel/time.h"

/* What a CPU is poked for. */
enum poke {
	POKE_LEAVE = BIT(0), /* its vCPU is to leave the guest */
	POKE_SLICE = BIT(1), /* somebody waits: its vCPU's slice ends at until */
};

enum { NOBODY = CPU_MAX };

/* A CPU's part of the scheduler: the lock guards what does not say otherwise. */
struct __aligned(128) cpu_sched
{
	struct spinlock lock;
	struct fair_queue queue; /* who waits */
	struct vcpu *current;	 /* who runs; NULL: nobody */
	struct vcpu *last;	 /* whose registers may be in the CPU; NULL: nobody's */
	struct vcpu *yielded;	 /* its own: who wants others to go first; NULL: nobody */
	uint64_t since;		 /* ns since boot, when current began */
	uint64_t until;		 /* when it has to end; TIME_NEVER: nobody waits; read by anyone */
	uint64_t switches;
	uint64_t idle_ns; /* of its own CPU from here on */
	struct timer slice;
	struct timer wakeup;
	uint32_t pokes; /* enum poke; atomic */
	bool attend;	/* the boot CPU's: there may be other work than vCPUs; its own */
};

extern struct cpu_sched scheds[CPU_MAX];
extern struct fair_queue *sched_queues[CPU_MAX]; /* those above */
extern uint64_t sched_idle; /* a bit for each CPU that sleeps or is about to; atomic */

static inline struct cpu_sched *this_sched(void)
{
	return &scheds[cpu_index()];
}

static inline unsigned id_of(const struct cpu_sched *s)
{
	return s - scheds;
}

/* Somebody waits for the CPU. A hint without its lock. */
static inline bool waiting(const struct cpu_sched *s)
{
	return READ_ONCE(s->queue.waiting.count) != 0;
}

static inline struct vcpu *vcpu_of(struct fair_entity *e)
{
	return container_of(e, struct vcpu, fair);
}

static inline void set_state(struct vcpu *v, enum vcpu_state state)
{
	__atomic_store_n(&v->state, state, __ATOMIC_SEQ_CST);
}

/* Locks the queue of the CPU that @v belongs to. */
struct cpu_sched *sched_lock_of(struct vcpu *v);

/* An idle CPU of @allowed, or NOBODY. No lock. */
unsigned sched_find_idle(uint64_t allowed);

/* Ends the slice of who runs here when it was decided, maybe by another CPU. Its own CPU. */
void sched_cut_slice(struct cpu_sched *s);

/* @v joined the queue of @s, whose lock is held: sees to it that it has its turn. */
void sched_came(struct cpu_sched *s, struct vcpu *v);

/* Takes somebody who waits for another CPU. The lock of @s, an idle CPU, is held. */
bool sched_steal(struct cpu_sched *s, uint64_t now);

/* Gives away what other CPUs should do. The lock of @s, between two vCPUs, is held. */
void sched_balance(struct cpu_sched *s, uint64_t now);

#endif
