/* SPDX-License-Identifier: BSD-2-Clause */
/* The entropy device (virtio 1.2, 5.4): one queue, whose buffers are filled with random bytes. */
#include <linux/virtio_ids.h>
#include "device.h"
#include "socle/chacha20.h"
#include "socle/cpu/entropy.h"
#include "socle/drivers/virtio.h"
#include "socle/kernel/log.h"
#include "socle/mm/frames.h"

enum {
	REQUEST_MAX = 1024, /* bytes for one request: a driver that wants more asks again */
	TURN_REQUESTS = 16, /* at most, before others may have the CPU */
	SEED_EVERY = 4096,  /* bytes */
	PIECE = 256,	    /* on the stack */
};

struct rng {
	struct virtio_device dev;
	struct chacha20_rng generator; /* dev.lock */
};

/* What the CPU has is mixed in: a bad seed does not make a good generator bad. */
static void seed(struct rng *rng)
{
	uint8_t fresh[ENTROPY_SEED];

	_Static_assert(ENTROPY_SEED == CHACHA20_KEY, "a seed is a key");
	(void)entropy_seed(fresh);
	chacha20_rng_seed(&rng->generator, fresh);
}

/* Fills the request's buffers; how many bytes. */
static uint32_t fill(struct rng *rng)
{
	struct virtio_ring *ring = &rng->dev.queue[0].ring;
	const struct virtio_chain *chain = &rng->dev.chain;
	uint32_t done = 0, len = (uint32_t)MIN(chain->write_bytes, (uint64_t)REQUEST_MAX);
	uint8_t bytes[PIECE];

	if (rng->generator.since_seed >= SEED_EVERY)
		seed(rng);
	while (done < len) {
		size_t n = MIN((size_t)(len - done), sizeof(bytes)), copied;

		chacha20_rng_get(&rng->generator, bytes, n);
		copied = virtio_chain_write(ring, chain, done, bytes, n);
		done += (uint32_t)copied;
		if (copied < n)
			break;
	}
	return done;
}

static bool work(struct virtio_device *dev, unsigned queue)
{
	struct rng *rng = container_of(dev, struct rng, dev);

	for (unsigned i = 0; i < TURN_REQUESTS; i++) {
		if (!virtio_pop(dev, queue))
			return false;
		virtio_push(dev, queue, fill(rng));
	}
	return true;
}

static void reset(struct virtio_device *dev)
{
	seed(container_of(dev, struct rng, dev));
}

status_t virtio_rng_add(struct vm *vm)
{
	static const struct virtio_ops ops = {.work = work, .reset = reset};
	static const struct virtio_kind kind = {
		.name = "virtio-rng",
		.id = VIRTIO_ID_RNG,
		.pci_class = 0xff0000, /* fits no class */
		.queues = 1,
		.ops = &ops,
	};
	struct rng *rng = pages_alloc(sizeof(*rng), OWNER_VM_CORE);

	if (!rng)
		return -S_NOMEM;
	if (!entropy_good())
		vm_log(vm, LOG_WARN,
		       "rng: this CPU has neither RDSEED nor RDRAND: the numbers can be guessed");
	rng->dev.kind = &kind;
	rng->dev.vm = vm;
	return virtio_pci_add(&rng->dev);
}
