/* SPDX-License-Identifier: BSD-2-Clause */
/* The architectural state of a guest's CPU, as code without a vendor sees it. */
#ifndef SOCLE_GUEST_STATE_H
#define SOCLE_GUEST_STATE_H

#include "socle/base.h"

/* General registers in the order of their encoding (SDM vol. 2, table 3-1). */
enum x86_gpr {
	GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI,
	GPR_R8, GPR_R9, GPR_R10, GPR_R11, GPR_R12, GPR_R13, GPR_R14, GPR_R15,
	GPR_COUNT,
};

/* Segment registers in the order of their encoding, then the two system ones. */
enum x86_seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* Attributes of a segment as the VMCB packs them (APM vol. 2, 15.5). */
enum x86_seg_attr {
	SEG_ATTR_TYPE = 0xf,	/* for code and data: bit 3 code, 2 conforming/down, 1 R/W, 0 A */
	SEG_ATTR_S = BIT(4),	/* 0 system, 1 code or data */
	SEG_ATTR_DPL_SHIFT = 5,
	SEG_ATTR_DPL = 3 << 5,
	SEG_ATTR_P = BIT(7),
	SEG_ATTR_AVL = BIT(8),
	SEG_ATTR_L = BIT(9),
	SEG_ATTR_DB = BIT(10),
	SEG_ATTR_G = BIT(11),
};

struct x86_segment {
	uint16_t selector;
	uint16_t attr;	/* enum x86_seg_attr */
	uint32_t limit; /* expanded to bytes */
	uint64_t base;
};

struct x86_table {
	uint64_t base;
	uint16_t limit; /* in bytes, inclusive */
};

enum x86_rflags {
	RFLAGS_CF = BIT(0), RFLAGS_FIXED = BIT(1), RFLAGS_PF = BIT(2), RFLAGS_AF = BIT(4),
	RFLAGS_ZF = BIT(6), RFLAGS_SF = BIT(7), RFLAGS_TF = BIT(8), RFLAGS_IF = BIT(9),
	RFLAGS_DF = BIT(10), RFLAGS_OF = BIT(11), RFLAGS_IOPL = 3 << 12, RFLAGS_NT = BIT(14),
	RFLAGS_RF = BIT(16), RFLAGS_VM = BIT(17), RFLAGS_AC = BIT(18), RFLAGS_VIF = BIT(19),
	RFLAGS_VIP = BIT(20), RFLAGS_ID = BIT(21),
};

/* IA32_DEBUGCTL (SDM vol. 3, 18.4.1), DebugCtl (APM vol. 2, 13.1.1.6): what guests may set. */
enum debugctl {
	DEBUGCTL_LBR = BIT(0), /* record branches; the CPU clears both when it delivers #DB */
	DEBUGCTL_BTF = BIT(1), /* TF traps at branches only */
	DEBUGCTL_FREEZE_LBRS_ON_PMI = BIT(11),
};

/* Everything that the instruction emulator and the page walk need. */
struct x86_state {
	uint64_t gpr[GPR_COUNT]; /* indexed by enum x86_gpr */
	uint64_t rip;
	uint64_t rflags;
	uint64_t cr0, cr2, cr3, cr4;
	uint64_t efer; /* as the guest sees it */
	uint64_t dr6, dr7;
	uint64_t debugctl;		   /* enum debugctl */
	struct x86_segment seg[SEG_COUNT]; /* indexed by enum x86_seg */
	struct x86_table gdtr, idtr;
	uint8_t cpl;
};

enum x86_vector {
	VEC_DE = 0, VEC_DB = 1, VEC_NMI = 2, VEC_BP = 3, VEC_OF = 4, VEC_BR = 5, VEC_UD = 6,
	VEC_NM = 7, VEC_DF = 8, VEC_TS = 10, VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14,
	VEC_MF = 16, VEC_AC = 17, VEC_MC = 18, VEC_XM = 19, VEC_VE = 20, VEC_CP = 21,
};

/* An exception to be raised in the guest (SDM vol. 3, chapter 6). */
struct x86_exception {
	uint8_t vector; /* enum x86_vector */
	bool has_error; /* pushes @error */
	uint32_t error;
	bool has_payload; /* #PF: address for CR2; #DB: bits for DR6 (pending-debug format) */
	uint64_t payload;
};

#endif
