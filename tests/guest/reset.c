/* SPDX-License-Identifier: BSD-2-Clause */
/* Resets itself by the way named on its command line, from clean memory each time. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "reset";

void test_main(void)
{
	volatile uint64_t *mark = (volatile uint64_t *)(48 * MiB);

	check(!*mark, "memory is not clean: %#lx", *mark);
	*mark = 0x6d61726b;
	print("INFO: reset: started\n");
	if (!option("at-once"))
		delay_us(300000);
	if (option("cf9"))
		outb(0xcf9, 6);
	else if (option("fast"))
		outb(0x92, 1);
	else
		outb(0x64, 0xfe);
	delay_us(1000000);
	fail("still here");
}
