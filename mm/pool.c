/* SPDX-License-Identifier: BSD-2-Clause */
/* The pool of free memory: blocks of 2 MiB, some of them split into pages, under one lock. */
#include "pool.h"
#include "socle/cpu/cpu.h"
#include "socle/cpu/spinlock.h"
#include "socle/list.h"
#include "socle/report.h"
#include "socle/string.h"

/*
 * Memory is a table of 2 MiB blocks. A block is absent (not usable), free, taken whole, or split
 * into 512 pages with a bitmap. A 1 GiB frame is 512 whole blocks. That is as much as nested page
 * tables can use, takes 160 bytes for 2 MiB, and needs no pass over memory at boot.
 */
enum block_state {
	BLOCK_ABSENT, /* nothing usable in it */
	BLOCK_FREE,   /* all of it is free */
	BLOCK_TAKEN,  /* free, but in a CPU's stock */
	BLOCK_WHOLE,  /* handed out as one frame (or part of a 1 GiB frame) */
	BLOCK_SPLIT,  /* some pages are handed out, in stocks, or unusable */
};

enum { WORDS = BLOCK_PAGES / 64 };

struct block {
	struct list link;     /* in free_blocks or, while split and not full, in split_blocks */
	uint64_t free[WORDS]; /* split: bit set means the page is in the pool */
	uint64_t out[WORDS];  /* split: bit set means the page is handed out; atomic */
	uint16_t free_pages;  /* split: bits set in free[] */
	uint16_t ready;	      /* first block of a GiB: how many of its blocks are free and clean */
	uint8_t state;	      /* enum block_state */
	bool clean;	      /* all that is free of it is known to hold only zeroes */
	uint32_t owner;	      /* whole: enum frame_owner */
};

/* Real-mode code can begin in pages below; the extended BIOS data area may lie above. */
#define LOW_TOP 0x9f000ull

/* Guards all that follows, and the blocks but for what is said there. */
static struct spinlock pool_lock = SPINLOCK_INIT("frames", LOCK_FRAMES);
static struct block *blocks;
static uint64_t block_count;
static struct list free_blocks = LIST_INIT(free_blocks);   /* clean ones in front */
static struct list split_blocks = LIST_INIT(split_blocks); /* those that have free pages */
static uint64_t free_count;				   /* blocks in free_blocks */
static struct pool_count counted;			   /* what is free here, by page */
static uint64_t ready_gibs; /* GiB with all blocks free and clean; read without the lock, too */

/* Until all memory is mapped, only what the boot loader's side mapped can be used. */
static uint64_t limit = 4 * GiB;

static uint64_t block_pa(const struct block *b)
{
	return (uint64_t)(b - blocks) << BLOCK_SHIFT;
}

static struct block *block_of(uint64_t pa)
{
	ASSERT(pa >> BLOCK_SHIFT < block_count);
	return &blocks[pa >> BLOCK_SHIFT];
}

static unsigned page_of(uint64_t pa)
{
	return pa >> PAGE_SHIFT & (BLOCK_PAGES - 1);
}

/* Counts pages of @b that come (@pages above 0) or go. */
static void count_pages(const struct block *b, int pages)
{
	uint64_t bytes = (uint64_t)(int64_t)pages * PAGE_SIZE;

	if (b->clean)
		counted.clean += bytes;
	else
		counted.dirty += bytes;
}

/* Counts a clean block that comes (@change 1) or goes (-1). */
static void count_ready(const struct block *b, int change)
{
	struct block *first = &blocks[ALIGN_DOWN((uint64_t)(b - blocks), BLOCKS_PER_GIB)];
	uint64_t gibs = ready_gibs;

	gibs -= first->ready == BLOCKS_PER_GIB;
	first->ready += change;
	gibs += first->ready == BLOCKS_PER_GIB;
	__atomic_store_n(&ready_gibs, gibs, __ATOMIC_RELAXED);
}

/* Clean blocks gather at the front, where large frames are taken from; dirty ones behind. */
static void list_block(struct block *b, bool clean)
{
	b->state = BLOCK_FREE;
	b->clean = clean;
	free_count++;
	count_pages(b, BLOCK_PAGES);
	if (clean) {
		count_ready(b, 1);
		list_add_head(&free_blocks, &b->link);
	} else {
		list_add_tail(&free_blocks, &b->link);
	}
}

static void unlist_block(struct block *b, enum block_state state)
{
	ASSERT(b->state == BLOCK_FREE);
	list_remove(&b->link);
	b->state = state;
	free_count--;
	count_pages(b, -BLOCK_PAGES);
	if (b->clean)
		count_ready(b, -1);
}

/* Marks the pages of [start, end) as free, in a block that is absent or split. Boot only. */
static void add_pages(uint64_t start, uint64_t end)
{
	for (uint64_t pa = start; pa < end;) {
		struct block *b = block_of(pa);
		unsigned page = page_of(pa);

		if (page == 0 && end - pa >= BLOCK_SIZE) {
			list_block(b, false);
			pa += BLOCK_SIZE;
			continue;
		}
		if (b->state == BLOCK_ABSENT) {
			b->state = BLOCK_SPLIT;
			list_add_tail(&split_blocks, &b->link);
		}
		b->free[page / 64] |= BIT(page % 64);
		b->free_pages++;
		count_pages(b, 1);
		pa += PAGE_SIZE;
	}
}

/* Cuts room for the block table out of the first range that has it. */
static uint64_t place_table(struct mem_range *ranges, unsigned count, uint64_t bytes)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t pa = ranges[i].base;

		/* Below 1 MiB is for trampolines. */
		if (pa < MiB || ranges[i].size < bytes || pa + bytes > limit)
			continue;
		ranges[i].base += bytes;
		ranges[i].size -= bytes;
		return pa;
	}
	return 0;
}

uint64_t pool_init(struct mem_range *ranges, unsigned count)
{
	uint64_t top = 0, table, bytes;

	list_init(&free_blocks);
	list_init(&split_blocks);
	free_count = ready_gibs = 0;
	counted = (struct pool_count){0};
	for (unsigned i = 0; i < count; i++)
		top = MAX(top, ranges[i].base + ranges[i].size);
	block_count = DIV_ROUND_UP(top, BLOCK_SIZE);
	bytes = ALIGN_UP(block_count * sizeof(struct block), PAGE_SIZE);
	table = place_table(ranges, count, bytes);
	if (!table)
		panic("too little memory: no room for %zu KiB of frame tables",
		      (size_t)(bytes / KiB));
	blocks = phys_to_virt(table);
	memset(blocks, 0, bytes);
	for (unsigned i = 0; i < count; i++)
		add_pages(ranges[i].base, ranges[i].base + ranges[i].size);
	return bytes;
}

void pool_all_mapped(void)
{
	limit = UINT64_MAX;
}

/* First of @count free pages in a row, or BLOCK_PAGES. */
static unsigned find_pages(const struct block *b, unsigned count)
{
	unsigned run = 0;

	for (unsigned page = 0; page < BLOCK_PAGES; page++) {
		if (!b->free[page / 64]) {
			run = 0;
			page |= 63;
			continue;
		}
		run = b->free[page / 64] & BIT(page % 64) ? run + 1 : 0;
		if (run == count)
			return page + 1 - count;
	}
	return BLOCK_PAGES;
}

static struct block *split_one(void)
{
	struct block *b;

	/* From the end: large frames are taken from the front, so both stay contiguous longer. */
	for (struct list *at = free_blocks.prev;; at = at->prev) {
		if (at == &free_blocks)
			return NULL;
		b = list_entry(at, struct block, link);
		if (block_pa(b) < limit)
			break;
	}
	unlist_block(b, BLOCK_SPLIT);
	b->free_pages = BLOCK_PAGES;
	count_pages(b, BLOCK_PAGES);
	memset(b->free, 0xff, sizeof(b->free));
	memset(b->out, 0, sizeof(b->out));
	list_add_head(&split_blocks, &b->link);
	return b;
}

/* A split block that has @count free pages in a row, from *@first on; NULL: there is none. */
static struct block *find_run(unsigned count, unsigned *first)
{
	struct block *b;

	list_for_each (b, &split_blocks, link) {
		/* Keep what lies below 1 MiB for those who need just that. */
		if (block_pa(b) == 0 || block_pa(b) >= limit || b->free_pages < count)
			continue;
		*first = find_pages(b, count);
		if (*first < BLOCK_PAGES)
			return b;
	}
	*first = 0;
	return split_one();
}

static void unlist_page(struct block *b, unsigned page)
{
	b->free[page / 64] &= ~BIT(page % 64);
	count_pages(b, -1);
	if (!--b->free_pages)
		list_remove(&b->link);
}

static void list_page(struct block *b, unsigned page)
{
	b->free[page / 64] |= BIT(page % 64);
	count_pages(b, 1);
	if (!b->free_pages++)
		list_add_head(&split_blocks, &b->link);
	if (b->free_pages < BLOCK_PAGES)
		return;
	list_remove(&b->link);
	count_pages(b, -BLOCK_PAGES);
	list_block(b, false);
}

unsigned pool_take_pages(uint64_t *page, unsigned max)
{
	unsigned n = 0, first;
	struct block *b;

	spin_lock(&pool_lock);
	b = find_run(1, &first);
	for (unsigned w = first / 64; b && w < WORDS; w++)
		while (b->free[w] && n < max) {
			unsigned at = w * 64 + __builtin_ctzll(b->free[w]);

			unlist_page(b, at);
			page[n++] = (block_pa(b) + at * PAGE_SIZE) | (b->clean ? 0 : POOL_DIRTY);
		}
	spin_unlock(&pool_lock);
	return n;
}

void pool_put_pages(const uint64_t *page, unsigned count)
{
	spin_lock(&pool_lock);
	for (unsigned i = 0; i < count; i++) {
		struct block *b = block_of(page[i]);

		list_page(b, page_of(page[i]));
	}
	spin_unlock(&pool_lock);
}

uint64_t pool_take_run(unsigned count)
{
	uint64_t pa = 0;
	struct block *b;
	unsigned first;

	spin_lock(&pool_lock);
	b = find_run(count, &first);
	if (b) {
		pa = (block_pa(b) + first * PAGE_SIZE) | (b->clean ? 0 : POOL_DIRTY);
		for (unsigned i = 0; i < count; i++)
			unlist_page(b, first + i);
	}
	spin_unlock(&pool_lock);
	return pa;
}

void pool_put_run(uint64_t pa, unsigned count)
{
	struct block *b = block_of(pa);

	spin_lock(&pool_lock);
	for (unsigned i = 0; i < count; i++)
		list_page(b, page_of(pa) + i);
	spin_unlock(&pool_lock);
}

uint64_t pool_take_low(void)
{
	struct block *b = &blocks[0];
	uint64_t pa = 0;

	spin_lock(&pool_lock);
	for (unsigned page = 1; page < LOW_TOP / PAGE_SIZE; page++)
		if (b->free[page / 64] & BIT(page % 64)) {
			unlist_page(b, page);
			pa = page * PAGE_SIZE | POOL_DIRTY;
			break;
		}
	spin_unlock(&pool_lock);
	return pa;
}

unsigned pool_take_blocks(uint64_t *block, unsigned max)
{
	uint64_t share;
	unsigned n = 0;

	spin_lock(&pool_lock);
	/* All CPUs' stocks together hold back no more than a quarter of what is free. */
	share = 1 + free_count / (4 * CPU_MAX);
	max = MIN(share, max);
	while (n < max && !list_empty(&free_blocks)) {
		struct block *b = list_entry(free_blocks.next, struct block, link);

		if (n && !b->clean)
			break;
		unlist_block(b, BLOCK_TAKEN);
		block[n++] = block_pa(b) | (b->clean ? 0 : POOL_DIRTY);
	}
	spin_unlock(&pool_lock);
	return n;
}

uint64_t pool_take_dirty(void)
{
	struct block *b;
	uint64_t pa = 0;

	spin_lock(&pool_lock);
	b = list_entry(free_blocks.prev, struct block, link);
	if (!list_empty(&free_blocks) && !b->clean) {
		unlist_block(b, BLOCK_TAKEN);
		pa = block_pa(b);
	}
	spin_unlock(&pool_lock);
	return pa;
}

void pool_put_block(uint64_t block)
{
	struct block *b = block_of(block);

	spin_lock(&pool_lock);
	list_block(b, !(block & POOL_DIRTY));
	spin_unlock(&pool_lock);
}

uint64_t pool_take_gib(void)
{
	uint64_t i, pa = 0;

	if (!__atomic_load_n(&ready_gibs, __ATOMIC_RELAXED))
		return 0;
	spin_lock(&pool_lock);
	for (i = 0; ready_gibs && i < block_count; i += BLOCKS_PER_GIB)
		if (blocks[i].ready == BLOCKS_PER_GIB) {
			for (unsigned n = 0; n < BLOCKS_PER_GIB; n++)
				unlist_block(&blocks[i + n], BLOCK_TAKEN);
			pa = i << BLOCK_SHIFT;
			break;
		}
	spin_unlock(&pool_lock);
	return pa;
}

struct pool_count pool_count(void)
{
	struct pool_count c;

	spin_lock(&pool_lock);
	c = counted;
	spin_unlock(&pool_lock);
	return c;
}

void pool_pages_out(uint64_t pa, unsigned count)
{
	struct block *b = block_of(pa);

	for (unsigned page = page_of(pa); count; count--, page++)
		ASSERT(!(__atomic_fetch_or(&b->out[page / 64], BIT(page % 64), __ATOMIC_RELAXED) &
			 BIT(page % 64)));
}

void pool_pages_back(uint64_t pa, unsigned count)
{
	struct block *b = block_of(pa);

	ASSERT(b->state == BLOCK_SPLIT && page_of(pa) + count <= BLOCK_PAGES);
	for (unsigned page = page_of(pa); count; count--, page++)
		ASSERT(__atomic_fetch_and(&b->out[page / 64], ~BIT(page % 64), __ATOMIC_RELAXED) &
		       BIT(page % 64));
}

void pool_block_out(uint64_t pa, uint32_t owner)
{
	struct block *b = block_of(pa);

	ASSERT(b->state == BLOCK_TAKEN);
	b->state = BLOCK_WHOLE;
	b->owner = owner;
}

void pool_block_back(uint64_t pa, uint32_t owner)
{
	struct block *b = block_of(pa);

	ASSERT(IS_ALIGNED(pa, BLOCK_SIZE) && b->state == BLOCK_WHOLE && b->owner == owner);
	b->state = BLOCK_TAKEN;
}

void pool_block_split(uint64_t pa, uint32_t owner)
{
	struct block *b = block_of(pa);

	pool_block_back(pa, owner);
	memset(b->free, 0, sizeof(b->free));
	memset(b->out, 0xff, sizeof(b->out));
	b->free_pages = 0;
	b->clean = true; /* nothing of it is free, and what will be is zeroed first */
	b->state = BLOCK_SPLIT;
}
