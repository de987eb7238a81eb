/* SPDX-License-Identifier: BSD-2-Clause */
/* The MC146818 clock: time runs, update flag, square-wave interrupt, CMOS memory. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "rtc";

static uint8_t cmos(uint8_t reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void cmos_write(uint8_t reg, uint8_t v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

static unsigned bin(uint8_t v)
{
	return cmos(0xb) & 4 ? v : (v >> 4) * 10u + (v & 15);
}

static volatile unsigned ticks;

static void tick(struct frame *f)
{
	(void)f;
	ticks++;
	cmos(0xc);
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

void test_main(void)
{
	unsigned sec = bin(cmos(0)), year = bin(cmos(9)), month = bin(cmos(8));

	check(cmos(0xd) & 0x80, "battery is flat");
	check((cmos(0xb) & 2) == 2, "not in 24-hour mode");
	check(month >= 1 && month <= 12, "month %u", month);
	check(bin(cmos(7)) >= 1 && bin(cmos(7)) <= 31, "day %u", bin(cmos(7)));
	check(bin(cmos(4)) < 24 && bin(cmos(2)) < 60 && sec < 60, "time of day");
	check(year >= 24 && year < 80, "year %u", year);
	info("20%02u-%02u-%02u %02u:%02u:%02u", year, month, bin(cmos(7)), bin(cmos(4)),
	     bin(cmos(2)), sec);
	unsigned waited = 0;
	while (bin(cmos(0)) == sec && waited++ < 150)
		delay_us(10000);
	check(waited < 150, "seconds stand still");
	/* A second lasts a second. */
	sec = bin(cmos(0));
	uint32_t start = inl(PM_TIMER_PORT);
	for (waited = 0; bin(cmos(0)) == sec && waited < 3000; waited++)
		delay_us(1000);
	uint32_t took = (inl(PM_TIMER_PORT) - start) & 0xffffff;
	check(took > PM_TIMER_HZ / 10 * 9 && took < PM_TIMER_HZ / 10 * 12,
	      "a second takes %u PM timer ticks", took);
	/* Periodic interrupt, 1024 Hz, on IRQ 8. */
	irq_set(0x28, tick);
	pic_init(0x20, 0xfefb);
	lapic_write(LAPIC_SVR, 0x1ff);
	lapic_write(LAPIC_LVT0, 0x700);
	uint8_t a = cmos(0xa), b = cmos(0xb);
	cmos(0xc);
	cmos_write(0xa, (uint8_t)((a & 0xf0) | 6));
	cmos_write(0xb, b | 0x40);
	irq_on();
	for (waited = 0; ticks < 20 && waited < 100; waited++)
		delay_us(10000);
	irq_off();
	check(ticks >= 20, "%u periodic interrupts", ticks);
	cmos_write(0xb, b);
	cmos_write(0xa, a);
	/* CMOS memory keeps what it is given. */
	uint8_t old = cmos(0x50);
	cmos_write(0x50, 0xa5);
	check(cmos(0x50) == 0xa5, "CMOS byte reads %#x", cmos(0x50));
	cmos_write(0x50, old);
}
