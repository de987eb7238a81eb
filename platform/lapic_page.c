/* SPDX-License-Identifier: BSD-2-Clause */
/* A local APIC whose registers lie in a page that the CPU itself works on (SDM vol. 3, ch. 30). */
#include "lapic_internal.h"

/*
 * The task priority, what is requested and what is in service are then the page's, where the CPU
 * changes them while the guest runs. Everything else is ours, and a copy of it lies in the page
 * for the guest to read. New requests wait in lapic.irr until lapic_page_post() moves them.
 */

enum { VECTORS_PER_WORD = 32, WORDS = 8 };

static uint32_t *word_of(const struct lapic *l, uint32_t reg, uint8_t vector)
{
	return &l->page[(reg + vector / VECTORS_PER_WORD * 0x10) / 4];
}

bool lapic_page_test(const struct lapic *l, uint32_t reg, uint8_t vector)
{
	return *word_of(l, reg, vector) >> vector % VECTORS_PER_WORD & 1;
}

void lapic_page_set(struct lapic *l, uint32_t reg, uint8_t vector, bool value)
{
	uint32_t bit = 1u << vector % VECTORS_PER_WORD;
	uint32_t *word = word_of(l, reg, vector);

	*word = value ? *word | bit : *word & ~bit;
	l->page_changed = true;
}

int lapic_page_highest(const struct lapic *l, uint32_t reg)
{
	for (int i = WORDS - 1; i >= 0; i--) {
		uint32_t word = l->page[(reg + (uint32_t)i * 0x10) / 4];

		if (word)
			return i * VECTORS_PER_WORD + 31 - __builtin_clz(word);
	}
	return -1;
}

/* Copies the registers that only we change. */
void lapic_page_publish(struct lapic *l)
{
	static const uint16_t regs[] = {
		APIC_ID, APIC_VERSION, APIC_LDR, APIC_DFR, APIC_SVR, APIC_ESR,
		APIC_TIMER_INITIAL, APIC_TIMER_DIVIDE,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
		l->page[regs[i] / 4] = lapic_read(l, regs[i]);
	for (unsigned reg = APIC_LVT_TIMER; reg <= APIC_LVT_ERROR; reg += 0x10)
		l->page[reg / 4] = lapic_read(l, reg);
}

void lapic_page_publish_icr(struct lapic *l)
{
	uint32_t high = l->icr >> 32;

	/* One register of 64 bits in x2APIC mode (SDM vol. 3, 11.12.9). */
	l->page[APIC_ICR / 4] = l->icr;
	l->page[APIC_ICR / 4 + 1] = lapic_x2apic(l) ? high : 0;
	l->page[APIC_ICR_HIGH / 4] = lapic_x2apic(l) ? 0 : high;
}

void lapic_page_refresh(struct lapic *l)
{
	lapic_page_publish(l);
}

void lapic_use_page(struct lapic *l, void *page)
{
	l->page = page;
	lapic_inject_extint_only();
	lapic_page_clear(l);
}

void lapic_page_clear(struct lapic *l)
{
	for (unsigned i = 0; i < PAGE_SIZE / sizeof(*l->page); i++)
		l->page[i] = 0;
	l->page_changed = true;
	lapic_page_publish(l);
}

unsigned lapic_page_post(struct lapic *l, bool *changed)
{
	unsigned posted = 0;

	lapic_collect(l);
	for (unsigned w = 0; l->irr.words; w++) {
		uint64_t bits = l->irr.bits[w];

		if (!bits)
			continue;
		l->page[(APIC_IRR + 2 * w * 0x10) / 4] |= (uint32_t)bits;
		l->page[(APIC_IRR + (2 * w + 1) * 0x10) / 4] |= bits >> 32;
		l->page[(APIC_TMR + 2 * w * 0x10) / 4] = (uint32_t)l->tmr.bits[w];
		l->page[(APIC_TMR + (2 * w + 1) * 0x10) / 4] = l->tmr.bits[w] >> 32;
		for (; bits; bits &= bits - 1)
			posted++;
		l->irr.bits[w] = 0;
		l->irr.words &= ~(1u << w);
		l->page_changed = true;
	}
	*changed = l->page_changed;
	l->page_changed = false;
	return posted;
}

uint8_t lapic_page_requested(const struct lapic *l)
{
	int vector = lapic_page_highest(l, APIC_IRR);

	return vector < 0 ? 0 : vector;
}

uint8_t lapic_page_in_service(const struct lapic *l)
{
	int vector = lapic_page_highest(l, APIC_ISR);

	return vector < 0 ? 0 : vector;
}

uint64_t lapic_page_eoi_exits(const struct lapic *l, unsigned word)
{
	uint32_t timer = l->lvt[LVT_TIMER] & LVT_VECTOR;
	uint64_t bits = l->tmr.bits[word];

	if (l->timer_missed && timer / 64 == word)
		bits |= BIT(timer % 64);
	return bits;
}

uint32_t lapic_page_ppr(const struct lapic *l)
{
	uint32_t service = lapic_page_in_service(l) & PRIORITY_CLASS, tpr = lapic_tpr(l);

	return (tpr & PRIORITY_CLASS) >= service ? tpr : service;
}

int lapic_page_deliverable(const struct lapic *l)
{
	int vector = lapic_page_highest(l, APIC_IRR);

	/* What was not posted yet counts, too. */
	for (int i = ARRAY_SIZE(l->irr.bits) - 1; i >= 0; i--) {
		if (!l->irr.bits[i])
			continue;
		vector = MAX(vector, i * 64 + 63 - __builtin_clzll(l->irr.bits[i]));
		break;
	}
	return vector >= 0 && ((uint32_t)vector & PRIORITY_CLASS) >
				       (lapic_page_ppr(l) & PRIORITY_CLASS)
		       ? vector
		       : -1;
}

void lapic_page_requeue(struct lapic *l, uint8_t vector)
{
	if (!lapic_page_test(l, APIC_ISR, vector))
		return;
	lapic_page_set(l, APIC_ISR, vector, false);
	lapic_page_set(l, APIC_IRR, vector, true);
}

void lapic_page_eoi(struct lapic *l)
{
	int vector = lapic_page_highest(l, APIC_ISR);

	if (vector < 0)
		return;
	lapic_page_set(l, APIC_ISR, vector, false);
	lapic_ended(l, vector);
	lapic_ask(l);
}

void lapic_page_ended(struct lapic *l, uint8_t vector)
{
	lapic_ended(l, vector);
}

void lapic_page_written(struct lapic *l, uint32_t reg)
{
	uint32_t value = l->page[reg / 4 % (PAGE_SIZE / 4)];

	/* The CPU keeps the upper half to itself (SDM vol. 3, 30.4.3.2). */
	if (reg == APIC_ICR)
		l->icr = (uint64_t)l->page[APIC_ICR_HIGH / 4] << 32 | value;
	/* Those of legal vectors come without us (30.5). */
	if (reg == APIC_SELF_IPI && lapic_x2apic(l))
		lapic_self_ipi(l, value & 0xff);
	lapic_write(l, reg, value);
}
