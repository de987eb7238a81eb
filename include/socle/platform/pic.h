/* SPDX-License-Identifier: BSD-2-Clause */
/* The pair of 8259A interrupt controllers of a PC, with the edge/level registers of PIIX. */
#ifndef SOCLE_PLATFORM_PIC_H
#define SOCLE_PLATFORM_PIC_H

#include "socle/base.h"
#include "socle/status.h"
#include "socle/kernel/iobus.h"

/* One 8259A. Bit n of a mask is input IRn. */
struct pic_chip {
	uint8_t lines;	   /* state of the inputs */
	uint8_t irr;	   /* requests latched from edges; level inputs count by their state */
	uint8_t isr;	   /* in service */
	uint8_t imr;	   /* masked */
	uint8_t elcr;	   /* 1: level-triggered */
	uint8_t base;	   /* vector of IR0 (ICW2) */
	uint8_t lowest;	   /* input of the lowest priority, 0 to 7 */
	uint8_t icw;	   /* initialization word expected next, 2 to 4; 0: operating */
	bool icw4;	   /* ICW1 said that ICW4 will come */
	bool single;	   /* ICW1: no cascade, so no ICW3 */
	bool auto_eoi;	   /* ICW4: acknowledging also ends the interrupt */
	bool rotate_auto;  /* OCW2: rotate at every automatic EOI */
	bool nested;	   /* ICW4: special fully nested mode */
	bool special_mask; /* OCW3: masked inputs in service block nobody */
	bool read_isr;	   /* OCW3: the command port reads ISR instead of IRR */
	bool poll;	   /* OCW3: the next read acknowledges */
};

/* Guarded by vm.chips, as all functions are called with it but pic_pending(). */
struct pic {
	struct pic_chip chip[2];	 /* master, slave on the master's IR2 */
	bool intr;			 /* INT output as last reported; atomic */
	void (*output)(struct pic *pic); /* INT changed, or is asserted anew; set once */
	struct io_region master;	 /* ports 0x20 and 0x21 */
	struct io_region slave;		 /* ports 0xa0 and 0xa1 */
	struct io_region elcr;		 /* ports 0x4d0 and 0x4d1 */
};

/* Puts the pair on @bus; @output tells about its INT pin. The chips are not yet reset. */
status_t __must_check pic_init(struct pic *pic, struct io_bus *bus,
			       void (*output)(struct pic *pic));

/* State after power-on: uninitialized, all inputs low and masked. */
void pic_reset(struct pic *pic);

/* Drives input @irq, 0 to 15 (2 is the cascade and ignored). */
void pic_set_line(struct pic *pic, unsigned irq, bool level);

/* True while INT is asserted. Any CPU, no lock needed. */
bool pic_pending(const struct pic *pic);

/*
 * The CPU's acknowledge cycle: takes the highest request into service and returns its vector. If it
 * went away meanwhile, the vector of a spurious IR7 (8259A data sheet, "interrupt sequence").
 */
uint8_t pic_acknowledge(struct pic *pic);

/*
 * The CPU could not deliver @vector, which it acknowledged last: the request waits again, as if it
 * had not been acknowledged. A spurious one vanishes.
 */
void pic_take_back(struct pic *pic, uint8_t vector);

#endif
