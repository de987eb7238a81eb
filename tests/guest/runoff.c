/* SPDX-License-Identifier: BSD-2-Clause */
/* Jumps into memory that is not there: the host kills it and says why. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "runoff";

void test_main(void)
{
	print("INFO: runoff: about to jump\n");
	((void (*)(void))0x80000000)();
}
