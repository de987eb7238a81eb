/* SPDX-License-Identifier: BSD-2-Clause */
/* Where an exception of the hypervisor's own goes: bound by the log, which lies above the CPU. */
#ifndef SOCLE_CPU_TRAPSINK_H
#define SOCLE_CPU_TRAPSINK_H

#include "socle/cpu/cpu.h"

/* Binds the function that reports a fatal exception. It must not return. Once, at boot. */
void trap_bind_fatal(void (*report)(struct trap_frame *frame));

#endif
