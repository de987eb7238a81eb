/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's network cards: a list of them, and frames to and from each. */
#ifndef SOCLE_DRIVERS_NIC_H
#define SOCLE_DRIVERS_NIC_H

#include "socle/base.h"
#include "socle/status.h"

struct nic;

enum {
	NIC_MAX = 8,
	NIC_NAME_MAX = 8,     /* "eth0", with its final NUL */
	NIC_MAC = 6,	      /* bytes of an address */
	NIC_FRAME_MIN = 14,   /* bytes: addresses and type; the card pads to Ethernet's 60 */
	NIC_FRAME_MAX = 1518, /* with a VLAN tag, without the check sum at the end */
};

/* Who takes the frames that a card receives: embed it and use container_of(). */
struct nic_sink {
	/*
	 * From nic_poll(), with no lock held: NIC_FRAME_MIN to NIC_FRAME_MAX bytes, which are the
	 * card's again when it returns.
	 */
	void (*frame)(struct nic_sink *sink, const uint8_t *frame, uint32_t len);
	/* The card is to be polled. On the boot CPU, in its interrupt. */
	void (*ready)(struct nic_sink *sink);
};

/* What a card did, and why frames were lost. Counted since it was found. */
struct nic_counts {
	uint64_t sent, sent_bytes;
	uint64_t received, received_bytes;
	uint64_t full;	  /* not sent: no room in the card's queue, or it is dead */
	uint64_t damaged; /* not received: too long, in pieces, or with an error */
};

struct nic_state {
	const char *name;   /* "eth0" */
	const char *driver; /* "e1000" */
	const uint8_t *mac; /* NIC_MAC bytes */
	bool link;	    /* a cable with somebody at its other end, at the last look */
	bool dead;	    /* failed for good, which was logged */
	bool open;
	struct nic_counts counts;
};

/* By name, NULL if there is none. All cards are found at boot and stay. */
struct nic *nic_find(const char *name);

/* The card after @nic, the first for NULL; NULL at the end. */
struct nic *nic_next(struct nic *nic);

/* Fills @state. Any CPU; counters may be a moment late. */
void nic_look(const struct nic *nic, struct nic_state *state);

/*
 * Has @nic receive everything on its line, for @sink. Once, on the boot CPU. -S_BUSY: it is open
 * already; -S_IO: it failed, which was logged.
 */
status_t __must_check nic_open(struct nic *nic, struct nic_sink *sink);

/*
 * Where to put the next frame that @nic, which is open, is to send: NIC_FRAME_MAX bytes; NULL: it
 * is dead or has no room, and the frame is counted as lost. Then nic_send() must follow, on the
 * same CPU. Any CPU, with locks below LOCK_HOST, which is held in between.
 */
uint8_t *nic_send_begin(struct nic *nic) __must_check;

/*
 * Sends @len bytes that were put there, NIC_FRAME_MIN at least; 0: nothing after all. @more:
 * another frame follows at once, so the card need not be told yet.
 */
void nic_send(struct nic *nic, uint32_t len, bool more);

/* Has @nic told of what it was not told yet. As nic_send_begin(). */
void nic_send_flush(struct nic *nic);

enum nic_poll {
	NIC_IDLE, /* there was nothing */
	NIC_BUSY, /* there was something, and it is done */
	NIC_MORE, /* there is more */
};

/*
 * Hands up to NIC_POLL_MAX received frames to the sink, and looks after @nic, which is open: is it
 * stuck, is there a cable? @now: ns since boot. On the boot CPU, no lock held.
 */
enum nic_poll nic_poll(struct nic *nic, uint64_t now);

enum { NIC_POLL_MAX = 64 };

/*
 * Has @nic interrupt when the next frame comes. False: it cannot, or one is there already, so it is
 * to be polled. On the boot CPU, after nic_poll().
 */
bool nic_wait(struct nic *nic);

#endif
