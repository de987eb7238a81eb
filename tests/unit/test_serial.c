/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver of the machine's 16550, on a model of the chip whose interrupt is edge-triggered. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "socle/cpu/regs.h"

static uint8_t mock_in8(uint16_t port);
static void mock_out8(uint16_t port, uint8_t value);
#define in8  mock_in8
#define out8 mock_out8
#include "../../drivers/serial.c"

enum { PORT = 0x3f8 };

/* The chip (PC16550D data sheet, 8.6): what arrives while somebody looks at it is up to the test.
 */
static struct {
	uint8_t fifo[64], regs[8];
	unsigned have, given;	/* bytes in fifo[] that have arrived, and were read */
	unsigned late;		/* bytes that arrive one by one at reads of LSR */
	unsigned late_after;	/* from this read of LSR on */
	unsigned lsr_reads;
	bool thre_pending;	/* the transmitter's interrupt, until IIR is read */
	char sent[256];
	unsigned sents;
	bool babbles;		/* always has another byte */
} chip;

static bool line(void)
{
	uint8_t enabled = chip.regs[UART_IER];

	return ((enabled & IER_RECEIVE) && chip.given < chip.have) ||
	       ((enabled & IER_TRANSMIT) && chip.thre_pending);
}

static uint8_t mock_in8(uint16_t at)
{
	switch (at - PORT) {
	case UART_DATA:
		if (chip.babbles)
			return 'x';
		assert_true(chip.given < chip.have);
		return chip.fifo[chip.given++];
	case UART_IIR:
		if (!line())
			return IIR_NONE;
		if (chip.given == chip.have)
			chip.thre_pending = false;
		return 2;
	case UART_LSR:
		if (chip.late && ++chip.lsr_reads >= chip.late_after) {
			chip.late--;
			chip.fifo[chip.have++] = 'l';
		}
		return LSR_THRE | LSR_IDLE |
		       (chip.babbles || chip.given < chip.have ? LSR_DATA : 0);
	default:
		return chip.regs[at - PORT];
	}
}

static void mock_out8(uint16_t at, uint8_t value)
{
	if (at == PORT + UART_DATA && !(chip.regs[UART_LCR] & LCR_DLAB)) {
		chip.sent[chip.sents++ % sizeof(chip.sent)] = (char)value;
		chip.thre_pending = true;
	} else {
		chip.regs[at - PORT] = value;
	}
	if (at == PORT + UART_IER && (value & IER_TRANSMIT))
		chip.thre_pending = true;
}

static int setup(void **state __attribute__((unused)))
{
	memset(&chip, 0, sizeof(chip));
	memset(&tx, 0, sizeof(tx));
	memset(&rx, 0, sizeof(rx));
	port = 0;
	ier = 0;
	interrupts = false;
	assert_true(serial_init(PORT, 115200));
	serial_interrupts_on();
	return 0;
}

static void arrive(const char *text)
{
	for (; *text; text++)
		chip.fifo[chip.have++] = (uint8_t)*text;
}

static void receives(void **state __attribute__((unused)))
{
	uint8_t buf[16];

	arrive("abc");
	assert_true(line());
	serial_interrupt();
	assert_false(line());
	assert_true(serial_pending());
	assert_int_equal(serial_read(buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "abc", 3);
}

/* Whenever a byte comes while an interrupt is served: the line must fall, or there is no edge. */
static void late_bytes(void **state)
{
	uint8_t buf[16];

	for (unsigned at = 1; at < 8; at++) {
		setup(state);
		arrive("a");
		chip.late = 1;
		chip.late_after = at;
		serial_interrupt();
		assert_false(line());
		/* One that came after all of that made an edge of its own. */
		chip.late = 0;
		assert_int_equal(serial_read(buf, sizeof(buf)), chip.have);
	}
}

static void transmits(void **state __attribute__((unused)))
{
	char text[100];

	memset(text, 't', sizeof(text));
	serial_write(text, sizeof(text));
	for (unsigned i = 0; i < 20 && line(); i++)
		serial_interrupt();
	assert_false(line());
	assert_int_equal(chip.sents, sizeof(text));
	assert_int_equal(chip.regs[UART_IER], IER_RECEIVE);
}

/* A full queue leaves bytes in the chip and its interrupt off; a chip gone mad does not keep us. */
static void full(void **state __attribute__((unused)))
{
	uint8_t buf[16];

	chip.babbles = true;
	chip.have = 1;
	serial_interrupt();
	assert_int_equal(used(&rx), QUEUE);
	assert_false(chip.regs[UART_IER] & IER_RECEIVE);
	chip.babbles = false;
	assert_int_equal(serial_read(buf, sizeof(buf)), sizeof(buf));
	assert_true(chip.regs[UART_IER] & IER_RECEIVE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(receives, setup),
		cmocka_unit_test_setup(late_bytes, setup),
		cmocka_unit_test_setup(transmits, setup),
		cmocka_unit_test_setup(full, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
