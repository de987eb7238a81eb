/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtual machines and their virtual CPUs as the core knows them: life cycle, bus, memory. */
#ifndef SOCLE_KERNEL_VM_H
#define SOCLE_KERNEL_VM_H

#include "socle/base.h"
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
	VCPU_REQ_TIMER = BIT(3), /* reserved for the local APIC's timer */
};

enum vcpu_state {
	VCPU_OFF,      /* VM not running, or waiting for a start-up IPI */
	VCPU_RUNNABLE, /* waits for a CPU */
	VCPU_RUNNING,  /* owned by a CPU */
	VCPU_HALTED,   /* in HLT until an event */
};

struct vcpu {
	struct vm *vm;
	unsigned id;		  /* index in the VM, also its APIC ID */
	enum vcpu_state state;	  /* owned by the scheduler */
	uint32_t requests;	  /* enum vcpu_request; atomic */
	struct list run_link;	  /* scheduler's queue */
	uint64_t run_ns;	  /* time spent in the guest and its exits */
};

struct vm {
	struct vm_settings settings; /* frozen at first start */
	unsigned id;		     /* index in the table of VMs */
	enum vm_state state;
	bool frozen;		     /* ran once: settings are fixed */
	bool reset_pending;	     /* the stop under way is a reset: start again */
	enum vm_exit exit;
	int exit_status;	     /* VM_EXIT_DEBUG: the value written */
	char exit_reason[96];	     /* one line for people */
	struct guest_mem mem;
	struct io_bus io;
	struct board *board;	     /* its chips (platform/) */
	struct vcpu *vcpu[VM_MAX_VCPUS];
	unsigned starts;	     /* how often it was started */
	uint64_t log_window;	     /* rate limit of vm_log(): start of the window, ns */
	unsigned log_lines;	     /* lines in that window */
	unsigned log_dropped;	     /* not printed since */
};

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
