/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs for ever with interrupts off: only the administrator can end it. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "spin";

void test_main(void)
{
	print("INFO: spin: running\n");
	irq_off();
	for (;;)
		barrier();
}
