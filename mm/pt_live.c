/* SPDX-License-Identifier: BSD-2-Clause */
/* Changing page tables that other CPUs use: filling what is empty, freezing and thawing a leaf. */
#include "pt_walk.h"
#include "socle/report.h"

status_t pt_fill(struct pagetable *pt, uint64_t va, uint64_t pa, unsigned level, unsigned prot,
		 enum pt_memtype type)
{
	pte_t *table = phys_to_virt(pt->root);

	ASSERT(level <= *pt->format->max_leaf && IS_ALIGNED(va | pa, frame_bytes(level)));
	for (unsigned at = pt->format->levels; at > level;) {
		pte_t *slot = &table[level_index(va, at)];
		pte_t pte = read_entry(slot);

		switch (pt->format->kind(pte, at)) {
		case PTE_TABLE:
			table = table_of(pt, pte);
			at--;
			break;
		case PTE_NONE:
			if (pt_add_table(pt, slot))
				return -S_NOMEM;
			break; /* look again: it may be another CPU's */
		case PTE_LEAF:
		case PTE_FROZEN:
			return -S_EXIST;
		case PTE_RESERVED:
			pt_damaged(pt, pte, at);
		}
	}
	return publish_if(&table[level_index(va, level)], (pte_t){0},
			  pt->format->leaf(pa, level, prot, type))
		       ? 0
		       : -S_EXIST;
}

/* The entry that maps the page, its kind, and where; the tables above do not go away. */
static enum pte_kind find(const struct pagetable *pt, struct pt_frozen *f)
{
	pte_t *table = phys_to_virt(pt->root);

	for (f->level = pt->format->levels;; f->level--) {
		enum pte_kind kind;

		f->slot = &table[level_index(f->va, f->level)];
		f->leaf = read_entry(f->slot);
		kind = pt->format->kind(f->leaf, f->level);
		if (kind != PTE_TABLE)
			return kind;
		table = table_of(pt, f->leaf);
	}
}

/* Frees the tables that a leaf at @level does not need to be split; 4 KiB: all. */
static void free_spare(struct pagetable *pt, struct pt_frozen *f, unsigned level)
{
	for (unsigned i = level - 1; i < ARRAY_SIZE(f->table); i++) {
		if (f->table[i])
			frame_free(f->table[i], FRAME_4K, pt->owner);
		f->table[i] = 0;
	}
}

/* Tables for all levels below that of the leaf: thawing must not fail. */
static status_t get_spare(struct pagetable *pt, struct pt_frozen *f)
{
	for (unsigned level = f->level; level > FRAME_4K; level--) {
		uint64_t *table = &f->table[level - 2];

		if (!*table)
			*table = frame_alloc_raw(pt->owner);
		if (!*table)
			return -S_NOMEM;
	}
	return 0;
}

status_t pt_freeze(struct pagetable *pt, uint64_t va, struct pt_frozen *f)
{
	*f = (struct pt_frozen){.va = ALIGN_DOWN(va, PAGE_SIZE)};
	for (;;) {
		enum pte_kind kind = find(pt, f);
		status_t status = kind == PTE_LEAF     ? get_spare(pt, f)
				  : kind == PTE_FROZEN ? -S_BUSY
						       : -S_NOENT;
		uint64_t pa = leaf_pa(pt, f->leaf, f->level);

		if (status) {
			free_spare(pt, f, FRAME_4K);
			return status;
		}
		f->pa = pa | (f->va & (frame_bytes(f->level) - 1));
		if (publish_if(f->slot, f->leaf, (pte_t){pa | pt->format->frozen})) {
			/* Somebody may have split it in between. */
			free_spare(pt, f, f->level);
			return 0;
		}
	}
}

void pt_thaw(struct pagetable *pt, struct pt_frozen *f, uint64_t pa)
{
	pte_t page = f->leaf, changed;

	/* The leaf's parts, down to the page: each level's table holds what it was for the rest. */
	for (unsigned level = f->level; level > FRAME_4K; level--) {
		fill_children(pt, f->table[level - 2], page, level);
		page = pt->format->child(page, level, level_index(f->va, level - 1));
	}
	changed = (pte_t){pa ? (page.raw & ~pt->format->address_mask) | pa : 0};
	/* From the page up, so that nothing is seen before it is complete. */
	for (unsigned level = FRAME_4K; level < f->level; level++) {
		pte_t *table = phys_to_virt(f->table[level - 1]);

		table[level_index(f->va, level)] = changed;
		changed = pt->format->table(f->table[level - 1]);
		count_tables(pt, 1);
	}
	publish(f->slot, changed);
}

void pt_unfreeze(struct pagetable *pt, struct pt_frozen *f)
{
	publish(f->slot, f->leaf);
	free_spare(pt, f, FRAME_4K);
}
