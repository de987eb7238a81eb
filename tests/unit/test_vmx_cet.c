/* SPDX-License-Identifier: BSD-2-Clause */
/* Control-flow enforcement in the VMCS: six fields, two controls, one MSR that exits. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "vmx_cpu_mock.h"
#include "../../arch/x86/vmx/cet.c"

struct vmx_caps vmx_caps;

static struct guest_cpuid model;
static const struct vmx_vcpu *current;

void vmx_make_current(struct vmx_vcpu *s)
{
	current = s;
}

/* By number, as the manual has them (SDM vol. 3, appendix B.4). */
enum { GUEST_FIELDS = 0x6828, HOST_FIELDS = 0x6c18, JUNK = 0x5a5a };

static int setup(void **state __unused)
{
	cpu_new();
	vmx_caps = (struct vmx_caps){.cet = true};
	model = (struct guest_cpuid){0};
	guest.x.cpuid = &model;
	current = NULL;
	for (unsigned i = 0; i < 3; i++)
		vmcs[GUEST_FIELDS + 2 * i] = vmcs[HOST_FIELDS + 2 * i] = JUNK;
	return 0;
}

static void host_state(void **state __unused)
{
	vmx_cet_write_host_state();
	assert_int_equal(vmwrites, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(vmcs[HOST_FIELDS + 2 * i], 0);
}

static void at_reset(void **state __unused)
{
	vmx_cet_reset(&guest);
	assert_int_equal(vmwrites, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(vmcs[GUEST_FIELDS + 2 * i], 0);
}

/* A VMWRITE of a field that the CPU does not have fails. */
static void without_the_fields(void **state __unused)
{
	vmx_caps.cet = false;
	vmx_cet_write_host_state();
	vmx_cet_reset(&guest);
	assert_int_equal(vmwrites, 0);
}

static void controls(void **state __unused)
{
	static const enum guest_feature features[] = {GUEST_shstk, GUEST_ibt};

	assert_int_equal(vmx_cet_entry_control(&guest.x), 0);
	assert_int_equal(vmx_cet_exit_control(&guest.x), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
		setup(NULL);
		model.model.feature[features[i] / 64] |= BIT(features[i] % 64);
		assert_int_equal(vmx_cet_entry_control(&guest.x), 0x00100000);
		assert_int_equal(vmx_cet_exit_control(&guest.x), 0x10000000);
	}
}

static void ssp_table(void **state __unused)
{
	vmx_set_ssp_table(&guest.x, 0xffff800012345000);
	assert_ptr_equal(current, &guest);
	assert_int_equal(vmcs[0x682c], 0xffff800012345000);
	current = NULL;
	assert_int_equal(vmx_ssp_table(&guest.x), 0xffff800012345000);
	assert_ptr_equal(current, &guest);
	assert_int_equal(vmwrites, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(host_state, setup), cmocka_unit_test_setup(at_reset, setup),
		cmocka_unit_test_setup(without_the_fields, setup),
		cmocka_unit_test_setup(controls, setup),   cmocka_unit_test_setup(ssp_table, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
