/* SPDX-License-Identifier: BSD-2-Clause */
/* Compares another CPU's time-stamp counter with the boot CPU's, and corrects it. */
#include "socle/cpu/regs.h"
#include "socle/cpu/tsc.h"

enum {
	ROUNDS = 64,
	ROUNDS_LEAST = 8,
	ENOUGH_PER_SECOND = 50,
	CPUID_TSC_ADJUST = 1 /* leaf 7, EBX */
};

/* What the boot CPU asks for: a sample, or a correction. A number that grows with each question. */
enum question { ASK_SAMPLE, ASK_ADD, ASK_END, QUESTIONS };

static uint64_t asked;	  /* number * QUESTIONS + what; atomic */
static uint64_t answered; /* the same, when it was answered; atomic */
static uint64_t sample;	  /* the other CPU's TSC, while it answered */
static int64_t to_add;	  /* ASK_ADD */

/* SDM vol. 3, 18.17.3: exact where there is IA32_TSC_ADJUST, else off by what the write takes. */
static void add(int64_t ticks)
{
	uint64_t adjust;

	if ((cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & BIT(CPUID_TSC_ADJUST))) &&
	    msr_read_safe(MSR_TSC_ADJUST, &adjust)) {
		(void)!msr_write_safe(MSR_TSC_ADJUST, adjust + (uint64_t)ticks);
		return;
	}
	(void)!msr_write_safe(MSR_TSC, rdtsc() + (uint64_t)ticks);
}

void tsc_compare_here(void)
{
	uint64_t last = __atomic_load_n(&answered, __ATOMIC_ACQUIRE), now;

	do {
		while ((now = __atomic_load_n(&asked, __ATOMIC_ACQUIRE)) == last)
			cpu_pause();
		if (now % QUESTIONS == ASK_SAMPLE)
			sample = rdtsc();
		else if (now % QUESTIONS == ASK_ADD)
			add(to_add);
		__atomic_store_n(&answered, now, __ATOMIC_SEQ_CST);
		last = now;
	} while (now % QUESTIONS != ASK_END);
}

/* Asks and waits for a second at most. */
static bool ask(enum question what)
{
	uint64_t number = (asked / QUESTIONS + 1) * QUESTIONS + what, start = rdtsc();

	__atomic_store_n(&asked, number, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&answered, __ATOMIC_ACQUIRE) != number) {
		if (rdtsc() - start > tsc_hz)
			return false;
		cpu_pause();
	}
	return true;
}

/*
 * Of several samples the one that was quickest to get tells most: the other's reading lies between
 * ours before and after.
 */
static bool measure(int64_t *off, uint64_t *round_trip)
{
	uint64_t start = rdtsc();

	*round_trip = UINT64_MAX;
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t before = rdtsc(), after;

		/* An emulator that shares its machine takes its time. */
		if (i >= ROUNDS_LEAST && before - start > tsc_hz / ENOUGH_PER_SECOND)
			break;
		if (!ask(ASK_SAMPLE))
			return false;
		after = rdtsc();
		if (after - before >= *round_trip)
			continue;
		*round_trip = after - before;
		*off = (int64_t)(sample - before - *round_trip / 2);
	}
	return true;
}

bool tsc_compare_with(int64_t skew, struct tsc_difference *d)
{
	int64_t off;
	bool done;

	*d = (struct tsc_difference){0};
	to_add = skew;
	if (skew && !ask(ASK_ADD))
		return false;
	done = measure(&off, &d->round_trip);
	d->before = d->after = off;
	/* Within half of the round trip nobody can tell which is ahead. */
	if (done && (uint64_t)(off < 0 ? -off : off) > d->round_trip / 2) {
		to_add = -off;
		done = ask(ASK_ADD) && measure(&d->after, &d->round_trip);
		d->corrected = true;
	}
	return ask(ASK_END) && done;
}
