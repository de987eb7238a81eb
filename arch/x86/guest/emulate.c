/* SPDX-License-Identifier: BSD-2-Clause */
/* Instruction emulator: executes one decoded instruction; the parts are in emulate_*.c. */
#include "emulate_impl.h"

/* One operand, found and, if it is in memory, checked. */
struct place {
	uint8_t kind;	/* enum insn_operand */
	uint8_t reg;	/* OPND_REG, OPND_RM: the register */
	unsigned size;	/* in bytes */
	uint64_t value; /* OPND_IMM */
	uint64_t la;	/* OPND_MEM: linear address */
};

/* Finds the operand of @kind; one in memory is checked for @access by its segment. */
static enum emul_status find(struct emul *emul, const struct insn *insn, uint8_t kind,
			     unsigned size, uint32_t access, struct place *place)
{
	*place = (struct place){.kind = kind, .size = size, .value = insn->imm};
	if (kind == OPND_REG)
		place->reg = insn->reg;
	else if (kind == OPND_RM)
		place->reg = insn->rm;
	if (kind != OPND_MEM)
		return EMUL_OK;
	return emul_operand_address(emul, insn, size, access, &place->la);
}

static enum emul_status load(struct emul *emul, const struct place *place, uint64_t *value)
{
	switch (place->kind) {
	case OPND_REG:
	case OPND_RM:
		*value = insn_reg_read(emul->state, place->reg, place->size);
		return EMUL_OK;
	case OPND_MEM:
		return emul_read(emul, place->la, place->size, emul_user(emul->state), value);
	default:
		*value = insn_truncate(place->value, place->size);
		return EMUL_OK;
	}
}

/* As load(), of an operand that store() follows: a write that would fault does so now. */
static enum emul_status load_for_store(struct emul *emul, const struct place *place,
				       uint64_t *value)
{
	if (place->kind == OPND_MEM) {
		enum emul_status status =
			emul_probe(emul, place->la, place->size, emul_user(emul->state));

		if (status != EMUL_OK)
			return status;
	}
	return load(emul, place, value);
}

static enum emul_status store(struct emul *emul, const struct place *place, uint64_t value)
{
	if (place->kind == OPND_MEM)
		return emul_write(emul, place->la, place->size, emul_user(emul->state), value);
	insn_reg_write(emul->state, place->reg, place->size, value);
	return EMUL_OK;
}

/* ADD to SAR and TEST: two operands, the result goes to the first one or nowhere. */
static enum emul_status binary(struct emul *emul, const struct insn *insn)
{
	bool keeps = insn->op == INSN_CMP || insn->op == INSN_TEST;
	bool shift = insn->op >= INSN_ROL && insn->op <= INSN_SAR;
	enum insn_op op = insn->op == INSN_TEST ? INSN_AND : insn->op;
	uint64_t rflags = emul->state->rflags, a = 0, b = 0;
	struct place dst, src;
	enum emul_status status;

	status = find(emul, insn, insn->src, shift ? 1 : insn->osize, 0, &src);
	if (status == EMUL_OK)
		status = find(emul, insn, insn->dst, insn->osize, keeps ? 0 : EMUL_WRITE, &dst);
	if (status == EMUL_OK)
		status = load(emul, &src, &b);
	if (status == EMUL_OK)
		status = keeps ? load(emul, &dst, &a) : load_for_store(emul, &dst, &a);
	if (status != EMUL_OK)
		return status;
	emul_alu(op, insn->osize, &a, b, &rflags);
	if (!keeps)
		status = store(emul, &dst, a);
	if (status == EMUL_OK)
		emul->state->rflags = rflags;
	return status;
}

/* NOT, NEG, INC, DEC. */
static enum emul_status unary(struct emul *emul, const struct insn *insn)
{
	uint64_t rflags = emul->state->rflags, value = 0;
	struct place dst;
	enum emul_status status;

	status = find(emul, insn, insn->dst, insn->osize, EMUL_WRITE, &dst);
	if (status == EMUL_OK)
		status = load_for_store(emul, &dst, &value);
	if (status != EMUL_OK)
		return status;
	if (insn->op == INSN_NOT)
		value = ~value;
	else
		emul_alu(insn->op, insn->osize, &value, 0, &rflags);
	status = store(emul, &dst, value);
	if (status == EMUL_OK)
		emul->state->rflags = rflags;
	return status;
}

/* IMUL with two or three operands. */
static enum emul_status multiply(struct emul *emul, const struct insn *insn)
{
	uint64_t a = 0, b = insn->imm;
	struct place src;
	enum emul_status status;

	status = find(emul, insn, insn->src, insn->osize, 0, &src);
	if (status == EMUL_OK)
		status = load(emul, &src, &a);
	if (status != EMUL_OK)
		return status;
	if (insn->op == INSN_IMUL)
		b = insn_reg_read(emul->state, insn->reg, insn->osize);
	emul_imul(insn->osize, &a, b, &emul->state->rflags);
	insn_reg_write(emul->state, insn->reg, insn->osize, a);
	return EMUL_OK;
}

/*
 * BT, BTS, BTR, BTC. A bit number in a register reaches beyond the operand in memory, in units of
 * the operand size and to both sides (SDM vol. 2, BT); an immediate is taken modulo the size.
 */
static enum emul_status bit_test(struct emul *emul, const struct insn *insn)
{
	struct x86_state *s = emul->state;
	unsigned bits = insn->osize * 8u;
	bool keeps = insn->op == INSN_BT;
	int64_t number = (int64_t)insn->imm;
	struct insn at = *insn;
	uint64_t value = 0, bit;
	struct place dst;
	enum emul_status status;

	if (insn->src == OPND_REG) {
		number = (int64_t)insn_sign_extend(s->gpr[insn->reg & 15], insn->osize);
		at.disp += (number & -(int64_t)bits) / 8;
	}
	bit = BIT((uint64_t)number & (bits - 1));
	status = find(emul, &at, insn->dst, insn->osize, keeps ? 0 : EMUL_WRITE, &dst);
	if (status == EMUL_OK)
		status = keeps ? load(emul, &dst, &value) : load_for_store(emul, &dst, &value);
	if (status != EMUL_OK)
		return status;
	if (!keeps) {
		uint64_t new = insn->op == INSN_BTS   ? value | bit
			       : insn->op == INSN_BTR ? value & ~bit
						      : value ^ bit;

		status = store(emul, &dst, new);
	}
	if (status == EMUL_OK)
		s->rflags = (s->rflags & ~(uint64_t)RFLAGS_CF) | (value & bit ? RFLAGS_CF : 0);
	return status;
}

/* XCHG, XADD and CMPXCHG: the first operand and a register change together. */
static enum emul_status exchange(struct emul *emul, const struct insn *insn)
{
	struct x86_state *s = emul->state;
	uint64_t rflags = s->rflags, old = 0, reg, new, compare;
	struct place dst;
	enum emul_status status;

	status = find(emul, insn, insn->dst, insn->osize, EMUL_WRITE, &dst);
	if (status == EMUL_OK)
		status = load_for_store(emul, &dst, &old);
	if (status != EMUL_OK)
		return status;
	reg = new = insn_reg_read(s, insn->reg, insn->osize);
	if (insn->op == INSN_XADD) {
		new = old;
		emul_alu(INSN_ADD, insn->osize, &new, reg, &rflags);
	} else if (insn->op == INSN_CMPXCHG) {
		compare = insn_reg_read(s, GPR_RAX, insn->osize);
		emul_alu(INSN_CMP, insn->osize, &compare, old, &rflags);
		if (!(rflags & RFLAGS_ZF)) {
			/* Memory is written in any case (SDM vol. 2, CMPXCHG), a register is not.
			 */
			status = dst.kind == OPND_MEM ? store(emul, &dst, old) : EMUL_OK;
			if (status == EMUL_OK) {
				insn_reg_write(s, GPR_RAX, insn->osize, old);
				s->rflags = rflags;
			}
			return status;
		}
	}
	/* The register first: XADD with twice the same one keeps the sum. */
	if (dst.kind == OPND_MEM) {
		status = store(emul, &dst, new);
		if (status != EMUL_OK)
			return status;
	}
	if (insn->op != INSN_CMPXCHG)
		insn_reg_write(s, insn->reg, insn->osize, old);
	if (dst.kind != OPND_MEM)
		status = store(emul, &dst, new);
	s->rflags = rflags;
	return status;
}

static enum emul_status compare_exchange8(struct emul *emul, const struct insn *insn)
{
	struct x86_state *s = emul->state;
	uint64_t old = 0, compare, new;
	struct place dst;
	enum emul_status status;

	if (insn->osize == 8)
		return EMUL_UNSUPPORTED;
	compare = (s->gpr[GPR_RDX] << 32) | (uint32_t)s->gpr[GPR_RAX];
	new = (s->gpr[GPR_RCX] << 32) | (uint32_t)s->gpr[GPR_RBX];
	status = find(emul, insn, insn->dst, 8, EMUL_WRITE, &dst);
	if (status == EMUL_OK)
		status = load_for_store(emul, &dst, &old);
	if (status == EMUL_OK)
		status = store(emul, &dst, old == compare ? new : old);
	if (status != EMUL_OK)
		return status;
	if (old == compare) {
		s->rflags |= RFLAGS_ZF;
	} else {
		s->rflags &= ~(uint64_t)RFLAGS_ZF;
		s->gpr[GPR_RAX] = (uint32_t)old;
		s->gpr[GPR_RDX] = old >> 32;
	}
	return EMUL_OK;
}

static uint64_t swap_bytes(uint64_t value, unsigned size)
{
	return __builtin_bswap64(value) >> (64 - 8 * size);
}

/* MOV, MOVZX, MOVSX, MOVNTI, MOVBE, CMOVcc, SETcc and MOV from a segment register. */
static enum emul_status move(struct emul *emul, const struct insn *insn)
{
	struct x86_state *s = emul->state;
	unsigned size = insn->dst == OPND_MEM ? insn->msize : insn->osize;
	struct place dst, src;
	enum emul_status status;
	uint64_t value = 0;

	status = find(emul, insn, insn->dst, size, EMUL_WRITE, &dst);
	if (status == EMUL_OK)
		status = find(emul, insn, insn->src, insn->msize, 0, &src);
	if (status == EMUL_OK)
		status = load(emul, &src, &value);
	if (status != EMUL_OK)
		return status;
	switch (insn->op) {
	case INSN_MOVSX:
		value = insn_sign_extend(value, insn->msize);
		break;
	case INSN_MOVBE:
		value = swap_bytes(value, insn->osize);
		break;
	case INSN_SETCC:
		value = emul_condition(insn->cc, s->rflags);
		break;
	case INSN_CMOVCC: /* reads always, and clears the upper half always */
		if (!emul_condition(insn->cc, s->rflags))
			value = insn_reg_read(s, insn->reg, insn->osize);
		break;
	case INSN_MOV_FROM_SREG:
		value = s->seg[array_index_nospec(insn->reg, SEG_COUNT)].selector;
		break;
	default:
		break;
	}
	return store(emul, &dst, value);
}

/* Width of the stack pointer in bytes (SDM vol. 1, 6.2.3). */
static unsigned stack_width(const struct x86_state *s)
{
	if (insn_mode_of(s) == INSN_MODE_64)
		return 8;
	return s->seg[SEG_SS].attr & SEG_ATTR_DB ? 4 : 2;
}

static enum emul_status push(struct emul *emul, const struct insn *insn)
{
	struct x86_state *s = emul->state;
	unsigned width = stack_width(s);
	uint64_t sp = insn_truncate(s->gpr[GPR_RSP] - insn->osize, width), value = 0, la;
	struct place operand;
	enum emul_status status;

	status = find(emul, insn, insn->dst, insn->osize, 0, &operand);
	if (status == EMUL_OK)
		status = emul_linear(emul, SEG_SS, sp, insn->osize, EMUL_WRITE, &la);
	if (status == EMUL_OK)
		status = emul_probe(emul, la, insn->osize, emul_user(s));
	if (status == EMUL_OK)
		status = load(emul, &operand, &value);
	if (status == EMUL_OK)
		status = emul_write(emul, la, insn->osize, emul_user(s), value);
	if (status == EMUL_OK)
		insn_reg_write(s, GPR_RSP, width, sp);
	return status;
}

/* An address that uses RSP sees it incremented (SDM vol. 2, POP). */
static enum emul_status pop(struct emul *emul, const struct insn *insn)
{
	struct x86_state *s = emul->state;
	unsigned width = stack_width(s);
	uint64_t old = s->gpr[GPR_RSP], value = 0, la;
	struct place operand;
	enum emul_status status;

	status = emul_linear(emul, SEG_SS, insn_truncate(old, width), insn->osize, 0, &la);
	if (status == EMUL_OK)
		status = emul_read(emul, la, insn->osize, emul_user(s), &value);
	if (status != EMUL_OK)
		return status;
	insn_reg_write(s, GPR_RSP, width, old + insn->osize);
	status = find(emul, insn, insn->dst, insn->osize, EMUL_WRITE, &operand);
	if (status == EMUL_OK)
		status = store(emul, &operand, value);
	if (status != EMUL_OK)
		s->gpr[GPR_RSP] = old;
	return status;
}

static enum emul_status execute(struct emul *emul, const struct insn *insn)
{
	uint64_t la;

	switch ((enum insn_op)insn->op) {
	case INSN_ADD ... INSN_SAR:
	case INSN_TEST:
		return binary(emul, insn);
	case INSN_BT ... INSN_BTC:
		return bit_test(emul, insn);
	case INSN_NOT ... INSN_DEC:
		return unary(emul, insn);
	case INSN_IMUL:
	case INSN_IMUL_IMM:
		return multiply(emul, insn);
	case INSN_XCHG:
	case INSN_XADD:
	case INSN_CMPXCHG:
		return exchange(emul, insn);
	case INSN_CMPXCHG8B:
		return compare_exchange8(emul, insn);
	case INSN_MOV ... INSN_CMOVCC:
	case INSN_MOV_FROM_SREG:
		return move(emul, insn);
	case INSN_PUSH:
		return push(emul, insn);
	case INSN_POP:
		return pop(emul, insn);
	case INSN_CLFLUSH: /* nothing is cached for a device; the CPU has walked the page tables */
	case INSN_CLWB:
		return emul_operand_address(emul, insn, 1, 0, &la);
	case INSN_MOVS ... INSN_OUTS:
		return emul_string(emul, insn);
	case INSN_IN:
	case INSN_OUT:
		return emul_port(emul, insn);
	default:
		return EMUL_UNSUPPORTED;
	}
}

enum emul_status emulate(struct emul *emul, const struct insn *insn)
{
	struct x86_state *s = emul->state;
	bool trap = s->rflags & RFLAGS_TF;
	enum emul_status status = EMUL_UNSUPPORTED;

	emul->shadow_ends = false;
	emul->single_step = false;
	if (insn->mode == insn_mode_of(s))
		status = execute(emul, insn);
	if (status == EMUL_OK)
		insn_skip(s, insn->mode, insn->len);
	if (status == EMUL_OK || status == EMUL_AGAIN) {
		emul->shadow_ends = true;
		emul->single_step = trap;
	}
	return status;
}
