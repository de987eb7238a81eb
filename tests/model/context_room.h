/* SPDX-License-Identifier: BSD-2-Clause */
/* The real files that switch registers, on modelled CPUs without XSAVE, for several tests. */
#ifndef TESTS_MODEL_CONTEXT_ROOM_H
#define TESTS_MODEL_CONTEXT_ROOM_H

/* Extended state is another test's: nobody looks at its registers. */
#define SOCLE_CPU_XSTATE_H
enum { XSTATE_BV = 512, XCOMP_BV = 520, XSTATE_HEADER_END = 576 };
#define XCOMP_BV_COMPACTED    BIT(63)
#define fxsave(area)	      ((void)(area))
#define fxrstor(area)	      ((void)(area))
#define xsave(area, which)    ((void)(area), (void)(which))
#define xsaveopt(area, which) ((void)(area), (void)(which))
#define xsaves(area, which)   ((void)(area), (void)(which))
#define xrstor(area, which)   ((void)(area), (void)(which))
#define xrstors(area, which)  ((void)(area), (void)(which))
#define rdpkru()	      0u
#define breakpoints_read(dr)  ((void)(dr))
#define breakpoints_write(dr) ((void)(dr))
#define xgetbv(index)	      ((void)(index), 0ull)
#define xsetbv(index, value)  ((void)(index), (void)(value))
#define cr0_read()	      0ull
#define cr0_write(value)      ((void)(value))
#define cr4_write(value)      ((void)(value))
#ifndef cr4_read
#define cr4_read() 0ull
#endif

#include "../unit/panic_mock.h"
#include "../unit/pmu_mock.h"
#include "pages.h"
#include "socle/guest/cpuid.h"
#include "../../arch/x86/guest/context.c"
#include "../../arch/x86/guest/msr.c"
#include "../../arch/x86/guest/msr_filter.c"
#include "../../arch/x86/guest/msr_model.c"

uintptr_t test_memory;
struct cpu_info cpu_info;
struct lbr_offer lbr_offer;

static __unused struct cpuid model_cpuid(uint32_t leaf __unused, uint32_t subleaf __unused)
{
	return (struct cpuid){0};
}

uint32_t cpuid_guest_xsave_size(const struct guest_cpuid *t __unused, uint64_t which __unused,
				bool compact __unused)
{
	return FXSAVE_SIZE;
}

void cpu_model_withhold(enum guest_feature f __unused)
{
}

#endif
