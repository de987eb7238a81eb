/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's side of a split virtqueue (virtio 1.2, 2.7), with a device that is not trusted. */
#ifndef DRIVERS_VQUEUE_H
#define DRIVERS_VQUEUE_H

#include <linux/virtio_ring.h>

#include "socle/base.h"
#include "socle/status.h"

#define VQUEUE_MAX  256 /* entries */
#define VQUEUE_LINE 64	/* bytes of a cache line */

/* A buffer in memory that the device may use: from pages_alloc(), until it comes back. */
struct vqueue_buffer {
	uint64_t pa;  /* host-physical */
	uint32_t len; /* bytes, above 0. What the device writes has its cache lines for itself */
};

/*
 * Each request has a slot with a fixed row of descriptors, so nothing is read back from the
 * descriptors, which the device could have changed. Guarded by a lock of its owner.
 */
struct vqueue {
	struct vring_desc *desc; /* written by us, as is avail; lines of their own */
	struct vring_avail *avail;
	struct vring_used *used; /* written by the device; from a line of its own on */
	size_t bytes;		 /* of all three, from desc on */
	volatile void *doorbell; /* uncached */
	uint16_t index;		 /* of the queue, what the doorbell takes */
	uint16_t size;		 /* entries; a power of two */
	uint16_t chain;		 /* descriptors of a slot */
	uint16_t slots;
	uint16_t free;	     /* slots that are */
	uint16_t next_avail; /* count on for ever, modulo 65536 */
	uint16_t next_used;
	const char *error;	    /* what the device did wrong; NULL: nothing. Dead then */
	uint16_t stack[VQUEUE_MAX]; /* numbers of the free slots, the first @free of it */
	struct {
		void *token;	   /* the owner's, NULL: free */
		uint32_t writable; /* bytes that the device may write */
	} slot[VQUEUE_MAX];
};

/*
 * Makes an empty queue of @size entries, a power of two up to VQUEUE_MAX, of which a request takes
 * @chain. -S_NOMEM.
 */
status_t __must_check vqueue_init(struct vqueue *q, unsigned size, unsigned chain);

/* Gives the memory back, when the device does not use it any more. */
void vqueue_free(struct vqueue *q);

/*
 * Adds a request: @out buffers that the device reads, then @in that it writes, together at most
 * @chain and at least one. @token is what vqueue_get() returns; not NULL. -S_NOSPC: all slots are
 * taken; -S_IO: the queue is dead.
 */
status_t __must_check vqueue_add(struct vqueue *q, const struct vqueue_buffer *buffers,
				 unsigned out, unsigned in, void *token);

/* Tells the device of what was added, if it wants to know. */
void vqueue_kick(struct vqueue *q);

/*
 * The token of the next request that the device is done with, and in *@written how many bytes it
 * says it wrote, at most what it was allowed to. NULL: none, or the queue is dead, see @error.
 */
void *vqueue_get(struct vqueue *q, uint32_t *written);

/* The device need not interrupt for what it finishes; or it must: then look once more. */
void vqueue_quiet(struct vqueue *q, bool quiet);

/* For a device that was reset: a request that it still had, whose slot is free now; NULL: none. */
void *vqueue_drop(struct vqueue *q);

#endif
