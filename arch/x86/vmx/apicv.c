/* SPDX-License-Identifier: BSD-2-Clause */
/* APIC virtualization: the CPU delivers and ends interrupts without an exit (SDM vol. 3, ch. 30).
 */
#include "socle/cpu/regs.h"
#include "socle/guest/exits.h"
#include "socle/platform/lapic.h"
#include "socle/report.h"
#include "vmx.h"
#include "vmx_insn.h"

enum { X2APIC_MSRS = 0x100, EOI_WORDS = 4, SVI_SHIFT = 8 };

enum {
	APICV_XAPIC = SECONDARY_APIC_ACCESSES,
	APICV_X2APIC = SECONDARY_X2APIC,
	APICV_ENABLED = SECONDARY_APIC_REGISTERS | SECONDARY_VIRTUAL_INTERRUPTS,
	APICV_ALL = APICV_XAPIC | APICV_X2APIC | APICV_ENABLED,
};

bool vmx_apicv_offered(uint64_t primary, uint64_t secondary)
{
	return (primary >> 32 & PRIMARY_TPR_SHADOW) && (secondary >> 32 & APICV_ALL) == APICV_ALL;
}

status_t vmx_apicv_create(struct vmx_vcpu *s)
{
	if (!vmx_caps.apicv)
		return 0;
	s->apic_page = pages_alloc(PAGE_SIZE, OWNER_VM_CORE);
	if (s->x.base.id == 0)
		s->apic_access = pages_alloc(PAGE_SIZE, OWNER_VM_CORE);
	return s->apic_page && (s->x.base.id || s->apic_access) ? 0 : -S_NOMEM;
}

/* Accesses to this page of the guest's are those to its local APIC; its contents do not matter. */
static struct vmx_vcpu *access_owner(struct vmx_vcpu *s)
{
	return vmx_vcpu(x86_vcpu(s->x.base.vm->vcpu[0]));
}

void vmx_apicv_reset(struct vmx_vcpu *s)
{
	struct vm *vm = s->x.base.vm;

	if (!vmx_caps.apicv)
		return;
	lapic_use_page(s->x.lapic, s->apic_page);
	vmwrite(VMCS_VIRTUAL_APIC_ADDR, virt_to_phys(s->apic_page));
	vmwrite(VMCS_APIC_ACCESS_ADDR, virt_to_phys(access_owner(s)->apic_access));
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	vmwrite(VMCS_GUEST_INTR_STATUS, 0);
	for (unsigned i = 0; i < EOI_WORDS; i++) {
		s->eoi_exits[i] = 0;
		vmwrite(VMCS_EOI_EXIT_BITMAP0 + 2 * i, 0);
	}
	s->apic_mode = 0;
	s->apic_mapped = false;
	/* Without it, accesses are emulated as those to any device. */
	if (s->x.base.id == 0)
		s->apic_mapped = !pt_map(&vm->mem.pt, LAPIC_GPA, virt_to_phys(s->apic_access),
					 PAGE_SIZE, PT_READ | PT_WRITE, PT_WB);
}

/* In x2APIC mode nothing is at its address; a vCPU that is not there yet gets the slow path. */
static void unmap_access_page(struct vmx_vcpu *s)
{
	struct vm *vm = s->x.base.vm;
	struct vmx_vcpu *owner = access_owner(s);

	if (!__atomic_exchange_n(&owner->apic_mapped, false, __ATOMIC_RELAXED))
		return;
	if (pt_unmap(&vm->mem.pt, LAPIC_GPA, PAGE_SIZE))
		vm_kill(vm, "vCPU %u: cannot unmap the APIC's page", s->x.base.id);
	guest_mem_changed(&vm->mem);
	/*
	 * Not this one: its requests have been taken already, and one that stayed until after the
	 * entry would keep another CPU's from interrupting the guest.
	 */
	for (unsigned i = 0; i < vm->settings.cpus; i++)
		if (vm->vcpu[i] != &s->x.base)
			vcpu_request(vm->vcpu[i], VCPU_REQ_FLUSH);
}

/* The guest chose another mode of its APIC: SDM vol. 3, 30.4 and 30.5. */
static void set_mode(struct vmx_vcpu *s, uint32_t mode)
{
	s->apic_mode = mode;
	s->secondary = (s->secondary & ~(uint32_t)APICV_ALL) | mode;
	vmwrite(VMCS_SECONDARY_CONTROLS, s->secondary);
	vmx_use_msr_bitmap(s);
	if (!(mode & APICV_XAPIC))
		unmap_access_page(s);
	vmx_flush(s);
}

void vmx_apicv_prepare(struct vmx_vcpu *s)
{
	struct lapic *l = s->x.lapic;
	uint32_t mode = lapic_is_x2apic(l)  ? APICV_X2APIC | APICV_ENABLED
			: lapic_is_xapic(l) ? APICV_XAPIC | APICV_ENABLED
					    : 0;
	bool changed;

	if (unlikely(mode != s->apic_mode))
		set_mode(s, mode);
	s->x.stats.injected += lapic_page_post(l, &changed);
	if (changed)
		vmwrite(VMCS_GUEST_INTR_STATUS,
			lapic_page_requested(l) | (uint32_t)lapic_page_in_service(l) << SVI_SHIFT);
	for (unsigned i = 0; i < EOI_WORDS; i++) {
		uint64_t exits = lapic_page_eoi_exits(l, i);

		if (likely(exits == s->eoi_exits[i]))
			continue;
		s->eoi_exits[i] = exits;
		vmwrite(VMCS_EOI_EXIT_BITMAP0 + 2 * i, exits);
	}
}

/* The exit follows the end of the interrupt (SDM vol. 3, 30.1.4): nothing is to be skipped. */
void vmx_apicv_eoi(struct vmx_vcpu *s)
{
	lapic_page_ended(s->x.lapic, vmread(VMCS_EXIT_QUALIFICATION));
}

/* Likewise, this one follows the write to the page (30.4.3.3). */
void vmx_apicv_write(struct vmx_vcpu *s)
{
	lapic_page_written(s->x.lapic,
			   vmread(VMCS_EXIT_QUALIFICATION) & APIC_ACCESS_OFFSET & ~0xfu);
}

/* x2APIC registers that need no exit in that mode (30.5). */
void vmx_apicv_msrs(void (*allow)(uint32_t index, bool read, bool write, void *map), void *map)
{
	enum { TPR = 0x808, EOI = 0x80b, SELF_IPI = 0x83f };

	for (uint32_t i = MSR_X2APIC; i < MSR_X2APIC + X2APIC_MSRS; i++)
		allow(i, lapic_page_readable(i), i == TPR || i == EOI || i == SELF_IPI, map);
}
