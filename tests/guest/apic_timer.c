/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC timer, once and periodically, with the count that can be read back. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "apic_timer";

static volatile unsigned ticks;

static void tick(struct frame *f)
{
	(void)f;
	ticks++;
	lapic_write(LAPIC_EOI, 0);
}

/* How far the timer counts in 10 ms with @divide in its divide register. */
static uint32_t count_10ms(uint32_t divide)
{
	lapic_write(LAPIC_TDCR, divide);
	lapic_write(LAPIC_TMICT, 0xffffffff);
	delay_us(10000);
	return 0xffffffff - lapic_read(LAPIC_TMCCT);
}

void test_main(void)
{
	uint32_t count = 0, per_10ms = 0, sixteenth;

	irq_set(0x40, tick);
	lapic_enable();
	lapic_write(LAPIC_LVTT, 0x10040);
	/* The host may take the CPU away: one good pair of three is enough. */
	for (unsigned i = 0; i < 3; i++) {
		per_10ms = count_10ms(0xb); /* divide by 1 */
		count = count_10ms(3);	    /* divide by 16 */
		sixteenth = per_10ms / 16;
		if (count > sixteenth / 10 * 8 && count < sixteenth / 10 * 13)
			break;
	}
	check(per_10ms > 1000, "counts %u in 10 ms", per_10ms);
	info("%u kHz", per_10ms / 10);
	check(count > sixteenth / 10 * 8 && count < sixteenth / 10 * 13,
	      "divided by 16 counts %u, by 1 %u", count, per_10ms);
	lapic_write(LAPIC_TMICT, 0);
	lapic_write(LAPIC_TDCR, 0xb);

	/* Once. */
	lapic_write(LAPIC_LVTT, 0x40);
	lapic_write(LAPIC_TMICT, per_10ms);
	while (!ticks)
		irq_wait();
	irq_on();
	delay_us(30000);
	irq_off();
	check(ticks == 1, "one shot came %u times", ticks);
	check(lapic_read(LAPIC_TMCCT) == 0, "count is %u after the shot", lapic_read(LAPIC_TMCCT));

	/* Periodically: ten in about 100 ms. */
	ticks = 0;
	lapic_write(LAPIC_LVTT, 0x20040);
	lapic_write(LAPIC_TMICT, per_10ms);
	uint32_t start = inl(PM_TIMER_PORT);
	while (ticks < 10)
		irq_wait();
	uint32_t took = (inl(PM_TIMER_PORT) - start) & 0xffffff;
	check(took > PM_TIMER_HZ / 1000 * 70 && took < PM_TIMER_HZ / 1000 * 600,
	      "10 periods of 10 ms took %u PM timer ticks", took);

	/* Masked, stopped: silence. */
	lapic_write(LAPIC_LVTT, 0x10040);
	ticks = 0;
	irq_on();
	delay_us(30000);
	irq_off();
	check(!ticks, "%u ticks while masked", ticks);
	lapic_write(LAPIC_LVTT, 0x20040);
	lapic_write(LAPIC_TMICT, 0);
	ticks = 0;
	irq_on();
	delay_us(30000);
	irq_off();
	check(!ticks, "%u ticks while stopped", ticks);
}
