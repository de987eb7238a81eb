/* SPDX-License-Identifier: BSD-2-Clause */
/* Socle's own end of sockets, CID 2: echo, discard, and a text about the guest. */
#include "vsock.h"
#include "socle/format.h"
#include "socle/kernel/time.h"
#include "socle/report.h"
#include "socle/version.h"

/* Ports, as IANA has them for the same services; but the text is not the time of day. */
enum service { SERVICE_ECHO = 7, SERVICE_DISCARD = 9, SERVICE_STATUS = 13 };

static struct vsock_route route_of(const struct vsock_served *s)
{
	return (struct vsock_route){.link = s->link, .serial = s->serial};
}

static bool is_free(const struct vsock_served *s)
{
	struct vsock_route route = route_of(s);

	return !s->link || vsock_room(&route) < 0;
}

static void write_status(struct vsock *v, struct vsock_served *s)
{
	const struct vm *vm = v->dev.vm;

	s->fill =
		(uint32_t)format((char *)s->bytes, sizeof(s->bytes),
				 "guest: %s\ncid: %u\nsocle: %s\nuptime: %llu s\n",
				 vm->settings.name, vm->settings.vsock_cid, SOCLE_VERSION,
				 (unsigned long long)((time_now() - vm->started_at) / NS_PER_SEC));
	s->closing = true;
}

/* A guest calls a port of ours. */
static void take_call(struct vsock *v, const struct vsock_route *route, uint32_t port)
{
	struct vsock_served *s = v->served;

	while (s < v->served + VSOCK_SERVED && !is_free(s))
		s++;
	if (s == v->served + VSOCK_SERVED ||
	    (port != SERVICE_ECHO && port != SERVICE_DISCARD && port != SERVICE_STATUS)) {
		v->port.stats.refused++;
		vsock_cut(route);
		return;
	}
	s->link = route->link;
	s->serial = route->serial;
	s->kind = port;
	s->start = s->fill = s->taken = s->told = 0;
	s->answer = true;
	s->credit = s->ended = s->closing = s->closed = false;
	if (port == SERVICE_STATUS)
		write_status(v, s);
}

/* The guest has credit for what is free, so that these bytes have room. */
static void keep(struct vsock *v, struct vsock_served *s, uint32_t len)
{
	struct virtio_ring *ring = &v->dev.queue[VSOCK_TX].ring;

	if (s->kind != SERVICE_ECHO) {
		s->taken += len;
		return;
	}
	for (uint32_t done = 0; done < len;) {
		uint32_t at = (s->start + s->fill) % VSOCK_SERVICE;
		uint32_t n = MIN(len - done, (uint32_t)VSOCK_SERVICE - at);

		/* Where memory ran out the guest gets back what it once sent. */
		virtio_chain_read(ring, &v->dev.chain, VSOCK_HDR + done, s->bytes + at, n);
		s->fill += n;
		done += n;
	}
}

void vsock_host_take(struct vsock *v, const struct vsock_route *route,
		     const struct virtio_vsock_hdr *hdr)
{
	struct vsock_served *s = v->served;

	virtio_ask(&v->dev, VSOCK_RX);
	if (hdr->op == VIRTIO_VSOCK_OP_REQUEST) {
		take_call(v, route, hdr->dst_port);
		return;
	}
	while (s < v->served + VSOCK_SERVED &&
	       (s->link != route->link || s->serial != route->serial))
		s++;
	ASSERT(s < v->served + VSOCK_SERVED);
	switch (hdr->op) {
	case VIRTIO_VSOCK_OP_RW:
		keep(v, s, hdr->len);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		s->credit = true;
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		/* What nobody would read is not sent; else all of it is, first. */
		if (hdr->flags & VIRTIO_VSOCK_SHUTDOWN_RCV)
			vsock_cut(route);
		else
			s->closing = s->ended = true;
		break;
	}
}

/* Takes up to @max bytes out of @s; returns how many. */
static uint32_t take_bytes(struct vsock_served *s, uint8_t *dst, uint32_t max)
{
	uint32_t len = MIN(s->fill, max);

	len = MIN(len, (uint32_t)VSOCK_PIECE);

	for (uint32_t i = 0; i < len; i++)
		dst[i] = s->bytes[(s->start + i) % VSOCK_SERVICE];
	s->start = (s->start + len) % VSOCK_SERVICE;
	s->fill -= len;
	if (s->kind == SERVICE_ECHO)
		s->taken += len;
	return len;
}

/* What @s has to say next, as the op and its length; INVALID: nothing. */
static enum virtio_vsock_op next_op(struct vsock_served *s, struct vsock_out *out, uint32_t room)
{
	if (s->answer) {
		s->answer = false;
		return VIRTIO_VSOCK_OP_RESPONSE;
	}
	if (s->fill && room) {
		out->hdr.len = take_bytes(s, out->data, room);
		return VIRTIO_VSOCK_OP_RW;
	}
	if (s->closing && !s->closed && !s->fill) {
		s->closed = true;
		out->hdr.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
		if (s->ended)
			out->hdr.flags |= VIRTIO_VSOCK_SHUTDOWN_RCV;
		return VIRTIO_VSOCK_OP_SHUTDOWN;
	}
	if (s->credit || s->taken - s->told >= VSOCK_SERVICE / 2) {
		s->credit = false;
		return VIRTIO_VSOCK_OP_CREDIT_UPDATE;
	}
	return VIRTIO_VSOCK_OP_INVALID;
}

static bool say(struct vsock_served *s, struct vsock_out *out)
{
	struct vsock_route route = route_of(s);
	int64_t room = s->link ? vsock_room(&route) : -1;

	if (room < 0) {
		s->link = NULL;
		return false;
	}
	out->hdr = (struct virtio_vsock_hdr){.buf_alloc = VSOCK_SERVICE};
	out->hdr.op = next_op(s, out, (uint32_t)room);
	if (out->hdr.op == VIRTIO_VSOCK_OP_INVALID)
		return false;
	out->hdr.fwd_cnt = s->told = s->taken;
	return vsock_answer(&route, &out->hdr);
}

bool vsock_host_next(struct vsock *v)
{
	for (unsigned i = 0; i < VSOCK_SERVED; i++) {
		struct vsock_served *s = &v->served[(v->next_served + i) % VSOCK_SERVED];

		if (!say(s, &v->out))
			continue;
		v->next_served = (v->next_served + i + 1) % VSOCK_SERVED;
		return true;
	}
	return false;
}
