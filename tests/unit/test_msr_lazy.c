/* SPDX-License-Identifier: BSD-2-Clause */
/* MSRs that are switched lazily: registration, failures, and each write that is saved or not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "panic_mock.h"
#include "socle/cpu/cpu.h"
#include "socle/cpu/msr.h"

/* The MSRs of two CPUs: a row each, from FIRST on. */
enum { CPUS = 2, FIRST = 0x100, MSRS = 20, HOST = 1000 };
static struct {
	uint64_t value;
	bool absent, read_only;
	unsigned writes;
} msrs[CPUS][MSRS];

#define MSR(index) msrs[test_cpu_index][(index)-FIRST]

static bool mock_read(uint32_t index, uint64_t *value)
{
	assert_in_range(index, FIRST, FIRST + MSRS - 1);
	*value = MSR(index).absent ? 0 : MSR(index).value;
	return !MSR(index).absent;
}

static uint64_t mock_read_sure(uint32_t index)
{
	uint64_t value;

	assert_true(mock_read(index, &value));
	return value;
}

static bool mock_write(uint32_t index, uint64_t value)
{
	assert_in_range(index, FIRST, FIRST + MSRS - 1);
	if (MSR(index).absent || MSR(index).read_only)
		return false;
	MSR(index).value = value;
	MSR(index).writes++;
	return true;
}

#define msr_read(index)		     mock_read_sure(index)
#define msr_read_safe(index, value)  mock_read(index, value)
#define msr_write_safe(index, value) mock_write(index, value)
#define msr_write_ns(index, value)   assert_true(mock_write(index, value))
#include "../../arch/x86/cpu/msr_lazy.c"

static int setup(void **state __unused)
{
	msr_lazy_reset();
	memset(msrs, 0, sizeof(msrs));
	logged_lines = 0;
	for (test_cpu_index = CPUS; test_cpu_index-- > 0;)
		for (unsigned i = 0; i < MSRS; i++)
			msrs[test_cpu_index][i].value = HOST + i;
	test_cpu_index = 0;
	return 0;
}

static unsigned add(uint32_t index, bool direct)
{
	unsigned slot = 99;

	assert_int_equal(msr_lazy_add(index, direct, &slot), 0);
	return slot;
}

static void slots_in_order(void **state __unused)
{
	unsigned slot;

	for (unsigned i = 0; i < MSR_LAZY_MAX; i++)
		assert_int_equal(add(FIRST + i, i & 1), i);
	assert_int_equal(msr_lazy_add(FIRST + MSR_LAZY_MAX, false, &slot), -S_NOSPC);
	/* Again is the same slot, also in a full table. */
	for (unsigned i = 0; i < MSR_LAZY_MAX; i++) {
		assert_int_equal(add(FIRST + i, i & 1), i);
		assert_int_equal(msr_lazy_add(FIRST + i, !(i & 1), &slot), -S_INVAL);
		assert_int_equal(MSR(FIRST + i).value, HOST + i);
		assert_int_equal(MSR(FIRST + i).writes, 1); /* the trial */
	}
	assert_int_equal(MSR(FIRST + MSR_LAZY_MAX).writes, 0);
	assert_int_equal(logged_lines, 0);
}

static void missing_ones_are_refused(void **state __unused)
{
	unsigned slot;

	MSR(FIRST).absent = true;
	MSR(FIRST + 1).read_only = true;
	assert_int_equal(msr_lazy_add(FIRST, false, &slot), -S_NOTSUP);
	assert_int_equal(msr_lazy_add(FIRST + 1, false, &slot), -S_NOTSUP);
	assert_int_equal(add(FIRST + 2, false), 0);
}

static void too_late(void **state __unused)
{
	unsigned slot;

	add(FIRST, false);
	assert_int_equal(msr_lazy_cpu_on(), 0);
	assert_int_equal(msr_lazy_add(FIRST + 1, false, &slot), -S_BUSY);
	assert_int_equal(logged_lines, 1);
	assert_int_equal(msr_lazy_add(FIRST, false, &slot), -S_BUSY);
	assert_panics(msr_lazy_set(1, 5));
	assert_panics(msr_lazy_get(1));
	assert_int_equal(MSR(FIRST + 1).writes, 0);
}

static void setup_that_failed_is_forgotten(void **state __unused)
{
	unsigned slot;

	add(FIRST + 3, true);
	MSR(FIRST + 4).absent = true;
	assert_int_equal(msr_lazy_add(FIRST + 4, true, &slot), -S_NOTSUP);
	msr_lazy_reset();
	assert_int_equal(count, 0);
	assert_panics(msr_lazy_set(0, 5));
	assert_int_equal(add(FIRST + 5, false), 0);
	assert_int_equal(add(FIRST + 3, false), 1); /* as new */
	assert_int_equal(msr_lazy_cpu_on(), 0);
	msr_lazy_set(0, 7);
	assert_int_equal(MSR(FIRST + 5).value, 7);
	assert_int_equal(MSR(FIRST + 3).writes, 2);
}

/* The whole of it twice, as if the hypervisor started again with other values in the registers. */
static void second_life(void **state __unused)
{
	for (unsigned life = 1; life <= 2; life++) {
		MSR(FIRST).value = life;
		assert_int_equal(add(FIRST, false), 0);
		assert_int_equal(msr_lazy_cpu_on(), 0);
		msr_lazy_set(0, 50);
		assert_int_equal(MSR(FIRST).value, 50);
		msr_lazy_restore();
		assert_int_equal(MSR(FIRST).value, life);
		msr_lazy_reset();
	}
}

static void cpu_that_lacks_one(void **state __unused)
{
	add(FIRST, false);
	add(FIRST + 1, false);
	assert_int_equal(msr_lazy_cpu_on(), 0);
	test_cpu_index = 1;
	MSR(FIRST + 1).absent = true;
	assert_int_equal(msr_lazy_cpu_on(), -S_NOTSUP);
	assert_panics(msr_lazy_set(0, 5));
	assert_panics(msr_lazy_get(0));
	msr_lazy_restore();
	assert_int_equal(MSR(FIRST).writes, 0);
	/* The other goes on. */
	test_cpu_index = 0;
	msr_lazy_set(0, 5);
	assert_int_equal(MSR(FIRST).value, 5);
}

static void equal_values_are_not_written(void **state __unused)
{
	unsigned slot = add(FIRST, false);

	assert_int_equal(msr_lazy_cpu_on(), 0);
	MSR(FIRST).writes = 0;
	msr_lazy_set(slot, HOST);
	assert_int_equal(MSR(FIRST).writes, 0);
	msr_lazy_set(slot, 1);
	msr_lazy_set(slot, 1);
	assert_int_equal(MSR(FIRST).writes, 1);
	msr_lazy_set(slot, 2);
	assert_int_equal(MSR(FIRST).value, 2);
	assert_int_equal(MSR(FIRST).writes, 2);
	/* Turning it on again does not take a guest's value for the host's. */
	assert_int_equal(msr_lazy_cpu_on(), 0);
	msr_lazy_restore();
	assert_int_equal(MSR(FIRST).value, HOST);
	assert_int_equal(MSR(FIRST).writes, 3);
	msr_lazy_restore();
	assert_int_equal(MSR(FIRST).writes, 3);
}

static void direct_ones_may_have_changed(void **state __unused)
{
	unsigned slot = add(FIRST, true);

	assert_int_equal(msr_lazy_cpu_on(), 0);
	MSR(FIRST).writes = 0;
	msr_lazy_set(slot, HOST); /* nobody but us wrote it so far */
	assert_int_equal(MSR(FIRST).writes, 0);
	MSR(FIRST).value = 77; /* the guest */
	msr_lazy_set(slot, HOST);
	assert_int_equal(MSR(FIRST).value, HOST);
	assert_int_equal(MSR(FIRST).writes, 1);
	MSR(FIRST).value = 78;
	assert_int_equal(msr_lazy_get(slot), 78);
	msr_lazy_set(slot, 78); /* the next guest's value is the same */
	assert_int_equal(MSR(FIRST).writes, 1);
	MSR(FIRST).value = 79;
	msr_lazy_restore();
	assert_int_equal(MSR(FIRST).value, HOST);
	assert_int_equal(MSR(FIRST).writes, 2);
	msr_lazy_restore();
	msr_lazy_set(slot, HOST);
	assert_int_equal(MSR(FIRST).writes, 2);
}

static void each_cpu_has_its_own(void **state __unused)
{
	unsigned slot = add(FIRST, false);

	msrs[1][0].value = 3;
	for (test_cpu_index = 0; test_cpu_index < CPUS; test_cpu_index++) {
		assert_int_equal(msr_lazy_cpu_on(), 0);
		msr_lazy_set(slot, 40);
		assert_int_equal(MSR(FIRST).value, 40);
	}
	test_cpu_index = 1;
	msr_lazy_restore();
	assert_int_equal(msrs[1][0].value, 3);
	assert_int_equal(msrs[0][0].value, 40);
	test_cpu_index = 0;
	msr_lazy_restore();
	assert_int_equal(msrs[0][0].value, HOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(slots_in_order, setup),
		cmocka_unit_test_setup(missing_ones_are_refused, setup),
		cmocka_unit_test_setup(too_late, setup),
		cmocka_unit_test_setup(setup_that_failed_is_forgotten, setup),
		cmocka_unit_test_setup(second_life, setup),
		cmocka_unit_test_setup(cpu_that_lacks_one, setup),
		cmocka_unit_test_setup(equal_values_are_not_written, setup),
		cmocka_unit_test_setup(direct_ones_may_have_changed, setup),
		cmocka_unit_test_setup(each_cpu_has_its_own, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
