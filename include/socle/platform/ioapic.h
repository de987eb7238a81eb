/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O APIC: 24 inputs, turned into interrupt messages (82093AA, version 0x20). */
#ifndef SOCLE_PLATFORM_IOAPIC_H
#define SOCLE_PLATFORM_IOAPIC_H

#include "socle/base.h"
#include "socle/status.h"
#include "socle/kernel/iobus.h"
#include "socle/platform/irq.h"

#define IOAPIC_BASE    0xfec00000ull
#define IOAPIC_PINS    24
#define IOAPIC_VERSION 0x20 /* the first with an EOI register */

/* Guarded by vm.chips, which is held when any of the functions is called. */
struct ioapic {
	uint64_t entry[IOAPIC_PINS]; /* redirection table, enum ioapic_entry */
	uint32_t lines;		     /* state of the inputs, bit n for pin n; 1: asserted */
	uint8_t index;		     /* register selected by IOREGSEL */
	uint8_t id;		     /* 4 bits, stored only */
	void (*deliver)(struct ioapic *ioapic, const struct irq_message *msg); /* set once */
	struct io_region region; /* IOAPIC_BASE, one page */
};

/* Puts the chip on @bus; messages go to @deliver. It is not yet reset. */
status_t __must_check ioapic_init(struct ioapic *ioapic, struct io_bus *bus,
				  void (*deliver)(struct ioapic *ioapic,
						  const struct irq_message *msg));

/* State after power-on: every entry masked, all inputs released. */
void ioapic_reset(struct ioapic *ioapic);

/* Drives @pin, below IOAPIC_PINS (others are ignored). */
void ioapic_set_line(struct ioapic *ioapic, unsigned pin, bool asserted);

/*
 * A local APIC's EOI of a level-triggered @vector: clears the Remote IRR of all entries with that
 * vector, and delivers again those that are still asserted.
 */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);

#endif
