/* SPDX-License-Identifier: BSD-2-Clause */
/* The topology of a guest's processors in the leaves of CPUID that tell of it. */
#ifndef GUEST_CPUID_TOPOLOGY_H
#define GUEST_CPUID_TOPOLOGY_H

#include "socle/cpu/regs.h"

/* AMD's topology extensions: leaves 0x8000001D and 0x8000001E (APM vol. 3, E.4.15 and E.4.16). */
bool cpuid_topology_extensions(void);

/*
 * Completes @r, what the policy left of a leaf, for a guest with @cpus vCPUs. What is different for
 * each of them, the IDs, is added when the leaf is read.
 */
void cpuid_topology(struct cpuid *r, uint32_t leaf, uint32_t subleaf, unsigned cpus);

#endif
