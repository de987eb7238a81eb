/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: the page-table walker over a small pool of frames, set up in each format. */
#ifndef TESTS_UNIT_PAGETABLE_MOCK_H
#define TESTS_UNIT_PAGETABLE_MOCK_H

#include <string.h>

#include "../../mm/pagetable.c"
#include "../../mm/pt_live.c"
#include "../../mm/pt_ept.c"
#include "../../mm/pt_x86.c"

/* Frames: an array of pages; raw ones hold poison, as they may on the real machine. */
enum { POOL = 512, OWNER = OWNER_PAGING };

static uint8_t pool[POOL][PAGE_SIZE] __aligned(4096);
static bool pool_used[POOL];
static unsigned pool_count;	  /* frames handed out */
static unsigned pool_left = POOL; /* frames until memory runs out */
static void (*pool_race)(void);	  /* what another CPU does during the next allocation */
uintptr_t test_memory;

uint64_t frame_alloc_raw(uint32_t owner)
{
	void (*race)(void) = pool_race;

	pool_race = NULL;
	if (race)
		race();
	assert_int_equal(owner, OWNER);
	/* Frame 0 has address 0, which means none. */
	for (unsigned i = 1; pool_left && i < POOL; i++) {
		if (pool_used[i])
			continue;
		pool_used[i] = true;
		pool_count++;
		pool_left--;
		memset(pool[i], 0xa5, PAGE_SIZE);
		return i * PAGE_SIZE;
	}
	return 0;
}

uint64_t frame_alloc(enum frame_level level, uint32_t owner)
{
	uint64_t pa = frame_alloc_raw(owner);

	assert_int_equal(level, FRAME_4K);
	if (pa)
		memset(phys_to_virt(pa), 0, PAGE_SIZE);
	return pa;
}

void frame_free(uint64_t pa, enum frame_level level, uint32_t owner)
{
	assert_int_equal(level, FRAME_4K);
	assert_int_equal(owner, OWNER);
	assert_true(pa / PAGE_SIZE < POOL && pool_used[pa / PAGE_SIZE]);
	pool_used[pa / PAGE_SIZE] = false;
	pool_count--;
}

void frame_free_unused(uint64_t pa, enum frame_level level, uint32_t owner)
{
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(*((uint8_t *)phys_to_virt(pa) + i), 0);
	frame_free(pa, level, owner);
}

static struct pagetable pt;
static const struct pt_format *fmt; /* of the run */

enum { RW_ = PT_READ | PT_WRITE, RWX = RW_ | PT_EXEC };

static int setup(void **state)
{
	fmt = *state;
	test_memory = (uintptr_t)pool;
	pool_left = POOL;
	pt_x86_init(true);
	pt_ept_init(true, true);
	assert_int_equal(pt_init(&pt, fmt, OWNER), 0);
	assert_int_equal(pool_count, 1);
	return 0;
}

/* Whatever a test did: destroying gives every frame back. */
static int teardown(void **state __unused)
{
	pool_race = NULL;
	assert_int_equal(pt.table_bytes, pool_count * PAGE_SIZE);
	pt_destroy(&pt);
	assert_int_equal(pt.table_bytes, 0);
	assert_int_equal(pt.root, 0);
	assert_int_equal(pool_count, 0);
	return 0;
}

static __unused void map(uint64_t va, uint64_t pa, uint64_t size, unsigned prot)
{
	assert_int_equal(pt_map(&pt, va, pa, size, prot, PT_WB), 0);
}

static __unused void check_at(uint64_t va, unsigned level, uint64_t pa, unsigned prot)
{
	struct pt_mapping m = pt_lookup(&pt, va);

	assert_int_equal(m.kind, PTE_LEAF);
	assert_int_equal(m.level, level);
	assert_int_equal(m.pa, pa);
	assert_int_equal(m.prot, prot);
}

static __unused void check_none(uint64_t va, unsigned level)
{
	struct pt_mapping m = pt_lookup(&pt, va);

	assert_int_equal(m.kind, PTE_NONE);
	assert_int_equal(m.level, level);
}

/* The entry for @va at @level, found without the code under test. */
static __unused pte_t *entry_at(uint64_t va, unsigned level)
{
	uint64_t *table = phys_to_virt(pt.root);

	for (unsigned at = 4; at > level; at--) {
		uint64_t e = table[va >> (12 + 9 * (at - 1)) & 511];

		assert_true((e & 1) && !(e & 0x80));
		table = phys_to_virt(e & 0x000ffffffffff000ull);
	}
	return (pte_t *)&table[va >> (12 + 9 * (level - 1)) & 511];
}

/* Each test once for each format; those of x86's two and of EPT alone. */
#define IN(format, f)                                                                           \
	{                                                                                       \
#f " (" #format ")", f, setup, teardown, (void *)(uintptr_t)&pt_format_##format \
	}
#define X86(f) IN(host, f), IN(npt, f)
#define ALL(f) X86(f), IN(ept, f)

#endif
