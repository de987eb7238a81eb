/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial console: guests' consoles and a prompt share one line. */
#ifndef SOCLE_CONSOLE_CONSOLE_H
#define SOCLE_CONSOLE_CONSOLE_H

#include "socle/drivers/virtio.h"
#include "socle/kernel/vm.h"
#include "socle/platform/uart.h"

/*
 * All functions here are called by the boot CPU, which holds no lock, and nothing that they call
 * waits.
 *
 * Order of calls: console_init(); console_add_guest() when a VM's chips exist, and
 * console_guest_started() at each of its starts; console_run() when the machine is up; then
 * console_input() and console_poll() from the scheduler's loop.
 */

/* The serial line, bound by the core. */
struct console_out {
	/* Sends @len bytes. */
	void (*write)(struct console_out *out, const char *text, size_t len);
	/* How many bytes write() takes without waiting. NULL: any number. */
	size_t (*room)(struct console_out *out);
};

enum {
	CONSOLE_OUTPUT = 16384, /* bytes kept of a guest's output, a power of two */
	CONSOLE_INPUT = 2048,	/* bytes that wait for a guest to read them, a power of two */
};

/*
 * A guest's end of the console. The caller gives the memory; the members are the console's, from
 * @written on guarded by vm.chips.
 */
struct guest_console {
	struct uart_sink sink;			/* connected to @uart */
	struct virtio_console_sink virtio_sink; /* connected to @virtio */
	struct vm *vm;				/* the guest */
	struct uart *uart;			/* its first serial port */
	struct virtio_console *virtio;		/* its virtio console, or NULL */
	struct guest_console *next;		/* in order of console_add_guest() */
	uint64_t written;			/* bytes that the guest wrote since ever */
	uint64_t shown;				/* of those, sent to the line or given up */
	uint64_t lost;				/* given up since the guest was last in front */
	uint64_t received;			/* bytes typed for the guest since ever */
	uint64_t delivered;			/* of those, taken by the guest or given up */
	struct timer ask;			/* has the boot CPU look at the output */
	uint64_t ask_after;			/* ns: not to be asked before */
	bool stalled;				/* the guest was told to wait for room */
	bool delivering;			/* in uart_receive(): it may call back */
	bool holding;				/* the line is not read until there is room */
	char output[CONSOLE_OUTPUT];		/* ring, indexed by @written and @shown */
	uint8_t input[CONSOLE_INPUT];		/* ring, indexed by @received and @delivered */
};

/* Binds the line and takes over the log, whose lines so far are shown. */
void console_init(struct console_out *out);

/*
 * Connects @vm's @uart and, unless it is NULL, @virtio, to which input goes once its driver has set
 * it up. @guest, zeroed, stays in use for ever.
 */
void console_add_guest(struct guest_console *guest, struct vm *vm, struct uart *uart,
		       struct virtio_console *virtio);

/* A guest is being started: what was typed for its former life is thrown away. */
void console_guest_started(struct vm *vm);

/* The machine is up: puts the first running guest with a console in front, or else the prompt. */
void console_run(void);

/*
 * How many bytes console_input() has room for. Others should stay on the line; the console has
 * poll() called when that changes. Never 0 for more than 5 s without a guest that took bytes.
 */
size_t console_room(void);

/* Takes a byte that was typed. */
void console_input(uint8_t byte);

/* Output of the guest in front waits for the line. Any context. */
bool console_waiting(void);

/*
 * To be called in each turn of the scheduler's loop: sends what waits for the line, and shows the
 * prompt when the guest in front has stopped for good.
 */
void console_poll(void);

#endif
