/* SPDX-License-Identifier: BSD-2-Clause */
/* CR0 and CR4: which bits are the guest's own, and the writes that the CPU leaves to us. */
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/guest/cpuid.h"
#include "socle/guest/exits.h"
#include "socle/mm/guestmem.h"
#include "vmx.h"
#include "vmx_insn.h"

/*
 * NE must be 1 while VMX is on (SDM vol. 3, 24.8). NW and CD would stay in the CPU after an exit
 * (28.5.1), so no guest may change the real ones: memory types come from EPT and PAT.
 */
uint64_t vmx_real_cr0(uint64_t cr0)
{
	uint64_t fixed = vmx_caps.cr0_fixed0 & ~(uint64_t)(CR0_PE | CR0_PG);

	return ((cr0 & ~(uint64_t)(CR0_NW | CR0_CD)) | CR0_NE | CR0_ET | fixed) &
	       vmx_caps.cr0_fixed1;
}

/* A machine check is the host's, and shuts the CPU down where MCE is 0. */
uint64_t vmx_real_cr4(uint64_t cr4)
{
	return (cr4 & ~(uint64_t)CR4_MCE) | (cr4_read() & CR4_MCE) | vmx_caps.cr4_fixed0;
}

uint64_t vmx_cr4_host_owned(const struct x86_vcpu *v)
{
	return ~v->cpuid->cr4 | CR4_VMXE | CR4_MCE;
}

bool vmx_load_pdptes(struct vmx_vcpu *s)
{
	const uint64_t reserved = MASK(2, 1) | MASK(8, 5) | MASK(63, cpu_info.phys_bits);
	uint64_t pdpte[4];

	if (guest_read(&s->x.base.vm->mem, s->x.state.cr3 & MASK(31, 5), pdpte, sizeof(pdpte)))
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(pdpte); i++)
		if ((pdpte[i] & 1) && (pdpte[i] & reserved))
			return false;
	for (unsigned i = 0; i < ARRAY_SIZE(pdpte); i++)
		vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, pdpte[i]);
	return true;
}

/* Carries out what no check refused; false: the PDPTEs are bad (SDM vol. 3, 4.4.1). */
static bool set_cr(struct vmx_vcpu *s, uint64_t cr0, uint64_t cr4)
{
	struct x86_state *st = &s->x.state;
	uint64_t changed = (cr0 ^ st->cr0) | (cr4 ^ st->cr4);
	bool pae = (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(st->efer & EFER_LME);

	if (pae && changed && !vmx_load_pdptes(s))
		return false;
	st->cr0 = cr0;
	st->cr4 = cr4;
	st->efer &= ~(uint64_t)EFER_LMA;
	if ((cr0 & CR0_PG) && (st->efer & EFER_LME))
		st->efer |= EFER_LMA;
	x86_dirty(&s->x, X86_CR);
	/* What the CPU would have flushed by itself (SDM vol. 3, 4.10.4.1). */
	if (changed & (CR0_PG | CR4_PGE | CR4_PAE | CR4_PSE | CR4_SMEP | CR4_PCIDE))
		vcpu_request_self(&s->x.base, VCPU_REQ_FLUSH);
	return true;
}

enum { TSS_BUSY = 0xb }; /* not of 16 bits */

/* SDM vol. 3, 2.5, and vol. 2, "MOV - Move to/from Control Registers". */
static bool write_cr0(struct vmx_vcpu *s, uint64_t value)
{
	const uint64_t defined = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP |
				 CR0_AM | CR0_NW | CR0_CD | CR0_PG;
	const struct x86_state *st = &s->x.state;
	bool code64 = st->seg[SEG_CS].attr & SEG_ATTR_L;
	bool paging = value & CR0_PG, was = st->cr0 & CR0_PG;

	if (value >> 32 || (paging && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
		return false;
	if (!(value & CR0_WP) && (st->cr4 & CR4_CET))
		return false;
	if (paging && !was && (st->efer & EFER_LME) &&
	    (!(st->cr4 & CR4_PAE) || code64 || (st->seg[SEG_TR].attr & SEG_ATTR_TYPE) != TSS_BUSY))
		return false;
	if (!paging && was && ((st->efer & EFER_LMA ? code64 : false) || (st->cr4 & CR4_PCIDE)))
		return false;
	return set_cr(s, (value & defined) | CR0_ET, st->cr4);
}

static bool write_cr4(struct vmx_vcpu *s, uint64_t value)
{
	return exit_cr4_valid(&s->x, value) && set_cr(s, s->x.state.cr0, value);
}

int vmx_exit_cr_access(struct vmx_vcpu *s)
{
	uint32_t how = vmread(VMCS_EXIT_QUALIFICATION);
	unsigned gpr = (how & CR_ACCESS_GPR) >> CR_ACCESS_GPR_SHIFT,
		 number = how & CR_ACCESS_NUMBER;
	struct x86_vcpu *v = &s->x;
	bool ok;

	if (number == 8) {
		if (exit_cr8_access(
			    v, (how & CR_ACCESS_TYPE) >> CR_ACCESS_TYPE_SHIFT == CR_TYPE_MOV_TO,
			    gpr))
			vmx_advance(s);
		return 0;
	}
	x86_load(v, X86_ALL);
	/* CLTS and LMSW change no bit that is ours; reads come from the shadow. */
	if ((how & CR_ACCESS_TYPE) >> CR_ACCESS_TYPE_SHIFT != CR_TYPE_MOV_TO ||
	    (number != 0 && number != 4)) {
		vm_kill(v->base.vm, "vCPU %u: unexpected access to CR%u", v->base.id, number);
		return 0;
	}
	ok = number == 0 ? write_cr0(s, v->state.gpr[gpr]) : write_cr4(s, v->state.gpr[gpr]);
	if (ok)
		vmx_advance(s);
	else
		x86_raise_error(v, VEC_GP, 0);
	return 0;
}
