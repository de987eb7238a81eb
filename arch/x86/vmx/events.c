/* SPDX-License-Identifier: BSD-2-Clause */
/* Before an entry: requests, events to inject (SDM vol. 3, 27.6), write-back, flushes. */
#include "socle/cpu/regs.h"
#include "socle/guest/vcpu.h"
#include "socle/kernel/sched.h"
#include "socle/platform/lapic.h"
#include "vmx.h"
#include "vmx_insn.h"

static uint32_t encode(const struct x86_event *ev)
{
	static const uint8_t types[] = {
		[EVENT_INTERRUPT] = INTR_TYPE_EXTERNAL,
		[EVENT_NMI] = INTR_TYPE_NMI,
		[EVENT_EXCEPTION] = INTR_TYPE_HARD_EXCEPTION,
		[EVENT_SOFT_INTERRUPT] = INTR_TYPE_SOFT_INTERRUPT,
	};

	return (uint32_t)INTR_INFO_VALID | ev->vector |
	       (uint32_t)types[ev->type] << INTR_INFO_TYPE_SHIFT |
	       (ev->has_error ? (uint32_t)INTR_INFO_HAS_ERROR : 0);
}

void vmx_interrupted(struct vmx_vcpu *s, uint32_t info)
{
	struct x86_event ev = {.vector = info & INTR_INFO_VECTOR};

	switch ((info & INTR_INFO_TYPE) >> INTR_INFO_TYPE_SHIFT) {
	case INTR_TYPE_EXTERNAL:
		ev.type = EVENT_INTERRUPT;
		break;
	case INTR_TYPE_NMI:
		ev.type = EVENT_NMI;
		break;
	case INTR_TYPE_HARD_EXCEPTION:
		ev.type = EVENT_EXCEPTION;
		ev.has_error = info & INTR_INFO_HAS_ERROR;
		if (ev.has_error)
			ev.error = vmread(VMCS_IDT_VECTORING_ERROR);
		break;
	default: /* INT n, INT1, INT3, INTO: RIP is still there, so they will raise it again */
		return;
	}
	events_interrupted(&s->x.events, &ev);
	vcpu_request_self(&s->x.base, VCPU_REQ_AGAIN);
}

/*
 * An NMI's window is open when no NMI is in service: it waits for that, too. In the shadow of STI
 * it may be open although we inject none there, so the one for interrupts stands in (SDM vol. 3,
 * 26.2).
 */
static void open_window(struct vmx_vcpu *s, enum events_wait wait, uint32_t blocking)
{
	uint32_t nmi = blocking & BLOCKING_STI ? PRIMARY_INTERRUPT_WINDOW : PRIMARY_NMI_WINDOW;
	uint32_t primary =
		(s->primary & ~(uint32_t)(PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW)) |
		(wait == EVENTS_INTERRUPT_WINDOW ? (uint32_t)PRIMARY_INTERRUPT_WINDOW : 0) |
		(s->x.events.nmi_pending ? nmi : 0);

	if (primary == s->primary)
		return;
	s->primary = primary;
	vmwrite(VMCS_PRIMARY_CONTROLS, primary);
}

static void inject(struct vmx_vcpu *s, const struct x86_event *ev, uint32_t blocking)
{
	if (ev->has_payload) {
		x86_load(&s->x, X86_CR | X86_DR);
		events_apply_payload(&s->x.state, ev);
		if (ev->vector == VEC_DB)
			vmx_lbr_debug_exception(s);
		x86_dirty(&s->x, X86_CR | X86_DR);
		vmx_write_back(s);
	}
	/*
	 * A shadow does not outlive the delivery of an event. An NMI finds NMIs unblocked, also at
	 * its second attempt, and blocks them (SDM vol. 3, 27.3.1.5 and 27.6.1.1).
	 */
	blocking &= ~(uint32_t)(BLOCKING_STI | BLOCKING_MOV_SS);
	if (ev->type == EVENT_NMI)
		blocking &= ~(uint32_t)BLOCKING_NMI;
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, blocking);
	/* Bits 31:16 must be 0 (SDM vol. 3, 27.2.1.3). */
	if (ev->has_error)
		vmwrite(VMCS_ENTRY_EXCEPTION_ERROR, ev->error & 0xffff);
	vmwrite(VMCS_ENTRY_INTR_INFO, encode(ev));
}

void vmx_flush(struct vmx_vcpu *s)
{
	struct guest_mem *mem = &s->x.base.vm->mem;
	uint64_t epoch = guest_mem_epoch(mem);

	invept(INVEPT_SINGLE, vmread(VMCS_EPT_POINTER));
	invvpid(INVVPID_SINGLE, s->vpid);
	fetch_close(&s->x);
	guest_mem_seen(mem, epoch);
}

enum { EVENTFUL = VCPU_REQ_EVENT | VCPU_REQ_NMI | VCPU_REQ_TIMER | VCPU_REQ_AGAIN | VCPU_REQ_PMI };

/*
 * In TSC ticks: as long as it takes to wait for somebody who runs, or much less if who is waited
 * for may be waiting for this CPU.
 */
enum { WINDOW_ALONE = 4096, WINDOW_CONTENDED = 512 };

void vmx_watch_spinning(struct vmx_vcpu *s)
{
	uint32_t window = sched_contended() ? WINDOW_CONTENDED : WINDOW_ALONE;

	if (!(s->secondary & SECONDARY_PAUSE_LOOP) || window == s->ple_window)
		return;
	s->ple_window = window;
	vmwrite(VMCS_PLE_WINDOW, window);
}

/*
 * Bochs delivers a virtual interrupt to a guest that has interrupts off if a physical one waits
 * (apicv_trial.c). For test guests that run there all the same (apicv=on), most of those are taken
 * before the entry. True if it brought requests.
 */
static __noinline __cold bool interrupts_brought(struct vmx_vcpu *s)
{
	interrupts_take();
	if (!s->x.base.requests)
		return false;
	vcpu_request_self(&s->x.base, VCPU_REQ_AGAIN);
	return true;
}

int vmx_prepare(struct vmx_vcpu *s)
{
	struct x86_window window;
	enum events_wait wait;
	struct x86_event ev;
	uint32_t requests, blocking;

again:
	if (s->x.dirty)
		vmx_write_back(s);
	if (!x86_take_requests(&s->x, &requests))
		return 1 + VCPU_LEAVE_REQUESTED;
	if (requests & VCPU_REQ_FLUSH)
		vmx_flush(s);
	if (unlikely(requests & VCPU_REQ_CONTENDED))
		vmx_watch_spinning(s);
	if (!(requests & EVENTFUL))
		return 0;
	blocking = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	/* The CPU knows when an IRET unblocked NMIs. */
	s->x.events.nmi_blocked = blocking & BLOCKING_NMI;
	x86_collect(&s->x, requests);
	/* An overflow may have ended the recording of branches. */
	if (unlikely(requests & VCPU_REQ_PMI) && s->x.dirty)
		vmx_write_back(s);
	if (s->apic_page)
		vmx_apicv_prepare(s);
	window.nmis = !(blocking & (BLOCKING_STI | BLOCKING_MOV_SS));
	window.interrupts = vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF;
	if (unlikely(s->apic_page && !window.interrupts && lapic_page_requested(s->x.lapic)) &&
	    interrupts_brought(s))
		goto again;
	window.interrupts = window.interrupts && window.nmis;
	if (events_next(&s->x, window, &ev, &wait)) {
		inject(s, &ev, blocking);
		blocking = 0;
	}
	open_window(s, wait, blocking);
	/* Two at once: the second has its turn after the next exit. So has a NMI in a shadow. */
	if (s->x.events.retry_valid || s->x.events.exception_valid ||
	    (s->x.events.nmi_pending && (blocking & BLOCKING_STI)))
		vcpu_request_self(&s->x.base, VCPU_REQ_AGAIN);
	return 0;
}
