/* SPDX-License-Identifier: BSD-2-Clause */
/* Split virtqueues: requests out of the driver's ring, checked, and back into the device's. */
#include <linux/virtio_ring.h>
#include "ring.h"

/* What follows a ring's last entry. */
#define USED_EVENT(ring)  ((ring)->avail + sizeof(struct vring_avail) + 2ull * (ring)->size)
#define AVAIL_EVENT(ring) ((ring)->used + sizeof(struct vring_used) + 8ull * (ring)->size)
enum { EVENT_SIZE = 2 };

static bool broken(struct virtio_ring *ring, const char *error)
{
	ring->error = error;
	return false;
}

/*
 * The word at @gpa, which is even and so in one page: an index changes as a whole. The driver may
 * be changing it, on another CPU.
 */
static uint16_t *word(struct virtio_ring *ring, uint64_t gpa)
{
	return guest_ptr(ring->mem, gpa);
}

static bool load(struct virtio_ring *ring, uint64_t gpa, uint16_t *value)
{
	const uint16_t *p = word(ring, gpa);

	if (!p)
		return broken(ring, "no memory for the ring");
	*value = __atomic_load_n(p, __ATOMIC_ACQUIRE);
	return true;
}

static bool store(struct virtio_ring *ring, uint64_t gpa, uint16_t value)
{
	uint16_t *p = word(ring, gpa);

	if (!p)
		return broken(ring, "no memory for the ring");
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
	return true;
}

status_t virtio_ring_start(struct virtio_ring *ring)
{
	uint64_t size = ring->size;

	ring->quiet = false;
	ring->next_avail = ring->next_used = ring->signalled = 0;
	ring->error = NULL;
	if (!size || (size & (size - 1)) || size > VIRTIO_RING_MAX ||
	    !IS_ALIGNED(ring->desc, VRING_DESC_ALIGN_SIZE) ||
	    !IS_ALIGNED(ring->avail, VRING_AVAIL_ALIGN_SIZE) ||
	    !IS_ALIGNED(ring->used, VRING_USED_ALIGN_SIZE))
		return -S_INVAL;
	if (!guest_is_ram(ring->mem, ring->desc, size * sizeof(struct vring_desc)) ||
	    !guest_is_ram(ring->mem, ring->avail, USED_EVENT(ring) + EVENT_SIZE - ring->avail) ||
	    !guest_is_ram(ring->mem, ring->used, AVAIL_EVENT(ring) + EVENT_SIZE - ring->used))
		return -S_FAULT;
	return 0;
}

/* Asks the driver for a notification when it adds to what we have seen. */
static bool ask_for_notification(struct virtio_ring *ring)
{
	if (ring->event_idx)
		return store(ring, AVAIL_EVENT(ring), ring->next_avail);
	ring->quiet = false;
	return store(ring, ring->used + offsetof(struct vring_used, flags), 0);
}

bool virtio_ring_hush(struct virtio_ring *ring)
{
	/* With EVENT_IDX the old index does that. */
	if (ring->event_idx || ring->quiet)
		return true;
	ring->quiet = true;
	return store(ring, ring->used + offsetof(struct vring_used, flags), VRING_USED_F_NO_NOTIFY);
}

/*
 * How many requests wait; -1: broken. If there are none, the driver is asked for a notification,
 * and then the index read again: one that the driver added before it saw that came without.
 */
static int waiting(struct virtio_ring *ring)
{
	uint16_t index, count;

	for (bool asked = false;; asked = true) {
		/* Acquire: entries and descriptors are read after the index that covers them. */
		if (!load(ring, ring->avail + offsetof(struct vring_avail, idx), &index))
			return -1;
		count = index - ring->next_avail;
		if (count || asked)
			break;
		if (!ask_for_notification(ring))
			return -1;
		/* The store before the load, as the driver has them the other way round. */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	if (count > ring->size) {
		broken(ring, "more requests than entries");
		return -1;
	}
	/* Until the ring is empty we look by ourselves. */
	if (count && !virtio_ring_hush(ring))
		return -1;
	return count;
}

static bool add_buffer(struct virtio_ring *ring, struct virtio_chain *chain,
		       const struct vring_desc *d)
{
	bool writable = d->flags & VRING_DESC_F_WRITE;

	if (chain->count == ring->size)
		return broken(ring, "a chain is longer than the queue");
	if (!writable && chain->readable != chain->count)
		return broken(ring, "a readable buffer behind a writable one");
	if (!d->len)
		return true;
	if (!guest_is_ram(ring->mem, d->addr, d->len))
		return broken(ring, "a buffer outside of memory");
	chain->buffer[array_index_nospec(chain->count, VIRTIO_RING_MAX)] =
		(struct virtio_buffer){.gpa = d->addr, .len = d->len};
	chain->count++;
	chain->readable += !writable;
	*(writable ? &chain->write_bytes : &chain->read_bytes) += d->len;
	return true;
}

/* A table of descriptors, in the driver's memory, that is walked from one of them. */
struct table {
	uint64_t gpa;
	uint32_t entries;
	bool indirect;
};

/*
 * Adds the descriptors of @table from @index on to @chain; @d is the last one afterwards. Each is
 * copied once, and looked at only in the copy.
 */
static bool walk(struct virtio_ring *ring, struct virtio_chain *chain, const struct table *table,
		 uint32_t index, struct vring_desc *d)
{
	/* As many steps as there are descriptors: one more, and it is a loop. */
	for (uint32_t steps = 0; steps < table->entries; steps++) {
		if (index >= table->entries)
			return broken(ring, "a descriptor that is not in its table");
		if (guest_read(ring->mem, table->gpa + (uint64_t)index * sizeof(*d), d, sizeof(*d)))
			return broken(ring, "no memory for descriptors");
		if (d->flags & VRING_DESC_F_INDIRECT) {
			if (table->indirect || !ring->indirect || (d->flags & VRING_DESC_F_NEXT))
				return broken(ring, "an indirect table where none may be");
			return true;
		}
		if (!add_buffer(ring, chain, d))
			return false;
		if (!(d->flags & VRING_DESC_F_NEXT))
			return true;
		index = d->next;
	}
	return broken(ring, "a chain with a loop");
}

static bool read_chain(struct virtio_ring *ring, struct virtio_chain *chain)
{
	struct table table = {ring->desc, ring->size, false};
	struct vring_desc d;

	if (!walk(ring, chain, &table, chain->head, &d))
		return false;
	if (!(d.flags & VRING_DESC_F_INDIRECT))
		return true;
	/* At the end of a chain (virtio 1.2, 2.7.5.3); its WRITE flag means nothing. */
	table = (struct table){d.addr, d.len / sizeof(d), true};
	if (!table.entries || d.len % sizeof(d) || table.entries > ring->size)
		return broken(ring, "an indirect table of a wrong size");
	if (!guest_is_ram(ring->mem, table.gpa, d.len))
		return broken(ring, "an indirect table outside of memory");
	return walk(ring, chain, &table, 0, &d);
}

int virtio_ring_pop(struct virtio_ring *ring, struct virtio_chain *chain)
{
	uint64_t entry = ring->avail + offsetof(struct vring_avail, ring) +
			 2ull * (ring->next_avail & (ring->size - 1));
	int count = ring->error ? -1 : waiting(ring);

	if (count <= 0)
		return count ? -S_INVAL : 0;
	chain->readable = chain->count = 0;
	chain->read_bytes = chain->write_bytes = 0;
	if (!load(ring, entry, &chain->head) || !read_chain(ring, chain))
		return -S_INVAL;
	ring->next_avail++;
	return 1;
}

void virtio_ring_unpop(struct virtio_ring *ring, unsigned count)
{
	ring->next_avail -= (uint16_t)count;
}

bool virtio_ring_put(struct virtio_ring *ring, unsigned n, uint16_t head, uint32_t written)
{
	struct vring_used_elem e = {.id = head, .len = written};
	uint64_t entry = ring->used + offsetof(struct vring_used, ring) +
			 sizeof(e) * ((ring->next_used + n) & (ring->size - 1u));

	if (ring->error)
		return false;
	if (guest_write(ring->mem, entry, &e, sizeof(e)))
		return broken(ring, "no memory for the ring");
	return true;
}

bool virtio_ring_publish(struct virtio_ring *ring, unsigned count)
{
	ring->next_used += (uint16_t)count;
	/* Release: who sees the index sees the entries, and the data that was written before. */
	return store(ring, ring->used + offsetof(struct vring_used, idx), ring->next_used);
}

bool virtio_ring_push(struct virtio_ring *ring, uint16_t head, uint32_t written)
{
	return virtio_ring_put(ring, 0, head, written) && virtio_ring_publish(ring, 1);
}

bool virtio_ring_signal(struct virtio_ring *ring)
{
	uint16_t old = ring->signalled, now = ring->next_used, value;

	if (ring->error || old == now)
		return false;
	ring->signalled = now;
	/*
	 * Our index before their wish: a driver that asks for an interrupt looks at the index once
	 * more afterwards, so one of the two sees the other.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!ring->event_idx)
		return load(ring, ring->avail + offsetof(struct vring_avail, flags), &value) &&
		       !(value & VRING_AVAIL_F_NO_INTERRUPT);
	return load(ring, USED_EVENT(ring), &value) && vring_need_event(value, now, old);
}

/* Copies one way or the other, between @from and @to buffers of @chain. */
static size_t copy(struct virtio_ring *ring, const struct virtio_chain *chain, unsigned from,
		   unsigned to, uint64_t at, uint8_t *dst, const uint8_t *src, size_t len)
{
	size_t done = 0;

	for (unsigned i = from; i < to && done < len; i++) {
		const struct virtio_buffer *b = &chain->buffer[i];
		size_t n;

		if (at >= b->len) {
			at -= b->len;
			continue;
		}
		n = MIN(len - done, (size_t)(b->len - at));
		if (dst ? guest_read(ring->mem, b->gpa + at, dst + done, n)
			: guest_write(ring->mem, b->gpa + at, src + done, n))
			break;
		done += n;
		at = 0;
	}
	return done;
}

size_t virtio_chain_read(struct virtio_ring *ring, const struct virtio_chain *chain, uint64_t at,
			 void *dst, size_t len)
{
	return copy(ring, chain, 0, chain->readable, at, dst, NULL, len);
}

size_t virtio_chain_write(struct virtio_ring *ring, const struct virtio_chain *chain, uint64_t at,
			  const void *src, size_t len)
{
	return copy(ring, chain, chain->readable, chain->count, at, NULL, src, len);
}

void *virtio_chain_piece(struct virtio_ring *ring, const struct virtio_chain *chain, bool writable,
			 struct virtio_cursor *cursor, uint64_t at, uint32_t *len)
{
	unsigned first = writable ? chain->readable : 0;
	unsigned count = (writable ? chain->count : chain->readable) - first;

	if (at < cursor->start)
		*cursor = (struct virtio_cursor){0};
	for (; cursor->buffer < count; cursor->buffer++) {
		const struct virtio_buffer *b = &chain->buffer[first + cursor->buffer];
		uint64_t in = at - cursor->start, gpa = b->gpa + in;

		if (in < b->len) {
			*len = MIN(*len, (uint32_t)(b->len - in));
			*len = MIN(*len, (uint32_t)(PAGE_SIZE - gpa % PAGE_SIZE));
			return guest_ptr(ring->mem, gpa);
		}
		cursor->start += b->len;
	}
	return NULL;
}
