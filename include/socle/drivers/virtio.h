/* SPDX-License-Identifier: BSD-2-Clause */
/* Paravirtual devices (virtio 1.2 over PCI) for a VM that is being created. */
#ifndef SOCLE_DRIVERS_VIRTIO_H
#define SOCLE_DRIVERS_VIRTIO_H

#include "socle/base.h"
#include "socle/status.h"

struct vm;
struct vm_disk;

/* Adds the entropy device, for guests with `rng = yes`, to @vm's board. -S_NOMEM, -S_NOSPC. */
status_t __must_check virtio_rng_add(struct vm *vm);

/*
 * Adds the block device that is number @index of @vm's disks. -S_NOMEM, -S_NOSPC; -S_NOENT: its
 * module, or the machine's disk, is not there; -S_BUSY: another VM has that disk.
 */
status_t __must_check virtio_blk_add(struct vm *vm, unsigned index);

/* The most memory that @disk takes while its guest runs, in bytes: all that can be written. */
uint64_t virtio_blk_memory(const struct vm_disk *disk);

/* @vm, which never ran, has none of the machine's disks any more: its creation failed. */
void virtio_blk_close(struct vm *vm);

/*
 * Adds the network device that is number @index of @vm's, and connects it to its network; if the VM
 * is not made then, net_ports_remove() disconnects it. -S_NOMEM, -S_NOSPC; -S_EXIST: its network
 * has its address already.
 */
status_t __must_check virtio_net_add(struct vm *vm, unsigned index);

/*
 * Where a console's bytes go to and come from: embed it and use container_of(). All are called on
 * a CPU that runs one of the VM's vCPUs, with the device's lock held, and vm.chips not.
 */
struct virtio_console_sink {
	/*
	 * Takes up to @len bytes that the guest wrote, and returns how many. Fewer: there is no
	 * room now, call virtio_console_tx_ready() when there is.
	 */
	size_t (*put)(struct virtio_console_sink *sink, const char *text, size_t len);
	/* Are there bytes for the guest? */
	bool (*waiting)(struct virtio_console_sink *sink);
	/* Gives up to @len of them away, and returns how many. */
	size_t (*get)(struct virtio_console_sink *sink, uint8_t *bytes, size_t len);
};

/* Adds the socket device, for guests with `vsock = ...`. -S_NOMEM, -S_NOSPC. */
status_t __must_check virtio_vsock_add(struct vm *vm);

struct virtio_console;

/* Adds the console, for guests with `console = virtio`. -S_NOMEM, -S_NOSPC. */
status_t __must_check virtio_console_add(struct vm *vm, struct virtio_console **console);

/* Connects @sink, which stays. Before the VM runs. */
void virtio_console_connect(struct virtio_console *console, struct virtio_console_sink *sink);

/* Has the guest's driver set the console up, so that it takes input? Any CPU, with any locks. */
bool virtio_console_open(const struct virtio_console *console);

/* There are bytes for the guest; or there is room again for its own. Likewise. */
void virtio_console_rx_ready(struct virtio_console *console);
void virtio_console_tx_ready(struct virtio_console *console);

/* The terminal has another size, in characters; at first it is 80 by 24. Likewise. */
void virtio_console_resize(struct virtio_console *console, uint16_t columns, uint16_t rows);

#endif
