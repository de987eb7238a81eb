/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC and the chips of the board, as `paint` fills and looks at them. */
#ifndef PAINT_CHIPS_H
#define PAINT_CHIPS_H

#include "paint_pattern.h"

/*
 * Local APIC: the pattern is the timer's initial count, a tick every 8 to 16 ms, and which
 * interrupts are pending below the task priority.
 */
enum {
	TICK = 0xf0,
	PERIODIC = 0x20000,
	PENDING_FIRST = 0x60,
	PENDING_REG = LAPIC_IRR + 0x30,
	PRIORITY = 0x80
};
static volatile unsigned ticks;

static void tick(struct frame *f)
{
	(void)f;
	ticks++;
	lapic_write(LAPIC_EOI, 0);
}

static void look_apic_registers(uint32_t (*get)(uint32_t reg))
{
	for (uint32_t i = 0; i < 8; i++) {
		bool any = get(LAPIC_ISR + 16 * i) | get(LAPIC_ISR + 0x80 + 16 * i) |
			   get(LAPIC_IRR + 16 * i);

		initial(!any, "an interrupt");
	}
	initial(get(LAPIC_TMICT) == 0 && get(LAPIC_TMCCT) == 0, "the local APIC's timer");
	initial(get(LAPIC_LVTT) == 0x10000 && get(LAPIC_LVT1) == 0x10000 && get(0x330) == 0x10000 &&
			get(0x340) == 0x10000 && get(0x370) == 0x10000,
		"a local vector");
	initial(get(LAPIC_TPR) == 0 && get(LAPIC_SVR) == 0xff, "TPR or SVR");
}

static uint32_t x2apic_read(uint32_t reg)
{
	return (uint32_t)rdmsr(0x800 + reg / 16);
}

static void look_x2apic(void)
{
	uint64_t base = rdmsr(0x1b), v = 0;

	wrmsr(0x1b, base | BIT(10));
	for (uint32_t i = 0x800; i < 0x900; i++)
		sight(K_APIC, rdmsr_safe(i, &v) == -1 && has_tag(v),
		      "x2APIC register %#x has the pattern", i);
	look_apic_registers(x2apic_read);
	wrmsr(0x1b, base & ~(uint64_t)BIT(11));
	wrmsr(0x1b, base);
}

static void look_apic(void)
{
	for (uint32_t i = 0; i < PAGE_SIZE; i += 4)
		sight(i == PENDING_REG ? K_PENDING : K_APIC, has_tag(lapic_read(i)),
		      "local APIC: the pattern is at %#x", i);
	look_apic_registers(lapic_read);
	if (on_socle && !own && (cpuid(1, 0).ecx & BIT(21)))
		look_x2apic();
}

static void paint_apic(void)
{
	uint32_t all = (uint32_t)tag();

	lapic_write(LAPIC_SVR, 0x1ff);
	lapic_write(LAPIC_TPR, PRIORITY);
	lapic_write(LAPIC_LVT0, 0x10000 | 0x55);
	lapic_write(LAPIC_LVT1, 0x10000 | (all >> 16 & 0xff));
	lapic_write(0x370, 0x10000 | (all >> 8 & 0xff));
	lapic_write(LAPIC_LDR, all << 24);
	lapic_write(LAPIC_TDCR, 0xb);
	lapic_write(LAPIC_LVTT, 0x10000 | PERIODIC | TICK);
	lapic_write(LAPIC_TMICT, all);
	for (unsigned i = 0; i < TAG_BITS; i++)
		if (all >> i & 1)
			lapic_write(LAPIC_ICR, 0x44000 | (PENDING_FIRST + i));
	lapic_write(LAPIC_ICR2, all << 24);
	painted[K_APIC] = painted[K_PENDING] = 1;
}

static void recheck_apic(void)
{
	check(lapic_read(PENDING_REG) == tag() && lapic_read(LAPIC_TMICT) == tag() &&
		      lapic_read(LAPIC_TPR) == PRIORITY &&
		      lapic_read(LAPIC_LVT1) == (0x10000 | (tag() >> 16 & 0xff)),
	      "local APIC: a value was lost");
}

/* The chips of the board. */
enum {
	PM1_ENABLE = 0x602,
	PM1_CONTROL = 0x604,
	PM1_PAINT = 0x320,
	CMOS_FIRST = 0x40,
	CMOS_LAST = 0x57,
	CMOS_LIFE = 0x5a,
	SECOND_LIFE = 0xa5,
	IOAPIC_PINS = 24
};

static uint8_t cmos_read(uint8_t i)
{
	outb(0x70, i);
	return inb(0x71);
}

static void cmos_write(uint8_t i, uint8_t v)
{
	outb(0x70, i);
	outb(0x71, v);
}

static void look_cmos(void)
{
	uint32_t window = 0;

	for (uint8_t i = 0; i < 128; i++) {
		window = window >> 8 | (uint32_t)cmos_read(i) << 16;
		sight(K_CMOS, has_tag(window), "CMOS byte %#x has the pattern", i);
	}
	window = cmos_read(1) | (uint32_t)cmos_read(3) << 8 | (uint32_t)cmos_read(5) << 16;
	sight(K_ALARM, has_tag(window), "the alarm has the pattern");
}

static uint16_t pit_count(void)
{
	uint8_t low;

	outb(0x43, 0x80); /* latch channel 2 */
	low = inb(0x42);
	return (uint16_t)(low | inb(0x42) << 8);
}

static void look_chips(bool battery)
{
	bool clean = true;

	sight(K_PCI, inl(0xcf8) == tagged(0, BIT(31)) || has_tag(inl(0xcf8)),
	      "the PCI address has the pattern");
	initial(inl(0xcf8) == 0, "the PCI address");
	sight(K_PIT, pit_count() == (uint16_t)tag(), "PIT channel 2 has the pattern");
	sight(K_UART, inb(0x3ff) == (uint8_t)(tag() | 1), "the UART's scratch has the pattern");
	initial(inb(0x3ff) == 0, "the UART's scratch");
	sight(K_PIC, inb(0x21) == (uint8_t)tag() && inb(0xa1) == (uint8_t)(tag() >> 8),
	      "the PIC's masks have the pattern");
	initial(inb(0x21) == 0xff && inb(0xa1) == 0xff, "the PIC's mask");
	for (uint8_t i = 0; i < IOAPIC_PINS; i++) {
		uint32_t low = ioapic_read((uint8_t)(0x10 + 2 * i));
		uint32_t high = ioapic_read((uint8_t)(0x11 + 2 * i));

		sight(K_IOAPIC,
		      (low & 0xff) == (uint8_t)tag() && high >> 24 == (uint8_t)(tag() >> 8),
		      "I/O APIC entry %u has the pattern", i);
		clean &= low == 0x10000 && !high;
	}
	initial(clean, "the I/O APIC");
	if (on_socle)
		initial(inw(PM1_ENABLE) == 0 && inw(PM1_CONTROL) == 1, "a power register");
	if (!battery)
		look_cmos();
}

static void paint_chips(void)
{
	uint32_t all = (uint32_t)tag();

	pic_init(0x20, (uint16_t)all);
	for (uint8_t i = 0; i < IOAPIC_PINS; i++) {
		ioapic_write((uint8_t)(0x11 + 2 * i), all >> 8 << 24);
		ioapic_write((uint8_t)(0x10 + 2 * i), 0x10000 | (all & 0xff));
	}
	outb(0x61, 0); /* gate of channel 2: it does not count */
	outb(0x43, 0xb0);
	outb(0x42, (uint8_t)all);
	outb(0x42, (uint8_t)(all >> 8));
	outb(0x3ff, (uint8_t)(all | 1));
	if (on_socle)
		outw(PM1_ENABLE, PM1_PAINT);
	for (uint8_t i = CMOS_FIRST; i <= CMOS_LAST; i++)
		cmos_write(i, (uint8_t)(all >> 8 * ((i - CMOS_FIRST) % 3)));
	for (uint8_t i = 0; i < 3; i++)
		cmos_write((uint8_t)(2 * i + 1), (uint8_t)(all >> 8 * i));
	outl(0xcf8, BIT(31) | all);
	painted[K_PCI] = has_tag(inl(0xcf8));
	painted[K_PIT] = pit_count() == (uint16_t)all;
	painted[K_IOAPIC] = painted[K_CMOS] = painted[K_ALARM] = painted[K_UART] = painted[K_PIC] =
		1;
}

static void recheck_chips(void)
{
	uint32_t all = (uint32_t)tag();
	bool ok = true;

	check(inb(0x3ff) == (uint8_t)(all | 1), "the UART's scratch was lost");
	check(!painted[K_PIT] || pit_count() == (uint16_t)all, "the PIT's count was lost");
	check(inb(0x21) == (uint8_t)all && inb(0xa1) == (uint8_t)(all >> 8), "a mask was lost");
	check(!on_socle || inw(PM1_ENABLE) == PM1_PAINT, "a power register was lost");
	for (uint8_t i = CMOS_FIRST; i <= CMOS_LAST; i++)
		ok &= cmos_read(i) == (uint8_t)(all >> 8 * ((i - CMOS_FIRST) % 3));
	check(ok, "CMOS was lost");
}

#endif
