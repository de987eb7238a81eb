/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtual machines and their virtual CPUs as the core knows them: life cycle, bus, memory. */
#ifndef SOCLE_KERNEL_VM_H
#define SOCLE_KERNEL_VM_H

#include "socle/base.h"
#include "socle/cpu/spinlock.h"
#include "socle/list.h"
#include "socle/status.h"
#include "socle/kernel/config.h"
#include "socle/kernel/fair.h"
#include "socle/kernel/iobus.h"
#include "socle/kernel/time.h"
#include "socle/mm/guestmem.h"

struct board;
struct vm;

enum vm_state {
	VM_STOPPED,    /* no memory populated; may be started */
	VM_RUNNING,
	VM_STOPPING,   /* vCPUs are being taken off their CPUs */
	VM_RESTARTING, /* as VM_STOPPED, but soon starts by itself */
};

/* Why a guest stopped. */
enum vm_exit {
	VM_EXIT_NONE,	   /* never ran, or still runs */
	VM_EXIT_POWEROFF,  /* the guest turned itself off */
	VM_EXIT_DEBUG,	   /* the guest wrote to its debug-exit port: see exit_status */
	VM_EXIT_STOPPED,   /* the administrator stopped it */
	VM_EXIT_CRASHED,   /* killed: triple fault, bad state, ...: see exit_reason */
};

/* Things to look at before a vCPU enters the guest again; set by anyone, cleared by its CPU. */
enum vcpu_request {
	VCPU_REQ_LEAVE = BIT(0), /* go back to the scheduler */
	VCPU_REQ_EVENT = BIT(1), /* an interrupt or NMI may have become deliverable */
	VCPU_REQ_FLUSH = BIT(2), /* guest-physical translations were removed: flush the TLB */
	VCPU_REQ_TIMER = BIT(3), /* its local APIC's timer may be due */
	VCPU_REQ_NMI = BIT(4),	 /* an NMI arrived */
	VCPU_REQ_INIT = BIT(5),	 /* an INIT arrived */
	VCPU_REQ_STARTUP = BIT(6), /* a start-up IPI arrived */
	VCPU_REQ_AGAIN = BIT(7),   /* look for events after the next exit; only by its own CPU */
	VCPU_REQ_CONTENDED = BIT(8), /* another waits for its CPU since a moment ago; likewise */
	VCPU_REQ_PMI = BIT(9), /* a performance counter overflowed */
	VCPU_REQ_WORK = BIT(10), /* work was posted: go back to the scheduler, then do it */
	/* Those that a sleeping vCPU is to look at. */
	VCPU_REQ_WAKING = VCPU_REQ_EVENT | VCPU_REQ_TIMER | VCPU_REQ_NMI | VCPU_REQ_INIT |
			  VCPU_REQ_STARTUP | VCPU_REQ_PMI | VCPU_REQ_WORK,
};

enum vcpu_state {
	VCPU_OFF,      /* VM not running */
	VCPU_RUNNABLE, /* waits for a CPU, in the queue of @cpu */
	VCPU_RUNNING,  /* owned by @cpu */
	VCPU_HALTED,   /* until a request: in HLT, or waiting for a start-up IPI */
};

/*
 * Work for a guest that goes on in the turn of one of its vCPUs, before that enters the guest
 * again. Embed it in what is worked on.
 */
struct vcpu_work {
	void (*run)(struct vcpu_work *work, struct vcpu *vcpu); /* with no lock held */
	struct vcpu_work *next;					/* of the same vCPU */
	bool posted; /* vcpu_post() was called, and @run not yet; atomic */
};

struct vcpu {
	struct vm *vm;
	unsigned id;	       /* index in the VM, also its APIC ID */
	uint32_t requests;     /* enum vcpu_request; atomic */
	enum vcpu_state state; /* changed with the lock of @cpu's queue; read by anyone */
	unsigned cpu;	       /* CPU that runs it, queues it, or ran it last; likewise */
	uint64_t run_ns;       /* time spent in the guest and its exits, until it last left its CPU;
				  of the CPU that runs it. To be shown: sched_run_ns() */
	uint64_t run_count;    /* times that the scheduler gave it a CPU; likewise */
	uint64_t moves;	       /* times that it came to another CPU; likewise */
	struct vcpu_work *work;	  /* that vcpu_defer() put off; of the CPU that runs it */
	struct vcpu_work *posted; /* by vcpu_post(), the last one first; atomic */
	struct timer work_due;	  /* armed while some of it may wait; likewise */
	struct fair_entity fair;  /* the scheduler's policy; that queue's lock */
};

/*
 * What the core needs of the rooms above it to bring a VM to life; bound at boot. All run on the
 * boot CPU from the scheduler's loop, no vCPU of the VM running.
 */
struct vm_ops {
	/*
	 * Once in a VM's life: its chips and vCPUs, and room for them with sched_reserve(). Logs
	 * what is wrong. If it fails, nothing knows of @vm, and memory of OWNER_VM_CORE is given
	 * back for it. After it, nothing fails any more.
	 */
	status_t (*create)(struct vm *vm);
	/* At each start: power-on state, memory, guest image. Logs what is wrong. */
	status_t (*start)(struct vm *vm);
	/* At each stop: memory back, timers off. Also after a failed start. */
	void (*stop)(struct vm *vm);
};

struct vm {
	struct vm_settings settings; /* frozen at first start */
	unsigned id;		     /* index in the table of VMs */
	struct spinlock lock; /* guards state's change to VM_STOPPING and with it the next ones: */
	enum vm_state state;  /* otherwise changed by the boot CPU; read by anyone */
	enum vm_exit exit;
	int exit_status;	 /* VM_EXIT_DEBUG: the value written */
	char exit_reason[256];	 /* one line for people */
	bool reset_pending;	 /* the stop under way is a reset: start again */
	bool frozen;		 /* ran once: settings are fixed */
	struct fair_group group; /* CPU time of all its vCPUs, for its cap */
	struct guest_mem mem;
	struct io_bus io;
	struct spinlock
		chips;	     /* guards the board and what hangs on the bus, local APICs excepted */
	struct board *board; /* its chips (platform/) */
	struct vcpu *vcpu[VM_MAX_VCPUS];
	unsigned starts;      /* how often it was started */
	uint64_t started_at;  /* ns since boot, of the last start */
	uint64_t ready_at;    /* likewise, when all was done for it; the boot CPU's */
	struct timer restart; /* armed while VM_RESTARTING; the boot CPU's */
	uint64_t log_window;  /* rate limit of vm_log(), the log's lock: start of the window, ns */
	unsigned log_lines;   /* lines in that window */
	unsigned log_dropped; /* not printed since */
};

/* Binds the rooms above. Once, at boot. */
void vm_bind(const struct vm_ops *ops);

/*
 * Creates a stopped VM with these settings. Returns -S_EXIST for a name in use, -S_NOSPC, -S_NOMEM,
 * or what the rooms above found wrong (logged); then nothing is left of it.
 */
status_t __must_check vm_create(const struct vm_settings *settings);

/* By name, NULL if there is none. */
struct vm *vm_find(const char *name);

/* The VM after @vm in order of creation, the first for NULL; NULL at the end. */
struct vm *vm_next(struct vm *vm);

/* Starts a stopped VM from clean memory. Returns -S_BUSY if it is not stopped, or the failure. */
status_t __must_check vm_start(struct vm *vm);

/*
 * Stops a VM at once, as if its power was cut; one that is about to start again, too. By the boot
 * CPU. Returns -S_BUSY if it is stopped, or about to be.
 */
status_t __must_check vm_stop(struct vm *vm);

/* Finishes requested stops, and restarts that are due; called between vCPUs, on the boot CPU. */
void vm_reap(void);

/*
 * Has all vCPUs of @vm drop what they cached of its guest-physical translations. When it returns,
 * none uses them any more. The caller holds no lock, and may be the CPU that runs @self (or NULL),
 * which does it before its next entry. One caller at a time for a VM: two that handle exits of its
 * vCPUs would wait for each other for ever. guest_replace() and guest_discard() see to that.
 */
void vm_flush(struct vm *vm, struct vcpu *self);

/* As vm_flush(), but does not wait, and may be called with locks held: when it matters not when. */
void vm_flush_begin(struct vm *vm, struct vcpu *self);

/* "running", and so on. */
const char *vm_state_text(const struct vm *vm);

/*
 * Ask the VM to stop; any context, never blocks. Its vCPUs leave the guest before their next
 * entry, and the VM is torn down from the scheduler. The first reason given wins.
 */
void vm_poweroff(struct vm *vm);
void vm_debug_exit(struct vm *vm, int status);
void vm_reset(struct vm *vm);

/* As vm_poweroff(), for a guest that cannot go on: logs one line with the reason. */
void vm_kill(struct vm *vm, const char *fmt, ...) __printf(2, 3) __cold;

/* Sets request bits of @vcpu and makes its CPU look at them; wakes it from HLT. Any CPU and
 * context.
 */
void vcpu_request(struct vcpu *vcpu, uint32_t requests);

/* The same by the CPU that runs @vcpu, which will look before the next entry anyway. */
static __always_inline void vcpu_request_self(struct vcpu *vcpu, uint32_t requests)
{
	__atomic_or_fetch(&vcpu->requests, requests, __ATOMIC_RELAXED);
}

/*
 * By the CPU that runs @vcpu, in an exit or a work: @work goes on after the scheduler has looked
 * who else wants the CPU. @work is on no list yet. A start of the VM forgets what was put off.
 */
static inline void vcpu_defer(struct vcpu *vcpu, struct vcpu_work *work)
{
	work->next = vcpu->work;
	vcpu->work = work;
	vcpu_request_self(vcpu, VCPU_REQ_LEAVE);
}

/*
 * Likewise, but @vcpu stays in the guest: @work goes on when it halts, when the scheduler has
 * looked for another reason, or at @when (ns since boot), whichever is first.
 */
static inline void vcpu_defer_until(struct vcpu *vcpu, struct vcpu_work *work, uint64_t when)
{
	/* An armed timer stands for earlier work, which is due before; then all is done. */
	if (!timer_armed(&vcpu->work_due))
		timer_set(&vcpu->work_due, when);
	work->next = vcpu->work;
	vcpu->work = work;
}

/*
 * By any CPU, in any context: @work, which is not for vcpu_defer(), is done in @vcpu's next turn,
 * which comes soon, even if @vcpu sleeps. Once, if it is posted again before that.
 */
static inline void vcpu_post(struct vcpu *vcpu, struct vcpu_work *work)
{
	if (__atomic_exchange_n(&work->posted, true, __ATOMIC_SEQ_CST))
		return;
	work->next = __atomic_load_n(&vcpu->posted, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&vcpu->posted, &work->next, work, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
	vcpu_request(vcpu, VCPU_REQ_WORK);
}

/* For a new vCPU, before all of these. */
void vcpu_work_init(struct vcpu *vcpu);

/* At the beginning of @vcpu's turn, and when it halts: does what was put off or posted. */
static inline void vcpu_work(struct vcpu *vcpu)
{
	struct vcpu_work *next, *work = vcpu->work;

	if (timer_armed(&vcpu->work_due))
		timer_cancel(&vcpu->work_due);
	vcpu->work = NULL;
	for (; work; work = next) {
		next = work->next;
		work->run(work, vcpu);
	}
	for (work = __atomic_exchange_n(&vcpu->posted, NULL, __ATOMIC_SEQ_CST); work; work = next) {
		next = work->next;
		/* Before it begins: who wants more from now on posts it anew. */
		__atomic_store_n(&work->posted, false, __ATOMIC_SEQ_CST);
		work->run(work, vcpu);
	}
}

/* At a start of the VM: what was put off or posted in its former life is not done. */
static inline void vcpu_forget_work(struct vcpu *vcpu)
{
	struct vcpu_work *next, *work = __atomic_exchange_n(&vcpu->posted, NULL, __ATOMIC_SEQ_CST);

	vcpu->work = NULL;
	for (; work; work = next) {
		next = work->next;
		__atomic_store_n(&work->posted, false, __ATOMIC_SEQ_CST);
	}
}

#endif
