/* SPDX-License-Identifier: BSD-2-Clause */
/* What a block device's sectors are: a read-only base, and pages that were written over it. */
#ifndef DRIVERS_VIRTIO_DISK_H
#define DRIVERS_VIRTIO_DISK_H

#include "socle/base.h"
#include "socle/status.h"

enum { SECTOR_SHIFT = 9, SECTOR = 1 << SECTOR_SHIFT };

/*
 * Its owner has a lock for it. Places and lengths are in bytes; callers have checked that they lie
 * in the disk.
 */
struct disk {
	const uint8_t *base; /* what it holds when it is new; NULL: zeroes. Constant, as is @size */
	uint64_t size;	     /* bytes, whole sectors; the base has as many */
	uint32_t owner;	     /* enum frame_owner of what was written, and of its tables */
	uint64_t *table;     /* by 2 MiB: physical address of a table of pages; 0: all are new */
	uint64_t tables;     /* entries of @table */
};

/* The most memory that a disk of @size bytes takes, if all of it is written; with its tables. */
uint64_t disk_most(uint64_t size);

/*
 * Makes it new; @disk->base, size and owner are the caller's. While a VM is created: the memory is
 * OWNER_VM_CORE's. -S_NOMEM.
 */
status_t __must_check disk_init(struct disk *disk);

/* The bytes at @at; @len is cut to how many lie there in a row. */
const uint8_t *disk_read(struct disk *disk, uint64_t at, uint64_t *len);

/* Likewise, to be written; what is not written stays. NULL: no memory. */
uint8_t *disk_write(struct disk *disk, uint64_t at, uint64_t *len);

/*
 * Makes whole pages of [@at, @at + @len) zeroes, which takes no memory for them, and gives back
 * what they had; with @all the rest, too. -S_NOMEM: not all of it was done.
 */
status_t __must_check disk_zero(struct disk *disk, uint64_t at, uint64_t len, bool all);

/* Makes it new again: all that was written is given back. */
void disk_renew(struct disk *disk);

#endif
