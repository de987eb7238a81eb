/* SPDX-License-Identifier: BSD-2-Clause */
/* The 16550A: FIFOs, interrupts, loopback, and that no byte is lost between guest and console. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "platform_mock.h"
#include "../../platform/uart.c"

#define COM1 0x3f8

static struct uart uart;
static unsigned irqs; /* rising edges of IRQ 4 */
static bool line;
static uint8_t sent[1 << 16];
static size_t sent_count;
static size_t room;    /* bytes that the sink takes now */
static unsigned rooms; /* calls of rx_room */

void irq_line_set(struct board *board, unsigned irq, bool asserted)
{
	assert_ptr_equal(board, &mock_board);
	assert_chips_held();
	assert_int_equal(irq, IRQ_COM1);
	assert_true(asserted != line);
	irqs += asserted;
	line = asserted;
}

static bool put(struct uart_sink *sink __unused, uint8_t byte)
{
	assert_chips_held();
	if (!room)
		return false;
	room--;
	sent[sent_count++ % sizeof(sent)] = byte;
	return true;
}

static void rx_room(struct uart_sink *sink __unused)
{
	assert_chips_held();
	rooms++;
}

static struct uart_sink test_sink = {.put = put, .rx_room = rx_room};

static size_t receive(const uint8_t *data, size_t len)
{
	size_t taken;

	with_chips(taken = uart_receive(&uart, data, len));
	return taken;
}

static void tx_ready(void)
{
	with_chips(uart_tx_ready(&uart));
}

static int setup(void **state __unused)
{
	mock_reset();
	irqs = rooms = 0;
	line = false;
	sent_count = 0;
	room = SIZE_MAX;
	uart = (struct uart){0};
	assert_int_equal(uart_init(&uart, &mock_bus, &mock_board), 0);
	uart_reset(&uart);
	with_chips(uart_connect(&uart, &test_sink));
	return 0;
}

static uint8_t get(unsigned reg)
{
	return inb((uint16_t)(COM1 + reg));
}

static void set(unsigned reg, uint8_t value)
{
	outb((uint16_t)(COM1 + reg), value);
}

/* 115200 8N1, FIFOs with trigger level 8, interrupts as asked for. */
static void start(uint8_t ier)
{
	set(3, 0x83);
	set(0, 1);
	set(1, 0);
	set(3, 0x03);
	set(2, 0x87);
	set(4, 0x0b);
	set(1, ier);
}

static void registers(void **state __unused)
{
	assert_int_equal(get(1), 0);
	assert_int_equal(get(2), 0x01);
	assert_int_equal(get(5), 0x60);
	assert_int_equal(get(6), 0xb0);
	set(7, 0x5a);
	assert_int_equal(get(7), 0x5a);
	set(3, 0x9b);
	set(0, 0x34);
	set(1, 0x12);
	assert_int_equal(get(0), 0x34);
	assert_int_equal(get(1), 0x12);
	set(3, 0x1b);
	assert_int_equal(get(3), 0x1b);
	assert_int_equal(get(1), 0);
	set(1, 0xff);
	assert_int_equal(get(1), 0x0f); /* no XScale's UUE bit */
	set(4, 0xff);
	assert_int_equal(get(4), 0x1f);
	set(2, 0x01);
	assert_int_equal(get(2) & 0xc0, 0xc0);
	set(2, 0x21);
	assert_int_equal(get(2) & 0x20, 0); /* no 16750 */
	set(2, 0x00);
	assert_int_equal(get(2) & 0xc0, 0);
}

static void polled_output(void **state __unused)
{
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(get(5), 0x60);
		set(0, (uint8_t)i);
	}
	assert_int_equal(sent_count, 1000);
	assert_int_equal(sent[999], 999 & 0xff);
	assert_int_equal(irqs, 0);
	with_chips(uart_connect(&uart, NULL));
	set(0, 'x');
	assert_int_equal(get(5), 0x60);
}

static void transmitter_interrupt(void **state __unused)
{
	start(0);
	set(1, 0x02);
	assert_true(line); /* empty, so at once */
	assert_int_equal(get(2), 0xc2);
	assert_false(line); /* reading IIR clears it */
	assert_int_equal(get(2), 0xc1);
	set(1, 0x00);
	set(1, 0x02); /* Linux tests that it comes again */
	assert_true(line);
	assert_int_equal(get(2), 0xc2);
	set(0, 'a');
	assert_true(line);
	assert_int_equal(irqs, 3);
	set(1, 0x00);
	assert_false(line);
	set(0, 'b');
	assert_false(line);
}

static void blocked_output_is_kept(void **state __unused)
{
	start(0x02);
	get(2);
	room = 3;
	for (unsigned i = 0; i < 16; i++)
		set(0, (uint8_t)('a' + i));
	assert_int_equal(sent_count, 3);
	assert_int_equal(get(5), 0x00);
	get(2);
	assert_false(line);
	room = 5;
	tx_ready();
	assert_int_equal(sent_count, 8);
	assert_int_equal(get(5), 0x00);
	assert_false(line);
	room = 100;
	tx_ready();
	assert_int_equal(sent_count, 16);
	assert_int_equal(get(5), 0x60);
	assert_true(line);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(sent[i], 'a' + i);
	irqs = 0;
	tx_ready();
	assert_int_equal(irqs, 0);
	room = 0;
	for (unsigned i = 0; i < 100; i++)
		set(0, (uint8_t)i); /* a guest that does not wait loses its own bytes */
	room = 1000;
	tx_ready();
	assert_int_equal(sent_count, 32);
	assert_int_equal(sent[31], 15);
}

static void nothing_is_taken_before_the_driver_is_ready(void **state __unused)
{
	const uint8_t text[] = "hello";

	assert_int_equal(receive(text, 5), 0);
	start(0);
	assert_int_equal(receive(text, 5), 0);
	for (unsigned i = 0; i < 15; i++)
		assert_int_equal(get(5), 0x60);
	set(0, 'x'); /* a console's output is no poll for input */
	for (unsigned i = 0; i < 15; i++)
		assert_int_equal(get(5), 0x60);
	assert_int_equal(receive(text, 5), 0);
	assert_int_equal(rooms, 0);
	get(5);
	assert_int_equal(rooms, 1);
	assert_int_equal(receive(text, 5), 5);
	assert_int_equal(get(5), 0x61);
	assert_int_equal(get(0), 'h');
	set(2, 0x03);
	set(1, 0x01); /* now by interrupt */
	assert_int_equal(rooms, 2);
	assert_int_equal(receive(text, 5), 5);
}

static void receive_interrupts(void **state __unused)
{
	uint8_t data[40];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	start(0x01);
	assert_int_equal(receive(data, 7), 7);
	assert_false(line); /* below the trigger level */
	assert_int_equal(receive(data + 7, 1), 1);
	assert_true(line);
	assert_int_equal(get(2), 0xc4);
	assert_int_equal(receive(data + 8, 32), 8);
	assert_int_equal(receive(data + 16, 24), 0);
	rooms = 0;
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(rooms, 0);
		assert_int_equal(get(5), 0x61);
		assert_int_equal(get(0), i);
	}
	assert_int_equal(rooms, 1);
	assert_false(line);
	assert_int_equal(get(5), 0x60);
	assert_int_equal(get(0), 0);
	assert_int_equal(armed_timers(), 0);
}

static void character_timeout(void **state __unused)
{
	start(0x01);
	assert_int_equal(receive((const uint8_t *)"abc", 3), 3);
	run_for(4 * 10 * NS_PER_SEC / 115200 - 1000);
	assert_false(line);
	run_for(1000);
	assert_true(line);
	assert_int_equal(get(2), 0xcc);
	assert_int_equal(get(0), 'a');
	assert_false(line);	      /* a read starts the time again */
	uart.timer.fire(&uart.timer); /* expired before that, on another CPU */
	assert_false(line);
	assert_false(uart.timeout);
	run_for(NS_PER_MS);
	assert_true(line);
	get(0);
	get(0);
	assert_false(line);
	run_for(NS_PER_SEC);
	assert_false(line);
	/* However slow the line, not later than 10 ms; and a divisor of 0 does no harm. */
	set(3, 0x83);
	set(0, 0xff);
	set(1, 0xff);
	set(3, 0x03);
	receive((const uint8_t *)"d", 1);
	run_for(10 * NS_PER_MS);
	assert_true(line);
	get(0);
	set(3, 0x83);
	set(0, 0);
	set(1, 0);
	set(3, 0x03);
	receive((const uint8_t *)"e", 1);
	run_for(1);
	assert_true(line);
}

static void without_fifos(void **state __unused)
{
	set(1, 0x01);
	assert_int_equal(receive((const uint8_t *)"abc", 3), 1);
	assert_true(line);
	assert_int_equal(get(2), 0x04);
	assert_int_equal(get(0), 'a');
	assert_int_equal(receive((const uint8_t *)"bc", 2), 1);
	assert_int_equal(get(0), 'b');
	room = 0;
	set(0, 'x');
	assert_int_equal(get(5), 0);
	room = 1;
	tx_ready();
	assert_int_equal(sent[0], 'x');
}

/* Linux's autoconfig(): loopback, modem lines, size of the FIFO. */
static void loopback_probe(void **state __unused)
{
	unsigned count = 0;

	set(4, 0x1a);
	assert_int_equal(get(6) & 0xf0, 0x90);
	set(4, 0x15);
	assert_int_equal(get(6) & 0xf0, 0x60);
	set(4, 0x13);
	set(2, 0x07);
	set(3, 0x83);
	set(0, 1);
	set(3, 0x03);
	for (unsigned i = 0; i < 256; i++)
		set(0, (uint8_t)i);
	run_for(20 * NS_PER_MS);
	assert_int_equal(get(5) & 0x02, 0x02); /* overrun, once */
	assert_int_equal(get(5), 0x61);
	for (; count < 256 && (get(5) & 1); count++)
		assert_int_equal(get(0), count);
	assert_int_equal(count, 16);
	assert_int_equal(sent_count, 0);
	assert_int_equal(receive((const uint8_t *)"a", 1), 0);
}

static void modem_and_line_interrupts(void **state __unused)
{
	start(0x0c);
	assert_false(line);
	set(4, 0x10); /* loop, all lines down */
	assert_true(line);
	assert_int_equal(get(2), 0xc0);
	assert_int_equal(get(6), 0x0b);
	assert_int_equal(get(6), 0x00);
	assert_false(line);
	set(4, 0x14);
	assert_int_equal(get(6), 0x40);
	set(4, 0x10);
	assert_int_equal(get(6), 0x04); /* trailing edge of RI */
	for (unsigned i = 0; i < 17; i++)
		set(0, 0);
	assert_true(line);
	assert_int_equal(get(2), 0xc6);
	assert_int_equal(get(5) & 2, 2);
	assert_false(line);
}

static void clearing_fifos(void **state __unused)
{
	start(0x01);
	assert_int_equal(receive((const uint8_t *)"12345678", 8), 8);
	room = 0;
	set(0, 'x');
	assert_int_equal(get(5), 0x01);
	set(2, 0x03);
	assert_int_equal(get(5), 0x00);
	assert_false(line);
	set(2, 0x05);
	assert_int_equal(get(5), 0x60);
	set(2, 0x00);
	set(2, 0x06); /* without bit 0 the others do not count */
	assert_int_equal(get(2) & 0xc0, 0);
}

/* Random traffic both ways through a driver like Linux's: every byte arrives, in order. */
static void nothing_is_lost(void **state __unused)
{
	unsigned to_guest = 0, got = 0, from_guest = 0, offered = 0;
	uint8_t chunk[32];

	srand(1);
	start(0x03);
	room = 0;
	sent_count = 0;
	for (unsigned step = 0; step < 200000; step++) {
		switch (rand() % 5) {
		case 0: /* the console types */
			for (unsigned i = 0; i < sizeof(chunk); i++)
				chunk[i] = (uint8_t)(to_guest + i);
			to_guest += (unsigned)receive(chunk, (size_t)rand() % 33);
			break;
		case 1: /* the console drains */
			room += (size_t)rand() % 20;
			tx_ready();
			break;
		case 2:
			run_for((uint64_t)rand() % 500000);
			break;
		case 3: /* the guest's interrupt handler */
			if (!line)
				break;
			offered = get(2);
			while (get(5) & 1) {
				assert_int_equal(get(0), got & 0xff);
				got++;
			}
			if ((get(5) & 0x20) && (offered & 0xf) == 2) {
				for (unsigned i = 0; i < 16; i++)
					set(0, (uint8_t)from_guest++);
			}
			break;
		}
	}
	assert_true(got > 10000 && from_guest > 10000);
	while (uart.rx.count)
		assert_int_equal(get(0), got++ & 0xff);
	assert_int_equal(got, to_guest);
	room = 1000;
	tx_ready();
	assert_int_equal(sent_count, from_guest);
	for (unsigned i = 0; i < sizeof(sent) && i < sent_count; i++)
		assert_int_equal(sent[i], i & 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(registers, setup),
		cmocka_unit_test_setup(polled_output, setup),
		cmocka_unit_test_setup(transmitter_interrupt, setup),
		cmocka_unit_test_setup(blocked_output_is_kept, setup),
		cmocka_unit_test_setup(nothing_is_taken_before_the_driver_is_ready, setup),
		cmocka_unit_test_setup(receive_interrupts, setup),
		cmocka_unit_test_setup(character_timeout, setup),
		cmocka_unit_test_setup(without_fifos, setup),
		cmocka_unit_test_setup(loopback_probe, setup),
		cmocka_unit_test_setup(modem_and_line_interrupts, setup),
		cmocka_unit_test_setup(clearing_fifos, setup),
		cmocka_unit_test_setup(nothing_is_lost, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
