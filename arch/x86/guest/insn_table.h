/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors of the decoder's opcode tables; private to the decoder. */
#ifndef GUEST_INSN_TABLE_H
#define GUEST_INSN_TABLE_H

#include "socle/base.h"
#include "socle/guest/insn.h"

/*
 * Which bytes follow the opcode, and which operands they name. E is ModRM.rm, G is ModRM.reg. The
 * forms from FORM_E on have a ModRM.
 */
enum insn_form {
	FORM_NONE,     /* nothing follows */
	FORM_A_IMM,    /* accumulator, immediate */
	FORM_A_MOFFS,  /* accumulator, memory at an absolute offset */
	FORM_MOFFS_A,  /* the reverse */
	FORM_Z_A,      /* register in the opcode's low bits, accumulator */
	FORM_Z,	       /* register in the opcode's low bits */
	FORM_Z_IMM,    /* register in the opcode's low bits, immediate of full size */
	FORM_IMM8,     /* zero-extended byte */
	FORM_E,	       /* E */
	FORM_E_G,      /* E, G */
	FORM_G_E,      /* G, E */
	FORM_G_E_IMM,  /* G, E, immediate */
	FORM_G_E_IMM8, /* G, E, sign-extended byte */
	FORM_E_IMM,    /* E, immediate of at most 4 bytes */
	FORM_E_IMM8,   /* E, sign-extended byte */
	FORM_E_1,      /* E, the constant 1 */
	FORM_E_CL,     /* E, CL */
	FORM_S_E,      /* ModRM.reg numbers a segment register; the other operand is E */
	FORM_E_S,      /* the reverse */
	FORM_SYS_R,    /* ModRM.reg numbers a control or debug register, rm is always a register */
	FORM_R_SYS,    /* the reverse */
};

enum insn_opcode_flag {
	OPC_BYTE = BIT(0),     /* operand size 1 */
	OPC_LOCK = BIT(1),     /* LOCK is allowed when the destination is memory */
	OPC_NOT64 = BIT(2),    /* undefined in 64-bit mode */
	OPC_D64 = BIT(3),      /* operand size 8 in 64-bit mode unless 66 makes it 2 */
	OPC_F64 = BIT(4),      /* operand size 8 in 64-bit mode, else 4, whatever the prefixes */
	OPC_MAX4 = BIT(5),     /* operand size 4 with REX.W */
	OPC_MEM = BIT(6),      /* E must be memory */
	OPC_REG = BIT(7),      /* E must be a register */
	OPC_SRC8 = BIT(8),     /* E has 1 byte */
	OPC_SRC16 = BIT(9),    /* E has 2 bytes */
	OPC_SRC32 = BIT(21),   /* E has at most 4 bytes */
	OPC_SRC64 = BIT(22),   /* E has 8 bytes, or 16 with REX.W */
	OPC_MEM16 = BIT(10),   /* E has 2 bytes if it is memory */
	OPC_NOSIZE = BIT(11),  /* E is an address, not an operand of its own size */
	OPC_NO66 = BIT(12),    /* another instruction with 66 */
	OPC_NOREP = BIT(13),   /* another instruction with F2 or F3 */
	OPC_REQ66 = BIT(14),   /* another instruction without 66 */
	OPC_GROUP = BIT(15),   /* op is an enum insn_group, indexed by ModRM.reg */
	OPC_MIN4 = BIT(16),    /* 66 does not count */
	OPC_ONLY64 = BIT(17),  /* undefined outside of 64-bit mode */
	OPC_VARIANT = BIT(18), /* see pick_variant() */
	OPC_PREFIX = BIT(19),  /* no opcode but a legacy prefix */
	OPC_MOV = BIT(20),     /* a plain move: sets insn.mov */
	OPC_NP = OPC_NO66 | OPC_NOREP,
	OPC_SIZES = OPC_BYTE | OPC_D64 | OPC_F64 | OPC_MAX4 | OPC_MIN4,
	OPC_WIDTHS = OPC_SRC8 | OPC_SRC16 | OPC_SRC32 | OPC_SRC64 | OPC_MEM16 | OPC_NOSIZE,
	OPC_CHECKS = OPC_NOT64 | OPC_ONLY64 | OPC_MEM | OPC_REG | OPC_NP | OPC_REQ66,
};

enum insn_group {
	GROUP_1,
	GROUP_1A,
	GROUP_2,
	GROUP_3,
	GROUP_4,
	GROUP_5,
	GROUP_6,
	GROUP_7,
	GROUP_8,
	GROUP_9,
	GROUP_11,
	GROUP_15,
	GROUP_COUNT,
};

struct insn_opcode {
	uint8_t op;	/* enum insn_op, or enum insn_group with OPC_GROUP; 0: not known */
	uint8_t form;	/* enum insn_form; in a group: FORM_NONE for the one of the opcode */
	uint32_t flags; /* enum insn_opcode_flag; a group's are added to the opcode's */
};

extern const struct insn_opcode insn_one_byte[256];	     /* by opcode */
extern const struct insn_opcode insn_two_byte[256];	     /* 0F, by opcode */
extern const struct insn_opcode insn_groups[GROUP_COUNT][8]; /* by ModRM.reg */
extern const struct insn_opcode insn_0f01[64]; /* 0F 01 with mod 3, by ModRM's low bits */

/* 0F 38, by opcode. NULL if not known. */
const struct insn_opcode *insn_0f38(uint8_t opcode);

#endif
