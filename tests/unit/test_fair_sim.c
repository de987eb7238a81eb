/* SPDX-License-Identifier: BSD-2-Clause */
/* The scheduler's policy on simulated machines: shares, caps, latency and migrations in the end.
 * libs: -lm
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "panic_mock.h"
#include "fair_sim.h"
#include "socle/kernel/config.h"

#define MS  NS_PER_MS
#define US  NS_PER_US
#define SEC NS_PER_SEC

enum { MIXES = 40 };
static const double tolerance = 0.02;

static void warm_up(uint64_t warm, uint64_t then)
{
	sim_run(warm);
	sim_measure();
	sim_run(then);
}

static double seconds(void)
{
	return (double)(sim.now - sim.measured) / 1e9;
}

static void print_task(const struct sim_task *t)
{
	print_error("#%ld of %u, weight %u, cap %u, CPUs %#llx: %.5f, ideal %.5f of a CPU\n",
		    (long)(t - sim.task), sim.tasks, t->e.weight, t->e.group->cap,
		    (unsigned long long)t->e.cpuset, sim_share(t), t->ideal);
}

/* Each one's share is near the ideal one; not of those that get less than @least seconds. */
static void check_shares(double least)
{
	unsigned checked = 0;

	sim_ideal();
	for (unsigned i = 0; i < sim.tasks; i++) {
		struct sim_task *t = &sim.task[i];

		if (t->stopped || t->ideal * seconds() < least)
			continue;
		if (fabs(sim_share(t) / t->ideal - 1) > tolerance) {
			print_task(t);
			fail_msg("share");
		}
		checked++;
	}
	assert_true(checked > 0);
}

/* In seconds, over all CPUs. */
static double idle_time(void)
{
	uint64_t idle = 0;

	for (unsigned i = 0; i < sim.cpus; i++) {
		struct sim_cpu *c = &sim.cpu[i];

		idle += c->idle_ns + (c->running ? 0 : sim.now - c->since);
	}
	return (double)idle / 1e9;
}

static uint64_t longest_latency(void)
{
	uint64_t longest = 0;

	for (unsigned i = 0; i < sim.tasks; i++)
		longest = MAX(longest, sim.task[i].latency);
	return longest;
}

static void start_hogs(unsigned count, unsigned weight)
{
	for (unsigned i = 0; i < count; i++)
		sim_task(&sim.group[0], weight, UINT64_MAX, 0, 0);
}

static void thousands_share_by_weight(void **state __unused)
{
	sim_start(4, 1);
	sim.lock_fails = 30;
	sim.overrun = 50 * US;
	sim_group(0);
	for (unsigned i = 0; i < 3000; i++)
		sim_task(&sim.group[0], 50 + (unsigned)sim_random(200), UINT64_MAX, 0, 0);
	warm_up(30 * SEC, 1000 * SEC);
	check_shares(0);
	assert_true(idle_time() < 0.001);
	/* Nobody starves: who waits gets its slice in the time that its share asks for. */
	for (unsigned i = 0; i < sim.tasks; i++) {
		struct sim_task *t = &sim.task[i];

		assert_true((double)t->starved <
			    2 * (double)FAIR_SLICE / t->ideal + (double)FAIR_FAR);
	}
}

static void odd_numbers_share_alike(void **state __unused)
{
	static const unsigned sizes[][2] = {{2, 3}, {3, 4},  {3, 5}, {4, 7},
					    {4, 9}, {8, 11}, {8, 63}};

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		sim_start(sizes[i][0], i);
		sim_group(0);
		start_hogs(sizes[i][1], 256);
		warm_up(5 * SEC, 100 * SEC);
		check_shares(0);
		/* At the price of few moves. */
		assert_true((double)sim.moves / seconds() / sim.cpus < 50);
	}
}

/* One that is worth more than a CPU gets one; what it cannot use goes to the others. */
static void infeasible_weights_get_a_cpu(void **state __unused)
{
	for (unsigned cpus = 2; cpus <= 5; cpus++) {
		sim_start(cpus, cpus);
		sim_group(0);
		start_hogs(1, 50000);
		start_hogs(4 * cpus, 256);
		start_hogs(1, 10);
		warm_up(5 * SEC, 200 * SEC);
		check_shares(1);
	}
}

/* Weights from a few kinds, as administrators choose them. */
static unsigned random_weight(unsigned kind)
{
	switch (kind) {
	case 0:
		return 256;
	case 1:
		return 1 + (unsigned)sim_random(10);
	case 2:
		return 100 + (unsigned)sim_random(1000);
	case 3:
		return 1u << sim_random(10);
	case 4:
		return 1 + (unsigned)sim_random(VM_WEIGHT_MAX);
	default:
		return sim_random(5) ? 256 : 5000;
	}
}

/* All CPUs, one, or half of them. */
static uint64_t random_cpuset(void)
{
	uint64_t everywhere = BIT(sim.cpus) - 1, half = BIT((sim.cpus + 1) / 2) - 1;

	switch (sim_random(5)) {
	case 0:
		return half;
	case 1:
		return sim.cpus > 1 ? everywhere & ~half : everywhere;
	case 2:
		return BIT(sim_random(sim.cpus));
	default:
		return everywhere;
	}
}

static void start_machine(uint64_t seed)
{
	sim_start(1 + (unsigned)seed * 7 % 8, seed);
	sim.lock_fails = (unsigned)sim_random(3) * 30;
	sim.overrun = sim_random(2) * 50 * US;
	sim_group(0);
}

static void pinned_ones_get_their_share(void **state __unused)
{
	for (unsigned seed = 1; seed <= MIXES; seed++) {
		unsigned kind, count;

		start_machine(seed);
		kind = (unsigned)sim_random(6);
		count = 1 + (unsigned)sim_random(sim.cpus * (sim_random(2) ? 3 : 20));
		for (unsigned i = 0; i < count; i++)
			sim_task(&sim.group[0], random_weight(kind), random_cpuset(), 0, 0);
		warm_up(5 * SEC, 150 * SEC);
		check_shares(3);
	}
}

/*
 * All of a group's vCPUs together against its cap. On CPUs that are nearly all busy, a group close
 * to its limit cannot make up for each time that it had to wait.
 */
static void check_caps(unsigned *total, unsigned *off)
{
	static double got[SIM_GROUPS], want[SIM_GROUPS];

	sim_ideal();
	memset(got, 0, sizeof(got));
	memset(want, 0, sizeof(want));
	for (unsigned i = 0; i < sim.tasks; i++) {
		got[sim.task[i].e.group - sim.group] += sim_share(&sim.task[i]);
		want[sim.task[i].e.group - sim.group] += sim.task[i].ideal;
	}
	for (unsigned i = 1; i < sim.groups; i++) {
		assert_true(got[i] <= (1 + tolerance) * sim.group[i].cap / 100);
		assert_true(got[i] >= 0.9 * want[i]);
		*off += fabs(got[i] / want[i] - 1) > tolerance;
		++*total;
	}
}

static void caps_hold_on_many_cpus(void **state __unused)
{
	unsigned total = 0, off = 0;

	for (unsigned seed = 1; seed <= MIXES; seed++) {
		unsigned count;

		start_machine(seed);
		count = 1 + (unsigned)sim_random(3 * sim.cpus);
		for (unsigned i = 0; i < count; i++) {
			unsigned vcpus = 1 + (unsigned)sim_random(3);
			struct fair_group *g = sim_group(5 + (unsigned)sim_random(150));

			while (vcpus--)
				sim_task(g, 256, UINT64_MAX, 0, 0);
		}
		start_hogs((unsigned)sim_random(2 * sim.cpus), 256);
		warm_up(5 * SEC, 150 * SEC);
		check_caps(&total, &off);
	}
	assert_true(off * 50 <= total);
}

/* Many who sleep most of the time, beside hogs: they get what they ask for, and at once. */
static void sleepers_are_served_at_once(void **state __unused)
{
	uint64_t served = 0;

	sim_start(4, 3);
	sim_group(0);
	start_hogs(8, 256);
	for (unsigned i = 0; i < 40; i++)
		sim_task(&sim.group[0], 256, UINT64_MAX, 300 * US, 40 * MS);
	warm_up(5 * SEC, 120 * SEC);
	for (unsigned i = 8; i < sim.tasks; i++) {
		double share = sim_share(&sim.task[i]), wanted = 0.3 / 40.3;

		assert_true(fabs(share / wanted - 1) < 2 * tolerance);
		served += sim.task[i].latency < 4 * MS;
	}
	assert_true(longest_latency() < 5 * MS);
	assert_true(served > 30);
	assert_true(idle_time() < 0.001);
}

/* One that wakes among a thousand others that compute. */
static void wakes_among_a_thousand(void **state __unused)
{
	sim_start(4, 4);
	sim_group(0);
	start_hogs(1000, 256);
	sim_task(&sim.group[0], 256, UINT64_MAX, 50 * US, 500 * MS);
	warm_up(5 * SEC, 100 * SEC);
	/* It preempts, unless another one did so a moment ago. */
	assert_true(sim.task[1000].latency <= FAIR_LEAST);
}

/* After an hour the error is not greater than after a minute, even where clocks wrap. */
static void nothing_drifts(void **state __unused)
{
	double worst = 0;

	sim_start(3, 5);
	sim.overrun = 20 * US;
	for (unsigned i = 0; i < sim.cpus; i++)
		sim.cpu[i].queue.vtime = UINT64_MAX - vtime_span(100 * SEC, 256);
	sim_group(0);
	start_hogs(2, 256);
	start_hogs(2, 97);
	start_hogs(1, 13);
	sim_run(5 * SEC);
	sim_measure();
	for (unsigned minutes = 0; minutes < 60; minutes++) {
		sim_run(60 * SEC);
		sim_ideal();
		for (unsigned i = 0; i < sim.tasks; i++) {
			const struct sim_task *t = &sim.task[i];

			worst = fmax(worst, fabs(sim_share(t) - t->ideal) * seconds());
		}
	}
	/* Seconds, not parts. */
	assert_true(worst < 0.05);
}

/* Guests that come and go, on CPUs that are idle in between. */
static void survives_turmoil(void **state __unused)
{
	sim_start(6, 6);
	sim.lock_fails = 50;
	sim_group(0);
	for (unsigned i = 0; i < 200; i++) {
		struct fair_group *g = sim_random(3) ? &sim.group[0] : sim_group(20);
		bool sleeps = sim_random(2);

		sim_task(g, random_weight(2), random_cpuset(), sleeps ? MS : 0,
			 sleeps ? 5 * MS : 0);
	}
	for (unsigned i = 0; i < 4000; i++) {
		struct sim_task *t = &sim.task[sim_random(sim.tasks)];

		if (t->stopped)
			sim_restart(t);
		else
			sim_stop(t);
		if (i % 1000 == 999) {
			/* All stop but a few. */
			for (unsigned k = 5; k < sim.tasks; k++)
				sim_stop(&sim.task[k]);
		}
		sim_run(sim_random(10 * MS));
	}
	for (unsigned i = 0; i < sim.tasks; i++)
		sim_stop(&sim.task[i]);
	sim_run(SEC);
	for (unsigned i = 0; i < sim.cpus; i++) {
		assert_int_equal(fair_load(sim.queues[i]), 0);
		assert_int_equal(fair_runnable(sim.queues[i]), 0);
		assert_int_equal(sim.queues[i]->stopped, 0);
	}
	/* And the past has no effect. */
	for (unsigned i = 0; i < sim.tasks; i++) {
		if (sim.task[i].burst || sim.task[i].e.group->cap)
			continue;
		sim.task[i].e.cpuset = UINT64_MAX;
		sim_restart(&sim.task[i]);
	}
	warm_up(10 * SEC, 200 * SEC);
	check_shares(0);
}

/* CPUs that have nothing to do take over, as far as they may. */
static void no_cpu_idles_while_somebody_waits(void **state __unused)
{
	sim_start(8, 7);
	sim_group(0);
	start_hogs(6, 256);
	for (unsigned i = 0; i < 12; i++)
		sim_task(&sim.group[0], 256, UINT64_MAX, 3 * MS, 2 * MS);
	warm_up(SEC, 30 * SEC);
	/* 6 + 12 * 3 / 5 want more than 8. */
	assert_true(idle_time() < 0.01 * seconds() * sim.cpus);
}

/* As many vCPUs as CPUs, or fewer: each finds its own CPU and stays there. */
static void light_load_does_not_migrate(void **state __unused)
{
	static const struct {
		unsigned cpus, hogs, sleepers;
		uint64_t burst, sleep;
	} loads[] = {
		{4, 4, 0, 0, 0},		{4, 3, 1, 200 * US, 2 * MS},
		{4, 0, 4, 200 * US, 2 * MS},	{4, 0, 3, 2 * MS, 2 * MS},
		{8, 0, 8, 100 * US, 10 * MS},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(loads); i++) {
		sim_start(loads[i].cpus, i);
		sim_group(0);
		start_hogs(loads[i].hogs, 256);
		for (unsigned k = 0; k < loads[i].sleepers; k++)
			sim_task(&sim.group[0], 256, UINT64_MAX, loads[i].burst, loads[i].sleep);
		warm_up(2 * SEC, 20 * SEC);
		assert_int_equal(sim.hops + sim.moves, 0);
	}
}

/* More vCPUs than CPUs: one in twenty may find its CPU taken and another one idle. */
static void moderate_load_migrates_little(void **state __unused)
{
	static const struct {
		unsigned cpus, hogs, sleepers;
	} loads[] = {{8, 0, 32}, {2, 1, 4}, {2, 2, 4}, {4, 8, 16}};

	for (unsigned i = 0; i < ARRAY_SIZE(loads); i++) {
		sim_start(loads[i].cpus, i);
		sim_group(0);
		start_hogs(loads[i].hogs, 256);
		for (unsigned k = 0; k < loads[i].sleepers; k++)
			sim_task(&sim.group[0], 256, UINT64_MAX, 100 * US, 10 * MS);
		warm_up(2 * SEC, 20 * SEC);
		assert_true((sim.hops + sim.moves) * 20 < sim.wakes);
	}
}

static int end(void **state __unused)
{
	sim_start(0, 0);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousands_share_by_weight),
		cmocka_unit_test(odd_numbers_share_alike),
		cmocka_unit_test(infeasible_weights_get_a_cpu),
		cmocka_unit_test(pinned_ones_get_their_share),
		cmocka_unit_test(caps_hold_on_many_cpus),
		cmocka_unit_test(sleepers_are_served_at_once),
		cmocka_unit_test(wakes_among_a_thousand),
		cmocka_unit_test(nothing_drifts),
		cmocka_unit_test(survives_turmoil),
		cmocka_unit_test(no_cpu_idles_while_somebody_waits),
		cmocka_unit_test(light_load_does_not_migrate),
		cmocka_unit_test(moderate_load_migrates_little),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
