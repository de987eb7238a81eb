/* SPDX-License-Identifier: BSD-2-Clause */
/* Events for a guest: exceptions, NMIs and interrupts, their priority and their re-injection. */
#ifndef SOCLE_GUEST_EVENTS_H
#define SOCLE_GUEST_EVENTS_H

#include "socle/base.h"
#include "socle/guest/state.h"

struct x86_vcpu;

enum x86_event_type {
	EVENT_INTERRUPT,      /* external interrupt */
	EVENT_NMI,
	EVENT_EXCEPTION,
	EVENT_SOFT_INTERRUPT, /* INT n: pushes the address behind the instruction */
};

/* One event on its way into the guest. */
struct x86_event {
	enum x86_event_type type;
	uint8_t vector;
	bool has_error; /* exception: pushes @error */
	uint32_t error;
	bool has_payload; /* exception: applied when it is injected for the first time */
	uint64_t payload; /* #PF: CR2; #DB: DR6 bits in the pending-debug-exception format */
	uint8_t insn_len; /* soft interrupt: length of its instruction */
};

/* The one place where events wait. Owned by the vCPU's CPU. */
struct x86_events {
	bool exception_valid;	    /* decided, not yet delivered */
	bool retry_valid;	    /* its delivery began and was interrupted by an exit */
	bool nmi_blocked;	    /* from an NMI's delivery to the next IRET */
	uint8_t nmi_pending;	    /* at most 2, 1 while blocked (SDM vol. 3, 6.7.1) */
	struct x86_event exception; /* if exception_valid */
	struct x86_event retry;	    /* if retry_valid */
};

/* What stands between an interrupt and the guest, as the vendor sees it. */
struct x86_window {
	bool interrupts; /* IF is set and no STI or MOV SS shadow */
	bool nmis;	 /* no shadow */
};

/* Where interrupts come from; bound at boot by the local APIC's room. For the vCPU's owner. */
struct x86_irq_source {
	int (*pending)(struct x86_vcpu *v);    /* what is deliverable now, or -1 */
	int (*injectable)(struct x86_vcpu *v); /* the same, if the CPU does not by itself */
	uint8_t (*accept)(struct x86_vcpu *v, int pending);  /* takes it; its vector */
	void (*requeue)(struct x86_vcpu *v, uint8_t vector); /* not delivered: requests it again */
	void (*timer)(struct x86_vcpu *v);		     /* its timer may have expired */
	void (*pmi)(struct x86_vcpu *v);		     /* a counter of its overflowed */
	void (*init)(struct x86_vcpu *v);		     /* goes into the state after INIT */
	uint8_t (*startup)(struct x86_vcpu *v);		     /* vector of the last start-up IPI */
};
void events_bind(const struct x86_irq_source *source);

/* Forgets everything, as at reset. */
void events_reset(struct x86_events *e);

/*
 * Raises an exception, merging it with one that waits or whose delivery was interrupted: a double
 * fault where the manuals say so (SDM vol. 3, table 6-5). Returns false for a triple fault, which
 * the caller turns into the end of the guest.
 */
bool __must_check events_raise(struct x86_events *e, const struct x86_exception *x);

/*
 * Puts an interrupt or NMI whose delivery was interrupted back to where it came from, since an
 * exception goes before it. To be called before events_raise().
 */
void events_requeue(struct x86_vcpu *v);

/* Queues an NMI. By the vCPU's owner; others ask for VCPU_REQ_NMI. */
void events_nmi(struct x86_events *e);

/*
 * What the owner does about requests before it looks for events: VCPU_REQ_TIMER, VCPU_REQ_PMI,
 * VCPU_REQ_INIT (forgets all events, too), and VCPU_REQ_STARTUP of a vCPU that waits for it. The
 * last returns the vector: execution starts at physical address @vector << 12 (SDM vol. 3, 9.4.4).
 * The first two may set VCPU_REQ_AGAIN.
 */
void events_timer(struct x86_vcpu *v);
void events_pmi(struct x86_vcpu *v);
void events_init(struct x86_vcpu *v);
uint8_t events_startup(struct x86_vcpu *v);

/* Tells that an exit interrupted the delivery of @ev: it will be repeated. */
void events_interrupted(struct x86_events *e, const struct x86_event *ev);

/* Wants of events_next() when it had to leave something waiting. */
enum events_wait {
	EVENTS_NONE,		 /* nothing waits */
	EVENTS_INTERRUPT_WINDOW, /* come back when interrupts can be taken */
	EVENTS_NMI_WINDOW,	 /* come back when NMIs can be taken */
};

/*
 * Chooses what to inject at this entry, in the order of the manuals: repeated delivery, exception,
 * NMI, interrupt. True: inject @ev; its payload, if any, is to be applied now. @wait tells what to
 * be notified of besides.
 */
bool events_next(struct x86_vcpu *v, struct x86_window window, struct x86_event *ev,
		 enum events_wait *wait);

/* True if the guest would wake from HLT. */
bool events_wakeup(struct x86_vcpu *v, bool interrupts_enabled);

/* Applies the payload of a first injection to CR2 or DR6 of @s. */
void events_apply_payload(struct x86_state *s, const struct x86_event *ev);

#endif
