/* SPDX-License-Identifier: BSD-2-Clause */
/* A local APIC on the page of a CPU that delivers interrupts itself: posted, ended, copied, asleep.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "lapic_mock.h"

/* vCPU 1 has a page; vCPU 2 has none. */
static struct lapic *const l = &apic[1];
static uint32_t *const page = pages[1];

/* What the CPU does (SDM vol. 3, 30.1.3 and 30.2.2): the interrupt that it delivers, or -1. */
static int cpu_delivers(void)
{
	int irr = page_top(0x200), isr = page_top(0x100);
	unsigned service = isr < 0 ? 0 : isr & 0xf0, tpr = page[0x80 / 4] & 0xf0;

	if (irr < 0 || (unsigned)(irr & 0xf0) <= MAX(service, tpr))
		return -1;
	set_page_bit(0x200, irr, false);
	set_page_bit(0x100, irr, true);
	return irr;
}

/* SDM vol. 3, 30.1.4: EOI without an exit, unless the bitmap wants one. */
static void cpu_ends(void)
{
	int isr = page_top(0x100);

	if (isr < 0)
		return;
	set_page_bit(0x100, isr, false);
	if (lapic_page_eoi_exits(l, isr / 64) >> isr % 64 & 1)
		lapic_page_ended(l, isr);
}

static void every_vector_is_posted(void **state __unused)
{
	bool changed;

	post(&changed);
	for (unsigned vector = 16; vector < 256; vector++) {
		bool level = vector % 3 == 0;

		asked(1);
		lapic_request(l, vector, level);
		assert_true(asked(1));
		assert_false(page_bit(0x200, vector));
		assert_int_equal(post(&changed), 1);
		assert_true(changed);
		assert_true(page_bit(0x200, vector));
		assert_int_equal(page_bit(0x180, vector), level);
		assert_int_equal(l->irr.words, 0);
		assert_int_equal(lapic_page_requested(l), vector);
		assert_int_equal(lapic_page_in_service(l), 0);
		assert_int_equal(post(&changed), 0);
		assert_false(changed);
		assert_int_equal(cpu_delivers(), vector);
		assert_int_equal(lapic_page_requested(l), 0);
		assert_int_equal(lapic_page_in_service(l), vector);
		cpu_ends();
		assert_int_equal(page_top(0x100), -1);
	}
	/* In one go; what the page has already stays. */
	set_page_bit(0x200, 0x33, true);
	for (unsigned vector = 16; vector < 256; vector++)
		if (vector != 0x33)
			lapic_request(l, vector, false);
	assert_int_equal(post(&changed), 239);
	for (unsigned vector = 16; vector < 256; vector++) {
		assert_true(page_bit(0x200, vector));
		assert_int_equal(page_bit(0x180, vector), vector == 0x33);
	}
}

/* Nothing tells us when its turn comes, so each request is looked at before the next entry. */
static void lower_ones_are_posted_too(void **state __unused)
{
	set_page_bit(0x100, 0xe0, true);
	page[0x80 / 4] = 0xf0;
	asked(1);
	lapic_request(l, 0x31, false);
	assert_true(asked(1));
	assert_int_equal(post(NULL), 1);
	assert_int_equal(lapic_page_requested(l), 0x31);
	assert_int_equal(lapic_page_in_service(l), 0xe0);
	/* On the one without a page a lower one can wait. */
	enable(2);
	lapic_request(&apic[2], 0xe0, false);
	assert_int_equal(take(2), 0xe0);
	asked(2);
	lapic_request(&apic[2], 0x31, false);
	assert_false(asked(2));
}

/* Random requests, EOIs and TPR writes: with the CPU's help, what it is without. */
static void the_same_as_without(void **state __unused)
{
	uint64_t seed = 23;
	unsigned delivered = 0;

	enable(2);
	for (unsigned step = 0; step < 40000; step++) {
		uint8_t vector, tpr;
		int plain, paged;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		vector = 16 + (seed >> 33) % 240;
		tpr = seed >> 40;
		switch (seed >> 60) {
		case 0 ... 6:
			lapic_request(l, vector, seed >> 50 & 1);
			lapic_request(&apic[2], vector, seed >> 50 & 1);
			break;
		case 7:
			page[0x80 / 4] = tpr;
			wr(2, 0x80, tpr);
			break;
		case 8:
			wr(1, 0x80, tpr);
			wr(2, 0x80, tpr);
			break;
		case 9:
			/* An EOI that is emulated after all. */
			wr(1, 0xb0, 0);
			wr(2, 0xb0, 0);
			break;
		default:
			cpu_ends();
			wr(2, 0xb0, 0);
		}
		assert_int_equal(eois % 2, 0);
		assert_int_equal(source_bound->pending(&cpu[1]), source_bound->pending(&cpu[2]));
		assert_int_equal(rd(1, 0xa0), rd(2, 0xa0));
		assert_int_equal(rd(1, 0x80), rd(2, 0x80));
		for (uint32_t reg = 0x100; reg < 0x280; reg += 0x10)
			assert_int_equal(rd(1, reg), rd(2, reg));
		if (seed >> 20 & 1) {
			post(NULL);
			plain = take(2);
			paged = cpu_delivers();
			assert_int_equal(plain, paged);
			delivered += paged >= 0;
		}
	}
	assert_true(delivered > 1000);
	assert_true(eois > 1000);
}

static void wanted_ends(void **state __unused)
{
	for (unsigned word = 0; word < 4; word++)
		assert_int_equal(lapic_page_eoi_exits(l, word), 0);
	lapic_request(l, 0x61, true);
	lapic_request(l, 0x62, false);
	lapic_request(l, 0xff, true);
	assert_int_equal(lapic_page_eoi_exits(l, 0), 0);
	assert_int_equal(lapic_page_eoi_exits(l, 1), BIT(0x21));
	assert_int_equal(lapic_page_eoi_exits(l, 2), 0);
	assert_int_equal(lapic_page_eoi_exits(l, 3), BIT(63));
	lapic_page_ended(l, 0x61);
	assert_int_equal(eois, 1);
	assert_int_equal(eoi_last, 0x61);
	lapic_page_ended(l, 0x62);
	assert_int_equal(eois, 1);
	/* Edge-triggered from now on. */
	lapic_request(l, 0x61, false);
	assert_int_equal(lapic_page_eoi_exits(l, 1), 0);
}

/* Ticks of a periodic timer that were missed are made up for at each EOI, so we must hear of it. */
static void missed_ticks(void **state __unused)
{
	wr(1, 0x3e0, 0xb);
	wr(1, 0x320, 0x200b5);
	wr(1, 0x380, 1000000);
	run_for(1000000);
	assert_int_equal(lapic_page_eoi_exits(l, 2), 0);
	/* Requested and not accepted yet, here or in the page. */
	run_for(1000000);
	post(NULL);
	run_for(1000000);
	assert_int_equal(l->timer_missed, 2);
	for (unsigned word = 0; word < 4; word++)
		assert_int_equal(lapic_page_eoi_exits(l, word), word == 2 ? BIT(0xb5 - 128) : 0);
	for (unsigned missed = 2; missed; missed--) {
		post(NULL);
		assert_int_equal(cpu_delivers(), 0xb5);
		cpu_ends();
		assert_int_equal(l->timer_missed, missed - 1);
	}
	assert_int_equal(lapic_page_eoi_exits(l, 2), 0);
	post(NULL);
	assert_int_equal(cpu_delivers(), 0xb5);
	cpu_ends();
	post(NULL);
	assert_int_equal(cpu_delivers(), -1);
}

static void an_emulated_eoi(void **state __unused)
{
	bool changed;

	lapic_request(l, 0x61, true);
	lapic_request(l, 0x82, false);
	post(&changed);
	assert_int_equal(cpu_delivers(), 0x82);
	set_page_bit(0x100, 0x61, true);
	asked(1);
	wr(1, 0xb0, 0);
	assert_int_equal(lapic_page_in_service(l), 0x61);
	assert_int_equal(eois, 0);
	/* SVI is old, even if nothing else waits. */
	assert_true(asked(1));
	post(&changed);
	assert_true(changed);
	wr(1, 0xb0, 0);
	assert_int_equal(lapic_page_in_service(l), 0);
	assert_int_equal(eois, 1);
	assert_int_equal(eoi_last, 0x61);
	post(&changed);
	wr(1, 0xb0, 0);
	assert_int_equal(eois, 1);
	post(&changed);
	assert_false(changed);
}

static void a_failed_delivery_goes_back(void **state __unused)
{
	bool changed;

	lapic_request(l, 0x45, false);
	post(&changed);
	assert_int_equal(cpu_delivers(), 0x45);
	source_bound->requeue(&cpu[1], 0x45);
	assert_int_equal(page_top(0x100), -1);
	assert_int_equal(page_top(0x200), 0x45);
	post(&changed);
	assert_true(changed);
	/* The PIC's vectors were never in service. */
	wr(1, 0x350, 0x700);
	pic_output = true;
	post(&changed);
	assert_int_equal(source_bound->accept(&cpu[1], PENDING_EXTINT), 0x28);
	source_bound->requeue(&cpu[1], 0x28);
	assert_true(pic_output);
	assert_int_equal(page_top(0x200), 0x45);
	post(&changed);
	assert_false(changed);
	/* The same vector, delivered by the CPU. */
	assert_int_equal(source_bound->accept(&cpu[1], PENDING_EXTINT), 0x28);
	set_page_bit(0x100, 0x28, true);
	source_bound->requeue(&cpu[1], 0x28);
	assert_false(pic_output);
	assert_true(page_bit(0x200, 0x28));
	assert_false(page_bit(0x100, 0x28));
}

/* A sleeper wakes for what the CPU would deliver, and for nothing else. */
static void sleepers(void **state __unused)
{
	const struct x86_irq_source *source = source_bound;

	assert_int_equal(source->pending(&cpu[1]), -1);
	set_page_bit(0x200, 0x55, true);
	assert_int_equal(source->pending(&cpu[1]), 0x55);
	page[0x80 / 4] = 0x50;
	assert_int_equal(source->pending(&cpu[1]), -1);
	page[0x80 / 4] = 0x4f;
	assert_int_equal(source->pending(&cpu[1]), 0x55);
	set_page_bit(0x100, 0x51, true);
	assert_int_equal(source->pending(&cpu[1]), -1);
	/* Not posted yet: the higher of both counts. */
	lapic_request(l, 0x61, false);
	assert_int_equal(source->pending(&cpu[1]), 0x61);
	set_page_bit(0x200, 0x70, true);
	assert_int_equal(source->pending(&cpu[1]), 0x70);
	set_page_bit(0x200, 0x70, false);
	page[0x80 / 4] = 0x60;
	assert_int_equal(source->pending(&cpu[1]), -1);
}

/* The CPU delivers all but the PIC's. */
static void extint_is_still_ours(void **state __unused)
{
	lapic_request(l, 0x61, false);
	post(NULL);
	assert_int_equal(source_bound->injectable(&cpu[1]), -1);
	pic_output = true;
	assert_int_equal(source_bound->injectable(&cpu[1]), -1);
	wr(1, 0x350, 0x700);
	assert_int_equal(source_bound->injectable(&cpu[1]), PENDING_EXTINT);
	assert_int_equal(source_bound->accept(&cpu[1], PENDING_EXTINT), 0x28);
	assert_int_equal(source_bound->injectable(&cpu[1]), -1);
	assert_int_equal(page_top(0x200), 0x61);
	assert_int_equal(page_top(0x100), -1);
	/* It wakes a sleeper, too. */
	page[0x80 / 4] = 0xf0;
	pic_output = true;
	assert_int_equal(source_bound->pending(&cpu[1]), PENDING_EXTINT);
}

static void task_priority_is_the_page_s(void **state __unused)
{
	page[0x80 / 4] = 0x73;
	assert_int_equal(cr8_bound->read(&cpu[1]), 7);
	assert_int_equal(rd(1, 0x80), 0x73);
	asked(1);
	cr8_bound->write(&cpu[1], 3);
	assert_int_equal(page[0x80 / 4], 0x30);
	assert_true(asked(1));
	/* Lowest priority: that of the page counts. */
	enable(2);
	wr(1, 0xd0, 0x01000000);
	wr(2, 0xd0, 0x01000000);
	wr(2, 0x80, 0x20);
	lapic_deliver(&vm, &(struct irq_message){
				   .dest = 1, .vector = 0x55, .delivery = 1, .logical = true});
	assert_int_equal(take(2), 0x55);
	page[0x80 / 4] = 0x10;
	lapic_deliver(&vm, &(struct irq_message){
				   .dest = 1, .vector = 0x55, .delivery = 1, .logical = true});
	assert_int_equal(post(NULL), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_vector_is_posted, setup_page),
		cmocka_unit_test_setup(lower_ones_are_posted_too, setup_page),
		cmocka_unit_test_setup(the_same_as_without, setup_page),
		cmocka_unit_test_setup(wanted_ends, setup_page),
		cmocka_unit_test_setup(missed_ticks, setup_page),
		cmocka_unit_test_setup(an_emulated_eoi, setup_page),
		cmocka_unit_test_setup(a_failed_delivery_goes_back, setup_page),
		cmocka_unit_test_setup(sleepers, setup_page),
		cmocka_unit_test_setup(extint_is_still_ours, setup_page),
		cmocka_unit_test_setup(task_priority_is_the_page_s, setup_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
