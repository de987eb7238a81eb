/* SPDX-License-Identifier: BSD-2-Clause */
/* A VMCS in an array, for a CPU that has every control, and the states that tests start from. */
#ifndef SOCLE_TESTS_VMX_MOCK_H
#define SOCLE_TESTS_VMX_MOCK_H

#include "socle/cpu/regs.h"
#include "socle/guest/state.h"
#include "../../arch/x86/vmx/checks.h"

/* A CPU that can do everything, but for what some tests take away. */
#define WIDTH_BITS   46
#define BEYOND	     MASK(63, WIDTH_BITS)
#define NONCANONICAL MASK(63, 47) /* flipping one of these in a low address spoils it */

#define PIN_MUST      0x16ull
#define PRIMARY_MUST  0x04006172ull
#define EXIT_MUST     0x00036dfbull
#define ENTRY_MUST    0x000011fbull
#define PIN_MAY	      (PIN_MUST | 0xe9)
#define PRIMARY_MAY   (PRIMARY_MUST | 0xfbfb9e8c)
#define EXIT_MAY      (EXIT_MUST | 0xfffc9204)
#define ENTRY_MAY     (ENTRY_MUST | 0x00ffee04)
#define SECONDARY_MAY 0xdfffffffull
#define TERTIARY_MAY  0xdfull
#define EXIT2_MAY     0xbull

#define CR4_ALLOWED                                                                           \
	(0x7ffull | CR4_UMIP | CR4_VMXE | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | \
	 CR4_SMAP | CR4_PKE | CR4_CET | CR4_PKS)

static struct vmx_check_caps caps;
static struct vmx_reader reader;
static uint64_t fields[0x7000];
static bool exists[0x7000];
static uint32_t memory[0x10000 / 4];

enum {
	CURRENT = 0x6000, LINKED = 0x7000, OTHER_REVISION = 0x8000, NO_SHADOW = 0x9000,
	VTPR_PAGE = 0x5000, PDPT_GOOD = 0xa000, PDPT_BAD = 0xb020, REVISION = 0x1234,
};

static uint64_t read_field(void *ctx __unused, enum vmcs_field field)
{
	assert_in_range(field, 0, ARRAY_SIZE(fields) - 1);
	if (!exists[field])
		fail_msg("field %#x is read, which this CPU does not have", field);
	return fields[field];
}

static bool read_memory(void *ctx __unused, uint64_t pa, uint32_t *value)
{
	assert_in_range(pa, 0, sizeof(memory) - 4);
	*value = memory[pa / 4];
	return true;
}

static void set(enum vmcs_field field, uint64_t value)
{
	exists[field] = true;
	fields[field] = value;
}

static void off(enum vmcs_field field, uint64_t bits)
{
	fields[field] &= ~bits;
}

static void on(enum vmcs_field field, uint64_t bits)
{
	fields[field] |= bits;
}

static void segment(enum x86_seg seg, uint16_t selector, uint64_t base, uint32_t limit, uint32_t ar)
{
	set(VMCS_GUEST_ES_SELECTOR + 2 * seg, selector);
	set(VMCS_GUEST_ES_BASE + 2 * seg, base);
	set(VMCS_GUEST_ES_LIMIT + 2 * seg, limit);
	set(VMCS_GUEST_ES_ACCESS + 2 * seg, ar);
}

static void data_segments(uint16_t selector, uint64_t base, uint32_t limit, uint32_t ar)
{
	static const enum x86_seg segs[] = {SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS};

	for (unsigned i = 0; i < ARRAY_SIZE(segs); i++)
		segment(segs[i], selector, base, limit, ar);
}

/* The fields that each CPU with VMX has, for a 64-bit guest without any extension. */
static void bare(void)
{
	memset(fields, 0, sizeof(fields));
	memset(exists, 0, sizeof(exists));
	memset(memory, 0, sizeof(memory));
	caps = (struct vmx_check_caps){
		.basic = REVISION | VMX_BASIC_TRUE_CTLS,
		.misc = 4ull << VMX_MISC_CR3_TARGETS_SHIFT,
		.cr0_fixed0 = CR0_PE | CR0_NE | CR0_PG,
		.cr0_fixed1 = 0xffffffff,
		.cr4_fixed0 = CR4_VMXE,
		.cr4_fixed1 = CR4_ALLOWED,
		.controls =
			{
				[CTL_PIN] = PIN_MUST | (PIN_MUST | PIN_EXTERNAL_INTERRUPT) << 32,
				[CTL_PRIMARY] = PRIMARY_MUST | (PRIMARY_MUST | PRIMARY_HLT) << 32,
				[CTL_EXIT] = EXIT_MUST | (EXIT_MUST | EXITCTL_HOST_64) << 32,
				[CTL_ENTRY] = ENTRY_MUST | (ENTRY_MUST | ENTRYCTL_IA32E) << 32,
			},
		.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
		.debugctl = 0xffc7,
		.perf_global = 0x7000000ff,
		.rtit = 0x3fff,
		.lbr_ctl = 0x7f000f,
		.physical_bits = WIDTH_BITS,
		.linear_bits = 48,
	};
	reader = (struct vmx_reader){
		.read = read_field,
		.read_memory = read_memory,
		.caps = &caps,
		.current = CURRENT,
	};
	set(VMCS_PIN_CONTROLS, PIN_MUST | PIN_EXTERNAL_INTERRUPT);
	set(VMCS_PRIMARY_CONTROLS, PRIMARY_MUST | PRIMARY_HLT);
	set(VMCS_EXIT_CONTROLS, EXIT_MUST | EXITCTL_HOST_64);
	set(VMCS_ENTRY_CONTROLS, ENTRY_MUST | ENTRYCTL_IA32E);
	set(VMCS_CR3_TARGET_COUNT, 0);
	set(VMCS_EXIT_MSR_STORE_COUNT, 0);
	set(VMCS_EXIT_MSR_STORE_ADDR, 0);
	set(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	set(VMCS_EXIT_MSR_LOAD_ADDR, 0);
	set(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	set(VMCS_ENTRY_MSR_LOAD_ADDR, 0);
	set(VMCS_ENTRY_INTR_INFO, 0);
	set(VMCS_ENTRY_EXCEPTION_ERROR, 0);
	set(VMCS_ENTRY_INSN_LEN, 0);

	set(VMCS_HOST_CR0, 0x80050033);
	set(VMCS_HOST_CR3, 0x1000);
	set(VMCS_HOST_CR4, CR4_PAE | CR4_VMXE);
	for (unsigned i = VMCS_HOST_ES_SELECTOR; i <= VMCS_HOST_TR_SELECTOR; i += 2)
		set(i, 0x10);
	for (unsigned i = VMCS_HOST_FS_BASE; i <= VMCS_HOST_RIP; i += 2)
		set(i, 0x2000);
	set(VMCS_HOST_SYSENTER_CS, 0);

	set(VMCS_GUEST_CR0, 0x80050033);
	set(VMCS_GUEST_CR3, PDPT_GOOD);
	set(VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE | CR4_OSFXSR);
	set(VMCS_GUEST_DEBUGCTL, 0);
	set(VMCS_GUEST_SYSENTER_ESP, 0x3000);
	set(VMCS_GUEST_SYSENTER_EIP, 0x3000);
	segment(SEG_CS, 0x10, 0, 0xffffffff, 0xa09b);
	data_segments(0x18, 0, 0xffffffff, 0xc093);
	segment(SEG_LDTR, 0x30, 0x4000, 0xffff, 0x82);
	segment(SEG_TR, 0x28, 0x4000, 0x67, 0x8b);
	set(VMCS_GUEST_GDTR_BASE, 0x4000);
	set(VMCS_GUEST_IDTR_BASE, 0x4000);
	set(VMCS_GUEST_GDTR_LIMIT, 0xffff);
	set(VMCS_GUEST_IDTR_LIMIT, 0xfff);
	set(VMCS_GUEST_RIP, 0x400000);
	set(VMCS_GUEST_RSP, 0x500000);
	set(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	set(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	set(VMCS_GUEST_INTERRUPTIBILITY, 0);
	set(VMCS_GUEST_PENDING_DEBUG, 0);
	set(VMCS_LINK_POINTER, ~0ull);

	memory[CURRENT / 4] = REVISION | 1u << 31;
	memory[LINKED / 4] = REVISION | 1u << 31;
	memory[OTHER_REVISION / 4] = (REVISION + 1) | 1u << 31;
	memory[NO_SHADOW / 4] = REVISION;
	memory[(VTPR_PAGE + 0x80) / 4] = 0x50;
	memory[PDPT_GOOD / 4] = 0x1001;
	memory[PDPT_GOOD / 4 + 2] = 0x1e6; /* not present, so anything goes */
	memory[PDPT_BAD / 4 + 6] = 0x1001;
	memory[PDPT_BAD / 4 + 7] = 0x4000; /* bit 46 of the last one */
}

/* Every control that goes with the others, unrestricted guest and EPT among them. */
static void full(void)
{
	static const uint32_t pages[] = {
		VMCS_IO_BITMAP_A, VMCS_IO_BITMAP_B, VMCS_MSR_BITMAP, VMCS_EXIT_MSR_STORE_ADDR,
		VMCS_EXIT_MSR_LOAD_ADDR, VMCS_ENTRY_MSR_LOAD_ADDR, VMCS_PML_ADDR,
		VMCS_APIC_ACCESS_ADDR, VMCS_POSTED_INTR_DESC_ADDR, VMCS_EPTP_LIST_ADDR,
		VMCS_VMREAD_BITMAP, VMCS_VMWRITE_BITMAP, VMCS_VE_INFO_ADDR,
		VMCS_SPP_TABLE_POINTER, VMCS_LOW_PASID_DIRECTORY, VMCS_HIGH_PASID_DIRECTORY,
		VMCS_HLAT_POINTER, VMCS_PID_POINTER_TABLE,
	};

	bare();
	caps.misc |=
		VMX_MISC_ACTIVITY_HLT | VMX_MISC_ACTIVITY_SHUTDOWN | VMX_MISC_ACTIVITY_WAIT_SIPI;
	caps.ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_UC | EPT_CAP_WB | EPT_CAP_ACCESSED_DIRTY |
			EPT_CAP_SUPERVISOR_SSS;
	caps.vmfunc = 1;
	caps.rtm = caps.sgx = caps.bus_lock = true;
	caps.controls[CTL_PIN] = PIN_MUST | PIN_MAY << 32;
	caps.controls[CTL_PRIMARY] = PRIMARY_MUST | PRIMARY_MAY << 32;
	caps.controls[CTL_SECONDARY] = SECONDARY_MAY << 32;
	caps.controls[CTL_TERTIARY] = TERTIARY_MAY;
	caps.controls[CTL_EXIT] = EXIT_MUST | EXIT_MAY << 32;
	caps.controls[CTL_EXIT2] = EXIT2_MAY;
	caps.controls[CTL_ENTRY] = ENTRY_MUST | ENTRY_MAY << 32;
	set(VMCS_PIN_CONTROLS, PIN_MAY);
	set(VMCS_PRIMARY_CONTROLS, PRIMARY_MAY);
	set(VMCS_SECONDARY_CONTROLS, SECONDARY_MAY & ~(uint64_t)SECONDARY_APIC_ACCESSES);
	set(VMCS_TERTIARY_CONTROLS, TERTIARY_MAY);
	set(VMCS_EXIT_CONTROLS, EXIT_MAY);
	set(VMCS_EXIT_CONTROLS2, EXIT2_MAY);
	set(VMCS_ENTRY_CONTROLS, ENTRY_MAY & ~(uint64_t)(ENTRYCTL_SMM | ENTRYCTL_END_DUAL_MONITOR));
	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		set(pages[i], 0x3000);
	set(VMCS_VIRTUAL_APIC_ADDR, VTPR_PAGE);
	set(VMCS_TPR_THRESHOLD, 3);
	set(VMCS_CR3_TARGET_COUNT, 4);
	set(VMCS_EXIT_MSR_STORE_COUNT, 4);
	set(VMCS_EXIT_MSR_LOAD_COUNT, 4);
	set(VMCS_ENTRY_MSR_LOAD_COUNT, 4);
	set(VMCS_POSTED_INTR_VECTOR, 0xf2);
	set(VMCS_VPID, 1);
	set(VMCS_EPT_POINTER, 0x3000 | EPTP_WB | EPTP_WALK_4 | EPTP_ACCESSED_DIRTY);
	set(VMCS_VM_FUNCTION_CONTROLS, 1);
	set(VMCS_TSC_MULTIPLIER, BIT(48));
	set(VMCS_LAST_PID_POINTER_INDEX, 1);

	set(VMCS_HOST_S_CET, 0x3005);
	set(VMCS_HOST_SSP, 0x3000);
	set(VMCS_HOST_ISST, 0x3000);
	set(VMCS_HOST_PERF_GLOBAL_CTRL, 0x7000000ff);
	set(VMCS_HOST_PAT, 0x0007040600070406);
	set(VMCS_HOST_EFER, EFER_LMA | EFER_LME | EFER_NXE | EFER_SCE);
	set(VMCS_HOST_PKRS, 0xffffffff);
	on(VMCS_HOST_CR4, CR4_CET);

	set(VMCS_GUEST_DR7, 0x400);
	set(VMCS_GUEST_S_CET, 0x3805);
	set(VMCS_GUEST_SSP, 0x3000);
	set(VMCS_GUEST_ISST, 0x3000);
	set(VMCS_GUEST_PERF_GLOBAL_CTRL, 0xff);
	set(VMCS_GUEST_PAT, 0x0007040600010506);
	set(VMCS_GUEST_EFER, EFER_LMA | EFER_LME | EFER_NXE | EFER_SCE);
	set(VMCS_GUEST_BNDCFGS, 0x3003);
	set(VMCS_GUEST_RTIT_CTL, 0x2000);
	set(VMCS_GUEST_LBR_CTL, 0x7f000f);
	set(VMCS_GUEST_PKRS, 0x55);
	set(VMCS_GUEST_UINV, 0xec);
	for (unsigned i = VMCS_GUEST_PDPTE0; i <= VMCS_GUEST_PDPTE3; i += 2)
		set(i, 0x3001);
	on(VMCS_GUEST_CR4, CR4_CET | CR4_PCIDE);
}

/* Variations of the controls. */
static void nmi_window(void)
{
	full();
	on(VMCS_PRIMARY_CONTROLS, PRIMARY_NMI_WINDOW);
}

/* Of what needs the TPR shadow, only @secondary and @tertiary. */
static void shadow_for(uint64_t secondary, uint64_t tertiary)
{
	full();
	off(VMCS_PIN_CONTROLS, PIN_POSTED_INTERRUPTS);
	off(VMCS_SECONDARY_CONTROLS,
	    (SECONDARY_X2APIC | SECONDARY_APIC_REGISTERS | SECONDARY_VIRTUAL_INTERRUPTS) &
		    ~secondary);
	off(VMCS_TERTIARY_CONTROLS, TERTIARY_IPI_VIRTUALIZATION & ~tertiary);
}

static void shadow(void)
{
	shadow_for(0, 0);
}

static void shadow_x2apic(void)
{
	shadow_for(SECONDARY_X2APIC, 0);
}

static void shadow_registers(void)
{
	shadow_for(SECONDARY_APIC_REGISTERS, 0);
}

static void shadow_interrupts(void)
{
	shadow_for(SECONDARY_VIRTUAL_INTERRUPTS, 0);
}

static void shadow_ipi(void)
{
	shadow_for(0, TERTIARY_IPI_VIRTUALIZATION);
}

static void flat_apic(void)
{
	shadow();
	on(VMCS_SECONDARY_CONTROLS, SECONDARY_APIC_ACCESSES);
}

/* Of what needs EPT, only @secondary and @tertiary. */
static void ept_for(uint64_t secondary, uint64_t tertiary)
{
	full();
	off(VMCS_SECONDARY_CONTROLS,
	    (SECONDARY_PML | SECONDARY_UNRESTRICTED | SECONDARY_MODE_BASED_EXECUTE |
	     SECONDARY_SUB_PAGE_WRITE | SECONDARY_VM_FUNCTIONS | SECONDARY_PT_GUEST_PHYSICAL) &
		    ~secondary);
	off(VMCS_TERTIARY_CONTROLS,
	    (TERTIARY_HLAT | TERTIARY_EPT_PAGING_WRITE | TERTIARY_GUEST_PAGING_VERIFICATION) &
		    ~tertiary);
}

#define EPT_FOR(name, secondary, tertiary)    \
	static void name(void)                \
	{                                     \
		ept_for(secondary, tertiary); \
	}
EPT_FOR(ept_pml, SECONDARY_PML, 0)
EPT_FOR(ept_unrestricted, SECONDARY_UNRESTRICTED, 0)
EPT_FOR(ept_mode_based, SECONDARY_MODE_BASED_EXECUTE, 0)
EPT_FOR(ept_sub_page, SECONDARY_SUB_PAGE_WRITE, 0)
EPT_FOR(ept_functions, SECONDARY_VM_FUNCTIONS, 0)
EPT_FOR(ept_trace, SECONDARY_PT_GUEST_PHYSICAL, 0)
EPT_FOR(ept_hlat, 0, TERTIARY_HLAT)
EPT_FOR(ept_paging_write, 0, TERTIARY_EPT_PAGING_WRITE)
EPT_FOR(ept_verification, 0, TERTIARY_GUEST_PAGING_VERIFICATION)
EPT_FOR(restricted, 0, 0)

static void no_ept(void)
{
	restricted();
	off(VMCS_SECONDARY_CONTROLS, SECONDARY_EPT);
}

static void ept_without_uc(void)
{
	full();
	caps.ept_vpid &= ~(uint64_t)EPT_CAP_UC;
}

static void ept_without_wb(void)
{
	full();
	caps.ept_vpid &= ~(uint64_t)EPT_CAP_WB;
	off(VMCS_EPT_POINTER, EPTP_TYPE);
}

static void ept_of_five(void)
{
	full();
	caps.ept_vpid ^= EPT_CAP_WALK_4 | EPT_CAP_WALK_5;
	set(VMCS_EPT_POINTER, 0x3000 | EPTP_WB | 4 << EPTP_WALK_SHIFT);
}

static void ept_without_flags(void)
{
	full();
	caps.ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_WB;
	off(VMCS_EPT_POINTER, EPTP_ACCESSED_DIRTY);
}

static void tracing(void)
{
	full();
	reader.trace_enabled = true;
	off(VMCS_SECONDARY_CONTROLS, SECONDARY_PT_GUEST_PHYSICAL);
	off(VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_RTIT);
}

static void low_addresses(void)
{
	full();
	caps.basic |= VMX_BASIC_ADDRESS_32;
}

static void no_mtf(void)
{
	full();
	caps.controls[CTL_PRIMARY] &= ~((uint64_t)PRIMARY_MTF << 32);
	off(VMCS_PRIMARY_CONTROLS, PRIMARY_MTF);
}

/* Variations of the host. */
static void host_efer_kept(void)
{
	full();
	off(VMCS_EXIT_CONTROLS, EXITCTL_LOAD_EFER);
}

static void host_null_ss(void)
{
	host_efer_kept();
	set(VMCS_HOST_SS_SELECTOR, 0);
}

/* Variations of the guest's mode. */
static void legacy(void)
{
	full();
	off(VMCS_ENTRY_CONTROLS, ENTRYCTL_IA32E);
	off(VMCS_GUEST_EFER, EFER_LMA | EFER_LME);
	off(VMCS_GUEST_CR4, CR4_PCIDE | CR4_PAE);
	set(VMCS_GUEST_CS_ACCESS, 0xc09b);
}

static void compatibility(void)
{
	full();
	set(VMCS_GUEST_CS_ACCESS, 0xc09b);
}

static void pae(void)
{
	legacy();
	on(VMCS_GUEST_CR4, CR4_PAE);
	set(VMCS_GUEST_TR_ACCESS, 0x83);
}

static void pae_no_ept(void)
{
	no_ept();
	off(VMCS_ENTRY_CONTROLS, ENTRYCTL_IA32E);
	off(VMCS_GUEST_EFER, EFER_LMA | EFER_LME);
	off(VMCS_GUEST_CR4, CR4_PCIDE);
	set(VMCS_GUEST_CS_ACCESS, 0xc09b);
}

/* As at power-on: big limits are fine, and so are bases that are not 16 times the selector. */
static void real(void)
{
	legacy();
	off(VMCS_GUEST_CR0, CR0_PE | CR0_PG);
	segment(SEG_CS, 0xf000, 0xffff0000, 0xffff, 0x93);
	data_segments(0x0003, 0x12345, 0xffffffff, 0x8093);
	segment(SEG_LDTR, 0, 0, 0xffff, 0x10082);
	set(VMCS_GUEST_RIP, 0xfff0);
	off(VMCS_GUEST_RFLAGS, RFLAGS_IF);
}

static void real_conforming(void)
{
	real();
	set(VMCS_GUEST_CS_ACCESS, 0x9f);
}

/* Between setting PE and the far jump. */
static void real_segments(void)
{
	real();
	on(VMCS_GUEST_CR0, CR0_PE);
}

static void v8086(void)
{
	legacy();
	on(VMCS_GUEST_RFLAGS, RFLAGS_VM);
	segment(SEG_CS, 0xf000, 0xf0000, 0xffff, 0xf3);
	data_segments(0x1234, 0x12340, 0xffff, 0xf3);
}

static void v8086_flat(void)
{
	v8086();
	off(VMCS_GUEST_CR0, CR0_PG);
}

static void v8086_efer_kept(void)
{
	v8086();
	off(VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_EFER);
	on(VMCS_GUEST_CR4, CR4_PAE);
}

static void restricted_conforming(void)
{
	restricted();
	set(VMCS_GUEST_CS_ACCESS, 0xa09f);
}

static void restricted_code(void)
{
	restricted();
	set(VMCS_GUEST_DS_ACCESS, 0xc09b);
}

static void user(void)
{
	full();
	segment(SEG_CS, 0x13, 0, 0xffffffff, 0xa0fb);
	data_segments(0x1b, 0, 0xffffffff, 0xc0f3);
}

/* Variations of events. */
static void inject(uint64_t type, uint64_t rest)
{
	full();
	set(VMCS_ENTRY_INTR_INFO, INTR_INFO_VALID | type << INTR_INFO_TYPE_SHIFT | rest);
}

static void inject_external(void)
{
	inject(INTR_TYPE_EXTERNAL, 0x30);
}

static void inject_nmi(void)
{
	inject(INTR_TYPE_NMI, 2);
}

static void inject_gp(void)
{
	inject(INTR_TYPE_HARD_EXCEPTION, INTR_INFO_HAS_ERROR | VEC_GP);
}

static void inject_db(void)
{
	inject(INTR_TYPE_HARD_EXCEPTION, VEC_DB);
}

static void inject_soft(void)
{
	inject(INTR_TYPE_SOFT_INTERRUPT, 0x80);
	set(VMCS_ENTRY_INSN_LEN, 2);
}

static void inject_int1(void)
{
	inject(INTR_TYPE_PRIV_SOFT_EXCEPTION, VEC_DB);
	set(VMCS_ENTRY_INSN_LEN, 1);
}

static void inject_int3(void)
{
	inject(INTR_TYPE_SOFT_EXCEPTION, VEC_BP);
	set(VMCS_ENTRY_INSN_LEN, 15);
}

/* Variations of activity and blocking. */
static void active_only(void)
{
	full();
	caps.misc &= ~(uint64_t)(VMX_MISC_ACTIVITY_HLT | VMX_MISC_ACTIVITY_SHUTDOWN |
				 VMX_MISC_ACTIVITY_WAIT_SIPI);
}

static void halted(void)
{
	full();
	set(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
}

static void after_sti(void)
{
	full();
	set(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_STI);
}

static void after_mov_ss(void)
{
	full();
	set(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_MOV_SS);
}

static void stepping(void)
{
	after_sti();
	on(VMCS_GUEST_RFLAGS, RFLAGS_TF);
	set(VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS);
}

static void no_if(void)
{
	full();
	off(VMCS_GUEST_RFLAGS, RFLAGS_IF);
}

static void no_features(void)
{
	full();
	caps.rtm = caps.sgx = caps.bus_lock = false;
}

static void linked(void)
{
	full();
	set(VMCS_LINK_POINTER, LINKED);
}

static void linked_plain(void)
{
	full();
	off(VMCS_SECONDARY_CONTROLS, SECONDARY_VMCS_SHADOWING);
	set(VMCS_LINK_POINTER, NO_SHADOW);
}

#endif
