/* SPDX-License-Identifier: BSD-2-Clause */
/* Measures the TSC and the local APIC timer against channel 2 of the 8254. */
#include "socle/cpu/apic.h"
#include "socle/cpu/regs.h"
#include "socle/cpu/tsc.h"

enum {
	PIT_HZ = 1193182,
	PIT_CHANNEL2 = 0x42,
	PIT_COMMAND = 0x43,
	PIT_LATCH2 = 0x80,
	PIT_MODE0_CHANNEL2 = 0xb0, /* low then high byte, interrupt on terminal count */
	PORT_B = 0x61,
	PORT_B_GATE2 = 1,
	PORT_B_SPEAKER = 2,
	MEASURE_TICKS = PIT_HZ / 100, /* 10 ms */
	READ_TRIES = 8,
	MEASURE_TRIES = 10,
	MAX_READS = 10000000, /* several seconds, with a counter that stands still */
};

enum outcome { MEASURED, HELD_UP, STANDS_STILL };

uint64_t tsc_hz;
uint64_t tsc_to_ns;

/* One reading of all three counters, as simultaneous as it can be had. */
struct sample {
	uint64_t tsc;
	uint32_t pit;  /* counts down */
	uint32_t apic; /* counts up here */
};

static uint32_t pit_read(void)
{
	uint32_t lo;

	out8(PIT_COMMAND, PIT_LATCH2);
	lo = in8(PIT_CHANNEL2);
	return lo | (uint32_t)in8(PIT_CHANNEL2) << 8;
}

/* Of several readings takes the quickest: an SMI or a busy emulator spoils only slow ones. */
static struct sample sample(void)
{
	struct sample best = {0};
	uint64_t best_time = UINT64_MAX;

	for (unsigned i = 0; i < READ_TRIES; i++) {
		uint64_t before = rdtsc();
		uint32_t pit = pit_read();
		uint32_t apic = apic_timer_elapsed();
		uint64_t after = rdtsc();

		if (after - before >= best_time)
			continue;
		best_time = after - before;
		best = (struct sample){before + best_time / 2, pit, apic};
	}
	return best;
}

/*
 * Waits for MEASURE_TICKS between two samples. An emulator that is held up meanwhile would let the
 * 16-bit counter wrap unseen, so a pause as long as half of the whole asks for another try.
 */
static enum outcome measure(struct sample *first, struct sample *last)
{
	uint64_t longest = 0, before, now;

	*first = sample();
	before = first->tsc;
	for (unsigned i = 0; ((first->pit - pit_read()) & 0xffff) < MEASURE_TICKS; i++) {
		if (i == MAX_READS)
			return STANDS_STILL;
		now = rdtsc();
		longest = MAX(longest, now - before);
		before = now;
	}
	*last = sample();
	return longest > (last->tsc - first->tsc) / 2 ? HELD_UP : MEASURED;
}

bool tsc_calibrate(void)
{
	struct sample first, last;
	enum outcome outcome;
	uint64_t ticks;

	out8(PORT_B, (in8(PORT_B) & ~PORT_B_SPEAKER) | PORT_B_GATE2);
	out8(PIT_COMMAND, PIT_MODE0_CHANNEL2);
	out8(PIT_CHANNEL2, 0xff);
	out8(PIT_CHANNEL2, 0xff);
	apic_timer_measure();
	for (unsigned i = 0; i < MEASURE_TRIES; i++) {
		outcome = measure(&first, &last);
		if (outcome != HELD_UP)
			break;
	}
	if (outcome == STANDS_STILL)
		return false;
	ticks = (first.pit - last.pit) & 0xffff;
	tsc_hz = (last.tsc - first.tsc) * PIT_HZ / ticks;
	tsc_to_ns = (1000000000ull << 32) / tsc_hz;
	apic_timer_rate((uint64_t)(last.apic - first.apic) * PIT_HZ / ticks);
	return true;
}
