/* SPDX-License-Identifier: BSD-2-Clause */
/* Protection keys of supervisor pages for guests: IA32_PKRS, which is the guest's own. */
#ifndef SOCLE_GUEST_PKS_H
#define SOCLE_GUEST_PKS_H

#include "socle/guest/cpuid.h"
#include "socle/guest/vcpu.h"

/*
 * We run with CR4.PKS off, and so does a guest without them: the register has no effect on either,
 * and changes hands only when a guest that has them takes the CPU.
 */
static inline bool pks_offered(const struct x86_vcpu *v)
{
	return cpuid_guest_has(v->cpuid, GUEST_pks);
}

/*
 * Takes @v's register out of this CPU, where it is, and puts it there: of those that have the keys.
 * Its value at power-on.
 */
void pks_save(struct x86_vcpu *v);
void pks_restore(const struct x86_vcpu *v);
void pks_reset(struct x86_vcpu *v);

/* IA32_PKRS of the vCPU whose registers are in this CPU, and that has the keys. */
uint32_t pks_rights(void);

#endif
