/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPU model that a guest sees: what of the host's CPUID is passed on, and what is added. */
#include "cpuid_topology.h"
#include "socle/cpu/features.h"
#include "socle/cpu/tsc.h"
#include "socle/guest/cpuid.h"
#include "socle/guest/pvclock.h"
#include "socle/guest/vcpu.h"
#include "socle/string.h"

/*
 * The policy: of each register, @pass are the host's bits that the guest sees too, @set are bits
 * that Socle provides whatever the host has. What is in neither reads as 0. A feature is listed
 * only if it works in a guest to the last bit.
 */
struct cpuid_policy {
	uint32_t leaf, subleaf;
	struct cpuid pass, set;
	uint8_t dynamic;
	bool repeats;
	uint8_t more;	    /* the subleaves that follow and have the same policy */
	bool (*only)(void); /* where it returns false, the leaf is empty */
};

enum { ALL = 0xffffffff, LEAF_HYPERVISOR = 0x40000000, LEAF_TIMING = 0x40000010 };
#define B(n) (1u << (n))

enum { CACHE_EAX = 0x3ff }; /* type, level, self-initializing, fully associative */
enum { SUBLEAF_XSAVE_FIRST = 2, XCR0_BITS = 0xe7 }; /* x87, SSE, AVX, AVX-512 */

static const struct cpuid_policy policies[] = {
	{.leaf = 0, .pass = {0, ALL, ALL, ALL}, .repeats = true},
	{
		.leaf = 1, .dynamic = CPUID_DYN_1, .repeats = true,
		.pass = {
			.eax = ALL,
			.ebx = 0xffff, /* brand index, CLFLUSH size */
			/* SSE3, PCLMUL, SSSE3, FMA, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT, AES,
			 * XSAVE, AVX, F16C, RDRAND */
			.ecx = B(0) | B(1) | B(9) | B(12) | B(13) | B(19) | B(20) | B(22) | B(23) |
			       B(25) | B(26) | B(28) | B(29) | B(30),
			/* FPU, VME, DE, PSE, TSC, MSR, PAE, CX8, SEP, PGE, CMOV, PAT, PSE36, CLFSH,
			 * MMX, FXSR, SSE, SSE2, SS */
			.edx = B(0) | B(1) | B(2) | B(3) | B(4) | B(5) | B(6) | B(8) | B(11) |
			       B(13) | B(15) | B(16) | B(17) | B(19) | B(23) | B(24) | B(25) |
			       B(26) | B(27),
		},
		/* x2APIC, TSC deadline, hypervisor present; local APIC, MTRR */
		.set = {.ecx = B(21) | B(24) | B(31), .edx = B(9) | B(12)},
	},
	{.leaf = 4, .more = 4, .pass = {CACHE_EAX, ALL, ALL, MASK(2, 0)}}, /* caches on Intel */
	{
		.leaf = 7,
		.pass = {
			/* FSGSBASE, BMI1, AVX2, FDP_EXCPTN_ONLY, SMEP, BMI2, ERMS, INVPCID,
			 * ZERO_FCS_FDS, AVX512F/DQ, RDSEED, ADX, SMAP, AVX512_IFMA, CLFLUSHOPT,
			 * CLWB, AVX512PF/ER/CD, SHA, AVX512BW/VL */
			.ebx = B(0) | B(3) | B(5) | B(6) | B(7) | B(8) | B(9) | B(10) | B(13) |
			       B(16) | B(17) | B(18) | B(19) | B(20) | B(21) | B(23) | B(24) |
			       B(26) | B(27) | B(28) | B(29) | B(30) | B(31),
			/* AVX512_VBMI, UMIP, AVX512_VBMI2, GFNI, VAES, VPCLMULQDQ, AVX512_VNNI,
			 * AVX512_BITALG, AVX512_VPOPCNTDQ, LA57 */
			.ecx = B(1) | B(2) | B(6) | B(8) | B(9) | B(10) | B(11) | B(12) |
			       B(14) | B(16),
			/* AVX512_4VNNIW, AVX512_4FMAPS, AVX512_VP2INTERSECT */
			.edx = B(2) | B(3) | B(8),
		},
		.set = {.ebx = B(1)}, /* TSC_ADJUST */
	},
	{.leaf = 0xb, .subleaf = 0, .dynamic = CPUID_DYN_B},
	{.leaf = 0xb, .subleaf = 1, .dynamic = CPUID_DYN_B},
	{.leaf = 0xd, .subleaf = 0, .pass = {XCR0_BITS, 0, ALL, 0}, .dynamic = CPUID_DYN_D0},
	/* XSAVEOPT, XSAVEC, XGETBV with ECX = 1; no XSAVES */
	{.leaf = 0xd, .subleaf = 1, .pass = {.eax = B(0) | B(1) | B(2)}, .dynamic = CPUID_DYN_D1},
	{.leaf = 0xd, .subleaf = 2, .pass = {ALL, ALL, ALL, 0}},
	{.leaf = 0xd, .subleaf = 3},
	{.leaf = 0xd, .subleaf = 4},
	{.leaf = 0xd, .subleaf = 5, .pass = {ALL, ALL, ALL, 0}},
	{.leaf = 0xd, .subleaf = 6, .pass = {ALL, ALL, ALL, 0}},
	{.leaf = 0xd, .subleaf = 7, .pass = {ALL, ALL, ALL, 0}},
	{.leaf = LEAF_HYPERVISOR, .repeats = true},
	{.leaf = LEAF_TIMING, .repeats = true},
	{.leaf = PVCLOCK_CPUID_BASE, .repeats = true},
	{.leaf = PVCLOCK_CPUID_FEATURES, .repeats = true,
	 .set = {.eax = KVM_FEATURE_NOP_IO_DELAY | KVM_FEATURE_CLOCKSOURCE2 |
			KVM_FEATURE_CLOCKSOURCE_STABLE}},
	{.leaf = 0x80000000, .pass = {0, ALL, ALL, ALL}, .repeats = true},
	{
		.leaf = 0x80000001, .repeats = true,
		.pass = {
			.eax = ALL,
			/* LAHF, ABM, SSE4A, misaligned SSE, PREFETCHW, XOP, FMA4, TBM, TOPOEXT */
			.ecx = B(0) | B(5) | B(6) | B(7) | B(8) | B(11) | B(16) | B(21) | B(22),
			/* as leaf 1, and SYSCALL, NX, MMXEXT, FFXSR, 1 GiB pages, RDTSCP, LM, 3DNow */
			.edx = B(0) | B(1) | B(2) | B(3) | B(4) | B(5) | B(6) | B(8) | B(11) |
			       B(13) | B(15) | B(16) | B(17) | B(20) | B(22) | B(23) | B(24) |
			       B(25) | B(26) | B(27) | B(29) | B(30) | B(31),
		},
		.set = {.edx = 0},
	},
	{.leaf = 0x80000002, .pass = {ALL, ALL, ALL, ALL}, .repeats = true},
	{.leaf = 0x80000003, .pass = {ALL, ALL, ALL, ALL}, .repeats = true},
	{.leaf = 0x80000004, .pass = {ALL, ALL, ALL, ALL}, .repeats = true},
	{.leaf = 0x80000005, .pass = {ALL, ALL, ALL, ALL}, .repeats = true},
	{.leaf = 0x80000006, .pass = {ALL, ALL, ALL, ALL}, .repeats = true},
	{.leaf = 0x80000007, .pass = {.edx = B(8)}, .repeats = true}, /* invariant TSC */
	{.leaf = 0x80000008, .pass = {.eax = ALL, .ebx = B(0)}, .repeats = true}, /* CLZERO */
	/* As leaf 4, on AMD. */
	{.leaf = 0x8000001d, .more = 4, .pass = {CACHE_EAX, ALL, ALL, MASK(1, 0)},
	 .only = cpuid_topology_extensions},
	{.leaf = 0x8000001e, .dynamic = CPUID_DYN_1E, .repeats = true,
	 .only = cpuid_topology_extensions},
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

static void fix_up(struct cpuid *r, uint32_t leaf)
{
	switch (leaf) {
	case 0:
		r->eax = cpuid(0, 0).eax >= 0xd && cpu_has(CPU_XSAVE) ? 0xd : 0xb;
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
		r->eax = MIN(cpuid(0x80000000, 0).eax,
			     cpuid_topology_extensions() ? 0x8000001eu : 0x80000008u);
		break;
	case 0x80000008: /* physical and linear sizes as they are */
		r->eax &= 0xffff;
		break;
	default:
		break;
	}
}

/* Size of the XSAVE area for the components in @xcr0 (SDM vol. 1, 13.4.3). */
static uint32_t xsave_size(const struct guest_cpuid *t, uint64_t xcr0, bool compact)
{
	const struct cpuid_entry *d = &t->entry[t->basic[0xd]];
	uint32_t size = 576; /* legacy area and header */

	for (unsigned i = SUBLEAF_XSAVE_FIRST; i <= d->subleaves; i++) {
		const struct cpuid *c = &d[i].value;

		if (!(xcr0 & BIT(i)))
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
	e->value.eax = (host.eax & p->pass.eax) | p->set.eax;
	e->value.ebx = (host.ebx & p->pass.ebx) | p->set.ebx;
	e->value.ecx = (host.ecx & p->pass.ecx) | p->set.ecx;
	e->value.edx = (host.edx & p->pass.edx) | p->set.edx;
	e->dynamic = p->dynamic;
	e->repeats = p->repeats;
	e->simple = p->repeats && p->dynamic == CPUID_STATIC;
	fix_up(&e->value, p->leaf);
	cpuid_topology(&e->value, p->leaf, subleaf, cpus);
	if (subleaf == 0)
		*slot = (uint8_t)t->entries;
	else
		t->entry[*slot].subleaves++;
	t->entries++;
}

void cpuid_build(struct guest_cpuid *t, unsigned cpus)
{
	struct cpuid *d;

	memset(t, 0, sizeof(*t));
	t->entries = 1;
	t->entry[0].repeats = t->entry[0].simple = true;
	for (unsigned i = 0; i < ARRAY_SIZE(policies); i++) {
		const struct cpuid_policy *p = &policies[i];

		for (uint32_t more = 0; (!p->only || p->only()) && more <= p->more; more++)
			add_entry(t, p, p->subleaf + more, cpus);
	}
	/* What all of the components that are offered take. */
	d = &t->entry[t->basic[0xd]].value;
	if (d->ecx)
		d->ecx = xsave_size(t, d->eax, false);
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
	case CPUID_DYN_B:
		r->ecx = (r->ecx & ~0xffu) | (subleaf & 0xff);
		r->edx = v->base.id;
		break;
	case CPUID_DYN_1E: /* one thread per core, one node */
		r->eax = r->ebx = v->base.id;
		break;
	case CPUID_DYN_D0:
	case CPUID_DYN_D1:
		x86_load(v, X86_CR);
		/* The guest's XCR0 is in the CPU; without OSXSAVE it may be older, but valid. */
		if (cpu_has(CPU_XSAVE))
			r->ebx = xsave_size(v->cpuid, xgetbv(0), e->dynamic == CPUID_DYN_D1);
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

uint64_t cpuid_guest_xcr0(const struct guest_cpuid *table)
{
	return table->entry[table->basic[0xd]].value.eax | 1;
}
