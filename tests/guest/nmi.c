/* SPDX-License-Identifier: BSD-2-Clause */
/* NMIs: one that comes while another is handled waits for its IRET, and no more than one does;
 * after that IRET, the next one ends HLT. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "nmi";

enum { ICR_NMI = 0x4400, LOOPS = 100000 };
enum { PIN_TIMER = 0x14, PIN_NMI = 0x400, PIN_MASKED = 0x10000 };
enum { WATCHDOG = 0x60, LVT_MASKED = 0x10000, TRIES = 3 };

static volatile unsigned count, more, inside, timeouts;
static volatile uint64_t stack[4];

static void send(void)
{
	lapic_write(LAPIC_ICR2, lapic_read(LAPIC_ID));
	lapic_write(LAPIC_ICR, ICR_NMI);
}

static void nmi(struct frame *f)
{
	unsigned n = count++;

	if (n < 4)
		stack[n] = (uint64_t)f;
	if (n)
		return;
	for (unsigned i = 0; i < more; i++)
		send();
	for (unsigned i = 0; i < LOOPS; i++)
		barrier();
	inside = count;
}

/* Sends one NMI, whose handler sends @n more; returns how many came without a further exit. */
static unsigned run(unsigned n)
{
	unsigned seen;

	count = 0;
	more = n;
	send();
	for (unsigned i = 0; i < LOOPS && count < 2; i++)
		barrier();
	seen = count;
	check(inside == 1, "%u NMIs in the handler of the first", inside);
	return seen;
}

static void on_watchdog(struct frame *f)
{
	timeouts++;
	lapic_write(LAPIC_EOI, 0);
}

/* The 8254 sends NMIs through the I/O APIC, each 10 ms, so none before the HLT is missed. */
static void start_timer(void)
{
	ioapic_write(PIN_TIMER + 1, lapic_read(LAPIC_ID) & 0xff000000);
	pit_start(2, PIT_HZ / 100);
	ioapic_write(PIN_TIMER, PIN_NMI);
}

static void stop_timer(void)
{
	ioapic_write(PIN_TIMER, PIN_MASKED);
	pit_start(0, 1);
}

/* How far the local APIC's timer counts in half a second. */
static uint32_t half_second(void)
{
	lapic_write(LAPIC_TDCR, 0xa); /* divide by 128 */
	lapic_write(LAPIC_LVTT, LVT_MASKED);
	lapic_write(LAPIC_TMICT, 0xffffffff);
	delay_us(10000);
	return (0xffffffff - lapic_read(LAPIC_TMCCT)) * 50;
}

/* A watchdog ends the HLT if no NMI does. True if it had not to. */
static bool wakes_with_interrupts(uint32_t patience)
{
	unsigned before = timeouts;

	run(0);
	start_timer();
	lapic_write(LAPIC_LVTT, WATCHDOG);
	lapic_write(LAPIC_TMICT, patience);
	irq_wait();
	lapic_write(LAPIC_TMICT, 0);
	stop_timer();
	return timeouts == before;
}

/* The handler of an earlier NMI has returned. */
static void check_halt(void)
{
	uint32_t patience = half_second();
	bool woke = false;

	irq_set(WATCHDOG, on_watchdog);
	/* The host may take the CPU away for longer than the watchdog waits. */
	for (unsigned i = 0; i < TRIES && !woke; i++)
		woke = wakes_with_interrupts(patience);
	if (!check(woke, "an NMI does not end HLT after another one"))
		return;
	/* Nothing else could end this one. */
	run(0);
	start_timer();
	__asm__ volatile("cli; hlt" ::: "memory");
	stop_timer();
	check(count > 1, "HLT with interrupts off ended without an NMI");
}

void test_main(void)
{
	unsigned n;

	lapic_enable();
	irq_set(VEC_NMI, nmi);
	n = run(0);
	check(n == 1, "%u NMIs instead of one", n);
	n = run(1);
	check(n == 2, "%u NMIs instead of two", n);
	check(stack[0] == stack[1], "the second came before the first had returned");
	n = run(2);
	delay_us(100);
	check(n == 2 && count == 2, "%u NMIs, then %u: more than one was kept", n, count);
	/* The next one is not blocked. */
	n = run(0);
	check(n == 1, "%u NMIs at the end", n);
	check_halt();
}
