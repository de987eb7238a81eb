/* SPDX-License-Identifier: BSD-2-Clause */
/* The 16550A serial port: FIFOs, interrupts, loopback. */
#include "socle/platform/uart.h"
#include "socle/platform/board.h"
#include "socle/platform/irq.h"

/* Registers by offset; some share one (PC16550D data sheet, table 1). */
enum uart_register {
	UART_RBR = 0, /* read, DLAB 0 */
	UART_THR = 0, /* write, DLAB 0 */
	UART_DLL = 0, /* DLAB 1 */
	UART_IER = 1,
	UART_DLM = 1, /* DLAB 1 */
	UART_IIR = 2, /* read */
	UART_FCR = 2, /* write */
	UART_LCR = 3,
	UART_MCR = 4,
	UART_LSR = 5,
	UART_MSR = 6,
	UART_SCR = 7,
	UART_REGISTERS = 8,
};

enum uart_bit {
	IER_RDI = BIT(0),
	IER_THRI = BIT(1),
	IER_RLSI = BIT(2),
	IER_MSI = BIT(3),
	IER_BITS = 0x0f,
	IIR_MODEM = 0x00,
	IIR_NONE = 0x01,
	IIR_THRE = 0x02,
	IIR_DATA = 0x04,
	IIR_LINE = 0x06,
	IIR_TIMEOUT = 0x0c,
	IIR_FIFOS = 0xc0,
	FCR_ENABLE = BIT(0),
	FCR_CLEAR_RX = BIT(1),
	FCR_CLEAR_TX = BIT(2),
	FCR_TRIGGER_SHIFT = 6,
	LCR_LENGTH = 0x03, /* data bits - 5 */
	LCR_STOP = BIT(2),
	LCR_PARITY = BIT(3),
	LCR_DLAB = BIT(7),
	MCR_DTR = BIT(0),
	MCR_RTS = BIT(1),
	MCR_OUT1 = BIT(2),
	MCR_OUT2 = BIT(3), /* gates the interrupt on a real PC; here it always gets through */
	MCR_LOOP = BIT(4),
	MCR_BITS = 0x1f,
	LSR_DR = BIT(0),
	LSR_OE = BIT(1),
	LSR_THRE = BIT(5),
	LSR_TEMT = BIT(6),
	MSR_DCTS = BIT(0),
	MSR_DDSR = BIT(1),
	MSR_TERI = BIT(2),
	MSR_DDCD = BIT(3),
	MSR_CTS = BIT(4),
	MSR_DSR = BIT(5),
	MSR_RI = BIT(6),
	MSR_DCD = BIT(7),
};

#define UART_HZ	     115200ull	      /* bits a second with divisor 1 */
#define TIMEOUT_MAX  (10 * NS_PER_MS) /* nobody wants to wait for 50 baud */
#define POLLS_ENOUGH 16		      /* empty looks in a row that make a guest that polls */

static bool loopback(const struct uart *uart)
{
	return uart->mcr & MCR_LOOP;
}

static bool fifos_on(const struct uart *uart)
{
	return uart->fcr & FCR_ENABLE;
}

static unsigned capacity(const struct uart *uart)
{
	return fifos_on(uart) ? UART_FIFO : 1;
}

static void fifo_put(struct uart_fifo *fifo, uint8_t byte)
{
	fifo->data[(fifo->head + fifo->count) % UART_FIFO] = byte;
	fifo->count++;
}

static uint8_t fifo_get(struct uart_fifo *fifo)
{
	uint8_t byte = fifo->data[fifo->head];

	fifo->head = (fifo->head + 1) % UART_FIFO;
	fifo->count--;
	return byte;
}

/* Received bytes that raise the interrupt. */
static unsigned trigger(const struct uart *uart)
{
	static const uint8_t levels[4] = {1, 4, 8, 14};

	return fifos_on(uart) ? levels[uart->fcr >> FCR_TRIGGER_SHIFT & 3] : 1;
}

/* The interrupt to report: the highest that is enabled and pending (data sheet, table 3). */
static uint8_t identify(const struct uart *uart)
{
	if ((uart->ier & IER_RLSI) && uart->errors)
		return IIR_LINE;
	if ((uart->ier & IER_RDI) && uart->rx.count >= trigger(uart))
		return IIR_DATA;
	if ((uart->ier & IER_RDI) && uart->rx.count && uart->timeout)
		return IIR_TIMEOUT;
	if ((uart->ier & IER_THRI) && uart->thre_pending)
		return IIR_THRE;
	if ((uart->ier & IER_MSI) && uart->msr_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

static void uart_update(struct uart *uart)
{
	bool irq = identify(uart) != IIR_NONE;

	if (irq != uart->irq) {
		uart->irq = irq;
		irq_line_set(uart->board, IRQ_COM1, irq);
	}
}

/* Four character times from now on, in which a byte must arrive or be read. */
static void start_timeout(struct uart *uart)
{
	unsigned bits = 7 + (uart->lcr & LCR_LENGTH) + !!(uart->lcr & LCR_STOP) +
			!!(uart->lcr & LCR_PARITY);
	uint64_t ns = 4ull * bits * uart->divisor * NS_PER_SEC / UART_HZ;

	uart->timeout = false;
	if (uart->rx.count && uart->rx.count < trigger(uart) && (uart->ier & IER_RDI))
		timer_set(&uart->timer, time_now() + MIN(ns, TIMEOUT_MAX));
	else
		timer_cancel(&uart->timer);
}

static void timed_out(struct timer *timer)
{
	struct uart *uart = container_of(timer, struct uart, timer);

	if (!board_timer_begin(uart->board, timer))
		return;
	uart->timeout = true;
	uart_update(uart);
	board_timer_end(uart->board);
}

/* True if the guest takes input: by interrupt, or by looking again and again. */
static bool ready(const struct uart *uart)
{
	return !loopback(uart) && ((uart->ier & IER_RDI) || uart->polls >= POLLS_ENOUGH);
}

static void offer_room(struct uart *uart)
{
	if (uart->sink && uart->sink->rx_room && !uart->rx.count && ready(uart))
		uart->sink->rx_room(uart->sink);
}

size_t uart_receive(struct uart *uart, const uint8_t *data, size_t len)
{
	size_t taken = 0;

	if (!ready(uart))
		return 0;
	while (taken < len && uart->rx.count < capacity(uart))
		fifo_put(&uart->rx, data[taken++]);
	if (taken) {
		start_timeout(uart);
		uart_update(uart);
	}
	return taken;
}

/* A byte that the port sends to itself; what the FIFO cannot hold is lost, as on a real line. */
static void loop_byte(struct uart *uart, uint8_t byte)
{
	if (uart->rx.count < capacity(uart)) {
		fifo_put(&uart->rx, byte);
	} else {
		uart->errors |= LSR_OE;
		if (!fifos_on(uart))
			uart->rx.data[uart->rx.head] = byte;
	}
	start_timeout(uart);
	uart->thre_pending = true;
}

static void write_thr(struct uart *uart, uint8_t byte)
{
	uart->polls = 0;
	uart->thre_pending = false;
	if (loopback(uart)) {
		loop_byte(uart, byte);
	} else if (!uart->tx.count && (!uart->sink || uart->sink->put(uart->sink, byte))) {
		uart->thre_pending = true;
	} else {
		if (uart->tx.count >= capacity(uart)) /* the guest did not wait for THRE */
			return;
		fifo_put(&uart->tx, byte);
	}
	uart_update(uart);
}

void uart_tx_ready(struct uart *uart)
{
	if (!uart->tx.count)
		return;
	while (uart->tx.count) {
		if (uart->sink && !uart->sink->put(uart->sink, uart->tx.data[uart->tx.head]))
			return;
		fifo_get(&uart->tx);
	}
	uart->thre_pending = true;
	uart_update(uart);
}

static uint8_t read_rbr(struct uart *uart)
{
	uint8_t byte;

	if (!uart->rx.count)
		return 0;
	byte = fifo_get(&uart->rx);
	start_timeout(uart);
	uart_update(uart);
	offer_room(uart);
	return byte;
}

static void write_ier(struct uart *uart, uint8_t value)
{
	uint8_t enabled = value & IER_BITS & ~uart->ier;

	uart->ier = value & IER_BITS;
	/* Enabling it while the transmitter is empty raises it, even if it was reported before. */
	if ((enabled & IER_THRI) && !uart->tx.count)
		uart->thre_pending = true;
	if (enabled & IER_RDI)
		start_timeout(uart);
	uart_update(uart);
	if (enabled & IER_RDI)
		offer_room(uart);
}

static uint8_t read_iir(struct uart *uart)
{
	uint8_t iir = identify(uart);

	if (iir == IIR_THRE) {
		uart->thre_pending = false;
		uart_update(uart);
	}
	return fifos_on(uart) ? iir | IIR_FIFOS : iir;
}

static void write_fcr(struct uart *uart, uint8_t value)
{
	bool toggled = (value ^ uart->fcr) & FCR_ENABLE;

	/* The other bits count only together with the first. */
	uart->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | 3 << FCR_TRIGGER_SHIFT) : 0;
	if (toggled || (value & (FCR_ENABLE | FCR_CLEAR_RX)) == (FCR_ENABLE | FCR_CLEAR_RX)) {
		uart->rx = (struct uart_fifo){0};
		uart->polls = 0;
	}
	if (toggled || (value & (FCR_ENABLE | FCR_CLEAR_TX)) == (FCR_ENABLE | FCR_CLEAR_TX)) {
		uart->thre_pending |= uart->tx.count != 0;
		uart->tx = (struct uart_fifo){0};
	}
	start_timeout(uart);
	uart_update(uart);
	offer_room(uart);
}

static uint8_t modem_lines(const struct uart *uart)
{
	if (!loopback(uart))
		return MSR_DCD | MSR_DSR | MSR_CTS; /* somebody is always there */
	return (uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (uart->mcr & MCR_OUT1 ? MSR_RI : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct uart *uart, uint8_t value)
{
	uint8_t before = modem_lines(uart), after, changed;

	uart->mcr = value & MCR_BITS;
	after = modem_lines(uart);
	changed = before ^ after;
	uart->msr_delta |= (changed & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4;
	if (changed & before & MSR_RI) /* its trailing edge only */
		uart->msr_delta |= MSR_TERI;
	uart_update(uart);
	offer_room(uart);
}

static uint8_t read_lsr(struct uart *uart)
{
	uint8_t lsr = uart->errors;

	/* A guest that waits for input without interrupts looks here again and again. */
	if (!uart->rx.count && !uart->tx.count && uart->polls < POLLS_ENOUGH &&
	    ++uart->polls == POLLS_ENOUGH)
		offer_room(uart);
	if (uart->rx.count)
		lsr |= LSR_DR;
	if (!uart->tx.count)
		lsr |= LSR_THRE | LSR_TEMT;
	if (uart->errors) {
		uart->errors = 0;
		uart_update(uart);
	}
	return lsr;
}

static uint8_t read_msr(struct uart *uart)
{
	uint8_t msr = modem_lines(uart) | uart->msr_delta;

	if (uart->msr_delta) {
		uart->msr_delta = 0;
		uart_update(uart);
	}
	return msr;
}

static uint64_t uart_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	struct uart *uart = container_of(r, struct uart, region);
	bool dlab = uart->lcr & LCR_DLAB;

	switch (offset) {
	case UART_RBR:
		return dlab ? uart->divisor & 0xff : read_rbr(uart);
	case UART_IER:
		return dlab ? uart->divisor >> 8 : uart->ier;
	case UART_IIR:
		return read_iir(uart);
	case UART_LCR:
		return uart->lcr;
	case UART_MCR:
		return uart->mcr;
	case UART_LSR:
		return read_lsr(uart);
	case UART_MSR:
		return read_msr(uart);
	}
	return uart->scr;
}

static void uart_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
		       uint64_t value)
{
	struct uart *uart = container_of(r, struct uart, region);
	bool dlab = uart->lcr & LCR_DLAB;
	uint8_t byte = (uint8_t)value;

	switch (offset) {
	case UART_THR:
		if (dlab)
			uart->divisor = (uart->divisor & 0xff00) | byte;
		else
			write_thr(uart, byte);
		break;
	case UART_IER:
		if (dlab)
			uart->divisor = (uint16_t)((uart->divisor & 0xff) | byte << 8);
		else
			write_ier(uart, byte);
		break;
	case UART_FCR:
		write_fcr(uart, byte);
		break;
	case UART_LCR:
		uart->lcr = byte;
		break;
	case UART_MCR:
		write_mcr(uart, byte);
		break;
	case UART_SCR:
		uart->scr = byte;
		break;
	}
}

static const struct io_ops uart_ops = {.read = uart_read, .write = uart_write};

status_t uart_init(struct uart *uart, struct io_bus *bus, struct board *board)
{
	uart->board = board;
	uart->sink = NULL;
	timer_init(&uart->timer, timed_out);
	uart->region = (struct io_region){.ops = &uart_ops,
					  .name = "uart",
					  .base = 0x3f8,
					  .len = UART_REGISTERS,
					  .widths = IO_8};
	return io_add_ports(bus, &uart->region);
}

void uart_connect(struct uart *uart, struct uart_sink *sink)
{
	uart->sink = sink;
	uart_tx_ready(uart);
	offer_room(uart);
}

void uart_reset(struct uart *uart)
{
	timer_cancel(&uart->timer);
	uart->rx = uart->tx = (struct uart_fifo){0};
	uart->ier = uart->fcr = uart->lcr = uart->mcr = uart->scr = 0;
	uart->msr_delta = uart->errors = uart->polls = 0;
	uart->divisor = 12; /* 9600 baud */
	uart->thre_pending = uart->timeout = uart->irq = false;
}
