/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether virtual interrupts can be left to this CPU: Bochs delivers some too early. */
#include "socle/cpu/apic.h"
#include "socle/cpu/cpu.h"
#include "socle/mm/frames.h"
#include "vmx.h"
#include "vmx_insn.h"

extern const char vmx_trial_guest[]; /* entry.asm */

enum { SVI_SHIFT = 8, TRIAL_VECTOR = 0x41 };

/*
 * A guest that has interrupts off, a virtual interrupt requested and a physical one waiting: the
 * latter makes an exit, the former is none of the guest's business (SDM vol. 3, 30.2.2). Bochs
 * delivers it, when the guest's CLI has it look at what waits.
 */
static bool delivered(void *apic_page)
{
	vmwrite(VMCS_PRIMARY_CONTROLS,
		vmread(VMCS_PRIMARY_CONTROLS) | PRIMARY_SECONDARY | PRIMARY_TPR_SHADOW);
	vmwrite(VMCS_SECONDARY_CONTROLS, SECONDARY_VIRTUAL_INTERRUPTS);
	vmwrite(VMCS_VIRTUAL_APIC_ADDR, virt_to_phys(apic_page));
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	for (unsigned i = 0; i < 4; i++)
		vmwrite(VMCS_EOI_EXIT_BITMAP0 + 2 * i, 0);
	vmwrite(VMCS_GUEST_INTR_STATUS, TRIAL_VECTOR);
	/* Its delivery finds no gate: so that it ends there. */
	vmwrite(VMCS_EXCEPTION_BITMAP, UINT32_MAX);
	apic_send(apic_id(), HOST_VEC_KICK);
	vmx_bare_loop(1);
	return vmread(VMCS_GUEST_INTR_STATUS) >> SVI_SHIFT == TRIAL_VECTOR;
}

bool vmx_apicv_trial(void)
{
	void *apic_page = pages_alloc(PAGE_SIZE, OWNER_CORE);
	void *vmcs = vmx_bare_create(vmx_trial_guest);
	bool ok = !apic_page || !vmcs || !delivered(apic_page);

	vmx_bare_free(vmcs);
	pages_free(apic_page, PAGE_SIZE, OWNER_CORE);
	return ok;
}
