/* SPDX-License-Identifier: BSD-2-Clause */
/* The vendor-neutral part of a virtual CPU: reset, exceptions, and the vendor in use. */
#include "socle/cpu/regs.h"
#include "socle/guest/context.h"
#include "socle/guest/msr.h"
#include "socle/guest/vcpu.h"
#include "socle/report.h"
#include "socle/string.h"

extern const struct vendor *const __vendors_start[], *const __vendors_end[];

const struct vendor *vendor;
enum apicv vendor_apicv;

const struct vendor *vendor_probe(char *why, size_t size)
{
	size_t used = 0;

	if (size)
		why[0] = 0;
	for (const struct vendor *const *v = __vendors_start; v < __vendors_end; v++) {
		char reason[160] = "";

		if ((*v)->probe(reason, sizeof(reason)))
			return *v;
		if (used < size)
			used += format(why + used, size - used, "%s%s: %s", used ? "; " : "",
				       (*v)->name, reason);
	}
	return NULL;
}

void x86_vcpu_reset(struct x86_vcpu *v)
{
	memset(&v->state, 0, sizeof(v->state));
	v->avail = v->dirty = 0;
	v->base.requests = 0;
	vcpu_forget_work(&v->base);
	events_reset(&v->events);
	fetch_close(v);
	/* No linear address is all ones, so an empty entry never matches. */
	memset(v->decode, 0xff, sizeof(v->decode));
	msr_reset(v);
	v->tsc_adjust = v->pvclock = 0;
	v->waits_for_sipi = v->base.id != 0;
	v->halted = false;
}

/*
 * SDM vol. 3, table 10-1; APM vol. 2, table 14-1: registers as at power-on, but CR0.CD and NW, most
 * MSRs, the TSC, XCR0 and the x87 and vector registers stay. The boot processor would go on in
 * firmware, which there is none of: the guest restarts.
 */
static __noinline void init(struct x86_vcpu *v)
{
	uint64_t kept;

	if (v->base.id == 0) {
		vm_reset(v->base.vm);
		return;
	}
	x86_load(v, X86_CR);
	kept = v->state.cr0 & (CR0_CD | CR0_NW);
	memset(&v->state, 0, sizeof(v->state));
	v->avail = v->dirty = 0;
	events_init(v);
	fetch_close(v);
	msr_reset_by_init(v);
	context_init(v);
	v->halted = false;
	v->waits_for_sipi = true;
	vendor->vcpu_reset(v, true);
	x86_load(v, X86_CR);
	v->state.cr0 = CR0_ET | kept;
	x86_dirty(v, X86_CR);
}

/* SDM vol. 3, 9.4.3: in real mode, at the page that the vector names. */
static __noinline void start_up(struct x86_vcpu *v)
{
	uint8_t page = events_startup(v);

	if (!v->waits_for_sipi)
		return;
	v->waits_for_sipi = false;
	x86_load(v, X86_SEG | X86_RIP);
	v->state.seg[SEG_CS].selector = (uint16_t)(page << 8);
	v->state.seg[SEG_CS].base = (uint32_t)page << PAGE_SHIFT;
	v->state.rip = 0;
	x86_dirty(v, X86_SEG | X86_RIP);
	/* An NMI may have come meanwhile. */
	vcpu_request_self(&v->base, VCPU_REQ_AGAIN);
}

/* Takes those of @which out of the requests that are pending. */
static uint32_t take_requests(struct x86_vcpu *v, uint32_t which)
{
	if (!(__atomic_load_n(&v->base.requests, __ATOMIC_RELAXED) & which))
		return 0;
	return __atomic_fetch_and(&v->base.requests, ~which, __ATOMIC_ACQUIRE) & which;
}

/* Of a vCPU that sleeps: is there a reason to wake? */
static bool wakes(struct x86_vcpu *v)
{
	x86_collect(v, take_requests(v, VCPU_REQ_EVENT | VCPU_REQ_TIMER | VCPU_REQ_NMI |
						VCPU_REQ_AGAIN | VCPU_REQ_PMI));
	if (v->waits_for_sipi || !events_wakeup(v, v->halted_if)) {
		/* What could not be finished goes on after others had the CPU. */
		if (unlikely(v->base.work))
			vcpu_request_self(&v->base, VCPU_REQ_EVENT);
		return false;
	}
	v->halted = false;
	vcpu_request_self(&v->base, VCPU_REQ_AGAIN);
	return true;
}

static __noinline void work(struct vcpu *vcpu)
{
	vcpu_work(vcpu);
}

bool x86_vcpu_awake(struct x86_vcpu *v)
{
	uint32_t taken;

	taken = take_requests(v, VCPU_REQ_WORK | VCPU_REQ_INIT | VCPU_REQ_STARTUP);
	if (unlikely(v->base.work || (taken & VCPU_REQ_WORK)))
		work(&v->base);
	/* With both, the INIT was first: it takes back what came before it. */
	if (unlikely(taken & VCPU_REQ_INIT))
		init(v);
	if (unlikely(taken & VCPU_REQ_STARTUP))
		start_up(v);
	return (!v->waits_for_sipi && !v->halted) || wakes(v);
}

bool x86_vcpu_halt(struct x86_vcpu *v, bool interrupts)
{
	if (unlikely(v->base.work))
		vcpu_work(&v->base);
	v->halted = true;
	v->halted_if = interrupts;
	return wakes(v);
}

static void raise(struct x86_vcpu *v, const struct x86_exception *given)
{
	struct x86_exception x = *given;

	/* Real mode pushes no error codes. */
	x86_load(v, X86_CR);
	x.has_error = x.has_error && (v->state.cr0 & CR0_PE);
	events_requeue(v);
	if (!events_raise(&v->events, &x))
		vm_kill(v->base.vm, "vCPU %u: triple fault", v->base.id);
	vcpu_request_self(&v->base, VCPU_REQ_AGAIN);
}

void x86_raise(struct x86_vcpu *v, uint8_t vector)
{
	raise(v, &(struct x86_exception){.vector = vector});
}

void x86_raise_error(struct x86_vcpu *v, uint8_t vector, uint32_t error)
{
	raise(v, &(struct x86_exception){.vector = vector, .has_error = true, .error = error});
}

void x86_raise_exception(struct x86_vcpu *v, const struct x86_exception *x)
{
	raise(v, x);
}

uint64_t x86_guest_tsc(const struct x86_vcpu *v)
{
	return rdtsc() + v->tsc_offset;
}
