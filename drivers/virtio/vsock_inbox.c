/* SPDX-License-Identifier: BSD-2-Clause */
/* The inboxes of the switch of sockets: packets wait there until their guest's own vCPU takes them.
 */
#include "vsock_inbox.h"
#include "socle/string.h"

static unsigned free_slots(const struct vsock_port *port)
{
	return VSOCK_SLOTS - (port->tail - port->head);
}

/* Asks as many of those that wait as there are slots. */
static void wake(struct vsock_port *port)
{
	unsigned n = MIN(free_slots(port), port->waiters);

	for (unsigned i = 0; i < n; i++)
		virtio_ask(vsock_ports[port->waiter[i]]->dev, VSOCK_TX);
}

/* How many wait before @from. */
static unsigned position(const struct vsock_port *to, const struct vsock_port *from)
{
	unsigned i = 0;

	while (i < to->waiters && to->waiter[i] != from->id)
		i++;
	return i;
}

static void unwait(struct vsock_port *from)
{
	struct vsock_port *to = from->waits;
	unsigned i;

	if (!to)
		return;
	i = position(to, from);
	from->waits = NULL;
	to->waiters--;
	memmove(&to->waiter[i], &to->waiter[i + 1], to->waiters - i);
	/* Its slot is for the next one. */
	wake(to);
}

void vsock_unwait(struct vsock_port *from)
{
	spin_lock(&vsock_lock);
	unwait(from);
	spin_unlock(&vsock_lock);
}

void vsock_inbox_down(struct vsock_port *port)
{
	unwait(port);
	port->stalled = false;
	/* They find that their connections are over. */
	for (unsigned i = 0; i < port->waiters; i++)
		virtio_ask(vsock_ports[port->waiter[i]]->dev, VSOCK_TX);
}

static bool is_wanted(const struct vsock_port *to, const struct vsock_link *link, uint32_t serial)
{
	return link ? vsock_route_alive(link, serial) : to->life == serial;
}

/* From now on it is counted how many @to takes. */
static void watch(struct vsock_port *to)
{
	to->since = time_now();
	to->taken = to->head;
}

/*
 * There is no place in @to's inbox: is it of no use to wait? A driver that is well takes packets at
 * once. One that takes few of them must not hold up what its senders have to say to others; once
 * found so, it is until it has taken all.
 */
static bool is_stalled(struct vsock_port *to)
{
	if (to->stalled || time_now() - to->since < VSOCK_STALL)
		return to->stalled;
	to->stalled = to->head - to->taken < VSOCK_SLOTS;
	watch(to);
	return to->stalled;
}

/* Those that wait come before those that do not, in the order in which they came. */
static status_t reserve(struct vsock_port *from, const struct vsock_route *route,
			struct vsock_slot **slot)
{
	struct vsock_port *to = route->to;

	if (!is_wanted(to, route->link, route->serial))
		return -S_NOENT;
	if (free_slots(to) <= position(to, from)) {
		if (is_stalled(to)) {
			to->stats.stalled++;
			vsock_cut_locked(route);
			return -S_NOENT;
		}
		if (!from->waits) {
			from->waits = to;
			to->waiter[to->waiters++] = (uint8_t)from->id;
		}
		return -S_AGAIN;
	}
	if (to->head == to->tail)
		watch(to);
	*slot = &to->slot[to->tail++ % VSOCK_SLOTS];
	(*slot)->taken = 0;
	(*slot)->link = route->link;
	(*slot)->serial = route->serial;
	return 0;
}

status_t vsock_reserve(struct vsock_port *from, const struct vsock_route *route,
		       struct vsock_slot **slot)
{
	status_t status;

	spin_lock(&vsock_lock);
	status = reserve(from, route, slot);
	if (status != -S_AGAIN)
		unwait(from);
	spin_unlock(&vsock_lock);
	return status;
}

void vsock_publish(struct vsock_port *to, struct vsock_slot *slot)
{
	/* Release: who sees this sees what is in it. */
	__atomic_store_n(&slot->ready, true, __ATOMIC_RELEASE);
	virtio_ask(to->dev, VSOCK_RX);
}

static void take(struct vsock_port *port)
{
	port->slot[port->head % VSOCK_SLOTS].ready = false;
	port->head++;
	if (port->head == port->tail)
		port->stalled = false;
}

struct vsock_slot *vsock_first(struct vsock_port *port)
{
	struct vsock_slot *slot = NULL;
	uint32_t head;

	spin_lock(&vsock_lock);
	for (head = port->head; port->head != port->tail; take(port)) {
		slot = &port->slot[port->head % VSOCK_SLOTS];
		if (!__atomic_load_n(&slot->ready, __ATOMIC_ACQUIRE)) {
			slot = NULL;
			break;
		}
		if (is_wanted(port, slot->link, slot->serial))
			break;
		slot = NULL;
	}
	if (port->head != head)
		wake(port);
	spin_unlock(&vsock_lock);
	return slot;
}

void vsock_done(struct vsock_port *port)
{
	spin_lock(&vsock_lock);
	take(port);
	wake(port);
	spin_unlock(&vsock_lock);
}
