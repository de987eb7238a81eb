/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a split ring, some of them changed while it is read: what comes out must be sound.
 */
#include <stdint.h>

#include "../unit/virtio_ram.h"
#include "../../drivers/virtio/ring.c"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

/*
 * The input: the shape of the ring, memory at its start, then steps. tests/fuzz/corpus has one for
 * each kind of ring and of fault, by which random ones come further.
 */
struct input {
	uint8_t size_log; /* low bits: of the queue; high bits: features, attack */
	uint8_t desc[8 * 16];
	uint8_t table[8 * 16];
	uint8_t avail[4 + 2 * 8 + 2];
};

static struct guest_mem mem;
static struct virtio_chain chain;

static void check_chain(const struct virtio_ring *r)
{
	uint64_t sum = 0;

	CHECK(chain.count <= r->size && chain.readable <= chain.count);
	for (unsigned i = 0; i < chain.count; i++) {
		CHECK(chain.buffer[i].len);
		CHECK(guest_is_ram(&mem, chain.buffer[i].gpa, chain.buffer[i].len));
		sum += chain.buffer[i].len;
	}
	CHECK(sum == chain.read_bytes + chain.write_bytes);
}

/* What devices do with a request. */
static void serve(struct virtio_ring *r, uint8_t how)
{
	static uint8_t buf[512];
	size_t in = virtio_chain_read(r, &chain, how, buf, sizeof(buf));
	size_t out = virtio_chain_write(r, &chain, how, buf, sizeof(buf));

	CHECK(in <= chain.read_bytes && out <= chain.write_bytes);
	CHECK(virtio_ring_push(r, chain.head, (uint32_t)out) || r->error);
}

/* The driver: a byte of its rings changes, the index moves on. */
static void driver_step(uint8_t where, uint8_t value)
{
	if (where < 0x80)
		avail_ring()->idx += value & 3;
	else if (where < 0xc0)
		((uint8_t *)at(AT_DESC))[value] ^= where;
	else
		((uint8_t *)at(AT_TABLE))[value] ^= where;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_ring ring = {
		.mem = &mem, .desc = AT_DESC, .avail = AT_AVAIL, .used = AT_USED};
	struct input in;

	if (size < sizeof(in))
		return 0;
	memcpy(&in, data, sizeof(in));
	memset(ram, 0, sizeof(ram));
	memcpy(at(AT_DESC), in.desc, sizeof(in.desc));
	memcpy(at(AT_TABLE), in.table, sizeof(in.table));
	memcpy(at(AT_AVAIL), in.avail, sizeof(in.avail));
	ring.size = (uint16_t)(1 << (in.size_log & 3));
	ring.event_idx = in.size_log & 0x10;
	ring.indirect = in.size_log & 0x20;
	ram_attacked = in.size_log & 0x40;
	CHECK(!virtio_ring_start(&ring));
	for (size_t i = sizeof(in); i + 1 < size; i += 2) {
		int found = virtio_ring_pop(&ring, &chain);

		CHECK(found == 0 || found == 1 || found == -S_INVAL);
		CHECK((found == -S_INVAL) == (ring.error != NULL));
		if (found == 1) {
			check_chain(&ring);
			serve(&ring, data[i + 1]);
		}
		virtio_ring_signal(&ring);
		driver_step(data[i], data[i + 1]);
	}
	return 0;
}
