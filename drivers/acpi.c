/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the machine's ACPI tables: MADT for processors and interrupts, FADT and \_S5 for power. */
#include "socle/drivers/acpi.h"
#include "socle/report.h"
#include "socle/mm/paging.h"
#include "socle/string.h"

/* ACPI 6.5, 5.2.5.3. */
struct __packed rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t checksum2;
	uint8_t reserved[3];
};
_Static_assert(sizeof(struct rsdp) == 36, "RSDP");

/* ACPI 6.5, 5.2.6. */
struct __packed sdt {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision, creator, creator_revision;
};
_Static_assert(sizeof(struct sdt) == 36, "SDT header");

enum {
	FADT_DSDT = 40, FADT_PM1A_CNT = 64, FADT_PM1B_CNT = 68, FADT_FLAGS = 112,
	FADT_RESET_REG = 116, FADT_RESET_VALUE = 128, FADT_FLAG_RESET = 1 << 10,
	GAS_IO = 1, RSDP_V1_SIZE = 20, MAX_TABLE = 1 << 20,
	MADT_ENTRIES = 44, MADT_LAPIC_ADDRESS = 36,
	MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_OVERRIDE = 5, MADT_X2APIC = 9,
	LAPIC_ENABLED = 1,
};

struct acpi_info acpi_info;

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

static bool checksum_ok(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (len--)
		sum += *b++;
	return sum == 0;
}

static const struct rsdp *search(uint64_t start, uint64_t end)
{
	for (uint64_t pa = start; pa < end; pa += 16) {
		const struct rsdp *r = paging_map_readonly(pa, sizeof(*r));

		if (!memcmp(r->signature, "RSD PTR ", 8) && checksum_ok(r, RSDP_V1_SIZE))
			return r;
	}
	return NULL;
}

/* Maps a table whole and checks it; NULL if damaged. */
static const uint8_t *open_table(uint64_t pa, size_t *len)
{
	const struct sdt *t;

	if (!pa)
		return NULL;
	t = paging_map_readonly(pa, sizeof(*t));
	if (t->length < sizeof(*t) || t->length > MAX_TABLE)
		return NULL;
	*len = t->length;
	t = paging_map_readonly(pa, *len);
	if (!checksum_ok(t, *len)) {
		log_warn("acpi: table %.4s has a bad checksum, ignored", t->signature);
		return NULL;
	}
	return (const uint8_t *)t;
}

static void madt_override(const uint8_t *e)
{
	unsigned irq = e[3];
	uint16_t flags = get(e + 8, 2);

	if (irq >= ARRAY_SIZE(acpi_info.isa))
		return;
	acpi_info.isa[irq] = (struct acpi_irq){
		.gsi = get(e + 4, 4),
		.active_low = (flags & 3) == 3,
		.level = (flags >> 2 & 3) == 3,
	};
}

/* Firmware may list a processor twice: with a short and with a long APIC ID. */
static void madt_cpu(uint32_t apic_id, uint32_t flags)
{
	if (!(flags & LAPIC_ENABLED) || acpi_info.cpus == ACPI_MAX_CPUS)
		return;
	for (unsigned i = 0; i < acpi_info.cpus; i++)
		if (acpi_info.cpu_apic_id[i] == apic_id)
			return;
	acpi_info.cpu_apic_id[acpi_info.cpus++] = apic_id;
}

static void read_madt(const uint8_t *t, size_t len)
{
	if (len < MADT_ENTRIES)
		return;
	acpi_info.lapic = get(t + MADT_LAPIC_ADDRESS, 4);
	for (size_t at = MADT_ENTRIES; at + 2 <= len && t[at + 1] >= 2; at += t[at + 1]) {
		const uint8_t *e = t + at;
		size_t size = e[1];

		if (at + size > len)
			return;
		if (e[0] == MADT_LAPIC && size >= 8)
			madt_cpu(e[3], get(e + 4, 4));
		else if (e[0] == MADT_X2APIC && size >= 16)
			madt_cpu(get(e + 4, 4), get(e + 8, 4));
		else if (e[0] == MADT_IOAPIC && size >= 12 && !acpi_info.ioapic) {
			acpi_info.ioapic = get(e + 4, 4);
			acpi_info.ioapic_gsi = get(e + 8, 4);
		} else if (e[0] == MADT_OVERRIDE && size >= 10)
			madt_override(e);
		else if (e[0] == MADT_LAPIC_OVERRIDE && size >= 12)
			acpi_info.lapic = get(e + 4, 8);
	}
}

/* An AML integer of \_S5's package (ACPI 6.5, 20.2.3): zero, one, or a byte after its prefix. */
static const uint8_t *aml_byte(const uint8_t *p, const uint8_t *end, uint16_t *value)
{
	enum { AML_ZERO = 0, AML_ONE = 1, AML_BYTE = 0x0a };

	if (p < end && (*p == AML_ZERO || *p == AML_ONE)) {
		*value = *p;
		return p + 1;
	}
	if (p + 1 >= end || *p != AML_BYTE)
		return NULL;
	*value = p[1];
	return p + 2;
}

/* Name(_S5_, Package(){typ_a, typ_b, ...}): found by its bytes, since we interpret no AML. */
static void read_s5(const uint8_t *dsdt, size_t len)
{
	enum { AML_PACKAGE = 0x12, UP_TO_LENGTH = 6 };

	for (size_t i = sizeof(struct sdt); i + UP_TO_LENGTH <= len; i++) {
		const uint8_t *p = dsdt + i + 4;

		if (memcmp(dsdt + i, "_S5_", 4) || *p++ != AML_PACKAGE)
			continue;
		p += 1 + (*p >> 6) + 1; /* package length, number of elements */
		p = aml_byte(p, dsdt + len, &acpi_info.s5_type_a);
		if (p && aml_byte(p, dsdt + len, &acpi_info.s5_type_b))
			acpi_info.has_s5 = true;
		return;
	}
}

static void read_fadt(const uint8_t *t, size_t len)
{
	const uint8_t *dsdt;
	size_t dsdt_len;

	if (len < FADT_FLAGS + 4)
		return;
	acpi_info.pm1a_control = get(t + FADT_PM1A_CNT, 4);
	acpi_info.pm1b_control = get(t + FADT_PM1B_CNT, 4);
	if (len > FADT_RESET_VALUE && (get(t + FADT_FLAGS, 4) & FADT_FLAG_RESET) &&
	    t[FADT_RESET_REG] == GAS_IO) {
		acpi_info.has_reset = true;
		acpi_info.reset_port = get(t + FADT_RESET_REG + 4, 2);
		acpi_info.reset_value = t[FADT_RESET_VALUE];
	}
	dsdt = open_table(get(t + FADT_DSDT, 4), &dsdt_len);
	if (dsdt)
		read_s5(dsdt, dsdt_len);
}

static void defaults(void)
{
	acpi_info.lapic = 0xfee00000;
	for (unsigned i = 0; i < ARRAY_SIZE(acpi_info.isa); i++)
		acpi_info.isa[i] = (struct acpi_irq){.gsi = i};
}

status_t acpi_init(const void *given)
{
	const struct rsdp *rsdp = given;
	const uint8_t *root;
	size_t len, width;

	defaults();
	if (!rsdp) {
		uint64_t ebda = get(paging_map_readonly(0x40e, 2), 2) << 4;

		if (ebda >= 0x400)
			rsdp = search(ebda, ebda + KiB);
		if (!rsdp)
			rsdp = search(0xe0000, 0x100000);
	}
	if (!rsdp)
		return -S_NOENT;
	width = rsdp->revision >= 2 && rsdp->xsdt ? 8 : 4;
	root = open_table(width == 8 ? rsdp->xsdt : rsdp->rsdt, &len);
	if (!root)
		return -S_INVAL;
	for (size_t at = sizeof(struct sdt); at + width <= len; at += width) {
		size_t table_len;
		const uint8_t *t = open_table(get(root + at, width), &table_len);

		if (t && !memcmp(t, "APIC", 4))
			read_madt(t, table_len);
		else if (t && !memcmp(t, "FACP", 4))
			read_fadt(t, table_len);
	}
	acpi_info.found = true;
	return 0;
}
