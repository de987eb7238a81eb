/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of network cards, and what is the same for all of them. */
#include "nic_driver.h"
#include "socle/format.h"
#include "socle/report.h"
#include "socle/string.h"

#define LOOK_EVERY 1000000000ull /* ns between two looks at a card's health */

static struct nic *cards[NIC_MAX]; /* filled at boot, then only read */
static unsigned count;

static bool is_dead(const struct nic *nic)
{
	return __atomic_load_n(&nic->dead, __ATOMIC_RELAXED);
}

status_t nic_add(struct nic *nic)
{
	const uint8_t *m = nic->mac;

	if (count == NIC_MAX)
		return -S_NOSPC;
	format(nic->name, sizeof(nic->name), "eth%u", count);
	spinlock_init(&nic->lock, "nic", LOCK_HOST);
	cards[count++] = nic;
	log_info("%s: %s at %s, address %02x:%02x:%02x:%02x:%02x:%02x", nic->name, nic->ops->driver,
		 nic->where, m[0], m[1], m[2], m[3], m[4], m[5]);
	return 0;
}

void nic_fail(struct nic *nic, const char *why)
{
	if (!__atomic_exchange_n(&nic->dead, true, __ATOMIC_RELAXED))
		log_error("%s: failed, its frames are dropped from now on: %s", nic->name, why);
}

struct nic *nic_find(const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(cards[i]->name, name) == 0)
			return cards[i];
	return NULL;
}

struct nic *nic_next(struct nic *nic)
{
	unsigned i = 0;

	while (nic && i < count && cards[i++] != nic)
		;
	return i < count ? cards[i] : NULL;
}

void nic_look(const struct nic *nic, struct nic_state *state)
{
	*state = (struct nic_state){
		.name = nic->name,
		.driver = nic->ops->driver,
		.mac = nic->mac,
		.link = nic->link && !is_dead(nic),
		.dead = is_dead(nic),
		.open = nic->sink,
		.counts = nic->counts,
	};
}

static void look_at_link(struct nic *nic)
{
	bool link = nic->ops->link(nic);

	/* A card that is gone has no link, and has said so. */
	if (link == nic->link || is_dead(nic))
		return;
	nic->link = link;
	log_info("%s: link %s", nic->name, link ? "up" : "down");
}

status_t nic_open(struct nic *nic, struct nic_sink *sink)
{
	status_t status;

	if (nic->sink)
		return -S_BUSY;
	nic->sink = sink;
	status = is_dead(nic) ? -S_IO : nic->ops->start(nic);
	if (status)
		nic_fail(nic, "it cannot be started");
	return status;
}

uint8_t *nic_send_begin(struct nic *nic)
{
	uint8_t *buffer;

	spin_lock(&nic->lock);
	buffer = is_dead(nic) ? NULL : nic->ops->tx_buffer(nic);
	if (buffer)
		return buffer;
	nic->counts.full++;
	spin_unlock(&nic->lock);
	return NULL;
}

/* The lock is held. */
static void flush(struct nic *nic)
{
	if (nic->behind && !is_dead(nic))
		nic->ops->tx_kick(nic);
	nic->behind = false;
}

void nic_send(struct nic *nic, uint32_t len, bool more)
{
	if (len) {
		nic->ops->tx_queue(nic, MIN(len, (uint32_t)NIC_FRAME_MAX));
		nic->behind = true;
		nic->counts.sent++;
		nic->counts.sent_bytes += len;
	}
	if (!more)
		flush(nic);
	spin_unlock(&nic->lock);
}

void nic_send_flush(struct nic *nic)
{
	spin_lock(&nic->lock);
	flush(nic);
	spin_unlock(&nic->lock);
}

void nic_receive(struct nic *nic, const uint8_t *frame, uint32_t len)
{
	if (!frame || len < NIC_FRAME_MIN || len > NIC_FRAME_MAX) {
		nic->counts.damaged++;
		return;
	}
	nic->counts.received++;
	nic->counts.received_bytes += len;
	nic->sink->frame(nic->sink, frame, len);
}

void nic_ready(struct nic *nic)
{
	if (nic->sink && !is_dead(nic))
		nic->sink->ready(nic->sink);
}

/* Senders never wait, so nobody else would notice. A card that goes on after all is welcome. */
static void look_if_stuck(struct nic *nic)
{
	bool stuck;

	spin_lock(&nic->lock);
	stuck = !is_dead(nic) && !nic->ops->tx_buffer(nic) && nic->counts.sent == nic->sent_before;
	nic->sent_before = nic->counts.sent;
	spin_unlock(&nic->lock);
	if (!stuck || nic->stuck_said)
		return;
	nic->stuck_said = true;
	log_warn("%s: sends nothing any more, frames are dropped", nic->name);
}

enum nic_poll nic_poll(struct nic *nic, uint64_t now)
{
	unsigned n;

	if (is_dead(nic))
		return NIC_IDLE;
	if (now >= nic->look_due) {
		nic->look_due = now + LOOK_EVERY;
		look_at_link(nic);
		look_if_stuck(nic);
	}
	n = is_dead(nic) ? 0 : nic->ops->receive(nic, NIC_POLL_MAX);
	return n == 0 ? NIC_IDLE : n < NIC_POLL_MAX ? NIC_BUSY : NIC_MORE;
}

bool nic_wait(struct nic *nic)
{
	/* A dead one is waited for in vain, which costs less than to look at it. */
	return is_dead(nic) || (nic->ops->wait && nic->ops->wait(nic));
}
