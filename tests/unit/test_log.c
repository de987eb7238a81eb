/* SPDX-License-Identifier: BSD-2-Clause */
/* The log: lines of all CPUs in order, shown by the first; the ring, and the limit for a guest.
 * libs: -lpthread
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/format.c"
#include "../../lib/report.c"
#include "../../lib/string.c"
#include "smp_mock.h"
#include "socle/cpu/spinlock.h"

/* Other threads come in before a line is written, and before it is counted. */
static void jitter(void);
#define __atomic_store_n(p, v, order) (jitter(), __atomic_store_n(p, v, order))
#include "../../kernel/log.c"
#undef __atomic_store_n

static bool threads;   /* there are some */
static uint64_t now;   /* ns since boot */
static unsigned pokes; /* of the boot CPU; atomic */

static void jitter(void)
{
	static _Thread_local uint32_t seed;

	seed = seed * 1664525 + 1013904223;
	if (threads && seed >> 26 == 0)
		sched_yield();
}

uint64_t time_now(void)
{
	jitter();
	return now;
}

void sched_poke(unsigned cpu)
{
	CHECK(cpu == 0);
	__atomic_fetch_add(&pokes, 1, __ATOMIC_RELAXED);
}

void panic_v(const char *fmt, va_list args)
{
	vfprintf(stderr, fmt, args);
	abort();
}

void panic_init(void (*print)(const char *text, size_t len) __unused)
{
}

/* What was shown. */
static char lines[2000][300];
static enum log_level levels[2000];
static unsigned count;
static bool talkative; /* the sink logs a line itself, once */

static void sink_line(struct log_sink *s __unused, enum log_level level, const char *text,
		      size_t len)
{
	assert_int_equal(cpu_index(), 0);
	assert_int_equal(lock.held, 0);
	assert_true(count < ARRAY_SIZE(lines) && len < sizeof(lines[0]));
	assert_int_equal(strlen(text), len);
	memcpy(lines[count], text, len + 1);
	levels[count++] = level;
	if (talkative) {
		talkative = false;
		log_info("from the sink");
	}
}

static struct log_sink test_sink = {sink_line}, other_sink = {sink_line};

static int setup(void **state __unused)
{
	memset(ring, 0, sizeof(ring));
	written = shown = 0;
	sink = NULL;
	later = false;
	test_cpu_index = 0;
	now = 12 * NS_PER_SEC + 345678 * NS_PER_US;
	count = pokes = 0;
	talkative = false;
	log_init(NULL);
	log_bind(&test_sink);
	return 0;
}

/* The text after the time. */
static const char *text_of(unsigned i)
{
	assert_true(i < count);
	assert_int_equal(lines[i][0], '[');
	return strchr(lines[i], ']') + 2;
}

static void shown_at_once(void **state __unused)
{
	log_info("%s %d", "one", 1);
	assert_int_equal(count, 1);
	assert_string_equal(lines[0], "[  12.345678] one 1");
	assert_int_equal(levels[0], LOG_INFO);
	log_warn("two");
	log_error("three");
	log_debug("not shown");
	assert_int_equal(count, 3);
	assert_string_equal(text_of(1), "warning: two");
	assert_int_equal(levels[1], LOG_WARN);
	assert_string_equal(text_of(2), "error: three");
	assert_int_equal(levels[2], LOG_ERROR);
	assert_int_equal(pokes, 0);
}

static void other_cpus_are_shown_later(void **state __unused)
{
	test_cpu_index = 2;
	log_info("from afar");
	assert_int_equal(count, 0);
	assert_int_equal(pokes, 1);
	test_cpu_index = 1;
	now += NS_PER_SEC;
	log_info("from elsewhere");
	assert_int_equal(pokes, 2);
	test_cpu_index = 0;
	log_deferred(false);
	assert_int_equal(count, 2);
	/* With the time of then. */
	assert_string_equal(lines[0], "[  12.345678] from afar");
	assert_string_equal(lines[1], "[  13.345678] from elsewhere");
	/* Or with the next line of the boot CPU, before it. */
	test_cpu_index = 1;
	log_info("first");
	test_cpu_index = 0;
	log_info("second");
	assert_int_equal(count, 4);
	assert_string_equal(text_of(2), "first");
	assert_string_equal(text_of(3), "second");
	log_deferred(false);
	assert_int_equal(count, 4);
}

static void deferred_while_a_guest_waits(void **state __unused)
{
	log_deferred(true);
	log_info("held back");
	assert_int_equal(count, 0);
	/* By itself it would not come to it before the guest leaves. */
	assert_int_equal(pokes, 1);
	log_deferred(true);
	assert_int_equal(count, 0);
	log_deferred(false);
	assert_int_equal(count, 1);
	log_info("at once again");
	assert_int_equal(count, 2);
	assert_int_equal(pokes, 1);
}

static void kept_until_there_is_a_sink(void **state __unused)
{
	sink = NULL;
	log_info("early");
	test_cpu_index = 3;
	log_info("earlier");
	test_cpu_index = 0;
	log_deferred(false);
	assert_int_equal(count, 0);
	log_bind(&test_sink);
	assert_int_equal(count, 2);
	assert_string_equal(text_of(1), "earlier");
	/* Another one gets what is new. */
	log_bind(&other_sink);
	assert_int_equal(count, 2);
}

static void ring_overflows_while_deferred(void **state __unused)
{
	enum { MORE = 100 };
	char expected[20];

	log_info("before");
	log_deferred(true);
	for (unsigned i = 0; i < LINES + MORE; i++) {
		test_cpu_index = i % 3;
		log_info("line %u", i);
	}
	assert_int_equal(count, 1);
	test_cpu_index = 0;
	log_deferred(false);
	/* The oldest are lost, the others come in order, once. */
	assert_int_equal(count, 1 + LINES);
	for (unsigned i = 0; i < LINES; i++) {
		snprintf(expected, sizeof(expected), "line %u", i + MORE);
		assert_string_equal(text_of(1 + i), expected);
	}
	log_info("after");
	assert_int_equal(count, 2 + LINES);
	assert_string_equal(text_of(1 + LINES), "after");
	/* Exactly full: none is lost. */
	log_deferred(true);
	for (unsigned i = 0; i < LINES; i++)
		log_info("line %u", i);
	log_deferred(false);
	assert_int_equal(count, 2 + 2 * LINES);
	assert_string_equal(text_of(2 + LINES), "line 0");
}

static void replay_shows_the_ring(void **state __unused)
{
	char expected[20];

	log_info("one");
	log_debug("two");
	log_info("three");
	count = 0;
	log_replay(&other_sink);
	assert_int_equal(count, 2);
	assert_string_equal(text_of(0), "one");
	assert_string_equal(text_of(1), "three");
	for (unsigned i = 0; i < LINES + 7; i++)
		log_info("line %u", i);
	count = 0;
	log_replay(&other_sink);
	assert_int_equal(count, LINES);
	for (unsigned i = 0; i < LINES; i++) {
		snprintf(expected, sizeof(expected), "line %u", i + 7);
		assert_string_equal(text_of(i), expected);
	}
}

static void a_sink_may_log(void **state __unused)
{
	talkative = true;
	log_info("one");
	assert_int_equal(count, 2);
	assert_string_equal(text_of(0), "one");
	assert_string_equal(text_of(1), "from the sink");
	log_info("two");
	assert_int_equal(count, 3);
}

/* What comes from a guest or a module drives no terminal, and overflows nothing. */
static void wild_text(void **state __unused)
{
	char text[600];

	log_info("a\x1b[2Jb\r\n\tc\x7f\x80");
	assert_string_equal(text_of(0), "a?[2Jb???c?\x80");
	memset(text, 'x', sizeof(text));
	for (unsigned len = 200; len < sizeof(text); len += 7) {
		count = 0;
		text[len] = 0;
		log_info("%s", text);
		text[len] = 'x';
		assert_int_equal(count, 1);
		assert_int_equal(strlen(lines[0]),
				 MIN(len + strlen("[  12.345678] "), sizeof(ring[0].text) - 1));
	}
}

static void guests_are_limited(void **state __unused)
{
	static struct vm a, b;

	a = (struct vm){.settings.name = "a"};
	b = (struct vm){.settings.name = "b"};
	for (unsigned i = 0; i < VM_LINES_PER_SECOND; i++)
		vm_log(&a, LOG_WARN, "line %u", i);
	assert_int_equal(count, VM_LINES_PER_SECOND);
	assert_string_equal(text_of(19), "warning: vm a: line 19");
	for (unsigned i = 0; i < 1000; i++)
		vm_log(&a, LOG_WARN, "too much");
	assert_int_equal(count, VM_LINES_PER_SECOND);
	/* Nor does it disturb the boot CPU. */
	test_cpu_index = 1;
	vm_log(&a, LOG_WARN, "too much");
	assert_int_equal(pokes, 0);
	/* Others are not affected. */
	vm_log(&b, LOG_INFO, "mine");
	assert_int_equal(pokes, 1);
	test_cpu_index = 0;
	log_info("ours");
	assert_int_equal(count, VM_LINES_PER_SECOND + 2);
	assert_string_equal(text_of(20), "vm b: mine");
	/* A second after the first line, not after the last. */
	now += NS_PER_SEC - 1;
	vm_log(&a, LOG_INFO, "still too much");
	assert_int_equal(count, VM_LINES_PER_SECOND + 2);
	now += 1;
	vm_log(&a, LOG_INFO, "again");
	assert_int_equal(count, VM_LINES_PER_SECOND + 4);
	assert_string_equal(text_of(22), "warning: vm a: 1002 lines not shown");
	assert_string_equal(text_of(23), "vm a: again");
	count = 0;
	for (unsigned i = 0; i < VM_LINES_PER_SECOND; i++)
		vm_log(&a, LOG_INFO, "line %u", i);
	assert_int_equal(count, VM_LINES_PER_SECOND - 1);
	/* Told once. */
	now += 5 * NS_PER_SEC;
	count = 0;
	vm_log(&a, LOG_INFO, "x");
	assert_string_equal(text_of(0), "warning: vm a: 1 lines not shown");
	now += 5 * NS_PER_SEC;
	count = 0;
	vm_log(&a, LOG_INFO, "x");
	assert_int_equal(count, 1);
}

/* All CPUs log while the first one shows. */
enum { WRITERS = 3, EACH = 3000 };
static unsigned next_of[WRITERS + 1]; /* the least number that may come from a CPU */
static unsigned seen, through;

static void count_line(struct log_sink *s __unused, enum log_level level, const char *text,
		       size_t len)
{
	unsigned cpu, number, again, end = 0;

	CHECK(level == LOG_INFO && strlen(text) == len);
	CHECK(sscanf(strchr(text, ']'), "] %u %u %u%n", &cpu, &number, &again, &end) == 3);
	CHECK(strchr(text, ']') + end == text + len);
	CHECK(cpu <= WRITERS && number == again && number >= next_of[cpu]);
	next_of[cpu] = number + 1;
	seen++;
}

static void writer(struct smp_cpu *cpu)
{
	for (unsigned i = 0; i < EACH; i++) {
		log_info("%u %u %u", cpu->index, i, i);
		if (smp_random(cpu, 8) == 0)
			sched_yield();
	}
	__atomic_fetch_add(&through, 1, __ATOMIC_SEQ_CST);
}

static void shower(struct smp_cpu *cpu)
{
	unsigned i = 0;

	while (__atomic_load_n(&through, __ATOMIC_SEQ_CST) < WRITERS) {
		/* Often more than there is room for. */
		uint64_t until = shown + smp_random(cpu, 2) * LINES;

		log_deferred(true);
		log_info("0 %u %u", i, i);
		i++;
		while (lines_written() < until &&
		       __atomic_load_n(&through, __ATOMIC_SEQ_CST) < WRITERS)
			sched_yield();
		log_deferred(false);
	}
	log_deferred(false);
}

static void all_at_once(void **state __unused)
{
	static void (*const run[])(struct smp_cpu * cpu) = {shower, writer, writer, writer, NULL};
	static struct log_sink counter = {count_line};

	seen = through = 0;
	memset(next_of, 0, sizeof(next_of));
	log_bind(&counter);
	threads = true;
	smp_run(run, 3);
	threads = false;
	assert_true(seen > 100 && seen <= written);
	assert_int_equal(shown, written);
	assert_true(written >= WRITERS * EACH);
	/* The last ones cannot be lost. */
	for (unsigned i = 1; i <= WRITERS; i++)
		assert_true(next_of[i] > 0);
	assert_true(pokes >= WRITERS * EACH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(shown_at_once, setup),
		cmocka_unit_test_setup(other_cpus_are_shown_later, setup),
		cmocka_unit_test_setup(deferred_while_a_guest_waits, setup),
		cmocka_unit_test_setup(kept_until_there_is_a_sink, setup),
		cmocka_unit_test_setup(ring_overflows_while_deferred, setup),
		cmocka_unit_test_setup(replay_shows_the_ring, setup),
		cmocka_unit_test_setup(a_sink_may_log, setup),
		cmocka_unit_test_setup(wild_text, setup),
		cmocka_unit_test_setup(guests_are_limited, setup),
		cmocka_unit_test_setup(all_at_once, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
