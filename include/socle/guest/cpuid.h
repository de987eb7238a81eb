/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPU model that a guest sees: CPUID from a policy table. */
#ifndef SOCLE_GUEST_CPUID_H
#define SOCLE_GUEST_CPUID_H

#include "socle/base.h"
#include "socle/cpu/regs.h"
#include "socle/guest/cpuid_model.h"
#include "socle/status.h"

struct x86_vcpu;

/* The rate of a guest's local APIC timer before its divider, published in CPUID 0x40000010. */
#define LAPIC_TIMER_HZ 1000000000ull

enum { CPUID_LEAVES = 64, CPUID_ENTRIES = 64 };

/* Parts of a leaf that depend on the vCPU's state at the time it is read. */
enum cpuid_dynamic {
	CPUID_STATIC,
	CPUID_DYN_1,  /* EBX[31:24] APIC ID, ECX[27] OSXSAVE */
	CPUID_DYN_7,  /* ECX[4] OSPKE */
	CPUID_DYN_B,  /* ECX[7:0] subleaf, EDX x2APIC ID */
	CPUID_DYN_1E, /* EAX APIC ID, EBX core ID */
	CPUID_DYN_D0, /* EBX size of the enabled state */
	CPUID_DYN_D1, /* EBX size of the enabled state, compacted, with that of IA32_XSS */
};

struct __aligned(32) cpuid_entry
{
	struct cpuid value;
	uint8_t dynamic;   /* enum cpuid_dynamic */
	uint8_t subleaves; /* entries that follow for subleaves 1 and up; beyond: zeroes */
	bool repeats;	   /* without meaning in ECX: the same for all subleaves */
	bool simple;	   /* repeats, and not dynamic */
};

/* One per VM, built at creation, then read-only. Index 0 of @entry is all zeroes. */
struct guest_cpuid {
	struct cpuid_entry entry[CPUID_ENTRIES];
	uint8_t basic[CPUID_LEAVES];	  /* leaf n: index in entry[] */
	uint8_t hypervisor[CPUID_LEAVES]; /* 0x40000000 + n */
	uint8_t pv[CPUID_LEAVES];	  /* 0x40000100 + n: the KVM interface */
	uint8_t extended[CPUID_LEAVES];	  /* 0x80000000 + n */
	unsigned entries;		  /* used */
	struct vm_cpu model;
	bool pmu;	    /* performance counters */
	uint64_t xcr0, xss; /* bits of XCR0 and IA32_XSS that the guest may set */
	uint64_t cr4;	    /* likewise */
	bool hides_cr4;	    /* some of CR4 are missing that the default model has */
};

/*
 * Builds the table for a VM with @cpus vCPUs of the model @m, which the host must have, from the
 * host's CPUID and the policy. @pmu: it has performance counters; else the features that belong to
 * them go.
 */
void cpuid_build(struct guest_cpuid *table, const struct vm_cpu *m, unsigned cpus, bool pmu);

/* What the guest's CPUID returns now. */
struct cpuid cpuid_guest(struct x86_vcpu *v, uint32_t leaf, uint32_t subleaf);

/*
 * The frequent case of cpuid_guest(), for the exit path: a basic leaf that depends on nothing.
 * NULL: ask cpuid_guest().
 */
static __always_inline const struct cpuid_entry *cpuid_guest_fast(const struct guest_cpuid *t,
								  uint32_t leaf)
{
	const struct cpuid_entry *e;

	if (unlikely(leaf >= CPUID_LEAVES))
		return NULL;
	e = &t->entry[t->basic[array_index_mask(leaf, CPUID_LEAVES)]];
	/* Or the compiler works out the address of each member anew. */
	__asm__("" : "+r"(e));
	return likely(e->simple) ? e : NULL;
}

/* A feature bit of the guest's model; @reg 0 to 3: EAX to EDX. Subleaf 0. */
bool cpuid_guest_bit(const struct guest_cpuid *table, uint32_t leaf, unsigned reg, unsigned bit);

/* True if the guest's model has @f. */
static inline bool cpuid_guest_has(const struct guest_cpuid *table, enum guest_feature f)
{
	return cpu_model_has(&table->model, f);
}

/* Size in bytes of an XSAVE area for @components, standard or compacted (SDM vol. 1, 13.4). */
uint32_t cpuid_guest_xsave_size(const struct guest_cpuid *table, uint64_t components, bool compact);

#endif
