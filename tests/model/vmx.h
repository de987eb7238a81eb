/* SPDX-License-Identifier: BSD-2-Clause */
/* The model of VM entries and exits: what they load, save and turn off, and MSR bitmaps. */
#ifndef TESTS_MODEL_VMX_H
#define TESTS_MODEL_VMX_H

#include "cpu.h"
#include "../../arch/x86/vmx/vmx.h"
#include "../../arch/x86/vmx/vmx_insn.h"

enum { MODEL_FIELDS = 0x7000 };

struct model_vmcs {
	uint64_t field[MODEL_FIELDS]; /* by enum vmcs_field */
};

/* Of the CPU beside struct model_cpu: the current VMCS, NULL: none. */
static struct model_vmcs *model_current[MODEL_CPUS];

static struct model_vmcs *model_vmcs(void)
{
	assert_non_null(model_current[cpu_index()]);
	return model_current[cpu_index()];
}

static __unused uint64_t *model_field(uint32_t field)
{
	bool lbr = field == VMCS_GUEST_LBR_CTL;

	assert_in_range(field, 0, MODEL_FIELDS - 1);
	/* It exists where the controls do (SDM vol. 3, appendix B.2.3). */
	assert_true(!lbr || modelled.lbr == MODEL_LBR_ARCH);
	return &model_vmcs()->field[field];
}

#define vmread(f)	  (*model_field(f))
#define vmwrite(f, value) ((void)(*model_field(f) = (value)))

/* An area of MSRs, whose values the CPU loads or stores (25.7.2, 25.8.2). */
static void model_msr_area(uint32_t count, uint32_t address, bool store)
{
	if (!modelled.spec_ctrl)
		return;
	for (uint64_t i = 0; i < vmread(count); i++) {
		struct vmx_msr_entry *e = phys_to_virt(vmread(address));

		assert_true(IS_ALIGNED(vmread(address), 16) && e[i].reserved == 0);
		assert_true(store ? model_rdmsr(model_cpu(), e[i].index, &e[i].value)
				  : model_wrmsr(model_cpu(), e[i].index, e[i].value));
	}
}

/* SDM vol. 3, 27.3.2.1. False: refused, for a reserved bit (27.3.1.1). */
static bool model_vmenter(void)
{
	struct model_cpu *cpu = model_cpu();
	uint64_t controls = vmread(VMCS_ENTRY_CONTROLS);

	assert_false(cpu->in_guest);
	if (controls & ENTRYCTL_LOAD_DEBUG) {
		if (vmread(VMCS_GUEST_DEBUGCTL) & ~0xffc7ull)
			return false;
		cpu->debugctl = vmread(VMCS_GUEST_DEBUGCTL);
		/* SDM vol. 3, 19.1.3: always 0 where the records are architectural. */
		if (modelled.lbr == MODEL_LBR_ARCH)
			cpu->debugctl &= ~(uint64_t)DEBUGCTL_LBR;
	}
	if (controls & ENTRYCTL_LOAD_LBR)
		cpu->lbr_ctl = vmread(VMCS_GUEST_LBR_CTL);
	if (controls & ENTRYCTL_LOAD_PERF_GLOBAL) {
		if (vmread(VMCS_GUEST_PERF_GLOBAL_CTRL) & ~model_counter_bits())
			return false;
		cpu->counters.global = vmread(VMCS_GUEST_PERF_GLOBAL_CTRL);
	}
	if (controls & ENTRYCTL_LOAD_CET) {
		cpu->s_cet = vmread(VMCS_GUEST_S_CET);
		cpu->ssp = vmread(VMCS_GUEST_SSP);
		cpu->isst = vmread(VMCS_GUEST_ISST);
	}
	model_msr_area(VMCS_ENTRY_MSR_LOAD_COUNT, VMCS_ENTRY_MSR_LOAD_ADDR, false);
	cpu->in_guest = true;
	return true;
}

/* 28.3.1 and 28.5.1. */
static void model_vmexit(void)
{
	struct model_cpu *cpu = model_cpu();
	uint64_t controls = vmread(VMCS_EXIT_CONTROLS);

	assert_true(cpu->in_guest);
	cpu->in_guest = false;
	model_msr_area(VMCS_EXIT_MSR_STORE_COUNT, VMCS_EXIT_MSR_STORE_ADDR, true);
	model_msr_area(VMCS_EXIT_MSR_LOAD_COUNT, VMCS_EXIT_MSR_LOAD_ADDR, false);
	if (controls & EXITCTL_SAVE_DEBUG)
		vmwrite(VMCS_GUEST_DEBUGCTL, cpu->debugctl);
	cpu->debugctl = 0;
	if (controls & EXITCTL_SAVE_PERF_GLOBAL)
		vmwrite(VMCS_GUEST_PERF_GLOBAL_CTRL, cpu->counters.global);
	if (controls & EXITCTL_LOAD_PERF_GLOBAL)
		cpu->counters.global = vmread(VMCS_HOST_PERF_GLOBAL_CTRL);
	/* Saved whatever the controls are. */
	if (modelled.lbr == MODEL_LBR_ARCH)
		vmwrite(VMCS_GUEST_LBR_CTL, cpu->lbr_ctl);
	if (controls & EXITCTL_CLEAR_LBR)
		cpu->lbr_ctl = 0;
	/* Likewise. */
	if (modelled.cet) {
		vmwrite(VMCS_GUEST_S_CET, cpu->s_cet);
		vmwrite(VMCS_GUEST_SSP, cpu->ssp);
		vmwrite(VMCS_GUEST_ISST, cpu->isst);
	}
	if (controls & EXITCTL_LOAD_CET) {
		cpu->s_cet = vmread(VMCS_HOST_S_CET);
		cpu->ssp = vmread(VMCS_HOST_SSP);
		cpu->isst = vmread(VMCS_HOST_ISST);
	}
}

/* 25.6.9: does this access of the guest that runs here make an exit? */
static bool model_msr_exits(uint32_t index, bool write)
{
	static const uint32_t bases[] = {0, 0xc0000000};
	const uint8_t *map = phys_to_virt(vmread(VMCS_MSR_BITMAP));

	for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
		uint32_t n = index - bases[i];

		if (n < 0x2000)
			return map[(write ? 0x800 : 0) + 0x400 * i + n / 8] >> n % 8 & 1;
	}
	return true;
}

/* Nothing of these is modelled. */
#define cr2_read()   0ull
#define cr2_write(v) ((void)(v))
#define cr4_read()   0ull
#define dr6_read()   0xffff0ff0ull
#define dr6_write(v) ((void)(v))

#endif
