/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtual machines and their virtual CPUs as the core knows them: life cycle, bus, memory. */
#ifndef SOCLE_KERNEL_VM_H
#define SOCLE_KERNEL_VM_H

#include "socle/base.h"
#include "socle/cpu/spinlock.h"
#include "socle/list.h"
#include "socle/status.h"
#include "socle/kernel/config.h"
#include "socle/kernel/iobus.h"
#include "socle/mm/guestmem.h"

struct board;
struct vm;

enum vm_state {
	VM_STOPPED,  /* no memory populated; may be started */
	VM_RUNNING,
	VM_STOPPING, /* vCPUs are being taken off their CPUs */
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
};

enum vcpu_state {
	VCPU_OFF,      /* VM not running, or waiting for a start-up IPI */
	VCPU_RUNNABLE, /* waits for a CPU */
	VCPU_RUNNING,  /* owned by a CPU */
	VCPU_HALTED,   /* in HLT until an event */
};

struct vcpu {
	struct vm *vm;
	unsigned id;	       /* index in the VM, also its APIC ID */
	enum vcpu_state state; /* owned by the scheduler */
	uint32_t requests;     /* enum vcpu_request; atomic */
	struct list run_link;  /* scheduler's queue, while runnable */
	uint64_t run_ns;       /* time spent in the guest and its exits */
	uint64_t run_count;    /* times that the scheduler gave it a CPU */
};

/*
 * What the core needs of the rooms above it to bring a VM to life; bound at boot. All run on the
 * boot CPU from the scheduler's loop, no vCPU of the VM running.
 */
struct vm_ops {
	/* Once in a VM's life: its chips and vCPUs. Logs what is wrong. */
	status_t (*create)(struct vm *vm);
	/* At each start: power-on state, memory, guest image. Logs what is wrong. */
	status_t (*start)(struct vm *vm);
	/* At each stop: memory back, timers off. Also after a failed start. */
	void (*stop)(struct vm *vm);
};

struct vm {
	struct vm_settings settings; /* frozen at first start */
	unsigned id;		     /* index in the table of VMs */
	enum vm_state state;
	bool frozen;	    /* ran once: settings are fixed */
	bool reset_pending; /* the stop under way is a reset: start again */
	enum vm_exit exit;
	int exit_status;       /* VM_EXIT_DEBUG: the value written */
	char exit_reason[256]; /* one line for people */
	struct guest_mem mem;
	struct io_bus io;
	struct spinlock chips; /* guards the board and what hangs on the bus, local APICs excepted */
	struct board *board;   /* its chips (platform/) */
	struct vcpu *vcpu[VM_MAX_VCPUS];
	unsigned starts;      /* how often it was started */
	uint64_t started_at;  /* ns since boot, of the last start */
	uint64_t log_window;  /* rate limit of vm_log(): start of the window, ns */
	unsigned log_lines;   /* lines in that window */
	unsigned log_dropped; /* not printed since */
};

/* Binds the rooms above. Once, at boot. */
void vm_bind(const struct vm_ops *ops);

/*
 * Creates a stopped VM with these settings. Returns -S_EXIST for a name in use, -S_NOSPC, -S_NOMEM,
 * or what the rooms above found wrong (logged).
 */
status_t __must_check vm_create(const struct vm_settings *settings);

/* By name, NULL if there is none. */
struct vm *vm_find(const char *name);

/* The VM after @vm in order of creation, the first for NULL; NULL at the end. */
struct vm *vm_next(struct vm *vm);

/* Starts a stopped VM from clean memory. Returns -S_BUSY if it is not stopped, or the failure. */
status_t __must_check vm_start(struct vm *vm);

/* Stops a VM at once, as if its power was cut. Returns -S_BUSY if it does not run. */
status_t __must_check vm_stop(struct vm *vm);

/* Finishes requested stops and restarts; called between vCPUs. */
void vm_reap(void);

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

/* Sets request bits of @vcpu and makes its CPU look at them; wakes it from HLT. Any context. */
void vcpu_request(struct vcpu *vcpu, uint32_t requests);

#endif
