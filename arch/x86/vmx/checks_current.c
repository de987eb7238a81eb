/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks of a VM entry on the current VMCS, with what this CPU's capability registers say. */
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "checks.h"
#include "vmx_insn.h"

/* The capability MSR of each set; the TRUE one where IA32_VMX_BASIC[55] says that it exists. */
static const struct {
	uint32_t msr, true_msr;
} capabilities[CTL_SETS] = {
	[CTL_PIN] = {MSR_VMX_PIN_CTLS, MSR_VMX_TRUE_PIN_CTLS},
	[CTL_PRIMARY] = {MSR_VMX_PRIMARY_CTLS, MSR_VMX_TRUE_PRIMARY_CTLS},
	[CTL_SECONDARY] = {MSR_VMX_SECONDARY_CTLS, MSR_VMX_SECONDARY_CTLS},
	[CTL_TERTIARY] = {MSR_VMX_TERTIARY_CTLS, MSR_VMX_TERTIARY_CTLS},
	[CTL_EXIT] = {MSR_VMX_EXIT_CTLS, MSR_VMX_TRUE_EXIT_CTLS},
	[CTL_EXIT2] = {MSR_VMX_EXIT_CTLS2, MSR_VMX_EXIT_CTLS2},
	[CTL_ENTRY] = {MSR_VMX_ENTRY_CTLS, MSR_VMX_TRUE_ENTRY_CTLS},
};

enum { MSR_RTIT_CTL = 0x570, RTIT_CTL_TRACE_EN = BIT(0) };

/* 0 for an MSR that does not exist. */
static uint64_t msr_or_zero(uint32_t index)
{
	uint64_t value;

	(void)!msr_read_safe(index, &value);
	return value;
}

/* Zeros for a leaf that does not exist (SDM vol. 2, CPUID). */
static struct cpuid leaf(uint32_t index, uint32_t subleaf)
{
	return index <= cpuid(index & BIT(31), 0).eax ? cpuid(index, subleaf) : (struct cpuid){0};
}

static void read_cpuid(struct vmx_check_caps *caps)
{
	struct cpuid features = leaf(7, 0), more = leaf(7, 1), pmu = leaf(10, 0);
	struct cpuid extended = leaf(0x80000001, 0);

	caps->physical_bits = cpu_info.phys_bits;
	caps->linear_bits = cpu_info.linear_bits;
	caps->rtm = features.ebx & BIT(11);
	caps->sgx = features.ebx & BIT(2);
	caps->bus_lock = features.ecx & BIT(24);
	caps->cr3_high = more.eax & BIT(26) ? MASK(62, 61) : 0;
	caps->efer = (extended.edx & BIT(11) ? (uint64_t)EFER_SCE : 0) |
		     (extended.edx & BIT(20) ? (uint64_t)EFER_NXE : 0) |
		     (extended.edx & BIT(29) ? (uint64_t)(EFER_LME | EFER_LMA) : 0);
	/* A counter for each bit, and the metrics (SDM vol. 3, 20.2.2). */
	caps->perf_global =
		(BIT(pmu.eax >> 8 & 0x1f) - 1) | (BIT(pmu.edx & 0x1f) - 1) << 32 | BIT(48);
	/* Which of these bits exist depends on the model: only those that never do are wrong. */
	caps->debugctl = MASK(15, 0) & ~MASK(5, 3);
	caps->rtit = caps->lbr_ctl = ~0ull;
}

static void read_caps(struct vmx_check_caps *caps)
{
	caps->basic = msr_or_zero(MSR_VMX_BASIC);
	caps->misc = msr_or_zero(MSR_VMX_MISC);
	caps->ept_vpid = msr_or_zero(MSR_VMX_EPT_VPID_CAP);
	caps->vmfunc = msr_or_zero(MSR_VMX_VMFUNC);
	caps->cr0_fixed0 = msr_or_zero(MSR_VMX_CR0_FIXED0);
	caps->cr0_fixed1 = msr_or_zero(MSR_VMX_CR0_FIXED1);
	caps->cr4_fixed0 = msr_or_zero(MSR_VMX_CR4_FIXED0);
	caps->cr4_fixed1 = msr_or_zero(MSR_VMX_CR4_FIXED1);
	for (unsigned i = CTL_NONE + 1; i < CTL_SETS; i++)
		caps->controls[i] =
			msr_or_zero(caps->basic & VMX_BASIC_TRUE_CTLS ? capabilities[i].true_msr
								      : capabilities[i].msr);
}

static uint64_t read_field(void *ctx __unused, enum vmcs_field field)
{
	uint64_t value = 0;

	(void)!vmread_safe(field, &value);
	return value;
}

const char *vmx_check_current(uint64_t vmcs_pa, char *text, size_t size)
{
	struct vmx_check_caps caps = {0};
	struct vmx_reader reader = {
		.read = read_field,
		.caps = &caps,
		.current = vmcs_pa,
		.trace_enabled = msr_or_zero(MSR_RTIT_CTL) & RTIT_CTL_TRACE_EN,
	};

	read_cpuid(&caps);
	read_caps(&caps);
	return vmx_check(&reader, text, size);
}
