/* SPDX-License-Identifier: BSD-2-Clause */
/* Each check of a VM entry fails for a VMCS that breaks it alone, in the manual's order. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "socle/cpu/regs.h"
#include "socle/guest/state.h"
#include "../../lib/format.c"
#include "../../arch/x86/vmx/checks.c"
#include "../../arch/x86/vmx/checks_controls.c"
#include "../../arch/x86/vmx/checks_guest.c"
#include "../../arch/x86/vmx/checks_host.c"
#include "../../arch/x86/vmx/checks_segments.c"
#include "../../arch/x86/vmx/checks_state.c"
#include "vmx_mock.h"

/*
 * In the order of the manual: what breaks each check, and none before it. The context passes by
 * itself; then one field becomes @value, or each bit of @value in it is flipped by itself.
 */
enum kind { FLIP_EACH, BECOME };
struct mutation {
	const char *what; /* that the check names; NULL: once more for the same check */
	void (*context)(void);
	uint32_t field;
	uint8_t kind;
	uint64_t value;
};
#define ADDRESS_BITS(what, context, field, low)         \
	{what, context, field, FLIP_EACH, low},         \
	{                                               \
		what, context, field, FLIP_EACH, BEYOND \
	}
#define PAGE_BITS(what, context, field) ADDRESS_BITS(what, context, field, 0xfff)
#define NEEDS_SECONDARY(what, context, bit)                            \
	{                                                              \
		what, context, VMCS_SECONDARY_CONTROLS, FLIP_EACH, bit \
	}
#define AREA(what, field)                                       \
	{what, full, field, FLIP_EACH, BEYOND | 0xf},           \
	{                                                       \
		what, full, field, BECOME, BIT(WIDTH_BITS) - 48 \
	}
#define INFO_IS(what, context, value)                              \
	{                                                          \
		what, context, VMCS_ENTRY_INTR_INFO, BECOME, value \
	}
#define VALID(type, rest) (INTR_INFO_VALID | (uint64_t)(type) << INTR_INFO_TYPE_SHIFT | (rest))

/* One for each segment, in the manual's order. */
#define SIX(part, name, context, kind, value)                                   \
	{"guest CS " name, context, VMCS_GUEST_CS_##part, kind, value},         \
		{"guest SS " name, context, VMCS_GUEST_SS_##part, kind, value}, \
		FOUR(part, name, context, kind, value)
#define FOUR(part, name, context, kind, value)                                  \
	{"guest DS " name, context, VMCS_GUEST_DS_##part, kind, value},         \
		{"guest ES " name, context, VMCS_GUEST_ES_##part, kind, value}, \
		{"guest FS " name, context, VMCS_GUEST_FS_##part, kind, value}, \
	{                                                                       \
		"guest GS " name, context, VMCS_GUEST_GS_##part, kind, value    \
	}
#define RIGHTS_OF(seg, context, value)                                                         \
	{                                                                                      \
		"guest " #seg " access rights", context, VMCS_GUEST_##seg##_ACCESS, FLIP_EACH, \
			value                                                                  \
	}
#define ALL_SIX(value) SIX(ACCESS, "access rights", full, FLIP_EACH, value)
/* G of a segment with limit 0xffffffff: each low bit of the limit needs it 0; all need it 1. */
#define GRANULARITY(seg)                                                                    \
	{"guest " #seg " access rights", full, VMCS_GUEST_##seg##_LIMIT, FLIP_EACH, 0xfff}, \
	{                                                                                   \
		NULL, full, VMCS_GUEST_##seg##_ACCESS, FLIP_EACH, ACCESS_G                  \
	}
/* The same for limits without bits 31:20. */
#define GRANULARITY_0(seg)                                                                 \
	{                                                                                  \
		"guest " #seg " access rights", full, VMCS_GUEST_##seg##_LIMIT, FLIP_EACH, \
			MASK(31, 20)                                                       \
	}

static const struct mutation mutations[] = {
	{"pin-based controls", full, VMCS_PIN_CONTROLS, FLIP_EACH,
	 (uint32_t)~PIN_MAY | PIN_MUST},
	{"primary controls", full, VMCS_PRIMARY_CONTROLS, FLIP_EACH,
	 (uint32_t)~PRIMARY_MAY | PRIMARY_MUST},
	{NULL, bare, VMCS_PRIMARY_CONTROLS, FLIP_EACH, PRIMARY_SECONDARY | PRIMARY_TERTIARY},
	{"secondary controls", full, VMCS_SECONDARY_CONTROLS, FLIP_EACH,
	 (uint32_t)~SECONDARY_MAY},
	{"tertiary controls", full, VMCS_TERTIARY_CONTROLS, FLIP_EACH, ~TERTIARY_MAY},
	{"CR3-target count", full, VMCS_CR3_TARGET_COUNT, BECOME, 5},
	PAGE_BITS("address of I/O bitmap A", full, VMCS_IO_BITMAP_A),
	{NULL, low_addresses, VMCS_IO_BITMAP_A, FLIP_EACH, MASK(63, 32)},
	PAGE_BITS("address of I/O bitmap B", full, VMCS_IO_BITMAP_B),
	PAGE_BITS("address of MSR bitmaps", full, VMCS_MSR_BITMAP),
	PAGE_BITS("virtual-APIC address", full, VMCS_VIRTUAL_APIC_ADDR),
	{"TPR threshold", shadow, VMCS_TPR_THRESHOLD, FLIP_EACH, MASK(31, 4)},
	{"TPR threshold", shadow, VMCS_TPR_THRESHOLD, BECOME, 6},
	{"pin-based controls", full, VMCS_PIN_CONTROLS, FLIP_EACH, PIN_NMI},
	{"pin-based controls", nmi_window, VMCS_PIN_CONTROLS, FLIP_EACH, PIN_VIRTUAL_NMIS},
	PAGE_BITS("APIC-access address", flat_apic, VMCS_APIC_ACCESS_ADDR),
	{"primary controls", shadow_x2apic, VMCS_PRIMARY_CONTROLS, FLIP_EACH,
	 PRIMARY_TPR_SHADOW},
	{"primary controls", shadow_registers, VMCS_PRIMARY_CONTROLS, FLIP_EACH,
	 PRIMARY_TPR_SHADOW},
	{"primary controls", shadow_interrupts, VMCS_PRIMARY_CONTROLS, FLIP_EACH,
	 PRIMARY_TPR_SHADOW},
	{"primary controls", shadow_ipi, VMCS_PRIMARY_CONTROLS, FLIP_EACH, PRIMARY_TPR_SHADOW},
	NEEDS_SECONDARY("secondary controls", full, SECONDARY_APIC_ACCESSES),
	{"pin-based controls", full, VMCS_PIN_CONTROLS, FLIP_EACH, PIN_EXTERNAL_INTERRUPT},
	NEEDS_SECONDARY("secondary controls", full, SECONDARY_VIRTUAL_INTERRUPTS),
	{"VM-exit controls", full, VMCS_EXIT_CONTROLS, FLIP_EACH, EXITCTL_ACK_INTERRUPT},
	{"posted-interrupt notification vector", full, VMCS_POSTED_INTR_VECTOR, FLIP_EACH,
	 0xff00},
	ADDRESS_BITS("posted-interrupt descriptor address", full, VMCS_POSTED_INTR_DESC_ADDR,
		     0x3f),
	{"VPID", full, VMCS_VPID, BECOME, 0},
	{"EPT pointer", full, VMCS_EPT_POINTER, FLIP_EACH, 7},
	{NULL, ept_without_uc, VMCS_EPT_POINTER, BECOME, EPTP_UC | EPTP_WALK_4},
	{NULL, ept_without_wb, VMCS_EPT_POINTER, BECOME, EPTP_WB | EPTP_WALK_4},
	{"EPT pointer", full, VMCS_EPT_POINTER, FLIP_EACH, 0x38},
	{NULL, full, VMCS_EPT_POINTER, BECOME, EPTP_WB | 4 << EPTP_WALK_SHIFT},
	{NULL, ept_of_five, VMCS_EPT_POINTER, BECOME, EPTP_WB | EPTP_WALK_4},
	{"EPT pointer", ept_without_flags, VMCS_EPT_POINTER, FLIP_EACH, 0xc0},
	{"EPT pointer", full, VMCS_EPT_POINTER, FLIP_EACH, BEYOND | 0xf00},
	NEEDS_SECONDARY("secondary controls", ept_pml, SECONDARY_EPT),
	PAGE_BITS("PML address", full, VMCS_PML_ADDR),
	NEEDS_SECONDARY("secondary controls", ept_unrestricted, SECONDARY_EPT),
	NEEDS_SECONDARY("secondary controls", ept_mode_based, SECONDARY_EPT),
	NEEDS_SECONDARY("secondary controls", ept_sub_page, SECONDARY_EPT),
	PAGE_BITS("sub-page-permission-table pointer", full, VMCS_SPP_TABLE_POINTER),
	{"VM-function controls", full, VMCS_VM_FUNCTION_CONTROLS, FLIP_EACH, ~1ull},
	NEEDS_SECONDARY("VM-function controls", ept_functions, SECONDARY_EPT),
	{"EPTP-list address", full, VMCS_EPTP_LIST_ADDR, FLIP_EACH, BEYOND | 0xfff},
	PAGE_BITS("VMREAD-bitmap address", full, VMCS_VMREAD_BITMAP),
	PAGE_BITS("VMWRITE-bitmap address", full, VMCS_VMWRITE_BITMAP),
	PAGE_BITS("virtualization-exception information address", full, VMCS_VE_INFO_ADDR),
	{"VM-entry controls", tracing, VMCS_ENTRY_CONTROLS, FLIP_EACH, ENTRYCTL_LOAD_RTIT},
	NEEDS_SECONDARY("secondary controls", ept_trace, SECONDARY_EPT),
	{"VM-entry controls", full, VMCS_ENTRY_CONTROLS, FLIP_EACH, ENTRYCTL_LOAD_RTIT},
	{"VM-exit controls", full, VMCS_EXIT_CONTROLS, FLIP_EACH, EXITCTL_CLEAR_RTIT},
	{"TSC multiplier", full, VMCS_TSC_MULTIPLIER, BECOME, 0},
	PAGE_BITS("low PASID directory address", full, VMCS_LOW_PASID_DIRECTORY),
	PAGE_BITS("high PASID directory address", full, VMCS_HIGH_PASID_DIRECTORY),
	NEEDS_SECONDARY("secondary controls", ept_hlat, SECONDARY_EPT),
	NEEDS_SECONDARY("secondary controls", ept_paging_write, SECONDARY_EPT),
	NEEDS_SECONDARY("secondary controls", ept_verification, SECONDARY_EPT),
	ADDRESS_BITS("HLAT pointer", full, VMCS_HLAT_POINTER, 0xfe7),
	ADDRESS_BITS("PID-pointer table address", full, VMCS_PID_POINTER_TABLE, 7),
	{"PID-pointer table address", full, VMCS_PID_POINTER_TABLE, BECOME,
	 BIT(WIDTH_BITS) - 8},

	{"VM-exit controls", full, VMCS_EXIT_CONTROLS, FLIP_EACH,
	 (uint32_t)~EXIT_MAY | EXIT_MUST},
	{"secondary VM-exit controls", full, VMCS_EXIT_CONTROLS2, FLIP_EACH, ~EXIT2_MAY},
	{"pin-based controls", full, VMCS_PIN_CONTROLS, FLIP_EACH, PIN_PREEMPTION_TIMER},
	AREA("VM-exit MSR-store address", VMCS_EXIT_MSR_STORE_ADDR),
	AREA("VM-exit MSR-load address", VMCS_EXIT_MSR_LOAD_ADDR),

	{"VM-entry controls", full, VMCS_ENTRY_CONTROLS, FLIP_EACH,
	 (uint32_t)~ENTRY_MAY | ENTRY_MUST},
	INFO_IS("VM-entry interruption information", full, VALID(1, 32)),
	INFO_IS(NULL, no_mtf, VALID(INTR_TYPE_OTHER, 0)),
	INFO_IS("VM-entry interruption information", full, VALID(INTR_TYPE_NMI, 3)),
	INFO_IS(NULL, full, VALID(INTR_TYPE_HARD_EXCEPTION, 32)),
	INFO_IS(NULL, full, VALID(INTR_TYPE_OTHER, 1)),
	INFO_IS("VM-entry interruption information", full,
		VALID(INTR_TYPE_HARD_EXCEPTION, VEC_DF)),
	INFO_IS(NULL, full, VALID(INTR_TYPE_HARD_EXCEPTION, VEC_TS)),
	INFO_IS(NULL, full, VALID(INTR_TYPE_HARD_EXCEPTION, VEC_NP)),
	INFO_IS(NULL, full, VALID(INTR_TYPE_HARD_EXCEPTION, VEC_SS)),
	INFO_IS(NULL, full, VALID(INTR_TYPE_HARD_EXCEPTION, VEC_GP)),
	INFO_IS(NULL, full, VALID(INTR_TYPE_HARD_EXCEPTION, VEC_PF)),
	INFO_IS(NULL, full, VALID(INTR_TYPE_HARD_EXCEPTION, VEC_AC)),
	INFO_IS(NULL, restricted, VALID(INTR_TYPE_HARD_EXCEPTION, VEC_GP)),
	INFO_IS(NULL, full, VALID(INTR_TYPE_HARD_EXCEPTION, INTR_INFO_HAS_ERROR | VEC_UD)),
	INFO_IS(NULL, full, VALID(INTR_TYPE_EXTERNAL, INTR_INFO_HAS_ERROR | VEC_GP)),
	INFO_IS(NULL, real, VALID(INTR_TYPE_HARD_EXCEPTION, INTR_INFO_HAS_ERROR | VEC_GP)),
	{"VM-entry interruption information", inject_gp, VMCS_ENTRY_INTR_INFO, FLIP_EACH,
	 MASK(30, 12)},
	{"VM-entry exception error code", inject_gp, VMCS_ENTRY_EXCEPTION_ERROR, FLIP_EACH,
	 MASK(31, 16)},
	{"VM-entry instruction length", inject_soft, VMCS_ENTRY_INSN_LEN, BECOME, 0},
	{NULL, inject_soft, VMCS_ENTRY_INSN_LEN, BECOME, 16},
	{NULL, inject_int1, VMCS_ENTRY_INSN_LEN, BECOME, 0},
	{NULL, inject_int3, VMCS_ENTRY_INSN_LEN, BECOME, 16},
	AREA("VM-entry MSR-load address", VMCS_ENTRY_MSR_LOAD_ADDR),
	{"VM-entry controls", full, VMCS_ENTRY_CONTROLS, FLIP_EACH,
	 ENTRYCTL_SMM | ENTRYCTL_END_DUAL_MONITOR},

	{"host CR0", full, VMCS_HOST_CR0, FLIP_EACH, CR0_PE | CR0_NE | CR0_PG | MASK(63, 32)},
	{"host CR4", full, VMCS_HOST_CR4, FLIP_EACH, CR4_VMXE | ~CR4_ALLOWED},
	{"host CR4", full, VMCS_HOST_CR0, FLIP_EACH, CR0_WP},
	{"host CR3", full, VMCS_HOST_CR3, FLIP_EACH, BEYOND},
	{"host IA32_SYSENTER_ESP", full, VMCS_HOST_SYSENTER_ESP, FLIP_EACH, NONCANONICAL},
	{"host IA32_SYSENTER_EIP", full, VMCS_HOST_SYSENTER_EIP, FLIP_EACH, NONCANONICAL},
	{"host IA32_S_CET", full, VMCS_HOST_S_CET, FLIP_EACH, NONCANONICAL},
	{"host IA32_INTERRUPT_SSP_TABLE_ADDR", full, VMCS_HOST_ISST, FLIP_EACH, NONCANONICAL},
	{"host IA32_PERF_GLOBAL_CTRL", full, VMCS_HOST_PERF_GLOBAL_CTRL, FLIP_EACH,
	 ~0x7000000ffull},
	{"host IA32_PAT", full, VMCS_HOST_PAT, FLIP_EACH, 0xf8f8f8f8f8f8f8f8},
	{NULL, full, VMCS_HOST_PAT, BECOME, 0x02},
	{NULL, full, VMCS_HOST_PAT, BECOME, 0x03ull << 56},
	{"host IA32_EFER", full, VMCS_HOST_EFER, FLIP_EACH, ~0xd01ull},
	{"host IA32_EFER", full, VMCS_HOST_EFER, FLIP_EACH, EFER_LMA | EFER_LME},
	{NULL, full, VMCS_EXIT_CONTROLS, FLIP_EACH, EXITCTL_HOST_64},
	{"host IA32_S_CET", full, VMCS_HOST_S_CET, FLIP_EACH, MASK(9, 6)},
	{NULL, full, VMCS_HOST_S_CET, BECOME, 0xc00},
	{"host SSP", full, VMCS_HOST_SSP, FLIP_EACH, 3},
	{"host IA32_PKRS", full, VMCS_HOST_PKRS, FLIP_EACH, MASK(63, 32)},
	{"host CS selector", full, VMCS_HOST_CS_SELECTOR, FLIP_EACH, 7},
	{"host SS selector", full, VMCS_HOST_SS_SELECTOR, FLIP_EACH, 7},
	{"host DS selector", full, VMCS_HOST_DS_SELECTOR, FLIP_EACH, 7},
	{"host ES selector", full, VMCS_HOST_ES_SELECTOR, FLIP_EACH, 7},
	{"host FS selector", full, VMCS_HOST_FS_SELECTOR, FLIP_EACH, 7},
	{"host GS selector", full, VMCS_HOST_GS_SELECTOR, FLIP_EACH, 7},
	{"host TR selector", full, VMCS_HOST_TR_SELECTOR, FLIP_EACH, 7},
	{"host CS selector", full, VMCS_HOST_CS_SELECTOR, BECOME, 0},
	{"host TR selector", full, VMCS_HOST_TR_SELECTOR, BECOME, 0},
	{"host SS selector", host_null_ss, VMCS_EXIT_CONTROLS, FLIP_EACH, EXITCTL_HOST_64},
	{"host FS base", full, VMCS_HOST_FS_BASE, FLIP_EACH, NONCANONICAL},
	{"host GS base", full, VMCS_HOST_GS_BASE, FLIP_EACH, NONCANONICAL},
	{"host GDTR base", full, VMCS_HOST_GDTR_BASE, FLIP_EACH, NONCANONICAL},
	{"host IDTR base", full, VMCS_HOST_IDTR_BASE, FLIP_EACH, NONCANONICAL},
	{"host TR base", full, VMCS_HOST_TR_BASE, FLIP_EACH, NONCANONICAL},
	{"VM-exit controls", host_efer_kept, VMCS_EXIT_CONTROLS, FLIP_EACH, EXITCTL_HOST_64},
	{"host CR4", full, VMCS_HOST_CR4, FLIP_EACH, CR4_PAE},
	{"host RIP", full, VMCS_HOST_RIP, FLIP_EACH, NONCANONICAL},
	{"host SSP", full, VMCS_HOST_SSP, FLIP_EACH, NONCANONICAL},

	{"guest CR0", full, VMCS_GUEST_CR0, FLIP_EACH, CR0_NE | MASK(63, 32)},
	{NULL, restricted, VMCS_GUEST_CR0, FLIP_EACH, CR0_PE | CR0_PG},
	{"guest CR0", full, VMCS_GUEST_CR0, FLIP_EACH, CR0_PE},
	{"guest CR4", full, VMCS_GUEST_CR4, FLIP_EACH, CR4_VMXE | ~CR4_ALLOWED},
	{"guest CR4", full, VMCS_GUEST_CR0, FLIP_EACH, CR0_WP},
	{"guest IA32_DEBUGCTL", full, VMCS_GUEST_DEBUGCTL, FLIP_EACH, ~0xffc7ull},
	{"guest CR0", full, VMCS_GUEST_CR0, FLIP_EACH, CR0_PG},
	{"guest CR4", full, VMCS_GUEST_CR4, FLIP_EACH, CR4_PAE},
	{"guest CR4", legacy, VMCS_GUEST_CR4, FLIP_EACH, CR4_PCIDE},
	{"guest CR3", full, VMCS_GUEST_CR3, FLIP_EACH, BEYOND},
	{"guest DR7", full, VMCS_GUEST_DR7, FLIP_EACH, MASK(63, 32)},
	{"guest IA32_SYSENTER_ESP", full, VMCS_GUEST_SYSENTER_ESP, FLIP_EACH, NONCANONICAL},
	{"guest IA32_SYSENTER_EIP", full, VMCS_GUEST_SYSENTER_EIP, FLIP_EACH, NONCANONICAL},
	{"guest IA32_S_CET", full, VMCS_GUEST_S_CET, FLIP_EACH, NONCANONICAL},
	{"guest IA32_INTERRUPT_SSP_TABLE_ADDR", full, VMCS_GUEST_ISST, FLIP_EACH, NONCANONICAL},
	{"guest IA32_PERF_GLOBAL_CTRL", full, VMCS_GUEST_PERF_GLOBAL_CTRL, FLIP_EACH,
	 ~0x7000000ffull},
	{"guest IA32_PAT", full, VMCS_GUEST_PAT, FLIP_EACH, 0xf8f8f8f8f8f8f8f8},
	{"guest IA32_EFER", full, VMCS_GUEST_EFER, FLIP_EACH, ~0xd01ull},
	{"guest IA32_EFER", full, VMCS_GUEST_EFER, FLIP_EACH, EFER_LMA},
	{NULL, legacy, VMCS_GUEST_EFER, FLIP_EACH, EFER_LMA},
	{"guest IA32_EFER", full, VMCS_GUEST_EFER, FLIP_EACH, EFER_LME},
	{NULL, legacy, VMCS_GUEST_EFER, FLIP_EACH, EFER_LME},
	{"guest IA32_BNDCFGS", full, VMCS_GUEST_BNDCFGS, FLIP_EACH, MASK(11, 2)},
	{"guest IA32_BNDCFGS", full, VMCS_GUEST_BNDCFGS, FLIP_EACH, NONCANONICAL},
	{"guest IA32_RTIT_CTL", full, VMCS_GUEST_RTIT_CTL, FLIP_EACH, ~0x3fffull},
	{"guest IA32_S_CET", full, VMCS_GUEST_S_CET, FLIP_EACH, MASK(10, 6)},
	{"guest IA32_LBR_CTL", full, VMCS_GUEST_LBR_CTL, FLIP_EACH, ~0x7f000full},
	{"guest IA32_PKRS", full, VMCS_GUEST_PKRS, FLIP_EACH, MASK(63, 32)},
	{"guest UINV", full, VMCS_GUEST_UINV, FLIP_EACH, 0xff00},

	{"guest TR selector", full, VMCS_GUEST_TR_SELECTOR, FLIP_EACH, 4},
	{"guest LDTR selector", full, VMCS_GUEST_LDTR_SELECTOR, FLIP_EACH, 4},
	{"guest SS selector", restricted, VMCS_GUEST_SS_SELECTOR, FLIP_EACH, 3},
	SIX(BASE, "base", v8086, FLIP_EACH, ~0ull),
	{"guest TR base", full, VMCS_GUEST_TR_BASE, FLIP_EACH, NONCANONICAL},
	{"guest FS base", full, VMCS_GUEST_FS_BASE, FLIP_EACH, NONCANONICAL},
	{"guest GS base", full, VMCS_GUEST_GS_BASE, FLIP_EACH, NONCANONICAL},
	{"guest LDTR base", full, VMCS_GUEST_LDTR_BASE, FLIP_EACH, NONCANONICAL},
	{"guest CS base", full, VMCS_GUEST_CS_BASE, FLIP_EACH, MASK(63, 32)},
	{"guest SS base", full, VMCS_GUEST_SS_BASE, FLIP_EACH, MASK(63, 32)},
	{"guest DS base", full, VMCS_GUEST_DS_BASE, FLIP_EACH, MASK(63, 32)},
	{"guest ES base", full, VMCS_GUEST_ES_BASE, FLIP_EACH, MASK(63, 32)},
	SIX(LIMIT, "limit", v8086, FLIP_EACH, MASK(31, 0)),
	SIX(ACCESS, "access rights", v8086, FLIP_EACH, MASK(31, 0)),
	RIGHTS_OF(CS, restricted, 9), /* 10 and 3 */
	{NULL, full, VMCS_GUEST_CS_ACCESS, BECOME, 0xa097},
	{NULL, full, VMCS_GUEST_CS_ACCESS, BECOME, 0xa098},
	{NULL, full, VMCS_GUEST_CS_ACCESS, BECOME, 0xa09e},
	RIGHTS_OF(SS, full, 0xb),
	FOUR(ACCESS, "access rights", full, FLIP_EACH, 1),
	FOUR(ACCESS, "access rights", full, BECOME, 0xc099),
	ALL_SIX(ACCESS_S),
	RIGHTS_OF(CS, full, ACCESS_DPL),
	{NULL, full, VMCS_GUEST_CS_ACCESS, BECOME, 0xa0b9}, /* type 9, DPL 1 */
	{NULL, full, VMCS_GUEST_CS_ACCESS, BECOME, 0xa0bd}, /* conforming, DPL 1 */
	{NULL, full, VMCS_GUEST_CS_ACCESS, BECOME, 0xa0ff}, /* conforming, DPL 3 */
	{NULL, full, VMCS_GUEST_CS_ACCESS, BECOME, 0xc0f3}, /* data, DPL 3 */
	RIGHTS_OF(SS, restricted_conforming, ACCESS_DPL),
	RIGHTS_OF(SS, real, ACCESS_DPL),
	{NULL, real_conforming, VMCS_GUEST_SS_ACCESS, FLIP_EACH, ACCESS_DPL},
	{NULL, real_segments, VMCS_GUEST_SS_ACCESS, FLIP_EACH, ACCESS_DPL},
	{"guest DS access rights", restricted, VMCS_GUEST_DS_SELECTOR, FLIP_EACH, 3},
	{NULL, restricted_code, VMCS_GUEST_DS_SELECTOR, FLIP_EACH, 3},
	{"guest ES access rights", restricted, VMCS_GUEST_ES_SELECTOR, FLIP_EACH, 3},
	{"guest FS access rights", restricted, VMCS_GUEST_FS_SELECTOR, FLIP_EACH, 3},
	{"guest GS access rights", restricted, VMCS_GUEST_GS_SELECTOR, FLIP_EACH, 3},
	ALL_SIX(ACCESS_P),
	ALL_SIX(MASK(11, 8)),
	RIGHTS_OF(CS, full, ACCESS_DB),
	GRANULARITY(CS), GRANULARITY(SS), GRANULARITY(DS), GRANULARITY(ES), GRANULARITY(FS),
	GRANULARITY(GS),
	ALL_SIX(MASK(31, 17)),
	RIGHTS_OF(TR, full, 0xf),
	{NULL, legacy, VMCS_GUEST_TR_ACCESS, FLIP_EACH, 7}, /* 3 is fine here */
	RIGHTS_OF(TR, full, ACCESS_S),
	RIGHTS_OF(TR, full, ACCESS_P),
	RIGHTS_OF(TR, full, MASK(11, 8)),
	GRANULARITY_0(TR),
	{NULL, full, VMCS_GUEST_TR_ACCESS, FLIP_EACH, ACCESS_G},
	RIGHTS_OF(TR, full, ACCESS_UNUSABLE),
	RIGHTS_OF(TR, full, MASK(31, 17)),
	RIGHTS_OF(LDTR, full, 0xf),
	RIGHTS_OF(LDTR, full, ACCESS_S),
	RIGHTS_OF(LDTR, full, ACCESS_P),
	RIGHTS_OF(LDTR, full, MASK(11, 8)),
	GRANULARITY_0(LDTR),
	RIGHTS_OF(LDTR, full, MASK(31, 17)),

	{"guest GDTR base", full, VMCS_GUEST_GDTR_BASE, FLIP_EACH, NONCANONICAL},
	{"guest IDTR base", full, VMCS_GUEST_IDTR_BASE, FLIP_EACH, NONCANONICAL},
	{"guest GDTR limit", full, VMCS_GUEST_GDTR_LIMIT, FLIP_EACH, MASK(31, 16)},
	{"guest IDTR limit", full, VMCS_GUEST_IDTR_LIMIT, FLIP_EACH, MASK(31, 16)},
	{"guest RIP", legacy, VMCS_GUEST_RIP, FLIP_EACH, MASK(63, 32)},
	{NULL, compatibility, VMCS_GUEST_RIP, FLIP_EACH, MASK(63, 32)},
	{"guest RIP", full, VMCS_GUEST_RIP, FLIP_EACH, MASK(63, 48)}, /* bit 47 may differ */
	{"guest RFLAGS", full, VMCS_GUEST_RFLAGS, FLIP_EACH, MASK(63, 22) | 0x802a},
	{"guest RFLAGS", v8086_efer_kept, VMCS_ENTRY_CONTROLS, FLIP_EACH, ENTRYCTL_IA32E},
	{NULL, v8086_flat, VMCS_GUEST_CR0, FLIP_EACH, CR0_PE},
	{"guest RFLAGS", inject_external, VMCS_GUEST_RFLAGS, FLIP_EACH, RFLAGS_IF},
	{"guest SSP", full, VMCS_GUEST_SSP, FLIP_EACH, 3},
	{"guest SSP", full, VMCS_GUEST_SSP, FLIP_EACH, MASK(63, 48)},
	{"guest activity state", full, VMCS_GUEST_ACTIVITY, BECOME, 4},
	{NULL, active_only, VMCS_GUEST_ACTIVITY, BECOME, ACTIVITY_HLT},
	{NULL, active_only, VMCS_GUEST_ACTIVITY, BECOME, ACTIVITY_SHUTDOWN},
	{NULL, active_only, VMCS_GUEST_ACTIVITY, BECOME, ACTIVITY_WAIT_SIPI},
	{"guest activity state", user, VMCS_GUEST_ACTIVITY, BECOME, ACTIVITY_HLT},
	{"guest activity state", after_sti, VMCS_GUEST_ACTIVITY, BECOME, ACTIVITY_HLT},
	{NULL, after_mov_ss, VMCS_GUEST_ACTIVITY, BECOME, ACTIVITY_SHUTDOWN},
	{"guest activity state", inject_gp, VMCS_GUEST_ACTIVITY, BECOME, ACTIVITY_HLT},
	{NULL, inject_soft, VMCS_GUEST_ACTIVITY, BECOME, ACTIVITY_HLT},
	{NULL, inject_external, VMCS_GUEST_ACTIVITY, BECOME, ACTIVITY_SHUTDOWN},
	{NULL, inject_db, VMCS_GUEST_ACTIVITY, BECOME, ACTIVITY_SHUTDOWN},
	{NULL, inject_nmi, VMCS_GUEST_ACTIVITY, BECOME, ACTIVITY_WAIT_SIPI},
	{"guest interruptibility state", full, VMCS_GUEST_INTERRUPTIBILITY, FLIP_EACH,
	 MASK(31, 5)},
	{"guest interruptibility state", full, VMCS_GUEST_INTERRUPTIBILITY, BECOME, 3},
	{"guest interruptibility state", no_if, VMCS_GUEST_INTERRUPTIBILITY, FLIP_EACH, 1},
	{"guest interruptibility state", inject_external, VMCS_GUEST_INTERRUPTIBILITY, FLIP_EACH,
	 3},
	{"guest interruptibility state", inject_nmi, VMCS_GUEST_INTERRUPTIBILITY, FLIP_EACH, 3},
	{"guest interruptibility state", full, VMCS_GUEST_INTERRUPTIBILITY, FLIP_EACH, 4},
	{"guest interruptibility state", inject_nmi, VMCS_GUEST_INTERRUPTIBILITY, FLIP_EACH, 8},
	{"guest interruptibility state", no_features, VMCS_GUEST_INTERRUPTIBILITY, FLIP_EACH,
	 0x10},
	{NULL, full, VMCS_GUEST_INTERRUPTIBILITY, BECOME, 0x12},
	{"guest pending debug exceptions", full, VMCS_GUEST_PENDING_DEBUG, FLIP_EACH,
	 MASK(63, 17) | 0xa7f0},
	{NULL, no_features, VMCS_GUEST_PENDING_DEBUG, FLIP_EACH, BIT(11)},
	{"guest pending debug exceptions", after_sti, VMCS_GUEST_PENDING_DEBUG, FLIP_EACH,
	 BIT(14)},
	{NULL, after_mov_ss, VMCS_GUEST_PENDING_DEBUG, FLIP_EACH, BIT(14)},
	{NULL, halted, VMCS_GUEST_PENDING_DEBUG, FLIP_EACH, BIT(14)},
	{NULL, stepping, VMCS_GUEST_PENDING_DEBUG, FLIP_EACH, BIT(14)},
	{NULL, stepping, VMCS_GUEST_DEBUGCTL, FLIP_EACH, BIT(1)},
	{"guest pending debug exceptions", full, VMCS_GUEST_PENDING_DEBUG, BECOME, 0x10000},
	{NULL, full, VMCS_GUEST_PENDING_DEBUG, BECOME, 0x11001},
	{NULL, full, VMCS_GUEST_PENDING_DEBUG, BECOME, 0x11800},
	{NULL, full, VMCS_GUEST_PENDING_DEBUG, BECOME, 0x15000},
	{"guest pending debug exceptions", no_features, VMCS_GUEST_PENDING_DEBUG, BECOME,
	 0x11000},
	{NULL, after_mov_ss, VMCS_GUEST_PENDING_DEBUG, BECOME, 0x11000},
	{"VMCS link pointer", linked, VMCS_LINK_POINTER, FLIP_EACH, BEYOND | 0xfff},
	{"VMCS link pointer", linked, VMCS_LINK_POINTER, BECOME, OTHER_REVISION},
	{NULL, linked, VMCS_LINK_POINTER, BECOME, NO_SHADOW},
	{NULL, linked_plain, VMCS_LINK_POINTER, BECOME, LINKED},
	{"VMCS link pointer", linked, VMCS_LINK_POINTER, BECOME, CURRENT},
	{"guest PDPTE0", pae, VMCS_GUEST_PDPTE0, FLIP_EACH, BEYOND | 0x1e6},
	{"guest PDPTE1", pae, VMCS_GUEST_PDPTE1, FLIP_EACH, BEYOND | 0x1e6},
	{"guest PDPTE2", pae, VMCS_GUEST_PDPTE2, FLIP_EACH, BEYOND | 0x1e6},
	{"guest PDPTE3", pae, VMCS_GUEST_PDPTE3, FLIP_EACH, BEYOND | 0x1e6},
	{"guest CR3", pae_no_ept, VMCS_GUEST_CR3, BECOME, PDPT_BAD},
};

static const struct vmx_check_list *const lists[] = {
	&vmx_control_checks, &vmx_host_checks, &vmx_guest_checks, &vmx_segment_checks,
	&vmx_state_checks,
};

static const struct vmx_check *check_at(unsigned index)
{
	for (unsigned i = 0; i < ARRAY_SIZE(lists); index -= lists[i++]->count)
		if (index < lists[i]->count)
			return &lists[i]->checks[index];
	return NULL;
}

static const char *run(void)
{
	static char text[256];

	memset(text, 0, sizeof(text));
	return vmx_check(&reader, text, sizeof(text));
}

static void passes(void (*context)(void))
{
	const char *text;

	context();
	text = run();
	if (text)
		fail_msg("%s", text);
}

/* The text must be that of @c, with the value and the section. */
static void names(const struct vmx_check *c, const struct mutation *m, const char *text)
{
	char start[256], end[64];
	struct vmx_view v = {.r = &reader};

	read_controls(&v);
	format(start, sizeof(start), "%s is %#llx: %s", c->what,
	       (unsigned long long)vmx_field(&v, c->field), c->must);
	format(end, sizeof(end), " (SDM vol. 3, %s)", c->section);
	if (!text)
		fail_msg("field %#x = %#lx passes, not: %s %s", m->field,
			 (unsigned long)fields[m->field], c->what, c->must);
	else if (strncmp(text, start, strlen(start)) || !strstr(text, end))
		fail_msg("field %#x = %#lx: %s, not: %s", m->field, (unsigned long)fields[m->field],
			 text, start);
}

static void breaks(const struct mutation *m, const struct vmx_check *c)
{
	passes(m->context);
	if (m->kind == BECOME) {
		assert_true(exists[m->field] && fields[m->field] != m->value);
		fields[m->field] = m->value;
		names(c, m, run());
		return;
	}
	for (unsigned i = 0; i < 64; i++) {
		if (!(m->value >> i & 1))
			continue;
		fields[m->field] ^= BIT(i);
		names(c, m, run());
		fields[m->field] ^= BIT(i);
	}
}

static void each_check_fails_alone(void **state __unused)
{
	unsigned next = 0, total = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(mutations); i++) {
		const struct vmx_check *c;

		next += mutations[i].what != NULL;
		c = check_at(next - 1);
		assert_non_null(c);
		if (mutations[i].what)
			assert_string_equal(c->what, mutations[i].what);
		breaks(&mutations[i], c);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(lists); i++)
		total += lists[i]->count;
	assert_int_equal(next, total);
}

/* And no two checks say the same, or a test could take one for the other. */
static void sections_ascend(void **state __unused)
{
	for (unsigned i = 1; check_at(i); i++) {
		const struct vmx_check *c = check_at(i);

		assert_true(strcmp(check_at(i - 1)->section, c->section) <= 0);
		for (unsigned j = 0; j < i; j++)
			assert_false(!strcmp(check_at(j)->what, c->what) &&
				     !strcmp(check_at(j)->must, c->must));
	}
	assert_string_equal(check_at(0)->section, "27.2.1.1");
}

/* Without a control, the fields that exist only with it are not read. */
static void bare_cpu(void **state __unused)
{
	passes(bare);
	reader.read_memory = NULL;
	assert_null(run());
}

/* Without @bit of @control, @fields need not exist; all else is as in the context. */
static void optional_fields(void **state __unused)
{
	enum { END = 0xffff };
	static const struct {
		void (*context)(void);
		uint32_t control;
		uint64_t bit;
		uint32_t fields[6];
	} options[] = {
		{full, VMCS_PRIMARY_CONTROLS, PRIMARY_IO_BITMAPS,
		 {VMCS_IO_BITMAP_A, VMCS_IO_BITMAP_B, END}},
		{full, VMCS_PRIMARY_CONTROLS, PRIMARY_MSR_BITMAPS, {VMCS_MSR_BITMAP, END}},
		{shadow, VMCS_PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW,
		 {VMCS_VIRTUAL_APIC_ADDR, VMCS_TPR_THRESHOLD, END}},
		{flat_apic, VMCS_SECONDARY_CONTROLS, SECONDARY_APIC_ACCESSES,
		 {VMCS_APIC_ACCESS_ADDR, END}},
		{full, VMCS_PIN_CONTROLS, PIN_POSTED_INTERRUPTS,
		 {VMCS_POSTED_INTR_VECTOR, VMCS_POSTED_INTR_DESC_ADDR, END}},
		{full, VMCS_SECONDARY_CONTROLS, SECONDARY_VPID, {VMCS_VPID, END}},
		{restricted, VMCS_SECONDARY_CONTROLS, SECONDARY_EPT,
		 {VMCS_EPT_POINTER, VMCS_GUEST_PDPTE0, VMCS_GUEST_PDPTE1, VMCS_GUEST_PDPTE2,
		  VMCS_GUEST_PDPTE3, END}},
		{full, VMCS_SECONDARY_CONTROLS, SECONDARY_PML, {VMCS_PML_ADDR, END}},
		{full, VMCS_SECONDARY_CONTROLS, SECONDARY_SUB_PAGE_WRITE,
		 {VMCS_SPP_TABLE_POINTER, END}},
		{full, VMCS_SECONDARY_CONTROLS, SECONDARY_VM_FUNCTIONS,
		 {VMCS_VM_FUNCTION_CONTROLS, VMCS_EPTP_LIST_ADDR, END}},
		{full, VMCS_SECONDARY_CONTROLS, SECONDARY_VMCS_SHADOWING,
		 {VMCS_VMREAD_BITMAP, VMCS_VMWRITE_BITMAP, END}},
		{full, VMCS_SECONDARY_CONTROLS, SECONDARY_EPT_VIOLATION_VE,
		 {VMCS_VE_INFO_ADDR, END}},
		{full, VMCS_SECONDARY_CONTROLS, SECONDARY_TSC_SCALING,
		 {VMCS_TSC_MULTIPLIER, END}},
		{full, VMCS_SECONDARY_CONTROLS, SECONDARY_PASID_TRANSLATION,
		 {VMCS_LOW_PASID_DIRECTORY, VMCS_HIGH_PASID_DIRECTORY, END}},
		{full, VMCS_TERTIARY_CONTROLS, TERTIARY_HLAT, {VMCS_HLAT_POINTER, END}},
		{full, VMCS_TERTIARY_CONTROLS, TERTIARY_IPI_VIRTUALIZATION,
		 {VMCS_PID_POINTER_TABLE, VMCS_LAST_PID_POINTER_INDEX, END}},
		{full, VMCS_PRIMARY_CONTROLS, PRIMARY_TERTIARY, {VMCS_TERTIARY_CONTROLS, END}},
		{full, VMCS_EXIT_CONTROLS, EXITCTL_SECONDARY, {VMCS_EXIT_CONTROLS2, END}},
		{full, VMCS_EXIT_CONTROLS, EXITCTL_LOAD_CET,
		 {VMCS_HOST_S_CET, VMCS_HOST_SSP, VMCS_HOST_ISST, END}},
		{full, VMCS_EXIT_CONTROLS, EXITCTL_LOAD_PERF_GLOBAL,
		 {VMCS_HOST_PERF_GLOBAL_CTRL, END}},
		{full, VMCS_EXIT_CONTROLS, EXITCTL_LOAD_PAT, {VMCS_HOST_PAT, END}},
		{full, VMCS_EXIT_CONTROLS, EXITCTL_LOAD_EFER, {VMCS_HOST_EFER, END}},
		{full, VMCS_EXIT_CONTROLS, EXITCTL_LOAD_PKRS, {VMCS_HOST_PKRS, END}},
		{full, VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_DEBUG, {VMCS_GUEST_DR7, END}},
		{full, VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_CET,
		 {VMCS_GUEST_S_CET, VMCS_GUEST_SSP, VMCS_GUEST_ISST, END}},
		{full, VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_PERF_GLOBAL,
		 {VMCS_GUEST_PERF_GLOBAL_CTRL, END}},
		{full, VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_PAT, {VMCS_GUEST_PAT, END}},
		{full, VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_EFER, {VMCS_GUEST_EFER, END}},
		{full, VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_BNDCFGS, {VMCS_GUEST_BNDCFGS, END}},
		{ept_pml, VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_RTIT, {VMCS_GUEST_RTIT_CTL, END}},
		{full, VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_LBR, {VMCS_GUEST_LBR_CTL, END}},
		{full, VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_PKRS, {VMCS_GUEST_PKRS, END}},
		{full, VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_UINV, {VMCS_GUEST_UINV, END}},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		passes(options[i].context);
		off(options[i].control, options[i].bit);
		for (unsigned j = 0; options[i].fields[j] != END; j++) {
			assert_true(exists[options[i].fields[j]]);
			exists[options[i].fields[j]] = false;
		}
		assert_null(run());
	}
	/* Nor does what goes with a control. */
	ept_pml();
	off(VMCS_EXIT_CONTROLS, EXITCTL_CLEAR_RTIT);
	assert_null(run());
	shadow();
	off(VMCS_PIN_CONTROLS, PIN_EXTERNAL_INTERRUPT);
	off(VMCS_EXIT_CONTROLS, EXITCTL_ACK_INTERRUPT);
	assert_null(run());
}

/* What may look wrong but is not. */
static void passes_with(void (*context)(void), enum vmcs_field field, uint64_t value)
{
	context();
	set(field, value);
	assert_null(run());
}

static void real_mode(void **state __unused)
{
	passes(real);
	passes(real_segments);
	passes(v8086);
	/* An LME that waits for paging. */
	passes_with(real, VMCS_GUEST_EFER, EFER_LME);
	/* Exceptions have no error codes in real mode. */
	passes_with(real, VMCS_ENTRY_INTR_INFO, VALID(INTR_TYPE_HARD_EXCEPTION, VEC_GP));
	/* Without "unrestricted guest" PE counts as set there: it has to be, which comes later. */
	real();
	off(VMCS_SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED);
	set(VMCS_ENTRY_INTR_INFO, VALID(INTR_TYPE_HARD_EXCEPTION, VEC_GP));
	assert_non_null(strstr(run(), "VM-entry interruption information"));
	/* All of it is wrong without "unrestricted guest". */
	real();
	off(VMCS_SECONDARY_CONTROLS, SECONDARY_UNRESTRICTED);
	assert_string_equal(run(), "guest CR0 is 0x50032: bits fixed in VMX operation "
				   "(IA32_VMX_CR0_FIXED0 and 1); wrong bits 0x80000001 "
				   "(SDM vol. 3, 27.3.1.1)");
}

static void segments_that_pass(void **state __unused)
{
	/* What is not usable is not looked at, but for CS, TR and the DPL of SS. */
	full();
	data_segments(0xffff, ~0ull << 47, 0x12345678, 0x10000);
	segment(SEG_LDTR, 0xffff, BIT(62), 0x12345678, ACCESS_UNUSABLE | 0xfff);
	assert_null(run());
	segment(SEG_SS, 0, BIT(40), 0, ACCESS_UNUSABLE | 3 << ACCESS_DPL_SHIFT);
	assert_non_null(strstr(run(), "guest CS access rights"));
	segment(SEG_SS, 0, BIT(40), 0, ACCESS_UNUSABLE);
	set(VMCS_GUEST_FS_BASE, BIT(50));
	assert_non_null(strstr(run(), "guest FS base"));
	/* Types. */
	passes_with(full, VMCS_GUEST_CS_ACCESS, 0xa099);
	passes_with(full, VMCS_GUEST_CS_ACCESS, 0xa09d);
	passes_with(user, VMCS_GUEST_CS_ACCESS, 0xa09f); /* conforming, below SS */
	passes_with(full, VMCS_GUEST_SS_ACCESS, 0xc097);
	passes_with(full, VMCS_GUEST_DS_ACCESS, 0xc09b);
	passes_with(full, VMCS_GUEST_DS_ACCESS, 0xc091);
	passes_with(legacy, VMCS_GUEST_CS_ACCESS, 0xe09b); /* L means nothing here */
	/* RPLs count only without "unrestricted guest", and not for conforming code. */
	passes_with(full, VMCS_GUEST_SS_SELECTOR, 0x1b);
	passes_with(full, VMCS_GUEST_DS_SELECTOR, 0x1b);
	restricted();
	set(VMCS_GUEST_DS_SELECTOR, 0x1b);
	set(VMCS_GUEST_DS_ACCESS, 0xc09f);
	assert_null(run());
	/* A limit that either granularity fits. */
	full();
	set(VMCS_GUEST_DS_LIMIT, 0xfffff);
	assert_null(run());
	set(VMCS_GUEST_DS_ACCESS, 0x4093);
	assert_null(run());
}

static void registers_that_pass(void **state __unused)
{
	/* Bits of CR0 that the entry does not change. */
	full();
	caps.cr0_fixed1 &= ~(uint64_t)(CR0_NW | CR0_CD);
	on(VMCS_GUEST_CR0, CR0_NW | CR0_CD);
	assert_null(run());
	full();
	caps.cr0_fixed0 |= CR0_CD;
	on(VMCS_HOST_CR0, CR0_CD);
	assert_null(run());
	/* Masks of LAM, a wider CPU, addresses at the ends. */
	full();
	caps.cr3_high = MASK(62, 61);
	on(VMCS_GUEST_CR3, MASK(62, 61));
	assert_null(run());
	full();
	caps.linear_bits = 57;
	set(VMCS_GUEST_FS_BASE, BIT(55));
	set(VMCS_HOST_GS_BASE, ~0ull << 56);
	set(VMCS_GUEST_RIP, BIT(56));
	assert_null(run());
	passes_with(full, VMCS_GUEST_RIP, BIT(47));
	passes_with(full, VMCS_GUEST_SSP, MASK(63, 48));
	passes_with(full, VMCS_GUEST_FS_BASE, MASK(63, 47));
	passes_with(full, VMCS_IO_BITMAP_A, BIT(WIDTH_BITS) - PAGE_SIZE);
	passes_with(full, VMCS_EXIT_MSR_LOAD_ADDR, BIT(WIDTH_BITS) - 64);
	passes_with(full, VMCS_PID_POINTER_TABLE, BIT(WIDTH_BITS) - 16);
	passes_with(full, VMCS_GUEST_S_CET, 0x3400);
	passes_with(full, VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_ENCLAVE);
	/* Areas without entries may be anywhere. */
	full();
	set(VMCS_EXIT_MSR_STORE_COUNT, 0);
	set(VMCS_EXIT_MSR_STORE_ADDR, ~0ull);
	assert_null(run());
	/* EPT of five levels, supervisor shadow stacks. */
	passes(ept_of_five);
	on(VMCS_EPT_POINTER, EPTP_SUPERVISOR_SSS);
	assert_null(run());
	/* PDPTEs count with PAE paging alone, and if they are present. */
	passes_with(full, VMCS_GUEST_PDPTE0, 0x1e7);
	passes_with(legacy, VMCS_GUEST_PDPTE0, 0x1e7);
	passes_with(pae, VMCS_GUEST_PDPTE0, 0x1e6);
	passes_with(pae, VMCS_GUEST_CR3, PDPT_BAD); /* not read with EPT */
	passes_with(no_ept, VMCS_GUEST_CR3, PDPT_BAD);
	/* VTPR counts without virtual interrupts and APIC accesses alone. */
	passes_with(full, VMCS_TPR_THRESHOLD, 0xff);
	passes_with(flat_apic, VMCS_TPR_THRESHOLD, 0xf);
	passes_with(shadow, VMCS_TPR_THRESHOLD, 5);
	/* What is not activated counts as 0. */
	passes(full);
	off(VMCS_PRIMARY_CONTROLS,
	    PRIMARY_SECONDARY | PRIMARY_TERTIARY | PRIMARY_NMI_WINDOW | PRIMARY_TPR_SHADOW);
	off(VMCS_PIN_CONTROLS, PIN_POSTED_INTERRUPTS);
	set(VMCS_SECONDARY_CONTROLS, ~0u);
	set(VMCS_TERTIARY_CONTROLS, ~0ull);
	assert_null(run());
	off(VMCS_EXIT_CONTROLS, EXITCTL_SECONDARY);
	set(VMCS_EXIT_CONTROLS2, ~0ull);
	assert_null(run());
}

static void events_that_pass(void **state __unused)
{
	passes(inject_int1);
	passes(inject_int3);
	/* What is not valid is not looked at. */
	passes_with(full, VMCS_ENTRY_INTR_INFO, MASK(30, 0));
	passes_with(full, VMCS_ENTRY_EXCEPTION_ERROR, ~0u);
	passes_with(inject_db, VMCS_ENTRY_EXCEPTION_ERROR, ~0u);
	passes_with(inject_gp, VMCS_ENTRY_EXCEPTION_ERROR, 0xffff);
	passes_with(inject_gp, VMCS_ENTRY_INSN_LEN, 99);
	passes_with(full, VMCS_ENTRY_INTR_INFO, VALID(INTR_TYPE_OTHER, 0));
	passes_with(full, VMCS_ENTRY_INTR_INFO, VALID(INTR_TYPE_HARD_EXCEPTION, 31));
	/* IA32_VMX_BASIC[56] leaves it open, IA32_VMX_MISC[30] allows 0, FRED has a bit 13. */
	inject_gp();
	caps.basic |= VMX_BASIC_ANY_EXCEPTION;
	assert_null(run());
	set(VMCS_ENTRY_INTR_INFO, VALID(INTR_TYPE_HARD_EXCEPTION, VEC_GP));
	assert_null(run());
	set(VMCS_ENTRY_INTR_INFO, VALID(INTR_TYPE_HARD_EXCEPTION, INTR_INFO_HAS_ERROR | VEC_CP));
	assert_null(run());
	set(VMCS_ENTRY_INTR_INFO, VALID(INTR_TYPE_EXTERNAL, INTR_INFO_HAS_ERROR | VEC_CP));
	assert_non_null(run());
	inject_soft();
	caps.misc |= VMX_MISC_INJECT_LENGTH_0;
	set(VMCS_ENTRY_INSN_LEN, 0);
	assert_null(run());
	inject_db();
	caps.basic |= VMX_BASIC_NESTED;
	on(VMCS_ENTRY_INTR_INFO, INTR_INFO_NESTED);
	assert_null(run());
	/* What wakes a CPU. */
	passes_with(inject_external, VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	passes_with(inject_db, VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	passes_with(inject_nmi, VMCS_GUEST_ACTIVITY, ACTIVITY_SHUTDOWN);
	passes_with(halted, VMCS_ENTRY_INTR_INFO, VALID(INTR_TYPE_OTHER, 0));
	passes_with(halted, VMCS_ENTRY_INTR_INFO, VALID(INTR_TYPE_HARD_EXCEPTION, VEC_MC));
	passes_with(full, VMCS_GUEST_ACTIVITY, ACTIVITY_WAIT_SIPI);
	/* Without virtual NMIs, blocking does not bar the injection of one. */
	inject_nmi();
	off(VMCS_PIN_CONTROLS, PIN_VIRTUAL_NMIS);
	off(VMCS_PRIMARY_CONTROLS, PRIMARY_NMI_WINDOW);
	set(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_NMI);
	assert_null(run());
	/* Debug exceptions that wait. */
	passes_with(full, VMCS_GUEST_PENDING_DEBUG, 0x580f);
	passes_with(full, VMCS_GUEST_PENDING_DEBUG, 0x11000);
	stepping();
	set(VMCS_GUEST_DEBUGCTL, BIT(1));
	set(VMCS_GUEST_PENDING_DEBUG, 0);
	assert_null(run());
}

/* The first one that fails is named, whatever follows. */
static void first_of_many(void **state __unused)
{
	full();
	for (unsigned i = 0; i < ARRAY_SIZE(mutations); i++)
		fields[mutations[i].field] = ~0ull;
	assert_non_null(strstr(run(), "pin-based controls"));
}

static void short_buffers(void **state __unused)
{
	char whole[256], text[257];
	size_t length;

	full();
	set(VMCS_GUEST_CR4, fields[VMCS_GUEST_CR4] & ~(uint64_t)CR4_VMXE);
	assert_ptr_equal(vmx_check(&reader, whole, sizeof(whole)), whole);
	assert_string_equal(whole, "guest CR4 is 0x820220: bits fixed in VMX operation "
				   "(IA32_VMX_CR4_FIXED0 and 1); wrong bits 0x2000 "
				   "(SDM vol. 3, 27.3.1.1)");
	/* Where the value is wrong as a whole, no bits are named. */
	set(VMCS_VPID, 0);
	assert_string_equal(run(), "VPID is 0: must not be 0 (SDM vol. 3, 27.2.1.1)");
	set(VMCS_VPID, 1);
	length = strlen(whole);
	for (size_t size = 1; size <= length + 1; size++) {
		memset(text, 'x', sizeof(text));
		assert_ptr_equal(vmx_check(&reader, text, size), text);
		assert_int_equal(strlen(text), size - 1);
		assert_memory_equal(text, whole, size - 1);
		assert_int_equal(text[size], 'x');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_check_fails_alone),
		cmocka_unit_test(sections_ascend),
		cmocka_unit_test(bare_cpu),
		cmocka_unit_test(optional_fields),
		cmocka_unit_test(real_mode),
		cmocka_unit_test(segments_that_pass),
		cmocka_unit_test(registers_that_pass),
		cmocka_unit_test(events_that_pass),
		cmocka_unit_test(first_of_many),
		cmocka_unit_test(short_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
