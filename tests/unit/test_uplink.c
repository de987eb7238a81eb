/* SPDX-License-Identifier: BSD-2-Clause */
/* A network card as a port of a network: both directions, and how often the card is looked at. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "socle/status.h"

#include "../../lib/format.c"
#include "../../lib/status.c"
#include "../../lib/string.c"
#include "../../drivers/net_frame.c"
#include "../../drivers/switch.c"
#include "../../kernel/uplink.c"

static const uint8_t CARD[6] = {0x52, 0x54, 0, 0, 0, 1}, GUEST[6] = {2, 0, 0, 0, 0, 7},
		     WORLD[6] = {0x52, 0x55, 10, 0, 2, 2};

struct nic {
	struct nic_sink *sink;
	enum nic_poll found; /* what a poll says */
	unsigned frames;     /* that a poll hands over */
	bool waits, full, broken;
	unsigned polls, sent, flushed;
	uint8_t buffer[NIC_FRAME_MAX];
	uint32_t len; /* of the last frame that was sent */
	uint8_t in[NIC_FRAME_MAX];
	uint32_t in_len;
};
static struct nic eth0;

struct nic *nic_find(const char *name)
{
	return strcmp(name, "eth0") ? NULL : &eth0;
}

void nic_look(const struct nic *nic, struct nic_state *state)
{
	*state = (struct nic_state){.name = "eth0", .mac = CARD};
}

status_t nic_open(struct nic *nic, struct nic_sink *sink)
{
	nic->sink = sink;
	return nic->broken ? -S_IO : 0;
}

uint8_t *nic_send_begin(struct nic *nic)
{
	return nic->full ? NULL : nic->buffer;
}

void nic_send(struct nic *nic, uint32_t len, bool more)
{
	assert_true(more);
	nic->sent += len > 0;
	nic->len = len;
}

void nic_send_flush(struct nic *nic)
{
	nic->flushed++;
}

enum nic_poll nic_poll(struct nic *nic, uint64_t now __unused)
{
	nic->polls++;
	for (unsigned i = 0; i < nic->frames; i++)
		nic->sink->frame(nic->sink, nic->in, nic->in_len);
	return nic->found;
}

bool nic_wait(struct nic *nic)
{
	return nic->waits;
}

static uint64_t now;
static struct timer *armed;
static unsigned logged;
static uint8_t arena[64 * 1024] __aligned(64);
static size_t arena_used;

uint64_t time_now(void)
{
	return now;
}

void timer_init(struct timer *timer, void (*fire)(struct timer *timer))
{
	*timer = (struct timer){.fire = fire};
}

void timer_set(struct timer *timer, uint64_t expires)
{
	timer->expires = expires;
	armed = timer;
}

status_t timers_reserve(unsigned more __unused)
{
	return 0;
}

void *pages_alloc(size_t bytes, uint32_t owner __unused)
{
	void *p = arena + arena_used;

	arena_used += ALIGN_UP(bytes, (size_t)64);
	assert_true(arena_used <= sizeof(arena));
	return p;
}

void pages_free(void *va __unused, size_t bytes __unused, uint32_t owner __unused)
{
}

void log_line(enum log_level level __unused, const char *fmt __unused, ...)
{
	logged++;
}

/* A guest on the same network. */
static struct {
	struct net_port port;
	unsigned frames, flushed;
	uint8_t data[2048];
	uint32_t len;
} guest;

static unsigned guest_can(struct net_port *port __unused)
{
	return 0;
}

static bool guest_deliver(struct net_port *port __unused, const struct net_frame *f)
{
	guest.frames++;
	guest.len = f->len;
	return net_frame_read(f, 0, guest.data, f->len);
}

static void guest_flush(struct net_port *port __unused)
{
	guest.flushed++;
}

static int setup(void **state __unused)
{
	static const struct net_port_ops ops = {guest_can, guest_deliver, guest_flush};

	memset(arena, 0, sizeof(arena));
	arena_used = 0;
	nets = NULL;
	armed = NULL;
	now = 1000;
	logged = 0;
	memset(&eth0, 0, sizeof(eth0));
	memset(&guest, 0, sizeof(guest));
	guest.port = (struct net_port){.ops = &ops, .name = "guest/0", .owner = &guest};
	memcpy(guest.port.mac, GUEST, 6);
	assert_int_equal(net_port_add("lan0", &guest.port), 0);
	return 0;
}

/* What a guest has in two pieces. */
struct halves {
	struct net_source source;
	uint8_t data[4096];
	uint32_t bad; /* from this byte on it cannot be read */
};

static const void *half(const struct net_source *source, uint32_t at, uint32_t *len)
{
	const struct halves *h = container_of(source, struct halves, source);

	if (at >= h->bad)
		return NULL;
	if (at < 700)
		*len = MIN(*len, 700 - at);
	*len = MIN(*len, h->bad - at);
	return h->data + at;
}

static void make(uint8_t *frame, uint32_t len, const uint8_t *to, const uint8_t *from)
{
	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(i * 7 + (i >> 8));
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
}

static bool send_from_guest(uint32_t len, uint32_t bad)
{
	static struct halves h;
	const struct net_offload none = {0};
	struct net_frame f;

	h.source.piece = half;
	h.bad = bad;
	make(h.data, len, WORLD, GUEST);
	assert_true(net_frame_init(&f, &h.source, len, &none));
	net_switch(&guest.port, &f);
	net_flush(&guest.port);
	return eth0.len == len && !memcmp(eth0.buffer, h.data, len);
}

static void sends(void **state __unused)
{
	uplink_create("lan0", "eth0");
	assert_int_equal(logged, 1);
	assert_true(send_from_guest(60, 4096));
	assert_true(send_from_guest(1514, 4096));
	assert_true(send_from_guest(1518, 4096));
	assert_int_equal(eth0.sent, 3);
	assert_int_equal(eth0.flushed, 3);
	/* No room: lost, counted, and nobody waits. */
	eth0.full = true;
	assert_int_equal(eth0.sent, 3);
	send_from_guest(60, 4096);
	assert_int_equal(eth0.sent, 3);
	assert_int_equal(guest.port.net->port[1]->received.dropped, 1);
	/* What cannot be read is not sent by halves. */
	eth0.full = false;
	send_from_guest(1514, 1000);
	assert_int_equal(eth0.sent, 3);
	assert_int_equal(eth0.len, 0);
	assert_int_equal(guest.port.net->port[1]->received.dropped, 2);
}

/* The switch promises the length; should it err, nothing is written behind the buffer. */
static void too_long(void **state __unused)
{
	struct net_frame f = {.len = NIC_FRAME_MAX + 1, .head_len = NET_ETHERNET};
	struct net_port *port;

	uplink_create("lan0", "eth0");
	port = guest.port.net->port[1];
	assert_false(port->ops->deliver(port, &f));
	assert_int_equal(port->ops->can(port), 0);
	assert_int_equal(eth0.sent, 0);
}

static void receives(void **state __unused)
{
	uplink_create("lan0", "eth0");
	make(eth0.in, 1400, GUEST, WORLD);
	eth0.in_len = 1400;
	eth0.frames = 5;
	eth0.found = NIC_BUSY;
	armed->fire(armed);
	assert_int_equal(guest.frames, 5);
	assert_int_equal(guest.flushed, 1);
	assert_int_equal(guest.len, 1400);
	assert_memory_equal(guest.data, eth0.in, 1400);
	/* For others, or in the name of the guest: not for it. */
	make(eth0.in, 1400, CARD, WORLD);
	armed->fire(armed);
	make(eth0.in, 1400, GUEST, GUEST);
	armed->fire(armed);
	assert_int_equal(guest.frames, 5);
	/* Its address is known now, and leads to the card. */
	assert_true(send_from_guest(60, 4096));
}

/* Without an interrupt: often while there is something, seldom when there was nothing for long. */
static void polls(void **state __unused)
{
	static const unsigned us[] = {200, 400, 800, 1600, 2000, 2000};

	uplink_create("lan0", "eth0");
	assert_int_equal(eth0.polls, 1); /* the link is looked at now */
	eth0.found = NIC_MORE;
	armed->fire(armed);
	assert_int_equal(armed->expires, now + 100 * NS_PER_US);
	eth0.found = NIC_IDLE;
	for (unsigned i = 0; i < ARRAY_SIZE(us); i++) {
		now = armed->expires;
		armed->fire(armed);
		assert_int_equal(armed->expires, now + us[i] * NS_PER_US);
	}
	eth0.found = NIC_BUSY;
	armed->fire(armed);
	assert_int_equal(armed->expires, now + 100 * NS_PER_US);
	/* An interrupt that nobody waits for changes nothing. */
	eth0.sink->ready(eth0.sink);
	assert_int_equal(armed->expires, now + 100 * NS_PER_US);
}

static void waits(void **state __unused)
{
	eth0.waits = true;
	uplink_create("lan0", "eth0");
	assert_int_equal(armed->expires, now + NS_PER_SEC);
	now += 5;
	eth0.sink->ready(eth0.sink);
	assert_int_equal(armed->expires, now);
	/* Until that was done, it is not asked for again. */
	now += 5;
	eth0.sink->ready(eth0.sink);
	assert_int_equal(armed->expires, now - 5);
	eth0.found = NIC_BUSY;
	armed->fire(armed);
	assert_int_equal(armed->expires, now + 100 * NS_PER_US);
	eth0.found = NIC_IDLE;
	armed->fire(armed);
	assert_int_equal(armed->expires, now + NS_PER_SEC);
}

static void goes_wrong(void **state __unused)
{
	uplink_create("lan0", "eth7");
	assert_int_equal(logged, 1);
	assert_null(armed);
	assert_int_equal(guest.port.net->used, 1);
	/* A card that does not start is a port that takes nothing. */
	eth0.broken = eth0.full = true;
	uplink_create("lan0", "eth0");
	assert_null(armed);
	assert_int_equal(guest.port.net->used, 2);
	send_from_guest(60, 4096);
	assert_int_equal(guest.port.net->port[1]->received.dropped, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(sends, setup),
		cmocka_unit_test_setup(too_long, setup),
		cmocka_unit_test_setup(receives, setup),
		cmocka_unit_test_setup(polls, setup),
		cmocka_unit_test_setup(waits, setup),
		cmocka_unit_test_setup(goes_wrong, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
