/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI tables: root pointer, checksums, MADT, FADT and what they promise. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "acpi";

void test_main(void)
{
	static const char *const wanted[] = {"FACP", "APIC"};

	if (!check(acpi_rsdp(), "no root pointer"))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
		const struct acpi_header *t = acpi_find(wanted[i]);

		if (check(t, "no %s", wanted[i]))
			check(acpi_checksum_ok(t, t->length), "checksum of %s", wanted[i]);
	}
	const uint8_t *madt = (const uint8_t *)acpi_find("APIC");
	const uint8_t *fadt = (const uint8_t *)acpi_find("FACP");
	if (!madt || !fadt)
		return;
	uint32_t lapic, length, dsdt, timer;
	unsigned cpus = 0, ioapics = 0;
	memcpy(&lapic, madt + 36, 4);
	memcpy(&length, madt + 4, 4);
	check(lapic == LAPIC_BASE, "local APIC at %#x", lapic);
	for (uint32_t at = 44; at + 2 <= length && madt[at + 1]; at += madt[at + 1]) {
		uint32_t addr;

		if (madt[at] == 0 && (madt[at + 4] & 1))
			cpus++;
		if (madt[at] == 1) {
			ioapics++;
			memcpy(&addr, madt + at + 4, 4);
			check(addr == IOAPIC_BASE, "I/O APIC at %#x", addr);
		}
	}
	check(cpus == 1 && ioapics == 1, "%u CPUs, %u I/O APICs", cpus, ioapics);
	memcpy(&dsdt, fadt + 40, 4);
	memcpy(&timer, fadt + 76, 4);
	check(timer == PM_TIMER_PORT, "PM timer at %#x", timer);
	const struct acpi_header *d = (const struct acpi_header *)(uintptr_t)dsdt;
	check(!memcmp(d->signature, "DSDT", 4) && acpi_checksum_ok(d, d->length), "DSDT");
}
