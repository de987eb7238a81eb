/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUs that touch the same fresh memory at the same moment all get the same page of it. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "smp_memory";

enum {
	BLOCK = 2 << 20,
	FIRST = 34 << 20, /* behind the stacks of the run-time */
	STEP = 8,	  /* words: one of them in each cache line is counted in */
};

static struct meeting meeting;
static uint64_t end;

/* Counts in every line of each block, all CPUs from the same place on at the same moment. */
static void count_block(uint64_t block)
{
	smp_meet(&meeting);
	for (uint64_t a = block; a < block + BLOCK; a += STEP * 8)
		__atomic_add_fetch((uint64_t *)a, 1, __ATOMIC_RELAXED);
	/* A byte for each CPU, by plain stores. */
	for (uint64_t a = block + 8; a < block + BLOCK; a += PAGE_SIZE)
		((volatile uint8_t *)a)[cpu_id()] = (uint8_t)(cpu_id() + 1);
}

static void count_up(void *unused)
{
	(void)unused;
	for (uint64_t block = FIRST; block < end; block += 2 * BLOCK)
		count_block(block);
}

/* The other half of the blocks, whose first pages they reach in different orders. */
static void count_apart(void *unused)
{
	unsigned id = cpu_id();

	(void)unused;
	for (uint64_t block = FIRST + BLOCK; block < end; block += 2 * BLOCK) {
		smp_meet(&meeting);
		for (uint64_t i = 0; i < BLOCK; i += STEP * 8) {
			uint64_t a = block + (i + (uint64_t)id * PAGE_SIZE * 3) % BLOCK;

			__atomic_add_fetch((uint64_t *)a, 1, __ATOMIC_RELAXED);
		}
		for (uint64_t a = block + 8; a < block + BLOCK; a += PAGE_SIZE)
			((volatile uint8_t *)a)[id] = (uint8_t)(id + 1);
	}
}

static uint64_t bytes_expected(void)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < smp_count; i++)
		v |= (uint64_t)(i + 1) << 8 * i;
	return v;
}

static void check_all(void *unused)
{
	uint64_t bytes = bytes_expected();

	(void)unused;
	/* Each CPU looks at its share; the memory was zero before. */
	for (uint64_t a = FIRST + cpu_id() * PAGE_SIZE; a < end; a += smp_count * PAGE_SIZE) {
		const volatile uint64_t *page = (const volatile uint64_t *)a;

		for (unsigned i = 0; i < PAGE_SIZE / 8; i++) {
			uint64_t expected = i % STEP == 0 ? smp_count : i == 1 ? bytes : 0;

			if (!check(page[i] == expected, "%#lx holds %#lx instead of %#lx",
				   a + i * 8, page[i], expected))
				return;
		}
	}
}

void test_main(void)
{
	smp_init(2, 8);
	smp_start_others();
	end = ALIGN_DOWN(MiB + mb_info()->mem_upper * KiB, (uint64_t)BLOCK);
	/* A PC's firmware leaves some of itself below the end. */
	end -= hosted() ? BLOCK : 10 * BLOCK;
	smp_run_all(count_up, NULL);
	smp_run_all(count_apart, NULL);
	smp_run_all(check_all, NULL);
	check(end > FIRST + 8ull * BLOCK, "only %u MiB", (unsigned)((end - FIRST) / MiB));
	info("%u MiB, %u CPUs", (unsigned)((end - FIRST) / MiB), smp_count);
}
