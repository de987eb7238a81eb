/* SPDX-License-Identifier: BSD-2-Clause */
/* Shadow stacks on SVM, which no emulator has: VMCB, permission map, clean bits, dump, failed
 * VMRUN. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#include "msr_maps_mock.h"
#undef MSR_POLICIES
#define MSR_POLICIES(r) enum { CET_ROWS = ARRAY_SIZE(r) }
#include "../../arch/x86/guest/cet.c"
#include "../../arch/x86/svm/svm.h"
static char dumped[4096];

static void keep_line(enum log_level level __unused, const char *fmt, ...)
{
	size_t len = strlen(dumped);
	va_list args;

	va_start(args, fmt);
	vsnprintf(dumped + len, sizeof(dumped) - len, fmt, args);
	va_end(args);
}

#define log_line keep_line
/* SVM's instructions do nothing here. */
#define vmload(pa) ((void)(pa))
#define vmsave(pa) ((void)(pa))
#define SOCLE_SVM_INSN_H
#include "../../arch/x86/svm/cet.c"
#include "../../arch/x86/svm/maps.c"
#include "../../arch/x86/svm/state.c"

static struct vmcb vmcb;
static struct svm_vcpu guest = {.vmcb = &vmcb};

bool svm_spec_ctrl_direct(const struct svm_vcpu *s __unused)
{
	return false;
}

void cpu_model_withhold(enum guest_feature f __unused)
{
}

void svm_lbr_set_debugctl(struct svm_vcpu *s __unused, uint64_t value __unused)
{
}

static const struct vendor mock_vendor = {.ssp_table = svm_ssp_table,
					  .set_ssp_table = svm_set_ssp_table};

static int setup(void **state)
{
	memset(&vmcb, 0, sizeof(vmcb));
	dumped[0] = 0;
	vendor = &mock_vendor;
	cpu_info.linear_bits = 48;
	maps_setup(state);
	use_table(cet_rows, CET_ROWS);
	guest.x.base.vm = &vm;
	vm.vcpu[0] = &guest.x.base;
	return 0;
}

/* APM vol. 2, appendix B: by number. */
static void layout(void **state __unused)
{
	uint64_t *words = (uint64_t *)&vmcb;

	vmcb.s_cet = 1;
	vmcb.ssp = 2;
	vmcb.isst = 3;
	assert_int_equal(words[0x5e0 / 8], 1);
	assert_int_equal(words[0x5e8 / 8], 2);
	assert_int_equal(words[0x5f0 / 8], 3);
}

/* The MSR is the field, and a write is told to the CPU by clean bit 12, and by no other. */
static void table_msr(void **state __unused)
{
	uint64_t value;

	msr_create(&guest.x);
	vmcb.clean = 0x1fff;
	assert_int_equal(msr_guest_write(&guest.x, 0x6a8, 0x123456789000), MSR_OK);
	assert_int_equal(((uint64_t *)&vmcb)[0x5f0 / 8], 0x123456789000);
	assert_int_equal(vmcb.clean, 0xfff);
	vmcb.clean = 0x1fff;
	assert_int_equal(msr_guest_read(&guest.x, 0x6a8, &value), MSR_OK);
	assert_int_equal(value, 0x123456789000);
	assert_int_equal(vmcb.clean, 0x1fff);
	assert_int_equal(msr_guest_write(&guest.x, 0x6a8, 0x800000000000), MSR_INVALID);
	assert_int_equal(vmcb.isst, 0x123456789000);
	assert_int_equal(vmcb.clean, 0x1fff);
}

static void at_reset(void **state __unused)
{
	memset(&vmcb, 0x5a, sizeof(vmcb));
	vmcb.clean = 0x1fff;
	svm_cet_reset(&vmcb);
	for (unsigned i = 0x400 / 8; i < 0x800 / 8; i++)
		assert_int_equal(((uint64_t *)&vmcb)[i],
				 i >= 0x5e0 / 8 && i <= 0x5f0 / 8 ? 0 : 0x5a5a5a5a5a5a5a5a);
	assert_int_equal(vmcb.clean, 0xfff);
}

static bool exits_on(uint32_t index, bool write)
{
	const uint8_t *map = phys_to_virt(guest.msrpm_pa[0]);

	return map[index / 4] >> (index % 4 * 2 + write) & 1;
}

/* U_CET, S_CET and PL0 to PL3_SSP are the guest's own; the table is not, nor IA32_XSS. */
static void map(void **state)
{
	for (unsigned stacks = 0; stacks < 2; stacks++) {
		setup(state);
		has_shstk = stacks;
		has_ibt = false;
		msr_create(&guest.x);
		assert_int_equal(svm_msr_maps(&guest.x), 0);
		for (uint32_t i = 0; i < 0x2000; i++) {
			bool own = i == 0x6a0 || i == 0x6a2 || (i >= 0x6a4 && i <= 0x6a7);

			for (unsigned write = 0; write < 2; write++)
				assert_int_equal(exits_on(i, write), !(own && stacks));
		}
		maps_teardown(state);
	}
}

static void dump(void **state __unused)
{
	vmcb.s_cet = 0x3;
	vmcb.ssp = 0x7ffff123;
	vmcb.isst = 0xffff8880abcd0000;
	svm_dump(&guest.x);
	assert_non_null(strstr(dumped, "s_cet 3 ssp 000000007ffff123 "
				       "interrupt ssp table ffff8880abcd0000"));
}

static void failed_entry(void **state __unused)
{
	assert_null(svm_cet_invalid(&vmcb));
	vmcb.cr4 = 1 << 23;
	assert_string_equal(svm_cet_invalid(&vmcb), "CR4.CET is set and CR0.WP is not");
	vmcb.cr0 = 1 << 16;
	assert_null(svm_cet_invalid(&vmcb));
	vmcb.cr4 = 0;
	for (unsigned i = 0; i < 64; i++) {
		vmcb.s_cet = BIT(i);
		if (i < 2)
			assert_null(svm_cet_invalid(&vmcb));
		else
			assert_string_equal(svm_cet_invalid(&vmcb), "S_CET has reserved bits set");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(layout, setup), cmocka_unit_test_setup(table_msr, setup),
		cmocka_unit_test_setup(map, setup),    cmocka_unit_test_setup(dump, setup),
		cmocka_unit_test_setup(failed_entry, setup),
		cmocka_unit_test_setup(at_reset, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
