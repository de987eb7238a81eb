/* SPDX-License-Identifier: BSD-2-Clause */
/* DEBUGCTL and the registers of last branch records, as far as they make exits. */
#include "socle/cpu/regs.h"
#include "socle/guest/lbr.h"
#include "socle/guest/pmu.h"

struct lbr_offer lbr_offer;

/*
 * DEBUGCTL always makes an exit: it tells when a guest's records are to be in the CPU and direct
 * (SDM vol. 3, 18.4.1; APM vol. 2, 13.1.1.6). It is part of the register cache, since the CPU
 * changes it, too.
 */
static enum msr_result debugctl_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				     uint64_t *value)
{
	x86_load(v, X86_DR);
	*value = v->state.debugctl & lbr_offer.debugctl;
	return MSR_OK;
}

static enum msr_result debugctl_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				      uint64_t value)
{
	if (value & ~(lbr_offer.debugctl | lbr_offer.ignored))
		return MSR_INVALID;
	value &= lbr_offer.debugctl;
	x86_load(v, X86_DR);
	if (value == v->state.debugctl)
		return MSR_OK;
	v->state.debugctl = value;
	x86_dirty(v, X86_DR);
	return MSR_OK;
}

static bool lbr_has(uint32_t index)
{
	return lbr_offer.has && lbr_offer.has(index);
}

static enum msr_result lbr_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot, uint64_t *value)
{
	return lbr_has(index) ? lbr_offer.read(v, index, value) : MSR_UNSUPPORTED;
}

static enum msr_result lbr_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot, uint64_t value)
{
	return lbr_has(index) ? lbr_offer.write(v, index, value) : MSR_UNSUPPORTED;
}

/* SDM vol. 4, table 2-2: the format of the records, how counters are written; nothing else. */
static enum msr_result perf_capabilities_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
					      uint64_t *value)
{
	*value = lbr_offer.perf_capabilities | (v->pmu ? pmu_offer.perf_capabilities : 0);
	return *value ? MSR_OK : MSR_UNSUPPORTED;
}

#define ANY UINT64_MAX
/* What is needed: the format of the records, or architectural ones. */
#define NEEDS_FORMAT NEEDS(1, REG_ECX, 15)
#define NEEDS_ARCH   NEEDS(7, REG_EDX, 19)

/* A row that is direct while the guest records; of those, what the CPU has: see lbr_offer.has. */
#define LBR_ROW(n, i, c, need)                                                                     \
	{                                                                                          \
		(n), (i), (c), MSR_WHILE_LBR, MSR_WHILE_LBR, need, .valid = ANY, .has = lbr_has,   \
								   .rd = lbr_read, .wr = lbr_write \
	}

static const struct msr_policy registers[] = {
	{"debugctl", MSR_DEBUGCTL, 1, MSR_EMULATED, MSR_EMULATED, .valid = ANY,
	 .at_init = MSR_INIT_RESETS, .rd = debugctl_read, .wr = debugctl_write},
	{"perf_capabilities", MSR_PERF_CAPABILITIES, 1, MSR_EMULATED, MSR_REJECT, NEEDS_FORMAT,
	 .rd = perf_capabilities_read},
	/* AMD's, which nobody can write; the last two are Intel's of the last exception. */
	{"last_branch", MSR_LASTBRANCHFROM, 4, MSR_WHILE_LBR, MSR_REJECT, .has = lbr_has,
	 .rd = lbr_read},
	/* Intel's, of the models before the architectural ones; see has() for which a CPU has. */
	LBR_ROW("lbr_select", MSR_LBR_SELECT, 1, NEEDS_FORMAT),
	LBR_ROW("lbr_tos", MSR_LBR_TOS, 1, NEEDS_FORMAT),
	LBR_ROW("lbr_from", MSR_LBR_FROM, 32, NEEDS_FORMAT),
	LBR_ROW("lbr_to", MSR_LBR_TO, 32, NEEDS_FORMAT),
	LBR_ROW("lbr_info", MSR_LBR_INFO, 32, NEEDS_FORMAT),
	LBR_ROW("lbr_from_atom", MSR_LBR_FROM_ATOM, 8, NEEDS_FORMAT),
	LBR_ROW("lbr_to_atom", MSR_LBR_TO_ATOM, 8, NEEDS_FORMAT),
	{"arch_lbr_ctl", MSR_ARCH_LBR_CTL, 1, MSR_EMULATED, MSR_EMULATED, NEEDS_ARCH, .valid = ANY,
	 .at_init = MSR_INIT_RESETS, .has = lbr_has, .rd = lbr_read, .wr = lbr_write},
	{"arch_lbr_depth", MSR_ARCH_LBR_DEPTH, 1, MSR_EMULATED, MSR_EMULATED, NEEDS_ARCH, .valid = ANY,
	 .rd = lbr_read, .wr = lbr_write},
	LBR_ROW("arch_lbr_from", MSR_ARCH_LBR_FROM, 32, NEEDS_ARCH),
	LBR_ROW("arch_lbr_to", MSR_ARCH_LBR_TO, 32, NEEDS_ARCH),
	LBR_ROW("arch_lbr_info", MSR_ARCH_LBR_INFO, 32, NEEDS_ARCH),
};
MSR_POLICIES(registers);
