/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's log: lines with a time, kept in a ring and shown through one sink. */
#ifndef SOCLE_KERNEL_LOG_H
#define SOCLE_KERNEL_LOG_H

#include "socle/report.h"

struct vm;

/* Where complete lines go, newline not included. */
struct log_sink {
	void (*line)(struct log_sink *sink, enum log_level level, const char *text, size_t len);
};

/*
 * As log_line(), prefixed with the VM's name. Excess lines of one VM within a second are counted,
 * not printed, so that no guest can flood the console.
 */
void vm_log(struct vm *vm, enum log_level level, const char *fmt, ...) __printf(3, 4);

/* Sends all later lines to @sink, instead of to the one before, and first those not shown yet. */
void log_bind(struct log_sink *sink);

/*
 * The boot CPU shows lines at once while it is not @deferred, and of other CPUs when it comes to
 * it: then log_deferred(false). Only by the boot CPU, which holds no lock while it is not deferred.
 */
void log_deferred(bool deferred);

/* Calls @sink for every line still in the ring, oldest first. */
void log_replay(struct log_sink *sink);

/* Starts the log, the stack guard and the report of our own exceptions. Once, at boot, from a
 * function that does not return. @print writes the last words, in any context. */
void log_init(void (*print)(const char *text, size_t len));

/* Stops with a message; what panic() ends in. */
void panic_v(const char *fmt, va_list args) __noreturn;

/* Binds how the last words are printed, and the report of exceptions. Called by log_init(). */
void panic_init(void (*print)(const char *text, size_t len));

#endif
