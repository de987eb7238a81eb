/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio device: what all kinds share, between the devices, their registers and the transport. */
#ifndef DRIVERS_VIRTIO_DEVICE_H
#define DRIVERS_VIRTIO_DEVICE_H

#include "ring.h"
#include "socle/cpu/spinlock.h"
#include "socle/kernel/vm.h"
#include "socle/platform/pci_msix.h"

#define VIRTIO_QUEUES_MAX 8
#define VIRTIO_NO_VECTOR  0xffff

struct virtio_device;

struct virtio_ops {
	/*
	 * Works on a queue that is live, for a limited time; true: there is more to do. May put
	 * requests back into other queues too. The device's lock is held.
	 */
	bool (*work)(struct virtio_device *dev, unsigned queue);
	/* The device was reset: queues are not live. The lock is held. May be NULL. */
	void (*reset)(struct virtio_device *dev);
	/* The machine is reset or stops, no vCPU of it running. May be NULL. */
	void (*power_on)(struct virtio_device *dev);
	/*
	 * The driver writes to the configuration, at @offset of it or behind. NULL: all of it is
	 * read-only. The lock is held.
	 */
	void (*config_write)(struct virtio_device *dev, uint32_t offset, unsigned size,
			     uint64_t value);
};

/* What kind of device it is. */
struct virtio_kind {
	const char *name;   /* for the log and for stats */
	unsigned id;	    /* VIRTIO_ID_... of linux/virtio_ids.h */
	uint32_t pci_class; /* class code and interface (PCI code and ID assignment) */
	unsigned queues;    /* at most VIRTIO_QUEUES_MAX */
	uint64_t features;  /* of its own that it offers */
	uint32_t silent;    /* queues whose notifications say nothing, a bit each */
	uint64_t batch_ns;  /* a request may wait so long for others, see docs/virtio.md; 0: not */
	const struct virtio_ops *ops;
};

struct virtio_queue {
	struct virtio_ring ring;   /* addresses and size as the driver sets them */
	struct virtio_device *dev; /* whose it is; constant */
	struct vcpu_work work;	   /* on a vCPU's list while @deferred */
	struct vcpu_work ask;	   /* posted by virtio_ask() */
	bool deferred;		   /* there is something to do, a vCPU will */
	bool enabled;		   /* the driver has set it up */
	uint16_t vector;	   /* of MSI-X, or VIRTIO_NO_VECTOR */
	uint64_t kicks;		   /* notifications that came; counters since the device was made */
	uint64_t requests;	   /* taken */
	uint64_t interrupts;	   /* asked for */
};

/* Embed it in the device, zeroed. Guarded by @lock unless said otherwise. */
struct virtio_device {
	const struct virtio_kind *kind; /* constant, as are @vm and the configuration's place */
	struct vm *vm;
	struct spinlock lock;
	/*
	 * NULL, or a lock of a higher level that what the driver sets is changed under, too: for
	 * who uses a queue without having @lock.
	 */
	struct spinlock *inner;
	uint64_t driver_features;  /* what the driver accepted; frozen with FEATURES_OK */
	uint32_t device_select;	   /* word of our features that the driver looks at */
	uint32_t driver_select;	   /* word of its own that it writes */
	uint8_t status;		   /* VIRTIO_CONFIG_S_... */
	uint8_t generation;	   /* changes with the device's configuration */
	uint16_t config_vector;	   /* of MSI-X, or VIRTIO_NO_VECTOR */
	uint16_t select;	   /* queue that the driver sets up */
	uint8_t *config;	   /* the device's configuration; NULL: it has none */
	uint32_t config_size;	   /* bytes */
	struct virtio_chain chain; /* the request that is worked on */
	struct virtio_queue queue[VIRTIO_QUEUES_MAX];
	struct pci_function fn; /* vm.chips, as are all below */
	struct pci_msix msix;
	uint8_t isr; /* enum virtio_isr, without MSI-X */
};

/* ISR status (virtio 1.2, 4.1.4.5). */
enum virtio_isr { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };

/* All locks of the device, before what the driver sets changes. */
static inline void virtio_lock(struct virtio_device *dev)
{
	spin_lock(&dev->lock);
	if (dev->inner)
		spin_lock(dev->inner);
}

static inline void virtio_unlock(struct virtio_device *dev)
{
	if (dev->inner)
		spin_unlock(dev->inner);
	spin_unlock(&dev->lock);
}

/* --- common.c: registers, state, queues --- */

/* Everything back to the state after power-on, but for PCI's own. All locks are held. */
void virtio_reset(struct virtio_device *dev);

/* The driver's accesses to struct virtio_pci_common_cfg, @offset in it. All locks are held. */
uint64_t virtio_common_read(struct virtio_device *dev, uint32_t offset, unsigned size);
void virtio_common_write(struct virtio_device *dev, uint32_t offset, unsigned size, uint64_t value);

/* The driver notified @queue, by @vcpu; one that is not there, or not live, is ignored. No lock. */
void virtio_notify(struct virtio_device *dev, uint32_t queue, struct vcpu *vcpu);

/* Has a vCPU work on @queue soon, as if it was notified. Any CPU and context, with any locks. */
void virtio_ask(struct virtio_device *dev, unsigned queue);

/*
 * May the device use @queue now? The lock is held, as for all below; or dev->inner, if the queue is
 * used with that one.
 */
bool virtio_live(struct virtio_device *dev, unsigned queue);

/*
 * Takes the next request of @queue into dev->chain; false: there is none, or the ring is broken,
 * for which the device then asks to be reset.
 */
bool virtio_pop(struct virtio_device *dev, unsigned queue);

/* Gives the request in dev->chain back to @queue with @written bytes. */
void virtio_push(struct virtio_device *dev, unsigned queue, uint32_t written);

/* Interrupts the driver if it wants that for what was pushed to @queue. */
void virtio_signal(struct virtio_device *dev, unsigned queue);

/* The driver broke the rules, as @why says: nothing goes on until it resets the device. */
void virtio_break(struct virtio_device *dev, const char *why);

/* dev->config was changed. */
void virtio_config_changed(struct virtio_device *dev);

/* --- pci.c: the transport --- */

/*
 * Makes @dev, whose kind, vm and config are set, a device on its VM's PCI bus, with one vector for
 * each queue and one for changes of the configuration. While the VM is created; the lock is not
 * held. -S_NOSPC: the bus is full.
 */
status_t __must_check virtio_pci_add(struct virtio_device *dev);

/* Signals an event: by MSI-X @vector, else by INTx with @isr. Takes vm.chips. */
void virtio_pci_interrupt(struct virtio_device *dev, uint16_t vector, enum virtio_isr isr);

/* Takes back an interrupt by INTx. Takes vm.chips. */
void virtio_pci_quiet(struct virtio_device *dev);

/* Vectors of MSI-X. */
static inline unsigned virtio_pci_vectors(const struct virtio_device *dev)
{
	return dev->kind->queues + 1;
}

#endif
