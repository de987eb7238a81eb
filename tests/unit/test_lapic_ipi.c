/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages among 64 local APICs: destinations, delivery modes, shorthands, the inbox, INIT,
 * start-up.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define MOCK_CPUS 64
#include "lapic_mock.h"

#define ALL UINT64_MAX

/* Interrupt commands: fields of the low half. */
enum {
	FIXED = 0 << 8, LOWEST = 1 << 8, SMI = 2 << 8, NMI = 4 << 8, INIT = 5 << 8, SIPI = 6 << 8,
	LOGICAL = BIT(11), ASSERT = BIT(14), LEVEL = BIT(15),
	SELF = 1 << 18, EVERYBODY = 2 << 18, OTHERS = 3 << 18,
};

/* Who got vector 0x55? A mask; takes it back. */
static uint64_t receivers(void)
{
	uint64_t mask = 0;

	for (unsigned c = 0; c < CPUS; c++) {
		lapic_merge(&apic[c]);
		mask |= (apic[c].irr.bits[1] >> (0x55 - 64) & 1) << c;
		clear_bit(&apic[c].irr, 0x55);
		assert_int_equal(apic[c].irr.words, 0);
	}
	return mask;
}

/* Who has one of these requests? A mask; takes them back. */
static uint64_t requested(uint32_t requests)
{
	uint64_t mask = 0;

	for (unsigned c = 0; c < CPUS; c++) {
		mask |= (uint64_t) !!(cpu[c].base.requests & requests) << c;
		cpu[c].base.requests &= ~requests;
	}
	return mask;
}

static uint64_t nmis(void)
{
	uint64_t mask = 0;

	for (unsigned c = 0; c < CPUS; c++) {
		assert_true(nmis_of[c] <= 1);
		mask |= (uint64_t)nmis_of[c] << c;
		nmis_of[c] = 0;
	}
	return mask;
}

static void command(unsigned c, uint32_t dest, uint32_t low)
{
	wr(c, 0x310, dest << 24);
	wr(c, 0x300, low);
}

static void x2command(unsigned c, uint32_t dest, uint32_t low)
{
	assert_int_equal(wrmsr(c, 0x830, (uint64_t)dest << 32 | low), MSR_OK);
}

static void message(uint32_t dest, enum irq_delivery delivery, bool logical)
{
	lapic_deliver(&vm, &(struct irq_message){.dest = dest,
						 .vector = 0x55,
						 .delivery = delivery,
						 .logical = logical});
}

static int setup_enabled(void **state)
{
	setup(state);
	for (unsigned c = 0; c < CPUS; c++)
		enable(c);
	requested(UINT32_MAX);
	return 0;
}

static int setup_x2apic(void **state)
{
	setup_enabled(state);
	for (unsigned c = 0; c < CPUS; c++)
		x2apic(c);
	requested(UINT32_MAX);
	return 0;
}

static void physical(void **state __unused)
{
	for (unsigned dest = 0; dest < 256; dest++) {
		uint64_t want = dest < CPUS ? BIT(dest) : dest == 0xff ? ALL : 0;

		command(1, dest, FIXED | 0x55);
		assert_int_equal(receivers(), want);
		command(1, dest, NMI);
		assert_int_equal(nmis(), want);
		command(1, dest, INIT | LEVEL | ASSERT);
		assert_int_equal(requested(VCPU_REQ_INIT), want);
		command(1, dest, SIPI | (dest ^ 0xa5));
		for (unsigned c = 0; c < CPUS; c++)
			if (want >> c & 1)
				assert_int_equal(source_bound->startup(&cpu[c]), dest ^ 0xa5);
		assert_int_equal(requested(VCPU_REQ_STARTUP), want);
		message(dest, IRQ_FIXED, false);
		assert_int_equal(receivers(), want);
	}
	/* Those that there are not are not touched. */
	vm.settings.cpus = 3;
	command(1, 3, FIXED | 0x55);
	command(1, 63, NMI);
	message(3, IRQ_FIXED, false);
	assert_int_equal(receivers() | nmis(), 0);
	command(1, 0xff, FIXED | 0x55);
	assert_int_equal(receivers(), 7);
	vm.vcpu[2] = NULL;
	command(1, 2, FIXED | 0x55);
	command(1, 0xff, FIXED | 0x55);
	assert_int_equal(receivers(), 3);
	/* The delivery status never stays set; reserved bits read as 0. */
	command(0, 1, 0xfff05055);
	assert_int_equal(rd(0, 0x300) & 0xfff33000, 0);
	assert_int_equal(rd(0, 0x310), 0x01000000);
}

static void physical_x2apic(void **state __unused)
{
	static const uint32_t absent[] = {64, 0xff, 0x100, 0xff000000, 0x01000000, 0xfffffffe};

	for (unsigned dest = 0; dest < CPUS; dest++) {
		x2command(5, dest, FIXED | 0x55);
		assert_int_equal(receivers(), BIT(dest));
		x2command(5, dest, NMI);
		assert_int_equal(nmis(), BIT(dest));
	}
	/* All 32 bits count. */
	for (unsigned i = 0; i < ARRAY_SIZE(absent); i++) {
		x2command(5, absent[i], FIXED | 0x55);
		assert_int_equal(receivers(), 0);
	}
	x2command(5, 0xffffffff, FIXED | 0x55);
	assert_int_equal(receivers(), ALL);
	x2command(5, 0xffffffff, LOGICAL | FIXED | 0x55);
	assert_int_equal(receivers(), ALL);
	/* From the I/O APIC eight bits. */
	message(3, IRQ_FIXED, false);
	assert_int_equal(receivers(), 8);
	message(0xff, IRQ_FIXED, false);
	assert_int_equal(receivers(), ALL);
}

static void logical_flat(void **state __unused)
{
	for (unsigned c = 0; c < 8; c++)
		wr(c, 0xd0, 1u << (24 + c));
	for (unsigned dest = 0; dest < 255; dest++) {
		command(2, dest, LOGICAL | FIXED | 0x55);
		assert_int_equal(receivers(), dest);
		message(dest, IRQ_FIXED, true);
		assert_int_equal(receivers(), dest);
		command(2, dest, LOGICAL | NMI);
		assert_int_equal(nmis(), dest);
	}
	command(2, 0xff, LOGICAL | FIXED | 0x55);
	assert_int_equal(receivers(), ALL);
}

/* 15 clusters of four. */
static void logical_clusters(void **state __unused)
{
	for (unsigned c = 0; c < 60; c++) {
		wr(c, 0xe0, 0x0fffffff);
		wr(c, 0xd0, (c / 4 << 4 | 1u << c % 4) << 24);
	}
	for (unsigned dest = 0; dest < 255; dest++) {
		uint64_t want = dest >> 4 < 15 ? (uint64_t)(dest & 0xf) << (dest >> 4) * 4 : 0;

		command(2, dest, LOGICAL | FIXED | 0x55);
		assert_int_equal(receivers(), want);
		message(dest, IRQ_FIXED, true);
		assert_int_equal(receivers(), want);
	}
}

static void logical_x2apic(void **state __unused)
{
	for (unsigned cluster = 0; cluster < 8; cluster++) {
		for (uint32_t bits = 1; bits < 0x10000; bits = bits * 5 + 3) {
			x2command(9, cluster << 16 | bits, LOGICAL | FIXED | 0x55);
			assert_int_equal(receivers(),
					 cluster < 4 ? (uint64_t)bits << 16 * cluster : 0);
		}
	}
	/* No broadcast here. */
	x2command(9, 0xff, LOGICAL | FIXED | 0x55);
	assert_int_equal(receivers(), 0xff);
	x2command(9, 0xffff0001, LOGICAL | FIXED | 0x55);
	assert_int_equal(receivers(), 0);
	message(0x0a, IRQ_FIXED, true);
	assert_int_equal(receivers(), 0x0a);
	/* Some have not changed their mode yet: eight bits cannot mean anybody of another kind. */
	setup_enabled(NULL);
	for (unsigned c = 0; c < 8; c++)
		wr(c, 0xd0, 1u << (24 + c));
	x2apic(2);
	x2apic(17);
	x2command(2, 0xff, LOGICAL | FIXED | 0x55);
	assert_int_equal(receivers(), BIT(2));
	x2command(2, 1u << 16 | 0xff, LOGICAL | FIXED | 0x55);
	assert_int_equal(receivers(), BIT(17));
	x2command(2, 3, FIXED | 0x55);
	assert_int_equal(receivers(), BIT(3));
	command(1, 0x0c, LOGICAL | FIXED | 0x55);
	assert_int_equal(receivers(), BIT(2) | BIT(3));
	x2command(2, 1u << 16 | 0xfd, LOGICAL | LOWEST | 0x55);
	assert_int_equal(receivers(), 0);
}

/* SDM vol. 3, table 11-3: what goes by each shorthand, in each mode, edge or level. */
static void shorthands(void **state __unused)
{
	const uint64_t others = ALL & ~BIT(7);

	for (unsigned x2 = 0; x2 < 2; x2++) {
		if (x2)
			setup_x2apic(NULL);
		for (unsigned mode = 0; mode < 8; mode++) {
			for (unsigned level = 0; level < 2; level++) {
				uint32_t low = mode << 8 | level * LEVEL | ASSERT | 0x55;
				uint64_t to[4] = {
					[1] = mode == 0 ? BIT(7) : 0,
					[2] = mode == 0 ? ALL : 0,
					[3] = others,
				};

				for (uint32_t hand = 1; hand < 4; hand++) {
					uint64_t got;

					/* The destination field does not matter. */
					if (x2)
						x2command(7, 3, low | hand << 18);
					else
						command(7, 3, low | hand << 18);
					got = receivers();
					if (mode == 1 && hand == 3)
						assert_int_equal(__builtin_popcountll(got), 1);
					else
						assert_int_equal(got, mode == 0 ? to[hand] : 0);
					assert_int_equal(got & ~others & (hand == 3 ? ALL : 0), 0);
					assert_int_equal(nmis(), mode == 4 ? to[hand] : 0);
					assert_int_equal(requested(VCPU_REQ_INIT),
							 mode == 5 ? to[hand] : 0);
					assert_int_equal(requested(VCPU_REQ_STARTUP),
							 mode == 6 ? to[hand] : 0);
				}
			}
		}
	}
	/* Nobody sees a level: no EOI would be waited for. */
	for (unsigned c = 0; c < CPUS; c++)
		for (unsigned w = 0; w < 4; w++)
			assert_int_equal(apic[c].tmr.bits[w], 0);
	/* INIT level de-assert is a thing of the past. */
	x2command(7, 3, INIT | LEVEL | OTHERS);
	x2command(7, 3, INIT | LEVEL);
	assert_int_equal(requested(VCPU_REQ_INIT), 0);
}

static void to_oneself(void **state __unused)
{
	/* At once, and not by way of the inbox. */
	command(4, 4, FIXED | 0x55);
	assert_int_equal(apic[4].posted_any, 0);
	assert_int_equal(rd(4, 0x200 + 2 * 0x10), 1 << (0x55 - 64));
	assert_true(asked(4));
	assert_int_equal(requests_of[4], 0);
	clear_bit(&apic[4].irr, 0x55);
	command(4, 0, SELF | FIXED | 0x55);
	assert_int_equal(apic[4].posted_any, 0);
	clear_bit(&apic[4].irr, 0x55);
	command(4, 0, EVERYBODY | FIXED | 0x55);
	assert_int_equal(apic[4].posted_any, 0);
	assert_int_equal(apic[4].irr.words, 2);
	assert_int_equal(apic[5].posted_any, 1);
	assert_int_equal(apic[5].irr.words, 0);
	assert_int_equal(receivers(), ALL);
	/* An NMI without the detour of a request; INIT and start-up are for the CPU's loop. */
	away = true;
	command(4, 4, NMI);
	assert_int_equal(nmis(), BIT(4));
	command(4, 5, NMI);
	assert_int_equal(nmis(), 0);
	assert_int_equal(requested(VCPU_REQ_NMI), BIT(5));
	command(4, 4, INIT | ASSERT);
	assert_int_equal(requested(VCPU_REQ_INIT), BIT(4));
}

/* From devices: no start-up, no SMI, no PIC's, and no reserved modes. */
static void modes_of_messages(void **state __unused)
{
	for (unsigned mode = 0; mode < 8; mode++) {
		requested(UINT32_MAX);
		message(6, mode, false);
		assert_int_equal(receivers(), mode <= 1 ? BIT(6) : 0);
		assert_int_equal(nmis(), mode == 4 ? BIT(6) : 0);
		assert_int_equal(requested(VCPU_REQ_INIT), mode == 5 ? BIT(6) : 0);
		assert_int_equal(requested(UINT32_MAX & ~VCPU_REQ_EVENT), 0);
	}
}

static void lowest_priority(void **state __unused)
{
	uint64_t seen = 0;

	for (unsigned c = 0; c < 8; c++)
		wr(c, 0xd0, 1u << (24 + c));
	/* Among equals each has its turn. */
	for (unsigned round = 0; round < 8; round++) {
		uint64_t got;

		command(0, 0xff & ~0x81, LOGICAL | LOWEST | 0x55);
		got = receivers();
		assert_int_equal(__builtin_popcountll(got), 1);
		assert_int_equal(got & ~0x7eull, 0);
		seen |= got;
		if (round < 5)
			assert_int_equal(__builtin_popcountll(seen), round + 1);
	}
	assert_int_equal(seen, 0x7e);
	/* From a device likewise. */
	seen = 0;
	for (unsigned round = 0; round < 3; round++) {
		message(0x15, IRQ_LOWEST_PRIORITY, true);
		seen |= receivers();
	}
	assert_int_equal(seen, 0x15);
	/* The lowest class of task priority, however often. */
	for (unsigned c = 0; c < 8; c++)
		wr(c, 0x80, c == 3 ? 0x2f : 0x30 + c);
	for (unsigned round = 0; round < 3; round++) {
		command(0, 0xff, LOGICAL | LOWEST | 0x55);
		assert_int_equal(receivers() & 0xff, 0);
		command(0, 0xfe, LOGICAL | LOWEST | 0x55);
		assert_int_equal(receivers(), 8);
	}
	/* Not one that is turned off; nobody: lost. */
	wr(3, 0xf0, 0xff);
	command(0, 0x0c, LOGICAL | LOWEST | 0x55);
	assert_int_equal(receivers(), 4);
	wr(2, 0xf0, 0xff);
	command(0, 0x0c, LOGICAL | LOWEST | 0x55);
	assert_int_equal(receivers(), 0);
	vm.settings.cpus = 2;
	for (unsigned round = 0; round < 3; round++) {
		command(0, 0, OTHERS | LOWEST | 0x55);
		assert_int_equal(receivers(), BIT(1));
	}
	vm.settings.cpus = CPUS;
	command(0, 5, LOWEST | 0x55);
	assert_int_equal(receivers(), BIT(5));
	command(0, 64, LOWEST | 0x55);
	assert_int_equal(receivers(), 0);
}

/* One vector, many senders, until the owner looks: one request. */
static void the_inbox_is_coalesced(void **state __unused)
{
	requests_of[3] = 0;
	for (unsigned c = 4; c < 10; c++)
		command(c, 3, FIXED | 0x55);
	assert_int_equal(requests_of[3], 1);
	assert_int_equal(apic[3].irr.words, 0);
	command(4, 3, FIXED | 0x56);
	assert_int_equal(requests_of[3], 2);
	assert_int_equal(take(3), 0x56);
	assert_int_equal(apic[3].posted_any, 0);
	wr(3, 0xb0, 0);
	assert_int_equal(take(3), 0x55);
	wr(3, 0xb0, 0);
	assert_int_equal(take(3), -1);
	/* Merged and in service: the next one counts again, and asks again. */
	for (unsigned round = 0; round < 2; round++) {
		requests_of[3] = 0;
		command(4, 3, FIXED | 0x55);
		assert_int_equal(requests_of[3], 1);
		assert_int_equal(take(3), round ? -1 : 0x55);
	}
	wr(3, 0xb0, 0);
	assert_int_equal(take(3), 0x55);
}

static void every_vector_by_post(void **state __unused)
{
	for (unsigned vector = 0; vector < 256; vector++) {
		bool level = vector % 3 == 0;

		lapic_post(&apic[3], vector, level);
		if (vector < 16) {
			assert_int_equal(take(3), -1);
			wr(3, 0x280, 0);
			assert_int_equal(rd(3, 0x280), 0x40);
			continue;
		}
		/* What the guest reads is what would be delivered. */
		assert_int_equal(rd(3, 0x200 + vector / 32 * 0x10), 1u << vector % 32);
		assert_int_equal(rd(3, 0x180 + vector / 32 * 0x10) >> vector % 32 & 1, level);
		assert_int_equal(take(3), vector);
		eois = 0;
		wr(3, 0xb0, 0);
		assert_int_equal(eois, level);
		assert_int_equal(take(3), -1);
	}
	/* Errors show in a write of ESR that is the first to look. */
	lapic_post(&apic[3], 7, true);
	wr(3, 0x280, 0);
	assert_int_equal(rd(3, 0x280), 0x40);
	assert_int_equal(apic[3].tmr.bits[0] & 0xffff, 0);
	/* An illegal one does not keep its neighbours out. */
	lapic_post(&apic[3], 5, true);
	lapic_post(&apic[3], 20, false);
	assert_int_equal(take(3), 20);
	assert_int_equal(apic[3].tmr.bits[0] & 0xffff, 0);
}

static void levels_and_edges_by_post(void **state __unused)
{
	/* In either order, a level is not forgotten. */
	lapic_post(&apic[3], 0x61, true);
	lapic_post(&apic[3], 0x61, false);
	assert_int_equal(rd(3, 0x180 + 3 * 0x10), 2);
	assert_int_equal(take(3), 0x61);
	wr(3, 0xb0, 0);
	assert_int_equal(eois, 1);
	lapic_post(&apic[3], 0x61, false);
	lapic_post(&apic[3], 0x61, true);
	assert_int_equal(take(3), 0x61);
	wr(3, 0xb0, 0);
	assert_int_equal(eois, 2);
	/* Looked at in between: the last one decides. */
	lapic_post(&apic[3], 0x61, true);
	lapic_merge(&apic[3]);
	lapic_post(&apic[3], 0x61, false);
	assert_int_equal(rd(3, 0x180 + 3 * 0x10), 0);
	assert_int_equal(take(3), 0x61);
	wr(3, 0xb0, 0);
	assert_int_equal(eois, 2);
}

static void posts_to_those_turned_off(void **state __unused)
{
	/* Taken or dropped as it was when it came, as far as the owner can tell. */
	lapic_post(&apic[3], 0x55, false);
	wr(3, 0xf0, 0xff);
	assert_int_equal(receivers(), 8);
	lapic_post(&apic[3], 0x55, false);
	wr(3, 0xf0, 0x1ff);
	assert_int_equal(receivers(), 0);
	lapic_post(&apic[3], 0x55, false);
	assert_int_equal(receivers(), 8);
	/* By IA32_APIC_BASE: no interrupts, but whoever wants to start it can. */
	lapic_post(&apic[3], 0x55, false);
	assert_int_equal(wrmsr(3, MSR_APIC_BASE, LAPIC_GPA), MSR_OK);
	requested(UINT32_MAX);
	command(1, 3, FIXED | 0x55);
	assert_int_equal(receivers(), 0);
	/* It forgets a start-up from before, even one that nobody looked at. */
	command(1, 3, SIPI | 0x10);
	command(1, 3, INIT | ASSERT);
	command(1, 3, NMI);
	assert_int_equal(requested(VCPU_REQ_STARTUP), 0);
	assert_int_equal(requested(VCPU_REQ_INIT), 8);
	assert_int_equal(nmis(), 8);
}

/* SDM vol. 3, 11.4.7.3 and 11.12.5.1: as after power-on, but for the APIC's ID and mode. */
static void init_state(void **state __unused)
{
	for (unsigned c = 0; c < 3; c++) {
		uint64_t base, value;

		if (c == 2)
			x2apic(c);
		assert_int_equal(rdmsr(c, MSR_APIC_BASE, &base), MSR_OK);
		lapic_write(&apic[c], 0x80, 0x20);
		lapic_write(&apic[c], 0xd0, 0x01000000);
		lapic_write(&apic[c], 0xe0, 0);
		lapic_write(&apic[c], 0x320, 0x20040);
		lapic_write(&apic[c], 0x350, 0x700);
		lapic_write(&apic[c], 0x380, 1000000);
		lapic_write(&apic[c], 0x3e0, 0xb);
		lapic_request(&apic[c], 0x45, true);
		assert_int_equal(take(c), 0x45);
		lapic_request(&apic[c], 0x46, false);
		lapic_post(&apic[c], 0x55, true);
		lapic_post(&apic[c], 0x56, false);
		assert_int_equal(armed_timers(), 1);
		requested(UINT32_MAX);
		source_bound->init(&cpu[c]);
		assert_int_equal(armed_timers(), 0);
		assert_int_equal(take(c), -1);
		assert_int_equal(rdmsr(c, MSR_APIC_BASE, &value), MSR_OK);
		assert_int_equal(value, base);
		assert_int_equal(lapic_read(&apic[c], 0x20), c == 2 ? 2 : c << 24);
		assert_int_equal(lapic_read(&apic[c], 0xd0), c == 2 ? 4 : 0);
		assert_int_equal(lapic_read(&apic[c], 0xe0), 0xffffffff);
		assert_int_equal(lapic_read(&apic[c], 0xf0), 0xff);
		for (uint32_t reg = 0x80; reg < 0x3f0; reg += 0x10)
			if (reg != 0xd0 && reg != 0xe0 && reg != 0xf0 &&
			    (reg < 0x320 || reg > 0x370))
				assert_int_equal(lapic_read(&apic[c], reg), 0);
		/* The boot processor's LINT0, too: that is firmware's doing at power-on. */
		for (uint32_t reg = 0x320; reg <= 0x370; reg += 0x10)
			assert_int_equal(lapic_read(&apic[c], reg), 0x10000);
		/* What came before it is on is not for later. */
		lapic_write(&apic[c], 0xf0, 0x1ff);
		assert_int_equal(take(c), -1);
	}
	/* While it waits for its start-up, interrupts are lost, and do not stop later ones. */
	source_bound->init(&cpu[5]);
	command(1, 5, FIXED | 0x55);
	command(1, 5, SIPI | 0x9a);
	cpu[5].base.requests = 0;
	requests_of[5] = 0;
	assert_int_equal(source_bound->startup(&cpu[5]), 0x9a);
	assert_true(asked(5));
	enable(5);
	command(1, 5, FIXED | 0x55);
	assert_int_equal(requests_of[5], 1);
	assert_int_equal(receivers(), BIT(5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(physical, setup_enabled),
		cmocka_unit_test_setup(physical_x2apic, setup_x2apic),
		cmocka_unit_test_setup(logical_flat, setup_enabled),
		cmocka_unit_test_setup(logical_clusters, setup_enabled),
		cmocka_unit_test_setup(logical_x2apic, setup_x2apic),
		cmocka_unit_test_setup(shorthands, setup_enabled),
		cmocka_unit_test_setup(to_oneself, setup_enabled),
		cmocka_unit_test_setup(modes_of_messages, setup_enabled),
		cmocka_unit_test_setup(lowest_priority, setup_enabled),
		cmocka_unit_test_setup(the_inbox_is_coalesced, setup_enabled),
		cmocka_unit_test_setup(every_vector_by_post, setup_enabled),
		cmocka_unit_test_setup(levels_and_edges_by_post, setup_enabled),
		cmocka_unit_test_setup(posts_to_those_turned_off, setup_enabled),
		cmocka_unit_test_setup(init_state, setup_enabled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
