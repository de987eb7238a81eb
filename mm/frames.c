/* SPDX-License-Identifier: BSD-2-Clause */
/* The page-frame allocator: blocks of 2 MiB, some of them split into pages. */
#include "socle/report.h"
#include "socle/list.h"
#include "socle/mm/frames.h"
#include "socle/string.h"

/*
 * Memory is a table of 2 MiB blocks. A block is absent (not usable), free, handed out whole, or
 * split into 512 pages with a bitmap. A 1 GiB frame is 512 whole blocks. That is as much as nested
 * page tables can use, takes 128 bytes for 2 MiB, and needs no pass over memory at boot.
 */
enum block_state {
	BLOCK_ABSENT, /* nothing usable in it */
	BLOCK_FREE,   /* all of it is free */
	BLOCK_WHOLE,  /* handed out as one frame (or part of a 1 GiB frame) */
	BLOCK_SPLIT,  /* some pages are handed out or unusable */
};

enum {
	BLOCK_SHIFT = 21,
	BLOCK_PAGES = 512,
	WORDS = BLOCK_PAGES / 64,
	BLOCKS_PER_GIB = 512,
};
#define BLOCK_SIZE (1ull << BLOCK_SHIFT)

struct block {
	struct list link;     /* in free_blocks or, while split and not full, in split_blocks */
	uint64_t free[WORDS]; /* split: bit set means the page is free */
	uint16_t free_pages;  /* split: bits set in free[] */
	uint8_t state;	      /* enum block_state */
	bool clean;	      /* free: known to hold only zeroes */
	uint32_t owner;	      /* whole: enum frame_owner */
};

static struct block *blocks;
static uint64_t block_count;
static struct list free_blocks = LIST_INIT(free_blocks);
static struct list split_blocks = LIST_INIT(split_blocks);
static struct frames_account account;

/* Until all memory is mapped, only what the boot loader's side mapped can be used. */
static uint64_t limit = 4 * GiB;

/* How far the last dirty block is zeroed. Forgotten when somebody takes it. */
static struct scrub {
	struct block *block; /* NULL: none begun */
	unsigned page;	     /* next to be zeroed */
} scrub;

static uint64_t block_pa(const struct block *b)
{
	return (uint64_t)(b - blocks) << BLOCK_SHIFT;
}

static void zero(uint64_t pa, uint64_t bytes)
{
	void *p = phys_to_virt(pa);
	uint64_t words = bytes / 8;

	__asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(0) : "memory");
}

static void charge(uint32_t owner, uint64_t bytes)
{
	ASSERT(owner < OWNER_COUNT && account.held[OWNER_FREE] >= bytes);
	account.held[OWNER_FREE] -= bytes;
	account.held[owner] += bytes;
}

static void refund(uint32_t owner, uint64_t bytes)
{
	ASSERT(owner < OWNER_COUNT && account.held[owner] >= bytes);
	account.held[owner] -= bytes;
	account.held[OWNER_FREE] += bytes;
}

/* Marks the pages of [start, end) as free, in a block that is absent or split. Boot only. */
static void add_pages(uint64_t start, uint64_t end)
{
	for (uint64_t pa = start; pa < end;) {
		struct block *b = &blocks[pa >> BLOCK_SHIFT];
		unsigned page = pa >> PAGE_SHIFT & (BLOCK_PAGES - 1);

		if (page == 0 && end - pa >= BLOCK_SIZE) {
			b->state = BLOCK_FREE;
			list_add_tail(&free_blocks, &b->link);
			pa += BLOCK_SIZE;
			continue;
		}
		if (b->state == BLOCK_ABSENT) {
			b->state = BLOCK_SPLIT;
			list_add_tail(&split_blocks, &b->link);
		}
		b->free[page / 64] |= BIT(page % 64);
		b->free_pages++;
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

void frames_init(const struct mem_range *given, unsigned count)
{
	struct mem_range ranges[64];
	uint64_t top = 0, table, bytes;

	ASSERT(count <= ARRAY_SIZE(ranges));
	memset(&account, 0, sizeof(account));
	scrub.block = NULL;
	list_init(&free_blocks);
	list_init(&split_blocks);
	for (unsigned i = 0; i < count; i++) {
		uint64_t start = ALIGN_UP(given[i].base, PAGE_SIZE);
		uint64_t end = ALIGN_DOWN(given[i].base + given[i].size, PAGE_SIZE);

		ranges[i] = (struct mem_range){start, end > start ? end - start : 0};
		account.total += ranges[i].size;
		top = MAX(top, end);
	}
	block_count = DIV_ROUND_UP(top, BLOCK_SIZE);
	bytes = ALIGN_UP(block_count * sizeof(struct block), PAGE_SIZE);
	table = place_table(ranges, count, bytes);
	if (!table)
		panic("too little memory: no room for %zu KiB of frame tables",
		      (size_t)(bytes / KiB));
	zero(table, bytes);
	blocks = phys_to_virt(table);
	account.metadata = account.held[OWNER_CORE] = bytes;
	account.held[OWNER_FREE] = account.total - bytes;
	for (unsigned i = 0; i < count; i++)
		add_pages(ranges[i].base, ranges[i].base + ranges[i].size);
}

/* Takes a free block off its list; zeroes it if it may hold anything. */
static uint64_t take_whole(struct block *b, uint32_t owner)
{
	ASSERT(b->state == BLOCK_FREE);
	if (scrub.block == b)
		scrub.block = NULL;
	list_remove(&b->link);
	b->state = BLOCK_WHOLE;
	b->owner = owner;
	if (!b->clean)
		zero(block_pa(b), BLOCK_SIZE);
	charge(owner, BLOCK_SIZE);
	return block_pa(b);
}

/* Of clean blocks only: zeroing a GiB on the way would stall its guest for a long time. */
static uint64_t alloc_gib(uint32_t owner)
{
	for (uint64_t i = 0; i + BLOCKS_PER_GIB <= block_count; i += BLOCKS_PER_GIB) {
		unsigned n = 0;

		while (n < BLOCKS_PER_GIB && blocks[i + n].state == BLOCK_FREE &&
		       blocks[i + n].clean)
			n++;
		if (n < BLOCKS_PER_GIB)
			continue;
		for (n = 0; n < BLOCKS_PER_GIB; n++)
			take_whole(&blocks[i + n], owner);
		return i << BLOCK_SHIFT;
	}
	return 0;
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
	if (scrub.block == b)
		scrub.block = NULL;
	list_remove(&b->link);
	b->state = BLOCK_SPLIT;
	b->free_pages = BLOCK_PAGES;
	memset(b->free, 0xff, sizeof(b->free));
	list_add_head(&split_blocks, &b->link);
	return b;
}

static uint64_t alloc_pages(unsigned count, uint32_t owner)
{
	struct block *b;
	unsigned first = BLOCK_PAGES;

	list_for_each (b, &split_blocks, link) {
		/* Keep what lies below 1 MiB for those who need just that. */
		if (block_pa(b) == 0 || block_pa(b) >= limit || b->free_pages < count)
			continue;
		first = find_pages(b, count);
		if (first < BLOCK_PAGES)
			break;
	}
	if (first == BLOCK_PAGES) {
		b = split_one();
		if (!b)
			return 0;
		first = 0;
	}
	for (unsigned page = first; page < first + count; page++)
		b->free[page / 64] &= ~BIT(page % 64);
	b->free_pages -= count;
	if (!b->free_pages)
		list_remove(&b->link);
	charge(owner, count * PAGE_SIZE);
	return block_pa(b) + first * PAGE_SIZE;
}

static void free_pages(uint64_t pa, unsigned count, uint32_t owner)
{
	struct block *b = &blocks[pa >> BLOCK_SHIFT];
	unsigned first = pa >> PAGE_SHIFT & (BLOCK_PAGES - 1);

	ASSERT(b->state == BLOCK_SPLIT && first + count <= BLOCK_PAGES);
	zero(pa, count * PAGE_SIZE);
	for (unsigned page = first; page < first + count; page++) {
		ASSERT(!(b->free[page / 64] & BIT(page % 64)));
		b->free[page / 64] |= BIT(page % 64);
	}
	refund(owner, count * PAGE_SIZE);
	if (!b->free_pages)
		list_add_head(&split_blocks, &b->link);
	b->free_pages += count;
	if (b->free_pages < BLOCK_PAGES)
		return;
	list_remove(&b->link);
	b->state = BLOCK_FREE;
	b->clean = false;
	list_add_tail(&free_blocks, &b->link);
}

uint64_t frame_alloc_raw(uint32_t owner)
{
	return alloc_pages(1, owner);
}

uint64_t frame_alloc(enum frame_level level, uint32_t owner)
{
	uint64_t pa;

	switch (level) {
	case FRAME_1G:
		return alloc_gib(owner);
	case FRAME_2M:
		if (list_empty(&free_blocks))
			return 0;
		return take_whole(list_entry(free_blocks.next, struct block, link), owner);
	case FRAME_4K:
		break;
	}
	pa = alloc_pages(1, owner);
	if (pa)
		zero(pa, PAGE_SIZE);
	return pa;
}

static void free_whole(uint64_t pa, uint32_t owner)
{
	struct block *b = &blocks[pa >> BLOCK_SHIFT];

	ASSERT(IS_ALIGNED(pa, BLOCK_SIZE) && b->state == BLOCK_WHOLE && b->owner == owner);
	/* Zeroed before it is given to anyone: by the idle loop, or when it is taken. */
	b->state = BLOCK_FREE;
	b->clean = false;
	refund(owner, BLOCK_SIZE);
	list_add_tail(&free_blocks, &b->link);
}

void frame_free(uint64_t pa, enum frame_level level, uint32_t owner)
{
	ASSERT(pa >> BLOCK_SHIFT < block_count);
	if (level == FRAME_4K) {
		free_pages(pa, 1, owner);
		return;
	}
	for (uint64_t at = frame_bytes(level); at > 0; at -= BLOCK_SIZE)
		free_whole(pa + at - BLOCK_SIZE, owner);
}

void *pages_alloc(size_t bytes, uint32_t owner)
{
	unsigned count = DIV_ROUND_UP(bytes, PAGE_SIZE);
	uint64_t pa;

	if (count == 0 || count > BLOCK_PAGES)
		return NULL;
	pa = alloc_pages(count, owner);
	if (!pa)
		return NULL;
	zero(pa, count * PAGE_SIZE);
	return phys_to_virt(pa);
}

void pages_free(void *va, size_t bytes, uint32_t owner)
{
	if (va)
		free_pages(virt_to_phys(va), DIV_ROUND_UP(bytes, PAGE_SIZE), owner);
}

bool frames_scrub_some(void)
{
	struct block *b = list_entry(free_blocks.prev, struct block, link);

	/* Clean blocks gather at the front, where large frames are taken from; dirty ones behind.
	 */
	if (list_empty(&free_blocks) || b->clean)
		return false;
	if (scrub.block != b)
		scrub = (struct scrub){.block = b};
	zero(block_pa(b) + scrub.page * PAGE_SIZE, PAGE_SIZE);
	if (++scrub.page < BLOCK_PAGES)
		return true;
	scrub.block = NULL;
	b->clean = true;
	list_remove(&b->link);
	list_add_head(&free_blocks, &b->link);
	return true;
}

void frames_all_mapped(void)
{
	limit = UINT64_MAX;
}

const struct frames_account *frames_account(void)
{
	return &account;
}
