/* SPDX-License-Identifier: BSD-2-Clause */
/* SVM's I/O and MSR permission maps, bit by bit against the manual's layout. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "msr_maps_mock.h"
#include "../../arch/x86/svm/maps.c"

enum { MAP_BYTES = 0x2000, IO_BYTES = 0x3000 };

static struct svm_vcpu guest, second;
static bool direct_now;

bool svm_spec_ctrl_direct(const struct svm_vcpu *s)
{
	assert_ptr_equal(s, &guest);
	return direct_now;
}

static const uint8_t *at(uint64_t pa)
{
	return phys_to_virt(pa);
}

/*
 * APM vol. 2, 15.11: two bits for each register, the lower one for reads, a 1 makes an exit; three
 * ranges of 2 KiB, and 2 KiB that are reserved.
 */
static void write_map(uint8_t map[MAP_BYTES])
{
	static const uint32_t first[] = {0x00000000, 0xc0000000, 0xc0010000};

	memset(map, 0xff, MAP_BYTES);
	for (unsigned range = 0; range < 3; range++) {
		for (uint32_t n = 0; n < 0x2000; n++) {
			unsigned bit = range * 0x800 * 8 + n * 2;

			for (unsigned write = 0; write < 2; write++)
				if (must_be_direct(first[range] + n, write))
					map[(bit + write) / 8] -= 1 << (bit + write) % 8;
		}
	}
}

static void compare(void)
{
	static uint8_t expected[MAP_BYTES];

	guest = second = (struct svm_vcpu){.x.base.vm = &vm};
	second.x.base.id = 1;
	vm.vcpu[0] = &guest.x.base;
	msr_create(&guest.x);
	assert_int_equal(svm_msr_maps(&guest.x), 0);
	assert_true(IS_ALIGNED(guest.msrpm_pa[0], PAGE_SIZE));
	write_map(expected);
	for (unsigned i = 0; i < MAP_BYTES; i++)
		if (at(guest.msrpm_pa[0])[i] != expected[i])
			fail_msg("byte %#x is %#x, not %#x", i, at(guest.msrpm_pa[0])[i],
				 expected[i]);
	/* The VM's other vCPUs have the same map. */
	assert_int_equal(svm_msr_maps(&second.x), 0);
	assert_true(second.msrpm_pa[0] == guest.msrpm_pa[0]);
	assert_int_equal(pools, 1);
	maps_teardown(NULL);
}

static void every_bit(void **state __unused)
{
	for_each_filter(compare);
}

static bool exits_on(uint32_t index, bool write)
{
	unsigned range = index < 0x2000 ? 0 : index < 0xc0002000 ? 0x800 : 0x1000;
	uint32_t n = index & 0x1fff;

	return at(guest.msrpm_pa[0])[range + n / 4] >> (n % 4 * 2 + write) & 1;
}

/* Some that everyone relies on, by number. */
static void by_number(void **state __unused)
{
	guest = (struct svm_vcpu){.x.base.vm = &vm};
	msr_create(&guest.x);
	assert_int_equal(svm_msr_maps(&guest.x), 0);
	assert_false(exits_on(0xc0000081, true));
	assert_false(exits_on(0xc0000100, false));
	assert_true(exits_on(0xc0000080, false));
	assert_true(exits_on(0xc0000080, true));
	assert_true(exits_on(0x10, true));
	assert_true(exits_on(0xc0010117, true));
	assert_true(exits_on(0x830, true));
}

/* Edges of the ranges, and registers with one direction only. */
static void edges(void **state __unused)
{
	static const struct msr_policy odd[] = {
		MSR_ROW_DIRECT("first", 0),
		MSR_ROW_DIRECT("last", 0x1fff),
		{"read", 0x100, 5, MSR_DIRECT, MSR_REJECT, .reset = 0},
		{"write", 0xc0000001, 7, MSR_REJECT, MSR_DIRECT, .reset = 0},
		MSR_ROW_DIRECT("last of the second", 0xc0001fff),
		MSR_ROW_DIRECT("third", 0xc0010000),
		MSR_ROW_DIRECT("last of the third", 0xc0011fff),
		MSR_ROW_CONSTANT("none", 0x10, 3, 0),
		MSR_ROW_DIRECT("in no map", 0x4b564d00),
	};
	unsigned clear = 0;

	use_table(odd, ARRAY_SIZE(odd));
	guest = (struct svm_vcpu){.x.base.vm = &vm};
	msr_create(&guest.x);
	assert_int_equal(svm_msr_maps(&guest.x), 0);
	for (uint32_t i = 0x100; i < 0x105; i++)
		assert_true(!exits_on(i, false) && exits_on(i, true));
	for (uint32_t i = 0xc0000001; i < 0xc0000008; i++)
		assert_true(exits_on(i, false) && !exits_on(i, true));
	for (unsigned k = 0; k < 2; k++)
		assert_false(exits_on(0, k) || exits_on(0x1fff, k) || exits_on(0xc0001fff, k) ||
			     exits_on(0xc0010000, k) || exits_on(0xc0011fff, k));
	/* And no other bit. */
	for (unsigned i = 0; i < MAP_BYTES; i++)
		clear += 8 - (unsigned)__builtin_popcount(at(guest.msrpm_pa[0])[i]);
	assert_int_equal(clear, 5 + 7 + 5 * 2);
}

static unsigned clear_bits(unsigned map)
{
	unsigned clear = 0;

	for (unsigned i = 0; i < MAP_BYTES; i++)
		clear += 8 - (unsigned)__builtin_popcount(at(guest.msrpm_pa[map])[i]);
	return clear;
}

/* Two maps, whose only difference are the records that the CPU has, without what is denied. */
static void while_recording(void **state __unused)
{
	use_lbr_table();
	guest = second = (struct svm_vcpu){.x.base.vm = &vm};
	second.x.base.id = 1;
	vm.vcpu[0] = &guest.x.base;
	filter_line(0x1dc, 0x1dc, VM_MSR_READ, false);
	msr_create(&guest.x);
	assert_int_equal(svm_msr_maps(&guest.x), 0);
	assert_int_equal(svm_msr_maps(&second.x), 0);
	assert_memory_equal(second.msrpm_pa, guest.msrpm_pa, sizeof(guest.msrpm_pa));
	assert_int_equal(pools, 1);
	assert_int_equal(clear_bits(0), 2);
	assert_int_equal(clear_bits(1), 2 + 3);
	guest.msrpm_pa[0] = guest.msrpm_pa[1];
	assert_true(!exits_on(0x1db, false) && exits_on(0x1db, true));
	assert_true(!exits_on(0x1dd, false) && !exits_on(0x1dd, true));
	assert_true(!exits_on(MSR_STAR, false) && !exits_on(MSR_STAR, true));
	assert_true(exits_on(0x48, false) && exits_on(0x48, true));
}

/* Four maps, and the one for the state that the vCPU is in. */
static void while_switched(void **state __unused)
{
	static const unsigned expected[] = {2, 2 + 3, 2 + 1, 2 + 1 + 3};
	struct vmcb vmcb = {.clean = CLEAN_ALL};

	use_lbr_table();
	spec_direct = true;
	guest = (struct svm_vcpu){.x.base.vm = &vm, .vmcb = &vmcb};
	filter_line(0x1dc, 0x1dc, VM_MSR_READ, false);
	filter_line(0x48, 0x48, VM_MSR_WRITE, false);
	msr_create(&guest.x);
	assert_int_equal(svm_msr_maps(&guest.x), 0);
	for (unsigned map = 0; map < 4; map++) {
		assert_int_equal(clear_bits(map), expected[map]);
		vmcb.dbgctl = map % 2;
		direct_now = map / 2;
		vmcb.clean = CLEAN_ALL;
		svm_use_msr_map(&guest);
		assert_int_equal(vmcb.msrpm_pa, guest.msrpm_pa[map]);
		assert_int_equal(vmcb.clean, CLEAN_ALL & ~CLEAN_PERMISSIONS);
	}
	guest.msrpm_pa[0] = guest.msrpm_pa[2];
	assert_true(!exits_on(0x48, false) && exits_on(0x48, true));
}

static void all_ports_exit(void **state __unused)
{
	pool_owner = OWNER_CORE;
	assert_int_equal(svm_maps_init(), 0);
	assert_true(IS_ALIGNED(svm_iopm_pa, PAGE_SIZE));
	for (unsigned i = 0; i < IO_BYTES; i++)
		assert_int_equal(at(svm_iopm_pa)[i], 0xff);
}

static void without_memory(void **state __unused)
{
	pools_max = 0;
	guest = (struct svm_vcpu){.x.base.vm = &vm};
	assert_int_equal(svm_msr_maps(&guest.x), -S_NOMEM);
	pool_owner = OWNER_CORE;
	assert_int_equal(svm_maps_init(), -S_NOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_bit, maps_setup, maps_teardown),
		cmocka_unit_test_setup_teardown(by_number, maps_setup, maps_teardown),
		cmocka_unit_test_setup_teardown(edges, maps_setup, maps_teardown),
		cmocka_unit_test_setup_teardown(while_recording, maps_setup, maps_teardown),
		cmocka_unit_test_setup_teardown(while_switched, maps_setup, maps_teardown),
		cmocka_unit_test_setup_teardown(all_ports_exit, maps_setup, maps_teardown),
		cmocka_unit_test_setup_teardown(without_memory, maps_setup, maps_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
