/* SPDX-License-Identifier: BSD-2-Clause */
/* The version of the hypervisor; the build may name one. */
#ifndef SOCLE_VERSION_H
#define SOCLE_VERSION_H

#ifndef SOCLE_VERSION
#define SOCLE_VERSION "0.1"
#endif

#endif
