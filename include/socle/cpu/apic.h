/* SPDX-License-Identifier: BSD-2-Clause */
/* The physical local APIC (SDM vol. 3, chapter 11) and, for the console's line, the I/O APIC. */
#ifndef SOCLE_CPU_APIC_H
#define SOCLE_CPU_APIC_H

#include "socle/base.h"

/*
 * Turns on this CPU's local APIC and masks what we do not use. @mmio: its registers, mapped; all
 * CPUs have theirs at the same address. On the boot CPU first: the others follow its mode.
 */
void apic_init(volatile uint32_t *mmio);

/* Masks the 8259 pair, so that only the I/O APIC delivers. */
void pic_disable(void);

uint32_t apic_id(void);
void apic_eoi(void);

/* Has the APIC tell the CPU once more what is pending, for emulators that forget it. */
void apic_signal_again(void);

/* False if @apic_id is beyond what this CPU's local APIC can address in its mode. */
bool apic_reaches(uint32_t apic_id);

/* Sends @vector to the CPU with local APIC @apic_id. Not before the last one is on its way. */
void apic_send(uint32_t apic_id, uint8_t vector);

/* An NMI to all CPUs but this one. */
void apic_nmi_others(void);

/* Lets HOST_VEC_PMI come, of this CPU's performance counters; Intel's APIC masks it each time. */
void apic_open_pmi(void);

/* INIT, and a start-up IPI for real-mode code at @page * 4096, to a CPU that does not run yet. */
void apic_send_init(uint32_t apic_id);
void apic_send_startup(uint32_t apic_id, uint8_t page);

/* Starts the timer counting down from 2^32-1, masked; apic_timer_elapsed() tells how far it came.
 */
void apic_timer_measure(void);
uint32_t apic_timer_elapsed(void);

/* Tells the measured rate, in timer ticks per second. Must precede apic_timer_arm(). */
void apic_timer_rate(uint64_t hz);

/* Prepares the timer of a CPU other than the boot CPU, after apic_init(). */
void apic_timer_on(void);

/* One interrupt of HOST_VEC_TIMER in @ns nanoseconds (at least one tick); 0 disarms. */
void apic_timer_arm(uint64_t ns);

/* Masks all pins of the I/O APIC at @mmio: firmware may have left some open. */
void ioapic_mask_all(volatile uint32_t *mmio);

/* Routes pin @pin of the I/O APIC at @mmio to @vector on the CPU with @apic_id. */
void ioapic_route(volatile uint32_t *mmio, unsigned pin, uint8_t vector, uint32_t apic_id,
		  bool level, bool active_low);

#endif
