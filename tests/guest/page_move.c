/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages that Socle moves to other memory while other CPUs write, run and walk them lose nothing. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "page_move";

enum {
	TEST_DEVICE = 0xe4, /* OUT of a page's address moves that page, IN counts the moves */
	MOVES = 3000,
	MOVES_LEAST = 200, /* if they take longer than this: */
	MOVES_MS = 5000,
	DATA = 48 << 20,   /* a page of counters */
	CODE = 50 << 20,   /* a page of code */
	MAPPED = 52 << 20, /* mapped by a table of its own, which moves too */
	LINE = 64,
};

static volatile uint64_t rounds[SMP_MAX];
static volatile bool stop;
static uint64_t *table;

/* lea 1(%rdi), %rax; ret */
static const uint8_t add_one[] = {0x48, 0x8d, 0x47, 0x01, 0xc3};

/*
 * Each CPU counts in a line of its own by plain stores, and knows what it counted last: a store
 * through a translation to the old memory is gone after the move, and an old value comes back.
 */
static void count(void *unused)
{
	unsigned id = cpu_id();
	volatile uint64_t *data = (volatile uint64_t *)(uintptr_t)(DATA + id * LINE);
	volatile uint64_t *mapped = (volatile uint64_t *)(uintptr_t)(MAPPED + id * LINE);
	uint64_t (*fn)(uint64_t) = (uint64_t(*)(uint64_t))(uintptr_t)(CODE + id * LINE);
	uint64_t shadow = 0;

	(void)unused;
	for (; !stop; rounds[id]++) {
		uint64_t v = *data;

		shadow++;
		*data = v + 1;
		if (!check(v + 1 == shadow && *data == shadow, "CPU %u counted %lu, memory has %lu",
			   id, shadow, *data))
			return;
		*mapped = shadow;
		if (!check(*mapped == shadow, "CPU %u: the mapped page has %lu instead of %lu", id,
			   *mapped, shadow))
			return;
		v = fn(shadow);
		if (!check(v == shadow + 1, "CPU %u: code gave %lu instead of %lu", id, v,
			   shadow + 1))
			return;
		smp_open();
		if (shadow % 64 == 0) /* so that the table is read again, wherever it is */
			invlpg(MAPPED);
	}
	check(*data == shadow, "CPU %u counted %lu, memory has %lu at the end", id, shadow, *data);
}

/* What the others have counted is where this CPU, which has moved the pages, looks for it. */
static bool check_place(unsigned id)
{
	uint64_t least = rounds[id];
	uint64_t data = *(volatile uint64_t *)(uintptr_t)(DATA + id * LINE);
	uint64_t mapped = *(volatile uint64_t *)(uintptr_t)(MAPPED + id * LINE);

	return check(data >= least, "CPU %u counted %lu, but %lu here", id, least, data) &&
	       check(mapped >= least, "CPU %u: the mapped page has %lu instead of %lu", id, mapped,
		     least);
}

/* Waits until all have used the new memory. */
static void check_all(void)
{
	for (unsigned i = 1; i < smp_count; i++) {
		uint64_t before = rounds[i];

		if (!check(WAIT_FOR(rounds[i] > before + 1 || !smp_cpus[i].fn, SMP_PATIENCE),
			   "CPU %u is stuck", i) ||
		    !check_place(i))
			finish();
	}
}

static void prepare(void)
{
	for (unsigned i = 0; i < smp_count; i++)
		memcpy((void *)(uintptr_t)(CODE + i * LINE), add_one, sizeof(add_one));
	table = page_split(MAPPED);
	table = (uint64_t *)((uintptr_t)table & PAGE_MASK);
}

void test_main(void)
{
	uint64_t end;
	uint32_t moves = 0, count_before;

	if (!hosted())
		skip("no test device");
	smp_init(2, PAGE_SIZE / LINE);
	prepare();
	smp_start_others();
	for (unsigned i = 1; i < smp_count; i++)
		smp_run(i, count, NULL);
	for (unsigned i = 1; i < smp_count; i++)
		if (!check(WAIT_FOR(rounds[i], SMP_PATIENCE), "CPU %u does not count", i))
			finish();
	count_before = inl(TEST_DEVICE);
	end = rdtsc() + MOVES_MS * tsc_per_ms;
	while (moves < MOVES_LEAST || (moves < MOVES && rdtsc() < end)) {
		outl(TEST_DEVICE, DATA);
		outl(TEST_DEVICE, CODE);
		outl(TEST_DEVICE, MAPPED);
		outl(TEST_DEVICE, (uint32_t)(uintptr_t)table);
		moves++;
		for (unsigned i = 1; i < smp_count; i++)
			if (!check_place(i))
				finish();
		if (moves % 16 == 0)
			check_all();
	}
	stop = true;
	for (unsigned i = 1; i < smp_count; i++)
		smp_join(i);
	check(inl(TEST_DEVICE) - count_before == moves * 4, "of %u moves the device did %u",
	      moves * 4, inl(TEST_DEVICE) - count_before);
	info("%u moves of 4 pages", moves);
}
