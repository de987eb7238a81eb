/* SPDX-License-Identifier: BSD-2-Clause */
/* An INIT takes a CPU's shadow stacks away: its registers are 0, and those of its neighbour are
 * not. */
#include "cet.h"
#include "smp.h"

const char test_name[] = "cet_init";

static const uint32_t registers[] = {MSR_U_CET,	  MSR_S_CET,   MSR_PL0_SSP,    MSR_PL1_SSP,
				     MSR_PL2_SSP, MSR_PL3_SSP, MSR_INT_SSP_TAB};

static uint64_t value_of(unsigned i, unsigned cpu)
{
	/* Of U_CET and S_CET a bit that does nothing by itself. */
	return i < 2 ? CET_WR_SHSTK_EN : 0x1000 * (cpu + 1) + 8 * i;
}

static void paint(void *unused)
{
	(void)unused;
	write_cr4(read_cr4() | CR4_CET);
	for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
		wrmsr(registers[i], value_of(i, cpu_id()));
}

static bool painted; /* its address stands for yes */

static void look(void *expect_values)
{
	unsigned cpu = cpu_id();

	for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
		check(rdmsr(registers[i]) == (expect_values ? value_of(i, cpu) : 0),
		      "CPU %u: msr %#x is %#lx", cpu, registers[i], rdmsr(registers[i]));
	check(!(read_cr4() & CR4_CET) == !expect_values, "CPU %u: CR4 is %#lx", cpu, read_cr4());
}

void test_main(void)
{
	if (!cpu_has_shstk())
		skip("no shadow stacks");
	smp_init(2, 2);
	smp_start_others();
	smp_run_all(look, NULL);
	for (unsigned n = 0; n < 3; n++) {
		smp_run_all(paint, NULL);
		smp_run_all(look, &painted);
		smp_park(1);
		if (!check(smp_start(1, SMP_PAGE), "CPU 1 does not start again"))
			return;
		smp_run(1, look, NULL);
		look(&painted);
		smp_join(1);
	}
	write_cr4(read_cr4() & ~CR4_CET);
}
