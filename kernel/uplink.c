/* SPDX-License-Identifier: BSD-2-Clause */
/* Uplinks: a network card of the machine as a port of a guests' network. */
#include "uplink.h"
#include "socle/drivers/net.h"
#include "socle/drivers/nic.h"
#include "socle/kernel/clock.h"
#include "socle/kernel/time.h"
#include "socle/mm/frames.h"
#include "socle/report.h"
#include "socle/string.h"

/*
 * How often a card is looked at that has no interrupt, or that had frames a moment ago. In the
 * longest of these times, 1 Gbit/s brings 163 frames of full size, and a card has room for 252.
 */
#define PERIOD_MIN   (100 * NS_PER_US)
#define PERIOD_MAX   (2 * NS_PER_MS)
#define PERIOD_WAITS NS_PER_SEC /* one that will interrupt: for its health */

/* All of it is the boot CPU's, but for the port's own. */
struct uplink {
	struct net_port port;
	struct nic_sink sink;
	struct nic *nic;    /* constant */
	struct timer timer; /* in which all is done that comes from the card */
	uint64_t period;    /* ns */
	bool waits;	    /* for the card's interrupt */
};

/* A frame in the card's buffer, for the switch. */
struct raw {
	struct net_source source;
	const uint8_t *data;
};

static const void *bytes_at(const struct net_source *source, uint32_t at, uint32_t *len)
{
	return container_of(source, struct raw, source)->data + at;
}

static void received(struct nic_sink *sink, const uint8_t *data, uint32_t len)
{
	struct uplink *u = container_of(sink, struct uplink, sink);
	const struct raw raw = {{bytes_at}, data};
	const struct net_offload none = {0};
	struct net_frame frame;

	if (net_frame_init(&frame, &raw.source, len, &none))
		net_switch(&u->port, &frame);
	else
		net_drop(&u->port);
}

/* Interrupts come only while it waits for one; should there be others, they cost nothing. */
static void ready(struct nic_sink *sink)
{
	struct uplink *u = container_of(sink, struct uplink, sink);

	if (!u->waits)
		return;
	u->waits = false;
	timer_set(&u->timer, time_now());
}

static void look(struct timer *timer)
{
	struct uplink *u = container_of(timer, struct uplink, timer);
	uint64_t now = time_now();

	u->waits = false;
	if (nic_poll(u->nic, now) == NIC_IDLE) {
		u->period = MIN(2 * u->period, PERIOD_MAX);
		u->waits = nic_wait(u->nic);
	} else {
		net_flush(&u->port);
		u->period = PERIOD_MIN;
	}
	timer_set(timer, now + (u->waits ? PERIOD_WAITS : u->period));
}

/* A card has its check sums computed, and large segments cut, by the switch. */
static unsigned can(struct net_port *port)
{
	return 0;
}

static bool deliver(struct net_port *port, const struct net_frame *f)
{
	struct uplink *u = container_of(port, struct uplink, port);
	uint8_t *buffer;
	bool read;

	if (f->len < NIC_FRAME_MIN || f->len > NIC_FRAME_MAX)
		return false;
	buffer = nic_send_begin(u->nic);
	if (!buffer)
		return false;
	read = net_frame_read(f, 0, buffer, f->len);
	nic_send(u->nic, read ? f->len : 0, true);
	return read;
}

static void tell(struct net_port *port)
{
	nic_send_flush(container_of(port, struct uplink, port)->nic);
}

void uplink_create(const char *network, const char *card)
{
	static const struct net_port_ops ops = {.can = can, .deliver = deliver, .flush = tell};
	struct nic *nic = nic_find(card);
	struct uplink *u = nic ? pages_alloc(sizeof(*u), OWNER_CORE) : NULL;
	struct nic_state state;
	status_t status;

	if (!u) {
		log_error("network %s: no uplink %s: %s", network, card,
			  status_text(nic ? -S_NOMEM : -S_NODEV));
		return;
	}
	nic_look(nic, &state);
	u->nic = nic;
	u->sink = (struct nic_sink){received, ready};
	u->port.ops = &ops;
	u->port.name = state.name;
	u->port.uplink = true;
	memcpy(u->port.mac, state.mac, NET_MAC);
	u->period = PERIOD_MIN;
	timer_init(&u->timer, look);
	status = timers_reserve(1);
	if (!status)
		status = net_port_add(network, &u->port);
	if (status) {
		log_error("network %s: no uplink %s: %s", network, card, status_text(status));
		pages_free(u, sizeof(*u), OWNER_CORE);
		return;
	}
	/* One that does not start has said so. It stays a port, and drops frames. */
	if (nic_open(nic, &u->sink))
		return;
	log_info("network %s: %s is its uplink", network, card);
	look(&u->timer);
}
