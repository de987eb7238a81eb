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
	uint64_t value = 0;

	if (c->pos + size > c->len) {
		if (c->status == INSN_OK)
			c->status = c->pos + size > INSN_MAX_LEN ? INSN_TOO_LONG : INSN_MORE;
		return 0;
	}
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)c->bytes[c->pos + i] << (8 * i);
	c->pos += size;
	return insn_sign_extend(value, size);
}

static uint8_t take_byte(struct cursor *c)
{
	if (likely(c->pos < c->len))
		return c->bytes[c->pos++];
	return (uint8_t)take(c, 1);
}

/*
 * Notes one legacy prefix. In 64-bit mode the overrides of ES, CS, SS and DS count for nothing
 * (APM vol. 3, 1.2.4). Returns false if @byte is no prefix.
 */
static bool note_prefix(struct insn *insn, uint8_t byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		if (insn->mode != INSN_MODE_64) {
			insn->seg = (byte >> 3) & 3;
			insn->prefixes |= INSN_PFX_SEG;
		}
		return true;
	case 0x64:
	case 0x65:
		insn->seg = SEG_FS + (byte & 1);
		insn->prefixes |= INSN_PFX_SEG;
		return true;
	case 0x66:
		insn->prefixes |= INSN_PFX_OPSIZE;
		return true;
	case 0x67:
		insn->prefixes |= INSN_PFX_ASIZE;
		return true;
	case 0xf0:
		insn->prefixes |= INSN_PFX_LOCK;
		return true;
	case 0xf2:
	case 0xf3: /* the last one counts */
		insn->prefixes &= ~(INSN_PFX_REP | INSN_PFX_REPNE);
		insn->prefixes |= byte == 0xf2 ? INSN_PFX_REPNE : INSN_PFX_REP;
		return true;
	default:
		return false;
	}
}

/* Takes the prefixes and returns the first opcode byte. A REX not directly before it is void. */
static uint8_t take_prefixes(struct cursor *c, struct insn *insn)
{
	uint8_t byte;

	for (;;) {
		byte = take_byte(c);
		if (insn->mode == INSN_MODE_64 && (byte & 0xf0) == 0x40)
			insn->rex = byte;
		else if (note_prefix(insn, byte))
			insn->rex = 0;
		else
			return byte;
	}
}

static bool is_rm_form(enum insn_form form)
{
	return (BIT(form) &
		(BIT(FORM_NONE) | BIT(FORM_A_IMM) | BIT(FORM_A_MOFFS) | BIT(FORM_MOFFS_A) |
		 BIT(FORM_Z_A) | BIT(FORM_Z) | BIT(FORM_Z_IMM) | BIT(FORM_IMM8))) == 0;
}

/* Takes the opcode, and ModRM if there is one, into @opc. op is INSN_NONE if it is not known. */
static void take_opcode(struct cursor *c, struct insn *insn, uint8_t *opcode,
			struct insn_opcode *opc)
{
	const struct insn_opcode *entry;
	uint8_t byte = take_prefixes(c, insn);
	bool two = byte == 0x0f;

	if (two) {
		byte = take_byte(c);
		entry = &insn_two_byte[byte];
		if (byte == 0x38) {
			byte = take_byte(c);
			two = false;
			entry = insn_0f38(byte) ?: &insn_two_byte[0x38];
		}
	} else {
		entry = &insn_one_byte[byte];
	}
	*opcode = byte;
	*opc = *entry;
	if (c->status != INSN_OK || !is_rm_form(opc->form))
		return;

	insn->modrm = take_byte(c);
	if (two && byte == 0x01 && insn->modrm >= 0xc0) {
		entry = &insn_0f01[insn->modrm & 0x3f];
		if (entry->op != INSN_NONE) {
			*opc = *entry;
			return;
		}
	}
	if (opc->flags & OPC_GROUP) {
		entry = &insn_groups[opc->op][(insn->modrm >> 3) & 7];
		opc->op = entry->op;
		opc->form = entry->form ?: opc->form;
		opc->flags |= entry->flags;
	}
}

/* Instructions that a prefix or the mode turns into another one. */
static void pick_variant(struct insn *insn, uint8_t opcode, struct insn_opcode *opc)
{
	bool rep = insn->prefixes & INSN_PFX_REP;

	if (opc->form == FORM_Z_A && opcode == 0x90 && (rep || !(insn->rex & REX_B))) {
		opc->op = rep ? INSN_PAUSE : INSN_NOP;
		opc->form = FORM_NONE;
	} else if (opc->op == INSN_WBINVD && rep) {
		opc->op = INSN_WBNOINVD;
	} else if (opc->op == INSN_RDSEED && (insn->prefixes & INSN_PFX_REPNE)) {
		opc->op = INSN_NONE;
	} else if (opc->op == INSN_RDSEED && rep) {
		opc->op = INSN_RDPID;
		opc->flags |= OPC_F64;
	} else if (opc->op == INSN_MOVSX && opcode == 0x63 && insn->mode != INSN_MODE_64) {
		opc->op = INSN_NONE; /* ARPL */
	}
}

/* Is the instruction one that we know, and allowed with these prefixes, operands and mode? */
static enum insn_status check(const struct insn *insn, const struct insn_opcode *opc)
{
	bool mem = insn->modrm < 0xc0;

	if (opc->op == INSN_NONE)
		return INSN_UNSUPPORTED;
	if ((opc->flags & OPC_NOREP) && (insn->prefixes & (INSN_PFX_REP | INSN_PFX_REPNE)))
		return INSN_UNSUPPORTED;
	if ((opc->flags & OPC_NO66) && (insn->prefixes & INSN_PFX_OPSIZE))
		return INSN_UNSUPPORTED;
	if ((opc->flags & OPC_REQ66) && !(insn->prefixes & INSN_PFX_OPSIZE))
		return INSN_UNSUPPORTED;
	if (is_rm_form(opc->form) && (opc->flags & (mem ? OPC_REG : OPC_MEM)))
		return INSN_UNSUPPORTED;
	if (opc->flags & (insn->mode == INSN_MODE_64 ? OPC_NOT64 : OPC_ONLY64))
		return INSN_UNDEFINED;
	return INSN_OK;
}

/* Operand and address size (SDM vol. 1, tables 3-3 and 3-4). */
static void set_sizes(struct insn *insn, uint32_t flags)
{
	bool opsize = insn->prefixes & INSN_PFX_OPSIZE, asize = insn->prefixes & INSN_PFX_ASIZE;
	bool long_mode = insn->mode == INSN_MODE_64;

	if (long_mode)
		insn->asize = asize ? 4 : 8;
	else
		insn->asize = (insn->mode == INSN_MODE_32) == asize ? 2 : 4;

	if (flags & OPC_BYTE)
		insn->osize = 1;
	else if (flags & OPC_F64)
		insn->osize = long_mode ? 8 : 4;
	else if (long_mode && (insn->rex & REX_W))
		insn->osize = flags & OPC_MAX4 ? 4 : 8;
	else if (long_mode && (flags & OPC_D64))
		insn->osize = opsize ? 2 : 8;
	else if (flags & OPC_MIN4)
		insn->osize = 4;
	else
		insn->osize = (insn->mode != INSN_MODE_16) == opsize ? 2 : 4;
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

/* Operands of the forms without ModRM. */
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
	default: /* FORM_NONE */
		break;
	}
}

/* Register numbers 4 to 7 of one byte are AH to BH unless there is a REX. */
static uint8_t byte_register(const struct insn *insn, uint8_t reg)
{
	return !insn->rex && reg >= 4 && reg < 8 ? INSN_REG_AH + reg - 4 : reg;
}

/* What depends on the operands: width of E, high byte registers, the class of a move. */
static void finish_operands(struct insn *insn, const struct insn_opcode *opc)
{
	bool mem = insn->dst == OPND_MEM || insn->src == OPND_MEM;

	insn->msize = insn->osize;
	if (opc->flags & OPC_SRC8)
		insn->msize = 1;
	else if ((opc->flags & OPC_SRC16) || ((opc->flags & OPC_MEM16) && mem))
		insn->msize = 2;
	else if (opc->flags & OPC_NOSIZE)
		insn->msize = 0;
	else if (insn->op == INSN_MOVSX && !(opc->flags & (OPC_SRC8 | OPC_SRC16)))
		insn->msize = MIN(insn->osize, 4); /* MOVSXD */
	else if (insn->op == INSN_CMPXCHG8B)
		insn->msize = insn->osize == 8 ? 16 : 8;

	if (opc->flags & OPC_BYTE)
		insn->reg = byte_register(insn, insn->reg);
	if (insn->msize == 1)
		insn->rm = byte_register(insn, insn->rm);

	if (insn->op == INSN_MOV || insn->op == INSN_MOVNTI || insn->op == INSN_MOVZX ||
	    insn->op == INSN_MOVSX) {
		if (insn->dst == OPND_MEM)
			insn->mov = INSN_MOV_STORE;
		else if (insn->src == OPND_MEM)
			insn->mov = INSN_MOV_LOAD;
	}
}

/* Undefined register numbers and LOCK where it is forbidden (SDM vol. 2, LOCK; MOV CR, DR). */
static enum insn_status check_operands(struct insn *insn, const struct insn_opcode *opc)
{
	bool cr = insn->op == INSN_MOV_FROM_CR || insn->op == INSN_MOV_TO_CR;
	bool dr = insn->op == INSN_MOV_FROM_DR || insn->op == INSN_MOV_TO_DR;

	if (insn->prefixes & INSN_PFX_LOCK) {
		/* LOCK MOV CR0 is another name of CR8 (APM vol. 3, MOV CRn: AltMovCr8). */
		if (cr && insn->reg == 0)
			insn->reg = 8;
		else if (!(opc->flags & OPC_LOCK) || insn->dst != OPND_MEM)
			return INSN_UNDEFINED;
	}
	if (cr && !(BIT(insn->reg) & (BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(8))))
		return INSN_UNDEFINED;
	if (dr && insn->reg >= 8)
		return INSN_UNDEFINED;
	if (insn->op == INSN_MOV_FROM_SREG || insn->op == INSN_MOV_TO_SREG) {
		insn->reg &= 7; /* REX.R does not count */
		if (insn->reg > SEG_GS || (insn->op == INSN_MOV_TO_SREG && insn->reg == SEG_CS))
			return INSN_UNDEFINED;
	}
	return INSN_OK;
}

enum insn_status insn_decode(struct insn *out, const uint8_t *bytes, size_t len,
			     enum insn_mode mode)
{
	struct cursor c = {.bytes = bytes, .len = MIN(len, (size_t)INSN_MAX_LEN)};
	struct insn_opcode opc;
	enum insn_status status;
	uint8_t opcode;

	*out = (struct insn){
		.mode = mode,
		.seg = SEG_DS,
		.base = INSN_REG_NONE,
		.index = INSN_REG_NONE,
	};
	take_opcode(&c, out, &opcode, &opc);
	if (c.status != INSN_OK)
		return c.status;
	pick_variant(out, opcode, &opc);
	status = check(out, &opc);
	if (status != INSN_OK)
		return status;

	out->op = opc.op;
	out->cc = opcode & 0xf;
	set_sizes(out, opc.flags);
	if (is_rm_form(opc.form))
		take_rm_operands(&c, out, &opc);
	else
		take_operands(&c, out, &opc, opcode);
	finish_operands(out, &opc);
	if (c.status != INSN_OK)
		return c.status;
	out->len = (uint8_t)c.pos;
	return check_operands(out, &opc);
}
