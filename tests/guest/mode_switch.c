/* SPDX-License-Identifier: BSD-2-Clause */
/* Compatibility, protected, 32-bit paged and PAE mode, again and again. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "mode_switch";

void test_main(void)
{
	uint32_t version, leaf = cpuid(0, 0).eax;

	lapic_enable();
	version = lapic_read(LAPIC_VERSION);
	for (unsigned i = 0; i < 80; i++) {
		enum mode mode = (enum mode)(i % 4);

		mode_call(mode);
		check(mode_result.cpuid_eax == leaf, "mode %d: CPUID gives %#x", (int)mode,
		      mode_result.cpuid_eax);
		check(mode_result.port == 0xffffffff, "mode %d: port gives %#x", (int)mode,
		      mode_result.port);
		check(mode_result.lapic == version, "mode %d: APIC version %#x", (int)mode,
		      mode_result.lapic);
		check(mode_result.sum == 5050, "mode %d: sum %u", (int)mode, mode_result.sum);
		check(mode_result.tpr == 0x50, "mode %d: TPR %#x", (int)mode, mode_result.tpr);
		check(mode_result.string == 0xff, "mode %d: string input %#x", (int)mode,
		      mode_result.string);
	}
	check(rdmsr(0xc0000080) & BIT(10), "EFER.LMA is clear");
}
