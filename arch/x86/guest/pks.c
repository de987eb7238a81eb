/* SPDX-License-Identifier: BSD-2-Clause */
/* IA32_PKRS, the rights of protection keys of supervisor pages: taking turns (SDM vol. 3, 4.6.2).
 */
#include "socle/cpu/regs.h"
#include "socle/guest/msr.h"
#include "socle/guest/pks.h"

void pks_save(struct x86_vcpu *v)
{
	v->pkrs = (uint32_t)msr_read(MSR_PKRS);
}

void pks_restore(const struct x86_vcpu *v)
{
	msr_write(MSR_PKRS, v->pkrs);
}

void pks_reset(struct x86_vcpu *v)
{
	v->pkrs = 0;
}

uint32_t pks_rights(void)
{
	return (uint32_t)msr_read(MSR_PKRS);
}

static const struct msr_policy pks_rows[] = {
	{"pkrs", MSR_PKRS, 1, MSR_DIRECT, MSR_DIRECT, .needs = NEEDS(7, REG_ECX, 31)},
};
MSR_POLICIES(pks_rows);
