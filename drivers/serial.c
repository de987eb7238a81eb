/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's 16550A: queues both ways, drained by interrupts. */
#include "socle/cpu/regs.h"
#include "socle/drivers/serial.h"

/* Register offsets and bits (PC16550D data sheet). */
enum {
	UART_DATA = 0, UART_IER = 1, UART_FCR = 2, UART_LCR = 3, UART_MCR = 4, UART_LSR = 5,
	UART_IIR = 2, UART_SCR = 7,
	IER_RECEIVE = 1, IER_TRANSMIT = 2,
	FCR_ENABLE = 1, FCR_CLEAR = 6, FCR_TRIGGER_8 = 2 << 6,
	LCR_8N1 = 3, LCR_DLAB = 0x80,
	MCR_DTR_RTS = 3, MCR_OUT2 = 8,
	LSR_DATA = 1, LSR_OVERRUN = 2, LSR_THRE = 0x20, LSR_IDLE = 0x40,
	IIR_NONE = 1, FIFO_SIZE = 16, CLOCK = 115200, QUEUE = 4096, SPIN_LIMIT = 10000000,
	ROUNDS_MAX = 64,
};

static uint16_t port; /* 0: none */
static bool interrupts;
static uint8_t ier;
static uint64_t overruns;

/* Owned by the boot CPU, used with interrupts off. */
static struct queue {
	uint8_t data[QUEUE];
	unsigned head, tail; /* free-running; head is written, tail is read */
} tx, rx;

static unsigned used(const struct queue *q)
{
	return q->head - q->tail;
}

bool serial_init(uint16_t base, unsigned baud)
{
	unsigned divisor = baud ? CLOCK / baud : 1;

	out8(base + UART_SCR, 0x5a);
	if (in8(base + UART_SCR) != 0x5a)
		return false;
	out8(base + UART_IER, 0);
	out8(base + UART_LCR, LCR_DLAB);
	out8(base + UART_DATA, divisor & 0xff);
	out8(base + UART_IER, divisor >> 8);
	out8(base + UART_LCR, LCR_8N1);
	out8(base + UART_FCR, FCR_ENABLE | FCR_CLEAR | FCR_TRIGGER_8);
	out8(base + UART_MCR, MCR_DTR_RTS | MCR_OUT2);
	port = base;
	return true;
}

static void receive(void)
{
	uint8_t lsr;

	while ((lsr = in8(port + UART_LSR)) & LSR_DATA) {
		uint8_t byte;

		/* 0xff from all registers: the port went away. */
		if (lsr == 0xff)
			return;
		/* Leave bytes in the chip while there is no room: with flow control they wait. */
		if (used(&rx) == QUEUE) {
			ier &= ~IER_RECEIVE;
			out8(port + UART_IER, ier);
			return;
		}
		byte = in8(port + UART_DATA);
		if (lsr & LSR_OVERRUN)
			overruns++;
		rx.data[rx.head++ % QUEUE] = byte;
	}
}

/* Fills the chip's FIFO if it is empty. */
static void transmit(void)
{
	if (!(in8(port + UART_LSR) & LSR_THRE))
		return;
	for (unsigned n = 0; n < FIFO_SIZE && used(&tx); n++)
		out8(port + UART_DATA, tx.data[tx.tail++ % QUEUE]);
}

static void update_ier(void)
{
	uint8_t want =
		interrupts ? (used(&rx) < QUEUE ? IER_RECEIVE : 0) | (used(&tx) ? IER_TRANSMIT : 0)
			   : 0;

	if (want != ier) {
		ier = want;
		out8(port + UART_IER, want);
	}
}

void serial_interrupt(void)
{
	/*
	 * Until nothing is pending: the line is edge-triggered, and stays up without an edge when
	 * the next event comes before this one is served. Reading IIR acknowledges the
	 * transmitter's. A chip that never has enough must not keep us.
	 */
	for (unsigned i = 0; i < ROUNDS_MAX && !(in8(port + UART_IIR) & IIR_NONE); i++) {
		receive();
		transmit();
		update_ier();
	}
	/* What came after the last look makes an edge now. */
	out8(port + UART_IER, 0);
	out8(port + UART_IER, ier);
}

void serial_interrupts_on(void)
{
	interrupts = port != 0;
	if (interrupts)
		update_ier();
}

void serial_write(const char *text, size_t len)
{
	unsigned spins = 0;

	if (!port)
		return;
	for (size_t i = 0; i < len;) {
		if (used(&tx) < QUEUE) {
			tx.data[tx.head++ % QUEUE] = text[i++];
			spins = 0;
			continue;
		}
		transmit();
		/* A line that is stuck (flow control, dead chip) must not stop the machine. */
		if (++spins > SPIN_LIMIT)
			return;
	}
	transmit();
	update_ier();
}

size_t serial_room(void)
{
	return QUEUE - used(&tx);
}

void serial_flush(void)
{
	for (unsigned spins = 0; port && used(&tx) && spins < SPIN_LIMIT; spins++)
		transmit();
	for (unsigned spins = 0; port && spins < SPIN_LIMIT; spins++)
		if (in8(port + UART_LSR) & LSR_IDLE)
			return;
}

size_t serial_read(uint8_t *buf, size_t size)
{
	size_t n = 0;

	if (port && !interrupts)
		receive();
	while (n < size && used(&rx))
		buf[n++] = rx.data[rx.tail++ % QUEUE];
	if (n && port)
		update_ier();
	return n;
}

bool serial_pending(void)
{
	return used(&rx) != 0;
}

uint64_t serial_overruns(void)
{
	return overruns;
}
