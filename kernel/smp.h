/* SPDX-License-Identifier: BSD-2-Clause */
/* Starting the machine's other processors. */
#ifndef SOCLE_KERNEL_SMP_H
#define SOCLE_KERNEL_SMP_H

#include "socle/cpu/cpu.h"

/* Makes a stack of CPU @id, with a guard page below; returns its initial stack pointer. */
void *smp_make_stack(struct cpu *cpu, bool for_double_faults);

/*
 * Starts the other processors of the ACPI tables, @max in all, and puts them into all_cpus[]. One
 * that does not start is reported and left out. Each waits for smp_release() when it is ready.
 * Once, on the boot CPU, whose virtualization is on. @skew: TSC ticks by which to put their TSCs
 * wrong first, for a self-test.
 */
void smp_start(unsigned max, int64_t skew);

/* Lets them go on to the scheduler. */
void smp_release(void);

#endif
