/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMX room on modelled CPUs: guests that come to a CPU, leave it, and are reset. */
#ifndef TESTS_MODEL_VMX_ROOM_H
#define TESTS_MODEL_VMX_ROOM_H

#include "../unit/panic_mock.h"
#include "../unit/pmu_mock.h"
#include "no_spec_ctrl.h"
#include "pages.h"
#include "vmx.h"
#include "../../lib/format.c"
#include "../../arch/x86/guest/msr.c"
#include "../../arch/x86/guest/msr_filter.c"
#include "../../arch/x86/guest/msr_model.c"
#include "../../arch/x86/guest/debugctl.c"
#include "../../arch/x86/guest/events.c"
#include "../../arch/x86/vmx/controls.c"
#include "../../arch/x86/vmx/lbr_models.c"
#include "../../arch/x86/vmx/lbr.c"
#include "../../arch/x86/vmx/maps.c"
#include "../../arch/x86/vmx/switch.c"
#include "../../arch/x86/vmx/state.c"

uintptr_t test_memory;

void cpu_model_withhold(enum guest_feature f __unused)
{
}

struct cpu_info cpu_info;
enum apicv vendor_apicv;

/* CPUID leaves of the modelled CPU. */
static struct cpuid leaf_7, leaf_1c;
static uint64_t exits_lack; /* exit controls that it does not have */

static struct cpuid model_cpuid(uint32_t leaf, uint32_t subleaf __unused)
{
	switch (leaf) {
	case 0:
		return (struct cpuid){.eax = 0x1c};
	case 7:
		return leaf_7;
	case 0xa:
		return (struct cpuid){.eax = 4};
	case 0x1c:
		return leaf_1c;
	default:
		return (struct cpuid){0};
	}
}

/* The guest's CPUID has all that a row of the table may need. */
bool cpuid_guest_bit(const struct guest_cpuid *t __unused, uint32_t leaf __unused,
		     unsigned reg __unused, unsigned bit __unused)
{
	return true;
}

/* Parts of the room that have nothing to do with it. */
bool vmx_apicv_offered(uint64_t primary __unused, uint64_t secondary __unused)
{
	return false;
}

uint32_t vmx_pmu_exit_controls(uint64_t entry __unused, uint64_t exit __unused)
{
	return 0;
}

bool vmx_cet_usable(uint64_t entry __unused, uint64_t exit __unused)
{
	return false;
}

void vmx_apicv_msrs(void (*allow_one)(uint32_t index, bool read, bool write, void *map) __unused,
		    void *map __unused)
{
}

uint64_t vmx_real_cr0(uint64_t cr0)
{
	return cr0;
}

uint64_t vmx_real_cr4(uint64_t cr4)
{
	return cr4;
}

bool vmx_load_pdptes(struct vmx_vcpu *s __unused)
{
	return true;
}

static const struct vendor vmx = {.load = vmx_load};
const struct vendor *vendor = &vmx;

enum { GUESTS = 3, NO_CPU = -1 };
#define HOST	 0x7fff00000000ull /* addresses of ours */
#define FIRMWARE 0x7ffe00000000ull

/* Registers that stay in the CPU until another vCPU takes it (switch.c). */
static const struct msr_policy direct[] = {
	MSR_ROW_DIRECT("star", MSR_STAR),
	MSR_ROW_DIRECT("lstar", MSR_LSTAR),
	MSR_ROW_DIRECT("cstar", MSR_CSTAR),
	MSR_ROW_DIRECT("sfmask", MSR_SFMASK),
	MSR_ROW_DIRECT("kernel_gs_base", MSR_KERNEL_GS_BASE),
};
MSR_POLICIES(direct);

/* A virtual CPU, and a real one that it would have to itself. */
static struct guest {
	struct vmx_vcpu s;
	struct model_vmcs vmcs;
	struct vm vm;
	struct model_cpu ideal;
	int cpu;	   /* where it is, in the guest; NO_CPU: not running */
	int home;	   /* whose registers may hold its own; NO_CPU: none's */
	uint64_t own;	   /* first of its addresses */
	uint64_t branches; /* that it made */
	uint64_t debugctl; /* as it wrote it */
} guests[GUESTS];

static struct guest *running[MODEL_CPUS]; /* which guest is on each */

void vmx_make_current(struct vmx_vcpu *s)
{
	struct guest *g = container_of(s, struct guest, s);

	assert_true(g->home == NO_CPU || g->home == (int)cpu_index());
	g->home = cpu_index();
	model_current[cpu_index()] = &g->vmcs;
}

static bool arch_lbr(void)
{
	return modelled.lbr == MODEL_LBR_ARCH;
}

static bool recording(const struct guest *g)
{
	return arch_lbr() ? g->ideal.lbr_ctl & MODEL_EN : g->debugctl & DEBUGCTL_LBR;
}

static void enter(struct guest *g)
{
	if (g->s.x.dirty)
		vmx_write_back(&g->s);
	assert_true(model_vmenter());
}

static void host_runs(void)
{
	assert_int_equal(model_cpu()->debugctl, 0);
	assert_int_equal(model_cpu()->lbr_ctl, 0);
	model_branch(model_cpu(), HOST, HOST + 1);
}

static void leave(struct guest *g)
{
	model_vmexit();
	g->s.x.avail = 0;
	host_runs();
}

/* vmx_release(), on the CPU where it ran. */
static void release(struct guest *g)
{
	unsigned here = test_cpu_index;

	if (g->home == NO_CPU)
		return;
	test_cpu_index = g->home;
	vmx_switch_release(&g->s);
	vmx_lbr_release(&g->s);
	if (model_current[g->home] == &g->vmcs)
		model_current[g->home] = NULL;
	g->home = NO_CPU;
	test_cpu_index = here;
}

/* vmx_vcpu_reset(), as far as it belongs here. */
static void reset(struct guest *g, bool init)
{
	if (!init)
		release(g);
	memset(&g->s.x.state, 0, sizeof(g->s.x.state));
	g->s.x.avail = g->s.x.dirty = 0;
	vmx_make_current(&g->s);
	vmx_switch_reset(&g->s, init);
	vmx_lbr_reset(&g->s, init);
	vmwrite(VMCS_ENTRY_CONTROLS, vmx_caps.entry);
	vmwrite(VMCS_EXIT_CONTROLS, vmx_caps.exit);
	g->debugctl = g->ideal.debugctl = g->ideal.lbr_ctl = 0;
	if (init)
		return;
	memset(&g->ideal, 0, sizeof(g->ideal));
	g->ideal.depth = modelled.depth;
	for (unsigned i = 0; i < ARRAY_SIZE(direct); i++)
		g->ideal.other[g->ideal.others++].index = direct[i].index;
}

/* The scheduler gives @g the CPU: vmx_run(). */
static void schedule(struct guest *g, int cpu)
{
	if (g->home != cpu)
		release(g);
	g->cpu = cpu;
	running[cpu] = g;
	if (model_random(20) == 0)
		reset(g, model_random(2));
	vmx_make_current(&g->s);
	vmx_switch_to(&g->s);
	vmx_lbr_switch_to(&g->s);
	enter(g);
}

static void preempt(struct guest *g)
{
	leave(g);
	if (g->s.x.dirty)
		vmx_write_back(&g->s);
	running[g->cpu] = NULL;
	g->cpu = NO_CPU;
	if (model_random(4) == 0)
		release(g);
}

/* All that a capability MSR may allow, and nothing that must be. */
static void add_vmx(void)
{
	static const uint32_t msrs[] = {
		MSR_VMX_BASIC, MSR_VMX_PIN_CTLS, MSR_VMX_PRIMARY_CTLS, MSR_VMX_EXIT_CTLS,
		MSR_VMX_ENTRY_CTLS, MSR_VMX_MISC, MSR_VMX_CR0_FIXED0, MSR_VMX_CR0_FIXED1,
		MSR_VMX_CR4_FIXED0, MSR_VMX_CR4_FIXED1, MSR_VMX_SECONDARY_CTLS,
		MSR_VMX_EPT_VPID_CAP,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++)
		model_has(msrs[i], msrs[i] == MSR_VMX_BASIC	     ? 0
				   : msrs[i] == MSR_VMX_EPT_VPID_CAP ? UINT64_MAX
				   : msrs[i] == MSR_VMX_EXIT_CTLS    ? ~exits_lack << 32
								     : MASK(63, 32));
	for (unsigned i = 0; i < ARRAY_SIZE(direct); i++)
		model_has(direct[i].index, FIRMWARE);
}

/* A machine as Socle finds it, and its guests. */
static void power_on(void)
{
	char why[200] = "";

	memset(guests, 0, sizeof(guests));
	memset(running, 0, sizeof(running));
	memset(holders, 0, sizeof(holders));
	memset(residents, 0, sizeof(residents));
	memset(model_current, 0, sizeof(model_current));
	memset(&lbr_offer, 0, sizeof(lbr_offer));
	memset(&vmx_caps, 0, sizeof(vmx_caps));
	pages_used = 0;
	model_cpus_new(FIRMWARE);
	add_vmx();
	msr_init();
	assert_true(vmx_probe_controls(why, sizeof(why)));
	for (test_cpu_index = 0; test_cpu_index < MODEL_CPUS; test_cpu_index++)
		vmx_lbr_cpu_on(test_cpu_index == 0);
	test_cpu_index = 0;
	assert_int_equal(vmx_maps_init(), 0);
	for (unsigned i = 0; i < GUESTS; i++) {
		struct guest *g = &guests[i];

		g->s.x.base.vm = &g->vm;
		g->own = (uint64_t)(i + 1) << 40;
		g->cpu = g->home = NO_CPU;
		msr_create(&g->s.x);
		assert_int_equal(vmx_msr_maps(&g->s.x), 0);
		reset(g, false);
		release(g);
	}
}

#endif
