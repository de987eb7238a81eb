/* SPDX-License-Identifier: BSD-2-Clause */
/* Frames: their headers checked, checksums filled in, large TCP segments cut into frames. */
#include "socle/drivers/net.h"
#include "socle/string.h"

enum {
	PLAIN_MAX = NET_ETHERNET + NET_VLAN + NET_MTU,
	LARGE_MAX = NET_ETHERNET + NET_VLAN + 65535, /* an IP packet's length has 16 bits */
	SEGMENTS_MAX = 128, /* of one frame, where we have to cut it */
};

/* Places in a frame: EtherType (IEEE 802.3), IPv4 (RFC 791), IPv6 (RFC 8200), TCP (RFC 9293). */
enum {
	TYPE_AT = 12,
	TYPE_IPV4 = 0x0800,
	TYPE_IPV6 = 0x86dd,
	TYPE_VLAN = 0x8100,
	IPV4_LENGTH = 2,
	IPV4_ID = 4,
	IPV4_FRAGMENT = 6,
	IPV4_PROTOCOL = 9,
	IPV4_CHECKSUM = 10,
	IPV4_ADDRESSES = 12,
	IPV4_SIZE = 20,
	NOT_A_FRAGMENT = 0x3fff, /* bits that are clear then */
	IPV6_LENGTH = 4,
	IPV6_NEXT = 6,
	IPV6_ADDRESSES = 8,
	IPV6_SIZE = 40,
	PROTOCOL_TCP = 6,
	TCP_SEQUENCE = 4,
	TCP_OFFSET = 12,
	TCP_FLAGS = 13,
	TCP_CHECKSUM = 16,
	TCP_SIZE = 20,
	TCP_FIN = 0x01,
	TCP_PSH = 0x08,
	TCP_CWR = 0x80,
};

/* Where the headers of a TCP segment begin. */
struct headers {
	uint32_t ip, tcp, data;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put32(uint8_t *p, uint32_t value)
{
	put16(p, (uint16_t)(value >> 16));
	put16(p + 2, (uint16_t)value);
}

const void *net_frame_piece(const struct net_frame *f, uint32_t at, uint32_t *len)
{
	if (at >= f->head_len)
		return f->source->piece(f->source, f->body + (at - f->head_len), len);
	*len = MIN(*len, f->head_len - at);
	return f->head + array_index_nospec(at, NET_HEAD_MAX);
}

bool net_frame_read(const struct net_frame *f, uint32_t at, void *dst, uint32_t len)
{
	for (uint32_t n; len; at += n, len -= n, dst = (uint8_t *)dst + n) {
		const void *from;

		n = len;
		from = net_frame_piece(f, at, &n);
		if (!from)
			return false;
		memcpy(dst, from, n);
	}
	return true;
}

/* Finds the headers of what is to be a TCP segment of kind @gso, with data; false: it is none. */
static bool find_headers(const struct net_frame *f, uint8_t gso, struct headers *h)
{
	const uint8_t *ip;
	uint16_t type = get16(f->head + TYPE_AT);

	h->ip = NET_ETHERNET;
	if (type == TYPE_VLAN && f->head_len >= NET_ETHERNET + NET_VLAN) {
		h->ip += NET_VLAN;
		type = get16(f->head + TYPE_AT + NET_VLAN);
	}
	ip = f->head + h->ip;
	if (f->head_len < h->ip + IPV4_SIZE)
		return false;
	if (gso == NET_CAN_TCP4 && type == TYPE_IPV4 && ip[0] >> 4 == 4 &&
	    (ip[0] & 0xf) * 4 >= IPV4_SIZE && ip[IPV4_PROTOCOL] == PROTOCOL_TCP &&
	    !(get16(ip + IPV4_FRAGMENT) & NOT_A_FRAGMENT))
		h->tcp = h->ip + (ip[0] & 0xf) * 4;
	else if (gso == NET_CAN_TCP6 && type == TYPE_IPV6 && ip[0] >> 4 == 6 &&
		 ip[IPV6_NEXT] == PROTOCOL_TCP)
		h->tcp = h->ip + IPV6_SIZE;
	else
		return false;
	if (f->head_len < h->tcp + TCP_SIZE)
		return false;
	h->data =
		h->tcp + (f->head[array_index_nospec(h->tcp + TCP_OFFSET, NET_HEAD_MAX)] >> 4) * 4;
	return h->data >= h->tcp + TCP_SIZE && h->data <= f->head_len && h->data < f->len;
}

/* Takes over what of @o is true of @f; false: something is not. */
static bool check_offload(struct net_frame *f, const struct net_offload *o)
{
	struct headers h;

	f->offload = (struct net_offload){0};
	if (!o->checksum) {
		f->offload.verified = o->verified;
		return !o->gso && f->len <= PLAIN_MAX;
	}
	/* The field must be in the head, where nobody changes it. */
	if (o->csum_start < NET_ETHERNET ||
	    (uint32_t)o->csum_start + o->csum_offset + 2 > f->head_len)
		return false;
	f->offload.checksum = true;
	f->offload.csum_start = o->csum_start;
	f->offload.csum_offset = o->csum_offset;
	if (!o->gso)
		return f->len <= PLAIN_MAX;
	if (!find_headers(f, o->gso, &h) || h.tcp != o->csum_start ||
	    o->csum_offset != TCP_CHECKSUM || !o->gso_size || h.data + o->gso_size > PLAIN_MAX)
		return false;
	f->offload.gso = o->gso;
	f->offload.gso_size = o->gso_size;
	f->offload.hdr_len = (uint16_t)h.data;
	return true;
}

bool net_frame_init(struct net_frame *f, const struct net_source *source, uint32_t len,
		    const struct net_offload *offload)
{
	if (len < NET_ETHERNET || len > LARGE_MAX)
		return false;
	f->len = len;
	f->source = source;
	/* For the moment all is body, which is then read into the head. */
	f->head_len = 0;
	f->body = 0;
	if (!net_frame_read(f, 0, f->head, MIN(len, (uint32_t)NET_HEAD_MAX)))
		return false;
	f->head_len = (uint16_t)MIN(len, (uint32_t)NET_HEAD_MAX);
	f->body = f->head_len;
	return check_offload(f, offload);
}

/* The Internet checksum (RFC 1071): a sum of 16-bit words, whose carries are added at the end. */
static uint64_t sum_of(const uint8_t *p, uint32_t len, bool odd)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < len; i++, odd = !odd)
		sum += odd ? p[i] : (uint64_t)p[i] << 8;
	return sum;
}

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Adds the bytes of @f from @at to its end. */
static bool sum_rest(const struct net_frame *f, uint32_t at, uint64_t *sum)
{
	bool odd = false;

	for (uint32_t n; at < f->len; at += n, odd ^= n & 1) {
		const void *p;

		n = f->len - at;
		p = net_frame_piece(f, at, &n);
		if (!p)
			return false;
		*sum += sum_of(p, n, odd);
	}
	return true;
}

/*
 * Fills in the checksum at @field, of all from @start and what is in @sum already. 0 is the same
 * number as 0xffff, and in UDP means that there is none.
 */
static bool fill_checksum(struct net_frame *f, uint32_t start, uint32_t field, uint64_t sum)
{
	uint16_t value;

	if (!sum_rest(f, start, &sum))
		return false;
	value = fold(sum);
	put16(f->head + array_index_nospec(field, NET_HEAD_MAX - 1), value ? value : 0xffff);
	return true;
}

/* The addresses, the protocol and the length, of which TCP's checksum is, too. */
static uint64_t pseudo_header(const struct net_frame *f, const struct headers *h, bool v6)
{
	const uint8_t *ip = f->head + h->ip;

	return PROTOCOL_TCP + (f->len - h->tcp) +
	       (v6 ? sum_of(ip + IPV6_ADDRESSES, 32, false)
		   : sum_of(ip + IPV4_ADDRESSES, 8, false));
}

/* Makes the headers of @s, number @i of those that are cut, right for its data, @done behind. */
static bool finish_segment(struct net_frame *s, const struct headers *h, bool v6, unsigned i,
			   uint32_t done, bool last)
{
	uint8_t *ip = s->head + h->ip, *tcp = s->head + h->tcp;

	if (v6) {
		put16(ip + IPV6_LENGTH, (uint16_t)(s->len - h->tcp));
	} else {
		put16(ip + IPV4_LENGTH, (uint16_t)(s->len - h->ip));
		put16(ip + IPV4_ID, (uint16_t)(get16(ip + IPV4_ID) + i));
		put16(ip + IPV4_CHECKSUM, 0);
		put16(ip + IPV4_CHECKSUM, fold(sum_of(ip, h->tcp - h->ip, false)));
	}
	put32(tcp + TCP_SEQUENCE, get32(tcp + TCP_SEQUENCE) + done);
	if (!last)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (i)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	put16(tcp + TCP_CHECKSUM, 0);
	return fill_checksum(s, h->tcp, h->tcp + TCP_CHECKSUM, pseudo_header(s, h, v6));
}

/* Cuts the TCP segment @f, whose headers were checked, into plain frames. */
static bool cut(const struct net_frame *f, bool (*emit)(void *arg, const struct net_frame *f),
		void *arg)
{
	uint32_t size = f->offload.gso_size, total, n;
	struct net_frame s;
	struct headers h;

	if (!find_headers(f, f->offload.gso, &h))
		return false;
	total = f->len - h.data;
	if (DIV_ROUND_UP(total, size) > SEGMENTS_MAX)
		return false;
	for (uint32_t done = 0; done < total; done += n) {
		n = MIN(size, total - done);
		s = *f;
		s.offload = (struct net_offload){0};
		s.len = h.data + n;
		s.head_len = (uint16_t)h.data;
		s.body = f->body - f->head_len + h.data + done;
		if (!finish_segment(&s, &h, f->offload.gso == NET_CAN_TCP6, done / size, done,
				    done + n == total) ||
		    !emit(arg, &s))
			return false;
	}
	return true;
}

bool net_frame_lower(const struct net_frame *f, unsigned can,
		     bool (*emit)(void *arg, const struct net_frame *f), void *arg)
{
	const struct net_offload *o = &f->offload;
	struct net_frame g;

	if (o->gso && (~can & (o->gso | NET_CAN_CHECKSUM)))
		return cut(f, emit, arg);
	if (!o->checksum || (can & NET_CAN_CHECKSUM))
		return emit(arg, f);
	g = *f;
	g.offload = (struct net_offload){0};
	return fill_checksum(&g, o->csum_start, o->csum_start + o->csum_offset, 0) && emit(arg, &g);
}
