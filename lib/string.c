/* SPDX-License-Identifier: BSD-2-Clause */
/* Bounded string copy, and numbers out of text. */
#include "socle/string.h"

bool str_copy(char *dst, size_t size, const char *src)
{
	size_t len;

	if (!size)
		return false;
	len = strnlen(src, size);
	if (len < size) {
		memcpy(dst, src, len + 1);
		return true;
	}
	memcpy(dst, src, size - 1);
	dst[size - 1] = '\0';
	return false;
}

/* The value of a digit in bases up to 16, or 16 if @c is none. */
static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	return 16;
}

bool parse_u64(const char *s, size_t len, uint64_t *value)
{
	unsigned base = 10;
	uint64_t v = 0;

	if (len > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
		len -= 2;
	}
	if (!len)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = digit_value(s[i]);

		if (digit >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit, &v))
			return false;
	}
	*value = v;
	return true;
}

bool parse_size(const char *s, size_t len, uint64_t *value)
{
	unsigned shift = 0;
	uint64_t v;

	if (len) {
		switch (s[len - 1]) {
		case 'k':
		case 'K':
			shift = 10;
			break;
		case 'm':
		case 'M':
			shift = 20;
			break;
		case 'g':
		case 'G':
			shift = 30;
			break;
		}
	}
	if (!parse_u64(s, len - (shift != 0), &v) || v > UINT64_MAX >> shift)
		return false;
	*value = v << shift;
	return true;
}
