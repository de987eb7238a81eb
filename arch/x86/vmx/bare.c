/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest of a few instructions in our own text and address space, for measurements and trials. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/regs.h"
#include "socle/mm/frames.h"
#include "vmx.h"
#include "vmx_insn.h"

enum {
	CODE64 = 0xa09b, DATA = 0xc093, TSS_BUSY = 0x8b, UNUSABLE = 0x10000,
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

static void write_guest(const char *start)
{
	vmwrite(VMCS_GUEST_CR0, cr0_read());
	vmwrite(VMCS_GUEST_CR3, cr3_read());
	vmwrite(VMCS_GUEST_CR4, cr4_read());
	vmwrite(VMCS_GUEST_EFER, msr_read(MSR_EFER));
	vmwrite(VMCS_GUEST_PAT, msr_read(MSR_PAT));
	vmwrite(VMCS_GUEST_DR7, DR7_RESET);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmwrite(VMCS_GUEST_RIP, (uintptr_t)start);
	vmwrite(VMCS_LINK_POINTER, UINT64_MAX);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		write_segment(i, GDT_DATA, DATA, 0);
	write_segment(SEG_CS, GDT_CODE, CODE64, 0);
	write_segment(SEG_LDTR, 0, RIGHTS_LDTR, 0);
	write_segment(SEG_TR, GDT_TSS, TSS_BUSY, (uintptr_t)&this_cpu()->tss);
}

static void write_controls(void)
{
	/* What a new VMCS holds is unspecified (SDM vol. 3, 25.11.3). */
	static const uint16_t zero[] = {
		VMCS_EXCEPTION_BITMAP, VMCS_PF_ERROR_MASK, VMCS_PF_ERROR_MATCH,
		VMCS_CR3_TARGET_COUNT, VMCS_EXIT_MSR_STORE_COUNT, VMCS_EXIT_MSR_LOAD_COUNT,
		VMCS_ENTRY_MSR_LOAD_COUNT, VMCS_ENTRY_INTR_INFO, VMCS_CR0_MASK, VMCS_CR4_MASK,
		VMCS_TSC_OFFSET, VMCS_GUEST_INTERRUPTIBILITY, VMCS_GUEST_ACTIVITY,
		VMCS_GUEST_PENDING_DEBUG, VMCS_GUEST_DEBUGCTL, VMCS_GUEST_SYSENTER_CS,
		VMCS_GUEST_SYSENTER_ESP, VMCS_GUEST_SYSENTER_EIP, VMCS_GUEST_GDTR_BASE,
		VMCS_GUEST_GDTR_LIMIT, VMCS_GUEST_IDTR_BASE, VMCS_GUEST_IDTR_LIMIT,
		VMCS_GUEST_RSP,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(zero); i++)
		vmwrite(zero[i], 0);
	vmwrite(VMCS_PIN_CONTROLS,
		vmx_caps.pin & ~(uint32_t)(PIN_VIRTUAL_NMIS | PIN_PREEMPTION_TIMER));
	vmwrite(VMCS_PRIMARY_CONTROLS,
		vmx_caps.primary & ~(PRIMARY_SECONDARY | PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS |
				     PRIMARY_TPR_SHADOW));
	vmwrite(VMCS_EXIT_CONTROLS, vmx_caps.exit);
	vmwrite(VMCS_ENTRY_CONTROLS,
		(vmx_caps.entry & ~(uint32_t)ENTRYCTL_LOAD_LBR) | ENTRYCTL_IA32E);
}

void *vmx_bare_create(const char *start)
{
	uint32_t *vmcs = pages_alloc(PAGE_SIZE, OWNER_CORE);
	uint64_t pa;

	if (!vmcs)
		return NULL;
	pa = virt_to_phys(vmcs);
	*vmcs = vmx_caps.basic & VMX_BASIC_REVISION;
	vmx_current_lost();
	if (!vmclear(pa) || !vmptrld(pa)) {
		pages_free(vmcs, PAGE_SIZE, OWNER_CORE);
		return NULL;
	}
	write_controls();
	write_guest(start);
	vmx_write_host_state();
	return vmcs;
}

void vmx_bare_free(void *vmcs)
{
	if (!vmcs)
		return;
	vmclear(virt_to_phys(vmcs));
	pages_free(vmcs, PAGE_SIZE, OWNER_CORE);
}
