/* SPDX-License-Identifier: BSD-2-Clause */
/* Control-flow enforcement (shadow stacks, indirect branch tracking) for guests: the guests' own.
 */
#ifndef SOCLE_GUEST_CET_H
#define SOCLE_GUEST_CET_H

#include "socle/guest/cpuid.h"
#include "socle/guest/vcpu.h"

/*
 * We run with CR4.CET off, so these registers have no effect on us, and none of them is switched by
 * entries and exits (SDM vol. 3, 27.3.2.1 and 28.5.1; APM vol. 2, 15.5.1): the guest's stay in the
 * CPU. S_CET, SSP and INTERRUPT_SSP_TABLE are in the VMCS or VMCB.
 */
enum cet_kept { CET_U_CET, CET_PL0_SSP, CET_PL1_SSP, CET_PL2_SSP, CET_PL3_SSP };
_Static_assert((unsigned)CET_PL3_SSP + 1 == CET_REGISTERS, "x86_vcpu.cet has one for each");

/* What guests may be offered on this machine. Filled once by cet_probe(), then read-only. */
struct cet_caps {
	bool shadow_stacks;
	bool tracking; /* indirect branch tracking */
};
extern struct cet_caps cet_caps;

/* False: no guest has anything of it, so there is nothing to switch. */
static inline bool cet_in_use(void)
{
	return cet_caps.shadow_stacks || cet_caps.tracking;
}

/*
 * Works out cet_caps, and withholds from guests what they cannot have. Once, by the vendor, on the
 * boot CPU: @switched says that its entries and exits switch S_CET, SSP and INTERRUPT_SSP_TABLE.
 */
void cet_probe(bool switched);

/* Once per CPU, before any guest: forgets what firmware may have left. */
void cet_cpu_on(void);

/* True if @v's CPU model has any of it. */
static inline bool cet_offered(const struct x86_vcpu *v)
{
	return cpuid_guest_has(v->cpuid, GUEST_shstk) || cpuid_guest_has(v->cpuid, GUEST_ibt);
}

/* Takes @v's registers out of this CPU, where they are. */
void cet_save(struct x86_vcpu *v);

/* Puts them into this CPU; for a guest without them, only what must not be seen is removed. */
void cet_restore(const struct x86_vcpu *v);

/* Their values at power-on, while they are in no CPU, and at an INIT, when they may be @here. */
void cet_reset(struct x86_vcpu *v);
void cet_init(struct x86_vcpu *v, bool here);

#endif
