/* SPDX-License-Identifier: BSD-2-Clause */
/* IA32_XSS: which supervisor state XSAVES and XRSTORS handle, as far as the guest has it. */
#include "socle/cpu/regs.h"
#include "socle/guest/context.h"
#include "socle/guest/cpuid.h"
#include "socle/guest/msr.h"

static enum msr_result xss_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot, uint64_t *value)
{
	*value = v->xss;
	return MSR_OK;
}

/* SDM vol. 1, 13.3: #GP for a bit that is not in ECX and EDX of leaf 0xD, subleaf 1. */
static enum msr_result xss_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot, uint64_t value)
{
	if (value & ~v->cpuid->xss)
		return MSR_INVALID;
	context_set_xss(v, value);
	return MSR_OK;
}

/* The INIT is in context_init(). */
static const struct msr_policy xss[] = {
	{"xss", MSR_XSS, 1, MSR_EMULATED, MSR_EMULATED, NEEDS_FEATURE(GUEST_xsaves),
	 .valid = UINT64_MAX, .at_init = MSR_INIT_RESETS, .rd = xss_read, .wr = xss_write},
};
MSR_POLICIES(xss);
