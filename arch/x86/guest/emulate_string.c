/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator's string instructions and port accesses. */
#include "emulate_impl.h"

enum {
	TSS_TYPE_BUSY_386 = 0xb, /* also the 64-bit TSS (SDM vol. 3, table 3-2) */
	TSS_TYPE_AVAIL_386 = 0x9,
	TSS_IOPB_OFFSET = 0x66, /* 16-bit offset of the permission bitmap (SDM vol. 3, 8.2.1) */
};

/* Reads two bytes of the TSS at @offset, byte by byte: its linear address may be above 4 GiB. */
static enum emul_status read_tss(struct emul *emul, uint32_t offset, uint64_t *value)
{
	const struct x86_state *s = emul->state;
	uint64_t la = s->seg[SEG_TR].base + offset, high = 0;
	uint64_t mask = s->efer & EMUL_EFER_LMA ? ~0ull : UINT32_MAX;
	enum emul_status status = emul->ops->read(emul, la & mask, 1, 0, value);

	if (status == EMUL_OK)
		status = emul->ops->read(emul, (la + 1) & mask, 1, 0, &high);
	*value = (*value & 0xff) | (high & 0xff) << 8;
	return status;
}

/* Looks up the permission bitmap of the TSS (SDM vol. 1, 19.5.2). */
static enum emul_status check_bitmap(struct emul *emul, uint16_t port, unsigned size)
{
	const struct x86_segment *tr = &emul->state->seg[SEG_TR];
	unsigned type = tr->attr & SEG_ATTR_TYPE;
	enum emul_status status;
	uint64_t offset = 0, bits = 0;

	if (!(tr->attr & SEG_ATTR_P) || (type != TSS_TYPE_BUSY_386 && type != TSS_TYPE_AVAIL_386) ||
	    tr->limit < TSS_IOPB_OFFSET + 1)
		return emul_raise(emul, VEC_GP);
	status = read_tss(emul, TSS_IOPB_OFFSET, &offset);
	if (status != EMUL_OK)
		return status;
	offset += port / 8;
	if (offset + 1 > tr->limit)
		return emul_raise(emul, VEC_GP);
	status = read_tss(emul, (uint32_t)offset, &bits);
	if (status != EMUL_OK)
		return status;
	if ((bits >> (port % 8)) & (BIT(size) - 1))
		return emul_raise(emul, VEC_GP);
	return EMUL_OK;
}

static enum emul_status check_port(struct emul *emul, uint16_t port, unsigned size)
{
	const struct x86_state *s = emul->state;
	unsigned iopl = (s->rflags & RFLAGS_IOPL) >> 12;

	if (emul->io_checked || !(s->cr0 & EMUL_CR0_PE))
		return EMUL_OK;
	if (s->cpl <= iopl && !(s->rflags & RFLAGS_VM))
		return EMUL_OK;
	return check_bitmap(emul, port, size);
}

enum emul_status emul_port(struct emul *emul, const struct insn *insn)
{
	struct x86_state *s = emul->state;
	uint16_t port = (uint16_t)(insn->src == OPND_IMM ? insn->imm : s->gpr[GPR_RDX]);
	enum emul_status status = check_port(emul, port, insn->osize);
	uint32_t value = 0;

	if (status != EMUL_OK)
		return status;
	if (insn->op == INSN_OUT) {
		value = (uint32_t)insn_reg_read(s, GPR_RAX, insn->osize);
		return emul->ops->out(emul, port, insn->osize, value);
	}
	status = emul->ops->in(emul, port, insn->osize, &value);
	if (status == EMUL_OK)
		insn_reg_write(s, GPR_RAX, insn->osize, value);
	return status;
}

/* What one run of a string instruction keeps between its iterations. */
struct string_run {
	struct emul *emul;	 /* the emulation */
	const struct insn *insn; /* the string instruction */
	uint32_t user;		 /* EMUL_USER or 0 */
	uint64_t probed;	 /* page that may be written, by its linear address; ~0: none yet */
};

/* Reads the element at seg:rSI. */
static enum emul_status read_source(struct string_run *r, uint64_t *value)
{
	const struct insn *insn = r->insn;
	uint64_t offset = insn_reg_read(r->emul->state, GPR_RSI, insn->asize), la;
	enum emul_status status = emul_linear(r->emul, insn->seg, offset, insn->osize, 0, &la);

	if (status != EMUL_OK)
		return status;
	return emul_read(r->emul, la, insn->osize, r->user, value);
}

/* Linear address of the element at ES:rDI; for a write, makes sure that it will succeed. */
static enum emul_status find_destination(struct string_run *r, uint32_t access, uint64_t *la)
{
	const struct insn *insn = r->insn;
	uint64_t offset = insn_reg_read(r->emul->state, GPR_RDI, insn->asize), page;
	enum emul_status status = emul_linear(r->emul, SEG_ES, offset, insn->osize, access, la);

	if (status != EMUL_OK || !(access & EMUL_WRITE))
		return status;
	page = (*la + insn->osize - 1) & PAGE_MASK;
	if (page == r->probed && page == (*la & PAGE_MASK))
		return EMUL_OK;
	status = emul_probe(r->emul, *la, insn->osize, r->user);
	if (status == EMUL_OK)
		r->probed = page;
	return status;
}

static enum emul_status write_destination(struct string_run *r, uint64_t la, uint64_t value)
{
	return emul_write(r->emul, la, r->insn->osize, r->user, value);
}

/* MOVS, STOS, LODS and their port variants INS and OUTS: one element. */
static enum emul_status move_element(struct string_run *r)
{
	struct x86_state *s = r->emul->state;
	const struct insn *insn = r->insn;
	uint16_t port = (uint16_t)s->gpr[GPR_RDX];
	bool to_memory = insn->op != INSN_LODS && insn->op != INSN_OUTS;
	uint64_t value = insn_reg_read(s, GPR_RAX, insn->osize), la = 0;
	enum emul_status status = EMUL_OK;
	uint32_t input = 0;

	if (to_memory)
		status = find_destination(r, EMUL_WRITE, &la);
	if (status == EMUL_OK && insn->op == INSN_INS) {
		status = r->emul->ops->in(r->emul, port, insn->osize, &input);
		value = input;
	} else if (status == EMUL_OK && insn->op != INSN_STOS) {
		status = read_source(r, &value);
	}
	if (status != EMUL_OK)
		return status;
	if (to_memory)
		return write_destination(r, la, value);
	if (insn->op == INSN_OUTS)
		return r->emul->ops->out(r->emul, port, insn->osize, (uint32_t)value);
	insn_reg_write(s, GPR_RAX, insn->osize, value);
	return EMUL_OK;
}

/* CMPS and SCAS: one element. */
static enum emul_status compare_element(struct string_run *r)
{
	struct x86_state *s = r->emul->state;
	const struct insn *insn = r->insn;
	uint64_t left = insn_reg_read(s, GPR_RAX, insn->osize), right = 0, la = 0;
	enum emul_status status = EMUL_OK;

	if (insn->op == INSN_CMPS)
		status = read_source(r, &left);
	if (status == EMUL_OK)
		status = find_destination(r, 0, &la);
	if (status == EMUL_OK)
		status = emul_read(r->emul, la, insn->osize, r->user, &right);
	if (status == EMUL_OK)
		emul_alu(INSN_CMP, insn->osize, &left, right, &s->rflags);
	return status;
}

/* Moves rSI and rDI, as far as the instruction uses them, by one element. */
static void advance(struct string_run *r)
{
	struct x86_state *s = r->emul->state;
	const struct insn *insn = r->insn;
	uint64_t step = insn->osize;

	if (s->rflags & RFLAGS_DF)
		step = -step;
	if (insn->op != INSN_STOS && insn->op != INSN_SCAS && insn->op != INSN_INS)
		insn_reg_write(s, GPR_RSI, insn->asize, s->gpr[GPR_RSI] + step);
	if (insn->op != INSN_LODS && insn->op != INSN_OUTS)
		insn_reg_write(s, GPR_RDI, insn->asize, s->gpr[GPR_RDI] + step);
}

/* One iteration of any of them. */
static enum emul_status iterate(struct string_run *r)
{
	bool compare = r->insn->op == INSN_CMPS || r->insn->op == INSN_SCAS;
	enum emul_status status = compare ? compare_element(r) : move_element(r);

	if (status == EMUL_OK)
		advance(r);
	return status;
}

/* REPE and REPNE end CMPS and SCAS by ZF; for the others both prefixes are REP. */
static bool ends_early(const struct string_run *r)
{
	bool zero = r->emul->state->rflags & RFLAGS_ZF;

	if (r->insn->op != INSN_CMPS && r->insn->op != INSN_SCAS)
		return false;
	return r->insn->prefixes & INSN_PFX_REP ? !zero : zero;
}

enum emul_status emul_string(struct emul *emul, const struct insn *insn)
{
	struct x86_state *s = emul->state;
	struct string_run r = {.emul = emul, .insn = insn, .user = emul_user(s), .probed = ~0ull};
	bool rep = insn->prefixes & (INSN_PFX_REP | INSN_PFX_REPNE);
	unsigned max = s->rflags & RFLAGS_TF ? 1 : EMUL_REP_MAX; /* each iteration traps */
	enum emul_status status;

	if (rep && insn_reg_read(s, GPR_RCX, insn->asize) == 0)
		return EMUL_OK;
	if (insn->op == INSN_INS || insn->op == INSN_OUTS) {
		status = check_port(emul, (uint16_t)s->gpr[GPR_RDX], insn->osize);
		if (status != EMUL_OK)
			return status;
	}
	if (!rep)
		return iterate(&r);
	for (unsigned i = 0; i < max; i++) {
		status = iterate(&r);
		if (status != EMUL_OK)
			return status;
		insn_reg_write(s, GPR_RCX, insn->asize, s->gpr[GPR_RCX] - 1);
		if (insn_reg_read(s, GPR_RCX, insn->asize) == 0 || ends_early(&r))
			return EMUL_OK;
	}
	return EMUL_AGAIN;
}
