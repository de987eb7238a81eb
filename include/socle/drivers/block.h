/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's disks that Socle drives: requests, partitions, and who uses them. */
#ifndef SOCLE_DRIVERS_BLOCK_H
#define SOCLE_DRIVERS_BLOCK_H

#include "socle/base.h"
#include "socle/status.h"

#define BLOCK_SECTOR	     512u
#define BLOCK_PARTITIONS_MAX 32
#define BLOCK_NAME_MAX	     8		 /* with its final NUL, of a disk or partition */
#define BLOCK_SECTORS_MAX    BIT(50)	 /* of a disk, so that sums and bytes do not overflow */
#define BLOCK_TIMEOUT_S	     30		 /* then a disk that does not answer is given up */
#define BLOCK_BYTES_MAX	     (64 * 1024) /* of one request */

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH };

/* The submitter's, and the driver's from block_submit() until @done. */
struct block_request {
	enum block_op op;
	uint32_t bytes;	 /* whole sectors, at most the disk's max_bytes; 0 for BLOCK_FLUSH */
	uint64_t sector; /* of the disk; set by block_submit() from the user's */
	void *buffer;	 /* of pages_alloc(), its cache lines for itself */
	/*
	 * It is finished, as @status says. On the boot CPU, interrupts off, no lock held; the
	 * request is the submitter's again.
	 */
	void (*done)(struct block_request *r);
	status_t status;	    /* 0, -S_IO */
	struct block_request *next; /* the driver's */
};

struct block_partition {
	unsigned number; /* as Linux counts them, from 1 on */
	uint64_t first;	 /* sector of the disk */
	uint64_t sectors;
};

/* Embed it in the driver's. Constant once block_add() has returned, but for @dead. */
struct block_disk {
	const char *driver;
	uint64_t sectors;   /* at most BLOCK_SECTORS_MAX */
	uint32_t max_bytes; /* of a request; whole sectors, at most BLOCK_BYTES_MAX */
	bool read_only;
	bool flushes; /* it has a cache of its own, and BLOCK_FLUSH; else what is written is safe */
	bool dead;    /* it was given up; read by anyone */
	/*
	 * Takes a request over. Any CPU, with locks below LOCK_HOST. -S_IO: the disk is dead, and
	 * done() is not called.
	 */
	status_t (*submit)(struct block_disk *disk, struct block_request *r);
	/* Looks for requests that are finished, or take too long. The boot CPU, no lock held. */
	void (*look)(struct block_disk *disk);

	/* Set by block_add(). */
	char name[BLOCK_NAME_MAX]; /* "vda" */
	const char *table;	   /* "GPT", "MBR", or NULL: no partitions */
	struct block_partition partition[BLOCK_PARTITIONS_MAX];
	unsigned partitions;
	struct block_disk *next;
};

/*
 * Who uses a disk or a partition, or rather its sectors, which is what counts for what else
 * overlaps with it. All of the list is the boot CPU's.
 */
struct block_user {
	struct block_disk *disk;
	uint64_t first, sectors;
	bool writes;
	const char *who; /* name of a VM; stays */
	struct block_user *next;
};

/* Names @disk, reads its partitions, and logs a line. At boot, by its driver. */
void block_add(struct block_disk *disk);

/* The disk after @disk, the first for NULL; NULL at the end. */
struct block_disk *block_next(struct block_disk *disk);

/* Where "vda" or "vda2" is: sets disk, first and sectors of @user. -S_NOENT. */
status_t __must_check block_find(const char *name, struct block_user *user);

/*
 * Enters @user, as block_find() set it, for @who. -S_BUSY: another uses some of the sectors, and
 * one of them writes: *@other; -S_PERM: the disk is read-only. Boot CPU.
 */
status_t __must_check block_open(struct block_user *user, const char *who, bool writes,
				 const struct block_user **other);

/* Strikes out all users that were entered for this @who, the same pointer. They are idle. */
void block_close(const char *who);

/* The first user of some of these sectors behind @after; NULL: the first of all. */
const struct block_user *block_users(const struct block_disk *disk, uint64_t first,
				     uint64_t sectors, const struct block_user *after);

/*
 * Asks for r->bytes at @sector of what @user has. Any CPU, with locks below LOCK_HOST. -S_RANGE:
 * that is not all in there, or too much at once; -S_PERM: it may only read; -S_IO: the disk is
 * dead. Then done() is not called.
 */
status_t __must_check block_submit(const struct block_user *user, uint64_t sector,
				   struct block_request *r);

/*
 * Reads a sector of @disk and waits for it, BLOCK_TIMEOUT_S at most. At boot, for partition
 * tables. -S_IO.
 */
status_t __must_check block_read(struct block_disk *disk, uint64_t sector,
				 uint8_t dst[BLOCK_SECTOR]);

/* Finds the partitions of @disk; partition.c. Sets table, partition[], partitions. */
void block_read_partitions(struct block_disk *disk);

#endif
