/* SPDX-License-Identifier: BSD-2-Clause */
/* The ACPI tables, parsed back as an operating system does: addresses, checksums, contents. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../../platform/acpi_tables.c"

/* A stand-in for the compiled DSDT, an odd number of bytes long. */
__asm__(".pushsection .rodata\n"
	".globl dsdt_aml, dsdt_aml_end\n"
	"dsdt_aml: .ascii \"DSDT\"; .long 39; .byte 2; .fill 30, 1, 0x33\n"
	"dsdt_aml_end: .popsection\n");

#define GPA ACPI_TABLES_GPA

static uint8_t buf[8192];
static struct vm_settings settings;

static uint8_t sum(const void *data, size_t len)
{
	const uint8_t *bytes = data;
	uint8_t total = 0;

	while (len--)
		total += *bytes++;
	return total;
}

/* The table at guest-physical @gpa, with its header checked. */
static const void *table_at(uint64_t gpa, const char *signature)
{
	const struct acpi_header *header;

	assert_in_range(gpa, GPA, GPA + sizeof(buf) - sizeof(*header));
	header = (const void *)(buf + (gpa - GPA));
	assert_memory_equal(header->signature, signature, 4);
	assert_in_range(header->length, sizeof(*header), GPA + sizeof(buf) - gpa);
	assert_int_equal(sum(header, header->length), 0);
	assert_memory_equal(header->oem_id, "SOCLE ", 6);
	return header;
}

static const struct acpi_rsdp *rsdp(void)
{
	return (const void *)buf;
}

static uint64_t xsdt_entry(unsigned index)
{
	const struct acpi_header *xsdt = table_at(rsdp()->xsdt, "XSDT");
	uint64_t entry;

	assert_int_equal(xsdt->length, sizeof(*xsdt) + 3 * 8);
	memcpy(&entry, (const uint8_t *)(xsdt + 1) + 8 * index, 8);
	return entry;
}

static int setup(void **state __unused)
{
	memset(buf, 0xee, sizeof(buf));
	settings = (struct vm_settings){.memory = 256 * MiB, .cpus = 1};
	assert_int_equal(acpi_tables_build(&settings, buf, sizeof(buf), GPA), 0);
	return 0;
}

static void roots(void **state __unused)
{
	const struct acpi_header *rsdt;
	uint32_t entry;

	assert_memory_equal(rsdp()->signature, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp(), 20), 0);
	assert_int_equal(sum(rsdp(), 36), 0);
	assert_int_equal(rsdp()->revision, 2);
	assert_int_equal(rsdp()->length, 36);
	rsdt = table_at(rsdp()->rsdt, "RSDT");
	assert_int_equal(rsdt->length, sizeof(*rsdt) + 3 * 4);
	for (unsigned i = 0; i < 3; i++) {
		memcpy(&entry, (const uint8_t *)(rsdt + 1) + 4 * i, 4);
		assert_int_equal(entry, xsdt_entry(i));
	}
}

static void fixed_description(void **state __unused)
{
	const struct acpi_fadt *fadt = table_at(xsdt_entry(0), "FACP");
	const struct acpi_facs *facs = (const void *)(buf + (fadt->firmware_ctrl - GPA));

	assert_int_equal(fadt->header.length, 276);
	assert_int_equal(fadt->header.revision, 6);
	assert_int_equal(fadt->firmware_ctrl % 64, 0);
	assert_memory_equal(facs->signature, "FACS", 4);
	assert_int_equal(facs->length, 64);
	assert_int_equal(fadt->dsdt, fadt->x_dsdt);
	assert_memory_equal(buf + (fadt->dsdt - GPA), dsdt_aml, 39);
	assert_int_equal(fadt->sci_int, 9);
	assert_int_equal(fadt->smi_cmd, 0);
	assert_int_equal(fadt->pm1a_evt_blk, 0x600);
	assert_int_equal(fadt->x_pm1a_evt_blk.address, 0x600);
	assert_int_equal(fadt->x_pm1a_evt_blk.bits, 8 * fadt->pm1_evt_len);
	assert_int_equal(fadt->pm1a_cnt_blk, 0x604);
	assert_int_equal(fadt->x_pm1a_cnt_blk.bits, 8 * fadt->pm1_cnt_len);
	assert_int_equal(fadt->pm_tmr_blk, 0x608);
	assert_int_equal(fadt->x_pm_tmr_blk.bits, 8 * fadt->pm_tmr_len);
	assert_int_equal(fadt->reset_reg.address, 0xcf9);
	assert_int_equal(fadt->reset_reg.space, 1);
	assert_int_equal(fadt->reset_value, 6);
	assert_int_equal(fadt->iapc_boot_arch & 2, 0); /* no 8042 */
	assert_int_equal(fadt->flags & 1 << 20, 0);    /* not hardware-reduced */
	assert_int_equal(fadt->flags & 1 << 8, 1 << 8);
	assert_int_equal(fadt->century, 0x32);
}

static void interrupt_controllers(void **state __unused)
{
	static const unsigned cpu_counts[] = {1, 2, 64};

	for (unsigned n = 0; n < ARRAY_SIZE(cpu_counts); n++) {
		const struct acpi_madt *madt;
		const uint8_t *at, *end;
		unsigned cpus = 0, ioapics = 0, overrides = 0, nmis = 0;

		settings.cpus = cpu_counts[n];
		assert_int_equal(acpi_tables_build(&settings, buf, sizeof(buf), GPA), 0);
		madt = table_at(xsdt_entry(1), "APIC");
		assert_int_equal(madt->lapic_address, 0xfee00000);
		assert_int_equal(madt->flags, 1);
		end = (const uint8_t *)madt + madt->header.length;
		for (at = (const uint8_t *)(madt + 1); at < end; at += at[1]) {
			assert_in_range(at[1], 2, end - at);
			if (at[0] == 0) {
				assert_int_equal(at[2], cpus);
				assert_int_equal(at[3], cpus);
				assert_int_equal(at[4], 1);
				cpus++;
			} else if (at[0] == 1) {
				assert_memory_equal(at + 4, "\x00\x00\xc0\xfe\0\0\0\0", 8);
				ioapics++;
			} else if (at[0] == 2) {
				overrides++;
				if (at[3] == 0)
					assert_memory_equal(at + 4, "\x02\0\0\0\0\0", 6);
				else
					assert_memory_equal(at + 3, "\x09\x09\0\0\0\x0d\0", 7);
			} else {
				assert_memory_equal(at, "\x04\x06\xff\0\0\x01", 6);
				nmis++;
			}
		}
		assert_ptr_equal(at, end);
		assert_int_equal(cpus, cpu_counts[n]);
		assert_int_equal(ioapics, 1);
		assert_int_equal(overrides, 2);
		assert_int_equal(nmis, 1);
	}
}

/* Whatever the size, nothing is written beyond it: the sanitizer watches. */
static void too_small(void **state __unused)
{
	status_t status = -S_NOSPC;

	settings.cpus = 64;
	for (size_t size = 0; status == -S_NOSPC && size < sizeof(buf); size++) {
		uint8_t *small = malloc(size + 1);

		status = acpi_tables_build(&settings, small, size, GPA);
		assert_true(status == 0 || status == -S_NOSPC);
		free(small);
	}
	assert_int_equal(status, 0);
}

static void bad_arguments(void **state __unused)
{
	assert_int_equal(acpi_tables_build(&settings, buf, sizeof(buf), GPA + 16), -S_INVAL);
	assert_int_equal(acpi_tables_build(&settings, buf, sizeof(buf), 1ull << 32), -S_INVAL);
	assert_int_equal(acpi_tables_build(&settings, buf, sizeof(buf), 0xffffffc0), -S_INVAL);
	settings.cpus = 0;
	assert_int_equal(acpi_tables_build(&settings, buf, sizeof(buf), GPA), -S_INVAL);
	settings.cpus = 65;
	assert_int_equal(acpi_tables_build(&settings, buf, sizeof(buf), GPA), -S_INVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(roots, setup),
		cmocka_unit_test_setup(fixed_description, setup),
		cmocka_unit_test_setup(interrupt_controllers, setup),
		cmocka_unit_test_setup(too_small, setup),
		cmocka_unit_test_setup(bad_arguments, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
