/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions that save and restore extended state, and the breakpoint address registers. */
#ifndef SOCLE_CPU_XSTATE_H
#define SOCLE_CPU_XSTATE_H

#include "socle/base.h"

/* The header of an XSAVE area (SDM vol. 1, 13.4.2), behind the legacy area of FXSAVE. */
enum { XSTATE_BV = 512, XCOMP_BV = 520, XSTATE_HEADER_END = 576 };
#define XCOMP_BV_COMPACTED BIT(63)

/*
 * All take an area that is aligned to 64 bytes and large enough for the components in @which that
 * XCR0, and for XSAVES and XRSTORS also IA32_XSS, has enabled: others are left alone.
 */
#define XSTATE_SAVE(name)                                                           \
	static __always_inline void name(void *area, uint64_t which)                \
	{                                                                           \
		__asm__ volatile(#name "64 (%0)" ::"r"(area), "a"((uint32_t)which), \
				 "d"((uint32_t)(which >> 32))                       \
				 : "memory");                                       \
	}
#define XSTATE_RESTORE(name)                                                        \
	static __always_inline void name(const void *area, uint64_t which)          \
	{                                                                           \
		__asm__ volatile(#name "64 (%0)" ::"r"(area), "a"((uint32_t)which), \
				 "d"((uint32_t)(which >> 32))                       \
				 : "memory");                                       \
	}
XSTATE_SAVE(xsave)
XSTATE_SAVE(xsaveopt)
XSTATE_SAVE(xsavec)
XSTATE_SAVE(xsaves)
XSTATE_RESTORE(xrstor)
XSTATE_RESTORE(xrstors)

static __always_inline void fxsave(void *area)
{
	__asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

static __always_inline void fxrstor(const void *area)
{
	__asm__ volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
}

/* Wants CR4.PKE. */
static __always_inline uint32_t rdpkru(void)
{
	uint32_t pkru, edx;

	__asm__ volatile("rdpkru" : "=a"(pkru), "=d"(edx) : "c"(0));
	return pkru;
}

/* DR0 to DR3. */
static __always_inline void breakpoints_read(uint64_t dr[4])
{
	__asm__ volatile("mov %%db0,%0" : "=r"(dr[0]));
	__asm__ volatile("mov %%db1,%0" : "=r"(dr[1]));
	__asm__ volatile("mov %%db2,%0" : "=r"(dr[2]));
	__asm__ volatile("mov %%db3,%0" : "=r"(dr[3]));
}

static __always_inline void breakpoints_write(const uint64_t dr[4])
{
	__asm__ volatile("mov %0,%%db0" ::"r"(dr[0]));
	__asm__ volatile("mov %0,%%db1" ::"r"(dr[1]));
	__asm__ volatile("mov %0,%%db2" ::"r"(dr[2]));
	__asm__ volatile("mov %0,%%db3" ::"r"(dr[3]));
}

#endif
