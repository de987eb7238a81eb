/* SPDX-License-Identifier: BSD-2-Clause */
/* The floor of all exit costs: a bare VMRUN loop around a guest that executes VMMCALL. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/regs.h"
#include "socle/mm/frames.h"
#include "svm.h"
#include "svm_insn.h"

enum { ROUNDS = 1000, CODE64 = 0xa9b, DATA = 0xc93, TSS_BUSY = 0x8b };

uint64_t svm_floor(void)
{
	struct vmcb *c = pages_alloc(sizeof(*c), OWNER_CORE);
	uint64_t start, ticks;

	if (!c)
		return 0;
	/* The guest is a loop in our own text, in our own address space, without nested paging. */
	c->intercept4 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL;
	c->intercept3 = INTERCEPT_SHUTDOWN;
	c->iopm_pa = svm_iopm_pa;
	c->msrpm_pa = svm_iopm_pa; /* not looked at: MSRs are not intercepted */
	c->asid = 1;
	c->tlb_control = TLB_FLUSH_ALL;
	c->cr0 = cr0_read();
	c->cr3 = cr3_read();
	c->cr4 = cr4_read();
	c->efer = msr_read(MSR_EFER);
	c->cs = (struct x86_segment){GDT_CODE, CODE64, UINT32_MAX, 0};
	c->ss = c->ds = c->es = (struct x86_segment){GDT_DATA, DATA, UINT32_MAX, 0};
	c->tr = (struct x86_segment){GDT_TSS, TSS_BUSY, 0xffff, 0};
	c->rflags = RFLAGS_FIXED;
	c->dr6 = 0xffff0ff0;
	c->dr7 = 0x400;
	c->rip = (uintptr_t)svm_floor_guest;
	svm_floor_loop(virt_to_phys(c), 1, c);
	c->rip = (uintptr_t)svm_floor_guest;
	start = rdtsc();
	svm_floor_loop(virt_to_phys(c), ROUNDS, c);
	ticks = (rdtsc() - start) / ROUNDS;
	/* It ran at all? */
	if ((uint32_t)c->exit_code != SVM_EXIT_VMMCALL)
		ticks = 0;
	pages_free(c, sizeof(*c), OWNER_CORE);
	return ticks;
}
