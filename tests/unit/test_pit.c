/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8254: counters and outputs in all modes, access modes, latches, interrupts, port 0x61. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "platform_mock.h"
#include "../../platform/pit.c"

static struct pit pit;
static unsigned irqs; /* rising edges of IRQ 0 */
static bool line;

void irq_line_set(struct board *board, unsigned irq, bool asserted)
{
	assert_ptr_equal(board, &mock_board);
	assert_chips_held();
	assert_int_equal(irq, IRQ_TIMER);
	irqs += asserted && !line;
	line = asserted;
}

static int setup(void **state __unused)
{
	mock_reset();
	irqs = 0;
	line = false;
	pit = (struct pit){0};
	assert_int_equal(pit_init(&pit, &mock_bus, &mock_board), 0);
	pit_reset(&pit);
	/* To the start of a tick, so that tests may count exactly. */
	mock_now = tick_time(tick_now(&pit) + 1);
	return 0;
}

/* Lets @ticks of the PIT pass, to the start of the last one. */
static void ticks_pass(uint64_t ticks)
{
	run_until(tick_time(tick_now(&pit) + ticks));
}

static void program(unsigned n, unsigned mode, bool bcd, uint16_t count)
{
	outb(0x43, (uint8_t)(n << 6 | 0x30 | mode << 1 | bcd));
	outb((uint16_t)(0x40 + n), (uint8_t)count);
	outb((uint16_t)(0x40 + n), (uint8_t)(count >> 8));
}

static uint16_t read_count(unsigned n)
{
	uint8_t low;

	outb(0x43, (uint8_t)(n << 6));
	low = inb((uint16_t)(0x40 + n));
	return (uint16_t)(inb((uint16_t)(0x40 + n)) << 8 | low);
}

static uint8_t read_status(unsigned n)
{
	outb(0x43, (uint8_t)(0xe0 | 2 << n));
	return inb((uint16_t)(0x40 + n));
}

static bool out2(void)
{
	return inb(0x61) & 0x20;
}

static void nothing_ticks_unprogrammed(void **state __unused)
{
	run_for(NS_PER_SEC);
	assert_int_equal(mock_fired, 0);
	outb(0x43, 0x34);
	outb(0x40, 0x10); /* half a count */
	assert_int_equal(armed_timers(), 0);
	program(2, 3, false, 100);
	program(1, 2, false, 18);
	assert_int_equal(armed_timers(), 0);
}

static void terminal_count(void **state __unused)
{
	program(0, 0, false, 1000);
	assert_int_equal(read_status(0), 0x30);
	assert_int_equal(read_count(0), 1000);
	ticks_pass(999);
	assert_int_equal(read_count(0), 1);
	assert_int_equal(irqs, 0);
	ticks_pass(1);
	assert_int_equal(irqs, 1);
	assert_int_equal(read_status(0), 0xb0);
	ticks_pass(1);
	assert_int_equal(read_count(0), 0xffff); /* goes on */
	run_for(NS_PER_SEC);
	assert_int_equal(irqs, 1);
	assert_int_equal(armed_timers(), 0);
	program(0, 0, false, 0); /* 0x10000 */
	ticks_pass(0xffff);
	assert_int_equal(irqs, 1);
	ticks_pass(1);
	assert_int_equal(irqs, 2);
}

static void first_byte_stops_mode_0(void **state __unused)
{
	program(0, 0, false, 1000);
	outb(0x40, 0x10);
	assert_int_equal(armed_timers(), 0);
	assert_int_equal(read_status(0), 0x70);
	ticks_pass(2000);
	assert_int_equal(irqs, 0);
	outb(0x40, 0x00);
	ticks_pass(16);
	assert_int_equal(irqs, 1);
}

/* After a billion ticks a rate generator is still on the tick. */
static void periodic_without_drift(void **state __unused)
{
	uint64_t start = tick_now(&pit), seconds = 600;

	program(0, 2, false, 1193); /* 1000.15 Hz */
	run_for(seconds * NS_PER_SEC);
	assert_int_equal(irqs, seconds * PIT_HZ / 1193);
	assert_int_equal((tick_now(&pit) - start) % 1193, 1193 - read_count(0));
	assert_int_equal(mock_fired, irqs);
}

static void rate_generator(void **state __unused)
{
	program(0, 2, false, 1000);
	assert_int_equal(read_count(0), 1000);
	ticks_pass(999);
	assert_int_equal(read_count(0), 1);
	assert_int_equal(read_status(0), 0x34); /* OUT low */
	assert_int_equal(irqs, 0);
	ticks_pass(1);
	assert_int_equal(read_count(0), 1000);
	assert_int_equal(read_status(0), 0xb4);
	assert_int_equal(irqs, 1);
	ticks_pass(1000);
	assert_int_equal(irqs, 2);
}

static void new_count_waits_for_the_period(void **state __unused)
{
	program(0, 2, false, 1000);
	ticks_pass(300);
	outb(0x40, 0xf4);
	outb(0x40, 0x01); /* 500 */
	assert_int_equal(read_count(0), 700);
	assert_int_equal(read_status(0), 0xf4); /* null count */
	ticks_pass(699);
	assert_int_equal(irqs, 0);
	ticks_pass(1);
	assert_int_equal(irqs, 1);
	assert_int_equal(read_count(0), 500);
	assert_int_equal(read_status(0), 0xb4);
	ticks_pass(500);
	assert_int_equal(irqs, 2);
	/* Again, in a later period, and rewritten before it is loaded. */
	ticks_pass(1600);
	assert_int_equal(irqs, 5);
	outb(0x40, 0x00);
	outb(0x40, 0x10);
	outb(0x40, 0xe8);
	outb(0x40, 0x03);
	ticks_pass(400);
	assert_int_equal(irqs, 6);
	assert_int_equal(read_count(0), 1000);
	/* Nobody looked at the end of the period, nor for some periods after it. */
	outb(0x61, 1);
	program(2, 2, false, 1000);
	ticks_pass(100);
	outb(0x42, 0xc8);
	outb(0x42, 0x00); /* 200 */
	ticks_pass(900 + 5 * 200 + 30);
	assert_int_equal(read_count(2), 170);
}

static void square_wave(void **state __unused)
{
	program(2, 3, false, 10);
	outb(0x61, 1);
	for (unsigned i = 0; i < 30; i++) {
		assert_int_equal(out2(), i % 10 < 5);
		assert_int_equal(read_count(2), 10 - 2 * (i % 5));
		ticks_pass(1);
	}
	program(2, 3, false, 7);
	for (unsigned i = 0; i < 21; i++) {
		assert_int_equal(out2(), i % 7 < 4);
		assert_int_equal(read_count(2), i % 7 < 4 ? 6 - 2 * (i % 7) : 6 - 2 * (i % 7 - 4));
		ticks_pass(1);
	}
	program(0, 3, false, 11932);
	run_for(NS_PER_SEC);
	assert_int_equal(irqs, 99);
}

static void software_strobe(void **state __unused)
{
	program(0, 4, false, 500);
	assert_int_equal(read_status(0), 0xb8);
	ticks_pass(500);
	assert_int_equal(read_status(0), 0x38);
	assert_int_equal(irqs, 0);
	ticks_pass(1);
	assert_int_equal(read_status(0), 0xb8);
	assert_int_equal(irqs, 1);
	outb(0x40, 0x64);
	outb(0x40, 0x00);
	ticks_pass(101);
	assert_int_equal(irqs, 2);
}

static void gate_starts_one_shot(void **state __unused)
{
	program(2, 1, false, 100);
	assert_true(out2());
	ticks_pass(200);
	assert_true(out2());
	assert_int_equal(read_status(2) & 0x40, 0x40);
	outb(0x61, 1);
	assert_false(out2());
	ticks_pass(50);
	outb(0x61, 0); /* a falling gate changes nothing */
	outb(0x61, 1); /* a rising one starts again */
	ticks_pass(99);
	assert_false(out2());
	ticks_pass(1);
	assert_true(out2());
	program(2, 5, false, 100);
	outb(0x61, 0);
	outb(0x61, 1);
	ticks_pass(100);
	assert_false(out2());
	ticks_pass(1);
	assert_true(out2());
	/* Channel 0 has no gate that could rise. */
	program(0, 1, false, 100);
	program(0, 5, false, 100);
	assert_int_equal(armed_timers(), 0);
}

static void gate_pauses(void **state __unused)
{
	outb(0x61, 1);
	program(2, 0, false, 1000);
	ticks_pass(400);
	outb(0x61, 0);
	ticks_pass(5000);
	assert_int_equal(read_count(2), 600);
	assert_false(out2());
	outb(0x61, 1);
	ticks_pass(599);
	assert_int_equal(read_count(2), 1);
	assert_false(out2());
	ticks_pass(1);
	assert_true(out2());
	program(2, 2, false, 1000);
	ticks_pass(999);
	assert_false(out2());
	outb(0x61, 0);
	assert_true(out2()); /* at once */
	ticks_pass(100);
	outb(0x61, 1);
	assert_int_equal(read_count(2), 1000); /* from the start */
	outb(0x61, 0);
	program(2, 0, false, 50);
	ticks_pass(100);
	assert_int_equal(read_count(2), 50);
}

static void bcd(void **state __unused)
{
	program(2, 2, true, 0x1000);
	outb(0x61, 1);
	program(2, 2, true, 0x1000);
	ticks_pass(1);
	assert_int_equal(read_count(2), 0x0999);
	program(2, 0, true, 0x0000); /* 10000 */
	ticks_pass(1);
	assert_int_equal(read_count(2), 0x9999);
	ticks_pass(9999);
	assert_int_equal(read_count(2), 0);
	assert_true(out2());
	ticks_pass(1);
	assert_int_equal(read_count(2), 0x9999);
	assert_int_equal(read_status(2), 0xb1);
	program(2, 0, true, 0xffff); /* not decimal */
	read_count(2);
}

static void access_modes(void **state __unused)
{
	outb(0x61, 1);
	outb(0x43, 0x90); /* low byte only */
	outb(0x42, 0x20);
	ticks_pass(0x10);
	assert_int_equal(inb(0x42), 0x10);
	assert_int_equal(inb(0x42), 0x10);
	outb(0x43, 0xa0); /* high byte only */
	outb(0x42, 0x20);
	ticks_pass(0x1000);
	assert_int_equal(inb(0x42), 0x10);
	program(2, 0, false, 0x1234);
	assert_int_equal(inb(0x42), 0x34);
	assert_int_equal(inb(0x42), 0x12);
	outb(0x43, 0x80); /* latch, held while the count goes on */
	ticks_pass(0x200);
	outb(0x43, 0x80); /* ignored */
	assert_int_equal(inb(0x42), 0x34);
	assert_int_equal(inb(0x42), 0x12);
	assert_int_equal(inb(0x42), 0x34);
	assert_int_equal(inb(0x42), 0x10);
	assert_int_equal(inb(0x43), 0xff);
}

static void read_back_command(void **state __unused)
{
	outb(0x61, 1);
	program(2, 0, false, 0x4321);
	program(0, 2, false, 0x1111);
	outb(0x43, 0xca); /* status and count of channels 0 and 2 */
	ticks_pass(5);
	assert_int_equal(inb(0x42), 0x30);
	assert_int_equal(inb(0x42), 0x21);
	assert_int_equal(inb(0x42), 0x43);
	assert_int_equal(inb(0x40), 0xb4);
	assert_int_equal(inb(0x40), 0x11);
	assert_int_equal(inb(0x40), 0x11);
	assert_int_equal(inb(0x42), 0x1c); /* live again */
	program(2, 7, false, 100);
	assert_int_equal(read_status(2), 0xb6); /* mode 7 is mode 3 */
}

static void fast_timers_lose_ticks(void **state __unused)
{
	program(0, 2, false, 2);
	run_for(NS_PER_SEC);
	assert_in_range(irqs, 9900, 10000);
	mock_fired = 0;
	program(0, 3, false, 1);
	run_for(NS_PER_SEC);
	assert_in_range(mock_fired, 9900, 10000);
	assert_int_equal(armed_timers(), 1);
	outb(0x43, 0x30);
	assert_int_equal(armed_timers(), 0);
}

static void late_ticks_are_made_up_for(void **state __unused)
{
	uint64_t last;

	program(0, 2, false, 1000);
	mock_now =
		tick_time(tick_now(&pit) + 20 * 1000 + 500); /* nobody looked at timers meanwhile */
	run_for(0);
	assert_int_equal(irqs, 1);
	last = tick_now(&pit);
	while (irqs < 20) { /* the others follow, but not at once */
		unsigned before = irqs;

		ticks_pass(1);
		if (irqs != before) {
			assert_in_range(tick_now(&pit) - last, 120, 251);
			last = tick_now(&pit);
		}
	}
	run_for(10 * NS_PER_SEC);
	assert_in_range(irqs, 10 * PIT_HZ / 1000 + 25, 10 * PIT_HZ / 1000 + 27);
	/* Not after a pause that the guest cannot have missed. */
	irqs = 0;
	mock_now += 100 * NS_PER_SEC;
	run_for(10 * NS_PER_SEC);
	assert_in_range(irqs, 11 * PIT_HZ / 1000 - 1, 11 * PIT_HZ / 1000 + 1);
	/* Nor after it was programmed anew; a one-shot is late only once. */
	mock_now += NS_PER_SEC;
	run_for(0);
	program(0, 0, false, 1000);
	irqs = 0;
	mock_now += NS_PER_SEC;
	run_for(NS_PER_SEC);
	assert_int_equal(irqs, 1);
}

/* How Linux measures the TSC: 50 ms in channel 2, watched through port 0x61. */
static void calibration_loop(void **state __unused)
{
	uint64_t start;

	outb(0x61, (uint8_t)((inb(0x61) & ~2) | 1));
	program(2, 0, false, (uint16_t)(PIT_HZ / 20));
	start = mock_now;
	while (!out2())
		run_for(1000);
	assert_in_range(mock_now - start, 49 * NS_PER_MS, 51 * NS_PER_MS);
}

static void port_b(void **state __unused)
{
	unsigned changes = 0;
	uint8_t before = inb(0x61) & 0x10;

	outb(0x61, 0xff);
	assert_int_equal(inb(0x61) & 0xcf, 0x0f);
	for (unsigned i = 0; i < 1000; i++) {
		run_for(1000);
		changes += (inb(0x61) & 0x10) != before;
		before = inb(0x61) & 0x10;
	}
	assert_in_range(changes, 65, 68); /* every 15.085 us */
}

/* What another CPU has for the time may be a little behind what this one had: a tick or two. */
static void time_steps_back(void **state)
{
	for (unsigned i = 0; i < 6 * 3; i++) {
		unsigned mode = i / 3, ticks = i % 3;
		uint16_t before;
		uint8_t status;

		setup(state);
		program(2, mode, false, 1000);
		outb(0x61, 1);
		if (!triggered_by_gate(&pit.channel[2]))
			program(2, mode, false, 1000);
		ticks_pass(ticks);
		before = read_count(2);
		status = read_status(2);
		assert_in_range(before, 1000 - 2 * ticks, 1000);
		mock_now -= NS_PER_US;
		assert_int_equal(read_count(2), before);
		assert_int_equal(read_status(2), status);
		assert_int_equal(out2(), mode >= 2);
	}
}

static void time_steps_back_in_a_count(void **state __unused)
{
	uint64_t end;

	/* A count that waits is not loaded, a period that is over stays over. */
	outb(0x61, 1);
	program(2, 2, false, 1000);
	outb(0x42, 0xf4);
	outb(0x42, 0x01);
	mock_now -= NS_PER_US;
	assert_int_equal(read_count(2), 1000);
	mock_now += NS_PER_US;
	ticks_pass(1000);
	assert_int_equal(read_count(2), 500);
	mock_now -= NS_PER_US;
	assert_int_equal(read_count(2), 500);
	outb(0x61, 0);
	mock_now -= NS_PER_US;
	assert_int_equal(read_count(2), 500);
	/* GATE of mode 0 goes up on a CPU that is behind the one where it went down. */
	outb(0x61, 1);
	program(2, 0, false, 1000);
	ticks_pass(10);
	outb(0x61, 0);
	mock_now -= NS_PER_US;
	outb(0x61, 1);
	assert_int_equal(read_count(2), 990);
	end = mock_now + 2 * NS_PER_US;
	while (mock_now < end) {
		run_for(100);
		assert_in_range(read_count(2), 988, 990);
	}
}

/* No tick is lost, made up or moved, wherever time steps back. */
static void time_steps_back_before_ticks(void **state)
{
	for (unsigned ticks = 0; ticks < 2002; ticks += ticks % 1000 < 3 ? 1 : 499) {
		uint64_t start, from;

		setup(state);
		program(0, 2, false, 1000);
		start = mock_now;
		from = tick_now(&pit);
		ticks_pass(ticks);
		assert_int_equal(read_count(0), 1000 - ticks % 1000);
		mock_now -= NS_PER_US;
		/* Which arms the timer anew. */
		outb(0x40, 0xe8);
		outb(0x40, 0x03);
		assert_int_equal(armed_timers(), 1);
		run_until(start + NS_PER_SEC);
		assert_int_equal(irqs, (tick_now(&pit) - from) / 1000);
		assert_int_equal(read_count(0), 1000 - (tick_now(&pit) - from) % 1000);
		assert_int_equal(mock_fired, irqs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_ticks_unprogrammed, setup),
		cmocka_unit_test_setup(terminal_count, setup),
		cmocka_unit_test_setup(first_byte_stops_mode_0, setup),
		cmocka_unit_test_setup(periodic_without_drift, setup),
		cmocka_unit_test_setup(rate_generator, setup),
		cmocka_unit_test_setup(new_count_waits_for_the_period, setup),
		cmocka_unit_test_setup(square_wave, setup),
		cmocka_unit_test_setup(software_strobe, setup),
		cmocka_unit_test_setup(gate_starts_one_shot, setup),
		cmocka_unit_test_setup(gate_pauses, setup),
		cmocka_unit_test_setup(bcd, setup),
		cmocka_unit_test_setup(access_modes, setup),
		cmocka_unit_test_setup(read_back_command, setup),
		cmocka_unit_test_setup(fast_timers_lose_ticks, setup),
		cmocka_unit_test_setup(late_ticks_are_made_up_for, setup),
		cmocka_unit_test_setup(calibration_loop, setup),
		cmocka_unit_test_setup(port_b, setup),
		cmocka_unit_test_setup(time_steps_back, setup),
		cmocka_unit_test_setup(time_steps_back_in_a_count, setup),
		cmocka_unit_test_setup(time_steps_back_before_ticks, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
