/* SPDX-License-Identifier: BSD-2-Clause */
/* The decoder's opcode tables (SDM vol. 2, appendix A; APM vol. 3, appendix A). */
#include "insn_table.h"

/* clang-format off */

/* The six encodings of one of ADD to CMP. */
#define ALU(first, op, lock) \
	[(first) + 0] = {op, FORM_E_G, OPC_BYTE | (lock)}, [(first) + 1] = {op, FORM_E_G, lock}, \
	[(first) + 2] = {op, FORM_G_E, OPC_BYTE},          [(first) + 3] = {op, FORM_G_E, 0}, \
	[(first) + 4] = {op, FORM_A_IMM, OPC_BYTE},        [(first) + 5] = {op, FORM_A_IMM, 0}
/* An opcode pair: bytes, then words. */
#define PAIR(first, op, form, flags) \
	[first] = {op, form, OPC_BYTE | (flags)}, [(first) + 1] = {op, form, flags}

#define PREFIX {0, 0, OPC_PREFIX}

const struct insn_opcode insn_one_byte[256] = {
	ALU(0x00, INSN_ADD, OPC_LOCK), ALU(0x08, INSN_OR, OPC_LOCK),
	ALU(0x10, INSN_ADC, OPC_LOCK), ALU(0x18, INSN_SBB, OPC_LOCK),
	ALU(0x20, INSN_AND, OPC_LOCK), ALU(0x28, INSN_SUB, OPC_LOCK),
	ALU(0x30, INSN_XOR, OPC_LOCK), ALU(0x38, INSN_CMP, 0),
	[0x26] = PREFIX, [0x2e] = PREFIX, [0x36] = PREFIX, [0x3e] = PREFIX,
	[0x64 ... 0x67] = PREFIX, [0xf0] = PREFIX, [0xf2 ... 0xf3] = PREFIX,
	[0x40 ... 0x47] = {INSN_INC, FORM_Z, OPC_NOT64},
	[0x48 ... 0x4f] = {INSN_DEC, FORM_Z, OPC_NOT64},
	[0x63] = {INSN_MOVSX, FORM_G_E, OPC_MOV | OPC_SRC32 | OPC_VARIANT}, /* MOVSXD; ARPL outside of 64-bit mode */
	[0x69] = {INSN_IMUL_IMM, FORM_G_E_IMM, 0},
	[0x6b] = {INSN_IMUL_IMM, FORM_G_E_IMM8, 0},
	PAIR(0x6c, INSN_INS, FORM_NONE, OPC_MAX4),
	PAIR(0x6e, INSN_OUTS, FORM_NONE, OPC_MAX4),
	[0x80] = {GROUP_1, FORM_E_IMM, OPC_GROUP | OPC_BYTE},
	[0x81] = {GROUP_1, FORM_E_IMM, OPC_GROUP},
	[0x82] = {GROUP_1, FORM_E_IMM, OPC_GROUP | OPC_BYTE | OPC_NOT64},
	[0x83] = {GROUP_1, FORM_E_IMM8, OPC_GROUP},
	PAIR(0x84, INSN_TEST, FORM_E_G, 0),
	PAIR(0x86, INSN_XCHG, FORM_E_G, OPC_LOCK),
	PAIR(0x88, INSN_MOV, FORM_E_G, OPC_MOV),
	PAIR(0x8a, INSN_MOV, FORM_G_E, OPC_MOV),
	[0x8c] = {INSN_MOV_FROM_SREG, FORM_E_S, OPC_MEM16},
	[0x8e] = {INSN_MOV_TO_SREG, FORM_S_E, OPC_SRC16},
	[0x8f] = {GROUP_1A, FORM_E, OPC_GROUP | OPC_D64},
	[0x90 ... 0x97] = {INSN_XCHG, FORM_Z_A, OPC_VARIANT}, /* 90: NOP without REX.B; PAUSE with F3 */
	[0x9c] = {INSN_PUSHF, FORM_NONE, OPC_D64},
	[0x9d] = {INSN_POPF, FORM_NONE, OPC_D64},
	PAIR(0xa0, INSN_MOV, FORM_A_MOFFS, OPC_MOV),
	PAIR(0xa2, INSN_MOV, FORM_MOFFS_A, OPC_MOV),
	PAIR(0xa4, INSN_MOVS, FORM_NONE, 0),
	PAIR(0xa6, INSN_CMPS, FORM_NONE, 0),
	PAIR(0xa8, INSN_TEST, FORM_A_IMM, 0),
	PAIR(0xaa, INSN_STOS, FORM_NONE, 0),
	PAIR(0xac, INSN_LODS, FORM_NONE, 0),
	PAIR(0xae, INSN_SCAS, FORM_NONE, 0),
	[0xb0 ... 0xb7] = {INSN_MOV, FORM_Z_IMM, OPC_BYTE},
	[0xb8 ... 0xbf] = {INSN_MOV, FORM_Z_IMM, 0},
	PAIR(0xc0, GROUP_2, FORM_E_IMM8, OPC_GROUP),
	PAIR(0xc6, GROUP_11, FORM_E_IMM, OPC_GROUP),
	[0xcc] = {INSN_INT3, FORM_NONE, 0},
	[0xcd] = {INSN_INT, FORM_IMM8, 0},
	[0xce] = {INSN_INTO, FORM_NONE, OPC_NOT64},
	[0xcf] = {INSN_IRET, FORM_NONE, 0},
	PAIR(0xd0, GROUP_2, FORM_E_1, OPC_GROUP),
	PAIR(0xd2, GROUP_2, FORM_E_CL, OPC_GROUP),
	PAIR(0xe4, INSN_IN, FORM_IMM8, OPC_MAX4),
	PAIR(0xe6, INSN_OUT, FORM_IMM8, OPC_MAX4),
	PAIR(0xec, INSN_IN, FORM_NONE, OPC_MAX4),
	PAIR(0xee, INSN_OUT, FORM_NONE, OPC_MAX4),
	[0xf1] = {INSN_ICEBP, FORM_NONE, 0},
	[0xf4] = {INSN_HLT, FORM_NONE, 0},
	[0xf5] = {INSN_CMC, FORM_NONE, 0},
	PAIR(0xf6, GROUP_3, FORM_E, OPC_GROUP),
	[0xf8] = {INSN_CLC, FORM_NONE, 0},
	[0xf9] = {INSN_STC, FORM_NONE, 0},
	[0xfa] = {INSN_CLI, FORM_NONE, 0},
	[0xfb] = {INSN_STI, FORM_NONE, 0},
	[0xfc] = {INSN_CLD, FORM_NONE, 0},
	[0xfd] = {INSN_STD, FORM_NONE, 0},
	[0xfe] = {GROUP_4, FORM_E, OPC_GROUP | OPC_BYTE},
	[0xff] = {GROUP_5, FORM_E, OPC_GROUP},
};

const struct insn_opcode insn_two_byte[256] = {
	[0x00] = {GROUP_6, FORM_E, OPC_GROUP},
	[0x01] = {GROUP_7, FORM_E, OPC_GROUP}, /* with mod 3 see insn_0f01 */
	[0x06] = {INSN_CLTS, FORM_NONE, 0},
	[0x08] = {INSN_INVD, FORM_NONE, 0},
	[0x09] = {INSN_WBINVD, FORM_NONE, OPC_VARIANT}, /* F3: WBNOINVD */
	[0x20] = {INSN_MOV_FROM_CR, FORM_R_SYS, OPC_F64},
	[0x21] = {INSN_MOV_FROM_DR, FORM_R_SYS, OPC_F64},
	[0x22] = {INSN_MOV_TO_CR, FORM_SYS_R, OPC_F64},
	[0x23] = {INSN_MOV_TO_DR, FORM_SYS_R, OPC_F64},
	[0x30] = {INSN_WRMSR, FORM_NONE, 0},
	[0x31] = {INSN_RDTSC, FORM_NONE, 0},
	[0x32] = {INSN_RDMSR, FORM_NONE, 0},
	[0x33] = {INSN_RDPMC, FORM_NONE, 0},
	[0x40 ... 0x4f] = {INSN_CMOVCC, FORM_G_E, 0},
	[0x90 ... 0x9f] = {INSN_SETCC, FORM_E, OPC_BYTE},
	[0xa2] = {INSN_CPUID, FORM_NONE, 0},
	[0xa3] = {INSN_BT, FORM_E_G, 0},
	[0xab] = {INSN_BTS, FORM_E_G, OPC_LOCK},
	[0xae] = {GROUP_15, FORM_E, OPC_GROUP},
	[0xaf] = {INSN_IMUL, FORM_G_E, 0},
	PAIR(0xb0, INSN_CMPXCHG, FORM_E_G, OPC_LOCK),
	[0xb3] = {INSN_BTR, FORM_E_G, OPC_LOCK},
	[0xb6] = {INSN_MOVZX, FORM_G_E, OPC_MOV | OPC_SRC8},
	[0xb7] = {INSN_MOVZX, FORM_G_E, OPC_MOV | OPC_SRC16},
	[0xba] = {GROUP_8, FORM_E_IMM8, OPC_GROUP},
	[0xbb] = {INSN_BTC, FORM_E_G, OPC_LOCK},
	[0xbe] = {INSN_MOVSX, FORM_G_E, OPC_MOV | OPC_SRC8},
	[0xbf] = {INSN_MOVSX, FORM_G_E, OPC_MOV | OPC_SRC16},
	PAIR(0xc0, INSN_XADD, FORM_E_G, OPC_LOCK),
	[0xc3] = {INSN_MOVNTI, FORM_E_G, OPC_MOV | OPC_MEM | OPC_NP | OPC_MIN4},
	[0xc7] = {GROUP_9, FORM_E, OPC_GROUP},
};

const struct insn_opcode *insn_0f38(uint8_t opcode)
{
	static const struct insn_opcode invpcid = {INSN_INVPCID, FORM_G_E,
						   OPC_F64 | OPC_MEM | OPC_NOSIZE | OPC_REQ66 |
							   OPC_NOREP};
	static const struct insn_opcode movbe_load = {INSN_MOVBE, FORM_G_E, OPC_MEM | OPC_NOREP};
	static const struct insn_opcode movbe_store = {INSN_MOVBE, FORM_E_G, OPC_MEM | OPC_NOREP};

	switch (opcode) {
	case 0x82:
		return &invpcid;
	case 0xf0:
		return &movbe_load;
	case 0xf1:
		return &movbe_store;
	default:
		return NULL;
	}
}

const struct insn_opcode insn_groups[GROUP_COUNT][8] = {
	[GROUP_1] = {
		{INSN_ADD, 0, OPC_LOCK}, {INSN_OR, 0, OPC_LOCK},
		{INSN_ADC, 0, OPC_LOCK}, {INSN_SBB, 0, OPC_LOCK},
		{INSN_AND, 0, OPC_LOCK}, {INSN_SUB, 0, OPC_LOCK},
		{INSN_XOR, 0, OPC_LOCK}, {INSN_CMP, 0, 0},
	},
	[GROUP_1A] = {[0] = {INSN_POP, 0, 0}}, /* the others are XOP */
	[GROUP_2] = {
		{INSN_ROL, 0, 0}, {INSN_ROR, 0, 0}, {INSN_RCL, 0, 0}, {INSN_RCR, 0, 0},
		{INSN_SHL, 0, 0}, {INSN_SHR, 0, 0}, {INSN_SAL, 0, 0}, {INSN_SAR, 0, 0},
	},
	[GROUP_3] = {
		[0] = {INSN_TEST, FORM_E_IMM, 0}, [1] = {INSN_TEST, FORM_E_IMM, 0},
		[2] = {INSN_NOT, 0, OPC_LOCK}, [3] = {INSN_NEG, 0, OPC_LOCK},
	},
	[GROUP_4] = {[0] = {INSN_INC, 0, OPC_LOCK}, [1] = {INSN_DEC, 0, OPC_LOCK}},
	[GROUP_5] = {
		[0] = {INSN_INC, 0, OPC_LOCK}, [1] = {INSN_DEC, 0, OPC_LOCK},
		[6] = {INSN_PUSH, 0, OPC_D64},
	},
	[GROUP_6] = {
		{INSN_SLDT, 0, OPC_MEM16}, {INSN_STR, 0, OPC_MEM16}, {INSN_LLDT, 0, OPC_SRC16},
		{INSN_LTR, 0, OPC_SRC16}, {INSN_VERR, 0, OPC_SRC16}, {INSN_VERW, 0, OPC_SRC16},
	},
	[GROUP_7] = {
		{INSN_SGDT, 0, OPC_F64 | OPC_MEM | OPC_NOSIZE},
		{INSN_SIDT, 0, OPC_F64 | OPC_MEM | OPC_NOSIZE},
		{INSN_LGDT, 0, OPC_F64 | OPC_MEM | OPC_NOSIZE},
		{INSN_LIDT, 0, OPC_F64 | OPC_MEM | OPC_NOSIZE},
		{INSN_SMSW, 0, OPC_MEM16}, {INSN_NONE, 0, 0},
		{INSN_LMSW, 0, OPC_SRC16}, {INSN_INVLPG, 0, OPC_MEM | OPC_NOSIZE},
	},
	[GROUP_8] = {
		[4] = {INSN_BT, 0, 0}, [5] = {INSN_BTS, 0, OPC_LOCK},
		[6] = {INSN_BTR, 0, OPC_LOCK}, [7] = {INSN_BTC, 0, OPC_LOCK},
	},
	[GROUP_9] = {
		[1] = {INSN_CMPXCHG8B, 0, OPC_MEM | OPC_LOCK | OPC_SRC64},
		[6] = {INSN_RDRAND, 0, OPC_REG | OPC_NOREP},
		[7] = {INSN_RDSEED, 0, OPC_REG | OPC_VARIANT}, /* F3: RDPID */
	},
	[GROUP_11] = {[0] = {INSN_MOV, 0, OPC_MOV}},
	[GROUP_15] = {
		[6] = {INSN_CLWB, 0, OPC_MEM | OPC_REQ66 | OPC_NOREP | OPC_NOSIZE},
		[7] = {INSN_CLFLUSH, 0, OPC_MEM | OPC_NOREP | OPC_NOSIZE}, /* 66: CLFLUSHOPT */
	},
};

#define MOD3(modrm) [(modrm) & 0x3f]

const struct insn_opcode insn_0f01[64] = {
	MOD3(0xc0) = {INSN_ENCLV, 0, OPC_NP},
	MOD3(0xc1) = {INSN_VMCALL, 0, OPC_NP},
	MOD3(0xc2) = {INSN_VMLAUNCH, 0, OPC_NP},
	MOD3(0xc3) = {INSN_VMRESUME, 0, OPC_NP},
	MOD3(0xc4) = {INSN_VMXOFF, 0, OPC_NP},
	MOD3(0xc6) = {INSN_WRMSRNS, 0, OPC_NP},
	MOD3(0xc8) = {INSN_MONITOR, 0, OPC_NP},
	MOD3(0xc9) = {INSN_MWAIT, 0, OPC_NP},
	MOD3(0xca) = {INSN_CLAC, 0, OPC_NP},
	MOD3(0xcb) = {INSN_STAC, 0, OPC_NP},
	MOD3(0xcf) = {INSN_ENCLS, 0, OPC_NP},
	MOD3(0xd0) = {INSN_XGETBV, 0, OPC_NP},
	MOD3(0xd1) = {INSN_XSETBV, 0, OPC_NP},
	MOD3(0xd4) = {INSN_VMFUNC, 0, OPC_NP},
	MOD3(0xd5) = {INSN_XEND, 0, OPC_NP},
	MOD3(0xd6) = {INSN_XTEST, 0, OPC_NP},
	MOD3(0xd7) = {INSN_ENCLU, 0, OPC_NP},
	MOD3(0xd8) = {INSN_VMRUN, 0, 0},
	MOD3(0xd9) = {INSN_VMMCALL, 0, 0},
	MOD3(0xda) = {INSN_VMLOAD, 0, 0},
	MOD3(0xdb) = {INSN_VMSAVE, 0, 0},
	MOD3(0xdc) = {INSN_STGI, 0, 0},
	MOD3(0xdd) = {INSN_CLGI, 0, 0},
	MOD3(0xde) = {INSN_SKINIT, 0, 0},
	MOD3(0xdf) = {INSN_INVLPGA, 0, 0},
	MOD3(0xe8) = {INSN_SERIALIZE, 0, OPC_NP},
	MOD3(0xee) = {INSN_RDPKRU, 0, OPC_NP},
	MOD3(0xef) = {INSN_WRPKRU, 0, OPC_NP},
	MOD3(0xf8) = {INSN_SWAPGS, 0, OPC_ONLY64},
	MOD3(0xf9) = {INSN_RDTSCP, 0, 0},
	MOD3(0xfa) = {INSN_MONITORX, 0, OPC_NP},
	MOD3(0xfb) = {INSN_MWAITX, 0, OPC_NP},
	MOD3(0xfc) = {INSN_CLZERO, 0, 0},
	MOD3(0xfd) = {INSN_RDPRU, 0, 0},
	MOD3(0xfe) = {INSN_INVLPGB, 0, OPC_NP},
	MOD3(0xff) = {INSN_TLBSYNC, 0, OPC_NP},
};
