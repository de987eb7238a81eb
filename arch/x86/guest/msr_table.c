/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of model-specific registers that guests are offered, but for the local APIC's. */
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/guest/cpuid.h"
#include "socle/guest/msr.h"
#include "socle/guest/pvclock.h"

#define ANY UINT64_MAX

/* APM vol. 2, 3.1.7: what a guest may turn on goes by its CPUID; LMA is the CPU's own. */
static enum msr_result efer_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				 uint64_t *value)
{
	x86_load(v, X86_CR);
	*value = v->state.efer;
	return MSR_OK;
}

static enum msr_result efer_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				  uint64_t value)
{
	uint64_t allowed = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

	if (cpuid_guest_bit(v->cpuid, 0x80000001, REG_EDX, 25))
		allowed |= EFER_FFXSR;
	if (value & ~allowed)
		return MSR_INVALID;
	x86_load(v, X86_CR);
	if ((v->state.cr0 & CR0_PG) && ((value ^ v->state.efer) & EFER_LME))
		return MSR_INVALID;
	/* Translations depend on these, and the CPU flushes nothing by itself (APM vol. 2, 15.16).
	 */
	if ((value ^ v->state.efer) & (EFER_NXE | EFER_LME))
		vcpu_request_self(&v->base, VCPU_REQ_FLUSH);
	v->state.efer = (value & ~(uint64_t)EFER_LMA) | (v->state.efer & EFER_LMA);
	x86_dirty(v, X86_CR);
	return MSR_OK;
}

static enum msr_result tsc_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot, uint64_t *value)
{
	*value = x86_guest_tsc(v);
	return MSR_OK;
}

static __noinline __cold void shift_pvclock(struct x86_vcpu *v)
{
	pvclock_update(v);
	vendor->set_tsc_offset(v);
}

static void shift_tsc(struct x86_vcpu *v, uint64_t by)
{
	v->tsc_offset += by;
	v->tsc_adjust += by;
	if (unlikely(v->pvclock))
		shift_pvclock(v);
	else
		vendor->set_tsc_offset(v);
}

static enum msr_result tsc_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot, uint64_t value)
{
	shift_tsc(v, value - x86_guest_tsc(v));
	return MSR_OK;
}

static enum msr_result tsc_adjust_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				       uint64_t *value)
{
	*value = v->tsc_adjust;
	return MSR_OK;
}

static enum msr_result tsc_adjust_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
					uint64_t value)
{
	shift_tsc(v, value - v->tsc_adjust);
	return MSR_OK;
}

/* Memory types 0, 1, 4, 5, 6 and 7 (UC-) in each byte (SDM vol. 3, 12.12.2). */
static enum msr_result pat_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot, uint64_t value)
{
	for (unsigned i = 0; i < 64; i += 8) {
		uint8_t type = value >> i;

		if (type > 7 || type == 2 || type == 3)
			return MSR_INVALID;
	}
	*slot = value;
	vendor->set_pat(v, value);
	return MSR_OK;
}

static enum msr_result stored_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				   uint64_t *value)
{
	*value = *slot;
	return MSR_OK;
}

/* SDM vol. 3, 12.11: no such types but 0, 1, 4, 5 and 6. */
static bool mtrr_type_ok(uint8_t type)
{
	return type <= 6 && type != 2 && type != 3;
}

static enum msr_result mtrr_fixed_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
					uint64_t value)
{
	for (unsigned i = 0; i < 64; i += 8)
		if (!mtrr_type_ok(value >> i))
			return MSR_INVALID;
	*slot = value;
	return MSR_OK;
}

static enum msr_result mtrr_def_type_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
					   uint64_t value)
{
	if (!mtrr_type_ok(value))
		return MSR_INVALID;
	*slot = value;
	return MSR_OK;
}

static enum msr_result mtrr_variable_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
					   uint64_t value)
{
	bool is_base = !(index & 1);
	uint64_t low = is_base ? 0xff : BIT(11);

	if (value & ~(MASK(cpu_info.phys_bits - 1, 12) | low))
		return MSR_INVALID;
	if (is_base && !mtrr_type_ok(value))
		return MSR_INVALID;
	*slot = value;
	return MSR_OK;
}

/* Bits that operating systems set without effect; 24: the TSC counts at the P0 rate. */
enum { HWCR_VALID = BIT(3) | BIT(4) | BIT(6) | BIT(8) | BIT(18) | BIT(24) };
/*
 * SDM vol. 4, table 2-2: fast strings, and neither BTS nor PEBS. What can be set has no effect;
 * bits that hide a feature from CPUID, or NX, cannot.
 */
enum misc_enable {
	MISC_ENABLE_RESET = BIT(0) | BIT(11) | BIT(12),
	MISC_ENABLE_KEPT = BIT(0) | BIT(3) | BIT(16) | BIT(22) | BIT(23),
	MISC_ENABLE_PERFMON = BIT(7), /* there are counters */
	MISC_ENABLE_FIXED = BIT(7) | BIT(11) | BIT(12), /* writes of these are ignored */
};

static enum msr_result misc_enable_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
					uint64_t *value)
{
	*value = *slot | (v->pmu ? MISC_ENABLE_PERFMON : 0);
	return MSR_OK;
}

static enum msr_result misc_enable_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
					 uint64_t value)
{
	*slot = (value & MISC_ENABLE_KEPT) | (*slot & MISC_ENABLE_FIXED);
	return MSR_OK;
}

enum { MTRRS_VARIABLE = 8, MTRRCAP = MTRRS_VARIABLE | BIT(8) | BIT(10) };
enum { PATCH_LEVEL = 0x01000065 };

#define PAT_RESET  0x0007040600070406ull
#define WRITE_BACK 0x0606060606060606ull

static const struct msr_policy table[] = {
	/*
	 * Loaded and saved by the CPU or its VMLOAD and VMSAVE: nobody else uses them. An INIT
	 * resets segments and EFER (APM vol. 2, table 14-1), and no other row here.
	 */
	{"fs_base", MSR_FS_BASE, 1, MSR_DIRECT, MSR_DIRECT, .at_init = MSR_INIT_RESETS},
	{"gs_base", MSR_GS_BASE, 1, MSR_DIRECT, MSR_DIRECT, .at_init = MSR_INIT_RESETS},
	MSR_ROW_DIRECT("kernel_gs_base", MSR_KERNEL_GS_BASE),
	MSR_ROW_DIRECT("star", MSR_STAR),
	MSR_ROW_DIRECT("lstar", MSR_LSTAR),
	MSR_ROW_DIRECT("cstar", MSR_CSTAR),
	MSR_ROW_DIRECT("sfmask", MSR_SFMASK),
	MSR_ROW_DIRECT("sysenter_cs", MSR_SYSENTER_CS),
	MSR_ROW_DIRECT("sysenter_esp", MSR_SYSENTER_ESP),
	MSR_ROW_DIRECT("sysenter_eip", MSR_SYSENTER_EIP),

	{"efer", MSR_EFER, 1, MSR_EMULATED, MSR_EMULATED, .valid = ANY,
	 .at_init = MSR_INIT_RESETS, .rd = efer_read, .wr = efer_write},
	{"tsc", MSR_TSC, 1, MSR_EMULATED, MSR_EMULATED, .valid = ANY, .rd = tsc_read,
	 .wr = tsc_write},
	{"tsc_adjust", MSR_TSC_ADJUST, 1, MSR_EMULATED, MSR_EMULATED, NEEDS(7, REG_EBX, 1),
	 .valid = ANY, .rd = tsc_adjust_read, .wr = tsc_adjust_write},
	{"pat", MSR_PAT, 1, MSR_EMULATED, MSR_EMULATED, .valid = ANY, .reset = PAT_RESET,
	 .rd = stored_read, .wr = pat_write},
	{"tsc_aux", MSR_TSC_AUX, 1, MSR_DIRECT, MSR_DIRECT, NEEDS(0x80000001, REG_EDX, 27),
	 .reset = 0},

	/* Memory types come from the nested tables and PAT; guests' MTRRs have no effect. */
	{"mtrrcap", MSR_MTRRCAP, 1, MSR_CONSTANT, MSR_REJECT, .reset = MTRRCAP},
	{"mtrr_variable", MSR_MTRR_PHYSBASE0, 2 * MTRRS_VARIABLE, MSR_EMULATED, MSR_EMULATED,
	 .valid = ANY, .rd = stored_read, .wr = mtrr_variable_write},
	{"mtrr_fix64k", MSR_MTRR_FIX64K, 1, MSR_EMULATED, MSR_EMULATED, .valid = ANY,
	 .reset = WRITE_BACK, .rd = stored_read, .wr = mtrr_fixed_write},
	{"mtrr_fix16k_80000", MSR_MTRR_FIX16K_80000, 1, MSR_EMULATED, MSR_EMULATED, .valid = ANY,
	 .reset = WRITE_BACK, .rd = stored_read, .wr = mtrr_fixed_write},
	{"mtrr_fix16k_a0000", MSR_MTRR_FIX16K_A0000, 1, MSR_EMULATED, MSR_EMULATED, .valid = ANY,
	 .rd = stored_read, .wr = mtrr_fixed_write},
	{"mtrr_fix4k", MSR_MTRR_FIX4K_C0000, 8, MSR_EMULATED, MSR_EMULATED, .valid = ANY,
	 .reset = WRITE_BACK, .rd = stored_read, .wr = mtrr_fixed_write},
	{"mtrr_def_type", MSR_MTRR_DEF_TYPE, 1, MSR_EMULATED, MSR_EMULATED, .valid = 0xcff,
	 .reset = 0xc06, .rd = stored_read, .wr = mtrr_def_type_write},

	/* Read by operating systems to know the CPU, or set to work around errata. */
	MSR_ROW_CONSTANT("patch_level", MSR_PATCH_LEVEL, 1, PATCH_LEVEL),
	MSR_ROW_STORED("hwcr", MSR_HWCR, HWCR_VALID, BIT(24)),
	MSR_ROW_CONSTANT("syscfg", MSR_SYSCFG, 1, 0),
	MSR_ROW_CONSTANT("nb_cfg", MSR_NB_CFG, 1, 0),
	MSR_ROW_CONSTANT("top_mem", MSR_TOP_MEM, 1, 0),
	MSR_ROW_CONSTANT("top_mem2", MSR_TOP_MEM2, 1, 0),
	MSR_ROW_CONSTANT("int_pending", MSR_INT_PENDING, 1, 0),
	MSR_ROW_CONSTANT("mmio_cfg_base", MSR_MMIO_CFG_BASE, 1, 0),
	MSR_ROW_CONSTANT("vm_cr", MSR_VM_CR, 1, BIT(4)), /* SVMDIS */
	MSR_ROW_STORED("dc_cfg", MSR_DC_CFG, ANY, 0),
	MSR_ROW_STORED("de_cfg", MSR_DE_CFG, ANY, BIT(1)),
	MSR_ROW_CONSTANT("p5_mc", MSR_P5_MC_ADDR, 2, 0),
	{"misc_enable", MSR_MISC_ENABLE, 1, MSR_EMULATED, MSR_EMULATED,
	 .valid = MISC_ENABLE_KEPT | MISC_ENABLE_FIXED, .reset = MISC_ENABLE_RESET,
	 .rd = misc_enable_read, .wr = misc_enable_write},
};
MSR_POLICIES(table);
