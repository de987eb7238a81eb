/* SPDX-License-Identifier: BSD-2-Clause */
/* Switches the registers that the hypervisor never uses, and only when another vCPU needs them. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/mitigations.h"
#include "socle/cpu/regs.h"
#include "socle/cpu/xstate.h"
#include "socle/guest/cet.h"
#include "socle/guest/context.h"
#include "socle/guest/cpuid.h"
#include "socle/guest/pks.h"
#include "socle/mm/frames.h"
#include "socle/string.h"

enum { FXSAVE_SIZE = 512, MXCSR = 24, FCW_RESET = 0x37f, MXCSR_RESET = 0x1f80 };

/* State that a vCPU has whatever its model. */
enum { XCR0_ALWAYS = XCR0_X87 | XCR0_SSE };

/* Components of XCR0 that guests can have on this CPU, if they exist there; 0: no XSAVE. */
static uint64_t machine_xcr0;
/* Likewise of IA32_XSS. */
static uint64_t machine_xss;
static bool has_xsaveopt;

/* What is in each CPU. Only its CPU looks at it. */
static struct __aligned(64) holder
{
	struct x86_vcpu *vcpu; /* whose registers; NULL: nobody's */
	uint64_t reached;      /* components that whoever was here last may have changed */
	uint64_t xss;	       /* IA32_XSS */
	uint64_t xcr0;	       /* XCR0, while it is nobody's; 0: not known */
}
holders[CPU_MAX];

/* XSAVE areas in which all components are initial: XSTATE_BV is 0. */
static const uint8_t initial[PAGE_SIZE] __aligned(64);
static uint8_t initial_compacted[PAGE_SIZE] __aligned(64);

static struct holder *holder(void)
{
	return &holders[cpu_index()];
}

static void set_xss(struct holder *h, uint64_t xss)
{
	if (h->xss == xss)
		return;
	msr_write(MSR_XSS, xss);
	h->xss = xss;
}

/* Only where it changes something: below another hypervisor, XSETBV makes an exit. */
static void set_xcr0(struct holder *h, uint64_t xcr0)
{
	if (h->xcr0 == xcr0)
		return;
	xsetbv(0, xcr0);
	h->xcr0 = xcr0;
}

void context_cpu_on(void)
{
	struct holder *h = holder();
	uint64_t xcomp_bv;
	bool has_xss;

	cr0_write((cr0_read() & ~(uint64_t)(CR0_TS | CR0_EM)) | CR0_MP | CR0_NE);
	cr4_write(cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	*h = (struct holder){0};
	cet_cpu_on();
	if (!cpu_has(CPU_XSAVE))
		return;
	cr4_write(cr4_read() | CR4_OSXSAVE);
	machine_xcr0 = cpuid(0xd, 0).eax & XCR0_VIRTUALIZED;
	has_xsaveopt = cpuid(0xd, 1).eax & BIT(0);
	has_xss = cpuid(0xd, 1).eax & BIT(3);
	machine_xss = has_xss ? cpuid(0xd, 1).ecx & XSS_VIRTUALIZED & ~XSS_BY_MSR : 0;
	if (has_xss)
		msr_write(MSR_XSS, 0);
	xcomp_bv = XCOMP_BV_COMPACTED | machine_xcr0 | machine_xss;
	memcpy(initial_compacted + XCOMP_BV, &xcomp_bv, sizeof(xcomp_bv));
	/* Firmware or a boot loader may have left something. */
	h->reached = machine_xcr0 | machine_xss;
}

/* The components of XCR0 and of IA32_XSS that @v's area holds. */
static uint64_t user_state(const struct x86_vcpu *v)
{
	return v->cpuid->xcr0 | XCR0_ALWAYS;
}

static uint64_t supervisor_state(const struct x86_vcpu *v)
{
	return v->cpuid->xss & ~XSS_BY_MSR;
}

static uint32_t area_size(const struct x86_vcpu *v)
{
	uint64_t xss = supervisor_state(v);

	return machine_xcr0 ? cpuid_guest_xsave_size(v->cpuid, user_state(v) | xss, xss)
			    : FXSAVE_SIZE;
}

status_t context_create(struct x86_vcpu *v)
{
	v->fpu = pages_alloc(area_size(v), OWNER_VM_CORE);
	return v->fpu ? 0 : -S_NOMEM;
}

/*
 * Supervisor state exists in the compacted form only, which XSAVES writes. Without any, XSAVEOPT is
 * better than both XSAVE and XSAVEC: it leaves out also what did not change since it was restored.
 */
static void save_extended(struct holder *h, struct x86_vcpu *v)
{
	uint64_t user = user_state(v), xss = supervisor_state(v);

	/* Read, since QEMU's TCG lets a guest execute XSETBV without an exit. */
	v->xcr0 = h->xcr0 = xgetbv(0);
	set_xcr0(h, user);
	if (xss) {
		set_xss(h, xss);
		xsaves(v->fpu, user | xss);
	} else if (has_xsaveopt) {
		xsaveopt(v->fpu, user);
	} else {
		xsave(v->fpu, user);
	}
}

/* Sets components to their initial state: those that the next vCPU has not, but the last had. */
static void clear_extended(struct holder *h, uint64_t which)
{
	set_xcr0(h, machine_xcr0);
	if (which & machine_xss) {
		set_xss(h, machine_xss);
		xrstors(initial_compacted, which);
	} else {
		xrstor(initial, which);
	}
}

static void restore_extended(struct holder *h, const struct x86_vcpu *v)
{
	uint64_t user = user_state(v), xss = supervisor_state(v), mine = user | xss;

	if (h->reached & ~mine)
		clear_extended(h, h->reached & ~mine);
	/*
	 * WRPKRU needs no bit of XCR0, only CR4.PKE (SDM vol. 3, 4.6.2), which a guest without
	 * protection keys cannot be kept from on all CPUs.
	 */
	h->reached = mine | (machine_xcr0 & XCR0_PKRU);
	set_xcr0(h, user);
	if (xss) {
		set_xss(h, xss);
		xrstors(v->fpu, mine);
	} else {
		xrstor(v->fpu, mine);
	}
	set_xcr0(h, v->xcr0);
	set_xss(h, v->xss);
}

static void save(struct holder *h)
{
	struct x86_vcpu *v = h->vcpu;

	if (machine_xcr0)
		save_extended(h, v);
	else
		fxsave(v->fpu);
	if (cpu_has(CPU_RDTSCP))
		v->tsc_aux = msr_read(MSR_TSC_AUX);
	if (cet_in_use())
		cet_save(v);
	if (pks_offered(v))
		pks_save(v);
	breakpoints_read(v->dr);
	h->vcpu = NULL;
}

/*
 * AMD's FXRSTOR and XRSTOR leave the last x87 instruction's addresses alone unless an exception is
 * pending, so the former owner's would shine through: load others (CVE-2006-1056).
 */
static void forget_x87_addresses(void)
{
	static const uint32_t zero;

	if (cpu_info.vendor == CPU_VENDOR_AMD)
		__asm__ volatile("fnclex; emms; fildl %0" ::"m"(zero));
}

/* Not inlined, so that the way of a vCPU whose registers are there still is short. */
static __noinline void change(struct holder *h, struct x86_vcpu *v)
{
	if (h->vcpu)
		save(h);
	mitigations_before_guest(v->base.vm->id);
	forget_x87_addresses();
	if (machine_xcr0)
		restore_extended(h, v);
	else
		fxrstor(v->fpu);
	if (cpu_has(CPU_RDTSCP))
		msr_write_ns(MSR_TSC_AUX, v->tsc_aux);
	if (cet_in_use())
		cet_restore(v);
	if (pks_offered(v))
		pks_restore(v);
	breakpoints_write(v->dr);
	h->vcpu = v;
}

void context_load(struct x86_vcpu *v)
{
	struct holder *h = holder();

	if (unlikely(h->vcpu != v))
		change(h, v);
}

void context_release(struct x86_vcpu *v)
{
	struct holder *h = holder();

	if (h->vcpu == v)
		save(h);
}

/* With CR4.PKE for a moment: it guards only user pages, of which we have none. */
uint32_t context_pkru(void)
{
	uint64_t cr4 = cr4_read();
	uint32_t pkru;

	cr4_write(cr4 | CR4_PKE);
	pkru = rdpkru();
	cr4_write(cr4);
	return pkru;
}

void context_set_xss(struct x86_vcpu *v, uint64_t xss)
{
	struct holder *h = holder();

	v->xss = xss;
	if (h->vcpu == v)
		set_xss(h, xss);
}

void context_init(struct x86_vcpu *v)
{
	context_set_xss(v, 0);
	memset(v->dr, 0, sizeof(v->dr));
	if (holder()->vcpu == v)
		breakpoints_write(v->dr);
	cet_init(v, holder()->vcpu == v);
}

void context_reset(struct x86_vcpu *v)
{
	uint64_t xstate_bv = XCR0_ALWAYS; /* these are in the area; all else is initial */
	uint64_t xcomp_bv = XCOMP_BV_COMPACTED | user_state(v) | supervisor_state(v);
	uint16_t fcw = FCW_RESET;
	uint32_t mxcsr = MXCSR_RESET;
	struct holder *h = holder();
	uint8_t *area = v->fpu;

	if (h->vcpu == v) {
		h->vcpu = NULL;
		h->xcr0 = 0;
	}
	memset(area, 0, area_size(v));
	memcpy(area, &fcw, sizeof(fcw));
	memcpy(area + MXCSR, &mxcsr, sizeof(mxcsr));
	if (machine_xcr0)
		memcpy(area + XSTATE_BV, &xstate_bv, sizeof(xstate_bv));
	if (supervisor_state(v))
		memcpy(area + XCOMP_BV, &xcomp_bv, sizeof(xcomp_bv));
	v->xcr0 = XCR0_X87;
	v->xss = 0;
	v->tsc_aux = 0;
	cet_reset(v);
	pks_reset(v);
	memset(v->dr, 0, sizeof(v->dr));
}
