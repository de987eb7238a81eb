/* SPDX-License-Identifier: BSD-2-Clause */
/* Before an entry: requests, events to inject (APM vol. 2, 15.20 and 15.21), write-back, flushes.
 */
#include "socle/cpu/features.h"
#include "socle/guest/vcpu.h"
#include "socle/guest/walk.h"
#include "socle/kernel/sched.h"
#include "svm.h"

enum { PAUSES_TOLERATED = 3000 }; /* as many as it takes to wait for somebody who runs */

/* EVENTINJ and EXITINTINFO share their format. */
static uint64_t encode(const struct x86_event *ev)
{
	static const uint8_t types[] = {
		[EVENT_INTERRUPT] = SVM_TYPE_INTR,
		[EVENT_NMI] = SVM_TYPE_NMI,
		[EVENT_EXCEPTION] = SVM_TYPE_EXCEPTION,
		[EVENT_SOFT_INTERRUPT] = SVM_TYPE_SOFT,
	};
	uint64_t raw =
		SVM_EVENT_VALID | ev->vector | (uint64_t)types[ev->type] << SVM_EVENT_TYPE_SHIFT;

	if (ev->has_error)
		raw |= SVM_EVENT_HAS_ERROR | (uint64_t)ev->error << 32;
	return raw;
}

void svm_interrupted(struct svm_vcpu *s)
{
	uint64_t raw = s->vmcb->exit_int_info;
	struct x86_event ev = {
		.vector = raw & SVM_EVENT_VECTOR,
		.has_error = raw & SVM_EVENT_HAS_ERROR,
		.error = raw >> 32,
	};

	switch ((raw & SVM_EVENT_TYPE) >> SVM_EVENT_TYPE_SHIFT) {
	case SVM_TYPE_INTR:
		ev.type = EVENT_INTERRUPT;
		break;
	case SVM_TYPE_NMI:
		ev.type = EVENT_NMI;
		break;
	case SVM_TYPE_EXCEPTION:
		/* INT3 and INTO: RIP is still at the instruction, which will raise it again. */
		if (ev.vector == VEC_BP || ev.vector == VEC_OF)
			return;
		ev.type = EVENT_EXCEPTION;
		break;
	default: /* INT n: likewise */
		return;
	}
	events_interrupted(&s->x.events, &ev);
	vcpu_request_self(&s->x.base, VCPU_REQ_AGAIN);
}

/* A virtual interrupt that is never delivered: its intercept tells when one could be. */
static void open_window(struct vmcb *c, bool wanted)
{
	if (wanted == !!(c->intercept3 & INTERCEPT_VINTR))
		return;
	if (wanted) {
		c->int_ctl |= V_IRQ | V_IGN_TPR | V_PRIO_MAX;
		c->intercept3 |= INTERCEPT_VINTR;
	} else {
		c->int_ctl &= ~(V_IRQ | V_IGN_TPR | V_PRIO_MAX);
		c->intercept3 &= ~(uint32_t)INTERCEPT_VINTR;
	}
	svm_touch(c, CLEAN_INTERCEPTS | CLEAN_INT);
}

static void inject(struct svm_vcpu *s, const struct x86_event *ev)
{
	struct vmcb *c = s->vmcb;

	if (ev->has_payload) {
		x86_load(&s->x, X86_CR | X86_DR);
		events_apply_payload(&s->x.state, ev);
		x86_dirty(&s->x, X86_CR | X86_DR);
		svm_write_back(s);
	}
	/* The end of the NMI's handler unblocks the next (APM vol. 2, 8.2.3). */
	if (ev->type == EVENT_NMI) {
		s->nmi_iret = NOWHERE;
		c->intercept3 |= INTERCEPT_IRET;
		svm_touch(c, CLEAN_INTERCEPTS);
	}
	/* What is pushed are the guest's flags; the next attempt steps anew. */
	if (unlikely(s->watches) && s->stepping) {
		s->stepping = false;
		if (!s->guest_tf)
			c->rflags &= ~(uint64_t)RFLAGS_TF;
	}
	/* A shadow does not outlive the delivery of an event. */
	c->int_state = 0;
	c->event_inj = encode(ev);
}

/*
 * The instruction in the shadow is HLT. It makes an exit, so no window is needed: and there must be
 * none, since QEMU's TCG forgets the shadow at VMRUN, and an interrupt before the HLT that waits
 * for it is lost to the guest. For an exit at the same place again, that place is kept.
 */
static bool shadow_of_hlt(struct svm_vcpu *s)
{
	struct x86_exception x;
	struct insn insn;

	s->hlt_rip = NOWHERE;
	if (x86_decode(&s->x, &insn, &x) != EMUL_OK || insn.op != INSN_HLT)
		return false;
	s->hlt_rip = s->vmcb->rip;
	s->watches = true;
	return true;
}

void svm_note_shadow(struct svm_vcpu *s)
{
	if (s->vmcb->int_state & INT_SHADOW)
		shadow_of_hlt(s);
}

/*
 * NMIs are blocked until the IRET is done (APM vol. 2, 8.2.3), which no intercept tells: its own
 * comes before. So one that waits has the CPU step over it.
 */
static void step_over_iret(struct svm_vcpu *s)
{
	struct vmcb *c = s->vmcb;

	if (s->stepping)
		return;
	s->stepping = true;
	s->guest_tf = c->rflags & RFLAGS_TF;
	s->guest_dr6 = c->dr6;
	s->guest_debugctl = c->dbgctl;
	c->rflags |= RFLAGS_TF;
}

bool svm_stepped(struct svm_vcpu *s)
{
	enum { DR6_BREAKPOINTS = 0xf };
	struct vmcb *c = s->vmcb;

	if (!s->stepping)
		return false;
	s->stepping = false;
	/* A breakpoint on the IRET itself: TF is as the guest had it, until the next attempt. */
	if (c->rip == s->nmi_iret) {
		if (!s->guest_tf)
			c->rflags &= ~(uint64_t)RFLAGS_TF;
		return false;
	}
	vcpu_request_self(&s->x.base, VCPU_REQ_AGAIN);
	if (s->guest_tf || ((c->dr6 ^ s->guest_dr6) & DR6_BREAKPOINTS))
		return false;
	c->dr6 = s->guest_dr6;
	svm_touch(c, CLEAN_DR);
	/* The guest was delivered nothing, so it goes on recording. */
	if (unlikely(c->dbgctl != s->guest_debugctl))
		svm_lbr_set_debugctl(s, s->guest_debugctl);
	return true;
}

void svm_look_for_iret(struct svm_vcpu *s)
{
	if (s->nmi_iret == NOWHERE || s->vmcb->rip == s->nmi_iret)
		return;
	s->nmi_iret = NOWHERE;
	s->stepping = false;
	s->x.events.nmi_blocked = false;
}

/* The next VMRUN flushes; nothing that was read through old translations is used any more. */
static void flush(struct svm_vcpu *s)
{
	struct guest_mem *mem = &s->x.base.vm->mem;
	uint64_t epoch = guest_mem_epoch(mem);

	vcpu_request_self(&s->x.base, VCPU_REQ_AGAIN);
	s->vmcb->tlb_control = cpu_has(CPU_SVM_FLUSH_ASID) ? TLB_FLUSH_ASID : TLB_FLUSH_ALL;
	fetch_close(&s->x);
	s->memory_epoch = epoch;
	guest_mem_seen(mem, epoch);
}

/*
 * Spinning is noticed where it can do harm: who is waited for may be waiting for this CPU. Without
 * a filter each PAUSE exits, so only then.
 */
void svm_intercept_pause(struct svm_vcpu *s)
{
	bool wanted = s->x.base.vm->settings.cpus > 1 &&
		      (cpu_has(CPU_SVM_PAUSE_FILTER) || sched_contended());
	struct vmcb *c = s->vmcb;

	if (wanted == !!(c->intercept3 & INTERCEPT_PAUSE))
		return;
	c->intercept3 ^= INTERCEPT_PAUSE;
	c->pause_count = PAUSES_TOLERATED;
	svm_touch(c, CLEAN_INTERCEPTS);
}

int svm_prepare(struct svm_vcpu *s)
{
	struct vmcb *c = s->vmcb;
	struct x86_window window;
	enum events_wait wait;
	struct x86_event ev;
	uint32_t requests;

	if (s->x.dirty)
		svm_write_back(s);
	if (!x86_take_requests(&s->x, &requests))
		return 1 + VCPU_LEAVE_REQUESTED;
	if (unlikely(requests & VCPU_REQ_CONTENDED))
		svm_intercept_pause(s);
	requests = x86_collect(&s->x, requests);
	/* What a flush asked for at the last entry has been served by it. */
	c->tlb_control = TLB_KEEP;
	if (requests & VCPU_REQ_FLUSH)
		flush(s);
	if (!(requests & VCPU_REQ_EVENT))
		return 0;
	window.nmis = !(c->int_state & INT_SHADOW);
	if (unlikely(s->watches)) {
		svm_look_for_iret(s);
		window.nmis = window.nmis && c->rip != s->hlt_rip;
	}
	window.interrupts = window.nmis && (c->rflags & RFLAGS_IF);
	if (events_next(&s->x, window, &ev, &wait))
		inject(s, &ev);
	open_window(c, wait != EVENTS_NONE && (likely(window.nmis) || !shadow_of_hlt(s)));
	if (unlikely(s->watches) && s->nmi_iret != NOWHERE && s->x.events.nmi_pending)
		step_over_iret(s);
	/*
	 * Two at once: the second has its turn after the next exit. So has what waits for a window:
	 * that saves the window's own exit, and Bochs 2.7 opens none where IF is set at VMRUN.
	 */
	if (s->x.events.retry_valid || s->x.events.exception_valid || wait != EVENTS_NONE)
		vcpu_request_self(&s->x.base, VCPU_REQ_AGAIN);
	return 0;
}
