/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a disk's first and last sectors: partitions that come out must lie in the disk. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../../drivers/partition.c"

enum { READS_MAX = 2000 };

static const uint8_t *bytes;
static size_t size;
static unsigned reads;

void log_line(enum log_level level __unused, const char *fmt __unused, ...)
{
}

/* The input begins with the disk's size; its sectors come from the rest, again and again. */
static void fill(uint64_t sector, uint8_t dst[BLOCK_SECTOR])
{
	uint64_t at = sector * BLOCK_SECTOR % size;
	size_t n = MIN(size - at, (size_t)BLOCK_SECTOR);

	memcpy(dst, bytes + at, n);
	memset(dst + n, 0, BLOCK_SECTOR - n);
}

/* Makes a header's checksums right, or no input would come past them. */
static void seal(uint64_t sector, uint8_t *h)
{
	uint64_t table = get(h + GPT_ENTRIES, 8),
		 left = get(h + GPT_COUNT, 4) * get(h + GPT_ENTRY_SIZE, 4);
	uint32_t crc = 0, header = (uint32_t)get(h + GPT_HEADER_SIZE, 4);
	uint8_t entries[BLOCK_SECTOR];

	for (; left && left <= GPT_BYTES_MAX; left -= MIN(left, (uint64_t)BLOCK_SECTOR)) {
		fill(table++, entries);
		crc = crc32(crc, entries, MIN(left, (uint64_t)BLOCK_SECTOR));
	}
	memcpy(h + GPT_ENTRIES_CRC, &crc, 4);
	memcpy(h + GPT_MY_LBA, &sector, 8);
	memset(h + GPT_HEADER_CRC, 0, 4);
	crc = crc32(0, h, MIN(header, BLOCK_SECTOR));
	memcpy(h + GPT_HEADER_CRC, &crc, 4);
}

status_t block_read(struct block_disk *disk, uint64_t sector, uint8_t dst[BLOCK_SECTOR])
{
	if (++reads > READS_MAX)
		abort();
	if (sector >= disk->sectors)
		return -S_IO;
	fill(sector, dst);
	if (!memcmp(dst, "EFI PART", 8))
		seal(sector, dst);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct block_disk disk = {.name = "vda"};
	uint32_t sectors;

	if (len < sizeof(sectors) + 1)
		return 0;
	memcpy(&sectors, data, sizeof(sectors));
	disk.sectors = 1 + sectors % 100000;
	bytes = data + sizeof(sectors);
	size = len - sizeof(sectors);
	reads = 0;
	block_read_partitions(&disk);
	if (disk.partitions > BLOCK_PARTITIONS_MAX)
		abort();
	for (unsigned i = 0; i < disk.partitions; i++) {
		const struct block_partition *p = &disk.partition[i];

		if (!p->number || !p->first || !p->sectors || p->first >= disk.sectors ||
		    p->sectors > disk.sectors - p->first)
			abort();
	}
	return 0;
}
