/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The topology of a guest's processors: one package, as many cores as vCPUs, one thread in each.
 * A vCPU's number is its APIC ID and its core's number, so the leaves of both vendors agree.
 */
#include "cpuid_topology.h"
#include "socle/cpu/features.h"

#define B(n) (1u << (n))

enum {
	CACHE_TYPE = 0x1f,
	CACHE_LEVEL = 0xe0,
	CACHE_LEVEL_2 = 2 << 5,
	CACHE_SHARERS_SHIFT = 14,
	CACHE_CORES_SHIFT = 26,
};

/* How many bits of an APIC ID number the cores of the package. */
static unsigned core_bits(unsigned cpus)
{
	return cpus > 1 ? 32 - (unsigned)__builtin_clz(cpus - 1) : 0;
}

bool cpuid_topology_extensions(void)
{
	return cpu_info.vendor == CPU_VENDOR_AMD && cpuid(0x80000000, 0).eax >= 0x8000001e &&
	       (cpuid(0x80000001, 0).ecx & B(22));
}

/* One of the caches: levels 1 and 2 belong to a core, the next ones to @sharers. */
static void cache(struct cpuid *r, unsigned sharers)
{
	if (!(r->eax & CACHE_TYPE)) /* there are no more */
		*r = (struct cpuid){0};
	else if ((r->eax & CACHE_LEVEL) > CACHE_LEVEL_2)
		r->eax |= (sharers - 1) << CACHE_SHARERS_SHIFT;
}

void cpuid_topology(struct cpuid *r, uint32_t leaf, uint32_t subleaf, unsigned cpus)
{
	bool amd = cpu_info.vendor == CPU_VENDOR_AMD;
	unsigned bits = core_bits(cpus);

	switch (leaf) {
	case 1:
		r->ebx |= MIN(cpus, 255u) << 16;
		if (cpus > 1)
			r->edx |= B(28); /* HTT: more than one logical processor */
		break;
	case 4: /* SDM vol. 2, CPUID, leaf 04H: its numbers are of IDs that there may be */
		cache(r, 1u << bits);
		if (r->eax)
			r->eax |= ((1u << bits) - 1) << CACHE_CORES_SHIFT;
		break;
	case 0xb: /* SDM vol. 2, CPUID, leaf 0BH: the level of threads, the level of cores */
		r->eax = subleaf ? bits : 0;
		r->ebx = subleaf ? cpus : 1;
		r->ecx = subleaf ? 2 << 8 | 1 : 1 << 8;
		break;
	case 0x80000001:
		if (amd && cpus > 1)
			r->ecx |= B(1); /* CmpLegacy: leaf 1 counts cores, not threads */
		break;
	case 0x80000008: /* APM vol. 3, E.4.7: cores less one, bits that number them */
		if (amd)
			r->ecx |= bits << 12 | (cpus - 1);
		break;
	case 0x8000001d:
		cache(r, cpus);
		break;
	default:
		break;
	}
}
