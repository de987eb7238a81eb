/* SPDX-License-Identifier: BSD-2-Clause */
/* Accesses to device registers in memory: of exactly this width, once, in program order. */
#ifndef SOCLE_CPU_MMIO_H
#define SOCLE_CPU_MMIO_H

#include "socle/base.h"

/*
 * @at is mapped uncached, so the CPU keeps their order among each other and behind older stores to
 * memory (SDM vol. 3, 11.3); the asm keeps the compiler to it, too.
 */
#define MMIO_ACCESSORS(bits, type, suffix, reg)                                 \
	static __always_inline type mmio_read##bits(const volatile void *at)    \
	{                                                                       \
		type v;                                                         \
		__asm__ volatile("mov" suffix " %1,%0"                          \
				 : "=" reg(v)                                   \
				 : "m"(*(const volatile type *)at)              \
				 : "memory");                                   \
		return v;                                                       \
	}                                                                       \
	static __always_inline void mmio_write##bits(volatile void *at, type v) \
	{                                                                       \
		__asm__ volatile("mov" suffix " %1,%0"                          \
				 : "=m"(*(volatile type *)at)                   \
				 : reg(v)                                       \
				 : "memory");                                   \
	}
MMIO_ACCESSORS(8, uint8_t, "b", "q")
MMIO_ACCESSORS(16, uint16_t, "w", "r")
MMIO_ACCESSORS(32, uint32_t, "l", "r")

#endif
