/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether XSAVEC, and with it XSAVES, can be left to guests: Bochs writes AVX to a wrong place. */
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/cpu/xstate.h"
#include "socle/guest/context.h"
#include "socle/guest/cpuid_model.h"
#include "socle/report.h"
#include "socle/string.h"

enum { D1_XSAVEC = BIT(1), AVX_SIZE = 256, PATTERN = 0x5a, MXCSR = 24 };

/* Loads AVX from @area, which is not compacted: there, too, it follows the header. */
static void load_avx(uint8_t *area, uint64_t xstate_bv, uint8_t pattern)
{
	static const uint32_t mxcsr_reset = 0x1f80;

	memset(area, 0, XSTATE_HEADER_END);
	memcpy(area + MXCSR, &mxcsr_reset, sizeof(mxcsr_reset));
	memcpy(area + XSTATE_BV, &xstate_bv, sizeof(xstate_bv));
	memset(area + XSTATE_HEADER_END, pattern, AVX_SIZE);
	xrstor(area, XCR0_AVX);
}

/* SDM vol. 1, 13.4.3: alone in the compacted form, AVX follows the header. */
static bool avx_in_place(void)
{
	static uint8_t area[XSTATE_HEADER_END + AVX_SIZE] __aligned(64);
	bool ok = true;

	load_avx(area, XCR0_AVX, PATTERN);
	memset(area, 0, sizeof(area));
	xsavec(area, XCR0_AVX);
	for (unsigned i = XSTATE_HEADER_END; i < sizeof(area); i++)
		ok = ok && area[i] == PATTERN;
	load_avx(area, 0, 0);
	return ok;
}

void xsavec_trial(void)
{
	uint64_t xcr0;
	bool ok;

	if (!cpu_has(CPU_XSAVE) || !(cpuid(0xd, 0).eax & XCR0_AVX) ||
	    !(cpuid(0xd, 1).eax & D1_XSAVEC))
		return;
	xcr0 = xgetbv(0);
	xsetbv(0, XCR0_X87 | XCR0_SSE | XCR0_AVX);
	ok = avx_in_place();
	xsetbv(0, xcr0);
	if (ok)
		return;
	cpu_model_only_on_request(GUEST_xsavec);
	cpu_model_only_on_request(GUEST_xsaves);
	log_warn("cpu: XSAVEC puts AVX where XRSTOR does not look, as Bochs' does: guests have "
		 "xsavec, xsaves and what needs them only by +NAME");
}
