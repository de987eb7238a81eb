/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUs that wait for each other by spinning get on, however few real ones there are. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "smp_spin";

enum { TAKES = 400, STAGES = 50, WORK = 200 };

/* First come, first served: if the next one's CPU is taken away, all others spin in vain. */
static volatile uint32_t next_ticket, serving;
static volatile uint64_t guarded, shadow;
static struct meeting meeting;

static void lock(void)
{
	uint32_t mine = __atomic_fetch_add(&next_ticket, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&serving, __ATOMIC_ACQUIRE) != mine)
		pause();
}

static void unlock(void)
{
	__atomic_store_n(&serving, serving + 1, __ATOMIC_RELEASE);
}

static void contend(void *unused)
{
	(void)unused;
	smp_meet(&meeting);
	for (unsigned i = 0; i < TAKES; i++) {
		lock();
		uint64_t v = guarded;

		for (unsigned n = 0; n < WORK; n++)
			barrier();
		guarded = v + 1;
		shadow = shadow + 1;
		unlock();
	}
}

/* With interrupts off: @cpu waits for what the next one has to do first. */
static volatile uint32_t stage;

static void relay(void *unused)
{
	unsigned id = cpu_id();

	(void)unused;
	irq_off();
	for (uint32_t mine = id; mine < STAGES * smp_count; mine += smp_count) {
		while (stage != mine)
			pause();
		stage = mine + 1;
	}
}

/* The same without PAUSE: only the end of a CPU's time helps. */
static void relay_hard(void *unused)
{
	unsigned id = cpu_id();

	(void)unused;
	for (uint32_t mine = id; mine < 5 * smp_count; mine += smp_count) {
		while (stage != mine)
			smp_open();
		stage = mine + 1;
	}
}

void test_main(void)
{
	uint64_t start;

	smp_init(2, SMP_MAX);
	smp_start_others();
	start = rdtsc();
	smp_run_all(contend, NULL);
	check(guarded == (uint64_t)TAKES * smp_count && shadow == guarded,
	      "%lu of %u turns were counted", guarded, TAKES * smp_count);
	info("%lu ms for the lock", (rdtsc() - start) / tsc_per_ms);
	start = rdtsc();
	smp_run_all(relay, NULL);
	check(stage == STAGES * smp_count, "stage %u", stage);
	info("%lu ms for the relay", (rdtsc() - start) / tsc_per_ms);
	start = rdtsc();
	stage = 0;
	smp_run_all(relay_hard, NULL);
	check(stage == 5 * smp_count, "stage %u", stage);
	info("%lu ms for the relay without PAUSE", (rdtsc() - start) / tsc_per_ms);
}
