/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8259 pair: priorities, acknowledge cycles, modes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "platform_mock.h"
#include "../../platform/pic.c"

static struct pic pic;
static unsigned outputs; /* calls of the output function */

static void output_changed(struct pic *p)
{
	assert_ptr_equal(p, &pic);
	outputs++;
}

/* As PC systems do: vectors 0x20 and 0x28, nothing masked. */
static void initialize(uint8_t icw4)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, 0x20);
	outb(0xa1, 0x28);
	outb(0x21, 0x04);
	outb(0xa1, 0x02);
	outb(0x21, icw4);
	outb(0xa1, icw4 & ~0x10);
	outb(0x21, 0);
	outb(0xa1, 0);
}

static int setup(void **state __unused)
{
	mock_reset();
	pic = (struct pic){0};
	outputs = 0;
	assert_int_equal(pic_init(&pic, &mock_bus, output_changed), 0);
	pic_reset(&pic);
	initialize(0x01);
	return 0;
}

static void pulse(unsigned irq)
{
	pic_set_line(&pic, irq, true);
	pic_set_line(&pic, irq, false);
}

static void masks_read_back(void **state __unused)
{
	outb(0x21, 0xfb);
	outb(0xa1, 0x55);
	assert_int_equal(inb(0x21), 0xfb);
	assert_int_equal(inb(0xa1), 0x55);
	/* Linux's probe for a PIC, probe_8259A(). */
	outb(0xa1, 0xff);
	outb(0x21, 0xfb);
	assert_int_equal(inb(0x21), 0xfb);
}

static void silent_after_reset(void **state __unused)
{
	pic_reset(&pic);
	for (unsigned irq = 0; irq < 16; irq++)
		pulse(irq);
	assert_false(pic_pending(&pic));
}

static void edge_is_latched_once(void **state __unused)
{
	pulse(4);
	assert_true(pic_pending(&pic));
	assert_int_equal(outputs, 1);
	assert_int_equal(inb(0x20), 0x10);
	assert_int_equal(pic_acknowledge(&pic), 0x24);
	assert_false(pic_pending(&pic));
	pic_set_line(&pic, 4, true);
	assert_false(pic_pending(&pic)); /* in service */
	outb(0x20, 0x20);
	assert_true(pic_pending(&pic));
	assert_int_equal(pic_acknowledge(&pic), 0x24);
	outb(0x20, 0x64);
	assert_false(pic_pending(&pic)); /* still high: no new edge */
}

static void priorities(void **state __unused)
{
	pulse(5);
	assert_int_equal(pic_acknowledge(&pic), 0x25);
	pulse(6);
	assert_false(pic_pending(&pic));
	pulse(1);
	assert_true(pic_pending(&pic));
	assert_int_equal(pic_acknowledge(&pic), 0x21);
	outb(0x20, 0x0b);
	assert_int_equal(inb(0x20), 0x22); /* ISR */
	outb(0x20, 0x0a);
	assert_int_equal(inb(0x20), 0x40); /* IRR */
	outb(0x20, 0x20);
	assert_false(pic_pending(&pic));
	outb(0x20, 0x20);
	assert_int_equal(pic_acknowledge(&pic), 0x26);
}

static void slave_comes_through_the_cascade(void **state __unused)
{
	pulse(12);
	pulse(8);
	assert_true(pic_pending(&pic));
	assert_int_equal(inb(0x20), 0x04);
	assert_int_equal(pic_acknowledge(&pic), 0x28);
	outb(0x20, 0x0b);
	assert_int_equal(inb(0x20), 0x04);
	outb(0xa0, 0x0b);
	assert_int_equal(inb(0xa0), 0x01);
	outb(0xa0, 0x20);
	assert_false(pic_pending(&pic)); /* the master still serves the slave */
	outb(0x20, 0x62);
	assert_int_equal(pic_acknowledge(&pic), 0x2c);
}

static void special_fully_nested(void **state __unused)
{
	initialize(0x11);
	pulse(12);
	assert_int_equal(pic_acknowledge(&pic), 0x2c);
	pulse(9);
	assert_true(pic_pending(&pic)); /* higher in the same slave */
	assert_int_equal(pic_acknowledge(&pic), 0x29);
	pulse(14);
	assert_false(pic_pending(&pic));
}

static void levels_follow_the_line(void **state __unused)
{
	outb(0x4d0, 0xff);
	outb(0x4d1, 0xff);
	assert_int_equal(inb(0x4d0), 0xf8);
	assert_int_equal(inb(0x4d1), 0xde);
	pic_set_line(&pic, 5, true);
	assert_int_equal(pic_acknowledge(&pic), 0x25);
	outb(0x20, 0x20);
	assert_true(pic_pending(&pic)); /* still asserted */
	pic_set_line(&pic, 5, false);
	assert_false(pic_pending(&pic));
	pic_set_line(&pic, 10, true);
	assert_int_equal(pic_acknowledge(&pic), 0x2a);
	pic_set_line(&pic, 10, false);
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	assert_false(pic_pending(&pic));
}

static void spurious(void **state __unused)
{
	assert_int_equal(pic_acknowledge(&pic), 0x27);
	outb(0x20, 0x0b);
	assert_int_equal(inb(0x20), 0); /* not in service */
	pulse(3);
	outb(0x21, 0x08);
	assert_int_equal(pic_acknowledge(&pic), 0x27);
	outb(0x21, 0);
	assert_int_equal(pic_acknowledge(&pic), 0x23);
}

static void automatic_eoi_and_rotation(void **state __unused)
{
	initialize(0x03);
	outb(0x20, 0x80); /* rotate in automatic EOI mode */
	pulse(0);
	assert_int_equal(pic_acknowledge(&pic), 0x20);
	outb(0x20, 0x0b);
	assert_int_equal(inb(0x20), 0);
	pulse(0);
	pulse(7);
	assert_int_equal(pic_acknowledge(&pic), 0x27); /* IR0 is now the lowest */
	assert_int_equal(pic_acknowledge(&pic), 0x20);
	outb(0x20, 0x00);
	pulse(3);
	assert_int_equal(pic_acknowledge(&pic), 0x23);
	pulse(3);
	pulse(4);
	assert_int_equal(pic_acknowledge(&pic), 0x23); /* no longer rotating */
}

static void explicit_rotation(void **state __unused)
{
	outb(0x20, 0xc4); /* IR4 is the lowest */
	pulse(4);
	pulse(5);
	assert_int_equal(pic_acknowledge(&pic), 0x25);
	outb(0x20, 0xa0); /* rotate on non-specific EOI: now IR5 is */
	pulse(5);
	pulse(6);
	assert_int_equal(pic_acknowledge(&pic), 0x26);
	outb(0x20, 0xe6); /* rotate on specific EOI */
	pulse(6);
	assert_int_equal(pic_acknowledge(&pic), 0x24);
	outb(0x20, 0x20);
	assert_int_equal(pic_acknowledge(&pic), 0x25);
	outb(0x20, 0x20);
	assert_int_equal(pic_acknowledge(&pic), 0x26);
}

static void special_mask(void **state __unused)
{
	pulse(2 + 1);
	assert_int_equal(pic_acknowledge(&pic), 0x23);
	pulse(6);
	assert_false(pic_pending(&pic));
	outb(0x21, 0x08);
	assert_false(pic_pending(&pic));
	outb(0x20, 0x68);
	assert_true(pic_pending(&pic)); /* the masked one blocks nobody */
	assert_int_equal(pic_acknowledge(&pic), 0x26);
	outb(0x20, 0x20);
	outb(0x20, 0x0b);
	assert_int_equal(inb(0x20), 0x08); /* ended 6, not the hidden 3 */
	outb(0x20, 0x48);
	pulse(6);
	assert_false(pic_pending(&pic));
}

static void poll(void **state __unused)
{
	outb(0x20, 0x0c);
	assert_int_equal(inb(0x20), 0);
	pulse(1);
	outb(0x20, 0x0c);
	assert_int_equal(inb(0x20), 0x81);
	assert_false(pic_pending(&pic));
	assert_int_equal(inb(0x20), 0); /* IRR again */
	outb(0x20, 0x0b);
	assert_int_equal(inb(0x20), 0x02);
}

static void output_rises_again(void **state __unused)
{
	outb(0x4d0, 0x08);
	initialize(0x03);
	outputs = 0;
	pic_set_line(&pic, 3, true);
	assert_int_equal(outputs, 1);
	pic_acknowledge(&pic);
	assert_int_equal(outputs, 2); /* pending at once, so told again */
	pic_set_line(&pic, 3, false);
	assert_int_equal(outputs, 3);
}

static void initialization(void **state __unused)
{
	pulse(4);
	pulse(5);
	pic_acknowledge(&pic);
	outb(0x20, 0x13); /* single: no ICW3 */
	outb(0x21, 0x47);
	outb(0x21, 0x02);
	outb(0x21, 0x0f);
	assert_int_equal(inb(0x21), 0x0f);
	assert_int_equal(inb(0x20), 0);
	assert_false(pic_pending(&pic));
	pulse(6);
	assert_int_equal(pic_acknowledge(&pic), 0x46);
	assert_int_equal(inb(0x20), 0);
	outb(0x20, 0x10); /* no ICW4 */
	outb(0x21, 0x50);
	outb(0x21, 0x04);
	outb(0x21, 0xaa);
	assert_int_equal(inb(0x21), 0xaa);
}

/* The CPU could not deliver what it acknowledged. */
static void takes_back(void **state __unused)
{
	for (unsigned irq = 0; irq < 16; irq++) {
		uint8_t vector = (uint8_t)(0x20 + irq);

		if (irq == 2)
			continue;
		pulse(irq);
		assert_int_equal(pic_acknowledge(&pic), vector);
		assert_false(pic_pending(&pic));
		outputs = 0;
		pic_take_back(&pic, vector);
		assert_true(pic_pending(&pic));
		assert_int_equal(outputs, 1);
		for (unsigned n = 0; n < 2; n++)
			assert_int_equal(pic.chip[n].isr, 0);
		assert_int_equal(pic_acknowledge(&pic), vector);
		outb(0x20, 0x20);
		if (irq >= 8)
			outb(0xa0, 0x20);
		assert_false(pic_pending(&pic));
	}
	/* One of the slave's that is in service keeps the cascade. */
	pulse(12);
	assert_int_equal(pic_acknowledge(&pic), 0x2c);
	outb(0x20, 0x20);
	pulse(9);
	assert_int_equal(pic_acknowledge(&pic), 0x29);
	pic_take_back(&pic, 0x29);
	assert_int_equal(pic.chip[1].isr, BIT(4));
	assert_int_equal(pic.chip[0].isr, BIT(2));
	assert_int_equal(pic.chip[1].irr, BIT(1));
	initialize(0x01);
	/* A level that fell meanwhile is gone; so is a spurious one, and a vector of nobody's. */
	outb(0x4d0, 0x20);
	pic_set_line(&pic, 5, true);
	assert_int_equal(pic_acknowledge(&pic), 0x25);
	pic_set_line(&pic, 5, false);
	pic_take_back(&pic, 0x25);
	assert_false(pic_pending(&pic));
	assert_int_equal(pic.chip[0].irr, 0);
	assert_int_equal(pic_acknowledge(&pic), 0x27);
	pic_take_back(&pic, 0x27);
	assert_false(pic_pending(&pic));
	pulse(9);
	assert_int_equal(pic_acknowledge(&pic), 0x29);
	pic_take_back(&pic, 0x31);
	pic_take_back(&pic, 0x39);
	pic_take_back(&pic, 0x32);
	assert_false(pic_pending(&pic));
	assert_int_equal(pic.chip[0].isr, BIT(2));
	assert_int_equal(pic.chip[1].isr, BIT(1));
	/* With automatic EOI, it is not in service. */
	initialize(0x03);
	pulse(3);
	assert_int_equal(pic_acknowledge(&pic), 0x23);
	pic_take_back(&pic, 0x23);
	assert_int_equal(pic_acknowledge(&pic), 0x23);
	assert_false(pic_pending(&pic));
}

static void bad_lines_are_ignored(void **state __unused)
{
	pic_set_line(&pic, 2, true);
	pic_set_line(&pic, 16, true);
	pic_set_line(&pic, 1000, true);
	assert_false(pic_pending(&pic));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(masks_read_back, setup),
		cmocka_unit_test_setup(silent_after_reset, setup),
		cmocka_unit_test_setup(edge_is_latched_once, setup),
		cmocka_unit_test_setup(priorities, setup),
		cmocka_unit_test_setup(slave_comes_through_the_cascade, setup),
		cmocka_unit_test_setup(special_fully_nested, setup),
		cmocka_unit_test_setup(levels_follow_the_line, setup),
		cmocka_unit_test_setup(spurious, setup),
		cmocka_unit_test_setup(automatic_eoi_and_rotation, setup),
		cmocka_unit_test_setup(explicit_rotation, setup),
		cmocka_unit_test_setup(special_mask, setup),
		cmocka_unit_test_setup(poll, setup),
		cmocka_unit_test_setup(output_rises_again, setup),
		cmocka_unit_test_setup(initialization, setup),
		cmocka_unit_test_setup(takes_back, setup),
		cmocka_unit_test_setup(bad_lines_are_ignored, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
