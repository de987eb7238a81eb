/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets: who reaches whom, refusals, credit, full inboxes, resets, and Socle's own services. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "panic_mock.h"
#include "vsock_rig.h"

enum { A, B, C };
enum { CID_A = 3, CID_B = 4, CID_C = 5, PORT = 1000, SERVER = 2000, SMALL = 1024 };

#define BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

static const uint8_t *data; /* of the packet received last */

static int setup_groups(const char *a, const char *b, const char *c)
{
	rig_clear();
	rig_create(A, CID_A, a);
	rig_create(B, CID_B, b);
	rig_create(C, CID_C, c);
	for (unsigned g = 0; g < RIG_GUESTS; g++) {
		assert_non_null(rig[g].v);
		rig_drive(g, BIT(VIRTIO_VSOCK_F_SEQPACKET));
		assert_int_equal(rig[g].v->dev.status, 15);
		for (unsigned i = 0; i < RIG_PAYLOAD_MAX; i++)
			*(uint8_t *)at(rig_at(g, RIG_PAYLOAD + i)) = (uint8_t)(i % 251 + g);
	}
	return 0;
}

static int setup(void **state __unused)
{
	return setup_groups("", "", "");
}

static int teardown(void **state __unused)
{
	assert_int_equal(vsock_lock.held, 0);
	for (unsigned g = 0; g < RIG_GUESTS; g++)
		assert_int_equal(rig[g].v->dev.lock.held, 0);
	return 0;
}

/* A packet of @from with much credit. */
static struct virtio_vsock_hdr packet(unsigned from, uint32_t src_port, uint64_t dst_cid,
				      uint32_t dst_port, uint16_t op)
{
	return (struct virtio_vsock_hdr){
		.src_cid = CID_A + from,
		.dst_cid = dst_cid,
		.src_port = src_port,
		.dst_port = dst_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = 1 << 20,
	};
}

static void send(unsigned from, const struct virtio_vsock_hdr *hdr)
{
	rig_put(from, hdr);
	rig_kick(from, VSOCK_TX);
	rig_run();
}

static void send_op(unsigned from, uint32_t src_port, uint64_t dst_cid, uint32_t dst_port,
		    uint16_t op)
{
	struct virtio_vsock_hdr hdr = packet(from, src_port, dst_cid, dst_port, op);

	send(from, &hdr);
}

static void send_data(unsigned from, uint32_t src_port, uint64_t dst_cid, uint32_t dst_port,
		      uint32_t len)
{
	struct virtio_vsock_hdr hdr = packet(from, src_port, dst_cid, dst_port, VIRTIO_VSOCK_OP_RW);

	hdr.len = len;
	send(from, &hdr);
}

static const struct virtio_vsock_hdr *next(unsigned g)
{
	rig_run();
	return rig_next(g, &data);
}

/* Whatever there is for @g: not for ever. */
static void drain(unsigned g)
{
	unsigned n = 0;

	while (next(g))
		assert_true(n++ < 1000);
}

/* The next packet for @g is this. */
static const struct virtio_vsock_hdr *gets(unsigned g, uint64_t src_cid, uint32_t src_port,
					   uint32_t dst_port, uint16_t op)
{
	const struct virtio_vsock_hdr *hdr = next(g);

	assert_non_null(hdr);
	assert_int_equal(hdr->op, op);
	assert_int_equal(hdr->src_cid, src_cid);
	assert_int_equal(hdr->dst_cid, CID_A + g);
	assert_int_equal(hdr->src_port, src_port);
	assert_int_equal(hdr->dst_port, dst_port);
	return hdr;
}

static void gets_nothing(unsigned g)
{
	assert_null(next(g));
}

static void give_all(void)
{
	for (unsigned g = 0; g < RIG_GUESTS; g++)
		rig_give(g, 100, SMALL / 4);
}

/* From @from's PORT to @to's SERVER. */
static void connect_ports(unsigned from, unsigned to, uint32_t port, uint32_t server)
{
	send_op(from, port, CID_A + to, server, VIRTIO_VSOCK_OP_REQUEST);
	gets(to, CID_A + from, port, server, VIRTIO_VSOCK_OP_REQUEST);
	send_op(to, server, CID_A + from, port, VIRTIO_VSOCK_OP_RESPONSE);
	gets(from, CID_A + to, server, port, VIRTIO_VSOCK_OP_RESPONSE);
}

static void connect_ab(void)
{
	connect_ports(A, B, PORT, SERVER);
}

static void between_guests(void **state __unused)
{
	struct virtio_vsock_hdr hdr = packet(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_SHUTDOWN);
	const struct virtio_vsock_hdr *got;

	assert_int_equal(rig[B].v->config.guest_cid, CID_B);
	assert_int_equal(rig[B].v->dev.config_size, 8);
	give_all();
	connect_ab();
	send_data(A, PORT, CID_B, SERVER, 100);
	send_data(B, SERVER, CID_A, PORT, 50);
	got = gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_RW);
	assert_int_equal(got->len, 100);
	assert_memory_equal(data, at(rig_at(A, RIG_PAYLOAD)), 100);
	got = gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RW);
	assert_int_equal(got->len, 50);
	assert_memory_equal(data, at(rig_at(B, RIG_PAYLOAD)), 50);
	/* Headers go through as they are. */
	hdr.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
	hdr.fwd_cnt = 12345;
	hdr.buf_alloc = 777;
	send(A, &hdr);
	got = gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_memory_equal(got, &hdr, sizeof(hdr));
	send_op(B, SERVER, CID_A, PORT, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	send_op(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	send_op(B, SERVER, CID_A, PORT, VIRTIO_VSOCK_OP_RST);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RST);
	gets_nothing(B);
	gets_nothing(C);
	/* All over: the ports can be used again, from the other side, too. */
	connect_ports(B, A, SERVER, PORT);
	assert_int_equal(rig_used(A, VSOCK_TX)->idx, 5);
	assert_int_equal(rig_used(A, VSOCK_TX)->ring[0].len, 0);
}

/* Answered at once by a RST, addresses the other way round. */
static void is_refused(const struct virtio_vsock_hdr *hdr)
{
	const struct virtio_vsock_hdr *got;
	uint64_t before = rig[A].v->port.stats.refused;

	send(A, hdr);
	got = next(A);
	assert_non_null(got);
	assert_int_equal(got->op, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(got->src_cid, hdr->dst_cid);
	assert_int_equal(got->src_port, hdr->dst_port);
	assert_int_equal(got->dst_cid, hdr->src_cid);
	assert_int_equal(got->dst_port, hdr->src_port);
	assert_int_equal(got->type, hdr->type);
	assert_int_equal(got->len, 0);
	assert_int_equal(rig[A].v->port.stats.refused, before + 1);
	gets_nothing(A);
	gets_nothing(B);
}

static void refused(void **state __unused)
{
	static const uint64_t nobody[] = {
		0, 1, CID_A, 6, UINT32_MAX, UINT64_MAX, CID_B | 1ull << 32};
	struct virtio_vsock_hdr hdr;

	give_all();
	for (unsigned i = 0; i < ARRAY_SIZE(nobody); i++) {
		hdr = packet(A, PORT, nobody[i], SERVER, VIRTIO_VSOCK_OP_REQUEST);
		is_refused(&hdr);
	}
	/* Nothing but REQUEST begins a connection. */
	for (uint16_t op = 0; op < 10; op++) {
		if (op == VIRTIO_VSOCK_OP_REQUEST || op == VIRTIO_VSOCK_OP_RST)
			continue;
		hdr = packet(A, PORT, CID_B, SERVER, op);
		is_refused(&hdr);
	}
	/* Types that nobody has. */
	hdr = packet(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	hdr.type = 3;
	is_refused(&hdr);
	/* No answer to a RST, or two would go on for ever. */
	send_op(A, PORT, 9, SERVER, VIRTIO_VSOCK_OP_RST);
	send_op(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_RST);
	gets_nothing(A);
	gets_nothing(B);
	/* A guest without a driver is nobody. */
	rig_set(B, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	hdr = packet(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	is_refused(&hdr);
}

static void spoofed(void **state __unused)
{
	struct virtio_vsock_hdr hdr = packet(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);

	give_all();
	connect_ports(C, B, PORT, SERVER);
	for (uint16_t op = 0; op < 8; op++) {
		hdr.op = op;
		hdr.src_cid = CID_C;
		send(A, &hdr);
	}
	hdr.src_cid = CID_A | 1ull << 32;
	send(A, &hdr);
	hdr.src_cid = VSOCK_CID_HOST;
	send(A, &hdr);
	for (unsigned g = 0; g < RIG_GUESTS; g++)
		gets_nothing(g);
	assert_int_equal(rig[A].v->port.stats.spoofed, 10);
	assert_int_equal(rig_used(A, VSOCK_TX)->idx, 10);
	/* The connection that it was about is well. */
	send_data(C, PORT, CID_B, SERVER, 5);
	gets(B, CID_C, PORT, SERVER, VIRTIO_VSOCK_OP_RW);
}

/* @from calls @to: is it heard? */
static bool reaches(unsigned from, unsigned to)
{
	bool heard;

	send_op(from, PORT, CID_A + to, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	heard = next(to);
	assert_int_equal(!!next(from), !heard);
	send_op(from, PORT, CID_A + to, SERVER, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(!!next(to), heard);
	return heard;
}

static void groups(void **state __unused)
{
	static const struct {
		const char *group[RIG_GUESTS];
		bool ab, ac, bc;
	} cases[] = {
		{{"", "", ""}, true, true, true},
		{{"", "x", ""}, false, true, false},
		{{"x", "x", "y"}, true, false, false},
		{{"x", "xx", "xx"}, false, false, true},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		setup_groups(cases[i].group[A], cases[i].group[B], cases[i].group[C]);
		give_all();
		assert_int_equal(reaches(A, B), cases[i].ab);
		assert_int_equal(reaches(B, A), cases[i].ab);
		assert_int_equal(reaches(A, C), cases[i].ac);
		assert_int_equal(reaches(C, A), cases[i].ac);
		assert_int_equal(reaches(B, C), cases[i].bc);
		assert_int_equal(reaches(C, B), cases[i].bc);
		for (unsigned g = 0; g < RIG_GUESTS; g++) {
			send_op(g, PORT, VSOCK_CID_HOST, 9, VIRTIO_VSOCK_OP_REQUEST);
			gets(g, VSOCK_CID_HOST, 9, PORT, VIRTIO_VSOCK_OP_RESPONSE);
		}
	}
}

/* B says what it has room for, and what it has taken so far. */
static void tell(uint32_t buf_alloc, uint32_t fwd_cnt)
{
	struct virtio_vsock_hdr hdr = packet(B, SERVER, CID_A, PORT, VIRTIO_VSOCK_OP_CREDIT_UPDATE);

	hdr.buf_alloc = buf_alloc;
	hdr.fwd_cnt = fwd_cnt;
	send(B, &hdr);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
}

static void connect_with(uint32_t buf_alloc)
{
	struct virtio_vsock_hdr hdr = packet(B, SERVER, CID_A, PORT, VIRTIO_VSOCK_OP_RESPONSE);

	hdr.buf_alloc = buf_alloc;
	send_op(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	send(B, &hdr);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RESPONSE);
}

static void sends(uint32_t len)
{
	send_data(A, PORT, CID_B, SERVER, len);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_RW);
}

/* One byte more than there is credit for ends the connection, for both. */
static void overruns(uint32_t len)
{
	uint64_t before = rig[A].v->port.stats.overrun;

	send_data(A, PORT, CID_B, SERVER, len);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_RST);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RST);
	gets_nothing(A);
	gets_nothing(B);
	assert_int_equal(rig[A].v->port.stats.overrun, before + 1);
}

static void credit(void **state __unused)
{
	give_all();
	connect_with(100);
	sends(60);
	sends(40);
	overruns(1);
	rig_give(A, 20, SMALL / 4);
	rig_give(B, 20, SMALL / 4);
	connect_with(100);
	sends(100);
	tell(100, 30);
	tell(100, 20); /* older than what is known: nothing new */
	sends(30);
	tell(50, 130); /* less than before, all was taken */
	sends(50);
	tell(50, 131); /* a little more */
	sends(1);
	tell(40, 131);	    /* takes nothing back */
	tell(100, 1000000); /* it was not sent so much: a lie */
	overruns(1);
}

/* Before B has answered there is no credit, and none for who did not ask. */
static void too_early(void **state __unused)
{
	give_all();
	send_op(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	send_data(A, PORT, CID_B, SERVER, 1);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RST);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_RST);
	/* Nor does who was asked send before he has answered. */
	send_op(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	send_data(B, SERVER, CID_A, PORT, 1);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RST);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_RST);
	/* Nobody answers himself. */
	send_op(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	send_op(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_RESPONSE);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RST);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_RST);
	/* A second REQUEST ends what there is, as does another type. */
	connect_ab();
	send_op(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RST);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_RST);
}

static struct vsock_port *port(unsigned g)
{
	return &rig[g].v->port;
}

/* A fills B's inbox, waits, and goes on when B takes something: all in order, nothing lost. */
static void full_inbox(void **state __unused)
{
	unsigned sent, received = 0, given = 0;

	give_all();
	connect_ab();
	for (unsigned i = 0; i < 100; i++)
		(void)!next(B);
	/* What is left of its buffers fills up first. */
	for (sent = 0; !rig[A].v->held && sent < 1000; sent++) {
		*(uint32_t *)at(rig_at(A, RIG_PAYLOAD)) = sent;
		send_data(A, PORT, CID_B, SERVER, 4);
	}
	assert_int_equal(port(B)->tail - port(B)->head, VSOCK_SLOTS);
	assert_int_equal(port(B)->waiters, 1);
	assert_true(rig[A].v->stall.slot);
	/* While it waits, others talk to it, and B to it. */
	send_data(B, SERVER, CID_A, PORT, 9);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RW);
	while (received < sent) {
		const struct virtio_vsock_hdr *hdr = next(B);

		if (!hdr) {
			rig_give(B, 3, SMALL / 4);
			assert_true(given++ < 1000);
			continue;
		}
		assert_int_equal(hdr->op, VIRTIO_VSOCK_OP_RW);
		/* The payload of one that waited was read when it had a place. */
		assert_int_equal(*(const uint32_t *)data, received);
		received++;
	}
	gets_nothing(B);
	assert_false(rig[A].v->held);
	assert_int_equal(port(B)->waiters, 0);
	assert_null(port(A)->waits);
	assert_false(rig[A].v->stall.slot);
	assert_int_equal(port(B)->stats.stalled, 0);
}

/* Fills B's inbox so that A waits. */
static void fill_up(void)
{
	for (unsigned i = 0; !rig[A].v->held && i < 1000; i++)
		send_data(A, PORT, CID_B, SERVER, 4);
	assert_true(rig[A].v->held);
}

/* Who takes nothing for 2 s is given up, and then does not stop A's other connections. */
static void stalled(void **state __unused)
{
	give_all();
	connect_ab();
	connect_ports(A, C, PORT, SERVER);
	connect_ports(A, B, PORT + 1, SERVER);
	fill_up();
	rig_put(A, &(struct virtio_vsock_hdr){.src_cid = CID_A,
					      .dst_cid = CID_C,
					      .src_port = PORT,
					      .dst_port = SERVER,
					      .type = 1,
					      .op = 5,
					      .len = 7});
	rig_now += VSOCK_STALL - 1;
	rig_kick(A, VSOCK_TX);
	rig_run();
	gets_nothing(C);
	rig_now += 1;
	rig_kick(A, VSOCK_TX);
	gets(C, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_RW);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(port(B)->stats.stalled, 1);
	/* The next one does not wait at all. */
	send_data(A, PORT + 1, CID_B, SERVER, 7);
	gets(A, CID_B, SERVER, PORT + 1, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(port(B)->stats.stalled, 2);
	assert_int_equal(port(B)->waiters, 0);
	/* B comes back: it is told, and what was on the way to it is not for anybody any more. */
	drain(B);
	rig_give(B, 20, SMALL / 4);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_RST);
	gets(B, CID_A, PORT + 1, SERVER, VIRTIO_VSOCK_OP_RST);
	gets_nothing(B);
	connect_ab();
}

/* B takes a packet every @ms, while A always has more for it; how many were given up? */
static uint64_t given_up(unsigned ms)
{
	give_all();
	connect_ab();
	drain(B);
	fill_up();
	for (unsigned i = 0; i < 10000 / ms; i++) {
		rig_now += ms * NS_PER_MS;
		rig_give(B, 1, SMALL / 4);
		(void)!next(B);
		if (!rig[A].v->held)
			send_data(A, PORT, CID_B, SERVER, 4);
	}
	return port(B)->stats.stalled;
}

static void slowly(void **state __unused)
{
	assert_int_equal(given_up(30), 0);
	setup(NULL);
	assert_int_equal(given_up(33), 1);
	setup(NULL);
	assert_int_equal(given_up(1900), 1);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RST);
	/* It has taken all that is for it, so one may try again. */
	rig_give(B, 100, SMALL / 4);
	assert_false(port(B)->stalled);
}

/* Who waits for a place gets it before those that come later, again and again. */
static void in_turn(void **state __unused)
{
	unsigned from_c = 0;

	give_all();
	connect_ab();
	connect_ports(C, B, PORT, SERVER);
	drain(B);
	fill_up();
	send_data(C, PORT, CID_B, SERVER, 4);
	assert_true(rig[C].v->held);
	assert_int_equal(port(B)->waiters, 2);
	drain(B);
	/* A always has more to send; C has one packet at a time. */
	for (unsigned i = 0; i < 200; i++) {
		const struct virtio_vsock_hdr *hdr;

		if (!rig[A].v->held)
			send_data(A, PORT, CID_B, SERVER, 4);
		if (!rig[C].v->held)
			send_data(C, PORT, CID_B, SERVER, 4);
		rig_give(B, 1, SMALL / 4);
		hdr = rig_next(B, &data);
		assert_non_null(hdr);
		from_c += hdr->src_cid == CID_C;
	}
	/* But for what was there before. */
	assert_in_range(from_c, 60, 75);
}

/* Who waits and does not come at once keeps its place meanwhile. */
static void no_overtaking(void **state __unused)
{
	give_all();
	connect_ab();
	connect_ports(C, B, PORT, SERVER);
	drain(B);
	for (unsigned i = 0; port(B)->tail - port(B)->head < VSOCK_SLOTS && i < 1000; i++)
		send_data(A, PORT, CID_B, SERVER, 4);
	send_data(C, PORT, CID_B, SERVER, 4);
	assert_true(rig[C].v->held && !rig[A].v->held);
	drain(B);
	rig_add(B, 1, SMALL / 4);
	assert_int_equal(port(B)->tail - port(B)->head, VSOCK_SLOTS - 1);
	rig_put(A, &(struct virtio_vsock_hdr){.src_cid = CID_A,
					      .dst_cid = CID_B,
					      .src_port = PORT,
					      .dst_port = SERVER,
					      .len = 4,
					      .type = VIRTIO_VSOCK_TYPE_STREAM,
					      .op = VIRTIO_VSOCK_OP_RW});
	rig_kick(A, VSOCK_TX);
	assert_true(rig[A].v->held);
	rig_run();
	assert_false(rig[C].v->held);
	assert_true(rig[A].v->held);
}

/* B's driver goes while A's packets are under way. */
static void reset_in_stream(void **state __unused)
{
	give_all();
	connect_ab();
	connect_ports(B, C, PORT, SERVER);
	connect_ports(A, C, PORT, SERVER);
	fill_up();
	rig_drive(B, 0);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RST);
	gets(C, CID_B, PORT, SERVER, VIRTIO_VSOCK_OP_RST);
	gets_nothing(A);
	gets_nothing(C);
	assert_false(rig[A].v->held);
	assert_int_equal(port(B)->waiters, 0);
	/* The new driver sees nothing of that; others are as they were. */
	rig_give(B, 100, SMALL / 4);
	gets_nothing(B);
	send_data(A, PORT, CID_C, SERVER, 9);
	gets(C, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_RW);
	connect_ab();
	/* Nor does another see the answer that his predecessor did not fetch. */
	rig_drive(C, 0);
	send_op(C, PORT, 9, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(port(C)->tail - port(C)->head, 1);
	rig_drive(C, 0);
	rig_give(C, 10, SMALL / 4);
	gets_nothing(C);
	/* Who waits may go, too. */
	drain(B);
	fill_up();
	rig_drive(A, 0);
	assert_int_equal(port(B)->waiters, 0);
	assert_null(port(A)->waits);
	assert_false(rig[A].v->stall.slot);
	rig_give(B, 100, SMALL / 4);
	drain(B);
	rig_give(A, 10, SMALL / 4);
	connect_ab();
}

/* A connection with the ports of one that is over does not get what was on its way. */
static void same_ports(void **state __unused)
{
	const struct virtio_vsock_hdr *hdr;
	unsigned n = 0;

	give_all();
	connect_ab();
	while (port(B)->head == port(B)->tail && n++ < 1000)
		send_data(A, PORT, CID_B, SERVER, 4); /* until one stays there */
	drain(B);
	send_op(B, SERVER, CID_A, PORT, VIRTIO_VSOCK_OP_RST);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RST);
	send_op(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	rig_give(B, 10, SMALL / 4);
	hdr = next(B);
	assert_non_null(hdr);
	assert_int_equal(hdr->op, VIRTIO_VSOCK_OP_REQUEST);
	gets_nothing(B);
}

/* 64 connections, and one that was never answered may lose its place after 10 s. */
static void many(void **state __unused)
{
	struct virtio_vsock_hdr hdr = packet(A, PORT + 64, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);

	give_all();
	for (unsigned i = 0; i < VSOCK_LINKS; i++) {
		send_op(A, PORT + i, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);
		gets(B, CID_A, PORT + i, SERVER, VIRTIO_VSOCK_OP_REQUEST);
		if (i == 40)
			continue;
		send_op(B, SERVER, CID_A, PORT + i, VIRTIO_VSOCK_OP_RESPONSE);
		gets(A, CID_B, SERVER, PORT + i, VIRTIO_VSOCK_OP_RESPONSE);
	}
	rig_give(A, 60, SMALL / 4);
	rig_give(B, 60, SMALL / 4);
	rig_now += 10 * NS_PER_SEC - 1;
	is_refused(&hdr);
	/* B can still begin one with A, since that is B's. */
	connect_ports(B, A, 1, 2);
	rig_now++;
	connect_ports(A, B, PORT + 64, SERVER);
	send_op(B, SERVER, CID_A, PORT + 40, VIRTIO_VSOCK_OP_RESPONSE);
	gets(B, CID_A, PORT + 40, SERVER, VIRTIO_VSOCK_OP_RST);
	send_data(A, PORT + 39, CID_B, SERVER, 1);
	gets(B, CID_A, PORT + 39, SERVER, VIRTIO_VSOCK_OP_RW);
}

/* A packet is cut to the inbox's and the driver's buffers; the end of a message is at its end. */
static void pieces(void **state __unused)
{
	struct virtio_vsock_hdr hdr = packet(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	const struct virtio_vsock_hdr *got;
	uint32_t done = 0, last = 0;

	rig_give(A, 100, SMALL / 4);
	rig_give(B, 30, SMALL);
	hdr.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	send(A, &hdr);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	hdr = packet(B, SERVER, CID_A, PORT, VIRTIO_VSOCK_OP_RESPONSE);
	hdr.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	send(B, &hdr);
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RESPONSE);
	hdr = packet(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_RW);
	hdr.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	hdr.flags = VIRTIO_VSOCK_SEQ_EOM;
	hdr.len = 10000;
	send(A, &hdr);
	while ((got = next(B))) {
		assert_int_equal(got->op, VIRTIO_VSOCK_OP_RW);
		assert_in_range(got->len, 1, SMALL - sizeof(*got));
		assert_memory_equal(data, at(rig_at(A, RIG_PAYLOAD + done)), got->len);
		done += got->len;
		last = got->flags;
		assert_int_equal(last, done == 10000 ? VIRTIO_VSOCK_SEQ_EOM : 0);
	}
	assert_int_equal(done, 10000);
	assert_int_equal(last, VIRTIO_VSOCK_SEQ_EOM);
	/* A stream's packet in it is none of it. */
	send_data(A, PORT, CID_B, SERVER, 1);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_RST);
	/* Only who has negotiated it gets such, and nobody of Socle. */
	hdr = packet(A, PORT, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_REQUEST);
	hdr.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	gets(A, CID_B, SERVER, PORT, VIRTIO_VSOCK_OP_RST);
	is_refused(&hdr);
	rig_drive(B, 0);
	hdr = packet(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	hdr.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	is_refused(&hdr);
}

static void broken_by(unsigned g)
{
	assert_int_equal(rig[g].v->dev.status, 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(rig_log_lines, 1);
	rig_log_lines = 0;
	rig_drive(g, 0);
	assert_int_equal(rig[g].v->dev.status, 15);
}

static void malformed(void **state __unused)
{
	struct virtio_vsock_hdr hdr = packet(A, PORT, CID_B, SERVER, VIRTIO_VSOCK_OP_RW);

	hdr.len = 8;
	rig_put(A, &hdr);
	rig_desc(A, VSOCK_TX)[1].len = 7;
	rig_kick(A, VSOCK_TX);
	broken_by(A);
	hdr.len = 0;
	rig_put(A, &hdr);
	rig_desc(A, VSOCK_TX)[0].len = 43;
	rig_kick(A, VSOCK_TX);
	broken_by(A);
	hdr.len = UINT32_MAX;
	rig_put(A, &hdr);
	rig_desc(A, VSOCK_TX)[1].len = 1;
	rig_kick(A, VSOCK_TX);
	broken_by(A);
	/* Other packets have no payload, whatever they say. */
	rig_give(A, 20, SMALL / 4);
	hdr = packet(A, PORT, 9, SERVER, VIRTIO_VSOCK_OP_REQUEST);
	rig_put(A, &hdr);
	((struct virtio_vsock_hdr *)at(rig_desc(A, VSOCK_TX)[0].addr))->len = 5000;
	rig_kick(A, VSOCK_TX);
	assert_int_equal(gets(A, 9, SERVER, PORT, VIRTIO_VSOCK_OP_RST)->len, 0);
	/* A buffer that takes no packet. */
	rig_drive(A, 0);
	rig_give(A, 1, 43);
	send(A, &hdr);
	broken_by(A);
}

/* 20000 bytes go to the echo and come back, never more at once than there is credit for. */
static void echo(void **state __unused)
{
	const struct virtio_vsock_hdr *got;
	uint32_t sent = 0, back = 0, credit_left, told;

	rig_give(A, 100, SMALL / 4);
	send_op(A, PORT, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_REQUEST);
	got = gets(A, VSOCK_CID_HOST, 7, PORT, VIRTIO_VSOCK_OP_RESPONSE);
	credit_left = got->buf_alloc;
	assert_int_equal(credit_left, 8192);
	told = 0;
	while (back < 20000) {
		uint32_t n = MIN(20000 - sent, credit_left);
		struct virtio_vsock_hdr hdr =
			packet(A, PORT, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_RW);

		n = MIN(n, 3000u);
		hdr.len = n;
		hdr.buf_alloc = 5000;
		hdr.fwd_cnt = back;
		for (uint32_t i = 0; i < n; i++)
			*(uint8_t *)at(rig_at(A, RIG_PAYLOAD + i)) = (uint8_t)((sent + i) % 251);
		if (n)
			send(A, &hdr);
		credit_left -= n;
		sent += n;
		while ((got = next(A))) {
			assert_int_equal(got->op, VIRTIO_VSOCK_OP_RW);
			assert_int_equal(got->src_cid, VSOCK_CID_HOST);
			for (uint32_t i = 0; i < got->len; i++)
				assert_int_equal(data[i], (back + i) % 251);
			back += got->len;
			credit_left += got->fwd_cnt - told;
			told = got->fwd_cnt;
			assert_in_range(told, back, sent);
			rig_give(A, 1, SMALL / 4);
		}
	}
	assert_int_equal(back, 20000);
	gets_nothing(A);
	/* It ends what the guest has ended, when all was sent. */
	{
		struct virtio_vsock_hdr hdr =
			packet(A, PORT, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_SHUTDOWN);

		hdr.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
		send(A, &hdr);
	}
	got = gets(A, VSOCK_CID_HOST, 7, PORT, VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(got->flags, BOTH);
	send_op(A, PORT, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_RST);
	gets_nothing(A);
	send_op(A, PORT, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_REQUEST);
	gets(A, VSOCK_CID_HOST, 7, PORT, VIRTIO_VSOCK_OP_RESPONSE);
}

static void shut_host(uint32_t port, uint32_t flags)
{
	struct virtio_vsock_hdr hdr =
		packet(A, PORT, VSOCK_CID_HOST, port, VIRTIO_VSOCK_OP_SHUTDOWN);

	hdr.flags = flags;
	send(A, &hdr);
}

static void services(void **state __unused)
{
	const struct virtio_vsock_hdr *got;
	char text[200] = "";

	give_all();
	rig_now += 7 * NS_PER_SEC;
	rig[A].vm.started_at = rig_now - 5 * NS_PER_SEC;
	send_op(A, PORT, VSOCK_CID_HOST, 13, VIRTIO_VSOCK_OP_REQUEST);
	gets(A, VSOCK_CID_HOST, 13, PORT, VIRTIO_VSOCK_OP_RESPONSE);
	got = gets(A, VSOCK_CID_HOST, 13, PORT, VIRTIO_VSOCK_OP_RW);
	memcpy(text, data, got->len);
	assert_string_equal(text, "guest: name\ncid: 3\nsocle: " SOCLE_VERSION "\nuptime: 5 s\n");
	got = gets(A, VSOCK_CID_HOST, 13, PORT, VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(got->flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	shut_host(13, BOTH);
	gets(A, VSOCK_CID_HOST, 13, PORT, VIRTIO_VSOCK_OP_RST);
	/* The bin tells how much it has eaten, in time, and when it is asked. */
	send_op(A, PORT, VSOCK_CID_HOST, 9, VIRTIO_VSOCK_OP_REQUEST);
	gets(A, VSOCK_CID_HOST, 9, PORT, VIRTIO_VSOCK_OP_RESPONSE);
	send_data(A, PORT, VSOCK_CID_HOST, 9, 4095);
	gets_nothing(A);
	send_data(A, PORT, VSOCK_CID_HOST, 9, 1);
	got = gets(A, VSOCK_CID_HOST, 9, PORT, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(got->fwd_cnt, 4096);
	send_data(A, PORT, VSOCK_CID_HOST, 9, 2);
	send_op(A, PORT, VSOCK_CID_HOST, 9, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	got = gets(A, VSOCK_CID_HOST, 9, PORT, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(got->fwd_cnt, 4098);
	send_data(A, PORT, VSOCK_CID_HOST, 9, 8193);
	gets(A, VSOCK_CID_HOST, 9, PORT, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(port(A)->stats.overrun, 1);
	/* No other ports. */
	send_op(A, PORT, VSOCK_CID_HOST, 8, VIRTIO_VSOCK_OP_REQUEST);
	gets(A, VSOCK_CID_HOST, 8, PORT, VIRTIO_VSOCK_OP_RST);
}

/* Eight connections for each guest; what the echo holds for one stops nobody else. */
static void served(void **state __unused)
{
	struct virtio_vsock_hdr hdr = packet(A, PORT, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_REQUEST);

	give_all();
	hdr.buf_alloc = 0;
	send(A, &hdr);
	gets(A, VSOCK_CID_HOST, 7, PORT, VIRTIO_VSOCK_OP_RESPONSE);
	for (unsigned i = 1; i < VSOCK_SERVED; i++) {
		send_op(A, PORT + i, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_REQUEST);
		gets(A, VSOCK_CID_HOST, 7, PORT + i, VIRTIO_VSOCK_OP_RESPONSE);
	}
	send_op(A, PORT + VSOCK_SERVED, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_REQUEST);
	gets(A, VSOCK_CID_HOST, 7, PORT + VSOCK_SERVED, VIRTIO_VSOCK_OP_RST);
	send_op(B, PORT, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_REQUEST);
	gets(B, VSOCK_CID_HOST, 7, PORT, VIRTIO_VSOCK_OP_RESPONSE);
	hdr.op = VIRTIO_VSOCK_OP_RW;
	hdr.len = 5000;
	send(A, &hdr);
	gets_nothing(A);
	send_data(A, PORT + 1, VSOCK_CID_HOST, 7, 3);
	gets(A, VSOCK_CID_HOST, 7, PORT + 1, VIRTIO_VSOCK_OP_RW);
	/* When there is room, more is to be sent before this is answered. */
	hdr.op = VIRTIO_VSOCK_OP_SHUTDOWN;
	hdr.flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
	hdr.len = 0;
	send(A, &hdr);
	gets_nothing(A);
	send_op(A, PORT + 2, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_RST);
	send_op(A, PORT + VSOCK_SERVED, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_REQUEST);
	gets(A, VSOCK_CID_HOST, 7, PORT + VSOCK_SERVED, VIRTIO_VSOCK_OP_RESPONSE);
	hdr.op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
	hdr.flags = 0;
	hdr.buf_alloc = 5;
	send(A, &hdr);
	assert_int_equal(gets(A, VSOCK_CID_HOST, 7, PORT, VIRTIO_VSOCK_OP_RW)->len, 5);
	gets_nothing(A);
	/* Of a new driver's, all are free. */
	rig_drive(A, 0);
	rig_give(A, 50, SMALL / 4);
	for (unsigned i = 0; i < VSOCK_SERVED; i++) {
		send_op(A, PORT + i, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_REQUEST);
		gets(A, VSOCK_CID_HOST, 7, PORT + i, VIRTIO_VSOCK_OP_RESPONSE);
	}
}

/* Socle's answers come through while others keep the inbox full. */
static void host_in_turn(void **state __unused)
{
	unsigned from_host = 0;

	give_all();
	connect_ports(A, B, PORT, SERVER);
	send_op(B, PORT, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_REQUEST);
	gets(B, VSOCK_CID_HOST, 7, PORT, VIRTIO_VSOCK_OP_RESPONSE);
	fill_up();
	drain(B);
	for (unsigned i = 0; i < 20; i++) {
		send_op(B, PORT, VSOCK_CID_HOST, 7, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
		rig_give(B, 1, SMALL / 4);
		from_host += next(B)->src_cid == VSOCK_CID_HOST;
	}
	assert_int_equal(from_host, 10);
}

static void counters(void **state __unused)
{
	give_all();
	connect_ab();
	send_data(A, PORT, CID_B, SERVER, 123);
	gets(B, CID_A, PORT, SERVER, VIRTIO_VSOCK_OP_RW);
	assert_int_equal(port(A)->stats.sent, 123);
	assert_int_equal(port(B)->stats.received, 123);
	assert_int_equal(port(A)->stats.begun, 1);
	assert_int_equal(port(B)->stats.begun, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(between_guests), TEST(refused),	  TEST(spoofed),  TEST(groups),
		TEST(credit),	      TEST(too_early),	  TEST(full_inbox), TEST(stalled), TEST(slowly),
		TEST(in_turn), TEST(no_overtaking),	      TEST(reset_in_stream), TEST(same_ports), TEST(many),
		TEST(pieces),	      TEST(malformed),	  TEST(echo),	  TEST(services),
		TEST(served),	      TEST(host_in_turn), TEST(counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
