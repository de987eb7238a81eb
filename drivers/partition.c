/* SPDX-License-Identifier: BSD-2-Clause */
/* Partition tables of the machine's disks: GPT (UEFI 2.10, 5.3) and MBR with logical partitions. */
#include "socle/drivers/block.h"
#include "socle/report.h"
#include "socle/string.h"

enum {
	/* UEFI 2.10, 5.2.1: legacy MBR. */
	MBR_ENTRIES = 446, MBR_ENTRY = 16, MBR_COUNT = 4, MBR_SIGNATURE = 510, MBR_MAGIC = 0xaa55,
	ENTRY_STATUS = 0, ENTRY_TYPE = 4, ENTRY_FIRST = 8, ENTRY_SECTORS = 12,
	STATUS_ACTIVE = 0x80,
	TYPE_EXTENDED = 0x05, TYPE_EXTENDED_LBA = 0x0f, TYPE_EXTENDED_LINUX = 0x85, TYPE_GPT = 0xee,
	FIRST_LOGICAL = 5, LAST_LOGICAL = FIRST_LOGICAL + BLOCK_PARTITIONS_MAX,
	/* 5.3.2 and 5.3.3: header and entries. */
	GPT_HEADER_SIZE = 12, GPT_HEADER_CRC = 16, GPT_MY_LBA = 24, GPT_FIRST_USABLE = 40,
	GPT_LAST_USABLE = 48, GPT_ENTRIES = 72, GPT_COUNT = 80, GPT_ENTRY_SIZE = 84,
	GPT_ENTRIES_CRC = 88, GPT_HEADER_MIN = 92, GPT_PRIMARY = 1,
	GUID_SIZE = 16, GPT_ENTRY_FIRST = 32, GPT_ENTRY_LAST = 40, GPT_ENTRY_MIN = 128,
	GPT_BYTES_MAX = 128 * 1024, /* of all entries; 16 KiB are usual */
};

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	memcpy(&v, p, bytes);
	return v;
}

/* CRC-32 as UEFI has it, of bytes behind those that gave @crc, which is 0 before the first. */
static uint32_t crc32(uint32_t crc, const uint8_t *p, size_t len)
{
	const uint32_t polynomial = 0xedb88320;

	crc = ~crc;
	while (len--) {
		crc ^= *p++;
		for (unsigned i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
	}
	return ~crc;
}

static unsigned dropped; /* partitions of the disk that is read */

/* What does not lie in the disk, or holds the table's own first sector, is left out. */
static void add(struct block_disk *disk, unsigned number, uint64_t first, uint64_t sectors)
{
	if (!first || !sectors || first >= disk->sectors || sectors > disk->sectors - first ||
	    disk->partitions == BLOCK_PARTITIONS_MAX)
		dropped++;
	else
		disk->partition[disk->partitions++] =
			(struct block_partition){number, first, sectors};
}

/* --- MBR --- */

static const uint8_t *mbr_entry(const uint8_t *sector, unsigned i)
{
	return sector + MBR_ENTRIES + i * MBR_ENTRY;
}

/* A boot sector of a file system also has the signature, but seldom entries like these. */
static bool is_mbr(const uint8_t *sector)
{
	if (get(sector + MBR_SIGNATURE, 2) != MBR_MAGIC)
		return false;
	for (unsigned i = 0; i < MBR_COUNT; i++)
		if (mbr_entry(sector, i)[ENTRY_STATUS] & ~STATUS_ACTIVE)
			return false;
	return true;
}

static bool is_extended(uint8_t type)
{
	return type == TYPE_EXTENDED || type == TYPE_EXTENDED_LBA || type == TYPE_EXTENDED_LINUX;
}

/*
 * A chain of sectors, each with a logical partition and the place of the next sector. All lie in
 * the extended partition, [@base, @base + @size), and each behind the last one.
 */
static void read_logical(struct block_disk *disk, uint64_t base, uint64_t size)
{
	uint64_t at = 0, next;

	for (unsigned number = FIRST_LOGICAL; number < LAST_LOGICAL; number++, at = next) {
		uint8_t sector[BLOCK_SECTOR];
		const uint8_t *entry = mbr_entry(sector, 0), *link = mbr_entry(sector, 1);
		uint64_t first, sectors;

		if (block_read(disk, base + at, sector) || !is_mbr(sector))
			return;
		first = at + get(entry + ENTRY_FIRST, 4);
		sectors = get(entry + ENTRY_SECTORS, 4);
		if (!entry[ENTRY_TYPE] || first <= at || first >= size || sectors > size - first)
			return;
		add(disk, number, base + first, sectors);
		next = get(link + ENTRY_FIRST, 4);
		if (!is_extended(link[ENTRY_TYPE]) || next <= at || next >= size)
			return;
	}
}

static void read_mbr(struct block_disk *disk, const uint8_t *sector)
{
	disk->table = "MBR";
	for (unsigned i = 0; i < MBR_COUNT; i++) {
		const uint8_t *entry = mbr_entry(sector, i);
		uint64_t first = get(entry + ENTRY_FIRST, 4);
		uint64_t sectors = get(entry + ENTRY_SECTORS, 4);

		if (is_extended(entry[ENTRY_TYPE]))
			read_logical(disk, first, sectors);
		else if (entry[ENTRY_TYPE])
			add(disk, i + 1, first, sectors);
	}
}

/* --- GPT --- */

struct gpt {
	uint64_t entries; /* sector where they begin */
	uint32_t size;	  /* of an entry */
	uint32_t count;
	uint32_t crc;	      /* of all of them */
	uint64_t first, last; /* sectors for partitions */
};

static bool read_header(struct block_disk *disk, uint64_t at, struct gpt *gpt)
{
	uint8_t sector[BLOCK_SECTOR];
	uint32_t size, crc;

	if (block_read(disk, at, sector) || memcmp(sector, "EFI PART", 8))
		return false;
	size = (uint32_t)get(sector + GPT_HEADER_SIZE, 4);
	crc = (uint32_t)get(sector + GPT_HEADER_CRC, 4);
	if (size < GPT_HEADER_MIN || size > BLOCK_SECTOR || get(sector + GPT_MY_LBA, 8) != at)
		return false;
	memset(sector + GPT_HEADER_CRC, 0, sizeof(crc));
	if (crc32(0, sector, size) != crc)
		return false;
	*gpt = (struct gpt){
		.entries = get(sector + GPT_ENTRIES, 8),
		.size = (uint32_t)get(sector + GPT_ENTRY_SIZE, 4),
		.count = (uint32_t)get(sector + GPT_COUNT, 4),
		.crc = (uint32_t)get(sector + GPT_ENTRIES_CRC, 4),
		.first = get(sector + GPT_FIRST_USABLE, 8),
		.last = get(sector + GPT_LAST_USABLE, 8),
	};
	return gpt->size >= GPT_ENTRY_MIN && !(gpt->size & (gpt->size - 1)) &&
	       (uint64_t)gpt->size * gpt->count <= GPT_BYTES_MAX && gpt->first > GPT_PRIMARY &&
	       gpt->last < disk->sectors;
}

static void add_entry(struct block_disk *disk, const struct gpt *gpt, unsigned index,
		      const uint8_t *entry)
{
	static const uint8_t unused[GUID_SIZE];
	uint64_t first = get(entry + GPT_ENTRY_FIRST, 8), last = get(entry + GPT_ENTRY_LAST, 8);

	if (!memcmp(entry, unused, sizeof(unused)))
		return;
	if (first < gpt->first || last > gpt->last || first > last)
		dropped++;
	else
		add(disk, index + 1, first, last - first + 1);
}

/* An entry's interesting part is in one sector, as sizes are powers of two from 128 on. */
static bool read_gpt(struct block_disk *disk, uint64_t at)
{
	uint8_t sector[BLOCK_SECTOR];
	uint32_t bytes, crc = 0;
	struct gpt gpt;

	if (!read_header(disk, at, &gpt))
		return false;
	bytes = gpt.size * gpt.count;
	for (uint32_t done = 0; done < bytes; done += BLOCK_SECTOR) {
		uint32_t here = MIN(bytes - done, BLOCK_SECTOR);

		if (block_read(disk, gpt.entries + done / BLOCK_SECTOR, sector))
			return false;
		crc = crc32(crc, sector, here);
		for (uint32_t i = 0; i < here; i += GPT_ENTRY_MIN)
			if ((done + i) % gpt.size == 0)
				add_entry(disk, &gpt, (done + i) / gpt.size, sector + i);
	}
	disk->table = "GPT";
	return crc == gpt.crc;
}

/* The second one is at the end of the disk. */
static void read_either_gpt(struct block_disk *disk)
{
	if (read_gpt(disk, GPT_PRIMARY))
		return;
	disk->partitions = dropped = 0;
	if (read_gpt(disk, disk->sectors - 1)) {
		log_warn("host: %s: the first GPT is damaged, the second one counts", disk->name);
		return;
	}
	log_warn("host: %s: both GPTs are damaged: no partitions", disk->name);
	disk->partitions = dropped = 0;
	disk->table = NULL;
}

static bool has_gpt(const uint8_t *sector)
{
	for (unsigned i = 0; i < MBR_COUNT; i++)
		if (mbr_entry(sector, i)[ENTRY_TYPE] == TYPE_GPT)
			return true;
	return false;
}

void block_read_partitions(struct block_disk *disk)
{
	uint8_t sector[BLOCK_SECTOR];

	disk->partitions = dropped = 0;
	disk->table = NULL;
	if (block_read(disk, 0, sector)) {
		log_error("host: %s: its first sector cannot be read", disk->name);
		return;
	}
	if (!is_mbr(sector))
		return;
	if (has_gpt(sector))
		read_either_gpt(disk);
	else
		read_mbr(disk, sector);
	if (dropped)
		log_warn("host: %s: %u partitions are not in the disk, or more than %u: ignored",
			 disk->name, dropped, BLOCK_PARTITIONS_MAX);
}
