/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's ACPI tables: good ones, damaged ones, and noise in them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "panic_mock.h"
#include "../../drivers/acpi.c"

/* Physical memory from 0 to 2 MiB. Tables lie in it; a read beyond its end is caught. */
enum {
	MEMORY = 0x200000,
	XSDT = 0x180000,
	RSDT = 0x181000,
	MADT = 0x182000,
	FADT = 0x183000,
	DSDT = 0x184000
};
static uint8_t memory[MEMORY];
uintptr_t test_memory;

const void *paging_map_readonly(uint64_t pa, uint64_t size)
{
	assert_true(pa < MEMORY && size <= MEMORY - pa);
	return &memory[pa];
}

static void put(uint64_t at, uint64_t value, unsigned bytes)
{
	memcpy(&memory[at], &value, bytes);
}

static void checksum(uint64_t at, size_t len, size_t where)
{
	uint8_t sum = 0;

	memory[at + where] = 0;
	for (size_t i = 0; i < len; i++)
		sum += memory[at + i];
	memory[at + where] = -sum;
}

static void finish_table(uint64_t at, const char *signature, uint32_t len)
{
	memcpy(&memory[at], signature, 4);
	put(at + 4, len, 4);
	checksum(at, len, 9);
}

static struct rsdp rsdp;

static void make_rsdp(uint8_t revision)
{
	rsdp = (struct rsdp){.revision = revision, .rsdt = RSDT, .xsdt = XSDT, .length = 36};
	memcpy(rsdp.signature, "RSD PTR ", 8);
}

static size_t madt_len;

static void entry(const uint8_t *bytes)
{
	memcpy(&memory[MADT + madt_len], bytes, bytes[1]);
	madt_len += bytes[1];
	finish_table(MADT, "APIC", (uint32_t)madt_len);
}

#define ENTRY(...) entry((const uint8_t[]){__VA_ARGS__})

static int setup(void **state __unused)
{
	memset(memory, 0, sizeof(memory));
	memset(&acpi_info, 0, sizeof(acpi_info));
	make_rsdp(2);
	put(MADT + 36, 0xfee00000, 4);
	madt_len = 44;
	ENTRY(0, 8, 0, 0, 1, 0, 0, 0);				/* processor 0 */
	ENTRY(0, 8, 1, 2, 1, 0, 0, 0);				/* APIC ID 2 */
	ENTRY(0, 8, 2, 4, 0, 0, 0, 0);				/* not enabled */
	ENTRY(1, 12, 9, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0);	/* I/O APIC */
	ENTRY(1, 12, 10, 0, 0, 0x10, 0xc0, 0xfe, 24, 0, 0, 0);	/* a second one */
	ENTRY(2, 10, 0, 0, 2, 0, 0, 0, 0, 0);			/* timer on pin 2 */
	ENTRY(2, 10, 0, 9, 9, 0, 0, 0, 0xf, 0);			/* SCI: level, low */
	ENTRY(9, 16, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0); /* processor 2, again */
	ENTRY(9, 16, 0, 0, 0x00, 0x01, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0);
	put(FADT + 40, DSDT, 4);
	put(FADT + 64, 0x604, 4);
	put(FADT + 112, 1 << 10, 4);
	memory[FADT + 116] = 1;
	put(FADT + 120, 0xcf9, 8);
	memory[FADT + 128] = 6;
	finish_table(FADT, "FACP", 244);
	memcpy(&memory[DSDT + 100], "\x08_S5_\x12\x06\x04\x0a\x05\x0a\x07\x00\x00", 14);
	finish_table(DSDT, "DSDT", 400);
	put(XSDT + 36, FADT, 8);
	put(XSDT + 44, MADT, 8);
	finish_table(XSDT, "XSDT", 52);
	put(RSDT + 36, MADT, 4);
	finish_table(RSDT, "RSDT", 40);
	return 0;
}

static void good_tables(void **state __unused)
{
	assert_int_equal(acpi_init(&rsdp), 0);
	assert_true(acpi_info.found);
	assert_int_equal(acpi_info.lapic, 0xfee00000);
	assert_int_equal(acpi_info.cpus, 3);
	assert_int_equal(acpi_info.cpu_apic_id[0], 0);
	assert_int_equal(acpi_info.cpu_apic_id[1], 2);
	assert_int_equal(acpi_info.cpu_apic_id[2], 0x100);
	assert_int_equal(acpi_info.ioapic, 0xfec00000);
	assert_int_equal(acpi_info.ioapic_gsi, 0);
	assert_int_equal(acpi_info.isa[0].gsi, 2);
	assert_true(acpi_info.isa[9].level && acpi_info.isa[9].active_low);
	assert_int_equal(acpi_info.isa[4].gsi, 4);
	assert_false(acpi_info.isa[4].level || acpi_info.isa[4].active_low);
	assert_int_equal(acpi_info.pm1a_control, 0x604);
	assert_true(acpi_info.has_s5);
	assert_int_equal(acpi_info.s5_type_a, 5);
	assert_int_equal(acpi_info.s5_type_b, 7);
	assert_true(acpi_info.has_reset);
	assert_int_equal(acpi_info.reset_port, 0xcf9);
	assert_int_equal(acpi_info.reset_value, 6);
	/* Revision 0: the RSDT, which has the MADT only. */
	setup(NULL);
	make_rsdp(0);
	assert_int_equal(acpi_init(&rsdp), 0);
	assert_int_equal(acpi_info.cpus, 3);
	assert_false(acpi_info.has_s5);
}

static void searches_the_bios_area(void **state __unused)
{
	static const uint64_t places[] = {0xe0000, 0xffff0 - 0x30, 0x9fc00, 0x9fff0 - 0x10};

	assert_int_equal(acpi_init(NULL), -S_NOENT);
	assert_int_equal(acpi_info.lapic, 0xfee00000);
	assert_int_equal(acpi_info.isa[15].gsi, 15);
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		setup(NULL);
		put(0x40e, 0x9fc0, 2);
		make_rsdp(2);
		memcpy(&memory[places[i]], &rsdp, sizeof(rsdp));
		/* The first 20 bytes have a sum of their own; a bad one does not count. */
		assert_int_equal(acpi_init(NULL), -S_NOENT);
		checksum(places[i], 20, 8);
		assert_int_equal(acpi_init(NULL), 0);
		assert_int_equal(acpi_info.cpus, 3);
	}
}

static void damaged_tables(void **state __unused)
{
	memory[XSDT + 40] ^= 1;
	assert_int_equal(acpi_init(&rsdp), -S_INVAL);
	assert_false(acpi_info.found);
	setup(NULL);
	memory[MADT + 50] ^= 1;
	assert_int_equal(acpi_init(&rsdp), 0);
	assert_int_equal(acpi_info.cpus, 0);
	assert_true(acpi_info.has_s5);
	setup(NULL);
	memory[DSDT + 50] ^= 1;
	assert_int_equal(acpi_init(&rsdp), 0);
	assert_false(acpi_info.has_s5);
	assert_true(acpi_info.has_reset);
	/* Lengths: shorter than a header, and endless. */
	for (unsigned i = 0; i < 3; i++) {
		setup(NULL);
		put(MADT + 4, (uint32_t[]){0, 35, 0x7fffffff}[i], 4);
		assert_int_equal(acpi_init(&rsdp), 0);
		assert_int_equal(acpi_info.cpus, 0);
	}
	/* An entry of length 0 or 1 ends the walk, as does one that leaves the table. */
	for (unsigned size = 0; size < 2; size++) {
		setup(NULL);
		memory[MADT + 44 + 8 + 1] = size;
		checksum(MADT, madt_len, 9);
		assert_int_equal(acpi_init(&rsdp), 0);
		assert_int_equal(acpi_info.cpus, 1);
	}
	setup(NULL);
	memory[MADT + madt_len - 16 + 1] = 17;
	checksum(MADT, madt_len, 9);
	assert_int_equal(acpi_init(&rsdp), 0);
	assert_int_equal(acpi_info.cpus, 2);
}

/* \_S5 as the last object of the DSDT, as in Bochs' BIOS; and cut off within it. */
static void s5_at_the_end(void **state __unused)
{
	memset(&memory[DSDT + 100], 0, 14);
	memcpy(&memory[DSDT + 200], "_S5_\x12\x06\x04\x01\x00\x00\x00", 11);
	for (uint32_t len = 200; len <= 211; len++) {
		finish_table(DSDT, "DSDT", len);
		acpi_info.has_s5 = false;
		assert_int_equal(acpi_init(&rsdp), 0);
		assert_int_equal(acpi_info.has_s5, len >= 209);
	}
	assert_int_equal(acpi_info.s5_type_a, 1);
	assert_int_equal(acpi_info.s5_type_b, 0);
}

static void many_processors(void **state __unused)
{
	for (unsigned i = 0; i < 100; i++)
		ENTRY(0, 8, 0, 100 + i, 1, 0, 0, 0);
	assert_int_equal(acpi_init(&rsdp), 0);
	assert_int_equal(acpi_info.cpus, ACPI_MAX_CPUS);
	/* An interrupt that the ISA bus does not have. */
	setup(NULL);
	ENTRY(2, 10, 0, 200, 1, 0, 0, 0, 0xf, 0);
	assert_int_equal(acpi_init(&rsdp), 0);
}

/* Any bytes with a right checksum: no read outside, no endless loop, limits hold. */
static void noise(void **state __unused)
{
	static const uint32_t tables[] = {XSDT, MADT, FADT, DSDT};
	uint64_t seed = 31;

	for (unsigned round = 0; round < 4000; round++) {
		setup(NULL);
		for (unsigned i = 0; i < 6; i++) {
			uint32_t at;

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			at = tables[seed >> 62];
			/* Not the tables' addresses: memory ends there in this test only. */
			if (at == XSDT)
				continue;
			at += 44 + (seed >> 33) % (at == DSDT ? 100 : 90);
			memory[at] = seed >> 20;
		}
		finish_table(MADT, "APIC", (uint32_t)madt_len);
		finish_table(FADT, "FACP", 44 + (seed >> 40) % 200);
		finish_table(DSDT, "DSDT", 36 + (seed >> 50) % 364);
		assert_int_equal(acpi_init(&rsdp), 0);
		assert_true(acpi_info.cpus <= ACPI_MAX_CPUS);
		acpi_info.cpus = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(good_tables, setup),
		cmocka_unit_test_setup(searches_the_bios_area, setup),
		cmocka_unit_test_setup(damaged_tables, setup),
		cmocka_unit_test_setup(s5_at_the_end, setup),
		cmocka_unit_test_setup(many_processors, setup),
		cmocka_unit_test_setup(noise, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
