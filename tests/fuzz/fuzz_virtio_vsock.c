/* SPDX-License-Identifier: BSD-2-Clause */
/* Three guests that send each other any packets: what comes out must be sound, and nothing sticks.
 */
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include "../unit/vsock_rig.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

/* A step: what which guest does. Few values, so that packets meet. */
struct step {
	uint8_t what; /* low bits: the guest; high bits: see step() */
	uint8_t op, cid, ports, credit, flags;
	uint16_t len;
};

void panic(const char *fmt __unused, ...)
{
	abort();
}

static void send(unsigned g, const struct step *s)
{
	static const uint64_t cids[] = {2, 3, 4, 5, 6, 0, UINT32_MAX, 1ull << 32};
	struct virtio_vsock_hdr hdr = {
		.src_cid = s->cid & 0x80 ? cids[s->cid >> 4 & 7] : 3 + g,
		.dst_cid = cids[s->cid & 7],
		.src_port = s->ports & 7,
		.dst_port = s->ports >> 4,
		.type = s->flags & 0x80 ? VIRTIO_VSOCK_TYPE_SEQPACKET : VIRTIO_VSOCK_TYPE_STREAM,
		.op = s->op & 15,
		.flags = s->flags & 3,
		.len = s->op & 0x80 ? s->len % RIG_PAYLOAD_MAX : s->len & 15,
		.buf_alloc = (uint32_t)s->credit << 8,
		.fwd_cnt = s->op & 0x40 ? s->len : 0,
	};
	const struct vring_avail *avail = rig_avail(g, VSOCK_TX);
	const struct vring_used *used = rig_used(g, VSOCK_TX);

	if ((uint16_t)(avail->idx - used->idx) >= RIG_ENTRIES / 2)
		return;
	rig_put(g, &hdr);
	if (s->op & 0x20) /* its buffer is shorter, or longer, than it says */
		rig_desc(g, VSOCK_TX)[(uint16_t)(avail->idx - 1) % (RIG_ENTRIES / 2) * 2 + 1].len =
			s->credit;
	rig_kick(g, VSOCK_TX);
}

static void give(unsigned g, unsigned n, uint32_t size)
{
	const struct vring_avail *avail = rig_avail(g, VSOCK_RX);
	const struct vring_used *used = rig_used(g, VSOCK_RX);
	unsigned given = (uint16_t)(avail->idx - used->idx);

	rig_give(g, given + n <= RIG_ENTRIES ? n : 0, size);
}

/* What a driver gets: only what concerns it, from whom it may come. */
static void check_packets(unsigned g)
{
	const struct virtio_vsock_hdr *hdr;
	const uint8_t *data;

	while ((hdr = rig_next(g, &data))) {
		CHECK(hdr->dst_cid == 3 + g);
		CHECK(hdr->src_cid != 3 + g || hdr->op == VIRTIO_VSOCK_OP_RST);
		CHECK(hdr->op >= VIRTIO_VSOCK_OP_REQUEST && hdr->op <= 7);
		CHECK(!hdr->len || hdr->op == VIRTIO_VSOCK_OP_RW);
		/* Guest 2 is in a group of its own: nothing but refusals between it and others. */
		if (hdr->op != VIRTIO_VSOCK_OP_RST && hdr->src_cid != VSOCK_CID_HOST)
			CHECK((g == 2) == (hdr->src_cid == 5));
	}
}

static void step(const struct step *s)
{
	unsigned g = (s->what & 15) % RIG_GUESTS;

	switch (s->what >> 4) {
	case 0:
		rig_drive(g, s->op & 2);
		break;
	case 1:
	case 2:
	case 3:
		give(g, s->op & 31, 44 + s->len % 200);
		break;
	case 4:
		rig_now += s->len * NS_PER_MS;
		break;
	default:
		send(g, s);
		break;
	}
	if (s->what & 0x80)
		rig_run();
}

static void check_state(void)
{
	for (unsigned g = 0; g < RIG_GUESTS; g++) {
		const struct vsock_port *port = &rig[g].v->port;
		unsigned owed = 0;

		CHECK(port->tail - port->head <= VSOCK_SLOTS && port->waiters < RIG_GUESTS + 1);
		CHECK(!port->waits || rig[g].v->held);
		for (unsigned i = 0; i < RIG_GUESTS * VSOCK_LINKS; i++) {
			const struct vsock_link *l =
				&rig[i / VSOCK_LINKS].v->port.link[i % VSOCK_LINKS];

			for (unsigned end = 0; end < VSOCK_ENDS; end++)
				owed += l->port[end] == port && (l->owed & BIT(end));
			CHECK((l->state == VSOCK_DEAD) == !!l->owed);
		}
		CHECK(owed == port->owed);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	rig_clear();
	for (unsigned g = 0; g < RIG_GUESTS; g++) {
		rig_create(g, 3 + g, g == 2 ? "x" : "");
		rig_drive(g, 2);
	}
	for (struct step s; size >= sizeof(s); data += sizeof(s), size -= sizeof(s)) {
		memcpy(&s, data, sizeof(s));
		step(&s);
		check_state();
		for (unsigned g = 0; g < RIG_GUESTS; g++)
			check_packets(g);
	}
	/* Whoever gives buffers for ever gets all, and those that wait for it go on. */
	for (unsigned i = 0; i < 200; i++)
		for (unsigned g = 0; g < RIG_GUESTS; g++) {
			give(g, 32, 256);
			check_packets(g);
		}
	for (unsigned g = 0; g < RIG_GUESTS; g++) {
		CHECK(!virtio_live(&rig[g].v->dev, VSOCK_TX) || !rig[g].v->held);
		CHECK(!virtio_live(&rig[g].v->dev, VSOCK_RX) || !rig[g].v->port.owed);
	}
	return 0;
}
