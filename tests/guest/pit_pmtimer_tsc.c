/* SPDX-License-Identifier: BSD-2-Clause */
/* Three clocks, the 8254, the ACPI PM timer and the TSC, agree within 2 %. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "pit_pmtimer_tsc";

static uint16_t pit_read(void)
{
	outb(0x43, 0x80); /* latch channel 2 */
	uint16_t v = inb(0x42);
	return (uint16_t)(v | inb(0x42) << 8);
}

/* TSC ticks of 40 ms by the PM timer and by channel 2. */
static uint64_t by_pm(void)
{
	uint32_t start = inl(PM_TIMER_PORT);
	uint64_t tsc = rdtsc();

	while (((inl(PM_TIMER_PORT) - start) & 0xffffff) < PM_TIMER_HZ / 25)
		;
	return rdtsc() - tsc;
}

static uint64_t by_pit(void)
{
	outb(0x61, (uint8_t)((inb(0x61) & ~2) | 1));
	outb(0x43, 0xb0); /* channel 2, mode 0 */
	outb(0x42, 0xff);
	outb(0x42, 0xff);
	uint16_t start = pit_read();
	uint64_t tsc = rdtsc();

	while ((uint16_t)(start - pit_read()) < PIT_HZ / 25)
		;
	return rdtsc() - tsc;
}

void test_main(void)
{
	uint64_t pm = 0, pit = 0, last = 0;

	/* The host may take the CPU away: the best of five counts. */
	for (unsigned i = 0; i < 5; i++) {
		pm = by_pm();
		pit = by_pit();
		uint64_t diff = pm > pit ? pm - pit : pit - pm;
		if (diff < pm / 50)
			break;
	}
	info("TSC %lu kHz by the PM timer, %lu kHz by the PIT", pm / 40, pit / 40);
	check((pm > pit ? pm - pit : pit - pm) < pm / 50, "they differ: %lu and %lu", pm, pit);
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t now = rdtsc();
		if (!check(now >= last, "the TSC runs backwards: %lu after %lu", now, last))
			break;
		last = now;
	}
	/* Output of channel 2 rises at the end of the count. */
	outb(0x43, 0xb0);
	outb(0x42, 0xff);
	outb(0x42, 0x0f);
	check(!(inb(0x61) & 0x20), "output is high before the end");
	delay_us(20000);
	check(inb(0x61) & 0x20, "output is low after the end");
}
