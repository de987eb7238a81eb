/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest-physical memory over the real allocator and page tables: layout, copies, all given back. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "panic_mock.h"
#include "memory_mock.h"
#include "frames_check.h"
#include "../../mm/pagetable.c"
#include "../../mm/pt_live.c"
#include "../../mm/pt_x86.c"
#include "../../mm/guestmem.c"
#include "../../mm/guestmove.c"

enum { OWNER = OWNER_VM + 4 };

static struct guest_mem mem;
static uint64_t free_before;

static void start(uint64_t machine, uint64_t guest)
{
	const struct mem_range range = {MiB, machine - MiB};

	machine_new(machine);
	frames_init(&range, 1);
	frames_all_mapped();
	pt_x86_init(false);
	free_before = held_by(OWNER_FREE);
	mem = (struct guest_mem){.owner = OWNER};
	guest_mem_layout(&mem, guest);
	assert_int_equal(guest_mem_open(&mem, &pt_format_npt), 0);
}

static int setup(void **state __unused)
{
	start(64 * MiB, 6 * GiB);
	return 0;
}

/* Whatever a test did: closing gives all back, zeroed. */
static int teardown(void **state __unused)
{
	uint64_t epoch = mem.epoch;

	guest_mem_close(&mem);
	assert_int_equal(mem.populated, 0);
	assert_true(mem.epoch > epoch);
	assert_int_equal(held_by(OWNER), 0);
	assert_int_equal(held_by(OWNER + 1), 0);
	assert_int_equal(held_by(OWNER_FREE), free_before);
	/* Whoever gets it next finds nothing of it. */
	for (uint64_t pa; (pa = frame_alloc(FRAME_2M, OWNER_CORE));)
		assert_true(all_zero(phys_to_virt(pa), 2 * MiB));
	guest_mem_close(&mem); /* closed already: nothing to do */
	return 0;
}

static void check_layout(uint64_t bytes, unsigned slots, const struct guest_slot *want)
{
	guest_mem_layout(&mem, bytes);
	assert_int_equal(mem.slots, slots);
	for (unsigned i = 0; i < slots; i++) {
		assert_int_equal(mem.slot[i].base, want[i].base);
		assert_int_equal(mem.slot[i].size, want[i].size);
	}
}

static void layout(void **state __unused)
{
	check_layout(512 * KiB, 1, (struct guest_slot[]){{0, 512 * KiB}});
	check_layout(640 * KiB, 1, (struct guest_slot[]){{0, 640 * KiB}});
	check_layout(MiB, 2, (struct guest_slot[]){{0, 0xa0000}, {0xc0000, 0x40000}});
	check_layout(256 * MiB, 2,
		     (struct guest_slot[]){{0, 0xa0000}, {0xc0000, 256 * MiB - 0xc0000}});
	check_layout(3 * GiB, 2, (struct guest_slot[]){{0, 0xa0000}, {0xc0000, 3 * GiB - 0xc0000}});
	check_layout(3 * GiB + PAGE_SIZE, 3,
		     (struct guest_slot[]){
			     {0, 0xa0000}, {0xc0000, 3 * GiB - 0xc0000}, {4 * GiB, PAGE_SIZE}});
	check_layout(64 * GiB, 3,
		     (struct guest_slot[]){
			     {0, 0xa0000}, {0xc0000, 3 * GiB - 0xc0000}, {4 * GiB, 61 * GiB}});
	guest_mem_layout(&mem, 6 * GiB);
}

static void what_is_ram(void **state __unused)
{
	assert_true(guest_is_ram(&mem, 0, 0xa0000));
	assert_false(guest_is_ram(&mem, 0, 0xa0001));
	assert_true(guest_is_ram(&mem, 0x9ffff, 1));
	assert_false(guest_is_ram(&mem, 0xa0000, 1));
	assert_false(guest_is_ram(&mem, 0xbffff, 1));
	assert_false(guest_is_ram(&mem, 0xbffff, 2));
	assert_true(guest_is_ram(&mem, 0xc0000, 3 * GiB - 0xc0000));
	assert_false(guest_is_ram(&mem, 3 * GiB, 1));
	assert_false(guest_is_ram(&mem, 3 * GiB - 1, 2));
	assert_false(guest_is_ram(&mem, 4 * GiB - 1, 1));
	assert_true(guest_is_ram(&mem, 4 * GiB, 3 * GiB));
	assert_false(guest_is_ram(&mem, 4 * GiB, 3 * GiB + 1));
	assert_false(guest_is_ram(&mem, 7 * GiB, 1));
	/* Sums that overflow must not look small. */
	assert_false(guest_is_ram(&mem, UINT64_MAX, 1));
	assert_false(guest_is_ram(&mem, UINT64_MAX, 2));
	assert_false(guest_is_ram(&mem, 4 * GiB, UINT64_MAX));
	assert_false(guest_is_ram(&mem, 0x1000, UINT64_MAX - 0xfff));
}

static void populates_the_largest_frame(void **state __unused)
{
	assert_int_equal(guest_populate(&mem, 16 * MiB + 5), 0);
	assert_int_equal(mem.populated, 2 * MiB);
	assert_int_equal(pt_lookup(&mem.pt, 16 * MiB).level, FRAME_2M);
	/* Again: nothing happens. */
	assert_int_equal(guest_populate(&mem, 16 * MiB + 2 * MiB - 1), 0);
	assert_int_equal(mem.populated, 2 * MiB);
	/* The first 2 MiB hold the VGA window: page by page. */
	assert_int_equal(guest_populate(&mem, 0x9ffff), 0);
	assert_int_equal(guest_populate(&mem, 0xc0000), 0);
	assert_int_equal(pt_lookup(&mem.pt, 0x9f000).level, FRAME_4K);
	assert_int_equal(mem.populated, 2 * MiB + 2 * PAGE_SIZE);
	assert_int_equal(held_by(OWNER), mem.populated);
	assert_int_equal(held_by(OWNER + 1), mem.pt.table_bytes);
	/* What is around a populated page stays a page. */
	assert_int_equal(guest_populate(&mem, 0x1fffff), 0);
	assert_int_equal(pt_lookup(&mem.pt, 0x1ff000).level, FRAME_4K);
	assert_int_equal(pt_lookup(&mem.pt, 16 * MiB).prot, PT_READ | PT_WRITE | PT_EXEC);
}

static void does_not_populate_holes(void **state __unused)
{
	static const uint64_t holes[] = {0xa0000, 0xbffff,     3 * GiB,	   0xfee00000,
					 7 * GiB, 4 * GiB - 1, 1ull << 48, UINT64_MAX};

	for (unsigned i = 0; i < ARRAY_SIZE(holes); i++) {
		uint8_t byte = 0;

		assert_int_equal(guest_populate(&mem, holes[i]), -S_FAULT);
		assert_null(guest_ptr(&mem, holes[i]));
		assert_int_equal(guest_read(&mem, holes[i], &byte, 1), -S_FAULT);
		assert_int_equal(guest_write(&mem, holes[i], &byte, 1), -S_FAULT);
	}
	assert_int_equal(mem.populated, 0);
	assert_int_equal(mem.pt.table_bytes, PAGE_SIZE);
}

static void copies_across_pages(void **state __unused)
{
	static uint8_t out[3 * 4096], in[sizeof(out) + 16];
	const uint64_t places[] = {0x1ffd, 2 * MiB - 5, 4 * MiB - 4097, 4 * GiB,
				   7 * GiB - sizeof(out)};

	for (unsigned p = 0; p < ARRAY_SIZE(places); p++) {
		for (size_t i = 0; i < sizeof(out); i++)
			out[i] = (uint8_t)(i * 31 + p);
		memset(in, 0xee, sizeof(in));
		assert_int_equal(guest_write(&mem, places[p], out, sizeof(out)), 0);
		assert_int_equal(guest_read(&mem, places[p], in + 8, sizeof(out)), 0);
		assert_memory_equal(in + 8, out, sizeof(out));
		assert_int_equal(in[7], 0xee);
		assert_int_equal(in[8 + sizeof(out)], 0xee);
		/* Byte by byte, each through its own page. */
		for (size_t i = 0; i < sizeof(out); i += 97)
			assert_int_equal(*(uint8_t *)guest_ptr(&mem, places[p] + i), out[i]);
	}
	assert_int_equal(guest_read(&mem, 0xa0000, in, 0), 0);
}

static void refuses_what_leaves_ram(void **state __unused)
{
	static uint8_t buffer[8192];

	assert_int_equal(guest_write(&mem, 0x9f800, buffer, 4096), -S_FAULT);
	assert_int_equal(guest_read(&mem, 0x9f800, buffer, 4096), -S_FAULT);
	assert_int_equal(guest_read(&mem, 3 * GiB - 1, buffer, 2), -S_FAULT);
	assert_int_equal(guest_read(&mem, 7 * GiB - 4096, buffer, 4097), -S_FAULT);
	assert_int_equal(guest_read(&mem, UINT64_MAX - 1, buffer, 8), -S_FAULT);
}

static void fresh_memory_is_zero(void **state __unused)
{
	/* What another guest or the firmware left must not show. */
	guest_mem_close(&mem);
	memset(phys_to_virt(2 * MiB), 0xa5, machine_size - 2 * MiB);
	assert_int_equal(guest_mem_open(&mem, &pt_format_npt), 0);
	assert_true(all_zero(guest_ptr(&mem, 32 * MiB), 2 * MiB));
	assert_true(all_zero(guest_ptr(&mem, 0x5000), PAGE_SIZE));
	/* Clean for the teardown, which looks at all of it. */
	guest_mem_close(&mem);
	memset(phys_to_virt(2 * MiB), 0, machine_size - 2 * MiB);
	assert_int_equal(guest_mem_open(&mem, &pt_format_npt), 0);
}

static void runs_out_of_memory(void **state __unused)
{
	uint64_t gpa = 4 * GiB;
	uint8_t byte = 1;
	status_t status;

	/* Large frames first, then the pages that are left, then nothing. */
	while (!(status = guest_populate(&mem, gpa)))
		gpa += pt_lookup(&mem.pt, gpa).level == FRAME_2M ? 2 * MiB : PAGE_SIZE;
	assert_int_equal(status, -S_NOMEM);
	assert_true(mem.populated > 56 * MiB);
	assert_int_equal(held_by(OWNER), mem.populated);
	assert_null(guest_ptr(&mem, gpa));
	assert_int_equal(guest_write(&mem, gpa, &byte, 1), -S_NOMEM);
	assert_int_equal(guest_read(&mem, gpa, &byte, 1), -S_NOMEM);
	/* A page for which there is no table is not kept. */
	assert_int_equal(guest_populate(&mem, 0x1000), -S_NOMEM);
	assert_int_equal(held_by(OWNER), mem.populated);
	/* What is there goes on working. */
	assert_int_equal(guest_write(&mem, 4 * GiB, &byte, 1), 0);
}

static void a_table_that_cannot_be_had(void **state __unused)
{
	uint64_t first = 0;

	/* All but one page taken: the frame can be had, its table cannot. */
	while (frame_alloc(FRAME_2M, OWNER_CORE))
		;
	for (uint64_t pa; (pa = frame_alloc(FRAME_4K, OWNER_CORE));)
		first = pa;
	frame_free(first, FRAME_4K, OWNER_CORE);
	assert_int_equal(guest_populate(&mem, 0x1000), -S_NOMEM);
	assert_int_equal(mem.populated, 0);
	assert_int_equal(held_by(OWNER), 0);
	assert_int_equal(held_by(OWNER + 1), mem.pt.table_bytes);
	free_before = held_by(OWNER_FREE) + mem.pt.table_bytes;
}

static void a_closed_space_has_no_memory(void **state __unused)
{
	uint8_t byte;

	guest_mem_close(&mem);
	assert_null(guest_ptr(&mem, 0x1000));
	assert_true(guest_read(&mem, 0x1000, &byte, 1) != 0);
	assert_int_equal(guest_mem_open(&mem, &pt_format_npt), 0);
	assert_int_equal(mem.populated, 0);
}

static int setup_gib(void **state __unused)
{
	start(3 * GiB, 6 * GiB);
	machine_alias(GiB, GiB);
	pt_x86_init(true);
	for (uint64_t i = 512; i < 1024; i++)
		make_clean(i, true);
	return 0;
}

static void a_gib_at_once(void **state __unused)
{
	assert_int_equal(guest_populate(&mem, 5 * GiB + 123), 0);
	assert_int_equal(mem.populated, GiB);
	assert_int_equal(pt_lookup(&mem.pt, 5 * GiB).level, FRAME_1G);
	assert_int_equal(held_by(OWNER), GiB);
	/* No second one: a smaller frame, and nothing lost. */
	assert_int_equal(guest_populate(&mem, 4 * GiB), 0);
	assert_int_equal(mem.populated, GiB + 2 * MiB);
	guest_mem_close(&mem);
	assert_int_equal(held_by(OWNER_FREE), free_before);
}

static unsigned flushes;
static void (*during_flush)(void);

static void flush(void *arg)
{
	flushes++;
	assert_ptr_equal(arg, &flushes);
	assert_int_equal(mem.move, GUEST_MOVE_WAITING);
	if (during_flush)
		during_flush();
}

static int setup_move(void **state)
{
	flushes = 0;
	during_flush = NULL;
	return setup(state);
}

/* Fills 4 KiB at @gpa with something of its own; returns where it is. */
static uint64_t fill_page(uint64_t gpa)
{
	uint64_t *p = guest_ptr(&mem, gpa);

	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		p[i] = gpa * 3 + i;
	return virt_to_phys(p);
}

static bool is_filled(uint64_t gpa)
{
	uint64_t *p = guest_ptr(&mem, gpa);

	for (unsigned i = 0; i < PAGE_SIZE / 8; i++)
		if (p[i] != gpa * 3 + i)
			return false;
	return true;
}

static void frozen_while_flushing(void)
{
	assert_int_equal(pt_lookup(&mem.pt, 16 * MiB + 3 * PAGE_SIZE).kind, PTE_FROZEN);
	assert_int_equal(guest_populate(&mem, 16 * MiB + 3 * PAGE_SIZE), -S_AGAIN);
	assert_int_equal(guest_replace(&mem, 16 * MiB, flush, &flushes), -S_BUSY);
	assert_int_equal(guest_discard(&mem, 16 * MiB, flush, &flushes), -S_BUSY);
	assert_true(guest_mem_stale(&mem));
	assert_false(guest_mem_seen_by(&mem, 0));
	/* Elsewhere life goes on. */
	assert_int_equal(guest_populate(&mem, 8 * MiB), 0);
}

static void moves_a_page(void **state __unused)
{
	const uint64_t gpa = 16 * MiB, moved = gpa + 3 * PAGE_SIZE;
	uint64_t where[5], epoch, populated;

	/* In a frame of 2 MiB, then in one of its own. */
	for (unsigned i = 0; i < ARRAY_SIZE(where); i++)
		where[i] = fill_page(gpa + i * PAGE_SIZE);
	assert_int_equal(pt_lookup(&mem.pt, gpa).level, FRAME_2M);
	assert_int_equal(guest_populate(&mem, 8 * MiB), 0);
	during_flush = frozen_while_flushing;
	populated = mem.populated;
	for (unsigned round = 0; round < 3; round++) {
		guest_mem_seen(&mem, guest_mem_epoch(&mem));
		assert_false(guest_mem_stale(&mem));
		assert_true(guest_mem_seen_by(&mem, 0));
		epoch = guest_mem_epoch(&mem);
		assert_int_equal(guest_replace(&mem, moved + 77, flush, &flushes), 0);
		assert_int_equal(flushes, round + 1);
		assert_true(guest_mem_epoch(&mem) > epoch);
		assert_true(guest_mem_stale(&mem));
		for (unsigned i = 0; i < ARRAY_SIZE(where); i++) {
			struct pt_mapping m = pt_lookup(&mem.pt, gpa + i * PAGE_SIZE);

			assert_int_equal(m.level, FRAME_4K);
			assert_int_equal(m.prot, PT_READ | PT_WRITE | PT_EXEC);
			if (i == 3)
				assert_int_not_equal(m.pa, where[i]);
			else
				assert_int_equal(m.pa, where[i]);
			assert_true(is_filled(gpa + i * PAGE_SIZE));
		}
		/* Where it was is free, and clean. */
		assert_true(all_zero(phys_to_virt(where[3]), PAGE_SIZE));
		where[3] = pt_lookup(&mem.pt, moved).pa;
		assert_int_equal(mem.populated, populated);
		assert_int_equal(held_by(OWNER), populated);
		assert_int_equal(held_by(OWNER + 1), mem.pt.table_bytes);
		check_account();
	}
}

static void takes_a_page_away(void **state __unused)
{
	const uint64_t gpa = 16 * MiB, taken = gpa + 3 * PAGE_SIZE;

	for (unsigned i = 0; i < 5; i++)
		fill_page(gpa + i * PAGE_SIZE);
	during_flush = frozen_while_flushing;
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(guest_discard(&mem, taken, flush, &flushes), 0);
		assert_int_equal(mem.populated, 4 * MiB - PAGE_SIZE);
		assert_int_equal(held_by(OWNER), mem.populated);
		check_account();
		assert_int_equal(pt_lookup(&mem.pt, taken).kind, PTE_NONE);
		assert_int_equal(guest_discard(&mem, taken, flush, &flushes), -S_NOENT);
		assert_int_equal(flushes, round + 1);
		assert_true(all_zero(guest_ptr(&mem, taken), PAGE_SIZE));
		for (unsigned i = 0; i < 5; i++)
			assert_true(i == 3 || is_filled(gpa + i * PAGE_SIZE));
		assert_int_equal(mem.populated, 4 * MiB);
		fill_page(taken);
	}
}

static void moves_nothing(void **state __unused)
{
	uint64_t pa, epoch = guest_mem_epoch(&mem);

	assert_int_equal(guest_replace(&mem, 0xa0000, flush, &flushes), -S_FAULT);
	assert_int_equal(guest_discard(&mem, 7 * GiB, flush, &flushes), -S_FAULT);
	assert_int_equal(guest_replace(&mem, 0, flush, &flushes), -S_NOENT);
	assert_int_equal(guest_discard(&mem, 0, flush, &flushes), -S_NOENT);
	fill_page(0);
	fill_page(16 * MiB);
	while (frame_alloc(FRAME_2M, OWNER_CORE))
		;
	while ((pa = frame_alloc(FRAME_4K, OWNER_CORE)))
		free_before -= PAGE_SIZE;
	assert_int_equal(guest_replace(&mem, 0, flush, &flushes), -S_NOMEM);
	assert_int_equal(guest_discard(&mem, 16 * MiB, flush, &flushes), -S_NOMEM);
	assert_int_equal(flushes, 0);
	assert_int_equal(guest_mem_epoch(&mem), epoch);
	assert_true(is_filled(0) && is_filled(16 * MiB));
	assert_int_equal(pt_lookup(&mem.pt, 16 * MiB).level, FRAME_2M);
	assert_int_equal(held_by(OWNER), mem.populated);
	/* But one may be taken away for which no frame is needed. */
	assert_int_equal(guest_discard(&mem, 0, flush, &flushes), 0);
	guest_mem_close(&mem);
	check_account();
}

/* The hypervisor on CPU 1 uses the page after that CPU had come to an entry: it must come again. */
static unsigned uses;

static void use_page(void)
{
	uint64_t epoch = guest_mem_epoch(&mem);

	test_cpu_index = 1;
	guest_mem_seen(&mem, epoch);
	if (uses) {
		uses--;
		assert_true(guest_mem_seen_by(&mem, 1));
		++*(uint64_t *)guest_ptr(&mem, 16 * MiB);
		assert_true(guest_mem_stale(&mem));
		assert_false(guest_mem_seen_by(&mem, 1));
	}
	test_cpu_index = 0;
}

static void the_hypervisor_goes_on_using_it(void **state __unused)
{
	uint64_t pa = fill_page(16 * MiB);

	during_flush = use_page;
	uses = 5;
	assert_int_equal(guest_replace(&mem, 16 * MiB, flush, &flushes), 0);
	assert_int_equal(flushes, 6);
	assert_int_not_equal(pt_lookup(&mem.pt, 16 * MiB).pa, pa);
	/* What it wrote came along. */
	assert_int_equal(*(uint64_t *)guest_ptr(&mem, 16 * MiB), 16 * MiB * 3 + 5);
	*(uint64_t *)guest_ptr(&mem, 16 * MiB) = 16 * MiB * 3;
	assert_true(is_filled(16 * MiB));
	/* All the time. */
	pa = pt_lookup(&mem.pt, 16 * MiB).pa;
	for (unsigned how = 0; how < 2; how++) {
		uses = UINT32_MAX;
		assert_int_equal(how ? guest_discard(&mem, 16 * MiB, flush, &flushes)
				     : guest_replace(&mem, 16 * MiB, flush, &flushes),
				 -S_AGAIN);
		assert_int_equal(pt_lookup(&mem.pt, 16 * MiB).pa, pa);
		assert_int_equal(held_by(OWNER), mem.populated);
		assert_int_equal(held_by(OWNER + 1), mem.pt.table_bytes);
	}
	uses = 0;
	assert_int_equal(guest_replace(&mem, 16 * MiB, flush, &flushes), 0);
	check_account();
}

static void epochs_are_never_the_same(void **state __unused)
{
	static struct guest_mem other = {.owner = OWNER + 2};
	uint64_t first = guest_mem_epoch(&mem);

	assert_int_not_equal(first, 0);
	assert_true(guest_mem_stale(&mem)); /* no CPU has seen a new space */
	guest_mem_layout(&other, MiB);
	assert_int_equal(guest_mem_open(&other, &pt_format_npt), 0);
	assert_int_not_equal(guest_mem_epoch(&other), first);
	guest_mem_changed(&mem);
	assert_int_not_equal(guest_mem_epoch(&other), guest_mem_epoch(&mem));
	assert_int_not_equal(guest_mem_epoch(&mem), first);
	guest_mem_seen(&mem, guest_mem_epoch(&mem));
	guest_mem_close(&mem);
	assert_int_equal(guest_mem_open(&mem, &pt_format_npt), 0);
	assert_true(guest_mem_stale(&mem));
	assert_true(guest_mem_epoch(&mem) > guest_mem_epoch(&other));
	guest_mem_close(&other);
}

int main(void)
{
#define MOVE(f) cmocka_unit_test_setup_teardown(f, setup_move, teardown)
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(layout),
		TEST(what_is_ram),
		TEST(populates_the_largest_frame),
		TEST(does_not_populate_holes),
		TEST(copies_across_pages),
		TEST(refuses_what_leaves_ram),
		TEST(fresh_memory_is_zero),
		TEST(runs_out_of_memory),
		cmocka_unit_test_setup(a_table_that_cannot_be_had, setup),
		TEST(a_closed_space_has_no_memory),
		cmocka_unit_test_setup(a_gib_at_once, setup_gib),
		MOVE(moves_a_page),
		MOVE(takes_a_page_away),
		cmocka_unit_test_setup(moves_nothing, setup_move),
		MOVE(the_hypervisor_goes_on_using_it),
		TEST(epochs_are_never_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
