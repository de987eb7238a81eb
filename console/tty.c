/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial line as the console writes to it: line ends, and where the cursor is. */
#include "tty.h"

static struct console_out *wire; /* bound at boot */
static bool at_start = true;	 /* the last byte sent ended a line */

size_t tty_room(void)
{
	return wire->room ? wire->room(wire) : SIZE_MAX;
}

void tty_write(const char *text, size_t len)
{
	if (!len)
		return;
	wire->write(wire, text, len);
	at_start = text[len - 1] == '\n' || (at_start && len == 1 && text[0] == '\r');
}

static void tty_put(struct format_sink *sink, char c)
{
	if (c == '\n')
		tty_write("\r\n", 2);
	else
		tty_write(&c, 1);
}

struct format_sink tty = {.put = tty_put};

void tty_fresh_line(void)
{
	if (!at_start)
		tty_write("\r\n", 2);
}

void tty_init(struct console_out *out)
{
	wire = out;
}
