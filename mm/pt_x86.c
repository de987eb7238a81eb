/* SPDX-License-Identifier: BSD-2-Clause */
/* The two formats with x86-64 entries: the hypervisor's own tables, and nested ones of SVM. */
#include "socle/mm/pagetable.h"

/* APM vol. 2, 5.4.1. */
enum {
	PTE_P = BIT(0),
	PTE_RW = BIT(1),
	PTE_US = BIT(2),
	PTE_PWT = BIT(3),
	PTE_PCD = BIT(4),
	PTE_A = BIT(5),
	PTE_D = BIT(6),
	PTE_PS = BIT(7),
};
#define PTE_NX	   BIT(63)
#define PTE_ADDR   MASK(51, 12)
#define PTE_FREEZE BIT(52) /* not present, this software bit and an address: being changed */

static enum pte_kind x86_kind(pte_t pte, unsigned level)
{
	if (pte.raw == 0)
		return PTE_NONE;
	if (!(pte.raw & PTE_P))
		return (pte.raw & ~PTE_ADDR) == PTE_FREEZE ? PTE_FROZEN : PTE_RESERVED;
	if (level == FRAME_4K)
		return PTE_LEAF;
	if (!(pte.raw & PTE_PS))
		return PTE_TABLE;
	return level <= FRAME_1G ? PTE_LEAF : PTE_RESERVED;
}

/* Accessed and dirty are set from the start: nobody looks at them yet, and hardware need not. */
static pte_t x86_leaf(uint64_t pa, unsigned level, unsigned prot, enum pt_memtype type)
{
	return (pte_t){(pa & PTE_ADDR) | PTE_P | PTE_A | PTE_D | (level > FRAME_4K ? PTE_PS : 0) |
		       (prot & PT_WRITE ? PTE_RW : 0) | (prot & PT_EXEC ? 0 : PTE_NX) |
		       (type == PT_UC ? PTE_PCD | PTE_PWT : 0)};
}

static unsigned x86_prot(pte_t pte)
{
	return PT_READ | (pte.raw & PTE_RW ? PT_WRITE : 0) | (pte.raw & PTE_NX ? 0 : PT_EXEC);
}

static pte_t x86_child(pte_t leaf, unsigned level, unsigned index)
{
	uint64_t bytes = PAGE_SIZE << 9 * (level - 2);

	if (level == FRAME_2M)
		leaf.raw &= ~(uint64_t)PTE_PS;
	return (pte_t){leaf.raw + bytes * index};
}

static pte_t host_table(uint64_t pa)
{
	return (pte_t){pa | PTE_P | PTE_RW | PTE_A};
}

/* All nested accesses are user accesses, so US must be set at every level (APM vol. 2, 15.25.5). */
static pte_t npt_table(uint64_t pa)
{
	return (pte_t){pa | PTE_P | PTE_RW | PTE_US | PTE_A};
}

static pte_t npt_leaf(uint64_t pa, unsigned level, unsigned prot, enum pt_memtype type)
{
	pte_t pte = x86_leaf(pa, level, prot, type);

	pte.raw |= PTE_US;
	return pte;
}

static unsigned max_leaf = FRAME_2M;

const struct pt_format pt_format_host = {
	.name = "host", .levels = 4, .max_leaf = &max_leaf, .address_mask = PTE_ADDR,
	.kind = x86_kind, .table = host_table, .leaf = x86_leaf, .prot = x86_prot,
	.child = x86_child, .frozen = PTE_FREEZE,
};

const struct pt_format pt_format_npt = {
	.name = "npt", .levels = 4, .max_leaf = &max_leaf, .address_mask = PTE_ADDR,
	.kind = x86_kind, .table = npt_table, .leaf = npt_leaf, .prot = x86_prot,
	.child = x86_child, .frozen = PTE_FREEZE,
};

void pt_x86_init(bool pages_1g)
{
	max_leaf = pages_1g ? FRAME_1G : FRAME_2M;
}
