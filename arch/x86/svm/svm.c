/* SPDX-License-Identifier: BSD-2-Clause */
/* AMD SVM: is it there, turning it on, and the life of a virtual CPU. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/guest/cet.h"
#include "socle/guest/context.h"
#include "socle/guest/cpuid.h"
#include "socle/guest/lbr.h"
#include "socle/guest/msr.h"
#include "socle/guest/pmu.h"
#include "socle/guest/spec_ctrl.h"
#include "socle/report.h"
#include "socle/string.h"
#include "svm.h"
#include "svm_insn.h"

enum { VM_CR_SVMDIS = BIT(4), VM_CR_LOCK = BIT(3) };

uint64_t svm_clean;

/*
 * Address-space identifiers are handed out in turn, on each CPU; when they are used up, as they are
 * at first, a new generation starts with a flush of everything. ASID 0 is ours. A vCPU that comes
 * to a CPU gets a new one, so what it left in the TLB when it was there before is never used.
 */
static struct __aligned(64) asids
{
	uint32_t next;
	uint64_t generation;
}
asids[CPU_MAX];

static bool svm_probe(char *why, size_t size)
{
	uint64_t vm_cr;

	if (!cpu_has(CPU_SVM)) {
		format(why, size,
		       cpu_info.vendor == CPU_VENDOR_AMD
			       ? "the CPU does not offer AMD SVM: turn on 'SVM Mode' in "
				 "the firmware setup"
			       : "the CPU has no AMD SVM");
		return false;
	}
	if (msr_read_safe(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS)) {
		format(why, size, "AMD SVM is %s by the firmware: turn on 'SVM Mode' in its setup",
		       vm_cr & VM_CR_LOCK ? "locked off" : "turned off");
		return false;
	}
	if (!cpu_has(CPU_SVM_NPT)) {
		format(why, size, "the CPU has AMD SVM without nested paging, which is needed");
		return false;
	}
	return true;
}

static status_t svm_cpu_on(void)
{
	struct cpu *cpu = this_cpu();
	/* The page for VMRUN's own state, and one for our VMSAVE of what it leaves alone. */
	uint8_t *pages = pages_alloc(2 * PAGE_SIZE, OWNER_CORE);
	uint64_t vm_cr;

	if (!pages)
		return -S_NOMEM;
	/* As in svm_probe(), but this CPU's. */
	if (msr_read_safe(MSR_VM_CR, &vm_cr) && (vm_cr & VM_CR_SVMDIS))
		return -S_PERM;
	asids[cpu->id] = (struct asids){.next = UINT32_MAX, .generation = 1};
	cpu->host_area = pages;
	cpu->host_area_pa = virt_to_phys(pages);
	msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_SVME);
	msr_write(MSR_VM_HSAVE_PA, cpu->host_area_pa);
	vmsave(cpu->host_area_pa + PAGE_SIZE);
	svm_lbr_cpu_on(cpu->id == 0);
	svm_pmu_cpu_on(cpu->id == 0);
	if (cpu->id)
		return 0;
	/* With shadow stacks, VMRUN and #VMEXIT switch their state always. */
	cet_probe(cpu_has(CPU_SHSTK));
	spec_ctrl_probe();
	svm_clean = cpu_has(CPU_SVM_CLEAN) ? CLEAN_ALL & ~(uint64_t)(CLEAN_INT | CLEAN_CR2) : 0;
	return svm_maps_init();
}

static const char *svm_features(void)
{
	static char text[80];

	format(text, sizeof(text), "%s%s%s%s%s%s", cpu_has(CPU_SVM_NRIPS) ? ", next RIP" : "",
	       cpu_has(CPU_SVM_CLEAN) ? ", clean bits" : "",
	       cpu_has(CPU_SVM_FLUSH_ASID) ? ", flush by ASID" : "", lbr_offered() ? ", LBR" : "",
	       pmu_offered() ? ", PMU" : "", cpu_has(CPU_SVM_SPEC_CTRL) ? ", SPEC_CTRL" : "");
	return text;
}

static struct x86_vcpu *svm_vcpu_create(struct vm *vm, unsigned id)
{
	struct svm_vcpu *s = pages_alloc(sizeof(*s), OWNER_VM_CORE);
	struct vmcb *vmcb = pages_alloc(sizeof(*vmcb), OWNER_VM_CORE);

	if (!s || !vmcb) {
		pages_free(s, sizeof(*s), OWNER_VM_CORE);
		pages_free(vmcb, sizeof(*vmcb), OWNER_VM_CORE);
		return NULL;
	}
	s->vmcb = vmcb;
	s->vmcb_pa = virt_to_phys(vmcb);
	s->next_rip = cpu_has(CPU_SVM_NRIPS);
	s->x.base.vm = vm;
	s->x.base.id = id;
	return &s->x;
}

/*
 * What makes an exit. CR0, CR3, DR0-7, FS, GS, SYSCALL registers and RDTSC do not, nor does CR4
 * with the default CPU model.
 */
static void set_intercepts(struct vmcb *c, const struct x86_vcpu *v)
{
	const struct guest_cpuid *cpuid = v->cpuid;

	enum { CR8_READ = BIT(8), CR4_WRITE = BIT(20), CR8_WRITE = BIT(24) };

	c->intercept_cr = CR8_READ | CR8_WRITE | (cpuid->hides_cr4 ? CR4_WRITE : 0);
	/* #DB and #AC: a guest can make their delivery recur for ever inside the CPU. */
	c->intercept_exc = BIT(VEC_DB) | BIT(VEC_AC) | BIT(VEC_MC);
	c->intercept3 = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_INIT |
			(v->pmu ? 0 : INTERCEPT_RDPMC) | INTERCEPT_CPUID | INTERCEPT_INVD |
			INTERCEPT_HLT | INTERCEPT_INVLPGA | INTERCEPT_IOIO | INTERCEPT_MSR |
			INTERCEPT_SHUTDOWN;
	c->intercept4 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD | INTERCEPT_VMSAVE |
			INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT | INTERCEPT_WBINVD |
			INTERCEPT_MONITOR | INTERCEPT_MWAIT | INTERCEPT_MWAIT_ARMED |
			INTERCEPT_XSETBV | INTERCEPT_RDPRU |
			(cpuid_guest_has(cpuid, GUEST_rdtscp) ? 0 : INTERCEPT_RDTSCP);
}

static struct x86_segment segment(uint16_t selector, uint16_t attr, uint32_t limit, uint64_t base)
{
	return (struct x86_segment){selector, attr, limit, base};
}

/* Clears the VMCB but for the MSRs there that survive an INIT: the system calls'. */
static void clear_vmcb(struct vmcb *c, bool init)
{
	enum { KEPT = offsetof(struct vmcb, star), END = offsetof(struct vmcb, cr2) };
	uint8_t kept[END - KEPT];

	memcpy(kept, (uint8_t *)c + KEPT, sizeof(kept));
	memset(c, 0, sizeof(*c));
	if (init)
		memcpy((uint8_t *)c + KEPT, kept, sizeof(kept));
}

/* Power-on state: SDM vol. 3, table 10-1; APM vol. 2, 14.1.3. */
static void svm_vcpu_reset(struct x86_vcpu *v, bool init)
{
	enum { DATA = 0x93, CODE = 0x9b, LDT = 0x82, TSS_BUSY = 0x8b };
	struct svm_vcpu *s = svm_vcpu(v);
	struct vmcb *c = s->vmcb;
	struct svm_lbr kept = svm_lbr_get(s);
	uint64_t spec_ctrl = init ? svm_spec_ctrl(v) : 0;

	clear_vmcb(c, init);
	set_intercepts(c, v);
	c->iopm_pa = svm_iopm_pa;
	svm_spec_ctrl_reset(s, spec_ctrl);
	svm_lbr_reset(s, init ? &kept : NULL);
	c->tsc_offset = v->tsc_offset;
	c->int_ctl = V_INTR_MASKING;
	c->np_control = NP_ENABLE;
	c->ncr3 = v->base.vm->mem.pt.root;
	c->cs = segment(0xf000, CODE, 0xffff, 0xffff0000);
	c->ds = c->es = c->fs = c->gs = c->ss = segment(0, DATA, 0xffff, 0);
	c->ldtr = segment(0, LDT, 0xffff, 0);
	c->tr = segment(0, TSS_BUSY, 0xffff, 0);
	c->gdtr.limit = c->idtr.limit = 0xffff;
	c->efer = EFER_SVME;
	c->cr0 = CR0_ET | CR0_NW | CR0_CD;
	c->dr6 = 0xffff0ff0;
	c->dr7 = 0x400;
	c->rflags = RFLAGS_FIXED;
	c->rip = 0xfff0;
	c->g_pat = *msr_stored(v, MSR_PAT);
	svm_cet_reset(c);
	v->state.gpr[GPR_RDX] = cpuid(1, 0).eax;
	s->asid_generation = 0;
	s->hlt_rip = s->nmi_iret = NOWHERE;
	s->stepping = s->watches = false;
}

/* At the next entry; the svm_prepare() after it ends that. */
static void flush_all(struct svm_vcpu *s)
{
	s->vmcb->tlb_control = TLB_FLUSH_ALL;
	vcpu_request_self(&s->x.base, VCPU_REQ_AGAIN);
}

static void take_asid(struct svm_vcpu *s)
{
	struct asids *a = &asids[cpu_index()];
	struct vmcb *c = s->vmcb;

	if (s->asid_cpu == cpu_index() && s->asid_generation == a->generation)
		return;
	if (a->next >= cpu_info.asids) {
		a->next = 1;
		a->generation++;
		flush_all(s);
	}
	s->asid_cpu = cpu_index();
	s->asid_generation = a->generation;
	c->asid = a->next++;
	/* An emulated CPU may have fewer than two: then nothing may survive a switch. */
	if (cpu_info.asids < 3)
		flush_all(s);
	svm_touch(c, CLEAN_ASID);
}

/* Pages may have been taken from the guest while this vCPU did not run. */
static void notice_removals(struct svm_vcpu *s)
{
	const struct guest_mem *mem = &s->x.base.vm->mem;

	if (unlikely(guest_mem_stale(mem) || s->memory_epoch != guest_mem_epoch(mem)))
		vcpu_request_self(&s->x.base, VCPU_REQ_FLUSH);
}

/* GIF is 0. */
static int run_loop(struct svm_vcpu *s)
{
	if (likely(!s->switches_spec_ctrl))
		return svm_run_loop(s);
	svm_spec_ctrl_enter(s);
	return svm_run_loop_switched(s);
}

static enum vcpu_leave svm_run(struct vcpu *b)
{
	struct svm_vcpu *s = svm_vcpu(x86_vcpu(b));
	uint64_t host_pa = this_cpu()->host_area_pa + PAGE_SIZE;
	int leave;

	if (!x86_vcpu_awake(&s->x))
		return VCPU_LEAVE_HALTED;
	context_load(&s->x);
	if (unlikely(s->x.pmu))
		pmu_switch_to(&s->x);
	notice_removals(s);
	svm_intercept_pause(s);
	s->vmcb->clean = 0;
	clgi();
	interrupts_enable();
	cpu_double_fault_stack(false);
	vmload(s->vmcb_pa);
	cr2_write(s->vmcb->cr2); /* Bochs 2.7's VMRUN does not load it */
	s->loaded = true;
	leave = svm_prepare(s);
	if (!leave) {
		take_asid(s);
		leave = run_loop(s);
	}
	vmsave(s->vmcb_pa);
	vmload(host_pa);
	s->loaded = false;
	cpu_double_fault_stack(true);
	interrupts_disable();
	stgi();
	pmu_left(&s->x);
	return leave - 1;
}

/* The registers of VMLOAD come and go with each run. */
static void svm_release(struct vcpu *b)
{
	context_release(x86_vcpu(b));
	pmu_release(x86_vcpu(b));
}

static void svm_set_pat(struct x86_vcpu *v, uint64_t pat)
{
	struct vmcb *c = svm_vcpu(v)->vmcb;

	c->g_pat = pat;
	svm_touch(c, CLEAN_NP);
}

static void svm_set_tsc_offset(struct x86_vcpu *v)
{
	struct vmcb *c = svm_vcpu(v)->vmcb;

	c->tsc_offset = v->tsc_offset;
	svm_touch(c, CLEAN_INTERCEPTS);
}

static const char *svm_exit_count(struct x86_vcpu *v, unsigned index, uint64_t *n)
{
	if (index >= EXIT_COUNTS)
		return NULL;
	*n = svm_vcpu(v)->count[index];
	if (index == COUNT_NPF)
		return "npf";
	if (index == COUNT_WRMSR)
		return "wrmsr";
	return index == COUNT_OTHER ? "unknown" : svm_exit_name(index);
}

static const struct vendor svm = {
	.name = "svm",
	.format = &pt_format_npt,
	.probe = svm_probe,
	.cpu_on = svm_cpu_on,
	.features = svm_features,
	.vcpu_create = svm_vcpu_create,
	.msr_maps = svm_msr_maps,
	.vcpu_reset = svm_vcpu_reset,
	.load = svm_load,
	.run = svm_run,
	.release = svm_release,
	.dump = svm_dump,
	.set_pat = svm_set_pat,
	.set_tsc_offset = svm_set_tsc_offset,
	.ssp_table = svm_ssp_table,
	.set_ssp_table = svm_set_ssp_table,
	.spec_ctrl = svm_spec_ctrl,
	.set_spec_ctrl = svm_set_spec_ctrl,
	.exit_count = svm_exit_count,
	.floor = svm_floor,
};
VENDOR_REGISTER(svm);
