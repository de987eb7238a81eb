/* SPDX-License-Identifier: BSD-2-Clause */
/* What exits mean, whatever the vendor: one handler per meaning. */
#ifndef SOCLE_GUEST_EXITS_H
#define SOCLE_GUEST_EXITS_H

#include "socle/guest/vcpu.h"

/*
 * All act on the general registers of @v. Those that return bool: true if the instruction is done
 * and is to be skipped, false if it raised an exception instead.
 */

/* CPUID. */
void exit_cpuid(struct x86_vcpu *v);

/* RDMSR and WRMSR. */
bool exit_msr_read(struct x86_vcpu *v);
bool exit_msr_write(struct x86_vcpu *v);

/* IN and OUT without REP or a string; the CPU has checked the permission. @size is 1, 2 or 4. */
void exit_port_in(struct x86_vcpu *v, uint16_t port, unsigned size);
void exit_port_out(struct x86_vcpu *v, uint16_t port, unsigned size);

/* VMCALL or VMMCALL: number in RAX, result in RAX. */
void exit_hypercall(struct x86_vcpu *v);

/* XSETBV. */
bool exit_xsetbv(struct x86_vcpu *v);

/* MOV from or to CR8; skips or raises by itself. */
void exit_cr8(struct x86_vcpu *v);

/*
 * A guest-physical address that is not mapped. @table: the CPU was reading the guest's page tables.
 * Populates RAM, emulates devices, or ends the guest.
 */
void exit_nested_fault(struct x86_vcpu *v, uint64_t gpa, bool write, bool fetch, bool table);

/* Where CR8 leads; bound at boot by the local APIC's room. */
struct cr8_ops {
	uint8_t (*read)(struct x86_vcpu *v);
	void (*write)(struct x86_vcpu *v, uint8_t value);
};
void exit_bind_cr8(const struct cr8_ops *ops);

#endif
