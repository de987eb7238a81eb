/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupt routing: lines to the 8259 pair and the I/O APIC, messages to the local APICs. */
#ifndef SOCLE_PLATFORM_IRQ_H
#define SOCLE_PLATFORM_IRQ_H

#include "socle/base.h"
#include "socle/status.h"
#include "socle/kernel/iobus.h"

struct board;
struct vm;

/* Lines of the devices on the board: numbers of irq_line_set(). */
enum irq_line {
	IRQ_TIMER = 0,
	IRQ_CASCADE = 2,
	IRQ_COM1 = 4,
	IRQ_RTC = 8,
	IRQ_SCI = 9,
	IRQ_ISA_LINES = 16, /* below: both PIC and I/O APIC */
	IRQ_PCI = 16,	    /* first of four lines for PCI's INTA to INTD */
	IRQ_LINES = 24,
};

/* Delivery mode of an interrupt message (SDM vol. 3, 11.6.1 and 11.11.2). */
enum irq_delivery {
	IRQ_FIXED = 0,
	IRQ_LOWEST_PRIORITY = 1,
	IRQ_SMI = 2,
	IRQ_NMI = 4,
	IRQ_INIT = 5,
	IRQ_STARTUP = 6,
	IRQ_EXTINT = 7,
};

/* An interrupt on its way to one or more local APICs: from the I/O APIC, an MSI or an IPI. */
struct irq_message {
	uint32_t dest;	  /* APIC ID, or a logical destination */
	uint8_t vector;	  /* meaningless for NMI, SMI, INIT and ExtINT */
	uint8_t delivery; /* enum irq_delivery; a guest may have put a reserved value here */
	bool logical;	  /* destination mode: logical instead of physical */
	bool level;	  /* level-triggered: the EOI must reach ioapic_eoi() */
};

/*
 * Drives a line of the board. @line below IRQ_ISA_LINES is an ISA interrupt: it goes to the PIC and
 * to the I/O APIC's pin of the same number, except that the timer is on pin 2 (the MADT says so).
 * Others go to the I/O APIC only. @asserted is the logical state: polarity is the wire's business.
 * A line of IRQ_LINES or above is ignored. Wants vm.chips held.
 */
void irq_line_set(struct board *board, unsigned line, bool asserted);

/*
 * Sends a message-signalled interrupt (SDM vol. 3, 11.11); a wrong @address is ignored. Any CPU, no
 * lock needed.
 */
void irq_msi(struct vm *vm, uint64_t address, uint32_t data);

/* Puts @board's PIC and I/O APIC on @bus, their outputs wired to the local APICs. */
status_t __must_check irq_init(struct board *board, struct io_bus *bus);

/*
 * Implemented by the local APIC. Delivers @msg, with a destination of 8 bits, to the vCPUs that it
 * names; reserved delivery modes and absent destinations are dropped. Any CPU, with or without
 * vm.chips. Does not call back into the I/O APIC: it only leaves a note for the vCPUs.
 */
void lapic_deliver(struct vm *vm, const struct irq_message *msg);

/*
 * Implemented by the local APIC. The PIC's INT output has changed (but for its fall by an
 * acknowledge), or was acknowledged and is asserted again: pic_pending() tells its state, and
 * pic_acknowledge() takes the vector. Called with vm.chips held, and from inside
 * pic_acknowledge() too, so it may only note the change.
 */
void lapic_extint_changed(struct vm *vm);

#endif
