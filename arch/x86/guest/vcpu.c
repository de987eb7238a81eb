/* SPDX-License-Identifier: BSD-2-Clause */
/* The vendor-neutral part of a virtual CPU: reset, exceptions, and the vendor in use. */
#include "socle/cpu/regs.h"
#include "socle/guest/msr.h"
#include "socle/guest/vcpu.h"
#include "socle/report.h"
#include "socle/string.h"

extern const struct vendor *const __vendors_start[], *const __vendors_end[];

const struct vendor *vendor;

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
	events_reset(&v->events);
	fetch_close(v);
	/* No linear address is all ones, so an empty entry never matches. */
	memset(v->decode, 0xff, sizeof(v->decode));
	msr_reset(v);
	v->tsc_adjust = v->pvclock = 0;
	v->waits_for_sipi = v->base.id != 0;
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
	v->base.requests |= VCPU_REQ_EVENT;
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
