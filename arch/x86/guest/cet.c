/* SPDX-License-Identifier: BSD-2-Clause */
/* Shadow stacks and indirect branch tracking of guests: whether, their MSRs, taking turns. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/msr.h"
#include "socle/cpu/regs.h"
#include "socle/guest/cet.h"
#include "socle/guest/msr.h"
#include "socle/string.h"

struct cet_caps cet_caps;

static const uint32_t kept[CET_REGISTERS] = {
	[CET_U_CET] = MSR_U_CET,     [CET_PL0_SSP] = MSR_PL0_SSP, [CET_PL1_SSP] = MSR_PL1_SSP,
	[CET_PL2_SSP] = MSR_PL2_SSP, [CET_PL3_SSP] = MSR_PL3_SSP,
};

/* What is in each CPU. Only its CPU looks at it. */
static struct held {
	uint64_t value[CET_REGISTERS]; /* as they were last read or written */
	bool painted;		       /* by a guest that has them, and loaded its own last */
	bool changed;		       /* it may have written others since */
} held[CPU_MAX];

/* The pointers exist with shadow stacks only. */
static unsigned registers_here(void)
{
	return cpu_has(CPU_SHSTK) ? CET_REGISTERS : CET_U_CET + 1;
}
_Static_assert(CET_U_CET == 0, "the first");

/*
 * Systems keep these registers by XSAVES, so a guest needs both components in IA32_XSS. Asked of
 * the register itself: Bochs 2.7 has them, and does not list them in CPUID leaf 0xD.
 */
static bool xss_takes_both(void)
{
	if (!cpu_has(CPU_XSAVE) || !cpu_has(CPU_XSAVES))
		return false;
	if (!msr_write_safe(MSR_XSS, XSS_CET_U | XSS_CET_S))
		return false;
	msr_write(MSR_XSS, 0);
	return true;
}

void cet_cpu_on(void)
{
	if (!cpu_has(CPU_SHSTK) && !cpu_has(CPU_IBT))
		return;
	held[cpu_index()] = (struct held){0};
	msr_write(MSR_S_CET, 0);
	msr_write(MSR_U_CET, 0);
	if (!cpu_has(CPU_SHSTK))
		return;
	for (uint32_t i = MSR_PL0_SSP; i <= MSR_INT_SSP_TAB; i++)
		msr_write(i, 0);
}

void cet_probe(bool switched)
{
	bool usable = switched && xss_takes_both();

	cet_caps.shadow_stacks = usable && cpu_has(CPU_SHSTK);
	/* AMD documents no tracking (APM vol. 2, chapter 18), whatever a CPUID bit says. */
	cet_caps.tracking = usable && cpu_has(CPU_IBT) && cpu_info.vendor == CPU_VENDOR_INTEL;
	if (!cet_caps.shadow_stacks)
		cpu_model_withhold(GUEST_shstk);
	if (!cet_caps.tracking)
		cpu_model_withhold(GUEST_ibt);
}

void cet_save(struct x86_vcpu *v)
{
	struct held *here = &held[cpu_index()];

	if (!cet_offered(v))
		return;
	for (unsigned i = 0; i < registers_here(); i++)
		here->value[i] = v->cet[i] = msr_read(kept[i]);
	here->changed = false;
}

/* A guest without them could still turn them on where CR4 makes no exit: its own are all 0. */
void cet_restore(const struct x86_vcpu *v)
{
	struct held *here = &held[cpu_index()];
	bool offered = cet_offered(v);

	if (likely(!offered && !here->painted))
		return;
	for (unsigned i = 0; i < registers_here(); i++) {
		if (here->value[i] == v->cet[i] && !here->changed)
			continue;
		msr_write_ns(kept[i], v->cet[i]);
		here->value[i] = v->cet[i];
	}
	here->painted = here->changed = offered;
}

void cet_reset(struct x86_vcpu *v)
{
	memset(v->cet, 0, sizeof(v->cet));
}

void cet_init(struct x86_vcpu *v, bool here)
{
	cet_reset(v);
	if (here)
		cet_restore(v);
}

/* SDM vol. 3, 6.14.5. XSAVES leaves it alone, and entries and exits switch it. */
static enum msr_result table_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				  uint64_t *value)
{
	*value = vendor->ssp_table(v);
	return MSR_OK;
}

static enum msr_result table_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				   uint64_t value)
{
	uint64_t high = MASK(63, cpu_info.linear_bits - 1);

	if ((value & high) && (value & high) != high)
		return MSR_INVALID;
	vendor->set_ssp_table(v, value);
	return MSR_OK;
}

#define SHSTK .needs = NEEDS(7, REG_ECX, 7)
#define IBT   .or_needs = NEEDS(7, REG_EDX, 20)
#define INIT  .at_init = MSR_INIT_RESETS

/* SDM vol. 1, 17.2 and 17.3; vol. 4, table 2-2. */
static const struct msr_policy cet_rows[] = {
	{"u_cet", MSR_U_CET, 1, MSR_DIRECT, MSR_DIRECT, SHSTK, IBT, INIT},
	{"s_cet", MSR_S_CET, 1, MSR_DIRECT, MSR_DIRECT, SHSTK, IBT, INIT},
	{"pl_ssp", MSR_PL0_SSP, 4, MSR_DIRECT, MSR_DIRECT, SHSTK, INIT},
	{"int_ssp_tab", MSR_INT_SSP_TAB, 1, MSR_EMULATED, MSR_EMULATED, SHSTK, INIT,
	 .valid = UINT64_MAX, .rd = table_read, .wr = table_write},
};
MSR_POLICIES(cet_rows);
