/* SPDX-License-Identifier: BSD-2-Clause */
/* Performance counters of guests that have CPUs of their own (`pmu = on`): the part of no vendor.
 */
#ifndef SOCLE_GUEST_PMU_H
#define SOCLE_GUEST_PMU_H

#include "socle/cpu/regs.h"
#include "socle/guest/cpuid_model.h"
#include "socle/guest/msr.h"
#include "socle/status.h"

enum { PMU_REGISTERS = 32 };

/* The counters of a vCPU. Owned by the CPU that runs it. */
struct x86_pmu {
	uint64_t value[PMU_REGISTERS]; /* by pmu_offer.msr[], while not in a CPU */
	uint64_t status; /* overflows, likewise; those that could not be given back to a CPU stay */
};

/*
 * What guests are offered, filled by the vendor's room on the boot CPU before any guest is made,
 * then read-only, but that another CPU which differs withdraws it. All zeroes: nothing.
 *
 * Nothing in @msr may count, or raise an interrupt, while Socle runs: the vendor's room sees to it.
 */
struct pmu_offer {
	const char *text;	     /* for people: what, or why nothing; NULL: not probed */
	uint32_t msr[PMU_REGISTERS]; /* registers that change hands, in the order of loading */
	unsigned count;		     /* of them; 0: nothing is offered */
	/* Overflows: to be read, cleared and set; 0: there is no such register. */
	uint32_t status, clear, set;
	/* The register in @msr that turns on counters, and all of them, as after power-on; or 0. */
	uint32_t enable;
	uint64_t enabled;
	struct cpuid intel, amd;    /* CPUID leaves 0xA, 0x80000022 */
	uint64_t perf_capabilities; /* bits of IA32_PERF_CAPABILITIES */
	bool masks_lvt;		    /* an interrupt masks its LVT entry */
	bool stops_lbr;		    /* and turns off DEBUGCTL.LBR if FREEZE_LBRS_ON_PMI is set */
	/* Is @index one of its registers, here? */
	bool (*has)(uint32_t index);
	/* May a guest with counters use it without an exit? */
	bool (*direct)(uint32_t index, bool write);
	/* The other accesses, while @v's are in the CPU. */
	enum msr_result (*read)(struct x86_vcpu *v, uint32_t index, uint64_t *value);
	enum msr_result (*write)(struct x86_vcpu *v, uint32_t index, uint64_t value);
};
extern struct pmu_offer pmu_offer;

static inline bool pmu_offered(void)
{
	return pmu_offer.count;
}

/* Does @v's guest have register @index? */
static inline bool pmu_has(const struct x86_vcpu *v, uint32_t index)
{
	return v->pmu && pmu_offer.has && pmu_offer.has(index);
}

/*
 * On each CPU, the boot CPU first, when pmu_offer is filled: clears the registers, and opens their
 * interrupt. @same: it has the same counters as the boot CPU, or there are none for anybody.
 */
void pmu_cpu_on(bool same);

/* Gives @v counters. Returns -S_NOMEM. Before msr_create(). */
status_t __must_check pmu_create(struct x86_vcpu *v);

/* Power-on state; an INIT changes nothing. By the owner or while it is off; nothing without. */
void pmu_reset(struct x86_vcpu *v);

/* Before a run of @v, which has counters: puts them into this CPU. */
void pmu_switch_to(struct x86_vcpu *v);

/* After a run, with no lock held: takes the interrupt that may be on its way, while we know whose.
 */
void pmu_left(struct x86_vcpu *v);

/* Takes them out of this CPU, in which nothing of them stays. Nothing if they are not there. */
void pmu_release(struct x86_vcpu *v);

/* For a probe: 2 * @rounds instructions. */
static __always_inline void pmu_loop(uint64_t rounds)
{
	__asm__ volatile("1:\tdecq %0\n\tjnz 1b" : "+r"(rounds)::"cc");
}

#endif
