/* SPDX-License-Identifier: BSD-2-Clause */
/* Hands reports of every room to the log and the panic handler, which are bound at boot. */
#include "socle/report.h"

static const struct report_ops *ops;

void report_bind(const struct report_ops *o)
{
	ops = o;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (!ops)
		return;
	va_start(args, fmt);
	ops->log(level, fmt, args);
	va_end(args);
}

void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (ops)
		ops->panic(fmt, args);
	va_end(args);
	__builtin_trap();
}
