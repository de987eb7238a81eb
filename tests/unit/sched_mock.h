/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: the scheduler on CPUs that are variables, with guests that are functions. */
#ifndef TESTS_UNIT_SCHED_MOCK_H
#define TESTS_UNIT_SCHED_MOCK_H

/* The order of locks is checked as in a debug build. */
#define LOCK_DEBUG
#include <string.h>

#include "panic_mock.h"
#include "smp_mock.h"
#include "socle/cpu/apic.h"
#include "socle/cpu/features.h"
#include "socle/kernel/log.h"
#include "socle/mm/frames.h"

enum { CPUS = 4, CALLERS = 1 /* threads that are no CPU */, VMS = 4, APIC_IDS = 100 };
static struct cpu mock_cpu[CPUS + CALLERS];
#define this_cpu() (&mock_cpu[cpu_index()])
#include "../../arch/x86/cpu/spinlock.c"
#undef this_cpu

#ifdef MOCK_JITTER
/* Other threads come in between everywhere. */
static void jitter(void);
#define __atomic_load_n(p, order)	 (jitter(), __atomic_load_n(p, order))
#define __atomic_store_n(p, v, order)	 (jitter(), __atomic_store_n(p, v, order))
#define __atomic_fetch_or(p, v, order)	 (jitter(), __atomic_fetch_or(p, v, order))
#define __atomic_exchange_n(p, v, order) (jitter(), __atomic_exchange_n(p, v, order))
#define __atomic_or_fetch(p, v, order)	 (jitter(), __atomic_or_fetch(p, v, order))
#define __atomic_and_fetch(p, v, order)	 (jitter(), __atomic_and_fetch(p, v, order))
#define __atomic_thread_fence(order)	 (jitter(), __atomic_thread_fence(order))
#endif
#include "../../kernel/sched_cpu.c"
#include "../../kernel/sched_move.c"
#include "../../kernel/sched_print.c"
#include "../../kernel/sched_wake.c"
#include "../../lib/format.c"
#include "../../lib/string.c"
/* It opens and shuts a window for interrupts, asleep or not. */
static bool interrupt_window(void);
#define __asm__                 \
	if (interrupt_window()) \
	__asm
#include "../../kernel/sched.c"
#undef __asm__
#ifdef MOCK_JITTER
#undef __atomic_load_n
#undef __atomic_store_n
#undef __atomic_fetch_or
#undef __atomic_exchange_n
#undef __atomic_or_fetch
#undef __atomic_and_fetch
#undef __atomic_thread_fence
#endif
/* Each file has helpers of its own under this name. */
#define place heap_place
#include "../../kernel/fair_heap.c"
#undef place
#include "../../kernel/fair.c"
#include "../../kernel/fair_balance.c"
#include "../../kernel/fair_cap.c"
#include "../../kernel/fair_print.c"

struct cpu_info cpu_info;
struct cpu *all_cpus[CPU_MAX];
unsigned cpu_count;

static void (*kick_bound)(void);
static bool ipi[CPUS];	    /* an interrupt waits for the CPU; atomic */
static unsigned sent[CPUS]; /* interrupts that the CPU was sent; atomic */
static bool dirty;	    /* memory is there to be cleaned */
static bool cleaned;	    /* some was, just now, instead of sleeping */

void interrupt_bind(uint8_t vector, void (*handler)(void))
{
	assert_int_equal(vector, HOST_VEC_KICK);
	kick_bound = handler;
}

void apic_send(uint32_t apic_id, uint8_t vector)
{
	unsigned cpu = apic_id - APIC_IDS;

	CHECK(vector == HOST_VEC_KICK);
	CHECK(cpu < cpu_count && cpu != cpu_index());
	__atomic_fetch_add(&sent[cpu], 1, __ATOMIC_RELAXED);
	__atomic_store_n(&ipi[cpu], true, __ATOMIC_SEQ_CST);
}

void apic_signal_again(void)
{
}

void log_deferred(bool deferred __unused)
{
}

bool frames_scrub_some(void)
{
	cleaned = dirty;
	return dirty;
}

/* Two timers for each CPU, which nobody else touches. */
void timer_init(struct timer *t, void (*fire)(struct timer *timer))
{
	*t = (struct timer){.fire = fire};
}

void timer_set(struct timer *t, uint64_t expires)
{
	CHECK(t == &this_sched()->slice || t == &this_sched()->wakeup);
	t->expires = expires;
	t->slot = 1;
}

void timer_cancel(struct timer *t)
{
	CHECK(t == &this_sched()->slice || t == &this_sched()->wakeup);
	t->slot = 0;
}

static bool is_due(const struct timer *t)
{
	return timer_armed(t) && t->expires <= time_now();
}

static void expire(struct timer *t)
{
	if (!is_due(t))
		return;
	t->slot = 0;
	t->fire(t);
}

/* What comes in while interrupts are on. */
static void take_interrupts(void)
{
	CHECK(mock_cpu[cpu_index()].held_count == 0);
	if (__atomic_exchange_n(&ipi[cpu_index()], false, __ATOMIC_SEQ_CST))
		kick_bound();
	expire(&this_sched()->slice);
	expire(&this_sched()->wakeup);
}

/* Memory of the queues; all of it is taken back before the next test. */
static void *taken[256];

void *pages_alloc(size_t bytes, uint32_t owner)
{
	unsigned i = 0;

	assert_int_equal(owner, OWNER_CORE);
	while (taken[i])
		assert_true(++i < ARRAY_SIZE(taken));
	return taken[i] = calloc(1, bytes);
}

void pages_free(void *va, size_t bytes __unused, uint32_t owner)
{
	unsigned i = 0;

	assert_int_equal(owner, OWNER_CORE);
	while (taken[i] != va)
		assert_true(++i < ARRAY_SIZE(taken));
	taken[i] = NULL;
	free(va);
}

/* VMs, and where their vCPUs and those registers are. */
struct mock_vcpu {
	struct vcpu base;
	bool runs;     /* atomic */
	uint32_t regs; /* CPU that has them, + 1; 0: none; atomic */
	unsigned runs_on[CPUS];
	uint64_t work;	 /* ns of CPU time until it sleeps */
	uint32_t served; /* requests that it saw */
	unsigned posted; /* by whoever asks for something; atomic */
	unsigned noted;	 /* the same, when it saw it; atomic */
	unsigned stops;	 /* times that it was turned off */
};
static struct vm vms[VMS];
static struct mock_vcpu vcpus[VMS][VM_MAX_VCPUS];
static struct vcpu *loaded[CPUS]; /* whose registers are there; its CPU's */
static unsigned releases;	  /* atomic */
static enum vcpu_leave (*guest)(struct mock_vcpu *v);

static struct mock_vcpu *mock_of(struct vcpu *v)
{
	return container_of(v, struct mock_vcpu, base);
}

static enum vcpu_leave mock_run(struct vcpu *base)
{
	struct mock_vcpu *v = mock_of(base);
	unsigned cpu = cpu_index();
	enum vcpu_leave leave;
	uint32_t before;

	CHECK(base->cpu == cpu && scheds[cpu].current == base);
	CHECK(base->state == VCPU_RUNNING);
	CHECK(base->fair.cpuset & BIT(cpu));
	CHECK(!__atomic_exchange_n(&v->runs, true, __ATOMIC_SEQ_CST));
	if (cpu_count > 1)
		CHECK(!loaded[cpu] || loaded[cpu] == base);
	loaded[cpu] = base;
	before = __atomic_exchange_n(&v->regs, cpu + 1, __ATOMIC_SEQ_CST);
	CHECK(before == 0 || before == cpu + 1);
	v->runs_on[cpu]++;
	leave = guest(v);
	CHECK(__atomic_exchange_n(&v->runs, false, __ATOMIC_SEQ_CST));
	return leave;
}

static void mock_release(struct vcpu *base)
{
	struct mock_vcpu *v = mock_of(base);
	unsigned cpu = cpu_index();

	CHECK(scheds[cpu].lock.held && !scheds[cpu].current);
	CHECK(loaded[cpu] == base && !__atomic_load_n(&v->runs, __ATOMIC_SEQ_CST));
	loaded[cpu] = NULL;
	CHECK(__atomic_exchange_n(&v->regs, 0, __ATOMIC_SEQ_CST) == cpu + 1);
	__atomic_fetch_add(&releases, 1, __ATOMIC_RELAXED);
}

static const struct sched_ops mock_ops = {.run = mock_run, .release = mock_release};

/* A machine of @cpus CPUs with nothing to do. */
static void new_machine(unsigned cpus)
{
	for (unsigned i = 0; i < ARRAY_SIZE(taken); i++) {
		free(taken[i]);
		taken[i] = NULL;
	}
	memset(scheds, 0, sizeof(scheds));
	memset(mock_cpu, 0, sizeof(mock_cpu));
	memset(loaded, 0, sizeof(loaded));
	memset(vms, 0, sizeof(vms));
	memset(vcpus, 0, sizeof(vcpus));
	memset(ipi, 0, sizeof(ipi));
	memset(sent, 0, sizeof(sent));
	sched_idle = 0;
	releases = 0;
	dirty = false;
	test_cpu_index = 0;
	cpu_count = cpus;
	for (unsigned i = 0; i < cpus; i++) {
		mock_cpu[i].id = i;
		mock_cpu[i].apic_id = APIC_IDS + i;
		all_cpus[i] = &mock_cpu[i];
		sched_add_cpu(i);
	}
	sched_bind(&mock_ops);
}

/* VM @i with @count vCPUs, which sleep. */
static void new_vm(unsigned i, unsigned count, uint64_t cpuset, unsigned cap)
{
	struct vm *vm = &vms[i];

	vm->settings = (struct vm_settings){.cpus = count,
					    .weight = 100,
					    .cap = cap,
					    .cpuset = cpuset & MASK(cpu_count - 1, 0)};
	snprintf(vm->settings.name, sizeof(vm->settings.name), "vm%u", i);
	for (unsigned n = 0; n < count; n++) {
		vcpus[i][n].base = (struct vcpu){.vm = vm, .id = n};
		vm->vcpu[n] = &vcpus[i][n].base;
	}
	assert_int_equal(sched_reserve(count), 0);
	sched_add(vm);
	vm->state = VM_RUNNING;
	for (unsigned n = 0; n < count; n++)
		sched_start(vm->vcpu[n]);
}

#endif
