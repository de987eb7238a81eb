/* SPDX-License-Identifier: BSD-2-Clause */
/* A block device that is a disk or a partition of the machine: requests that wait for the disk. */
#include "blk.h"
#include "socle/kernel/log.h"
#include "socle/mm/frames.h"
#include "socle/string.h"

enum { BLK_SLOTS = 8 }; /* requests of a queue that are at the disk at a time */

/* Who may touch a slot; atomic. */
enum slot_state {
	SLOT_FREE,
	SLOT_BUSY, /* the disk has its request: nobody */
	SLOT_DONE, /* the disk has finished it, a turn of work is asked for */
};

/*
 * A guest's request under way, with a buffer of ours for a piece of its data: the disk never
 * touches a guest's memory. All but @state is dev.lock's, while the slot is not busy.
 */
struct blk_slot {
	struct block_request request; /* for the piece that is under way */
	struct blk *blk;	      /* whose it is; constant, as are @queue and the buffer */
	unsigned queue;
	uint32_t state; /* enum slot_state */
	bool dropped;	/* of before a reset: its end interests nobody; dev.lock */
	uint64_t at;	/* bytes that are finished, of @total */
	uint64_t total;
	struct blk_request r;
	struct virtio_chain chain; /* the guest's buffers */
};

static enum slot_state state_of(const struct blk_slot *s)
{
	return (enum slot_state)__atomic_load_n(&s->state, __ATOMIC_SEQ_CST);
}

static void set_state(struct blk_slot *s, enum slot_state state)
{
	__atomic_store_n(&s->state, state, __ATOMIC_SEQ_CST);
}

static unsigned slots_of(const struct blk *blk)
{
	return blk->kind.queues * BLK_SLOTS;
}

static void ask_all(struct blk *blk)
{
	for (unsigned i = 0; i < blk->kind.queues; i++)
		virtio_ask(&blk->dev, i);
}

/*
 * On the boot CPU. The order is that of drop_all() the other way round: either we see that it
 * drains, or it sees that this slot is done.
 */
static void done(struct block_request *request)
{
	struct blk_slot *s = container_of(request, struct blk_slot, request);
	struct blk *blk = s->blk;
	unsigned queue = s->queue;

	set_state(s, SLOT_DONE);
	if (__atomic_load_n(&blk->draining, __ATOMIC_SEQ_CST))
		ask_all(blk); /* the guest may not use this queue any more */
	else
		virtio_ask(&blk->dev, queue);
}

static void copy_chain(struct virtio_chain *to, const struct virtio_chain *from)
{
	memcpy(to, from,
	       offsetof(struct virtio_chain, buffer) + from->count * sizeof(from->buffer[0]));
}

static void finish(struct blk_slot *s, uint8_t status)
{
	struct blk *blk = s->blk;

	set_state(s, SLOT_FREE);
	copy_chain(&blk->dev.chain, &s->chain);
	blk_end(blk, s->queue, &s->r, status);
}

/* The next piece of it goes to the disk. */
static void submit(struct blk_slot *s)
{
	struct virtio_ring *ring = &s->blk->dev.queue[s->queue].ring;
	struct block_request *b = &s->request;
	uint64_t piece = MIN(s->total - s->at, (uint64_t)s->blk->user.disk->max_bytes);

	b->bytes = (uint32_t)piece;
	if (b->op == BLOCK_WRITE &&
	    virtio_chain_read(ring, &s->chain, sizeof(s->r.h) + s->at, b->buffer, piece) != piece) {
		finish(s, VIRTIO_BLK_S_IOERR);
		return;
	}
	set_state(s, SLOT_BUSY);
	if (block_submit(&s->blk->user, s->r.h.sector + s->at / SECTOR, b))
		finish(s, VIRTIO_BLK_S_IOERR);
}

/* The disk has finished a piece. */
static void piece_done(struct blk_slot *s)
{
	struct virtio_ring *ring = &s->blk->dev.queue[s->queue].ring;
	struct block_request *b = &s->request;

	if (!b->status && b->op == BLOCK_READ) {
		size_t n = virtio_chain_write(ring, &s->chain, s->at, b->buffer, b->bytes);

		s->r.written += n;
		if (n != b->bytes)
			b->status = -S_FAULT;
	}
	s->at += b->bytes;
	if (b->status)
		finish(s, VIRTIO_BLK_S_IOERR);
	else if (s->at < s->total)
		submit(s);
	else
		finish(s, VIRTIO_BLK_S_OK);
}

/* What can be answered at once, or else STATUS_WAITS when it is at the disk. */
enum { STATUS_WAITS = 0xff };

static uint8_t begin(struct blk_slot *s, const struct blk_request *r)
{
	struct blk *blk = s->blk;

	switch (r->h.type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		s->request.op = r->h.type == VIRTIO_BLK_T_IN ? BLOCK_READ : BLOCK_WRITE;
		s->total = s->request.op == BLOCK_READ ? r->in : r->out;
		if (!blk_is_data(blk, r, s->total) ||
		    (s->request.op == BLOCK_WRITE && blk->read_only))
			return VIRTIO_BLK_S_IOERR;
		if (!s->total)
			return VIRTIO_BLK_S_OK;
		break;
	case VIRTIO_BLK_T_FLUSH:
		/* Without a cache, what the disk has acknowledged is safe. */
		if (blk->read_only || !blk->user.disk->flushes)
			return blk->user.disk->dead ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;
		s->request.op = BLOCK_FLUSH;
		s->total = 0;
		break;
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
	s->r = *r;
	s->at = 0;
	copy_chain(&s->chain, &blk->dev.chain);
	submit(s);
	return STATUS_WAITS;
}

/* Takes the next request of the guest's to @s, which is free; false: there is none. */
static bool take(struct blk_slot *s)
{
	struct blk *blk = s->blk;
	struct blk_request r;
	uint8_t status;

	if (!virtio_pop(&blk->dev, s->queue) || !blk_begin(blk, s->queue, &r))
		return false;
	if (r.h.type == VIRTIO_BLK_T_GET_ID)
		status = blk_give_id(blk, &blk->dev.queue[s->queue].ring, &r);
	else
		status = begin(s, &r);
	if (status != STATUS_WAITS)
		blk_end(blk, s->queue, &r, status);
	return true;
}

/*
 * Requests of before a reset must not reach the disk behind newer ones; so those wait. True: all
 * are finished.
 */
static bool drained(struct blk *blk)
{
	bool busy = false;

	if (!blk->draining)
		return true;
	for (unsigned i = 0; i < slots_of(blk); i++) {
		struct blk_slot *s = &blk->slots[i];

		if (!s->dropped)
			continue;
		if (state_of(s) == SLOT_BUSY) {
			busy = true;
			continue;
		}
		s->dropped = false;
		set_state(s, SLOT_FREE);
	}
	if (busy)
		return false;
	__atomic_store_n(&blk->draining, false, __ATOMIC_SEQ_CST);
	ask_all(blk); /* queues that came in vain meanwhile */
	return true;
}

/*
 * Copies for each of the queue's slots at most what the disk finished and what it gets next. A turn
 * that finds all slots busy is followed by another one when the disk has finished something.
 */
static bool host_work(struct virtio_device *dev, unsigned queue)
{
	struct blk *blk = container_of(dev, struct blk, dev);
	struct blk_slot *slots = &blk->slots[queue * BLK_SLOTS];
	unsigned left = BLK_TURN_REQUESTS;

	if (!drained(blk))
		return false;
	for (unsigned i = 0; i < BLK_SLOTS; i++)
		if (state_of(&slots[i]) == SLOT_DONE)
			piece_done(&slots[i]);
	for (unsigned i = 0; i < BLK_SLOTS; i++) {
		while (state_of(&slots[i]) == SLOT_FREE) {
			if (!left--)
				return true;
			if (!take(&slots[i]))
				return false;
		}
	}
	return false;
}

/* Nothing of what is under way is for the guest any more; what the disk has, it finishes. */
static void drop_all(struct virtio_device *dev)
{
	struct blk *blk = container_of(dev, struct blk, dev);

	__atomic_store_n(&blk->draining, true, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < slots_of(blk); i++)
		blk->slots[i].dropped = state_of(&blk->slots[i]) != SLOT_FREE;
}

const struct virtio_ops blk_host_ops = {.work = host_work, .reset = drop_all, .power_on = drop_all};

static status_t open_disk(struct blk *blk, const char *name)
{
	struct vm *vm = blk->dev.vm;
	const struct block_user *other;
	status_t status = block_find(name, &blk->user);

	if (!status)
		status = block_open(&blk->user, vm->settings.name, !blk->read_only, &other);
	if (status == -S_BUSY)
		vm_log(vm, LOG_ERROR, "disk = host %s: vm %s has it, or a part of it, %s", name,
		       other->who, other->writes ? "and writes to it" : "and reads it");
	else if (status)
		vm_log(vm, LOG_ERROR, "disk = host %s: %s", name,
		       status == -S_PERM ? "it can only be read, add \"ro\"" : "it is not there");
	return status;
}

status_t blk_host_init(struct blk *blk, const char *name, unsigned queues)
{
	size_t bytes = queues * BLK_SLOTS * sizeof(struct blk_slot);

	blk->slots = pages_alloc(bytes, OWNER_VM_CORE);
	if (!blk->slots)
		return -S_NOMEM;
	for (unsigned q = 0; q < queues; q++) {
		uint8_t *buffers = pages_alloc(BLK_SLOTS * BLOCK_BYTES_MAX, OWNER_VM_CORE);

		if (!buffers)
			return -S_NOMEM;
		for (unsigned i = 0; i < BLK_SLOTS; i++) {
			struct blk_slot *s = &blk->slots[q * BLK_SLOTS + i];

			s->blk = blk;
			s->queue = q;
			s->request.done = done;
			s->request.buffer = buffers + i * BLOCK_BYTES_MAX;
		}
	}
	return open_disk(blk, name);
}
