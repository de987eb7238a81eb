/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's log: lines with a time, kept in a ring and sent to the console. */
#ifndef SOCLE_KERNEL_LOG_H
#define SOCLE_KERNEL_LOG_H

#include "socle/base.h"
#include "socle/format.h"

struct vm;

enum log_level {
	LOG_ERROR, /* something failed; needs a look */
	LOG_WARN,  /* unusual, handled */
	LOG_INFO,  /* life-cycle steps */
	LOG_DEBUG, /* kept in the ring, not shown unless asked for */
};

/*
 * Adds one line (no newline at the end of @fmt) with the time since boot. Any context. Lines of a
 * guest are rate-limited per VM with vm_log(), so that no guest can flood the console.
 */
void log_line(enum log_level level, const char *fmt, ...) __printf(2, 3);

/* As log_line(), prefixed with the VM's name; excess lines of one VM are counted, not printed. */
void vm_log(struct vm *vm, enum log_level level, const char *fmt, ...) __printf(3, 4);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* Where complete lines go, newline not included. Bound once, by the console. */
struct log_sink {
	void (*line)(struct log_sink *sink, enum log_level level, const char *text, size_t len);
};

/* Sends all later lines to @sink as well, and first those that the ring already holds. */
void log_bind(struct log_sink *sink);

/* Calls @sink for every line still in the ring, oldest first. */
void log_replay(struct log_sink *sink);

/* Stops everything: prints the message and where it came from, and halts the machine. */
void panic(const char *fmt, ...) __printf(1, 2) __noreturn __cold;

/* For bugs of ours, never for a guest's or administrator's input. */
#define ASSERT(cond)                                                                               \
	do {                                                                                       \
		if (unlikely(!(cond)))                                                             \
			panic("assertion failed: %s (%s:%d)", #cond, __FILE__, __LINE__);          \
	} while (0)

#endif
