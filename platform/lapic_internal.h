/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the local APIC share. */
#ifndef SOCLE_PLATFORM_LAPIC_INTERNAL_H
#define SOCLE_PLATFORM_LAPIC_INTERNAL_H

#include "socle/platform/lapic.h"

/* Register offsets (SDM vol. 3, table 11-1). */
enum lapic_register {
	APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_APR = 0x90, APIC_PPR = 0xa0,
	APIC_EOI = 0xb0, APIC_LDR = 0xd0, APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ISR = 0x100,
	APIC_TMR = 0x180, APIC_IRR = 0x200, APIC_ESR = 0x280, APIC_ICR = 0x300,
	APIC_ICR_HIGH = 0x310, APIC_LVT_TIMER = 0x320, APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INITIAL = 0x380, APIC_TIMER_CURRENT = 0x390, APIC_TIMER_DIVIDE = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};

/* Fields of LVT entries, and of the interrupt command where they are the same. */
enum lapic_lvt_bits {
	LVT_VECTOR = 0xff, LVT_MODE = 7 << 8, LVT_MODE_FIXED = 0 << 8, LVT_MODE_NMI = 4 << 8,
	LVT_MODE_EXTINT = 7 << 8, LVT_MASKED = BIT(16), LVT_TIMER_MODE = 3 << 17,
	LVT_TIMER_ONE_SHOT = 0 << 17, LVT_TIMER_PERIODIC = 1 << 17, LVT_TIMER_DEADLINE = 2 << 17,
};

/* IA32_APIC_BASE (SDM vol. 3, 11.4.4). */
enum { BASE_BSP = BIT(8), BASE_X2APIC = BIT(10), BASE_ENABLE = BIT(11) };

enum { FIRST_VECTOR = 16 }; /* those below are illegal */
enum { SVR_ENABLE = BIT(8), SVR_VALID = 0x1ff };
enum { PRIORITY_CLASS = 0xf0 };

static inline bool lapic_x2apic(const struct lapic *l)
{
	return l->base & BASE_X2APIC;
}

uint32_t lapic_logical_id(const struct lapic *l);

/* Registers by offset, widths and modes checked. */
uint32_t lapic_read(struct lapic *l, uint32_t reg);
void lapic_write(struct lapic *l, uint32_t reg, uint32_t value);

/* Writes the interrupt command register, whole, and carries the command out. */
void lapic_write_icr(struct lapic *l, uint64_t value);

/* From now on, the CPU delivers all but the PIC's interrupts. */
void lapic_inject_extint_only(void);

/* An interrupt arrives from the vCPU itself. */
void lapic_request(struct lapic *l, uint8_t vector, bool level);

/*
 * Interrupts arrived from others: vectors 64 * @word and up, edge- and level-triggered. One that is
 * in both is level-triggered: an EOI that nobody waits for does no harm, a missing one would.
 */
void lapic_request_word(struct lapic *l, unsigned word, uint64_t edge, uint64_t level);

/* An interrupt arrives from anywhere; any CPU, any context (lapic_inbox.c). */
void lapic_post(struct lapic *l, uint8_t vector, bool level);

/* The owner takes what is in the inbox; to an APIC that is turned off, that is nothing. */
void lapic_merge(struct lapic *l);

/* To be called by the owner before it looks at what is requested. */
static __always_inline void lapic_collect(struct lapic *l)
{
	if (unlikely(__atomic_load_n(&l->posted_any, __ATOMIC_RELAXED)))
		lapic_merge(l);
}

/* An NMI from the vCPU itself. */
void lapic_nmi(struct lapic *l);

/* Writes the SELF IPI register. */
void lapic_self_ipi(struct lapic *l, uint8_t vector);

/*
 * The owner asks itself to look for events. Not by VCPU_REQ_EVENT: if that was still set in the
 * guest, because we ask shortly before an entry, nobody else would take the trouble to kick us.
 */
static __always_inline void lapic_ask(struct lapic *l)
{
	vcpu_request_self(&l->vcpu->base, VCPU_REQ_AGAIN);
}

/* Something became requested or a priority fell. What is in the inbox asks for itself. */
void lapic_look_again(struct lapic *l);

/*
 * A local source fires: as its LVT entry says; and the one of the performance counters. Writes of
 * an entry, and of SVR (lapic_lvt.c).
 */
void lapic_local(struct lapic *l, enum lapic_lvt entry);
void lapic_pmi(struct lapic *l);
void lapic_write_lvt(struct lapic *l, enum lapic_lvt entry, uint32_t value);
void lapic_write_svr(struct lapic *l, uint32_t value);

/* What the end of an interrupt means to those who sent it. Takes vm.chips. */
void lapic_ended(struct lapic *l, uint8_t vector);

/* Carries out an interrupt command (lapic_ipi.c). */
void lapic_send(struct lapic *l, uint64_t icr);

/* The registers after INIT, the same as at power-on; IA32_APIC_BASE stays (lapic_reset.c). */
void lapic_init(struct lapic *l);

/*
 * With a page (lapic_page.c). @reg: APIC_IRR or APIC_ISR; _highest() is -1 if there is none. The
 * copies of our registers are made anew by _publish(), the command register's by _publish_icr().
 */
bool lapic_page_test(const struct lapic *l, uint32_t reg, uint8_t vector);
void lapic_page_set(struct lapic *l, uint32_t reg, uint8_t vector, bool value);
int lapic_page_highest(const struct lapic *l, uint32_t reg);
void lapic_page_publish(struct lapic *l);
void lapic_page_publish_icr(struct lapic *l);
void lapic_page_clear(struct lapic *l);
/* As their namesakes in lapic.c: priority, what could be delivered, a failed delivery, EOI. */
uint32_t lapic_page_ppr(const struct lapic *l);
int lapic_page_deliverable(const struct lapic *l);
void lapic_page_requeue(struct lapic *l, uint8_t vector);
void lapic_page_eoi(struct lapic *l);

/* Task priority; for others, too. */
static inline uint32_t lapic_tpr(const struct lapic *l)
{
	const uint32_t *tpr = unlikely(l->page) ? &l->page[APIC_TPR / 4] : &l->tpr;

	return __atomic_load_n(tpr, __ATOMIC_RELAXED) & 0xff;
}

/* The timer (lapic_timer.c). All but _fire() by the owner. */
void lapic_timer_fire(struct timer *t);
void lapic_timer_start(struct lapic *l, uint32_t initial);
void lapic_timer_divide(struct lapic *l, uint32_t value);
void lapic_timer_lvt(struct lapic *l, uint32_t lvt); /* writes its LVT entry */
void lapic_timer_deadline(struct lapic *l, uint64_t tsc);
void lapic_timer_eoi(struct lapic *l);
bool lapic_timer_waits(const struct lapic *l); /* its interrupt is requested and not accepted */
uint32_t lapic_timer_current(const struct lapic *l);

#endif
