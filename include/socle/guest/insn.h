/* SPDX-License-Identifier: BSD-2-Clause */
/* Instruction decoder: the length and operands of the x86 instructions that a guest may exit on. */
#ifndef SOCLE_GUEST_INSN_H
#define SOCLE_GUEST_INSN_H

#include "socle/base.h"
#include "socle/guest/state.h"

#define INSN_MAX_LEN 15 /* bytes; longer ones raise #GP(0) (SDM vol. 2, 2.3.11) */

/* Default operand and address size, from the code segment. */
enum insn_mode { INSN_MODE_16, INSN_MODE_32, INSN_MODE_64 };

/* What insn_decode() found. */
enum insn_status {
	INSN_OK,
	INSN_MORE,	  /* the bytes end before the instruction does: give more */
	INSN_TOO_LONG,	  /* more than 15 bytes: #GP(0) */
	INSN_UNDEFINED,	  /* #UD: no such instruction in this mode, or a forbidden LOCK */
	INSN_UNSUPPORTED, /* unknown to this decoder, may or may not be #UD */
};

/*
 * Operations. The first eight, the eight shifts and the four bit tests are in the order of
 * ModRM.reg. emulate() knows those before INSN_LENGTH_ONLY; of the others, only the length and the
 * operands are given.
 */
/* clang-format off */
enum insn_op {
	INSN_NONE,
	INSN_ADD, INSN_OR, INSN_ADC, INSN_SBB, INSN_AND, INSN_SUB, INSN_XOR, INSN_CMP,
	INSN_ROL, INSN_ROR, INSN_RCL, INSN_RCR, INSN_SHL, INSN_SHR, INSN_SAL, INSN_SAR,
	INSN_BT, INSN_BTS, INSN_BTR, INSN_BTC,
	INSN_TEST, INSN_NOT, INSN_NEG, INSN_INC, INSN_DEC,
	INSN_IMUL, INSN_IMUL_IMM,	/* two operands; reg = r/m * imm */
	INSN_XCHG, INSN_XADD, INSN_CMPXCHG,
	INSN_CMPXCHG8B,	/* CMPXCHG16B if osize is 8 */
	INSN_MOV, INSN_MOVZX,
	INSN_MOVSX,	/* and MOVSXD */
	INSN_MOVNTI, INSN_MOVBE, INSN_SETCC, INSN_CMOVCC, INSN_PUSH, INSN_POP,
	INSN_CLFLUSH,	/* and CLFLUSHOPT */
	INSN_CLWB,
	INSN_MOVS, INSN_CMPS, INSN_STOS, INSN_LODS, INSN_SCAS, INSN_INS, INSN_OUTS,
	INSN_IN, INSN_OUT,	/* OPND_IMM: the port; otherwise it is in DX */
	INSN_MOV_FROM_SREG,
	INSN_LENGTH_ONLY,
	INSN_MOV_TO_SREG = INSN_LENGTH_ONLY,
	INSN_MOV_FROM_CR, INSN_MOV_TO_CR, INSN_MOV_FROM_DR, INSN_MOV_TO_DR,
	INSN_CLTS, INSN_LMSW, INSN_SMSW,
	INSN_SGDT, INSN_SIDT, INSN_LGDT, INSN_LIDT,
	INSN_SLDT, INSN_STR, INSN_LLDT, INSN_LTR, INSN_VERR, INSN_VERW,
	INSN_INVLPG, INSN_INVPCID, INSN_INVD, INSN_WBINVD, INSN_WBNOINVD,
	INSN_INVLPGA, INSN_INVLPGB, INSN_TLBSYNC,
	INSN_CPUID, INSN_RDMSR, INSN_WRMSR, INSN_WRMSRNS, INSN_RDTSC, INSN_RDTSCP, INSN_RDPMC,
	INSN_RDPRU, INSN_RDRAND, INSN_RDSEED, INSN_RDPID,
	INSN_HLT, INSN_PAUSE, INSN_NOP, INSN_MONITOR, INSN_MWAIT, INSN_MONITORX, INSN_MWAITX,
	INSN_XGETBV, INSN_XSETBV, INSN_RDPKRU, INSN_WRPKRU, INSN_SWAPGS, INSN_CLAC, INSN_STAC,
	INSN_SERIALIZE, INSN_CLZERO,
	INSN_VMCALL, INSN_VMLAUNCH, INSN_VMRESUME, INSN_VMXOFF, INSN_VMFUNC,
	INSN_VMRUN, INSN_VMMCALL, INSN_VMLOAD, INSN_VMSAVE, INSN_STGI, INSN_CLGI, INSN_SKINIT,
	INSN_ENCLV, INSN_ENCLS, INSN_ENCLU, INSN_XEND, INSN_XTEST,
	INSN_INT, INSN_INT3, INSN_INTO, INSN_ICEBP, INSN_IRET, INSN_PUSHF, INSN_POPF,
	INSN_CLI, INSN_STI, INSN_CLC, INSN_STC, INSN_CMC, INSN_CLD, INSN_STD,
	INSN_OP_COUNT,
};
/* clang-format on */

/* Where an operand is. */
enum insn_operand {
	OPND_NONE,
	OPND_REG, /* general register insn.reg */
	OPND_RM,  /* general register insn.rm */
	OPND_MEM, /* memory at insn.seg : base + (index << scale) + disp, insn.msize bytes */
	OPND_IMM, /* insn.imm */
	OPND_SYS, /* segment, control or debug register number insn.reg */
};

/*
 * Register numbers besides enum x86_gpr. 16 to 19 are AH, CH, DH and BH, in operands only; the
 * other two appear in insn.base and insn.index only.
 */
enum insn_reg { INSN_REG_AH = 16, INSN_REG_RIP = 30, INSN_REG_NONE = 31 };

enum insn_prefix {
	INSN_PFX_OPSIZE = BIT(0), /* 66 */
	INSN_PFX_ASIZE = BIT(1),  /* 67 */
	INSN_PFX_LOCK = BIT(2),	  /* F0 */
	INSN_PFX_REPNE = BIT(3),  /* F2, and no F3 after it */
	INSN_PFX_REP = BIT(4),	  /* F3, and no F2 after it */
	INSN_PFX_SEG = BIT(5),	  /* a segment override that counts in this mode */
};

enum insn_rex { REX_B = BIT(0), REX_X = BIT(1), REX_R = BIT(2), REX_W = BIT(3) };

/* Moves that a memory-mapped device sees most; see insn_mov_store_value(). */
enum insn_mov { INSN_MOV_OTHER, INSN_MOV_LOAD, INSN_MOV_STORE };

/* One decoded instruction: a function of its bytes and the mode alone. */
struct insn {
	uint8_t op;	  /* enum insn_op */
	uint8_t len;	  /* bytes, 1 to 15 */
	uint8_t mode;	  /* enum insn_mode it was decoded for */
	uint8_t osize;	  /* operand size in bytes: 1, 2, 4 or 8 */
	uint8_t msize;	  /* bytes of the r/m operand; 0: no plain operand (LGDT, INVLPG, ...) */
	uint8_t asize;	  /* address size in bytes: 2, 4 or 8 */
	uint8_t seg;	  /* enum x86_seg of the memory operand, override applied */
	uint8_t dst;	  /* enum insn_operand */
	uint8_t src;	  /* enum insn_operand */
	uint8_t reg;	  /* enum x86_gpr or insn_reg; number of the OPND_SYS register */
	uint8_t rm;	  /* enum x86_gpr or insn_reg */
	uint8_t base;	  /* enum x86_gpr or insn_reg */
	uint8_t index;	  /* enum x86_gpr or insn_reg */
	uint8_t scale;	  /* shift of the index, 0 to 3 */
	uint8_t cc;	  /* condition code of SETcc and CMOVcc (SDM vol. 1, appendix B) */
	uint8_t prefixes; /* enum insn_prefix */
	uint8_t rex;	  /* the effective REX byte, 0: none */
	uint8_t modrm;	  /* ModRM byte, 0 if there is none */
	uint8_t mov;	  /* enum insn_mov */
	int64_t disp;	  /* sign-extended, or the full address of the MOV moffs forms */
	uint64_t imm;	  /* sign-extended; zero-extended for ports and INT n */
};
_Static_assert(sizeof(struct insn) <= 48, "decoded instructions are cached: keep them small");

/*
 * Decodes the instruction that starts at @bytes, of which @len are there; @out is meaningful only
 * with INSN_OK. Any bytes are acceptable input. No state, no locks, any context.
 */
enum insn_status __must_check insn_decode(struct insn *out, const uint8_t *bytes, size_t len,
					  enum insn_mode mode);

/* The mode that @state's code segment selects (SDM vol. 3, 3.4.5; APM vol. 2, 4.8.1). */
static inline enum insn_mode insn_mode_of(const struct x86_state *state)
{
	enum { LMA = BIT(10) };

	if ((state->efer & LMA) && (state->seg[SEG_CS].attr & SEG_ATTR_L))
		return INSN_MODE_64;
	return state->seg[SEG_CS].attr & SEG_ATTR_DB ? INSN_MODE_32 : INSN_MODE_16;
}

/* Moves RIP behind an instruction of @len bytes that is done, and clears RF with it. */
static inline void insn_skip(struct x86_state *state, enum insn_mode mode, unsigned len)
{
	state->rip += len;
	if (mode != INSN_MODE_64)
		state->rip = (uint32_t)state->rip;
	state->rflags &= ~(uint64_t)RFLAGS_RF;
}

/* The low @size bytes (1, 2, 4 or 8) of @value. */
static inline uint64_t insn_truncate(uint64_t value, unsigned size)
{
	return size >= 8 ? value : value & (BIT(8 * size) - 1);
}

/* The value of @size bytes, sign-extended. */
static inline uint64_t insn_sign_extend(uint64_t value, unsigned size)
{
	unsigned shift = 64 - 8 * MIN(size, 8u);

	return (uint64_t)((int64_t)(value << shift) >> shift);
}

/* Reads an operand register (enum x86_gpr, or INSN_REG_AH and up) of @size bytes. */
static inline uint64_t insn_reg_read(const struct x86_state *state, uint8_t reg, unsigned size)
{
	if (reg >= INSN_REG_AH)
		return (state->gpr[reg & 3] >> 8) & 0xff;
	return insn_truncate(state->gpr[reg & 15], size);
}

/* Writes an operand register: 1 and 2 bytes are merged, 4 bytes clear the upper half. */
static inline void insn_reg_write(struct x86_state *state, uint8_t reg, unsigned size,
				  uint64_t value)
{
	uint64_t *gpr = &state->gpr[reg & 15];

	if (reg >= INSN_REG_AH) {
		gpr = &state->gpr[reg & 3];
		*gpr = (*gpr & ~0xff00ull) | (value & 0xff) << 8;
	} else if (size <= 2) {
		uint64_t mask = BIT(8 * size) - 1;

		*gpr = (*gpr & ~mask) | (value & mask);
	} else {
		*gpr = insn_truncate(value, size);
	}
}

/*
 * The short way for memory-mapped devices: when a nested page fault gives the guest-physical
 * address, a plain move needs no address calculation. With insn->mov == INSN_MOV_STORE write
 * insn_mov_store_value() of insn->msize bytes to the device; with INSN_MOV_LOAD read insn->msize
 * bytes and give them to insn_mov_load_result(); then insn_skip(). The CPU has made the checks
 * of segments and pages. An access that leaves its page needs emulate().
 */
static inline uint64_t insn_mov_store_value(const struct insn *insn, const struct x86_state *state)
{
	if (insn->src == OPND_IMM)
		return insn_truncate(insn->imm, insn->msize);
	return insn_reg_read(state, insn->reg, insn->msize);
}

/* See insn_mov_store_value(). Extends @value as the instruction does and writes the register. */
static inline void insn_mov_load_result(const struct insn *insn, struct x86_state *state,
					uint64_t value)
{
	if (insn->op == INSN_MOVSX)
		value = insn_sign_extend(value, insn->msize);
	else
		value = insn_truncate(value, insn->msize);
	insn_reg_write(state, insn->reg, insn->osize, value);
}

#endif
