/* SPDX-License-Identifier: BSD-2-Clause */
/* What VMRUN and #VMEXIT switch of shadow stacks: S_CET, SSP and the interrupt SSP table. */
#include "socle/cpu/regs.h"
#include "socle/guest/cet.h"
#include "svm.h"

/* Bits of S_CET: shadow stacks, and that WRSS may write to them (APM vol. 2, chapter 18). */
enum { S_CET_VALID = BIT(0) | BIT(1) };

uint64_t svm_ssp_table(struct x86_vcpu *v)
{
	return svm_vcpu(v)->vmcb->isst;
}

void svm_set_ssp_table(struct x86_vcpu *v, uint64_t address)
{
	struct vmcb *c = svm_vcpu(v)->vmcb;

	c->isst = address;
	svm_touch(c, CLEAN_CET);
}

void svm_cet_reset(struct vmcb *c)
{
	c->s_cet = c->ssp = c->isst = 0;
	svm_touch(c, CLEAN_CET);
}

/* APM vol. 2, 15.5.1. */
const char *svm_cet_invalid(const struct vmcb *c)
{
	if ((c->cr4 & CR4_CET) && !(c->cr0 & CR0_WP))
		return "CR4.CET is set and CR0.WP is not";
	if (c->s_cet & ~(uint64_t)S_CET_VALID)
		return "S_CET has reserved bits set";
	return NULL;
}
