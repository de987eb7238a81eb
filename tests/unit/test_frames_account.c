/* SPDX-License-Identifier: BSD-2-Clause */
/* The allocator's account of free memory, and memory that is noted to be given back at once. */
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

static struct frames_account account(void)
{
	struct frames_account a;

	check_account();
	frames_account_read(&a);
	return a;
}

static int setup(void **state __unused)
{
	const struct mem_range ranges[] = {{PAGE_SIZE, 0x9e000}, {MiB, 31 * MiB}};

	machine_new(32 * MiB);
	frames_init(ranges, ARRAY_SIZE(ranges));
	frames_all_mapped();
	test_cpu_index = 0;
	notes.on = false;
	return 0;
}

static int setup_stocks(void **state)
{
	setup(state);
	frames_use_stocks();
	return 0;
}

/* What is zeroed when idle is free before, meanwhile and afterwards. */
static void free_is_dirty_or_clean(void **state __unused)
{
	struct frames_account a = account();
	uint64_t free = a.held[OWNER_FREE], dirty = a.dirty;

	/* Nothing is known of what the boot loader left. */
	assert_int_equal(dirty, free);
	for (unsigned i = 0; frames_scrub_some(); i++) {
		if (i % 100)
			continue;
		a = account();
		assert_int_equal(a.held[OWNER_FREE], free);
		assert_int_equal(a.dirty, dirty - (i + 1) * PAGE_SIZE);
	}
	a = account();
	assert_int_equal(a.held[OWNER_FREE], free);
	/* Parts of the first 2 MiB are never zeroed before somebody wants them. */
	assert_true(a.dirty < 2 * MiB);
	frame_free(frame_alloc(FRAME_2M, OWNER_A), FRAME_2M, OWNER_A);
	a = account();
	assert_int_equal(a.held[OWNER_FREE], free);
	assert_true(a.dirty > 2 * MiB && a.dirty < 4 * MiB);
}

static void lost_memory_is_seen(void **state __unused)
{
	struct frames_account a;
	uint64_t page = pool_take_run(1);

	frames_account_read(&a);
	assert_int_equal(a.missing, PAGE_SIZE);
	pool_put_run(page & ~POOL_DIRTY, 1);
	frames_account_read(&a);
	assert_int_equal(a.missing, 0);
	/* Nor is it free and somebody's. */
	charge(OWNER_B, PAGE_SIZE);
	frames_account_read(&a);
	assert_int_equal(a.missing, -(int64_t)PAGE_SIZE);
}

static void noted_pages_are_freed(void **state __unused)
{
	struct frames_account before, after;
	void *older = pages_alloc(1, OWNER_A), *piece[8], *foreign;

	assert_non_null(pages_alloc(3 * PAGE_SIZE, OWNER_A));
	before = account();
	pages_note(OWNER_A);
	for (unsigned i = 0; i < ARRAY_SIZE(piece); i++) {
		piece[i] = pages_alloc(1 + i * 3000, OWNER_A);
		assert_non_null(piece[i]);
	}
	/* Some of it was only needed for a while, and may be somebody else's now. */
	pages_free(piece[3], 1 + 3 * 3000, OWNER_A);
	pages_free(piece[0], 1, OWNER_A);
	pages_free(older, 1, OWNER_A);
	older = pages_alloc(1, OWNER_B);
	assert_non_null(older);
	test_cpu_index = 1;
	foreign = pages_alloc(1, OWNER_A);
	assert_non_null(foreign);
	test_cpu_index = 0;
	pages_free_noted();
	after = account();
	assert_int_equal(after.held[OWNER_A], before.held[OWNER_A]);
	assert_int_equal(after.held[OWNER_B], PAGE_SIZE);
	assert_int_equal(after.held[OWNER_FREE], before.held[OWNER_FREE] - PAGE_SIZE);
	pages_free(foreign, 1, OWNER_A);
	pages_free(older, 1, OWNER_B);
	check_account();
}

static void kept_pages_stay(void **state __unused)
{
	void *kept, *given;

	pages_note(OWNER_A);
	kept = pages_alloc(5 * PAGE_SIZE, OWNER_A);
	pages_keep_noted();
	given = pages_alloc(1, OWNER_A);
	assert_int_equal(held_by(OWNER_A), 6 * PAGE_SIZE);
	/* The next builder has nothing to do with them. */
	pages_note(OWNER_A);
	assert_panics(pages_note(OWNER_A));
	pages_free_noted();
	assert_int_equal(held_by(OWNER_A), 6 * PAGE_SIZE);
	pages_free(kept, 5 * PAGE_SIZE, OWNER_A);
	pages_free(given, 1, OWNER_A);
	assert_int_equal(account().held[OWNER_A], 0);
}

/* What could not be noted is not given out. */
static void notes_are_bounded(void **state __unused)
{
	unsigned n = 0;

	pages_note(OWNER_A);
	while (pages_alloc(1, OWNER_A))
		n++;
	assert_int_equal(n, NOTES);
	assert_non_null(pages_alloc(1, OWNER_B));
	pages_free_noted();
	assert_int_equal(account().held[OWNER_A], 0);
	assert_int_equal(account().held[OWNER_B], PAGE_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(free_is_dirty_or_clean, setup),
		cmocka_unit_test_setup(lost_memory_is_seen, setup),
		cmocka_unit_test_setup(noted_pages_are_freed, setup),
		cmocka_unit_test_setup(noted_pages_are_freed, setup_stocks),
		cmocka_unit_test_setup(kept_pages_stay, setup),
		cmocka_unit_test_setup(notes_are_bounded, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
