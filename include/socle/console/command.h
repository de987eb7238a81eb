/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands of the console's prompt: one table, from which parsing, help and completion come. */
#ifndef SOCLE_CONSOLE_COMMAND_H
#define SOCLE_CONSOLE_COMMAND_H

#include "socle/format.h"
#include "socle/section.h"

#define COMMAND_ARGS_MAX 8

/* One use of a command. */
struct command_call {
	unsigned argc;			    /* arguments, without the command's name */
	const char *argv[COMMAND_ARGS_MAX]; /* each ends in a NUL */
	const char *rest;		    /* all of them as they were typed */
	struct format_sink *out;	    /* where the answer goes; lines end in '\n' */
};

struct console_command {
	/* One word, or two with a space between them: "vm start". */
	const char *name;

	/*
	 * The arguments, as `help` shows them and the prompt checks their number: words, in
	 * brackets what may be left out, "..." after the last if more may follow. NAME is completed
	 * to guests, COMMAND to commands.
	 */
	const char *args;

	const char *help; /* one line, no full stop */

	/* Runs it. Never blocks; prints what went wrong. */
	void (*run)(const struct command_call *call);
};

SECTION_TABLE(struct console_command, console_commands);

/* CONSOLE_COMMAND(echo, .name = "echo", .args = ..., .help = ..., .run = ...); at file level. */
#define CONSOLE_COMMAND(ident, ...)                                                       \
	static const struct console_command command_##ident = {__VA_ARGS__};              \
	static const struct console_command *const command_##ident##_entry SECTION_ENTRY( \
		console_commands) = &command_##ident

#endif
