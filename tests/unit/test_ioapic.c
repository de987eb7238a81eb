/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O APIC: registers, edges, levels, Remote IRR and both kinds of EOI. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "platform_mock.h"
#include "../../platform/ioapic.c"

static struct ioapic ioapic;
static struct irq_message last; /* most recent message */
static unsigned messages;

static void deliver(struct ioapic *a, const struct irq_message *msg)
{
	assert_ptr_equal(a, &ioapic);
	last = *msg;
	messages++;
}

static int setup(void **state __unused)
{
	mock_reset();
	ioapic = (struct ioapic){0};
	messages = 0;
	assert_int_equal(ioapic_init(&ioapic, &mock_bus, deliver), 0);
	ioapic_reset(&ioapic);
	return 0;
}

static uint32_t reg_read(uint8_t index)
{
	mmio_out(IOAPIC_BASE, 1, index);
	return (uint32_t)mmio_in(IOAPIC_BASE + 0x10, 4);
}

static void reg_write(uint8_t index, uint32_t value)
{
	mmio_out(IOAPIC_BASE, 4, index);
	mmio_out(IOAPIC_BASE + 0x10, 4, value);
}

static void set_entry(unsigned pin, uint64_t entry)
{
	reg_write((uint8_t)(0x11 + 2 * pin), (uint32_t)(entry >> 32));
	reg_write((uint8_t)(0x10 + 2 * pin), (uint32_t)entry);
}

static void registers(void **state __unused)
{
	assert_int_equal(reg_read(1), 0x170020);
	assert_int_equal(reg_read(0), 0);
	reg_write(0, 0xff000000);
	assert_int_equal(reg_read(0), 0x0f000000);
	assert_int_equal(reg_read(2), 0x0f000000);
	for (unsigned pin = 0; pin < 24; pin++)
		assert_int_equal(reg_read((uint8_t)(0x10 + 2 * pin)), 0x10000);
	set_entry(23, 0xffffffffffffffff);
	assert_int_equal(reg_read(0x3e), 0x1afff); /* without the read-only bits */
	assert_int_equal(reg_read(0x3f), 0xff000000);
	for (unsigned index = 0x40; index < 0x100; index++) {
		reg_write((uint8_t)index, 0xffffffff);
		assert_int_equal(reg_read((uint8_t)index), 0);
	}
	for (unsigned index = 3; index < 0x10; index++)
		assert_int_equal(reg_read((uint8_t)index), 0);
	assert_int_equal(messages, 0);
}

static void edges(void **state __unused)
{
	set_entry(4, 0x0500000000000831);
	ioapic_set_line(&ioapic, 4, true);
	ioapic_set_line(&ioapic, 4, true);
	assert_int_equal(messages, 1);
	assert_int_equal(last.vector, 0x31);
	assert_int_equal(last.dest, 5);
	assert_int_equal(last.delivery, IRQ_FIXED);
	assert_true(last.logical);
	assert_false(last.level);
	ioapic_set_line(&ioapic, 4, false);
	assert_int_equal(messages, 1);
	ioapic_set_line(&ioapic, 4, true);
	assert_int_equal(messages, 2);
	assert_int_equal(reg_read(0x18) & 0x4000, 0);
}

static void edge_at_a_masked_pin_is_lost(void **state __unused)
{
	set_entry(2, 0x10030);
	ioapic_set_line(&ioapic, 2, true);
	set_entry(2, 0x30);
	assert_int_equal(messages, 0);
	ioapic_set_line(&ioapic, 2, false);
	ioapic_set_line(&ioapic, 2, true);
	assert_int_equal(messages, 1);
}

static void levels(void **state __unused)
{
	set_entry(9, 0x8041);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(messages, 1);
	assert_true(last.level);
	assert_int_equal(reg_read(0x22), 0xc041);
	set_entry(9, 0x8041); /* Remote IRR is read-only */
	assert_int_equal(reg_read(0x22), 0xc041);
	assert_int_equal(messages, 1);
	ioapic_eoi(&ioapic, 0x40);
	assert_int_equal(messages, 1);
	ioapic_eoi(&ioapic, 0x41);
	assert_int_equal(messages, 2); /* still asserted */
	ioapic_set_line(&ioapic, 9, false);
	ioapic_eoi(&ioapic, 0x41);
	assert_int_equal(messages, 2);
	assert_int_equal(reg_read(0x22), 0x8041);
}

static void level_waits_for_the_mask(void **state __unused)
{
	ioapic_set_line(&ioapic, 16, true);
	set_entry(16, 0x18050);
	assert_int_equal(messages, 0);
	set_entry(16, 0x8050);
	assert_int_equal(messages, 1);
	set_entry(16, 0x18050);
	ioapic_eoi(&ioapic, 0x50);
	assert_int_equal(messages, 1); /* masked meanwhile */
	set_entry(16, 0x8050);
	assert_int_equal(messages, 2);
}

static void eoi_register(void **state __unused)
{
	set_entry(10, 0xa060); /* active low: the same here */
	set_entry(11, 0x8060);
	ioapic_set_line(&ioapic, 10, true);
	ioapic_set_line(&ioapic, 11, true);
	assert_int_equal(messages, 2);
	ioapic_set_line(&ioapic, 11, false);
	mmio_out(IOAPIC_BASE + 0x40, 1, 0x60); /* 32 bits only */
	assert_int_equal(messages, 2);
	mmio_out(IOAPIC_BASE + 0x40, 4, 0x60);
	assert_int_equal(messages, 3); /* both ended, one came again */
	assert_int_equal(reg_read(0x26), 0x8060);
}

static void edge_mode_clears_remote_irr(void **state __unused)
{
	set_entry(9, 0x8041);
	ioapic_set_line(&ioapic, 9, true);
	ioapic_set_line(&ioapic, 9, false);
	set_entry(9, 0x10041);
	assert_int_equal(reg_read(0x22), 0x10041);
	set_entry(9, 0x8041);
	assert_int_equal(reg_read(0x22), 0x8041);
}

static void other_delivery_modes_are_edges(void **state __unused)
{
	set_entry(1, 0x8400); /* NMI */
	ioapic_set_line(&ioapic, 1, true);
	assert_int_equal(messages, 1);
	assert_int_equal(last.delivery, IRQ_NMI);
	assert_false(last.level);
	assert_int_equal(reg_read(0x12), 0x8400);
	set_entry(0, 0x700); /* ExtINT */
	ioapic_set_line(&ioapic, 0, true);
	assert_int_equal(last.delivery, IRQ_EXTINT);
	set_entry(3, 0x300); /* reserved */
	ioapic_set_line(&ioapic, 3, true);
	assert_int_equal(last.delivery, 3);
	set_entry(5, 0x81ff);
	ioapic_set_line(&ioapic, 5, true);
	assert_true(last.level);
	assert_int_equal(reg_read(0x1a), 0xc1ff);
}

static void odd_accesses(void **state __unused)
{
	mmio_out(IOAPIC_BASE, 4, 0x10);
	mmio_out(IOAPIC_BASE + 0x10, 2, 0x8041);
	assert_int_equal(reg_read(0x10), 0x10000);
	mmio_out(IOAPIC_BASE + 0x10, 8, 0);
	assert_int_equal(reg_read(0x10), 0x10000);
	assert_int_equal(mmio_in(IOAPIC_BASE, 4), 0x10);
	assert_int_equal(mmio_in(IOAPIC_BASE + 0x20, 4), 0);
	ioapic_set_line(&ioapic, 24, true);
	ioapic_set_line(&ioapic, 1u << 31, true);
	assert_int_equal(ioapic.lines, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(registers, setup),
		cmocka_unit_test_setup(edges, setup),
		cmocka_unit_test_setup(edge_at_a_masked_pin_is_lost, setup),
		cmocka_unit_test_setup(levels, setup),
		cmocka_unit_test_setup(level_waits_for_the_mask, setup),
		cmocka_unit_test_setup(eoi_register, setup),
		cmocka_unit_test_setup(edge_mode_clears_remote_irr, setup),
		cmocka_unit_test_setup(other_delivery_modes_are_edges, setup),
		cmocka_unit_test_setup(odd_accesses, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
