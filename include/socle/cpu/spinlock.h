/* SPDX-License-Identifier: BSD-2-Clause */
/* Spin locks with a name and a level; a debug build checks their order and how long they are held.
 */
#ifndef SOCLE_CPU_SPINLOCK_H
#define SOCLE_CPU_SPINLOCK_H

#include "socle/base.h"

/*
 * Who holds a lock may take only those of a higher level; docs/locking.md has the table. All are
 * taken with interrupts off (on SVM: GIF 0), so that no interrupt handler meets a lock of its own
 * CPU, and none is held across a VM entry.
 */
enum lock_level {
	LOCK_DEVICE = 1, /* a paravirtual device: its queues and its work */
	LOCK_RECEIVE,	/* a port of a network: what is sent to it */
	LOCK_CHIPS,	/* vm.chips: a guest's devices but those and the local APICs */
	LOCK_STOP,	/* vm.lock: whether and why a VM stops */
	LOCK_HOST,	/* a device of the machine that Socle drives: its queues */
	LOCK_VSOCK,	/* the switch of sockets: connections, and who waits for whom */
	LOCK_RUNQUEUE,	/* the scheduler: a CPU's queue */
	LOCK_TIMERS,	/* a CPU's timer queue */
	LOCK_STOCK,	/* a CPU's stock of page frames */
	LOCK_FRAMES,	/* the page-frame allocator: what is in no stock */
	LOCK_LOG,	/* the log's ring */
};

struct spinlock {
	uint32_t held;	  /* 1 while somebody has it; atomic */
	uint32_t level;	  /* enum lock_level */
	const char *name; /* for the debug build's messages */
#ifdef LOCK_DEBUG
	uint64_t since; /* TSC when it was taken; the holder's */
#endif
};

#define SPINLOCK_INIT(lock_name, lock_level)               \
	{                                                  \
		.level = (lock_level), .name = (lock_name) \
	}

static inline void spinlock_init(struct spinlock *l, const char *name, enum lock_level level)
{
	*l = (struct spinlock)SPINLOCK_INIT(name, level);
}

#ifdef LOCK_DEBUG
/* Panic if @l is taken out of order, or given back by a CPU that does not hold it. */
void lock_debug_take(struct spinlock *l);
void lock_debug_taken(struct spinlock *l, bool tried);
void lock_debug_release(struct spinlock *l);

/* Panics if this CPU holds a lock: @where, as before an entry, it must hold none. */
void lock_debug_none(const char *where);

/* The longest that a lock was held, in TSC ticks, and which it was. */
extern uint64_t lock_longest;
extern const char *lock_longest_name;
#else
static __always_inline void lock_debug_take(struct spinlock *l)
{
}
static __always_inline void lock_debug_taken(struct spinlock *l, bool tried)
{
}
static __always_inline void lock_debug_release(struct spinlock *l)
{
}
static __always_inline void lock_debug_none(const char *where)
{
}
#endif

/* Takes @l if it is free. May be out of order, since it does not wait. */
static __always_inline bool spin_try_lock(struct spinlock *l)
{
	if (__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE))
		return false;
	lock_debug_taken(l, true);
	return true;
}

/* Waits until @l is free, and takes it. */
static __always_inline void spin_lock(struct spinlock *l)
{
	lock_debug_take(l);
	while (unlikely(__atomic_exchange_n(&l->held, 1, __ATOMIC_ACQUIRE)))
		while (__atomic_load_n(&l->held, __ATOMIC_RELAXED))
			__asm__ volatile("pause");
	lock_debug_taken(l, false);
}

static __always_inline void spin_unlock(struct spinlock *l)
{
	lock_debug_release(l);
	__atomic_store_n(&l->held, 0, __ATOMIC_RELEASE);
}

#endif
