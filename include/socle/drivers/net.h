/* SPDX-License-Identifier: BSD-2-Clause */
/* Networks: a layer-2 switch between ports, which are guests' network devices and real ones. */
#ifndef SOCLE_DRIVERS_NET_H
#define SOCLE_DRIVERS_NET_H

#include "socle/base.h"
#include "socle/format.h"
#include "socle/status.h"

enum {
	NET_NAME_MAX = 16, /* a network's name, with its final NUL */
	NET_MAC = 6,	   /* bytes of an address */
	NET_PORTS_MAX = 64, /* of a network */
	NET_HEAD_MAX = 192, /* bytes of a frame that are looked at: all headers up to TCP's */
	NET_ETHERNET = 14,  /* bytes of an Ethernet header */
	NET_VLAN = 4,	    /* and of a tag in it */
	NET_MTU = 1500,	    /* bytes behind these */
};

/* What a port takes besides plain frames. */
enum net_ability {
	NET_CAN_CHECKSUM = 1, /* frames whose checksum is still to be filled in */
	NET_CAN_TCP4 = 2,     /* large frames that are still to be cut: TCP over IPv4 */
	NET_CAN_TCP6 = 4,     /* the same over IPv6 */
};

/* What is still to be done to a frame. All zero: nothing. */
struct net_offload {
	/*
	 * The ones' complement sum of all bytes from @csum_start to the end is to be stored,
	 * complemented, at @csum_start + @csum_offset, where that of the pseudo-header lies so far.
	 */
	bool checksum;
	bool verified;	      /* otherwise: the sender's hardware has found the checksums right */
	uint16_t csum_start;  /* bytes from the frame's start */
	uint16_t csum_offset; /* bytes from there */
	/*
	 * NET_CAN_TCP4 or NET_CAN_TCP6: a TCP segment that is to be cut, so that each frame has
	 * @gso_size bytes of its data or fewer. @checksum is set then, too. 0: not.
	 */
	uint8_t gso;
	uint16_t gso_size; /* bytes of data */
	uint16_t hdr_len;  /* bytes before the data; net_frame_init() sets it */
};

/* Where the bytes of a frame lie: embed it and use container_of(). */
struct net_source {
	/*
	 * The address of byte @at, and in @len how many of the *@len bytes that are wanted lie
	 * there in one piece, at least one. Valid until the frame was delivered. NULL: they
	 * cannot be had.
	 */
	const void *(*piece)(const struct net_source *source, uint32_t at, uint32_t *len);
};

/*
 * A frame, without its check sequence, that is being delivered. Its headers are in our memory, so
 * that what was checked is what is sent; the rest is where the sender has it, and may change.
 */
struct net_frame {
	uint32_t len;	   /* bytes */
	uint16_t head_len; /* of them in @head, at least NET_ETHERNET */
	struct net_offload offload;
	const struct net_source *source; /* of the rest */
	uint32_t body;			 /* byte in @source that follows the head */
	uint8_t head[NET_HEAD_MAX];
};

/*
 * Makes a frame of @len bytes out of @source, whose first ones are read once. False: it is too
 * short or too long, cannot be read, or @offload is not true of it. Any context; takes no lock.
 */
bool __must_check net_frame_init(struct net_frame *f, const struct net_source *source, uint32_t len,
				 const struct net_offload *offload);

/* The address of a frame's byte @at, below f->len; @len as for net_source.piece(). */
const void *net_frame_piece(const struct net_frame *f, uint32_t at, uint32_t *len);

/* Copies bytes of a frame; false: they cannot be had. */
bool __must_check net_frame_read(const struct net_frame *f, uint32_t at, void *dst, uint32_t len);

/*
 * Makes of @f frames for a port that @can (enum net_ability, a bit each) only that, and gives
 * each to @emit, with the offload that is left; @f itself if it needs no more. False: @emit
 * returned false, after which no more follow, or there would be too many.
 */
bool net_frame_lower(const struct net_frame *f, unsigned can,
		     bool (*emit)(void *arg, const struct net_frame *f), void *arg);

struct net_port;

struct net_port_ops {
	/* enum net_ability, a bit each; may change. Any CPU, with locks up to LOCK_DEVICE held. */
	unsigned (*can)(struct net_port *port);
	/*
	 * Takes a copy of @f, which needs no more than can() said, or drops it and returns false.
	 * By whoever sends, on any CPU, several at once, with a lock of LOCK_DEVICE held and
	 * interrupts off: so it takes a lock of LOCK_RECEIVE. Never waits for room.
	 */
	bool (*deliver)(struct net_port *port, const struct net_frame *f);
	/* After one or more deliver(), in the same context: tell the receiver. May be NULL. */
	void (*flush)(struct net_port *port);
};

/* Counters of one direction, since the port was added. Whoever reads may see them a moment late. */
struct net_count {
	uint64_t frames, bytes;
	uint64_t dropped; /* sent: bad or not its own address; received: not taken by deliver() */
};

/* Embed it, zeroed but for the first group. */
struct net_port {
	const struct net_port_ops *ops; /* constant, as are all of this group */
	const char *name;		/* for people: "linux/0" */
	const void *owner;		/* struct vm of a guest's port, else NULL */
	/*
	 * A way to other machines: any address may be behind it, so it gets the frames for unknown
	 * ones, and those from there are learned. Else only @mac is there, and sends.
	 */
	bool uplink;
	uint8_t mac[NET_MAC];

	struct net *net;	   /* the network it was added to; constant */
	unsigned index;		   /* its number there; likewise */
	uint64_t touched;	   /* ports that are to be flushed, a bit each; of who sends */
	struct net_count sent;	   /* by it, likewise */
	uint64_t spoofed;	   /* part of sent.dropped: another source address; likewise */
	struct net_count received; /* atomic, as several may send to it at once */
};

/*
 * Connects @port to the network of that name, which is made if there is none. While no guest runs
 * and no port sends. -S_NOMEM; -S_NOSPC: too many ports; -S_EXIST: its address is in use there.
 */
status_t __must_check net_port_add(const char *network, struct net_port *port);

/* Takes the ports of @owner out of their networks again. Likewise. */
void net_ports_remove(const void *owner);

/*
 * Sends @f from @port to whom it is for. Returns to how many ports. One caller at a time for
 * a port, which is so as its lock of LOCK_DEVICE is held, or none.
 */
unsigned net_switch(struct net_port *port, const struct net_frame *f);

/* A frame was wrong before net_switch() could have it: counts that. Likewise. */
void net_drop(struct net_port *port);

/* After net_switch(), at the latest at the end of a batch: has receivers told. Likewise. */
void net_flush(struct net_port *port);

/* Prints all networks, or the ports of @owner for `stats`. */
void net_print(struct format_sink *out);
void net_print_owner(const void *owner, struct format_sink *out);

#endif
