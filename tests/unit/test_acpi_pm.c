/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI fixed hardware: event and control registers in all widths, the SCI, power-off, the timer. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "platform_mock.h"
#include "../../platform/acpi_pm.c"

static struct acpi_pm pm;
static bool sci;
static unsigned poweroffs;

void irq_line_set(struct board *board, unsigned irq, bool asserted)
{
	assert_ptr_equal(board, &mock_board);
	assert_chips_held();
	assert_int_equal(irq, 9);
	assert_true(asserted != sci);
	sci = asserted;
}

void vm_poweroff(struct vm *vm)
{
	assert_null(vm);
	poweroffs++;
}

static int setup(void **state __unused)
{
	mock_reset();
	sci = false;
	poweroffs = 0;
	pm = (struct acpi_pm){0};
	assert_int_equal(acpi_pm_init(&pm, &mock_bus, &mock_board, NULL), 0);
	acpi_pm_reset(&pm);
	return 0;
}

static void always_in_acpi_mode(void **state __unused)
{
	assert_int_equal(in(0x604, 2), 0x0001);
	out(0x604, 2, 0);
	assert_int_equal(in(0x604, 2), 0x0001);
	out(0x604, 2, 0x1c02);
	assert_int_equal(in(0x604, 2), 0x1c03);
	assert_int_equal(in(0x600, 4), 0);
}

static void power_button(void **state __unused)
{
	with_chips(acpi_pm_power_button(&pm));
	assert_false(sci); /* not enabled */
	assert_int_equal(in(0x600, 2), 0x0100);
	out(0x602, 2, 0xffff);
	assert_int_equal(in(0x602, 2), 0x0721);
	assert_true(sci);
	out(0x600, 2, 0x0200);
	assert_true(sci);
	out(0x600, 2, 0x0100); /* 1 clears */
	assert_false(sci);
	assert_int_equal(in(0x600, 2), 0);
}

static void all_widths(void **state __unused)
{
	with_chips(acpi_pm_power_button(&pm));
	out(0x603, 1, 0x01);
	assert_int_equal(in(0x602, 2), 0x0100);
	assert_true(sci);
	assert_int_equal(in(0x600, 4), 0x01000100);
	assert_int_equal(in(0x601, 1), 0x01);
	out(0x600, 4, 0x00200100); /* clears one, enables another */
	assert_int_equal(in(0x600, 4), 0x00200000);
	assert_false(sci);
	assert_int_equal(in(0x603, 2), 0x0100); /* odd, across two registers */
	with_chips(acpi_pm_power_button(&pm));
	out(0x601, 2, 0x0001); /* status high byte and enable low byte */
	assert_int_equal(in(0x600, 4), 0);
}

static void s5_turns_off(void **state __unused)
{
	out(0x604, 2, 0x2000);
	out(0x604, 2, 0x2000 | 3 << 10);
	out(0x604, 2, 5 << 10);
	assert_int_equal(poweroffs, 0);
	out(0x604, 2, 0x2000 | 5 << 10);
	assert_int_equal(poweroffs, 1);
	assert_int_equal(in(0x604, 2), 5 << 10 | 1); /* SLP_EN reads as 0 */
	out(0x605, 1, 0x34);			     /* the high byte alone */
	assert_int_equal(poweroffs, 2);
	out(0x602, 2, 0x3400);
	assert_int_equal(poweroffs, 2);
}

static void timer_rate(void **state __unused)
{
	uint32_t before = in(0x608, 4);

	for (unsigned i = 0; i < 1000; i++)
		run_for(NS_PER_MS);
	assert_int_equal(in(0x608, 4) - before, 3579545);
	out(0x608, 4, 0);
	assert_int_equal(in(0x608, 4) - before, 3579545);
	assert_int_equal(in(0x608, 1), (before + 3579545) & 0xff);
	assert_int_equal(in(0x60a, 2), (before + 3579545) >> 16);
	run_until(mul_div(1ull << 32, NS_PER_SEC, ACPI_PM_HZ) + 1);
	assert_int_equal(in(0x608, 4), 0);
}

static void timer_carry(void **state __unused)
{
	uint64_t half = mul_div(1ull << 31, NS_PER_SEC, ACPI_PM_HZ) + 1;

	assert_int_equal(armed_timers(), 0);
	run_until(half - 2);
	assert_int_equal(in(0x600, 2), 0);
	run_until(half);
	assert_int_equal(in(0x600, 2), 1); /* seen without any timer */
	assert_int_equal(mock_fired, 0);
	out(0x600, 2, 1);
	assert_int_equal(in(0x600, 2), 0);
	out(0x602, 2, 1);
	assert_int_equal(armed_timers(), 1);
	run_until(2 * half - 4);
	assert_false(sci);
	run_until(2 * half);
	assert_true(sci);
	assert_int_equal(armed_timers(), 0); /* nothing to do until it is cleared */
	out(0x600, 2, 1);
	assert_false(sci);
	assert_int_equal(armed_timers(), 1);
	acpi_pm_reset(&pm);
	assert_int_equal(armed_timers(), 0);
}

/* What another CPU has for the time may be a little behind what this one had. */
static void time_steps_back(void **state __unused)
{
	uint64_t half = mul_div(1ull << 31, NS_PER_SEC, ACPI_PM_HZ) + 1;
	uint32_t before;

	out(0x602, 2, 1);
	run_until(half);
	assert_true(sci);
	before = in(0x608, 4);
	assert_int_equal(before, 1u << 31);
	out(0x600, 2, 1);
	mock_now -= NS_PER_US;
	assert_int_equal(in(0x608, 4), before);
	assert_int_equal(in(0x600, 2), 0);
	assert_false(sci);
	run_for(2 * NS_PER_US);
	assert_int_equal(in(0x600, 2), 0);
	assert_in_range(in(0x608, 4), before + 1, before + 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(always_in_acpi_mode, setup),
		cmocka_unit_test_setup(power_button, setup),
		cmocka_unit_test_setup(all_widths, setup),
		cmocka_unit_test_setup(s5_turns_off, setup),
		cmocka_unit_test_setup(timer_rate, setup),
		cmocka_unit_test_setup(timer_carry, setup),
		cmocka_unit_test_setup(time_steps_back, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
