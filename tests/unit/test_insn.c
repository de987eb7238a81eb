/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction decoder against Zydis, exhaustively over opcodes and on random bytes.
 * libs: -lZydis -lZycore
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <Zydis/Zydis.h>

#include "../../arch/x86/guest/insn.c"
#include "../../arch/x86/guest/insn_table.c"

static ZydisDecoder decoders[3]; /* by enum insn_mode */
static ZydisMnemonic last_mnemonic;
static unsigned accepted[INSN_OP_COUNT]; /* times that both decoders agreed on an operation */

/* clang-format off */
#define M(name) ZYDIS_MNEMONIC_##name

/* The mnemonics of each operation. */
static const ZydisMnemonic mnemonics[INSN_OP_COUNT][16] = {
	[INSN_ADD] = {M(ADD)}, [INSN_OR] = {M(OR)}, [INSN_ADC] = {M(ADC)}, [INSN_SBB] = {M(SBB)},
	[INSN_AND] = {M(AND)}, [INSN_SUB] = {M(SUB)}, [INSN_XOR] = {M(XOR)}, [INSN_CMP] = {M(CMP)},
	[INSN_ROL] = {M(ROL)}, [INSN_ROR] = {M(ROR)}, [INSN_RCL] = {M(RCL)}, [INSN_RCR] = {M(RCR)},
	[INSN_SHL] = {M(SHL)}, [INSN_SHR] = {M(SHR)}, [INSN_SAL] = {M(SHL), M(SALC)},
	[INSN_SAR] = {M(SAR)},
	[INSN_BT] = {M(BT)}, [INSN_BTS] = {M(BTS)}, [INSN_BTR] = {M(BTR)}, [INSN_BTC] = {M(BTC)},
	[INSN_TEST] = {M(TEST)}, [INSN_NOT] = {M(NOT)}, [INSN_NEG] = {M(NEG)},
	[INSN_INC] = {M(INC)}, [INSN_DEC] = {M(DEC)}, [INSN_IMUL] = {M(IMUL)}, [INSN_IMUL_IMM] = {M(IMUL)},
	[INSN_XCHG] = {M(XCHG)}, [INSN_XADD] = {M(XADD)}, [INSN_CMPXCHG] = {M(CMPXCHG)},
	[INSN_CMPXCHG8B] = {M(CMPXCHG8B), M(CMPXCHG16B)},
	[INSN_MOV] = {M(MOV)}, [INSN_MOVZX] = {M(MOVZX)}, [INSN_MOVSX] = {M(MOVSX), M(MOVSXD)},
	[INSN_MOVNTI] = {M(MOVNTI)}, [INSN_MOVBE] = {M(MOVBE)},
	[INSN_SETCC] = {M(SETO), M(SETNO), M(SETB), M(SETNB), M(SETZ), M(SETNZ), M(SETBE),
		M(SETNBE), M(SETS), M(SETNS), M(SETP), M(SETNP), M(SETL), M(SETNL), M(SETLE),
		M(SETNLE)},
	[INSN_CMOVCC] = {M(CMOVO), M(CMOVNO), M(CMOVB), M(CMOVNB), M(CMOVZ), M(CMOVNZ), M(CMOVBE),
		M(CMOVNBE), M(CMOVS), M(CMOVNS), M(CMOVP), M(CMOVNP), M(CMOVL), M(CMOVNL),
		M(CMOVLE), M(CMOVNLE)},
	[INSN_PUSH] = {M(PUSH)}, [INSN_POP] = {M(POP)},
	[INSN_CLFLUSH] = {M(CLFLUSH), M(CLFLUSHOPT)}, [INSN_CLWB] = {M(CLWB)},
	[INSN_MOVS] = {M(MOVSB), M(MOVSW), M(MOVSD), M(MOVSQ)},
	[INSN_CMPS] = {M(CMPSB), M(CMPSW), M(CMPSD), M(CMPSQ)},
	[INSN_STOS] = {M(STOSB), M(STOSW), M(STOSD), M(STOSQ)},
	[INSN_LODS] = {M(LODSB), M(LODSW), M(LODSD), M(LODSQ)},
	[INSN_SCAS] = {M(SCASB), M(SCASW), M(SCASD), M(SCASQ)},
	[INSN_INS] = {M(INSB), M(INSW), M(INSD)}, [INSN_OUTS] = {M(OUTSB), M(OUTSW), M(OUTSD)},
	[INSN_IN] = {M(IN)}, [INSN_OUT] = {M(OUT)},
	[INSN_MOV_FROM_SREG] = {M(MOV)}, [INSN_MOV_TO_SREG] = {M(MOV)},
	[INSN_MOV_FROM_CR] = {M(MOV)}, [INSN_MOV_TO_CR] = {M(MOV)},
	[INSN_MOV_FROM_DR] = {M(MOV)}, [INSN_MOV_TO_DR] = {M(MOV)},
	[INSN_CLTS] = {M(CLTS)}, [INSN_LMSW] = {M(LMSW)}, [INSN_SMSW] = {M(SMSW)},
	[INSN_SGDT] = {M(SGDT)}, [INSN_SIDT] = {M(SIDT)}, [INSN_LGDT] = {M(LGDT)},
	[INSN_LIDT] = {M(LIDT)}, [INSN_SLDT] = {M(SLDT)}, [INSN_STR] = {M(STR)},
	[INSN_LLDT] = {M(LLDT)}, [INSN_LTR] = {M(LTR)}, [INSN_VERR] = {M(VERR)},
	[INSN_VERW] = {M(VERW)}, [INSN_INVLPG] = {M(INVLPG)}, [INSN_INVPCID] = {M(INVPCID)},
	[INSN_INVD] = {M(INVD)}, [INSN_WBINVD] = {M(WBINVD)}, [INSN_WBNOINVD] = {M(WBINVD)},
	[INSN_INVLPGA] = {M(INVLPGA)}, [INSN_INVLPGB] = {M(INVLPGB)}, [INSN_TLBSYNC] = {M(TLBSYNC)},
	[INSN_CPUID] = {M(CPUID)}, [INSN_RDMSR] = {M(RDMSR)}, [INSN_WRMSR] = {M(WRMSR)},
	[INSN_RDTSC] = {M(RDTSC)}, [INSN_RDTSCP] = {M(RDTSCP)}, [INSN_RDPMC] = {M(RDPMC)},
	[INSN_RDPRU] = {M(RDPRU)}, [INSN_RDRAND] = {M(RDRAND)}, [INSN_RDSEED] = {M(RDSEED)},
	[INSN_RDPID] = {M(RDPID)}, [INSN_HLT] = {M(HLT)}, [INSN_PAUSE] = {M(PAUSE)},
	[INSN_NOP] = {M(NOP)}, [INSN_MONITOR] = {M(MONITOR)}, [INSN_MWAIT] = {M(MWAIT)},
	[INSN_MONITORX] = {M(MONITORX)}, [INSN_MWAITX] = {M(MWAITX)}, [INSN_XGETBV] = {M(XGETBV)},
	[INSN_XSETBV] = {M(XSETBV)}, [INSN_RDPKRU] = {M(RDPKRU)}, [INSN_WRPKRU] = {M(WRPKRU)},
	[INSN_SWAPGS] = {M(SWAPGS)}, [INSN_CLAC] = {M(CLAC)}, [INSN_STAC] = {M(STAC)},
	[INSN_SERIALIZE] = {M(SERIALIZE)}, [INSN_CLZERO] = {M(CLZERO)},
	[INSN_VMCALL] = {M(VMCALL)}, [INSN_VMLAUNCH] = {M(VMLAUNCH)},
	[INSN_VMRESUME] = {M(VMRESUME)}, [INSN_VMXOFF] = {M(VMXOFF)}, [INSN_VMFUNC] = {M(VMFUNC)},
	[INSN_VMRUN] = {M(VMRUN)}, [INSN_VMMCALL] = {M(VMMCALL)}, [INSN_VMLOAD] = {M(VMLOAD)},
	[INSN_VMSAVE] = {M(VMSAVE)}, [INSN_STGI] = {M(STGI)}, [INSN_CLGI] = {M(CLGI)},
	[INSN_SKINIT] = {M(SKINIT)}, [INSN_ENCLV] = {M(ENCLV)}, [INSN_ENCLS] = {M(ENCLS)},
	[INSN_ENCLU] = {M(ENCLU)}, [INSN_XEND] = {M(XEND)}, [INSN_XTEST] = {M(XTEST)},
	[INSN_INT] = {M(INT)}, [INSN_INT3] = {M(INT3)}, [INSN_INTO] = {M(INTO)},
	[INSN_ICEBP] = {M(INT1)}, [INSN_IRET] = {M(IRET), M(IRETD), M(IRETQ)},
	[INSN_PUSHF] = {M(PUSHF), M(PUSHFD), M(PUSHFQ)},
	[INSN_POPF] = {M(POPF), M(POPFD), M(POPFQ)},
	[INSN_CLI] = {M(CLI)}, [INSN_STI] = {M(STI)}, [INSN_CLC] = {M(CLC)}, [INSN_STC] = {M(STC)},
	[INSN_CMC] = {M(CMC)}, [INSN_CLD] = {M(CLD)}, [INSN_STD] = {M(STD)},
};
/* clang-format on */

static bool names(uint8_t op, ZydisMnemonic mnemonic)
{
	for (unsigned i = 0; i < 16; i++) {
		if (mnemonics[op][i] == mnemonic)
			return true;
	}
	return false;
}

/* Must an instruction that Zydis knows be known to us? */
static bool is_claimed(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return false;
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP: /* memory only */
		return ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
	case ZYDIS_MNEMONIC_IMUL: /* not the one-operand form */
		return z->operand_count_visible >= 2;
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_CMPSD: /* the strings, not SSE */
		return z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT;
	case ZYDIS_MNEMONIC_NOP: /* only 90 */
		return z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT;
	case ZYDIS_MNEMONIC_SALC:
		return false;
	default:
		break;
	}
	for (unsigned op = INSN_NONE + 1; op < INSN_OP_COUNT; op++) {
		if (names((uint8_t)op, z->mnemonic))
			return true;
	}
	return false;
}

static void __noreturn differ(const uint8_t *bytes, enum insn_mode mode, const char *what,
			      long long ours, long long theirs)
{
	printf("mode %d:", mode);
	for (unsigned i = 0; i < INSN_MAX_LEN; i++)
		printf(" %02x", bytes[i]);
	printf("\n%s: we have %lld (%#llx), Zydis %lld (%#llx) %s\n", what, ours, ours, theirs,
	       theirs, ZydisMnemonicGetString(last_mnemonic));
	fail();
	__builtin_unreachable();
}

#define SAME(what, ours, theirs)                                                    \
	do {                                                                        \
		long long ours_ = (long long)(ours), theirs_ = (long long)(theirs); \
		if (ours_ != theirs_)                                               \
			differ(bytes, mode, what, ours_, theirs_);                  \
	} while (0)

/* Our number of a Zydis general, segment, control or debug register. */
static int register_number(ZydisRegister reg)
{
	ZydisRegisterClass class = ZydisRegisterGetClass(reg);

	if (reg == ZYDIS_REGISTER_NONE)
		return INSN_REG_NONE;
	if (class == ZYDIS_REGCLASS_IP)
		return INSN_REG_RIP;
	if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
		return INSN_REG_AH + (reg - ZYDIS_REGISTER_AH);
	if (class == ZYDIS_REGCLASS_GPR8 && reg >= ZYDIS_REGISTER_SPL)
		return GPR_RSP + (reg - ZYDIS_REGISTER_SPL);
	return ZydisRegisterGetId(reg);
}

static int segment_number(ZydisRegister reg)
{
	return reg - ZYDIS_REGISTER_ES;
}

/*
 * Is the width of E to be compared? Not for MOVSXD with 66: its source has 16 bits (SDM vol. 2,
 * MOVSXD), Zydis says 32.
 */
static bool has_width(const struct insn *insn)
{
	bool movsxd16 = insn->op == INSN_MOVSX && insn->osize == 2 && insn->msize == 2;

	return insn->msize && insn->op != INSN_CMPXCHG8B && insn->op != INSN_LMSW && !movsxd16;
}

static void compare_memory(const struct insn *insn, const ZydisDecodedOperand *op,
			   const uint8_t *bytes, enum insn_mode mode)
{
	SAME("base", insn->base, register_number(op->mem.base));
	SAME("index", insn->index, register_number(op->mem.index));
	if (op->mem.index != ZYDIS_REGISTER_NONE)
		SAME("scale", 1 << insn->scale, op->mem.scale);
	SAME("disp", insn->disp, op->mem.disp.has_displacement ? op->mem.disp.value : 0);
	SAME("segment", insn->seg, segment_number(op->mem.segment));
	if (has_width(insn))
		SAME("msize", insn->msize * 8, op->size);
}

static void compare_operand(const struct insn *insn, uint8_t kind, const ZydisDecodedOperand *op,
			    const uint8_t *bytes, enum insn_mode mode)
{
	switch (kind) {
	case OPND_REG:
	case OPND_SYS:
		SAME("kind", ZYDIS_OPERAND_TYPE_REGISTER, op->type);
		SAME("reg", insn->reg, register_number(op->reg.value));
		break;
	case OPND_RM:
		SAME("kind", ZYDIS_OPERAND_TYPE_REGISTER, op->type);
		SAME("rm", insn->rm, register_number(op->reg.value));
		if (has_width(insn))
			SAME("msize", insn->msize * 8, op->size);
		break;
	case OPND_MEM:
		SAME("kind", ZYDIS_OPERAND_TYPE_MEMORY, op->type);
		/*
		 * Without displacement there is no base R13, as there is no RBP (SDM vol. 2, table
		 * 2-5), but Zydis 4.0 says so; see test_status().
		 */
		if (op->mem.base != ZYDIS_REGISTER_NONE && (insn->modrm >> 6) == 0 &&
		    insn->asize > 2 && register_number(op->mem.base) == GPR_R13)
			break;
		compare_memory(insn, op, bytes, mode);
		break;
	case OPND_IMM:
		SAME("kind", ZYDIS_OPERAND_TYPE_IMMEDIATE, op->type);
		SAME("imm", insn_truncate(insn->imm, op->size ? op->size / 8 : 8),
		     insn_truncate(op->imm.value.u, op->size ? op->size / 8 : 8));
		break;
	}
}

/* Address size, operand size and the operands of those that the emulator knows. */
static void compare_details(const struct insn *insn, const ZydisDecodedInstruction *z,
			    const ZydisDecodedOperand *ops, const uint8_t *bytes,
			    enum insn_mode mode)
{
	if (insn->dst == OPND_MEM || insn->src == OPND_MEM ||
	    (insn->op >= INSN_MOVS && insn->op <= INSN_OUTS))
		SAME("asize", insn->asize * 8, z->address_width);
	if (insn->op >= INSN_MOVS && insn->op <= INSN_OUTS) {
		static const uint8_t width[4] = {1, 2, 4, 8};
		unsigned i = 0;

		while (i < 3 && mnemonics[insn->op][i] != z->mnemonic)
			i++;
		SAME("string osize", insn->osize, width[i]);
		for (i = 0; i < z->operand_count; i++) {
			if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			    register_number(ops[i].mem.base) == GPR_RSI)
				SAME("segment", insn->seg, segment_number(ops[i].mem.segment));
		}
		return;
	}
	if (insn->op == INSN_IN || insn->op == INSN_OUT) {
		SAME("I/O size", insn->osize * 8, ops[insn->op == INSN_IN ? 0 : 1].size);
		if (insn->src == OPND_IMM)
			SAME("port", insn->imm, ops[insn->op == INSN_IN ? 1 : 0].imm.value.u);
		return;
	}
	if (insn->op == INSN_INT) {
		SAME("vector", insn->imm, ops[0].imm.value.u);
		return;
	}
	if (insn->dst != OPND_NONE)
		compare_operand(insn, insn->dst, &ops[0], bytes, mode);
	if (insn->dst == OPND_REG)
		SAME("osize", insn->osize * 8, ops[0].size);
	if (insn->src == OPND_REG && insn->op < INSN_LENGTH_ONLY)
		SAME("src size", insn->op >= INSN_ROL && insn->op <= INSN_SAR ? 8 : insn->osize * 8,
		     ops[1].size);
	if (insn->src != OPND_NONE)
		compare_operand(insn, insn->src, &ops[1], bytes, mode);
	if (insn->op == INSN_IMUL_IMM)
		SAME("imm", insn_truncate(insn->imm, insn->osize),
		     insn_truncate(ops[2].imm.value.u, insn->osize));
	if (insn->op == INSN_SETCC || insn->op == INSN_CMOVCC)
		SAME("cc", mnemonics[insn->op][insn->cc], z->mnemonic);
}

/* Decodes @bytes both ways and compares. Returns true if both knew the instruction. */
static bool compare(const uint8_t bytes[INSN_MAX_LEN], enum insn_mode mode)
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecoderContext context;
	struct insn insn;
	enum insn_status status = insn_decode(&insn, bytes, INSN_MAX_LEN, mode);
	bool valid = ZYAN_SUCCESS(
		ZydisDecoderDecodeInstruction(&decoders[mode], &context, bytes, INSN_MAX_LEN, &z));

	last_mnemonic = valid ? z.mnemonic : ZYDIS_MNEMONIC_INVALID;
	if (status == INSN_OK && insn.op == INSN_WRMSRNS)
		return false; /* newer than Zydis 4.0 */
	if (status == INSN_OK && (insn.prefixes & INSN_PFX_LOCK) && insn.dst != OPND_MEM)
		return false; /* CR8 as LOCK MOV CR0, see test_status() */
	if (!valid) {
		SAME("accepted", status == INSN_OK, false);
		return false;
	}
	assert_true(ZYAN_SUCCESS(
		ZydisDecoderDecodeOperands(&decoders[mode], &context, &z, ops, z.operand_count)));
	if (status != INSN_OK) {
		SAME("accepted", false, is_claimed(&z, ops));
		return false;
	}
	SAME("length", insn.len, z.length);
	if (!names(insn.op, z.mnemonic))
		differ(bytes, mode, "mnemonic", insn.op, z.mnemonic);
	compare_details(&insn, &z, ops, bytes, mode);
	accepted[insn.op]++;
	return true;
}

static int setup(void **state)
{
	static const ZydisMachineMode machine[3] = {
		ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
		ZYDIS_MACHINE_MODE_LONG_COMPAT_32,
		ZYDIS_MACHINE_MODE_LONG_64,
	};
	static const ZydisStackWidth stack[3] = {ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32,
						 ZYDIS_STACK_WIDTH_64};

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&decoders[i], machine[i], stack[i])));
		ZydisDecoderEnableMode(&decoders[i], ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_TRUE);
	}
	return 0;
}

/* Every opcode of the four maps, every ModRM, under each combination of prefixes that matters. */
static void test_all_opcodes(void **state)
{
	static const char *const prefixes[] = {
		"",	"\x66", "\x67",	    "\xf2",	"\xf3",	    "\xf0",	"\x2e",
		"\x48", "\x4f", "\x66\x48", "\xf3\x48", "\xf3\x66", "\x66\xf0", "\x65\x66\x67"};
	static const char *const maps[] = {"", "\x0f", "\x0f\x38", "\x0f\x3a"};
	unsigned known = 0;

	(void)state;
	for (unsigned p = 0; p < ARRAY_SIZE(prefixes); p++) {
		for (unsigned map = 0; map < ARRAY_SIZE(maps); map++) {
			for (unsigned n = 0; n < 3 * 65536; n += map < 2 ? 1 : 19) {
				uint8_t bytes[INSN_MAX_LEN] = {0};
				size_t len = strlen(prefixes[p]);

				memcpy(bytes, prefixes[p], len);
				memcpy(bytes + len, maps[map], strlen(maps[map]));
				len += strlen(maps[map]);
				bytes[len++] = (n >> 8) & 0xff;
				bytes[len++] = n & 0xff;
				for (uint8_t fill = 0x95; len < INSN_MAX_LEN; fill += 0x13)
					bytes[len++] = fill;
				known += compare(bytes, (enum insn_mode)(n >> 16));
			}
		}
	}
	print_message("%u encodings compared\n", known);
	for (unsigned op = INSN_NONE + 1; op < INSN_OP_COUNT; op++) {
		if (!accepted[op] && op != INSN_WRMSRNS)
			fail_msg("operation %u was never decoded", op);
	}
}

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1d;
}

/* Random bytes, with prefixes, escapes and known opcodes more likely than by chance. */
static void random_bytes(uint8_t bytes[INSN_MAX_LEN])
{
	static const uint8_t likely_prefix[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x2e, 0x36,
						0x3e, 0x26, 0x64, 0x65, 0x48, 0x41, 0x4c};
	unsigned i, prefixes = random64() % 5;

	if (random64() % 16 == 0)
		prefixes = random64() % 16;
	for (i = 0; i < INSN_MAX_LEN; i++)
		bytes[i] = (uint8_t)(random64() >> 32);
	for (i = 0; i < prefixes && i < INSN_MAX_LEN; i++)
		bytes[i] = likely_prefix[random64() % sizeof(likely_prefix)];
	if (i < INSN_MAX_LEN && random64() % 2)
		bytes[i] = 0x0f;
}

static void test_random_bytes(void **state)
{
	uint8_t bytes[INSN_MAX_LEN];
	unsigned known = 0;

	(void)state;
	for (unsigned i = 0; i < 1000000; i++) {
		random_bytes(bytes);
		known += compare(bytes, (enum insn_mode)(i % 3));
	}
	print_message("%u of 1000000 compared\n", known);
	assert_true(known > 100000);
}

/* Cut short, an instruction asks for more; 15 bytes that are not the end are too long. */
static void test_lengths(void **state)
{
	uint8_t bytes[INSN_MAX_LEN];
	struct insn insn, cut;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		enum insn_mode mode = (enum insn_mode)(i % 3);

		random_bytes(bytes);
		if (insn_decode(&insn, bytes, sizeof(bytes), mode) != INSN_OK)
			continue;
		for (unsigned len = 0; len < insn.len; len++)
			assert_int_equal(insn_decode(&cut, bytes, len, mode), INSN_MORE);
		assert_int_equal(insn_decode(&cut, bytes, insn.len, mode), INSN_OK);
		assert_memory_equal(&cut, &insn, sizeof(insn));
	}
	memset(bytes, 0x66, sizeof(bytes));
	assert_int_equal(insn_decode(&insn, bytes, 15, INSN_MODE_64), INSN_TOO_LONG);
	assert_int_equal(insn_decode(&insn, bytes, 14, INSN_MODE_64), INSN_MORE);
	bytes[14] = 0xf4;
	assert_int_equal(insn_decode(&insn, bytes, 15, INSN_MODE_64), INSN_OK);
	assert_int_equal(insn.len, 15);
	bytes[13] = 0x0f; /* 0F A2 would be byte 15 and 16 */
	bytes[14] = 0xb6;
	assert_int_equal(insn_decode(&insn, bytes, 15, INSN_MODE_64), INSN_TOO_LONG);
}

static enum insn_status decode(struct insn *insn, const char *bytes, size_t len,
			       enum insn_mode mode)
{
	return insn_decode(insn, (const uint8_t *)bytes, len, mode);
}

#define DECODE(bytes, mode) decode(&insn, bytes, sizeof(bytes) - 1, mode)

/* What Zydis cannot say: undefined against unsupported, and the AMD names of CR8. */
static void test_status(void **state)
{
	struct insn insn;

	(void)state;
	assert_int_equal(DECODE("\xf0\x01\xc0", INSN_MODE_64), INSN_UNDEFINED);
	assert_int_equal(DECODE("\xf0\x01\x00", INSN_MODE_64), INSN_OK);
	assert_int_equal(DECODE("\xf0\x8b\x00", INSN_MODE_64), INSN_UNDEFINED);
	assert_int_equal(DECODE("\xce", INSN_MODE_64), INSN_UNDEFINED);
	assert_int_equal(DECODE("\x0f\x22\xc8", INSN_MODE_64), INSN_UNDEFINED); /* CR1 */
	assert_int_equal(DECODE("\x8e\xc8", INSN_MODE_64), INSN_UNDEFINED);	/* MOV CS */
	assert_int_equal(DECODE("\x0f\x58\xc0", INSN_MODE_64), INSN_UNSUPPORTED);
	assert_int_equal(DECODE("\xc5\xf8\x58\xc0", INSN_MODE_64), INSN_UNSUPPORTED);
	assert_int_equal(DECODE("\x41\x8b\x1c\xf5\x01\x02\x03\x04", INSN_MODE_64), INSN_OK);
	assert_int_equal(insn.base, INSN_REG_NONE);
	assert_int_equal(insn.index, GPR_RSI);
	assert_int_equal(insn.disp, 0x04030201);
	assert_int_equal(DECODE("\xf0\x0f\x20\xc3", INSN_MODE_32), INSN_OK);
	assert_int_equal(insn.op, INSN_MOV_FROM_CR);
	assert_int_equal(insn.reg, 8);
	assert_int_equal(insn.rm, GPR_RBX);
	assert_int_equal(DECODE("\x0f\x01\xc6", INSN_MODE_64), INSN_OK);
	assert_int_equal(insn.op, INSN_WRMSRNS);
	assert_int_equal(insn.len, 3);
}

/* The helpers of the short way: widths, high bytes, extension. */
static void test_mov_helpers(void **state)
{
	struct x86_state s = {.gpr = {[GPR_RAX] = 0x1122334455667788, [GPR_RBX] = ~0ull}};
	struct insn insn;

	(void)state;
	assert_int_equal(DECODE("\x88\x23", INSN_MODE_64), INSN_OK); /* mov [rbx], ah */
	assert_int_equal(insn.mov, INSN_MOV_STORE);
	assert_int_equal(insn_mov_store_value(&insn, &s), 0x77);
	assert_int_equal(DECODE("\xc7\x03\xfe\xff\xff\xff", INSN_MODE_64), INSN_OK);
	assert_int_equal(insn_mov_store_value(&insn, &s), 0xfffffffe);
	assert_int_equal(DECODE("\x48\xc7\x03\xfe\xff\xff\xff", INSN_MODE_64), INSN_OK);
	assert_int_equal(insn_mov_store_value(&insn, &s), 0xfffffffffffffffe);
	assert_int_equal(DECODE("\x8a\x23", INSN_MODE_64), INSN_OK); /* mov ah, [rbx] */
	assert_int_equal(insn.mov, INSN_MOV_LOAD);
	insn_mov_load_result(&insn, &s, 0xabc);
	assert_int_equal(s.gpr[GPR_RAX], 0x112233445566bc88);
	assert_int_equal(DECODE("\x66\x8b\x03", INSN_MODE_64), INSN_OK);
	insn_mov_load_result(&insn, &s, 0x12345);
	assert_int_equal(s.gpr[GPR_RAX], 0x1122334455662345);
	assert_int_equal(DECODE("\x48\x0f\xbe\x03", INSN_MODE_64), INSN_OK); /* movsx rax, byte */
	insn_mov_load_result(&insn, &s, 0x80);
	assert_int_equal(s.gpr[GPR_RAX], 0xffffffffffffff80);
	assert_int_equal(DECODE("\x0f\xbf\x03", INSN_MODE_64), INSN_OK); /* movsx eax, word */
	insn_mov_load_result(&insn, &s, 0x8001);
	assert_int_equal(s.gpr[GPR_RAX], 0xffff8001);
	assert_int_equal(DECODE("\x48\x63\x03", INSN_MODE_64), INSN_OK); /* movsxd rax, dword */
	insn_mov_load_result(&insn, &s, 0x80000000);
	assert_int_equal(s.gpr[GPR_RAX], 0xffffffff80000000);
	assert_int_equal(DECODE("\x0f\xb6\x03", INSN_MODE_64), INSN_OK); /* movzx eax, byte */
	insn_mov_load_result(&insn, &s, 0xfff);
	assert_int_equal(s.gpr[GPR_RAX], 0xff);
	assert_int_equal(DECODE("\x01\x03", INSN_MODE_64), INSN_OK);
	assert_int_equal(insn.mov, INSN_MOV_OTHER);
	s.rip = 0xffffffff;
	s.rflags = RFLAGS_RF | RFLAGS_CF;
	insn_skip(&s, INSN_MODE_32, 3);
	assert_int_equal(s.rip, 2);
	assert_int_equal(s.rflags, RFLAGS_CF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_opcodes), cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_lengths),	    cmocka_unit_test(test_status),
		cmocka_unit_test(test_mov_helpers),
	};

	return cmocka_run_group_tests_name("insn", tests, setup, NULL);
}
