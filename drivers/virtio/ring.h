/* SPDX-License-Identifier: BSD-2-Clause */
/* The device's side of a split virtqueue (virtio 1.2, 2.7): what all devices share. */
#ifndef DRIVERS_VIRTIO_RING_H
#define DRIVERS_VIRTIO_RING_H

#include "socle/base.h"
#include "socle/mm/guestmem.h"
#include "socle/status.h"

/* Largest size of a queue, and so the longest chain. */
#define VIRTIO_RING_MAX 256

/*
 * A queue that is live. Whoever uses it holds its device's lock, on a CPU that is in the VM (see
 * socle/mm/guestmem.h). Indices count on for ever, modulo 65536.
 */
struct virtio_ring {
	struct guest_mem *mem; /* where everything of it lies */
	uint64_t desc;	       /* guest-physical address of the descriptor table */
	uint64_t avail;	       /* of the driver's ring */
	uint64_t used;	       /* of the device's ring */
	uint16_t size;	       /* entries of each; a power of two, at most VIRTIO_RING_MAX */
	bool event_idx;	       /* EVENT_IDX was negotiated */
	bool indirect;	       /* INDIRECT_DESC was negotiated */
	bool quiet;	       /* the driver was told not to notify; without EVENT_IDX */
	uint16_t next_avail;   /* entry of the driver's ring that comes next */
	uint16_t next_used;    /* entry of the device's ring that comes next */
	uint16_t signalled;    /* next_used when virtio_ring_signal() was asked last */
	const char *error;     /* what the driver did wrong; NULL: nothing. The ring is dead then */
};

struct virtio_buffer {
	uint64_t gpa; /* all of it is RAM */
	uint32_t len; /* bytes, above 0 */
};

/* One request: buffers that the device may read, then those that it may write. In our memory. */
struct virtio_chain {
	uint16_t head;	     /* for virtio_ring_push() */
	uint16_t readable;   /* number of buffers to be read: the first ones */
	uint16_t count;	     /* of all */
	uint64_t read_bytes; /* sum of their lengths */
	uint64_t write_bytes;
	struct virtio_buffer buffer[VIRTIO_RING_MAX];
};

/*
 * Starts an empty ring, with the members up to @indirect set by the caller. -S_INVAL: size or
 * alignment are wrong; -S_FAULT: a part of it is no RAM.
 */
status_t __must_check virtio_ring_start(struct virtio_ring *ring);

/*
 * Takes the next request, each of its descriptors read once and checked. 1: @chain has it; 0: there
 * is none, and the driver will notify when there is; -S_INVAL: the ring is broken, see @error.
 */
int __must_check virtio_ring_pop(struct virtio_ring *ring, struct virtio_chain *chain);

/*
 * Lets the driver add requests without a notification, until virtio_ring_pop() finds none. False:
 * the ring is broken.
 */
bool __must_check virtio_ring_hush(struct virtio_ring *ring);

/*
 * Gives a request back, with exactly @written bytes stored in its buffers from the first writable
 * one on. False: the ring is broken.
 */
bool __must_check virtio_ring_push(struct virtio_ring *ring, uint16_t head, uint32_t written);

/*
 * The same for several at once, which the driver sees only together: virtio_ring_put() prepares the
 * one that is number @n, virtio_ring_publish() gives the first @count of them back. False likewise.
 */
bool __must_check virtio_ring_put(struct virtio_ring *ring, unsigned n, uint16_t head,
				  uint32_t written);
bool __must_check virtio_ring_publish(struct virtio_ring *ring, unsigned count);

/* Forgets that the last @count requests were taken, none of which was given back. */
void virtio_ring_unpop(struct virtio_ring *ring, unsigned count);

/* After pushes: does the driver want an interrupt for what was pushed since this was asked last? */
bool virtio_ring_signal(struct virtio_ring *ring);

/*
 * Copies between us and a request's readable (or writable) bytes, which count from @at. Return how
 * many bytes were copied: fewer than @len where the buffers end or memory ran out.
 */
size_t virtio_chain_read(struct virtio_ring *ring, const struct virtio_chain *chain, uint64_t at,
			 void *dst, size_t len);
size_t virtio_chain_write(struct virtio_ring *ring, const struct virtio_chain *chain, uint64_t at,
			  const void *src, size_t len);

/* Where a walk through a request's readable, or writable, buffers is. Zeroed: at the first. */
struct virtio_cursor {
	unsigned buffer; /* that was passed last */
	uint64_t start;	 /* the first of its bytes */
};

/*
 * Where the byte @at of them lies, for the rest of its page at most: in @len how many of the *@len
 * bytes that are wanted. NULL: there is none, or memory ran out. Quick for a cursor that goes on.
 */
void *virtio_chain_piece(struct virtio_ring *ring, const struct virtio_chain *chain, bool writable,
			 struct virtio_cursor *cursor, uint64_t at, uint32_t *len);

#endif
