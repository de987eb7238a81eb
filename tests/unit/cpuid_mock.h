/* SPDX-License-Identifier: BSD-2-Clause */
/* A host of the test's making: its CPUID, and the sources that make models out of it. */
#ifndef CPUID_MOCK_H
#define CPUID_MOCK_H

#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"

static struct cpuid mock_cpuid(uint32_t leaf, uint32_t subleaf);
static uint64_t mock_xcr0 = 3;
#define cpuid(leaf, subleaf) mock_cpuid(leaf, subleaf)
#define xgetbv(index)	     ((void)(index), mock_xcr0)
#include "socle/guest/cpuid_model.h"
#include "pmu_mock.h"
#undef XSS_VIRTUALIZED
#define XSS_VIRTUALIZED mock_xss_virtualized
#undef XSS_BY_MSR
#define XSS_BY_MSR mock_xss_by_msr
static uint64_t mock_xss_virtualized, mock_xss_by_msr;
#include "../../arch/x86/guest/cpuid_model.c"
#include "../../arch/x86/guest/cpuid_topology.c"

struct cpu_info cpu_info;
static uint32_t host_fill = UINT32_MAX; /* what feature leaves hold */
static struct vm_cpu lacks;		/* features that they do not have although that is ~0 */
static uint64_t host_xcr0 = UINT64_MAX, host_xss; /* leaf 0xD */
static uint32_t host_no_size;			  /* a component without a subleaf */
static uint32_t max_basic = 0x1f, max_extended = 0x80000022;

static inline void mock_reset(void)
{
	host_fill = UINT32_MAX;
	lacks = withheld = on_request = (struct vm_cpu){0};
	host_xcr0 = UINT64_MAX;
	host_no_size = 0;
	host_xss = mock_xss_virtualized = mock_xss_by_msr = 0;
	max_basic = 0x1f;
	max_extended = 0x80000022;
	mock_xcr0 = 3;
	cpu_info.vendor = CPU_VENDOR_AMD;
}

static struct cpuid mock_cpuid(uint32_t leaf, uint32_t subleaf)
{
	/* Sizes and offsets of XSAVE's parts as on processors with AVX-512, PKRU and CET. */
	static const struct cpuid parts[13] = {
		[2] = {256, 576, 0, 0},	 [3] = {64, 832, 0, 0},	  [4] = {64, 896, 0, 0},
		[5] = {64, 1088, 0, 0},	 [6] = {512, 1152, 2, 0}, [7] = {1024, 1664, 0, 0},
		[9] = {8, 2688, 0, 0},	 [11] = {16, 0, 1, 0},	  [12] = {24, 0, 1, 0},
	};

	/* Types data, code, unified; a host with two threads in each of 16 cores. */
	static const struct cpuid caches[4] = {
		{0x3c004121, 0x02c0003f, 0x3f, 0xf0},
		{0x3c004122, 0x01c0003f, 0x3f, 0xf0},
		{0x3c004143, 0x03c0003f, 0x3ff, 0xf0},
		{0x3c07c363, 0x03c0f03f, 0x7fff, 0xf7},
	};
	struct cpuid r = {host_fill, host_fill, host_fill, host_fill};

	if (leaf == 0)
		return (struct cpuid){max_basic, 0x68747541, 0x444d4163, 0x69746e65};
	if (leaf == 0x80000000)
		return (struct cpuid){max_extended, 0x68747541, 0x444d4163, 0x69746e65};
	/* Intel answers with the last basic leaf for those beyond. */
	if ((leaf < 0x80000000 && leaf > max_basic) || leaf > max_extended)
		return (struct cpuid){0xbad, 0xbad, 0xbad, 0xbad};
	if (leaf == 4 || leaf == 0x8000001d)
		return subleaf < ARRAY_SIZE(caches) ? caches[subleaf] : (struct cpuid){0};
	if (leaf == 0xd && subleaf > 1)
		return subleaf != host_no_size && subleaf < ARRAY_SIZE(parts) ? parts[subleaf]
									      : (struct cpuid){0};
	r.eax &= ~cpu_model_bits(&lacks, leaf, subleaf, REG_EAX);
	r.ebx &= ~cpu_model_bits(&lacks, leaf, subleaf, REG_EBX);
	r.ecx &= ~cpu_model_bits(&lacks, leaf, subleaf, REG_ECX);
	r.edx &= ~cpu_model_bits(&lacks, leaf, subleaf, REG_EDX);
	if (leaf == 0xd && subleaf == 0) {
		r.eax &= (uint32_t)host_xcr0;
		r.edx &= (uint32_t)(host_xcr0 >> 32);
	} else if (leaf == 0xd) {
		r.ecx = (uint32_t)host_xss;
		r.edx = (uint32_t)(host_xss >> 32);
	}
	return r;
}

/* The CPU of the test's machine lacks @f. */
static inline void host_lacks(enum guest_feature f)
{
	include_feature(&lacks, f, true);
}

#endif
