/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the list of network cards (nic.c) and their drivers. */
#ifndef DRIVERS_NIC_DRIVER_H
#define DRIVERS_NIC_DRIVER_H

#include "socle/cpu/spinlock.h"
#include "socle/drivers/nic.h"

enum {
	/* A frame's place in memory of ours: a divisor of the page size, so none is in two. */
	NIC_BUFFER = 2048,
	CACHE_LINE = 64,
};

/* A driver. A card that failed (nic_fail()) is not called any more. */
struct nic_ops {
	const char *driver; /* its name */
	/* Lets the card receive, and send. On the boot CPU, once. */
	status_t (*start)(struct nic *nic);
	/* The buffer of the next frame to be sent; NULL: all are on their way. nic.lock is held. */
	uint8_t *(*tx_buffer)(struct nic *nic);
	/* Queues @len bytes in it; and tells the card of all that is queued. Likewise. */
	void (*tx_queue)(struct nic *nic, uint32_t len);
	void (*tx_kick)(struct nic *nic);
	/* Hands up to @most frames to nic_receive(); how many places it looked at. Boot CPU. */
	unsigned (*receive)(struct nic *nic, unsigned most);
	/* Is there a link? Boot CPU, now and then. */
	bool (*link)(struct nic *nic);
	/* As nic_wait(). NULL: the card has no interrupt for us. */
	bool (*wait)(struct nic *nic);
};

/* Embed it in the driver's card, zeroed, and set the first three. */
struct nic {
	const struct nic_ops *ops; /* constant, as are the next three */
	uint8_t mac[NIC_MAC];
	char where[12]; /* for people: "00:02.0" */
	char name[NIC_NAME_MAX];
	struct nic_sink *sink; /* set by nic_open() */
	bool link;	       /* of the boot CPU, as are the next three; others may read it */
	uint64_t look_due;     /* ns since boot: look at its health then */
	uint64_t sent_before;  /* frames that had been sent at the last look */
	bool stuck_said;
	bool dead;		  /* atomic */
	struct spinlock lock;	  /* LOCK_HOST: the transmit side */
	bool behind;		  /* frames are queued that the card was not told of; @lock */
	struct nic_counts counts; /* what was sent: @lock; received: the boot CPU */
};

/* Adds a card that was found, and logs it. -S_NOSPC: there are NIC_MAX already. */
status_t __must_check nic_add(struct nic *nic);

/* @nic cannot be used any more, as @why says: logs it, once. Any CPU. */
void nic_fail(struct nic *nic, const char *why);

/* A frame came, or what should be one: NULL. From nic_ops.receive(). */
void nic_receive(struct nic *nic, const uint8_t *frame, uint32_t len);

/* Frames wait. In an interrupt of the card, on the boot CPU. */
void nic_ready(struct nic *nic);

#endif
