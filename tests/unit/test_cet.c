/* SPDX-License-Identifier: BSD-2-Clause */
/* Control-flow enforcement of guests: who may have it, what each MSR does, and taking turns. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "socle/cpu/msr.h"
static uint64_t mock_msr_read(uint32_t index);
static void mock_msr_write(uint32_t index, uint64_t value);
static bool mock_msr_write_safe(uint32_t index, uint64_t value);
#define msr_read(index)		     mock_msr_read(index)
#define msr_write(index, value)	     mock_msr_write(index, value)
#define msr_write_ns(index, value)   mock_msr_write(index, value)
#define msr_write_safe(index, value) mock_msr_write_safe(index, value)

#include "msr_maps_mock.h"
/* These rows are another table. */
#undef MSR_POLICIES
#define MSR_POLICIES(r) enum { CET_ROWS = ARRAY_SIZE(r) }
#include "../../arch/x86/guest/cet.c"

/* The registers of this CPU, 0x6a0 and on, and what else is done to it. */
enum { FIRST = 0x6a0, COUNT = 9 };
static uint64_t registers[COUNT], xss;
static unsigned reads, writes;
static uint64_t xss_accepts;
static bool withheld[GUEST_FEATURE_COUNT];

/* Without shadow stacks there are U_CET and S_CET alone. */
static void assert_there(uint32_t index)
{
	assert_in_range(index, FIRST, cpu_has(CPU_SHSTK) ? FIRST + COUNT - 1 : FIRST + 2);
}

static uint64_t mock_msr_read(uint32_t index)
{
	assert_there(index);
	reads++;
	return registers[index - FIRST];
}

static void mock_msr_write(uint32_t index, uint64_t value)
{
	if (index == 0xda0) {
		xss = value;
		return;
	}
	assert_there(index);
	writes++;
	registers[index - FIRST] = value;
}

static bool mock_msr_write_safe(uint32_t index, uint64_t value)
{
	assert_int_equal(index, 0xda0);
	if (value & ~xss_accepts)
		return false;
	xss = value;
	return true;
}

void cpu_model_withhold(enum guest_feature f)
{
	withheld[f] = true;
}

static uint64_t table_address;
static unsigned table_writes;

static uint64_t mock_ssp_table(struct x86_vcpu *v __unused)
{
	return table_address;
}

static void mock_set_ssp_table(struct x86_vcpu *v __unused, uint64_t address)
{
	table_address = address;
	table_writes++;
}

static const struct vendor mock_vendor = {.ssp_table = mock_ssp_table,
					  .set_ssp_table = mock_set_ssp_table};

/* Three guests: two with everything, one with nothing. */
static struct guest_cpuid full, none;
static struct x86_vcpu a = {.cpuid = &full}, b = {.cpuid = &full}, plain = {.cpuid = &none};

static void offer(struct guest_cpuid *t, enum guest_feature f)
{
	t->model.feature[f / 64] |= BIT(f % 64);
}

static int setup(void **state)
{
	memset(registers, 0, sizeof(registers));
	memset(withheld, 0, sizeof(withheld));
	memset(&full, 0, sizeof(full));
	memset(held, 0, sizeof(held));
	memset(a.cet, 0, sizeof(a.cet));
	memset(b.cet, 0, sizeof(b.cet));
	offer(&full, GUEST_shstk);
	offer(&full, GUEST_ibt);
	test_cpu_index = 0;
	xss = reads = writes = table_writes = 0;
	xss_accepts = 0x1800;
	table_address = 0;
	vendor = &mock_vendor;
	cpu_info = (struct cpu_info){.vendor = CPU_VENDOR_INTEL, .linear_bits = 48};
	cpu_info.feature[CPU_XSAVE] = cpu_info.feature[CPU_XSAVES] = true;
	cpu_info.feature[CPU_SHSTK] = cpu_info.feature[CPU_IBT] = true;
	return maps_setup(state);
}

static void probe(bool switched, bool stacks, bool tracking)
{
	memset(withheld, 0, sizeof(withheld));
	cet_probe(switched);
	assert_int_equal(cet_caps.shadow_stacks, stacks);
	assert_int_equal(cet_caps.tracking, tracking);
	assert_int_equal(withheld[GUEST_shstk], !stacks);
	assert_int_equal(withheld[GUEST_ibt], !tracking);
	assert_int_equal(xss, 0);
}

static void who_may(void **state)
{
	probe(true, true, true);
	/* The vendor cannot switch the rest. */
	probe(false, false, false);
	/* One of the two alone. */
	cpu_info.feature[CPU_SHSTK] = false;
	probe(true, false, true);
	setup(state);
	cpu_info.feature[CPU_IBT] = false;
	probe(true, true, false);
	/* No tracking on AMD, even if the bit were there. */
	setup(state);
	cpu_info.vendor = CPU_VENDOR_AMD;
	probe(true, true, false);
	/* Both components of XSAVES, or nothing. */
	static const uint64_t accepts[] = {0, 0x800, 0x1000};
	for (unsigned i = 0; i < ARRAY_SIZE(accepts); i++) {
		setup(state);
		xss_accepts = accepts[i];
		probe(true, false, false);
	}
	setup(state);
	cpu_info.feature[CPU_XSAVES] = false;
	probe(true, false, false);
	setup(state);
	cpu_info.feature[CPU_XSAVE] = false;
	probe(true, false, false);
}

/* U_CET and PL0_SSP to PL3_SSP, and no other. */
static const uint32_t switched_msrs[] = {0x6a0, 0x6a4, 0x6a5, 0x6a6, 0x6a7};

static void paint(uint64_t seed)
{
	for (unsigned i = 0; i < COUNT; i++)
		registers[i] = seed + i;
}

static void expect(uint64_t seed)
{
	for (unsigned i = 0; i < ARRAY_SIZE(switched_msrs); i++)
		assert_int_equal(registers[switched_msrs[i] - FIRST],
				 seed ? seed + switched_msrs[i] - FIRST : 0);
}

static void expect_of(const struct x86_vcpu *v)
{
	for (unsigned i = 0; i < ARRAY_SIZE(switched_msrs); i++)
		assert_int_equal(registers[switched_msrs[i] - FIRST], v->cet[i]);
}

static void turns(void **state __unused)
{
	cet_restore(&a);
	expect(0);
	paint(0x1000);
	cet_save(&a);
	assert_int_equal(reads, 5);
	cet_restore(&b);
	expect(0);
	/* The others are in the VMCS or VMCB. */
	assert_int_equal(registers[0x6a2 - FIRST], 0x1002);
	assert_int_equal(registers[0x6a8 - FIRST], 0x1008);
	paint(0x2000);
	cet_save(&b);
	cet_restore(&a);
	expect(0x1000);
	cet_save(&a);
	cet_restore(&b);
	expect(0x2000);
}

/* Only what differs is written: the next guest has two of the five like the last one. */
static void only_what_changed(void **state __unused)
{
	paint(0x1000);
	cet_save(&a);
	memcpy(b.cet, a.cet, sizeof(b.cet));
	b.cet[1] = b.cet[2] = b.cet[4] = 7;
	writes = 0;
	cet_restore(&b);
	assert_int_equal(writes, 3);
	expect_of(&b);
	/* It may have changed any of them, and is gone without having been saved: a reset. */
	paint(0x2000);
	cet_restore(&a);
	assert_int_equal(writes, 8);
	expect(0x1000);
}

/* A guest without them sees nothing, and costs nothing once the CPU is clean. */
static void without(void **state __unused)
{
	cet_restore(&plain);
	cet_save(&plain);
	assert_int_equal(reads + writes, 0);
	cet_restore(&a);
	paint(0x1000);
	cet_save(&a);
	reads = writes = 0;
	cet_restore(&plain);
	expect(0);
	assert_int_equal(writes, 5);
	cet_save(&plain);
	cet_restore(&plain);
	assert_int_equal(writes, 5);
	assert_int_equal(reads, 0);
	cet_restore(&a);
	expect(0x1000);
	/* Each CPU by itself. */
	test_cpu_index = 1;
	writes = 0;
	cet_restore(&plain);
	assert_int_equal(writes, 0);
	test_cpu_index = 0;
	cet_restore(&plain);
	assert_int_equal(writes, 5);
}

static void one_of_the_two(void **state __unused)
{
	memset(&full, 0, sizeof(full));
	assert_false(cet_offered(&a));
	offer(&full, GUEST_ibt);
	assert_true(cet_offered(&a));
	/* On a CPU that has tracking alone. */
	cpu_info.feature[CPU_SHSTK] = false;
	cet_restore(&a);
	registers[0] = 0x1000;
	cet_save(&a);
	cet_restore(&plain);
	assert_int_equal(registers[0], 0);
	cet_restore(&a);
	assert_int_equal(registers[0], 0x1000);
	assert_int_equal(reads, 1);
	memset(&full, 0, sizeof(full));
	offer(&full, GUEST_shstk);
	assert_true(cet_offered(&a));
}

static void reset_and_init(void **state __unused)
{
	cet_restore(&a);
	paint(0x1000);
	cet_save(&a);
	cet_reset(&a);
	/* Who has the CPU keeps it; the next one to load it is new. */
	assert_int_equal(registers[0], 0x1000);
	cet_restore(&a);
	expect(0);
	/* INIT, while it is somewhere else, and here. */
	paint(0x1000);
	cet_save(&a);
	writes = 0;
	cet_init(&a, false);
	assert_int_equal(writes, 0);
	cet_restore(&a);
	expect(0);
	paint(0x1000);
	cet_init(&a, true);
	expect(0);
}

/* What firmware left is gone before the first guest, and no register is touched that is not there.
 */
static void on_each_cpu(void **state)
{
	static const struct {
		bool stacks, tracking;
		unsigned writes;
	} cpus[] = {{false, false, 0}, {true, false, 7}, {false, true, 2}, {true, true, 7}};

	for (unsigned i = 0; i < ARRAY_SIZE(cpus); i++) {
		setup(state);
		cpu_info.feature[CPU_SHSTK] = cpus[i].stacks;
		cpu_info.feature[CPU_IBT] = cpus[i].tracking;
		paint(0x1000);
		cet_cpu_on();
		assert_int_equal(writes, cpus[i].writes);
		assert_int_equal(registers[0], cpus[i].writes ? 0 : 0x1000);
		assert_int_equal(registers[2], cpus[i].writes ? 0 : 0x1002);
		for (unsigned k = 4; k < COUNT; k++)
			assert_int_equal(registers[k], cpus[i].stacks ? 0 : 0x1000 + k);
	}
}

static void table_msr(void **state __unused)
{
	static const uint64_t good[] = {0,	   1, 0x1000, 0x7fffffffffff, 0xffff800000000000,
					UINT64_MAX};
	static const uint64_t bad[] = {0x800000000000, 0xffff7fffffffffff, BIT(63)};
	uint64_t value;

	use_table(cet_rows, CET_ROWS);
	a.base.vm = &vm;
	msr_create(&a);
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(msr_guest_write(&a, 0x6a8, good[i]), MSR_OK);
		assert_int_equal(table_address, good[i]);
		assert_int_equal(msr_guest_read(&a, 0x6a8, &value), MSR_OK);
		assert_int_equal(value, good[i]);
	}
	table_writes = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(msr_guest_write(&a, 0x6a8, bad[i]), MSR_INVALID);
	assert_int_equal(table_writes, 0);
	/* With five levels of paging, addresses are wider. */
	cpu_info.linear_bits = 57;
	assert_int_equal(msr_guest_write(&a, 0x6a8, 0x800000000000), MSR_OK);
	assert_int_equal(msr_guest_write(&a, 0x6a8, 0x100000000000000), MSR_INVALID);
}

static bool direct[COUNT][2];

static void note(uint32_t index, bool read, bool write, void *map __unused)
{
	assert_in_range(index, FIRST, FIRST + COUNT - 1);
	direct[index - FIRST][0] |= read;
	direct[index - FIRST][1] |= write;
}

/* What the permission maps let through: by number, for each pair of features. */
static void maps(void **state)
{
	for (unsigned pair = 0; pair < 4; pair++) {
		bool stacks = pair & 1, tracking = pair & 2;
		uint64_t value;

		setup(state);
		use_table(cet_rows, CET_ROWS);
		has_shstk = stacks;
		has_ibt = tracking;
		a.base.vm = &vm;
		msr_create(&a);
		memset(direct, 0, sizeof(direct));
		msr_visit_direct(&a, note, NULL);
		for (unsigned k = 0; k < 2; k++) {
			assert_int_equal(direct[0][k], stacks || tracking); /* U_CET */
			assert_false(direct[1][k]);
			assert_int_equal(direct[2][k], stacks || tracking); /* S_CET */
			assert_false(direct[3][k]);
			for (unsigned i = 4; i < 8; i++)
				assert_int_equal(direct[i][k], stacks); /* PL0 to PL3_SSP */
			assert_false(direct[8][k]);			/* the table */
		}
		/* Those that still make an exit. */
		for (uint32_t i = FIRST; i < FIRST + COUNT; i++)
			if (!direct[i - FIRST][0])
				assert_int_equal(msr_guest_read(&a, i, &value),
						 i == 0x6a8 && stacks ? MSR_OK : MSR_UNSUPPORTED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(who_may, setup),	   cmocka_unit_test_setup(turns, setup),
		cmocka_unit_test_setup(only_what_changed, setup),
		cmocka_unit_test_setup(without, setup),	   cmocka_unit_test_setup(one_of_the_two, setup),
		cmocka_unit_test_setup(reset_and_init, setup),
		cmocka_unit_test_setup(on_each_cpu, setup),
		cmocka_unit_test_setup(table_msr, setup),  cmocka_unit_test_setup(maps, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
