/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/libc.c, lib/string.c and lib/status.c: copies, comparisons, numbers, names of errors. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

/* Ours beside the host's, which the sanitizers and cmocka use. */
#define memcpy	our_memcpy
#define memmove our_memmove
#define memset	our_memset
#define memcmp	our_memcmp
#define strlen	our_strlen
#define strnlen our_strnlen
#define strcmp	our_strcmp
#define strncmp our_strncmp
#define strchr	our_strchr
#include "../../lib/libc.c"
#include "../../lib/string.c"
#include "../../lib/status.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

/* Every small length, offset and distance, against the host's functions. */
static void test_memory(void **state)
{
	uint8_t ours[96], theirs[96];

	(void)state;
	for (size_t len = 0; len < 40; len++) {
		for (size_t from = 0; from < 24; from++) {
			for (size_t to = 0; to < 24; to++) {
				for (size_t i = 0; i < sizeof(ours); i++)
					ours[i] = theirs[i] = (uint8_t)(i * 7 + 1);
				assert_ptr_equal(our_memmove(ours + to, ours + from, len),
						 ours + to);
				memmove(theirs + to, theirs + from, len);
				assert_memory_equal(ours, theirs, sizeof(ours));
			}
		}
		for (size_t to = 0; to < 9; to++) {
			assert_ptr_equal(our_memset(ours + to, (int)len + 0x1f0, len), ours + to);
			memset(theirs + to, (int)len + 0x1f0, len);
			assert_memory_equal(ours, theirs, sizeof(ours));
			assert_ptr_equal(our_memcpy(ours + 48, ours + to, len), ours + 48);
			memcpy(theirs + 48, theirs + to, len);
			assert_memory_equal(ours, theirs, sizeof(ours));
		}
	}
}

static void test_compare(void **state)
{
	static const char *const text[] = {"",	   "a",	    "b",    "ab",	"abc", "abd",
					   "\xff", "a\xff", "\x7f", "abcdefgh", "A"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		assert_int_equal(our_strlen(text[i]), strlen(text[i]));
		for (size_t n = 0; n < 10; n++)
			assert_int_equal(our_strnlen(text[i], n), strnlen(text[i], n));
		for (int c = 0; c < 256; c++)
			assert_ptr_equal(our_strchr(text[i], c), strchr(text[i], c));
		for (size_t j = 0; j < ARRAY_SIZE(text); j++) {
			assert_int_equal(sign(our_strcmp(text[i], text[j])),
					 sign(strcmp(text[i], text[j])));
			for (size_t n = 0; n < 10; n++)
				assert_int_equal(sign(our_strncmp(text[i], text[j], n)),
						 sign(strncmp(text[i], text[j], n)));
		}
	}
	assert_int_equal(our_memcmp("a\0b", "a\0c", 3), -1);
	assert_int_equal(our_memcmp("a\0b", "a\0c", 2), 0);
	assert_true(our_memcmp("\xff", "\x01", 1) > 0);
}

static void test_str_copy(void **state)
{
	char buf[4] = "zzz";

	(void)state;
	assert_true(str_copy(buf, sizeof(buf), "abc"));
	assert_string_equal(buf, "abc");
	assert_false(str_copy(buf, sizeof(buf), "wxyz"));
	assert_string_equal(buf, "wxy");
	assert_true(str_copy(buf, sizeof(buf), ""));
	assert_string_equal(buf, "");
	assert_false(str_copy(buf, 0, ""));
}

static void number(const char *text, bool good, uint64_t expected)
{
	uint64_t value = 42;
	/* An exact copy on the heap, so that ASan sees a read past its end. */
	size_t len = strlen(text);
	char *copy = malloc(len ? len : 1);

	memcpy(copy, text, len);
	assert_int_equal(parse_u64(copy, len, &value), good);
	assert_true(value == (good ? expected : 42));
	free(copy);
}

static void test_parse_u64(void **state)
{
	(void)state;
	number("0", true, 0);
	number("00012", true, 12);
	number("18446744073709551615", true, UINT64_MAX);
	number("18446744073709551616", false, 0);
	number("99999999999999999999", false, 0);
	number("0xf4", true, 0xf4);
	number("0XFFFFFFFFFFFFFFFF", true, UINT64_MAX);
	number("0x10000000000000000", false, 0);
	number("0x", false, 0);
	number("x", false, 0);
	number("", false, 0);
	number("-1", false, 0);
	number("+1", false, 0);
	number(" 1", false, 0);
	number("1 ", false, 0);
	number("1a", false, 0);
	number("0xg", false, 0);
}

static void test_parse_size(void **state)
{
	uint64_t v;

	(void)state;
	assert_true(parse_size("256M", 4, &v) && v == 256 * MiB);
	assert_true(parse_size("2g", 2, &v) && v == 2 * GiB);
	assert_true(parse_size("4K", 2, &v) && v == 4 * KiB);
	assert_true(parse_size("0x10k", 5, &v) && v == 16 * KiB);
	assert_true(parse_size("7", 1, &v) && v == 7);
	assert_true(parse_size("17179869183G", 12, &v) && v == 17179869183 * GiB);
	assert_false(parse_size("17179869184G", 12, &v));
	assert_false(parse_size("M", 1, &v));
	assert_false(parse_size("", 0, &v));
	assert_false(parse_size("1MM", 3, &v));
	assert_false(parse_size("1T", 2, &v));
}

static void test_status(void **state)
{
	(void)state;
	assert_string_equal(status_text(0), "ok");
	assert_string_equal(status_text(-S_NOMEM), "out of memory");
	assert_string_equal(status_text(S_NOMEM), "unknown error");
	assert_string_equal(status_text(INT32_MIN), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),	   cmocka_unit_test(test_compare),
		cmocka_unit_test(test_str_copy),   cmocka_unit_test(test_parse_u64),
		cmocka_unit_test(test_parse_size), cmocka_unit_test(test_status),
	};

	return cmocka_run_group_tests_name("string", tests, NULL, NULL);
}
