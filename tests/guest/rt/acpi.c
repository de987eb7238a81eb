/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI tables as a test guest finds them, and power-off through them. */
#include "rt.h"

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t checksum2, reserved[3];
} __packed;

bool acpi_checksum_ok(const void *p, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)p)[i]);
	return sum == 0;
}

uintptr_t acpi_rsdp(void)
{
	for (uintptr_t a = 0xe0000; a < 0x100000; a += 16)
		if (!memcmp((const void *)a, "RSD PTR ", 8) &&
		    acpi_checksum_ok((const void *)a, 20))
			return a;
	return 0;
}

const struct acpi_header *acpi_find(const char *signature)
{
	const struct rsdp *rsdp = (const struct rsdp *)acpi_rsdp();
	const struct acpi_header *root, *table;

	if (!rsdp)
		return NULL;
	bool wide = rsdp->revision >= 2 && rsdp->xsdt;
	root = (const struct acpi_header *)(uintptr_t)(wide ? rsdp->xsdt : rsdp->rsdt);
	for (uint32_t at = sizeof(*root); at < root->length; at += wide ? 8 : 4) {
		uint64_t entry = 0;

		memcpy(&entry, (const uint8_t *)root + at, wide ? 8 : 4);
		table = (const struct acpi_header *)(uintptr_t)entry;
		if (!memcmp(table->signature, signature, 4))
			return table;
	}
	return NULL;
}

uint16_t acpi_pm_timer(void)
{
	const uint8_t *fadt = (const uint8_t *)acpi_find("FACP");
	uint32_t port = PM_TIMER_PORT;

	if (fadt)
		memcpy(&port, fadt + 76, 4);
	return (uint16_t)port;
}

void acpi_poweroff(void)
{
	const uint8_t *fadt = (const uint8_t *)acpi_find("FACP");
	uint32_t dsdt_addr, port;

	if (!fadt)
		return;
	memcpy(&dsdt_addr, fadt + 40, 4);
	memcpy(&port, fadt + 64, 4);
	const struct acpi_header *dsdt = (const struct acpi_header *)(uintptr_t)dsdt_addr;
	const uint8_t *p = (const uint8_t *)(dsdt + 1);

	/* Name (_S5, Package { SLP_TYP, ... }): NameOp, name, PackageOp, length, count, number. */
	for (uint32_t i = 0; i + 48 < dsdt->length; i++) {
		if (memcmp(p + i, "_S5_\x12", 5))
			continue;
		const uint8_t *q = p + i + 5;

		q += (*q >> 6) + 2;
		uint8_t type = *q == 0x0a ? q[1] : *q == 1 ? 1 : 0;
		outw((uint16_t)port, (uint16_t)(1 << 13 | type << 10));
		delay_us(100000);
		return;
	}
}
