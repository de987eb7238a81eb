/* SPDX-License-Identifier: BSD-2-Clause */
/* The switch of sockets: who may talk to whom, connections and their credit, who is to be told. */
#include "vsock_inbox.h"
#include "socle/stats.h"
#include "socle/string.h"

/* A connection that is not open for so long may lose its place in a full table. */
#define LINK_OLD (10 * NS_PER_SEC)

struct spinlock vsock_lock = SPINLOCK_INIT("vsock", LOCK_VSOCK);
struct vsock_port *vsock_ports[VM_MAX];

static struct vsock_port host = {.cid = VSOCK_CID_HOST};

/* --- Connections --- */

static bool is_alive(const struct vsock_link *l)
{
	return l->state == VSOCK_ASKED || l->state == VSOCK_OPEN;
}

bool vsock_route_alive(const struct vsock_link *l, uint32_t serial)
{
	return l->serial == serial && is_alive(l);
}

/* @end knows that it is over, or will never ask. */
static void settle(struct vsock_link *l, enum vsock_end end)
{
	if (!(l->owed & BIT(end)))
		return;
	l->owed &= (uint8_t)~BIT(end);
	l->port[end]->owed--;
	if (!l->owed)
		l->state = VSOCK_FREE;
}

/* A connection that is alive ends, and those of @ends that have a driver are told. */
static void end_link(struct vsock_link *l, unsigned ends)
{
	l->state = VSOCK_FREE;
	l->since = time_now();
	for (unsigned end = 0; end < VSOCK_ENDS; end++) {
		struct vsock_port *port = l->port[end];

		if (!(ends & BIT(end)) || !port->live)
			continue;
		l->state = VSOCK_DEAD;
		l->owed |= (uint8_t)BIT(end);
		port->owed++;
		virtio_ask(port->dev, VSOCK_RX);
	}
}

static void cut(struct vsock_link *l)
{
	end_link(l, BIT(VSOCK_CALLER) | BIT(VSOCK_CALLED));
}

/* A free place for a connection that @port begins; NULL: there is none. */
static struct vsock_link *free_link(struct vsock_port *port)
{
	struct vsock_link *old = NULL;

	for (unsigned i = 0; i < VSOCK_LINKS; i++) {
		struct vsock_link *l = &port->link[i];

		if (l->state == VSOCK_FREE)
			return l;
		if (l->state != VSOCK_OPEN && time_now() - l->since >= LINK_OLD)
			old = l;
	}
	for (unsigned end = 0; old && end < VSOCK_ENDS; end++)
		settle(old, end);
	return old;
}

/* Whose tables may have connections of @port: a bit for each guest. */
static uint64_t tables(const struct vsock_port *port)
{
	return port->callers | BIT(port->id);
}

/* --- Ports --- */

void vsock_up(struct vsock_port *port, bool seqpacket)
{
	spin_lock(&vsock_lock);
	if (!port->live) {
		vsock_ports[port->id] = port;
		port->live = true;
		port->seqpacket = seqpacket;
	}
	spin_unlock(&vsock_lock);
}

/* Ends what @port has in the table @link. */
static void leave(struct vsock_port *port, struct vsock_link *link)
{
	for (unsigned i = 0; i < VSOCK_LINKS; i++) {
		struct vsock_link *l = &link[i];

		for (unsigned end = 0; end < VSOCK_ENDS; end++) {
			if (l->state == VSOCK_FREE || l->port[end] != port)
				continue;
			if (is_alive(l))
				cut(l);
			else
				settle(l, end);
		}
	}
}

void vsock_down(struct vsock_port *port)
{
	spin_lock(&vsock_lock);
	if (port->live) {
		/* First of all, so that it is not told itself. */
		port->live = false;
		port->life++;
		for (unsigned id = 0; id < VM_MAX; id++)
			if (tables(port) & BIT(id))
				leave(port, vsock_ports[id]->link);
		port->callers = 0;
		vsock_inbox_down(port);
	}
	spin_unlock(&vsock_lock);
}

static struct vsock_port *find_port(uint64_t cid)
{
	if (cid == VSOCK_CID_HOST)
		return &host;
	for (unsigned id = 0; id < VM_MAX; id++)
		if (vsock_ports[id] && vsock_ports[id]->cid == cid)
			return vsock_ports[id];
	return NULL;
}

/* Whom @from may reach under @cid; NULL: nobody, or itself, which its own kernel does. */
static struct vsock_port *reachable(const struct vsock_port *from, uint64_t cid)
{
	struct vsock_port *to = find_port(cid);

	if (!to || to == from || (to != &host && (!to->live || strcmp(to->group, from->group))))
		return NULL;
	return to;
}

/* --- Packets --- */

/* What @caller has begun from its port number @mine to that of @called; NULL: nothing. */
static struct vsock_link *find_in(struct vsock_port *caller, uint32_t mine,
				  const struct vsock_port *called, uint32_t theirs)
{
	/* Socle begins nothing, and has no table. */
	for (unsigned i = 0; caller->link && i < VSOCK_LINKS; i++) {
		struct vsock_link *l = &caller->link[i];

		if (l->state != VSOCK_FREE && l->port[VSOCK_CALLED] == called &&
		    l->number[VSOCK_CALLER] == mine && l->number[VSOCK_CALLED] == theirs)
			return l;
	}
	return NULL;
}

/* The connection of a packet, and which @end of it is the sender's; NULL: there is none. */
static struct vsock_link *find_link(struct vsock_port *from, struct vsock_port *to,
				    const struct virtio_vsock_hdr *hdr, enum vsock_end *end)
{
	struct vsock_link *l = find_in(from, hdr->src_port, to, hdr->dst_port);

	*end = l ? VSOCK_CALLER : VSOCK_CALLED;
	return l ? l : find_in(to, hdr->dst_port, from, hdr->src_port);
}

/* A REQUEST without a connection begins one; NULL: it may not, or there is no place for it. */
static struct vsock_link *new_link(struct vsock_port *from, struct vsock_port *to,
				   const struct virtio_vsock_hdr *hdr)
{
	struct vsock_link *l;

	if (hdr->op != VIRTIO_VSOCK_OP_REQUEST)
		return NULL;
	if (hdr->type != VIRTIO_VSOCK_TYPE_STREAM &&
	    !(hdr->type == VIRTIO_VSOCK_TYPE_SEQPACKET && from->seqpacket && to->seqpacket))
		return NULL;
	l = free_link(from);
	if (!l)
		return NULL;
	*l = (struct vsock_link){
		.port = {[VSOCK_CALLER] = from, [VSOCK_CALLED] = to},
		.number = {[VSOCK_CALLER] = hdr->src_port, [VSOCK_CALLED] = hdr->dst_port},
		.serial = l->serial + 1,
		.state = VSOCK_ASKED,
		.type = hdr->type,
		.since = time_now(),
	};
	to->callers |= BIT(from->id);
	from->stats.begun++;
	return l;
}

/*
 * Each header says what its sender has room for (virtio 1.2, 5.10.6.3). Packets of two threads may
 * overtake each other, and a driver may lie: the limit never moves back, and what says that more
 * arrived than was sent counts for nothing.
 */
static void learn(struct vsock_link *l, enum vsock_end end, const struct virtio_vsock_hdr *hdr)
{
	uint32_t waiting = l->to[end].sent - hdr->fwd_cnt;

	if (waiting <= hdr->buf_alloc)
		l->to[end].room = MAX(l->to[end].room, hdr->buf_alloc - waiting);
}

/* A packet of @end in its connection; false: it does not belong there. */
static bool advance(struct vsock_link *l, enum vsock_end end, const struct virtio_vsock_hdr *hdr)
{
	enum vsock_end other = !end;

	if (hdr->type != l->type)
		return false;
	learn(l, end, hdr);
	switch (hdr->op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		if (end != VSOCK_CALLED || l->state != VSOCK_ASKED)
			return false;
		l->state = VSOCK_OPEN;
		return true;
	case VIRTIO_VSOCK_OP_RW:
		if (l->state != VSOCK_OPEN)
			return false;
		if (hdr->len > l->to[other].room) {
			l->port[end]->stats.overrun++;
			return false;
		}
		l->to[other].room -= hdr->len;
		l->to[other].sent += hdr->len;
		return true;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		return true;
	}
	return false;
}

static enum vsock_verdict refuse(struct vsock_port *from, struct virtio_vsock_hdr *hdr,
				 struct vsock_route *route)
{
	if (hdr->op == VIRTIO_VSOCK_OP_RST)
		return VSOCK_DROP;
	from->stats.refused++;
	*route = (struct vsock_route){.to = from, .serial = from->life};
	*hdr = (struct virtio_vsock_hdr){
		.src_cid = hdr->dst_cid,
		.dst_cid = hdr->src_cid,
		.src_port = hdr->dst_port,
		.dst_port = hdr->src_port,
		.type = hdr->type,
		.op = VIRTIO_VSOCK_OP_RST,
	};
	return VSOCK_PASS;
}

static enum vsock_verdict decide(struct vsock_port *from, struct virtio_vsock_hdr *hdr,
				 struct vsock_route *route)
{
	struct vsock_port *to = reachable(from, hdr->dst_cid);
	enum vsock_end end = VSOCK_CALLER;
	struct vsock_link *l = to ? find_link(from, to, hdr, &end) : NULL;

	if (l && !is_alive(l))
		return VSOCK_DROP; /* who does not know that it is over will soon be told */
	if (l && hdr->op == VIRTIO_VSOCK_OP_RST) {
		end_link(l, BIT(!end));
		return VSOCK_DROP; /* the other end is told without it */
	}
	if (l && !advance(l, end, hdr)) {
		cut(l);
		return VSOCK_DROP;
	}
	if (!l) {
		l = to ? new_link(from, to, hdr) : NULL;
		if (!l)
			return refuse(from, hdr, route);
		learn(l, VSOCK_CALLER, hdr);
	}
	*route = (struct vsock_route){.to = to, .link = l, .serial = l->serial};
	return to == &host ? VSOCK_HOST : VSOCK_PASS;
}

enum vsock_verdict vsock_route(struct vsock_port *from, struct virtio_vsock_hdr *hdr,
			       struct vsock_route *route)
{
	enum vsock_verdict verdict;

	if (hdr->src_cid != from->cid) {
		from->stats.spoofed++;
		return VSOCK_DROP;
	}
	spin_lock(&vsock_lock);
	verdict = decide(from, hdr, route);
	spin_unlock(&vsock_lock);
	return verdict;
}

void vsock_cut(const struct vsock_route *route)
{
	spin_lock(&vsock_lock);
	vsock_cut_locked(route);
	spin_unlock(&vsock_lock);
}

void vsock_cut_locked(const struct vsock_route *route)
{
	if (route->link && vsock_route_alive(route->link, route->serial))
		cut(route->link);
}

/* --- Answers --- */

/* @end of @l as the receiver of a packet from the other one. */
static void address(const struct vsock_link *l, enum vsock_end end, struct virtio_vsock_hdr *hdr)
{
	hdr->src_cid = l->port[!end]->cid;
	hdr->src_port = l->number[!end];
	hdr->dst_cid = l->port[end]->cid;
	hdr->dst_port = l->number[end];
	hdr->type = l->type;
}

bool vsock_answer(const struct vsock_route *route, struct virtio_vsock_hdr *hdr)
{
	struct vsock_link *l = route->link;
	bool alive;

	spin_lock(&vsock_lock);
	alive = vsock_route_alive(l, route->serial);
	if (alive) {
		address(l, VSOCK_CALLER, hdr);
		alive = advance(l, VSOCK_CALLED, hdr);
	}
	spin_unlock(&vsock_lock);
	return alive;
}

int64_t vsock_room(const struct vsock_route *route)
{
	const struct vsock_link *l = route->link;
	int64_t room = -1;

	spin_lock(&vsock_lock);
	if (vsock_route_alive(l, route->serial))
		room = l->to[VSOCK_CALLER].room;
	spin_unlock(&vsock_lock);
	return room;
}

/* A connection in the table @link that is over, as an end at @port is to be told. */
static struct vsock_link *find_owed(const struct vsock_port *port, struct vsock_link *link,
				    enum vsock_end *end)
{
	for (unsigned i = 0; i < VSOCK_LINKS; i++)
		for (*end = 0; *end < VSOCK_ENDS; ++*end)
			if ((link[i].owed & BIT(*end)) && link[i].port[*end] == port)
				return &link[i];
	return NULL;
}

bool vsock_owed(struct vsock_port *port, struct virtio_vsock_hdr *hdr)
{
	struct vsock_link *l = NULL;
	enum vsock_end end;

	spin_lock(&vsock_lock);
	for (unsigned id = 0; port->owed && !l && id < VM_MAX; id++)
		if (tables(port) & BIT(id))
			l = find_owed(port, vsock_ports[id]->link, &end);
	if (l) {
		*hdr = (struct virtio_vsock_hdr){.op = VIRTIO_VSOCK_OP_RST};
		address(l, end, hdr);
		settle(l, end);
	}
	spin_unlock(&vsock_lock);
	return l;
}

static void print(struct vm *vm, struct format_sink *out)
{
	const struct vsock_port *port = vsock_ports[vm->id];
	const struct vsock_stats *s;

	if (!port)
		return;
	s = &port->stats;
	format_sink(out, "  cid %llu, %s%s\n", (unsigned long long)port->cid,
		    port->group[0] ? "local:" : "global", port->group);
	format_sink(out,
		    "  bytes: %llu sent, %llu received; connections: %llu begun, %llu overrun\n",
		    (unsigned long long)s->sent, (unsigned long long)s->received,
		    (unsigned long long)s->begun, (unsigned long long)s->overrun);
	format_sink(out, "  packets: %llu refused, %llu spoofed, %llu given up\n",
		    (unsigned long long)s->refused, (unsigned long long)s->spoofed,
		    (unsigned long long)s->stalled);
}
STAT_SOURCE(vsock_stats, .title = "vsock", .print = print);
