/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler: which vCPU runs next on a CPU, and what the CPU does in between. */
#ifndef SOCLE_KERNEL_SCHED_H
#define SOCLE_KERNEL_SCHED_H

#include "socle/kernel/vm.h"

/* Why a vCPU came back from its vendor's run loop. */
enum vcpu_leave {
	VCPU_LEAVE_REQUESTED, /* VCPU_REQ_LEAVE: it could go on */
	VCPU_LEAVE_HALTED,    /* executed HLT and no event is pending */
	VCPU_LEAVE_OFF,	      /* waits for a start-up IPI, or its VM stops */
};

/* What the scheduler needs of the rooms above it; bound at boot. */
struct sched_ops {
	/* Runs @vcpu until it leaves. Interrupts off on entry and return. */
	enum vcpu_leave (*run)(struct vcpu *vcpu);
	/* Work for between two vCPUs; true: call it again before anything else. */
	bool (*poll)(void);
};

/* Once, before sched_run(). */
void sched_bind(const struct sched_ops *ops);

/* Runs vCPUs for ever. Interrupts off. */
void sched_run(void) __noreturn;

/* Makes the running vCPU, if any, come back to sched_run() soon. From interrupt handlers. */
void sched_kick(void);

/* Makes @vcpu runnable if it is off or halted. */
void sched_wake(struct vcpu *vcpu);

/* Takes @vcpu off the queue: state VCPU_OFF. It must not be running. */
void sched_remove(struct vcpu *vcpu);

/* Nanoseconds this CPU was idle since boot. */
uint64_t sched_idle_ns(void);

#endif
