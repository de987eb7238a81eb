/* SPDX-License-Identifier: BSD-2-Clause */
/* Paravirtual devices (virtio 1.2 over PCI) for a VM that is being created. */
#ifndef SOCLE_DRIVERS_VIRTIO_H
#define SOCLE_DRIVERS_VIRTIO_H

#include "socle/status.h"

struct vm;

/* Adds the entropy device, for guests with `rng = yes`, to @vm's board. -S_NOMEM, -S_NOSPC. */
status_t __must_check virtio_rng_add(struct vm *vm);

/*
 * Adds the block device that is number @index of @vm's disks. -S_NOMEM, -S_NOSPC; -S_NOENT: its
 * module is not there.
 */
status_t __must_check virtio_blk_add(struct vm *vm, unsigned index);

#endif
