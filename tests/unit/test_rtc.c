/* SPDX-License-Identifier: BSD-2-Clause */
/* The MC146818 and its calendar: time and formats, setting, flags and interrupts, memory. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <time.h>

#include "platform_mock.h"
#include "../../platform/calendar.c"
#include "../../platform/rtc.c"

static struct rtc rtc;
static struct vm_settings settings;
static unsigned irqs; /* rising edges of IRQ 8 */
static bool line;

void irq_line_set(struct board *board, unsigned irq, bool asserted)
{
	assert_ptr_equal(board, &mock_board);
	assert_chips_held();
	assert_int_equal(irq, IRQ_RTC);
	assert_true(asserted != line);
	irqs += asserted;
	line = asserted;
}

static uint8_t get(uint8_t index)
{
	outb(0x70, index);
	return inb(0x71);
}

static void set(uint8_t index, uint8_t value)
{
	outb(0x70, index);
	outb(0x71, value);
}

static int setup(void **state __unused)
{
	mock_reset();
	irqs = 0;
	line = false;
	mock_boot_wall =
		1709251199 - 1; /* 2024-02-29 23:59:59 at the time of the first test step */
	settings = (struct vm_settings){.memory = 256 * MiB, .cpus = 1};
	rtc = (struct rtc){0};
	assert_int_equal(rtc_init(&rtc, &mock_bus, &mock_board), 0);
	rtc_reset(&rtc, &settings);
	return 0;
}

static void check_bcd(uint32_t date, uint32_t time, uint8_t weekday)
{
	assert_int_equal(get(0x32) << 24 | get(9) << 16 | get(8) << 8 | get(7), date);
	assert_int_equal(get(4) << 16 | get(2) << 8 | get(0), time);
	assert_int_equal(get(6), weekday);
}

static void wall_time(void **state __unused)
{
	check_bcd(0x20240229, 0x235959, 5);
	run_for(NS_PER_SEC);
	check_bcd(0x20240301, 0x000000, 6);
	run_for(86400 * 365ull * NS_PER_SEC);
	check_bcd(0x20250301, 0x000000, 7);
	assert_int_equal(armed_timers(), 0);
	assert_int_equal(get(0x0d), 0x80);
	assert_int_equal(inb(0x70), 0xff);
}

static void formats(void **state __unused)
{
	set(0x0b, 0x06); /* binary, 24 hours */
	assert_int_equal(get(4), 23);
	assert_int_equal(get(2), 59);
	assert_int_equal(get(0x32), 20);
	set(0x0b, 0x04); /* binary, 12 hours */
	assert_int_equal(get(4), 0x80 | 11);
	set(0x0b, 0x00); /* BCD, 12 hours */
	assert_int_equal(get(4), 0x91);
	run_for(NS_PER_SEC);
	assert_int_equal(get(4), 0x12); /* midnight */
	run_for(12 * 3600 * NS_PER_SEC);
	assert_int_equal(get(4), 0x92); /* noon */
	run_for(3600 * NS_PER_SEC);
	assert_int_equal(get(4), 0x81);
	set(0x0b, 0x02);
	assert_int_equal(get(4), 0x13);
}

/* As Linux's mc146818_set_time() does it. */
static void setting(void **state __unused)
{
	uint8_t a, b;

	run_for(NS_PER_SEC / 4);
	b = get(0x0b);
	set(0x0b, b | 0x80);
	a = get(0x0a);
	set(0x0a, a | 0x70);
	set(9, 0x99);
	set(8, 0x12);
	set(7, 0x31);
	set(4, 0x23);
	set(2, 0x59);
	set(0, 0x58);
	set(6, 0x06);
	set(0x32, 0x19);
	run_for(10 * NS_PER_SEC);
	check_bcd(0x19991231, 0x235958, 6); /* stopped */
	set(0x0b, b);
	set(0x0a, a);
	check_bcd(0x19991231, 0x235958, 6);
	run_for(NS_PER_SEC / 2 - 1);
	check_bcd(0x19991231, 0x235958, 6);
	run_for(1); /* the first update is half a second after the release */
	check_bcd(0x19991231, 0x235959, 6);
	run_for(NS_PER_SEC);
	check_bcd(0x20000101, 0x000000, 7);
	rtc_reset(&rtc, &settings);
	check_bcd(0x20000101, 0x000000, 7); /* battery-backed */
}

static void set_without_stopping(void **state __unused)
{
	set(0x0b, 0x82);
	run_for(3 * NS_PER_SEC);
	set(0x0b, 0x02);
	check_bcd(0x20240229, 0x235959, 5); /* lost what passed */
	set(8, 0x99);			    /* nonsense must do no harm */
	set(7, 0xff);
	set(4, 0xff);
	run_for(100 * NS_PER_SEC);
	assert_in_range(get(8), 1, 0x12);
	assert_in_range(get(7), 1, 0x31);
	assert_in_range(get(4), 0, 0x23);
}

static void update_in_progress(void **state __unused)
{
	assert_int_equal(get(0x0a), 0x26);
	run_for(NS_PER_SEC - 244140);
	assert_int_equal(get(0x0a), 0xa6);
	run_for(244140 - 1);
	assert_int_equal(get(0x0a), 0xa6);
	run_for(1);
	assert_int_equal(get(0x0a), 0x26);
	assert_int_equal(get(0), 0);
	set(0x0b, 0x82);
	run_for(NS_PER_SEC - 1);
	assert_int_equal(get(0x0a), 0x26);
}

static void flags_without_interrupts(void **state __unused)
{
	get(0x0c);
	assert_int_equal(get(0x0c), 0);
	run_for(NS_PER_MS);
	assert_int_equal(get(0x0c), 0x40); /* PF at 1024 Hz */
	assert_int_equal(get(0x0c), 0);
	run_for(NS_PER_SEC);
	assert_int_equal(get(0x0c), 0x70); /* the alarm at 00:00:00 too */
	assert_int_equal(armed_timers(), 0);
	assert_int_equal(irqs, 0);
}

static void update_interrupt(void **state __unused)
{
	set(0x0b, 0x12);
	assert_int_equal(armed_timers(), 1);
	run_for(NS_PER_SEC - 1);
	assert_int_equal(irqs, 0);
	run_for(1);
	assert_int_equal(irqs, 1);
	run_for(5 * NS_PER_SEC);
	assert_int_equal(irqs, 1); /* not acknowledged: no more work for the host either */
	assert_int_equal(armed_timers(), 0);
	assert_int_equal(get(0x0c) & 0x90, 0x90);
	assert_false(line);
	run_for(NS_PER_SEC);
	assert_int_equal(irqs, 2);
	set(0x0b, 0x92); /* SET clears UIE */
	assert_int_equal(get(0x0b), 0x82);
	assert_false(line);
}

static void periodic_interrupt(void **state __unused)
{
	uint64_t end = mock_now + 10 * NS_PER_SEC;

	set(0x0b, 0x42);
	while (mock_now < end) {
		run_for(100000);
		if (line)
			assert_int_equal(get(0x0c) & 0xc0, 0xc0);
	}
	assert_in_range(irqs, 10239, 10241);
	set(0x0a, 0x2f); /* 2 Hz */
	irqs = 0;
	for (unsigned i = 0; i < 100; i++) {
		run_for(99 * NS_PER_MS + 7);
		get(0x0c);
	}
	assert_in_range(irqs, 19, 20);
	set(0x0a, 0x20); /* no rate */
	assert_int_equal(armed_timers(), 0);
	set(0x0a, 0x21); /* 256 Hz */
	irqs = 0;
	for (unsigned i = 0; i < 1000; i++) {
		run_for(NS_PER_MS + 7);
		get(0x0c);
	}
	assert_in_range(irqs, 255, 256);
}

static void alarm_at(uint8_t hour, uint8_t minute, uint8_t second)
{
	set(5, hour);
	set(3, minute);
	set(1, second);
	get(0x0c);
}

static void alarm(void **state __unused)
{
	alarm_at(0x00, 0x02, 0x30);
	set(0x0b, 0x22);
	run_for(150 * NS_PER_SEC);
	assert_int_equal(irqs, 0);
	run_for(NS_PER_SEC);
	assert_int_equal(irqs, 1);
	assert_int_equal(get(4) << 16 | get(2) << 8 | get(0), 0x000230);
	assert_int_equal(get(0x0c) & 0xa0, 0xa0);
	run_for(86400 * NS_PER_SEC - 1);
	assert_int_equal(irqs, 1);
	run_for(1);
	assert_int_equal(irqs, 2); /* every day */
	alarm_at(0xff, 0xc0, 0x15);
	run_for(45 * NS_PER_SEC);
	assert_int_equal(irqs, 3);
	get(0x0c);
	run_for(60 * NS_PER_SEC);
	assert_int_equal(irqs, 4);  /* every minute */
	alarm_at(0x25, 0x00, 0x00); /* never */
	assert_int_equal(armed_timers(), 0);
}

/* The next alarm by search, against the steps of alarm_delay(). */
static void alarm_delay_is_the_first_match(void **state __unused)
{
	static const uint8_t values[] = {0, 1, 5, 0x23, 0x59, 0xff};
	static const unsigned starts[] = {0, 1, 3599, 3600, 43199, 80000, 86398, 86399};

	for (unsigned i = 0; i < 6 * 6 * 6 * 8; i++) {
		uint8_t h = values[i % 6], m = values[i / 6 % 6], s = values[i / 36 % 6];
		unsigned from = starts[i / 216], want = 1;

		rtc.cmos[RTC_HOUR_ALARM] = h;
		rtc.cmos[RTC_MINUTE_ALARM] = m;
		rtc.cmos[RTC_SECOND_ALARM] = s;
		for (; want <= 86400; want++) {
			unsigned at = (from + want) % 86400;

			if ((h == 0xff || at / 3600 == decode(&rtc, h)) &&
			    (m == 0xff || at / 60 % 60 == decode(&rtc, m)) &&
			    (s == 0xff || at % 60 == decode(&rtc, s)))
				break;
		}
		assert_int_equal(alarm_delay(&rtc, 86400ull * 100 + from),
				 want > 86400 ? NO_MATCH : want);
	}
}

/* What another CPU has for the time may be a little behind what this one had. */
static void time_steps_back(void **state __unused)
{
	alarm_at(0xff, 0xff, 0x30);
	run_for(NS_PER_SEC);
	check_bcd(0x20240301, 0x000000, 6);
	assert_int_equal(get(0x0c), 0x50);
	mock_now -= NS_PER_US;
	check_bcd(0x20240301, 0x000000, 6);
	assert_int_equal(get(0x0a), 0x26);
	assert_int_equal(get(0x0c), 0);
	mock_now += NS_PER_US;
	check_bcd(0x20240301, 0x000000, 6);
	assert_int_equal(get(0x0c), 0);
	run_for(NS_PER_SEC - 1);
	check_bcd(0x20240301, 0x000000, 6);
	assert_int_equal(get(0x0c), 0x40);
	run_for(1);
	check_bcd(0x20240301, 0x000001, 6);
	assert_int_equal(get(0x0c), 0x50);
	/* When the divider is released, and when the guest is reset. */
	set(0x0a, 0x70);
	set(0x0a, 0x26);
	mock_now -= NS_PER_US;
	check_bcd(0x20240301, 0x000001, 6);
	run_for(NS_PER_SEC / 2 + NS_PER_US);
	check_bcd(0x20240301, 0x000002, 6);
	mock_now -= NS_PER_US;
	rtc_reset(&rtc, &settings);
	check_bcd(0x20240301, 0x000002, 6);
}

static void time_steps_back_between_interrupts(void **state __unused)
{
	set(0x0b, 0x72); /* periodic, alarm and update */
	alarm_at(0xff, 0xff, 0x30);
	get(0x0c);
	irqs = 0;
	for (unsigned i = 0; i < 3 * 1024; i++) {
		uint64_t at = rtc.timer.expires;

		assert_int_equal(armed_timers(), 1);
		run_until(at);
		assert_int_equal(irqs, i + 1);
		mock_now -= NS_PER_US;
		assert_int_equal(get(0x0c) & ~0x10, 0xc0);
		assert_int_equal(get(0x0c), 0);
		/* The next one is not the same again. */
		assert_true(rtc.timer.expires > at + 2 * NS_PER_US);
	}
	check_bcd(0x20240301, 0x000002, 6);
}

static void memory_sizes(void **state __unused)
{
	assert_int_equal(get(0x15) | get(0x16) << 8, 640);
	assert_int_equal(get(0x17) | get(0x18) << 8, 65535);
	assert_int_equal(get(0x34) | get(0x35) << 8, 240 * 16);
	assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 0);
	settings.memory = 5 * GiB;
	settings.cpus = 4;
	set(0x40, 0x77);
	rtc_reset(&rtc, &settings);
	assert_int_equal(get(0x34) | get(0x35) << 8, (3072 - 16) * 16);
	assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 2048 * 16);
	assert_int_equal(get(0x5f), 3);
	assert_int_equal(get(0x40), 0x77);
	settings.memory = 8 * MiB;
	rtc_reset(&rtc, &settings);
	assert_int_equal(get(0x30) | get(0x31) << 8, 7 * 1024);
	set(0xc0, 0x11); /* bit 7 is not part of the index */
	assert_int_equal(get(0x40), 0x11);
}

static void calendar_matches_the_host(void **state __unused)
{
	for (uint64_t t = 0; t < 1ull << 35; t += 86400 * 7 + 12345) {
		struct calendar date = calendar_date(t);
		time_t host = (time_t)t;
		struct tm tm;

		gmtime_r(&host, &tm);
		assert_int_equal(date.year, tm.tm_year + 1900);
		assert_int_equal(date.month, tm.tm_mon + 1);
		assert_int_equal(date.day, tm.tm_mday);
		assert_int_equal(date.hour, tm.tm_hour);
		assert_int_equal(date.minute, tm.tm_min);
		assert_int_equal(date.second, tm.tm_sec);
		assert_int_equal(date.weekday, tm.tm_wday + 1);
		assert_int_equal(calendar_seconds(&date), t);
	}
	for (uint64_t day = 0; day < 800 * 366; day++) {
		struct calendar date = calendar_date(day * 86400 + 86399);

		assert_int_equal(calendar_seconds(&date), day * 86400 + 86399);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(wall_time, setup),
		cmocka_unit_test_setup(formats, setup),
		cmocka_unit_test_setup(setting, setup),
		cmocka_unit_test_setup(set_without_stopping, setup),
		cmocka_unit_test_setup(update_in_progress, setup),
		cmocka_unit_test_setup(flags_without_interrupts, setup),
		cmocka_unit_test_setup(update_interrupt, setup),
		cmocka_unit_test_setup(periodic_interrupt, setup),
		cmocka_unit_test_setup(alarm, setup),
		cmocka_unit_test_setup(alarm_delay_is_the_first_match, setup),
		cmocka_unit_test_setup(time_steps_back, setup),
		cmocka_unit_test_setup(time_steps_back_between_interrupts, setup),
		cmocka_unit_test_setup(memory_sizes, setup),
		cmocka_unit_test(calendar_matches_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
