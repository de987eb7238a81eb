/* SPDX-License-Identifier: BSD-2-Clause */
/* Random bits from the CPU (SDM vol. 1, 7.3.17). */
#include "socle/cpu/entropy.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/string.h"

/* The manual's advice for RDRAND; RDSEED may have nothing for longer, then RDRAND has. */
enum { TRIES = 10 };

#ifndef SOCLE_UNIT_TEST
static bool rdseed(uint64_t *value)
{
	bool ok;

	__asm__ volatile("rdseed %0" : "=r"(*value), "=@ccc"(ok));
	return ok;
}

static bool rdrand(uint64_t *value)
{
	bool ok;

	__asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(ok));
	return ok;
}
#endif

/* All ones is what AMD's family 15h gave after a resume, with the carry flag set. */
static bool draw(bool (*from)(uint64_t *value), uint64_t *value)
{
	for (unsigned i = 0; i < TRIES; i++)
		if (from(value) && *value != UINT64_MAX)
			return true;
	return false;
}

bool entropy_good(void)
{
	return cpu_has(CPU_RDSEED) || cpu_has(CPU_RDRAND);
}

bool entropy_seed(uint8_t seed[ENTROPY_SEED])
{
	bool good = true;

	for (unsigned i = 0; i < ENTROPY_SEED / sizeof(uint64_t); i++) {
		uint64_t value = 0, mixed = rdtsc();

		if ((cpu_has(CPU_RDSEED) && draw(rdseed, &value)) ||
		    (cpu_has(CPU_RDRAND) && draw(rdrand, &value)))
			mixed ^= value;
		else
			good = false;
		memcpy(seed + i * sizeof(mixed), &mixed, sizeof(mixed));
	}
	return good;
}
