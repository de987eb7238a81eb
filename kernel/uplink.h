/* SPDX-License-Identifier: BSD-2-Clause */
/* Uplinks of guests' networks. */
#ifndef KERNEL_UPLINK_H
#define KERNEL_UPLINK_H

/*
 * Makes network card @card ("eth0") a port of @network, and has it receive. What is wrong is
 * logged. On the boot CPU, before guests run.
 */
void uplink_create(const char *network, const char *card);

#endif
