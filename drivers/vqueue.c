/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's side of a split virtqueue (virtio 1.2, 2.7). */
#include "socle/cpu/mmio.h"
#include "socle/mm/frames.h"
#include "socle/string.h"
#include "vqueue.h"

/* Bytes of the descriptors and the available ring, to the next line: there the used ring begins. */
static size_t ours(unsigned size)
{
	size_t bytes = size * sizeof(struct vring_desc) + sizeof(struct vring_avail) +
		       (size + 1) * sizeof(__virtio16); /* used_event */

	return ALIGN_UP(bytes, (size_t)VQUEUE_LINE);
}

static size_t bytes_of(unsigned size)
{
	size_t used = sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) +
		      sizeof(__virtio16); /* avail_event */

	return ours(size) + ALIGN_UP(used, (size_t)VQUEUE_LINE);
}

status_t vqueue_init(struct vqueue *q, unsigned size, unsigned chain)
{
	*q = (struct vqueue){
		.size = (uint16_t)size,
		.chain = (uint16_t)chain,
		.slots = (uint16_t)(size / chain),
		.free = (uint16_t)(size / chain),
		.bytes = bytes_of(size),
	};
	q->desc = pages_alloc(q->bytes, OWNER_CORE);
	if (!q->desc)
		return -S_NOMEM;
	q->avail = (struct vring_avail *)(q->desc + size);
	q->used = (struct vring_used *)((char *)q->desc + ours(size));
	for (unsigned i = 0; i < q->slots; i++)
		q->stack[i] = (uint16_t)(q->slots - 1 - i);
	return 0;
}

void vqueue_free(struct vqueue *q)
{
	pages_free(q->desc, q->bytes, OWNER_CORE);
	q->desc = NULL;
}

status_t vqueue_add(struct vqueue *q, const struct vqueue_buffer *buffers, unsigned out,
		    unsigned in, void *token)
{
	unsigned slot, first, n = out + in;

	if (q->error)
		return -S_IO;
	if (!q->free)
		return -S_NOSPC;
	slot = q->stack[--q->free];
	first = slot * q->chain;
	q->slot[slot].token = token;
	q->slot[slot].writable = 0;
	for (unsigned i = 0; i < n; i++) {
		struct vring_desc *d = &q->desc[first + i];

		d->addr = buffers[i].pa;
		d->len = buffers[i].len;
		d->flags =
			(i >= out ? VRING_DESC_F_WRITE : 0) | (i + 1 < n ? VRING_DESC_F_NEXT : 0);
		d->next = (__virtio16)(first + i + 1);
		if (i >= out)
			q->slot[slot].writable += buffers[i].len;
	}
	q->avail->ring[q->next_avail % q->size] = (__virtio16)first;
	/* The device may take it as soon as it sees the index: all else before it. */
	__atomic_store_n(&q->avail->idx, ++q->next_avail, __ATOMIC_RELEASE);
	return 0;
}

void vqueue_kick(struct vqueue *q)
{
	/* The index is visible before the flag is read, as the device does it the other way round.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!(READ_ONCE(q->used->flags) & VRING_USED_F_NO_NOTIFY))
		mmio_write16(q->doorbell, q->index);
}

static void *dead(struct vqueue *q, const char *why)
{
	q->error = why;
	return NULL;
}

static void *release(struct vqueue *q, unsigned slot)
{
	void *token = q->slot[slot].token;

	q->slot[slot].token = NULL;
	q->stack[q->free++] = (uint16_t)slot;
	return token;
}

void *vqueue_get(struct vqueue *q, uint32_t *written)
{
	uint16_t idx = __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);
	const struct vring_used_elem *e = &q->used->ring[q->next_used % q->size];
	uint32_t id, slot;

	if (q->error || idx == q->next_used)
		return NULL;
	if ((uint16_t)(idx - q->next_used) > q->slots - q->free)
		return dead(q, "it finished more requests than it has");
	id = READ_ONCE(e->id);
	*written = READ_ONCE(e->len);
	if (id % q->chain || id / q->chain >= q->slots)
		return dead(q, "it finished a request that cannot be");
	slot = (uint32_t)array_index_nospec(id / q->chain, q->slots);
	if (!q->slot[slot].token)
		return dead(q, "it finished a request that it has not");
	if (*written > q->slot[slot].writable)
		return dead(q, "it wrote more than it may");
	q->next_used++;
	return release(q, slot);
}

void vqueue_quiet(struct vqueue *q, bool quiet)
{
	WRITE_ONCE(q->avail->flags, quiet ? VRING_AVAIL_F_NO_INTERRUPT : 0);
	/* Before the caller looks once more. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void *vqueue_drop(struct vqueue *q)
{
	for (unsigned i = 0; i < q->slots; i++)
		if (q->slot[i].token)
			return release(q, i);
	return NULL;
}
