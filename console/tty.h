/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial line as the console writes to it: line ends, and where the cursor is. */
#ifndef SOCLE_CONSOLE_TTY_H
#define SOCLE_CONSOLE_TTY_H

#include "socle/console/console.h"
#include "socle/format.h"

/* Formatted text goes here: '\n' becomes CR LF. */
extern struct format_sink tty;

void tty_init(struct console_out *out);

/* Bytes that can be sent without waiting. */
size_t tty_room(void);

/* Sends bytes as they are. */
void tty_write(const char *text, size_t len);

/* Sends CR LF unless the cursor is at the start of a line. */
void tty_fresh_line(void);

#endif
