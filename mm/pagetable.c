/* SPDX-License-Identifier: BSD-2-Clause */
/* The page-table walker: map, unmap, look up and split, over a format's description. */
#include "pt_walk.h"
#include "socle/report.h"

status_t pt_init(struct pagetable *pt, const struct pt_format *format, uint32_t owner)
{
	*pt = (struct pagetable){.format = format, .owner = owner};
	pt->root = frame_alloc(FRAME_4K, owner);
	if (!pt->root)
		return -S_NOMEM;
	pt->table_bytes = PAGE_SIZE;
	return 0;
}

static void free_tables(struct pagetable *pt, uint64_t table, unsigned level)
{
	pte_t *entry = phys_to_virt(table);

	for (unsigned i = 0; level > FRAME_4K && i < ENTRIES; i++)
		if (pt->format->kind(entry[i], level) == PTE_TABLE)
			free_tables(pt, entry[i].raw & pt->format->address_mask, level - 1);
	frame_free(table, FRAME_4K, pt->owner);
	count_tables(pt, -1);
}

void pt_destroy(struct pagetable *pt)
{
	if (pt->root)
		free_tables(pt, pt->root, pt->format->levels);
	pt->root = 0;
}

void pt_damaged(const struct pagetable *pt, pte_t pte, unsigned level)
{
	panic("%s: damaged entry %#llx at level %u", pt->format->name, (unsigned long long)pte.raw,
	      level);
}

status_t pt_add_table(struct pagetable *pt, pte_t *slot)
{
	uint64_t table = frame_alloc(FRAME_4K, pt->owner);

	if (!table)
		return -S_NOMEM;
	if (publish_if(slot, (pte_t){0}, pt->format->table(table)))
		count_tables(pt, 1);
	else
		frame_free_unused(table, FRAME_4K, pt->owner);
	return 0;
}

/*
 * Replaces a large leaf by a table of its 512 parts. The table is not zeroed first, since every
 * entry is written before it is published.
 */
static status_t split(struct pagetable *pt, pte_t *slot, pte_t leaf, unsigned level)
{
	uint64_t table = frame_alloc_raw(pt->owner);

	if (!table)
		return -S_NOMEM;
	fill_children(pt, table, leaf, level);
	if (publish_if(slot, leaf, pt->format->table(table)))
		count_tables(pt, 1);
	else
		frame_free(table, FRAME_4K, pt->owner);
	return 0;
}

/* Makes sure that @slot points to a table, by allocating or splitting. */
static status_t descend(struct pagetable *pt, pte_t *slot, unsigned level, pte_t **table)
{
	for (;;) {
		status_t status = 0;
		pte_t pte = read_entry(slot);

		switch (pt->format->kind(pte, level)) {
		case PTE_TABLE:
			*table = table_of(pt, pte);
			return 0;
		case PTE_LEAF:
			status = split(pt, slot, pte, level);
			break;
		case PTE_NONE:
			status = pt_add_table(pt, slot);
			break;
		case PTE_FROZEN:
			return -S_BUSY;
		case PTE_RESERVED:
			pt_damaged(pt, pte, level);
		}
		if (status)
			return status;
	}
}

/* Puts @pte at @slot and frees the tables that hung there. */
static status_t replace(struct pagetable *pt, pte_t *slot, unsigned level, pte_t pte)
{
	pte_t old;

	do {
		old = read_entry(slot);
		if (pt->format->kind(old, level) == PTE_FROZEN)
			return -S_BUSY;
	} while (!publish_if(slot, old, pte));
	if (pt->format->kind(old, level) == PTE_TABLE)
		free_tables(pt, old.raw & pt->format->address_mask, level - 1);
	return 0;
}

/* The slot for [va, va + size) at the highest level not above @max whose leaf fits in it. */
static status_t find_slot(struct pagetable *pt, uint64_t va, uint64_t pa, uint64_t size,
			  unsigned max, pte_t **slot, unsigned *level)
{
	pte_t *table = phys_to_virt(pt->root);
	status_t status;

	for (*level = pt->format->levels;; (*level)--) {
		uint64_t bytes = 1ull << level_shift(*level);

		*slot = &table[level_index(va, *level)];
		if (*level == FRAME_4K ||
		    (*level <= max && IS_ALIGNED(va | pa, bytes) && size >= bytes))
			return 0;
		status = descend(pt, *slot, *level, &table);
		if (status)
			return status;
	}
}

status_t pt_map(struct pagetable *pt, uint64_t va, uint64_t pa, uint64_t size, unsigned prot,
		enum pt_memtype type)
{
	unsigned level;
	pte_t *slot;

	ASSERT(IS_ALIGNED(va | pa | size, PAGE_SIZE));
	while (size) {
		uint64_t bytes;
		status_t status = find_slot(pt, va, pa, size, *pt->format->max_leaf, &slot, &level);

		if (status)
			return status;
		bytes = 1ull << level_shift(level);
		status = replace(pt, slot, level, pt->format->leaf(pa, level, prot, type));
		if (status)
			return status;
		va += bytes;
		pa += bytes;
		size -= bytes;
	}
	return 0;
}

status_t pt_unmap(struct pagetable *pt, uint64_t va, uint64_t size)
{
	ASSERT(IS_ALIGNED(va | size, PAGE_SIZE));
	while (size) {
		pte_t *table = phys_to_virt(pt->root), *slot;
		unsigned level = pt->format->levels;
		status_t status;
		uint64_t bytes;

		/* Down to what can be removed whole; an absent entry skips all that it spans. */
		for (;; level--) {
			bytes = 1ull << level_shift(level);
			slot = &table[level_index(va, level)];
			if (pt->format->kind(read_entry(slot), level) == PTE_NONE)
				break;
			if (IS_ALIGNED(va, bytes) && size >= bytes)
				break;
			status = descend(pt, slot, level, &table);
			if (status)
				return status;
		}
		status = replace(pt, slot, level, (pte_t){0});
		if (status)
			return status;
		bytes -= va & (bytes - 1);
		bytes = MIN(bytes, size);
		va += bytes;
		size -= bytes;
	}
	return 0;
}

struct pt_mapping pt_lookup(const struct pagetable *pt, uint64_t va)
{
	const pte_t *table = phys_to_virt(pt->root);

	for (unsigned level = pt->format->levels; level > 0; level--) {
		pte_t pte = read_entry(&table[level_index(va, level)]);
		enum pte_kind kind = pt->format->kind(pte, level);

		switch (kind) {
		case PTE_TABLE:
			table = table_of(pt, pte);
			continue;
		case PTE_LEAF:
		case PTE_FROZEN:
			return (struct pt_mapping){
				.kind = kind,
				.level = level,
				.pa = leaf_pa(pt, pte, level) |
				      (va & ((1ull << level_shift(level)) - 1)),
				.prot = kind == PTE_LEAF ? pt->format->prot(pte) : 0,
			};
		case PTE_NONE:
		case PTE_RESERVED:
			return (struct pt_mapping){.kind = PTE_NONE, .level = level};
		}
	}
	return (struct pt_mapping){.kind = PTE_NONE, .level = FRAME_4K};
}

static bool visit_table(const struct pagetable *pt, const pte_t *table, unsigned level, uint64_t va,
			struct pt_visitor *v)
{
	for (unsigned i = 0; i < ENTRIES; i++, va += 1ull << level_shift(level)) {
		pte_t pte = read_entry(&table[i]);
		uint64_t at = va;
		struct pt_mapping m;

		/* The upper half of a four-level space is sign-extended. */
		if (level == 4 && i >= ENTRIES / 2)
			at |= MASK(63, 48);
		switch (pt->format->kind(pte, level)) {
		case PTE_TABLE:
			if (!visit_table(pt, table_of(pt, pte), level - 1, at, v))
				return false;
			break;
		case PTE_LEAF:
			m = (struct pt_mapping){
				.kind = PTE_LEAF,
				.level = level,
				.pa = leaf_pa(pt, pte, level),
				.prot = pt->format->prot(pte),
			};
			if (!v->visit(v, at, &m))
				return false;
			break;
		case PTE_NONE:
		case PTE_FROZEN:
		case PTE_RESERVED:
			break;
		}
	}
	return true;
}

void pt_visit(const struct pagetable *pt, struct pt_visitor *v)
{
	if (pt->root)
		visit_table(pt, phys_to_virt(pt->root), pt->format->levels, 0, v);
}
