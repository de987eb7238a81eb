/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler: a loop on each CPU that runs vCPUs one after another, and idles. */
#include "sched_cpu.h"
#include "socle/cpu/apic.h"
#include "socle/cpu/features.h"
#include "socle/kernel/log.h"
#include "socle/mm/frames.h"

static const struct sched_ops *ops;

void sched_bind(const struct sched_ops *o)
{
	ops = o;
}

static unsigned vcpu_total; /* of all VMs; the boot CPU's */

status_t sched_reserve(unsigned more)
{
	for (unsigned i = 0; i < cpu_count; i++) {
		status_t status;

		spin_lock(&scheds[i].lock);
		status = fair_queue_reserve(&scheds[i].queue, vcpu_total + more);
		spin_unlock(&scheds[i].lock);
		if (status)
			return status;
	}
	return 0;
}

void sched_add(struct vm *vm)
{
	const struct vm_settings *set = &vm->settings;

	vcpu_total += set->cpus;
	fair_group_init(&vm->group, set->cap);
	for (unsigned i = 0; i < set->cpus; i++) {
		struct vcpu *v = vm->vcpu[i];

		fair_entity_init(&v->fair, &vm->group, set->weight, set->cpuset);
		/* Spread them from the start. */
		v->cpu = (vcpu_total - i) % cpu_count;
		while (!(set->cpuset & BIT(v->cpu)))
			v->cpu = (v->cpu + 1) % cpu_count;
	}
}

void sched_start(struct vcpu *v)
{
	struct cpu_sched *s = sched_lock_of(v);

	set_state(v, VCPU_HALTED);
	spin_unlock(&s->lock);
}

/* Takes the registers of who ran here last away. The lock is held. */
static void release_last(struct cpu_sched *s)
{
	struct vcpu *v = s->last;

	if (!v)
		return;
	ops->release(v);
	s->last = NULL;
	/* sched_remove() may have been told to come again. */
	if (__atomic_load_n(&v->vm->state, __ATOMIC_RELAXED) == VM_STOPPING)
		sched_poke(0);
}

bool sched_remove(struct vcpu *v)
{
	struct cpu_sched *s = sched_lock_of(v);
	bool gone = v->state != VCPU_RUNNING;

	if (gone && s->last == v) {
		gone = s == this_sched();
		if (gone)
			release_last(s);
	}
	if (gone) {
		if (v->state == VCPU_RUNNABLE)
			fair_remove(&s->queue, &v->fair);
		set_state(v, VCPU_OFF);
	}
	spin_unlock(&s->lock);
	return gone;
}

/* Runs @v, which was just taken off the queue, for @slice ns at most. The lock is held. */
static void run(struct cpu_sched *s, struct vcpu *v, uint64_t slice)
{
	enum vcpu_leave leave;
	uint64_t now, ran;
	unsigned idle;

	if (s->last != v) {
		/* With one CPU, what nobody else uses may stay where it is. */
		if (cpu_count > 1)
			release_last(s);
		s->last = v;
		s->switches++;
	}
	set_state(v, VCPU_RUNNING);
	s->current = v;
	s->since = time_now();
	__atomic_store_n(&s->until, slice == TIME_NEVER ? slice : s->since + slice,
			 __ATOMIC_RELAXED);
	idle = waiting(s) ? sched_find_idle(s->queue.waiting.slots[0].entity->cpuset)
			  : (unsigned)NOBODY;
	spin_unlock(&s->lock);
	if (idle != NOBODY)
		sched_poke(idle);
	v->run_count++;
	sched_cut_slice(s);
	lock_debug_none("VM entry");
	leave = ops->run(v);
	spin_lock(&s->lock);
	now = time_now();
	ran = now - s->since;
	v->run_ns += ran;
	fair_charge(&s->queue, &v->fair, ran, now);
	s->current = NULL;
	__atomic_store_n(&s->until, TIME_NEVER, __ATOMIC_RELAXED);
	if (leave == VCPU_LEAVE_HALTED) {
		set_state(v, VCPU_HALTED);
		/* Who asked for something before that saw no sleeper to be woken. */
		if (!(__atomic_load_n(&v->requests, __ATOMIC_SEQ_CST) & VCPU_REQ_WAKING))
			return;
	}
	set_state(v, VCPU_RUNNABLE);
	fair_put(&s->queue, &v->fair, now);
}

/*
 * One of @vm spins: it waits for another vCPU, most likely for one that was interrupted. Which one
 * is not known, so while the guest's turn lasts its vCPUs have it in the order in which they came.
 * Otherwise one that has used up its slice would have to wait until each of the others has spun for
 * as long. The lock of @s is held.
 */
static void take_turns(struct cpu_sched *s, const struct vm *vm)
{
	struct vcpu *first, *longest;

	if (!waiting(s))
		return;
	first = longest = vcpu_of(s->queue.waiting.slots[0].entity);
	if (first->vm != vm)
		return;
	for (unsigned i = 0; i < vm->settings.cpus; i++) {
		struct vcpu *v = vm->vcpu[i];

		/* Whom somebody wakes may have our number, but does not wait before we let go. */
		if (__atomic_load_n(&v->cpu, __ATOMIC_RELAXED) == id_of(s) &&
		    v->state == VCPU_RUNNABLE && v->fair.state == FAIR_WAITING &&
		    v->fair.since < longest->fair.since)
			longest = v;
	}
	if (longest != first)
		fair_swap(&s->queue, &first->fair, &longest->fair);
}

/* The next to run, with how long; NULL: nobody. The lock of @s is held. */
static struct fair_entity *pick(struct cpu_sched *s, uint64_t now, uint64_t *slice)
{
	struct vcpu *yielded = s->yielded;
	struct fair_entity *e, *other;
	bool yields;

	s->yielded = NULL;
	if (yielded)
		take_turns(s, yielded->vm);
	e = fair_pick(&s->queue, now, slice);
	yields = e && vcpu_of(e) == yielded && waiting(s);
	if (!yields)
		return e;
	/* Somebody else first, once. */
	fair_charge(&s->queue, e, 0, now);
	other = fair_pick(&s->queue, now, slice);
	fair_put(&s->queue, e, now);
	if (!other)
		return fair_pick(&s->queue, now, slice);
	/* Nobody waited when it was picked. */
	*slice = MIN(*slice, fair_preempt_in(&s->queue, e, other, 0, now));
	return other;
}

/*
 * Nobody waits, nor was there anybody to be taken: cleans memory while there is some to clean, else
 * sleeps until an interrupt. Interrupts are off until it sleeps, so no poke is missed.
 */
static void idle(struct cpu_sched *s, uint64_t next)
{
	uint64_t start;

	if (frames_scrub_some()) {
		__asm__ volatile("sti; nop; cli" ::: "memory");
		return;
	}
	if (timer_armed(&s->slice))
		timer_cancel(&s->slice);
	if (next != TIME_NEVER)
		timer_set(&s->wakeup, next);
	start = time_now();
	/* What was lost at an exit (see start_emulator_tick()) must not be slept through. */
	if (cpu_has(CPU_HYPERVISOR))
		apic_signal_again();
	__asm__ volatile("sti; hlt; cli" ::: "memory");
	s->idle_ns += time_now() - start;
}

/* One turn of the loop. */
static void turn(struct cpu_sched *s)
{
	struct fair_entity *e;
	uint64_t now, slice, next;
	struct vcpu *v;

	spin_lock(&s->lock);
	now = time_now();
	if (cpu_count > 1)
		sched_balance(s, now);
	e = pick(s, now, &slice);
	if (!e) {
		/* From now on we are woken for what comes; then look for what was there before. */
		__atomic_or_fetch(&sched_idle, BIT(id_of(s)), __ATOMIC_SEQ_CST);
		if (cpu_count > 1)
			release_last(s);
		if (cpu_count > 1 && sched_steal(s, now))
			e = pick(s, now, &slice);
	}
	if (!e) {
		next = fair_next(&s->queue, now);
		spin_unlock(&s->lock);
		idle(s, next);
		__atomic_and_fetch(&sched_idle, ~BIT(id_of(s)), __ATOMIC_SEQ_CST);
		return;
	}
	__atomic_and_fetch(&sched_idle, ~BIT(id_of(s)), __ATOMIC_SEQ_CST);
	v = vcpu_of(e);
	if (unlikely(__atomic_load_n(&v->vm->state, __ATOMIC_RELAXED) != VM_RUNNING)) {
		fair_charge(&s->queue, e, 0, now);
		set_state(v, VCPU_HALTED);
		if (s->last == v)
			release_last(s);
		sched_poke(0);
	} else {
		run(s, v, slice);
		/* It stopped itself, or was stopped: not to be waited for. */
		if (unlikely(__atomic_load_n(&v->vm->state, __ATOMIC_RELAXED) != VM_RUNNING)) {
			release_last(s);
			sched_poke(0);
		}
	}
	spin_unlock(&s->lock);
}

/* The boot CPU's other work: the console, and VMs that stop. */
static void attend(struct cpu_sched *s)
{
	bool again;

	do {
		s->attend = false;
		log_deferred(false);
		again = ops->poll();
		log_deferred(true);
	} while (again);
}

void sched_run(void)
{
	struct cpu_sched *s = this_sched();
	bool boot = id_of(s) == 0;

	s->attend = true;
	for (;;) {
		if (boot && s->attend)
			attend(s);
		turn(s);
	}
}

bool sched_contended(void)
{
	return waiting(this_sched());
}

void sched_give_way(void)
{
	struct cpu_sched *s = this_sched();

	if (!s->current || !waiting(s))
		return;
	s->yielded = s->current;
	vcpu_request_self(s->current, VCPU_REQ_LEAVE);
}

uint64_t sched_idle_ns(unsigned cpu)
{
	return scheds[cpu].idle_ns;
}
