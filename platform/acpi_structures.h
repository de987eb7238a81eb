/* SPDX-License-Identifier: BSD-2-Clause */
/* Layouts of the ACPI tables that a guest gets (ACPI 6.4, chapter 5). */
#ifndef SOCLE_PLATFORM_ACPI_STRUCTURES_H
#define SOCLE_PLATFORM_ACPI_STRUCTURES_H

#include "socle/base.h"

/* Root System Description Pointer (5.2.5.3). */
struct acpi_rsdp {
	char signature[8]; /* "RSD PTR " */
	uint8_t checksum;  /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;	   /* 2 */
	uint32_t rsdt;		   /* guest-physical */
	uint32_t length;	   /* of the whole structure */
	uint64_t xsdt;		   /* guest-physical */
	uint8_t extended_checksum; /* of the whole structure */
	uint8_t reserved[3];
} __packed;
_Static_assert(sizeof(struct acpi_rsdp) == 36, "RSDP");

/* System description table header (5.2.6). */
struct acpi_header {
	char signature[4];
	uint32_t length; /* of the whole table */
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __packed;
_Static_assert(sizeof(struct acpi_header) == 36, "table header");

/* Generic address structure (5.2.3.2). */
struct acpi_address {
	uint8_t space;	/* 1: ports */
	uint8_t bits;	/* width of the register */
	uint8_t offset; /* of its lowest bit */
	uint8_t access; /* width of accesses: 1 byte, 2 word, 3 dword */
	uint64_t address;
} __packed;
_Static_assert(sizeof(struct acpi_address) == 12, "generic address");

/* Fixed ACPI Description Table (5.2.9); reserved and absent parts are zero. */
struct acpi_fadt {
	struct acpi_header header;
	uint32_t firmware_ctrl; /* FACS */
	uint32_t dsdt;
	uint8_t reserved0;
	uint8_t preferred_pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd; /* 0: always in ACPI mode */
	uint8_t acpi_enable;
	uint8_t acpi_disable;
	uint8_t s4bios_req;
	uint8_t pstate_cnt;
	uint32_t pm1a_evt_blk;
	uint32_t pm1b_evt_blk;
	uint32_t pm1a_cnt_blk;
	uint32_t pm1b_cnt_blk;
	uint32_t pm2_cnt_blk;
	uint32_t pm_tmr_blk;
	uint32_t gpe0_blk;
	uint32_t gpe1_blk;
	uint8_t pm1_evt_len;
	uint8_t pm1_cnt_len;
	uint8_t pm2_cnt_len;
	uint8_t pm_tmr_len;
	uint8_t gpe0_blk_len;
	uint8_t gpe1_blk_len;
	uint8_t gpe1_base;
	uint8_t cst_cnt;
	uint16_t p_lvl2_lat; /* above 100 us: no C2 */
	uint16_t p_lvl3_lat; /* above 1000 us: no C3 */
	uint16_t flush_size;
	uint16_t flush_stride;
	uint8_t duty_offset;
	uint8_t duty_width;
	uint8_t day_alrm;
	uint8_t mon_alrm;
	uint8_t century; /* CMOS byte */
	uint16_t iapc_boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_address reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_firmware_ctrl; /* 0: firmware_ctrl holds */
	uint64_t x_dsdt;
	struct acpi_address x_pm1a_evt_blk;
	struct acpi_address x_pm1b_evt_blk;
	struct acpi_address x_pm1a_cnt_blk;
	struct acpi_address x_pm1b_cnt_blk;
	struct acpi_address x_pm2_cnt_blk;
	struct acpi_address x_pm_tmr_blk;
	struct acpi_address x_gpe0_blk;
	struct acpi_address x_gpe1_blk;
	struct acpi_address sleep_control;
	struct acpi_address sleep_status;
	uint64_t hypervisor_vendor;
} __packed;
_Static_assert(offsetof(struct acpi_fadt, iapc_boot_arch) == 109, "FADT boot flags");
_Static_assert(offsetof(struct acpi_fadt, x_pm1a_evt_blk) == 148, "FADT event block");
_Static_assert(sizeof(struct acpi_fadt) == 276, "FADT");

/* iapc_boot_arch (5.2.9.3) and flags (table 5.10). Bits not named here are 0. */
enum acpi_fadt_bit {
	BOOT_LEGACY_DEVICES = BIT(0), /* something on the ISA bus; bit 1 clear: no 8042 */
	BOOT_NO_VGA = BIT(2),
	FADT_WBINVD = BIT(0),
	FADT_PROC_C1 = BIT(2),
	FADT_NO_SLP_BUTTON = BIT(5),
	FADT_NO_FIX_RTC = BIT(6),
	FADT_TMR_VAL_EXT = BIT(8), /* the timer has 32 bits */
	FADT_RESET_REG = BIT(10),
};

/* Firmware ACPI Control Structure (5.2.10): no checksum, on a multiple of 64. */
struct acpi_facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature;
	uint32_t waking_vector;
	uint32_t global_lock;
	uint32_t flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} __packed;
_Static_assert(sizeof(struct acpi_facs) == 64, "FACS");

/* Multiple APIC Description Table and its entries (5.2.12). */
struct acpi_madt {
	struct acpi_header header;
	uint32_t lapic_address;
	uint32_t flags;
} __packed;
_Static_assert(sizeof(struct acpi_madt) == 44, "MADT");

/* PCI Firmware Specification 3.3, 4.1.2, with one allocation. */
struct acpi_mcfg {
	struct acpi_header header;
	uint64_t reserved;
	uint64_t base;	   /* guest-physical address of the first bus's space */
	uint16_t segment;  /* 0 */
	uint8_t start_bus; /* first bus */
	uint8_t end_bus;   /* last bus */
	uint32_t reserved2;
} __packed;
_Static_assert(sizeof(struct acpi_mcfg) == 60, "MCFG");

struct madt_lapic {
	uint8_t type, length;
	uint8_t processor; /* ACPI's number of it */
	uint8_t apic_id;
	uint32_t flags;
} __packed;
_Static_assert(sizeof(struct madt_lapic) == 8, "MADT local APIC");

struct madt_ioapic {
	uint8_t type, length;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t gsi_base;
} __packed;
_Static_assert(sizeof(struct madt_ioapic) == 12, "MADT I/O APIC");

struct madt_override {
	uint8_t type, length;
	uint8_t bus; /* 0: ISA */
	uint8_t source;
	uint32_t gsi;
	uint16_t flags;
} __packed;
_Static_assert(sizeof(struct madt_override) == 10, "MADT override");

struct madt_nmi {
	uint8_t type, length;
	uint8_t processor;
	uint16_t flags;
	uint8_t lint;
} __packed;
_Static_assert(sizeof(struct madt_nmi) == 6, "MADT NMI");

enum madt_value {
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
	MADT_OVERRIDE = 2,
	MADT_NMI = 4,
	MADT_PCAT_COMPAT = BIT(0), /* there is a pair of 8259s */
	MADT_ENABLED = BIT(0),
	MADT_CONFORMS = 0, /* polarity and trigger as usual on the bus */
	MADT_ACTIVE_HIGH = 1 << 0,
	MADT_LEVEL = 3 << 2,
	MADT_ALL_CPUS = 0xff,
	NMI_LINT = 1,
};

#endif
