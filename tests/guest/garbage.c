/* SPDX-License-Identifier: BSD-2-Clause */
/* Executes random bytes at every privilege: the host must live. Never passes by itself. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "garbage";

void test_main(void)
{
	static uint8_t code[4096] __aligned(4096);
	uint64_t x = 0x123456789abcdef;

	/* Each round another sequence; an exception ends a round, a broken machine the guest. */
	for (unsigned round = 0; round < 2000; round++) {
		for (unsigned i = 0; i < 64; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			code[i] = (uint8_t)x;
		}
		code[64] = 0x0f;
		code[65] = 0x0b;
		EXCEPTION_OF(((void (*)(void))(uintptr_t)code)());
	}
}
