/* SPDX-License-Identifier: BSD-2-Clause */
/* The page-table walker in each format: leaves, splits, removal, and every kind of entry. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "panic_mock.h"
#include "pagetable_mock.h"

static void largest_pages_first(void **state __unused)
{
	uint64_t va = 4 * GiB - 2 * MiB - PAGE_SIZE;

	/* One page, one of 2 MiB, two of 1 GiB, one of 2 MiB and one page again. */
	map(va, va, PAGE_SIZE + 2 * MiB + 2 * GiB + 2 * MiB + PAGE_SIZE, RW_);
	check_at(va, 1, va, RW_);
	check_at(4 * GiB - 1, 2, 4 * GiB - 1, RW_);
	check_at(4 * GiB, 3, 4 * GiB, RW_);
	check_at(6 * GiB - 1, 3, 6 * GiB - 1, RW_);
	check_at(6 * GiB + 0x12345, 2, 6 * GiB + 0x12345, RW_);
	check_at(6 * GiB + 2 * MiB, 1, 6 * GiB + 2 * MiB, RW_);
	check_none(va - 1, 1);
	check_none(6 * GiB + 2 * MiB + PAGE_SIZE, 1);
	check_none(7 * GiB, 3);
	check_none(1ull << 40, 4);
	/* Root, one for [0, 512 GiB), two directories, two tables. */
	assert_int_equal(pool_count, 6);
}

static void alignment_of_both_addresses_counts(void **state __unused)
{
	map(GiB, 2 * MiB, GiB, RW_); /* the physical address allows 2 MiB only */
	check_at(GiB, 2, 2 * MiB, RW_);
	check_at(2 * GiB - 1, 2, GiB + 2 * MiB - 1, RW_);
	map(8 * GiB + 2 * MiB, 8 * GiB + PAGE_SIZE, 2 * MiB, RW_);
	check_at(8 * GiB + 2 * MiB, 1, 8 * GiB + PAGE_SIZE, RW_);
	assert_panics((void)!pt_map(&pt, 1, 0, PAGE_SIZE, RW_, PT_WB));
	assert_panics((void)!pt_map(&pt, 0, 1, PAGE_SIZE, RW_, PT_WB));
	assert_panics((void)!pt_unmap(&pt, 0, 1));
}

static void no_large_leaves_without_the_feature(void **state __unused)
{
	pt_x86_init(false);
	pt_ept_init(true, false);
	map(0, 0, GiB, RW_);
	check_at(0, 2, 0, RW_);
	check_at(GiB - 1, 2, GiB - 1, RW_);
}

/* EPT may lack leaves of 2 MiB, too; then those of 1 GiB are not used either. */
static void small_leaves_alone(void **state __unused)
{
	for (unsigned pages_1g = 0; pages_1g <= 1; pages_1g++) {
		pt_ept_init(false, pages_1g);
		map(GiB, GiB, 4 * MiB, RW_);
		check_at(GiB, 1, GiB, RW_);
		check_at(GiB + 4 * MiB - 1, 1, GiB + 4 * MiB - 1, RW_);
		assert_int_equal(pool_count, 1 + 2 + 2);
		assert_int_equal(pt_unmap(&pt, GiB, GiB), 0);
	}
}

/* All 512 parts of a leaf, whatever the page held before that became their table. */
static void split_is_complete(void **state __unused)
{
	static const unsigned prots[] = {PT_READ, RW_, PT_READ | PT_EXEC, RWX};

	for (unsigned level = 2; level <= 3; level++) {
		for (unsigned p = 0; p < ARRAY_SIZE(prots); p++) {
			for (unsigned type = PT_WB; type <= PT_UC; type++) {
				uint64_t bytes = frame_bytes(level), part = bytes / 512;
				uint64_t pa = 5 * GiB + (level == 2 ? 6 * MiB : 0);
				uint64_t hole = part * (level == 3 ? 77 : 511);
				pte_t *child;

				assert_int_equal(pt_map(&pt, bytes, pa, bytes, prots[p], type), 0);
				check_at(bytes, level, pa, prots[p]);
				assert_int_equal(pt_unmap(&pt, bytes + hole, part), 0);
				child = entry_at(bytes, level - 1);
				for (unsigned i = 0; i < 512; i++) {
					pte_t want =
						fmt->leaf(pa + part * i, level - 1, prots[p], type);

					if (i == hole / part)
						want.raw = 0;
					assert_int_equal(child[i].raw, want.raw);
				}
				assert_int_equal(pt_unmap(&pt, bytes, bytes), 0);
				check_none(bytes, level);
			}
		}
	}
}

static void splits_nest(void **state __unused)
{
	map(0, 0, GiB, RWX);
	map(512 * MiB + PAGE_SIZE, 3 * GiB, PAGE_SIZE, PT_READ);
	check_at(512 * MiB, 1, 512 * MiB, RWX);
	check_at(512 * MiB + PAGE_SIZE, 1, 3 * GiB, PT_READ);
	check_at(512 * MiB + 2 * PAGE_SIZE, 1, 512 * MiB + 2 * PAGE_SIZE, RWX);
	check_at(514 * MiB, 2, 514 * MiB, RWX);
	check_at(0, 2, 0, RWX);
	assert_int_equal(pool_count, 4);
}

static void replacing_frees_tables(void **state __unused)
{
	for (unsigned i = 0; i < 40; i++)
		map(GiB + i * 4 * MiB + PAGE_SIZE, i * PAGE_SIZE, PAGE_SIZE, RW_);
	assert_int_equal(pool_count, 3 + 40);
	map(GiB, 7 * GiB, 2 * MiB, PT_READ);
	assert_int_equal(pool_count, 3 + 39);
	check_at(GiB + PAGE_SIZE, 2, 7 * GiB + PAGE_SIZE, PT_READ);
	map(GiB, 9 * GiB, GiB, RW_);
	assert_int_equal(pool_count, 2);
	check_at(GiB + 4 * MiB, 3, 9 * GiB + 4 * MiB, RW_);
	assert_int_equal(pt.table_bytes, 2 * PAGE_SIZE);
}

static void unmapping_frees_tables(void **state __unused)
{
	for (unsigned i = 0; i < 20; i++)
		map(2 * GiB + i * 2 * MiB, i * PAGE_SIZE, PAGE_SIZE, RW_);
	map(3 * GiB, 3 * GiB, GiB, RW_);
	map(600 * GiB, 0, PAGE_SIZE, RW_);
	/* Begins and ends in the middle of tables; skips what was never there. */
	assert_int_equal(pt_unmap(&pt, 2 * GiB + 2 * MiB, 3 * GiB + PAGE_SIZE), 0);
	check_at(2 * GiB, 1, 0, RW_);
	check_none(2 * GiB + 2 * MiB, 2);
	check_none(3 * GiB, 3);
	check_at(600 * GiB, 1, 0, RW_);
	assert_int_equal(pool_count, 1 + 3 + 3);
	/* All of it. */
	assert_int_equal(pt_unmap(&pt, 0, 1ull << 48), 0);
	assert_int_equal(pool_count, 1);
	assert_int_equal(pt_unmap(&pt, 0, 1ull << 48), 0);
	check_none(2 * GiB, 4);
}

/* Independent of the code: what APM vol. 2, 5.3 and 5.4 say about an entry's bits. */
static enum pte_kind expected_kind(uint64_t raw, unsigned level)
{
	if (!raw)
		return PTE_NONE;
	if (!(raw & 1))
		return (raw & ~MASK(51, 12)) == 1ull << 52 ? PTE_FROZEN : PTE_RESERVED;
	if (level == 1)
		return PTE_LEAF;
	if (raw & 0x80)
		return level == 4 ? PTE_RESERVED : PTE_LEAF;
	return PTE_TABLE;
}

/* What SDM vol. 3, 29.3.2 and 29.3.3.1 say: EPT misconfigurations are damage. */
static enum pte_kind expected_ept_kind(uint64_t raw, unsigned level)
{
	static const uint64_t aligned[] = {0, 0, 0x1ff000, 0x3ffff000};
	unsigned type = raw >> 3 & 7;

	if (!raw)
		return PTE_NONE;
	if (!(raw & 7))
		return (raw & ~MASK(51, 12)) == 1ull << 52 ? PTE_FROZEN : PTE_RESERVED;
	/* Writable but not readable: never; executable alone: on some processors, not by us. */
	if ((raw & 7) == 2 || (raw & 7) == 6 || (raw & 7) == 4)
		return PTE_RESERVED;
	if (level == 4)
		return raw & 0xf8 ? PTE_RESERVED : PTE_TABLE;
	if (level > 1 && !(raw & 0x80))
		return raw & 0x78 ? PTE_RESERVED : PTE_TABLE;
	/* Reserved: 2, 3 and 7; never made by us: WC, WT and WP. */
	if (type != 0 && type != 6)
		return PTE_RESERVED;
	return raw & aligned[level] ? PTE_RESERVED : PTE_LEAF;
}

static void every_kind_of_entry(void **state __unused)
{
	static const uint64_t high[] = {0,	    1ull << 52, 1ull << 63, 1ull << 51, 3ull << 52,
					1ull << 20, 1ull << 21, 1ull << 29, 1ull << 30};

	for (unsigned level = 1; level <= 4; level++)
		for (unsigned h = 0; h < ARRAY_SIZE(high); h++)
			for (uint64_t low = 0; low < 0x4000; low++) {
				pte_t pte = {high[h] | low};

				assert_int_equal(fmt->kind(pte, level),
						 fmt == &pt_format_ept
							 ? expected_ept_kind(pte.raw, level)
							 : expected_kind(pte.raw, level));
			}
}

static void damage_is_no_mapping(void **state __unused)
{
	static const uint64_t bad[] = {1ull << 52 | 2, 2, 1ull << 63, 0x81};

	map(0, 0, PAGE_SIZE, RW_);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		entry_at(513ull * GiB, 4)->raw = bad[i];
		check_none(513ull * GiB, 4);
		assert_panics((void)!pt_map(&pt, 513ull * GiB, 0, PAGE_SIZE, RW_, PT_WB));
		assert_panics((void)!pt_unmap(&pt, 513ull * GiB, PAGE_SIZE));
	}
	entry_at(513ull * GiB, 4)->raw = 0;
}

static void protection_round_trip(void **state __unused)
{
	for (unsigned level = 1; level <= 3; level++) {
		for (unsigned prot = PT_READ; prot <= RWX; prot += 2) {
			pte_t wb = fmt->leaf(level * GiB, level, prot, PT_WB);
			pte_t uc = fmt->leaf(level * GiB, level, prot, PT_UC);

			assert_int_equal(fmt->prot(wb), prot);
			assert_int_equal(fmt->prot(uc), prot);
			assert_int_equal(fmt->kind(wb, level), PTE_LEAF);
			assert_int_equal(wb.raw & fmt->address_mask, level * GiB);
			/* Bits by hand: P, RW, NX, PS, A and D; UC is PWT and PCD. */
			assert_int_equal(wb.raw & 1, 1);
			assert_int_equal(wb.raw >> 1 & 1, !!(prot & PT_WRITE));
			assert_int_equal(wb.raw >> 63, !(prot & PT_EXEC));
			assert_int_equal(wb.raw >> 7 & 1, level > 1);
			assert_int_equal(wb.raw & 0x60, 0x60);
			assert_int_equal(wb.raw ^ uc.raw, 0x18);
		}
	}
}

/* Every leaf and every pointer that EPT can be given, bit by bit (SDM vol. 3, 29.3.2). */
static void ept_encodings(void **state __unused)
{
	static const struct {
		unsigned level, prot;
		enum pt_memtype type;
		uint64_t raw;
	} leaves[] = {
		/* D, A, 1 GiB or 2 MiB: 0x380 or 0x300; type 6 is 0x30; X, W, R: 7. */
		{1, RWX, PT_WB, 0x337}, {1, RW_, PT_WB, 0x333}, {1, PT_READ, PT_WB, 0x331},
		{1, PT_READ | PT_EXEC, PT_WB, 0x335}, {1, RWX, PT_UC, 0x307},
		{1, RW_, PT_UC, 0x303}, {1, PT_READ, PT_UC, 0x301},
		{1, PT_READ | PT_EXEC, PT_UC, 0x305}, {2, RWX, PT_WB, 0x3b7},
		{2, RW_, PT_WB, 0x3b3}, {2, PT_READ, PT_WB, 0x3b1},
		{2, PT_READ | PT_EXEC, PT_WB, 0x3b5}, {2, RWX, PT_UC, 0x387},
		{2, PT_READ, PT_UC, 0x381}, {3, RWX, PT_WB, 0x3b7}, {3, PT_READ, PT_WB, 0x3b1},
		{3, RWX, PT_UC, 0x387}, {3, PT_READ | PT_EXEC, PT_UC, 0x385},
	};
	uint64_t far = 1ull << 51 | GiB;

	for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++) {
		pte_t pte = fmt->leaf(far, leaves[i].level, leaves[i].prot, leaves[i].type);

		assert_int_equal(pte.raw, far | leaves[i].raw);
		assert_int_equal(fmt->kind(pte, leaves[i].level), PTE_LEAF);
		assert_int_equal(fmt->prot(pte), leaves[i].prot);
	}
	/* What is present is readable: W or X alone would be a misconfiguration. */
	assert_int_equal(fmt->leaf(far, 1, PT_WRITE, PT_WB).raw, far | 0x333);
	assert_int_equal(fmt->leaf(far, 1, PT_EXEC, PT_WB).raw, far | 0x335);
	/* A pointer has R, W, X and A; bits 7:3 are reserved. */
	assert_int_equal(fmt->table(far | PAGE_SIZE).raw, far | PAGE_SIZE | 0x107);
	/* Children keep type and rights; the large-page bit goes at the last level only. */
	assert_int_equal(fmt->child((pte_t){far | 0x3b3}, 3, 511).raw, far | 511 * 2 * MiB | 0x3b3);
	assert_int_equal(fmt->child((pte_t){far | 0x385}, 2, 511).raw, far | 511 * 4 * KiB | 0x305);
	/* Hardware finds nothing in what the walker calls none or frozen. */
	for (unsigned level = 1; level <= 4; level++) {
		assert_int_equal(fmt->kind((pte_t){0}, level), PTE_NONE);
		assert_int_equal(fmt->kind((pte_t){1ull << 52}, level), PTE_FROZEN);
	}
	/* The walker's own entries, from the root to the leaf. */
	map(5 * GiB, 7 * GiB, PAGE_SIZE, RWX);
	for (unsigned level = 4; level > 1; level--)
		assert_int_equal(entry_at(5 * GiB, level)->raw & ~MASK(51, 12), 0x107);
	assert_int_equal(entry_at(5 * GiB, 1)->raw, 7 * GiB | 0x337);
}

/* SVM's walk counts as a user access at every level (APM vol. 2, 15.25.5); our own never does. */
static void user_bit_at_each_level(void **state __unused)
{
	uint64_t us = fmt == &pt_format_npt ? 4 : 0;

	map(0, 0, PAGE_SIZE, RWX);
	map(4 * MiB, 0, 2 * MiB, PT_READ);
	map(2 * GiB, 0, GiB, RW_);
	map(2 * GiB, 0, PAGE_SIZE, PT_READ); /* splits twice */
	for (unsigned level = 4; level >= 1; level--) {
		assert_int_equal(entry_at(0, level)->raw & 4, us);
		assert_int_equal(entry_at(2 * GiB, level)->raw & 4, us);
		/* Upper levels must not take away what a leaf may grant. */
		if (level > 1)
			assert_int_equal(entry_at(0, level)->raw & (2 | 1ull << 63), 2);
	}
	assert_int_equal(entry_at(4 * MiB, 2)->raw & 4, us);
	assert_int_equal(entry_at(2 * GiB + 2 * MiB, 2)->raw & 4, us);
}

static void out_of_memory(void **state __unused)
{
	/* Each step of a mapping that needs three tables. */
	for (unsigned left = 0; left < 3; left++) {
		pool_left = left;
		assert_int_equal(pt_map(&pt, 900 * GiB, 0, PAGE_SIZE, RW_, PT_WB), -S_NOMEM);
		assert_int_not_equal(pt_lookup(&pt, 900 * GiB).kind, PTE_LEAF);
		assert_int_equal(pt.table_bytes, pool_count * PAGE_SIZE);
		pool_left = POOL;
		assert_int_equal(pt_unmap(&pt, 0, 1ull << 48), 0);
		assert_int_equal(pool_count, 1);
	}
	/* A split that fails leaves the large leaf whole. */
	map(GiB, GiB, GiB, RW_);
	for (unsigned left = 0; left < 2; left++) {
		pool_left = left;
		assert_int_equal(pt_unmap(&pt, GiB + 4 * PAGE_SIZE, PAGE_SIZE), -S_NOMEM);
		check_at(GiB + 4 * PAGE_SIZE, 3 - left, GiB + 4 * PAGE_SIZE, RW_);
		assert_int_equal(pt.table_bytes, pool_count * PAGE_SIZE);
	}
	/* Nothing is needed to remove what is removed whole. */
	pool_left = 0;
	assert_int_equal(pt_unmap(&pt, GiB, GiB), 0);
	check_none(GiB, 3);
}

static void no_root_without_memory(void **state __unused)
{
	struct pagetable empty;

	pool_left = 0;
	assert_int_equal(pt_init(&empty, fmt, OWNER), -S_NOMEM);
	assert_int_equal(empty.root, 0);
	pt_destroy(&empty);
}

struct counter {
	struct pt_visitor visitor;
	unsigned leaves, stop_after;
	uint64_t bytes, last;
};

static bool count_leaf(struct pt_visitor *v, uint64_t va, const struct pt_mapping *m)
{
	struct counter *c = container_of(v, struct counter, visitor);

	assert_true(!c->leaves || va > c->last);
	check_at(va, m->level, m->pa, m->prot);
	c->last = va;
	c->leaves++;
	c->bytes += frame_bytes(m->level);
	return c->leaves != c->stop_after;
}

static void visits_in_order(void **state __unused)
{
	struct counter c = {.visitor = {count_leaf}};

	pt_visit(&pt, &c.visitor);
	assert_int_equal(c.leaves, 0);
	map(0xffffffff80000000ull, 0, 4 * MiB + PAGE_SIZE, PT_READ | PT_EXEC);
	map(0xffff800000000000ull, 0, GiB, RW_);
	map(0x00007ffffffff000ull, 0, PAGE_SIZE, RW_);
	map(0, 64 * MiB, 3 * PAGE_SIZE, PT_READ);
	pt_visit(&pt, &c.visitor);
	assert_int_equal(c.leaves, 3 + 1 + 1 + 3);
	assert_int_equal(c.bytes, 5 * PAGE_SIZE + GiB + 4 * MiB);
	assert_int_equal(c.last, 0xffffffff80400000ull);
	c = (struct counter){.visitor = {count_leaf}, .stop_after = 4};
	pt_visit(&pt, &c.visitor);
	assert_int_equal(c.leaves, 4);
	c = (struct counter){.visitor = {count_leaf}};
	pt_visit(&(struct pagetable){.format = fmt}, &c.visitor);
	assert_int_equal(c.leaves, 0);
}

/* Random changes against a plain array of pages. */
static void random_changes(void **state __unused)
{
	enum { PAGES = 4096 };
	static uint64_t shadow[PAGES]; /* pa | prot, 0: none */
	const uint64_t base = 3 * GiB - 8 * MiB;
	uint64_t seed = 7;

	memset(shadow, 0, sizeof(shadow));
	for (unsigned step = 0; step < 400; step++) {
		unsigned first, count, prot;
		uint64_t pa;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		first = (seed >> 33) % PAGES;
		count = 1 + (seed >> 20) % (seed >> 62 ? 600 : PAGES);
		count = MIN(count, PAGES - first);
		prot = PT_READ | (seed >> 50 & 6);
		pa = ((seed >> 25) % 4096) * (seed >> 63 ? 2 * MiB : PAGE_SIZE);
		if (seed >> 60 & 1) {
			/* So that large leaves get their chance. */
			first = ALIGN_DOWN(first, 512u);
			pa = ALIGN_DOWN(pa, 2 * MiB);
		}
		if (seed >> 58 & 1) {
			map(base + first * PAGE_SIZE, pa, count * PAGE_SIZE, prot);
			for (unsigned i = 0; i < count; i++)
				shadow[first + i] = (pa + i * PAGE_SIZE) | prot;
		} else {
			assert_int_equal(pt_unmap(&pt, base + first * PAGE_SIZE, count * PAGE_SIZE),
					 0);
			memset(&shadow[first], 0, count * sizeof(shadow[0]));
		}
		for (unsigned i = step % 3; i < PAGES; i += 3) {
			struct pt_mapping m = pt_lookup(&pt, base + i * PAGE_SIZE);

			assert_int_equal(m.kind == PTE_LEAF ? m.pa | m.prot : 0, shadow[i]);
		}
		assert_int_equal(pt.table_bytes, pool_count * PAGE_SIZE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(largest_pages_first),
		ALL(alignment_of_both_addresses_counts),
		ALL(no_large_leaves_without_the_feature),
		IN(ept, small_leaves_alone),
		ALL(split_is_complete),
		ALL(splits_nest),
		ALL(replacing_frees_tables),
		ALL(unmapping_frees_tables),
		ALL(every_kind_of_entry),
		ALL(damage_is_no_mapping),
		X86(protection_round_trip),
		IN(ept, ept_encodings),
		X86(user_bit_at_each_level),
		ALL(out_of_memory),
		ALL(no_root_without_memory),
		ALL(visits_in_order),
		ALL(random_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
