/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver of the machine's virtio disks (virtio 1.2, 5.2). */
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>

#include "socle/cpu/regs.h"
#include "socle/cpu/spinlock.h"
#include "socle/cpu/tsc.h"
#include "socle/drivers/block.h"
#include "socle/mm/frames.h"
#include "socle/report.h"
#include "vdev.h"

enum {
	VIRTIO_VENDOR = 0x1af4, MODERN_BLK = 0x1040 + VIRTIO_ID_BLOCK, TRANSITIONAL_BLK = 0x1001,
	CHAIN = 3, /* header, data, status */
	REQUESTS = 64,
	STATUS_NONE = 0xff, /* what no device answers */
};

/*
 * What a request needs besides its data. The status, which the device writes, has a line for
 * itself, and only the header is in the line that the device reads.
 */
struct slot {
	struct virtio_blk_outhdr header __aligned(VQUEUE_LINE);
	struct block_request *request __aligned(VQUEUE_LINE); /* NULL: free */
	uint64_t since;					      /* TSC when it was submitted */
	struct slot *next;				      /* free ones */
	uint8_t status __aligned(VQUEUE_LINE);
};
_Static_assert(sizeof(struct slot) == 3 * VQUEUE_LINE &&
		       offsetof(struct slot, request) == VQUEUE_LINE &&
		       offsetof(struct slot, status) == 2 * VQUEUE_LINE,
	       "what the device writes has its cache line for itself");

struct disk {
	struct block_disk block;
	struct host_interrupt irq;
	struct spinlock lock; /* guards all below, and block.dead */
	struct vdev dev;
	struct vqueue queue;
	struct slot *slots; /* as many as the queue has */
	struct slot *free;
	struct block_request *first, **end; /* wait for a slot */
	uint64_t watched;		    /* TSC when requests' age was looked at */
};

/* Requests that are finished, in order; their done() is called when the lock is given back. */
struct finished {
	struct block_request *first, **end;
};

static void finish(struct finished *f, struct block_request *r, status_t status)
{
	r->status = status;
	r->next = NULL;
	*f->end = r;
	f->end = &r->next;
}

static void call_done(struct finished *f)
{
	for (struct block_request *next, *r = f->first; r; r = next) {
		next = r->next; /* with done() it is not ours any more */
		r->done(r);
	}
}

static void put(struct disk *d, struct slot *s, struct block_request *r)
{
	static const uint32_t types[] = {[BLOCK_READ] = VIRTIO_BLK_T_IN,
					 [BLOCK_WRITE] = VIRTIO_BLK_T_OUT,
					 [BLOCK_FLUSH] = VIRTIO_BLK_T_FLUSH};
	struct vqueue_buffer buffers[CHAIN] = {{virt_to_phys(&s->header), sizeof(s->header)}};
	unsigned n = 1;
	status_t status;

	s->request = r;
	s->since = rdtsc();
	s->status = STATUS_NONE;
	s->header = (struct virtio_blk_outhdr){.type = types[r->op],
					       .sector = r->op == BLOCK_FLUSH ? 0 : r->sector};
	if (r->op != BLOCK_FLUSH)
		buffers[n++] = (struct vqueue_buffer){virt_to_phys(r->buffer), r->bytes};
	buffers[n++] = (struct vqueue_buffer){virt_to_phys(&s->status), 1};
	status = vqueue_add(&d->queue, buffers, r->op == BLOCK_WRITE ? 2 : 1,
			    r->op == BLOCK_READ ? 2 : 1, s);
	/* The queue has a slot for each of ours, and one that is broken was given up. */
	ASSERT(!status);
}

static void start_waiting(struct disk *d)
{
	bool any = false;

	for (; d->first && d->free; any = true) {
		struct block_request *r = d->first;
		struct slot *s = d->free;

		d->first = r->next;
		if (!d->first)
			d->end = &d->first;
		d->free = s->next;
		put(d, s, r);
	}
	if (any)
		vqueue_kick(&d->queue);
}

static status_t submit(struct block_disk *block, struct block_request *r)
{
	struct disk *d = container_of(block, struct disk, block);
	status_t status = 0;

	spin_lock(&d->lock);
	if (block->dead) {
		status = -S_IO;
	} else {
		r->next = NULL;
		*d->end = r;
		d->end = &r->next;
		start_waiting(d);
	}
	spin_unlock(&d->lock);
	return status;
}

static status_t result(const struct slot *s, uint32_t written)
{
	const struct block_request *r = s->request;

	/* A device that wrote less than all of it left us old bytes. */
	if (READ_ONCE(s->status) != VIRTIO_BLK_S_OK ||
	    (r->op == BLOCK_READ && written != r->bytes + 1))
		return -S_IO;
	return 0;
}

static struct block_request *take_back(struct disk *d, struct slot *s)
{
	struct block_request *r = s->request;

	s->request = NULL;
	s->next = d->free;
	d->free = s;
	return r;
}

/* Nothing goes on with this disk. All its requests fail. */
static void give_up(struct disk *d, const char *why, struct finished *f)
{
	struct slot *s;

	d->block.dead = true;
	log_error("host: %s is given up: %s%s", d->block.name, why,
		  vdev_stop(&d->dev) ? "" : "; it does not answer to its reset");
	while ((s = vqueue_drop(&d->queue)))
		finish(f, take_back(d, s), -S_IO);
	for (struct block_request *next, *r = d->first; r; r = next) {
		next = r->next;
		finish(f, r, -S_IO);
	}
	d->first = NULL;
	d->end = &d->first;
}

/* What is wrong with the device, looked at once a second; NULL: nothing. */
static const char *complaint(struct disk *d)
{
	uint64_t now = rdtsc();

	if (now - d->watched < tsc_hz)
		return NULL;
	d->watched = now;
	if (vdev_failed(&d->dev))
		return "it needs a reset";
	for (unsigned i = 0; i < d->queue.slots; i++)
		/* Another CPU's TSC may be a little ahead of this one's. */
		if (d->slots[i].request &&
		    (int64_t)(now - d->slots[i].since) > (int64_t)(BLOCK_TIMEOUT_S * tsc_hz))
			return "a request takes too long";
	return NULL;
}

static void look(struct block_disk *block)
{
	struct disk *d = container_of(block, struct disk, block);
	struct finished f = {.end = &f.first};
	const char *why;
	uint32_t written;
	struct slot *s;

	spin_lock(&d->lock);
	if (!block->dead) {
		while ((s = vqueue_get(&d->queue, &written))) {
			status_t status = result(s, written);

			finish(&f, take_back(d, s), status);
		}
		why = d->queue.error ? d->queue.error : complaint(d);
		if (why)
			give_up(d, why, &f);
		else
			start_waiting(d);
	}
	spin_unlock(&d->lock);
	call_done(&f);
}

static void interrupted(struct host_interrupt *irq)
{
	look(&container_of(irq, struct disk, irq)->block);
}

/* --- at boot --- */

/* What the device says of itself, as far as it is there. */
static const char *read_config(struct disk *d)
{
	struct virtio_blk_config c = {.size_max = BLOCK_BYTES_MAX, .blk_size = BLOCK_SECTOR};
	uint64_t features = d->dev.features;

	if (vdev_config(&d->dev, offsetof(struct virtio_blk_config, capacity), &c.capacity,
			sizeof(c.capacity)) ||
	    ((features & BIT(VIRTIO_BLK_F_SIZE_MAX)) &&
	     vdev_config(&d->dev, offsetof(struct virtio_blk_config, size_max), &c.size_max,
			 sizeof(c.size_max))) ||
	    ((features & BIT(VIRTIO_BLK_F_BLK_SIZE)) &&
	     vdev_config(&d->dev, offsetof(struct virtio_blk_config, blk_size), &c.blk_size,
			 sizeof(c.blk_size))))
		return "its configuration cannot be read";
	if (c.blk_size != BLOCK_SECTOR)
		return "its sectors have not 512 bytes";
	if (!c.capacity || c.capacity > BLOCK_SECTORS_MAX || c.size_max < BLOCK_SECTOR)
		return "its size cannot be";
	d->block.sectors = c.capacity;
	d->block.max_bytes = ALIGN_DOWN(MIN(c.size_max, (uint32_t)BLOCK_BYTES_MAX), BLOCK_SECTOR);
	d->block.read_only = features & BIT(VIRTIO_BLK_F_RO);
	d->block.flushes = features & BIT(VIRTIO_BLK_F_FLUSH);
	return NULL;
}

static const char *make_queue(struct disk *d)
{
	unsigned slots;

	if (vdev_queue(&d->dev, 0, &d->queue, REQUESTS, CHAIN))
		return "its queue cannot be used";
	slots = d->queue.slots;
	d->slots = pages_alloc(slots * sizeof(*d->slots), OWNER_CORE);
	if (!d->slots)
		return "out of memory";
	for (unsigned i = 0; i < slots; i++) {
		d->slots[i].next = d->free;
		d->free = &d->slots[i];
	}
	return NULL;
}

static bool refuse(const struct host_pci *fn, const char *why)
{
	log_warn("host: virtio-blk at %02x:%02x.%u is not used: %s", fn->bus, fn->slot,
		 fn->function, why);
	return false;
}

static bool probe(struct host_pci *fn)
{
	struct disk *d = pages_alloc(sizeof(*d), OWNER_CORE);
	const char *why;
	status_t status;

	if (!d)
		return refuse(fn, "out of memory");
	spinlock_init(&d->lock, "host disk", LOCK_HOST);
	d->block.driver = "virtio-blk";
	d->block.submit = submit;
	d->block.look = look;
	d->block.dead = true; /* until it works; its interrupt's handler may be called before */
	d->irq.handle = interrupted;
	d->end = &d->first;
	status = vdev_open(&d->dev, fn,
			   BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_RO) |
				   BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH),
			   &d->irq);
	if (status) {
		pages_free(d, sizeof(*d), OWNER_CORE);
		return refuse(fn, status == -S_NODEV ? "it is no modern virtio device"
						     : "it does not answer");
	}
	why = read_config(d);
	if (!why)
		why = make_queue(d);
	if (!why && vdev_start(&d->dev))
		why = "it does not start";
	if (why) {
		(void)vdev_stop(&d->dev);
		return refuse(fn, why);
	}
	d->watched = rdtsc();
	d->block.dead = false;
	block_add(&d->block);
	return true;
}

HOST_PCI_DRIVER(blk, .name = "virtio-blk", .vendor = VIRTIO_VENDOR, .device = MODERN_BLK,
		.probe = probe);
HOST_PCI_DRIVER(blk_transitional, .name = "virtio-blk", .vendor = VIRTIO_VENDOR,
		.device = TRANSITIONAL_BLK, .probe = probe);
