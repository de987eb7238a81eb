/* SPDX-License-Identifier: BSD-2-Clause */
/* Ends by a triple fault: the host must say so, and go on. Never passes by itself. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "triple_fault";

void test_main(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __packed none = {0, 0};

	print("INFO: triple_fault: about to fault\n");
	__asm__ volatile("lidt %0; ud2" ::"m"(none));
}
