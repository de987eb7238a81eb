/* SPDX-License-Identifier: BSD-2-Clause */
/* VMX's instructions (SDM vol. 3, chapter 31). */
#ifndef SOCLE_VMX_INSN_H
#define SOCLE_VMX_INSN_H

#include "socle/base.h"
#include "vmcs.h"

/* Built to count them (count.c), else nothing. */
#ifdef VMX_COUNT_ACCESSES
extern uint64_t vmx_accesses;
#define COUNT_ACCESS() vmx_accesses++
#else
#define COUNT_ACCESS() ((void)0)
#endif

/*
 * Reads a field that this CPU has, of the current VMCS. Cannot fail then, so nothing is checked:
 * for the exit path.
 */
static __always_inline uint64_t vmread(enum vmcs_field field)
{
	uint64_t value;

	COUNT_ACCESS();
	__asm__ volatile("vmread %1,%0" : "=r"(value) : "r"((uint64_t)field) : "cc");
	return value;
}

static __always_inline void vmwrite(enum vmcs_field field, uint64_t value)
{
	COUNT_ACCESS();
	__asm__ volatile("vmwrite %1,%0" ::"r"((uint64_t)field), "r"(value) : "cc");
}

/* The same for fields that may be missing: false if they are, or without a current VMCS. */
static __always_inline bool vmwrite_safe(enum vmcs_field field, uint64_t value)
{
	bool ok;

	__asm__ volatile("vmwrite %2,%1" : "=@cca"(ok) : "r"((uint64_t)field), "r"(value) : "cc");
	return ok;
}

static __always_inline bool vmread_safe(enum vmcs_field field, uint64_t *value)
{
	uint64_t read = *value;
	bool ok;

	/* One that fails leaves the register as it is. */
	__asm__ volatile("vmread %2,%1" : "=@cca"(ok), "+r"(read) : "r"((uint64_t)field) : "cc");
	*value = read;
	return ok;
}

/* These take a host-physical address; false if the CPU refuses it. */
#define VMX_REGION_INSN(name)                                                           \
	static __always_inline bool name(uint64_t pa)                                   \
	{                                                                               \
		bool ok;                                                                \
                                                                                        \
		__asm__ volatile(#name " %1" : "=@cca"(ok) : "m"(pa) : "cc", "memory"); \
		return ok;                                                              \
	}
VMX_REGION_INSN(vmxon)
VMX_REGION_INSN(vmclear)
VMX_REGION_INSN(vmptrld)

static __always_inline void vmxoff(void)
{
	__asm__ volatile("vmxoff" ::: "cc", "memory");
}

static __always_inline void invept(enum vmx_invept type, uint64_t eptp)
{
	struct vmx_invept_desc d = {eptp, 0};

	__asm__ volatile("invept %0,%1" ::"m"(d), "r"((uint64_t)type) : "cc", "memory");
}

static __always_inline void invvpid(enum vmx_invvpid type, uint16_t vpid)
{
	struct vmx_invvpid_desc d = {vpid, 0};

	__asm__ volatile("invvpid %0,%1" ::"m"(d), "r"((uint64_t)type) : "cc", "memory");
}

#endif
