/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8254 interrupts through pin 2 of the I/O APIC, edge-triggered. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "ioapic_timer";

static volatile unsigned ticks;

static void tick(struct frame *f)
{
	(void)f;
	ticks++;
	lapic_write(LAPIC_EOI, 0);
}

void test_main(void)
{
	lapic_enable();
	irq_set(0x50, tick);
	check((ioapic_read(1) & 0xff) >= 0x10, "version is %#x", ioapic_read(1));
	check((ioapic_read(1) >> 16 & 0xff) == 23, "highest pin is %u",
	      ioapic_read(1) >> 16 & 0xff);
	ioapic_write(0x14, 0x10000);
	ioapic_write(0x15, lapic_read(LAPIC_ID) & 0xff000000);
	check(ioapic_read(0x14) == 0x10000, "pin 2 reads %#x", ioapic_read(0x14));
	ioapic_write(0x14, 0x50);
	pit_start(2, PIT_HZ / 100);
	while (ticks < 10)
		irq_wait();
	ioapic_write(0x14, 0x10050);
	unsigned before = ticks;
	irq_on();
	delay_us(30000);
	irq_off();
	check(ticks <= before + 1, "%u ticks while masked", ticks - before);
	/* One shot: exactly one edge. */
	irq_on();
	delay_us(1000);
	ticks = 0;
	ioapic_write(0x14, 0x50);
	pit_start(0, PIT_HZ / 100);
	delay_us(50000);
	irq_off();
	check(ticks == 1, "one shot came %u times", ticks);
}
