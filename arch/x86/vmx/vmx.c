/* SPDX-License-Identifier: BSD-2-Clause */
/* Intel VMX: is it there, turning it on, and the life of a virtual CPU. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/cpu/tsc.h"
#include "socle/guest/cet.h"
#include "socle/guest/context.h"
#include "socle/guest/cpuid.h"
#include "socle/guest/lbr.h"
#include "socle/guest/msr.h"
#include "socle/guest/pmu.h"
#include "socle/guest/spec_ctrl.h"
#include "socle/report.h"
#include "socle/string.h"
#include "vmx.h"
#include "vmx_insn.h"

#define FIRMWARE_HINT "turn on 'Intel Virtualization Technology' (VT-x) in the firmware setup"

enum { PLE_GAP = 128 }; /* TSC ticks between PAUSEs of one loop */

static struct vmx_vcpu *currents[CPU_MAX];

/* The VMCS that VMREAD and VMWRITE act on; NULL: none. */
static struct vmx_vcpu **current(void)
{
	return &currents[cpu_index()];
}

/* By the firmware, on this CPU. @control: the MSR; one that is not there counts as in order. */
static bool locked_off(uint64_t *control)
{
	if (!msr_read_safe(MSR_FEATURE_CONTROL, control))
		*control = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX;
	return (*control & FEATURE_CONTROL_LOCK) && !(*control & FEATURE_CONTROL_VMX);
}

static bool vmx_probe(char *why, size_t size)
{
	uint64_t control;

	if (!cpu_has(CPU_VMX)) {
		format(why, size,
		       cpu_info.vendor == CPU_VENDOR_INTEL
			       ? "the CPU does not offer Intel VMX: " FIRMWARE_HINT
			       : "the CPU has no Intel VMX");
		return false;
	}
	if (locked_off(&control)) {
		format(why, size, "Intel VMX is locked off by the firmware: " FIRMWARE_HINT);
		return false;
	}
	return vmx_probe_controls(why, size);
}

/* What is hidden must not work: controls that allow an instruction, and that make it exit. */
static const struct {
	enum guest_feature feature;
	uint32_t allows, intercepts;
} hidden[] = {
	{GUEST_rdtscp, SECONDARY_RDTSCP, 0}, {GUEST_invpcid, SECONDARY_INVPCID, 0},
	{GUEST_xsaves, SECONDARY_XSAVES, 0},
	{GUEST_rdrand, 0, SECONDARY_RDRAND}, {GUEST_rdseed, 0, SECONDARY_RDSEED},
};

/* What no control allows, no guest can have. */
static void withhold_features(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(hidden); i++)
		if (hidden[i].allows & ~vmx_caps.secondary)
			cpu_model_withhold(hidden[i].feature);
}

static status_t vmx_cpu_on(void)
{
	struct cpu *cpu = this_cpu();
	uint32_t *region = pages_alloc(PAGE_SIZE, OWNER_CORE);
	uint64_t control;

	if (!region)
		return -S_NOMEM;
	if (locked_off(&control))
		return -S_PERM;
	/* SDM vol. 3, 24.7: without the lock VMXON faults. */
	if (!(control & FEATURE_CONTROL_LOCK))
		msr_write(MSR_FEATURE_CONTROL,
			  control | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX);
	*region = vmx_caps.basic & VMX_BASIC_REVISION;
	cpu->host_area = region;
	cpu->host_area_pa = virt_to_phys(region);
	cr0_write((cr0_read() | vmx_caps.cr0_fixed0) & vmx_caps.cr0_fixed1);
	cr4_write((cr4_read() | CR4_VMXE | vmx_caps.cr4_fixed0) & vmx_caps.cr4_fixed1);
	if (!vmxon(cpu->host_area_pa))
		return -S_IO;
	vmx_lbr_cpu_on(cpu->id == 0);
	vmx_pmu_cpu_on(cpu->id == 0);
	if (cpu->id)
		return 0;
	withhold_features();
	if (vmx_caps.apicv && vendor_apicv != APICV_ON && !vmx_apicv_trial()) {
		log_warn("apicv: off: this CPU delivers virtual interrupts to guests that have "
			 "interrupts off, as Bochs does (apicv=on uses it all the same)");
		vmx_use_apicv(false);
	}
	cet_probe(vmx_caps.cet);
	spec_ctrl_probe();
	pt_ept_init(vmx_caps.ept_vpid & EPT_CAP_PAGES_2M, vmx_caps.ept_vpid & EPT_CAP_PAGES_1G);
	return vmx_maps_init();
}

static const char *vmx_features(void)
{
	static char text[80];

	format(text, sizeof(text), ", VPID%s%s%s%s", vmx_caps.apicv ? ", APIC virtualization" : "",
	       vmx_caps.pin & PIN_PREEMPTION_TIMER ? ", preemption timer" : "",
	       lbr_offered() ? ", LBR" : "", pmu_offered() ? ", PMU" : "");
	return text;
}

static __noinline void load_vmcs(struct vmx_vcpu *s)
{
	if (!vmptrld(s->vmcs_pa))
		panic("VMPTRLD refused %#llx", (unsigned long long)s->vmcs_pa);
	*current() = s;
	if (s->cpu == cpu_index())
		return;
	/* It comes from another CPU; here, something may be left of when it was here before. */
	s->cpu = cpu_index();
	vmx_write_host_state();
	invvpid(INVVPID_SINGLE, s->vpid);
}

__hot void vmx_make_current(struct vmx_vcpu *s)
{
	if (unlikely(*current() != s))
		load_vmcs(s);
}

void vmx_current_lost(void)
{
	*current() = NULL;
}

static struct x86_vcpu *vmx_vcpu_create(struct vm *vm, unsigned id)
{
	/* Guests are made from the configuration only, so identifiers are never given back. */
	static uint16_t next_vpid = 1;
	struct vmx_vcpu *s;
	uint32_t *vmcs;

	if (!next_vpid)
		return NULL;
	s = pages_alloc(sizeof(*s), OWNER_VM_CORE);
	vmcs = pages_alloc(PAGE_SIZE, OWNER_VM_CORE);
	if (!s || !vmcs) {
		pages_free(s, sizeof(*s), OWNER_VM_CORE);
		pages_free(vmcs, PAGE_SIZE, OWNER_VM_CORE);
		return NULL;
	}
	*vmcs = vmx_caps.basic & VMX_BASIC_REVISION;
	s->vmcs = vmcs;
	s->vmcs_pa = virt_to_phys(vmcs);
	s->vpid = next_vpid++;
	s->x.base.vm = vm;
	s->x.base.id = id;
	if (vmx_apicv_create(s)) {
		pages_free(s->apic_page, PAGE_SIZE, OWNER_VM_CORE);
		pages_free(s->apic_access, PAGE_SIZE, OWNER_VM_CORE);
		pages_free(s, sizeof(*s), OWNER_VM_CORE);
		pages_free(vmcs, PAGE_SIZE, OWNER_VM_CORE);
		return NULL;
	}
	return &s->x;
}

/* SDM vol. 3, 25.5. */
void vmx_write_host_state(void)
{
	struct cpu *cpu = this_cpu();
	struct __packed {
		uint16_t limit;
		uint64_t base;
	} idtr;

	__asm__("sidt %0" : "=m"(idtr));
	vmwrite(VMCS_HOST_CR0, cr0_read());
	vmwrite(VMCS_HOST_CR3, cr3_read());
	vmwrite(VMCS_HOST_CR4, cr4_read());
	vmwrite(VMCS_HOST_EFER, msr_read(MSR_EFER));
	vmwrite(VMCS_HOST_PAT, msr_read(MSR_PAT));
	vmwrite(VMCS_HOST_CS_SELECTOR, GDT_CODE);
	vmwrite(VMCS_HOST_SS_SELECTOR, GDT_DATA);
	vmwrite(VMCS_HOST_DS_SELECTOR, GDT_DATA);
	vmwrite(VMCS_HOST_ES_SELECTOR, GDT_DATA);
	vmwrite(VMCS_HOST_FS_SELECTOR, 0);
	vmwrite(VMCS_HOST_GS_SELECTOR, 0);
	vmwrite(VMCS_HOST_TR_SELECTOR, GDT_TSS);
	vmwrite(VMCS_HOST_FS_BASE, 0);
	vmwrite(VMCS_HOST_GS_BASE, 0);
	vmwrite(VMCS_HOST_TR_BASE, (uintptr_t)&cpu->tss);
	vmwrite(VMCS_HOST_GDTR_BASE, (uintptr_t)cpu->gdt);
	vmwrite(VMCS_HOST_IDTR_BASE, idtr.base);
	vmwrite(VMCS_HOST_SYSENTER_CS, 0);
	vmwrite(VMCS_HOST_SYSENTER_ESP, 0);
	vmwrite(VMCS_HOST_SYSENTER_EIP, 0);
	vmx_cet_write_host_state();
}

static uint32_t secondary_controls(const struct x86_vcpu *v)
{
	uint32_t secondary = vmx_caps.secondary;

	for (unsigned i = 0; i < ARRAY_SIZE(hidden); i++)
		secondary &= ~(cpuid_guest_has(v->cpuid, hidden[i].feature) ? hidden[i].intercepts
									    : hidden[i].allows);
	/* Who spins alone waits for no other vCPU. */
	if (v->base.vm->settings.cpus == 1)
		secondary &= ~(uint32_t)SECONDARY_PAUSE_LOOP;
	return secondary;
}

/*
 * However long a guest goes without an exit, after this the host has its turn, even should the
 * interrupt of its own timer be lost. Reloaded at each entry, so it costs the exits nothing.
 */
static uint32_t longest_run(void)
{
	enum { PER_SECOND = 50 };
	uint64_t ticks = tsc_hz / PER_SECOND >> (vmx_caps.misc & VMX_MISC_TIMER_SHIFT);

	return MAX(1u, MIN(ticks, (uint64_t)UINT32_MAX));
}

/* What makes an exit. CR3, DR0-7, FS, GS, SYSCALL registers, RDTSC and INVLPG do not. */
static void write_controls(struct vmx_vcpu *s)
{
	struct x86_vcpu *v = &s->x;

	s->primary = vmx_caps.primary & ~(v->pmu ? (uint32_t)PRIMARY_RDPMC : 0);
	s->secondary = secondary_controls(v);
	s->entry = vmx_caps.entry | vmx_cet_entry_control(v) | vmx_pmu_entry_control(v);
	vmwrite(VMCS_PIN_CONTROLS, vmx_caps.pin);
	vmwrite(VMCS_PRIMARY_CONTROLS, s->primary);
	vmwrite(VMCS_SECONDARY_CONTROLS, s->secondary);
	vmwrite(VMCS_EXIT_CONTROLS,
		vmx_caps.exit | vmx_cet_exit_control(v) | vmx_pmu_exit_control(v));
	vmwrite(VMCS_ENTRY_CONTROLS, s->entry);
	/* #DB and #AC: a guest can make their delivery recur for ever inside the CPU. */
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VEC_DB) | BIT(VEC_AC) | BIT(VEC_MC));
	vmwrite(VMCS_PF_ERROR_MASK, 0);
	vmwrite(VMCS_PF_ERROR_MATCH, 0);
	vmwrite(VMCS_CR3_TARGET_COUNT, 0);
	vmwrite(VMCS_IO_BITMAP_A, vmx_io_bitmap_pa[0]);
	vmwrite(VMCS_IO_BITMAP_B, vmx_io_bitmap_pa[1]);
	vmwrite(VMCS_TSC_OFFSET, v->tsc_offset);
	vmwrite(VMCS_VPID, s->vpid);
	vmwrite(VMCS_EPT_POINTER, v->base.vm->mem.pt.root | vmx_caps.eptp_bits);
	vmwrite(VMCS_CR0_MASK, VMX_CR0_HOST_OWNED);
	vmwrite(VMCS_CR4_MASK, vmx_cr4_host_owned(v));
	vmwrite(VMCS_ENTRY_INTR_INFO, 0);
	if (vmx_caps.pin & PIN_PREEMPTION_TIMER)
		vmwrite(VMCS_PREEMPTION_TIMER, longest_run());
	if (s->secondary & SECONDARY_PAUSE_LOOP) {
		vmwrite(VMCS_PLE_GAP, PLE_GAP);
		s->ple_window = 0;
	}
	/* IA32_XSS is the guest's own while it runs: nothing to look at. */
	if (s->secondary & SECONDARY_XSAVES)
		vmwrite(VMCS_XSS_EXIT_BITMAP, 0);
	if (s->secondary & SECONDARY_ENCLS)
		vmwrite(VMCS_ENCLS_EXIT_BITMAP, UINT64_MAX);
	if (s->secondary & SECONDARY_ENCLV)
		vmwrite(VMCS_ENCLV_EXIT_BITMAP, UINT64_MAX);
}

static struct x86_segment segment(uint16_t selector, uint16_t attr, uint64_t base)
{
	return (struct x86_segment){selector, attr, 0xffff, base};
}

static void reset_sysenter(void)
{
	vmwrite(VMCS_GUEST_SYSENTER_CS, 0);
	vmwrite(VMCS_GUEST_SYSENTER_ESP, 0);
	vmwrite(VMCS_GUEST_SYSENTER_EIP, 0);
}

/* Power-on state: SDM vol. 3, table 10-1, but for what survives an INIT. */
static void write_guest_state(struct vmx_vcpu *s)
{
	enum { DATA = 0x93, CODE = 0x9b, LDT = 0x82, TSS_BUSY = 0x8b };
	struct x86_state *st = &s->x.state;

	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		st->seg[i] = segment(0, DATA, 0);
	st->seg[SEG_CS] = segment(0xf000, CODE, 0xffff0000);
	st->seg[SEG_LDTR] = segment(0, LDT, 0);
	st->seg[SEG_TR] = segment(0, TSS_BUSY, 0);
	st->gdtr = st->idtr = (struct x86_table){0, 0xffff};
	st->cr0 = CR0_ET | CR0_NW | CR0_CD;
	st->dr6 = 0xffff0ff0;
	st->dr7 = 0x400;
	st->rip = 0xfff0;
	st->gpr[GPR_RDX] = cpuid(1, 0).eax;
	s->x.dirty = X86_ALL;
	vmx_write_back(s);
	vmwrite(VMCS_GUEST_PAT, *msr_stored(&s->x, MSR_PAT));
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
	vmwrite(VMCS_LINK_POINTER, UINT64_MAX);
	vmx_cet_reset(s);
}

static void vmx_vcpu_reset(struct x86_vcpu *v, bool init)
{
	struct vmx_vcpu *s = vmx_vcpu(v);

	if (!vmclear(s->vmcs_pa))
		panic("VMCLEAR refused %#llx", (unsigned long long)s->vmcs_pa);
	s->launched = false;
	vmx_current_lost();
	s->cpu = CPU_MAX;
	vmx_make_current(s);
	vmx_switch_reset(s, init);
	s->apic_mode = 0;
	vmx_lbr_reset(s, init);
	vmx_pmu_reset(s, init);
	write_controls(s);
	vmx_spec_ctrl_reset(s, init);
	write_guest_state(s);
	if (!init)
		reset_sysenter();
	vmx_apicv_reset(s);
}

static enum vcpu_leave vmx_run(struct vcpu *b)
{
	struct vmx_vcpu *s = vmx_vcpu(x86_vcpu(b));
	int leave;

	if (!x86_vcpu_awake(&s->x))
		return VCPU_LEAVE_HALTED;
	context_load(&s->x);
	vmx_make_current(s);
	/* Pages may have been taken from the guest since one of its vCPUs was here. */
	if (unlikely(guest_mem_stale(&b->vm->mem)))
		vmx_flush(s);
	vmx_switch_to(s);
	vmx_lbr_switch_to(s);
	if (unlikely(s->x.pmu))
		pmu_switch_to(&s->x);
	vmx_watch_spinning(s);
	leave = vmx_prepare(s);
	if (!leave)
		leave = vmx_run_loop(s);
	pmu_left(&s->x);
	return leave - 1;
}

/* A VMCS may be active on one CPU at a time (SDM vol. 3, 25.11.1). */
static void vmx_release(struct vcpu *b)
{
	struct vmx_vcpu *s = vmx_vcpu(x86_vcpu(b));

	context_release(&s->x);
	vmx_switch_release(s);
	vmx_lbr_release(s);
	pmu_release(&s->x);
	if (!vmclear(s->vmcs_pa))
		panic("VMCLEAR refused %#llx", (unsigned long long)s->vmcs_pa);
	s->launched = false;
	if (*current() == s)
		*current() = NULL;
}

static void vmx_set_pat(struct x86_vcpu *v, uint64_t pat)
{
	vmx_make_current(vmx_vcpu(v));
	vmwrite(VMCS_GUEST_PAT, pat);
}

static __noinline __cold void set_tsc_offset_elsewhere(struct vmx_vcpu *s)
{
	vmx_make_current(s);
	vmwrite(VMCS_TSC_OFFSET, s->x.tsc_offset);
}

static __hot void vmx_set_tsc_offset(struct x86_vcpu *v)
{
	if (likely(v->base.state == VCPU_RUNNING))
		vmwrite(VMCS_TSC_OFFSET, v->tsc_offset);
	else
		set_tsc_offset_elsewhere(vmx_vcpu(v));
}

static const char *vmx_exit_count(struct x86_vcpu *v, unsigned index, uint64_t *n)
{
	if (index >= EXIT_COUNTS)
		return NULL;
	*n = vmx_vcpu(v)->count[index];
	return index == COUNT_OTHER ? "unknown" : vmx_exit_name(index);
}

static const struct vendor vmx = {
	.name = "vmx",
	.format = &pt_format_ept,
	.probe = vmx_probe,
	.cpu_on = vmx_cpu_on,
	.features = vmx_features,
	.vcpu_create = vmx_vcpu_create,
	.msr_maps = vmx_msr_maps,
	.vcpu_reset = vmx_vcpu_reset,
	.load = vmx_load,
	.run = vmx_run,
	.release = vmx_release,
	.dump = vmx_dump,
	.set_pat = vmx_set_pat,
	.set_tsc_offset = vmx_set_tsc_offset,
	.ssp_table = vmx_ssp_table,
	.set_ssp_table = vmx_set_ssp_table,
	.spec_ctrl = vmx_spec_ctrl,
	.set_spec_ctrl = vmx_set_spec_ctrl,
	.exit_count = vmx_exit_count,
	.floor = vmx_floor,
};
VENDOR_REGISTER(vmx);
