/* SPDX-License-Identifier: BSD-2-Clause */
/* Networks: who gets a frame and who does not, checksums and segments beside a plain reference. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/format.c"
#include "../../lib/string.c"
#include "../../drivers/net_frame.c"
#include "../../drivers/switch.c"

uintptr_t test_memory;

enum { PORTS = 5, KEPT = 130, CAN_ALL = NET_CAN_CHECKSUM | NET_CAN_TCP4 | NET_CAN_TCP6 };

/* A port that keeps what it gets. */
struct port {
	struct net_port port;
	unsigned can, frames, flushed;
	unsigned room; /* frames that it still takes */
	struct net_offload offload[KEPT];
	uint32_t len[KEPT];
	uint8_t *bytes[KEPT];
};

static struct port ports[NET_PORTS_MAX + 1];

static unsigned can(struct net_port *p)
{
	return container_of(p, struct port, port)->can;
}

static bool deliver(struct net_port *p, const struct net_frame *f)
{
	struct port *to = container_of(p, struct port, port);

	assert_true(to->frames < KEPT);
	if (!to->room)
		return false;
	to->room--;
	to->len[to->frames] = f->len;
	to->offload[to->frames] = f->offload;
	to->bytes[to->frames] = malloc(f->len);
	assert_true(net_frame_read(f, 0, to->bytes[to->frames], f->len));
	to->frames++;
	return true;
}

static void flush(struct net_port *p)
{
	container_of(p, struct port, port)->flushed++;
}

static const struct net_port_ops port_ops = {can, deliver, flush};

void *pages_alloc(size_t size, uint32_t owner)
{
	assert_int_equal(owner, OWNER_CORE);
	return calloc(1, size);
}

static void forget(struct port *p)
{
	while (p->frames)
		free(p->bytes[--p->frames]);
}

static status_t add(unsigned i, const char *network, bool uplink)
{
	struct port *p = &ports[i];

	forget(p);
	memset(p, 0, sizeof(*p));
	p->can = CAN_ALL;
	p->room = UINT32_MAX;
	p->port.ops = &port_ops;
	p->port.name = uplink ? "uplink" : "guest";
	p->port.owner = uplink ? NULL : &ports[i];
	p->port.uplink = uplink;
	memcpy(p->port.mac, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)(i + 1)}, NET_MAC);
	return net_port_add(network, &p->port);
}

/* 0 to 2 are on lan0, 3 and 4 on lan1. */
static int setup(void **state __unused)
{
	for (unsigned i = 0; i < PORTS; i++)
		assert_int_equal(add(i, i < 3 ? "lan0" : "lan1", false), 0);
	return 0;
}

static int teardown(void **state __unused)
{
	for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
		forget(&ports[i]);
	for (struct net *next; nets; nets = next) {
		next = nets->next;
		free(nets);
	}
	return 0;
}

/* Bytes in pieces of some length; each is read as often as is allowed, and then changes. */
struct source {
	struct net_source source;
	uint8_t *bytes;
	uint32_t len, piece;
	bool attacked; /* what is read of the head changes at once */
	uint32_t ends; /* from this byte on there is nothing to be had; 0: all is there */
};

static const void *piece(const struct net_source *s, uint32_t at, uint32_t *len)
{
	static uint8_t copy[4096];
	struct source *from = container_of(s, struct source, source);

	assert_true(at < from->len && *len <= from->len - at);
	if (from->ends && at >= from->ends)
		return NULL;
	*len = MIN(*len, from->piece);
	if (!from->attacked || *len > sizeof(copy))
		return from->bytes + at;
	memcpy(copy, from->bytes + at, *len);
	memset(from->bytes + at, 0xff, *len);
	return copy;
}

static uint8_t frame[70000];
static struct source source = {{piece}, frame, sizeof(frame), 7, false, 0};

/* From port @from to the address @to (last byte; 0xff: broadcast), as if sent by @as. */
static void ethernet(unsigned to, unsigned as)
{
	memset(frame, 0, NET_ETHERNET);
	frame[0] = 2;
	frame[5] = (uint8_t)to;
	if (to == 0xff)
		memset(frame, 0xff, NET_MAC);
	frame[6] = 2;
	frame[11] = (uint8_t)as;
	for (unsigned i = NET_ETHERNET; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7 + i / 251);
}

static unsigned send_offload(unsigned from, uint32_t len, const struct net_offload *o)
{
	struct net_frame f;

	source.len = len;
	if (!net_frame_init(&f, &source.source, len, o)) {
		net_drop(&ports[from].port);
		return 0;
	}
	return net_switch(&ports[from].port, &f);
}

static unsigned send_plain(unsigned from, unsigned to, uint32_t len)
{
	static const struct net_offload none;

	ethernet(to, from + 1);
	return send_offload(from, len, &none);
}

static void expect(unsigned a, unsigned b, unsigned c, unsigned d, unsigned e)
{
	const unsigned want[PORTS] = {a, b, c, d, e};

	for (unsigned i = 0; i < PORTS; i++) {
		assert_int_equal(ports[i].frames, want[i]);
		forget(&ports[i]);
	}
}

static void to_one(void **state __unused)
{
	for (uint32_t len = NET_ETHERNET; len <= 1518; len += 47) {
		assert_int_equal(send_plain(0, 2, len), 1);
		assert_int_equal(ports[1].len[0], len);
		assert_memory_equal(ports[1].bytes[0], frame, len);
		expect(0, 1, 0, 0, 0);
	}
	assert_int_equal(send_plain(2, 1, 1518), 1);
	expect(1, 0, 0, 0, 0);
	/* To itself, and of a length that no frame has. */
	assert_int_equal(send_plain(0, 1, 60), 0);
	assert_int_equal(ports[0].port.sent.dropped, 0);
	send_plain(0, 2, 1519);
	send_plain(0, 2, 13);
	send_plain(0, 2, 0);
	send_plain(0, 2, 66000);
	assert_int_equal(ports[0].port.sent.dropped, 4);
	expect(0, 0, 0, 0, 0);
}

static void networks_are_apart(void **state __unused)
{
	assert_int_equal(send_plain(0, 4, 60), 0);
	assert_int_equal(send_plain(3, 1, 60), 0);
	expect(0, 0, 0, 0, 0);
	assert_int_equal(send_plain(3, 5, 60), 1);
	expect(0, 0, 0, 0, 1);
	assert_int_equal(send_plain(3, 0xff, 60), 1);
	expect(0, 0, 0, 0, 1);
}

static void broadcasts(void **state __unused)
{
	static const struct net_offload none;

	assert_int_equal(send_plain(1, 0xff, 60), 2);
	expect(1, 0, 1, 0, 0);
	ethernet(0, 1);
	frame[0] = 0x33;
	assert_int_equal(send_offload(0, 100, &none), 2);
	expect(0, 1, 1, 0, 0);
	/* An address that nobody has: no guest is to hear that. */
	assert_int_equal(send_plain(0, 99, 60), 0);
	assert_int_equal(send_plain(0, 0, 60), 0);
	expect(0, 0, 0, 0, 0);
}

static void spoofing(void **state __unused)
{
	static const struct net_offload none;
	const uint8_t as[] = {2, 0, 3, 4, 99};

	for (unsigned i = 0; i < sizeof(as); i++) {
		ethernet(2, as[i]);
		assert_int_equal(send_offload(0, 60, &none), 0);
	}
	ethernet(2, 1);
	frame[6] = 3; /* multicast */
	assert_int_equal(send_offload(0, 60, &none), 0);
	assert_int_equal(ports[0].port.spoofed, 6);
	assert_int_equal(ports[0].port.sent.dropped, 6);
	assert_int_equal(ports[0].port.sent.frames, 0);
	expect(0, 0, 0, 0, 0);
	/* Changed after it was read. */
	ethernet(2, 1);
	source.attacked = true;
	assert_int_equal(send_offload(0, 60, &none), 1);
	source.attacked = false;
	assert_int_equal(frame[11], 0xff);
	assert_int_equal(ports[1].bytes[0][11], 1);
	expect(0, 1, 0, 0, 0);
}

static void uplinks(void **state __unused)
{
	static const struct net_offload none;

	assert_int_equal(add(5, "lan0", true), 0);
	assert_int_equal(add(6, "lan0", true), 0);
	/* Unknown: to where it may be, not to guests. */
	assert_int_equal(send_plain(0, 99, 60), 2);
	assert_int_equal(ports[5].frames + ports[6].frames, 2);
	expect(0, 0, 0, 0, 0);
	assert_int_equal(send_plain(3, 99, 60), 0);
	/* Learned from what it sends, and learned anew. */
	ethernet(1, 99);
	assert_int_equal(send_offload(6, 60, &none), 1);
	expect(1, 0, 0, 0, 0);
	forget(&ports[5]);
	forget(&ports[6]);
	assert_int_equal(send_plain(0, 99, 60), 1);
	assert_int_equal(ports[6].frames, 1);
	ethernet(1, 99);
	assert_int_equal(send_offload(5, 60, &none), 1);
	forget(&ports[6]);
	assert_int_equal(send_plain(0, 99, 60), 1);
	assert_int_equal(ports[5].frames, 1);
	assert_int_equal(ports[6].frames, 0);
	/* What is there anyway goes nowhere. */
	ethernet(99, 98);
	assert_int_equal(send_offload(5, 60, &none), 0);
	/* Many addresses: each goes at least there, and a guest's stays the guest's. */
	expect(1, 0, 0, 0, 0);
	for (unsigned i = 10; i < 99; i++) {
		ethernet(1, i);
		assert_int_equal(send_offload(6, 60, &none), 1);
		forget(&ports[6]);
		assert_int_equal(send_plain(0, i, 60), 1);
		assert_int_equal(ports[6].frames, 1);
		forget(&ports[0]);
	}
	ethernet(1, 2);
	assert_int_equal(send_offload(6, 60, &none), 0);
	assert_int_equal(ports[6].port.spoofed, 1);
	assert_int_equal(send_plain(0, 2, 60), 1);
	expect(0, 1, 0, 0, 0);
	/* Broadcasts go everywhere. */
	forget(&ports[5]);
	forget(&ports[6]);
	assert_int_equal(send_plain(5, 0xff, 60), 4);
	assert_int_equal(ports[6].frames, 1);
	expect(1, 1, 1, 0, 0);
}

static void told_once(void **state __unused)
{
	send_plain(0, 2, 60);
	send_plain(0, 2, 60);
	send_plain(0, 3, 60);
	assert_int_equal(ports[1].flushed, 0);
	net_flush(&ports[0].port);
	net_flush(&ports[0].port);
	assert_int_equal(ports[1].flushed, 1);
	assert_int_equal(ports[2].flushed, 1);
	assert_int_equal(ports[0].flushed + ports[3].flushed + ports[4].flushed, 0);
}

static void counts(void **state __unused)
{
	ports[1].room = 1;
	send_plain(0, 2, 100);
	send_plain(0, 2, 100);
	send_plain(0, 99, 100);
	assert_int_equal(ports[0].port.sent.frames, 3);
	assert_int_equal(ports[0].port.sent.bytes, 300);
	assert_int_equal(ports[1].port.received.frames, 1);
	assert_int_equal(ports[1].port.received.bytes, 100);
	assert_int_equal(ports[1].port.received.dropped, 1);
}

static void limits(void **state __unused)
{
	assert_int_equal(add(5, "lan2", false), 0);
	memcpy(ports[5].port.mac, ports[1].port.mac, NET_MAC);
	assert_int_equal(net_port_add("lan0", &ports[5].port), -S_EXIST);
	assert_int_equal(net_port_add("lan1", &ports[5].port), 0);
	for (unsigned i = 6; i < NET_PORTS_MAX; i++)
		assert_int_equal(add(i, "full", false), 0);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(add(i, "full", false), 0);
	assert_int_equal(add(NET_PORTS_MAX, "full", false), -S_NOSPC);
	/* The last of 64 is reached, and told. */
	send_plain(6, 6, 60);
	net_flush(&ports[6].port);
	assert_int_equal(ports[5].flushed, 1);
	assert_int_equal(ports[5].frames, 1);
	assert_int_equal(send_plain(6, 0xff, 60), NET_PORTS_MAX - 1);
	/* One goes, and its place and address are free. */
	net_ports_remove(&ports[9]);
	assert_int_equal(send_plain(6, 10, 60), 0);
	assert_int_equal(add(9, "full", false), 0);
	assert_int_equal(send_plain(6, 10, 60), 1);
}

/* --- Offloads --- */

/* The sum of 16-bit words, plainly. */
static uint16_t plain_sum(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i + 1 < len; i += 2) {
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	if (len % 2) {
		sum += (uint32_t)p[len - 1] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

static void fills_checksums(void **state __unused)
{
	for (uint32_t len = 60; len < 1500; len += 37) {
		struct net_offload o = {.checksum = true,
					.csum_start = (uint16_t)(14 + len % 30),
					.csum_offset = 6};
		uint16_t field = o.csum_start + o.csum_offset;

		source.piece = 1 + len % 23;
		/* Whoever can gets it as it is. */
		ethernet(2, 1);
		ports[1].can = NET_CAN_CHECKSUM;
		send_offload(0, len, &o);
		assert_memory_equal(ports[1].bytes[0], frame, len);
		assert_true(ports[1].offload[0].checksum);
		assert_int_equal(ports[1].offload[0].csum_start, o.csum_start);
		assert_int_equal(ports[1].offload[0].csum_offset, o.csum_offset);
		forget(&ports[1]);
		ports[1].can = 0;
		send_offload(0, len, &o);
		assert_false(ports[1].offload[0].checksum);
		/* All is as it was but the field, so with what stood there it is no sum at all. */
		assert_int_equal(plain_sum(ports[1].bytes[0] + o.csum_start, len - o.csum_start, 0),
				 (uint16_t)~plain_sum(frame + field, 2, 0));
		memcpy(ports[1].bytes[0] + field, frame + field, 2);
		assert_memory_equal(ports[1].bytes[0], frame, len);
		expect(0, 1, 0, 0, 0);
	}
	source.piece = 7;
}

/* 0 says that UDP has none. */
static void never_zero(void **state __unused)
{
	struct net_offload o = {.checksum = true, .csum_start = 20, .csum_offset = 0};

	ports[1].can = 0;
	ethernet(2, 1);
	memset(frame + 20, 0, 40);
	frame[30] = frame[31] = 0xff;
	send_offload(0, 60, &o);
	assert_int_equal(ports[1].bytes[0][20] << 8 | ports[1].bytes[0][21], 0xffff);
}

/* A TCP segment with @data bytes; the offload that goes with it. */
static struct net_offload segment(bool v6, bool vlan, unsigned ip_options, unsigned tcp_options,
				  uint32_t data, uint16_t size, uint32_t *len)
{
	uint32_t ip = vlan ? 18 : 14, tcp = ip + (v6 ? 40 : 20 + ip_options);
	uint32_t at = tcp + 20 + tcp_options;

	ethernet(2, 1);
	if (vlan)
		memcpy(frame + 12, "\x81\x00\x00\x05", 4);
	memcpy(frame + ip - 2, v6 ? "\x86\xdd" : "\x08\x00", 2);
	*len = at + data;
	if (v6) {
		frame[ip] = 0x60;
		put16(frame + ip + 4, (uint16_t)(*len - tcp));
		frame[ip + 6] = 6;
	} else {
		frame[ip] = (uint8_t)(0x45 + ip_options / 4);
		put16(frame + ip + 2, (uint16_t)(*len - ip));
		put16(frame + ip + 4, 0xfffe); /* the ID overflows */
		put16(frame + ip + 6, 0x4000);
		frame[ip + 9] = 6;
	}
	put32(frame + tcp + 4, 0xffffff00); /* so does the sequence number */
	frame[tcp + 12] = (uint8_t)((5 + tcp_options / 4) << 4);
	frame[tcp + 13] = 0x80 | 0x10 | 0x08 | 0x01;
	return (struct net_offload){.checksum = true,
				    .csum_start = (uint16_t)tcp,
				    .csum_offset = 16,
				    .gso = v6 ? NET_CAN_TCP6 : NET_CAN_TCP4,
				    .gso_size = size};
}

/* Segment number @i, alone, as a receiver would look at it. */
static void check_segment(const uint8_t *p, uint32_t len, bool v6, uint32_t ip, uint32_t tcp,
			  uint32_t at, unsigned i, uint32_t size, uint32_t data)
{
	uint32_t done = i * size, n = MIN(size, data - done);
	uint32_t pseudo = plain_sum(p + ip + (v6 ? 8 : 12), v6 ? 32 : 8, 6 + (len - tcp));
	uint8_t flags = 0x10 | (i ? 0 : 0x80) | (done + n == data ? 0x09 : 0);

	assert_int_equal(len, at + n);
	if (v6) {
		assert_int_equal(get16(p + ip + 4), len - tcp);
	} else {
		assert_int_equal(get16(p + ip + 2), len - ip);
		assert_int_equal(get16(p + ip + 4), (uint16_t)(0xfffe + i));
		assert_int_equal(plain_sum(p + ip, tcp - ip, 0), 0xffff);
	}
	assert_int_equal(get32(p + tcp + 4), (uint32_t)(0xffffff00 + done));
	assert_int_equal(p[tcp + 13], flags);
	assert_int_equal(plain_sum(p + tcp, len - tcp, pseudo), 0xffff);
	assert_memory_equal(p, frame, ip);
	assert_memory_equal(p + at, frame + at + done, n);
}

static void cuts(void **state __unused)
{
	for (unsigned n = 0; n < 300; n++) {
		bool v6 = n & 1, vlan = n & 2;
		unsigned ip_options = (unsigned)rand() % 11 * 4,
			 tcp_options = (unsigned)rand() % 11 * 4;
		uint16_t size = (uint16_t)(1 + (unsigned)rand() % 1300);
		uint32_t data = 1 + (uint32_t)rand() % MIN(64000u, size * 128u), len;
		struct net_offload o = segment(v6, vlan, ip_options, tcp_options, data, size, &len);
		uint32_t ip = vlan ? 18 : 14, at = o.csum_start + 20 + tcp_options;

		source.piece = 1 + (uint32_t)rand() % 4096;
		ports[1].can = n & 4 ? NET_CAN_CHECKSUM : n & 8 ? CAN_ALL & ~o.gso : CAN_ALL & ~1u;
		assert_int_equal(send_offload(0, len, &o), 1);
		assert_int_equal(ports[1].frames, DIV_ROUND_UP(data, size));
		for (unsigned i = 0; i < ports[1].frames; i++) {
			check_segment(ports[1].bytes[i], ports[1].len[i], v6, ip, o.csum_start, at,
				      i, size, data);
			assert_int_equal(ports[1].offload[i].gso | ports[1].offload[i].checksum, 0);
		}
		forget(&ports[1]);
		/* As it is, with the headers' length, for who takes it so. */
		ports[1].can = o.gso | NET_CAN_CHECKSUM;
		send_offload(0, len, &o);
		assert_int_equal(ports[1].len[0], len);
		assert_memory_equal(ports[1].bytes[0], frame, len);
		assert_int_equal(ports[1].offload[0].gso, o.gso);
		assert_int_equal(ports[1].offload[0].gso_size, size);
		assert_int_equal(ports[1].offload[0].hdr_len, at);
		assert_true(ports[1].offload[0].checksum);
		expect(0, 1, 0, 0, 0);
	}
	assert_int_equal(ports[0].port.sent.dropped + ports[1].port.received.dropped, 0);
	source.piece = 7;
}

/* No more than 128, and none after one that was not taken. */
static void cuts_end(void **state __unused)
{
	uint32_t len;
	struct net_offload o = segment(false, false, 0, 0, 12801, 100, &len);

	ports[1].can = 0;
	send_offload(0, len, &o);
	assert_int_equal(ports[1].port.received.dropped, 1);
	expect(0, 0, 0, 0, 0);
	o = segment(false, false, 0, 0, 12800, 100, &len);
	send_offload(0, len, &o);
	assert_int_equal(ports[1].port.received.frames, 128);
	expect(0, 128, 0, 0, 0);
	ports[1].room = 3;
	send_offload(0, len, &o);
	assert_int_equal(ports[1].port.received.frames, 131);
	assert_int_equal(ports[1].port.received.dropped, 2);
	expect(0, 3, 0, 0, 0);
}

/* The bytes are gone while they are summed up. */
static void sources_fail(void **state __unused)
{
	uint32_t len;
	struct net_offload o = segment(false, false, 0, 0, 5000, 1000, &len);

	ports[1].can = 0;
	source.ends = 3000;
	send_offload(0, len, &o);
	assert_int_equal(ports[1].frames, 2);
	assert_int_equal(ports[1].port.received.dropped, 1);
	forget(&ports[1]);
	o = (struct net_offload){.checksum = true, .csum_start = 20, .csum_offset = 2};
	source.ends = 1000;
	send_offload(0, 1200, &o);
	expect(0, 0, 0, 0, 0);
	source.ends = 100;
	send_offload(0, 1200, &o);
	assert_int_equal(ports[0].port.sent.dropped, 1);
	expect(0, 0, 0, 0, 0);
	source.ends = 0;
}

static void is_bad(uint32_t len, const struct net_offload *o)
{
	uint64_t before = ports[0].port.sent.dropped;

	assert_int_equal(send_offload(0, len, o), 0);
	assert_int_equal(ports[0].port.sent.dropped, before + 1);
	expect(0, 0, 0, 0, 0);
}

static void bad_checksums(void **state __unused)
{
	struct net_offload o = {.checksum = true, .csum_start = 34, .csum_offset = 6};

	ethernet(2, 1);
	is_bad(41, &o);
	assert_int_equal(send_offload(0, 42, &o), 1);
	expect(0, 1, 0, 0, 0);
	o.csum_start = 13;
	is_bad(100, &o);
	o.csum_start = 0xffff;
	o.csum_offset = 3;
	is_bad(100, &o);
	o.csum_start = 20;
	o.csum_offset = 0xffff;
	is_bad(1500, &o);
	/* Behind what we keep of it. */
	o.csum_offset = NET_HEAD_MAX - 21;
	is_bad(1500, &o);
	o.csum_offset--;
	assert_int_equal(send_offload(0, 1500, &o), 1);
	expect(0, 1, 0, 0, 0);
	is_bad(1519, &o);
}

/* Each thing that a large segment's sender may lie about. */
static void bad_segments(void **state __unused)
{
	uint32_t len, tcp = 34;
	const struct net_offload good = segment(false, false, 0, 0, 3000, 1000, &len);
	struct net_offload o = good;
	static const struct {
		unsigned at, value;
	} bytes[] = {{0, 3},	   {12, 0x86},	{13, 0xdd}, {14, 0x35}, {14, 0x44},
		     {14, 0x46}, {20, 0x20}, {21, 1},	{23, 17},   {46, 0x40}};

	assert_int_equal(send_offload(0, len, &good), 1);
	expect(0, 1, 0, 0, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bytes); i++) {
		uint8_t was = frame[bytes[i].at];

		frame[bytes[i].at] = (uint8_t)bytes[i].value;
		is_bad(len, &good);
		frame[bytes[i].at] = was;
	}
	o.checksum = false;
	is_bad(len, &o);
	o = good;
	o.gso_size = 0;
	is_bad(len, &o);
	o.gso_size = 1518 - 54 + 1;
	is_bad(len, &o);
	o.gso_size--;
	assert_int_equal(send_offload(0, len, &o), 1);
	expect(0, 1, 0, 0, 0);
	o = good;
	o.gso = NET_CAN_TCP6;
	is_bad(len, &o);
	o.gso = NET_CAN_TCP4 | NET_CAN_TCP6;
	is_bad(len, &o);
	o = good;
	o.csum_start++;
	is_bad(len, &o);
	o = good;
	o.csum_offset = 6;
	is_bad(len, &o);
	/* No data; headers that are cut off; the longest one and one byte more. */
	is_bad(54, &good);
	assert_int_equal(send_offload(0, 55, &good), 1);
	expect(0, 1, 0, 0, 0);
	for (uint32_t n = NET_ETHERNET; n < 54; n++)
		is_bad(n, &good);
	frame[tcp + 12] = 0xf0;
	is_bad(tcp + 60, &good);
	o = segment(false, false, 0, 0, 65535 + 18 - 54, 1000, &len);
	assert_int_equal(len, 65553);
	assert_int_equal(send_offload(0, len, &o), 1);
	expect(0, 1, 0, 0, 0);
	is_bad(len + 1, &o);
	o = segment(true, true, 0, 0, 100, 1000, &len);
	frame[18] = 0x40;
	is_bad(len, &o);
	frame[18] = 0x60;
	frame[18 + 6] = 0; /* options of each hop */
	is_bad(len, &o);
}

static char printed[4096];
static size_t printed_len;

static void keep(struct format_sink *sink __unused, char c)
{
	printed[printed_len++] = c;
	assert_true(printed_len < sizeof(printed));
}

static void prints(void **state __unused)
{
	struct format_sink out = {keep};
	static const struct net_offload none;

	assert_int_equal(add(5, "lan0", true), 0);
	ethernet(1, 99);
	send_offload(5, 60, &none);
	printed_len = 0;
	net_print(&out);
	printed[printed_len] = 0;
	assert_non_null(strstr(printed, "lan0:\n  guest: 02:00:00:00:00:01 on lan0, sent 0 frames, 0 "
					"bytes, 0 dropped (0 spoofed), received 1 frames, 60 bytes, 0 "
					"dropped\n"));
	assert_non_null(strstr(printed, "  uplink: 02:00:00:00:00:06 on lan0 (uplink), sent 1 "));
	assert_non_null(strstr(printed, "  02:00:00:00:00:63 at uplink\nlan1:\n"));
	printed_len = 0;
	net_print_owner(&ports[4], &out);
	printed[printed_len] = 0;
	assert_int_equal(strncmp(printed, "  guest: 02:00:00:00:00:05 on lan1", 34), 0);
	assert_ptr_equal(strchr(printed, '\n'), printed + printed_len - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(to_one, setup, teardown),
		cmocka_unit_test_setup_teardown(networks_are_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(broadcasts, setup, teardown),
		cmocka_unit_test_setup_teardown(spoofing, setup, teardown),
		cmocka_unit_test_setup_teardown(uplinks, setup, teardown),
		cmocka_unit_test_setup_teardown(told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(counts, setup, teardown),
		cmocka_unit_test_setup_teardown(limits, setup, teardown),
		cmocka_unit_test_setup_teardown(fills_checksums, setup, teardown),
		cmocka_unit_test_setup_teardown(never_zero, setup, teardown),
		cmocka_unit_test_setup_teardown(cuts, setup, teardown),
		cmocka_unit_test_setup_teardown(cuts_end, setup, teardown),
		cmocka_unit_test_setup_teardown(sources_fail, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_checksums, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_segments, setup, teardown),
		cmocka_unit_test_setup_teardown(prints, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
