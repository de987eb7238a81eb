/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator's arithmetic: the same instruction on the host gives the result and the flags. */
#include "emulate_impl.h"

/*
 * Runs @text on @type operands with the carry flag loaded; LAHF (as bytes: not every assembler
 * lets it pass in 64-bit code) and SETO bring the six arithmetic flags into AX.
 */
#define RUN(type, text, constraint)                                          \
	do {                                                                 \
		type d_ = (type)*dst, s_ = (type)src;                        \
		__asm__("bt $0, %[c]\n\t" text "\n\t.byte 0x9f\n\tseto %%al" \
			: [d] "+q"(d_), "=a"(ax)                             \
			: [s] constraint(s_), [c] "r"(carry)                 \
			: "cc");                                             \
		*dst = d_;                                                   \
	} while (0)

/* Defines a function that runs one instruction in the width asked for, and returns AX. */
#define DEFINE(name, operands, constraint)                                                     \
	static uint32_t run_##name(unsigned size, uint64_t *dst, uint64_t src, uint32_t carry) \
	{                                                                                      \
		uint32_t ax = 0;                                                               \
                                                                                               \
		if (size == 1)                                                                 \
			RUN(uint8_t, #name "b " operands, constraint);                         \
		else if (size == 2)                                                            \
			RUN(uint16_t, #name "w " operands, constraint);                        \
		else if (size == 4)                                                            \
			RUN(uint32_t, #name "l " operands, constraint);                        \
		else                                                                           \
			RUN(uint64_t, #name "q " operands, constraint);                        \
		return ax;                                                                     \
	}

#define BINARY(name) DEFINE(name, "%[s], %[d]", "q")
#define SHIFT(name)  DEFINE(name, "%%cl, %[d]", "c")
#define UNARY(name)  DEFINE(name, "%[d]", "q")

BINARY(add)
BINARY(or)
BINARY(adc)
BINARY(sbb)
BINARY(and)
BINARY(sub)
BINARY(xor)
SHIFT(rol)
SHIFT(ror)
SHIFT(rcl)
SHIFT(rcr)
SHIFT(shl)
SHIFT(shr)
SHIFT(sar)
UNARY(neg)
UNARY(inc)
UNARY(dec)

typedef uint32_t (*run_fn)(unsigned size, uint64_t *dst, uint64_t src, uint32_t carry);

static const run_fn run[] = {
	[INSN_ADD] = run_add, [INSN_OR] = run_or,   [INSN_ADC] = run_adc, [INSN_SBB] = run_sbb,
	[INSN_AND] = run_and, [INSN_SUB] = run_sub, [INSN_XOR] = run_xor, [INSN_CMP] = run_sub,
	[INSN_ROL] = run_rol, [INSN_ROR] = run_ror, [INSN_RCL] = run_rcl, [INSN_RCR] = run_rcr,
	[INSN_SHL] = run_shl, [INSN_SHR] = run_shr, [INSN_SAL] = run_shl, [INSN_SAR] = run_sar,
	[INSN_NEG] = run_neg, [INSN_INC] = run_inc, [INSN_DEC] = run_dec,
};

void emul_alu(enum insn_op op, unsigned size, uint64_t *dst, uint64_t src, uint64_t *rflags)
{
	uint64_t affected = EMUL_ARITH_FLAGS, flags;
	uint32_t ax;

	if (op >= INSN_ROL && op <= INSN_SAR) {
		src &= size == 8 ? 63 : 31;
		if (src == 0)
			return;
		if (op <= INSN_RCR)
			affected = RFLAGS_CF | RFLAGS_OF;
	} else if (op == INSN_INC || op == INSN_DEC) {
		affected &= ~(uint64_t)RFLAGS_CF;
	}
	ax = run[op](size, dst, src, *rflags & RFLAGS_CF);
	flags = (ax >> 8 & 0xff) | (ax & 1 ? RFLAGS_OF : 0);
	*rflags = (*rflags & ~affected) | (flags & affected);
}

void emul_imul(unsigned size, uint64_t *dst, uint64_t src, uint64_t *rflags)
{
	int64_t a = (int64_t)insn_sign_extend(*dst, size), b = (int64_t)insn_sign_extend(src, size);
	int64_t product;
	bool over = __builtin_mul_overflow(a, b, &product);

	over |= insn_sign_extend((uint64_t)product, size) != (uint64_t)product;
	*dst = insn_truncate((uint64_t)product, size);
	*rflags &= ~(uint64_t)(RFLAGS_CF | RFLAGS_OF);
	if (over)
		*rflags |= RFLAGS_CF | RFLAGS_OF;
}

bool emul_condition(unsigned cc, uint64_t rflags)
{
	bool cf = rflags & RFLAGS_CF, zf = rflags & RFLAGS_ZF;
	bool less = !(rflags & RFLAGS_SF) != !(rflags & RFLAGS_OF);
	bool value[8] = {
		rflags & RFLAGS_OF, cf,	  zf,	      cf || zf, rflags & RFLAGS_SF,
		rflags & RFLAGS_PF, less, less || zf,
	};

	return value[(cc >> 1) & 7] != (cc & 1);
}
