/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers of a local APIC in the page that its guest reads: copies, modes, reset, writes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "lapic_mock.h"

static struct lapic *const l = &apic[1];
static uint32_t *const page = pages[1];

static void is_published(uint32_t reg, uint32_t value)
{
	if (page[reg / 4] != value)
		fail_msg("register %#x: %#x, not %#x", reg, page[reg / 4], value);
	if (!lapic_x2apic(l) && reg != 0x390)
		assert_int_equal(rd(1, reg), value);
}

static void holds_copies_alone(struct lapic *of)
{
	for (unsigned i = 0; i < PAGE_SIZE / 4; i++) {
		uint32_t reg = 4 * i;
		bool has_copy = reg % 0x10 == 0 && (reg < 0x100 || reg >= 0x280);

		assert_int_equal(of->page[i], has_copy ? lapic_read(of, reg) : 0);
	}
}

static void copies_in_xapic_mode(void **state __unused)
{
	is_published(0x20, 1u << 24);
	is_published(0x30, 0x50014);
	is_published(0xe0, 0xffffffff);
	is_published(0xf0, 0x1ff);
	for (uint32_t reg = 0x320; reg <= 0x370; reg += 0x10)
		is_published(reg, 0x10000);
	/* As written, less what cannot be. */
	wr(1, 0xd0, 0x12345678);
	is_published(0xd0, 0x12000000);
	wr(1, 0xe0, 0);
	is_published(0xe0, 0x0fffffff);
	wr(1, 0x320, 0xffffffff);
	is_published(0x320, 0x700ff);
	wr(1, 0x370, 0xe1);
	is_published(0x370, 0xe1);
	wr(1, 0x320, 0x10040);
	wr(1, 0x380, 5000);
	is_published(0x380, 5000);
	wr(1, 0x3e0, 0xff);
	is_published(0x3e0, 0xb);
	/* Errors show after a write of ESR. */
	wr(1, 0x300, 0x40005);
	is_published(0x280, 0);
	wr(1, 0x280, 0);
	is_published(0x280, 0x20);
	wr(1, 0xf0, 0xfe);
	is_published(0xf0, 0xfe);
	is_published(0x370, 0x100e1);
	/* The command register has two halves; it is never busy. */
	wr(1, 0x310, 0x02ffffff);
	wr(1, 0x300, 0xfffc5055);
	assert_int_equal(page[0x300 / 4], 0x000c4055);
	assert_int_equal(page[0x304 / 4], 0);
	assert_int_equal(page[0x310 / 4], 0x02ffffff);
}

/* SDM vol. 3, 11.12.1.2, 11.12.9 and 11.12.10.2. */
static void copies_in_x2apic_mode(void **state __unused)
{
	assert_false(asked(1));
	x2apic(1);
	assert_true(asked(1));
	is_published(0x20, 1);
	is_published(0xd0, 2);
	assert_int_equal(wrmsr(1, 0x830, 0x300004855), MSR_OK);
	assert_int_equal(page[0x300 / 4], 0x4855);
	assert_int_equal(page[0x304 / 4], 3);
	assert_int_equal(page[0x310 / 4], 0);
	assert_int_equal(wrmsr(1, 0x835, 0x8700), MSR_OK);
	is_published(0x350, 0x8700);
}

static void modes_keep_what_waits(void **state __unused)
{
	lapic_request(l, 0x45, false);
	post(NULL);
	set_page_bit(0x100, 0x33, true);
	page[0x80 / 4] = 0x20;
	x2apic(1);
	assert_int_equal(page_top(0x200), 0x45);
	assert_int_equal(page_top(0x100), 0x33);
	assert_int_equal(lapic_tpr(l), 0x20);
	assert_true(lapic_is_x2apic(l) && !lapic_is_xapic(l));
	/* Off: as after a reset, and still on the page. */
	lapic_request(l, 0x90, false);
	assert_int_equal(wrmsr(1, MSR_APIC_BASE, LAPIC_GPA), MSR_OK);
	assert_true(!lapic_is_x2apic(l) && !lapic_is_xapic(l));
	assert_true(lapic_is_virtualized(l));
	assert_int_equal(page_top(0x200), -1);
	assert_int_equal(page_top(0x100), -1);
	assert_int_equal(post(NULL), 0);
	assert_int_equal(page[0x20 / 4], 1u << 24);
	assert_int_equal(wrmsr(1, MSR_APIC_BASE, LAPIC_GPA | BIT(11)), MSR_OK);
	assert_true(lapic_is_xapic(l));
	is_published(0x20, 1u << 24);
	is_published(0xf0, 0xff);
}

static void reset_clears_the_page(void **state __unused)
{
	bool changed;

	post(&changed);
	memset(page, 0xff, PAGE_SIZE);
	lapic_request(l, 0x90, true);
	lapic_reset(l);
	holds_copies_alone(l);
	is_published(0x350, 0x10000);
	assert_int_equal(post(&changed), 0);
	assert_true(changed);
	for (unsigned word = 0; word < 4; word++)
		assert_int_equal(lapic_page_eoi_exits(l, word), 0);
}

/* The guest wrote to the page and an exit follows (SDM vol. 3, 30.4.3.3). */
static void writes(void **state __unused)
{
	enable(2);
	enable(3);
	/* The upper half of a command is in the page alone until the lower one is written. */
	page[0x310 / 4] = 3u << 24;
	page[0x300 / 4] = 0x4077;
	lapic_page_written(l, 0x300);
	assert_int_equal(take(3), 0x77);
	assert_int_equal(take(2), -1);
	assert_int_equal(page[0x310 / 4], 3u << 24);
	page[0x310 / 4] = 2u << 24;
	lapic_page_written(l, 0x300);
	assert_int_equal(take(2), 0x77);
	/* Registers get what they take, and the copies are put right. */
	page[0x20 / 4] = 0x55000000;
	lapic_page_written(l, 0x20);
	is_published(0x20, 1u << 24);
	page[0xd0 / 4] = 0x08ffffff;
	lapic_page_written(l, 0xd0);
	is_published(0xd0, 0x08000000);
	assert_int_equal(l->ldr, 0x08000000);
	page[0x320 / 4] = 0x400ff;
	lapic_page_written(l, 0x320);
	assert_int_equal(l->lvt[LVT_TIMER], 0x400ff);
	/* A vector that there is not, to oneself: an error in x2APIC mode, no register in the
	 * other. */
	lapic_page_written(l, 0x280);
	page[0x3f0 / 4] = 0x0f;
	lapic_page_written(l, 0x3f0);
	assert_int_equal(l->esr_pending, 0);
	x2apic(1);
	lapic_page_written(l, 0x3f0);
	assert_int_equal(l->esr_pending, 0x20);
	assert_int_equal(post(NULL), 0);
	page[0xf0 / 4] = 0x42;
	lapic_page_written(l, 0xf0);
	assert_int_equal(l->svr, 0x42);
	is_published(0x320, 0x500ff);
}

/* Its contents do not matter, nor does an offset that no CPU would give. */
static void any_page_will_do(void **state __unused)
{
	memset(pages[3], 0xff, PAGE_SIZE);
	lapic_use_page(&apic[3], pages[3]);
	holds_copies_alone(&apic[3]);
	for (uint32_t reg = 0; reg < 2 * PAGE_SIZE; reg += 0x10)
		lapic_page_written(&apic[3], reg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(copies_in_xapic_mode, setup_page),
		cmocka_unit_test_setup(copies_in_x2apic_mode, setup_page),
		cmocka_unit_test_setup(modes_keep_what_waits, setup_page),
		cmocka_unit_test_setup(reset_clears_the_page, setup_page),
		cmocka_unit_test_setup(writes, setup_page),
		cmocka_unit_test_setup(any_page_will_do, setup_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
