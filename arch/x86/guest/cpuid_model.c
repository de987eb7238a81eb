/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets of CPU features: what this machine can give, the baseline, and how features hang together.
 */
#include "cpuid_topology.h"
#include "socle/guest/cpuid_model.h"
#include "socle/guest/msr.h"
#include "socle/string.h"

const struct guest_feature_row guest_features[GUEST_FEATURE_COUNT] = {
#define X(name_, leaf_, subleaf_, reg_, bit_, flags_, ...)                               \
	[GUEST_##name_] = {.name = #name_,                                               \
			   .leaf = (leaf_),                                              \
			   .subleaf = (subleaf_),                                        \
			   .reg = REG_##reg_,                                            \
			   .bit = (bit_),                                                \
			   .flags = (flags_),                                            \
			   .needs = {__VA_ARGS__}},
	GUEST_FEATURES(X)
#undef X
};

/* User state components by the feature that brings them (SDM vol. 1, 13.1). */
static const struct {
	enum guest_feature feature;
	uint64_t xcr0;
} xcr0_of[] = {
	{GUEST_xsave, XCR0_X87 | XCR0_SSE},
	{GUEST_avx, XCR0_AVX},
	{GUEST_avx512f, XCR0_AVX512},
	{GUEST_pku, XCR0_PKRU},
};

/* Bits of CR4 that a guest may set, by the feature that offers them (SDM vol. 3, 2.5). */
static const struct {
	enum guest_feature feature;
	uint64_t cr4;
} cr4_of[] = {
	{GUEST_vme, CR4_VME | CR4_PVI}, {GUEST_tsc, CR4_TSD}, {GUEST_de, CR4_DE},
	{GUEST_pse, CR4_PSE}, {GUEST_pae, CR4_PAE}, {GUEST_pge, CR4_PGE},
	{GUEST_fxsr, CR4_OSFXSR}, {GUEST_sse, CR4_OSXMMEXCPT}, {GUEST_umip, CR4_UMIP},
	{GUEST_la57, CR4_LA57}, {GUEST_fsgsbase, CR4_FSGSBASE}, {GUEST_xsave, CR4_OSXSAVE},
	{GUEST_smep, CR4_SMEP}, {GUEST_smap, CR4_SMAP}, {GUEST_pku, CR4_PKE},
	{GUEST_shstk, CR4_CET}, {GUEST_ibt, CR4_CET}, {GUEST_pks, CR4_PKS},
};

enum { XCR0_FURTHER = 2 }; /* the first component that has a subleaf of leaf 0xD */

static struct vm_cpu withheld, on_request;

#define for_each_feature(f) for (enum guest_feature f = 1; (f) < GUEST_FEATURE_COUNT; (f)++)

static void include_feature(struct vm_cpu *m, enum guest_feature f, bool on)
{
	if (on)
		m->feature[f / 64] |= BIT(f % 64);
	else
		m->feature[f / 64] &= ~BIT(f % 64);
}

static uint32_t reg_of(const struct cpuid *c, unsigned reg)
{
	return reg == REG_EAX ? c->eax : reg == REG_EBX ? c->ebx : reg == REG_ECX ? c->ecx : c->edx;
}

/* The machine's CPUID, and zeroes beyond its highest leaf, where Intel repeats another one. */
static struct cpuid real_cpuid(uint32_t leaf, uint32_t subleaf)
{
	return leaf <= cpuid(leaf & 0x80000000, 0).eax ? cpuid(leaf, subleaf) : (struct cpuid){0};
}

/* The components that @f brings, which the machine must be able to save. */
static uint64_t components_of(enum guest_feature f)
{
	for (unsigned i = 0; i < ARRAY_SIZE(xcr0_of); i++)
		if (xcr0_of[i].feature == f)
			return xcr0_of[i].xcr0;
	return 0;
}

static uint64_t real_xcr0(void)
{
	struct cpuid d = real_cpuid(0xd, 0);

	return d.eax | (uint64_t)d.edx << 32;
}

/* That the machine can save these, and says how: Bochs 2.7 has PKRU and no subleaf for it. */
static bool can_save(uint64_t which)
{
	if (which & ~real_xcr0())
		return false;
	for (unsigned i = XCR0_FURTHER; i < 64; i++)
		if ((which & BIT(i)) && !real_cpuid(0xd, i).eax)
			return false;
	return true;
}

static bool really_has(enum guest_feature f)
{
	const struct guest_feature_row *r = &guest_features[f];
	struct cpuid c = real_cpuid(r->leaf, r->subleaf);

	if (r->flags & GF_OWN)
		return true;
	if (!(reg_of(&c, r->reg) >> r->bit & 1) || !can_save(components_of(f)))
		return false;
	/* Of AMD's topology extensions all or nothing. */
	return f != GUEST_topoext || cpuid_topology_extensions();
}

bool cpu_feature_needs(enum guest_feature f, enum guest_feature other)
{
	if (f == other)
		return true;
	for (unsigned i = 0; i < FEATURE_NEEDS; i++) {
		enum guest_feature need = guest_features[f].needs[i];

		if (need != GUEST_none && cpu_feature_needs(need, other))
			return true;
	}
	return false;
}

void cpu_model_add(struct vm_cpu *m, enum guest_feature f)
{
	for_each_feature(need) if (cpu_feature_needs(f, need)) include_feature(m, need, true);
}

void cpu_model_drop(struct vm_cpu *m, enum guest_feature f)
{
	for_each_feature(dependant) if (cpu_feature_needs(dependant, f))
		include_feature(m, dependant, false);
}

void cpu_model_host(struct vm_cpu *m)
{
	memset(m, 0xff, sizeof(*m));
	for_each_feature(f) if (cpu_model_has(&withheld, f) || !really_has(f)) cpu_model_drop(m, f);
	include_feature(m, GUEST_none, false);
	for (unsigned i = GUEST_FEATURE_COUNT; i < 64 * VM_CPU_WORDS; i++)
		include_feature(m, i, false);
}

void cpu_model_default(struct vm_cpu *m)
{
	cpu_model_host(m);
	for_each_feature(f) if (cpu_model_has(&on_request, f)) cpu_model_drop(m, f);
}

void cpu_model_baseline(struct vm_cpu *m)
{
	memset(m, 0, sizeof(*m));
	for_each_feature(f) if ((guest_features[f].flags & GF_BASE) ||
				((guest_features[f].flags & GF_FACT) && really_has(f)))
		include_feature(m, f, true);
}

enum guest_feature cpu_feature_find(const char *name, size_t len)
{
	for_each_feature(f) if (strlen(guest_features[f].name) == len &&
				memcmp(guest_features[f].name, name, len) == 0) return f;
	return GUEST_none;
}

void cpu_model_withhold(enum guest_feature f)
{
	include_feature(&withheld, f, true);
}

void cpu_model_only_on_request(enum guest_feature f)
{
	include_feature(&on_request, f, true);
}

uint32_t cpu_model_bits(const struct vm_cpu *m, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
	uint32_t bits = 0;

	for_each_feature(f)
	{
		const struct guest_feature_row *r = &guest_features[f];

		if (r->leaf == leaf && r->subleaf == subleaf && r->reg == reg &&
		    cpu_model_has(m, f))
			bits |= 1u << r->bit;
	}
	return bits;
}

uint64_t cpu_model_xcr0(const struct vm_cpu *m)
{
	uint64_t xcr0 = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(xcr0_of); i++)
		if (cpu_model_has(m, xcr0_of[i].feature))
			xcr0 |= xcr0_of[i].xcr0;
	return xcr0 & real_xcr0();
}

uint64_t cpu_model_xss(const struct vm_cpu *m)
{
	const uint64_t cet = XSS_CET_U | XSS_CET_S;
	struct cpuid d = real_cpuid(0xd, 1);
	uint64_t listed = d.ecx | (uint64_t)d.edx << 32;

	if (!cpu_model_has(m, GUEST_xsaves))
		return 0;
	/* Bochs 2.7 has these and does not list them; cet_probe() has asked the MSR. */
	if (cpu_model_has(m, GUEST_shstk) || cpu_model_has(m, GUEST_ibt))
		listed |= cet;
	else
		listed &= ~cet;
	/* What has no size is not saved, unless MSR by MSR. */
	for (unsigned i = XCR0_FURTHER; i < 64; i++)
		if ((listed & ~XSS_BY_MSR & BIT(i)) && !real_cpuid(0xd, i).eax)
			listed &= ~BIT(i);
	return listed & XSS_VIRTUALIZED;
}

uint64_t cpu_model_cr4(const struct vm_cpu *m)
{
	uint64_t cr4 = CR4_PCE; /* which no feature offers */

	for (unsigned i = 0; i < ARRAY_SIZE(cr4_of); i++)
		if (cpu_model_has(m, cr4_of[i].feature))
			cr4 |= cr4_of[i].cr4;
	return cr4;
}
