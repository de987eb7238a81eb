/* SPDX-License-Identifier: BSD-2-Clause */
/* The page-frame allocator: what it hands out is zeroed, and accounted to its owner. */
#include "stock.h"
#include "socle/cpu/cpu.h"
#include "socle/report.h"
#include "socle/string.h"

/* Bytes by owner, atomic, each in a cache line of its own: several CPUs run one VM. */
static struct {
	uint64_t bytes;
} __aligned(64) accounts[OWNER_COUNT];
static uint64_t total, metadata;

/* Of a builder that may fail, for pages_free_noted(). */
enum { NOTES = 512 };
struct note {
	uint64_t pa;
	size_t bytes;
};
static struct {
	bool on;
	uint32_t owner; /* whose memory is noted, ... */
	unsigned cpu;	/* ... of what this CPU allocates */
	unsigned count; /* used entries of note[] */
	struct note note[NOTES];
} notes;

static bool is_noted(uint32_t owner)
{
	return unlikely(notes.on) && notes.owner == owner && notes.cpu == cpu_index();
}

static void forget_note(uint64_t pa)
{
	for (unsigned i = 0; i < notes.count; i++)
		if (notes.note[i].pa == pa) {
			notes.note[i] = notes.note[--notes.count];
			return;
		}
}

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

/*
 * @pages may have POOL_DIRTY. Zeroed last, since it takes long, and until somebody is charged
 * memory that was taken is in nobody's account.
 */
static uint64_t hand_out_pages(uint64_t pages, unsigned count, uint32_t owner)
{
	uint64_t pa = pages & ~POOL_DIRTY;

	if (!pa)
		return 0;
	charge(owner, count * PAGE_SIZE);
	pool_pages_out(pa, count);
	return pool_clean(pages, count * PAGE_SIZE);
}

uint64_t frame_alloc_raw(uint32_t owner)
{
	ASSERT(owner < OWNER_COUNT);
	return hand_out_pages(stock_take_page() & ~POOL_DIRTY, 1, owner);
}

uint64_t frame_alloc_low(uint32_t owner)
{
	ASSERT(owner < OWNER_COUNT);
	return hand_out_pages(pool_take_low(), 1, owner);
}

uint64_t frame_alloc(enum frame_level level, uint32_t owner)
{
	uint64_t pa;

	ASSERT(owner < OWNER_COUNT);
	switch (level) {
	case FRAME_4K:
		return hand_out_pages(stock_take_page(), 1, owner);
	case FRAME_2M:
		pa = stock_take_block();
		break;
	case FRAME_1G:
		pa = pool_take_gib();
		break;
	default:
		return 0;
	}
	if (!pa)
		return 0;
	charge(owner, frame_bytes(level));
	/* No GiB is dirty. */
	pa = pool_clean(pa, BLOCK_SIZE);
	for (uint64_t at = pa; at < pa + frame_bytes(level); at += BLOCK_SIZE)
		pool_block_out(at, owner);
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
		if (!zeroed)
			pool_zero(pa, PAGE_SIZE);
		refund(owner, PAGE_SIZE);
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
	if (is_noted(owner) && notes.count == ARRAY_SIZE(notes.note))
		return NULL;
	pa = hand_out_pages(count == 1 ? stock_take_page() : stock_take_run(count), count, owner);
	if (pa && is_noted(owner))
		notes.note[notes.count++] = (struct note){pa, bytes};
	return pa ? phys_to_virt(pa) : NULL;
}

void pages_free(void *va, size_t bytes, uint32_t owner)
{
	unsigned count = DIV_ROUND_UP(bytes, PAGE_SIZE);

	if (!va)
		return;
	if (is_noted(owner))
		forget_note(virt_to_phys(va));
	pool_pages_back(virt_to_phys(va), count);
	pool_zero(virt_to_phys(va), count * PAGE_SIZE);
	refund(owner, count * PAGE_SIZE);
	if (count == 1)
		stock_put_page(virt_to_phys(va));
	else
		pool_put_run(virt_to_phys(va), count);
}

void pages_note(uint32_t owner)
{
	ASSERT(!notes.on);
	notes.on = true;
	notes.owner = owner;
	notes.cpu = cpu_index();
	notes.count = 0;
}

void pages_keep_noted(void)
{
	notes.on = false;
}

void pages_free_noted(void)
{
	notes.on = false;
	while (notes.count) {
		const struct note *n = &notes.note[--notes.count];

		pages_free(phys_to_virt(n->pa), n->bytes, notes.owner);
	}
}

static void read_account(struct frames_account *a)
{
	uint64_t sum = 0;
	struct pool_count in_pool, in_stocks;

	*a = (struct frames_account){.total = total, .metadata = metadata};
	for (unsigned i = OWNER_FREE + 1; i < OWNER_COUNT; i++)
		sum += a->held[i] = __atomic_load_n(&accounts[i].bytes, __ATOMIC_RELAXED);
	in_stocks = stock_count();
	in_pool = pool_count();
	a->held[OWNER_FREE] = in_pool.clean + in_stocks.clean + in_pool.dirty + in_stocks.dirty;
	a->dirty = in_pool.dirty + in_stocks.dirty;
	a->missing = (int64_t)(total - sum - a->held[OWNER_FREE]);
}

void frames_account_read(struct frames_account *a)
{
	enum { TRIES = 100 };

	/* What another CPU takes or gives back right now is counted twice, or not at all. */
	for (unsigned i = 0; i < TRIES; i++) {
		read_account(a);
		if (!a->missing)
			return;
	}
}
