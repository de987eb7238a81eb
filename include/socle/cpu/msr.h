/* SPDX-License-Identifier: BSD-2-Clause */
/* Access to model-specific registers, in the form that suits the CPU, which is patched in at boot.
 */
#ifndef SOCLE_CPU_MSR_H
#define SOCLE_CPU_MSR_H

#include "socle/base.h"
#include "socle/section.h"
#include "socle/cpu/fixup.h"
#include "socle/cpu/msr_raw.h"

/*
 * An access whose instructions msr_patch() may replace by better ones, in the same place. Where the
 * compiler knows the index, it hands over the value in RAX alone, as the immediate forms have it
 * (SDM vol. 2, RDMSR and WRMSRNS).
 */
enum msr_site_kind {
	MSR_SITE_WRITE,	      /* index in ECX, value in EDX:EAX */
	MSR_SITE_WRITE_CONST, /* value in RAX; RCX and RDX are free */
	MSR_SITE_READ_CONST,  /* the same, to RAX, which stays as it is if the access faults */
};

struct msr_site {
	int32_t code;	/* its instructions, counted from this member */
	uint32_t index; /* of the MSR, if it is constant */
	uint32_t kind;	/* enum msr_site_kind */
};
_Static_assert(sizeof(struct msr_site) == 12, "as MSR_ASM_SITE lays it out");

/*
 * The instructions until then, whose lengths arch/x86/cpu/msr_patch.c knows. Label 771 is where
 * they start and where an immediate form would be, 772 the access itself in the other forms.
 */
#define MSR_ASM_WRITE "771:\n772:\twrmsr\n\tnop\n\t"
#define MSR_ASM_WRITE_CONST             \
	"771:\tmovl %[index],%%ecx\n\t" \
	"movq %%rax,%%rdx\n\t"          \
	"shrq $32,%%rdx\n"              \
	"772:\twrmsr\n\t"               \
	"nop\n\t"
#define MSR_ASM_READ_CONST            \
	"771:\tmovl %[index],%%ecx\n" \
	"772:\trdmsr\n\t"             \
	"shlq $32,%%rdx\n\t"          \
	"orq %%rdx,%%rax\n\t"

/* Tells the patcher of the instructions above. */
#define MSR_ASM_SITE SECTION_ASM(msr_sites, ".long 771b - ., %c[index], %c[kind]")

/* Behind the instructions that may fault: only without a fault @ok becomes 1. */
#define MSR_ASM_OK	    "movl $1,%[ok]\n774:\n\t"
#define MSR_ASM_FIXUP	    FIXUP("772b", "774b")
#define MSR_ASM_FIXUP_CONST FIXUP("771b", "774b") MSR_ASM_FIXUP

/* Value of MSR @index, which exists: a #GP ends in a panic. */
static __always_inline uint64_t msr_read(uint32_t index)
{
	uint64_t value;

	if (!__builtin_constant_p(index))
		return msr_raw_read(index);
	__asm__ volatile(MSR_ASM_READ_CONST MSR_ASM_SITE
			 : "=a"(value)
			 : [index] "i"(index), [kind] "i"(MSR_SITE_READ_CONST)
			 : "rcx", "rdx");
	return value;
}

/*
 * Sets it, by WRMSR for good, which serializes: for registers that change how instructions are
 * executed, fetched or translated.
 */
static __always_inline void msr_write(uint32_t index, uint64_t value)
{
	msr_raw_write(index, value);
}

/*
 * Sets one whose new value nothing depends on at once; need not serialize. For FS, GS and KERNEL_GS
 * bases, system-call registers, TSC_AUX, TSC_DEADLINE, x2APIC registers, SPEC_CTRL, CET and LBR
 * registers.
 */
static __always_inline void msr_write_ns(uint32_t index, uint64_t value)
{
	if (__builtin_constant_p(index))
		__asm__ volatile(MSR_ASM_WRITE_CONST MSR_ASM_SITE
				 :
				 : [index] "i"(index), [kind] "i"(MSR_SITE_WRITE_CONST), "a"(value)
				 : "rcx", "rdx", "memory");
	else
		__asm__ volatile(MSR_ASM_WRITE MSR_ASM_SITE
				 :
				 : [index] "i"(0), [kind] "i"(MSR_SITE_WRITE), "c"(index),
				   "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
				 : "memory");
}

/* As msr_read(), for an MSR that may not exist: false if it faulted; then *@value is 0. */
static __always_inline bool msr_read_safe(uint32_t index, uint64_t *value)
{
	uint32_t ok = 0;
	uint64_t lo = 0, hi = 0;

	if (__builtin_constant_p(index))
		__asm__ volatile(MSR_ASM_READ_CONST MSR_ASM_OK MSR_ASM_SITE MSR_ASM_FIXUP_CONST
				 : [ok] "+&r"(ok), "+a"(lo)
				 : [index] "i"(index), [kind] "i"(MSR_SITE_READ_CONST)
				 : "rcx", "rdx");
	else
		__asm__ volatile("772:\trdmsr\n\t" MSR_ASM_OK MSR_ASM_FIXUP
				 : [ok] "+&r"(ok), "+a"(lo), "+d"(hi)
				 : "c"(index));
	*value = lo | hi << 32;
	return ok;
}

/* As msr_write(), for an MSR that may not exist, or may not take @value: false if it faulted. */
static __always_inline bool msr_write_safe(uint32_t index, uint64_t value)
{
	uint32_t ok = 0;

	__asm__ volatile("772:\twrmsr\n\t" MSR_ASM_OK MSR_ASM_FIXUP
			 : [ok] "+&r"(ok)
			 : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
	return ok;
}

/* As msr_write_ns(), likewise. */
static __always_inline bool msr_write_ns_safe(uint32_t index, uint64_t value)
{
	uint32_t ok = 0;

	if (__builtin_constant_p(index))
		__asm__ volatile(MSR_ASM_WRITE_CONST MSR_ASM_OK MSR_ASM_SITE MSR_ASM_FIXUP_CONST
				 : [ok] "+&r"(ok)
				 : [index] "i"(index), [kind] "i"(MSR_SITE_WRITE_CONST), "a"(value)
				 : "rcx", "rdx", "memory");
	else
		__asm__ volatile(MSR_ASM_WRITE MSR_ASM_OK MSR_ASM_SITE MSR_ASM_FIXUP
				 : [ok] "+&r"(ok)
				 : [index] "i"(0), [kind] "i"(MSR_SITE_WRITE), "c"(index),
				   "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
				 : "memory");
	return ok;
}

/*
 * Puts the best form that this CPU has in each recorded place, and logs how many of each there are.
 * On the boot CPU, with interrupts off, before the others start and while the text is writable,
 * that is before paging_init(). Panics if what is there is not what it should be.
 */
void msr_patch(void);

#endif
