/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of the MSR permission maps: the policy, a guest with CPUID bits and a filter, and, by
 * a list and loops of its own, which accesses must be direct.
 */
#ifndef TESTS_UNIT_MSR_MAPS_MOCK_H
#define TESTS_UNIT_MSR_MAPS_MOCK_H

#include <string.h>
#include "panic_mock.h"
#include "pmu_mock.h"
#include "socle/cpu/features.h"
#include "socle/guest/lbr.h"
#include "socle/guest/spec_ctrl.h"
#include "../../arch/x86/guest/msr.c"
#include "../../arch/x86/guest/msr_filter.c"
#include "../../arch/x86/guest/msr_model.c"
/* The table of the tree is one of several here: see use_table(). */
#undef MSR_POLICIES
#define MSR_POLICIES(rows)                                                 \
	static const struct msr_rows real_rows = {rows, ARRAY_SIZE(rows)}; \
	static const struct msr_rows *const real_entry __unused = &real_rows
#include "../../arch/x86/guest/msr_table.c"

uintptr_t test_memory;
struct cpu_info cpu_info;
const struct vendor *vendor;
struct lbr_offer lbr_offer;

/* The one entry of the linker's table; what it leads to changes from test to test. */
static struct msr_rows current_rows;
static const struct msr_rows *const current_entry SECTION_ENTRY(msr_policies) = &current_rows;

static void use_table(const struct msr_policy *first, unsigned count)
{
	current_rows = (struct msr_rows){first, count};
	msr_init();
}

static bool spec_direct; /* SPEC_CTRL of the guest may be direct */

bool spec_ctrl_direct(const struct guest_cpuid *t __unused)
{
	return spec_direct;
}

static bool has_rdtscp, has_x2apic, has_shstk, has_ibt; /* of the guest */

bool cpuid_guest_bit(const struct guest_cpuid *t __unused, uint32_t leaf, unsigned reg,
		     unsigned bit)
{
	if (leaf == 0x80000001 && reg == REG_EDX && bit == 27)
		return has_rdtscp;
	if (leaf == 1 && reg == REG_ECX && bit == 21)
		return has_x2apic;
	if (leaf == 7 && reg == REG_ECX && bit == 7)
		return has_shstk;
	if (leaf == 7 && reg == REG_EDX && bit == 20)
		return has_ibt;
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
enum { POOLS = 8 };
static uint8_t *pool[POOLS];
static unsigned pools, pools_max, freed;
static uint32_t pool_owner; /* whose pages are expected */

void *pages_alloc(size_t bytes, uint32_t owner)
{
	assert_int_equal(owner, pool_owner);
	if (pools == pools_max)
		return NULL;
	pool[pools] = aligned_alloc(PAGE_SIZE, bytes);
	memset(pool[pools], 0, bytes);
	return pool[pools++];
}

void pages_free(void *pages, size_t bytes __unused, uint32_t owner)
{
	assert_int_equal(owner, pool_owner);
	freed += pages != NULL;
}

static struct vm vm;

/* A line of the filter. */
static void filter_line(uint32_t first, uint32_t last, uint8_t access, bool allow)
{
	vm.settings.msr.range[vm.settings.msr.count++] =
		(struct vm_msr_range){first, last, access, allow};
}

/* Those that a guest uses without exits, from what they are, and not from the table. */
static const uint32_t wanted[] = {
	0x174, 0x175, 0x176,				/* SYSENTER */
	0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, /* SYSCALL */
	0xc0000100, 0xc0000101, 0xc0000102,		/* FS, GS, and the kernel's GS */
	0xc0000103,					/* TSC_AUX, with RDTSCP */
};
static const uint32_t *expected_direct = wanted;
static unsigned expected_count = ARRAY_SIZE(wanted);

static __unused bool must_be_direct(uint32_t index, bool write)
{
	const struct vm_msr_filter *f = &vm.settings.msr;
	bool listed = false, denied = f->deny;

	for (unsigned i = 0; i < expected_count; i++)
		listed |= expected_direct[i] == index;
	if (!listed || (index == 0xc0000103 && !has_rdtscp))
		return false;
	for (unsigned i = 0; i < f->count; i++)
		for (uint64_t k = f->range[i].first; k <= f->range[i].last; k++)
			if (k == index && f->range[i].access & (write ? 2 : 1))
				denied = !f->range[i].allow;
	return !denied;
}

/* Filters to be tried; the maps are compared after each. */
static __unused void for_each_filter(void (*compare)(void))
{
	enum { RD = 1, WR = 2 };
	static const struct {
		bool deny, rdtscp;
		struct vm_msr_range lines[4];
		unsigned count;
	} filters[] = {
		{.rdtscp = true},
		{.rdtscp = false},
		{.deny = true, .rdtscp = true},
		/* No way into being: neither what is emulated, nor what CPUID lacks. */
		{.lines = {{0xc0000080, 0xc0000103, RD | WR, true}, {0x10, 0x10, RD | WR, true}},
		 .count = 2},
		{.rdtscp = true, .lines = {{0xc0000081, 0xc0000081, RD, false}}, .count = 1},
		{.rdtscp = true, .lines = {{0xc0000081, 0xc0000081, WR, false}}, .count = 1},
		{.rdtscp = true,
		 .lines = {{0xc0000000, 0xc0001fff, RD | WR, false},
			   {0xc0000082, 0xc0000083, RD, true},
			   {0xc0000083, 0xc0000084, WR, true},
			   {0xc0000083, 0xc0000083, RD, false}},
		 .count = 4},
		{.deny = true, .rdtscp = true,
		 .lines = {{0x175, 0x176, WR, true}, {0x174, 0x175, RD, true}}, .count = 2},
		{.rdtscp = true, .lines = {{0x174, 0x1ff, RD | WR, false}}, .count = 1},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(filters); i++) {
		vm = (struct vm){0};
		vm.settings.msr.deny = filters[i].deny;
		has_rdtscp = filters[i].rdtscp;
		for (unsigned k = 0; k < filters[i].count; k++)
			filter_line(filters[i].lines[k].first, filters[i].lines[k].last,
				    filters[i].lines[k].access, filters[i].lines[k].allow);
		compare();
	}
}

/* The registers that this CPU has of the kind that is direct while a guest records branches. */
static __unused bool mock_lbr_has(uint32_t index)
{
	return index >= 0x1db && index <= 0x1dd;
}

static __unused enum msr_result mock_lbr_read(struct x86_vcpu *v __unused, uint32_t index __unused,
					      uint64_t *slot __unused, uint64_t *value __unused)
{
	return MSR_OK;
}

static __unused enum msr_result mock_lbr_write(struct x86_vcpu *v __unused, uint32_t index __unused,
					       uint64_t *slot __unused, uint64_t value __unused)
{
	return MSR_OK;
}

/* A table with such a row, one register of which the CPU lacks, and one that is always direct. */
static __unused void use_lbr_table(void)
{
	static const struct msr_policy rows_with_lbr[] = {
		MSR_ROW_DIRECT("star", MSR_STAR),
		{"switched", 0x48, 1, MSR_SWITCHED, MSR_SWITCHED, .valid = UINT64_MAX,
		 .rd = mock_lbr_read, .wr = mock_lbr_write},
		{"reads", 0x1db, 2, MSR_WHILE_LBR, MSR_REJECT, .rd = mock_lbr_read},
		{"both", 0x1dd, 2, MSR_WHILE_LBR, MSR_WHILE_LBR, .valid = UINT64_MAX,
		 .rd = mock_lbr_read, .wr = mock_lbr_write},
	};

	use_table(rows_with_lbr, ARRAY_SIZE(rows_with_lbr));
	lbr_offer.has = mock_lbr_has;
}

static int maps_setup(void **state __unused)
{
	pools = freed = 0;
	pools_max = POOLS;
	pool_owner = OWNER_VM_CORE;
	has_rdtscp = has_x2apic = has_shstk = has_ibt = true;
	lbr_offer = (struct lbr_offer){0};
	spec_direct = false;
	vm = (struct vm){0};
	expected_direct = wanted;
	expected_count = ARRAY_SIZE(wanted);
	use_table(real_rows.row, real_rows.count);
	return 0;
}

static __unused int maps_teardown(void **state __unused)
{
	while (pools)
		free(pool[--pools]);
	return 0;
}

#endif
