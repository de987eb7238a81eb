/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts to oneself: fixed, shorthand, priority order, TPR, in-service and request bits. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "self_ipi";

static volatile unsigned order[8], count;

static void low(struct frame *f)
{
	order[count++ & 7] = (unsigned)f->vector;
	lapic_write(LAPIC_EOI, 0);
}

static void nmi(struct frame *f)
{
	order[count++ & 7] = (unsigned)f->vector;
}

void test_main(void)
{
	lapic_enable();
	irq_set(0x61, low);
	irq_set(0x82, low);
	irq_set(0xa3, low);
	irq_set(VEC_NMI, nmi);
	/* Three requests while off: delivered by priority. */
	lapic_write(LAPIC_ICR, 0x40061);
	lapic_write(LAPIC_ICR, 0x400a3);
	lapic_write(LAPIC_ICR2, lapic_read(LAPIC_ID));
	lapic_write(LAPIC_ICR, 0x82);
	check(lapic_read(LAPIC_IRR + 0x30) == 2 && lapic_read(LAPIC_IRR + 0x40) == 4 &&
		      lapic_read(LAPIC_IRR + 0x50) == 8,
	      "request bits %#x %#x %#x", lapic_read(LAPIC_IRR + 0x30),
	      lapic_read(LAPIC_IRR + 0x40), lapic_read(LAPIC_IRR + 0x50));
	irq_on();
	delay_us(100);
	irq_off();
	check(count == 3 && order[0] == 0xa3 && order[1] == 0x82 && order[2] == 0x61,
	      "%u came: %#x %#x %#x", count, order[0], order[1], order[2]);
	check(!(lapic_read(LAPIC_IRR + 0x30) | lapic_read(LAPIC_ISR + 0x30)), "bits stay set");
	/* The task priority holds back its class and those below; CR8 is the same register. */
	count = 0;
	write_cr8(8);
	check(lapic_read(LAPIC_TPR) == 0x80, "TPR is %#x after CR8 = 8", lapic_read(LAPIC_TPR));
	lapic_write(LAPIC_ICR, 0x40061);
	lapic_write(LAPIC_ICR, 0x40082);
	lapic_write(LAPIC_ICR, 0x400a3);
	irq_on();
	delay_us(100);
	check(count == 1 && order[0] == 0xa3, "TPR 0x80 lets %u through", count);
	lapic_write(LAPIC_TPR, 0x70);
	delay_us(100);
	check(count == 2 && order[1] == 0x82, "TPR 0x70 lets %u through", count);
	check(read_cr8() == 7, "CR8 is %lu after TPR 0x70", read_cr8());
	write_cr8(0);
	delay_us(100);
	check(count == 3 && order[2] == 0x61, "TPR 0 lets %u through", count);
	irq_off();
	/* To oneself by physical ID, all including self, and an NMI. */
	count = 0;
	lapic_write(LAPIC_ICR, 0x80061);
	irq_on();
	delay_us(100);
	irq_off();
	check(count == 1, "all including self: %u", count);
	count = 0;
	lapic_write(LAPIC_ICR2, lapic_read(LAPIC_ID));
	lapic_write(LAPIC_ICR, 0x4400);
	delay_us(100);
	check(count == 1 && order[0] == VEC_NMI, "%u NMIs", count);
	lapic_write(LAPIC_ICR, 0xc0061);
	irq_on();
	delay_us(100);
	irq_off();
	check(count == 1, "all excluding self came to self");
}
