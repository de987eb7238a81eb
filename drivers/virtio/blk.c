/* SPDX-License-Identifier: BSD-2-Clause */
/* The block device (virtio 1.2, 5.2), and its disk in memory, whose bytes are copied once. */
#include <linux/virtio_ids.h>
#include "blk.h"
#include "socle/drivers/virtio.h"
#include "socle/format.h"
#include "socle/kernel/log.h"
#include "socle/kernel/time.h"
#include "socle/mm/frames.h"
#include "socle/string.h"

enum {
	ZERO_MAX = 8192,       /* sectors to be zeroed or discarded at once */
	BATCH_US = 100,	       /* requests wait for others, while the driver's vCPU is busy */
	MASS_STORAGE = 0x018000, /* PCI's class for what is none of the older interfaces */
};

static bool in_disk(const struct blk *blk, uint64_t sector, uint64_t sectors)
{
	return sector <= blk->config.capacity && sectors <= blk->config.capacity - sector;
}

bool blk_is_data(const struct blk *blk, const struct blk_request *r, uint64_t len)
{
	return len % SECTOR == 0 && len <= BLK_REQUEST_MAX &&
	       in_disk(blk, r->h.sector, len / SECTOR);
}

static uint8_t read_sectors(struct blk *blk, struct virtio_ring *ring, struct blk_request *r)
{
	if (!blk_is_data(blk, r, r->in))
		return VIRTIO_BLK_S_IOERR;
	for (uint64_t n; r->written < r->in; r->written += n) {
		const uint8_t *from;

		n = r->in - r->written;
		from = disk_read(&blk->disk, r->h.sector * SECTOR + r->written, &n);
		if (virtio_chain_write(ring, &blk->dev.chain, r->written, from, n) != n)
			return VIRTIO_BLK_S_IOERR;
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t no_memory(struct blk *blk)
{
	vm_log(blk->dev.vm, LOG_ERROR, "%s: no memory for what is written", blk->name);
	return VIRTIO_BLK_S_IOERR;
}

static uint8_t write_sectors(struct blk *blk, struct virtio_ring *ring, struct blk_request *r)
{
	if (blk->read_only || !blk_is_data(blk, r, r->out))
		return VIRTIO_BLK_S_IOERR;
	for (uint64_t n, done = 0; done < r->out; done += n) {
		uint8_t *to;

		n = r->out - done;
		to = disk_write(&blk->disk, r->h.sector * SECTOR + done, &n);
		if (!to)
			return no_memory(blk);
		if (virtio_chain_read(ring, &blk->dev.chain, sizeof(r->h) + done, to, n) != n)
			return VIRTIO_BLK_S_IOERR;
	}
	return VIRTIO_BLK_S_OK;
}

/* DISCARD leaves open what is read afterwards: zeroes where that costs nothing, else the old. */
static uint8_t zero_sectors(struct blk *blk, struct virtio_ring *ring, struct blk_request *r)
{
	bool discard = r->h.type == VIRTIO_BLK_T_DISCARD;
	struct virtio_blk_discard_write_zeroes range;

	if (blk->read_only || r->out != sizeof(range) ||
	    virtio_chain_read(ring, &blk->dev.chain, sizeof(r->h), &range, sizeof(range)) !=
		    sizeof(range))
		return VIRTIO_BLK_S_IOERR;
	if (range.flags & ~(discard ? 0u : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
		return VIRTIO_BLK_S_UNSUPP;
	if (range.num_sectors > ZERO_MAX || !in_disk(blk, range.sector, range.num_sectors))
		return VIRTIO_BLK_S_IOERR;
	r->zeroed = (uint64_t)range.num_sectors * SECTOR;
	if (disk_zero(&blk->disk, range.sector * SECTOR, r->zeroed, !discard))
		return no_memory(blk);
	return VIRTIO_BLK_S_OK;
}

uint8_t blk_give_id(struct blk *blk, struct virtio_ring *ring, struct blk_request *r)
{
	if (r->in > sizeof(blk->serial))
		return VIRTIO_BLK_S_IOERR;
	r->written = virtio_chain_write(ring, &blk->dev.chain, 0, blk->serial, r->in);
	return r->written == r->in ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

static uint8_t serve(struct blk *blk, struct virtio_ring *ring, struct blk_request *r)
{
	switch (r->h.type) {
	case VIRTIO_BLK_T_IN:
		return read_sectors(blk, ring, r);
	case VIRTIO_BLK_T_OUT:
		return write_sectors(blk, ring, r);
	case VIRTIO_BLK_T_FLUSH:
		return VIRTIO_BLK_S_OK; /* nothing is more lasting than memory here */
	case VIRTIO_BLK_T_GET_ID:
		return blk_give_id(blk, ring, r);
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return zero_sectors(blk, ring, r);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

bool blk_begin(struct blk *blk, unsigned queue, struct blk_request *r)
{
	const struct virtio_chain *chain = &blk->dev.chain;

	if (!chain->write_bytes || virtio_chain_read(&blk->dev.queue[queue].ring, chain, 0, &r->h,
						     sizeof(r->h)) != sizeof(r->h)) {
		virtio_break(&blk->dev, "a request without header or status");
		return false;
	}
	r->out = chain->read_bytes - sizeof(r->h);
	r->in = chain->write_bytes - 1;
	r->written = r->zeroed = 0;
	return true;
}

void blk_end(struct blk *blk, unsigned queue, struct blk_request *r, uint8_t status)
{
	struct virtio_ring *ring = &blk->dev.queue[queue].ring;

	/* The status is the last byte; used.len counts only what is written without a gap. */
	if (virtio_chain_write(ring, &blk->dev.chain, r->in, &status, 1) && r->written == r->in)
		r->written++;
	virtio_push(&blk->dev, queue, (uint32_t)r->written);
}

/* Serves the request in dev->chain: what of a turn's bytes it took; 0: it is none. */
static uint64_t serve_chain(struct blk *blk, unsigned queue)
{
	const struct virtio_chain *chain = &blk->dev.chain;
	struct blk_request r;

	if (!blk_begin(blk, queue, &r))
		return 0;
	blk_end(blk, queue, &r, serve(blk, &blk->dev.queue[queue].ring, &r));
	return chain->read_bytes + chain->write_bytes + r.zeroed;
}

static bool blk_work(struct virtio_device *dev, unsigned queue)
{
	struct blk *blk = container_of(dev, struct blk, dev);
	uint64_t bytes = 0, took;

	for (unsigned i = 0; i < BLK_TURN_REQUESTS && bytes < BLK_TURN_BYTES; i++) {
		took = virtio_pop(dev, queue) ? serve_chain(blk, queue) : 0;
		if (!took)
			return false;
		bytes += took;
	}
	return true;
}

static void power_on(struct virtio_device *dev)
{
	disk_renew(&container_of(dev, struct blk, dev)->disk);
}

static void describe_blk(struct blk *blk, uint64_t sectors, unsigned queues, bool host)
{
	static const struct virtio_ops ops = {.work = blk_work, .power_on = power_on};

	blk->kind = (struct virtio_kind){
		.name = blk->name,
		.id = VIRTIO_ID_BLOCK,
		.pci_class = MASS_STORAGE,
		.queues = queues,
		.features = BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) |
			    BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) |
			    BIT(VIRTIO_BLK_F_MQ) | (blk->read_only ? BIT(VIRTIO_BLK_F_RO) : 0),
		.batch_ns = BATCH_US * NS_PER_US,
		.ops = host ? &blk_host_ops : &ops,
	};
	blk->config = (struct virtio_blk_config){
		.capacity = sectors,
		.size_max = BLK_SEGMENT_MAX,
		.seg_max = BLK_SEGMENTS_MAX,
		.blk_size = SECTOR,
		.num_queues = (uint16_t)queues,
	};
	if (blk->read_only || host)
		return;
	blk->kind.features |= BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	blk->config.max_discard_sectors = blk->config.max_write_zeroes_sectors = ZERO_MAX;
	blk->config.max_discard_seg = blk->config.max_write_zeroes_seg = 1;
	blk->config.discard_sector_alignment = PAGE_SIZE / SECTOR;
	blk->config.write_zeroes_may_unmap = 1;
}

uint64_t virtio_blk_memory(const struct vm_disk *disk)
{
	return disk->read_only || disk->host ? 0 : disk_most(disk->size);
}

static status_t memory_init(struct blk *blk, const struct boot_module *module, uint64_t size)
{
	blk->disk.base = module ? module->data : NULL;
	blk->disk.size = size & ~(uint64_t)(SECTOR - 1);
	blk->disk.owner = blk->dev.vm->mem.owner;
	return disk_init(&blk->disk);
}

status_t virtio_blk_add(struct vm *vm, unsigned index)
{
	const struct vm_disk *d = &vm->settings.disks[index];
	bool named = d->module[0] && !d->host;
	const struct boot_module *module = named ? boot_module_find(d->module) : NULL;
	const char *serial = d->module[0] ? d->module : "memory";
	unsigned queues = MIN(vm->settings.cpus, (unsigned)BLK_QUEUES_MAX);
	struct blk *blk;
	status_t status;

	if (named && !module)
		return -S_NOENT;
	blk = pages_alloc(sizeof(*blk), OWNER_VM_CORE);
	if (!blk)
		return -S_NOMEM;
	format(blk->name, sizeof(blk->name), "virtio-blk%u", index);
	memcpy(blk->serial, serial, MIN(strlen(serial), sizeof(blk->serial)));
	blk->read_only = d->read_only;
	blk->dev.vm = vm;
	status =
		d->host ? blk_host_init(blk, d->module, queues) : memory_init(blk, module, d->size);
	if (status)
		return status;
	describe_blk(blk, d->host ? blk->user.sectors : blk->disk.size / SECTOR, queues, d->host);
	blk->dev.kind = &blk->kind;
	blk->dev.config = (uint8_t *)&blk->config;
	blk->dev.config_size = sizeof(blk->config);
	return virtio_pci_add(&blk->dev);
}

void virtio_blk_close(struct vm *vm)
{
	block_close(vm->settings.name);
}
