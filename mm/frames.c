/* SPDX-License-Identifier: BSD-2-Clause */
/* The page-frame allocator: what it hands out is zeroed, and accounted to its owner. */
#include "stock.h"
#include "socle/report.h"
#include "socle/string.h"

/* Bytes by owner, atomic, each in a cache line of its own: several CPUs run one VM. */
static struct {
	uint64_t bytes;
} __aligned(64) accounts[OWNER_COUNT];
static uint64_t total, metadata;

static void charge(uint32_t owner, uint64_t bytes)
{
	__atomic_add_fetch(&accounts[owner].bytes, bytes, __ATOMIC_RELAXED);
}

static void refund(uint32_t owner, uint64_t bytes)
{
	ASSERT(owner < OWNER_COUNT &&
	       __atomic_fetch_sub(&accounts[owner].bytes, bytes, __ATOMIC_RELAXED) >= bytes);
}

void frames_init(const struct mem_range *given, unsigned count)
{
	struct mem_range ranges[64];

	ASSERT(count <= ARRAY_SIZE(ranges));
	memset(accounts, 0, sizeof(accounts));
	total = 0;
	stocks_init();
	for (unsigned i = 0; i < count; i++) {
		uint64_t start = ALIGN_UP(given[i].base, PAGE_SIZE);
		uint64_t end = ALIGN_DOWN(given[i].base + given[i].size, PAGE_SIZE);

		ranges[i] = (struct mem_range){start, end > start ? end - start : 0};
		total += ranges[i].size;
	}
	metadata = pool_init(ranges, count);
	charge(OWNER_CORE, metadata);
}

void frames_all_mapped(void)
{
	pool_all_mapped();
}

static uint64_t hand_out_pages(uint64_t pa, unsigned count, uint32_t owner)
{
	if (!pa)
		return 0;
	pool_pages_out(pa, count);
	charge(owner, count * PAGE_SIZE);
	return pa;
}

uint64_t frame_alloc_raw(uint32_t owner)
{
	ASSERT(owner < OWNER_COUNT);
	return hand_out_pages(stock_take_page() & ~POOL_DIRTY, 1, owner);
}

uint64_t frame_alloc_low(uint32_t owner)
{
	ASSERT(owner < OWNER_COUNT);
	return hand_out_pages(pool_clean(pool_take_low(), PAGE_SIZE), 1, owner);
}

uint64_t frame_alloc(enum frame_level level, uint32_t owner)
{
	uint64_t pa;

	ASSERT(owner < OWNER_COUNT);
	switch (level) {
	case FRAME_4K:
		return hand_out_pages(pool_clean(stock_take_page(), PAGE_SIZE), 1, owner);
	case FRAME_2M:
		pa = pool_clean(stock_take_block(), BLOCK_SIZE);
		break;
	case FRAME_1G:
		pa = pool_take_gib();
		break;
	default:
		return 0;
	}
	if (!pa)
		return 0;
	for (uint64_t at = pa; at < pa + frame_bytes(level); at += BLOCK_SIZE)
		pool_block_out(at, owner);
	charge(owner, frame_bytes(level));
	return pa;
}

static void free_block(uint64_t pa, uint32_t owner, bool zeroed)
{
	pool_block_back(pa, owner);
	refund(owner, BLOCK_SIZE);
	/* Dirty ones are zeroed before anyone gets them: by an idle CPU, or when they are taken. */
	pool_put_block(pa | (zeroed ? 0 : POOL_DIRTY));
}

static void free_frame(uint64_t pa, enum frame_level level, uint32_t owner, bool zeroed)
{
	if (level == FRAME_4K) {
		pool_pages_back(pa, 1);
		refund(owner, PAGE_SIZE);
		if (!zeroed)
			pool_zero(pa, PAGE_SIZE);
		stock_put_page(pa);
		return;
	}
	for (uint64_t at = frame_bytes(level); at > 0; at -= BLOCK_SIZE)
		free_block(pa + at - BLOCK_SIZE, owner, zeroed);
}

void frame_free(uint64_t pa, enum frame_level level, uint32_t owner)
{
	free_frame(pa, level, owner, false);
}

void frame_free_unused(uint64_t pa, enum frame_level level, uint32_t owner)
{
	free_frame(pa, level, owner, true);
}

void frame_split(uint64_t pa, uint32_t owner)
{
	pool_block_split(ALIGN_DOWN(pa, BLOCK_SIZE), owner);
}

void *pages_alloc(size_t bytes, uint32_t owner)
{
	unsigned count = DIV_ROUND_UP(bytes, PAGE_SIZE);
	uint64_t pa;

	ASSERT(owner < OWNER_COUNT);
	if (count == 0 || count > BLOCK_PAGES)
		return NULL;
	pa = pool_clean(count == 1 ? stock_take_page() : stock_take_run(count), count * PAGE_SIZE);
	return pa ? phys_to_virt(hand_out_pages(pa, count, owner)) : NULL;
}

void pages_free(void *va, size_t bytes, uint32_t owner)
{
	unsigned count = DIV_ROUND_UP(bytes, PAGE_SIZE);

	if (!va)
		return;
	pool_pages_back(virt_to_phys(va), count);
	refund(owner, count * PAGE_SIZE);
	pool_zero(virt_to_phys(va), count * PAGE_SIZE);
	if (count == 1)
		stock_put_page(virt_to_phys(va));
	else
		pool_put_run(virt_to_phys(va), count);
}

void frames_account_read(struct frames_account *a)
{
	uint64_t sum = 0;

	*a = (struct frames_account){.total = total, .metadata = metadata};
	for (unsigned i = OWNER_FREE + 1; i < OWNER_COUNT; i++)
		sum += a->held[i] = __atomic_load_n(&accounts[i].bytes, __ATOMIC_RELAXED);
	/* What changed hands meanwhile may have been counted twice. */
	a->held[OWNER_FREE] = total - MIN(sum, total);
}
