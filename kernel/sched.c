/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler: round robin with a time slice, on the boot CPU. */
#include "socle/cpu/apic.h"
#include "socle/cpu/features.h"
#include "socle/kernel/log.h"
#include "socle/kernel/sched.h"
#include "socle/kernel/time.h"
#include "socle/mm/frames.h"

enum { SLICE_MS = 5 };

static struct list queue = LIST_INIT(queue);
static struct vcpu *current;
static struct timer slice;
static const struct sched_ops *ops;
static uint64_t idle_ns;

void sched_bind(const struct sched_ops *o)
{
	ops = o;
}

void sched_kick(void)
{
	if (current)
		__atomic_or_fetch(&current->requests, VCPU_REQ_LEAVE, __ATOMIC_RELAXED);
}

static void slice_end(struct timer *t)
{
	sched_kick();
}

void sched_wake(struct vcpu *v)
{
	if (v->state != VCPU_OFF && v->state != VCPU_HALTED)
		return;
	v->state = VCPU_RUNNABLE;
	list_add_tail(&queue, &v->run_link);
	/* Somebody runs: share with the newcomer. */
	if (current && !timer_armed(&slice))
		timer_set(&slice, time_now() + SLICE_MS * NS_PER_MS);
}

void sched_remove(struct vcpu *v)
{
	ASSERT(v->state != VCPU_RUNNING);
	if (v->state == VCPU_RUNNABLE)
		list_remove(&v->run_link);
	v->state = VCPU_OFF;
}

void vcpu_request(struct vcpu *v, uint32_t requests)
{
	__atomic_or_fetch(&v->requests, requests, __ATOMIC_RELEASE);
	if (v->state == VCPU_HALTED)
		sched_wake(v);
}

static void run(struct vcpu *v)
{
	uint64_t start = time_now();

	list_remove(&v->run_link);
	v->state = VCPU_RUNNING;
	v->run_count++;
	current = v;
	if (!list_empty(&queue))
		timer_set(&slice, start + SLICE_MS * NS_PER_MS);
	switch (ops->run(v)) {
	case VCPU_LEAVE_REQUESTED:
		v->state = VCPU_RUNNABLE;
		list_add_tail(&queue, &v->run_link);
		break;
	case VCPU_LEAVE_HALTED:
		v->state = VCPU_HALTED;
		break;
	case VCPU_LEAVE_OFF:
		v->state = VCPU_OFF;
		break;
	}
	current = NULL;
	timer_cancel(&slice);
	v->run_ns += time_now() - start;
}

/* Nothing to run: clean memory while there is some to clean, else sleep until an interrupt. */
static void idle(void)
{
	uint64_t start;

	if (frames_scrub_some()) {
		__asm__ volatile("sti; nop; cli" ::: "memory");
		return;
	}
	start = time_now();
	/* What was lost at an exit (see start_emulator_tick()) must not be slept through. */
	if (cpu_has(CPU_HYPERVISOR))
		apic_signal_again();
	__asm__ volatile("sti; hlt; cli" ::: "memory");
	idle_ns += time_now() - start;
}

void sched_run(void)
{
	timer_init(&slice, slice_end);
	for (;;) {
		if (ops->poll())
			continue;
		if (list_empty(&queue))
			idle();
		else
			run(list_entry(queue.next, struct vcpu, run_link));
	}
}

uint64_t sched_idle_ns(void)
{
	return idle_ns;
}
