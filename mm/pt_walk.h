/* SPDX-License-Identifier: BSD-2-Clause */
/* Steps of a walk through page tables: for the files that map, and those that change live tables.
 */
#ifndef MM_PT_WALK_H
#define MM_PT_WALK_H

#include "socle/mm/pagetable.h"

enum { ENTRIES = 512, INDEX_BITS = 9 };

static inline unsigned level_shift(unsigned level)
{
	return PAGE_SHIFT + INDEX_BITS * (level - 1);
}

static inline unsigned level_index(uint64_t va, unsigned level)
{
	return va >> level_shift(level) & (ENTRIES - 1);
}

/* Each entry is read once, as other CPUs may change it at any time. */
static inline pte_t read_entry(const pte_t *slot)
{
	return (pte_t){__atomic_load_n(&slot->raw, __ATOMIC_ACQUIRE)};
}

/* One 64-bit store: a walk by hardware sees the old entry or the new one. */
static inline void publish(pte_t *slot, pte_t pte)
{
	__atomic_store_n(&slot->raw, pte.raw, __ATOMIC_RELEASE);
}

/* The same if the entry is still @old; else false, and nothing changes. */
static inline bool publish_if(pte_t *slot, pte_t old, pte_t pte)
{
	return __atomic_compare_exchange_n(&slot->raw, &old.raw, pte.raw, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

static inline pte_t *table_of(const struct pagetable *pt, pte_t pte)
{
	return phys_to_virt(pte.raw & pt->format->address_mask);
}

/* What a leaf, or a frozen one, at @level maps the first byte of its range to. */
static inline uint64_t leaf_pa(const struct pagetable *pt, pte_t pte, unsigned level)
{
	return pte.raw & pt->format->address_mask & ~((1ull << level_shift(level)) - 1);
}

static inline void count_tables(struct pagetable *pt, int64_t change)
{
	__atomic_add_fetch(&pt->table_bytes, change * PAGE_SIZE, __ATOMIC_RELAXED);
}

/* Writes the 512 parts of @leaf at @level to @table, all of it. */
static inline void fill_children(const struct pagetable *pt, uint64_t table, pte_t leaf,
				 unsigned level)
{
	pte_t *child = phys_to_virt(table);

	for (unsigned i = 0; i < ENTRIES; i++)
		child[i] = pt->format->child(leaf, level, i);
}

/* Hangs an empty table into @slot, unless somebody else does meanwhile. 0 or -S_NOMEM. */
status_t __must_check pt_add_table(struct pagetable *pt, pte_t *slot);

/* An entry of a kind that we never make. */
void pt_damaged(const struct pagetable *pt, pte_t pte, unsigned level) __noreturn __cold;

#endif
