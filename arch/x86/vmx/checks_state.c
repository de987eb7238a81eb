/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks of a VM entry on the rest of the guest's state (SDM vol. 3, 27.3.1.3 to 27.3.1.6). */
#include "socle/cpu/regs.h"
#include "socle/guest/state.h"
#include "checks.h"

static bool is_64_bit(const struct vmx_view *v)
{
	return vmx_has(v, CTL_ENTRY, ENTRYCTL_IA32E) &&
	       vmx_field(v, VMCS_GUEST_CS_ACCESS) & ACCESS_L;
}

/* The event that is injected: its type, or -1 if there is none. */
static int injected(const struct vmx_view *v)
{
	uint64_t info = vmx_field(v, VMCS_ENTRY_INTR_INFO);

	if (!(info & INTR_INFO_VALID))
		return -1;
	return (info & INTR_INFO_TYPE) >> INTR_INFO_TYPE_SHIFT;
}

static uint64_t wrong_rip_high(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return is_64_bit(v) ? 0 : value & MASK(63, 32);
}

static uint64_t wrong_rip(const struct vmx_view *v, uint64_t value, uint64_t arg)
{
	return is_64_bit(v) ? vmx_wrong_linear(v, value, arg) : 0;
}

static uint64_t wrong_rflags(const struct vmx_view *v __unused, uint64_t value,
			     uint64_t arg __unused)
{
	return (value & (MASK(63, 22) | BIT(15) | BIT(5) | BIT(3))) | (~value & RFLAGS_FIXED);
}

static uint64_t wrong_vm(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	bool may = !vmx_has(v, CTL_ENTRY, ENTRYCTL_IA32E) && vmx_field(v, VMCS_GUEST_CR0) & CR0_PE;

	return may ? 0 : value & RFLAGS_VM;
}

static uint64_t wrong_if(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return injected(v) == INTR_TYPE_EXTERNAL ? ~value & RFLAGS_IF : 0;
}

/* States beside "active" are optional (appendix A.6). */
static uint64_t wrong_activity(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	static const uint32_t needs[ACTIVITY_STATES] = {
		[ACTIVITY_HLT] = VMX_MISC_ACTIVITY_HLT,
		[ACTIVITY_SHUTDOWN] = VMX_MISC_ACTIVITY_SHUTDOWN,
		[ACTIVITY_WAIT_SIPI] = VMX_MISC_ACTIVITY_WAIT_SIPI,
	};

	if (value >= ACTIVITY_STATES || needs[value] & ~v->r->caps->misc)
		return WRONG_VALUE;
	return 0;
}

static uint64_t wrong_hlt(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	bool user = vmx_field(v, VMCS_GUEST_SS_ACCESS) & ACCESS_DPL;

	return value == ACTIVITY_HLT && user ? WRONG_VALUE : 0;
}

static uint64_t wrong_inactive(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t shadow = BLOCKING_STI | BLOCKING_MOV_SS;

	return value != ACTIVITY_ACTIVE && vmx_field(v, VMCS_GUEST_INTERRUPTIBILITY) & shadow
		       ? WRONG_VALUE
		       : 0;
}

/* What is injected must be something that could wake the guest. */
static uint64_t wrong_wakeup(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	unsigned vector = vmx_field(v, VMCS_ENTRY_INTR_INFO) & INTR_INFO_VECTOR;
	int type = injected(v);
	bool mc = type == INTR_TYPE_HARD_EXCEPTION && vector == VEC_MC;
	bool db = type == INTR_TYPE_HARD_EXCEPTION && vector == VEC_DB;
	bool wakes = true;

	if (value == ACTIVITY_HLT)
		wakes = type == INTR_TYPE_EXTERNAL || type == INTR_TYPE_NMI || mc || db ||
			type == INTR_TYPE_OTHER;
	else if (value == ACTIVITY_SHUTDOWN)
		wakes = type == INTR_TYPE_NMI || mc;
	else if (value == ACTIVITY_WAIT_SIPI)
		wakes = false;
	return type >= 0 && !wakes ? WRONG_VALUE : 0;
}

static uint64_t wrong_both_shadows(const struct vmx_view *v __unused, uint64_t value,
				   uint64_t arg __unused)
{
	uint64_t both = BLOCKING_STI | BLOCKING_MOV_SS;

	return (value & both) == both ? both : 0;
}

static uint64_t wrong_sti(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return vmx_field(v, VMCS_GUEST_RFLAGS) & RFLAGS_IF ? 0 : value & BLOCKING_STI;
}

/* @arg is the type of event; for NMIs, only some processors mind blocking by STI. */
static uint64_t wrong_shadow(const struct vmx_view *v, uint64_t value, uint64_t arg)
{
	return injected(v) == (int)arg ? value & (BLOCKING_STI | BLOCKING_MOV_SS) : 0;
}

static uint64_t wrong_nmi(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return injected(v) == INTR_TYPE_NMI ? value & BLOCKING_NMI : 0;
}

static uint64_t wrong_enclave(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	bool may = v->r->caps->sgx && !(value & BLOCKING_MOV_SS);

	return may ? 0 : value & BLOCKING_ENCLAVE;
}

static uint64_t wrong_pending(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t reserved = MASK(63, 17) | BIT(15) | BIT(13) | MASK(10, 4);

	if (!v->r->caps->bus_lock)
		reserved |= PENDING_DEBUG_BUS_LOCK;
	return value & reserved;
}

/* A single step that a shadow or HLT put off is pending if and only if it was asked for. */
static uint64_t wrong_bs(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t shadow = BLOCKING_STI | BLOCKING_MOV_SS;
	bool step = vmx_field(v, VMCS_GUEST_RFLAGS) & RFLAGS_TF &&
		    !(vmx_field(v, VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF);

	if (!(vmx_field(v, VMCS_GUEST_INTERRUPTIBILITY) & shadow) &&
	    vmx_field(v, VMCS_GUEST_ACTIVITY) != ACTIVITY_HLT)
		return 0;
	return (step ? ~value : value) & PENDING_DEBUG_BS;
}

static uint64_t wrong_rtm(const struct vmx_view *v __unused, uint64_t value, uint64_t arg __unused)
{
	if (!(value & PENDING_DEBUG_RTM))
		return 0;
	return (value & (MASK(11, 0) | MASK(15, 13))) | (~value & PENDING_DEBUG_BREAKPOINT);
}

static uint64_t wrong_rtm_state(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	bool may =
		v->r->caps->rtm && !(vmx_field(v, VMCS_GUEST_INTERRUPTIBILITY) & BLOCKING_MOV_SS);

	return may ? 0 : value & PENDING_DEBUG_RTM;
}

/* The link pointer is not looked at if it is all ones. */
enum { LINK_SHADOW_SHIFT = 31 };
#define NO_LINK (~0ull)

static uint64_t wrong_link(const struct vmx_view *v, uint64_t value, uint64_t arg)
{
	if (value == NO_LINK)
		return 0;
	return (value & MASK(11, 0)) | vmx_wrong_vmx_address(v, value, arg);
}

static uint64_t wrong_link_revision(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	bool shadow = vmx_has(v, CTL_SECONDARY, SECONDARY_VMCS_SHADOWING);
	uint32_t want = (v->r->caps->basic & VMX_BASIC_REVISION) | (uint32_t)shadow
									   << LINK_SHADOW_SHIFT;
	uint32_t have;

	if (value == NO_LINK || !v->r->read_memory || !v->r->read_memory(v->r->ctx, value, &have))
		return 0;
	return have == want ? 0 : WRONG_VALUE;
}

static uint64_t wrong_link_self(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return value == v->r->current ? WRONG_VALUE : 0;
}

/* With PAE paging: bits 2:1, 8:5 and those above the width are reserved in what is present. */
static bool is_pae(const struct vmx_view *v)
{
	return vmx_field(v, VMCS_GUEST_CR0) & CR0_PG && vmx_field(v, VMCS_GUEST_CR4) & CR4_PAE &&
	       !vmx_has(v, CTL_ENTRY, ENTRYCTL_IA32E);
}

static uint64_t pdpte_reserved(const struct vmx_view *v, uint64_t pdpte)
{
	enum { PDPTE_P = BIT(0) };

	if (!(pdpte & PDPTE_P))
		return 0;
	return (pdpte & (MASK(2, 1) | MASK(8, 5))) | vmx_wrong_physical(v, pdpte, 0);
}

static uint64_t wrong_pdpte(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return is_pae(v) ? pdpte_reserved(v, value) : 0;
}

/* Without EPT they are read from the table that CR3 points to (27.3.1.6). */
static uint64_t wrong_table(const struct vmx_view *v, uint64_t cr3, uint64_t arg __unused)
{
	uint64_t table = cr3 & MASK(31, 5);

	if (!is_pae(v) || vmx_has(v, CTL_SECONDARY, SECONDARY_EPT) || !v->r->read_memory)
		return 0;
	for (unsigned i = 0; i < 4; i++) {
		uint32_t low, high;

		if (v->r->read_memory(v->r->ctx, table + 8 * i, &low) &&
		    v->r->read_memory(v->r->ctx, table + 8 * i + 4, &high) &&
		    pdpte_reserved(v, low | (uint64_t)high << 32))
			return WRONG_VALUE;
	}
	return 0;
}

#define STATE(section, field, what, must, wrong, arg)               \
	{                                                           \
		section, what, must, field, CTL_NONE, 0, wrong, arg \
	}
#define GUEST_RIP(must, wrong) STATE("27.3.1.4", VMCS_GUEST_RIP, "guest RIP", must, wrong, 0)
#define FLAGS(must, wrong)     STATE("27.3.1.4", VMCS_GUEST_RFLAGS, "guest RFLAGS", must, wrong, 0)
#define ACTIVITY(must, wrong) \
	STATE("27.3.1.5", VMCS_GUEST_ACTIVITY, "guest activity state", must, wrong, 0)
#define BLOCKING(must, wrong, arg)                                                           \
	STATE("27.3.1.5", VMCS_GUEST_INTERRUPTIBILITY, "guest interruptibility state", must, \
	      wrong, arg)
#define PENDING(must, wrong)                                                                       \
	STATE("27.3.1.5", VMCS_GUEST_PENDING_DEBUG, "guest pending debug exceptions", must, wrong, \
	      0)
#define LINK(must, wrong) STATE("27.3.1.5", VMCS_LINK_POINTER, "VMCS link pointer", must, wrong, 0)
#define PDPTE(n)                                                                              \
	{                                                                                     \
		"27.3.1.6", "guest PDPTE" #n, "reserved bits must be 0", VMCS_GUEST_PDPTE##n, \
			CTL_SECONDARY, SECONDARY_EPT, wrong_pdpte, 0                          \
	}

static const struct vmx_check state_checks[] = {
	STATE("27.3.1.3", VMCS_GUEST_GDTR_BASE, "guest GDTR base", "must be canonical",
	      vmx_wrong_canonical, 0),
	STATE("27.3.1.3", VMCS_GUEST_IDTR_BASE, "guest IDTR base", "must be canonical",
	      vmx_wrong_canonical, 0),
	STATE("27.3.1.3", VMCS_GUEST_GDTR_LIMIT, "guest GDTR limit", "bits 31:16 must be 0",
	      vmx_wrong_unless_clear, MASK(31, 16)),
	STATE("27.3.1.3", VMCS_GUEST_IDTR_LIMIT, "guest IDTR limit", "bits 31:16 must be 0",
	      vmx_wrong_unless_clear, MASK(31, 16)),

	GUEST_RIP("bits 63:32 must be 0 outside 64-bit mode", wrong_rip_high),
	GUEST_RIP("bits above the linear-address width must be alike", wrong_rip),
	FLAGS("reserved bits must be 0, bit 1 must be 1", wrong_rflags),
	FLAGS("VM must be 0 in IA-32e mode and without CR0.PE", wrong_vm),
	FLAGS("IF must be 1 to inject an external interrupt", wrong_if),
	{"27.3.1.4", "guest SSP", "bits 1:0 must be 0", VMCS_GUEST_SSP, CTL_ENTRY,
	 ENTRYCTL_LOAD_CET, vmx_wrong_unless_clear, 3},
	{"27.3.1.4", "guest SSP", "bits above the linear-address width must be alike",
	 VMCS_GUEST_SSP, CTL_ENTRY, ENTRYCTL_LOAD_CET, vmx_wrong_linear, 0},

	ACTIVITY("must be a state that IA32_VMX_MISC has", wrong_activity),
	ACTIVITY("must not be HLT if the DPL of SS is not 0", wrong_hlt),
	ACTIVITY("must be active while STI or MOV SS blocks", wrong_inactive),
	ACTIVITY("must be one that the injected event ends", wrong_wakeup),
	BLOCKING("bits 31:5 must be 0", vmx_wrong_unless_clear, MASK(31, 5)),
	BLOCKING("STI and MOV SS cannot both block", wrong_both_shadows, 0),
	BLOCKING("STI cannot block without RFLAGS.IF", wrong_sti, 0),
	BLOCKING("nothing may block the external interrupt that is injected", wrong_shadow,
		 INTR_TYPE_EXTERNAL),
	BLOCKING("neither STI nor MOV SS may block the NMI that is injected", wrong_shadow,
		 INTR_TYPE_NMI),
	BLOCKING("SMIs cannot be blocked outside SMM", vmx_wrong_unless_clear, BLOCKING_SMI),
	{"27.3.1.5", "guest interruptibility state",
	 "a virtual NMI must not be blocked if one is injected", VMCS_GUEST_INTERRUPTIBILITY,
	 CTL_PIN, PIN_VIRTUAL_NMIS, wrong_nmi, 0},
	BLOCKING("an enclave needs SGX, and MOV SS not to block", wrong_enclave, 0),
	PENDING("reserved bits must be 0", wrong_pending),
	PENDING("while STI, MOV SS or HLT blocks, BS is 1 if and only if TF is without BTF",
		wrong_bs),
	PENDING("with RTM, bit 12 must be 1 and all others 0", wrong_rtm),
	PENDING("RTM needs the feature, and MOV SS not to block", wrong_rtm_state),
	LINK("must be all ones, or page-aligned and within the physical-address width",
	     wrong_link),
	LINK("must point to a VMCS of this revision, a shadow one with \"VMCS shadowing\"",
	     wrong_link_revision),
	LINK("must not be the current VMCS", wrong_link_self),

	PDPTE(0),
	PDPTE(1),
	PDPTE(2),
	PDPTE(3),
	STATE("27.3.1.6", VMCS_GUEST_CR3, "guest CR3",
	      "reserved bits of the PDPTEs there must be 0", wrong_table, 0),
};

const struct vmx_check_list vmx_state_checks = {state_checks, ARRAY_SIZE(state_checks)};
