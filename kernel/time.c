/* SPDX-License-Identifier: BSD-2-Clause */
/* Time since boot from the TSC, wall time from the machine's clock at boot. */
#include "socle/cpu/regs.h"
#include "socle/cpu/tsc.h"
#include "socle/kernel/clock.h"
#include "socle/kernel/time.h"

static uint64_t base_tsc;
static uint64_t wall_at_boot; /* seconds since 1970 */

void time_init(uint64_t boot_tsc)
{
	base_tsc = boot_tsc;
}

void time_set_wall(uint64_t seconds)
{
	wall_at_boot = seconds - time_now() / NS_PER_SEC;
}

uint64_t time_of_tsc(uint64_t tsc)
{
	return (unsigned __int128)(tsc - base_tsc) * tsc_to_ns >> 32;
}

uint64_t time_now(void)
{
	return time_of_tsc(rdtsc());
}

uint64_t time_wall(void)
{
	return wall_at_boot + time_now() / NS_PER_SEC;
}
