/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of the block device: what is the same for a disk in memory and one of the
 * machine's. */
#ifndef DRIVERS_VIRTIO_BLK_H
#define DRIVERS_VIRTIO_BLK_H

#include <linux/virtio_blk.h>

#include "device.h"
#include "disk.h"
#include "socle/drivers/block.h"

enum {
	BLK_SEGMENT_MAX = 8192, /* bytes; a driver keeps to these two, so requests are short */
	BLK_SEGMENTS_MAX = 64,
	BLK_REQUEST_MAX = BLK_SEGMENT_MAX * BLK_SEGMENTS_MAX,
	BLK_TURN_BYTES = MiB, /* copied or zeroed, before others may have the CPU; a request is finished */
	BLK_TURN_REQUESTS = 64,
	BLK_QUEUES_MAX = 4,
};

struct blk_slot;

struct blk {
	struct virtio_device dev;
	struct virtio_kind kind;
	struct virtio_blk_config config;
	bool read_only;
	char name[16];
	char serial[VIRTIO_BLK_ID_BYTES]; /* without NUL if it fills it */
	struct disk disk;		  /* in memory; dev.lock */

	/* One of the machine's (blk_host.c). */
	struct block_user user; /* what it has of it */
	struct blk_slot *slots; /* BLK_SLOTS for each queue; dev.lock */
	bool draining; /* requests of before a reset are still at the disk; written with dev.lock */
};

/* A request, as far as its header and where its bytes lie. */
struct blk_request {
	struct virtio_blk_outhdr h;
	uint64_t out, in; /* bytes of data to be read, or to be written before the status */
	uint64_t written; /* of @in */
	uint64_t zeroed;  /* bytes of a disk in memory whose pages may have gone */
};

/* Reads the header of the request in dev->chain; false: it is none, and the device is broken. */
bool blk_begin(struct blk *blk, unsigned queue, struct blk_request *r);

/* Gives the request in dev->chain back with its status. */
void blk_end(struct blk *blk, unsigned queue, struct blk_request *r, uint8_t status);

/* Can these bytes be read or written for @r? */
bool blk_is_data(const struct blk *blk, const struct blk_request *r, uint64_t len);

/* Serves GET_ID, all of it. */
uint8_t blk_give_id(struct blk *blk, struct virtio_ring *ring, struct blk_request *r);

/*
 * Makes @blk, whose name, serial, read_only and number of queues are set, serve a disk or a
 * partition of the machine. -S_NOENT, -S_BUSY and -S_PERM are logged; -S_NOMEM.
 */
status_t __must_check blk_host_init(struct blk *blk, const char *name, unsigned queues);

/* For kind.ops, of such a disk. */
extern const struct virtio_ops blk_host_ops;

#endif
