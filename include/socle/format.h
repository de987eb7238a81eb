/* SPDX-License-Identifier: BSD-2-Clause */
/* Formatted print into a buffer or through a byte sink. */
#ifndef SOCLE_FORMAT_H
#define SOCLE_FORMAT_H

#include "socle/base.h"
#include <stdarg.h>

/* Where formatted bytes go: embed it and use container_of() in @put. */
struct format_sink {
	void (*put)(struct format_sink *sink, char c); /* takes one byte */
};

/*
 * printf-style output: %c %s %d %i %u %x %X %p %% with flags "-", "0", "+" and "#", a width or
 * "*", a precision for %s or "*", and lengths hh, h, l, ll, z. Returns the number of bytes put.
 */
size_t format_sink(struct format_sink *sink, const char *fmt, ...) __printf(2, 3);
size_t format_vsink(struct format_sink *sink, const char *fmt, va_list args);

/*
 * The same into @buf of @size bytes, always terminated if @size is above 0. Returns the length
 * that the whole text has, which is @size or more if it was cut.
 */
size_t format(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
size_t format_v(char *buf, size_t size, const char *fmt, va_list args);

#endif
