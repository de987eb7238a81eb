/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns itself off through ACPI: PM1a_CNT and the _S5 package of the DSDT. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "poweroff";

void test_main(void)
{
	print("INFO: poweroff: about to turn off\n");
	acpi_poweroff();
	fail("still on");
}
