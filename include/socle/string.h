/* SPDX-License-Identifier: BSD-2-Clause */
/* The few C library functions that freestanding code needs. */
#ifndef SOCLE_STRING_H
#define SOCLE_STRING_H

#include "socle/base.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t len);
void *memmove(void *dst, const void *src, size_t len);
void *memset(void *dst, int value, size_t len);
int memcmp(const void *a, const void *b, size_t len);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t len);
char *strchr(const char *s, int c);

#ifndef SOCLE_UNIT_TEST
/* So that short copies of a known length become moves. */
#define memcpy(dst, src, len)	__builtin_memcpy(dst, src, len)
#define memset(dst, value, len) __builtin_memset(dst, value, len)
#define memcmp(a, b, len)	__builtin_memcmp(a, b, len)
#endif

/*
 * Copies @src into @dst of @size bytes and always terminates it.
 * Returns false if the text was cut.
 */
bool str_copy(char *dst, size_t size, const char *src);

/*
 * Parses an unsigned number: decimal, or hexadecimal after "0x". The whole of the first @len
 * bytes of @s must be digits. Returns false on anything else or on overflow.
 */
bool parse_u64(const char *s, size_t len, uint64_t *value);

/* As parse_u64(), with an optional suffix K, M or G (powers of 1024). */
bool parse_size(const char *s, size_t len, uint64_t *value);

#endif
