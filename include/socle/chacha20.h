/* SPDX-License-Identifier: BSD-2-Clause */
/* The ChaCha20 block function (RFC 8439, 2.3), and a generator of random bytes made of it. */
#ifndef SOCLE_CHACHA20_H
#define SOCLE_CHACHA20_H

#include "socle/base.h"

#define CHACHA20_KEY   32 /* bytes */
#define CHACHA20_BLOCK 64
#define CHACHA20_NONCE 12

/* The block of key stream with number @counter into @out. */
void chacha20_block(const uint8_t key[CHACHA20_KEY], uint32_t counter,
		    const uint8_t nonce[CHACHA20_NONCE], uint8_t out[CHACHA20_BLOCK]);

/*
 * A generator that cannot be run backwards: each call replaces the key, so that who learns the key
 * later does not learn what was given out before. Its owner guards it.
 */
struct chacha20_rng {
	uint8_t key[CHACHA20_KEY];
	uint64_t since_seed; /* bytes given out since it was seeded last */
};

/* Mixes 32 bytes into the generator; bad ones do not make it worse. */
void chacha20_rng_seed(struct chacha20_rng *rng, const uint8_t seed[CHACHA20_KEY]);

/* Stores @len random bytes, at most 1 MiB, at @out. */
void chacha20_rng_get(struct chacha20_rng *rng, uint8_t *out, size_t len);

#endif
