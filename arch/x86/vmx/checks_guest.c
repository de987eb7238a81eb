/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks of a VM entry on the guest's registers but segments (SDM vol. 3, 27.3.1.1). */
#include "socle/cpu/regs.h"
#include "checks.h"

/* NW and CD are never checked; PE and PG only without "unrestricted guest". */
static uint64_t wrong_guest_cr0(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t free = CR0_NW | CR0_CD;

	if (vmx_has(v, CTL_SECONDARY, SECONDARY_UNRESTRICTED))
		free |= CR0_PE | CR0_PG;
	return ((v->r->caps->cr0_fixed0 & ~value) | (value & ~v->r->caps->cr0_fixed1)) & ~free;
}

static uint64_t wrong_paging(const struct vmx_view *v __unused, uint64_t value,
			     uint64_t arg __unused)
{
	return value & CR0_PE ? 0 : value & CR0_PG;
}

static uint64_t wrong_guest_cr4(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return (v->r->caps->cr4_fixed0 & ~value) | (value & ~v->r->caps->cr4_fixed1);
}

static uint64_t wrong_guest_cet(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return vmx_field(v, VMCS_GUEST_CR0) & CR0_WP ? 0 : value & CR4_CET;
}

static uint64_t wrong_pcide(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return vmx_has(v, CTL_ENTRY, ENTRYCTL_IA32E) ? 0 : value & CR4_PCIDE;
}

static uint64_t wrong_lma(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return (vmx_has(v, CTL_ENTRY, ENTRYCTL_IA32E) ? ~value : value) & EFER_LMA;
}

static uint64_t wrong_lme(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	if (!(vmx_field(v, VMCS_GUEST_CR0) & CR0_PG))
		return 0;
	return (value & EFER_LMA ? ~value : value) & EFER_LME;
}

static const struct vmx_check guest_checks[] = {
	{"27.3.1.1", "guest CR0", "bits fixed in VMX operation (IA32_VMX_CR0_FIXED0 and 1)",
	 VMCS_GUEST_CR0, CTL_NONE, 0, wrong_guest_cr0, 0},
	{"27.3.1.1", "guest CR0", "PG must be 0 without PE", VMCS_GUEST_CR0, CTL_NONE, 0,
	 wrong_paging, 0},
	{"27.3.1.1", "guest CR4", "bits fixed in VMX operation (IA32_VMX_CR4_FIXED0 and 1)",
	 VMCS_GUEST_CR4, CTL_NONE, 0, wrong_guest_cr4, 0},
	{"27.3.1.1", "guest CR4", "CET must be 0 without CR0.WP", VMCS_GUEST_CR4, CTL_NONE, 0,
	 wrong_guest_cet, 0},
	{"27.3.1.1", "guest IA32_DEBUGCTL", "reserved bits must be 0", VMCS_GUEST_DEBUGCTL,
	 CTL_ENTRY, ENTRYCTL_LOAD_DEBUG, vmx_wrong_mask,
	 offsetof(struct vmx_check_caps, debugctl)},
	{"27.3.1.1", "guest CR0", "PG must be 1 in IA-32e mode", VMCS_GUEST_CR0, CTL_ENTRY,
	 ENTRYCTL_IA32E, vmx_wrong_unless_set, CR0_PG},
	{"27.3.1.1", "guest CR4", "PAE must be 1 in IA-32e mode", VMCS_GUEST_CR4, CTL_ENTRY,
	 ENTRYCTL_IA32E, vmx_wrong_unless_set, CR4_PAE},
	{"27.3.1.1", "guest CR4", "PCIDE must be 0 outside IA-32e mode", VMCS_GUEST_CR4, CTL_NONE,
	 0, wrong_pcide, 0},
	{"27.3.1.1", "guest CR3", "bits above the physical-address width must be 0",
	 VMCS_GUEST_CR3, CTL_NONE, 0, vmx_wrong_cr3, 0},
	{"27.3.1.1", "guest DR7", "bits 63:32 must be 0", VMCS_GUEST_DR7, CTL_ENTRY,
	 ENTRYCTL_LOAD_DEBUG, vmx_wrong_unless_clear, MASK(63, 32)},
	{"27.3.1.1", "guest IA32_SYSENTER_ESP", "must be canonical", VMCS_GUEST_SYSENTER_ESP,
	 CTL_NONE, 0, vmx_wrong_canonical, 0},
	{"27.3.1.1", "guest IA32_SYSENTER_EIP", "must be canonical", VMCS_GUEST_SYSENTER_EIP,
	 CTL_NONE, 0, vmx_wrong_canonical, 0},
	{"27.3.1.1", "guest IA32_S_CET", "must be canonical", VMCS_GUEST_S_CET, CTL_ENTRY,
	 ENTRYCTL_LOAD_CET, vmx_wrong_canonical, 0},
	{"27.3.1.1", "guest IA32_INTERRUPT_SSP_TABLE_ADDR", "must be canonical", VMCS_GUEST_ISST,
	 CTL_ENTRY, ENTRYCTL_LOAD_CET, vmx_wrong_canonical, 0},
	{"27.3.1.1", "guest IA32_PERF_GLOBAL_CTRL", "reserved bits must be 0",
	 VMCS_GUEST_PERF_GLOBAL_CTRL, CTL_ENTRY, ENTRYCTL_LOAD_PERF_GLOBAL, vmx_wrong_mask,
	 offsetof(struct vmx_check_caps, perf_global)},
	{"27.3.1.1", "guest IA32_PAT", "each byte must be a memory type", VMCS_GUEST_PAT,
	 CTL_ENTRY, ENTRYCTL_LOAD_PAT, vmx_wrong_pat, 0},
	{"27.3.1.1", "guest IA32_EFER", "reserved bits must be 0", VMCS_GUEST_EFER, CTL_ENTRY,
	 ENTRYCTL_LOAD_EFER, vmx_wrong_mask, offsetof(struct vmx_check_caps, efer)},
	{"27.3.1.1", "guest IA32_EFER", "LMA must be as \"IA-32e mode guest\"", VMCS_GUEST_EFER,
	 CTL_ENTRY, ENTRYCTL_LOAD_EFER, wrong_lma, 0},
	{"27.3.1.1", "guest IA32_EFER", "LME must be as LMA with CR0.PG", VMCS_GUEST_EFER,
	 CTL_ENTRY, ENTRYCTL_LOAD_EFER, wrong_lme, 0},
	{"27.3.1.1", "guest IA32_BNDCFGS", "bits 11:2 must be 0", VMCS_GUEST_BNDCFGS, CTL_ENTRY,
	 ENTRYCTL_LOAD_BNDCFGS, vmx_wrong_unless_clear, MASK(11, 2)},
	{"27.3.1.1", "guest IA32_BNDCFGS", "the address must be canonical", VMCS_GUEST_BNDCFGS,
	 CTL_ENTRY, ENTRYCTL_LOAD_BNDCFGS, vmx_wrong_canonical, 0},
	{"27.3.1.1", "guest IA32_RTIT_CTL", "reserved bits must be 0", VMCS_GUEST_RTIT_CTL,
	 CTL_ENTRY, ENTRYCTL_LOAD_RTIT, vmx_wrong_mask, offsetof(struct vmx_check_caps, rtit)},
	{"27.3.1.1", "guest IA32_S_CET",
	 "reserved bits must be 0, SUPPRESS and TRACKER not both 1", VMCS_GUEST_S_CET, CTL_ENTRY,
	 ENTRYCTL_LOAD_CET, vmx_wrong_s_cet, 0},
	{"27.3.1.1", "guest IA32_LBR_CTL", "reserved bits must be 0", VMCS_GUEST_LBR_CTL,
	 CTL_ENTRY, ENTRYCTL_LOAD_LBR, vmx_wrong_mask, offsetof(struct vmx_check_caps, lbr_ctl)},
	{"27.3.1.1", "guest IA32_PKRS", "bits 63:32 must be 0", VMCS_GUEST_PKRS, CTL_ENTRY,
	 ENTRYCTL_LOAD_PKRS, vmx_wrong_unless_clear, MASK(63, 32)},
	{"27.3.1.1", "guest UINV", "bits 15:8 must be 0", VMCS_GUEST_UINV, CTL_ENTRY,
	 ENTRYCTL_LOAD_UINV, vmx_wrong_unless_clear, MASK(15, 8)},
};

const struct vmx_check_list vmx_guest_checks = {guest_checks, ARRAY_SIZE(guest_checks)};
