/* SPDX-License-Identifier: BSD-2-Clause */
/* VMX's controls, chosen from capability MSRs of CPUs that lack one thing or another. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "vmx_cpu_mock.h"
#include "../../lib/format.c"
#include "../../arch/x86/vmx/controls.c"
#include "../../arch/x86/vmx/cet.c"

/* Those for counters come with none of the others: test_vmx_pmu.c has them. */
uint32_t vmx_pmu_exit_controls(uint64_t entry __unused, uint64_t exit __unused)
{
	return 0;
}

struct cpu_info cpu_info;

enum apicv vendor_apicv;

/* Not used here: the VMCS has a test of its own. */
void vmx_make_current(struct vmx_vcpu *s __unused)
{
}

static char why[160];
static uint64_t offered_primary, offered_secondary; /* what vmx_apicv_offered() was asked */
static bool apicv;				    /* its answer */

bool vmx_apicv_offered(uint64_t primary, uint64_t secondary)
{
	offered_primary = primary;
	offered_secondary = secondary;
	return apicv;
}

/* The bits that must be 1 without and with the TRUE MSRs (SDM vol. 3, appendix A.2 to A.5). */
enum {
	PIN_DEFAULT = 0x16, PRIMARY_DEFAULT = 0x0401e172, PRIMARY_TRUE_DEFAULT = 0x04006172,
	EXIT_DEFAULT = 0x00036dff, EXIT_TRUE_DEFAULT = 0x00036dfb, ENTRY_DEFAULT = 0x000011ff,
	ENTRY_TRUE_DEFAULT = 0x000011fb,
};

#define ALL (UINT64_MAX << 32)

/* A CPU that has everything. */
static int setup(void **state __unused)
{
	cpu_new();
	memset(&vmx_caps, 0, sizeof(vmx_caps));
	memset(why, 0, sizeof(why));
	apicv = false;
	*cpu_msr(MSR_VMX_BASIC) = VMX_BASIC_TRUE_CTLS | 0x1234;
	*cpu_msr(MSR_VMX_MISC) = 0x60;
	*cpu_msr(MSR_VMX_CR0_FIXED0) = 0x80000021;
	*cpu_msr(MSR_VMX_CR0_FIXED1) = 0xffffffff;
	*cpu_msr(MSR_VMX_CR4_FIXED0) = 0x2000;
	*cpu_msr(MSR_VMX_CR4_FIXED1) = 0x3727ff;
	*cpu_msr(MSR_VMX_TRUE_PIN_CTLS) = ALL | PIN_DEFAULT;
	*cpu_msr(MSR_VMX_TRUE_PRIMARY_CTLS) = ALL | PRIMARY_TRUE_DEFAULT;
	*cpu_msr(MSR_VMX_SECONDARY_CTLS) = ALL;
	*cpu_msr(MSR_VMX_TRUE_EXIT_CTLS) = ALL | EXIT_TRUE_DEFAULT;
	*cpu_msr(MSR_VMX_TRUE_ENTRY_CTLS) = ALL | ENTRY_TRUE_DEFAULT;
	*cpu_msr(MSR_VMX_EPT_VPID_CAP) = UINT64_MAX;
	return 0;
}

static bool probe(void)
{
	return vmx_probe_controls(why, sizeof(why));
}

static void everything_offered(void **state __unused)
{
	assert_true(probe());
	assert_int_equal(vmx_caps.basic, VMX_BASIC_TRUE_CTLS | 0x1234);
	assert_int_equal(vmx_caps.misc, 0x60);
	assert_int_equal(vmx_caps.cr0_fixed0, 0x80000021);
	assert_int_equal(vmx_caps.cr0_fixed1, 0xffffffff);
	assert_int_equal(vmx_caps.cr4_fixed0, 0x2000);
	assert_int_equal(vmx_caps.cr4_fixed1, 0x3727ff);
	assert_int_equal(vmx_caps.ept_vpid, UINT64_MAX);
	/* What the CPU has besides stays off: by number, as the manual has them. */
	assert_int_equal(vmx_caps.pin, PIN_DEFAULT | 0x69);
	assert_int_equal(vmx_caps.primary, PRIMARY_TRUE_DEFAULT | 0xb2180c88);
	assert_int_equal(vmx_caps.secondary, 0x10119cea);
	assert_int_equal(vmx_caps.exit, EXIT_TRUE_DEFAULT | 0x00380204);
	assert_int_equal(vmx_caps.entry, ENTRY_TRUE_DEFAULT | 0x0000c004);
	assert_false(vmx_caps.apicv);
}

/* Without bit 55 of IA32_VMX_BASIC the TRUE MSRs do not exist: a read of one fails here. */
static void plain_registers(void **state __unused)
{
	cpu_new();
	*cpu_msr(MSR_VMX_BASIC) = 0x1234;
	*cpu_msr(MSR_VMX_MISC) = *cpu_msr(MSR_VMX_CR0_FIXED0) = *cpu_msr(MSR_VMX_CR4_FIXED0) = 0;
	*cpu_msr(MSR_VMX_CR0_FIXED1) = *cpu_msr(MSR_VMX_CR4_FIXED1) = UINT32_MAX;
	*cpu_msr(MSR_VMX_PIN_CTLS) = ALL | PIN_DEFAULT;
	*cpu_msr(MSR_VMX_PRIMARY_CTLS) = ALL | PRIMARY_DEFAULT;
	*cpu_msr(MSR_VMX_SECONDARY_CTLS) = ALL;
	*cpu_msr(MSR_VMX_EXIT_CTLS) = ALL | EXIT_DEFAULT;
	*cpu_msr(MSR_VMX_ENTRY_CTLS) = ALL | ENTRY_DEFAULT;
	*cpu_msr(MSR_VMX_EPT_VPID_CAP) = UINT64_MAX;
	assert_true(probe());
	assert_int_equal(vmx_caps.primary & PRIMARY_DEFAULT, PRIMARY_DEFAULT);
	assert_int_equal(vmx_caps.exit & EXIT_DEFAULT, EXIT_DEFAULT);
	assert_int_equal(vmx_caps.entry & ENTRY_DEFAULT, ENTRY_DEFAULT);
	assert_true(vmx_caps.primary & PRIMARY_CR3_LOAD);
}

/* Whatever a CPU says must be 1 is, also a bit without a meaning. */
static void forced_bits(void **state __unused)
{
	static const struct {
		uint32_t msr;
		uint32_t *chosen;
	} each[] = {
		{MSR_VMX_TRUE_PIN_CTLS, &vmx_caps.pin},
		{MSR_VMX_TRUE_PRIMARY_CTLS, &vmx_caps.primary},
		{MSR_VMX_SECONDARY_CTLS, &vmx_caps.secondary},
		{MSR_VMX_TRUE_EXIT_CTLS, &vmx_caps.exit},
		{MSR_VMX_TRUE_ENTRY_CTLS, &vmx_caps.entry},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(each); i++) {
		for (unsigned bit = 0; bit < 32; bit++) {
			setup(NULL);
			*cpu_msr(each[i].msr) |= BIT(bit);
			assert_true(probe());
			assert_true(*each[i].chosen & BIT(bit));
		}
	}
}

/* Takes @bit out of what the CPU allows in @msr. */
static void take_away(uint32_t msr, uint64_t bit)
{
	*cpu_msr(msr) &= ~(bit << 32 | bit);
}

static void what_we_need(void **state __unused)
{
	static const struct {
		uint32_t msr;
		uint64_t bit;
		const char *name;
	} needs[] = {
		{MSR_VMX_TRUE_PIN_CTLS, BIT(0), "external-interrupt exiting"},
		{MSR_VMX_TRUE_PIN_CTLS, BIT(3), "NMI exiting"},
		{MSR_VMX_TRUE_PIN_CTLS, BIT(5), "virtual NMIs"},
		{MSR_VMX_TRUE_PRIMARY_CTLS, BIT(3), "TSC offsetting"},
		{MSR_VMX_TRUE_PRIMARY_CTLS, BIT(7), "HLT exiting"},
		{MSR_VMX_TRUE_PRIMARY_CTLS, BIT(10), "MWAIT exiting"},
		{MSR_VMX_TRUE_PRIMARY_CTLS, BIT(11), "RDPMC exiting"},
		{MSR_VMX_TRUE_PRIMARY_CTLS, BIT(19), "CR8-load exiting"},
		{MSR_VMX_TRUE_PRIMARY_CTLS, BIT(20), "CR8-store exiting"},
		{MSR_VMX_TRUE_PRIMARY_CTLS, BIT(25), "I/O bitmaps"},
		{MSR_VMX_TRUE_PRIMARY_CTLS, BIT(28), "MSR bitmaps"},
		{MSR_VMX_TRUE_PRIMARY_CTLS, BIT(29), "MONITOR exiting"},
		{MSR_VMX_TRUE_PRIMARY_CTLS, BIT(31), "secondary controls"},
		{MSR_VMX_SECONDARY_CTLS, BIT(1), "extended page tables (EPT)"},
		{MSR_VMX_SECONDARY_CTLS, BIT(5), "virtual-processor identifiers (VPID)"},
		{MSR_VMX_SECONDARY_CTLS, BIT(7), "unrestricted guests"},
		{MSR_VMX_TRUE_EXIT_CTLS, BIT(2), "saving debug controls"},
		{MSR_VMX_TRUE_EXIT_CTLS, BIT(9), "a 64-bit host"},
		{MSR_VMX_TRUE_EXIT_CTLS, BIT(19), "loading the host's PAT"},
		{MSR_VMX_TRUE_EXIT_CTLS, BIT(20), "saving EFER"},
		{MSR_VMX_TRUE_EXIT_CTLS, BIT(21), "loading the host's EFER"},
		{MSR_VMX_TRUE_ENTRY_CTLS, BIT(2), "loading debug controls"},
		{MSR_VMX_TRUE_ENTRY_CTLS, BIT(14), "loading the guest's PAT"},
		{MSR_VMX_TRUE_ENTRY_CTLS, BIT(15), "loading the guest's EFER"},
		{MSR_VMX_EPT_VPID_CAP, BIT(6), "EPT of four levels"},
		{MSR_VMX_EPT_VPID_CAP, BIT(14), "write-back EPT"},
		{MSR_VMX_EPT_VPID_CAP, BIT(20), "INVEPT"},
		{MSR_VMX_EPT_VPID_CAP, BIT(25), "single-context INVEPT"},
		{MSR_VMX_EPT_VPID_CAP, BIT(32), "INVVPID"},
		{MSR_VMX_EPT_VPID_CAP, BIT(41), "single-context INVVPID"},
	};
	char expected[160];

	for (unsigned i = 0; i < ARRAY_SIZE(needs); i++) {
		setup(NULL);
		if (needs[i].msr == MSR_VMX_EPT_VPID_CAP)
			*cpu_msr(needs[i].msr) &= ~needs[i].bit;
		else
			take_away(needs[i].msr, needs[i].bit);
		assert_false(probe());
		snprintf(expected, sizeof(expected), "the CPU's VMX lacks %s, which is needed",
			 needs[i].name);
		assert_string_equal(why, expected);
	}
}

/* Without secondary controls their MSR does not exist (SDM vol. 3, A.3.3): a read would fail. */
static void no_secondary_register(void **state __unused)
{
	cpu_new();
	*cpu_msr(MSR_VMX_BASIC) = VMX_BASIC_TRUE_CTLS;
	*cpu_msr(MSR_VMX_MISC) = *cpu_msr(MSR_VMX_CR0_FIXED0) = *cpu_msr(MSR_VMX_CR4_FIXED0) = 0;
	*cpu_msr(MSR_VMX_CR0_FIXED1) = *cpu_msr(MSR_VMX_CR4_FIXED1) = UINT32_MAX;
	*cpu_msr(MSR_VMX_TRUE_PIN_CTLS) = *cpu_msr(MSR_VMX_TRUE_EXIT_CTLS) = ALL;
	*cpu_msr(MSR_VMX_TRUE_ENTRY_CTLS) = ALL;
	*cpu_msr(MSR_VMX_TRUE_PRIMARY_CTLS) = ALL & ~(PRIMARY_SECONDARY << 32);
	assert_false(probe());
	assert_non_null(strstr(why, "secondary controls"));
}

static void what_we_like(void **state __unused)
{
	static const uint32_t optional[] = {
		SECONDARY_RDTSCP, SECONDARY_WBINVD, SECONDARY_INVPCID, SECONDARY_ENCLS,
		SECONDARY_ENCLV,  SECONDARY_PAUSE_LOOP, SECONDARY_XSAVES, SECONDARY_RDRAND,
		SECONDARY_RDSEED,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(optional); i++) {
		setup(NULL);
		take_away(MSR_VMX_SECONDARY_CTLS, optional[i]);
		assert_true(probe());
		assert_int_equal(vmx_caps.secondary, 0x10119cea & ~optional[i]);
	}
	setup(NULL);
	take_away(MSR_VMX_TRUE_PIN_CTLS, PIN_PREEMPTION_TIMER);
	assert_true(probe());
	assert_int_equal(vmx_caps.pin, PIN_DEFAULT | 0x29);
}

static void apic_virtualization(void **state __unused)
{
	apicv = true;
	assert_true(probe());
	assert_int_equal(offered_primary, ALL | PRIMARY_TRUE_DEFAULT);
	assert_int_equal(offered_secondary, ALL);
	assert_true(vmx_caps.apicv);
	assert_int_equal(vmx_caps.primary & (BIT(19) | BIT(20)), 0);
	assert_true(vmx_caps.primary & BIT(21));
	/* The others follow the mode of the guest's APIC. */
	assert_int_equal(vmx_caps.secondary, 0x10119cea);
	/* It turns out not to work: as if it had never been there. */
	vmx_use_apicv(false);
	assert_false(vmx_caps.apicv);
	assert_int_equal(vmx_caps.primary & (BIT(19) | BIT(20) | BIT(21)), BIT(19) | BIT(20));
	vmx_use_apicv(true);
	assert_true(vmx_caps.apicv);
	assert_int_equal(vmx_caps.primary & (BIT(19) | BIT(20) | BIT(21)), BIT(21));
	setup(NULL);
	assert_true(probe());
	assert_false(vmx_caps.apicv);
	assert_int_equal(vmx_caps.primary & (BIT(19) | BIT(20) | BIT(21)), BIT(19) | BIT(20));
	/* The options of the command line. */
	for (enum apicv wish = APICV_TRY; wish <= APICV_ON; wish++) {
		setup(NULL);
		apicv = true;
		vendor_apicv = wish;
		assert_true(probe());
		assert_int_equal(vmx_caps.apicv, wish != APICV_OFF);
		setup(NULL);
		assert_true(probe());
		assert_false(vmx_caps.apicv);
	}
	vendor_apicv = APICV_TRY;
}

/* SDM vol. 3, 25.6.11: write-back, four levels, and accessed bits where the CPU has them. */
static void ept_pointer(void **state __unused)
{
	assert_true(probe());
	assert_int_equal(vmx_caps.eptp_bits, 0x5e);
	setup(NULL);
	*cpu_msr(MSR_VMX_EPT_VPID_CAP) &= ~BIT(21);
	assert_true(probe());
	assert_int_equal(vmx_caps.eptp_bits, 0x1e);
}

/* S_CET and the others can be switched at entries and exits, and #CP can be injected. */
static void control_flow_enforcement(void **state __unused)
{
	static const struct {
		uint32_t msr;
		uint64_t bit;
	} needs[] = {
		{MSR_VMX_TRUE_ENTRY_CTLS, BIT(20)},
		{MSR_VMX_TRUE_EXIT_CTLS, BIT(28)},
	};

	/* The CPU of setup() checks error codes by its own table. */
	assert_true(probe());
	assert_false(vmx_caps.cet);
	setup(NULL);
	*cpu_msr(MSR_VMX_BASIC) |= BIT(56);
	assert_true(probe());
	assert_true(vmx_caps.cet);
	/* On only for guests that have it. */
	assert_false(vmx_caps.entry & BIT(20));
	assert_false(vmx_caps.exit & BIT(28));
	for (unsigned i = 0; i < ARRAY_SIZE(needs); i++) {
		setup(NULL);
		*cpu_msr(MSR_VMX_BASIC) |= BIT(56);
		take_away(needs[i].msr, needs[i].bit);
		assert_true(probe());
		assert_false(vmx_caps.cet);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(everything_offered, setup),
		cmocka_unit_test_setup(plain_registers, setup),
		cmocka_unit_test_setup(forced_bits, setup),
		cmocka_unit_test_setup(what_we_need, setup),
		cmocka_unit_test_setup(no_secondary_register, setup),
		cmocka_unit_test_setup(what_we_like, setup),
		cmocka_unit_test_setup(apic_virtualization, setup),
		cmocka_unit_test_setup(control_flow_enforcement, setup),
		cmocka_unit_test_setup(ept_pointer, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
