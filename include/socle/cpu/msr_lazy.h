/* SPDX-License-Identifier: BSD-2-Clause */
/* MSRs whose values follow the guest: each CPU knows what it holds, and writes only what changes.
 */
#ifndef SOCLE_CPU_MSR_LAZY_H
#define SOCLE_CPU_MSR_LAZY_H

#include "socle/base.h"
#include "socle/status.h"

enum { MSR_LAZY_MAX = 16 };

/*
 * Adds MSR @index to the table and gives its slot; one that is there already keeps its slot.
 * @direct: guests write it without an exit, so what a CPU holds is known only from msr_lazy_get()
 * until the next msr_lazy_set(). On the boot CPU, which tries whether it can be read and written.
 * -S_BUSY: a CPU uses the table; -S_NOTSUP: the CPU does not have it; -S_INVAL: it is there with
 * another @direct; -S_NOSPC. After an error the table is as before.
 */
status_t __must_check msr_lazy_add(uint32_t index, bool direct, unsigned *slot);

/*
 * This CPU uses the table from now on; what its registers hold are the host's values here. Twice is
 * no error, and changes nothing. -S_NOTSUP: it lacks one of them, and does not use the table.
 */
status_t __must_check msr_lazy_cpu_on(void);

/*
 * The next three concern this CPU, which uses the table. Only non-serializing registers: see
 * msr_write_ns().
 */

/* Reads the register: what a guest that wrote it left there. */
uint64_t msr_lazy_get(unsigned slot);

/* Writes it, unless the CPU is known to hold @value, which the register takes. */
void msr_lazy_set(unsigned slot, uint64_t value);

/* Gives all registers the host's values, where they have not: before idling, or another guest. */
void msr_lazy_restore(void);

/*
 * Empties the table, after a failure to set up what uses it or when that is turned off. Each CPU
 * has called msr_lazy_restore() and uses the table no more.
 */
void msr_lazy_reset(void);

#endif
