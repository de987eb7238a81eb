/* SPDX-License-Identifier: BSD-2-Clause */
/* The MSR policy: every row walked, outcomes by kind, mistakes that panic; and SVM's maps of it. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include "panic_mock.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/guest/exits.h"
#include "../../arch/x86/guest/msr.c"
/* The table of the tree is one of several here: see use_table(). */
#undef MSR_POLICIES
#define MSR_POLICIES(rows)                                                 \
	static const struct msr_rows real_rows = {rows, ARRAY_SIZE(rows)}; \
	static const struct msr_rows *real_entry __unused = &real_rows
#include "../../arch/x86/guest/msr_table.c"
#include "../../arch/x86/svm/maps.c"

uintptr_t test_memory;
struct cpu_info cpu_info = {.phys_bits = 40};

/* The one entry of the linker's table; what it leads to changes from test to test. */
static struct msr_rows current;
static const struct msr_rows *const current_entry SECTION_ENTRY(msr_policies) = &current;

static void use_table(const struct msr_policy *first, unsigned count)
{
	current = (struct msr_rows){first, count};
	msr_init();
}

static bool feature[4][32]; /* answers of cpuid_guest_bit(), by register and bit */
static bool all_features;

bool cpuid_guest_bit(const struct guest_cpuid *t __unused, uint32_t leaf __unused, unsigned reg,
		     unsigned bit)
{
	return all_features || feature[reg][bit];
}

static uint64_t now_tsc = 1000; /* what x86_guest_tsc() stands on */
static unsigned tsc_changes, pat_changes, clock_updates;
static uint64_t pat_seen;

uint64_t x86_guest_tsc(const struct x86_vcpu *v)
{
	return now_tsc + v->tsc_offset;
}

void pvclock_update(struct x86_vcpu *v __unused)
{
	clock_updates++;
}

static void mock_load(struct x86_vcpu *v __unused, uint32_t groups __unused)
{
}

static void mock_pat(struct x86_vcpu *v __unused, uint64_t pat)
{
	pat_changes++;
	pat_seen = pat;
}

static void mock_tsc(struct x86_vcpu *v __unused)
{
	tsc_changes++;
}

static const struct vendor mock_vendor = {
	.load = mock_load, .set_pat = mock_pat, .set_tsc_offset = mock_tsc};
const struct vendor *vendor = &mock_vendor;

static uint8_t pool[5 * PAGE_SIZE] __aligned(4096); /* for the permission maps */
static size_t pool_used, pool_size;

void *pages_alloc(size_t bytes, uint32_t owner)
{
	void *p = &pool[pool_used];

	assert_int_equal(owner, OWNER_CORE);
	if (pool_used + bytes > pool_size)
		return NULL;
	memset(p, 0, bytes);
	pool_used += bytes;
	return p;
}

static struct x86_vcpu v;

/* The CPU model changes: which rows the guest has. */
static void offer(void)
{
	memset(v.msr_offered, 0, sizeof(v.msr_offered));
	msr_create(&v);
}

static int setup(void **state __unused)
{
	v = (struct x86_vcpu){0};
	memset(feature, 0, sizeof(feature));
	all_features = true;
	cpu_info.phys_bits = 40;
	tsc_changes = pat_changes = clock_updates = 0;
	use_table(real_rows.row, real_rows.count);
	offer();
	msr_reset(&v);
	return 0;
}

static enum msr_result get(uint32_t index, uint64_t *value)
{
	*value = 0xa5a5; /* must become 0 on failure */
	return msr_guest_read(&v, index, value);
}

static enum msr_result set(uint32_t index, uint64_t value)
{
	return msr_guest_write(&v, index, value);
}

static void refused(uint32_t index, uint64_t value)
{
	uint64_t before, after;
	enum msr_result readable = get(index, &before);

	assert_int_equal(set(index, value), MSR_INVALID);
	assert_int_equal(get(index, &after), readable);
	assert_int_equal(after, before);
}

static void accepted(uint32_t index, uint64_t value)
{
	uint64_t after;

	assert_int_equal(set(index, value), MSR_OK);
	assert_int_equal(get(index, &after), MSR_OK);
	assert_int_equal(after, value);
}

static void walk_row(const struct msr_policy *p, uint32_t index)
{
	enum msr_result result;
	uint64_t value;

	assert_ptr_equal(msr_find(index), p);
	result = get(index, &value);
	switch ((enum msr_action)p->read) {
	case MSR_DIRECT:
	case MSR_REJECT:
		assert_int_equal(result, MSR_FILTERED);
		break;
	case MSR_STORED:
	case MSR_CONSTANT:
		assert_int_equal(result, MSR_OK);
		assert_int_equal(value, p->reset);
		break;
	case MSR_EMULATED:
		assert_non_null(p->rd);
		assert_int_equal(result, MSR_OK);
		if (p->rd == stored_read)
			assert_int_equal(value, p->reset);
		break;
	}
	if (result != MSR_OK)
		assert_int_equal(value, 0);
	switch ((enum msr_action)p->write) {
	case MSR_DIRECT:
	case MSR_REJECT:
		assert_int_equal(set(index, 0), MSR_FILTERED);
		break;
	case MSR_CONSTANT:
		assert_int_equal(set(index, UINT64_MAX), MSR_OK);
		assert_int_equal(get(index, &value), MSR_OK);
		assert_int_equal(value, p->reset);
		break;
	case MSR_STORED:
		assert_int_equal(set(index, p->valid), MSR_OK);
		for (unsigned bit = 0; bit < 64; bit++)
			if (!(p->valid & BIT(bit)))
				assert_int_equal(set(index, BIT(bit)), MSR_INVALID);
		assert_int_equal(get(index, &value), MSR_OK);
		assert_int_equal(value, p->valid);
		break;
	case MSR_EMULATED:
		assert_non_null(p->wr);
		/* What can be read back as it was must be acceptable as a write. */
		if (p->rd == stored_read)
			assert_int_equal(set(index, p->reset), MSR_OK);
		break;
	}
}

static void every_row(void **state __unused)
{
	unsigned registers = 0, found = 0;

	assert_int_equal(msr_policy_count(), real_rows.count);
	for (unsigned n = 0; n < msr_policy_count(); n++) {
		const struct msr_policy *p = msr_policy(n);

		assert_non_null(p->name);
		assert_true(p->read <= MSR_CONSTANT && p->write <= MSR_CONSTANT);
		/* The constant kind has no bits to check; a stored one needs some. */
		assert_true(p->write != MSR_STORED || p->valid);
		for (unsigned i = 0; i < p->count; i++, registers++)
			walk_row(p, p->index + i);
	}
	/* No register is found but those of the rows, in any window. */
	for (unsigned w = 0; w < WINDOWS; w++)
		for (uint32_t i = 0; i < WINDOW_SIZE; i++)
			found += msr_find(window_base[w] + i) != NULL;
	assert_int_equal(found, registers);
}

static void unknown_registers(void **state __unused)
{
	static const uint32_t unknown[] = {
		2, 0xe7, 0x1fff, 0x2000, 0x10000000, 0x3fffffff, 0x40000000, 0x4b564cff, 0x4b566d00,
		0xbfffffff, 0xc0002000, 0xc0012000, 0xffffffff, MSR_VM_HSAVE_PA,
	};
	uint64_t value;

	for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++) {
		assert_int_equal(get(unknown[i], &value), MSR_UNSUPPORTED);
		assert_int_equal(value, 0);
		assert_int_equal(set(unknown[i], 0), MSR_UNSUPPORTED);
	}
}

static void features_decide(void **state __unused)
{
	uint64_t value;

	all_features = false;
	offer();
	assert_int_equal(get(MSR_TSC_ADJUST, &value), MSR_UNSUPPORTED);
	assert_int_equal(set(MSR_TSC_ADJUST, 0), MSR_UNSUPPORTED);
	assert_int_equal(get(MSR_TSC_AUX, &value), MSR_UNSUPPORTED);
	feature[REG_EBX][1] = feature[REG_EDX][27] = true;
	offer();
	assert_int_equal(get(MSR_TSC_ADJUST, &value), MSR_OK);
	assert_int_equal(get(MSR_TSC_AUX, &value), MSR_FILTERED);
	assert_int_equal(get(MSR_MTRRCAP, &value), MSR_OK);
	assert_int_equal(set(MSR_MTRRCAP, value), MSR_FILTERED);
}

static void reset_puts_values_back(void **state __unused)
{
	uint64_t value;

	accepted(MSR_PAT, 0);
	accepted(MSR_HWCR, BIT(3));
	accepted(MSR_MTRR_PHYSBASE0 + 15, BIT(11));
	accepted(MSR_MTRR_FIX4K_C0000 + 7, 0);
	msr_reset(&v);
	for (unsigned n = 0; n < msr_policy_count(); n++) {
		const struct msr_policy *p = msr_policy(n);

		for (unsigned i = 0; p->rd == stored_read && i < p->count; i++) {
			assert_int_equal(get(p->index + i, &value), MSR_OK);
			assert_int_equal(value, p->reset);
		}
	}
	assert_int_equal(get(MSR_PAT, &value), MSR_OK);
	assert_int_equal(value, 0x0007040600070406ull);
	assert_int_equal(get(MSR_HWCR, &value), MSR_OK);
	assert_int_equal(value, BIT(24)); /* the TSC counts at the P0 rate */
}

static void stored_values_are_apart(void **state __unused)
{
	/* Neighbours in a row and neighbours in the table: each has a place of its own. */
	for (unsigned i = 0; i < 16; i++)
		accepted(MSR_MTRR_PHYSBASE0 + i, (uint64_t)(i + 1) << 12);
	accepted(MSR_DC_CFG, 1);
	accepted(MSR_DE_CFG, 2);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(*msr_stored(&v, MSR_MTRR_PHYSBASE0 + i), (uint64_t)(i + 1) << 12);
	assert_int_equal(*msr_stored(&v, MSR_DC_CFG), 1);
	assert_panics(msr_stored(&v, MSR_STAR));
	assert_panics(msr_stored(&v, 0x12345678));
}

static void memory_types(void **state __unused)
{
	for (unsigned type = 0; type < 256; type++) {
		bool ok = type == 0 || type == 1 || type == 4 || type == 5 || type == 6;

		for (unsigned byte = 0; byte < 8; byte++) {
			uint64_t value = (uint64_t)type << 8 * byte;

			(ok ? accepted : refused)(MSR_MTRR_FIX64K, value);
			(ok || type == 7 ? accepted : refused)(MSR_PAT, value);
		}
		(ok ? accepted : refused)(MSR_MTRR_PHYSBASE0 + 2, 0x12345000 | type);
		(ok ? accepted : refused)(MSR_MTRR_DEF_TYPE, 0xc00 | type);
	}
	assert_int_equal(pat_changes, 8 * 6);
	assert_int_equal(pat_seen, 7ull << 56);
	refused(MSR_MTRR_DEF_TYPE, BIT(8));
	refused(MSR_MTRR_DEF_TYPE, BIT(9));
	refused(MSR_MTRR_DEF_TYPE, BIT(12));
	/* Masks: valid bit and address bits, up to the physical width. */
	accepted(MSR_MTRR_PHYSBASE0 + 1, MASK(39, 11));
	refused(MSR_MTRR_PHYSBASE0 + 1, BIT(40));
	refused(MSR_MTRR_PHYSBASE0 + 1, BIT(10));
	refused(MSR_MTRR_PHYSBASE0, BIT(40));
	refused(MSR_MTRR_PHYSBASE0, BIT(11));
}

static void efer(void **state __unused)
{
	uint64_t value;

	/* Never those of virtualization, nor reserved ones. */
	for (unsigned bit = 0; bit < 64; bit++) {
		bool ok = bit == 0 || bit == 8 || bit == 10 || bit == 11 || bit == 14;

		assert_int_equal(set(MSR_EFER, BIT(bit)), ok ? MSR_OK : MSR_INVALID);
	}
	all_features = false;
	assert_int_equal(set(MSR_EFER, EFER_FFXSR), MSR_INVALID);
	all_features = true;
	/* LMA is not the guest's to set; LME does not change while paging is on. */
	v.state.efer = EFER_LME;
	v.dirty = 0;
	assert_int_equal(set(MSR_EFER, EFER_LME | EFER_LMA | EFER_SCE), MSR_OK);
	assert_int_equal(v.state.efer, EFER_LME | EFER_SCE);
	assert_true(v.dirty & X86_CR);
	v.state.cr0 = CR0_PG;
	v.state.efer = EFER_LME | EFER_LMA;
	assert_int_equal(set(MSR_EFER, EFER_SCE), MSR_INVALID);
	assert_int_equal(set(MSR_EFER, EFER_LME | EFER_NXE), MSR_OK);
	assert_int_equal(get(MSR_EFER, &value), MSR_OK);
	assert_int_equal(value, EFER_LME | EFER_LMA | EFER_NXE);
}

static void time_stamp_counter(void **state __unused)
{
	uint64_t value;

	accepted(MSR_TSC, 5000);
	assert_int_equal(v.tsc_offset, 4000);
	assert_int_equal(get(MSR_TSC_ADJUST, &value), MSR_OK);
	assert_int_equal(value, 4000);
	assert_int_equal(tsc_changes, 1);
	assert_int_equal(clock_updates, 0);
	/* A guest that asked for its time in memory gets it anew. */
	v.pvclock = 0x1001;
	/* The other way around, and down. */
	accepted(MSR_TSC_ADJUST, (uint64_t)-100);
	assert_int_equal(get(MSR_TSC, &value), MSR_OK);
	assert_int_equal(value, 900);
	assert_int_equal(tsc_changes, 2);
	assert_int_equal(clock_updates, 1);
}

static void instructions(void **state __unused)
{
	uint64_t *gpr = v.state.gpr;

	/* Only the low halves of RAX, RCX and RDX count; results are zero-extended. */
	gpr[GPR_RCX] = 0xffffffff00000000ull | MSR_DC_CFG;
	gpr[GPR_RAX] = 0xdeadbeef89abcdefull;
	gpr[GPR_RDX] = 0xdeadbeef01234567ull;
	assert_true(exit_msr_write(&v));
	assert_int_equal(*msr_stored(&v, MSR_DC_CFG), 0x0123456789abcdefull);
	gpr[GPR_RAX] = gpr[GPR_RDX] = UINT64_MAX;
	assert_true(exit_msr_read(&v));
	assert_int_equal(gpr[GPR_RAX], 0x89abcdef);
	assert_int_equal(gpr[GPR_RDX], 0x01234567);
	/* A refusal changes nothing. */
	gpr[GPR_RCX] = MSR_VM_HSAVE_PA;
	assert_false(exit_msr_read(&v));
	assert_false(exit_msr_write(&v));
	assert_int_equal(gpr[GPR_RAX], 0x89abcdef);
	assert_int_equal(gpr[GPR_RDX], 0x01234567);
}

static enum msr_result handle_read(struct x86_vcpu *vcpu __unused, uint32_t index __unused,
				   uint64_t *slot __unused, uint64_t *value)
{
	*value = 0;
	return MSR_OK;
}

static void mistakes_panic(void **state __unused)
{
	static const struct msr_policy twice[] = {MSR_ROW_DIRECT("a", 0x10),
						  MSR_ROW_DIRECT("b", 0x10)};
	static const struct msr_policy overlap[] = {MSR_ROW_CONSTANT("a", 0x10, 4, 0),
						    MSR_ROW_DIRECT("b", 0x13)};
	static const struct msr_policy no_count[] = {MSR_ROW_CONSTANT("a", 0x10, 0, 0)};
	static const struct msr_policy outside[] = {MSR_ROW_DIRECT("a", 0x2000)};
	static const struct msr_policy no_rd[] = {
		{"a", 0x10, 1, MSR_EMULATED, MSR_REJECT, .valid = 1}};
	static const struct msr_policy no_wr[] = {
		{"a", 0x10, 1, MSR_EMULATED, MSR_EMULATED, .rd = handle_read}};
	static const struct msr_policy too_many[] = {
		{"a", 0x10, MSR_SLOTS + 1, MSR_STORED, MSR_STORED, .valid = 1}};
	static const struct msr_policy neighbours[] = {MSR_ROW_CONSTANT("a", 0x10, 4, 0),
						       MSR_ROW_DIRECT("b", 0x14)};
	static struct msr_policy many[256];

	assert_panics(use_table(twice, 2));
	assert_true(strstr(panic_text, "b and a overlap") || strstr(panic_text, "a and b overlap"));
	assert_panics(use_table(overlap, 2));
	assert_panics(use_table(no_count, 1));
	assert_panics(use_table(outside, 1));
	assert_panics(use_table(no_rd, 1));
	assert_panics(use_table(no_wr, 1));
	assert_panics(use_table(too_many, 1));
	use_table(neighbours, 2);
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct msr_policy)MSR_ROW_DIRECT("x", i);
	assert_panics(use_table(many, ARRAY_SIZE(many)));
	use_table(many, 255);
}

/* APM vol. 2, 15.11: two bits for each register, reads first; by bit number, not by byte. */
static int map_bit(const uint8_t *map, uint32_t index, bool write)
{
	uint64_t bit;

	if (index <= 0x1fff)
		bit = 2ull * index;
	else if (index >= 0xc0000000 && index <= 0xc0001fff)
		bit = 0x800 * 8 + 2ull * (index - 0xc0000000);
	else if (index >= 0xc0010000 && index <= 0xc0011fff)
		bit = 0x1000 * 8 + 2ull * (index - 0xc0010000);
	else
		return -1;
	bit += write;
	return map[bit / 8] >> bit % 8 & 1;
}

static void check_maps(void)
{
	static const uint32_t bases[] = {0, 0xc0000000, 0xc0010000};
	const uint8_t *map, *ports;

	pool_used = 0;
	pool_size = sizeof(pool);
	test_memory = (uintptr_t)pool - 0x100000;
	assert_int_equal(svm_maps_init(), 0);
	assert_true(IS_ALIGNED(svm_msrpm_pa, PAGE_SIZE) && IS_ALIGNED(svm_iopm_pa, PAGE_SIZE));
	map = phys_to_virt(svm_msrpm_pa);
	ports = phys_to_virt(svm_iopm_pa);
	for (unsigned w = 0; w < ARRAY_SIZE(bases); w++) {
		for (uint32_t i = 0; i < 0x2000; i++) {
			uint32_t index = bases[w] + i;
			bool rd = false, wr = false;

			/* A search of its own, through the rows as they are written. */
			for (unsigned r = 0; r < current.count; r++) {
				const struct msr_policy *p = &current.row[r];

				if (index < p->index || index >= p->index + p->count)
					continue;
				rd = p->read == MSR_DIRECT;
				wr = p->write == MSR_DIRECT;
			}
			assert_int_equal(map_bit(map, index, false), !rd);
			assert_int_equal(map_bit(map, index, true), !wr);
		}
	}
	/* What lies behind the three ranges is all ones; every port is intercepted. */
	for (unsigned i = 0x1800; i < 0x2000; i++)
		assert_int_equal(map[i], 0xff);
	for (unsigned i = 0; i < 3 * PAGE_SIZE; i++)
		assert_int_equal(ports[i], 0xff);
}

static void permission_map(void **state __unused)
{
	/* Edges of the ranges, and registers with one direction only. */
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

	check_maps();
	assert_int_equal(map_bit(phys_to_virt(svm_msrpm_pa), MSR_STAR, true), 0);
	assert_int_equal(map_bit(phys_to_virt(svm_msrpm_pa), MSR_EFER, false), 1);
	use_table(odd, ARRAY_SIZE(odd));
	check_maps();
	pool_used = 0;
	pool_size = 4 * PAGE_SIZE;
	assert_int_equal(svm_maps_init(), -S_NOMEM);
	pool_used = pool_size;
	assert_int_equal(svm_maps_init(), -S_NOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_row, setup),
		cmocka_unit_test_setup(unknown_registers, setup),
		cmocka_unit_test_setup(features_decide, setup),
		cmocka_unit_test_setup(reset_puts_values_back, setup),
		cmocka_unit_test_setup(stored_values_are_apart, setup),
		cmocka_unit_test_setup(memory_types, setup),
		cmocka_unit_test_setup(efer, setup),
		cmocka_unit_test_setup(time_stamp_counter, setup),
		cmocka_unit_test_setup(instructions, setup),
		cmocka_unit_test_setup(mistakes_panic, setup),
		cmocka_unit_test_setup(permission_map, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
