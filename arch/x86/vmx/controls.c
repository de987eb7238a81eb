/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM-execution, exit and entry controls: which we need, which we like, what the CPU allows. */
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/format.h"
#include "vmx.h"

struct vmx_caps vmx_caps;

enum control_set { SET_PIN, SET_PRIMARY, SET_SECONDARY, SET_EXIT, SET_ENTRY, SETS };

/* How each set is probed; the TRUE register tells more where it exists (SDM vol. 3, A.3 to A.5). */
static const struct {
	uint32_t msr, true_msr;
	uint32_t *chosen;
} sets[SETS] = {
	[SET_PIN] = {MSR_VMX_PIN_CTLS, MSR_VMX_TRUE_PIN_CTLS, &vmx_caps.pin},
	[SET_PRIMARY] = {MSR_VMX_PRIMARY_CTLS, MSR_VMX_TRUE_PRIMARY_CTLS, &vmx_caps.primary},
	[SET_SECONDARY] = {MSR_VMX_SECONDARY_CTLS, MSR_VMX_SECONDARY_CTLS, &vmx_caps.secondary},
	[SET_EXIT] = {MSR_VMX_EXIT_CTLS, MSR_VMX_TRUE_EXIT_CTLS, &vmx_caps.exit},
	[SET_ENTRY] = {MSR_VMX_ENTRY_CTLS, MSR_VMX_TRUE_ENTRY_CTLS, &vmx_caps.entry},
};

/* In the order in which the first that is missing is named. */
static const struct control {
	uint8_t set; /* enum control_set */
	bool needed; /* else: taken if the CPU has it */
	uint32_t bit;
	const char *name;
} controls[] = {
	{SET_PRIMARY, true, PRIMARY_SECONDARY, "secondary controls"},
	{SET_SECONDARY, true, SECONDARY_EPT, "extended page tables (EPT)"},
	{SET_SECONDARY, true, SECONDARY_UNRESTRICTED, "unrestricted guests"},
	{SET_SECONDARY, true, SECONDARY_VPID, "virtual-processor identifiers (VPID)"},
	{SET_PIN, true, PIN_EXTERNAL_INTERRUPT, "external-interrupt exiting"},
	{SET_PIN, true, PIN_NMI, "NMI exiting"},
	{SET_PIN, true, PIN_VIRTUAL_NMIS, "virtual NMIs"},
	{SET_PRIMARY, true, PRIMARY_TSC_OFFSETTING, "TSC offsetting"},
	{SET_PRIMARY, true, PRIMARY_HLT, "HLT exiting"},
	{SET_PRIMARY, true, PRIMARY_MWAIT, "MWAIT exiting"},
	{SET_PRIMARY, true, PRIMARY_MONITOR, "MONITOR exiting"},
	{SET_PRIMARY, true, PRIMARY_RDPMC, "RDPMC exiting"},
	{SET_PRIMARY, true, PRIMARY_CR8_LOAD, "CR8-load exiting"},
	{SET_PRIMARY, true, PRIMARY_CR8_STORE, "CR8-store exiting"},
	{SET_PRIMARY, true, PRIMARY_IO_BITMAPS, "I/O bitmaps"},
	{SET_PRIMARY, true, PRIMARY_MSR_BITMAPS, "MSR bitmaps"},
	{SET_EXIT, true, EXITCTL_HOST_64, "a 64-bit host"},
	{SET_EXIT, true, EXITCTL_SAVE_DEBUG, "saving debug controls"},
	{SET_EXIT, true, EXITCTL_SAVE_EFER, "saving EFER"},
	{SET_EXIT, true, EXITCTL_LOAD_EFER, "loading the host's EFER"},
	{SET_EXIT, true, EXITCTL_LOAD_PAT, "loading the host's PAT"},
	{SET_ENTRY, true, ENTRYCTL_LOAD_DEBUG, "loading debug controls"},
	{SET_ENTRY, true, ENTRYCTL_LOAD_EFER, "loading the guest's EFER"},
	{SET_ENTRY, true, ENTRYCTL_LOAD_PAT, "loading the guest's PAT"},
	{SET_PIN, false, PIN_PREEMPTION_TIMER, "preemption timer"},
	{SET_SECONDARY, false, SECONDARY_PAUSE_LOOP, "PAUSE-loop exiting"},
	{SET_SECONDARY, false, SECONDARY_WBINVD, "WBINVD exiting"},
	{SET_SECONDARY, false, SECONDARY_RDTSCP, "RDTSCP"},
	{SET_SECONDARY, false, SECONDARY_INVPCID, "INVPCID"},
	{SET_SECONDARY, false, SECONDARY_XSAVES, "XSAVES and XRSTORS"},
	{SET_SECONDARY, false, SECONDARY_RDRAND, "RDRAND exiting"},
	{SET_SECONDARY, false, SECONDARY_RDSEED, "RDSEED exiting"},
	/* With an all-ones bitmap: what CPUID hides must not work. */
	{SET_SECONDARY, false, SECONDARY_ENCLS, "ENCLS exiting"},
	{SET_SECONDARY, false, SECONDARY_ENCLV, "ENCLV exiting"},
};

/* Low half of a capability MSR: bits that must be 1; high half: bits that may be (A.3.1). */
static uint64_t capability(enum control_set set)
{
	bool use_true = vmx_caps.basic & VMX_BASIC_TRUE_CTLS;

	return msr_read(use_true ? sets[set].true_msr : sets[set].msr);
}

void vmx_use_apicv(bool use)
{
	const uint32_t exits = PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE, shadow = PRIMARY_TPR_SHADOW;

	vmx_caps.apicv = use;
	/* With it, CR8 is the task priority in the virtual-APIC page. */
	vmx_caps.primary &= ~(use ? exits : shadow);
	vmx_caps.primary |= use ? shadow : exits;
}

static bool choose(char *why, size_t size)
{
	uint64_t caps[SETS] = {0};

	for (unsigned i = 0; i < SETS; i++) {
		/* The secondary MSR exists only with the control (A.3.3). */
		if (i == SET_SECONDARY && !(caps[SET_PRIMARY] >> 32 & PRIMARY_SECONDARY))
			continue;
		caps[i] = capability(i);
		*sets[i].chosen = caps[i];
	}
	for (unsigned i = 0; i < ARRAY_SIZE(controls); i++) {
		const struct control *c = &controls[i];

		if (caps[c->set] >> 32 & c->bit) {
			*sets[c->set].chosen |= c->bit;
		} else if (c->needed) {
			format(why, size, "the CPU's VMX lacks %s, which is needed", c->name);
			return false;
		}
	}
	/* Both or none: an exit must turn off what an entry turned on. */
	if (cpu_has(CPU_ARCH_LBR) && (caps[SET_ENTRY] >> 32 & ENTRYCTL_LOAD_LBR) &&
	    (caps[SET_EXIT] >> 32 & EXITCTL_CLEAR_LBR)) {
		vmx_caps.entry |= ENTRYCTL_LOAD_LBR;
		vmx_caps.exit |= EXITCTL_CLEAR_LBR;
	}
	vmx_caps.apicv = false;
	if (vendor_apicv != APICV_OFF && vmx_apicv_offered(caps[SET_PRIMARY], caps[SET_SECONDARY]))
		vmx_use_apicv(true);
	vmx_caps.pmu_exit = vmx_pmu_exit_controls(caps[SET_ENTRY], caps[SET_EXIT]);
	vmx_caps.cet = vmx_cet_usable(caps[SET_ENTRY], caps[SET_EXIT]);
	return true;
}

static bool choose_paging(char *why, size_t size)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} needs[] = {
		{EPT_CAP_WALK_4, "EPT of four levels"},
		{EPT_CAP_WB, "write-back EPT"},
		{EPT_CAP_INVEPT, "INVEPT"},
		{EPT_CAP_INVEPT_SINGLE, "single-context INVEPT"},
		{EPT_CAP_INVVPID, "INVVPID"},
		{EPT_CAP_INVVPID_SINGLE, "single-context INVVPID"},
	};
	uint64_t cap = msr_read(MSR_VMX_EPT_VPID_CAP);

	for (unsigned i = 0; i < ARRAY_SIZE(needs); i++) {
		if (cap & needs[i].bit)
			continue;
		format(why, size, "the CPU's VMX lacks %s, which is needed", needs[i].name);
		return false;
	}
	vmx_caps.ept_vpid = cap;
	vmx_caps.eptp_bits = EPTP_WB | EPTP_WALK_4 |
			     (cap & EPT_CAP_ACCESSED_DIRTY ? (uint64_t)EPTP_ACCESSED_DIRTY : 0);
	return true;
}

bool vmx_probe_controls(char *why, size_t size)
{
	vmx_caps.basic = msr_read(MSR_VMX_BASIC);
	vmx_caps.misc = msr_read(MSR_VMX_MISC);
	vmx_caps.cr0_fixed0 = msr_read(MSR_VMX_CR0_FIXED0);
	vmx_caps.cr0_fixed1 = msr_read(MSR_VMX_CR0_FIXED1);
	vmx_caps.cr4_fixed0 = msr_read(MSR_VMX_CR4_FIXED0);
	vmx_caps.cr4_fixed1 = msr_read(MSR_VMX_CR4_FIXED1);
	return choose(why, size) && choose_paging(why, size);
}
