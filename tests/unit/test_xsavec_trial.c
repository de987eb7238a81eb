/* SPDX-License-Identifier: BSD-2-Clause */
/* The trial of XSAVEC: CPUs that save AVX where it belongs, and such that do not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/cpu/xstate.h"

enum { LOW = 160, AVX_BYTES = 256 };

struct cpu_info cpu_info;

/* The CPU: what it has, its XCR0, AVX and MXCSR, and by how much XSAVEC misses. */
static uint32_t leaf_d0, leaf_d1, mxcsr;
static uint64_t real_xcr0;
static uint8_t avx[AVX_BYTES];
static unsigned off, saves, xsetbvs;

static struct cpuid test_cpuid(uint32_t leaf, uint32_t subleaf)
{
	assert_int_equal(leaf, 0xd);
	return (struct cpuid){.eax = subleaf ? leaf_d1 : leaf_d0};
}

static void test_xsetbv(uint64_t value)
{
	real_xcr0 = value;
	xsetbvs++;
}

/* SDM vol. 1, 13.8.1: the standard form; MXCSR comes with AVX. */
static void test_xrstor(const uint8_t *area, uint64_t which)
{
	uint64_t header[8];

	assert_int_equal((uintptr_t)area % 64, 0);
	assert_int_equal(which & ~real_xcr0, 0);
	memcpy(header, area + XSTATE_BV, sizeof(header));
	assert_int_equal(header[0] & ~real_xcr0, 0);
	for (unsigned i = 1; i < 8; i++)
		assert_int_equal(header[i], 0);
	memcpy(&mxcsr, area + 24, sizeof(mxcsr));
	if (header[0] & XCR0_AVX)
		memcpy(avx, area + XSTATE_HEADER_END, sizeof(avx));
	else
		memset(avx, 0, sizeof(avx));
}

static void test_xsavec(uint8_t *area, uint64_t which)
{
	uint64_t header[2] = {XCR0_AVX, XCOMP_BV_COMPACTED | XCR0_AVX};

	assert_int_equal((uintptr_t)area % 64, 0);
	assert_int_equal(which, XCR0_AVX);
	assert_true(real_xcr0 & XCR0_AVX);
	memcpy(area + XSTATE_BV, header, sizeof(header));
	memcpy(area + XSTATE_HEADER_END - off, avx, sizeof(avx));
	saves++;
}

#define cpuid(leaf, subleaf) test_cpuid(leaf, subleaf)
#define xgetbv(index)	     ((void)(index), real_xcr0)
#define xsetbv(index, value) ((void)(index), test_xsetbv(value))
#define xrstor(area, which)  test_xrstor(area, which)
#define xsavec(area, which)  test_xsavec(area, which)
#include "../../arch/x86/guest/xsavec_trial.c"

static bool asked[GUEST_FEATURE_COUNT]; /* only on request */
static unsigned warnings;

void cpu_model_only_on_request(enum guest_feature f)
{
	asked[f] = true;
}

void log_line(enum log_level level, const char *fmt __unused, ...)
{
	assert_int_equal(level, LOG_WARN);
	warnings++;
}

static int setup(void **state __unused)
{
	cpu_info.feature[CPU_XSAVE] = true;
	leaf_d0 = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512;
	leaf_d1 = BIT(0) | BIT(1) | BIT(3);
	real_xcr0 = XCR0_X87;
	mxcsr = off = saves = xsetbvs = warnings = 0;
	memset(avx, 0x33, sizeof(avx));
	memset(asked, 0, sizeof(asked));
	return 0;
}

/* Whatever it finds: the registers are initial afterwards, and XCR0 as it was. */
static void check(unsigned faults)
{
	xsavec_trial();
	assert_int_equal(saves, 1);
	assert_int_equal(real_xcr0, XCR0_X87);
	assert_int_equal(mxcsr, 0x1f80);
	for (unsigned i = 0; i < sizeof(avx); i++)
		assert_int_equal(avx[i], 0);
	for (enum guest_feature f = 0; f < GUEST_FEATURE_COUNT; f++)
		assert_int_equal(asked[f], faults && (f == GUEST_xsavec || f == GUEST_xsaves));
	assert_int_equal(warnings, faults);
}

static void in_place(void **state __unused)
{
	check(0);
}

static void too_low(void **state)
{
	static const unsigned by[] = {LOW, 8, 1};

	for (unsigned i = 0; i < ARRAY_SIZE(by); i++) {
		setup(state);
		off = by[i];
		check(1);
	}
}

/* Nothing to try without XSAVE, AVX or XSAVEC. */
static void lacking(void **state)
{
	for (unsigned i = 0; i < 3; i++) {
		setup(state);
		off = LOW;
		if (i == 0)
			cpu_info.feature[CPU_XSAVE] = false;
		if (i == 1)
			leaf_d0 &= ~(uint32_t)XCR0_AVX;
		if (i == 2)
			leaf_d1 &= ~(uint32_t)BIT(1);
		xsavec_trial();
		assert_int_equal(saves + xsetbvs + warnings, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(in_place, setup),
		cmocka_unit_test_setup(too_low, setup),
		cmocka_unit_test_setup(lacking, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
