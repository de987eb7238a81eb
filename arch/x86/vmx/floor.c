/* SPDX-License-Identifier: BSD-2-Clause */
/* The floor of all exit costs: a bare VMRESUME loop around a guest that executes VMCALL. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/regs.h"
#include "socle/mm/frames.h"
#include "vmx.h"
#include "vmx_insn.h"

/* entry.asm: @rounds entries and exits of the current VMCS's guest, all registers saved. */
void vmx_floor_loop(uint64_t rounds);
extern const char vmx_floor_guest[];

enum {
	ROUNDS = 1000, CODE64 = 0xa09b, DATA = 0xc093, TSS_BUSY = 0x8b, UNUSABLE = 0x10000,
	RIGHTS_LDTR = UNUSABLE, DR7_RESET = 0x400,
};

static void write_segment(enum x86_seg n, uint16_t selector, uint32_t access, uint64_t base)
{
	unsigned at = n * VMCS_SEGMENT_STEP;

	vmwrite(VMCS_GUEST_ES_SELECTOR + at, selector);
	vmwrite(VMCS_GUEST_ES_ACCESS + at, access);
	vmwrite(VMCS_GUEST_ES_LIMIT + at, n == SEG_TR ? 0xffff : UINT32_MAX);
	vmwrite(VMCS_GUEST_ES_BASE + at, base);
}

/* The guest is a loop in our own text, in our own address space, without EPT. */
static void write_guest(void)
{
	vmwrite(VMCS_PIN_CONTROLS,
		vmx_caps.pin & ~(uint32_t)(PIN_VIRTUAL_NMIS | PIN_PREEMPTION_TIMER));
	vmwrite(VMCS_PRIMARY_CONTROLS,
		vmx_caps.primary & ~(PRIMARY_SECONDARY | PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS));
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	vmwrite(VMCS_EXIT_CONTROLS, vmx_caps.exit);
	vmwrite(VMCS_ENTRY_CONTROLS, vmx_caps.entry | ENTRYCTL_IA32E);
	vmwrite(VMCS_LINK_POINTER, UINT64_MAX);
	vmwrite(VMCS_GUEST_CR0, cr0_read());
	vmwrite(VMCS_GUEST_CR3, cr3_read());
	vmwrite(VMCS_GUEST_CR4, cr4_read());
	vmwrite(VMCS_GUEST_EFER, msr_read(MSR_EFER));
	vmwrite(VMCS_GUEST_PAT, msr_read(MSR_PAT));
	vmwrite(VMCS_GUEST_DR7, DR7_RESET);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmwrite(VMCS_GUEST_RIP, (uintptr_t)vmx_floor_guest);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		write_segment(i, GDT_DATA, DATA, 0);
	write_segment(SEG_CS, GDT_CODE, CODE64, 0);
	write_segment(SEG_LDTR, 0, RIGHTS_LDTR, 0);
	write_segment(SEG_TR, GDT_TSS, TSS_BUSY, (uintptr_t)&this_cpu()->tss);
}

static uint64_t measure(uint64_t pa, uint64_t rounds)
{
	uint64_t start;

	/* Cleared each time, as the loop begins with VMLAUNCH. */
	if (!vmclear(pa) || !vmptrld(pa))
		return 0;
	vmwrite(VMCS_GUEST_RIP, (uintptr_t)vmx_floor_guest);
	start = rdtsc();
	vmx_floor_loop(rounds);
	return (rdtsc() - start) / rounds;
}

uint64_t vmx_floor(void)
{
	uint32_t *vmcs = pages_alloc(PAGE_SIZE, OWNER_CORE);
	uint64_t pa, ticks = 0;

	if (!vmcs)
		return 0;
	pa = virt_to_phys(vmcs);
	*vmcs = vmx_caps.basic & VMX_BASIC_REVISION;
	vmx_current_lost();
	if (vmclear(pa) && vmptrld(pa)) {
		write_guest();
		vmx_write_host_state();
		measure(pa, 1);
		ticks = measure(pa, ROUNDS);
		/* It ran at all? */
		if (vmread(VMCS_EXIT_REASON) != VMX_EXIT_VMCALL)
			ticks = 0;
		vmclear(pa);
	}
	pages_free(vmcs, PAGE_SIZE, OWNER_CORE);
	return ticks;
}
