/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns protected mode off while paging is on: a fault, or the end of this guest alone. */
#include "rt.h"

const char test_name[] = "cr_kill";

void test_main(void)
{
	print("INFO: cr_kill: about to write CR0\n");
	EXCEPTION_OF(write_cr0(read_cr0() & ~BIT(0)));
	cpuid(0, 0);
}
