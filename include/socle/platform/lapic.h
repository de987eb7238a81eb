/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's local APICs, one per vCPU, in xAPIC and x2APIC mode (SDM vol. 3, chapter 11). */
#ifndef SOCLE_PLATFORM_LAPIC_H
#define SOCLE_PLATFORM_LAPIC_H

#include "socle/base.h"
#include "socle/guest/vcpu.h"
#include "socle/kernel/time.h"
#include "socle/status.h"

#define LAPIC_GPA 0xfee00000ull

enum lapic_lvt {
	LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT,
};

/* One bit per vector, and one per word that is not zero. */
struct lapic_vectors {
	uint64_t bits[4];
	uint32_t words;
};

/*
 * Owned by its vCPU's CPU. Others may read what is marked "read by others", a member at a time, and
 * put interrupts into the inbox.
 */
struct lapic {
	/* What a reset clears. */
	struct lapic_vectors irr;  /* requested */
	struct lapic_vectors isr;  /* in service */
	struct lapic_vectors tmr;  /* level-triggered */
	int in_service;		   /* highest in isr, or -1 */
	int extint;		   /* PIC's vector that was accepted last, -1: one of our own was */
	uint32_t tpr;		   /* task priority; read by others */
	uint32_t ldr, dfr;	   /* logical destination, its format (xAPIC); read by others */
	uint32_t svr;		   /* spurious vector, software enable; read by others */
	uint32_t esr, esr_pending; /* errors as read, and since the last write of ESR */
	uint64_t icr;		   /* last interrupt command */
	uint32_t lvt[LVT_COUNT];   /* local vector table; LINT0 is read by others */
	uint32_t timer_initial;	   /* initial count */
	uint32_t timer_divide;	   /* divide configuration as written */
	uint64_t timer_start;	   /* ns since boot when the count started */
	bool timer_counts;	   /* one-shot, periodic: the count goes on */
	uint32_t timer_missed;	   /* periodic ticks not delivered yet; given at each EOI */
	uint64_t deadline;	   /* IA32_TSC_DEADLINE; 0: not armed */

	/* What is left alone. */
	uint64_t base;	       /* IA32_APIC_BASE; read by others */
	struct x86_vcpu *vcpu; /* whose it is; set once */
	struct timer timer;    /* while something is to come */
	uint32_t *page;	       /* where the CPU works on registers itself; NULL: it does not */
	bool page_changed;     /* we changed what is requested or in service there */
	uint32_t __aligned(64) posted_any; /* something is in the inbox; atomic */
	uint32_t startup;		   /* vector of the last start-up IPI; atomic */
	/* The inbox: requested by others, edge- and level-triggered; atomic (lapic_inbox.c). */
	uint64_t __aligned(64) posted[4];
	uint64_t posted_level[4];
};

/* Binds interrupts, CR8 and so on of all vCPUs to their local APICs. Once, at boot. */
void lapic_bind(void);

/* Gives @vcpu a local APIC. Returns -S_NOMEM. */
status_t __must_check lapic_create(struct x86_vcpu *vcpu);

/* Puts the registers of all vCPUs of @vm on its bus. Once per VM. */
status_t __must_check lapic_add_region(struct vm *vm);

/*
 * Power-on state, but for the boot processor's LINT0, which passes the PIC's interrupts on, as
 * firmware leaves it. By the owner, or while the vCPU is off.
 */
void lapic_reset(struct lapic *l);

/*
 * The timer may have expired: if so, requests its interrupt and goes on. By the owner, after
 * VCPU_REQ_TIMER.
 */
void lapic_timer_due(struct lapic *l);

/*
 * For a CPU that delivers interrupts and ends them itself: has @l keep its registers in @page, of
 * PAGE_SIZE bytes and laid out as those of an APIC, from now on. Only when @l was just reset.
 */
void lapic_use_page(struct lapic *l, void *page);

/*
 * Before an entry: moves what was requested, by others too, into the page, and returns how many.
 * @changed: what is requested or in service was changed by us since the last call.
 */
unsigned lapic_page_post(struct lapic *l, bool *changed);

/* Highest vector that is requested, or in service, in the page; 0: none. */
uint8_t lapic_page_requested(const struct lapic *l);
uint8_t lapic_page_in_service(const struct lapic *l);

/* Vectors 64 * @word and up whose end we want to hear of. */
uint64_t lapic_page_eoi_exits(const struct lapic *l, unsigned word);

/* The guest ended @vector, which the CPU has taken out of service. */
void lapic_page_ended(struct lapic *l, uint8_t vector);

/* An access to the registers was emulated. */
void lapic_page_refresh(struct lapic *l);

/* The guest wrote the register at @reg of the page, which wants more than that. */
void lapic_page_written(struct lapic *l, uint32_t reg);

/* IA32_APIC_BASE of @l: which of xAPIC and x2APIC mode is on. */
bool lapic_is_xapic(const struct lapic *l);
bool lapic_is_x2apic(const struct lapic *l);

/* True if the CPU delivers and ends interrupts by itself. */
static inline bool lapic_is_virtualized(const struct lapic *l)
{
	return l->page;
}

/* True if x2APIC register @index (from 0x800 on) is one that reads as the page has it. */
bool lapic_page_readable(uint32_t index);

#endif
