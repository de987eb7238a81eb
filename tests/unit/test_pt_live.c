/* SPDX-License-Identifier: BSD-2-Clause */
/* Changing page tables that other CPUs use: filling, and freezing and thawing, in each format. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "panic_mock.h"
#include "pagetable_mock.h"

static status_t fill(uint64_t va, uint64_t pa, unsigned level)
{
	return pt_fill(&pt, va, pa, level, RWX, PT_WB);
}

static void fills_at_each_level(void **state __unused)
{
	static const unsigned prots[] = {PT_READ, RW_, PT_READ | PT_EXEC, RWX};

	for (unsigned level = 1; level <= 3; level++)
		for (unsigned p = 0; p < ARRAY_SIZE(prots); p++)
			for (unsigned type = PT_WB; type <= PT_UC; type++) {
				uint64_t va = (level * 8 + p * 2 + type) * GiB;
				uint64_t pa = 100 * GiB + frame_bytes(level) * (p + 1);

				assert_int_equal(pt_fill(&pt, va, pa, level, prots[p], type), 0);
				check_at(va, level, pa, prots[p]);
				check_at(va + frame_bytes(level) - 1, level,
					 pa + frame_bytes(level) - 1, prots[p]);
				assert_int_equal(entry_at(va, level)->raw,
						 fmt->leaf(pa, level, prots[p], type).raw);
			}
	assert_panics((void)!fill(GiB + PAGE_SIZE, 0, 2));
	assert_panics((void)!fill(GiB, PAGE_SIZE, 2));
	assert_panics((void)!fill(1, 0, 1));
	assert_panics((void)!fill(0, 0, 4));
}

static void fills_only_what_is_empty(void **state __unused)
{
	pte_t before;

	assert_int_equal(fill(2 * MiB, 6 * MiB, 2), 0);
	before = *entry_at(2 * MiB, 2);
	assert_int_equal(fill(2 * MiB, 8 * MiB, 2), -S_EXIST);
	assert_int_equal(fill(2 * MiB + PAGE_SIZE, 8 * MiB, 1), -S_EXIST); /* in a large leaf */
	assert_int_equal(fill(0, GiB, 3), -S_EXIST);			   /* over a table */
	assert_int_equal(entry_at(2 * MiB, 2)->raw, before.raw);
	assert_int_equal(fill(4 * MiB, 8 * MiB, 1), 0);
	assert_int_equal(fill(4 * MiB, 9 * MiB, 1), -S_EXIST);
	assert_int_equal(fill(4 * MiB, 10 * MiB, 2), -S_EXIST);
	check_at(4 * MiB, 1, 8 * MiB, RWX);
	/* Right beside, all is free. */
	assert_int_equal(fill(4 * MiB + PAGE_SIZE, 8 * MiB, 1), 0);
	assert_int_equal(fill(6 * MiB, 8 * MiB, 2), 0);
	assert_int_equal(pool_count, 4);
	entry_at(512 * GiB, 4)->raw = 2;
	assert_panics((void)!fill(512 * GiB, 0, 1));
	entry_at(512 * GiB, 4)->raw = 0;
}

static void fill_runs_out_of_memory(void **state __unused)
{
	for (unsigned left = 0; left < 3; left++) {
		pool_left = left;
		assert_int_equal(fill(700 * GiB, GiB, 1), -S_NOMEM);
		assert_int_not_equal(pt_lookup(&pt, 700 * GiB).kind, PTE_LEAF);
		assert_int_equal(pt.table_bytes, pool_count * PAGE_SIZE);
		pool_left = POOL;
		assert_int_equal(pt_unmap(&pt, 0, 1ull << 48), 0);
	}
}

/* Another CPU fills the page beside, and so hangs in the same tables. */
static void fill_beside(void)
{
	assert_int_equal(fill(5 * GiB + PAGE_SIZE, 7 * GiB, 1), 0);
}

static void fill_large(void)
{
	assert_int_equal(fill(5 * GiB, 7 * GiB, 2), 0);
}

static void fill_same(void)
{
	assert_int_equal(fill(5 * GiB, 7 * GiB, 1), 0);
}

static void one_of_two_fills(void **state __unused)
{
	pool_race = fill_beside;
	assert_int_equal(fill(5 * GiB, 9 * GiB, 1), 0);
	check_at(5 * GiB, 1, 9 * GiB, RWX);
	check_at(5 * GiB + PAGE_SIZE, 1, 7 * GiB, RWX);
	assert_int_equal(pool_count, 4);
	assert_int_equal(pt.table_bytes, 4 * PAGE_SIZE);
	assert_int_equal(pt_unmap(&pt, 0, 1ull << 48), 0);

	pool_race = fill_large;
	assert_int_equal(fill(5 * GiB, 9 * GiB, 1), -S_EXIST);
	check_at(5 * GiB, 2, 7 * GiB, RWX);
	assert_int_equal(pool_count, 3);
	assert_int_equal(pt_unmap(&pt, 0, 1ull << 48), 0);

	pool_race = fill_same;
	assert_int_equal(fill(5 * GiB, 9 * GiB, 1), -S_EXIST);
	check_at(5 * GiB, 1, 7 * GiB, RWX);
	assert_int_equal(pool_count, 4);
	assert_int_equal(pt_unmap(&pt, 0, 1ull << 48), 0);

	/* Mapping on one, filling on another. */
	pool_race = fill_beside;
	map(5 * GiB, 9 * GiB, PAGE_SIZE, RW_);
	check_at(5 * GiB, 1, 9 * GiB, RW_);
	check_at(5 * GiB + PAGE_SIZE, 1, 7 * GiB, RWX);
	assert_int_equal(pool_count, 4);
}

static void remove_beside(void)
{
	assert_int_equal(pt_unmap(&pt, 5 * GiB + 3 * PAGE_SIZE, PAGE_SIZE), 0);
}

static void one_of_two_splits(void **state __unused)
{
	map(5 * GiB, 6 * GiB, 2 * MiB, RWX);
	pool_race = remove_beside;
	assert_int_equal(pt_unmap(&pt, 5 * GiB, PAGE_SIZE), 0);
	check_none(5 * GiB, 1);
	check_none(5 * GiB + 3 * PAGE_SIZE, 1);
	check_at(5 * GiB + PAGE_SIZE, 1, 6 * GiB + PAGE_SIZE, RWX);
	assert_int_equal(pool_count, 4);
}

/* Frozen: hardware finds nothing, and whoever looks finds what was there. */
static void check_frozen(uint64_t va, unsigned level, uint64_t pa)
{
	struct pt_mapping m = pt_lookup(&pt, va);

	assert_int_equal(m.kind, PTE_FROZEN);
	assert_int_equal(m.level, level);
	assert_int_equal(m.pa, pa);
	assert_int_equal(m.prot, 0);
	assert_int_equal(entry_at(va, level)->raw & 7, 0);
}

enum { MOVED, REMOVED, AS_IT_WAS };

/* The page that is changed lies in the middle of a leaf at @level; all others must stay. */
static void freeze_and_thaw(unsigned level, unsigned prot, enum pt_memtype type, unsigned how)
{
	uint64_t va = 8 * GiB, pa = 20 * GiB, to = 33 * GiB + 5 * PAGE_SIZE;
	uint64_t page = level == 1 ? 0 : (frame_bytes(level) / PAGE_SIZE - 1) / 3 * PAGE_SIZE;
	unsigned tables = pool_count, used;
	struct pt_frozen f;

	assert_int_equal(pt_map(&pt, va, pa, frame_bytes(level), prot, type), 0);
	assert_int_equal(entry_at(va, level)->raw, fmt->leaf(pa, level, prot, type).raw);
	used = pool_count;
	assert_int_equal(pt_freeze(&pt, va + page + 123, &f), 0);
	assert_int_equal(f.level, level);
	assert_int_equal(f.pa, pa + page);
	check_frozen(va + page + 5, level, pa + page + 5);
	check_frozen(va + frame_bytes(level) - 1, level, pa + frame_bytes(level) - 1);
	if (how == AS_IT_WAS) {
		pt_unfreeze(&pt, &f);
		assert_int_equal(entry_at(va, level)->raw, fmt->leaf(pa, level, prot, type).raw);
		assert_int_equal(pool_count, used);
	} else {
		pt_thaw(&pt, &f, how == MOVED ? to : 0);
		assert_int_equal(pool_count, used + level - 1);
		if (how == MOVED) {
			check_at(va + page + 7, 1, to + 7, prot);
			assert_int_equal(entry_at(va + page, 1)->raw,
					 fmt->leaf(to, 1, prot, type).raw);
		} else {
			check_none(va + page, 1);
			assert_int_equal(entry_at(va + page, 1)->raw, 0);
		}
		for (uint64_t at = 0; at < frame_bytes(level); at += PAGE_SIZE) {
			struct pt_mapping m = pt_lookup(&pt, va + at);
			unsigned l = at / (2 * MiB) == page / (2 * MiB) || level == 2 ? 1 : 2;

			if (at == page)
				continue;
			assert_int_equal(m.kind, PTE_LEAF);
			assert_int_equal(m.level, l);
			assert_int_equal(m.pa, pa + at);
			assert_int_equal(
				entry_at(va + at, l)->raw,
				fmt->leaf(ALIGN_DOWN(pa + at, frame_bytes(l)), l, prot, type).raw);
		}
	}
	assert_int_equal(pt.table_bytes, pool_count * PAGE_SIZE);
	assert_int_equal(pt_unmap(&pt, 0, 1ull << 48), 0);
	assert_int_equal(pool_count, tables);
}

static void changes_one_page(void **state __unused)
{
	static const unsigned prots[] = {PT_READ, RW_, PT_READ | PT_EXEC, RWX};

	for (unsigned level = 1; level <= 3; level++)
		for (unsigned how = MOVED; how <= AS_IT_WAS; how++)
			for (unsigned p = level == 3 ? 3 : 0; p < ARRAY_SIZE(prots); p++)
				for (unsigned type = PT_WB; type <= PT_UC; type++)
					freeze_and_thaw(level, prots[p], type, how);
}

static bool no_leaf(struct pt_visitor *v __unused, uint64_t va __unused,
		    const struct pt_mapping *m __unused)
{
	fail_msg("a frozen entry is no leaf");
	return false;
}

static void frozen_is_nobodys(void **state __unused)
{
	struct pt_visitor visitor = {no_leaf};
	struct pt_frozen f, second;

	map(2 * MiB, 8 * MiB, 2 * MiB, RWX);
	assert_int_equal(pt_freeze(&pt, 2 * MiB, &f), 0);
	assert_int_equal(pt_freeze(&pt, 3 * MiB, &second), -S_BUSY);
	assert_int_equal(fill(2 * MiB, 0, 2), -S_EXIST);
	assert_int_equal(fill(2 * MiB, 0, 1), -S_EXIST);
	assert_int_equal(fill(2 * MiB + PAGE_SIZE, 0, 1), -S_EXIST);
	assert_int_equal(pt_map(&pt, 2 * MiB, 0, 2 * MiB, RW_, PT_WB), -S_BUSY);
	assert_int_equal(pt_map(&pt, 2 * MiB, 0, PAGE_SIZE, RW_, PT_WB), -S_BUSY);
	assert_int_equal(pt_unmap(&pt, 2 * MiB, 2 * MiB), -S_BUSY);
	assert_int_equal(pt_unmap(&pt, 2 * MiB, PAGE_SIZE), -S_BUSY);
	pt_visit(&pt, &visitor);
	check_frozen(2 * MiB, 2, 8 * MiB);
	pt_unfreeze(&pt, &f);
	check_at(2 * MiB, 2, 8 * MiB, RWX);
	/* What is not there cannot be frozen. */
	assert_int_equal(pt_freeze(&pt, 0, &f), -S_NOENT);
	assert_int_equal(pt_freeze(&pt, 6 * MiB, &f), -S_NOENT);
	assert_int_equal(pt_freeze(&pt, 900 * GiB, &f), -S_NOENT);
	entry_at(6 * MiB, 2)->raw = 2;
	assert_int_equal(pt_freeze(&pt, 6 * MiB, &f), -S_NOENT);
	entry_at(6 * MiB, 2)->raw = 0;
	assert_int_equal(pool_count, 3);
}

static void freeze_runs_out_of_memory(void **state __unused)
{
	struct pt_frozen f;

	map(4 * GiB, 8 * GiB, GiB, RWX);
	for (unsigned left = 0; left < 2; left++) {
		pool_left = left;
		assert_int_equal(pt_freeze(&pt, 4 * GiB, &f), -S_NOMEM);
		check_at(4 * GiB, 3, 8 * GiB, RWX);
		assert_int_equal(pool_count, 2);
	}
	pool_left = 2;
	assert_int_equal(pt_freeze(&pt, 4 * GiB, &f), 0);
	pool_left = 0;
	pt_thaw(&pt, &f, 2 * GiB); /* needs nothing any more */
	check_at(4 * GiB, 1, 2 * GiB, RWX);
}

/* Somebody splits the leaf to remove a part of it, while tables are made ready for just that. */
static void split_before_frozen(void **state __unused)
{
	struct pt_frozen f;

	map(5 * GiB, 8 * GiB, GiB, RWX);
	pool_race = remove_beside;
	assert_int_equal(pt_freeze(&pt, 5 * GiB, &f), 0);
	assert_int_equal(f.level, 1);
	check_frozen(5 * GiB, 1, 8 * GiB);
	pt_thaw(&pt, &f, 3 * GiB);
	check_at(5 * GiB, 1, 3 * GiB, RWX);
	check_none(5 * GiB + 3 * PAGE_SIZE, 1);
	check_at(5 * GiB + 2 * MiB, 2, 8 * GiB + 2 * MiB, RWX);
	assert_int_equal(pool_count, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(fills_at_each_level),
		ALL(fills_only_what_is_empty),
		ALL(fill_runs_out_of_memory),
		ALL(one_of_two_fills),
		ALL(one_of_two_splits),
		ALL(changes_one_page),
		ALL(frozen_is_nobodys),
		ALL(freeze_runs_out_of_memory),
		ALL(split_before_frozen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
