/* SPDX-License-Identifier: BSD-2-Clause */
/* NMIs: one that comes while another is handled waits for its IRET, and no more than one does. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "nmi";

enum { ICR_NMI = 0x4400, LOOPS = 100000 };

static volatile unsigned count, more, inside;
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
}
