/* SPDX-License-Identifier: BSD-2-Clause */
/* The multiplexer: which guest's serial port has the line, and what the others wrote meanwhile. */
#ifndef SOCLE_CONSOLE_MUX_H
#define SOCLE_CONSOLE_MUX_H

#include "socle/console/console.h"

/* The guest in front; NULL: the prompt. */
struct guest_console *mux_front(void);

/* The guest that was in front last, or else the first one; NULL if there is none. */
struct guest_console *mux_last(void);

/* @vm's end of the console; NULL if it has none. */
struct guest_console *mux_find(const struct vm *vm);

/* Tells all guests' virtio consoles the size of the terminal, in characters. */
void mux_resize(uint16_t columns, uint16_t rows);

/* Adds a guest and connects its UART. */
void mux_add(struct guest_console *guest);

/* Puts @guest, or with NULL the prompt, in front; shows what a guest wrote meanwhile. */
void mux_switch(struct guest_console *guest);

/*
 * How many bytes to read from the line now. None while the guest in front has as many as it may and
 * takes some every 5 s: they wait on the line, by its flow control. Later it is any number, and
 * those for which there is no room are lost.
 */
size_t mux_room(void);

/* Gives the guest in front a byte; one for which there is no room is answered by a bell. */
void mux_input(uint8_t byte);

/* Throws away what was typed for @guest and did not reach it. */
void mux_drop_input(struct guest_console *guest);

/*
 * Sends what the guest in front wrote before, as far as the line has room. By the log, whose caller
 * may hold any lock: if somebody has the guest's chips, its output comes later.
 */
void mux_catch_up(void);

/* The line has room: sends what waits. */
void mux_poll(void);

#endif
