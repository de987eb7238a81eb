/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks of a VM entry on the host-state area (SDM vol. 3, 27.2.2 to 27.2.4). */
#include "socle/cpu/regs.h"
#include "checks.h"

static uint64_t wrong_host_cr0(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return (v->r->caps->cr0_fixed0 & ~value) | (value & ~v->r->caps->cr0_fixed1);
}

static uint64_t wrong_host_cr4(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return (v->r->caps->cr4_fixed0 & ~value) | (value & ~v->r->caps->cr4_fixed1);
}

static uint64_t wrong_host_cet(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return vmx_field(v, VMCS_HOST_CR0) & CR0_WP ? 0 : value & CR4_CET;
}

/* LMA and LME are both what "host address-space size" is. */
static uint64_t wrong_host_efer(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t both = EFER_LMA | EFER_LME;

	return (vmx_has(v, CTL_EXIT, EXITCTL_HOST_64) ? ~value : value) & both;
}

static uint64_t wrong_host_ss(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return value || vmx_has(v, CTL_EXIT, EXITCTL_HOST_64) ? 0 : WRONG_VALUE;
}

#define HOST_CANONICAL(section, field, what)                                                   \
	{                                                                                      \
		section, what, "must be canonical", field, CTL_NONE, 0, vmx_wrong_canonical, 0 \
	}
#define HOST_SELECTOR(field, what)                                          \
	{                                                                   \
		"27.2.3", what, "RPL and TI must be 0", field, CTL_NONE, 0, \
			vmx_wrong_unless_clear, 7                           \
	}

static const struct vmx_check host_checks[] = {
	{"27.2.2", "host CR0", "bits fixed in VMX operation (IA32_VMX_CR0_FIXED0 and 1)",
	 VMCS_HOST_CR0, CTL_NONE, 0, wrong_host_cr0, 0},
	{"27.2.2", "host CR4", "bits fixed in VMX operation (IA32_VMX_CR4_FIXED0 and 1)",
	 VMCS_HOST_CR4, CTL_NONE, 0, wrong_host_cr4, 0},
	{"27.2.2", "host CR4", "CET must be 0 without CR0.WP", VMCS_HOST_CR4, CTL_NONE, 0,
	 wrong_host_cet, 0},
	{"27.2.2", "host CR3", "bits above the physical-address width must be 0", VMCS_HOST_CR3,
	 CTL_NONE, 0, vmx_wrong_cr3, 0},
	HOST_CANONICAL("27.2.2", VMCS_HOST_SYSENTER_ESP, "host IA32_SYSENTER_ESP"),
	HOST_CANONICAL("27.2.2", VMCS_HOST_SYSENTER_EIP, "host IA32_SYSENTER_EIP"),
	{"27.2.2", "host IA32_S_CET", "must be canonical", VMCS_HOST_S_CET, CTL_EXIT,
	 EXITCTL_LOAD_CET, vmx_wrong_canonical, 0},
	{"27.2.2", "host IA32_INTERRUPT_SSP_TABLE_ADDR", "must be canonical", VMCS_HOST_ISST,
	 CTL_EXIT, EXITCTL_LOAD_CET, vmx_wrong_canonical, 0},
	{"27.2.2", "host IA32_PERF_GLOBAL_CTRL", "reserved bits must be 0",
	 VMCS_HOST_PERF_GLOBAL_CTRL, CTL_EXIT, EXITCTL_LOAD_PERF_GLOBAL, vmx_wrong_mask,
	 offsetof(struct vmx_check_caps, perf_global)},
	{"27.2.2", "host IA32_PAT", "each byte must be a memory type", VMCS_HOST_PAT, CTL_EXIT,
	 EXITCTL_LOAD_PAT, vmx_wrong_pat, 0},
	{"27.2.2", "host IA32_EFER", "reserved bits must be 0", VMCS_HOST_EFER, CTL_EXIT,
	 EXITCTL_LOAD_EFER, vmx_wrong_mask, offsetof(struct vmx_check_caps, efer)},
	{"27.2.2", "host IA32_EFER", "LMA and LME must be as \"host address-space size\"",
	 VMCS_HOST_EFER, CTL_EXIT, EXITCTL_LOAD_EFER, wrong_host_efer, 0},
	{"27.2.2", "host IA32_S_CET", "reserved bits must be 0, SUPPRESS and TRACKER not both 1",
	 VMCS_HOST_S_CET, CTL_EXIT, EXITCTL_LOAD_CET, vmx_wrong_s_cet, 0},
	{"27.2.2", "host SSP", "bits 1:0 must be 0", VMCS_HOST_SSP, CTL_EXIT, EXITCTL_LOAD_CET,
	 vmx_wrong_unless_clear, 3},
	{"27.2.2", "host IA32_PKRS", "bits 63:32 must be 0", VMCS_HOST_PKRS, CTL_EXIT,
	 EXITCTL_LOAD_PKRS, vmx_wrong_unless_clear, MASK(63, 32)},

	HOST_SELECTOR(VMCS_HOST_CS_SELECTOR, "host CS selector"),
	HOST_SELECTOR(VMCS_HOST_SS_SELECTOR, "host SS selector"),
	HOST_SELECTOR(VMCS_HOST_DS_SELECTOR, "host DS selector"),
	HOST_SELECTOR(VMCS_HOST_ES_SELECTOR, "host ES selector"),
	HOST_SELECTOR(VMCS_HOST_FS_SELECTOR, "host FS selector"),
	HOST_SELECTOR(VMCS_HOST_GS_SELECTOR, "host GS selector"),
	HOST_SELECTOR(VMCS_HOST_TR_SELECTOR, "host TR selector"),
	{"27.2.3", "host CS selector", "must not be 0", VMCS_HOST_CS_SELECTOR, CTL_NONE, 0,
	 vmx_wrong_if_zero, 0},
	{"27.2.3", "host TR selector", "must not be 0", VMCS_HOST_TR_SELECTOR, CTL_NONE, 0,
	 vmx_wrong_if_zero, 0},
	{"27.2.3", "host SS selector", "must not be 0 without \"host address-space size\"",
	 VMCS_HOST_SS_SELECTOR, CTL_NONE, 0, wrong_host_ss, 0},
	HOST_CANONICAL("27.2.3", VMCS_HOST_FS_BASE, "host FS base"),
	HOST_CANONICAL("27.2.3", VMCS_HOST_GS_BASE, "host GS base"),
	HOST_CANONICAL("27.2.3", VMCS_HOST_GDTR_BASE, "host GDTR base"),
	HOST_CANONICAL("27.2.3", VMCS_HOST_IDTR_BASE, "host IDTR base"),
	HOST_CANONICAL("27.2.3", VMCS_HOST_TR_BASE, "host TR base"),

	/* From IA-32e mode the entry is made, so what holds for 32-bit hosts cannot fail. */
	{"27.2.4", "VM-exit controls", "\"host address-space size\" must be 1 in IA-32e mode",
	 VMCS_EXIT_CONTROLS, CTL_NONE, 0, vmx_wrong_unless_set, EXITCTL_HOST_64},
	{"27.2.4", "host CR4", "PAE must be 1", VMCS_HOST_CR4, CTL_NONE, 0, vmx_wrong_unless_set,
	 CR4_PAE},
	HOST_CANONICAL("27.2.4", VMCS_HOST_RIP, "host RIP"),
	{"27.2.4", "host SSP", "must be canonical", VMCS_HOST_SSP, CTL_EXIT, EXITCTL_LOAD_CET,
	 vmx_wrong_canonical, 0},
};

const struct vmx_check_list vmx_host_checks = {host_checks, ARRAY_SIZE(host_checks)};
