/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/format.c against the host's snprintf(), and its limits. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "../../lib/format.c"

/* Wrong formats are part of the test. */
#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-overflow"
#pragma GCC diagnostic ignored "-Wformat-security"

/* Prints with both and compares text and length. */
#define same(...)                                                            \
	do {                                                                 \
		char ours_[256], theirs_[256];                               \
		size_t len_ = format(ours_, sizeof(ours_), __VA_ARGS__);     \
		int want_ = snprintf(theirs_, sizeof(theirs_), __VA_ARGS__); \
		assert_string_equal(ours_, theirs_);                         \
		assert_int_equal(len_, want_);                               \
	} while (0)

static void test_integers(void **state)
{
	static const long values[] = {0,       1,	 -1,	   9,	     10,      127,
				      128,     -128,	 255,	   32767,    65536,   INT_MAX,
				      INT_MIN, UINT_MAX, LONG_MAX, LONG_MIN, 0xabcdef};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		long v = values[i];

		same("%d|%i|%u|%x|%X", (int)v, (int)v, (unsigned)v, (unsigned)v, (unsigned)v);
		same("%ld|%lu|%lx|%lld|%zu", v, (unsigned long)v, (unsigned long)v, (long long)v,
		     (size_t)v);
		same("%hhd|%hhu|%hd|%hx", (signed char)v, (unsigned char)v, (short)v,
		     (unsigned short)v);
		same("[%8d][%-8d][%08d][%+d][%+8d]", (int)v, (int)v, (int)v, (int)v, (int)v);
		same("[%#x][%#10x][%-#10X][%#018lx]", (unsigned)v, (unsigned)v, (unsigned)v,
		     (unsigned long)v);
		same("[%.5d][%12.5d][%-12.5x][%*d][%*d]", (int)v, (int)v, (unsigned)v, 14, (int)v,
		     -14, (int)v);
	}
}

static void test_text(void **state)
{
	(void)state;
	same("plain %% %c%c [%5c][%-5c]", 'a', '\n', 'b', 'c');
	same("[%s][%10s][%-10s][%.2s][%10.3s][%.*s][%*s]", "x", "right", "left", "cut", "abcdef", 1,
	     "only", -6, "mid");
	same("[%.*s]", -1, "whole");
	same("%p %p", (void *)0x1234, (void *)state);
}

static void test_limits(void **state)
{
	char buf[5] = "zzzz";
	const char unterminated[3] = {'a', 'b', 'c'};

	(void)state;
	assert_int_equal(format(buf, sizeof(buf), "%d", 123456), 6);
	assert_string_equal(buf, "1234");
	assert_int_equal(format(buf, 1, "abc"), 3);
	assert_string_equal(buf, "");
	buf[0] = 'q';
	assert_int_equal(format(buf, 0, "abc"), 3);
	assert_int_equal(format(NULL, 0, "abc"), 3);
	assert_int_equal(buf[0], 'q');
	assert_int_equal(format(buf, sizeof(buf), "%.*s", 3, unterminated), 3);
	assert_string_equal(buf, "abc");
	assert_int_equal(format(buf, sizeof(buf), "%*d", INT_MAX, 1), COUNT_MAX);
	assert_int_equal(format(buf, sizeof(buf), "%*d", INT_MIN, 1), COUNT_MAX);
}

static void test_malformed(void **state)
{
	static const char *const wrong[] = {"%", "abc%", "%-", "%5.", "%l", "%h", "%z", "%q"};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_true(format(buf, sizeof(buf), wrong[i]) < sizeof(buf));
	assert_string_equal(buf, "q");
	format(buf, sizeof(buf), "%s|%.2s", (char *)NULL, (char *)NULL);
	assert_string_equal(buf, "(null)|(n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
