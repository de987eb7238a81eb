/* SPDX-License-Identifier: BSD-2-Clause */
/* The 16550: registers, loop-back, and the transmitter interrupt through IRQ 4. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "uart";

#define UART 0x3f8

static volatile unsigned interrupts, reason;

static void irq4(struct frame *f)
{
	(void)f;
	reason = inb(UART + 2);
	interrupts++;
	outb(0x20, 0x20);
}

void test_main(void)
{
	outb(UART + 7, 0x5a);
	check(inb(UART + 7) == 0x5a, "scratch register reads %#x", inb(UART + 7));
	outb(UART + 3, 0x83);
	check(inb(UART) == 1 && inb(UART + 1) == 0, "divisor reads %u", inb(UART));
	outb(UART + 3, 3);
	check(inb(UART + 3) == 3, "line control reads %#x", inb(UART + 3));
	check((inb(UART + 2) & 0xc0) == 0xc0, "FIFOs are off: IIR %#x", inb(UART + 2));
	while (!(inb(UART + 5) & 0x40))
		;
	/* Loop-back: the modem lines come back, and so does a byte. */
	outb(UART + 4, 0x10 | 0xb);
	check((inb(UART + 6) & 0xf0) == 0xb0, "loop-back: MSR %#x", inb(UART + 6));
	outb(UART, 0x42);
	for (unsigned i = 0; i < 1000 && !(inb(UART + 5) & 1); i++)
		delay_us(10);
	check(inb(UART + 5) & 1, "loop-back: no byte came");
	check(inb(UART) == 0x42, "loop-back: wrong byte");
	check(!(inb(UART + 5) & 1), "data ready stays set");
	outb(UART + 4, 0xb);
	/* Turning the transmitter interrupt on while it is empty raises it at once. */
	irq_set(0x24, irq4);
	pic_init(0x20, 0xffef);
	lapic_write(LAPIC_SVR, 0x1ff);
	lapic_write(LAPIC_LVT0, 0x700);
	outb(UART + 1, 2);
	irq_on();
	delay_us(10000);
	irq_off();
	check(interrupts == 1 && (reason & 0xf) == 2, "THRE: %u interrupts, IIR %#x", interrupts,
	      reason);
	check((inb(UART + 2) & 0xf) == 1, "IIR is %#x after it was read", inb(UART + 2));
	outb(UART, ' ');
	irq_on();
	delay_us(20000);
	irq_off();
	check(interrupts == 2, "%u interrupts after a byte", interrupts);
	outb(UART, '\r');
	irq_on();
	delay_us(20000);
	irq_off();
	outb(UART + 1, 0);
	check(interrupts == 3, "%u interrupts after two bytes", interrupts);
}
