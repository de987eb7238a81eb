/* SPDX-License-Identifier: BSD-2-Clause */
/* IA32_SPEC_CTRL of guests: which bits they have, and whether it can be their own register. */
#ifndef SOCLE_GUEST_SPEC_CTRL_H
#define SOCLE_GUEST_SPEC_CTRL_H

#include "socle/cpu/mitigations.h"
#include "socle/guest/cpuid.h"

/*
 * A guest runs with the host's value as long as its own has no bit beyond that: it is protected
 * more than it asked for, and nothing has to be switched. From the first other value on, entries
 * and exits switch the register until the vCPU's reset, and it may be the guest's own meanwhile.
 */
static inline bool spec_ctrl_must_switch(uint64_t value)
{
	return value & ~mitigations.spec_ctrl;
}

/* Withholds from guests what this machine's registers lack. Once, by the vendor, on the boot CPU.
 */
void spec_ctrl_probe(void);

/* The bits that a guest with this CPUID may set. */
uint64_t spec_ctrl_valid(const struct guest_cpuid *t);

/*
 * May accesses go to the CPU's register without an exit, while it is switched? Only if that takes
 * no bit that the guest's model lacks.
 */
bool spec_ctrl_direct(const struct guest_cpuid *t);

#endif
