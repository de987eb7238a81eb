/* SPDX-License-Identifier: BSD-2-Clause */
/* The exit table of VMX: from an exit reason to the handler of its meaning. */
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/guest/exits.h"
#include "socle/guest/walk.h"
#include "socle/kernel/clock.h"
#include "socle/platform/lapic.h"
#include "socle/report.h"
#include "checks.h"
#include "vmx.h"
#include "vmx_insn.h"

enum { POLLS = 256 }; /* port accesses between two looks, in a read, at the host's interrupts */
enum { BLOCKING_SHADOW = BLOCKING_STI | BLOCKING_MOV_SS };

static enum insn_mode code_mode(void)
{
	uint32_t access = vmread(VMCS_GUEST_CS_ACCESS);

	/* The CPU keeps the control up to date at exits (SDM vol. 3, 28.2). */
	if ((access & ACCESS_L) && (vmread(VMCS_ENTRY_CONTROLS) & ENTRYCTL_IA32E))
		return INSN_MODE_64;
	return access & ACCESS_DB ? INSN_MODE_32 : INSN_MODE_16;
}

/* An instruction that is done ends the shadow of STI or MOV SS. */
static __always_inline void end_shadow(void)
{
	uint32_t blocking = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (unlikely(blocking & BLOCKING_SHADOW))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, blocking & ~(uint32_t)BLOCKING_SHADOW);
}

/* The other half of advance(): single step, a breakpoint before it, the end of the segment. */
static __noinline void advance_slow(struct vmx_vcpu *s)
{
	struct x86_vcpu *v = &s->x;

	x86_load(v, X86_RIP | X86_RFLAGS | X86_DR);
	if ((v->state.rflags & RFLAGS_TF) && !x86_steps_branches(v))
		x86_raise_exception(v, &(struct x86_exception){.vector = VEC_DB,
							       .has_payload = true,
							       .payload = PENDING_DEBUG_BS});
	insn_skip(&v->state, code_mode(), vmread(VMCS_EXIT_INSN_LEN));
	x86_dirty(v, X86_RIP | X86_RFLAGS);
	end_shadow();
}

static __always_inline void advance(struct vmx_vcpu *s)
{
	if (unlikely(vmread(VMCS_GUEST_RFLAGS) & (RFLAGS_TF | RFLAGS_RF))) {
		advance_slow(s);
		return;
	}
	/* An overflow out of 32 bits makes the entry fail: entry_failed() repairs it. */
	vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + vmread(VMCS_EXIT_INSN_LEN));
	end_shadow();
}

void vmx_advance(struct vmx_vcpu *s)
{
	/* The cache may hold an older RIP. */
	if (s->x.avail & (X86_RIP | X86_RFLAGS))
		advance_slow(s);
	else
		advance(s);
}

static __always_inline int tail(struct vmx_vcpu *s)
{
	if (likely(!(s->x.base.requests | s->x.dirty)))
		return 0;
	return vmx_prepare(s);
}

/*
 * An exit in the middle of an event's delivery. A guest can make these follow each other without
 * an instruction in between, where interrupts would be noticed: so they are taken here.
 */
static __noinline __cold void delivery_interrupted(struct vmx_vcpu *s, uint32_t info)
{
	vmx_interrupted(s, info);
	interrupts_take();
}

/* The IRET that ended an NMI's handler was itself interrupted: NMIs are still blocked. */
static __noinline __cold void block_nmis_again(void)
{
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, vmread(VMCS_GUEST_INTERRUPTIBILITY) | BLOCKING_NMI);
}

static __noinline __cold int on_msr_fault(struct vmx_vcpu *s)
{
	exit_msr_fault(&s->x);
	return vmx_prepare(s);
}

/* The frequent exits. */
static __noinline __hot int on_rdmsr(struct vmx_vcpu *s)
{
	s->count[VMX_EXIT_RDMSR]++;
	if (unlikely(!exit_msr_read(&s->x)))
		return on_msr_fault(s);
	advance(s);
	return tail(s);
}

static __noinline __hot int on_wrmsr(struct vmx_vcpu *s)
{
	s->count[VMX_EXIT_WRMSR]++;
	if (unlikely(!exit_msr_write(&s->x)))
		return on_msr_fault(s);
	advance(s);
	return tail(s);
}

static __noinline __hot int on_cpuid(struct vmx_vcpu *s)
{
	s->count[VMX_EXIT_CPUID]++;
	if (unlikely(!exit_cpuid_fast(&s->x)))
		exit_cpuid(&s->x);
	advance(s);
	return tail(s);
}

static __noinline __hot int on_vmcall(struct vmx_vcpu *s)
{
	s->count[VMX_EXIT_VMCALL]++;
	exit_hypercall(&s->x);
	advance(s);
	return tail(s);
}

static __noinline __hot int on_io(struct vmx_vcpu *s)
{
	uint32_t how = vmread(VMCS_EXIT_QUALIFICATION);
	unsigned size = (how & IO_SIZE) + 1;
	uint16_t port = how >> IO_PORT_SHIFT;

	s->count[VMX_EXIT_IO]++;
	if (unlikely(how & IO_STRING)) {
		x86_emulate_io(&s->x, port, size);
		if (s->x.dirty & X86_RIP)
			end_shadow();
		return tail(s);
	}
	if (how & IO_IN) {
		/* A guest that was entered with IF clear makes no exit for interrupts in Bochs. */
		if (unlikely(s->count[VMX_EXIT_IO] % POLLS == 0))
			interrupts_take();
		exit_port_in(&s->x, port, size);
	} else {
		exit_port_out(&s->x, port, size);
	}
	advance(s);
	return tail(s);
}

/* Bits are where the neutral flags have them, or a shift away. */
_Static_assert((int)EPT_VIOLATION_WRITE == (int)NESTED_WRITE &&
		       (int)EPT_VIOLATION_FETCH << 2 == (int)NESTED_FETCH,
	       "copied as they are");
enum {
	EPT_PRESENT = EPT_VIOLATION_READABLE | EPT_VIOLATION_WRITABLE | EPT_VIOLATION_EXECUTABLE,
	EPT_TABLE_WALK = EPT_VIOLATION_LINEAR_VALID | EPT_VIOLATION_FINAL,
};

/* An access to @gpa that has no memory behind it; @flags: enum nested_flags. */
static __always_inline int nested_access(struct vmx_vcpu *s, uint64_t gpa, uint32_t flags,
					 bool nmi_unblocked)
{
	uint64_t rip = vmread(VMCS_GUEST_RIP), rflags = vmread(VMCS_GUEST_RFLAGS);
	uint32_t vectoring = vmread(VMCS_IDT_VECTORING_INFO);
	struct nested_fault f = {
		.gpa = gpa,
		.la = rip,
		.cr3 = vmread(VMCS_GUEST_CR3),
		/* RF is set by the exit, and means nothing here (SDM vol. 3, 28.3.3). */
		.flags = flags | (rflags & RFLAGS_TF),
		.mode = code_mode(),
	};
	unsigned len;

	if (unlikely(f.mode != INSN_MODE_64))
		f.la = (uint32_t)(rip + vmread(VMCS_GUEST_CS_BASE));
	if (unlikely(vectoring & INTR_INFO_VALID))
		delivery_interrupted(s, vectoring);
	else if (unlikely(nmi_unblocked))
		block_nmis_again();
	len = exit_nested_fault(&s->x, &f);
	if (unlikely(s->apic_page) && (gpa & PAGE_MASK) == LAPIC_GPA)
		lapic_page_refresh(s->x.lapic);
	if (likely(len)) {
		vmwrite(VMCS_GUEST_RIP, rip + len);
		if (rflags & RFLAGS_RF)
			vmwrite(VMCS_GUEST_RFLAGS, rflags & ~(uint64_t)RFLAGS_RF);
		end_shadow();
	} else if (s->x.dirty & X86_RIP) {
		end_shadow();
	}
	return tail(s);
}

static __noinline __hot int on_ept_violation(struct vmx_vcpu *s)
{
	uint64_t how = vmread(VMCS_EXIT_QUALIFICATION);
	uint32_t flags = (how & EPT_VIOLATION_WRITE) | (how & EPT_VIOLATION_FETCH) << 2 |
			 (how & EPT_PRESENT ? NESTED_PRESENT : 0) |
			 ((how & EPT_TABLE_WALK) == EPT_VIOLATION_LINEAR_VALID ? NESTED_TABLE : 0);

	s->count[VMX_EXIT_EPT_VIOLATION]++;
	return nested_access(s, vmread(VMCS_GUEST_PHYSICAL_ADDRESS), flags,
			     how & EPT_VIOLATION_NMI_UNBLOCKED);
}

/* What of the local APIC's page the CPU does not do by itself. */
static int on_apic_access(struct vmx_vcpu *s)
{
	uint64_t how = vmread(VMCS_EXIT_QUALIFICATION);
	unsigned type = (how & APIC_ACCESS_TYPE) >> APIC_ACCESS_TYPE_SHIFT;
	uint32_t flags = type == APIC_TYPE_LINEAR_READ	  ? 0
			 : type == APIC_TYPE_LINEAR_WRITE ? NESTED_WRITE
			 : type == APIC_TYPE_LINEAR_FETCH ? NESTED_FETCH
							  : NESTED_TABLE;

	/* Bits 11:0 are the offset of a linear access only. */
	return nested_access(s, LAPIC_GPA | (how & APIC_ACCESS_OFFSET), flags, false);
}

static int on_apic_write(struct vmx_vcpu *s)
{
	vmx_apicv_write(s);
	return tail(s);
}

static int on_virtualized_eoi(struct vmx_vcpu *s)
{
	vmx_apicv_eoi(s);
	return tail(s);
}

/* The exit leaves it pending. */
static int on_interrupt(struct vmx_vcpu *s)
{
	interrupts_take();
	return tail(s);
}

static int on_init(struct vmx_vcpu *s)
{
	return tail(s);
}

static int on_hlt(struct vmx_vcpu *s)
{
	bool interrupts = vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF;

	/* An IRET may have unblocked NMIs since the last entry with something to do. */
	if (unlikely(s->x.events.nmi_blocked))
		s->x.events.nmi_blocked = vmread(VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_NMI;
	advance(s);
	if (!x86_vcpu_halt(&s->x, interrupts)) {
		if (s->x.dirty)
			vmx_write_back(s);
		return 1 + VCPU_LEAVE_HALTED;
	}
	return vmx_prepare(s);
}

static int on_window(struct vmx_vcpu *s)
{
	vcpu_request_self(&s->x.base, VCPU_REQ_AGAIN);
	return vmx_prepare(s);
}

/* The guest has run for long: see longest_run(). */
static int on_preemption_timer(struct vmx_vcpu *s)
{
	interrupts_take();
	timers_poll();
	vcpu_request_self(&s->x.base, VCPU_REQ_LEAVE);
	return vmx_prepare(s);
}

/* RIP behind the instruction, whose trap is about to be raised. */
static void step_behind(struct vmx_vcpu *s)
{
	x86_load(&s->x, X86_RIP | X86_RFLAGS);
	insn_skip(&s->x.state, code_mode(), vmread(VMCS_EXIT_INSN_LEN));
	x86_dirty(&s->x, X86_RIP | X86_RFLAGS);
	end_shadow();
}

/* NMIs, and exceptions that are intercepted only because the CPU could hang in them. */
static int on_exception(struct vmx_vcpu *s)
{
	uint32_t info = vmread(VMCS_EXIT_INTR_INFO);
	uint8_t vector = info & INTR_INFO_VECTOR;

	if ((info & INTR_INFO_TYPE) >> INTR_INFO_TYPE_SHIFT == INTR_TYPE_NMI) {
		/* The exit took it. */
		nmi_handle();
		return tail(s);
	}
	if (vector == VEC_MC)
		panic("machine check while a guest ran");
	if ((info & INTR_INFO_NMI_UNBLOCKED) &&
	    !(vmread(VMCS_IDT_VECTORING_INFO) & INTR_INFO_VALID))
		block_nmis_again();
	/* A breakpoint on the stack of its own handler recurs before any interrupt is looked at. */
	interrupts_take();
	/* INT1 exits before it is executed, and is a trap. */
	if ((info & INTR_INFO_TYPE) >> INTR_INFO_TYPE_SHIFT == INTR_TYPE_PRIV_SOFT_EXCEPTION)
		step_behind(s);
	/* DR6 is not updated yet (SDM vol. 3, 28.1). */
	if (vector == VEC_DB)
		x86_raise_exception(
			&s->x, &(struct x86_exception){.vector = VEC_DB,
						       .has_payload = true,
						       .payload = vmread(VMCS_EXIT_QUALIFICATION)});
	else
		x86_raise_error(&s->x, vector, 0);
	return vmx_prepare(s);
}

/* It waits for another vCPU, perhaps: who waits for this CPU has a turn. */
static int on_pause(struct vmx_vcpu *s)
{
	advance(s);
	/* It may spin with IF clear: as with port reads. */
	interrupts_take();
	sched_give_way();
	return vmx_prepare(s);
}

static int on_undefined(struct vmx_vcpu *s)
{
	x86_raise(&s->x, VEC_UD);
	return vmx_prepare(s);
}

static int on_rdpmc(struct vmx_vcpu *s)
{
	x86_raise_error(&s->x, VEC_GP, 0);
	return vmx_prepare(s);
}

/* Caches are coherent for all that a guest can reach: nothing to do. */
static int on_wbinvd(struct vmx_vcpu *s)
{
	advance(s);
	return tail(s);
}

static int on_xsetbv(struct vmx_vcpu *s)
{
	if (exit_xsetbv(&s->x))
		advance(s);
	return tail(s);
}

static int on_cr_access(struct vmx_vcpu *s)
{
	int leave = vmx_exit_cr_access(s);

	end_shadow();
	return leave ? leave : tail(s);
}

static int on_triple_fault(struct vmx_vcpu *s)
{
	vm_kill(s->x.base.vm, "vCPU %u: triple fault (rip %04x:%#llx)", s->x.base.id,
		(unsigned)vmread(VMCS_GUEST_CS_SELECTOR),
		(unsigned long long)vmread(VMCS_GUEST_RIP));
	return vmx_prepare(s);
}

static int on_task_switch(struct vmx_vcpu *s)
{
	vm_kill(s->x.base.vm, "vCPU %u: hardware task switch to %04x: not supported on VMX",
		s->x.base.id, (unsigned)vmread(VMCS_EXIT_QUALIFICATION) & TASK_SWITCH_SELECTOR);
	return vmx_prepare(s);
}

static int on_ept_misconfig(struct vmx_vcpu *s)
{
	vm_kill(s->x.base.vm, "vCPU %u: damaged page tables for %#llx", s->x.base.id,
		(unsigned long long)vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	return vmx_prepare(s);
}

typedef int (*exit_handler)(struct vmx_vcpu *s);

struct exit_entry {
	const char *name;
	exit_handler handle; /* NULL: never enabled, so a bug or a broken CPU */
};

static const struct exit_entry exits[VMX_EXIT_REASONS] = {
	[VMX_EXIT_EXCEPTION_NMI] = {"exception", on_exception},
	[VMX_EXIT_EXTERNAL_INTERRUPT] = {"intr", on_interrupt},
	[VMX_EXIT_TRIPLE_FAULT] = {"shutdown", on_triple_fault},
	[VMX_EXIT_INIT] = {"init", on_init},
	[VMX_EXIT_INTERRUPT_WINDOW] = {"intr-window", on_window},
	[VMX_EXIT_NMI_WINDOW] = {"nmi-window", on_window},
	[VMX_EXIT_TASK_SWITCH] = {"task-switch", on_task_switch},
	[VMX_EXIT_CPUID] = {"cpuid", NULL},
	[VMX_EXIT_GETSEC] = {"getsec", on_undefined},
	[VMX_EXIT_HLT] = {"hlt", on_hlt},
	[VMX_EXIT_INVD] = {"invd", on_wbinvd},
	[VMX_EXIT_RDPMC] = {"rdpmc", on_rdpmc},
	[VMX_EXIT_VMCALL] = {"vmcall", NULL},
	[VMX_EXIT_VMCLEAR] = {"vmclear", on_undefined},
	[VMX_EXIT_VMLAUNCH] = {"vmlaunch", on_undefined},
	[VMX_EXIT_VMPTRLD] = {"vmptrld", on_undefined},
	[VMX_EXIT_VMPTRST] = {"vmptrst", on_undefined},
	[VMX_EXIT_VMREAD] = {"vmread", on_undefined},
	[VMX_EXIT_VMRESUME] = {"vmresume", on_undefined},
	[VMX_EXIT_VMWRITE] = {"vmwrite", on_undefined},
	[VMX_EXIT_VMXOFF] = {"vmxoff", on_undefined},
	[VMX_EXIT_VMXON] = {"vmxon", on_undefined},
	[VMX_EXIT_CR_ACCESS] = {"cr", on_cr_access},
	[VMX_EXIT_IO] = {"io", NULL},
	[VMX_EXIT_RDMSR] = {"rdmsr", NULL},
	[VMX_EXIT_WRMSR] = {"wrmsr", NULL},
	[VMX_EXIT_MWAIT] = {"mwait", on_undefined},
	[VMX_EXIT_MONITOR] = {"monitor", on_undefined},
	[VMX_EXIT_PAUSE] = {"pause", on_pause},
	[VMX_EXIT_APIC_ACCESS] = {"apic-access", on_apic_access},
	[VMX_EXIT_VIRTUALIZED_EOI] = {"eoi", on_virtualized_eoi},
	[VMX_EXIT_EPT_VIOLATION] = {"ept-violation", NULL},
	[VMX_EXIT_EPT_MISCONFIG] = {"ept-misconfig", on_ept_misconfig},
	[VMX_EXIT_INVEPT] = {"invept", on_undefined},
	[VMX_EXIT_PREEMPTION_TIMER] = {"preempt", on_preemption_timer},
	[VMX_EXIT_INVVPID] = {"invvpid", on_undefined},
	[VMX_EXIT_WBINVD] = {"wbinvd", on_wbinvd},
	[VMX_EXIT_XSETBV] = {"xsetbv", on_xsetbv},
	[VMX_EXIT_APIC_WRITE] = {"apic-write", on_apic_write},
	[VMX_EXIT_RDRAND] = {"rdrand", on_undefined},
	[VMX_EXIT_RDSEED] = {"rdseed", on_undefined},
	[VMX_EXIT_VMFUNC] = {"vmfunc", on_undefined},
	[VMX_EXIT_ENCLS] = {"encls", on_undefined},
	[VMX_EXIT_ENCLV] = {"enclv", on_undefined},
	[VMX_EXIT_RDMSR_IMM] = {"rdmsr-imm", on_undefined},
	[VMX_EXIT_WRMSR_IMM] = {"wrmsr-imm", on_undefined},
	[VMX_EXIT_SEAMCALL] = {"seamcall", on_undefined},
	[VMX_EXIT_TDCALL] = {"tdcall", on_undefined},
};

const char *vmx_exit_name(uint32_t reason)
{
	if (reason >= VMX_EXIT_REASONS || !exits[reason].name)
		return "";
	return exits[reason].name;
}

/* The CPU says only that it refused; which check failed is found out in software. */
static __cold int explain(struct vmx_vcpu *s, const char *what, unsigned code)
{
	char text[224];
	const char *check = vmx_check_current(s->vmcs_pa, text, sizeof(text));

	log_error("vm %s: vCPU %u: %s (%#x):", s->x.base.vm->settings.name, s->x.base.id, what,
		  code);
	vmx_dump(&s->x);
	vm_kill(s->x.base.vm, "vCPU %u: %s: %s", s->x.base.id, what,
		check ? check : "no check that we know of fails");
	return vmx_prepare(s);
}

static int entry_failed(struct vmx_vcpu *s, uint32_t reason)
{
	uint64_t rip = vmread(VMCS_GUEST_RIP);

	/* An instruction at the end of 32-bit address space was skipped. */
	if (rip >> 32 == 1 && code_mode() != INSN_MODE_64) {
		vmwrite(VMCS_GUEST_RIP, (uint32_t)rip);
		return tail(s);
	}
	if ((reason & EXIT_REASON_BASIC) == VMX_EXIT_MACHINE_CHECK)
		panic("machine check during the entry to a guest");
	return explain(s, "VM entry failed", reason);
}

int vmx_entry_refused(struct vmx_vcpu *s)
{
	uint64_t error = 0;

	s->x.avail = 0;
	(void)!vmread_safe(VMCS_INSN_ERROR, &error);
	return explain(s, "VM entry refused", error);
}

static __noinline int rare(struct vmx_vcpu *s, uint32_t reason)
{
	uint32_t vectoring = vmread(VMCS_IDT_VECTORING_INFO);
	unsigned basic;

	if (reason & EXIT_REASON_ENTRY_FAILURE)
		return entry_failed(s, reason);
	if ((reason & EXIT_REASON_BASIC) < VMX_EXIT_REASONS) {
		const struct exit_entry *e;

		basic = array_index_nospec(reason & EXIT_REASON_BASIC, VMX_EXIT_REASONS);
		e = &exits[basic];
		if (e->handle) {
			s->count[basic]++;
			if (unlikely(vectoring & INTR_INFO_VALID))
				delivery_interrupted(s, vectoring);
			return e->handle(s);
		}
	}
	s->count[COUNT_OTHER]++;
	log_error("vm %s: vCPU %u: unexpected exit:", s->x.base.vm->settings.name, s->x.base.id);
	vmx_dump(&s->x);
	vm_kill(s->x.base.vm, "vCPU %u: unexpected exit %#x", s->x.base.id, reason);
	return vmx_prepare(s);
}

/* A compare that no compiler makes a jump table of, which would be open to speculation. */
static __always_inline bool is(uint32_t *reason, enum vmx_exit_reason what)
{
	__asm__("" : "+r"(*reason));
	return *reason == what;
}

__hot int vmx_exit(struct vmx_vcpu *s)
{
	uint32_t reason = vmread(VMCS_EXIT_REASON);

	s->x.avail = 0;
	/* The frequent ones by direct jumps; exact compares, so no failed entry can match. */
	if (is(&reason, VMX_EXIT_WRMSR))
		return on_wrmsr(s);
	if (is(&reason, VMX_EXIT_CPUID))
		return on_cpuid(s);
	if (is(&reason, VMX_EXIT_RDMSR))
		return on_rdmsr(s);
	if (is(&reason, VMX_EXIT_IO))
		return on_io(s);
	if (is(&reason, VMX_EXIT_VMCALL))
		return on_vmcall(s);
	if (is(&reason, VMX_EXIT_EPT_VIOLATION))
		return on_ept_violation(s);
	return rare(s, reason);
}
