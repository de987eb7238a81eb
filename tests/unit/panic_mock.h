/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: panic() and log_line() that a test can expect, and count. */
#ifndef TESTS_UNIT_PANIC_MOCK_H
#define TESTS_UNIT_PANIC_MOCK_H

#include <stdio.h>
#include <stdlib.h>

#include "socle/report.h"

static jmp_buf panic_jump;
static bool panic_expected;
static char panic_text[256];  /* of the last one */
static unsigned logged_lines; /* calls of log_line() */

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(panic_text, sizeof(panic_text), fmt, args);
	va_end(args);
	if (panic_expected)
		longjmp(panic_jump, 1);
	print_error("panic: %s\n", panic_text);
	abort();
}

void log_line(enum log_level level __unused, const char *fmt __unused, ...)
{
	logged_lines++;
}

/* Runs @statement, which must end in a panic. */
#define assert_panics(statement)                              \
	do {                                                  \
		panic_expected = true;                        \
		if (!setjmp(panic_jump)) {                    \
			statement;                            \
			panic_expected = false;               \
			fail_msg("no panic: %s", #statement); \
		}                                             \
		panic_expected = false;                       \
	} while (0)

#endif
