/* SPDX-License-Identifier: BSD-2-Clause */
/* The 16550A serial port at 0x3f8. */
#ifndef SOCLE_PLATFORM_UART_H
#define SOCLE_PLATFORM_UART_H

#include "socle/base.h"
#include "socle/status.h"
#include "socle/kernel/iobus.h"
#include "socle/kernel/time.h"

#define UART_FIFO 16

struct board;
struct uart;

/*
 * Where a port's bytes go to and come from: embed it and use container_of(). Both are called with
 * vm.chips held, on any CPU; rx_room() also from inside uart_connect().
 */
struct uart_sink {
	/* Takes a byte; false: no room now, call uart_tx_ready() when there is. */
	bool (*put)(struct uart_sink *sink, uint8_t byte);
	/* The guest can take bytes again: call uart_receive(), here or later. May be NULL. */
	void (*rx_room)(struct uart_sink *sink);
};

struct uart_fifo {
	uint8_t data[UART_FIFO]; /* ring */
	uint8_t head;		 /* index of the oldest byte */
	uint8_t count;		 /* bytes in it */
};

struct uart {
	struct uart_fifo rx;	 /* received, to be read by the guest */
	struct uart_fifo tx;	 /* written while the sink had no room */
	uint8_t ier;		 /* interrupt enable */
	uint8_t fcr;		 /* FIFO control; bit 0: FIFOs on */
	uint8_t lcr;		 /* line control; bit 7: DLAB */
	uint8_t mcr;		 /* modem control; bit 4: loopback */
	uint8_t msr_delta;	 /* low half of the modem status: what changed */
	uint8_t errors;		 /* error bits of the line status */
	uint8_t scr;		 /* scratch */
	uint8_t polls;		 /* empty line-status reads in a row, saturating */
	uint16_t divisor;	 /* of 115200 baud; as written, even 0 */
	bool thre_pending;	 /* transmitter became empty and the guest was not told */
	bool timeout;		 /* received bytes waited for four character times */
	bool irq;		 /* line as last driven */
	struct board *board;	 /* owner, for IRQ 4 */
	struct uart_sink *sink;	 /* NULL: bytes vanish, none arrive */
	struct timer timer;	 /* character timeout */
	struct io_region region; /* ports 0x3f8 to 0x3ff */
};

/* Puts the port on @bus, without a sink. It is not yet reset. */
status_t __must_check uart_init(struct uart *uart, struct io_bus *bus, struct board *board);

/* State after power-on; bytes that were not yet taken or read are gone. The sink stays. */
void uart_reset(struct uart *uart);

/* Connects @sink, or with NULL nothing. This and what follows: with vm.chips held. */
void uart_connect(struct uart *uart, struct uart_sink *sink);

/* The sink has room again: sends what the guest wrote meanwhile. */
void uart_tx_ready(struct uart *uart);

/*
 * Hands the guest up to @len bytes and returns how many it took. It takes none while it neither
 * enabled the receive interrupt nor polls for input: a driver that is about to initialize the port
 * would clear them. What was not taken may be offered again after rx_room().
 */
size_t uart_receive(struct uart *uart, const uint8_t *data, size_t len);

#endif
