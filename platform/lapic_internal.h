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
enum { PRIORITY_CLASS = 0xf0 };

bool lapic_x2apic(const struct lapic *l);
uint32_t lapic_logical_id(const struct lapic *l);

/* Registers by offset, widths and modes checked. */
uint32_t lapic_read(struct lapic *l, uint32_t reg);
void lapic_write(struct lapic *l, uint32_t reg, uint32_t value);

/* Writes the interrupt command register, whole, and carries the command out. */
void lapic_write_icr(struct lapic *l, uint64_t value);

/* From now on, the CPU delivers all but the PIC's interrupts. */
void lapic_inject_extint_only(void);

/* An interrupt arrives. */
void lapic_request(struct lapic *l, uint8_t vector, bool level);

/* A local source fires: as its LVT entry says. */
void lapic_local(struct lapic *l, enum lapic_lvt entry);

/* What the end of an interrupt means to those who sent it. */
void lapic_ended(struct lapic *l, uint8_t vector);

/* Carries out an interrupt command (lapic_ipi.c). */
void lapic_send(struct lapic *l, uint64_t icr);

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

static inline uint32_t lapic_tpr(const struct lapic *l)
{
	return unlikely(l->page) ? l->page[APIC_TPR / 4] & 0xff : l->tpr;
}

/* The timer (lapic_timer.c). */
void lapic_timer_fire(struct timer *t);
void lapic_timer_start(struct lapic *l, uint32_t initial);
void lapic_timer_divide(struct lapic *l, uint32_t value);
void lapic_timer_mode(struct lapic *l, uint32_t lvt);
void lapic_timer_deadline(struct lapic *l, uint64_t tsc);
void lapic_timer_eoi(struct lapic *l);
bool lapic_timer_waits(const struct lapic *l); /* its interrupt is requested and not accepted */
uint32_t lapic_timer_current(const struct lapic *l);

#endif
