/* SPDX-License-Identifier: BSD-2-Clause */
/* A whole board on the real bus: wiring of interrupts, life cycle, and a guest that tries it all.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define MOCK_REAL_BUS
#include "platform_mock.h"
#include "../../kernel/iobus.c"
#include "../../lib/status.c"
#include "../../platform/acpi_pm.c"
#include "../../platform/board.c"
#include "../../platform/calendar.c"
#include "../../platform/ioapic.c"
#include "../../platform/irq.c"
#include "../../platform/pci.c"
#include "../../platform/pci_bar.c"
#include "../../platform/pic.c"
#include "../../platform/pit.c"
#include "../../platform/reset.c"
#include "../../platform/rtc.c"
#include "../../platform/uart.c"

static struct irq_message last; /* most recent message to the local APICs */
static unsigned messages, extints, poweroffs, resets, debug_exits, log_lines;
static unsigned allocated; /* pages_alloc() not yet freed */
static bool out_of_memory;
static bool signalled; /* messages come from irq_msi(), which wants no lock */

void *pages_alloc(size_t bytes, uint32_t owner)
{
	assert_int_equal(owner, OWNER_VM_CORE);
	allocated += !out_of_memory;
	return out_of_memory ? NULL : calloc(1, bytes);
}

void pages_free(void *va, size_t bytes, uint32_t owner)
{
	assert_int_equal(owner, OWNER_VM_CORE);
	assert_true(bytes > 0);
	allocated -= va != NULL;
	free(va);
}

void vm_log(struct vm *v, enum log_level level __unused, const char *fmt __unused, ...)
{
	assert_ptr_equal(v, &mock_vm);
	log_lines++;
}

void vm_poweroff(struct vm *v)
{
	assert_ptr_equal(v, &mock_vm);
	poweroffs++;
}

void vm_reset(struct vm *v)
{
	assert_ptr_equal(v, &mock_vm);
	resets++;
}

void vm_debug_exit(struct vm *v, int status __unused)
{
	assert_ptr_equal(v, &mock_vm);
	debug_exits++;
}

void lapic_deliver(struct vm *v, const struct irq_message *msg)
{
	assert_ptr_equal(v, &mock_vm);
	if (!signalled)
		assert_chips_held();
	last = *msg;
	messages++;
}

void lapic_extint_changed(struct vm *v)
{
	assert_ptr_equal(v, &mock_vm);
	assert_chips_held();
	extints++;
}

static int setup(void **state __unused)
{
	mock_reset();
	messages = extints = poweroffs = resets = debug_exits = log_lines = 0;
	out_of_memory = signalled = false;
	mock_vm.settings = (struct vm_settings){.memory = GiB, .cpus = 1, .debug_exit = 0xf4};
	assert_int_equal(io_bus_init(&mock_vm.io, &mock_vm.chips), 0);
	assert_int_equal(board_create(&mock_vm), 0);
	return 0;
}

static int teardown(void **state __unused)
{
	board_destroy(&mock_vm);
	assert_null(mock_vm.board);
	board_destroy(&mock_vm); /* harmless */
	io_bus_free(&mock_vm.io);
	assert_int_equal(allocated, 0);
	assert_int_equal(armed_timers(), 0);
	return 0;
}

static void set_entry(unsigned pin, uint32_t low)
{
	mmio_out(IOAPIC_BASE, 4, 0x10 + 2 * pin);
	mmio_out(IOAPIC_BASE + 0x10, 4, low);
}

static void lines_reach_both_controllers(void **state __unused)
{
	struct board *b = mock_vm.board;

	for (unsigned line = 0; line < IRQ_LINES; line++) {
		unsigned pin = line == 0 ? 2 : line;

		with_chips(irq_line_set(b, line, true));
		assert_int_equal(b->ioapic.lines, line == 2 ? 0 : BIT(pin));
		assert_int_equal(b->pic.chip[0].lines | b->pic.chip[1].lines << 8,
				 line == 2 || line >= 16 ? 0 : BIT(line));
		with_chips(irq_line_set(b, line, false));
		assert_int_equal(b->ioapic.lines, 0);
	}
	with_chips(irq_line_set(b, 24, true));
	with_chips(irq_line_set(b, UINT32_MAX, true));
	assert_int_equal(b->ioapic.lines, 0);
	assert_int_equal(messages + extints, 0); /* all masked */
}

static void timer_interrupts(void **state __unused)
{
	set_entry(2, 0x30);
	outb(0x43, 0x34);
	outb(0x40, 0xa9);
	outb(0x40, 0x04); /* 1 ms */
	run_for(10 * NS_PER_MS);
	assert_int_equal(messages, 10);
	assert_int_equal(last.vector, 0x30);
	assert_int_equal(extints, 0);
	set_entry(2, 0x10000);
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 0x04);
	outb(0x21, 0x01);
	outb(0x21, 0xfe);
	run_for(NS_PER_MS);
	assert_int_equal(extints, 1);
	with_chips(assert_int_equal(pic_acknowledge(&mock_vm.board->pic), 0x20));
	assert_int_equal(extints, 1); /* whoever acknowledges knows that INT fell */
}

static void sci_is_level_triggered(void **state __unused)
{
	set_entry(9, 0x8049);
	out(0x602, 2, 0x0100);
	with_chips(acpi_pm_power_button(&mock_vm.board->acpi_pm));
	assert_int_equal(messages, 1);
	with_chips(ioapic_eoi(&mock_vm.board->ioapic, 0x49));
	assert_int_equal(messages, 2);
	out(0x600, 2, 0x0100);
	with_chips(ioapic_eoi(&mock_vm.board->ioapic, 0x49));
	assert_int_equal(messages, 2);
}

static void message_signalled(void **state __unused)
{
	signalled = true;
	irq_msi(&mock_vm, 0xfee12004, 0x4131);
	assert_int_equal(messages, 1);
	assert_int_equal(last.dest, 0x12);
	assert_int_equal(last.vector, 0x31);
	assert_int_equal(last.delivery, IRQ_LOWEST_PRIORITY);
	assert_true(last.logical);
	assert_false(last.level);
	irq_msi(&mock_vm, 0xfed12004, 0x31);
	irq_msi(&mock_vm, 0x1fee12004, 0x31);
	assert_int_equal(messages, 1);
}

static void resets_to_power_on(void **state __unused)
{
	static struct board fresh;

	fresh = *mock_vm.board;
	/* Some of everything. */
	outb(0x43, 0x34);
	outb(0x40, 1);
	outb(0x40, 1);
	outb(0x70, 0x0b);
	outb(0x71, 0x72);
	outb(0x3f9, 0x0f);
	out(0x602, 2, 0xffff);
	out(0xcf8, 4, 0x80000004);
	out(0xcfc, 2, 0xffff);
	outb(0x61, 0x03);
	outb(0x92, 0x0a);
	outb(0xcf9, 0x02);
	outb(0x21, 0);
	outb(0x4d0, 0xff);
	set_entry(4, 0x8031);
	with_chips(irq_line_set(mock_vm.board, 4, true));
	with_chips(acpi_pm_power_button(&mock_vm.board->acpi_pm));
	assert_int_not_equal(armed_timers(), 0);
	board_reset(&mock_vm);
	assert_int_equal(armed_timers(), 0);
	assert_memory_equal(&mock_vm.board->pic.chip, &fresh.pic.chip, sizeof(fresh.pic.chip));
	assert_memory_equal(&mock_vm.board->ioapic.entry, &fresh.ioapic.entry,
			    sizeof(fresh.ioapic.entry));
	assert_memory_equal(&mock_vm.board->pit.channel, &fresh.pit.channel,
			    sizeof(fresh.pit.channel));
	assert_memory_equal(&mock_vm.board->rtc.cmos, &fresh.rtc.cmos, sizeof(fresh.rtc.cmos));
	assert_memory_equal(&mock_vm.board->uart, &fresh.uart, offsetof(struct uart, timer));
	assert_memory_equal(&mock_vm.board->pci.bridge.config, &fresh.pci.bridge.config, 256);
	assert_int_equal(inb(0x61) & 0x0f, 0);
	assert_int_equal(inb(0x92), 0x02);
	assert_int_equal(inb(0xcf9), 0);
	assert_int_equal(in(0x600, 4), 0);
	assert_int_equal(in(0xcf8, 4), 0);
	assert_int_equal(mock_vm.board->ioapic.lines, 0);
}

static void creation_fails_cleanly(void **state __unused)
{
	struct vm *v = &mock_vm;
	unsigned before;

	board_destroy(v);
	io_bus_free(&v->io);
	before = allocated;
	assert_int_equal(io_bus_init(&v->io, &v->chips), 0);
	v->settings.debug_exit = 0x3f8;
	assert_int_equal(board_create(v), -S_EXIST);
	assert_int_equal(log_lines, 1);
	assert_null(v->board);
	io_bus_free(&v->io);
	assert_int_equal(allocated, before);
	assert_int_equal(io_bus_init(&v->io, &v->chips), 0);
	out_of_memory = true;
	assert_int_equal(board_create(v), -S_NOMEM);
	out_of_memory = false;
	v->settings.debug_exit = 0xf4;
	assert_int_equal(board_create(v), 0);
}

static bool console_put(struct uart_sink *sink __unused, uint8_t byte)
{
	return byte & 1;
}

static struct uart_sink console = {.put = console_put};

/* Ports that belong to the board, so that random accesses meet somebody. */
static uint16_t random_port(void)
{
	const struct io_region *r = mock_bus.port[1 + (unsigned)rand() % (mock_bus.ports - 1)];

	if (rand() % 16 == 0)
		return (uint16_t)rand();
	return (uint16_t)(r->base - 3 + (unsigned)rand() % (r->len + 6));
}

/*
 * A guest that accesses every chip at random for a million steps, while time passes, lines change
 * and its CPU acknowledges. The sanitizers watch; timers must stay bounded in number and rate.
 */
static void hostile_guest(void **state __unused)
{
	static const unsigned sizes[] = {1, 1, 1, 2, 4};
	uint64_t start = mock_now;
	uint8_t data[16] = {0};

	srand(4711);
	with_chips(uart_connect(&mock_vm.board->uart, &console));
	for (unsigned step = 0; step < 1000000; step++) {
		unsigned size = sizes[(unsigned)rand() % ARRAY_SIZE(sizes)];
		uint32_t value = (uint32_t)rand() << 16 ^ (uint32_t)rand();
		uint16_t port = random_port();

		switch (rand() % 10) {
		case 0:
		case 1:
		case 2:
			in(port, size);
			break;
		case 3:
		case 4:
		case 5:
			for (unsigned n = rand() % 32 ? 1 : 40; n; n--) /* sometimes a burst */
				out(port, size, value);
			break;
		case 6:
			mmio_out(IOAPIC_BASE + ((unsigned)rand() & 0x53), 1u << rand() % 4, value);
			mmio_in(IOAPIC_BASE + ((unsigned)rand() & 0xfff), 1u << rand() % 4);
			break;
		case 7:
			run_for((uint64_t)rand() % (rand() % 8 ? 100 * NS_PER_US : NS_PER_SEC));
			assert_in_range(armed_timers(), 0, 4);
			break;
		case 8:
			with_chips(irq_line_set(mock_vm.board, (unsigned)rand() % 26, value & 1));
			with_chips(ioapic_eoi(&mock_vm.board->ioapic, (uint8_t)value));
			if (value & 2)
				with_chips(pic_acknowledge(&mock_vm.board->pic));
			break;
		case 9:
			with_chips(uart_tx_ready(&mock_vm.board->uart));
			with_chips(uart_receive(&mock_vm.board->uart, data, (unsigned)rand() % 17));
			if (value % 1000 == 0)
				with_chips(acpi_pm_power_button(&mock_vm.board->acpi_pm));
			if (value % 5000 == 0)
				board_reset(&mock_vm);
			break;
		}
		assert_in_range(mock_vm.board->uart.rx.count, 0, UART_FIFO);
		assert_in_range(mock_vm.board->uart.tx.count, 0, UART_FIFO);
		assert_true(mock_vm.board->pic.intr == pic_pending(&mock_vm.board->pic));
	}
	/* Each of the four timers at most every 100 us. */
	assert_in_range(mock_fired, 1, 4 * (mock_now - start) / (100 * NS_PER_US));
	assert_true(messages && extints && poweroffs && resets && debug_exits);
	assert_int_equal(log_lines, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_reach_both_controllers, setup, teardown),
		cmocka_unit_test_setup_teardown(timer_interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(sci_is_level_triggered, setup, teardown),
		cmocka_unit_test_setup_teardown(message_signalled, setup, teardown),
		cmocka_unit_test_setup_teardown(resets_to_power_on, setup, teardown),
		cmocka_unit_test_setup_teardown(creation_fails_cleanly, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_guest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
