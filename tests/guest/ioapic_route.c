/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O APIC sends a line to the CPU that its entry names; a level waits for that CPU's EOI. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "ioapic_route";

#define UART 0x3f8

enum {
	VECTOR_TIMER = 0x50,
	VECTOR_LEVEL = 0x60,
	VECTOR_PASSED = 0x40, /* below the timer's: what was sent before it comes before it */
	PIN_TIMER = 2,
	PIN_UART = 4,
	TICKS = 10,
	LEVELS = 3, /* how often the level is left as it is */
};

/* Parts of an entry's low half (82093AA, 3.2.4). */
enum {
	ENTRY_LOWEST = 1 << 8,
	ENTRY_LOGICAL = 1 << 11,
	ENTRY_REMOTE_IRR = 1 << 14,
	ENTRY_LEVEL = 1 << 15,
	ENTRY_MASKED = 1 << 16,
};

static volatile uint32_t ticks[SMP_MAX], levels[SMP_MAX], bad_irr, at_once, passed;
static volatile bool stop, in_service;

static void on_tick(struct frame *f)
{
	(void)f;
	atomic_add(&ticks[cpu_id()], 1);
	apic_eoi();
}

/* The transmitter of the UART is empty until someone reads so. */
static void on_level(struct frame *f)
{
	(void)f;
	if (in_service)
		at_once++;
	in_service = true;
	if (!(ioapic_read(0x10 + 2 * PIN_UART) & ENTRY_REMOTE_IRR))
		bad_irr++;
	/* Time for it to come to another one, or again, if the wait for EOI is missing. */
	delay_us(1000);
	if (atomic_add(&levels[cpu_id()], 1) > LEVELS)
		inb(UART + 2);
	in_service = false;
	apic_eoi();
}

static void on_passed(struct frame *f)
{
	(void)f;
	atomic_add(&passed, 1);
	apic_eoi();
}

/* Waits until each CPU has taken all that was sent to it; one may have to wait for a real CPU. */
static void settle(void)
{
	passed = 0;
	irq_on();
	apic_ipi(0, ICR_ALL | ICR_ASSERT | VECTOR_PASSED);
	if (!check(WAIT_FOR(passed == smp_count, SMP_PATIENCE), "only %u CPUs take interrupts",
		   passed))
		finish();
	irq_off();
}

static void listen(void *unused)
{
	(void)unused;
	apic_write(LAPIC_DFR, 0xffffffff);
	apic_write(LAPIC_LDR, 1u << (24 + cpu_id()));
	while (!stop)
		irq_wait();
}

static void route(unsigned pin, uint32_t dest, uint32_t low)
{
	ioapic_write((uint8_t)(0x10 + 2 * pin), ENTRY_MASKED);
	ioapic_write((uint8_t)(0x11 + 2 * pin), dest << 24);
	ioapic_write((uint8_t)(0x10 + 2 * pin), low);
}

static uint32_t sum(volatile uint32_t *counts)
{
	uint32_t all = 0;

	for (unsigned i = 0; i < smp_count; i++)
		all += counts[i];
	return all;
}

/* The timer's ticks, @low being how they are sent to @dest, come to those in @set. */
static void check_timer(const char *what, uint32_t set, uint32_t dest, uint32_t low)
{
	uint32_t outside = 0;

	for (unsigned i = 0; i < smp_count; i++)
		ticks[i] = 0;
	route(PIN_TIMER, dest, low | VECTOR_TIMER);
	irq_on();
	if (!check(WAIT_FOR(sum(ticks) >= TICKS, 10000), "%s to %#x: %u ticks", what, dest,
		   sum(ticks)))
		finish();
	route(PIN_TIMER, dest, ENTRY_MASKED);
	settle();
	for (unsigned i = 0; i < smp_count; i++)
		if (!(set >> i & 1))
			outside += ticks[i];
	check(!outside, "%s to %#x: %u ticks came to others", what, dest, outside);
}

/* Each edge goes to one CPU: as many ticks as the one-shot timer was started. */
static void check_once(uint32_t dest)
{
	for (unsigned i = 0; i < smp_count; i++)
		ticks[i] = 0;
	route(PIN_TIMER, dest, ENTRY_LOGICAL | ENTRY_LOWEST | VECTOR_TIMER);
	irq_on();
	for (uint32_t n = 1; n <= TICKS; n++) {
		pit_start(0, PIT_HZ / 1000);
		if (!check(WAIT_FOR(sum(ticks) >= n, 10000), "lowest priority: %u of %u ticks",
			   sum(ticks), n))
			finish();
		delay_us(2000);
		settle();
		irq_on();
		check(sum(ticks) == n, "lowest priority: %u of %u ticks", sum(ticks), n);
	}
	irq_off();
	route(PIN_TIMER, dest, ENTRY_MASKED);
}

static void check_level(unsigned cpu)
{
	for (unsigned i = 0; i < smp_count; i++)
		levels[i] = 0;
	bad_irr = at_once = 0;
	route(PIN_UART, smp_cpus[cpu].apic_id, ENTRY_LEVEL | VECTOR_LEVEL);
	irq_on();
	outb(UART + 4, 0xb); /* its interrupt is connected */
	outb(UART + 1, 2);
	check(WAIT_FOR(levels[cpu] > LEVELS, 10000), "CPU %u: the level came %u times", cpu,
	      levels[cpu]);
	delay_us(20000);
	settle();
	outb(UART + 1, 0);
	outb(UART + 4, 3);
	check(sum(levels) == LEVELS + 1 && levels[cpu] == LEVELS + 1,
	      "CPU %u: the level came %u times, %u in all", cpu, levels[cpu], sum(levels));
	check(!bad_irr, "CPU %u: remote IRR was clear %u times", cpu, bad_irr);
	check(!at_once, "CPU %u: the level came %u times before EOI", cpu, at_once);
	check(!(ioapic_read(0x10 + 2 * PIN_UART) & ENTRY_REMOTE_IRR),
	      "CPU %u: remote IRR is still set", cpu);
	route(PIN_UART, 0, ENTRY_MASKED);
}

void test_main(void)
{
	smp_init(2, 8);
	irq_set(VECTOR_TIMER, on_tick);
	irq_set(VECTOR_LEVEL, on_level);
	irq_set(VECTOR_PASSED, on_passed);
	smp_start_others();
	apic_write(LAPIC_DFR, 0xffffffff);
	apic_write(LAPIC_LDR, 1u << 24);
	for (unsigned i = 1; i < smp_count; i++)
		smp_run(i, listen, NULL);
	delay_us(1000);
	pit_start(2, PIT_HZ / 200);
	for (unsigned i = 0; i < smp_count; i++)
		check_timer("physical", 1u << i, smp_cpus[i].apic_id, 0);
	for (unsigned i = 0; i < smp_count; i++)
		check_timer("logical", 1u << i, 1u << i, ENTRY_LOGICAL);
	check_timer("logical", 3, 3, ENTRY_LOGICAL);
	check_timer("lowest priority", (uint32_t)BIT(smp_count) - 2, 0xfe,
		    ENTRY_LOGICAL | ENTRY_LOWEST);
	check_once((uint32_t)BIT(smp_count) - 1);
	check_level(smp_count - 1);
	for (unsigned i = 0; i < smp_count; i++)
		check_level(i);
	stop = true;
	apic_ipi(0, ICR_OTHERS | ICR_ASSERT | VECTOR_PASSED);
	for (unsigned i = 1; i < smp_count; i++)
		smp_join(i);
}
