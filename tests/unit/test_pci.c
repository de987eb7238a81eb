/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI's configuration ports with functions behind them, and the reset ports among and beside them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "platform_mock.h"
#include "../../platform/pci.c"
#include "../../platform/pci_bar.c"
#include "../../platform/reset.c"

static struct pci pci;
static struct reset reset;
static unsigned resets, lines;
static int debug_status;

void irq_line_set(struct board *board, unsigned line, bool asserted)
{
	assert_null(board);
	assert_in_range(line, IRQ_PCI, IRQ_PCI + 3);
	assert_true(!(lines & 1u << line) == asserted);
	lines ^= 1u << line;
}

void vm_reset(struct vm *vm)
{
	assert_null(vm);
	resets++;
}

void vm_debug_exit(struct vm *vm, int status)
{
	assert_null(vm);
	debug_status = status;
}

static int setup(void **state __unused)
{
	mock_reset();
	resets = lines = 0;
	debug_status = -1;
	pci = (struct pci){0};
	reset = (struct reset){0};
	assert_int_equal(pci_init(&pci, &mock_bus, NULL, &reset), 0);
	assert_int_equal(reset_init(&reset, &mock_bus, NULL, 0xf4), 0);
	pci_reset(&pci);
	reset_reset(&reset);
	return 0;
}

static void select_register(unsigned bus, unsigned slot, unsigned fn, unsigned offset)
{
	out(0xcf8, 4, 0x80000000 | bus << 16 | slot << 11 | fn << 8 | offset);
}

/* Linux's pci_check_type1() and pci_sanity_check(). */
static void linux_probe(void **state __unused)
{
	outb(0xcfb, 0x01);
	assert_int_equal(in(0xcf8, 4), 0);
	out(0xcf8, 4, 0x80000000);
	assert_int_equal(in(0xcf8, 4), 0x80000000);
	select_register(0, 0, 0, 0x0a);
	assert_int_equal(in(0xcf8, 4), 0x80000008);
	assert_int_equal(in(0xcfc + 2, 2), 0x0600);
	select_register(0, 0, 0, 0);
	assert_int_equal(in(0xcfc, 4), 0x00081b36);
	select_register(0, 0, 0, 0x0c);
	assert_int_equal(in(0xcfc + 2, 1), 0); /* one function */
	/* And pci_check_type2(), which must find nothing. */
	outb(0xcfb, 0);
	outb(0xcf8, 0);
	outb(0xcfa, 0);
	assert_int_equal(inb(0xcf8), 0xff);
	assert_int_equal(inb(0xcfa), 0xff);
}

static void everything_else_is_empty(void **state __unused)
{
	for (unsigned slot = 0; slot < 32; slot++) {
		for (unsigned fn = !slot; fn < 8; fn++) {
			select_register(0, slot, fn, 0);
			assert_int_equal(in(0xcfc, 4), 0xffffffff);
			out(0xcfc, 4, 0);
		}
	}
	for (unsigned bus = 1; bus < 256; bus++) {
		select_register(bus, 0, 0, 0);
		assert_int_equal(in(0xcfc, 4), 0xffffffff);
		assert_int_equal(in(0xcfd, 1), 0xff);
		out(0xcfc, 2, 0);
	}
	out(0xcf8, 4, 0);
	assert_int_equal(in(0xcfc, 4), 0xffffffff); /* not enabled */
}

static unsigned refreshed, written, function_resets;

static void count_refresh(struct pci_function *fn, unsigned offset, unsigned size)
{
	assert_true(offset + size <= PCI_CONFIG_SIZE);
	refreshed++;
	pci_config_set(fn, 0x40, 4, refreshed);
}

static void count_write(struct pci_function *fn __unused, unsigned offset, unsigned size)
{
	assert_true(offset + size <= PCI_CONFIG_SIZE);
	written = offset << 8 | size;
}

static void count_reset(struct pci_function *fn __unused)
{
	function_resets++;
}

static const struct pci_ops test_ops = {
	.refresh = count_refresh, .written = count_write, .reset = count_reset};

static void functions(void **state __unused)
{
	struct pci_function fn = {.ops = &test_ops}, other = {0};

	refreshed = 0;
	assert_int_equal(pci_add(&pci, 3, &fn), 0);
	assert_int_equal(pci_add(&pci, 3, &other), -S_EXIST);
	assert_int_equal(pci_add(&pci, 32, &other), -S_INVAL);
	assert_int_equal(pci_add(&pci, 0, &other), -S_EXIST);
	pci_config_set(&fn, 0, 4, 0x10411af4);
	pci_config_set(&fn, 0x10, 4, 0xfebf0000);
	fn.writable[0x12] = 0xff;
	fn.writable[0x13] = 0xff;
	fn.writable[0xff] = 0x0f;
	select_register(0, 3, 0, 0x10);
	out(0xcfc, 4, 0xffffffff);
	assert_int_equal(written, 0x1004);
	assert_int_equal(in(0xcfc, 4), 0xffff0000);
	out(0xcff, 1, 0x12);
	assert_int_equal(written, 0x1301);
	assert_int_equal(in(0xcfc, 4), 0x12ff0000);
	assert_int_equal(in(0xcfd, 2), 0xff00);
	select_register(0, 3, 0, 0xfc);
	out(0xcfe, 2, 0xffff);
	assert_int_equal(in(0xcfc, 4), 0x0f000000);
	refreshed = 41;
	select_register(0, 3, 0, 0x40);
	assert_int_equal(in(0xcfc, 4), 42);
	/* Across the two registers: nobody's. */
	written = 0;
	out(0xcfa, 4, 0);
	assert_int_equal(written, 0);
	assert_int_equal(in(0xcfa, 4), 0xffffffff);
	pci_reset(&pci);
	assert_int_equal(function_resets, 1);
	assert_int_equal(in(0xcf8, 4), 0);
	pci_config_set(&fn, 0xff, 1, 0xf0);
	assert_int_equal(pci_config_get(&fn, 0xfe, 4), 0xf000); /* not beyond the end */
	pci_config_set(&fn, 0xfe, 4, 0);
}

static void bridge_header_is_read_only(void **state __unused)
{
	for (unsigned offset = 0; offset < 256; offset += 4) {
		select_register(0, 0, 0, offset);
		out(0xcfc, 4, 0xffffffff);
		assert_int_equal(in(0xcfc, 4), offset == 0   ? 0x00081b36
					       : offset == 4 ? 0x00000547
					       : offset == 8 ? 0x06000000
							     : 0);
	}
	pci_reset(&pci);
	select_register(0, 0, 0, 4);
	assert_int_equal(in(0xcfc, 4), 0);
}

static void shared_interrupt_lines(void **state __unused)
{
	static struct pci_function fn[9];

	for (unsigned slot = 1; slot < 9; slot++)
		assert_int_equal(pci_add(&pci, slot, &fn[slot]), 0);
	pci_intx(&fn[1], true);
	pci_intx(&fn[1], true);
	assert_int_equal(lines, 1 << 17);
	pci_intx(&fn[5], true);
	pci_intx(&fn[1], false);
	assert_int_equal(lines, 1 << 17);
	pci_intx(&fn[5], false);
	assert_int_equal(lines, 0);
	pci_intx(&fn[8], true);
	pci_intx(&fn[3], true);
	assert_int_equal(lines, 1 << 16 | 1 << 19);
}

static void reset_control(void **state __unused)
{
	assert_int_equal(inb(0xcf9), 0);
	outb(0xcf9, 0x02);
	assert_int_equal(inb(0xcf9), 0x02);
	assert_int_equal(resets, 0);
	outb(0xcf9, 0x06);
	assert_int_equal(resets, 1);
	out(0xcf8, 4, 0x80000600); /* wider accesses are PCI's */
	assert_int_equal(resets, 1);
	assert_int_equal(in(0xcf8, 4), 0x80000600);
	out(0xcf8, 2, 0x0600);
	assert_int_equal(resets, 1);
}

static void keyboard_and_port_92(void **state __unused)
{
	assert_int_equal(inb(0x64), 0xff);
	outb(0x64, 0xaa);
	outb(0x64, 0xd1);
	outb(0x64, 0xff);
	assert_int_equal(resets, 0);
	outb(0x64, 0xfe);
	assert_int_equal(resets, 1);
	assert_int_equal(inb(0x92), 0x02);
	outb(0x92, 0x00);
	assert_int_equal(inb(0x92), 0x02);
	assert_int_equal(resets, 1);
	outb(0x92, 0x03);
	assert_int_equal(resets, 2);
	outb(0x92, 0x03); /* only when it rises */
	assert_int_equal(resets, 2);
	outb(0x80, 0x55);
	assert_int_equal(inb(0x80), 0xff);
}

static void debug_exit(void **state __unused)
{
	static struct reset other;

	assert_int_equal(inb(0xf4), 0);
	assert_int_equal(debug_status, -1);
	outb(0xf4, 0x10);
	assert_int_equal(debug_status, 0x10);
	out(0xf4, 2, 0x1234);
	assert_int_equal(debug_status, 0x1234);
	out(0xf4, 4, 7);
	assert_int_equal(debug_status, 7);
	mock_reset();
	assert_int_equal(reset_init(&other, &mock_bus, NULL, 0), 0);
	outb(0xf4, 1);
	assert_int_equal(debug_status, 7);
	mock_reset();
	assert_int_equal(reset_init(&other, &mock_bus, NULL, 0xfffe), -S_INVAL);
	mock_reset();
	assert_int_equal(reset_init(&other, &mock_bus, NULL, 0x90), -S_EXIST);
	mock_reset();
	assert_int_equal(reset_init(&other, &mock_bus, NULL, 0xfffc), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(linux_probe, setup),
		cmocka_unit_test_setup(everything_else_is_empty, setup),
		cmocka_unit_test_setup(functions, setup),
		cmocka_unit_test_setup(bridge_header_is_read_only, setup),
		cmocka_unit_test_setup(shared_interrupt_lines, setup),
		cmocka_unit_test_setup(reset_control, setup),
		cmocka_unit_test_setup(keyboard_and_port_92, setup),
		cmocka_unit_test_setup(debug_exit, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
