/* SPDX-License-Identifier: BSD-2-Clause */
/* The hypervisor's command line: defaults, good words, and bad ones that change nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/string.c"
#include "../../kernel/options.c"

static struct options o;

static void parse(const char *text)
{
	/* On the heap, to its last byte, so that ASan sees a read past the end. */
	char *copy = strdup(text);

	memset(&o, 0xa5, sizeof(o));
	options_parse(&o, copy);
	free(copy);
}

static void check(const char *text, uint16_t port, unsigned baud, uint16_t debug_exit, bool bench)
{
	parse(text);
	assert_string_equal(o.unknown, "");
	assert_int_equal(o.serial_port, port);
	assert_int_equal(o.serial_baud, baud);
	assert_int_equal(o.debug_exit, debug_exit);
	assert_int_equal(o.bench, bench);
}

static void good_words(void **state __unused)
{
	check("", 0x3f8, 115200, 0, false);
	check("   ", 0x3f8, 115200, 0, false);
	check("serial=com1", 0x3f8, 115200, 0, false);
	check("serial=com2", 0x2f8, 115200, 0, false);
	check("serial=com3,9600", 0x3e8, 9600, 0, false);
	check("serial=com4,50", 0x2e8, 50, 0, false);
	check("serial=0x1234,115200", 0x1234, 115200, 0, false);
	check("serial=760", 760, 115200, 0, false);
	check("debug-exit=0xf4", 0x3f8, 115200, 0xf4, false);
	check("bench", 0x3f8, 115200, 0, true);
	check("  bench  debug-exit=0xffff   serial=com2,19200 ", 0x2f8, 19200, 0xffff, true);
	for (unsigned n = 1; n <= 64; n++) {
		char text[16];

		snprintf(text, sizeof(text), "cpus=%u", n);
		check(text, 0x3f8, 115200, 0, false);
		assert_int_equal(o.cpus, n);
	}
	check("cpus=0x3f bench", 0x3f8, 115200, 0, true);
	assert_int_equal(o.cpus, 0x3f);
	check("", 0x3f8, 115200, 0, false);
	assert_int_equal(o.cpus, CPU_MAX);
	/* The last one counts. */
	check("serial=com2 serial=com3", 0x3e8, 115200, 0, false);
}

/* Each turns on one thing of its own. */
static void self_tests(void **state __unused)
{
	check("", 0x3f8, 115200, 0, false);
	assert_false(o.overflow_stack || o.break_entry || o.skew_tsc || o.no_apicv ||
		     o.force_apicv || o.no_mitigations);
	check("mitigations=off", 0x3f8, 115200, 0, false);
	assert_true(o.no_mitigations && !o.no_apicv && !o.force_apicv);
	check("apicv=off", 0x3f8, 115200, 0, false);
	assert_true(o.no_apicv && !o.overflow_stack && !o.break_entry && !o.skew_tsc);
	assert_false(o.force_apicv);
	check("apicv=off apicv=on", 0x3f8, 115200, 0, false);
	assert_true(o.force_apicv && !o.no_apicv && !o.overflow_stack && !o.break_entry);
	check("apicv=on apicv=off", 0x3f8, 115200, 0, false);
	assert_true(o.no_apicv && !o.force_apicv);
	check("selftest=stack", 0x3f8, 115200, 0, false);
	assert_true(o.overflow_stack && !o.break_entry && !o.skew_tsc);
	check("selftest=entry", 0x3f8, 115200, 0, false);
	assert_true(!o.overflow_stack && o.break_entry && !o.skew_tsc);
	check("selftest=tsc", 0x3f8, 115200, 0, false);
	assert_true(!o.overflow_stack && !o.break_entry && o.skew_tsc);
}

static void bad_words(void **state __unused)
{
	static const char *const bad[] = {
		"serial",	    "serial=",		   "serial=com5",   "serial=com11",
		"serial=0",	    "serial=0x10000",	   "serial=com1,",  "serial=com1,49",
		"serial=com1,115201", "serial=com1,9600,8n1", "serial=com1,x", "debug-exit=",
		"debug-exit=0",	    "debug-exit=65536",	   "benchmark",	    "ben",
		"BENCH",	    "foo=bar",		   "=",		    "serial=99999999999999999999",
		"cpus", "cpus=", "cpus=0", "cpus=65", "cpus=-1", "cpus=2x", "cpus=18446744073709551617",
		"mitigations=", "mitigations=on", "mitigations=offs", "selftest=", "selftest=ts", "selftest=tscs", "selftest=stac", "selftest=TSC", "selftest=tsk", "selftest=fresh", "cpu=1", "cpus:4", "cpusN4", "apicv", "apicv=", "apicv=o", "apicv=onn", "apicv=of"};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		parse(bad[i]);
		assert_string_equal(o.unknown, bad[i]);
		assert_int_equal(o.serial_port, 0x3f8);
		assert_int_equal(o.debug_exit, 0);
		assert_int_equal(o.cpus, CPU_MAX);
		assert_false(o.bench);
		assert_false(o.overflow_stack || o.break_entry || o.skew_tsc);
	}
	/* The first one is kept; those around it still count. */
	parse("bench first second serial=com2");
	assert_string_equal(o.unknown, "first");
	assert_true(o.bench);
	assert_int_equal(o.serial_port, 0x2f8);
}

static void long_words(void **state __unused)
{
	char text[600];

	for (size_t len = 1; len < sizeof(text); len += 13) {
		memset(text, 'x', len);
		text[len] = 0;
		parse(text);
		assert_int_equal(strlen(o.unknown), MIN(len, sizeof(o.unknown) - 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_words),
		cmocka_unit_test(self_tests),
		cmocka_unit_test(bad_words),
		cmocka_unit_test(long_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
