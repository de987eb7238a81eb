/* SPDX-License-Identifier: BSD-2-Clause */
/* VMX's I/O and MSR bitmaps, bit by bit against the policy that they are made from. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "panic_mock.h"
#include "vmx_cpu_mock.h"
#include "socle/cpu/features.h"
#include "../../arch/x86/guest/msr.c"
/* The table of the tree is one of two here: see use_table(). */
#undef MSR_POLICIES
#define MSR_POLICIES(rows)                                                 \
	static const struct msr_rows real_rows = {rows, ARRAY_SIZE(rows)}; \
	static const struct msr_rows *const real_entry __unused = &real_rows
#include "../../arch/x86/guest/msr_table.c"
#include "../../arch/x86/vmx/maps.c"

uintptr_t test_memory;
struct cpu_info cpu_info;
struct vmx_caps vmx_caps;
const struct vendor *vendor;

/* The one entry of the linker's table; what it leads to changes from test to test. */
static struct msr_rows current;
static const struct msr_rows *const current_entry SECTION_ENTRY(msr_policies) = &current;

static void use_table(const struct msr_policy *first, unsigned count)
{
	current = (struct msr_rows){first, count};
	msr_init();
}

bool cpuid_guest_bit(const struct guest_cpuid *t __unused, uint32_t leaf __unused,
		     unsigned reg __unused, unsigned bit __unused)
{
	return true;
}

uint64_t x86_guest_tsc(const struct x86_vcpu *v __unused)
{
	return 0;
}

void pvclock_update(struct x86_vcpu *v __unused)
{
}

/* Exactly what the maps need, so that ASan sees a write past their ends. */
static uint8_t *pool[2];
static unsigned pools, pools_max;

void *pages_alloc(size_t bytes, uint32_t owner)
{
	assert_int_equal(owner, OWNER_CORE);
	assert_int_equal(bytes, 2 * PAGE_SIZE);
	if (pools == pools_max)
		return NULL;
	pool[pools] = calloc(1, bytes);
	return pool[pools++];
}

/* With APIC virtualization: three registers, one of each kind. */
enum { X2APIC_READ = 0x802, X2APIC_WRITE = 0x83f, X2APIC_BOTH = 0x808 };

void vmx_apicv_msrs(void (*visit)(uint32_t index, bool read, bool write, void *map), void *map)
{
	visit(X2APIC_READ, true, false, map);
	visit(X2APIC_WRITE, false, true, map);
	visit(X2APIC_BOTH, true, true, map);
}

static int setup(void **state __unused)
{
	pools = 0;
	pools_max = 2;
	vmx_caps.apicv = false;
	use_table(real_rows.row, real_rows.count);
	return 0;
}

static int teardown(void **state __unused)
{
	while (pools)
		free(pool[--pools]);
	return 0;
}

static const uint8_t *at(uint64_t pa)
{
	return phys_to_virt(pa);
}

/* SDM vol. 3, 24.6.9: a 1 makes an exit. Reads of low and high MSRs, then writes of both. */
static bool exits_on(const uint8_t *map, uint32_t index, bool write)
{
	unsigned block = (write ? 0x800 : 0) + (index >= 0xc0000000 ? 0x400 : 0);
	uint32_t bit = index & 0x1fff;

	return map[block + bit / 8] >> bit % 8 & 1;
}

static bool direct(uint32_t index, bool write)
{
	const struct msr_policy *p = msr_find(index);

	return p && (write ? p->write : p->read) == MSR_DIRECT;
}

static bool x2apic_direct(uint32_t index, bool write)
{
	return index == X2APIC_BOTH || index == (write ? X2APIC_WRITE : X2APIC_READ);
}

static void compare(uint64_t pa, bool x2apic)
{
	static const uint32_t bases[] = {0, 0xc0000000};

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(bases); i++) {
		for (uint32_t n = 0; n < 0x2000; n++) {
			uint32_t index = bases[i / 2] + n;
			bool write = i % 2;
			bool may = direct(index, write) || (x2apic && x2apic_direct(index, write));

			if (exits_on(at(pa), index, write) == may)
				fail_msg("%s of %#x", write ? "write" : "read", index);
		}
	}
}

static void every_bit_follows_the_policy(void **state __unused)
{
	assert_int_equal(vmx_maps_init(), 0);
	compare(vmx_msr_bitmap_pa[0], false);
	compare(vmx_msr_bitmap_pa[1], false);
	/* Some that everyone relies on, by number. */
	assert_false(exits_on(at(vmx_msr_bitmap_pa[0]), 0xc0000082, true));
	assert_false(exits_on(at(vmx_msr_bitmap_pa[0]), 0xc0000100, false));
	assert_true(exits_on(at(vmx_msr_bitmap_pa[0]), 0xc0000080, true));
	assert_true(exits_on(at(vmx_msr_bitmap_pa[0]), 0x480, false));
	assert_true(exits_on(at(vmx_msr_bitmap_pa[0]), 0x6e0, true));
}

static void x2apic_has_a_map_of_its_own(void **state __unused)
{
	vmx_caps.apicv = true;
	assert_int_equal(vmx_maps_init(), 0);
	assert_int_equal(vmx_msr_bitmap_pa[1], vmx_msr_bitmap_pa[0] + PAGE_SIZE);
	compare(vmx_msr_bitmap_pa[0], false);
	compare(vmx_msr_bitmap_pa[1], true);
}

/* Both ends of both ranges, one direction alone, and what the map has no bit for. */
static void edges(void **state __unused)
{
	static const struct msr_policy odd[] = {
		{.name = "first", .index = 0, .count = 1, .read = MSR_DIRECT, .write = MSR_DIRECT},
		{.name = "reads", .index = 0x100, .count = 9, .read = MSR_DIRECT},
		{.name = "writes", .index = 0x200, .count = 9, .write = MSR_DIRECT},
		{.name = "last", .index = 0x1fff, .count = 1, .read = MSR_DIRECT,
		 .write = MSR_DIRECT},
		{.name = "high", .index = 0xc0000000, .count = 1, .read = MSR_DIRECT,
		 .write = MSR_DIRECT},
		{.name = "end", .index = 0xc0001fff, .count = 1, .read = MSR_DIRECT,
		 .write = MSR_DIRECT},
		{.name = "amd", .index = 0xc0010000, .count = 0x2000, .read = MSR_DIRECT,
		 .write = MSR_DIRECT},
		{.name = "kvm", .index = 0x4b564d00, .count = 2, .read = MSR_DIRECT,
		 .write = MSR_DIRECT},
	};

	use_table(odd, ARRAY_SIZE(odd));
	assert_int_equal(vmx_maps_init(), 0);
	compare(vmx_msr_bitmap_pa[0], false);
	compare(vmx_msr_bitmap_pa[1], false);
	assert_false(exits_on(at(vmx_msr_bitmap_pa[0]), 0x100, false));
	assert_true(exits_on(at(vmx_msr_bitmap_pa[0]), 0x100, true));
	assert_true(exits_on(at(vmx_msr_bitmap_pa[0]), 0x208, false));
	assert_false(exits_on(at(vmx_msr_bitmap_pa[0]), 0x208, true));
	assert_false(exits_on(at(vmx_msr_bitmap_pa[0]), 0xc0001fff, true));
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

/* SDM vol. 3, 24.6.4: bitmap A has ports up to 0x7fff, B the others. */
static void all_ports_exit(void **state __unused)
{
	assert_int_equal(vmx_maps_init(), 0);
	assert_int_equal(vmx_io_bitmap_pa[1], vmx_io_bitmap_pa[0] + PAGE_SIZE);
	for (unsigned i = 0; i < 2 * PAGE_SIZE; i++)
		assert_int_equal(at(vmx_io_bitmap_pa[0])[i], 0xff);
	assert_true(vmx_io_bitmap_pa[0] != vmx_msr_bitmap_pa[0]);
}

static void without_memory(void **state __unused)
{
	for (pools_max = 0; pools_max < 2; pools_max++) {
		assert_int_equal(vmx_maps_init(), -S_NOMEM);
		teardown(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_bit_follows_the_policy, setup, teardown),
		cmocka_unit_test_setup_teardown(x2apic_has_a_map_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(edges, setup, teardown),
		cmocka_unit_test(beyond_the_edges),
		cmocka_unit_test_setup_teardown(all_ports_exit, setup, teardown),
		cmocka_unit_test_setup_teardown(without_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
