/* SPDX-License-Identifier: BSD-2-Clause */
/* The MSR policy: every row walked, outcomes by kind, filters, INIT, registration. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include "panic_mock.h"
#include "pmu_mock.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/guest/exits.h"
#include "../../arch/x86/guest/msr.c"
#include "../../arch/x86/guest/msr_filter.c"
#include "../../arch/x86/guest/msr_model.c"
/* The table of the tree is one of several here: see use_table(). */
#undef MSR_POLICIES
#define MSR_POLICIES(rows)                                                 \
	static const struct msr_rows real_rows = {rows, ARRAY_SIZE(rows)}; \
	static const struct msr_rows *real_entry __unused = &real_rows
#include "../../arch/x86/guest/msr_table.c"

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

static struct vm vm;
static struct vm_msr_filter *const filter = &vm.settings.msr;
static struct x86_vcpu v;

/* The CPU model or the filter changes. */
static void offer(void)
{
	memset(v.msr_access, 0xff, sizeof(v.msr_access));
	msr_create(&v);
}

static int setup(void **state __unused)
{
	vm = (struct vm){0};
	v = (struct x86_vcpu){.base.vm = &vm};
	memset(feature, 0, sizeof(feature));
	all_features = true;
	cpu_info.phys_bits = 40;
	tsc_changes = pat_changes = clock_updates = 0;
	use_table(real_rows.row, real_rows.count);
	offer();
	msr_reset(&v);
	return 0;
}

static void add_range(uint32_t first, uint32_t last, uint8_t access, bool allow)
{
	assert_true(filter->count < VM_MSR_RANGES);
	filter->range[filter->count++] = (struct vm_msr_range){first, last, access, allow};
	offer();
}

static void deny(uint32_t first, uint32_t last, uint8_t access)
{
	add_range(first, last, access, false);
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
		/* No exit comes for it, but where a map has no bit for it. */
		assert_int_equal(result, MSR_UNSUPPORTED);
		break;
	case MSR_REJECT:
		assert_int_equal(result, MSR_INVALID);
		break;
	case MSR_STORED:
	case MSR_CONSTANT:
		assert_int_equal(result, MSR_OK);
		assert_int_equal(value, p->reset);
		break;
	case MSR_WHILE_LBR: /* not in this table */
	case MSR_COUNTER:
	case MSR_SWITCHED:
		fail();
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
		assert_int_equal(set(index, 0), MSR_UNSUPPORTED);
		break;
	case MSR_REJECT:
		assert_int_equal(set(index, 0), MSR_INVALID);
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
	case MSR_WHILE_LBR:
	case MSR_COUNTER:
	case MSR_SWITCHED:
		fail();
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
	assert_int_equal(get(MSR_MTRRCAP, &value), MSR_OK);
	assert_int_equal(set(MSR_MTRRCAP, value), MSR_INVALID);
	/* Fixed from then on. */
	vm.frozen = true;
	assert_panics(msr_create(&v));
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

static enum msr_result handle_read(struct x86_vcpu *vcpu __unused, uint32_t index __unused,
				   uint64_t *slot, uint64_t *value)
{
	*value = *slot;
	return MSR_OK;
}

static void init_keeps_most(void **state __unused)
{
	static const struct msr_policy some[] = {
		{"kept", 0x10, 2, MSR_STORED, MSR_STORED, .valid = ANY, .reset = 7},
		{"reset", 0x20, 2, MSR_STORED, MSR_STORED, .valid = ANY, .reset = 8,
		 .at_init = MSR_INIT_RESETS},
		{"handled", 0x30, 1, MSR_EMULATED, MSR_STORED, .valid = ANY, .reset = 9,
		 .at_init = MSR_INIT_RESETS, .rd = handle_read},
	};
	/* APM vol. 2, table 14-1: segments and EFER, by number. */
	static const uint32_t resets[] = {0xc0000080, 0xc0000100, 0xc0000101};

	for (unsigned n = 0; n < msr_policy_count(); n++) {
		bool expected = false;

		for (unsigned i = 0; i < ARRAY_SIZE(resets); i++)
			expected |= msr_policy(n)->index == resets[i];
		assert_int_equal(msr_policy(n)->at_init, expected);
	}
	accepted(MSR_PAT, 0x0606060606060606);
	msr_reset_by_init(&v);
	assert_int_equal(*msr_stored(&v, MSR_PAT), 0x0606060606060606);
	use_table(some, ARRAY_SIZE(some));
	offer();
	for (unsigned i = 0; i < 2; i++) {
		accepted(0x10 + i, 100 + i);
		accepted(0x20 + i, 200 + i);
	}
	accepted(0x30, 300);
	msr_reset_by_init(&v);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(*msr_stored(&v, 0x10 + i), 100 + i);
		assert_int_equal(*msr_stored(&v, 0x20 + i), 8);
	}
	assert_int_equal(*msr_stored(&v, 0x30), 9);
	msr_reset(&v);
	assert_int_equal(*msr_stored(&v, 0x11), 7);
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

static void misc_enable(void **state __unused)
{
	uint64_t value;

	assert_int_equal(get(MSR_MISC_ENABLE, &value), MSR_OK);
	assert_int_equal(value, 0x1801);
	/* What is read-only stays, whatever is written to it. */
	assert_int_equal(set(MSR_MISC_ENABLE, 0), MSR_OK);
	assert_int_equal(get(MSR_MISC_ENABLE, &value), MSR_OK);
	assert_int_equal(value, 0x1800);
	assert_int_equal(set(MSR_MISC_ENABLE, 0xc11889), MSR_OK);
	assert_int_equal(get(MSR_MISC_ENABLE, &value), MSR_OK);
	assert_int_equal(value, 0xc11809);
	refused(MSR_MISC_ENABLE, BIT(18)); /* MONITOR */
	refused(MSR_MISC_ENABLE, BIT(34)); /* no NX */
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
	assert_int_equal(v.stats.msr_refused[MSR_UNSUPPORTED], 0);
	/* A refusal changes nothing, and is counted by its kind. */
	gpr[GPR_RCX] = MSR_VM_HSAVE_PA;
	assert_false(exit_msr_read(&v));
	assert_false(exit_msr_write(&v));
	assert_int_equal(v.stats.msr_refused[MSR_UNSUPPORTED], 2);
	gpr[GPR_RCX] = MSR_MTRRCAP;
	assert_false(exit_msr_write(&v));
	assert_int_equal(v.stats.msr_refused[MSR_INVALID], 1);
	deny(MSR_DC_CFG, MSR_DC_CFG, VM_MSR_READ);
	gpr[GPR_RCX] = MSR_DC_CFG;
	assert_false(exit_msr_read(&v));
	assert_int_equal(v.stats.msr_refused[MSR_FILTERED], 1);
	assert_int_equal(v.stats.msr_refused[MSR_UNSUPPORTED], 2);
	assert_int_equal(v.stats.msr_refused[MSR_INVALID], 1);
	assert_int_equal(gpr[GPR_RAX], 0x89abcdef);
	assert_int_equal(gpr[GPR_RDX], 0x01234567);
}

enum { BOTH = VM_MSR_READ | VM_MSR_WRITE };

static void filter_decides(void **state __unused)
{
	uint64_t value;

	/* Each direction by itself. */
	deny(MSR_DC_CFG, MSR_DC_CFG, VM_MSR_WRITE);
	assert_int_equal(get(MSR_DC_CFG, &value), MSR_OK);
	assert_int_equal(set(MSR_DC_CFG, 1), MSR_FILTERED);
	assert_int_equal(*msr_stored(&v, MSR_DC_CFG), 0);
	deny(MSR_DE_CFG, MSR_DE_CFG, VM_MSR_READ);
	assert_int_equal(get(MSR_DE_CFG, &value), MSR_FILTERED);
	assert_int_equal(value, 0);
	assert_int_equal(set(MSR_DE_CFG, 3), MSR_OK);
	/* A row of which a part is denied: the rest works on, with all of its checks. */
	deny(MSR_MTRR_PHYSBASE0 + 4, MSR_MTRR_PHYSBASE0 + 7, BOTH);
	for (unsigned i = 0; i < 16; i++) {
		uint32_t index = MSR_MTRR_PHYSBASE0 + i;
		bool denied = i >= 4 && i <= 7;

		assert_int_equal(get(index, &value), denied ? MSR_FILTERED : MSR_OK);
		assert_int_equal(set(index, BIT(12)), denied ? MSR_FILTERED : MSR_OK);
		assert_int_equal(set(index, BIT(63)), denied ? MSR_FILTERED : MSR_INVALID);
	}
	deny(MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, VM_MSR_READ);
	assert_int_equal(set(MSR_MTRR_DEF_TYPE, BIT(8)), MSR_INVALID);
	/* The last line that has the register decides, for its directions alone. */
	add_range(MSR_MTRR_PHYSBASE0, MSR_MTRR_PHYSBASE0 + 5, VM_MSR_READ, true);
	assert_int_equal(get(MSR_MTRR_PHYSBASE0 + 5, &value), MSR_OK);
	assert_int_equal(set(MSR_MTRR_PHYSBASE0 + 5, 0), MSR_FILTERED);
	assert_int_equal(get(MSR_MTRR_PHYSBASE0 + 6, &value), MSR_FILTERED);
	deny(MSR_MTRR_PHYSBASE0 + 5, MSR_MTRR_PHYSBASE0 + 5, BOTH);
	assert_int_equal(get(MSR_MTRR_PHYSBASE0 + 5, &value), MSR_FILTERED);
	/* What is not there does not come into being, nor change its outcome. */
	add_range(MSR_VM_HSAVE_PA, MSR_VM_HSAVE_PA, BOTH, true);
	assert_int_equal(get(MSR_VM_HSAVE_PA, &value), MSR_UNSUPPORTED);
	deny(0, UINT32_MAX, BOTH);
	assert_int_equal(get(MSR_VM_HSAVE_PA, &value), MSR_UNSUPPORTED);
	assert_int_equal(set(0xffffffff, 0), MSR_UNSUPPORTED);
	assert_int_equal(get(MSR_PAT, &value), MSR_FILTERED);
	all_features = false;
	offer();
	assert_int_equal(get(MSR_TSC_ADJUST, &value), MSR_UNSUPPORTED);
}

static void denied_by_default(void **state __unused)
{
	/* The row of the local APIC, which is in another room. */
	static const struct msr_policy two[] = {
		{"x2apic", 0x800, 0x40, MSR_STORED, MSR_STORED, .valid = ANY},
		{"other", 0x900, 2, MSR_STORED, MSR_STORED, .valid = ANY},
		{"before", 0x7ff, 1, MSR_STORED, MSR_STORED, .valid = ANY},
		{"masked", 0x910, 2, MSR_STORED, MSR_STORED, .valid = 0xf},
	};
	uint64_t value;

	filter->deny = true;
	add_range(MSR_PAT, MSR_PAT, VM_MSR_READ, true);
	for (unsigned n = 0; n < msr_policy_count(); n++) {
		const struct msr_policy *p = msr_policy(n);
		bool pat = p->index == MSR_PAT;

		assert_int_equal(get(p->index, &value), pat ? MSR_OK : MSR_FILTERED);
		assert_int_equal(set(p->index, 0), MSR_FILTERED);
	}
	/* x2APIC registers are never filtered, whatever the filter says. */
	use_table(two, ARRAY_SIZE(two));
	deny(0, UINT32_MAX, BOTH);
	for (unsigned i = 0; i < 0x40; i++)
		accepted(0x800 + i, i);
	assert_int_equal(get(0x7ff, &value), MSR_FILTERED);
	assert_int_equal(get(0x900, &value), MSR_FILTERED);
	/* The free half of a row has its mask still. */
	add_range(0x911, 0x911, BOTH, true);
	assert_int_equal(set(0x910, 1), MSR_FILTERED);
	assert_int_equal(set(0x911, 0x10), MSR_INVALID);
	accepted(0x911, 0xf);
	assert_false(msr_filter_denies(filter, 0x8ff, VM_MSR_READ));
	assert_true(msr_filter_denies(filter, 0x7ff, VM_MSR_WRITE));
}

/* What the console shows is what an access does. */
static void behaviour_in_words(void **state __unused)
{
	static const char *const words[] = {"rejected", "direct", "stored", "emulated", "constant"};

	all_features = false;
	feature[REG_EDX][27] = true;
	deny(MSR_MTRR_PHYSBASE0 + 2, MSR_MTRR_PHYSBASE0 + 3, VM_MSR_READ);
	deny(MSR_STAR, MSR_LSTAR, VM_MSR_WRITE);
	for (unsigned n = 0; n < msr_policy_count(); n++) {
		const struct msr_policy *p = msr_policy(n);

		for (uint32_t i = p->index; i < p->index + p->count; i++) {
			const char *rd = words[p->read], *wr = words[p->write];

			if (p->index == MSR_TSC_ADJUST)
				rd = wr = "unsupported";
			if (i == 0x202 || i == 0x203)
				rd = "filtered";
			if (i == 0xc0000081 || i == 0xc0000082)
				wr = "filtered";
			assert_string_equal(msr_behaviour(&v, n, i, false), rd);
			assert_string_equal(msr_behaviour(&v, n, i, true), wr);
		}
	}
}

/* The same row again changes nothing; another one for its registers is refused. */
static void registering_again(void **state __unused)
{
	static const struct msr_policy row10 = {"a", 0x10, 2, MSR_STORED, MSR_STORED,
						NEEDS(1, REG_EDX, 5), .valid = 3};
	struct msr_policy other, same = row10;
	unsigned before = msr_policy_count(), room = slots;
	char name[] = "a";

	for (unsigned i = 0; i < before; i++) {
		const struct msr_policy *p = msr_policy(i);

		assert_int_equal(msr_register(p), 0);
		assert_ptr_equal(msr_find(p->index), p);
	}
	assert_int_equal(msr_policy_count(), before);
	assert_int_equal(slots, room);
	use_table(&row10, 1);
	/* Not by its address. */
	same.name = name;
	assert_int_equal(msr_register(&same), 0);
	assert_int_equal(msr_policy_count(), 1);
	assert_int_equal(slots, 2);
	assert_ptr_equal(msr_find(0x11), &row10);
#define DIFFERS(member, with)                                     \
	other = row10;                                            \
	other.member = (with);                                    \
	assert_int_equal(msr_register(&other), -S_EXIST)
	DIFFERS(name, "b");
	DIFFERS(index, 0xf);
	DIFFERS(index, 0x11);
	DIFFERS(count, 1);
	DIFFERS(count, 3);
	DIFFERS(read, MSR_CONSTANT);
	DIFFERS(write, MSR_CONSTANT);
	DIFFERS(needs.bit, 6);
	DIFFERS(needs.reg, REG_ECX);
	DIFFERS(needs.leaf, 2);
	DIFFERS(needs.used, false);
	DIFFERS(valid, 7);
	DIFFERS(reset, 1);
	DIFFERS(at_init, MSR_INIT_RESETS);
	DIFFERS(rd, handle_read);
	DIFFERS(wr, pat_write);
	/* A refused row leaves no trace. */
	assert_int_equal(msr_policy_count(), 1);
	assert_null(msr_find(0xf));
	assert_null(msr_find(0x12));
	assert_int_equal(slots, 2);
	other = row10;
	other.index = 0x12;
	assert_int_equal(msr_register(&other), 0);
	assert_int_equal(slots, 4);
}

static void table_is_full(void **state __unused)
{
	static struct msr_policy many[256];
	static const struct msr_policy big = {"big", 0x100, MSR_SLOTS - 1, MSR_STORED, MSR_STORED,
					      .valid = 1},
				       two = {"two", 0x10, 2, MSR_STORED, MSR_STORED, .valid = 1},
				       one = {"one", 0x10, 1, MSR_STORED, MSR_STORED, .valid = 1};

	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct msr_policy)MSR_ROW_DIRECT("x", i);
	use_table(many, 255);
	assert_int_equal(msr_register(&many[255]), -S_NOSPC);
	assert_int_equal(msr_register(&many[254]), 0);
	assert_int_equal(msr_policy_count(), 255);
	assert_null(msr_find(255));
	/* The room for values is another limit. */
	use_table(&big, 1);
	assert_int_equal(msr_register(&two), -S_NOSPC);
	assert_null(msr_find(0x10));
	assert_int_equal(msr_register(&one), 0);
	assert_int_equal(slots, MSR_SLOTS);
}

static void found_by_name(void **state __unused)
{
	assert_ptr_equal(msr_find_name("star", 4), msr_find(0xc0000081));
	assert_null(msr_find_name("sta", 3));
	assert_null(msr_find_name("stars", 5));
	assert_ptr_equal(msr_find_name("starry", 4), msr_find(0xc0000081));
	assert_null(msr_find_name("", 0));
	/* Each by its own; and no name can be taken for a number. */
	for (unsigned n = 0; n < msr_policy_count(); n++) {
		const char *name = msr_policy(n)->name;

		assert_ptr_equal(msr_find_name(name, strlen(name)), msr_policy(n));
		assert_in_range(name[0], 'a', 'z');
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_row, setup),
		cmocka_unit_test_setup(unknown_registers, setup),
		cmocka_unit_test_setup(features_decide, setup),
		cmocka_unit_test_setup(reset_puts_values_back, setup),
		cmocka_unit_test_setup(stored_values_are_apart, setup),
		cmocka_unit_test_setup(misc_enable, setup),
		cmocka_unit_test_setup(memory_types, setup),
		cmocka_unit_test_setup(efer, setup),
		cmocka_unit_test_setup(time_stamp_counter, setup),
		cmocka_unit_test_setup(instructions, setup),
		cmocka_unit_test_setup(mistakes_panic, setup),
		cmocka_unit_test_setup(init_keeps_most, setup),
		cmocka_unit_test_setup(filter_decides, setup),
		cmocka_unit_test_setup(denied_by_default, setup),
		cmocka_unit_test_setup(behaviour_in_words, setup),
		cmocka_unit_test_setup(registering_again, setup),
		cmocka_unit_test_setup(table_is_full, setup),
		cmocka_unit_test_setup(found_by_name, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
