/* SPDX-License-Identifier: BSD-2-Clause */
/* The exit table of SVM: from an exit code to the handler of its meaning. */
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/guest/exits.h"
#include "socle/guest/walk.h"
#include "socle/report.h"
#include "svm.h"
#include "svm_insn.h"

/*
 * The other half of advance(): a CPU that saves the next RIP, or unusual bytes, single step, a
 * fetch that leaves its page.
 */
static __noinline void advance_slow(struct svm_vcpu *s)
{
	struct x86_vcpu *v = &s->x;
	struct x86_exception x;
	struct insn insn;

	/* No bytes are needed where the CPU tells the length (APM vol. 2, 15.7.1). */
	if (s->next_rip && !(s->vmcb->rflags & (RFLAGS_TF | RFLAGS_RF))) {
		s->vmcb->rip = s->vmcb->next_rip;
		s->vmcb->int_state = 0;
		return;
	}
	/* From bytes that the guest's page tables lead to now, not from an old window. */
	switch (x86_decode(v, &insn, &x)) {
	case EMUL_OK:
		break;
	case EMUL_EXCEPTION:
		x86_raise_exception(v, &x);
		return;
	case EMUL_UNSUPPORTED:
		x86_raise(v, VEC_UD);
		return;
	default:
		vm_kill(v->base.vm, "vCPU %u: instruction at %#llx cannot be decoded", v->base.id,
			(unsigned long long)v->state.rip);
		return;
	}
	x86_load(v, X86_RIP | X86_RFLAGS | X86_DR);
	if ((v->state.rflags & RFLAGS_TF) && !x86_steps_branches(v))
		x86_raise_exception(v, &(struct x86_exception){.vector = VEC_DB,
							       .has_payload = true,
							       .payload = BIT(14)});
	insn_skip(&v->state, insn.mode, insn.len);
	x86_dirty(v, X86_RIP | X86_RFLAGS);
	s->vmcb->int_state = 0;
}

/*
 * Moves RIP behind the instruction that exited: @len bytes if they are @opcode (little-endian).
 * Without help from the CPU its bytes are looked at, since prefixes may make it longer.
 */
static __always_inline void advance(struct svm_vcpu *s, uint32_t opcode, unsigned len)
{
	struct vmcb *c = s->vmcb;
	uint64_t la = c->rip + c->cs.base;
	const struct fetch_window *f = fetch_window(&s->x, la);
	uint64_t offset = la - f->page;
	uint32_t bytes;

	/* The page and CR3 for which the bytes were last found; RF and TF want more work. */
	if (unlikely(offset > PAGE_SIZE - 4 || f->cr3 != c->cr3 ||
		     (c->rflags & (RFLAGS_TF | RFLAGS_RF)))) {
		advance_slow(s);
		return;
	}
	bytes = *(const uint32_t *)(f->host + offset);
	if (unlikely((bytes ^ opcode) & (uint32_t)MASK(8 * len - 1, 0))) {
		advance_slow(s);
		return;
	}
	c->rip += len;
	c->int_state = 0;
}

enum { POLLS = 256 }; /* port accesses between two looks, in a read, at the host's interrupts */

/* Opcodes as little-endian numbers. */
enum {
	OPCODE_CPUID = 0xa20f, OPCODE_RDMSR = 0x320f, OPCODE_WRMSR = 0x300f, OPCODE_HLT = 0xf4,
	OPCODE_PAUSE = 0x90f3, OPCODE_VMMCALL = 0xd9010f, OPCODE_WBINVD = 0x090f, OPCODE_XSETBV = 0xd1010f,
};

static __always_inline int tail(struct svm_vcpu *s)
{
	if (likely(!(s->x.base.requests | s->x.dirty)))
		return 0;
	return svm_prepare(s);
}

/* Takes physical interrupts that wait, by opening GIF for a moment. */
static void take_interrupts(void)
{
	stgi();
	__asm__ volatile("nop" ::: "memory");
	clgi();
}

/*
 * An exit in the middle of an event's delivery. A guest can make these follow each other without
 * an instruction in between, where interrupts would be noticed: so they are taken here.
 */
static __noinline __cold void delivery_interrupted(struct svm_vcpu *s)
{
	svm_interrupted(s);
	take_interrupts();
}

static __noinline __cold int on_msr_fault(struct svm_vcpu *s)
{
	exit_msr_fault(&s->x);
	return svm_prepare(s);
}

/*
 * The frequent exits: functions of their own, so that each saves only what it needs, called by a
 * jump from svm_exit().
 */
static __noinline __hot int on_rdmsr(struct svm_vcpu *s)
{
	s->count[SVM_EXIT_MSR]++;
	if (unlikely(!exit_msr_read(&s->x)))
		return on_msr_fault(s);
	advance(s, OPCODE_RDMSR, 2);
	return tail(s);
}

static __noinline __hot int on_wrmsr(struct svm_vcpu *s)
{
	s->count[COUNT_WRMSR]++;
	if (unlikely(!exit_msr_write(&s->x)))
		return on_msr_fault(s);
	advance(s, OPCODE_WRMSR, 2);
	return tail(s);
}

static __noinline __hot int on_cpuid(struct svm_vcpu *s)
{
	s->count[SVM_EXIT_CPUID]++;
	if (unlikely(!exit_cpuid_fast(&s->x)))
		exit_cpuid(&s->x);
	advance(s, OPCODE_CPUID, 2);
	return tail(s);
}

static __noinline __hot int on_vmmcall(struct svm_vcpu *s)
{
	s->count[SVM_EXIT_VMMCALL]++;
	exit_hypercall(&s->x);
	advance(s, OPCODE_VMMCALL, 3);
	return tail(s);
}

static __noinline __hot int on_ioio(struct svm_vcpu *s)
{
	struct vmcb *c = s->vmcb;
	uint64_t info = c->exit_info1;
	unsigned size = info >> IOIO_SIZE_SHIFT & 7;
	uint16_t port = info >> IOIO_PORT_SHIFT;

	s->count[SVM_EXIT_IOIO]++;
	c->int_state = 0;
	if (unlikely((info & IOIO_STRING) || (c->rflags & (RFLAGS_TF | RFLAGS_RF)))) {
		x86_emulate_io(&s->x, port, size);
		return tail(s);
	}
	if (info & IOIO_IN) {
		/* A guest that was entered with IF clear makes no exit for interrupts in Bochs. */
		if (unlikely(s->count[SVM_EXIT_IOIO] % POLLS == 0))
			take_interrupts();
		exit_port_in(&s->x, port, size);
	} else {
		exit_port_out(&s->x, port, size);
	}
	c->rip = c->exit_info2; /* the next instruction (APM vol. 2, 15.10.2) */
	return tail(s);
}

static enum insn_mode code_mode(const struct vmcb *c)
{
	if ((c->efer & EFER_LMA) && (c->cs.attr & SEG_ATTR_L))
		return INSN_MODE_64;
	return c->cs.attr & SEG_ATTR_DB ? INSN_MODE_32 : INSN_MODE_16;
}

/* Bits are where the neutral flags have them, or a shift away. */
_Static_assert((int)NPF_P == (int)NESTED_PRESENT && (int)NPF_WRITE == (int)NESTED_WRITE &&
		       (int)NPF_FETCH == (int)NESTED_FETCH &&
		       (RFLAGS_TF | RFLAGS_RF) == (int)NESTED_TRACE,
	       "copied as they are");
enum { NPF_TABLE_TO_FLAG = 28 };
_Static_assert(NPF_TABLE >> NPF_TABLE_TO_FLAG == NESTED_TABLE, "moved");

static __noinline __hot int on_npf(struct svm_vcpu *s)
{
	struct vmcb *c = s->vmcb;
	uint64_t info = c->exit_info1;
	struct nested_fault f = {
		.gpa = c->exit_info2,
		.la = c->rip,
		.cr3 = c->cr3,
		.flags = (info & (NPF_P | NPF_WRITE | NPF_FETCH)) |
			 (info >> NPF_TABLE_TO_FLAG & NESTED_TABLE) | (c->rflags & NESTED_TRACE),
		.mode = code_mode(c),
	};
	unsigned len;

	s->count[COUNT_NPF]++;
	if (unlikely(f.mode != INSN_MODE_64))
		f.la = (uint32_t)(f.la + c->cs.base);
	if (unlikely(c->exit_int_info & SVM_EVENT_VALID))
		delivery_interrupted(s);
	/* What the CPU has fetched, if it tells (APM vol. 2, 15.8.4): not for fetches themselves.
	 */
	if (unlikely(cpu_has(CPU_SVM_DECODE)) && (c->insn_len & INSN_LEN)) {
		f.flags |= NESTED_BYTES;
		s->x.given = c->insn;
		s->x.given_count = c->insn_len & INSN_LEN;
	}
	len = exit_nested_fault(&s->x, &f);
	if (likely(len)) {
		c->rip += len;
		c->int_state = 0;
	} else if (s->x.dirty & X86_RIP) {
		c->int_state = 0;
	}
	return tail(s);
}

static int on_intr(struct svm_vcpu *s)
{
	svm_note_shadow(s);
	take_interrupts();
	return tail(s);
}

static int on_hlt(struct svm_vcpu *s)
{
	bool interrupts = s->vmcb->rflags & RFLAGS_IF;

	/* While RIP is still the HLT's: behind it may be that IRET. */
	if (unlikely(s->watches))
		svm_look_for_iret(s);
	advance(s, OPCODE_HLT, 1);
	if (!x86_vcpu_halt(&s->x, interrupts)) {
		if (s->x.dirty)
			svm_write_back(s);
		return 1 + VCPU_LEAVE_HALTED;
	}
	return svm_prepare(s);
}

static int on_vintr(struct svm_vcpu *s)
{
	vcpu_request_self(&s->x.base, VCPU_REQ_AGAIN);
	return svm_prepare(s);
}

/* The handler of an NMI is about to return: the next may come when it has. */
static int on_iret(struct svm_vcpu *s)
{
	s->vmcb->intercept3 &= ~(uint32_t)INTERCEPT_IRET;
	svm_touch(s->vmcb, CLEAN_INTERCEPTS);
	s->nmi_iret = s->vmcb->rip;
	s->watches = true;
	vcpu_request_self(&s->x.base, VCPU_REQ_AGAIN);
	return svm_prepare(s);
}

/* Its delivery turns off DEBUGCTL's LBR and BTF (APM vol. 2, 13.1.6): ours by VMRUN does not. */
static void raise_debug(struct svm_vcpu *s)
{
	if (unlikely(s->vmcb->dbgctl)) {
		x86_load(&s->x, X86_DR);
		s->x.state.debugctl &= ~(uint64_t)(DEBUGCTL_LBR | DEBUGCTL_BTF);
		x86_dirty(&s->x, X86_DR);
	}
	x86_raise(&s->x, VEC_DB);
}

/* Intercepted only because the CPU could hang in it: the guest gets it as it is. */
static int on_exception(struct svm_vcpu *s)
{
	uint8_t vector = s->vmcb->exit_code - SVM_EXIT_EXCP_BASE;

	if (vector == VEC_MC)
		panic("machine check while a guest ran");
	/* A breakpoint on the stack of its own handler recurs before any interrupt is looked at. */
	take_interrupts();
	/* DR6 and the error code 0 of #AC are in place already. */
	if (vector == VEC_AC)
		x86_raise_error(&s->x, vector, 0);
	else if (!svm_stepped(s))
		raise_debug(s);
	return svm_prepare(s);
}

/* It waits for another vCPU, perhaps: who waits for this CPU has a turn. */
static int on_pause(struct svm_vcpu *s)
{
	advance(s, OPCODE_PAUSE, 2);
	/* It may spin with IF clear: as with port reads. */
	take_interrupts();
	sched_give_way();
	return svm_prepare(s);
}

static int on_undefined(struct svm_vcpu *s)
{
	x86_raise(&s->x, VEC_UD);
	return svm_prepare(s);
}

static int on_rdpmc(struct svm_vcpu *s)
{
	x86_raise_error(&s->x, VEC_GP, 0);
	return svm_prepare(s);
}

/* Caches are coherent for all that a guest can reach: nothing to do. INVD comes here on TCG. */
static int on_wbinvd(struct svm_vcpu *s)
{
	advance_slow(s);
	return tail(s);
}

static int on_xsetbv(struct svm_vcpu *s)
{
	/* The intercept comes before the CPU's own check. */
	if (s->vmcb->cpl)
		x86_raise_error(&s->x, VEC_GP, 0);
	else if (exit_xsetbv(&s->x))
		advance(s, OPCODE_XSETBV, 3);
	return tail(s);
}

static int on_cr8(struct svm_vcpu *s)
{
	uint64_t info = s->vmcb->exit_info1;

	/* APM vol. 2, 15.8.1: valid only for the plain form, which CR8 has alone. */
	if (cpu_has(CPU_SVM_DECODE) && (info & CR_INFO_VALID)) {
		if (exit_cr8_access(&s->x, s->vmcb->exit_code == SVM_EXIT_CR8_WRITE,
				    info & CR_INFO_GPR))
			advance_slow(s);
		return tail(s);
	}
	exit_cr8(&s->x);
	s->vmcb->int_state = 0;
	return tail(s);
}

static int on_cr4_write(struct svm_vcpu *s)
{
	uint64_t info = s->vmcb->exit_info1;
	struct x86_exception x;
	struct insn insn;
	unsigned gpr = info & CR_INFO_GPR;

	if (s->vmcb->cpl) {
		x86_raise_error(&s->x, VEC_GP, 0);
		return svm_prepare(s);
	}
	if (!cpu_has(CPU_SVM_DECODE) || !(info & CR_INFO_VALID)) {
		if (x86_decode(&s->x, &insn, &x) != EMUL_OK || insn.op != INSN_MOV_TO_CR ||
		    insn.reg != 4) {
			x86_raise(&s->x, VEC_UD);
			return svm_prepare(s);
		}
		gpr = insn.rm;
	}
	if (exit_cr4_write(&s->x, gpr))
		advance_slow(s);
	return tail(s);
}

static int on_shutdown(struct svm_vcpu *s)
{
	x86_load(&s->x, X86_RIP | X86_SEG);
	svm_dump(&s->x);
	vm_kill(s->x.base.vm, "vCPU %u: triple fault (rip %04x:%#llx)", s->x.base.id,
		s->vmcb->cs.selector, (unsigned long long)s->vmcb->rip);
	return svm_prepare(s);
}

typedef int (*exit_handler)(struct svm_vcpu *s);

struct exit_entry {
	const char *name;
	exit_handler handle; /* NULL: never intercepted, so a bug or a broken CPU */
};

static const struct exit_entry exits[SVM_EXIT_CODES] = {
	[SVM_EXIT_CR8_READ] = {"cr8-read", on_cr8},
	[SVM_EXIT_CR8_WRITE] = {"cr8-write", on_cr8},
	[SVM_EXIT_CR4_WRITE] = {"cr4-write", on_cr4_write},
	[SVM_EXIT_EXCP_DB] = {"db", on_exception},
	[SVM_EXIT_EXCP_AC] = {"ac", on_exception},
	[SVM_EXIT_EXCP_MC] = {"mc", on_exception},
	[SVM_EXIT_INTR] = {"intr", on_intr},
	[SVM_EXIT_NMI] = {"nmi", on_intr},
	[SVM_EXIT_INIT] = {"init", on_intr},
	[SVM_EXIT_VINTR] = {"vintr", on_vintr},
	[SVM_EXIT_RDPMC] = {"rdpmc", on_rdpmc},
	[SVM_EXIT_CPUID] = {"cpuid", NULL},
	[SVM_EXIT_PAUSE] = {"pause", on_pause},
	[SVM_EXIT_IRET] = {"iret", on_iret},
	[SVM_EXIT_INVD] = {"invd", on_wbinvd},
	[SVM_EXIT_HLT] = {"hlt", on_hlt},
	[SVM_EXIT_INVLPGA] = {"invlpga", on_undefined},
	[SVM_EXIT_IOIO] = {"ioio", NULL},
	[SVM_EXIT_MSR] = {"rdmsr", NULL},
	[SVM_EXIT_SHUTDOWN] = {"shutdown", on_shutdown},
	[SVM_EXIT_VMRUN] = {"vmrun", on_undefined},
	[SVM_EXIT_VMMCALL] = {"vmmcall", NULL},
	[SVM_EXIT_VMLOAD] = {"vmload", on_undefined},
	[SVM_EXIT_VMSAVE] = {"vmsave", on_undefined},
	[SVM_EXIT_STGI] = {"stgi", on_undefined},
	[SVM_EXIT_CLGI] = {"clgi", on_undefined},
	[SVM_EXIT_SKINIT] = {"skinit", on_undefined},
	[SVM_EXIT_RDTSCP] = {"rdtscp", on_undefined},
	[SVM_EXIT_WBINVD] = {"wbinvd", on_wbinvd},
	[SVM_EXIT_MONITOR] = {"monitor", on_undefined},
	[SVM_EXIT_MWAIT] = {"mwait", on_undefined},
	[SVM_EXIT_MWAIT_ARMED] = {"mwait", on_undefined},
	[SVM_EXIT_XSETBV] = {"xsetbv", on_xsetbv},
	[SVM_EXIT_RDPRU] = {"rdpru", on_undefined},
};

const char *svm_exit_name(uint64_t code)
{
	if (code >= SVM_EXIT_CODES || !exits[code].name)
		return "";
	return exits[code].name;
}

/* The first check of APM vol. 2, 15.5.1 that the state fails, for people. */
static const char *why_invalid(const struct vmcb *c)
{
	bool long_mode = (c->efer & EFER_LME) && (c->cr0 & CR0_PG);
	const char *cet;

	if ((c->cr0 & CR0_NW) && !(c->cr0 & CR0_CD))
		return "CR0.NW is set and CR0.CD is not";
	if (c->cr0 >> 32)
		return "CR0 has bits set above 31";
	if (c->dr6 >> 32 || c->dr7 >> 32)
		return "DR6 or DR7 has bits set above 31";
	if (long_mode && !(c->cr4 & CR4_PAE))
		return "long mode without CR4.PAE";
	if (long_mode && !(c->cr0 & CR0_PE))
		return "long mode without CR0.PE";
	if (long_mode && (c->cs.attr & SEG_ATTR_L) && (c->cs.attr & SEG_ATTR_DB))
		return "code segment with both L and D";
	if (c->asid == 0)
		return "ASID 0";
	if (!(c->efer & EFER_SVME))
		return "EFER.SVME is not set";
	if (!(c->intercept4 & INTERCEPT_VMRUN))
		return "VMRUN is not intercepted";
	cet = svm_cet_invalid(c);
	return cet ? cet : "reserved bits of EFER, CR3 or CR4, or the event to inject";
}

static int entry_failed(struct svm_vcpu *s)
{
	log_error("vm %s: vCPU %u: VMRUN refused the state:", s->x.base.vm->settings.name,
		  s->x.base.id);
	svm_dump(&s->x);
	vm_kill(s->x.base.vm, "vCPU %u: VMRUN refused: %s", s->x.base.id, why_invalid(s->vmcb));
	return svm_prepare(s);
}

/*
 * A failed entry is -1 in all 64 bits; below another hypervisor, which may keep only 32, the lower
 * half counts. The same goes for codes that are too large.
 */
static int rare(struct svm_vcpu *s, uint64_t code)
{
	bool nested = cpu_has(CPU_HYPERVISOR);

	if (nested ? (uint32_t)code == (uint32_t)SVM_EXIT_INVALID : code == SVM_EXIT_INVALID)
		return entry_failed(s);
	if (nested)
		code = (uint32_t)code;
	if (code < SVM_EXIT_CODES) {
		uint64_t index = array_index_nospec(code, SVM_EXIT_CODES);
		const struct exit_entry *e = &exits[index];

		if (e->handle) {
			s->count[index]++;
			if (unlikely(s->vmcb->exit_int_info & SVM_EVENT_VALID))
				delivery_interrupted(s);
			return e->handle(s);
		}
	}
	s->count[COUNT_OTHER]++;
	log_error("vm %s: vCPU %u: unexpected exit:", s->x.base.vm->settings.name, s->x.base.id);
	svm_dump(&s->x);
	vm_kill(s->x.base.vm, "vCPU %u: unexpected exit %#llx", s->x.base.id,
		(unsigned long long)code);
	return svm_prepare(s);
}

__hot int svm_exit(struct svm_vcpu *s)
{
	struct vmcb *c = s->vmcb;
	uint64_t code = c->exit_code;

	s->x.avail = 0;
	c->clean = svm_clean;
	c->event_inj = 0;

	/* The frequent ones by direct jumps; exact compares, so no failure code can match. */
	if (code == SVM_EXIT_MSR)
		return c->exit_info1 ? on_wrmsr(s) : on_rdmsr(s);
	if (code == SVM_EXIT_CPUID)
		return on_cpuid(s);
	if (code == SVM_EXIT_VMMCALL)
		return on_vmmcall(s);
	if (code == SVM_EXIT_NPF)
		return on_npf(s);
	if (code == SVM_EXIT_IOIO)
		return on_ioio(s);
	return rare(s, code);
}
