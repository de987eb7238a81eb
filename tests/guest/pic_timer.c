/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8254 interrupts through the 8259 pair, at the rate that it was given. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "pic_timer";

static volatile unsigned ticks;

static void tick(struct frame *f)
{
	(void)f;
	ticks++;
	outb(0x20, 0x20);
}

void test_main(void)
{
	uint32_t start, took;

	irq_set(0x20, tick);
	pic_init(0x20, 0xfffe);
	lapic_write(LAPIC_SVR, 0x1ff);
	lapic_write(LAPIC_LVT0, 0x700); /* ExtINT: the PIC's line goes through */
	pit_start(2, PIT_HZ / 100);
	while (ticks < 2)
		irq_wait();
	start = inl(PM_TIMER_PORT);
	while (ticks < 22)
		irq_wait();
	took = (inl(PM_TIMER_PORT) - start) & 0xffffff;
	info("20 ticks of 10 ms in %u us", (unsigned)(took * 1000000ull / PM_TIMER_HZ));
	check(took > PM_TIMER_HZ / 1000 * 150 && took < PM_TIMER_HZ / 1000 * 900,
	      "20 ticks of 10 ms took %u PM timer ticks", took);
	/* Masked: nothing comes; in service: ISR shows it. */
	outb(0x21, 0xff);
	unsigned before = ticks;
	irq_on();
	delay_us(30000);
	irq_off();
	check(ticks == before, "interrupts while masked");
	outb(0x20, 0x0a);
	check(inb(0x20) & 1, "IRR does not show the masked request");
	outb(0x20, 0x0b);
	check(inb(0x20) == 0, "ISR is not empty");
	check(inb(0x21) == 0xff, "IMR cannot be read back");
}
