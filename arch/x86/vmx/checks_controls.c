/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks of a VM entry on the control fields (SDM vol. 3, 27.2.1). */
#include "socle/cpu/regs.h"
#include "checks.h"

/* A capability MSR's low half has the bits that must be 1, its high half those that may (A.3.1). */
static uint64_t wrong_controls(const struct vmx_view *v, uint64_t value, uint64_t set)
{
	uint64_t cap = v->r->caps->controls[set];

	return ((uint32_t)cap & ~value) | (value & ~(cap >> 32));
}

static uint64_t wrong_controls_64(const struct vmx_view *v, uint64_t value, uint64_t set)
{
	return value & ~v->r->caps->controls[set];
}

static uint64_t wrong_cr3_targets(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t most = v->r->caps->misc >> VMX_MISC_CR3_TARGETS_SHIFT & VMX_MISC_CR3_TARGETS;

	return value > most ? WRONG_VALUE : 0;
}

/* While no interrupts are delivered virtually, the threshold is a priority class. */
static uint64_t wrong_tpr_threshold(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return vmx_has(v, CTL_SECONDARY, SECONDARY_VIRTUAL_INTERRUPTS) ? 0 : value & ~0xfull;
}

static uint64_t wrong_vtpr(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	enum { VTPR = 0x80 };
	uint32_t tpr;

	if (v->control[CTL_SECONDARY] & (SECONDARY_APIC_ACCESSES | SECONDARY_VIRTUAL_INTERRUPTS))
		return 0;
	if (!v->r->read_memory ||
	    !v->r->read_memory(v->r->ctx, vmx_field(v, VMCS_VIRTUAL_APIC_ADDR) + VTPR, &tpr))
		return 0;
	return (value & 0xf) > (tpr >> 4 & 0xf) ? WRONG_VALUE : 0;
}

static uint64_t wrong_eptp_type(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t cap = v->r->caps->ept_vpid;
	unsigned type = value & EPTP_TYPE;

	return (type == EPTP_UC && cap & EPT_CAP_UC) || (type == EPTP_WB && cap & EPT_CAP_WB)
		       ? 0
		       : EPTP_TYPE;
}

static uint64_t wrong_eptp_walk(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t cap = v->r->caps->ept_vpid;
	unsigned levels = (value >> EPTP_WALK_SHIFT & 7) + 1;

	return (levels == 4 && cap & EPT_CAP_WALK_4) || (levels == 5 && cap & EPT_CAP_WALK_5)
		       ? 0
		       : EPTP_WALK;
}

static uint64_t wrong_eptp_flags(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t cap = v->r->caps->ept_vpid;

	return (cap & EPT_CAP_ACCESSED_DIRTY ? 0 : value & EPTP_ACCESSED_DIRTY) |
	       (cap & EPT_CAP_SUPERVISOR_SSS ? 0 : value & EPTP_SUPERVISOR_SSS);
}

static uint64_t wrong_eptp_reserved(const struct vmx_view *v, uint64_t value, uint64_t arg)
{
	return (value & MASK(11, 8)) | vmx_wrong_physical(v, value, arg);
}

enum { VMFUNC_EPTP_SWITCHING = BIT(0) };

static uint64_t wrong_eptp_list(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	if (!(vmx_field(v, VMCS_VM_FUNCTION_CONTROLS) & VMFUNC_EPTP_SWITCHING))
		return 0;
	return (value & MASK(11, 0)) | vmx_wrong_vmx_address(v, value, 0);
}

static uint64_t wrong_switching(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return vmx_has(v, CTL_SECONDARY, SECONDARY_EPT) ? 0 : value & VMFUNC_EPTP_SWITCHING;
}

static uint64_t wrong_while_tracing(const struct vmx_view *v, uint64_t value, uint64_t arg)
{
	return v->r->trace_enabled ? value & arg : 0;
}

static uint64_t wrong_pid_table_end(const struct vmx_view *v, uint64_t value, uint64_t arg)
{
	uint64_t last = value + 8 * vmx_field(v, VMCS_LAST_PID_POINTER_INDEX);

	return last < value || vmx_wrong_vmx_address(v, last, arg) ? WRONG_VALUE : 0;
}

/*
 * An area of MSRs: @arg is the field with their number. Its address is 16-byte aligned, and its
 * last byte lies within the width, too.
 */
static uint64_t wrong_msr_area(const struct vmx_view *v, uint64_t value, uint64_t count_field)
{
	return vmx_field(v, count_field) ? (value & 0xf) | vmx_wrong_vmx_address(v, value, 0) : 0;
}

static uint64_t wrong_msr_area_end(const struct vmx_view *v, uint64_t value, uint64_t count_field)
{
	uint64_t count = vmx_field(v, count_field);
	uint64_t last = value + count * sizeof(struct vmx_msr_entry) - 1;

	if (!count)
		return 0;
	return last < value || vmx_wrong_vmx_address(v, last, 0) ? WRONG_VALUE : 0;
}

/* What an entry injects. */
static unsigned type_of(uint64_t info)
{
	return (info & INTR_INFO_TYPE) >> INTR_INFO_TYPE_SHIFT;
}

static uint64_t wrong_type(const struct vmx_view *v, uint64_t info, uint64_t arg __unused)
{
	unsigned type = type_of(info);
	bool mtf = v->r->caps->controls[CTL_PRIMARY] >> 32 & PRIMARY_MTF;

	if (!(info & INTR_INFO_VALID))
		return 0;
	return type == 1 || (type == INTR_TYPE_OTHER && !mtf) ? INTR_INFO_TYPE : 0;
}

static uint64_t wrong_vector(const struct vmx_view *v __unused, uint64_t info,
			     uint64_t arg __unused)
{
	unsigned vector = info & INTR_INFO_VECTOR, type = type_of(info);

	if (!(info & INTR_INFO_VALID))
		return 0;
	return (type == INTR_TYPE_NMI && vector != 2) ||
			       (type == INTR_TYPE_HARD_EXCEPTION && vector > 31) ||
			       (type == INTR_TYPE_OTHER && vector != 0)
		       ? INTR_INFO_VECTOR
		       : 0;
}

/* Exceptions that push an error code where IA32_VMX_BASIC[56] does not leave it open. */
static uint64_t wrong_has_error(const struct vmx_view *v, uint64_t info, uint64_t arg __unused)
{
	static const uint32_t pushes = BIT(8) | MASK(14, 10) | BIT(17);
	bool pe = !vmx_has(v, CTL_SECONDARY, SECONDARY_UNRESTRICTED) ||
		  vmx_field(v, VMCS_GUEST_CR0) & CR0_PE;
	bool has = info & INTR_INFO_HAS_ERROR, may, must;

	if (!(info & INTR_INFO_VALID))
		return 0;
	may = must = pe && type_of(info) == INTR_TYPE_HARD_EXCEPTION;
	if (v->r->caps->basic & VMX_BASIC_ANY_EXCEPTION)
		must = false;
	else if (!(pushes >> (info & 31) & 1))
		may = must = false;
	return (has && !may) || (!has && must) ? INTR_INFO_HAS_ERROR : 0;
}

static uint64_t wrong_info_reserved(const struct vmx_view *v, uint64_t info, uint64_t arg __unused)
{
	uint64_t reserved = MASK(30, 12);

	if (v->r->caps->basic & VMX_BASIC_NESTED)
		reserved &= ~(uint64_t)INTR_INFO_NESTED;
	return info & INTR_INFO_VALID ? info & reserved : 0;
}

static uint64_t wrong_error_code(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t needs = INTR_INFO_VALID | INTR_INFO_HAS_ERROR;

	return (vmx_field(v, VMCS_ENTRY_INTR_INFO) & needs) == needs ? value & MASK(31, 16) : 0;
}

static uint64_t wrong_length(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t info = vmx_field(v, VMCS_ENTRY_INTR_INFO);
	unsigned type = type_of(info);

	if (!(info & INTR_INFO_VALID) || type < INTR_TYPE_SOFT_INTERRUPT || type == INTR_TYPE_OTHER)
		return 0;
	if (value == 0)
		return v->r->caps->misc & VMX_MISC_INJECT_LENGTH_0 ? 0 : WRONG_VALUE;
	return value > 15 ? WRONG_VALUE : 0;
}

#define WIDTH "must lie within the physical-address width"

/* An address with low bits that are 0, under a control. */
#define ADDRESS(field, what, set, bit, low)                                        \
	{                                                                          \
		"27.2.1.1", what, "the low bits must be 0", field,                 \
		set,	    bit,  vmx_wrong_unless_clear,   low},                  \
	{                                                                          \
		"27.2.1.1", what, WIDTH, field, set, bit, vmx_wrong_vmx_address, 0 \
	}
#define PAGE(field, what, set, bit) ADDRESS(field, what, set, bit, MASK(11, 0))

/* Bit @needed of one control must be 1 if bit @bit of another is. */
#define NEEDS(section, set, bit, field, what, needed, must)                        \
	{                                                                          \
		section, what, must, field, set, bit, vmx_wrong_unless_set, needed \
	}
#define NEEDS_EPT(set, bit, with)                                                                 \
	NEEDS("27.2.1.1", set, bit, VMCS_SECONDARY_CONTROLS, "secondary controls", SECONDARY_EPT, \
	      "\"enable EPT\" must be 1 with \"" with "\"")
#define NEEDS_TPR_SHADOW(set, bit, with)                                                           \
	NEEDS("27.2.1.1", set, bit, VMCS_PRIMARY_CONTROLS, "primary controls", PRIMARY_TPR_SHADOW, \
	      "\"use TPR shadow\" must be 1 with \"" with "\"")
#define MSR_AREA(section, field, what, count)                                             \
	{section,	 what, "must be 16-byte aligned, and " WIDTH, field, CTL_NONE, 0, \
	 wrong_msr_area, count},                                                          \
	{                                                                                 \
		section, what, "the end of the area " WIDTH, field, CTL_NONE, 0,          \
			wrong_msr_area_end, count                                         \
	}
#define INFO(must, wrong)                                                                    \
	{                                                                                    \
		"27.2.1.3", "VM-entry interruption information", must, VMCS_ENTRY_INTR_INFO, \
			CTL_NONE, 0, wrong, 0                                                \
	}

static const struct vmx_check control_checks[] = {
	/* VM-execution controls. */
	{"27.2.1.1", "pin-based controls", "reserved bits as IA32_VMX_PINBASED_CTLS has them",
	 VMCS_PIN_CONTROLS, CTL_NONE, 0, wrong_controls, CTL_PIN},
	{"27.2.1.1", "primary controls", "reserved bits as IA32_VMX_PROCBASED_CTLS has them",
	 VMCS_PRIMARY_CONTROLS, CTL_NONE, 0, wrong_controls, CTL_PRIMARY},
	{"27.2.1.1", "secondary controls", "reserved bits as IA32_VMX_PROCBASED_CTLS2 has them",
	 VMCS_SECONDARY_CONTROLS, CTL_PRIMARY, PRIMARY_SECONDARY, wrong_controls, CTL_SECONDARY},
	{"27.2.1.1", "tertiary controls", "reserved bits as IA32_VMX_PROCBASED_CTLS3 has them",
	 VMCS_TERTIARY_CONTROLS, CTL_PRIMARY, PRIMARY_TERTIARY, wrong_controls_64, CTL_TERTIARY},
	{"27.2.1.1", "CR3-target count", "must not be greater than IA32_VMX_MISC says",
	 VMCS_CR3_TARGET_COUNT, CTL_NONE, 0, wrong_cr3_targets, 0},
	PAGE(VMCS_IO_BITMAP_A, "address of I/O bitmap A", CTL_PRIMARY, PRIMARY_IO_BITMAPS),
	PAGE(VMCS_IO_BITMAP_B, "address of I/O bitmap B", CTL_PRIMARY, PRIMARY_IO_BITMAPS),
	PAGE(VMCS_MSR_BITMAP, "address of MSR bitmaps", CTL_PRIMARY, PRIMARY_MSR_BITMAPS),
	PAGE(VMCS_VIRTUAL_APIC_ADDR, "virtual-APIC address", CTL_PRIMARY, PRIMARY_TPR_SHADOW),
	{"27.2.1.1", "TPR threshold", "bits 31:4 must be 0 without virtual-interrupt delivery",
	 VMCS_TPR_THRESHOLD, CTL_PRIMARY, PRIMARY_TPR_SHADOW, wrong_tpr_threshold, 0},
	{"27.2.1.1", "TPR threshold", "must not be greater than bits 7:4 of VTPR",
	 VMCS_TPR_THRESHOLD, CTL_PRIMARY, PRIMARY_TPR_SHADOW, wrong_vtpr, 0},
	NEEDS("27.2.1.1", CTL_PIN, PIN_VIRTUAL_NMIS, VMCS_PIN_CONTROLS, "pin-based controls",
	      PIN_NMI, "\"NMI exiting\" must be 1 with \"virtual NMIs\""),
	NEEDS("27.2.1.1", CTL_PRIMARY, PRIMARY_NMI_WINDOW, VMCS_PIN_CONTROLS,
	      "pin-based controls", PIN_VIRTUAL_NMIS,
	      "\"virtual NMIs\" must be 1 with \"NMI-window exiting\""),
	PAGE(VMCS_APIC_ACCESS_ADDR, "APIC-access address", CTL_SECONDARY,
	     SECONDARY_APIC_ACCESSES),
	NEEDS_TPR_SHADOW(CTL_SECONDARY, SECONDARY_X2APIC, "virtualize x2APIC mode"),
	NEEDS_TPR_SHADOW(CTL_SECONDARY, SECONDARY_APIC_REGISTERS, "APIC-register virtualization"),
	NEEDS_TPR_SHADOW(CTL_SECONDARY, SECONDARY_VIRTUAL_INTERRUPTS,
			 "virtual-interrupt delivery"),
	NEEDS_TPR_SHADOW(CTL_TERTIARY, TERTIARY_IPI_VIRTUALIZATION, "IPI virtualization"),
	{"27.2.1.1", "secondary controls",
	 "\"virtualize APIC accesses\" must be 0 with \"virtualize x2APIC mode\"",
	 VMCS_SECONDARY_CONTROLS, CTL_SECONDARY, SECONDARY_X2APIC, vmx_wrong_unless_clear,
	 SECONDARY_APIC_ACCESSES},
	NEEDS("27.2.1.1", CTL_SECONDARY, SECONDARY_VIRTUAL_INTERRUPTS, VMCS_PIN_CONTROLS,
	      "pin-based controls", PIN_EXTERNAL_INTERRUPT,
	      "\"external-interrupt exiting\" must be 1 with \"virtual-interrupt delivery\""),
	NEEDS("27.2.1.1", CTL_PIN, PIN_POSTED_INTERRUPTS, VMCS_SECONDARY_CONTROLS,
	      "secondary controls", SECONDARY_VIRTUAL_INTERRUPTS,
	      "\"virtual-interrupt delivery\" must be 1 with \"process posted interrupts\""),
	NEEDS("27.2.1.1", CTL_PIN, PIN_POSTED_INTERRUPTS, VMCS_EXIT_CONTROLS,
	      "VM-exit controls", EXITCTL_ACK_INTERRUPT,
	      "\"acknowledge interrupt on exit\" must be 1 with \"process posted interrupts\""),
	{"27.2.1.1", "posted-interrupt notification vector", "bits 15:8 must be 0",
	 VMCS_POSTED_INTR_VECTOR, CTL_PIN, PIN_POSTED_INTERRUPTS, vmx_wrong_unless_clear,
	 MASK(15, 8)},
	ADDRESS(VMCS_POSTED_INTR_DESC_ADDR, "posted-interrupt descriptor address", CTL_PIN,
		PIN_POSTED_INTERRUPTS, MASK(5, 0)),
	{"27.2.1.1", "VPID", "must not be 0", VMCS_VPID, CTL_SECONDARY, SECONDARY_VPID,
	 vmx_wrong_if_zero, 0},
	{"27.2.1.1", "EPT pointer", "the memory type must be one of IA32_VMX_EPT_VPID_CAP",
	 VMCS_EPT_POINTER, CTL_SECONDARY, SECONDARY_EPT, wrong_eptp_type, 0},
	{"27.2.1.1", "EPT pointer", "the page-walk length must be one of IA32_VMX_EPT_VPID_CAP",
	 VMCS_EPT_POINTER, CTL_SECONDARY, SECONDARY_EPT, wrong_eptp_walk, 0},
	{"27.2.1.1", "EPT pointer", "bits 7:6 must be 0 if IA32_VMX_EPT_VPID_CAP lacks the feature",
	 VMCS_EPT_POINTER, CTL_SECONDARY, SECONDARY_EPT, wrong_eptp_flags, 0},
	{"27.2.1.1", "EPT pointer", "bits 11:8 and above the physical-address width must be 0",
	 VMCS_EPT_POINTER, CTL_SECONDARY, SECONDARY_EPT, wrong_eptp_reserved, 0},
	NEEDS_EPT(CTL_SECONDARY, SECONDARY_PML, "enable PML"),
	PAGE(VMCS_PML_ADDR, "PML address", CTL_SECONDARY, SECONDARY_PML),
	NEEDS_EPT(CTL_SECONDARY, SECONDARY_UNRESTRICTED, "unrestricted guest"),
	NEEDS_EPT(CTL_SECONDARY, SECONDARY_MODE_BASED_EXECUTE,
		  "mode-based execute control for EPT"),
	NEEDS_EPT(CTL_SECONDARY, SECONDARY_SUB_PAGE_WRITE, "sub-page write permissions for EPT"),
	PAGE(VMCS_SPP_TABLE_POINTER, "sub-page-permission-table pointer", CTL_SECONDARY,
	     SECONDARY_SUB_PAGE_WRITE),
	{"27.2.1.1", "VM-function controls", "reserved bits as IA32_VMX_VMFUNC has them",
	 VMCS_VM_FUNCTION_CONTROLS, CTL_SECONDARY, SECONDARY_VM_FUNCTIONS, vmx_wrong_mask,
	 offsetof(struct vmx_check_caps, vmfunc)},
	{"27.2.1.1", "VM-function controls", "\"EPTP switching\" must be 0 without \"enable EPT\"",
	 VMCS_VM_FUNCTION_CONTROLS, CTL_SECONDARY, SECONDARY_VM_FUNCTIONS, wrong_switching, 0},
	{"27.2.1.1", "EPTP-list address", "must be page-aligned, and " WIDTH,
	 VMCS_EPTP_LIST_ADDR, CTL_SECONDARY, SECONDARY_VM_FUNCTIONS, wrong_eptp_list, 0},
	PAGE(VMCS_VMREAD_BITMAP, "VMREAD-bitmap address", CTL_SECONDARY,
	     SECONDARY_VMCS_SHADOWING),
	PAGE(VMCS_VMWRITE_BITMAP, "VMWRITE-bitmap address", CTL_SECONDARY,
	     SECONDARY_VMCS_SHADOWING),
	PAGE(VMCS_VE_INFO_ADDR, "virtualization-exception information address", CTL_SECONDARY,
	     SECONDARY_EPT_VIOLATION_VE),
	{"27.2.1.1", "VM-entry controls", "\"load IA32_RTIT_CTL\" must be 0 while tracing is on",
	 VMCS_ENTRY_CONTROLS, CTL_NONE, 0, wrong_while_tracing, ENTRYCTL_LOAD_RTIT},
	NEEDS_EPT(CTL_SECONDARY, SECONDARY_PT_GUEST_PHYSICAL,
		  "Intel PT uses guest physical addresses"),
	NEEDS("27.2.1.1", CTL_SECONDARY, SECONDARY_PT_GUEST_PHYSICAL, VMCS_ENTRY_CONTROLS,
	      "VM-entry controls", ENTRYCTL_LOAD_RTIT,
	      "\"load IA32_RTIT_CTL\" must be 1 with \"Intel PT uses guest physical addresses\""),
	NEEDS("27.2.1.1", CTL_SECONDARY, SECONDARY_PT_GUEST_PHYSICAL, VMCS_EXIT_CONTROLS,
	      "VM-exit controls", EXITCTL_CLEAR_RTIT,
	      "\"clear IA32_RTIT_CTL\" must be 1 with \"Intel PT uses guest physical addresses\""),
	{"27.2.1.1", "TSC multiplier", "must not be 0", VMCS_TSC_MULTIPLIER, CTL_SECONDARY,
	 SECONDARY_TSC_SCALING, vmx_wrong_if_zero, 0},
	PAGE(VMCS_LOW_PASID_DIRECTORY, "low PASID directory address", CTL_SECONDARY,
	     SECONDARY_PASID_TRANSLATION),
	PAGE(VMCS_HIGH_PASID_DIRECTORY, "high PASID directory address", CTL_SECONDARY,
	     SECONDARY_PASID_TRANSLATION),
	NEEDS_EPT(CTL_TERTIARY, TERTIARY_HLAT, "enable HLAT"),
	NEEDS_EPT(CTL_TERTIARY, TERTIARY_EPT_PAGING_WRITE, "EPT paging-write control"),
	NEEDS_EPT(CTL_TERTIARY, TERTIARY_GUEST_PAGING_VERIFICATION, "guest-paging verification"),
	ADDRESS(VMCS_HLAT_POINTER, "HLAT pointer", CTL_TERTIARY, TERTIARY_HLAT,
		MASK(2, 0) | MASK(11, 5)),
	ADDRESS(VMCS_PID_POINTER_TABLE, "PID-pointer table address", CTL_TERTIARY,
		TERTIARY_IPI_VIRTUALIZATION, MASK(2, 0)),
	{"27.2.1.1", "PID-pointer table address", "the last entry " WIDTH, VMCS_PID_POINTER_TABLE,
	 CTL_TERTIARY, TERTIARY_IPI_VIRTUALIZATION, wrong_pid_table_end, 0},

	/* VM-exit controls. */
	{"27.2.1.2", "VM-exit controls", "reserved bits as IA32_VMX_EXIT_CTLS has them",
	 VMCS_EXIT_CONTROLS, CTL_NONE, 0, wrong_controls, CTL_EXIT},
	{"27.2.1.2", "secondary VM-exit controls", "reserved bits as IA32_VMX_EXIT_CTLS2 has them",
	 VMCS_EXIT_CONTROLS2, CTL_EXIT, EXITCTL_SECONDARY, wrong_controls_64, CTL_EXIT2},
	NEEDS("27.2.1.2", CTL_EXIT, EXITCTL_SAVE_TIMER, VMCS_PIN_CONTROLS, "pin-based controls",
	      PIN_PREEMPTION_TIMER,
	      "\"activate VMX-preemption timer\" must be 1 to save the timer's value"),
	MSR_AREA("27.2.1.2", VMCS_EXIT_MSR_STORE_ADDR, "VM-exit MSR-store address",
		 VMCS_EXIT_MSR_STORE_COUNT),
	MSR_AREA("27.2.1.2", VMCS_EXIT_MSR_LOAD_ADDR, "VM-exit MSR-load address",
		 VMCS_EXIT_MSR_LOAD_COUNT),

	/* VM-entry controls. */
	{"27.2.1.3", "VM-entry controls", "reserved bits as IA32_VMX_ENTRY_CTLS has them",
	 VMCS_ENTRY_CONTROLS, CTL_NONE, 0, wrong_controls, CTL_ENTRY},
	INFO("the type must not be reserved", wrong_type),
	INFO("the vector must fit the type", wrong_vector),
	INFO("an error code is delivered if and only if the exception has one", wrong_has_error),
	INFO("bits 30:12 are reserved", wrong_info_reserved),
	{"27.2.1.3", "VM-entry exception error code", "bits 31:16 must be 0",
	 VMCS_ENTRY_EXCEPTION_ERROR, CTL_NONE, 0, wrong_error_code, 0},
	{"27.2.1.3", "VM-entry instruction length", "must be from 1 to 15, or 0 where allowed",
	 VMCS_ENTRY_INSN_LEN, CTL_NONE, 0, wrong_length, 0},
	MSR_AREA("27.2.1.3", VMCS_ENTRY_MSR_LOAD_ADDR, "VM-entry MSR-load address",
		 VMCS_ENTRY_MSR_LOAD_COUNT),
	{"27.2.1.3", "VM-entry controls", "those of SMM must be 0 outside SMM",
	 VMCS_ENTRY_CONTROLS, CTL_NONE, 0, vmx_wrong_unless_clear,
	 ENTRYCTL_SMM | ENTRYCTL_END_DUAL_MONITOR},
};

const struct vmx_check_list vmx_control_checks = {control_checks, ARRAY_SIZE(control_checks)};
