/* SPDX-License-Identifier: BSD-2-Clause */
/* The C library's memory and string functions, some of which compilers call on their own. */
#include "socle/string.h"

#ifndef SOCLE_UNIT_TEST
#undef memcpy
#undef memset
#undef memcmp
#endif

/*
 * Compilers recognise a loop that is memset() or strlen() and replace it with a call, here with a
 * call of the function to itself. An empty statement that "changes" the pointer hides the idiom.
 */
#define HIDE(p) __asm__("" : "+r"(p))

/* Copies upwards, eight bytes at a time and then the rest. */
static __always_inline void copy_up(void *dst, const void *src, size_t len)
{
	size_t words = len / 8, rest = len % 8;

	__asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(rest) : : "memory");
}

void *memcpy(void *restrict dst, const void *restrict src, size_t len)
{
	copy_up(dst, src, len);
	return dst;
}

void *memmove(void *dst, const void *src, size_t len)
{
	char *d = dst;
	const char *s = src;

	/* As unsigned distance: below @len exactly if @dst lies inside the source. */
	if ((uintptr_t)d - (uintptr_t)s >= len) {
		copy_up(dst, src, len);
		return dst;
	}
	while (len--) {
		HIDE(d);
		d[len] = s[len];
	}
	return dst;
}

void *memset(void *dst, int value, size_t len)
{
	uint64_t pattern = (uint8_t)value * 0x0101010101010101ull;
	size_t words = len / 8, rest = len % 8;
	void *d = dst;

	__asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
	__asm__ volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(pattern) : "memory");
	return dst;
}

int memcmp(const void *a, const void *b, size_t len)
{
	const uint8_t *x = a, *y = b;

	for (; len; len--, x++, y++) {
		HIDE(x);
		if (*x != *y)
			return *x - *y;
	}
	return 0;
}

size_t strlen(const char *s)
{
	const char *end = s;

	while (*end) {
		end++;
		HIDE(end);
	}
	return (size_t)(end - s);
}

size_t strnlen(const char *s, size_t max)
{
	size_t len = 0;

	while (len < max && s[len])
		len++;
	return len;
}

int strcmp(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		HIDE(a);
	return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t len)
{
	for (; len; len--, a++, b++) {
		HIDE(a);
		if (*a != *b || !*a)
			return (uint8_t)*a - (uint8_t)*b;
	}
	return 0;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		HIDE(s);
		if (*s == (char)c)
			return (char *)(uintptr_t)s;
		if (!*s)
			return NULL;
	}
}
