/* SPDX-License-Identifier: BSD-2-Clause */
/* Instruction decoder: prefixes, opcode lookup, ModRM and SIB, displacement and immediate. */
#include "socle/guest/insn.h"
#include "insn_table.h"

/* The bytes being decoded. After the first failure every further byte reads as 0. */
struct cursor {
	const uint8_t *bytes;	 /* start of the instruction */
	size_t len;		 /* bytes there are, at most INSN_MAX_LEN */
	size_t pos;		 /* next byte */
	enum insn_status status; /* INSN_OK, or why a byte was missing */
};

/* Takes @size bytes (1, 2, 4 or 8), sign-extended. */
static uint64_t take(struct cursor *c, unsigned size)
{
	const uint8_t *p = c->bytes + c->pos;
	int16_t half;
	int32_t word;
	int64_t full;

	if (unlikely(c->pos + size > c->len)) {
		if (c->status == INSN_OK)
			c->status = c->pos + size > INSN_MAX_LEN ? INSN_TOO_LONG : INSN_MORE;
		return 0;
	}
	c->pos += size;
	switch (size) {
	case 1:
		return (uint64_t)(int8_t)*p;
	case 2:
		__builtin_memcpy(&half, p, sizeof(half));
		return (uint64_t)half;
	case 4:
		__builtin_memcpy(&word, p, sizeof(word));
		return (uint64_t)word;
	default:
		__builtin_memcpy(&full, p, sizeof(full));
		return (uint64_t)full;
	}
}

static uint8_t take_byte(struct cursor *c)
{
	if (likely(c->pos < c->len))
		return c->bytes[c->pos++];
	return (uint8_t)take(c, 1);
}

/*
 * Notes a legacy prefix. In 64-bit mode the overrides of ES, CS, SS and DS count for nothing
 * (APM vol. 3, 1.2.4).
 */
static void note_prefix(struct insn *insn, uint8_t byte)
{
	switch (byte) {
	case 0x64:
	case 0x65:
		insn->seg = SEG_FS + (byte & 1);
		insn->prefixes |= INSN_PFX_SEG;
		break;
	case 0x66:
		insn->prefixes |= INSN_PFX_OPSIZE;
		break;
	case 0x67:
		insn->prefixes |= INSN_PFX_ASIZE;
		break;
	case 0xf0:
		insn->prefixes |= INSN_PFX_LOCK;
		break;
	case 0xf2:
	case 0xf3: /* the last one counts */
		insn->prefixes &= ~(INSN_PFX_REP | INSN_PFX_REPNE);
		insn->prefixes |= byte == 0xf2 ? INSN_PFX_REPNE : INSN_PFX_REP;
		break;
	default: /* 26, 2E, 36, 3E */
		if (insn->mode != INSN_MODE_64) {
			insn->seg = (byte >> 3) & 3;
			insn->prefixes |= INSN_PFX_SEG;
		}
		break;
	}
}

/* Takes the prefixes and returns the first opcode byte. A REX not directly before it is void. */
static uint8_t take_prefixes(struct cursor *c, struct insn *insn)
{
	uint8_t byte;

	for (;;) {
		byte = take_byte(c);
		if (insn_one_byte[byte].flags & OPC_PREFIX) {
			note_prefix(insn, byte);
			insn->rex = 0;
		} else if (insn->mode == INSN_MODE_64 && (byte & 0xf0) == 0x40) {
			insn->rex = byte;
		} else {
			return byte;
		}
	}
}

static bool has_modrm(const struct insn_opcode *opc)
{
	return opc->form >= FORM_E;
}

/* Takes ModRM and looks up the groups that it selects from. */
static void take_modrm(struct cursor *c, struct insn *insn, struct insn_opcode *opc)
{
	const struct insn_opcode *entry;

	insn->modrm = take_byte(c);
	if (!(opc->flags & OPC_GROUP))
		return;
	if (opc->op == GROUP_7 && insn->modrm >= 0xc0) {
		entry = &insn_0f01[insn->modrm & 0x3f];
		if (entry->op != INSN_NONE) {
			*opc = *entry;
			return;
		}
	}
	entry = &insn_groups[opc->op][(insn->modrm >> 3) & 7];
	opc->op = entry->op;
	opc->form = entry->form ?: opc->form;
	opc->flags |= entry->flags;
}

/* Takes prefixes, opcode and ModRM. Returns the last opcode byte; @opc has op INSN_NONE if unknown.
 */
static uint8_t take_opcode(struct cursor *c, struct insn *insn, struct insn_opcode *opc)
{
	uint8_t byte = take_prefixes(c, insn);

	if (byte != 0x0f) {
		*opc = insn_one_byte[byte];
	} else {
		byte = take_byte(c);
		*opc = insn_two_byte[byte];
		if (byte == 0x38) {
			const struct insn_opcode *entry = insn_0f38(byte = take_byte(c));

			if (entry)
				*opc = *entry;
		}
	}
	if (has_modrm(opc))
		take_modrm(c, insn, opc);
	return byte;
}

/* Instructions that a prefix or the mode turns into another one. */
static void pick_variant(struct insn *insn, uint8_t opcode, struct insn_opcode *opc)
{
	bool rep = insn->prefixes & INSN_PFX_REP;

	if (opc->op == INSN_XCHG && opcode == 0x90 && (rep || !(insn->rex & REX_B))) {
		opc->op = rep ? INSN_PAUSE : INSN_NOP;
		opc->form = FORM_NONE;
	} else if (opc->op == INSN_WBINVD && rep) {
		opc->op = INSN_WBNOINVD;
	} else if (opc->op == INSN_RDSEED && (insn->prefixes & INSN_PFX_REPNE)) {
		opc->op = INSN_NONE;
	} else if (opc->op == INSN_RDSEED && rep) {
		opc->op = INSN_RDPID;
		opc->flags |= OPC_F64;
	} else if (opc->op == INSN_MOVSX && insn->mode != INSN_MODE_64) {
		opc->op = INSN_NONE; /* ARPL */
	}
}

/* Is the instruction allowed with these prefixes, operands and mode? */
static enum insn_status check(const struct insn *insn, uint32_t flags)
{
	bool mem = insn->modrm < 0xc0, opsize = insn->prefixes & INSN_PFX_OPSIZE;

	if ((flags & OPC_NOREP) && (insn->prefixes & (INSN_PFX_REP | INSN_PFX_REPNE)))
		return INSN_UNSUPPORTED;
	if (flags & (opsize ? OPC_NO66 : OPC_REQ66))
		return INSN_UNSUPPORTED;
	if (flags & (mem ? OPC_REG : OPC_MEM))
		return INSN_UNSUPPORTED;
	if (flags & (insn->mode == INSN_MODE_64 ? OPC_NOT64 : OPC_ONLY64))
		return INSN_UNDEFINED;
	return INSN_OK;
}

/* Operand and address size (SDM vol. 1, tables 3-3 and 3-4). */
static void set_sizes(struct insn *insn, uint32_t flags)
{
	bool opsize = insn->prefixes & INSN_PFX_OPSIZE, asize = insn->prefixes & INSN_PFX_ASIZE;
	bool long_mode = insn->mode == INSN_MODE_64;

	if (long_mode) {
		insn->asize = asize ? 4 : 8;
		insn->osize = insn->rex & REX_W ? 8 : opsize ? 2 : 4;
	} else {
		insn->asize = (insn->mode == INSN_MODE_32) == asize ? 2 : 4;
		insn->osize = (insn->mode == INSN_MODE_32) == opsize ? 2 : 4;
	}
	if (!(flags & OPC_SIZES))
		return;
	if (flags & OPC_BYTE)
		insn->osize = 1;
	else if (flags & OPC_F64)
		insn->osize = long_mode ? 8 : 4;
	else if ((flags & OPC_D64) && long_mode)
		insn->osize = insn->osize == 2 ? 2 : 8;
	else if (flags & OPC_MAX4)
		insn->osize = MIN(insn->osize, 4);
	else if (flags & OPC_MIN4)
		insn->osize = MAX(insn->osize, 4);
}

/* 16-bit addressing forms (SDM vol. 2, table 2-1). */
static void take_memory16(struct cursor *c, struct insn *insn)
{
	static const uint8_t base[8] = {GPR_RBX, GPR_RBX, GPR_RBP, GPR_RBP,
					GPR_RSI, GPR_RDI, GPR_RBP, GPR_RBX};
	static const uint8_t index[8] = {GPR_RSI,	GPR_RDI,       GPR_RSI,
					 GPR_RDI,	INSN_REG_NONE, INSN_REG_NONE,
					 INSN_REG_NONE, INSN_REG_NONE};
	unsigned mod = insn->modrm >> 6, rm = insn->modrm & 7;

	insn->base = base[rm];
	insn->index = index[rm];
	if (mod == 0 && rm == 6) {
		insn->base = INSN_REG_NONE;
		insn->disp = (int64_t)take(c, 2);
	} else if (mod != 0) {
		insn->disp = (int64_t)take(c, mod);
	}
}

/* 32- and 64-bit addressing forms (SDM vol. 2, tables 2-2, 2-3 and 2-7). */
static void take_memory(struct cursor *c, struct insn *insn)
{
	unsigned mod = insn->modrm >> 6, low = insn->modrm & 7;
	uint8_t extend = (insn->rex & REX_B) ? 8 : 0;

	if (low == 4) {
		uint8_t sib = take_byte(c);
		uint8_t index = ((sib >> 3) & 7) | ((insn->rex & REX_X) ? 8 : 0);

		low = sib & 7;
		insn->scale = sib >> 6;
		insn->index = index == GPR_RSP ? INSN_REG_NONE : index;
		insn->base = low | extend;
		if (mod == 0 && low == 5)
			insn->base = INSN_REG_NONE;
	} else {
		insn->base = low | extend;
		if (mod == 0 && low == 5)
			insn->base = insn->mode == INSN_MODE_64 ? INSN_REG_RIP : INSN_REG_NONE;
	}
	if (mod == 1)
		insn->disp = (int64_t)take(c, 1);
	else if (mod == 2 || (mod == 0 && low == 5))
		insn->disp = (int64_t)take(c, 4);
}

/* Decodes ModRM.rm. Returns the kind of operand that it is. */
static uint8_t take_rm(struct cursor *c, struct insn *insn, bool reg_only)
{
	if (insn->modrm >= 0xc0 || reg_only) {
		insn->rm = (insn->modrm & 7) | ((insn->rex & REX_B) ? 8 : 0);
		return OPND_RM;
	}
	if (insn->asize == 2)
		take_memory16(c, insn);
	else
		take_memory(c, insn);
	if (!(insn->prefixes & INSN_PFX_SEG) && (insn->base == GPR_RSP || insn->base == GPR_RBP))
		insn->seg = SEG_SS;
	return OPND_MEM;
}

/* An immediate of the operand's size, at most @max bytes. */
static uint64_t take_imm(struct cursor *c, const struct insn *insn, unsigned max)
{
	return take(c, MIN(insn->osize, max));
}

/* Operands of the forms with ModRM. */
static void take_rm_operands(struct cursor *c, struct insn *insn, const struct insn_opcode *opc)
{
	bool sys = opc->form == FORM_SYS_R || opc->form == FORM_R_SYS;
	uint8_t rm = take_rm(c, insn, sys);

	insn->reg = ((insn->modrm >> 3) & 7) | ((insn->rex & REX_R) ? 8 : 0);
	insn->dst = rm;
	switch ((enum insn_form)opc->form) {
	case FORM_E_G:
		insn->src = OPND_REG;
		break;
	case FORM_G_E:
	case FORM_G_E_IMM:
	case FORM_G_E_IMM8:
		insn->dst = OPND_REG;
		insn->src = rm;
		if (opc->form == FORM_G_E_IMM)
			insn->imm = take_imm(c, insn, 4);
		else if (opc->form == FORM_G_E_IMM8)
			insn->imm = take(c, 1);
		break;
	case FORM_E_IMM:
		insn->src = OPND_IMM;
		insn->imm = take_imm(c, insn, 4);
		break;
	case FORM_E_IMM8:
		insn->src = OPND_IMM;
		insn->imm = take(c, 1);
		break;
	case FORM_E_1:
		insn->src = OPND_IMM;
		insn->imm = 1;
		break;
	case FORM_E_CL:
		insn->src = OPND_REG;
		insn->reg = GPR_RCX;
		break;
	case FORM_E_S:
	case FORM_R_SYS:
		insn->src = OPND_SYS;
		break;
	case FORM_S_E:
	case FORM_SYS_R:
		insn->dst = OPND_SYS;
		insn->src = rm;
		break;
	default: /* FORM_E */
		break;
	}
}

/* Operands of the forms without ModRM, but FORM_NONE. */
static void take_operands(struct cursor *c, struct insn *insn, const struct insn_opcode *opc,
			  uint8_t opcode)
{
	uint8_t low = (opcode & 7) | ((insn->rex & REX_B) ? 8 : 0);

	insn->reg = GPR_RAX;
	switch ((enum insn_form)opc->form) {
	case FORM_A_IMM:
		insn->dst = OPND_REG;
		insn->src = OPND_IMM;
		insn->imm = take_imm(c, insn, 4);
		break;
	case FORM_A_MOFFS:
	case FORM_MOFFS_A:
		insn->dst = opc->form == FORM_A_MOFFS ? OPND_REG : OPND_MEM;
		insn->src = opc->form == FORM_A_MOFFS ? OPND_MEM : OPND_REG;
		insn->disp = (int64_t)take(c, insn->asize);
		break;
	case FORM_Z_A:
		insn->dst = OPND_RM;
		insn->src = OPND_REG;
		insn->rm = low;
		break;
	case FORM_Z:
	case FORM_Z_IMM:
		insn->dst = OPND_REG;
		insn->reg = low;
		if (opc->form == FORM_Z_IMM) {
			insn->src = OPND_IMM;
			insn->imm = take_imm(c, insn, 8);
		}
		break;
	case FORM_IMM8:
		insn->src = OPND_IMM;
		insn->imm = take_byte(c);
		break;
	default:
		break;
	}
}

/* Register numbers 4 to 7 of one byte are AH to BH unless there is a REX. */
static uint8_t byte_register(const struct insn *insn, uint8_t reg)
{
	return !insn->rex && reg >= 4 && reg < 8 ? INSN_REG_AH + reg - 4 : reg;
}

/* Width of E where it is not the operand size. */
static uint8_t special_width(const struct insn *insn, uint32_t flags)
{
	bool mem = insn->dst == OPND_MEM || insn->src == OPND_MEM;

	if (flags & OPC_SRC8)
		return 1;
	if (flags & OPC_SRC32)
		return MIN(insn->osize, 4);
	if (flags & OPC_SRC64)
		return insn->osize == 8 ? 16 : 8;
	if (flags & OPC_NOSIZE)
		return 0;
	return (flags & OPC_SRC16) || mem ? 2 : insn->osize;
}

/* What depends on the operands: width of E, high byte registers, the class of a move. */
static void finish_operands(struct insn *insn, uint32_t flags)
{
	insn->msize = insn->osize;
	if (flags & OPC_WIDTHS)
		insn->msize = special_width(insn, flags);
	if (flags & OPC_BYTE)
		insn->reg = byte_register(insn, insn->reg);
	if (insn->msize == 1)
		insn->rm = byte_register(insn, insn->rm);
	if (flags & OPC_MOV) {
		if (insn->dst == OPND_MEM)
			insn->mov = INSN_MOV_STORE;
		else if (insn->src == OPND_MEM)
			insn->mov = INSN_MOV_LOAD;
	}
}

/* Undefined numbers of system registers (SDM vol. 2, MOV, MOV CR, MOV DR). */
static enum insn_status check_sys(struct insn *insn)
{
	enum { KNOWN_CRS = BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(8) };
	bool ok;

	switch ((enum insn_op)insn->op) {
	case INSN_MOV_FROM_CR:
	case INSN_MOV_TO_CR:
		/* LOCK MOV CR0 is another name of CR8 (APM vol. 3, MOV CRn: AltMovCr8). */
		if ((insn->prefixes & INSN_PFX_LOCK) && insn->reg == 0)
			insn->reg = 8;
		ok = BIT(insn->reg) & KNOWN_CRS;
		break;
	case INSN_MOV_FROM_DR:
	case INSN_MOV_TO_DR:
		ok = insn->reg < 8;
		break;
	default: /* segment registers; REX.R does not count */
		insn->reg &= 7;
		ok = insn->reg <= SEG_GS && (insn->op == INSN_MOV_FROM_SREG || insn->reg != SEG_CS);
		break;
	}
	return ok ? INSN_OK : INSN_UNDEFINED;
}

/* LOCK needs memory to write, or is CR8's other name (SDM vol. 2, LOCK). */
static bool is_lock_legal(const struct insn *insn, uint32_t flags)
{
	if (insn->op == INSN_MOV_FROM_CR || insn->op == INSN_MOV_TO_CR)
		return (insn->modrm & 0x38) == 0 && !(insn->rex & REX_R);
	return (flags & OPC_LOCK) && insn->dst == OPND_MEM;
}

enum insn_status insn_decode(struct insn *out, const uint8_t *bytes, size_t len,
			     enum insn_mode mode)
{
	struct cursor c = {.bytes = bytes, .len = MIN(len, (size_t)INSN_MAX_LEN)};
	enum insn_status status = INSN_OK;
	struct insn_opcode opc;
	uint8_t opcode;

	*out = (struct insn){
		.mode = mode,
		.seg = SEG_DS,
		.base = INSN_REG_NONE,
		.index = INSN_REG_NONE,
	};
	opcode = take_opcode(&c, out, &opc);
	if (c.status != INSN_OK)
		return c.status;
	if (opc.flags & OPC_VARIANT)
		pick_variant(out, opcode, &opc);
	if (opc.op == INSN_NONE)
		return INSN_UNSUPPORTED;
	if (opc.flags & OPC_CHECKS)
		status = check(out, opc.flags);
	if (status != INSN_OK)
		return status;

	out->op = opc.op;
	out->cc = opcode & 0xf;
	set_sizes(out, opc.flags);
	if (has_modrm(&opc))
		take_rm_operands(&c, out, &opc);
	else if (opc.form != FORM_NONE)
		take_operands(&c, out, &opc, opcode);
	finish_operands(out, opc.flags);
	if (c.status != INSN_OK)
		return c.status;
	out->len = (uint8_t)c.pos;
	if ((out->prefixes & INSN_PFX_LOCK) && !is_lock_legal(out, opc.flags))
		return INSN_UNDEFINED;
	return opc.form >= FORM_S_E ? check_sys(out) : INSN_OK;
}
