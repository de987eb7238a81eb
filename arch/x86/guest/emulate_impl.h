/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the emulator share: memory by segment and by linear address, the ALU. */
#ifndef GUEST_EMULATE_IMPL_H
#define GUEST_EMULATE_IMPL_H

#include "socle/guest/emulate.h"

enum { EMUL_CR0_PE = BIT(0), EMUL_CR4_LA57 = BIT(12), EMUL_EFER_LMA = BIT(10) };

#define EMUL_ARITH_FLAGS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* Fills emul->exception; real mode pushes no error code. Returns EMUL_EXCEPTION. */
enum emul_status emul_raise(struct emul *emul, enum x86_vector vector);

/* True with protection on and no virtual-8086 mode: segments have types and rights. */
static inline bool emul_is_protected(const struct x86_state *s)
{
	return (s->cr0 & EMUL_CR0_PE) && !(s->rflags & RFLAGS_VM);
}

/* EMUL_USER at CPL 3, else 0. */
static inline uint32_t emul_user(const struct x86_state *s)
{
	return s->cpl == 3 ? EMUL_USER : 0;
}

/*
 * Linear address of @size bytes at @seg:@offset, which is within the address size already. Checks
 * the segment's type and limit, or the canonical form, for @access.
 */
enum emul_status emul_linear(struct emul *emul, enum x86_seg seg, uint64_t offset, unsigned size,
			     uint32_t access, uint64_t *la);

/* Offset of @insn's memory operand within its segment. */
uint64_t emul_effective_address(const struct emul *emul, const struct insn *insn);

/*
 * Access @size bytes (1 to 8) at a linear address, over a page's end if need be. A write that
 * crosses is probed first. @access as for emul_ops; the write functions add EMUL_WRITE.
 */
enum emul_status emul_read(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
			   uint64_t *value);
enum emul_status emul_write(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
			    uint64_t value);
enum emul_status emul_probe(struct emul *emul, uint64_t la, unsigned size, uint32_t access);

/*
 * Computes *@dst = *@dst @op @src on operands of @size bytes and updates the arithmetic flags in
 * *@rflags as the CPU does. @op is INSN_ADD to INSN_SAR, INSN_NEG, INSN_INC or INSN_DEC; INSN_CMP
 * leaves the difference in *@dst, and a shift count is masked here.
 */
void emul_alu(enum insn_op op, unsigned size, uint64_t *dst, uint64_t src, uint64_t *rflags);

/* Signed product of @size bytes into *@dst; CF and OF tell that it did not fit. */
void emul_imul(unsigned size, uint64_t *dst, uint64_t src, uint64_t *rflags);

/* Is condition code @cc (0 to 15) true? */
bool emul_condition(unsigned cc, uint64_t rflags);

/* The string instructions, INS and OUTS, with their REP. */
enum emul_status emul_string(struct emul *emul, const struct insn *insn);

/* IN and OUT. */
enum emul_status emul_port(struct emul *emul, const struct insn *insn);

#endif
