/* SPDX-License-Identifier: BSD-2-Clause */
/* ChaCha20 (RFC 8439), and a generator of random bytes made of it. */
#include "socle/chacha20.h"
#include "socle/string.h"

enum { WORDS = 16, DOUBLE_ROUNDS = 10 };

static uint32_t rotate(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static void quarter_round(uint32_t x[WORDS], unsigned a, unsigned b, unsigned c, unsigned d)
{
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 7);
}

void chacha20_block(const uint8_t key[CHACHA20_KEY], uint32_t counter,
		    const uint8_t nonce[CHACHA20_NONCE], uint8_t out[CHACHA20_BLOCK])
{
	uint32_t start[WORDS], x[WORDS];

	memcpy(start, "expand 32-byte k", 16);
	memcpy(start + 4, key, CHACHA20_KEY);
	start[12] = counter;
	memcpy(start + 13, nonce, CHACHA20_NONCE);
	memcpy(x, start, sizeof(x));
	for (unsigned i = 0; i < DOUBLE_ROUNDS; i++) {
		quarter_round(x, 0, 4, 8, 12);
		quarter_round(x, 1, 5, 9, 13);
		quarter_round(x, 2, 6, 10, 14);
		quarter_round(x, 3, 7, 11, 15);
		quarter_round(x, 0, 5, 10, 15);
		quarter_round(x, 1, 6, 11, 12);
		quarter_round(x, 2, 7, 8, 13);
		quarter_round(x, 3, 4, 9, 14);
	}
	for (unsigned i = 0; i < WORDS; i++)
		x[i] += start[i];
	memcpy(out, x, sizeof(x));
}

/* Block 0 of a key is its successor, the others are given out. */
static const uint8_t no_nonce[CHACHA20_NONCE];

static void next_key(struct chacha20_rng *rng)
{
	uint8_t block[CHACHA20_BLOCK];

	chacha20_block(rng->key, 0, no_nonce, block);
	memcpy(rng->key, block, sizeof(rng->key));
}

void chacha20_rng_seed(struct chacha20_rng *rng, const uint8_t seed[CHACHA20_KEY])
{
	for (unsigned i = 0; i < CHACHA20_KEY; i++)
		rng->key[i] ^= seed[i];
	next_key(rng);
	rng->since_seed = 0;
}

void chacha20_rng_get(struct chacha20_rng *rng, uint8_t *out, size_t len)
{
	uint8_t block[CHACHA20_BLOCK];

	rng->since_seed += len;
	for (uint32_t counter = 1; len; counter++) {
		size_t n = MIN(len, sizeof(block));

		chacha20_block(rng->key, counter, no_nonce, block);
		memcpy(out, block, n);
		out += n;
		len -= n;
	}
	next_key(rng);
}
