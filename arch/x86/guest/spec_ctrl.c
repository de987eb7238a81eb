/* SPDX-License-Identifier: BSD-2-Clause */
/* What guests have against leaks by speculation: SPEC_CTRL, the commands, ARCH_CAPABILITIES. */
#include "socle/cpu/regs.h"
#include "socle/guest/msr.h"
#include "socle/guest/spec_ctrl.h"

/* Bits of SPEC_CTRL by the feature that offers them (SDM vol. 4, table 2-2; APM vol. 2, 3.2.9). */
static const struct {
	enum guest_feature feature;
	uint64_t bits;
} bits_of[] = {
	{GUEST_spec_ctrl, SPEC_CTRL_IBRS},
	{GUEST_intel_stibp, SPEC_CTRL_STIBP},
	{GUEST_spec_ctrl_ssbd, SPEC_CTRL_SSBD},
	{GUEST_intel_psfd, SPEC_CTRL_PSFD},
	{GUEST_ipred_ctrl, SPEC_CTRL_IPRED_DIS},
	{GUEST_rrsba_ctrl, SPEC_CTRL_RRSBA_DIS},
	{GUEST_ddpd_u, SPEC_CTRL_DDPD},
	{GUEST_bhi_ctrl, SPEC_CTRL_BHI_DIS},
	{GUEST_amd_ibrs, SPEC_CTRL_IBRS},
	{GUEST_amd_stibp, SPEC_CTRL_STIBP},
	{GUEST_amd_ssbd, SPEC_CTRL_SSBD},
	{GUEST_amd_psfd, SPEC_CTRL_PSFD},
};

/*
 * Of ARCH_CAPABILITIES: how the CPU behaves, and what its VERW does. Not that it has further
 * registers, which guests do not.
 */
enum {
	PASSED_ON = ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_RSBA | ARCH_CAP_SKIP_L1DFL |
		    ARCH_CAP_SSB_NO | ARCH_CAP_MDS_NO | ARCH_CAP_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO |
		    ARCH_CAP_SBDR_SSDP_NO | ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO |
		    ARCH_CAP_FB_CLEAR | ARCH_CAP_RRSBA | ARCH_CAP_BHI_NO | ARCH_CAP_PBRSB_NO |
		    ARCH_CAP_GDS_NO | ARCH_CAP_RFDS_NO | ARCH_CAP_RFDS_CLEAR,
};

void spec_ctrl_probe(void)
{
	if (mitigations.spec_ctrl_takes)
		return;
	cpu_model_withhold(GUEST_spec_ctrl);
	cpu_model_withhold(GUEST_amd_ibrs);
}

uint64_t spec_ctrl_valid(const struct guest_cpuid *t)
{
	uint64_t valid = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(bits_of); i++)
		if (cpuid_guest_has(t, bits_of[i].feature))
			valid |= bits_of[i].bits;
	return valid & mitigations.spec_ctrl_takes;
}

bool spec_ctrl_direct(const struct guest_cpuid *t)
{
	return mitigations.spec_ctrl_takes && spec_ctrl_valid(t) == mitigations.spec_ctrl_takes;
}

static enum msr_result spec_ctrl_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				      uint64_t *value)
{
	*value = vendor->spec_ctrl(v);
	return MSR_OK;
}

static enum msr_result spec_ctrl_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				       uint64_t value)
{
	if (value & ~spec_ctrl_valid(v->cpuid))
		return MSR_INVALID;
	vendor->set_spec_ctrl(v, value);
	return MSR_OK;
}

static enum msr_result arch_capabilities_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
					      uint64_t *value)
{
	*value = mitigations.arch_capabilities & PASSED_ON;
	/* A promise about a bit that the guest does not have. */
	if (!cpuid_guest_has(v->cpuid, GUEST_spec_ctrl))
		*value &= ~(uint64_t)ARCH_CAP_IBRS_ALL;
	return MSR_OK;
}

#define SPEC_CTRL .needs = NEEDS(7, REG_EDX, 26)

static const struct msr_policy speculation_rows[] = {
	{"spec_ctrl", MSR_SPEC_CTRL, 1, MSR_SWITCHED, MSR_SWITCHED, SPEC_CTRL,
	 .or_needs = NEEDS(0x80000008, REG_EBX, 14), .valid = UINT64_MAX, .rd = spec_ctrl_read,
	 .wr = spec_ctrl_write},
	/* Barriers, which concern nobody else. */
	{"pred_cmd", MSR_PRED_CMD, 1, MSR_REJECT, MSR_DIRECT, SPEC_CTRL,
	 .or_needs = NEEDS(0x80000008, REG_EBX, 12)},
	{"flush_cmd", MSR_FLUSH_CMD, 1, MSR_REJECT, MSR_DIRECT, .needs = NEEDS(7, REG_EDX, 28)},
	{"arch_capabilities", MSR_ARCH_CAPABILITIES, 1, MSR_EMULATED, MSR_REJECT,
	 .needs = NEEDS(7, REG_EDX, 29), .rd = arch_capabilities_read},
};
MSR_POLICIES(speculation_rows);
