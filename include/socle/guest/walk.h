/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a guest's own page tables, and its memory by linear address. */
#ifndef SOCLE_GUEST_WALK_H
#define SOCLE_GUEST_WALK_H

#include "socle/guest/emulate.h"
#include "socle/guest/vcpu.h"

/*
 * Translates linear address @la for an access (mask of enum emul_access) as the CPU would in the
 * vCPU's mode (SDM vol. 3, chapter 4; APM vol. 2, chapter 5), setting accessed and dirty bits.
 * Returns EMUL_OK with *@gpa, EMUL_EXCEPTION with @x filled (#PF), or EMUL_FATAL when a table lies
 * outside the guest's memory. X86_CR, X86_RFLAGS and X86_SEG must be loaded.
 */
enum emul_status x86_walk(struct x86_vcpu *v, uint64_t la, uint32_t access, uint64_t *gpa,
			  struct x86_exception *x);

/*
 * The instruction at linear address @la out of the decode cache, decoded first if need be. NULL if
 * its bytes cannot be had the short way, or the decoder refuses them: then x86_decode() tells why.
 * Valid until the next call.
 */
const struct insn *x86_decode_fast(struct x86_vcpu *v, uint64_t la, uint64_t cr3,
				   enum insn_mode mode);

/*
 * Decodes the instruction at the guest's RIP. EMUL_EXCEPTION fills @x; EMUL_UNSUPPORTED: the
 * decoder does not know it; EMUL_FATAL: not in the guest's memory.
 */
enum emul_status x86_decode(struct x86_vcpu *v, struct insn *insn, struct x86_exception *x);

/* Executes the instruction at RIP in software, devices included. Raises what it raises. */
void x86_emulate(struct x86_vcpu *v);

/*
 * As above, for the access @f, with the short way first: @r is the device there, NULL if none.
 * Returns as exit_nested_fault().
 */
struct nested_fault;
unsigned x86_emulate_mmio(struct x86_vcpu *v, const struct nested_fault *f, struct io_region *r);

#endif
