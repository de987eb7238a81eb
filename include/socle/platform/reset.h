/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports that end or restart the guest, and the port that only takes time. */
#ifndef SOCLE_PLATFORM_RESET_H
#define SOCLE_PLATFORM_RESET_H

#include "socle/base.h"
#include "socle/status.h"
#include "socle/kernel/iobus.h"

#define RESET_CONTROL_PORT 0xcf9
#define RESET_CONTROL_FULL 0x06 /* value for a full reset */

struct vm;

struct reset {
	struct vm *vm;		   /* to be reset */
	uint8_t control;	   /* kept bits of the reset control register */
	uint8_t port92;		   /* kept bits of system control port A */
	struct io_region keyboard; /* port 0x64 */
	struct io_region fast;	   /* port 0x92 */
	struct io_region delay;	   /* port 0x80 */
	struct io_region debug;	   /* the debug-exit device, where configured */
};

/*
 * Puts the ports on @bus; the debug-exit device at @debug_exit unless that is 0. Returns -S_EXIST
 * if that port belongs to another device, -S_INVAL if its four ports do not fit.
 */
status_t __must_check reset_init(struct reset *reset, struct io_bus *bus, struct vm *vm,
				 uint16_t debug_exit);

/* State after power-on. */
void reset_reset(struct reset *reset);

/* Byte accesses to RESET_CONTROL_PORT, which lies among PCI's configuration ports. */
uint8_t reset_control_read(const struct reset *reset);
void reset_control_write(struct reset *reset, uint8_t value);

#endif
