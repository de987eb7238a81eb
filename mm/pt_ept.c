/* SPDX-License-Identifier: BSD-2-Clause */
/* The format of VMX's nested tables: extended page tables. */
#include "socle/mm/pagetable.h"

/* SDM vol. 3, 29.3.2, tables 29-1 to 29-6. */
enum {
	EPTE_R = BIT(0),
	EPTE_W = BIT(1),
	EPTE_X = BIT(2),
	EPTE_TYPE_SHIFT = 3, /* memory type of a leaf, bits 5:3 */
	EPTE_TYPE = 7 << 3,
	EPTE_IGNORE_PAT = BIT(6),
	EPTE_PS = BIT(7),
	EPTE_A = BIT(8),
	EPTE_D = BIT(9),

	/* Memory types (SDM vol. 3, table 12-2). */
	EPTE_UC = 0,
	EPTE_WB = 6,
};
#define EPTE_PRESENT ((uint64_t)(EPTE_R | EPTE_W | EPTE_X))
#define EPTE_ADDR    MASK(51, 12)
#define EPTE_FREEZE  BIT(52) /* not present, this software bit and an address: being changed */

/*
 * Hardware takes an entry for absent, whatever its other bits are, if none of R, W and X is set;
 * other entries with reserved bits set are misconfigurations (29.3.3.1). So are writable entries
 * that are not readable; those that can only be executed we never make, as not every processor
 * has them.
 */
static enum pte_kind ept_kind(pte_t pte, unsigned level)
{
	uint64_t type = (pte.raw & EPTE_TYPE) >> EPTE_TYPE_SHIFT;

	if (pte.raw == 0)
		return PTE_NONE;
	if (!(pte.raw & EPTE_PRESENT))
		return (pte.raw & ~EPTE_ADDR) == EPTE_FREEZE ? PTE_FROZEN : PTE_RESERVED;
	if (!(pte.raw & EPTE_R))
		return PTE_RESERVED;
	if (level > FRAME_4K && !(pte.raw & EPTE_PS))
		return pte.raw & (EPTE_TYPE | EPTE_IGNORE_PAT) ? PTE_RESERVED : PTE_TABLE;
	if (level > FRAME_1G || (type != EPTE_UC && type != EPTE_WB))
		return PTE_RESERVED;
	/* The address of a large leaf is aligned to its size. */
	return pte.raw & EPTE_ADDR & ((PAGE_SIZE << 9 * (level - 1)) - 1) ? PTE_RESERVED : PTE_LEAF;
}

/* As in the other formats, accessed and dirty are set from the start. */
static pte_t ept_table(uint64_t pa)
{
	return (pte_t){pa | EPTE_PRESENT | EPTE_A};
}

/*
 * "Ignore PAT" stays 0: the guest's own PAT is combined with our type (29.3.7.2), as nested paging
 * of SVM always does, so that a guest gets the same memory types from both vendors. What is
 * present is readable, as in the other formats.
 */
static pte_t ept_leaf(uint64_t pa, unsigned level, unsigned prot, enum pt_memtype type)
{
	uint64_t memtype = type == PT_UC ? EPTE_UC : EPTE_WB;

	return (pte_t){(pa & EPTE_ADDR) | EPTE_R | EPTE_A | EPTE_D | memtype << EPTE_TYPE_SHIFT |
		       (level > FRAME_4K ? EPTE_PS : 0) | (prot & PT_WRITE ? EPTE_W : 0) |
		       (prot & PT_EXEC ? EPTE_X : 0)};
}

static unsigned ept_prot(pte_t pte)
{
	return PT_READ | (pte.raw & EPTE_W ? PT_WRITE : 0) | (pte.raw & EPTE_X ? PT_EXEC : 0);
}

static pte_t ept_child(pte_t leaf, unsigned level, unsigned index)
{
	uint64_t bytes = PAGE_SIZE << 9 * (level - 2);

	/* Bit 7 of the last level is ignored, but leaves must look alike however they came. */
	if (level == FRAME_2M)
		leaf.raw &= ~(uint64_t)EPTE_PS;
	return (pte_t){leaf.raw + bytes * index};
}

static unsigned ept_max_leaf = FRAME_4K;

const struct pt_format pt_format_ept = {
	.name = "ept", .levels = 4, .max_leaf = &ept_max_leaf, .address_mask = EPTE_ADDR,
	.kind = ept_kind, .table = ept_table, .leaf = ept_leaf, .prot = ept_prot,
	.child = ept_child, .frozen = EPTE_FREEZE,
};

void pt_ept_init(bool pages_2m, bool pages_1g)
{
	ept_max_leaf = !pages_2m ? FRAME_4K : pages_1g ? FRAME_1G : FRAME_2M;
}
