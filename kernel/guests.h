/* SPDX-License-Identifier: BSD-2-Clause */
/* Binds the rooms above the core into virtual machines. */
#ifndef SOCLE_KERNEL_GUESTS_H
#define SOCLE_KERNEL_GUESTS_H

/* Creates the VMs of socle.conf and starts those that are to start at boot. Once. */
void guests_create(void);

#endif
