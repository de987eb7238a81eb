/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets between guests, and to Socle: connections, inboxes, and what each guest's device has. */
#ifndef DRIVERS_VIRTIO_VSOCK_H
#define DRIVERS_VIRTIO_VSOCK_H

#include <linux/virtio_vsock.h>
#include "device.h"

enum { VSOCK_RX, VSOCK_TX, VSOCK_EVENT, VSOCK_QUEUES };

enum {
	VSOCK_CID_HOST = 2,
	VSOCK_LINKS = 64,    /* connections that a guest may have begun */
	VSOCK_SLOTS = 64,    /* packets in an inbox; at least as many as guests */
	VSOCK_PIECE = 4096,  /* bytes of payload in one of them */
	VSOCK_SERVED = 8,    /* connections of a guest to Socle */
	VSOCK_SERVICE = 8192 /* bytes that Socle keeps for one of those */
};

_Static_assert(VSOCK_SLOTS >= VM_MAX, "each guest that waits for an inbox has a place in it");

/* An inbox of which fewer than VSOCK_SLOTS packets are taken in this time is not waited for. ns. */
#define VSOCK_STALL (2 * NS_PER_SEC)

struct vsock_port;

/* Who of a connection: its two ends. */
enum vsock_end { VSOCK_CALLER, VSOCK_CALLED, VSOCK_ENDS };

enum vsock_state {
	VSOCK_FREE,
	VSOCK_ASKED, /* REQUEST is on its way, or not answered yet */
	VSOCK_OPEN,
	VSOCK_DEAD, /* over; an end is yet to be told */
};

/* A connection; in the table of the guest that began it. All of it: the lock of the switch. */
struct vsock_link {
	struct vsock_port *port[VSOCK_ENDS]; /* whose ends they are */
	uint32_t number[VSOCK_ENDS];	     /* port numbers, as the guests have them */
	uint32_t serial;		     /* counts the connections that had this place */
	uint8_t state;			     /* enum vsock_state */
	uint8_t owed;	/* ends that are to be told by a RST that it is over: a bit each */
	uint16_t type;	/* VIRTIO_VSOCK_TYPE_... */
	uint64_t since; /* when it began, or ended; ns since boot */
	struct {
		uint32_t sent; /* bytes to this end so far, modulo 2^32 */
		uint32_t room; /* that it has room for, as it said: its credit */
	} to[VSOCK_ENDS];
};

/* A packet on its way to a guest. */
struct vsock_slot {
	struct virtio_vsock_hdr hdr; /* .len bytes of @data follow it */
	struct vsock_link *link;     /* whose it is; NULL: a RST without a connection */
	uint32_t serial;	     /* of @link; of the receiver's life without one */
	bool ready;		     /* the sender has filled it in; atomic */
	uint32_t taken;		     /* bytes of @data that the receiver's driver has */
	uint8_t data[VSOCK_PIECE];
};

/* What is counted for a guest; by the CPU that works for its device, but for those noted. */
struct vsock_stats {
	uint64_t sent, received; /* bytes of payload */
	uint64_t begun;		 /* connections */
	uint64_t refused;	 /* packets that were answered with RST */
	uint64_t spoofed;	 /* packets with another's CID, dropped */
	uint64_t overrun;	 /* connections reset as it sent more than it had credit for */
	uint64_t stalled;	 /* packets given up since it took nothing; the switch's lock */
};

/* A guest's place in the switch, or Socle's. The lock of the switch, unless said otherwise. */
struct vsock_port {
	uint64_t cid;		   /* constant, as are @id to @slot */
	unsigned id;		   /* number of the guest */
	const char *group;	   /* of local guests; empty: global; NULL: Socle */
	struct virtio_device *dev; /* NULL: Socle, which takes packets at once */
	struct vsock_link *link;   /* VSOCK_LINKS */
	struct vsock_slot
		*slot;		/* VSOCK_SLOTS; .hdr and .data: the sender's, then the receiver's */
	bool live;		/* it has a driver */
	bool seqpacket;		/* that does SEQPACKET */
	uint32_t life;		/* counts its drivers */
	uint64_t callers;	/* guests that may have connections to it: a bit each */
	unsigned owed;		/* of its ends, those with a bit in vsock_link.owed */
	uint32_t head, tail;	/* slots that were taken, and reserved, so far */
	bool stalled;		/* it takes too few, and has not taken all since */
	uint64_t since;		/* from when on it is counted how many it takes; ns since boot */
	uint32_t taken;		/* @head at that time */
	unsigned waiters;	/* entries of @waiter */
	uint8_t waiter[VM_MAX]; /* guests that wait for a slot, the first one first */
	struct vsock_port *waits; /* for whose slot this one waits; NULL: it does not */
	struct vsock_stats stats; /* see there */
};

/* The place of a packet in the switch: to whom, and as part of what. */
struct vsock_route {
	struct vsock_port *to;
	struct vsock_link *link; /* NULL: it is the answer to a packet without one */
	uint32_t serial;	 /* as in struct vsock_slot */
};

enum vsock_verdict {
	VSOCK_DROP,
	VSOCK_PASS, /* on, by the route */
	VSOCK_HOST, /* Socle takes it; likewise */
};

/* One of Socle's ends of a connection. The device's lock. */
struct vsock_served {
	struct vsock_link *link; /* NULL, or over: free */
	uint32_t serial;	 /* of @link */
	uint32_t kind;		 /* enum service */
	uint32_t start, fill;	 /* what of @bytes is to be sent */
	uint32_t taken;		 /* bytes of the guest that are done with, modulo 2^32 */
	uint32_t told;		 /* the same, as the guest was told last */
	bool answer;		 /* send RESPONSE */
	bool credit;		 /* send CREDIT_UPDATE */
	bool ended;		 /* the guest sends no more */
	bool closing;		 /* send SHUTDOWN when all is sent */
	bool closed;		 /* that was sent */
	uint8_t bytes[VSOCK_SERVICE];
};

/* A packet for the driver that is of Socle's making, and waits for a buffer. */
struct vsock_out {
	bool full;
	uint32_t at; /* bytes of @data that the driver has */
	struct virtio_vsock_hdr hdr;
	uint8_t data[VSOCK_PIECE];
};

/* The device of a guest. The device's lock, but for @port. */
struct vsock {
	struct virtio_device dev;
	struct virtio_vsock_config config; /* constant */
	struct vsock_port port;
	struct vsock_link link[VSOCK_LINKS]; /* of @port, as is @slot */
	struct vsock_slot slot[VSOCK_SLOTS];
	bool held;		     /* a packet of the driver is under way; the next four: */
	struct virtio_chain chain;   /* its request */
	struct virtio_vsock_hdr hdr; /* of it, or of the answer */
	struct vsock_route route;
	uint32_t passed;    /* bytes of payload that went on */
	struct timer stall; /* armed while it waits for another's inbox */
	bool hosts_turn;    /* the next packet for the driver is Socle's, if there is one */
	unsigned next_served;
	struct vsock_out out;
	struct vsock_served served[VSOCK_SERVED];
};

/* --- vsock_switch.c, vsock_inbox.c: any CPU; take the lock of the switch, LOCK_VSOCK --- */

/* @port has a driver from now on; nothing happens if it had one. */
void vsock_up(struct vsock_port *port, bool seqpacket);

/* It has none any more: what it had with others is over. */
void vsock_down(struct vsock_port *port);

/*
 * What is done with a packet of @from. @hdr is what its driver gave; where it is refused it
 * becomes the answer, with a route to @from itself.
 */
enum vsock_verdict vsock_route(struct vsock_port *from, struct virtio_vsock_hdr *hdr,
			       struct vsock_route *route);

/*
 * Reserves a slot for @from, which fills it and calls vsock_publish(). -S_AGAIN: there is none,
 * and @from is asked to try again when there is; -S_NOENT: the connection is over, or was given up.
 */
status_t __must_check vsock_reserve(struct vsock_port *from, const struct vsock_route *route,
				    struct vsock_slot **slot);
void vsock_publish(struct vsock_port *to, struct vsock_slot *slot);

/* @from does not want a slot any more, or never did. */
void vsock_unwait(struct vsock_port *from);

/* The oldest packet for @port that is ready; NULL: none. Then, that its driver has it. */
struct vsock_slot *vsock_first(struct vsock_port *port);
void vsock_done(struct vsock_port *port);

/* Takes a RST that is owed to @port, if there is one. */
bool vsock_owed(struct vsock_port *port, struct virtio_vsock_hdr *hdr);

/*
 * Completes @hdr, whose op, len, flags, buf_alloc and fwd_cnt are set, as a packet of the called
 * end. False: the connection is over.
 */
bool vsock_answer(const struct vsock_route *route, struct virtio_vsock_hdr *hdr);

/* Bytes of payload that the caller has room for; -1: the connection is over. */
int64_t vsock_room(const struct vsock_route *route);

/* It is over, and both ends are told. */
void vsock_cut(const struct vsock_route *route);

/* --- vsock_host.c: Socle's end. The device's lock is held --- */

/* A packet for Socle, whose payload is behind the header of the request in v->dev.chain. */
void vsock_host_take(struct vsock *v, const struct vsock_route *route,
		     const struct virtio_vsock_hdr *hdr);

/* Puts the next packet from Socle into v->out; false: there is none. */
bool vsock_host_next(struct vsock *v);

/* Where the payload of a request begins. */
enum { VSOCK_HDR = sizeof(struct virtio_vsock_hdr) };

_Static_assert(sizeof(struct virtio_vsock_hdr) == 44, "virtio 1.2, 5.10.6");

#endif
