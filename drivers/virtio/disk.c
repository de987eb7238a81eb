/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk in memory: pages of a boot module or of zeroes, copied when they are written. */
#include "disk.h"
#include "socle/mm/frames.h"
#include "socle/string.h"

/* An entry of a table, other than a frame's physical address. */
enum { PAGE_NEW = 0, PAGE_ZEROES = 1 };

enum {
	TABLE_ENTRIES = PAGE_SIZE / sizeof(uint64_t),
	TABLE_SPAN = TABLE_ENTRIES * PAGE_SIZE, /* bytes of the disk */
};

static const uint8_t zeroes[PAGE_SIZE];

static uint64_t tables_of(uint64_t size)
{
	return DIV_ROUND_UP(size, (uint64_t)TABLE_SPAN);
}

uint64_t disk_most(uint64_t size)
{
	return (DIV_ROUND_UP(size, (uint64_t)PAGE_SIZE) + tables_of(size)) * PAGE_SIZE;
}

status_t disk_init(struct disk *disk)
{
	disk->tables = tables_of(disk->size);
	disk->table = pages_alloc(disk->tables * sizeof(*disk->table), OWNER_VM_CORE);
	return disk->table ? 0 : -S_NOMEM;
}

static uint64_t *table_of(const struct disk *disk, uint64_t at)
{
	return &disk->table[array_index_nospec(at / TABLE_SPAN, disk->tables)];
}

/* The entry of the page at @at, NULL if it has none. */
static uint64_t *entry_of(const struct disk *disk, uint64_t at)
{
	uint64_t table = *table_of(disk, at);

	if (!table)
		return NULL;
	return (uint64_t *)phys_to_virt(table) + (at >> PAGE_SHIFT) % TABLE_ENTRIES;
}

/* Likewise, made if it is missing; NULL: no memory. */
static uint64_t *need_entry(struct disk *disk, uint64_t at)
{
	uint64_t *table = table_of(disk, at);

	if (!*table)
		*table = frame_alloc(FRAME_4K, disk->owner);
	return entry_of(disk, at);
}

/* How many of @len bytes at @at lie in its page. */
static uint64_t in_page(uint64_t at, uint64_t len)
{
	return MIN(len, PAGE_SIZE - at % PAGE_SIZE);
}

const uint8_t *disk_read(struct disk *disk, uint64_t at, uint64_t *len)
{
	const uint64_t *entry = entry_of(disk, at);
	uint64_t page = entry ? *entry : PAGE_NEW;

	*len = in_page(at, *len);
	if (page > PAGE_ZEROES)
		return (uint8_t *)phys_to_virt(page) + at % PAGE_SIZE;
	if (page == PAGE_ZEROES || !disk->base)
		return zeroes;
	return disk->base + array_index_nospec(at, disk->size);
}

/* A copy of the base's page at @at, with zeroes behind its end; 0: no memory. */
static uint64_t copy_page(const struct disk *disk, uint64_t at)
{
	uint64_t page = frame_alloc_raw(disk->owner), n = MIN(disk->size - at, (uint64_t)PAGE_SIZE);
	uint8_t *to = phys_to_virt(page);

	if (page) {
		memcpy(to, disk->base + at, n);
		memset(to + n, 0, PAGE_SIZE - n);
	}
	return page;
}

uint8_t *disk_write(struct disk *disk, uint64_t at, uint64_t *len)
{
	uint64_t *entry = need_entry(disk, at);
	uint64_t page = entry ? *entry : 0;

	if (!entry)
		return NULL;
	*len = in_page(at, *len);
	if (page <= PAGE_ZEROES) {
		/* All of it, even if all is to be written: that may yet fail in the middle. */
		page = disk->base && page == PAGE_NEW
			       ? copy_page(disk, at & ~(uint64_t)(PAGE_SIZE - 1))
			       : frame_alloc(FRAME_4K, disk->owner);
		if (!page)
			return NULL;
		*entry = page;
	}
	return (uint8_t *)phys_to_virt(page) + at % PAGE_SIZE;
}

static bool is_zeroes(const struct disk *disk, uint64_t at)
{
	const uint64_t *entry = entry_of(disk, at);

	return entry && *entry != PAGE_NEW ? *entry == PAGE_ZEROES : !disk->base;
}

static status_t zero_page(struct disk *disk, uint64_t at)
{
	uint64_t *entry = need_entry(disk, at);

	if (!entry)
		return -S_NOMEM;
	if (*entry > PAGE_ZEROES)
		frame_free(*entry, FRAME_4K, disk->owner);
	*entry = PAGE_ZEROES;
	return 0;
}

static status_t zero_part(struct disk *disk, uint64_t at, uint64_t len)
{
	uint8_t *p = disk_write(disk, at, &len);

	if (!p)
		return -S_NOMEM;
	memset(p, 0, len);
	return 0;
}

status_t disk_zero(struct disk *disk, uint64_t at, uint64_t len, bool all)
{
	status_t status = 0;

	for (uint64_t n; len && !status; at += n, len -= n) {
		n = in_page(at, len);
		if (is_zeroes(disk, at))
			continue;
		if (n == PAGE_SIZE)
			status = zero_page(disk, at);
		else if (all)
			status = zero_part(disk, at, n);
	}
	return status;
}

void disk_renew(struct disk *disk)
{
	for (uint64_t i = 0; i < disk->tables; i++) {
		const uint64_t *entry = phys_to_virt(disk->table[i]);

		if (!disk->table[i])
			continue;
		for (unsigned k = 0; k < TABLE_ENTRIES; k++)
			if (entry[k] > PAGE_ZEROES)
				frame_free(entry[k], FRAME_4K, disk->owner);
		frame_free(disk->table[i], FRAME_4K, disk->owner);
		disk->table[i] = 0;
	}
}
