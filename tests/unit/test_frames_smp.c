/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page-frame allocator on several CPUs at once: no frame twice, none lost, no false alarm.
 * libs: -lpthread
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "panic_mock.h"
#include "memory_mock.h"
#include "smp_mock.h"
#include "frames_check.h"

enum { OWNER_A = OWNER_VM, CPUS = 4, MEMORY_MIB = 24 };

static unsigned out_of_memory; /* CPUs that were told so; atomic */
static uint64_t had;	       /* bytes that all CPUs got; atomic */
static unsigned working;       /* CPUs that have not finished; atomic */

static void start(void)
{
	const struct mem_range ranges[] = {{PAGE_SIZE, 0x9e000}, {MiB, MEMORY_MIB * MiB - MiB}};

	test_cpu_index = 0;
	machine_new(MEMORY_MIB * MiB);
	memset(phys_to_virt(2 * MiB), 0xa5, (MEMORY_MIB - 2) * MiB);
	frames_init(ranges, ARRAY_SIZE(ranges));
	frames_all_mapped();
	frames_use_stocks();
	out_of_memory = 0;
	had = 0;
	working = CPUS;
}

static int setup(void **state __unused)
{
	start();
	return 0;
}

/* A frame as some CPU got it: zeroes; as it left it: its own number, in each page. */
static uint64_t mark(const struct smp_cpu *cpu, uint64_t pa)
{
	return pa << 8 | (cpu->index + 1);
}

static uint64_t use(const struct smp_cpu *cpu, uint64_t pa, uint64_t bytes)
{
	if (!pa)
		return 0;
	CHECK(all_zero(phys_to_virt(pa), bytes));
	for (uint64_t at = pa; at < pa + bytes; at += PAGE_SIZE) {
		uint64_t *p = phys_to_virt(at);

		p[0] = p[PAGE_SIZE / 8 - 1] = mark(cpu, at);
	}
	return pa;
}

static void unuse(const struct smp_cpu *cpu, uint64_t pa, uint64_t bytes)
{
	for (uint64_t at = pa; at < pa + bytes; at += PAGE_SIZE) {
		const uint64_t *p = phys_to_virt(at);

		CHECK(p[0] == mark(cpu, at) && p[PAGE_SIZE / 8 - 1] == mark(cpu, at));
	}
}

struct piece {
	uint64_t pa;
	uint64_t bytes;
	unsigned kind; /* 0: pages_alloc(), else enum frame_level */
};

static void get_piece(const struct smp_cpu *cpu, struct piece *piece, unsigned kind, uint64_t bytes)
{
	void *p;

	piece->kind = kind;
	piece->bytes = kind ? frame_bytes(kind) : bytes;
	if (kind) {
		piece->pa = frame_alloc(kind, OWNER_A + cpu->index);
	} else {
		p = pages_alloc(bytes, OWNER_A + cpu->index);
		piece->pa = p ? virt_to_phys(p) : 0;
	}
	use(cpu, piece->pa, piece->bytes);
}

static void put_piece(const struct smp_cpu *cpu, struct piece *piece)
{
	if (!piece->pa)
		return;
	unuse(cpu, piece->pa, piece->bytes);
	if (piece->kind)
		frame_free(piece->pa, piece->kind, OWNER_A + cpu->index);
	else
		pages_free(phys_to_virt(piece->pa), piece->bytes, OWNER_A + cpu->index);
	piece->pa = 0;
}

/* All sizes at random, for more memory than there is. */
static void run_random(struct smp_cpu *cpu)
{
	struct piece pieces[1500] = {0};

	for (unsigned step = 0; step < 150000; step++) {
		struct piece *piece = &pieces[smp_random(cpu, ARRAY_SIZE(pieces))];
		uint64_t dice = smp_random(cpu, 1000);

		if (piece->pa)
			put_piece(cpu, piece);
		else if (dice < 2)
			get_piece(cpu, piece, FRAME_2M, 0);
		else if (dice < 40)
			get_piece(cpu, piece, 0, PAGE_SIZE * (1 + smp_random(cpu, 9)));
		else if (dice < 990)
			get_piece(cpu, piece, FRAME_4K, 0);
		else if (dice < 992)
			frames_return_stock();
		else
			frames_scrub_some();
	}
	for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++)
		put_piece(cpu, &pieces[i]);
	__atomic_sub_fetch(&working, 1, __ATOMIC_SEQ_CST);
}

/* The account never shows more memory than there is. */
static void run_accountant(struct smp_cpu *cpu)
{
	struct frames_account a;

	while (__atomic_load_n(&working, __ATOMIC_SEQ_CST)) {
		frames_account_read(&a);
		CHECK(a.held[OWNER_FREE] <= a.total);
		for (unsigned i = 0; i < OWNER_COUNT; i++)
			CHECK(a.held[i] <= a.total);
		sched_yield();
	}
}

static void random_use(void **state __unused)
{
	static void (*const run[])(struct smp_cpu *) = {run_random, run_random,	    run_random,
							run_random, run_accountant, NULL};
	uint64_t before = held_by(OWNER_FREE);

	smp_run(run, 1);
	check_account();
	assert_int_equal(held_by(OWNER_FREE), before);
}

/* As many pages as there are: whoever stays within its share is never refused. */
static unsigned share;

static void run_share(struct smp_cpu *cpu)
{
	uint64_t *pas = calloc(share, sizeof(*pas));

	for (unsigned round = 0; round < 12; round++) {
		/* All of it. */
		for (unsigned i = 0; i < share; i++) {
			pas[i] = use(cpu, frame_alloc(FRAME_4K, OWNER_A), PAGE_SIZE);
			CHECK(pas[i]);
		}
		for (unsigned i = 0; i < share; i++) {
			unsigned n = smp_random(cpu, share);

			unuse(cpu, pas[n], PAGE_SIZE);
			frame_free(pas[n], FRAME_4K, OWNER_A);
			pas[n] = use(cpu, frame_alloc(FRAME_4K, OWNER_A), PAGE_SIZE);
			CHECK(pas[n]);
		}
		for (unsigned i = 0; i < share; i++)
			frame_free(pas[(i * 769ull) % share], FRAME_4K, OWNER_A);
	}
	free(pas);
}

static void no_false_alarm(void **state __unused)
{
	static void (*const run[])(struct smp_cpu *) = {run_share, run_share, run_share, run_share,
							NULL};
	unsigned count = 0;
	uint64_t pa;

	/* So many are there, no more and no less; odd, so that the first page is coprime to 769. */
	while ((pa = frame_alloc(FRAME_4K, OWNER_A)))
		count++;
	assert_int_equal(count, (MEMORY_MIB - 2) * MiB / PAGE_SIZE);
	share = count / CPUS;
	assert_int_not_equal(share % 769, 0);
	start();
	smp_run(run, 2);
	check_account();
	assert_int_equal(held_by(OWNER_A), 0);
}

/* Fills its stock, then takes what it can get; after the first refusal there must be nothing. */
static void take_all(struct smp_cpu *cpu, enum frame_level level)
{
	uint64_t pas[100];

	for (unsigned round = 0; round < 20; round++) {
		unsigned count = 1 + smp_random(cpu, ARRAY_SIZE(pas));

		for (unsigned i = 0; i < count; i++)
			pas[i] = frame_alloc(FRAME_4K, OWNER_A);
		for (unsigned i = 0; i < count; i++) {
			CHECK(pas[i]);
			frame_free(pas[i], FRAME_4K, OWNER_A);
		}
		for (unsigned i = 0; i < 20; i++)
			frames_scrub_some();
	}
	if (level > FRAME_4K)
		frames_return_stock();
	pthread_barrier_wait(&smp_start);
	for (;;) {
		bool nothing_left = __atomic_load_n(&out_of_memory, __ATOMIC_SEQ_CST);
		uint64_t pa = frame_alloc(level, OWNER_A);

		if (!pa)
			break;
		CHECK(!nothing_left);
		use(cpu, pa, frame_bytes(level));
		__atomic_add_fetch(&had, frame_bytes(level), __ATOMIC_SEQ_CST);
	}
	__atomic_add_fetch(&out_of_memory, 1, __ATOMIC_SEQ_CST);
}

/* Scrubs until the others have taken all. */
static void run_scrub_while_taken(struct smp_cpu *cpu)
{
	pthread_barrier_wait(&smp_start);
	while (__atomic_load_n(&out_of_memory, __ATOMIC_SEQ_CST) < CPUS / 2)
		frames_scrub_some();
}

static void run_take_pages(struct smp_cpu *cpu)
{
	take_all(cpu, FRAME_4K);
}

static void run_take_blocks(struct smp_cpu *cpu)
{
	take_all(cpu, FRAME_2M);
}

static void to_the_last_one(void **state __unused)
{
	static void (*const pages[])(struct smp_cpu *) = {run_take_pages, run_take_pages,
							  run_take_pages, run_take_pages, NULL};
	static void (*const large[])(struct smp_cpu *) = {run_take_blocks, run_take_blocks,
							  run_take_blocks, run_take_blocks, NULL};
	static void (*const scrubbed[])(struct smp_cpu *) = {run_take_blocks, run_scrub_while_taken,
							     run_take_blocks, run_scrub_while_taken,
							     NULL};

	for (unsigned round = 0; round < 12; round++) {
		start();
		smp_run(pages, round);
		assert_int_equal(had, (MEMORY_MIB - 2) * MiB);
		check_account();
		start();
		smp_run(large, round);
		assert_int_equal(had, (MEMORY_MIB - 2) * MiB);
		check_account();
		start();
		smp_run(scrubbed, round);
		assert_int_equal(had, (MEMORY_MIB - 2) * MiB);
		check_account();
	}
}

/* Some scrub, some take what is being scrubbed. */
static void run_scrub(struct smp_cpu *cpu)
{
	while (__atomic_load_n(&working, __ATOMIC_SEQ_CST))
		if (!frames_scrub_some())
			sched_yield();
}

static void run_blocks(struct smp_cpu *cpu)
{
	for (unsigned round = 0; round < 800; round++) {
		/* Two of us take all that there are: so none may hide. */
		unsigned count = cpu->index ? 6 : (MEMORY_MIB - 2) / 2 - 6;
		struct piece pieces[16];

		for (unsigned i = 0; i < count; i++) {
			get_piece(cpu, &pieces[i], FRAME_2M, 0);
			CHECK(pieces[i].pa);
		}
		for (unsigned i = 0; i < count; i++)
			put_piece(cpu, &pieces[i]);
	}
	__atomic_sub_fetch(&working, CPUS / 2, __ATOMIC_SEQ_CST);
}

static void scrubbing_beside_use(void **state __unused)
{
	static void (*const run[])(struct smp_cpu *) = {run_blocks, run_scrub, run_blocks,
							run_scrub, NULL};

	smp_run(run, 5);
	check_account();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(random_use, setup),
		cmocka_unit_test_setup(no_false_alarm, setup),
		cmocka_unit_test_setup(to_the_last_one, setup),
		cmocka_unit_test_setup(scrubbing_beside_use, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
