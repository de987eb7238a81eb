/* SPDX-License-Identifier: BSD-2-Clause */
/* What entries and exits switch of control-flow enforcement: S_CET, SSP and the interrupt SSP
 * table. */
#include "socle/guest/cet.h"
#include "vmx.h"
#include "vmx_insn.h"

/*
 * Without either control a guest would run on our S_CET, or we on the guest's. A CPU that checks
 * the error code of injected exceptions knows no #CP with one (SDM vol. 3, A.1).
 */
bool vmx_cet_usable(uint64_t entry, uint64_t exit)
{
	return (entry >> 32 & ENTRYCTL_LOAD_CET) && (exit >> 32 & EXITCTL_LOAD_CET) &&
	       (vmx_caps.basic & VMX_BASIC_ANY_EXCEPTION);
}

/* Both or none: what a guest does not have, its entries and exits need not switch. */
uint32_t vmx_cet_entry_control(const struct x86_vcpu *v)
{
	return cet_offered(v) ? ENTRYCTL_LOAD_CET : 0;
}

uint32_t vmx_cet_exit_control(const struct x86_vcpu *v)
{
	return cet_offered(v) ? EXITCTL_LOAD_CET : 0;
}

/* The fields exist with the controls (SDM vol. 3, 25.4.1 and 25.5). */
void vmx_cet_write_host_state(void)
{
	if (!vmx_caps.cet)
		return;
	vmwrite(VMCS_HOST_S_CET, 0);
	vmwrite(VMCS_HOST_SSP, 0);
	vmwrite(VMCS_HOST_ISST, 0);
}

void vmx_cet_reset(struct vmx_vcpu *s)
{
	if (!vmx_caps.cet)
		return;
	vmwrite(VMCS_GUEST_S_CET, 0);
	vmwrite(VMCS_GUEST_SSP, 0);
	vmwrite(VMCS_GUEST_ISST, 0);
}

uint64_t vmx_ssp_table(struct x86_vcpu *v)
{
	vmx_make_current(vmx_vcpu(v));
	return vmread(VMCS_GUEST_ISST);
}

void vmx_set_ssp_table(struct x86_vcpu *v, uint64_t address)
{
	vmx_make_current(vmx_vcpu(v));
	vmwrite(VMCS_GUEST_ISST, address);
}
