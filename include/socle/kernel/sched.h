/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler: which vCPU runs next on a CPU, and what the CPU does in between. */
#ifndef SOCLE_KERNEL_SCHED_H
#define SOCLE_KERNEL_SCHED_H

#include "socle/format.h"
#include "socle/kernel/vm.h"

/* Why a vCPU came back from its vendor's run loop. */
enum vcpu_leave {
	VCPU_LEAVE_REQUESTED, /* VCPU_REQ_LEAVE: it could go on */
	VCPU_LEAVE_HALTED,    /* waits for an event, and none is there */
};

/* What the scheduler needs of the rooms above it; bound at boot. */
struct sched_ops {
	/* Runs @vcpu until it leaves. Interrupts off on entry and return, no lock held. */
	enum vcpu_leave (*run)(struct vcpu *vcpu);
	/* Takes what is left of @vcpu, which ran here last, out of this CPU's registers. */
	void (*release)(struct vcpu *vcpu);
	/*
	 * Work for between two vCPUs, on the boot CPU, after a sched_kick() there; true: call it
	 * again before anything else.
	 */
	bool (*poll)(void);
};

/* Once, before sched_run(). */
void sched_bind(const struct sched_ops *ops);

/* Makes the queue of CPU @cpu. On the boot CPU, before that CPU's sched_run(). */
void sched_add_cpu(unsigned cpu);

/* Runs vCPUs for ever, on each CPU. Interrupts off. */
void sched_run(void) __noreturn;

/*
 * Makes the vCPU that this CPU runs, if any, come back to sched_run() soon, and has the boot CPU
 * call poll() before the next one. From interrupt handlers, and from poll() itself.
 */
void sched_kick(void);

/* Makes CPU @cpu go through sched_run()'s loop soon. Any CPU and context. */
void sched_poke(unsigned cpu);

/*
 * Makes room for @more vCPUs than were added. On the boot CPU. Returns -S_NOMEM; what room there is
 * by then serves whoever asks next.
 */
status_t __must_check sched_reserve(unsigned more);

/* Takes in @vm's vCPUs, for which there is room, and its settings. Once per VM, on the boot CPU. */
void sched_add(struct vm *vm);

/* From off to halted: from now on a request wakes @vcpu. By the boot CPU, at the VM's start. */
void sched_start(struct vcpu *vcpu);

/*
 * Turns @vcpu off. False while a CPU still runs it or has its registers, which ends soon: that CPU
 * pokes the boot CPU then, if its VM is not running any more. By the boot CPU.
 */
bool sched_remove(struct vcpu *vcpu);

/* Somebody else waits for this CPU. A hint. */
bool sched_contended(void);

/* The vCPU that runs here wants others to go first: it waits for one of them. */
void sched_give_way(void);

/*
 * Nanoseconds that CPU @cpu has slept since boot, the sleep under way not included. Cleaning memory
 * is no sleep.
 */
uint64_t sched_idle_ns(unsigned cpu);

/* Nanoseconds that @vcpu has run, the run under way included. Takes its queue's lock. */
uint64_t sched_run_ns(struct vcpu *vcpu);

/* Print CPU @cpu's queue, and @vm's vCPUs. On the boot CPU. */
void sched_print(unsigned cpu, struct format_sink *out);
void sched_print_vm(struct vm *vm, struct format_sink *out);

#endif
