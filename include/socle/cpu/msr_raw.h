/* SPDX-License-Identifier: BSD-2-Clause */
/* RDMSR and WRMSR, for code in any mode: the compiler's own headers are all that it needs. */
#ifndef SOCLE_CPU_MSR_RAW_H
#define SOCLE_CPU_MSR_RAW_H

#include <stdint.h>

/* Value of MSR @index. #GP if there is none (SDM vol. 2B, RDMSR). */
static inline __attribute__((always_inline)) uint64_t msr_raw_read(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index));
	return lo | (uint64_t)hi << 32;
}

/* Sets it; for most of them that serializes (SDM vol. 3, 9.3). #GP if it does not take @value. */
static inline __attribute__((always_inline)) void msr_raw_write(uint32_t index, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

#endif
