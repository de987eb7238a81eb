/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers that VMX switches neither at entries nor at exits: the guest's stay in the CPU. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "vmx.h"

/*
 * We execute no SYSCALL and no SWAPGS, take no page fault that we survive and set no breakpoints,
 * so these change hands only when another vCPU takes the CPU.
 */
static const uint32_t kept_msr[KEPT_MSRS] = {
	[KEPT_STAR] = MSR_STAR,
	[KEPT_LSTAR] = MSR_LSTAR,
	[KEPT_CSTAR] = MSR_CSTAR,
	[KEPT_SFMASK] = MSR_SFMASK,
	[KEPT_KERNEL_GS_BASE] = MSR_KERNEL_GS_BASE,
};

enum { DR6_RESET = 0xffff0ff0 };

/* Whose registers are in each CPU; NULL: nobody's. Only its CPU looks at it. */
static struct vmx_vcpu *residents[CPU_MAX];

bool vmx_is_resident(const struct vmx_vcpu *s)
{
	return residents[cpu_index()] == s;
}

static void save(struct vmx_vcpu *s)
{
	for (unsigned i = 0; i < KEPT_MSRS; i++)
		s->kept[i] = msr_read(kept_msr[i]);
	s->cr2 = cr2_read();
	s->dr6 = dr6_read();
}

void vmx_switch_to(struct vmx_vcpu *s)
{
	struct vmx_vcpu **resident = &residents[cpu_index()], *last = *resident;

	if (likely(last == s))
		return;
	if (last)
		save(last);
	/* Guests with the same kernel have many in common. */
	for (unsigned i = 0; i < KEPT_MSRS; i++)
		if (!last || last->kept[i] != s->kept[i])
			msr_write(kept_msr[i], s->kept[i]);
	cr2_write(s->cr2);
	dr6_write(s->dr6);
	*resident = s;
}

void vmx_switch_release(struct vmx_vcpu *s)
{
	struct vmx_vcpu **resident = &residents[cpu_index()];

	if (*resident != s)
		return;
	save(s);
	*resident = NULL;
}

void vmx_switch_reset(struct vmx_vcpu *s, bool init)
{
	vmx_switch_release(s);
	for (unsigned i = 0; i < KEPT_MSRS && !init; i++)
		s->kept[i] = 0;
	s->cr2 = 0;
	s->dr6 = DR6_RESET;
}
