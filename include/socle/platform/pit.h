/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8254 interval timer and the system control port B that gates its third channel. */
#ifndef SOCLE_PLATFORM_PIT_H
#define SOCLE_PLATFORM_PIT_H

#include "socle/base.h"
#include "socle/status.h"
#include "socle/kernel/iobus.h"
#include "socle/kernel/time.h"

#define PIT_HZ 1193182ull

struct board;

/* Times are in PIT ticks since boot, PIT_HZ a second, so that nothing is ever rounded twice. */
struct pit_channel {
	uint64_t start;	 /* tick at which the counting element was loaded */
	uint64_t paused; /* tick at which a low gate stopped it; meaningful while !gate */
	uint32_t count;	 /* period or length being counted, 1 to 0x10000 ticks */
	uint32_t next;	 /* count written and not yet loaded; 0: none */
	uint16_t latch;	 /* value held for reading */
	uint8_t latched; /* bytes of it still to be read */
	uint8_t status;	 /* latched status byte */
	bool has_status; /* it is read first */
	bool running;	 /* loaded, and triggered where the mode wants that */
	bool gate;	 /* GATE input; channels 0 and 1: always high */
	bool bcd;	 /* counts in decimal */
	bool write_high; /* next byte written is the high one (both-bytes access) */
	bool read_high;	 /* next byte read is the high one (both-bytes access) */
	uint8_t low;	 /* low byte written, waiting for its high byte */
	uint8_t mode;	 /* 0 to 5 */
	uint8_t access;	 /* 1 low byte, 2 high byte, 3 both */
};

struct pit {
	struct pit_channel channel[3];
	uint64_t now;	     /* latest tick seen: CPUs' clocks may differ a little */
	uint64_t edge;	     /* tick of channel 0's next rising edge, while the timer is armed */
	uint32_t owed;	     /* edges that passed before the guest could be told */
	uint8_t port_b;	     /* writable bits of port 0x61 */
	struct board *board; /* owner, for IRQ 0 */
	struct timer timer;  /* next rising edge of channel 0; armed only when there is one */
	struct io_region region; /* ports 0x40 to 0x43 */
	struct io_region port61; /* port 0x61 */
};

/* Puts the timer on @bus, its channel 0 on @board's IRQ_TIMER. It is not yet reset. */
status_t __must_check pit_init(struct pit *pit, struct io_bus *bus, struct board *board);

/* State after power-on: no channel programmed, no timer armed. */
void pit_reset(struct pit *pit);

#endif
