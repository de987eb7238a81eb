/* SPDX-License-Identifier: BSD-2-Clause */
/* How every room reports: log lines, assertions and the end. The log itself lives above. */
#ifndef SOCLE_REPORT_H
#define SOCLE_REPORT_H

#include "socle/base.h"
#include "socle/format.h"

enum log_level {
	LOG_ERROR, /* something failed; needs a look */
	LOG_WARN,  /* unusual, handled */
	LOG_INFO,  /* life-cycle steps */
	LOG_DEBUG, /* kept in the ring, not shown unless asked for */
};

/* Who takes the reports; bound at boot by the core. Until then they are lost. */
struct report_ops {
	void (*log)(enum log_level level, const char *fmt, va_list args);
	__noreturn void (*panic)(const char *fmt, va_list args);
};
void report_bind(const struct report_ops *ops);

/* Adds one line to the log (no newline at the end of @fmt), with the time since boot. Any context.
 */
void log_line(enum log_level level, const char *fmt, ...) __printf(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* Stops everything: prints the message and where it came from, and halts the machine. */
void panic(const char *fmt, ...) __printf(1, 2) __noreturn __cold;

/* For bugs of ours, never for a guest's or administrator's input. */
#define ASSERT(cond)                                                                      \
	do {                                                                              \
		if (unlikely(!(cond)))                                                    \
			panic("assertion failed: %s (%s:%d)", #cond, __FILE__, __LINE__); \
	} while (0)

#endif
