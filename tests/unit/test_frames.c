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
#include "../../mm/frames.c"

enum { OWNER_A = OWNER_VM, OWNER_B = OWNER_VM + 2 };
#define BLOCK (2 * MiB)

/* The account must be what the block table says, page by page. */
static void check_account(void)
{
	const struct frames_account *a = frames_account();
	uint64_t free_bytes = 0, sum = 0;
	unsigned listed = 0;
	struct block *b;

	for (uint64_t i = 0; i < block_count; i++) {
		unsigned bits = 0;

		for (unsigned w = 0; w < WORDS; w++)
			bits += __builtin_popcountll(blocks[i].free[w]);
		if (blocks[i].state == BLOCK_FREE)
			free_bytes += BLOCK;
		if (blocks[i].state == BLOCK_SPLIT) {
			assert_int_equal(bits, blocks[i].free_pages);
			free_bytes += bits * PAGE_SIZE;
			listed += bits != 0;
		}
	}
	list_for_each (b, &split_blocks, link) {
		assert_int_equal(b->state, BLOCK_SPLIT);
		listed--;
	}
	assert_int_equal(listed, 0);
	for (unsigned i = 0; i < OWNER_COUNT; i++)
		sum += a->held[i];
	assert_int_equal(sum, a->total);
	assert_int_equal(a->held[OWNER_FREE], free_bytes);
}

/* A machine of @size bytes with the usual hole at 640 KiB, and page 0 left out. */
static void start(uint64_t size)
{
	const struct mem_range ranges[] = {{PAGE_SIZE, 0x9f000 - PAGE_SIZE}, {MiB, size - MiB}};

	machine_new(size);
	scrub = (struct scrub){0};
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

	machine_new(32 * MiB);
	frames_init(ranges, ARRAY_SIZE(ranges));
	check_account();
	assert_int_equal(frames_account()->total,
			 0x4000 + (9 * MiB - PAGE_SIZE) + 4 * MiB);
	assert_int_equal(frames_account()->metadata, bytes);
	assert_int_equal(frames_account()->held[OWNER_CORE], bytes);
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
	scrub = (struct scrub){0};
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
	uint64_t pa, before = frames_account()->held[OWNER_FREE];

	while ((pa = frame_alloc(FRAME_4K, OWNER_A))) {
		assert_true(IS_ALIGNED(pa, PAGE_SIZE));
		/* Below 1 MiB is for trampolines; the allocator's own table is not for anyone. */
		assert_true(pa >= 2 * MiB && pa < 32 * MiB);
		assert_true(all_zero(phys_to_virt(pa), PAGE_SIZE));
		*(uint64_t *)phys_to_virt(pa) = ~pa; /* twice the same frame would not be zero */
		pas[count++] = pa;
	}
	check_account();
	assert_int_equal(frames_account()->held[OWNER_A], count * PAGE_SIZE);
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
	assert_int_equal(frames_account()->held[OWNER_A], 0);
	assert_int_equal(frames_account()->held[OWNER_FREE], before);
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
	assert_int_equal(frames_account()->held[OWNER_A], 15 * BLOCK);
	check_account();
	for (unsigned i = 0; i < 15; i++)
		frame_free(pas[i], FRAME_2M, OWNER_A);
	check_account();
	assert_int_equal(frames_account()->held[OWNER_A], 0);
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
		assert_int_equal(frames_account()->held[OWNER_B], sum);
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
	assert_int_equal(frames_account()->held[OWNER_B], 0);
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

/* A block that is taken while it is half scrubbed is not taken for a clean one afterwards. */
static void scrubbing_is_interrupted(void **state __unused)
{
	uint64_t pas[15], last, page;

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 300; i++)
			assert_true(frames_scrub_some());
		last = block_pa(list_entry(free_blocks.prev, struct block, link));
		if (round == 0) {
			for (unsigned i = 0; i < 15; i++)
				pas[i] = frame_alloc(FRAME_2M, OWNER_A);
			assert_int_equal(pas[14], last);
			for (unsigned i = 0; i < 15; i++)
				frame_free(pas[i], FRAME_2M, OWNER_A);
			start(32 * MiB);
			continue;
		}
		/* Split, used, and whole again: all of it must be looked at. */
		page = frame_alloc(FRAME_4K, OWNER_A);
		assert_int_equal(ALIGN_DOWN(page, BLOCK), last);
		frame_free(page, FRAME_4K, OWNER_A);
		memset(phys_to_virt(last), 0xa5, BLOCK);
		while (frames_scrub_some())
			;
		assert_true(all_zero(phys_to_virt(last), BLOCK));
	}
	check_account();
}

static void a_gib_of_clean_blocks_only(void **state __unused)
{
	uint64_t pa;

	start(2 * GiB + 64 * MiB);
	machine_alias(GiB, GiB);
	assert_int_equal(frame_alloc(FRAME_1G, OWNER_A), 0);
	for (uint64_t i = 512; i < 1024; i++)
		blocks[i].clean = true;
	blocks[700].clean = false;
	assert_int_equal(frame_alloc(FRAME_1G, OWNER_A), 0);
	blocks[700].clean = true;
	pa = frame_alloc(FRAME_1G, OWNER_A);
	assert_int_equal(pa, GiB);
	assert_int_equal(frames_account()->held[OWNER_A], GiB);
	check_account();
	assert_int_equal(frame_alloc(FRAME_1G, OWNER_A), 0);
	assert_panics(frame_free(pa, FRAME_1G, OWNER_B));
	frame_free(pa, FRAME_1G, OWNER_A);
	assert_int_equal(frames_account()->held[OWNER_A], 0);
	check_account();
	/* What its owner left there makes it dirty. */
	assert_int_equal(frame_alloc(FRAME_1G, OWNER_A), 0);
	for (uint64_t i = 512; i < 1024; i++)
		blocks[i].clean = true;
	assert_int_equal(frame_alloc(FRAME_1G, OWNER_A), GiB);
}

static void random_use(void **state __unused)
{
	static struct {
		uint64_t pa;
		unsigned kind, bytes;
		uint32_t owner;
	} held[400];
	uint64_t seed = 1, before = frames_account()->held[OWNER_FREE];

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
	assert_int_equal(frames_account()->held[OWNER_FREE], before);
}

int main(void)
{
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
		cmocka_unit_test_setup(scrubbing_is_interrupted, setup),
		cmocka_unit_test(a_gib_of_clean_blocks_only),
		cmocka_unit_test_setup(random_use, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
