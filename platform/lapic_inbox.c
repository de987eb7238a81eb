/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts for a local APIC from other CPUs: an inbox that anyone fills and its owner empties. */
#include "lapic_internal.h"

/*
 * Who posts sets the vector's bit, then posted_any, then the request that makes the owner look; who
 * merges clears them in the opposite order. So a bit that the owner misses is followed by a
 * posted_any and a request that it will see.
 */

void lapic_post(struct lapic *l, uint8_t vector, bool level)
{
	uint64_t *words = level ? l->posted_level : l->posted, bit = BIT(vector % 64);

	/*
	 * If it is there already, whoever put it there has the owner look, or is about to. Only a
	 * locked instruction may find that out: what the sender wrote before for the receiver to
	 * find must be visible if the owner has yet to take this bit.
	 */
	if (__atomic_fetch_or(&words[vector / 64], bit, __ATOMIC_SEQ_CST) & bit)
		return;
	__atomic_store_n(&l->posted_any, 1, __ATOMIC_RELEASE);
	vcpu_request(&l->vcpu->base, VCPU_REQ_EVENT);
}

static uint64_t word_now(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static uint64_t empty(uint64_t *word)
{
	return word_now(word) ? __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) : 0;
}

__noinline void lapic_merge(struct lapic *l)
{
	__atomic_exchange_n(&l->posted_any, 0, __ATOMIC_SEQ_CST);
	for (unsigned w = 0; w < ARRAY_SIZE(l->posted); w++) {
		uint64_t edge, level;

		/* Most are empty. */
		if (!(word_now(&l->posted[w]) | word_now(&l->posted_level[w])))
			continue;
		edge = empty(&l->posted[w]);
		level = empty(&l->posted_level[w]);
		lapic_request_word(l, w, edge, level);
	}
}
