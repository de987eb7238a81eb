/* SPDX-License-Identifier: BSD-2-Clause */
/* ChaCha20 by the vectors of RFC 8439, the generator made of it, and seeds from the CPU. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "socle/base.h"

static bool rdseed(uint64_t *value);
static bool rdrand(uint64_t *value);

#include "../../lib/chacha20.c"
#include "../../arch/x86/cpu/entropy.c"

struct cpu_info cpu_info;

/* RFC 8439, 2.3.2. */
static void block_function(void **state __unused)
{
	static const uint8_t nonce[] = {0, 0, 0, 9, 0, 0, 0, 0x4a, 0, 0, 0, 0};
	static const uint8_t want[] = {
		0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3,
		0x20, 0x71, 0xc4, 0xc7, 0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03, 0x04, 0x22,
		0xaa, 0x9a, 0xc3, 0xd4, 0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f, 0xaa,
		0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9, 0x8b, 0x02, 0xa2, 0xb5, 0x12, 0x9c, 0xd1,
		0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8, 0xa2, 0x50, 0x3c, 0x4e,
	};
	uint8_t key[32], out[64];

	for (unsigned i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	chacha20_block(key, 1, nonce, out);
	assert_memory_equal(out, want, sizeof(want));
}

/* RFC 8439, A.1, test vectors 1 and 2: all zero, blocks 0 and 1. */
static void zero_key(void **state __unused)
{
	static const uint8_t want[2][64] = {
		{
			0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a,
			0xe5, 0x53, 0x86, 0xbd, 0x28, 0xbd, 0xd2, 0x19, 0xb8, 0xa0, 0x8d,
			0xed, 0x1a, 0xa8, 0x36, 0xef, 0xcc, 0x8b, 0x77, 0x0d, 0xc7, 0xda,
			0x41, 0x59, 0x7c, 0x51, 0x57, 0x48, 0x8d, 0x77, 0x24, 0xe0, 0x3f,
			0xb8, 0xd8, 0x4a, 0x37, 0x6a, 0x43, 0xb8, 0xf4, 0x15, 0x18, 0xa1,
			0x1c, 0xc3, 0x87, 0xb6, 0x69, 0xb2, 0xee, 0x65, 0x86,
		},
		{
			0x9f, 0x07, 0xe7, 0xbe, 0x55, 0x51, 0x38, 0x7a, 0x98, 0xba, 0x97,
			0x7c, 0x73, 0x2d, 0x08, 0x0d, 0xcb, 0x0f, 0x29, 0xa0, 0x48, 0xe3,
			0x65, 0x69, 0x12, 0xc6, 0x53, 0x3e, 0x32, 0xee, 0x7a, 0xed, 0x29,
			0xb7, 0x21, 0x76, 0x9c, 0xe6, 0x4e, 0x43, 0xd5, 0x71, 0x33, 0xb0,
			0x74, 0xd8, 0x39, 0xd5, 0x31, 0xed, 0x1f, 0x28, 0x51, 0x0a, 0xfb,
			0x45, 0xac, 0xe1, 0x0a, 0x1f, 0x4b, 0x79, 0x4d, 0x6f,
		},
	};
	static const uint8_t zero[32];
	uint8_t out[64];

	for (uint32_t i = 0; i < 2; i++) {
		chacha20_block(zero, i, zero, out);
		assert_memory_equal(out, want[i], 64);
	}
}

/* What comes is the key stream from block 1 on, and the next key is block 0's first half. */
static void generator(void **state __unused)
{
	struct chacha20_rng rng = {.since_seed = 0};
	uint8_t out[200], block[64], key[32] = {0};

	for (unsigned round = 0; round < 3; round++) {
		memset(out, 0xee, sizeof(out));
		chacha20_rng_get(&rng, out, 150);
		for (unsigned i = 0; i < 3; i++) {
			chacha20_block(key, i + 1, no_nonce, block);
			assert_memory_equal(out + 64 * i, block, i < 2 ? 64 : 22);
		}
		for (unsigned i = 150; i < sizeof(out); i++)
			assert_int_equal(out[i], 0xee);
		chacha20_block(key, 0, no_nonce, block);
		memcpy(key, block, 32);
		assert_memory_equal(rng.key, key, 32);
		assert_int_equal(rng.since_seed, 150 * (round + 1));
	}
}

static void seeding(void **state __unused)
{
	struct chacha20_rng a = {.since_seed = 5}, b = {.since_seed = 0};
	uint8_t seed[32] = {1}, x[64], y[64];

	chacha20_rng_seed(&a, seed);
	assert_int_equal(a.since_seed, 0);
	chacha20_rng_seed(&b, seed);
	chacha20_rng_get(&a, x, sizeof(x));
	chacha20_rng_get(&b, y, sizeof(y));
	assert_memory_equal(x, y, sizeof(x));
	/* What was there before is not lost by a seed that is known. */
	a.key[31] ^= 1;
	chacha20_rng_seed(&a, seed);
	chacha20_rng_seed(&b, seed);
	chacha20_rng_get(&a, x, sizeof(x));
	chacha20_rng_get(&b, y, sizeof(y));
	assert_memory_not_equal(x, y, sizeof(x));
}

/* The CPU's instructions: whether they succeed, and what they give. */
static unsigned seeds, rands, failures;
static uint64_t gives;

static bool rdseed(uint64_t *value)
{
	seeds++;
	*value = gives;
	return failures ? failures-- == 0 : true;
}

static bool rdrand(uint64_t *value)
{
	rands++;
	*value = gives;
	return true;
}

static void take(bool has_seed, bool has_rand, unsigned fail, uint64_t value, bool good)
{
	uint8_t seed[32] = {0};

	cpu_info.feature[CPU_RDSEED] = has_seed;
	cpu_info.feature[CPU_RDRAND] = has_rand;
	seeds = rands = 0;
	failures = fail;
	gives = value;
	assert_int_equal(entropy_good(), has_seed || has_rand);
	assert_int_equal(entropy_seed(seed), good);
	/* The TSC is in it at least. */
	assert_true(memcmp(seed, (uint8_t[32]){0}, 32) != 0);
}

static void sources(void **state __unused)
{
	take(true, true, 0, 5, true);
	assert_int_equal(seeds, 4);
	assert_int_equal(rands, 0);
	take(true, true, 3, 5, true);
	assert_int_equal(seeds, 7);
	take(true, true, 10, 5, true); /* empty: the other one has something */
	assert_int_equal(rands, 1);
	take(true, false, 10, 5, false);
	take(false, true, 0, 5, true);
	assert_int_equal(seeds, 0);
	assert_int_equal(rands, 4);
	take(false, false, 0, 5, false);
	assert_int_equal(seeds + rands, 0);
	take(false, true, 0, UINT64_MAX, false); /* broken */
	assert_int_equal(rands, 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(block_function), cmocka_unit_test(zero_key),
		cmocka_unit_test(generator),	  cmocka_unit_test(seeding),
		cmocka_unit_test(sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
