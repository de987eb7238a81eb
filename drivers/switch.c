/* SPDX-License-Identifier: BSD-2-Clause */
/* A learning switch for each network: who is where, who gets a frame, and who is told. */
#include "socle/drivers/net.h"
#include "socle/mm/frames.h"
#include "socle/string.h"

enum { LEARNED = 256 }; /* addresses behind uplinks that a network remembers */

/* Changed while no guest runs, but for @learned. */
struct net {
	struct net *next;
	char name[NET_NAME_MAX];
	unsigned used;			      /* of @port: those behind are free */
	struct net_port *port[NET_PORTS_MAX]; /* NULL: free */
	uint64_t mac[NET_PORTS_MAX];	      /* of each that is no uplink, else 0 */
	/*
	 * Address << 16 | port's index: by a hash, the newest replaces what it meets. Atomic.
	 * Nothing gets old: the frames for who has left go to the uplink where it was, as they
	 * would anyway.
	 */
	uint64_t learned[LEARNED];
};

static struct net *nets;

static uint64_t number(const uint8_t mac[NET_MAC])
{
	uint64_t n = 0;

	for (unsigned i = 0; i < NET_MAC; i++)
		n = n << 8 | mac[i];
	return n;
}

/* Broadcast or multicast? */
static bool is_group(uint64_t mac)
{
	return mac >> 40 & 1;
}

static uint64_t *learned(struct net *net, uint64_t mac)
{
	return &net->learned[mac * 0x9e3779b97f4a7c15 >> 56];
}

static void learn(struct net *net, uint64_t mac, unsigned index)
{
	uint64_t *entry = learned(net, mac), value = mac << 16 | index;

	if (__atomic_load_n(entry, __ATOMIC_RELAXED) != value)
		__atomic_store_n(entry, value, __ATOMIC_RELAXED);
}

/* The port of the guest that has @mac. */
static struct net_port *find_guest(const struct net *net, uint64_t mac)
{
	for (unsigned i = 0; mac && i < net->used; i++)
		if (net->mac[i] == mac)
			return net->port[i];
	return NULL;
}

static struct net_port *find(struct net *net, uint64_t mac)
{
	struct net_port *port = find_guest(net, mac);
	uint64_t entry = __atomic_load_n(learned(net, mac), __ATOMIC_RELAXED);

	if (port)
		return port;
	return mac && entry >> 16 == mac ? net->port[entry % NET_PORTS_MAX] : NULL;
}

static struct net *find_net(const char *name)
{
	struct net *net = nets;

	while (net && strcmp(net->name, name))
		net = net->next;
	return net;
}

static struct net *make_net(const char *name)
{
	struct net *net = pages_alloc(sizeof(*net), OWNER_CORE), **last = &nets;

	if (!net)
		return NULL;
	str_copy(net->name, sizeof(net->name), name);
	while (*last)
		last = &(*last)->next;
	*last = net;
	return net;
}

status_t net_port_add(const char *name, struct net_port *port)
{
	struct net *net = find_net(name);
	uint64_t mac = port->uplink ? 0 : number(port->mac);
	unsigned i = 0;

	if (!net)
		net = make_net(name);
	if (!net)
		return -S_NOMEM;
	if (find_guest(net, mac))
		return -S_EXIST;
	while (i < NET_PORTS_MAX && net->port[i])
		i++;
	if (i == NET_PORTS_MAX)
		return -S_NOSPC;
	port->net = net;
	port->index = i;
	net->port[i] = port;
	net->mac[i] = mac;
	net->used = MAX(net->used, i + 1);
	return 0;
}

void net_ports_remove(const void *owner)
{
	for (struct net *net = nets; net; net = net->next) {
		for (unsigned i = 0; i < net->used; i++) {
			if (!net->port[i] || net->port[i]->owner != owner)
				continue;
			net->port[i] = NULL;
			net->mac[i] = 0;
		}
	}
}

static bool give(void *arg, const struct net_frame *f)
{
	struct net_port *to = arg;

	if (!to->ops->deliver(to, f))
		return false;
	__atomic_add_fetch(&to->received.frames, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&to->received.bytes, f->len, __ATOMIC_RELAXED);
	return true;
}

static unsigned send(struct net_port *from, struct net_port *to, const struct net_frame *f)
{
	from->touched |= BIT(to->index);
	if (!net_frame_lower(f, to->ops->can(to), give, to))
		__atomic_add_fetch(&to->received.dropped, 1, __ATOMIC_RELAXED);
	return 1;
}

/* To all others, or to those of them that lead to other machines. */
static unsigned flood(struct net_port *from, const struct net_frame *f, bool all)
{
	const struct net *net = from->net;
	unsigned n = 0;

	for (unsigned i = 0; i < net->used; i++) {
		struct net_port *to = net->port[i];

		if (to && to != from && (all || to->uplink))
			n += send(from, to, f);
	}
	return n;
}

void net_drop(struct net_port *port)
{
	port->sent.dropped++;
}

unsigned net_switch(struct net_port *from, const struct net_frame *f)
{
	uint64_t to = number(f->head), source = number(f->head + NET_MAC);
	struct net *net = from->net;
	struct net_port *port;

	/* A guest has one address. What comes in over an uplink has none of a guest's here. */
	if (is_group(source) ||
	    (from->uplink ? find_guest(net, source) != NULL : source != net->mac[from->index])) {
		from->spoofed++;
		net_drop(from);
		return 0;
	}
	/* What is copied to many is small. */
	if (is_group(to) && f->offload.gso) {
		net_drop(from);
		return 0;
	}
	from->sent.frames++;
	from->sent.bytes += f->len;
	if (from->uplink)
		learn(net, source, from->index);
	if (is_group(to))
		return flood(from, f, true);
	port = find(net, to);
	if (!port)
		return flood(from, f, false);
	return port != from ? send(from, port, f) : 0;
}

void net_flush(struct net_port *from)
{
	for (unsigned i = 0; from->touched; i++, from->touched >>= 1) {
		struct net_port *to = from->touched & 1 ? from->net->port[i] : NULL;

		if (to && to->ops->flush)
			to->ops->flush(to);
	}
}

static void print_mac(uint64_t mac, struct format_sink *out)
{
	for (unsigned i = NET_MAC; i--;)
		format_sink(out, "%02x%s", (unsigned)(mac >> 8 * i & 0xff), i ? ":" : "");
}

static void print_port(const struct net_port *p, struct format_sink *out)
{
	format_sink(out, "  %s: ", p->name);
	print_mac(number(p->mac), out);
	format_sink(out, " on %s%s, sent %llu frames, %llu bytes, %llu dropped (%llu spoofed), ",
		    p->net->name, p->uplink ? " (uplink)" : "", (unsigned long long)p->sent.frames,
		    (unsigned long long)p->sent.bytes, (unsigned long long)p->sent.dropped,
		    (unsigned long long)p->spoofed);
	format_sink(out, "received %llu frames, %llu bytes, %llu dropped\n",
		    (unsigned long long)p->received.frames, (unsigned long long)p->received.bytes,
		    (unsigned long long)p->received.dropped);
}

static void print_learned(const struct net *net, struct format_sink *out)
{
	for (unsigned i = 0; i < LEARNED; i++) {
		uint64_t entry = __atomic_load_n(&net->learned[i], __ATOMIC_RELAXED);

		if (!entry)
			continue;
		format_sink(out, "  ");
		print_mac(entry >> 16, out);
		format_sink(out, " at %s\n", net->port[entry % NET_PORTS_MAX]->name);
	}
}

void net_print(struct format_sink *out)
{
	for (const struct net *net = nets; net; net = net->next) {
		format_sink(out, "%s:\n", net->name);
		for (unsigned i = 0; i < net->used; i++)
			if (net->port[i])
				print_port(net->port[i], out);
		print_learned(net, out);
	}
}

void net_print_owner(const void *owner, struct format_sink *out)
{
	for (const struct net *net = nets; net; net = net->next)
		for (unsigned i = 0; i < net->used; i++)
			if (net->port[i] && net->port[i]->owner == owner)
				print_port(net->port[i], out);
}
