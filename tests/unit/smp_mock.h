/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests: threads that play CPUs, and checks that may fail in any of them. */
#ifndef TESTS_UNIT_SMP_MOCK_H
#define TESTS_UNIT_SMP_MOCK_H

#include <pthread.h>
#include <sched.h>

#include "socle/cpu/cpu.h"

/* cmocka's assertions jump, so they are for the test's own thread only. */
#define CHECK(cond)                                                                         \
	do {                                                                                \
		if (!(cond))                                                                \
			panic("%s:%d: CPU %u: %s", __FILE__, __LINE__, cpu_index(), #cond); \
	} while (0)

struct smp_cpu {
	pthread_t thread;
	unsigned index;
	uint64_t seed; /* of smp_random() */
	void (*run)(struct smp_cpu *cpu);
};

static pthread_barrier_t smp_start;

/* The same numbers in each run of a test, other ones on each CPU. */
static __unused uint64_t smp_random(struct smp_cpu *cpu, uint64_t below)
{
	cpu->seed = cpu->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (cpu->seed >> 33) % below;
}

static void *smp_thread(void *arg)
{
	struct smp_cpu *cpu = arg;

	test_cpu_index = cpu->index;
	pthread_barrier_wait(&smp_start);
	cpu->run(cpu);
	return NULL;
}

/* Runs run[i] on CPU @i, all at once, and returns when all have. @run ends with NULL. */
static __unused void smp_run(void (*const *run)(struct smp_cpu *cpu), uint64_t seed)
{
	struct smp_cpu cpus[16];
	unsigned count = 0;

	while (run[count])
		count++;
	assert_true(count <= ARRAY_SIZE(cpus));
	assert_int_equal(pthread_barrier_init(&smp_start, NULL, count), 0);
	for (unsigned i = 0; i < count; i++) {
		cpus[i] = (struct smp_cpu){.index = i, .seed = seed + i * 977, .run = run[i]};
		assert_int_equal(pthread_create(&cpus[i].thread, NULL, smp_thread, &cpus[i]), 0);
	}
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(pthread_join(cpus[i].thread, NULL), 0);
	pthread_barrier_destroy(&smp_start);
}

#endif
