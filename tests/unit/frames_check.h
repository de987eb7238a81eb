/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: the page-frame allocator, and whether all that it keeps agrees. */
#ifndef TESTS_UNIT_FRAMES_CHECK_H
#define TESTS_UNIT_FRAMES_CHECK_H

#include "../../mm/pool.c"
#include "../../mm/stock.c"
#include "../../mm/frames.c"

#define BLOCK (2 * MiB)

/* What is free, as it is found page by page. */
static struct pool_count found;

static void count_found(bool clean, uint64_t bytes)
{
	*(clean ? &found.clean : &found.dirty) += bytes;
}

/* Lists, states and counters of a block agree. */
static void check_block(const struct block *b)
{
	unsigned free_pages = 0;

	for (unsigned w = 0; w < WORDS; w++) {
		free_pages += __builtin_popcountll(b->free[w]);
		assert_int_equal(b->free[w] & b->out[w], 0);
	}
	switch (b->state) {
	case BLOCK_FREE:
		assert_false(list_empty(&b->link));
		count_found(b->clean, BLOCK);
		break;
	case BLOCK_SPLIT:
		assert_int_equal(free_pages, b->free_pages);
		assert_int_equal(list_empty(&b->link), !free_pages);
		count_found(b->clean, free_pages * PAGE_SIZE);
		break;
	default:
		break;
	}
}

static void check_stock(struct stock *s)
{
	assert_int_equal(s->lock.held, 0);
	for (unsigned i = 0; i < s->blocks; i++)
		assert_int_equal(block_of(s->block[i])->state, BLOCK_TAKEN);
	for (unsigned i = 0; i < s->pages; i++) {
		struct block *b = block_of(s->page[i]);
		unsigned page = page_of(s->page[i]);

		assert_int_equal(b->state, BLOCK_SPLIT);
		assert_int_equal((b->free[page / 64] | b->out[page / 64]) >> page % 64 & 1, 0);
		count_found(!(s->page[i] & POOL_DIRTY), PAGE_SIZE);
	}
	count_found(true, s->blocks * BLOCK);
	if (!s->scrub)
		return;
	assert_int_equal(block_of(s->scrub)->state, BLOCK_TAKEN);
	count_found(true, s->scrubbed * PAGE_SIZE);
	count_found(false, BLOCK - s->scrubbed * PAGE_SIZE);
}

/* The account must be what the block table and the stocks say, page by page. */
static __unused void check_account(void)
{
	struct frames_account a;
	uint64_t free_bytes, out = 0, sum = 0, listed = 0, in_stocks = 0;
	bool clean_ones = true;
	struct block *b;

	found = (struct pool_count){0};
	assert_int_equal(pool_lock.held, 0);
	for (uint64_t i = 0; i < block_count; i++) {
		check_block(&blocks[i]);
		out += blocks[i].state == BLOCK_WHOLE ? BLOCK : 0;
		for (unsigned w = 0; blocks[i].state == BLOCK_SPLIT && w < WORDS; w++)
			out += __builtin_popcountll(blocks[i].out[w]) * PAGE_SIZE;
	}
	list_for_each (b, &free_blocks, link) {
		assert_int_equal(b->state, BLOCK_FREE);
		assert_true(clean_ones || !b->clean);
		clean_ones = b->clean;
		listed++;
	}
	assert_int_equal(listed, free_count);
	for (unsigned i = 0; i < CPU_MAX; i++) {
		check_stock(&stocks[i]);
		in_stocks += stocks[i].blocks + !!stocks[i].scrub;
	}
	assert_int_equal(stocked_blocks, in_stocks);
	assert_int_equal(droughts, 0);
	frames_account_read(&a);
	free_bytes = found.clean + found.dirty;
	assert_int_equal(a.missing, 0);
	assert_int_equal(a.dirty, found.dirty);
	for (unsigned i = 0; i < OWNER_COUNT; i++)
		sum += a.held[i];
	assert_int_equal(sum, a.total);
	assert_int_equal(a.held[OWNER_FREE], free_bytes);
	assert_int_equal(a.total - free_bytes - a.metadata, out);
}

/* So that a test need not wait for it. */
static __unused void make_clean(uint64_t i, bool clean)
{
	unlist_block(&blocks[i], BLOCK_TAKEN);
	list_block(&blocks[i], clean);
}

#endif
