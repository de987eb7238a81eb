/* SPDX-License-Identifier: BSD-2-Clause */
/* The smallest test guest: it starts, prints and ends. */
#include "rt.h"

const char test_name[] = "hello";

void test_main(void)
{
	check(entry_eax == 0x2badb002, "multiboot magic is %#x", entry_eax);
}
