/* SPDX-License-Identifier: BSD-2-Clause */
/* A local APIC under fire from other CPUs: nothing is lost, nothing invented, no sleeper forgotten.
 * libs: -lpthread
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#define MOCK_JITTER
#include "lapic_mock.h"

/* Now and then another thread has its turn, between any two atomic operations of the inbox. */
static void jitter(void)
{
	static _Thread_local uint32_t seed;

	seed = seed * 1664525 + 1013904223;
	if (seed >> 28 == 0)
		sched_yield();
}

/*
 * Thread 0 is the CPU of vCPU 0 and the only one that touches its APIC; the others send to it, each
 * its own vectors. A sender counts a vector before it sends it, and the owner notes the count when
 * it takes it: so if the last note is the last count, no message was lost, nor came too early for
 * what was written before it.
 */
enum { SENDERS = 3, VECTORS = (256 - 16) / SENDERS, LEVEL_FROM = 128, SECONDS_MAX = 60 };

static unsigned sent[256];  /* by the vector's sender */
static unsigned noted[256]; /* by the owner */
static unsigned taken[256]; /* by the owner */
static unsigned wakes;
static unsigned done; /* senders that are through */

static bool late(void)
{
	static time_t start;

	if (!start)
		start = time(NULL);
	return time(NULL) - start > SECONDS_MAX;
}

static unsigned load(const unsigned *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* What the CPU does between two entries into the guest, which ends each interrupt at once. */
static void look(void)
{
	int vector;

	while ((vector = take(0)) >= 0) {
		unsigned before = eois;

		assert_in_range(vector, 16, 255);
		__atomic_store_n(&noted[vector], load(&sent[vector]), __ATOMIC_RELAXED);
		wr(0, 0xb0, 0);
		assert_int_equal(eois - before, vector >= LEVEL_FROM);
		__atomic_store_n(&taken[vector], taken[vector] + 1, __ATOMIC_RELEASE);
	}
}

/* Asleep while nobody asks for a look: who fails to ask leaves it asleep. */
static void own_until(unsigned senders)
{
	while (load(&done) < senders || load(&cpu[0].base.requests)) {
		if (!load(&cpu[0].base.requests)) {
			sched_yield();
			assert_false(late());
			continue;
		}
		wakes++;
		__atomic_exchange_n(&cpu[0].base.requests, 0, __ATOMIC_SEQ_CST);
		look();
	}
}

static uint8_t vector_of(unsigned sender, unsigned n)
{
	return 16 + n % VECTORS * SENDERS + sender;
}

static void send_to_0(unsigned sender, uint8_t vector)
{
	__atomic_store_n(&sent[vector], sent[vector] + 1, __ATOMIC_RELAXED);
	/* Edges by an IPI of a vCPU of its own, levels as the I/O APIC sends them. */
	if (vector >= LEVEL_FROM)
		lapic_deliver(&vm, &(struct irq_message){.vector = vector, .level = true});
	else
		lapic_write_icr(&apic[1 + sender], vector);
}

static void wait_for(uint8_t vector)
{
	while (load(&taken[vector]) != sent[vector] && !late())
		sched_yield();
}

/* As fast as it can. */
static void *storm(void *arg)
{
	unsigned sender = (unsigned)(uintptr_t)arg;
	uint32_t seed = sender;

	for (unsigned round = 0; round < 200000; round++) {
		seed = seed * 1664525 + 1013904223;
		send_to_0(sender, vector_of(sender, seed >> 16));
	}
	__atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* All of its vectors at once, each to be taken before the next time. */
static void *salvos(void *arg)
{
	unsigned sender = (unsigned)(uintptr_t)arg;

	for (unsigned round = 0; round < 1000 && !late(); round++) {
		for (unsigned n = 0; n < VECTORS; n++)
			send_to_0(sender, vector_of(sender, n));
		for (unsigned n = 0; n < VECTORS; n++)
			wait_for(vector_of(sender, n));
	}
	__atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* One, to be taken before the next, so that each must wake the owner itself. */
static void *in_step(void *arg)
{
	unsigned sender = (unsigned)(uintptr_t)arg;

	for (unsigned round = 0; round < 50000 && !late(); round++) {
		send_to_0(sender, vector_of(sender, round));
		wait_for(vector_of(sender, round));
	}
	__atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void run(void *(*sender)(void *), unsigned senders)
{
	pthread_t thread[SENDERS];

	memset(sent, 0, sizeof(sent));
	memset(noted, 0, sizeof(noted));
	memset(taken, 0, sizeof(taken));
	done = wakes = 0;
	away = true;
	for (unsigned c = 0; c < CPUS; c++) {
		enable(c);
		cpu[c].base.requests = 0;
	}
	for (unsigned i = 0; i < senders; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, sender, (void *)(uintptr_t)i), 0);
	own_until(senders);
	for (unsigned i = 0; i < senders; i++)
		pthread_join(thread[i], NULL);
	/* The last sender may have asked after the owner saw that all are through. */
	own_until(senders);
	assert_int_equal(take(0), -1);
	assert_int_equal(apic[0].posted_any, 0);
}

static void a_storm(void **state __unused)
{
	unsigned total = 0;

	run(storm, SENDERS);
	for (unsigned vector = 0; vector < 256; vector++) {
		assert_int_equal(noted[vector], sent[vector]);
		assert_true(taken[vector] <= sent[vector]);
		total += taken[vector];
	}
	assert_true(total > 0 && wakes > 0);
}

static void each_counts(void *(*sender)(void *))
{
	run(sender, SENDERS);
	for (unsigned vector = 0; vector < 256; vector++)
		assert_int_equal(taken[vector], sent[vector]);
}

static void all_at_once(void **state __unused)
{
	each_counts(salvos);
}

static void one_by_one(void **state __unused)
{
	each_counts(in_step);
}

/* The PIC's output rises on one CPU while another unmasks LINT0: one of both must see it. */
enum { MEETINGS = 200000 };
static unsigned arrived[2];

/* Both begin a round together, give or take a delay that changes. */
static void meet(unsigned who, unsigned round)
{
	__atomic_store_n(&arrived[who], round, __ATOMIC_SEQ_CST);
	for (unsigned spins = 1; load(&arrived[!who]) < round && !late(); spins++)
		if (spins % 1000 == 0)
			sched_yield();
	for (unsigned i = 0; i < round * (3 + who) % 256; i++)
		barrier();
}

static void *pic_rises(void *arg __unused)
{
	for (unsigned round = 1; round <= MEETINGS; round++) {
		meet(1, 2 * round - 1);
		__atomic_store_n(&pic_output, true, __ATOMIC_RELAXED);
		lapic_extint_changed(&vm);
		meet(1, 2 * round);
	}
	return NULL;
}

static void lint0_opens(void **state __unused)
{
	pthread_t thread;

	arrived[0] = arrived[1] = 0;
	away = true;
	enable(0);
	lapic_write(&apic[0], 0x350, 0x10700);
	assert_int_equal(pthread_create(&thread, NULL, pic_rises, NULL), 0);
	for (unsigned round = 1; round <= MEETINGS; round++) {
		cpu[0].base.requests = 0;
		meet(0, 2 * round - 1);
		lapic_write(&apic[0], 0x350, 0x700);
		meet(0, 2 * round);
		assert_false(late());
		assert_true(load(&cpu[0].base.requests) & (VCPU_REQ_EVENT | VCPU_REQ_AGAIN));
		assert_int_equal(take(0), 0x28);
		lapic_write(&apic[0], 0x350, 0x10700);
	}
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_storm, setup),
		cmocka_unit_test_setup(all_at_once, setup),
		cmocka_unit_test_setup(one_by_one, setup),
		cmocka_unit_test_setup(lint0_opens, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
