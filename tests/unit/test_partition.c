/* SPDX-License-Identifier: BSD-2-Clause */
/* Partition tables of the machine's disks: good ones, damaged ones, and ones that lie. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "panic_mock.h"
#include "../../drivers/partition.c"

enum { SECTORS = 2048, ENTRIES_AT = 2, COUNT = 128, FIRST_USABLE = 34 };

static uint8_t image[SECTORS][BLOCK_SECTOR];
static struct block_disk disk;
static unsigned reads;
static uint64_t bad_sector; /* that cannot be read; UINT64_MAX: none */

status_t block_read(struct block_disk *d, uint64_t sector, uint8_t dst[BLOCK_SECTOR])
{
	assert_ptr_equal(d, &disk);
	reads++;
	if (sector >= d->sectors || sector == bad_sector)
		return -S_IO;
	memcpy(dst, image[sector], BLOCK_SECTOR);
	return 0;
}

static void put(uint8_t *p, uint64_t v, unsigned bytes)
{
	memcpy(p, &v, bytes);
}

static void entry(uint64_t sector, unsigned i, uint8_t type, uint32_t first, uint32_t sectors)
{
	uint8_t *e = image[sector] + 446 + 16 * i;

	put(image[sector] + 510, 0xaa55, 2);
	e[4] = type;
	put(e + 8, first, 4);
	put(e + 12, sectors, 4);
}

/* One GPT, whose header is at @at and whose entries are at @table, with the sums right. */
static void seal(uint64_t at, uint64_t table, uint32_t count, uint32_t size)
{
	uint8_t *h = image[at];

	memcpy(h, "EFI PART", 8);
	put(h + 8, 0x10000, 4);
	put(h + 12, 92, 4);
	put(h + 24, at, 8);
	put(h + 40, FIRST_USABLE, 8);
	put(h + 48, SECTORS - FIRST_USABLE, 8);
	put(h + 72, table, 8);
	put(h + 80, count, 4);
	put(h + 84, size, 4);
	put(h + 88, crc32(0, image[table], (size_t)count * size), 4);
	put(h + 16, 0, 4);
	put(h + 16, crc32(0, h, 92), 4);
}

static void gpt_entry(uint64_t table, unsigned i, uint32_t size, uint64_t first, uint64_t last)
{
	uint8_t *e = image[table] + (size_t)i * size;

	memset(e, 0x77, 16);
	put(e + 32, first, 8);
	put(e + 40, last, 8);
}

/* Both of them, with partitions 1 and 3. */
static void make_gpt(void)
{
	entry(0, 0, 0xee, 1, SECTORS - 1);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t table = i ? SECTORS - 33 : ENTRIES_AT;

		gpt_entry(table, 0, 128, 100, 199);
		gpt_entry(table, 2, 128, 200 + i, SECTORS - FIRST_USABLE);
		seal(i ? SECTORS - 1 : 1, table, COUNT, 128);
	}
}

static void reseal(void)
{
	put(image[1] + 16, 0, 4);
	put(image[1] + 16, crc32(0, image[1], 92), 4);
}

static int setup(void **state __unused)
{
	memset(image, 0, sizeof(image));
	disk = (struct block_disk){.sectors = SECTORS, .name = "vda"};
	reads = logged_lines = 0;
	bad_sector = UINT64_MAX;
	return 0;
}

static void expect(unsigned i, unsigned number, uint64_t first, uint64_t sectors)
{
	assert_true(i < disk.partitions);
	assert_int_equal(disk.partition[i].number, number);
	assert_int_equal(disk.partition[i].first, first);
	assert_int_equal(disk.partition[i].sectors, sectors);
}

static void nothing(void)
{
	block_read_partitions(&disk);
	assert_null(disk.table);
	assert_int_equal(disk.partitions, 0);
}

static void none(void **state __unused)
{
	nothing();
	assert_int_equal(logged_lines, 0);
	/* The boot sector of a file system: the signature, and code where the entries would be. */
	memset(image[0], 0x90, BLOCK_SECTOR);
	put(image[0] + 510, 0xaa55, 2);
	nothing();
	bad_sector = 0;
	nothing();
	assert_int_equal(logged_lines, 1);
}

static void checksum(void **state __unused)
{
	/* The check value of CRC-32 (ISO-HDLC). */
	assert_int_equal(crc32(0, (const uint8_t *)"123456789", 9), 0xcbf43926);
	assert_int_equal(crc32(crc32(0, (const uint8_t *)"1234", 4), (const uint8_t *)"56789", 5),
			 0xcbf43926);
}

static void primary(void **state __unused)
{
	entry(0, 0, 0x83, 64, 100);
	entry(0, 2, 0x07, 1000, SECTORS - 1000);
	entry(0, 3, 0x83, 1000, SECTORS - 999); /* one too many */
	block_read_partitions(&disk);
	assert_string_equal(disk.table, "MBR");
	assert_int_equal(disk.partitions, 2);
	expect(0, 1, 64, 100);
	expect(1, 3, 1000, SECTORS - 1000);
	assert_int_equal(logged_lines, 1);
	/* Nothing with the table itself in it, nothing empty, nothing behind the end. */
	setup(NULL);
	entry(0, 0, 0x83, 0, 100);
	entry(0, 1, 0x83, 10, 0);
	entry(0, 2, 0x83, SECTORS, 1);
	entry(0, 3, 0x83, 0xffffffff, 0xffffffff);
	block_read_partitions(&disk);
	assert_int_equal(disk.partitions, 0);
	assert_string_equal(disk.table, "MBR");
}

static void logical(void **state __unused)
{
	entry(0, 0, 0x83, 64, 36);
	entry(0, 1, 0x0f, 100, 900);
	entry(100, 0, 0x83, 10, 90); /* 110 to 199 */
	entry(100, 1, 0x05, 100, 800);
	entry(200, 0, 0x82, 1, 50); /* 201 to 250 */
	entry(200, 1, 0x05, 300, 600);
	entry(400, 0, 0x83, 5, 595); /* 405 to 999: to the end */
	block_read_partitions(&disk);
	assert_int_equal(disk.partitions, 4);
	expect(0, 1, 64, 36);
	expect(1, 5, 110, 90);
	expect(2, 6, 201, 50);
	expect(3, 7, 405, 595);
	/* One that sticks out of the extended partition ends the chain. */
	entry(200, 0, 0x82, 1, 800);
	block_read_partitions(&disk);
	assert_int_equal(disk.partitions, 2);
}

/* Chains that go back, nowhere, or on for ever. */
static void logical_loops(void **state __unused)
{
	const uint32_t next[] = {0, 100, 99, 1000, 0xffffffff};

	for (unsigned i = 0; i < ARRAY_SIZE(next); i++) {
		setup(NULL);
		entry(0, 0, 0x05, 100, 900);
		entry(100, 0, 0x83, 10, 20);
		entry(100, 1, 0x05, 100, 100);
		entry(200, 0, 0x83, 10, 20);
		entry(200, 1, 0x05, next[i], 100);
		block_read_partitions(&disk);
		assert_int_equal(disk.partitions, 2);
		assert_true(reads <= 4);
	}
	setup(NULL);
	entry(0, 0, 0x05, 1, 0xffffffff);
	for (uint64_t s = 1; s < SECTORS; s++) {
		entry(s, 0, 0x83, s % 2 ? 1 : 0x7fffffff, 1); /* every other is not in the disk */
		entry(s, 1, 0x05, (uint32_t)s, 1);
	}
	block_read_partitions(&disk);
	assert_true(reads < 2 * BLOCK_PARTITIONS_MAX);
	setup(NULL);
	entry(0, 0, 0x05, SECTORS + 5, 100);
	entry(0, 1, 0x85, 0, 100); /* the table is its own extended partition */
	block_read_partitions(&disk);
	assert_int_equal(disk.partitions, 0);
}

static void gpt(void **state __unused)
{
	make_gpt();
	block_read_partitions(&disk);
	assert_string_equal(disk.table, "GPT");
	assert_int_equal(disk.partitions, 2);
	expect(0, 1, 100, 100);
	expect(1, 3, 200, SECTORS - FIRST_USABLE - 199);
	assert_int_equal(logged_lines, 0);
}

/* Entries of other sizes, as the standard lets them be. */
static void gpt_sizes(void **state __unused)
{
	for (uint32_t size = 128; size <= 4096; size *= 2) {
		setup(NULL);
		entry(0, 1, 0xee, 1, SECTORS - 1);
		gpt_entry(40, 0, size, 300, 300);
		gpt_entry(40, 6, size, 301, 400);
		seal(1, 40, 7, size);
		block_read_partitions(&disk);
		assert_int_equal(disk.partitions, 2);
		expect(0, 1, 300, 1);
		expect(1, 7, 301, 100);
	}
}

/* Damage to the first one: the second counts, which differs by a sector. */
static void gpt_damaged(void **state __unused)
{
	const struct {
		uint64_t sector;
		unsigned byte;
	} damage[] = {{1, 0}, {1, 16}, {1, 41}, {1, 91}, {ENTRIES_AT, 33}, {33, 511}};

	for (unsigned i = 0; i < ARRAY_SIZE(damage); i++) {
		setup(NULL);
		make_gpt();
		image[damage[i].sector][damage[i].byte] ^= 4;
		block_read_partitions(&disk);
		assert_int_equal(disk.partitions, 2);
		expect(1, 3, 201, SECTORS - FIRST_USABLE - 200);
		assert_int_equal(logged_lines, 1);
		/* And the second one, too. */
		image[SECTORS - 1][damage[i].byte] ^= 4;
		image[SECTORS - 33][3] ^= 1;
		nothing();
	}
	setup(NULL);
	make_gpt();
	bad_sector = 7;
	block_read_partitions(&disk);
	expect(1, 3, 201, SECTORS - FIRST_USABLE - 200);
}

/* With right sums, a header that cannot be. */
static void gpt_lies(void **state __unused)
{
	const struct {
		unsigned at, bytes;
		uint64_t value;
	} lies[] = {
		{24, 8, 2},	  {24, 8, SECTORS - 1}, {12, 4, 91},
		{12, 4, 513},	  {12, 4, 0xffffffff},	{40, 8, 1},
		{48, 8, SECTORS}, {48, 8, UINT64_MAX},	{72, 8, UINT64_MAX},
		{72, 8, SECTORS}, {72, 8, SECTORS - 5}, {80, 4, 0xffffffff},
		{80, 4, 1025},	  {84, 4, 0},		{84, 4, 64},
		{84, 4, 129},	  {84, 4, 0x80000000},	{84, 4, 192},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
		setup(NULL);
		make_gpt();
		memset(image[SECTORS - 1], 0, BLOCK_SECTOR);
		put(image[1] + lies[i].at, lies[i].value, lies[i].bytes);
		reseal();
		nothing();
		assert_true(reads < 300);
	}
}

static void gpt_entries_lie(void **state __unused)
{
	make_gpt();
	gpt_entry(ENTRIES_AT, 4, 128, FIRST_USABLE - 1, 100);
	gpt_entry(ENTRIES_AT, 5, 128, 100, SECTORS - FIRST_USABLE + 1);
	gpt_entry(ENTRIES_AT, 6, 128, 101, 100);
	gpt_entry(ENTRIES_AT, 7, 128, 0, UINT64_MAX);
	gpt_entry(ENTRIES_AT, 8, 128, UINT64_MAX, UINT64_MAX);
	seal(1, ENTRIES_AT, COUNT, 128);
	block_read_partitions(&disk);
	assert_int_equal(disk.partitions, 2);
	assert_int_equal(logged_lines, 1);
	for (unsigned i = 0; i < COUNT; i++)
		gpt_entry(ENTRIES_AT, i, 128, 300 + i, 300 + i);
	seal(1, ENTRIES_AT, COUNT, 128);
	block_read_partitions(&disk);
	assert_int_equal(disk.partitions, BLOCK_PARTITIONS_MAX);
	expect(31, 32, 331, 1);
	assert_int_equal(logged_lines, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(none, setup),
		cmocka_unit_test_setup(checksum, setup),
		cmocka_unit_test_setup(primary, setup),
		cmocka_unit_test_setup(logical, setup),
		cmocka_unit_test_setup(logical_loops, setup),
		cmocka_unit_test_setup(gpt, setup),
		cmocka_unit_test_setup(gpt_sizes, setup),
		cmocka_unit_test_setup(gpt_damaged, setup),
		cmocka_unit_test_setup(gpt_lies, setup),
		cmocka_unit_test_setup(gpt_entries_lie, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
