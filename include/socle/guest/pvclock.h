/* SPDX-License-Identifier: BSD-2-Clause */
/* The paravirtual clock of the KVM interface: tells a guest the TSC's rate and the time. */
#ifndef SOCLE_GUEST_PVCLOCK_H
#define SOCLE_GUEST_PVCLOCK_H

#include "socle/base.h"

struct x86_vcpu;

/* Leaves of the interface; the second holds feature bits. */
enum { PVCLOCK_CPUID_BASE = 0x40000100, PVCLOCK_CPUID_FEATURES = 0x40000101 };

/* Feature bits (Linux's asm/kvm_para.h). */
enum pvclock_features {
	KVM_FEATURE_NOP_IO_DELAY = BIT(1),
	KVM_FEATURE_CLOCKSOURCE2 = BIT(3),
	KVM_FEATURE_CLOCKSOURCE_STABLE = BIT(24),
};

/* As in Linux's asm/pvclock-abi.h; written by us, read by the guest. */
struct pvclock_time {
	uint32_t version; /* odd while it is being changed */
	uint32_t pad0;
	uint64_t tsc_timestamp;	    /* guest TSC at which system_time held */
	uint64_t system_time;	    /* ns since the guest started */
	uint32_t tsc_to_system_mul; /* ns = (tsc << shift) * mul >> 32 */
	int8_t tsc_shift;
	uint8_t flags; /* bit 0: the TSC is stable across CPUs */
	uint8_t pad[2];
};
_Static_assert(sizeof(struct pvclock_time) == 32, "pvclock ABI");

struct pvclock_wall {
	uint32_t version;
	uint32_t sec, nsec; /* wall time at system_time 0 */
};

/* The multiplier and shift for a TSC of @hz. */
void pvclock_scale(uint64_t hz, uint32_t *mul, int8_t *shift);

/* The vCPU's TSC offset changed: writes the time anew if the guest asked for it. */
void pvclock_update(struct x86_vcpu *v);

#endif
