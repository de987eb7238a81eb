/* SPDX-License-Identifier: BSD-2-Clause */
/* The page-frame allocator: accounting to the page, alignment, zeroing, and misuse that asserts. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "panic_mock.h"
#include "memory_mock.h"
#include "frames_check.h"

enum { OWNER_A = OWNER_VM, OWNER_B = OWNER_VM + 2 };

/* A machine of @size bytes with the usual hole at 640 KiB, and page 0 left out. */
static void start(uint64_t size)
{
	const struct mem_range ranges[] = {{PAGE_SIZE, 0x9f000 - PAGE_SIZE}, {MiB, size - MiB}};

	machine_new(size);
	frames_init(ranges, ARRAY_SIZE(ranges));
	frames_all_mapped();
	check_account();
}

static int setup(void **state __unused)
{
	start(32 * MiB);
	return 0;
}

static void boot_counts_every_page(void **state __unused)
{
	/* Ends that are not page-aligned are rounded inwards; an empty range is fine. */
	const struct mem_range ranges[] = {
		{0x1234, 0x5000}, {0x9fc00, 0x200}, {MiB + 1, 9 * MiB}, {16 * MiB, 4 * MiB + 5}};
	uint64_t bytes = ALIGN_UP(10 * sizeof(struct block), PAGE_SIZE);
	struct frames_account a;

	machine_new(32 * MiB);
	frames_init(ranges, ARRAY_SIZE(ranges));
	check_account();
	frames_account_read(&a);
	assert_int_equal(a.total, 0x4000 + (9 * MiB - PAGE_SIZE) + 4 * MiB);
	assert_int_equal(a.metadata, bytes);
	assert_int_equal(held_by(OWNER_CORE), bytes);
	assert_int_equal(blocks[5].state, BLOCK_ABSENT);
	assert_int_equal(blocks[8].state, BLOCK_FREE);
}

/* Until all memory is mapped, only what lies below 4 GiB may be handed out. */
static void early_frames_are_low(void **state __unused)
{
	const struct mem_range ranges[] = {{MiB, 4 * MiB}, {4 * GiB + MiB, 4 * MiB}};
	unsigned count = 0;
	uint64_t pa;

	machine_new(4 * GiB + 8 * MiB);
	limit = 4 * GiB;
	frames_init(ranges, ARRAY_SIZE(ranges));
	while ((pa = frame_alloc(FRAME_4K, OWNER_A))) {
		assert_true(pa < 4 * GiB);
		count++;
	}
	assert_true(count >= 3 * MiB / PAGE_SIZE);
	frames_all_mapped();
	assert_true(frame_alloc(FRAME_4K, OWNER_A) >= 4 * GiB);
}

static void too_little_memory_panics(void **state __unused)
{
	const struct mem_range low = {PAGE_SIZE, 0x9e000}, tiny = {MiB, 100};

	machine_new(4 * MiB);
	assert_panics(frames_init(&low, 1));
	assert_panics(frames_init(&tiny, 1));
}

static void every_frame_once(void **state __unused)
{
	static uint64_t pas[8192];
	unsigned count = 0;
	uint64_t pa, before = held_by(OWNER_FREE);

	while ((pa = frame_alloc(FRAME_4K, OWNER_A))) {
		assert_true(IS_ALIGNED(pa, PAGE_SIZE));
		/* Below 1 MiB is for trampolines; the allocator's own table is not for anyone. */
		assert_true(pa >= 2 * MiB && pa < 32 * MiB);
		assert_true(all_zero(phys_to_virt(pa), PAGE_SIZE));
		*(uint64_t *)phys_to_virt(pa) = ~pa; /* twice the same frame would not be zero */
		pas[count++] = pa;
	}
	check_account();
	assert_int_equal(held_by(OWNER_A), count * PAGE_SIZE);
	assert_int_equal(count, 30 * MiB / PAGE_SIZE);
	assert_int_equal(frame_alloc_raw(OWNER_A), 0);
	assert_int_equal(frame_alloc(FRAME_2M, OWNER_A), 0);
	assert_null(pages_alloc(1, OWNER_A));
	/* Back in an order of its own. */
	for (unsigned i = 0; i < count; i++) {
		pa = pas[(i * 4099ull) % count];
		assert_int_equal(*(uint64_t *)phys_to_virt(pa), ~pa);
		frame_free(pa, FRAME_4K, OWNER_A);
		assert_true(all_zero(phys_to_virt(pa), PAGE_SIZE));
	}
	check_account();
	assert_int_equal(held_by(OWNER_A), 0);
	assert_int_equal(held_by(OWNER_FREE), before);
}

static void large_frames(void **state __unused)
{
	uint64_t pas[16];

	/* 32 MiB less the first block, which holds the hole and the table. */
	for (unsigned i = 0; i < 15; i++) {
		/* Firmware may have left anything there. */
		memset(phys_to_virt((i + 1) * BLOCK), 0xa5, BLOCK);
	}
	for (unsigned i = 0; i < 15; i++) {
		pas[i] = frame_alloc(FRAME_2M, OWNER_A);
		assert_true(pas[i] && IS_ALIGNED(pas[i], BLOCK));
		assert_true(all_zero(phys_to_virt(pas[i]), BLOCK));
		memset(phys_to_virt(pas[i]), 0x5a, BLOCK);
	}
	assert_int_equal(frame_alloc(FRAME_2M, OWNER_A), 0);
	assert_int_equal(held_by(OWNER_A), 15 * BLOCK);
	check_account();
	for (unsigned i = 0; i < 15; i++)
		frame_free(pas[i], FRAME_2M, OWNER_A);
	check_account();
	assert_int_equal(held_by(OWNER_A), 0);
	/* Nobody gets them before they are zeroed. */
	for (unsigned i = 0; i < 15; i++)
		assert_true(all_zero(phys_to_virt(frame_alloc(FRAME_2M, OWNER_B)), BLOCK));
}

static void contents_do_not_leak(void **state __unused)
{
	uint64_t pa;

	/* Also not by way of the other size. */
	for (unsigned i = 1; i < 16; i++)
		memset(phys_to_virt(i * BLOCK), 0xa5, BLOCK);
	for (unsigned i = 0; i < 8 * 512; i++) {
		pa = frame_alloc(FRAME_4K, OWNER_A);
		assert_true(all_zero(phys_to_virt(pa), PAGE_SIZE));
	}
	while ((pa = frame_alloc(FRAME_2M, OWNER_B)))
		assert_true(all_zero(phys_to_virt(pa), BLOCK));
	check_account();
}

static void contiguous_pages(void **state __unused)
{
	static const size_t sizes[] = {1, 4096, 4097, 3 * 4096, 65536, 2 * MiB};
	void *p[ARRAY_SIZE(sizes)];
	uint64_t sum = 0;

	assert_null(pages_alloc(0, OWNER_CORE));
	assert_null(pages_alloc(2 * MiB + 1, OWNER_CORE));
	pages_free(NULL, 4096, OWNER_CORE);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		p[i] = pages_alloc(sizes[i], OWNER_B);
		assert_non_null(p[i]);
		assert_true(IS_ALIGNED(virt_to_phys(p[i]), PAGE_SIZE));
		assert_true(all_zero(p[i], ALIGN_UP(sizes[i], PAGE_SIZE)));
		memset(p[i], i + 1, ALIGN_UP(sizes[i], PAGE_SIZE));
		sum += ALIGN_UP(sizes[i], PAGE_SIZE);
		assert_int_equal(held_by(OWNER_B), sum);
	}
	check_account();
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		const uint8_t *bytes = p[i];

		for (size_t n = 0; n < ALIGN_UP(sizes[i], PAGE_SIZE); n += 512)
			assert_int_equal(bytes[n], i + 1);
		pages_free(p[i], sizes[i], OWNER_B);
		assert_true(all_zero(p[i], ALIGN_UP(sizes[i], PAGE_SIZE)));
	}
	check_account();
	assert_int_equal(held_by(OWNER_B), 0);
}

static void misuse_asserts(void **state __unused)
{
	uint64_t page = frame_alloc(FRAME_4K, OWNER_A), block = frame_alloc(FRAME_2M, OWNER_A);
	uint64_t other = frame_alloc(FRAME_4K, OWNER_A);

	frame_free(page, FRAME_4K, OWNER_A);
	assert_panics(frame_free(page, FRAME_4K, OWNER_A));
	assert_panics(frame_free(other, FRAME_4K, OWNER_B));
	assert_panics(frame_free(other, FRAME_2M, OWNER_A));
	assert_panics(frame_free(block, FRAME_4K, OWNER_A));
	assert_panics(frame_free(block + PAGE_SIZE, FRAME_2M, OWNER_A));
	assert_panics(frame_free(block, FRAME_2M, OWNER_B));
	assert_panics(frame_free(32 * MiB, FRAME_4K, OWNER_A));
	frame_free(block, FRAME_2M, OWNER_A);
	assert_panics(frame_free(block, FRAME_2M, OWNER_A));
	assert_panics((void)!frame_alloc(FRAME_4K, OWNER_COUNT));
}

static void freed_pages_make_a_block(void **state __unused)
{
	static uint64_t pas[512];
	uint64_t large;

	for (unsigned i = 0; i < 512; i++)
		pas[i] = frame_alloc(FRAME_4K, OWNER_A);
	/* All of one block, so that it may become one again. */
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(pas[i] / BLOCK, pas[0] / BLOCK);
	for (unsigned i = 0; i < 14; i++)
		assert_true(frame_alloc(FRAME_2M, OWNER_B));
	assert_int_equal(frame_alloc(FRAME_2M, OWNER_B), 0);
	for (unsigned i = 0; i < 511; i++)
		frame_free(pas[i], FRAME_4K, OWNER_A);
	assert_int_equal(frame_alloc(FRAME_2M, OWNER_B), 0);
	frame_free(pas[511], FRAME_4K, OWNER_A);
	large = frame_alloc(FRAME_2M, OWNER_B);
	assert_int_equal(large, ALIGN_DOWN(pas[0], BLOCK));
	check_account();
}

static void small_frames_stay_together(void **state __unused)
{
	uint64_t pas[64], first, block;

	/* Pages and large frames in turns must cost the large ones one block, not one each. */
	for (unsigned i = 0; i < 14; i++) {
		pas[i] = frame_alloc(FRAME_4K, OWNER_A);
		assert_true(frame_alloc(FRAME_2M, OWNER_B));
	}
	first = ALIGN_DOWN(pas[0], BLOCK);
	for (unsigned i = 0; i < 14; i++)
		assert_int_equal(ALIGN_DOWN(pas[i], BLOCK), first);
	assert_int_equal(frame_alloc(FRAME_2M, OWNER_B), 0);
	/* A hole of one page is found again; a run of two does not fit into it. */
	frame_free(pas[3], FRAME_4K, OWNER_A);
	block = virt_to_phys(pages_alloc(2 * PAGE_SIZE, OWNER_A));
	assert_true(block != pas[3]);
	assert_int_equal(frame_alloc(FRAME_4K, OWNER_A), pas[3]);
	check_account();
}

static void scrubbing_makes_clean_blocks(void **state __unused)
{
	uint64_t pa;
	unsigned n = 0;

	for (unsigned i = 1; i < 16; i++)
		memset(phys_to_virt(i * BLOCK), 0xa5, BLOCK);
	/* A page at a time, no page twice. */
	while (frames_scrub_some())
		n++;
	assert_int_equal(n, 15 * 512);
	for (unsigned i = 1; i < 16; i++) {
		assert_true(blocks[i].clean);
		assert_true(all_zero(phys_to_virt(i * BLOCK), BLOCK));
	}
	assert_false(frames_scrub_some());
	check_account();
	/* A clean block is handed out as it is: that is what scrubbing is for. */
	*(char *)phys_to_virt(
		(uint64_t)(list_entry(free_blocks.next, struct block, link) - blocks) * BLOCK) = 1;
	pa = frame_alloc(FRAME_2M, OWNER_A);
	assert_int_equal(*(char *)phys_to_virt(pa), 1);
	/* Freed, whole or in pages, it must be looked at again: once. */
	memset(phys_to_virt(pa), 0xa5, BLOCK);
	frame_free(pa, FRAME_2M, OWNER_A);
	for (n = 0; frames_scrub_some(); n++)
		;
	assert_int_equal(n, 512);
	assert_true(all_zero(phys_to_virt(pa), BLOCK));
	pa = frame_alloc(FRAME_4K, OWNER_A);
	frame_free(pa, FRAME_4K, OWNER_A);
	for (n = 0; frames_scrub_some(); n++)
		;
	assert_int_equal(n, 512);
	while (frame_alloc(FRAME_2M, OWNER_A))
		;
	assert_false(frames_scrub_some());
}

/* Pages that come into the stock while a block is scrubbed go first: they are taken next. */
static void scrubbing_sees_what_comes(void **state __unused)
{
	unsigned scrubbed;

	frames_use_stocks();
	memset(phys_to_virt(2 * MiB), 0xa5, 30 * MiB);
	assert_int_not_equal(frame_alloc_raw(OWNER_A), 0);
	while (!stocks[0].scrub)
		assert_true(frames_scrub_some());
	for (unsigned round = 0; round < 3; round++) {
		while (stocks[0].pages)
			assert_int_not_equal(frame_alloc_raw(OWNER_A), 0);
		assert_int_not_equal(frame_alloc_raw(OWNER_A), 0);
		assert_int_equal(stocks[0].pages, STOCK_BATCH - 1);
		scrubbed = stocks[0].scrubbed;
		for (unsigned i = 0; i < STOCK_BATCH - 1; i++)
			assert_true(frames_scrub_some());
		for (unsigned i = 0; i < stocks[0].pages; i++)
			assert_true(all_zero(phys_to_virt(stocks[0].page[i]), PAGE_SIZE));
		assert_int_equal(stocks[0].scrubbed, scrubbed);
		assert_true(frames_scrub_some());
		assert_int_equal(stocks[0].scrubbed, scrubbed + 1);
	}
	check_account();
}

/* A block that is taken while it is half scrubbed is not taken for a clean one afterwards. */
static void scrubbing_is_interrupted(void **state __unused)
{
	for (unsigned round = 0; round < 2; round++) {
		uint64_t last, page;

		start(32 * MiB);
		for (unsigned i = 0; i < 300; i++)
			assert_true(frames_scrub_some());
		last = stocks[0].scrub;
		assert_int_equal(last, 30 * MiB);
		check_account();
		/* It is the last that is taken, but taken it is. */
		for (unsigned i = 0; i < 14; i++)
			assert_int_not_equal(frame_alloc(FRAME_2M, OWNER_A), 0);
		memset(phys_to_virt(last), 0xa5, BLOCK);
		if (round == 0) {
			assert_int_equal(frame_alloc(FRAME_2M, OWNER_A), last);
			frame_free(last, FRAME_2M, OWNER_A);
		} else {
			/* Split, used, and whole again: all of it must be looked at. */
			page = frame_alloc(FRAME_4K, OWNER_A);
			assert_int_equal(ALIGN_DOWN(page, BLOCK), last);
			frame_free(page, FRAME_4K, OWNER_A);
			memset(phys_to_virt(last), 0xa5, BLOCK);
		}
		assert_int_equal(stocks[0].scrub, 0);
		check_account();
		while (frames_scrub_some())
			;
		assert_true(all_zero(phys_to_virt(last), BLOCK));
		check_account();
	}
}

static void a_gib_of_clean_blocks_only(void **state __unused)
{
	uint64_t pa;

	start(2 * GiB + 64 * MiB);
	machine_alias(GiB, GiB);
	assert_int_equal(frame_alloc(FRAME_1G, OWNER_A), 0);
	for (uint64_t i = 512; i < 1024; i++)
		make_clean(i, true);
	make_clean(700, false);
	assert_int_equal(frame_alloc(FRAME_1G, OWNER_A), 0);
	make_clean(700, true);
	pa = frame_alloc(FRAME_1G, OWNER_A);
	assert_int_equal(pa, GiB);
	assert_int_equal(held_by(OWNER_A), GiB);
	check_account();
	assert_int_equal(frame_alloc(FRAME_1G, OWNER_A), 0);
	assert_panics(frame_free(pa, FRAME_1G, OWNER_B));
	frame_free(pa, FRAME_1G, OWNER_A);
	assert_int_equal(held_by(OWNER_A), 0);
	check_account();
	/* What its owner left there makes it dirty. */
	assert_int_equal(frame_alloc(FRAME_1G, OWNER_A), 0);
	for (uint64_t i = 512; i < 1024; i++)
		make_clean(i, true);
	assert_int_equal(frame_alloc(FRAME_1G, OWNER_A), GiB);
}

static void random_use(void **state __unused)
{
	static struct {
		uint64_t pa;
		unsigned kind, bytes;
		uint32_t owner;
	} held[400];
	uint64_t seed = 1, before = held_by(OWNER_FREE);

	memset(held, 0, sizeof(held));
	for (unsigned step = 0; step < 30000; step++) {
		unsigned n;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		n = (seed >> 33) % ARRAY_SIZE(held);
		if (held[n].pa) {
			uint64_t *p = phys_to_virt(held[n].pa);

			assert_int_equal(*p, n + 1);
			if (held[n].kind == 0)
				pages_free(p, held[n].bytes, held[n].owner);
			else
				frame_free(held[n].pa, held[n].kind, held[n].owner);
			held[n].pa = 0;
			continue;
		}
		held[n].kind = seed >> 60 == 0 ? FRAME_2M : (seed >> 50) % 2;
		held[n].owner = OWNER_VM + (seed >> 45) % 4;
		held[n].bytes = 1 + (seed >> 20) % 40000;
		if (held[n].kind == 0) {
			void *p = pages_alloc(held[n].bytes, held[n].owner);

			held[n].pa = p ? virt_to_phys(p) : 0;
		} else {
			held[n].pa = frame_alloc(held[n].kind, held[n].owner);
		}
		if (held[n].pa) {
			assert_int_equal(*(uint64_t *)phys_to_virt(held[n].pa), 0);
			*(uint64_t *)phys_to_virt(held[n].pa) = n + 1;
		}
		if (step % 512 == 0)
			check_account();
	}
	for (unsigned n = 0; n < ARRAY_SIZE(held); n++) {
		if (held[n].pa && held[n].kind == 0)
			pages_free(phys_to_virt(held[n].pa), held[n].bytes, held[n].owner);
		else if (held[n].pa)
			frame_free(held[n].pa, held[n].kind, held[n].owner);
	}
	check_account();
	assert_int_equal(held_by(OWNER_FREE), before);
}

/* With stocks; CPU 0's is filled. */
static int setup_stocks(void **state __unused)
{
	test_cpu_index = 0;
	start(32 * MiB);
	frames_use_stocks();
	frame_free(frame_alloc(FRAME_4K, OWNER_A), FRAME_4K, OWNER_A);
	assert_int_equal(stocks[0].pages, STOCK_BATCH);
	check_account();
	return 0;
}

static void stocks_need_no_lock(void **state __unused)
{
	uint64_t pas[STOCK_BATCH + 1];

	start(GiB);
	frames_use_stocks();
	for (unsigned i = 100; i < 110; i++)
		make_clean(i, true);
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		test_cpu_index = cpu;
		pas[0] = frame_alloc(FRAME_4K, OWNER_A);
		pas[STOCK_BATCH] = frame_alloc(FRAME_2M, OWNER_A);
		assert_true(pas[0] && pas[STOCK_BATCH]);
	}
	spin_lock(&pool_lock);
	alarm(20); /* whoever waits for the lock waits for ever */
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		test_cpu_index = cpu;
		for (unsigned round = 0; round < 3; round++) {
			for (unsigned i = 1; i < STOCK_BATCH; i++)
				pas[i] = i % 2 ? frame_alloc(FRAME_4K, OWNER_B)
					       : frame_alloc_raw(OWNER_B);
			for (unsigned i = 1; i < STOCK_BATCH; i++) {
				assert_true(all_zero(phys_to_virt(pas[i]), PAGE_SIZE));
				memset(phys_to_virt(pas[i]), 0xa5, PAGE_SIZE);
				frame_free(pas[i], FRAME_4K, OWNER_B);
			}
		}
		assert_true(frame_alloc(FRAME_2M, OWNER_B));
		assert_true(pages_alloc(1, OWNER_B));
	}
	alarm(0);
	spin_unlock(&pool_lock);
	test_cpu_index = 0;
	check_account();
}

/* A stock that overflows gives the older half of its pages back. */
static void stocks_are_bounded(void **state __unused)
{
	static uint64_t pas[1000];

	for (unsigned i = 0; i < ARRAY_SIZE(pas); i++)
		pas[i] = frame_alloc(FRAME_4K, OWNER_A);
	check_account();
	for (unsigned i = 0; i < ARRAY_SIZE(pas); i++) {
		frame_free(pas[i], FRAME_4K, OWNER_A);
		assert_in_range(stocks[0].pages, 1, STOCK_PAGES);
		/* The next one taken is the last one freed: it is in the caches. */
		assert_int_equal(frame_alloc_raw(OWNER_A), pas[i]);
		frame_free(pas[i], FRAME_4K, OWNER_A);
	}
	check_account();
	assert_int_equal(held_by(OWNER_A), 0);
	/* Given back, pages are large frames again. */
	frames_return_stock();
	assert_int_equal(stocks[0].pages, 0);
	assert_int_equal(free_count, 15);
	check_account();
	/* Large ones are kept only if they can be handed out at once. */
	start(GiB);
	frames_use_stocks();
	assert_true(frame_alloc(FRAME_2M, OWNER_A));
	assert_int_equal(stocked_blocks, 0);
	/* All stocks together leave most of the memory to others. */
	start(GiB);
	frames_use_stocks();
	for (unsigned i = 1; i < 512; i++)
		make_clean(i, true);
	for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
		test_cpu_index = cpu;
		assert_true(frame_alloc(FRAME_2M, OWNER_A));
	}
	assert_in_range(stocked_blocks, 1, 511 / 4);
	test_cpu_index = 0;
	check_account();
}

/* What lies in the stocks of others can be had before anyone is told that there is nothing. */
static void others_stocks(void **state __unused)
{
	uint64_t pa, pages = 0, blocks_had = 0;

	for (unsigned cpu = 1; cpu < 6; cpu++) {
		test_cpu_index = cpu;
		frame_free(frame_alloc(FRAME_4K, OWNER_B), FRAME_4K, OWNER_B);
		assert_true(frames_scrub_some());
		assert_int_not_equal(stocks[cpu].pages, 0);
	}
	check_account();
	test_cpu_index = 0;
	while ((pa = frame_alloc(FRAME_4K, OWNER_A))) {
		assert_true(all_zero(phys_to_virt(pa), PAGE_SIZE));
		*(uint64_t *)phys_to_virt(pa) = ~pa;
		pages++;
	}
	assert_int_equal(pages, 30 * MiB / PAGE_SIZE);
	check_account();
	/* Large ones and runs as well. */
	for (unsigned round = 0; round < 2; round++) {
		setup_stocks(NULL);
		for (unsigned i = 1; i < 16; i++)
			if (blocks[i].state == BLOCK_FREE)
				make_clean(i, round);
		for (unsigned cpu = 1; cpu < 6; cpu++) {
			test_cpu_index = cpu;
			if (round) {
				stocks[cpu].blocks = pool_take_blocks(stocks[cpu].block, 1);
				count_stocked(1);
			} else {
				assert_true(frames_scrub_some());
			}
		}
		check_account();
		test_cpu_index = 0;
		for (blocks_had = 0; (pa = frame_alloc(FRAME_2M, OWNER_A)); blocks_had++)
			;
		/* That to which the pages of the first CPU's stock belong is free as well. */
		assert_int_equal(blocks_had, 14 + (stocks[0].pages == 0));
		check_account();
	}
	setup_stocks(NULL);
	for (unsigned i = 0; i < 14; i++)
		assert_true(frame_alloc(FRAME_2M, OWNER_A));
	test_cpu_index = 1;
	frame_free(frame_alloc(FRAME_4K, OWNER_B), FRAME_4K, OWNER_B);
	assert_non_null(pages_alloc(BLOCK, OWNER_B));
	assert_null(pages_alloc(1, OWNER_B));
	test_cpu_index = 0;
	check_account();
}

static void misuse_with_stocks_asserts(void **state __unused)
{
	uint64_t page = frame_alloc(FRAME_4K, OWNER_A), other = frame_alloc(FRAME_4K, OWNER_A);
	uint64_t block;
	void *run = pages_alloc(3 * PAGE_SIZE, OWNER_A);

	frame_free(page, FRAME_4K, OWNER_A);
	assert_panics(frame_free(page, FRAME_4K, OWNER_A));		     /* lies in the stock */
	assert_panics(frame_free(other - 8 * PAGE_SIZE, FRAME_4K, OWNER_A)); /* so does this */
	assert_panics(frame_free(ALIGN_DOWN(other, BLOCK), FRAME_2M, OWNER_A));
	assert_panics(pages_free(run, 4 * PAGE_SIZE, OWNER_A));
	block = frame_alloc(FRAME_2M, OWNER_A);
	assert_panics(frame_split(block, OWNER_B));
	assert_panics(frame_split(other, OWNER_A));
	assert_panics((void)!frame_alloc_raw(OWNER_COUNT));
	assert_panics((void)!frame_alloc_low(OWNER_COUNT));
	assert_panics((void)!pages_alloc(1, OWNER_COUNT));
}

static void known_zeroes_are_not_zeroed_again(void **state __unused)
{
	uint64_t pa, block;

	/* Pages of a scrubbed block. */
	while (frames_scrub_some())
		;
	frames_return_stock();
	while (frames_scrub_some())
		;
	block = block_pa(list_entry(free_blocks.prev, struct block, link));
	for (unsigned i = 0; i < 512; i++)
		*(char *)phys_to_virt(block + i * PAGE_SIZE) = 1;
	pa = frame_alloc(FRAME_4K, OWNER_A);
	assert_int_equal(ALIGN_DOWN(pa, BLOCK), block);
	assert_int_equal(*(char *)phys_to_virt(pa), 1);
	memset(phys_to_virt(block), 0, BLOCK);
	/* What is given back unused. */
	frame_free_unused(pa, FRAME_4K, OWNER_A);
	*(char *)phys_to_virt(pa) = 2;
	assert_int_equal(frame_alloc(FRAME_4K, OWNER_A), pa);
	assert_int_equal(*(char *)phys_to_virt(pa), 2);
	block = frame_alloc(FRAME_2M, OWNER_A);
	frame_free_unused(block, FRAME_2M, OWNER_A);
	assert_true(block_of(block)->clean);
	check_account();
	/* Pages of a block that is not scrubbed, by an idle CPU while they lie in its stock. */
	start(32 * MiB);
	frames_use_stocks();
	memset(phys_to_virt(2 * MiB), 0xa5, 30 * MiB);
	pa = frame_alloc_raw(OWNER_A);
	for (unsigned i = 0; i < STOCK_BATCH - 1; i++)
		assert_true(frames_scrub_some());
	for (unsigned i = 0; i < stocks[0].pages; i++)
		assert_true(all_zero(phys_to_virt(stocks[0].page[i]), PAGE_SIZE));
	assert_int_equal(stocks[0].scrub, 0);
	/* Those that are not zeroed go back as what they are. */
	test_cpu_index = 1;
	assert_true(frame_alloc_raw(OWNER_A) != 0);
	frames_return_stock();
	test_cpu_index = 0;
	while ((pa = frame_alloc(FRAME_4K, OWNER_A)))
		assert_true(all_zero(phys_to_virt(pa), PAGE_SIZE));
	check_account();
}

static void low_frames(void **state __unused)
{
	/* More than is fit for it. */
	const struct mem_range ranges[] = {{PAGE_SIZE, 0xa0000 - PAGE_SIZE}, {MiB, 31 * MiB}};
	uint64_t pa, seen[200], first_free;
	unsigned n = 0;

	frames_init(ranges, ARRAY_SIZE(ranges));
	frames_use_stocks();
	first_free = held_by(OWNER_FREE);
	memset(phys_to_virt(0), 0xa5, MiB);
	while ((pa = frame_alloc_low(OWNER_CORE))) {
		assert_true(IS_ALIGNED(pa, PAGE_SIZE) && pa >= 0x1000 && pa < 0x9f000);
		assert_true(all_zero(phys_to_virt(pa), PAGE_SIZE));
		memset(phys_to_virt(pa), 0x5a, PAGE_SIZE);
		seen[n++] = pa;
	}
	assert_int_equal(n, 0x9e);
	assert_int_equal(held_by(OWNER_FREE), first_free - n * PAGE_SIZE);
	check_account();
	/* They go back to where they were, not into a stock. */
	for (unsigned i = 0; i < n; i++)
		frame_free(seen[i], FRAME_4K, OWNER_CORE);
	check_account();
	assert_int_equal(held_by(OWNER_FREE), first_free);
	while ((pa = frame_alloc(FRAME_4K, OWNER_A)))
		assert_true(pa >= MiB);
	assert_int_not_equal(frame_alloc_low(OWNER_CORE), 0);
	/* A machine may have none. */
	frames_init(&(struct mem_range){MiB, 4 * MiB}, 1);
	assert_int_equal(frame_alloc_low(OWNER_CORE), 0);
	frames_init(&(struct mem_range){2 * MiB, 4 * MiB}, 1);
	assert_int_equal(frame_alloc_low(OWNER_CORE), 0);
	check_account();
}

static void split_frames(void **state __unused)
{
	uint64_t before = held_by(OWNER_FREE), pa = frame_alloc(FRAME_2M, OWNER_A), other;

	memset(phys_to_virt(pa), 0xa5, BLOCK);
	frame_split(pa + 5 * PAGE_SIZE, OWNER_A);
	assert_int_equal(held_by(OWNER_A), BLOCK);
	check_account();
	assert_panics(frame_free(pa, FRAME_2M, OWNER_A));
	for (unsigned i = 0; i < 512; i++) {
		frame_free(pa + (i * 77 % 512) * PAGE_SIZE, FRAME_4K, OWNER_A);
		assert_int_equal(held_by(OWNER_A), BLOCK - (i + 1) * PAGE_SIZE);
	}
	check_account();
	frames_return_stock();
	assert_int_equal(held_by(OWNER_FREE), before);
	assert_int_equal(free_count, 15);
	check_account();
	while ((other = frame_alloc(FRAME_2M, OWNER_B)))
		assert_true(all_zero(phys_to_virt(other), BLOCK));
}

static int teardown_stocks(void **state __unused)
{
	test_cpu_index = 0;
	return 0;
}

int main(void)
{
#define STOCKS(f)                                                      \
	{                                                              \
#f " (stocks)", f, setup_stocks, teardown_stocks, NULL \
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boot_counts_every_page),
		cmocka_unit_test(early_frames_are_low),
		cmocka_unit_test(too_little_memory_panics),
		cmocka_unit_test_setup(every_frame_once, setup),
		cmocka_unit_test_setup(large_frames, setup),
		cmocka_unit_test_setup(contents_do_not_leak, setup),
		cmocka_unit_test_setup(contiguous_pages, setup),
		cmocka_unit_test_setup(misuse_asserts, setup),
		cmocka_unit_test_setup(freed_pages_make_a_block, setup),
		cmocka_unit_test_setup(small_frames_stay_together, setup),
		cmocka_unit_test_setup(scrubbing_makes_clean_blocks, setup),
		cmocka_unit_test_setup(scrubbing_sees_what_comes, setup),
		cmocka_unit_test_setup(scrubbing_is_interrupted, setup),
		cmocka_unit_test(a_gib_of_clean_blocks_only),
		cmocka_unit_test_setup(random_use, setup),
		STOCKS(random_use),
		STOCKS(every_frame_once),
		STOCKS(contiguous_pages),
		STOCKS(stocks_need_no_lock),
		STOCKS(stocks_are_bounded),
		STOCKS(others_stocks),
		STOCKS(misuse_with_stocks_asserts),
		STOCKS(known_zeroes_are_not_zeroed_again),
		STOCKS(low_frames),
		STOCKS(split_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
