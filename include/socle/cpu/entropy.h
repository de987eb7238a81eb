/* SPDX-License-Identifier: BSD-2-Clause */
/* Random bits from the CPU: RDSEED, RDRAND, or for want of these the TSC. */
#ifndef SOCLE_CPU_ENTROPY_H
#define SOCLE_CPU_ENTROPY_H

#include "socle/base.h"

#define ENTROPY_SEED 32 /* bytes */

/* Has the CPU a source that cannot be guessed? */
bool entropy_good(void);

/*
 * Fills @seed: each word from RDSEED, from RDRAND where that has nothing at the moment, and always
 * with the TSC mixed in, which alone is easy to guess. False if a word has nothing better. Any CPU
 * and context; short.
 */
bool entropy_seed(uint8_t seed[ENTROPY_SEED]);

#endif
