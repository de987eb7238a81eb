/* SPDX-License-Identifier: BSD-2-Clause */
/* VMX's I/O and MSR bitmaps, bit by bit against the manual's layout. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "msr_maps_mock.h"
#include "vmx_cpu_mock.h"
#include "../../arch/x86/vmx/maps.c"

struct vmx_caps vmx_caps;

static struct vmx_vcpu guest, second;
static bool direct_now;

bool vmx_spec_ctrl_direct(const struct vmx_vcpu *s)
{
	assert_ptr_equal(s, &guest);
	return direct_now;
}

/* With APIC virtualization: three registers, one of each kind. */
enum { X2APIC_READ = 0x802, X2APIC_WRITE = 0x83f, X2APIC_BOTH = 0x808 };

void vmx_apicv_msrs(void (*visit)(uint32_t index, bool read, bool write, void *map), void *map)
{
	visit(X2APIC_READ, true, false, map);
	visit(X2APIC_WRITE, false, true, map);
	visit(X2APIC_BOTH, true, true, map);
}

bool vmx_lbr_direct(uint32_t index)
{
	return mock_lbr_has(index);
}

static const uint8_t *at(uint64_t pa)
{
	return phys_to_virt(pa);
}

static bool x2apic_direct(uint32_t index, bool write)
{
	return index == X2APIC_BOTH || index == (write ? X2APIC_WRITE : X2APIC_READ);
}

/*
 * SDM vol. 3, 25.6.9: 1 KiB each for reads of 0 to 0x1fff, reads of 0xc0000000 to 0xc0001fff,
 * writes of the former, writes of the latter; a 1 makes an exit.
 */
static void compare_map(uint64_t pa, bool x2apic)
{
	static const struct {
		uint32_t first;
		bool write;
	} parts[] = {{0, false}, {0xc0000000, false}, {0, true}, {0xc0000000, true}};
	static uint8_t expected[PAGE_SIZE];

	memset(expected, 0xff, sizeof(expected));
	for (unsigned part = 0; part < 4; part++) {
		for (uint32_t n = 0; n < 0x2000; n++) {
			uint32_t index = parts[part].first + n;

			if (must_be_direct(index, parts[part].write) ||
			    (x2apic && x2apic_direct(index, parts[part].write)))
				expected[part * 1024 + n / 8] -= 1 << n % 8;
		}
	}
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		if (at(pa)[i] != expected[i])
			fail_msg("byte %#x is %#x, not %#x", i, at(pa)[i], expected[i]);
}

static void make_maps(void)
{
	guest = second = (struct vmx_vcpu){.x.base.vm = &vm};
	second.x.base.id = 1;
	vm.vcpu[0] = &guest.x.base;
	msr_create(&guest.x);
	assert_int_equal(vmx_msr_maps(&guest.x), 0);
	assert_int_equal(vmx_msr_maps(&second.x), 0);
	assert_int_equal(pools, 1);
	for (unsigned i = 0; i < 4; i++)
		assert_true(IS_ALIGNED(guest.msr_bitmap_pa[i / 2][i % 2], PAGE_SIZE));
	/* The VM's other vCPUs have the same maps. */
	assert_memory_equal(second.msr_bitmap_pa, guest.msr_bitmap_pa, sizeof(guest.msr_bitmap_pa));
}

static void compare(void)
{
	for (unsigned apicv = 0; apicv < 2; apicv++) {
		vmx_caps.apicv = apicv;
		make_maps();
		compare_map(guest.msr_bitmap_pa[0][0], false);
		compare_map(guest.msr_bitmap_pa[1][0], apicv);
		maps_teardown(NULL);
	}
}

static void every_bit(void **state __unused)
{
	for_each_filter(compare);
}

static bool exits_on(unsigned map, uint32_t index, bool write)
{
	unsigned block = (write ? 0x800 : 0) + (index >= 0xc0000000 ? 0x400 : 0);
	uint32_t bit = index & 0x1fff;

	return at(guest.msr_bitmap_pa[map / 2][map % 2])[block + bit / 8] >> bit % 8 & 1;
}

/* Some that everyone relies on, by number. */
static void by_number(void **state __unused)
{
	vmx_caps.apicv = false;
	make_maps();
	assert_false(exits_on(0, 0xc0000082, true));
	assert_false(exits_on(0, 0xc0000100, false));
	assert_true(exits_on(0, 0xc0000080, true));
	assert_true(exits_on(0, 0x480, false));
	assert_true(exits_on(0, 0x6e0, true));
}

/* What CPUID does not show is not there, even if the CPU could do it by itself. */
static void x2apic_is_hidden(void **state __unused)
{
	vmx_caps.apicv = true;
	has_x2apic = false;
	make_maps();
	compare_map(guest.msr_bitmap_pa[0][0], false);
	compare_map(guest.msr_bitmap_pa[1][0], false);
}

/* Both ends of both ranges, one direction alone, and what the map has no bit for. */
static void edges(void **state __unused)
{
	static const struct msr_policy odd[] = {
		MSR_ROW_DIRECT("first", 0),
		{.name = "reads", .index = 0x100, .count = 9, .read = MSR_DIRECT},
		{.name = "writes", .index = 0x200, .count = 9, .write = MSR_DIRECT},
		MSR_ROW_DIRECT("last", 0x1fff),
		MSR_ROW_DIRECT("high", 0xc0000000),
		MSR_ROW_DIRECT("end", 0xc0001fff),
		{.name = "amd", .index = 0xc0010000, .count = 0x2000, .read = MSR_DIRECT,
		 .write = MSR_DIRECT},
		{.name = "kvm", .index = 0x4b564d00, .count = 2, .read = MSR_DIRECT,
		 .write = MSR_DIRECT},
	};
	unsigned clear = 0;

	vmx_caps.apicv = false;
	use_table(odd, ARRAY_SIZE(odd));
	make_maps();
	for (uint32_t i = 0; i < 9; i++) {
		assert_true(!exits_on(0, 0x100 + i, false) && exits_on(0, 0x100 + i, true));
		assert_true(exits_on(0, 0x200 + i, false) && !exits_on(0, 0x200 + i, true));
	}
	for (unsigned k = 0; k < 2; k++)
		assert_false(exits_on(0, 0, k) || exits_on(0, 0x1fff, k) ||
			     exits_on(0, 0xc0000000, k) || exits_on(0, 0xc0001fff, k));
	/* And no other bit. */
	for (unsigned i = 0; i < PAGE_SIZE; i++)
		clear += 8 - (unsigned)__builtin_popcount(at(guest.msr_bitmap_pa[0][0])[i]);
	assert_int_equal(clear, 9 + 9 + 4 * 2);
}

static void beyond_the_edges(void **state __unused)
{
	static const uint32_t beyond[] = {0x2000, 0xbfffffff, 0xc0002000, 0xffffffff};
	uint8_t map[PAGE_SIZE];

	memset(map, 0xff, sizeof(map));
	for (unsigned i = 0; i < ARRAY_SIZE(beyond); i++)
		allow(beyond[i], true, true, map);
	for (unsigned i = 0; i < sizeof(map); i++)
		assert_int_equal(map[i], 0xff);
}

/* SDM vol. 3, 25.6.4: bitmap A has ports up to 0x7fff, B the others. */
static void all_ports_exit(void **state __unused)
{
	pool_owner = OWNER_CORE;
	assert_int_equal(vmx_maps_init(), 0);
	assert_int_equal(vmx_io_bitmap_pa[1], vmx_io_bitmap_pa[0] + PAGE_SIZE);
	for (unsigned i = 0; i < 2 * PAGE_SIZE; i++)
		assert_int_equal(at(vmx_io_bitmap_pa[0])[i], 0xff);
}

/* Eight maps by SPEC_CTRL, APIC mode and recording, which adds the records that the CPU has. */
static void by_state(void **state __unused)
{
	static const unsigned expected[] = {2, 2 + 3, 2 + 4, 2 + 3 + 4};

	vmx_caps.apicv = true;
	spec_direct = true;
	use_lbr_table();
	filter_line(0x1dc, 0x1dc, VM_MSR_READ, false);
	make_maps();
	for (unsigned map = 0; map < 8; map++) {
		unsigned clear = 0;

		for (unsigned i = 0; i < PAGE_SIZE; i++)
			clear += 8 - (unsigned)__builtin_popcount(
					     at(guest.msr_bitmap_pa[map / 2][map % 2])[i]);
		assert_int_equal(clear, expected[map % 4] + 2 * (map / 4));
		assert_int_equal(exits_on(map, 0x48, true), map < 4);
		assert_int_equal(exits_on(map, 0x1db, false), !(map % 2));
		assert_int_equal(exits_on(map, 0x1dd, true), !(map % 2));
		assert_int_equal(exits_on(map, X2APIC_READ, false), map % 4 < 2);
	}
	/* The one for the state that the vCPU is in. */
	for (unsigned map = 0; map < 8; map++) {
		direct_now = map / 4;
		guest.apic_mode = map / 2 % 2 ? SECONDARY_X2APIC : 0;
		guest.lbr.on = map % 2;
		vmx_use_msr_bitmap(&guest);
		assert_int_equal(vmcs[VMCS_MSR_BITMAP], guest.msr_bitmap_pa[map / 2][map % 2]);
	}
}

static void without_memory(void **state __unused)
{
	guest = (struct vmx_vcpu){.x.base.vm = &vm};
	pools_max = 0;
	assert_int_equal(vmx_msr_maps(&guest.x), -S_NOMEM);
	pool_owner = OWNER_CORE;
	assert_int_equal(vmx_maps_init(), -S_NOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_bit, maps_setup, maps_teardown),
		cmocka_unit_test_setup_teardown(by_number, maps_setup, maps_teardown),
		cmocka_unit_test_setup_teardown(x2apic_is_hidden, maps_setup, maps_teardown),
		cmocka_unit_test_setup_teardown(edges, maps_setup, maps_teardown),
		cmocka_unit_test(beyond_the_edges),
		cmocka_unit_test_setup_teardown(by_state, maps_setup, maps_teardown),
		cmocka_unit_test_setup_teardown(all_ports_exit, maps_setup, maps_teardown),
		cmocka_unit_test_setup_teardown(without_memory, maps_setup, maps_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
