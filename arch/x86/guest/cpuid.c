/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPU model that a guest sees: what of the host's CPUID is passed on, and what is added. */
#include "cpuid_topology.h"
#include "socle/cpu/tsc.h"
#include "socle/cpu/xstate.h"
#include "socle/guest/cpuid.h"
#include "socle/guest/lbr.h"
#include "socle/guest/pmu.h"
#include "socle/guest/pvclock.h"
#include "socle/guest/msr.h"
#include "socle/guest/vcpu.h"
#include "socle/string.h"

/*
 * The policy: of each register, @pass are the host's bits that are no features and that the guest
 * sees too; features come from the model (cpuid_model.h), and in leaves of Socle's own @set is what
 * there is. What is in none of these reads as 0.
 */
struct cpuid_policy {
	uint32_t leaf, subleaf;
	struct cpuid pass, set;
	uint8_t dynamic;
	bool repeats;
	uint8_t more;		  /* the subleaves that follow and have the same policy */
	enum guest_feature needs; /* without it, the leaf is empty */
};

enum { LEAF_PERFMON = 0xa, LEAF_ARCH_LBR = 0x1c, LEAF_PERFMON_AMD = 0x80000022 };
enum { ALL = 0xffffffff, LEAF_HYPERVISOR = 0x40000000, LEAF_TIMING = 0x40000010 };
enum { LEAF_XSAVE = 0xd, XSAVE_FIRST = 2, XSAVE_LAST = 12 }; /* subleaves of state components */
#define B(n) (1u << (n))

enum { AMD_ALIASES = 0x0183a17f }; /* of leaf 1: 0-6, 8, 13, 15-17, 23, 24 (APM vol. 3, E.4.2) */
enum { CACHE_EAX = 0x3ff };	   /* type, level, self-initializing, fully associative */

static const struct cpuid_policy policies[] = {
	{.leaf = 0, .pass = {0, ALL, ALL, ALL}, .repeats = true},
	/* Signature; brand index, CLFLUSH size. */
	{.leaf = 1, .pass = {ALL, 0xffff, 0, 0}, .dynamic = CPUID_DYN_1, .repeats = true},
	{.leaf = 4, .more = 4, .pass = {CACHE_EAX, ALL, ALL, MASK(2, 0)}}, /* caches on Intel */
	{.leaf = 7, .more = 2, .dynamic = CPUID_DYN_7},
	{.leaf = LEAF_PERFMON, .repeats = true},
	{.leaf = 0xb, .subleaf = 0, .dynamic = CPUID_DYN_B},
	{.leaf = 0xb, .subleaf = 1, .dynamic = CPUID_DYN_B},
	{.leaf = LEAF_XSAVE, .dynamic = CPUID_DYN_D0, .needs = GUEST_xsave},
	{.leaf = LEAF_XSAVE, .subleaf = 1, .dynamic = CPUID_DYN_D1, .needs = GUEST_xsave},
	{.leaf = LEAF_XSAVE, .subleaf = XSAVE_FIRST, .more = XSAVE_LAST - XSAVE_FIRST,
	 .pass = {ALL, ALL, ALL, 0}, .needs = GUEST_xsave},
	/* Depths, what may reset or be in the records; filters; what INFO tells (SDM vol. 3, 19.1.1) */
	{.leaf = LEAF_ARCH_LBR, .pass = {B(30) | B(31) | 0xf, MASK(2, 0), MASK(2, 0), 0},
	 .repeats = true, .needs = GUEST_arch_lbr},
	{.leaf = LEAF_HYPERVISOR, .repeats = true},
	{.leaf = LEAF_TIMING, .repeats = true},
	{.leaf = PVCLOCK_CPUID_BASE, .repeats = true},
	{.leaf = PVCLOCK_CPUID_FEATURES, .repeats = true,
	 .set = {.eax = KVM_FEATURE_NOP_IO_DELAY | KVM_FEATURE_CLOCKSOURCE2 |
			KVM_FEATURE_CLOCKSOURCE_STABLE}},
	{.leaf = 0x80000000, .pass = {0, ALL, ALL, ALL}, .repeats = true},
	{.leaf = 0x80000001, .pass = {ALL, 0, 0, AMD_ALIASES}, .repeats = true},
	{.leaf = 0x80000002, .pass = {ALL, ALL, ALL, ALL}, .repeats = true},
	{.leaf = 0x80000003, .pass = {ALL, ALL, ALL, ALL}, .repeats = true},
	{.leaf = 0x80000004, .pass = {ALL, ALL, ALL, ALL}, .repeats = true},
	{.leaf = 0x80000005, .pass = {ALL, ALL, ALL, ALL}, .repeats = true},
	{.leaf = 0x80000006, .pass = {ALL, ALL, ALL, ALL}, .repeats = true},
	{.leaf = 0x80000007, .repeats = true},
	{.leaf = 0x80000008, .pass = {.eax = ALL}, .repeats = true},
	/* As leaf 4, on AMD. */
	{.leaf = 0x8000001d, .more = 4, .pass = {CACHE_EAX, ALL, ALL, MASK(1, 0)},
	 .needs = GUEST_topoext},
	{.leaf = 0x8000001e, .dynamic = CPUID_DYN_1E, .repeats = true, .needs = GUEST_topoext},
	{.leaf = LEAF_PERFMON_AMD, .repeats = true, .needs = GUEST_perfmon_v2},
};

static uint8_t *slot_of(struct guest_cpuid *t, uint32_t leaf)
{
	uint32_t n = leaf & 0xff;

	if (n >= CPUID_LEAVES)
		return NULL;
	switch (leaf & ~0xffu) {
	case 0:
		return &t->basic[n];
	case LEAF_HYPERVISOR:
		return &t->hypervisor[n];
	case PVCLOCK_CPUID_BASE:
		return &t->pv[n];
	case 0x80000000:
		return &t->extended[n];
	default:
		return NULL;
	}
}

/*
 * Size of a component of control-flow enforcement, CET_U or CET_S, and that it is one of IA32_XSS
 * (SDM vol. 1, 13.5.9). Bochs 2.7 does not list them.
 */
static struct cpuid cet_component(uint32_t subleaf)
{
	enum { CET_U = 11, U_CET_AND_PL3_SSP = 16, PL0_TO_PL2_SSP = 24 };

	return (struct cpuid){.eax = subleaf == CET_U ? U_CET_AND_PL3_SSP : PL0_TO_PL2_SSP,
			      .ecx = 1};
}

static uint32_t highest_extended(const struct vm_cpu *m)
{
	if (cpu_model_has(m, GUEST_perfmon_v2))
		return LEAF_PERFMON_AMD;
	return cpu_model_has(m, GUEST_topoext) ? 0x8000001eu : 0x80000008u;
}

static uint32_t model_bits(const struct guest_cpuid *t, uint32_t leaf, uint32_t subleaf,
			   unsigned reg)
{
	return cpu_model_bits(&t->model, leaf, subleaf, reg);
}

/* Parts of leaves that are neither features nor the host's. */
static void fix_up(const struct guest_cpuid *t, struct cpuid *r, uint32_t leaf, uint32_t subleaf)
{
	switch (leaf) {
	case 0:
		r->eax = cpu_model_has(&t->model, GUEST_arch_lbr) ? LEAF_ARCH_LBR
			 : cpu_model_has(&t->model, GUEST_xsave)  ? LEAF_XSAVE
								  : 0xb;
		break;
	case 7: /* the highest subleaf */
		if (subleaf == 0 && model_bits(t, 7, 2, REG_EDX))
			r->eax = 2;
		break;
	case LEAF_PERFMON:
		if (t->pmu)
			*r = pmu_offer.intel;
		break;
	case LEAF_XSAVE:
		if (subleaf == 0)
			*r = (struct cpuid){.eax = t->xcr0, .edx = t->xcr0 >> 32};
		else if (subleaf == 1)
			*r = (struct cpuid){.eax = r->eax, .ecx = t->xss, .edx = t->xss >> 32};
		else if (!((t->xcr0 | t->xss) & BIT(subleaf)))
			*r = (struct cpuid){0};
		else if (t->xss & BIT(subleaf))
			*r = cet_component(subleaf);
		break;
	case LEAF_HYPERVISOR:
		r->eax = LEAF_TIMING;
		memcpy(&r->ebx, "Socl", 4);
		memcpy(&r->ecx, "eSoc", 4);
		memcpy(&r->edx, "le\0\0", 4);
		break;
	case PVCLOCK_CPUID_BASE:
		r->eax = PVCLOCK_CPUID_FEATURES;
		memcpy(&r->ebx, "KVMK", 4);
		memcpy(&r->ecx, "VMKV", 4);
		memcpy(&r->edx, "M\0\0\0", 4);
		break;
	case LEAF_TIMING: /* EAX: TSC in kHz, EBX: local APIC timer in kHz */
		r->eax = tsc_hz / 1000;
		r->ebx = LAPIC_TIMER_HZ / 1000;
		break;
	case 0x80000000:
		r->eax = MIN(cpuid(0x80000000, 0).eax, highest_extended(&t->model));
		break;
	case 0x80000001:
		r->edx &= ~(uint32_t)AMD_ALIASES | cpu_model_bits(&t->model, 1, 0, REG_EDX);
		break;
	case LEAF_PERFMON_AMD:
		r->ebx = pmu_offer.amd.ebx;
		break;
	case 0x80000008: /* physical and linear sizes as they are */
		r->eax &= 0xffff;
		break;
	default:
		break;
	}
}

uint32_t cpuid_guest_xsave_size(const struct guest_cpuid *t, uint64_t components, bool compact)
{
	const struct cpuid_entry *d = &t->entry[t->basic[LEAF_XSAVE]];
	uint32_t size = XSTATE_HEADER_END;

	for (unsigned i = XSAVE_FIRST; i <= d->subleaves; i++) {
		const struct cpuid *c = &d[i].value;

		if (!(components & BIT(i)))
			continue;
		if (!compact)
			size = MAX(size, c->ebx + c->eax);
		else
			size = (c->ecx & B(1) ? ALIGN_UP(size, 64u) : size) + c->eax;
	}
	return size;
}

/* Appends the entry of one row of the policy, or of one of its further subleaves. */
static void add_entry(struct guest_cpuid *t, const struct cpuid_policy *p, uint32_t subleaf,
		      unsigned cpus)
{
	struct cpuid_entry *e = &t->entry[t->entries];
	uint8_t *slot = slot_of(t, p->leaf);
	struct cpuid host = {0};

	if (p->leaf >> 28 != 4 && p->leaf <= cpuid(p->leaf & 0x80000000, 0).eax)
		host = cpuid(p->leaf, subleaf);
	e->value = (struct cpuid){
		(host.eax & p->pass.eax) | p->set.eax | model_bits(t, p->leaf, subleaf, REG_EAX),
		(host.ebx & p->pass.ebx) | p->set.ebx | model_bits(t, p->leaf, subleaf, REG_EBX),
		(host.ecx & p->pass.ecx) | p->set.ecx | model_bits(t, p->leaf, subleaf, REG_ECX),
		(host.edx & p->pass.edx) | p->set.edx | model_bits(t, p->leaf, subleaf, REG_EDX),
	};
	e->dynamic = p->dynamic;
	e->repeats = p->repeats;
	e->simple = p->repeats && p->dynamic == CPUID_STATIC;
	fix_up(t, &e->value, p->leaf, subleaf);
	cpuid_topology(&e->value, p->leaf, subleaf, cpus);
	if (subleaf == 0)
		*slot = (uint8_t)t->entries;
	else
		t->entry[*slot].subleaves++;
	t->entries++;
}

/* Features of the performance counters, and PERF_CAPABILITIES if there would be nothing in it. */
static void drop_without_counters(struct vm_cpu *m, bool pmu)
{
	if (!pmu)
		cpu_model_drop(m, GUEST_perfctr_core);
	if (!lbr_offer.perf_capabilities && !(pmu && pmu_offer.perf_capabilities))
		cpu_model_drop(m, GUEST_pdcm);
}

void cpuid_build(struct guest_cpuid *t, const struct vm_cpu *m, unsigned cpus, bool pmu)
{
	struct vm_cpu host;
	struct cpuid *d;

	cpu_model_host(&host);
	memset(t, 0, sizeof(*t));
	t->model = *m;
	t->pmu = pmu;
	drop_without_counters(&t->model, pmu);
	t->xcr0 = cpu_model_xcr0(m);
	t->xss = cpu_model_xss(m);
	t->cr4 = cpu_model_cr4(m);
	t->hides_cr4 = cpu_model_cr4(&host) & ~t->cr4;
	t->entries = 1;
	t->entry[0].repeats = t->entry[0].simple = true;
	for (unsigned i = 0; i < ARRAY_SIZE(policies); i++) {
		const struct cpuid_policy *p = &policies[i];

		if (p->needs != GUEST_none && !cpu_model_has(&t->model, p->needs))
			continue;
		for (uint32_t more = 0; more <= p->more; more++)
			add_entry(t, p, p->subleaf + more, cpus);
	}
	/* What all of the components that are offered take. */
	d = &t->entry[t->basic[LEAF_XSAVE]].value;
	if (t->xcr0)
		d->ecx = cpuid_guest_xsave_size(t, t->xcr0, false);
}

static void apply_dynamic(struct x86_vcpu *v, const struct cpuid_entry *e, uint32_t subleaf,
			  struct cpuid *r)
{
	switch ((enum cpuid_dynamic)e->dynamic) {
	case CPUID_STATIC:
		break;
	case CPUID_DYN_1:
		x86_load(v, X86_CR);
		r->ebx |= v->base.id << 24;
		if ((v->state.cr4 & CR4_OSXSAVE) && (r->ecx & B(26)))
			r->ecx |= B(27);
		break;
	case CPUID_DYN_7:
		x86_load(v, X86_CR);
		if ((v->state.cr4 & CR4_PKE) && (r->ecx & B(3)))
			r->ecx |= B(4);
		break;
	case CPUID_DYN_B:
		r->ecx = (r->ecx & ~0xffu) | (subleaf & 0xff);
		r->edx = v->base.id;
		break;
	case CPUID_DYN_1E: /* one thread per core, one node */
		r->eax = r->ebx = v->base.id;
		break;
	case CPUID_DYN_D0:
		/* The guest's XCR0 is in the CPU; without OSXSAVE it may be older, but valid. */
		r->ebx = cpuid_guest_xsave_size(v->cpuid, xgetbv(0), false);
		break;
	case CPUID_DYN_D1: /* only with XSAVEC or XSAVES */
		if (r->eax & (B(1) | B(3)))
			r->ebx = cpuid_guest_xsave_size(v->cpuid, xgetbv(0) | v->xss, true);
		break;
	}
}

struct cpuid cpuid_guest(struct x86_vcpu *v, uint32_t leaf, uint32_t subleaf)
{
	const struct guest_cpuid *t = v->cpuid;
	uint32_t n = leaf & 0xff, class = leaf & ~0xffu;
	const uint8_t *map = class == 0			   ? t->basic
			     : class == 0x80000000	   ? t->extended
			     : class == LEAF_HYPERVISOR	   ? t->hypervisor
			     : class == PVCLOCK_CPUID_BASE ? t->pv
							   : NULL;
	const struct cpuid_entry *e;
	struct cpuid r;

	if (unlikely(n >= CPUID_LEAVES || !map))
		return (struct cpuid){0};
	e = &t->entry[map[array_index_nospec(n, CPUID_LEAVES)]];
	if (unlikely(!e->repeats && subleaf)) {
		if (subleaf > e->subleaves) {
			r = (struct cpuid){0};
			if (e->dynamic == CPUID_DYN_B)
				apply_dynamic(v, e, subleaf, &r);
			return r;
		}
		e += array_index_nospec(subleaf, e->subleaves + 1u);
	}
	r = e->value;
	if (unlikely(e->dynamic))
		apply_dynamic(v, e, subleaf, &r);
	return r;
}

bool cpuid_guest_bit(const struct guest_cpuid *table, uint32_t leaf, unsigned reg, unsigned bit)
{
	struct guest_cpuid *t = (struct guest_cpuid *)table;
	const uint8_t *slot = slot_of(t, leaf);
	const struct cpuid *c;

	if (!slot)
		return false;
	c = &table->entry[*slot].value;
	return (reg == 0 ? c->eax : reg == 1 ? c->ebx : reg == 2 ? c->ecx : c->edx) >> bit & 1;
}
