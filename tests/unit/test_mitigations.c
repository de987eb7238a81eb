/* SPDX-License-Identifier: BSD-2-Clause */
/* Leaks by speculation: what is turned on for which CPU, when a guest's traces go, and guests'
 * MSRs. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "panic_mock.h"
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"

/* A CPU: SPEC_CTRL with the bits that it takes, or ignores, and what was done to it. */
static uint64_t spec_ctrl, cpu_takes, cpu_ignores, capabilities, efer;
static unsigned barriers, flushes, clears, spec_writes;

static bool mock_write(uint32_t index, uint64_t value)
{
	switch (index) {
	case MSR_SPEC_CTRL:
		if (value & ~(cpu_takes | cpu_ignores))
			return false;
		spec_ctrl = value & cpu_takes;
		spec_writes++;
		return true;
	case MSR_PRED_CMD:
		assert_int_equal(value, 1);
		barriers++;
		return true;
	case MSR_FLUSH_CMD:
		assert_int_equal(value, 1);
		flushes++;
		return true;
	case MSR_EFER:
		efer = value;
		return true;
	default:
		fail_msg("MSR %#x is written", index);
		return false;
	}
}

static uint64_t mock_read(uint32_t index)
{
	if (index == MSR_SPEC_CTRL)
		return spec_ctrl;
	if (index == MSR_EFER)
		return efer;
	assert_int_equal(index, MSR_ARCH_CAPABILITIES);
	return capabilities;
}

#undef msr_read
#undef msr_write
#define msr_read(index)		     mock_read(index)
#define msr_write(index, value)	     assert_true(mock_write(index, value))
#define msr_read_safe(index, value)  (*(value) = mock_read(index), true)
#define msr_write_safe(index, value) mock_write(index, value)
#define verw(selector)		     (assert_int_equal(selector, GDT_DATA), clears++)

#include "../../lib/format.c"
#include "../../arch/x86/cpu/mitigations.c"
#include "../../arch/x86/guest/spec_ctrl.c"

uintptr_t test_memory;
struct cpu_info cpu_info;
static bool withheld[GUEST_FEATURE_COUNT];

void cpu_model_withhold(enum guest_feature f)
{
	withheld[f] = true;
}

static uint64_t guests_value;

static uint64_t mock_spec_ctrl(struct x86_vcpu *v __unused)
{
	return guests_value;
}

static void mock_set_spec_ctrl(struct x86_vcpu *v __unused, uint64_t value)
{
	guests_value = value;
}

static const struct vendor mock_vendor = {.spec_ctrl = mock_spec_ctrl,
					  .set_spec_ctrl = mock_set_spec_ctrl};
const struct vendor *vendor = &mock_vendor;

static int setup(void **state __unused)
{
	memset(&cpu_info, 0, sizeof(cpu_info));
	memset(withheld, 0, sizeof(withheld));
	mitigations_off = false;
	cpu_takes = cpu_ignores = capabilities = efer = 0;
	barriers = flushes = clears = spec_writes = 0;
	test_cpu_index = 0;
	cpu_info.vendor = CPU_VENDOR_INTEL;
	return 0;
}

static void boot(const char *text)
{
	char got[80];

	spec_ctrl = cpu_takes; /* the firmware's */
	mitigations_cpu_on();
	mitigations_text(got, sizeof(got));
	assert_string_equal(got, text);
}

static void has(enum cpu_feature f)
{
	cpu_info.feature[f] = true;
}

static void by_kind_of_cpu(void **state __unused)
{
	/* Nothing. */
	boot("no IBRS; between guests nothing");
	assert_int_equal(spec_writes, 0);
	spec_ctrl_probe();
	assert_true(withheld[GUEST_spec_ctrl] && withheld[GUEST_amd_ibrs]);
	/* Old: at each exit it would cost too much. STIBP is there and does nothing. */
	has(CPU_SPEC_CTRL);
	cpu_takes = SPEC_CTRL_IBRS | SPEC_CTRL_SSBD;
	cpu_ignores = SPEC_CTRL_STIBP;
	boot("no IBRS; between guests IBPB");
	assert_true(spec_ctrl == 0 && mitigations.spec_ctrl_takes == cpu_takes);
	/* With the microcode of 2018 and 2019. */
	has(CPU_FLUSH_L1D);
	has(CPU_MD_CLEAR);
	boot("no IBRS; between guests IBPB L1D VERW");
	/* Newer ones. */
	has(CPU_ARCH_CAPABILITIES);
	capabilities = ARCH_CAP_IBRS_ALL;
	boot("IBRS; between guests IBPB L1D VERW");
	assert_true(spec_ctrl == SPEC_CTRL_IBRS && mitigations.spec_ctrl == SPEC_CTRL_IBRS);
	capabilities = ARCH_CAP_IBRS_ALL | ARCH_CAP_SKIP_L1DFL;
	boot("IBRS; between guests IBPB VERW");
	capabilities = ARCH_CAP_IBRS_ALL | ARCH_CAP_RDCL_NO | ARCH_CAP_MDS_NO;
	boot("IBRS; between guests IBPB");
	spec_ctrl = 0;
	test_cpu_index = 3;
	mitigations_cpu_on();
	assert_int_equal(spec_ctrl, SPEC_CTRL_IBRS);
	test_cpu_index = 0;
	/* Not wanted. */
	mitigations_off = true;
	boot("off");
	assert_true(spec_ctrl == 0 && mitigations.spec_ctrl_takes == cpu_takes);
	mitigations_before_guest(1);
	assert_true(!barriers && !flushes && !clears);
	memset(withheld, 0, sizeof(withheld));
	spec_ctrl_probe();
	assert_false(withheld[GUEST_spec_ctrl] || withheld[GUEST_amd_ibrs]);
}

static void amd(void **state __unused)
{
	cpu_info.vendor = CPU_VENDOR_AMD;
	cpu_takes = SPEC_CTRL_IBRS;
	has(CPU_FLUSH_L1D);
	has(CPU_MD_CLEAR);
	has(CPU_AMD_IBPB);
	boot("no IBRS; between guests IBPB");
	assert_int_equal(mitigations.spec_ctrl_takes, 0);
	has(CPU_AMD_IBRS);
	boot("no IBRS; between guests IBPB");
	assert_int_equal(mitigations.spec_ctrl_takes, SPEC_CTRL_IBRS);
	has(CPU_AMD_IBRS_ALWAYS);
	boot("IBRS; between guests IBPB");
	assert_int_equal(efer, 0);
	has(CPU_AUTO_IBRS);
	efer = EFER_LME;
	boot("automatic IBRS; between guests IBPB");
	assert_true(spec_ctrl == 0 && efer == (EFER_LME | BIT(21)));
}

/* What is done when guest @number comes to CPU @cpu. */
static unsigned comes(unsigned cpu, unsigned number)
{
	unsigned before = barriers;

	test_cpu_index = cpu;
	mitigations_before_guest(number);
	assert_true(flushes == barriers && clears == barriers);
	return barriers - before;
}

static void at_changes_of_guest(void **state __unused)
{
	cpu_takes = SPEC_CTRL_IBRS;
	has(CPU_SPEC_CTRL);
	has(CPU_FLUSH_L1D);
	has(CPU_MD_CLEAR);
	boot("no IBRS; between guests IBPB L1D VERW");
	assert_int_equal(comes(0, 0), 1);
	assert_int_equal(comes(0, 0), 0);
	assert_int_equal(comes(0, 1), 1);
	assert_int_equal(comes(1, 0), 1);
	assert_int_equal(comes(0, 1), 0);
	assert_int_equal(comes(1, 0), 0);
	assert_int_equal(comes(0, 0), 1);
}

static struct guest_cpuid model;
static struct x86_vcpu guest = {.cpuid = &model};

static void model_has(enum guest_feature f)
{
	model.model.feature[f / 64] |= BIT(f % 64);
}

static void bits_by_feature(void **state __unused)
{
	static const struct {
		enum guest_feature feature;
		uint64_t bits;
	} rules[] = {
		{GUEST_spec_ctrl, 0x1}, {GUEST_amd_ibrs, 0x1},	 {GUEST_intel_stibp, 0x2},
		{GUEST_amd_stibp, 0x2}, {GUEST_spec_ctrl_ssbd, 0x4}, {GUEST_amd_ssbd, 0x4},
		{GUEST_ipred_ctrl, 0x18}, {GUEST_rrsba_ctrl, 0x60}, {GUEST_intel_psfd, 0x80},
		{GUEST_amd_psfd, 0x80},	{GUEST_ddpd_u, 0x100},	 {GUEST_bhi_ctrl, 0x400},
	};
	uint64_t value;

	mitigations = (struct mitigations){.spec_ctrl_takes = 0x5ff};
	for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
		model = (struct guest_cpuid){0};
		model_has(rules[i].feature);
		assert_int_equal(spec_ctrl_valid(&model), rules[i].bits);
		assert_false(spec_ctrl_direct(&model));
		assert_int_equal(spec_ctrl_write(&guest, MSR_SPEC_CTRL, NULL, rules[i].bits),
				 MSR_OK);
		assert_int_equal(spec_ctrl_read(&guest, MSR_SPEC_CTRL, NULL, &value), MSR_OK);
		assert_int_equal(value, rules[i].bits);
		for (unsigned b = 0; b < 64; b++)
			if (!(rules[i].bits & BIT(b)))
				assert_int_equal(
					spec_ctrl_write(&guest, MSR_SPEC_CTRL, NULL, BIT(b)),
					MSR_INVALID);
		assert_int_equal(guests_value, rules[i].bits);
	}
	/* Bits that the CPU lacks are ignored by it, or fault: nobody has them. */
	mitigations.spec_ctrl_takes = 0x5;
	model = (struct guest_cpuid){0};
	model_has(GUEST_spec_ctrl);
	model_has(GUEST_intel_stibp);
	assert_int_equal(spec_ctrl_valid(&model), 1);
	assert_false(spec_ctrl_direct(&model));
	model_has(GUEST_spec_ctrl_ssbd);
	assert_true(spec_ctrl_direct(&model));
	/* A bit of the CPU's that no feature has: never direct. */
	mitigations.spec_ctrl_takes = 0x205;
	assert_false(spec_ctrl_direct(&model));
	mitigations.spec_ctrl_takes = 0;
	assert_false(spec_ctrl_direct(&model));
}

static void capabilities_are_facts(void **state __unused)
{
	/* TSX_CTRL, MCU_CTRL, MISC_PACKAGE_CTLS, ENERGY, DOITM, FB_CLEAR_CTRL, XAPIC, ... */
	static const unsigned withheld_bits[] = {7, 9, 10, 11, 12, 16, 18, 21, 22, 23, 25, 29, 63};
	uint64_t value, expected = 0;

	mitigations = (struct mitigations){.arch_capabilities = UINT64_MAX};
	model = (struct guest_cpuid){0};
	assert_int_equal(arch_capabilities_read(&guest, 0, NULL, &value), MSR_OK);
	assert_int_equal(value & 3, 1); /* IBRS_ALL without IBRS */
	model_has(GUEST_spec_ctrl);
	assert_int_equal(arch_capabilities_read(&guest, 0, NULL, &value), MSR_OK);
	assert_int_equal(value & 0x3f, 0x3f);
	for (unsigned i = 0; i < ARRAY_SIZE(withheld_bits); i++)
		expected |= BIT(withheld_bits[i]);
	assert_int_equal(value & expected, 0);
	assert_int_equal(value >> 29, 0);
	mitigations.arch_capabilities = ARCH_CAP_MDS_NO | BIT(7);
	assert_int_equal(arch_capabilities_read(&guest, 0, NULL, &value), MSR_OK);
	assert_int_equal(value, ARCH_CAP_MDS_NO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(by_kind_of_cpu, setup),
		cmocka_unit_test_setup(amd, setup),
		cmocka_unit_test_setup(at_changes_of_guest, setup),
		cmocka_unit_test_setup(bits_by_feature, setup),
		cmocka_unit_test_setup(capabilities_are_facts, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
