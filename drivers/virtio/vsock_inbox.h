/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the two files of the switch of sockets. All with its lock. */
#ifndef DRIVERS_VIRTIO_VSOCK_INBOX_H
#define DRIVERS_VIRTIO_VSOCK_INBOX_H

#include "vsock.h"
#include "socle/kernel/time.h"

extern struct spinlock vsock_lock;
extern struct vsock_port *vsock_ports[VM_MAX]; /* by number; NULL: never had a driver */

/* Is it still the same connection, and not over? */
bool vsock_route_alive(const struct vsock_link *l, uint32_t serial);

/* As vsock_cut(). */
void vsock_cut_locked(const struct vsock_route *route);

/* @port has no driver any more: nobody waits for a slot of it, nor it for another's. */
void vsock_inbox_down(struct vsock_port *port);

#endif
