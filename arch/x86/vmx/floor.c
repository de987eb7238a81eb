/* SPDX-License-Identifier: BSD-2-Clause */
/* The floor of all exit costs: a bare VMRESUME loop around a guest that executes VMCALL. */
#include "socle/cpu/regs.h"
#include "socle/mm/frames.h"
#include "vmx.h"
#include "vmx_insn.h"

extern const char vmx_floor_guest[]; /* entry.asm */

enum { ROUNDS = 1000 };

static uint64_t measure(uint64_t pa, uint64_t rounds)
{
	uint64_t start;

	/* Cleared each time, as the loop begins with VMLAUNCH. */
	if (!vmclear(pa) || !vmptrld(pa))
		return 0;
	vmwrite(VMCS_GUEST_RIP, (uintptr_t)vmx_floor_guest);
	start = rdtsc();
	vmx_bare_loop(rounds);
	return (rdtsc() - start) / rounds;
}

uint64_t vmx_floor(void)
{
	void *vmcs = vmx_bare_create(vmx_floor_guest);
	uint64_t ticks;

	if (!vmcs)
		return 0;
	measure(virt_to_phys(vmcs), 1);
	ticks = measure(virt_to_phys(vmcs), ROUNDS);
	/* It ran at all? */
	if (vmread(VMCS_EXIT_REASON) != VMX_EXIT_VMCALL)
		ticks = 0;
	vmx_bare_free(vmcs);
	return ticks;
}
