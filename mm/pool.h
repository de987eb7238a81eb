/* SPDX-License-Identifier: BSD-2-Clause */
/* The pool of free memory, which all CPUs share: below the CPUs' stocks, for frames.c alone. */
#ifndef MM_POOL_H
#define MM_POOL_H

#include "socle/mm/frames.h"

enum { BLOCK_SHIFT = 21, BLOCK_PAGES = 512, BLOCKS_PER_GIB = 512 };
#define BLOCK_SIZE (1ull << BLOCK_SHIFT)

/* In the lowest bit of a free page's or block's address: it may hold anything but zeroes. */
#define POOL_DIRTY 1ull

static inline void pool_zero(uint64_t pa, uint64_t bytes)
{
	void *p = phys_to_virt(pa);
	uint64_t words = bytes / 8;

	__asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(0) : "memory");
}

/* Zeroes what may be dirty; the address alone is left. */
static inline uint64_t pool_clean(uint64_t page, uint64_t bytes)
{
	if (page & POOL_DIRTY)
		pool_zero(page & ~POOL_DIRTY, bytes);
	return page & ~POOL_DIRTY;
}

/* Takes over the memory of boot, as frames_init(). Returns the bytes of the table of blocks. */
uint64_t pool_init(struct mem_range *ranges, unsigned count);

/* From now on also what lies above 4 GiB is handed out. */
void pool_all_mapped(void);

/*
 * Take up to @max single pages into @page, all of one block; returns how many, 0 if there are
 * none. Addresses may have POOL_DIRTY. What is taken must be handed out, kept in a stock, or put
 * back.
 */
unsigned pool_take_pages(uint64_t *page, unsigned max);
void pool_put_pages(const uint64_t *page, unsigned count);

/* @count pages in a row, @count at most BLOCK_PAGES; maybe with POOL_DIRTY. 0: there are none. */
uint64_t pool_take_run(unsigned count);
void pool_put_run(uint64_t pa, unsigned count);

/* A page that a real-mode program can begin in, maybe with POOL_DIRTY. 0: there is none. */
uint64_t pool_take_low(void);

/*
 * Takes a block into block[0], which may have POOL_DIRTY, and as many clean ones as leave every
 * other CPU enough, @max in all. Returns how many.
 */
unsigned pool_take_blocks(uint64_t *block, unsigned max);

/* A block to be zeroed, without POOL_DIRTY; 0: there is none. */
uint64_t pool_take_dirty(void);

/* Maybe with POOL_DIRTY. */
void pool_put_block(uint64_t block);

/* 512 clean blocks in a row: zeroing a GiB on the way would stall its guest for a long time. */
uint64_t pool_take_gib(void);

/* Bytes of free memory. */
struct pool_count {
	uint64_t clean; /* known to hold only zeroes */
	uint64_t dirty; /* maybe anything */
};

/* What is in the pool now. */
struct pool_count pool_count(void);

/*
 * Note that pages or a block taken from the pool are handed out from now on, or are no longer.
 * Assert that they were not, or were. Any number of CPUs at once.
 */
void pool_pages_out(uint64_t pa, unsigned count);
void pool_pages_back(uint64_t pa, unsigned count);
void pool_block_out(uint64_t pa, uint32_t owner);
void pool_block_back(uint64_t pa, uint32_t owner);

/* What was handed out as a block is now 512 pages that are. */
void pool_block_split(uint64_t pa, uint32_t owner);

#endif
