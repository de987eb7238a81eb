/* SPDX-License-Identifier: BSD-2-Clause */
/* SVM's instructions (APM vol. 3, chapter 4). */
#ifndef SOCLE_SVM_INSN_H
#define SOCLE_SVM_INSN_H

#include "socle/base.h"

/* FS, GS, TR, LDTR, KernelGSBase, STAR and friends, SYSENTER MSRs: from and to a VMCB. */
static __always_inline void vmload(uint64_t pa)
{
	__asm__ volatile("vmload %0" ::"a"(pa) : "memory");
}

static __always_inline void vmsave(uint64_t pa)
{
	__asm__ volatile("vmsave %0" ::"a"(pa) : "memory");
}

static __always_inline void clgi(void)
{
	__asm__ volatile("clgi" ::: "memory");
}

static __always_inline void stgi(void)
{
	__asm__ volatile("stgi" ::: "memory");
}

/* Jumps to the next instruction, and returns where that is: for a test of branch records. */
static __always_inline uint64_t branch_to_next(void)
{
	uint64_t here;

	__asm__ volatile("lea 1f(%%rip),%0\n\t"
			 "jmp *%0\n"
			 "1:"
			 : "=r"(here));
	return here;
}

#endif
