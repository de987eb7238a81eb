/* SPDX-License-Identifier: BSD-2-Clause */
/* Real mode: interrupts, ports, CPUID, segments beyond 64 KiB, and the way there and back. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "realmode";

void test_main(void)
{
	uint32_t version, leaf = cpuid(0, 0).eax;

	lapic_enable();
	lapic_write(LAPIC_LVT0, 0x700);
	version = lapic_read(LAPIC_VERSION);
	/* Otherwise the first INT n there meets a nested page fault. */
	if (option("touch-stack"))
		WRITE_ONCE(*(uint32_t *)0x7bf0, 0);
	for (unsigned i = 0; i < 20; i++) {
		mode_call(MODE_REAL);
		check(mode_result.cpuid_eax == leaf, "CPUID gives %#x", mode_result.cpuid_eax);
		check(mode_result.port == 0xffffffff, "port gives %#x", mode_result.port);
		check(mode_result.lapic == version, "APIC version %#x", mode_result.lapic);
		check(mode_result.tpr == 0x50, "TPR %#x", mode_result.tpr);
		check(mode_result.sum == 5050, "sum %u", mode_result.sum);
		check(mode_result.string == 0xff, "string input %#x", mode_result.string);
		check(mode_result.interrupts == 2, "%u interrupts", mode_result.interrupts);
	}
}
