/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds RSDP, RSDT, XSDT, FADT, FACS and MADT around the compiled DSDT. */
#include "socle/platform/acpi_tables.h"
#include "socle/string.h"
#include "socle/platform/acpi_pm.h"
#include "socle/platform/ioapic.h"
#include "socle/platform/irq.h"
#include "socle/platform/reset.h"
#include "acpi_structures.h"
#include "socle/platform/pci.h"

/* platform/dsdt_aml.asm */
extern const uint8_t dsdt_aml[], dsdt_aml_end[];

#define LAPIC_ADDRESS	0xfee00000u
#define TIMER_GSI	2    /* as irq_line_set() wires it */
#define CENTURY_BYTE	0x32 /* as rtc.c has it */
#define SPACE_IO	1
#define PROFILE_SERVER	4 /* enterprise server: no screen, no lid, no battery */
#define LATENCY_NO_C2	101
#define LATENCY_NO_C3	1001
#define TABLE_ALIGNMENT 64

/* A buffer being filled, with where the guest will find it. */
struct builder {
	uint8_t *buf; /* start of all tables */
	size_t size;  /* bytes that fit */
	size_t used;  /* bytes taken, more than size if they did not fit */
	uint64_t gpa; /* guest-physical address of buf[0] */
};

/* Takes @bytes at the next multiple of @alignment; NULL if they do not fit. */
static void *take(struct builder *b, size_t bytes, size_t alignment)
{
	size_t at = ALIGN_UP(b->used, alignment);

	b->used = at + bytes;
	if (b->used > b->size)
		return NULL;
	memset(b->buf + at, 0, bytes);
	return b->buf + at;
}

static uint32_t gpa_of(const struct builder *b, const void *at)
{
	return (uint32_t)(b->gpa + (uint64_t)((const uint8_t *)at - b->buf));
}

/* The byte that makes all of them add up to 0. */
static uint8_t checksum(const void *table, size_t len)
{
	const uint8_t *bytes = table;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += bytes[i];
	return (uint8_t)-sum;
}

static void fill_header(struct acpi_header *header, const char *signature, uint8_t revision)
{
	memcpy(header->signature, signature, sizeof(header->signature));
	header->revision = revision;
	memcpy(header->oem_id, "SOCLE ", sizeof(header->oem_id));
	memcpy(header->oem_table_id, "SOCLEVM ", sizeof(header->oem_table_id));
	header->oem_revision = 1;
	memcpy(header->creator_id, "SOCL", sizeof(header->creator_id));
	header->creator_revision = 1;
}

/* Completes a table that ends where the builder stands. */
static void finish(struct builder *b, struct acpi_header *header)
{
	header->length = (uint32_t)(b->buf + b->used - (uint8_t *)header);
	header->checksum = 0;
	header->checksum = checksum(header, header->length);
}

static struct acpi_address port_address(uint16_t port, uint8_t bits)
{
	return (struct acpi_address){
		.space = SPACE_IO,
		.bits = bits,
		.access = bits == 8    ? 1
			  : bits == 16 ? 2
				       : 3,
		.address = port,
	};
}

static struct acpi_header *build_fadt(struct builder *b, const void *facs, const void *dsdt)
{
	struct acpi_fadt *fadt = take(b, sizeof(*fadt), TABLE_ALIGNMENT);

	if (!fadt)
		return NULL;
	fill_header(&fadt->header, "FACP", 6);
	fadt->minor_version = 4;
	fadt->firmware_ctrl = gpa_of(b, facs);
	fadt->dsdt = gpa_of(b, dsdt);
	fadt->x_dsdt = gpa_of(b, dsdt);
	fadt->preferred_pm_profile = PROFILE_SERVER;
	fadt->sci_int = IRQ_SCI;
	fadt->pm1a_evt_blk = ACPI_PM1_EVENT;
	fadt->pm1a_cnt_blk = ACPI_PM1_CONTROL;
	fadt->pm_tmr_blk = ACPI_PM_TIMER;
	fadt->pm1_evt_len = 4;
	fadt->pm1_cnt_len = 2;
	fadt->pm_tmr_len = 4;
	fadt->x_pm1a_evt_blk = port_address(ACPI_PM1_EVENT, 32);
	fadt->x_pm1a_evt_blk.access = 2; /* two registers of 16 bits */
	fadt->x_pm1a_cnt_blk = port_address(ACPI_PM1_CONTROL, 16);
	fadt->x_pm_tmr_blk = port_address(ACPI_PM_TIMER, 32);
	fadt->p_lvl2_lat = LATENCY_NO_C2;
	fadt->p_lvl3_lat = LATENCY_NO_C3;
	fadt->century = CENTURY_BYTE;
	fadt->iapc_boot_arch = BOOT_LEGACY_DEVICES | BOOT_NO_VGA;
	fadt->flags = FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLP_BUTTON | FADT_NO_FIX_RTC |
		      FADT_TMR_VAL_EXT | FADT_RESET_REG;
	fadt->reset_reg = port_address(RESET_CONTROL_PORT, 8);
	fadt->reset_value = RESET_CONTROL_FULL;
	finish(b, &fadt->header);
	return &fadt->header;
}

/* Appends an entry of the MADT if it fits. */
static void add_entry(struct builder *b, const void *entry, size_t len)
{
	void *at = take(b, len, 1);

	if (at)
		memcpy(at, entry, len);
}

static struct acpi_header *build_madt(struct builder *b, unsigned cpus)
{
	struct acpi_madt *madt = take(b, sizeof(*madt), TABLE_ALIGNMENT);
	struct madt_ioapic ioapic = {
		.type = MADT_IOAPIC, .length = sizeof(ioapic), .address = IOAPIC_BASE};
	struct madt_override timer = {
		.type = MADT_OVERRIDE,
		.length = sizeof(timer),
		.source = IRQ_TIMER,
		.gsi = TIMER_GSI,
		.flags = MADT_CONFORMS,
	};
	struct madt_override sci = {
		.type = MADT_OVERRIDE,
		.length = sizeof(sci),
		.source = IRQ_SCI,
		.gsi = IRQ_SCI,
		.flags = MADT_ACTIVE_HIGH | MADT_LEVEL,
	};
	struct madt_nmi nmi = {
		.type = MADT_NMI,
		.length = sizeof(nmi),
		.processor = MADT_ALL_CPUS,
		.flags = MADT_CONFORMS,
		.lint = NMI_LINT,
	};

	if (!madt)
		return NULL;
	fill_header(&madt->header, "APIC", 5);
	madt->lapic_address = LAPIC_ADDRESS;
	madt->flags = MADT_PCAT_COMPAT;
	for (unsigned cpu = 0; cpu < cpus; cpu++) {
		struct madt_lapic lapic = {
			.type = MADT_LAPIC,
			.length = sizeof(lapic),
			.processor = (uint8_t)cpu,
			.apic_id = (uint8_t)cpu,
			.flags = MADT_ENABLED,
		};

		add_entry(b, &lapic, sizeof(lapic));
	}
	add_entry(b, &ioapic, sizeof(ioapic));
	add_entry(b, &timer, sizeof(timer));
	add_entry(b, &sci, sizeof(sci));
	add_entry(b, &nmi, sizeof(nmi));
	if (b->used > b->size)
		return NULL;
	finish(b, &madt->header);
	return &madt->header;
}

static struct acpi_header *build_mcfg(struct builder *b)
{
	struct acpi_mcfg *mcfg = take(b, sizeof(*mcfg), TABLE_ALIGNMENT);

	if (!mcfg)
		return NULL;
	fill_header(&mcfg->header, "MCFG", 1);
	mcfg->base = PCI_ECAM;
	finish(b, &mcfg->header);
	return &mcfg->header;
}

/* A root table: a header and the addresses of @count tables, each @width bytes. */
static struct acpi_header *build_root(struct builder *b, const char *signature, unsigned width,
				      struct acpi_header *const *tables, unsigned count)
{
	struct acpi_header *root = take(b, sizeof(*root) + count * width, TABLE_ALIGNMENT);

	if (!root)
		return NULL;
	fill_header(root, signature, 1);
	for (unsigned i = 0; i < count; i++) {
		uint64_t address = gpa_of(b, tables[i]);

		memcpy((uint8_t *)(root + 1) + i * width, &address, width);
	}
	finish(b, root);
	return root;
}

static void fill_rsdp(struct builder *b, struct acpi_rsdp *rsdp, const void *rsdt, const void *xsdt)
{
	memcpy(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature));
	memcpy(rsdp->oem_id, "SOCLE ", sizeof(rsdp->oem_id));
	rsdp->revision = 2;
	rsdp->rsdt = gpa_of(b, rsdt);
	rsdp->length = sizeof(*rsdp);
	rsdp->xsdt = gpa_of(b, xsdt);
	rsdp->checksum = checksum(rsdp, offsetof(struct acpi_rsdp, length));
	rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
}

status_t acpi_tables_build(const struct vm_settings *settings, uint8_t *buf, size_t size,
			   uint64_t gpa)
{
	struct builder b = {.buf = buf, .size = size, .gpa = gpa};
	size_t dsdt_size = (uintptr_t)dsdt_aml_end - (uintptr_t)dsdt_aml;
	struct acpi_header *tables[3], *rsdt, *xsdt;
	struct acpi_rsdp *rsdp;
	struct acpi_facs *facs;
	void *dsdt;

	if (!IS_ALIGNED(gpa, TABLE_ALIGNMENT) || gpa > UINT32_MAX - size || !settings->cpus ||
	    settings->cpus > VM_MAX_VCPUS)
		return -S_INVAL;
	rsdp = take(&b, sizeof(*rsdp), TABLE_ALIGNMENT);
	facs = take(&b, sizeof(*facs), TABLE_ALIGNMENT);
	dsdt = take(&b, dsdt_size, TABLE_ALIGNMENT);
	if (!rsdp || !facs || !dsdt)
		return -S_NOSPC;
	memcpy(facs->signature, "FACS", sizeof(facs->signature));
	facs->length = sizeof(*facs);
	facs->version = 2;
	memcpy(dsdt, dsdt_aml, dsdt_size);
	tables[0] = build_fadt(&b, facs, dsdt);
	tables[1] = build_madt(&b, settings->cpus);
	tables[2] = build_mcfg(&b);
	if (!tables[0] || !tables[1] || !tables[2])
		return -S_NOSPC;
	rsdt = build_root(&b, "RSDT", sizeof(uint32_t), tables, ARRAY_SIZE(tables));
	xsdt = build_root(&b, "XSDT", sizeof(uint64_t), tables, ARRAY_SIZE(tables));
	if (!rsdt || !xsdt)
		return -S_NOSPC;
	fill_rsdp(&b, rsdp, rsdt, xsdt);
	return 0;
}
