/* SPDX-License-Identifier: BSD-2-Clause */
/* The TSC never goes backwards, whichever CPU reads it; what one CPU writes to it is its own. */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "smp_tsc";

enum { READS = 50000, TURNS = 2000, TURNS_MS = 3000, MSR_TSC_ADJUST = 0x3b, FORTH = 20 << 20 };

static uint64_t latest; /* time-stamp that some CPU has read */
static struct meeting meeting;

/* All at once: no time-stamp is below one that was published before it was read. */
static void race(void *unused)
{
	(void)unused;
	smp_meet(&meeting);
	for (unsigned i = 0; i < READS; i++) {
		uint64_t before = __atomic_load_n(&latest, __ATOMIC_SEQ_CST), now = rdtsc();

		if (!check(now >= before, "CPU %u reads %#lx, %lu less than another did", cpu_id(),
			   now, before - now))
			return;
		while (before < now &&
		       !__atomic_compare_exchange_n(&latest, &before, now, false, __ATOMIC_SEQ_CST,
						    __ATOMIC_SEQ_CST))
			;
	}
}

/* One after the other; as often as the time allows. */
static volatile uint32_t turn;
static volatile uint64_t token, deadline;

static void take_turns(void *unused)
{
	unsigned id = cpu_id();

	(void)unused;
	smp_meet(&meeting);
	for (uint32_t mine = id; mine < TURNS; mine += smp_count) {
		if (!check(WAIT_FOR(turn >= mine || rdtsc() > deadline, SMP_PATIENCE),
			   "turn %u does not come", mine))
			return;
		if (turn < mine)
			return;
		uint64_t now = rdtsc();

		check(now >= token, "CPU %u reads %#lx, the one before %#lx", id, now, token);
		token = now;
		turn = mine + 1;
	}
}

static volatile uint64_t reading;

static void read_one(void *unused)
{
	(void)unused;
	reading = rdtsc();
}

static uint64_t tsc_of(unsigned cpu)
{
	smp_run(cpu, read_one, NULL);
	smp_join(cpu);
	return reading;
}

/* Set forth by so much that it shows; the other CPUs' TSCs go on as before. */
static void check_adjust(void)
{
	uint64_t before = rdtsc(), of_1, adjusted;

	check(rdmsr(MSR_TSC_ADJUST) == 0, "TSC_ADJUST is %#lx", rdmsr(MSR_TSC_ADJUST));
	wrmsr(MSR_TSC_ADJUST, FORTH);
	adjusted = rdtsc();
	check(adjusted >= before + FORTH, "TSC_ADJUST moved the TSC by %lu", adjusted - before);
	of_1 = tsc_of(1);
	check(rdtsc() - of_1 >= FORTH, "CPU 1's TSC went along");
	wrmsr(MSR_TSC_ADJUST, 0);
	/* Back in step: each is behind the one before. */
	uint64_t mine = rdtsc();
	of_1 = tsc_of(1);
	check(of_1 >= mine && rdtsc() >= of_1, "the TSCs are out of step");
}

void test_main(void)
{
	smp_init(2, SMP_MAX);
	smp_start_others();
	smp_run_all(race, NULL);
	deadline = rdtsc() + TURNS_MS * tsc_per_ms;
	smp_run_all(take_turns, NULL);
	/* The two before in the row may have stopped by the clock; some turns must have been. */
	check(turn > 2 * smp_count, "only %u turns", turn);
	if (hosted())
		check_adjust();
	info("%u turns", turn);
}
