/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's serial port (16550A) that carries the console. */
#ifndef SOCLE_DRIVERS_SERIAL_H
#define SOCLE_DRIVERS_SERIAL_H

#include "socle/base.h"

/*
 * Sets up the port at @port to @baud, 8N1, FIFOs on. False if nothing answers there; then output
 * is discarded.
 */
bool serial_init(uint16_t port, unsigned baud);

/*
 * Queues bytes; when the queue is full, waits for the wire, so nothing is lost. Interrupts off or
 * on, any context but an NMI.
 */
void serial_write(const char *text, size_t len);

/* How many bytes serial_write() takes without waiting. */
size_t serial_room(void);

/* Waits until all that was queued has left. For the last words before a halt. */
void serial_flush(void);

/* Takes up to @size received bytes. Returns how many. */
size_t serial_read(uint8_t *buf, size_t size);

/* True if received bytes wait. */
bool serial_pending(void);

/* Interrupt handler: moves bytes between the chip and the queues. */
void serial_interrupt(void);

/* Turns on receive interrupts, once the handler is bound and routed. */
void serial_interrupts_on(void);

/* Received bytes that were lost because nobody read them in time. */
uint64_t serial_overruns(void);

#endif
