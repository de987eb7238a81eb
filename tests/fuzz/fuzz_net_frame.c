/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a frame with an offload: what a receiver gets is sound, and no more than it can
 * take. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/string.c"
#include "../../drivers/net_frame.c"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

/*
 * The input: what the sender asks for, and how its buffers are; then the frame. What it has of
 * these is the difference to a good TCP segment.
 */
struct input {
	uint8_t flags;	 /* checksum, verified, TCP4, TCP6, what the receiver can */
	uint8_t piece;	 /* bytes in one piece */
	uint16_t filler; /* bytes behind those of the input */
	uint16_t csum_start, csum_offset, gso_size;
};

struct source {
	struct net_source source;
	uint8_t *bytes;
	uint32_t len, piece;
};

struct receiver {
	unsigned can, frames;
	uint32_t bytes;
};

static const void *piece(const struct net_source *s, uint32_t at, uint32_t *len)
{
	struct source *from = container_of(s, struct source, source);

	CHECK(at < from->len && *len && *len <= from->len - at);
	*len = MIN(*len, from->piece);
	return from->bytes + at;
}

static bool take(void *arg, const struct net_frame *f)
{
	static uint8_t copy[LARGE_MAX];
	const struct net_offload *o = &f->offload;
	struct receiver *r = arg;

	CHECK(f->len >= NET_ETHERNET && f->len <= (o->gso ? LARGE_MAX : PLAIN_MAX));
	CHECK(f->head_len >= NET_ETHERNET && f->head_len <= NET_HEAD_MAX && f->head_len <= f->len);
	CHECK(!(o->gso & ~r->can) && (!o->checksum || (r->can & NET_CAN_CHECKSUM)));
	CHECK(!o->gso || (o->checksum && o->gso_size && o->hdr_len < f->len));
	CHECK(!o->checksum || (uint32_t)o->csum_start + o->csum_offset + 2 <= f->len);
	CHECK(net_frame_read(f, 0, copy, f->len));
	r->bytes += f->len;
	CHECK(++r->frames <= SEGMENTS_MAX);
	return true;
}

static void change(uint8_t *bytes, uint32_t len, uint32_t at, uint8_t value)
{
	if (at < len)
		bytes[at] ^= value;
}

/* Makes what is zero in @bytes the headers of a TCP segment. Returns where that begins. */
static uint16_t make_segment(uint8_t *bytes, uint32_t len, bool v6)
{
	uint16_t tcp = NET_ETHERNET + (v6 ? IPV6_SIZE : IPV4_SIZE);

	change(bytes, len, TYPE_AT, v6 ? TYPE_IPV6 >> 8 : TYPE_IPV4 >> 8);
	change(bytes, len, TYPE_AT + 1, v6 ? TYPE_IPV6 & 0xff : 0);
	change(bytes, len, NET_ETHERNET, v6 ? 0x60 : 0x45);
	change(bytes, len, NET_ETHERNET + (v6 ? IPV6_NEXT : IPV4_PROTOCOL), PROTOCOL_TCP);
	change(bytes, len, tcp + TCP_OFFSET, 0x50);
	return tcp;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct source source = {.source.piece = piece};
	struct net_offload o;
	struct receiver r = {0};
	struct net_frame f;
	struct input in;

	if (size < sizeof(in))
		return 0;
	memcpy(&in, data, sizeof(in));
	data += sizeof(in);
	size -= sizeof(in);
	source.len = (uint32_t)size + in.filler;
	source.piece = in.piece + 1u;
	source.bytes = calloc(1, source.len + 1);
	memcpy(source.bytes, data, size);
	in.csum_start ^= make_segment(source.bytes, source.len, in.flags & 8);
	o = (struct net_offload){.checksum = in.flags & 1,
				 .verified = in.flags & 2,
				 .gso = (in.flags >> 1) & (NET_CAN_TCP4 | NET_CAN_TCP6),
				 .csum_start = in.csum_start,
				 .csum_offset = in.csum_offset ^ TCP_CHECKSUM,
				 .gso_size = in.gso_size};
	r.can = in.flags >> 5;
	if (net_frame_init(&f, &source.source, source.len, &o) &&
	    net_frame_lower(&f, r.can, take, &r))
		CHECK(r.frames && r.bytes >= f.len);
	free(source.bytes);
	return 0;
}
