/* SPDX-License-Identifier: BSD-2-Clause */
/* The command that tells guests how large the terminal at the other end of the line is. */
#include "mux.h"
#include "shell.h"
#include "socle/string.h"

enum { SIZE_MAX_CHARS = 1000 };

static uint16_t columns = 80, rows = 24; /* as virtio consoles begin */

static bool parse(const struct command_call *call, unsigned arg, uint16_t *value)
{
	const char *word = call->argv[arg];
	uint64_t n;

	if (!parse_u64(word, strlen(word), &n) || !n || n > SIZE_MAX_CHARS) {
		format_sink(call->out, "bad number \"%s\", use 1 to %u\n", word, SIZE_MAX_CHARS);
		return false;
	}
	*value = (uint16_t)n;
	return true;
}

static void terminal(const struct command_call *call)
{
	uint16_t c, r;

	if (call->argc == 1) {
		format_sink(call->out, "columns and rows, such as \"terminal 132 43\"\n");
		return;
	}
	if (call->argc) {
		if (!parse(call, 0, &c) || !parse(call, 1, &r))
			return;
		columns = c;
		rows = r;
		mux_resize(c, r);
	}
	format_sink(call->out, "%u columns, %u rows\n", columns, rows);
}
CONSOLE_COMMAND(terminal, .name = "terminal", .args = "[COLUMNS] [ROWS]", .run = terminal,
		.help = "show the terminal's size, or tell it to virtio consoles");
