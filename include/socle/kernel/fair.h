/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler's policy: weighted fair queues, one for each CPU, caps, and balance among CPUs.
 *
 * It decides and keeps the books; kernel/sched.c locks, runs, interrupts and sleeps. Start-time
 * fair queueing on each CPU (Goyal, Guo, Vin 1996) with the average virtual time as its clock
 * (Stoica, Abdel-Wahab 1995), moves between CPUs by load and by lag in the manner of distributed
 * weighted round robin (Li, Baumberger, Hahn 2009), caps by the generic cell rate algorithm (ITU-T
 * I.371). docs/scheduler.md has the rules and the bounds.
 *
 * A function that takes a queue is called with that queue's lock held, unless it says otherwise. An
 * entity belongs to the queue that it is on, and to the caller while it is on none. All times are
 * in nanoseconds, @now is time_now().
 */
#ifndef SOCLE_KERNEL_FAIR_H
#define SOCLE_KERNEL_FAIR_H

#include "socle/base.h"
#include "socle/format.h"
#include "socle/kernel/time.h"
#include "socle/status.h"

#define FAIR_SLICE   (5 * NS_PER_MS)   /* how long one runs while another waits */
#define FAIR_CREDIT  (10 * NS_PER_MS)  /* what a sleeper may be behind when it wakes */
#define FAIR_GRAIN   (NS_PER_MS)       /* it preempts unless it is ahead by that much, ... */
#define FAIR_LEAST   (500 * NS_PER_US) /* ... when the other one has run for so long */
#define FAIR_BALANCE (4 * NS_PER_MS)   /* how often a CPU on which somebody waits looks at others */
#define FAIR_LAG     (10 * NS_PER_MS)  /* a CPU that is behind another by that much gives to it */
#define FAIR_FAR     (200 * NS_PER_MS) /* what one that moves may be behind or ahead there */
#define FAIR_SETTLE  (100 * NS_PER_US) /* so long the next on an idle CPU is not taken from it */
#define FAIR_BURST   (100 * NS_PER_MS) /* a cap holds over this time */

/* The CPU time that a VM's vCPUs share: its cap. */
struct fair_group {
	unsigned cap;	/* percent of one CPU; 0: no limit; constant */
	uint64_t spent; /* the time until which all that was handed out is earned; atomic */
};

enum fair_state {
	FAIR_OUT,     /* on no queue: asleep, or between two calls */
	FAIR_WAITING, /* could run */
	FAIR_CAPPED,  /* could run but for its group's cap */
	FAIR_RUNNING,
};

struct fair_queue;

/* What the policy knows of a vCPU; embedded in it. */
struct fair_entity {
	struct fair_group *group; /* constant */
	unsigned weight;	  /* 1 to VM_WEIGHT_MAX; constant */
	uint64_t cpuset;	  /* CPUs that it may run on, a bit each; never 0 */

	/* Owned by the queue's lock, or by the caller. */
	enum fair_state state;
	uint32_t slot;		  /* position in the queue's heap, when waiting or capped */
	struct fair_queue *queue; /* the last that it was on; NULL: none since it started */
	uint64_t vtime;		  /* CPU time received by its weight; FAIR_SHIFT in fair.c */
	uint64_t remainder;	  /* of that division */
	int64_t budget;		  /* of its group's cap, what it may use still; below 0: owed */
	uint64_t release;	  /* FAIR_CAPPED: until then */
	uint64_t since;		  /* FAIR_WAITING: from then on */
	bool moved;		  /* to another CPU, and did not run since */
};

struct fair_slot {
	uint64_t key;
	struct fair_entity *entity;
};

/* A binary heap, the smallest key first. */
struct fair_heap {
	struct fair_slot *slots;
	unsigned count;
};

/* One for each CPU. */
struct fair_queue {
	unsigned cpu;		     /* constant */
	unsigned room;		     /* slots that each heap has */
	struct fair_heap waiting;    /* by virtual time */
	struct fair_heap capped;     /* by release */
	struct fair_entity *running; /* picked, and not charged yet */
	uint64_t balance_at;	     /* when to look for a balance again */
	uint64_t stopped;	     /* sum of the weights in capped */
	unsigned moved_out;	     /* since it began to look */
	int64_t rest;		     /* of the average that vtime is; below the load */
	uint64_t picks;		     /* statistics: decisions, ... */
	uint64_t moved_in;	     /* ... and entities taken from other CPUs */

	/* Written with the lock held, read by other CPUs without. */
	uint64_t load;	    /* sum of the weights of those that run or wait */
	uint32_t runnable;  /* their number */
	uint64_t vtime;	    /* its clock, when it was last brought up to date */
	uint64_t run_since; /* when the running one was picked; 0: nobody runs */
	uint64_t left;	    /* when somebody last left the CPU */
};

/* Starts a group with a cap in percent of one CPU, 0 for none. */
void fair_group_init(struct fair_group *g, unsigned cap);

/* Starts an entity that sleeps. @weight is 1 to VM_WEIGHT_MAX, @cpuset not 0. */
void fair_entity_init(struct fair_entity *e, struct fair_group *g, unsigned weight,
		      uint64_t cpuset);

/* Starts an empty queue without room. */
void fair_queue_init(struct fair_queue *q, unsigned cpu);

/* Makes room for @entities in all. Returns -S_NOMEM, and the queue is as before. */
status_t __must_check fair_queue_reserve(struct fair_queue *q, unsigned entities);

/* @e, which slept, joins @q. It has lost what it was behind, up to FAIR_CREDIT. */
void fair_wake(struct fair_queue *q, struct fair_entity *e, uint64_t now);

/* @e, which ran on this CPU, was charged and could go on, joins its queue again. */
void fair_put(struct fair_queue *q, struct fair_entity *e, uint64_t now);

/* @e, which fair_take() took from another queue, joins @q; that queue's lock is not needed. */
void fair_move_in(struct fair_queue *q, struct fair_entity *e, uint64_t now);

/*
 * Takes the next one off the queue, to run; NULL if there is none now. *@slice is how long it may
 * run, after which it is charged and put back; TIME_NEVER if nobody waits. It also ends when
 * somebody's cap lets him run again.
 */
struct fair_entity *fair_pick(struct fair_queue *q, uint64_t now, uint64_t *slice);

/* @e, which fair_pick() returned, ran for @ns and leaves the CPU, be it to sleep. */
void fair_charge(struct fair_queue *q, struct fair_entity *e, uint64_t ns, uint64_t now);

/*
 * @e and @other take each other's place in the order of @q, on which both wait: nobody else's turn
 * changes. They are of one group.
 */
void fair_swap(struct fair_queue *q, struct fair_entity *e, struct fair_entity *other);

/* @e stops for good, or until it is woken as if it was new. It must not be running. */
void fair_remove(struct fair_queue *q, struct fair_entity *e);

/*
 * @woken has just joined @q, on whose CPU @running has run for @ran: in how many ns to interrupt
 * @running; 0: now. Never later than its slice would end now that somebody waits. To be called
 * whenever an entity joins the queue of a CPU that runs another.
 */
uint64_t fair_preempt_in(const struct fair_queue *q, const struct fair_entity *woken,
			 const struct fair_entity *running, uint64_t ran, uint64_t now);

static inline bool fair_preempts(const struct fair_queue *q, const struct fair_entity *woken,
				 const struct fair_entity *running, uint64_t ran, uint64_t now)
{
	return fair_preempt_in(q, woken, running, ran, now) == 0;
}

/* When the first of those that their cap stops may go on; TIME_NEVER: there are none. */
uint64_t fair_next(const struct fair_queue *q, uint64_t now);

/*
 * For a CPU that has nothing to run: takes an entity off @from that may run on @to_cpu and for
 * which @may (NULL: always) is true. It goes to fair_move_in(). NULL: there is none; the next one
 * on a CPU that runs nobody is left to it for FAIR_SETTLE.
 */
struct fair_entity *fair_take(struct fair_queue *from, unsigned to_cpu, uint64_t now,
			      bool (*may)(struct fair_entity *e));

/*
 * The queue from which CPU @cpu, which is idle, should try to take one; NULL: none. @tried has a
 * bit for each CPU that is not to be returned. No lock.
 */
struct fair_queue *fair_busiest(struct fair_queue *const *queues, unsigned count, unsigned cpu,
				uint64_t tried);

/*
 * The queue that @e, which is to wake, should join: that of the CPU where it was last if this is
 * idle; else of the one that is idle for longest; else where it was last, unless another would
 * still have less than half of the load. No lock; only CPUs of its cpuset.
 */
struct fair_queue *fair_place(struct fair_queue *const *queues, unsigned count,
			      const struct fair_entity *e);

/*
 * Balance: the queue to which @from should give an entity now, NULL for none. Every CPU calls this
 * for its own queue whenever it is about to pick, the one that ran put back; it is a comparison but
 * for once in FAIR_BALANCE. It needs the lock of @from only, and is a guess: fair_balance()
 * decides. If it returns one, try to lock that too and call fair_balance(); then again, until this
 * returns NULL. If the lock is taken, give up until the next time.
 */
struct fair_queue *fair_balance_to(struct fair_queue *from, struct fair_queue *const *queues,
				   unsigned count, uint64_t now);

/*
 * Moves an entity from @from to @to if that helps; both locks held. Returns it (it is in @to then,
 * and the caller looks whether to wake or interrupt that CPU), or NULL.
 */
struct fair_entity *fair_balance(struct fair_queue *from, struct fair_queue *to, uint64_t now,
				 bool (*may)(struct fair_entity *e));

/* Sum of the weights of those that run or wait on a CPU, and their number. No lock. */
static inline uint64_t fair_load(const struct fair_queue *q)
{
	return READ_ONCE(q->load);
}

static inline unsigned fair_runnable(const struct fair_queue *q)
{
	return READ_ONCE(q->runnable);
}

/*
 * How much CPU time @e, waiting or running, is behind its queue's virtual time; below 0: ahead.
 * Limited to a second either way.
 */
int64_t fair_lag(const struct fair_queue *q, const struct fair_entity *e, uint64_t now);

/* Print the state in one line without its end. Without the lock, the figures may not fit together.
 */
void fair_queue_print(const struct fair_queue *q, uint64_t now, struct format_sink *sink);
void fair_entity_print(const struct fair_entity *e, uint64_t now, struct format_sink *sink);

#endif
