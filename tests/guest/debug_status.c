/* SPDX-License-Identifier: BSD-2-Clause */
/* Ends with status 42 by the debug-exit port. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "debug_status";

void test_main(void)
{
	print("INFO: debug_status: 42\n");
	exit_with(42);
}
