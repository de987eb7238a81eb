/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC: priorities, EOI, TPR, timer modes, x2APIC, hostile accesses. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "lapic_mock.h"

static void after_reset(void **state __unused)
{
	uint64_t base;

	for (unsigned c = 0; c < CPUS; c++) {
		assert_int_equal(rd(c, 0x20), c << 24);
		assert_int_equal(rd(c, 0x30), 0x50014);
		assert_int_equal(rd(c, 0xf0), 0xff);
		assert_int_equal(rd(c, 0xe0), 0xffffffff);
		assert_int_equal(rd(c, 0xd0), 0);
		assert_int_equal(rd(c, 0x320), 0x10000);
		assert_int_equal(rd(c, 0x350), c ? 0x10000 : 0x700);
		assert_int_equal(rd(c, 0x370), 0x10000);
		assert_int_equal(rdmsr(c, MSR_APIC_BASE, &base), MSR_OK);
		assert_int_equal(base, 0xfee00800 | (c ? 0 : 0x100));
		for (uint32_t reg = 0x100; reg < 0x280; reg += 0x10)
			assert_int_equal(rd(c, reg), 0);
	}
	/* Disabled by software: nothing is taken, the LVT cannot be unmasked. */
	lapic_request(&apic[1], 0x40, false);
	assert_int_equal(take(1), -1);
	wr(1, 0x320, 0x40);
	assert_int_equal(rd(1, 0x320), 0x10040);
	no_memory = true;
	assert_int_equal(lapic_create(&cpu[1]), -S_NOMEM);
}

static void every_vector(void **state __unused)
{
	enable(1);
	for (unsigned vector = 16; vector < 256; vector++) {
		lapic_request(&apic[1], vector, false);
		assert_true(asked(1));
		assert_int_equal(rd(1, 0x200 + vector / 32 * 0x10), 1u << vector % 32);
		assert_int_equal(take(1), vector);
		assert_int_equal(rd(1, 0x200 + vector / 32 * 0x10), 0);
		assert_int_equal(rd(1, 0x100 + vector / 32 * 0x10), 1u << vector % 32);
		assert_int_equal(rd(1, 0xa0), vector & 0xf0);
		assert_int_equal(take(1), -1);
		wr(1, 0xb0, 0);
		assert_int_equal(rd(1, 0x100 + vector / 32 * 0x10), 0);
		assert_int_equal(rd(1, 0xa0), 0);
	}
	assert_int_equal(eois, 0);
	assert_int_equal(requests_of[1], 0);
}

static void illegal_vectors(void **state __unused)
{
	enable(1);
	for (unsigned vector = 0; vector < 16; vector++) {
		lapic_request(&apic[1], vector, false);
		assert_int_equal(take(1), -1);
		/* Shows after a write, once. */
		wr(1, 0x280, 0);
		assert_int_equal(rd(1, 0x280), 0x40);
		wr(1, 0x280, 0);
		assert_int_equal(rd(1, 0x280), 0);
	}
	/* Sending one, too, fixed or to the lowest priority; with the error interrupt on. */
	wr(1, 0x370, 0xe1);
	for (unsigned mode = 0; mode < 2; mode++) {
		wr(1, 0x300, 0x00005 | mode << 8);
		assert_int_equal(take(1), 0xe1);
		wr(1, 0xb0, 0);
		wr(1, 0x280, 0);
		assert_int_equal(rd(1, 0x280), 0x20);
		assert_int_equal(apic[0].posted_any, 0);
	}
	/* Modes without a vector may have any. */
	wr(1, 0x300, 0xc4400);
	assert_int_equal(take(1), -1);
	wr(1, 0x280, 0);
	assert_int_equal(rd(1, 0x280), 0);
}

/* Random requests, EOIs and TPR writes against plain sets of vectors. */
static void priorities(void **state __unused)
{
	static bool irr[256], isr[256];
	unsigned tpr = 0;
	uint64_t seed = 11;

	memset(irr, 0, sizeof(irr));
	memset(isr, 0, sizeof(isr));
	enable(2);
	for (unsigned step = 0; step < 40000; step++) {
		int top_irr = -1, top_isr = -1, want;
		unsigned class;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		switch (seed >> 61) {
		case 0 ... 3:
			lapic_request(&apic[2], 16 + (seed >> 33) % 240, false);
			irr[16 + (seed >> 33) % 240] = true;
			break;
		case 4:
			tpr = seed >> 40 & 0xff;
			wr(2, 0x80, tpr);
			break;
		default:
			for (int i = 255; i >= 0; i--) {
				if (isr[i]) {
					isr[i] = false;
					break;
				}
			}
			wr(2, 0xb0, 0);
		}
		for (int i = 0; i < 256; i++) {
			top_irr = irr[i] ? i : top_irr;
			top_isr = isr[i] ? i : top_isr;
		}
		class = top_isr < 0 ? 0 : (unsigned)top_isr >> 4;
		assert_int_equal(rd(2, 0x80), tpr);
		assert_int_equal(rd(2, 0xa0), tpr >> 4 >= class ? tpr : class << 4);
		class = MAX(class, tpr >> 4);
		want = top_irr >= 0 && (unsigned)top_irr >> 4 > class ? top_irr : -1;
		assert_int_equal(source_bound->pending(&cpu[2]), want);
		if (want >= 0 && (seed >> 20 & 1)) {
			assert_int_equal(take(2), want);
			irr[want] = false;
			isr[want] = true;
		}
	}
}

static void level_and_edge(void **state __unused)
{
	enable(1);
	lapic_request(&apic[1], 0x61, true);
	lapic_request(&apic[1], 0x72, false);
	assert_int_equal(rd(1, 0x180 + 3 * 0x10), 2);
	assert_int_equal(take(1), 0x72);
	wr(1, 0xb0, 0);
	assert_int_equal(eois, 0);
	assert_int_equal(take(1), 0x61);
	wr(1, 0xb0, 0);
	assert_int_equal(eois, 1);
	assert_int_equal(eoi_last, 0x61);
	/* The last request decides; an EOI without anything in service does nothing. */
	lapic_request(&apic[1], 0x61, false);
	assert_int_equal(take(1), 0x61);
	wr(1, 0xb0, 0);
	wr(1, 0xb0, 0);
	assert_int_equal(eois, 1);
}

static void task_priority(void **state __unused)
{
	enable(1);
	cr8_bound->write(&cpu[1], 5);
	assert_int_equal(rd(1, 0x80), 0x50);
	lapic_request(&apic[1], 0x5f, false);
	assert_int_equal(take(1), -1);
	assert_false(asked(1));
	wr(1, 0x80, 0x4f);
	assert_true(asked(1));
	assert_int_equal(cr8_bound->read(&cpu[1]), 4);
	assert_int_equal(take(1), 0x5f);
	/* 15 keeps everything out. */
	cr8_bound->write(&cpu[1], 15);
	lapic_request(&apic[1], 0xff, false);
	assert_int_equal(take(1), -1);
}

static void pic_through_lint0(void **state __unused)
{
	pic_output = true;
	/* The boot processor's LINT0 lets it through even with the APIC disabled by software. */
	assert_true(source_bound->pending(&cpu[0]) >= 0);
	assert_int_equal(source_bound->pending(&cpu[1]), -1);
	lapic_extint_changed(&vm);
	assert_int_equal(requests_of[0], 1);
	assert_int_equal(requests_of[1], 0);
	assert_int_equal(take(0), 0x28);
	assert_int_equal(source_bound->pending(&cpu[0]), -1);
	/* It never comes into service, and PPR does not hold it. */
	enable(0);
	wr(0, 0x80, 0xff);
	pic_output = true;
	assert_int_equal(take(0), 0x28);
	assert_int_equal(rd(0, 0xa0), 0xff);
	wr(0, 0x350, 0x10700);
	pic_output = true;
	assert_int_equal(source_bound->pending(&cpu[0]), -1);
	/* An interrupt of its own comes first. */
	wr(0, 0x350, 0x700);
	wr(0, 0x80, 0);
	lapic_request(&apic[0], 0x30, false);
	assert_int_equal(take(0), 0x30);
	assert_int_equal(take(0), 0x28);
}

/* An interrupt whose delivery failed waits again where it came from. */
static void failed_deliveries(void **state __unused)
{
	enable(0);
	pic_output = true;
	/*
	 * Acknowledged just before an entry, the PIC has another one: what is left of that must not
	 * look like a request from others, or theirs would not come through.
	 */
	pic_again = true;
	cpu[0].base.requests = 0;
	assert_int_equal(take(0), 0x28);
	assert_int_equal(cpu[0].base.requests, VCPU_REQ_AGAIN);
	lapic_extint_changed(&vm);
	assert_true(cpu[0].base.requests & VCPU_REQ_EVENT);
	pic_again = false;
	source_bound->requeue(&cpu[0], 0x28);
	assert_true(pic_output);
	assert_int_equal(take(0), 0x28);
	assert_false(pic_output);
	/* The same vector from the local APIC. */
	lapic_request(&apic[0], 0x28, false);
	assert_int_equal(take(0), 0x28);
	source_bound->requeue(&cpu[0], 0x28);
	assert_false(pic_output);
	assert_int_equal(rd(0, 0x110), 0);
	assert_int_equal(take(0), 0x28);
	assert_int_equal(rd(0, 0x110), 1 << 8);
}

static void one_shot_timer(void **state __unused)
{
	static const unsigned divide[] = {2, 4, 8, 16, 0, 0, 0, 0, 32, 64, 128, 1};

	enable(1);
	wr(1, 0x320, 0x40);
	for (unsigned code = 0; code < ARRAY_SIZE(divide); code++) {
		if (!divide[code])
			continue;
		wr(1, 0x3e0, code);
		assert_int_equal(rd(1, 0x3e0), code);
		wr(1, 0x380, 1000000);
		assert_int_equal(rd(1, 0x380), 1000000);
		assert_int_equal(rd(1, 0x390), 1000000);
		run_for(400000ull * divide[code]);
		assert_int_equal(rd(1, 0x390), 600000);
		assert_int_equal(take(1), -1);
		run_for(600000ull * divide[code] - 1);
		assert_int_equal(take(1), -1);
		run_for(1);
		assert_int_equal(take(1), 0x40);
		wr(1, 0xb0, 0);
		assert_int_equal(rd(1, 0x390), 0);
		assert_int_equal(armed_timers(), 0);
	}
	/* Zero stops it; masked, it counts in silence. */
	wr(1, 0x380, 5000);
	wr(1, 0x380, 0);
	assert_int_equal(armed_timers(), 0);
	wr(1, 0x320, 0x10040);
	wr(1, 0x380, 5000);
	run_for(NS_PER_SEC);
	assert_int_equal(take(1), -1);
}

static void periodic_timer(void **state __unused)
{
	enable(1);
	wr(1, 0x3e0, 0xb);
	wr(1, 0x320, 0x20040);
	wr(1, 0x380, 1000000);
	for (unsigned i = 0; i < 5; i++) {
		run_for(999999);
		assert_int_equal(take(1), -1);
		run_for(1);
		assert_int_equal(take(1), 0x40);
		wr(1, 0xb0, 0);
	}
	/* Late: the count has begun anew. */
	mock_now += 1400000;
	assert_int_equal(rd(1, 0x390), 600000);
	mock_now -= 1400000;
	/* Late by many periods: one interrupt, and on from there. */
	mock_now += 10500000;
	run_for(0);
	assert_int_equal(mock_fired, 6);
	/* To one-shot: the count goes on, and ends. */
	wr(1, 0x320, 0x40);
	run_for(NS_PER_SEC);
	assert_int_equal(mock_fired, 7);
	assert_int_equal(armed_timers(), 0);
}

/* Without anybody to hear it, a periodic timer costs nothing, but its phase is kept. */
static void masked_timer_is_silent(void **state __unused)
{
	enable(1);
	wr(1, 0x3e0, 0xb);
	wr(1, 0x320, 0x30040);
	wr(1, 0x380, 1000000);
	assert_int_equal(armed_timers(), 0);
	run_for(10300000);
	assert_int_equal(mock_fired, 0);
	assert_int_equal(rd(1, 0x390), 700000);
	wr(1, 0x320, 0x20040);
	assert_int_equal(armed_timers(), 1);
	assert_int_equal(rd(1, 0x390), 700000);
	run_for(699999);
	assert_int_equal(take(1), -1);
	run_for(1);
	assert_int_equal(take(1), 0x40);
	wr(1, 0xb0, 0);
	assert_int_equal(apic[1].timer_missed, 0);
	/* Masked on its way; by the software disable, too. */
	wr(1, 0x320, 0x30040);
	assert_int_equal(armed_timers(), 0);
	wr(1, 0x320, 0x20040);
	assert_int_equal(armed_timers(), 1);
	wr(1, 0xf0, 0xff);
	assert_int_equal(armed_timers(), 0);
	run_for(2000000);
	wr(1, 0xf0, 0x1ff);
	wr(1, 0x320, 0x20041);
	run_for(1000000);
	assert_int_equal(take(1), 0x41);
	wr(1, 0xb0, 0);
	/* To one-shot while masked: the rest of the period, once. */
	wr(1, 0x320, 0x30040);
	run_for(1250000);
	wr(1, 0x320, 0x40);
	assert_int_equal(rd(1, 0x390), 750000);
	run_for(750000);
	assert_int_equal(take(1), 0x40);
	wr(1, 0xb0, 0);
	assert_int_equal(rd(1, 0x390), 0);
	run_for(NS_PER_SEC);
	assert_int_equal(take(1), -1);
	/* A count that came to its end does not begin again in another mode. */
	wr(1, 0x320, 0x20040);
	assert_int_equal(armed_timers(), 0);
	assert_int_equal(rd(1, 0x390), 0);
	wr(1, 0x320, 0x30040);
	wr(1, 0x320, 0x20040);
	assert_int_equal(armed_timers(), 0);
}

/* The vCPU comes to a CPU whose clock is a little behind. */
static void time_steps_back(void **state)
{
	static const uint32_t modes[] = {0x40, 0x10040, 0x20040, 0x30040};

	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		bool periodic = modes[i] & 0x20000;

		setup(state);
		enable(1);
		wr(1, 0x3e0, 0xb);
		wr(1, 0x320, modes[i]);
		wr(1, 0x380, 1000000);
		mock_now -= NS_PER_US;
		assert_int_equal(rd(1, 0x390), 1000000);
		/* Masked or not, its period begins where it began. */
		wr(1, 0x320, modes[i] ^ 0x10000);
		wr(1, 0x320, modes[i] & ~0x10000u);
		assert_int_equal(rd(1, 0x390), 1000000);
		run_for(1000000 + NS_PER_US - 1);
		assert_int_equal(take(1), -1);
		assert_int_equal(rd(1, 0x390), 1);
		run_for(1);
		assert_int_equal(take(1), 0x40);
		assert_int_equal(mock_fired, 1);
		/* What the timer's CPU took for the end of a period was none here. */
		mock_now -= NS_PER_US;
		assert_int_equal(rd(1, 0x390), periodic ? 1000000 : 0);
		assert_int_equal(apic[1].timer_missed, 0);
	}
}

/* The timer expires on another CPU; what it means is found out by the owner, once. */
static void timers_expire_elsewhere(void **state __unused)
{
	uint64_t value;

	enable(1);
	wr(1, 0x3e0, 0xb);
	away = true;
	wr(1, 0x320, 0x40);
	wr(1, 0x380, 1000);
	cpu[1].base.requests = 0;
	run_for(1000);
	assert_int_equal(cpu[1].base.requests, VCPU_REQ_TIMER);
	assert_int_equal(take(1), -1);
	serve(&cpu[1].base);
	assert_int_equal(take(1), 0x40);
	wr(1, 0xb0, 0);
	source_bound->timer(&cpu[1]);
	assert_int_equal(take(1), -1);
	/* Set anew before the owner has looked: that tick is not lost, nor comes twice. */
	wr(1, 0x380, 1000);
	run_for(1000);
	wr(1, 0x380, 5000);
	assert_int_equal(take(1), 0x40);
	wr(1, 0xb0, 0);
	serve(&cpu[1].base);
	assert_int_equal(take(1), -1);
	assert_int_equal(rd(1, 0x390), 5000);
	run_for(5000);
	/* Its vector is the one of when it expired. */
	wr(1, 0x320, 0x20041);
	assert_int_equal(take(1), 0x40);
	wr(1, 0xb0, 0);
	/* Deadlines likewise; the register says that it has passed. */
	wr(1, 0x320, 0x40042);
	assert_int_equal(wrmsr(1, MSR_TSC_DEADLINE, x86_guest_tsc(&cpu[1]) + 2000), MSR_OK);
	run_for(1002);
	assert_int_equal(rdmsr(1, MSR_TSC_DEADLINE, &value), MSR_OK);
	assert_int_equal(value, 0);
	assert_int_equal(take(1), 0x42);
	wr(1, 0xb0, 0);
	assert_int_equal(wrmsr(1, MSR_TSC_DEADLINE, x86_guest_tsc(&cpu[1]) + 2000), MSR_OK);
	run_for(1002);
	assert_int_equal(wrmsr(1, MSR_TSC_DEADLINE, x86_guest_tsc(&cpu[1]) + 4000), MSR_OK);
	assert_int_equal(take(1), 0x42);
	assert_int_equal(armed_timers(), 1);
	/* A reset forgets it. */
	run_for(5000);
	lapic_reset(&apic[1]);
	serve(&cpu[1].base);
	assert_int_equal(apic[1].irr.words, 0);
}

/* However short a period a guest asks for, the host sees a bounded rate. */
static void flood_is_bounded(void **state __unused)
{
	enable(1);
	wr(1, 0x3e0, 0xb);
	wr(1, 0x320, 0x20040);
	wr(1, 0x380, 1);
	run_for(100 * NS_PER_MS);
	assert_true(mock_fired >= 1 && mock_fired <= 100000 / 20);
	/* Set up as one-shot, turned periodic behind. */
	mock_fired = 0;
	wr(1, 0x320, 0x40);
	wr(1, 0x380, 1);
	wr(1, 0x320, 0x20040);
	run_for(100 * NS_PER_MS);
	assert_true(mock_fired <= 100000 / 20);
}

static void deadline_timer(void **state __unused)
{
	uint64_t value;

	enable(1);
	cpu[1].tsc_offset = 1000000;
	/* Ignored in the other modes. */
	assert_int_equal(wrmsr(1, MSR_TSC_DEADLINE, 5), MSR_OK);
	assert_int_equal(armed_timers(), 0);
	wr(1, 0x380, 7777);
	wr(1, 0x320, 0x40040);
	assert_int_equal(armed_timers(), 0);
	assert_int_equal(wrmsr(1, MSR_TSC_DEADLINE, x86_guest_tsc(&cpu[1]) + 2000), MSR_OK);
	run_for(999);
	assert_int_equal(take(1), -1);
	run_for(2);
	assert_int_equal(take(1), 0x40);
	wr(1, 0xb0, 0);
	assert_int_equal(rdmsr(1, MSR_TSC_DEADLINE, &value), MSR_OK);
	assert_int_equal(value, 0);
	/* Past: at once. Zero: never. The count registers are dead. */
	assert_int_equal(wrmsr(1, MSR_TSC_DEADLINE, 1), MSR_OK);
	run_for(0);
	assert_int_equal(take(1), 0x40);
	wr(1, 0xb0, 0);
	assert_int_equal(wrmsr(1, MSR_TSC_DEADLINE, UINT64_MAX / 4), MSR_OK);
	assert_int_equal(armed_timers(), 1);
	assert_int_equal(wrmsr(1, MSR_TSC_DEADLINE, 0), MSR_OK);
	assert_int_equal(armed_timers(), 0);
	wr(1, 0x380, 100);
	assert_int_equal(armed_timers(), 0);
	assert_int_equal(rd(1, 0x390), 0);
	/* Leaving the mode disarms. */
	assert_int_equal(wrmsr(1, MSR_TSC_DEADLINE, UINT64_MAX / 4), MSR_OK);
	wr(1, 0x320, 0x40);
	assert_int_equal(armed_timers(), 0);
}

/* SDM vol. 3, figure 11-27: the legal ways between disabled, xAPIC and x2APIC. */
static void modes(void **state __unused)
{
	static const uint64_t modes_of[] = {0, BIT(11), BIT(11) | BIT(10), BIT(10)};
	static const bool legal[4][4] = {
		{true, true, false, false}, {true, true, true, false}, {true, false, true, false}};
	uint64_t value;

	for (unsigned from = 0; from < 3; from++) {
		for (unsigned to = 0; to < 4; to++) {
			setup(NULL);
			if (from == 0)
				assert_int_equal(wrmsr(1, MSR_APIC_BASE, LAPIC_GPA), MSR_OK);
			if (from == 2)
				x2apic(1);
			assert_int_equal(wrmsr(1, MSR_APIC_BASE, LAPIC_GPA | modes_of[to]),
					 legal[from][to] ? MSR_OK : MSR_INVALID);
			assert_int_equal(rdmsr(1, MSR_APIC_BASE, &value), MSR_OK);
			assert_int_equal(value,
					 LAPIC_GPA | modes_of[legal[from][to] ? to : from]);
		}
	}
	setup(NULL);
	/* No moving, no reserved bits; the boot processor's bit is not the guest's to change. */
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t base = LAPIC_GPA | BIT(11);

		if (bit != 8 && bit != 10 && bit != 11)
			assert_int_equal(wrmsr(1, MSR_APIC_BASE, base ^ BIT(bit)), MSR_INVALID);
	}
	assert_int_equal(wrmsr(0, MSR_APIC_BASE, LAPIC_GPA | BIT(11)), MSR_OK);
	assert_int_equal(rdmsr(0, MSR_APIC_BASE, &value), MSR_OK);
	assert_int_equal(value, LAPIC_GPA | BIT(11) | BIT(8));
}

static void disabling_stops_all(void **state __unused)
{
	enable(1);
	wr(1, 0x320, 0x20040);
	wr(1, 0x380, 1000000);
	lapic_request(&apic[1], 0x50, false);
	assert_int_equal(wrmsr(1, MSR_APIC_BASE, LAPIC_GPA), MSR_OK);
	assert_int_equal(armed_timers(), 0);
	assert_int_equal(take(1), -1);
	assert_int_equal(rd(1, 0xf0), 0xffffffff);
	wr(1, 0xf0, 0x1ff);
	lapic_request(&apic[1], 0x50, false);
	assert_int_equal(take(1), -1);
	/* By software: what is pending stays, local sources are masked. */
	setup(NULL);
	enable(1);
	wr(1, 0x320, 0x40);
	wr(1, 0xf0, 0xff);
	assert_int_equal(rd(1, 0x320), 0x10040);
}

static void x2apic_registers(void **state __unused)
{
	static const uint16_t readable[] = {
		0x802, 0x803, 0x808, 0x80a, 0x80d, 0x80f, 0x810, 0x811, 0x812, 0x813, 0x814, 0x815,
		0x816, 0x817, 0x818, 0x819, 0x81a, 0x81b, 0x81c, 0x81d, 0x81e, 0x81f, 0x820, 0x821,
		0x822, 0x823, 0x824, 0x825, 0x826, 0x827, 0x828, 0x830, 0x832, 0x833, 0x834, 0x835,
		0x836, 0x837, 0x838, 0x839, 0x83e};
	static const uint16_t writable[] = {0x808, 0x80b, 0x80f, 0x828, 0x830, 0x832, 0x833, 0x834,
					    0x835, 0x836, 0x837, 0x838, 0x83e};
	uint64_t value;

	for (uint32_t index = 0x800; index < 0x840; index++)
		assert_int_equal(rdmsr(1, index, &value), MSR_UNSUPPORTED);
	x2apic(1);
	assert_int_equal(wrmsr(1, 0x80f, 0x1ff), MSR_OK);
	for (uint32_t index = 0x800; index < 0x840; index++) {
		bool r = false, w = false;

		for (unsigned i = 0; i < ARRAY_SIZE(readable); i++)
			r |= readable[i] == index;
		for (unsigned i = 0; i < ARRAY_SIZE(writable); i++)
			w |= writable[i] == index;
		assert_int_equal(rdmsr(1, index, &value) == MSR_OK, r);
		if (index != 0x83f && index != 0x830)
			assert_int_equal(wrmsr(1, index, 0) == MSR_OK, w);
		/* Only the interrupt command has 64 bits. */
		if (index != 0x830)
			assert_true(wrmsr(1, index, BIT(32)) != MSR_OK);
	}
	assert_int_equal(wrmsr(1, 0x80f, 0x1ff), MSR_OK);
	assert_int_equal(wrmsr(1, 0x80b, 1), MSR_INVALID);
	assert_int_equal(wrmsr(1, 0x828, 1), MSR_INVALID);
	assert_int_equal(wrmsr(1, 0x808, 0x100), MSR_INVALID);
	assert_int_equal(rdmsr(1, 0x802, &value), MSR_OK);
	assert_int_equal(value, 1);
	assert_int_equal(rdmsr(1, 0x80d, &value), MSR_OK);
	assert_int_equal(value, 2);
	/* SELF IPI */
	assert_int_equal(wrmsr(1, 0x83f, 0x77), MSR_OK);
	assert_int_equal(take(1), 0x77);
	assert_int_equal(wrmsr(1, 0x83f, 0x100), MSR_INVALID);
	assert_int_equal(wrmsr(1, 0x83f, 0xf), MSR_OK);
	assert_int_equal(take(1), -1);
	assert_int_equal(wrmsr(1, 0x828, 0), MSR_OK);
	assert_int_equal(rdmsr(1, 0x828, &value), MSR_OK);
	assert_int_equal(value, 0x20);
	/* The memory-mapped registers are gone. */
	assert_int_equal(rd(1, 0x20), 0xffffffff);
	wr(1, 0xb0, 0);
	assert_int_equal(rdmsr(1, 0x813, &value), MSR_OK);
	assert_int_equal(value, 1u << (0x77 - 0x60));
}

static void local_sources(void **state __unused)
{
	enable(1);
	wr(1, 0x360, 0x400);
	lapic_local(&apic[1], LVT_LINT1);
	assert_int_equal(nmis_of[1], 1);
	wr(1, 0x360, 0x99);
	lapic_local(&apic[1], LVT_LINT1);
	assert_int_equal(take(1), 0x99);
	wr(1, 0xb0, 0);
	wr(1, 0x360, 0x10099);
	lapic_local(&apic[1], LVT_LINT1);
	assert_int_equal(take(1), -1);
	/* Writable bits only (SDM vol. 3, figure 11-8). */
	for (uint32_t reg = 0x320; reg <= 0x370; reg += 0x10) {
		static const uint32_t valid[] = {0x700ff, 0x107ff, 0x107ff,
						 0x1a7ff, 0x1a7ff, 0x100ff};

		wr(1, reg, 0xffffffff);
		assert_int_equal(rd(1, reg), valid[(reg - 0x320) / 0x10]);
	}
}

/* Masked by each interrupt on Intel, and never by AMD's APIC. */
static void counters_overflow(void **state __unused)
{
	enable(1);
	lapic_pmi(&apic[1]);
	assert_int_equal(take(1), -1);
	wr(1, 0x340, 0x98);
	for (unsigned i = 0; i < 2; i++) {
		lapic_pmi(&apic[1]);
		assert_int_equal(take(1), 0x98);
		wr(1, 0xb0, 0);
		assert_int_equal(rd(1, 0x340), 0x98);
	}
	pmu_offer.masks_lvt = true;
	lapic_pmi(&apic[1]);
	assert_int_equal(take(1), 0x98);
	wr(1, 0xb0, 0);
	assert_int_equal(rd(1, 0x340), 0x10098);
	lapic_pmi(&apic[1]);
	assert_int_equal(take(1), -1);
	wr(1, 0x340, 0x400);
	lapic_pmi(&apic[1]);
	assert_int_equal(nmis_of[1], 1);
	assert_int_equal(rd(1, 0x340), 0x10400);
	lapic_pmi(&apic[1]);
	assert_int_equal(nmis_of[1], 1);
	pmu_offer.masks_lvt = false;
}

/* Any access of any width by any CPU: no trap, bounded timers, invariants hold. */
static void hostile_accesses(void **state __unused)
{
	uint64_t seed = 5, value;

	for (unsigned step = 0; step < 200000; step++) {
		unsigned c, size;
		uint32_t reg;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		c = seed >> 40 & 3;
		reg = seed >> 20 & 0xfff;
		if (seed >> 19 & 1)
			reg &= 0xff0;
		size = 1u << (seed >> 60 & 3);
		value = seed * 0x9e3779b97f4a7c15ull >> (seed >> 50 & 63);
		switch (seed >> 56 & 7) {
		case 0:
			io_mmio_read(&vm.io, &cpu[c].base, LAPIC_GPA + reg, size);
			break;
		case 1 ... 3:
			io_mmio_write(&vm.io, &cpu[c].base, LAPIC_GPA + (reg & 0xff0), 4, value);
			break;
		case 4:
			wrmsr(c, 0x800 + (reg & 0x3f), value);
			break;
		case 5:
			if (step % 64 == 0)
				wrmsr(c, MSR_APIC_BASE, LAPIC_GPA | (value & 0xc00));
			wrmsr(c, MSR_TSC_DEADLINE, value);
			break;
		case 6:
			run_for(seed >> 30 & 0xffff);
			take(c);
			break;
		default:
			rdmsr(c, 0x800 + (reg & 0x3f), &value);
			lapic_deliver(&vm, &(struct irq_message){.dest = value >> 32,
								 .vector = value,
								 .delivery = value >> 8 & 7,
								 .logical = value >> 11 & 1,
								 .level = value >> 15 & 1});
		}
		for (unsigned i = 0; i < CPUS; i++) {
			int top = -1, pend;

			for (int vector = 0; vector < 256; vector++)
				if (apic[i].isr.bits[vector / 64] >> vector % 64 & 1)
					top = vector;
			assert_int_equal(apic[i].in_service, top);
			pend = source_bound->pending(&cpu[i]);
			assert_true(pend == -1 || pend >= 16);
			if (step % 16)
				break;
		}
		assert_true(armed_timers() <= CPUS);
	}
	/* A million periods' worth of time costs no more than the limit allows. */
	mock_fired = 0;
	run_for(100 * NS_PER_MS);
	assert_true(mock_fired <= CPUS * 100000 / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(after_reset, setup),
		cmocka_unit_test_setup(every_vector, setup),
		cmocka_unit_test_setup(illegal_vectors, setup),
		cmocka_unit_test_setup(priorities, setup),
		cmocka_unit_test_setup(level_and_edge, setup),
		cmocka_unit_test_setup(task_priority, setup),
		cmocka_unit_test_setup(pic_through_lint0, setup),
		cmocka_unit_test_setup(failed_deliveries, setup),
		cmocka_unit_test_setup(one_shot_timer, setup),
		cmocka_unit_test_setup(periodic_timer, setup),
		cmocka_unit_test_setup(masked_timer_is_silent, setup),
		cmocka_unit_test_setup(time_steps_back, setup),
		cmocka_unit_test_setup(timers_expire_elsewhere, setup),
		cmocka_unit_test_setup(flood_is_bounded, setup),
		cmocka_unit_test_setup(deadline_timer, setup),
		cmocka_unit_test_setup(modes, setup),
		cmocka_unit_test_setup(disabling_stops_all, setup),
		cmocka_unit_test_setup(x2apic_registers, setup),
		cmocka_unit_test_setup(local_sources, setup),
		cmocka_unit_test_setup(counters_overflow, setup),
		cmocka_unit_test_setup(hostile_accesses, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
