/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPUs' stocks of free memory, in front of the common pool, and zeroing it in idle time. */
#include "stock.h"
#include "socle/cpu/cpu.h"
#include "socle/cpu/spinlock.h"
#include "socle/string.h"

enum {
	STOCK_PAGES = 64,
	STOCK_BATCH = 32, /* pages that go between a stock and the pool at once */
	STOCK_BLOCKS = 4,
};

/*
 * What a CPU can hand out without the pool's lock. Only its CPU takes the stock's lock in the
 * normal course of things; the others do when memory has run out everywhere else: see drought().
 */
static struct stock {
	struct spinlock lock;	      /* guards what follows */
	unsigned pages, blocks;	      /* used entries of page[] and block[] */
	unsigned scrubbed;	      /* pages of @scrub that are zeroed */
	bool dirty;		      /* page[] may have dirty ones; those freed are not */
	uint64_t scrub;		      /* block that this CPU zeroes when idle; 0: none begun */
	uint64_t block[STOCK_BLOCKS]; /* clean ones only */
	uint64_t page[STOCK_PAGES];   /* maybe with POOL_DIRTY; the last freed is the first taken */
} __aligned(64) stocks[CPU_MAX];

static bool stocked;	  /* CPUs may use their stocks */
static unsigned droughts; /* CPUs that look for memory everywhere: nobody may fill a stock */

/* At least as many blocks as all stocks hold; atomic. 0: there is no use in looking for one. */
static uint64_t stocked_blocks;

void stocks_init(void)
{
	memset(stocks, 0, sizeof(stocks));
	stocked_blocks = 0;
	stocked = false;
	for (unsigned i = 0; i < CPU_MAX; i++)
		spinlock_init(&stocks[i].lock, "stock", LOCK_STOCK);
}

void frames_use_stocks(void)
{
	stocked = true;
}

/* Before blocks go into a stock, and after they left it. */
static void count_stocked(int change)
{
	if (change)
		__atomic_add_fetch(&stocked_blocks, change, __ATOMIC_SEQ_CST);
}

/* With the lock of @s: all that is in it goes to the pool. */
static void empty_stock(struct stock *s)
{
	int count = s->blocks + (s->scrub != 0);

	if (s->pages)
		pool_put_pages(s->page, s->pages);
	s->pages = 0;
	if (s->scrub)
		pool_put_block(s->scrub | POOL_DIRTY);
	s->scrub = 0;
	while (s->blocks)
		pool_put_block(s->block[--s->blocks]);
	count_stocked(-count);
}

/*
 * The pool has not what this CPU needs, but the stocks may: all of it goes back to the pool, and
 * stays there until drought_ends(). So who finds nothing then knows that there is nothing: what is
 * free is never on its way from one place to another without the lock of a stock. No lock held.
 */
static void drought(void)
{
	__atomic_add_fetch(&droughts, 1, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < CPU_MAX; i++) {
		spin_lock(&stocks[i].lock);
		empty_stock(&stocks[i]);
		spin_unlock(&stocks[i].lock);
	}
}

static void drought_ends(void)
{
	__atomic_sub_fetch(&droughts, 1, __ATOMIC_SEQ_CST);
}

/* This CPU's stock, locked; NULL if it must not be used now. */
static struct stock *open_stock(void)
{
	struct stock *s;

	if (!stocked)
		return NULL;
	s = &stocks[cpu_index()];
	spin_lock(&s->lock);
	if (likely(!__atomic_load_n(&droughts, __ATOMIC_ACQUIRE)))
		return s;
	spin_unlock(&s->lock);
	return NULL;
}

uint64_t stock_take_run(unsigned count)
{
	uint64_t pa = pool_take_run(count);

	if (pa)
		return pa;
	drought();
	pa = pool_take_run(count);
	drought_ends();
	return pa;
}

static void refill(struct stock *s)
{
	s->pages = pool_take_pages(s->page, STOCK_BATCH);
	s->dirty = true;
}

uint64_t stock_take_page(void)
{
	struct stock *s = open_stock();
	uint64_t page = 0;

	if (s) {
		if (unlikely(!s->pages))
			refill(s);
		if (s->pages)
			page = s->page[--s->pages];
		spin_unlock(&s->lock);
	}
	return page ? page : stock_take_run(1);
}

uint64_t stock_take_block(void)
{
	struct stock *s = open_stock();
	uint64_t block[1 + STOCK_BLOCKS];
	unsigned n;

	if (s) {
		if (!s->blocks) {
			count_stocked(STOCK_BLOCKS);
			n = pool_take_blocks(block, ARRAY_SIZE(block));
			for (unsigned i = 1; i < n; i++)
				s->block[s->blocks++] = block[i];
			count_stocked((int)s->blocks - STOCK_BLOCKS);
		} else {
			n = 1;
			block[0] = s->block[--s->blocks];
			count_stocked(-1);
		}
		spin_unlock(&s->lock);
	} else {
		n = pool_take_blocks(block, 1);
	}
	if (!n && __atomic_load_n(&stocked_blocks, __ATOMIC_SEQ_CST)) {
		drought();
		n = pool_take_blocks(block, 1);
		drought_ends();
	}
	return n ? block[0] : 0;
}

void stock_put_page(uint64_t pa)
{
	struct stock *s = pa >> BLOCK_SHIFT ? open_stock() : NULL;

	if (!s) {
		pool_put_run(pa, 1);
		return;
	}
	if (s->pages == STOCK_PAGES) {
		/* Those that have been there longest: nothing of them is in the caches. */
		pool_put_pages(s->page, STOCK_BATCH);
		s->pages -= STOCK_BATCH;
		memmove(s->page, s->page + STOCK_BATCH, s->pages * sizeof(s->page[0]));
	}
	s->page[s->pages++] = pa;
	spin_unlock(&s->lock);
}

void frames_return_stock(void)
{
	struct stock *s = open_stock();

	if (!s)
		return;
	empty_stock(s);
	spin_unlock(&s->lock);
}

struct pool_count stock_count(void)
{
	struct pool_count c = {0};

	for (unsigned i = 0; i < CPU_MAX; i++) {
		struct stock *s = &stocks[i];

		spin_lock(&s->lock);
		for (unsigned k = 0; k < s->pages; k++)
			if (s->page[k] & POOL_DIRTY)
				c.dirty += PAGE_SIZE;
			else
				c.clean += PAGE_SIZE;
		c.clean += s->blocks * BLOCK_SIZE;
		if (s->scrub) {
			c.clean += s->scrubbed * PAGE_SIZE;
			c.dirty += BLOCK_SIZE - s->scrubbed * PAGE_SIZE;
		}
		spin_unlock(&s->lock);
	}
	return c;
}

/* With the lock of @s: the next page of a block; false if there is none to be zeroed. */
static bool scrub_block(struct stock *s)
{
	if (!s->scrub) {
		/* Not while another CPU gathers what is free. */
		if (__atomic_load_n(&droughts, __ATOMIC_ACQUIRE))
			return false;
		count_stocked(1);
		s->scrub = pool_take_dirty();
		s->scrubbed = 0;
		if (!s->scrub) {
			count_stocked(-1);
			return false;
		}
	}
	pool_zero(s->scrub + s->scrubbed * PAGE_SIZE, PAGE_SIZE);
	if (++s->scrubbed < BLOCK_PAGES)
		return true;
	pool_put_block(s->scrub);
	s->scrub = 0;
	count_stocked(-1);
	return true;
}

/* With the lock of @s: a page that waits in it; false if all of them are clean. */
static bool scrub_page(struct stock *s)
{
	if (!s->dirty)
		return false;
	for (unsigned i = s->pages; i-- > 0;)
		if (s->page[i] & POOL_DIRTY) {
			s->page[i] = pool_clean(s->page[i], PAGE_SIZE);
			return true;
		}
	s->dirty = false;
	return false;
}

bool frames_scrub_some(void)
{
	struct stock *s = &stocks[cpu_index()];
	bool done;

	spin_lock(&s->lock);
	done = scrub_page(s) || scrub_block(s);
	spin_unlock(&s->lock);
	return done;
}
