/* SPDX-License-Identifier: BSD-2-Clause */
/* The emulator's memory accesses: effective address, segmentation, linear access, fetch. */
#include "emulate_impl.h"

enum emul_status emul_raise(struct emul *emul, enum x86_vector vector)
{
	bool has_error = vector == VEC_GP || vector == VEC_SS;

	emul->exception = (struct x86_exception){
		.vector = vector,
		.has_error = has_error && (emul->state->cr0 & EMUL_CR0_PE),
	};
	return EMUL_EXCEPTION;
}

static bool is_canonical(const struct x86_state *s, uint64_t la)
{
	unsigned unused = s->cr4 & EMUL_CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(la << unused) >> unused) == la;
}

/* Is @access allowed by the type of the segment (SDM vol. 3, 3.4.5.1)? */
static bool is_allowed(const struct x86_segment *seg, uint32_t access)
{
	bool code = seg->attr & 8, rw = seg->attr & 2;

	if (!(seg->attr & SEG_ATTR_P) || !(seg->attr & SEG_ATTR_S))
		return false;
	if (access & EMUL_FETCH)
		return code;
	if (access & EMUL_WRITE)
		return !code && rw;
	return !code || rw;
}

/* Are all of [offset, offset + size) within the limit (SDM vol. 3, 5.3)? */
static bool is_within(const struct x86_segment *seg, uint64_t offset, unsigned size, bool typed)
{
	uint64_t last = offset + size - 1;
	bool down = typed && (seg->attr & (SEG_ATTR_S | 8 | 4)) == (SEG_ATTR_S | 4);

	if (down)
		return offset > seg->limit &&
		       last <= (seg->attr & SEG_ATTR_DB ? UINT32_MAX : UINT16_MAX);
	return last <= seg->limit;
}

enum emul_status emul_linear(struct emul *emul, enum x86_seg seg, uint64_t offset, unsigned size,
			     uint32_t access, uint64_t *la)
{
	const struct x86_state *s = emul->state;
	const struct x86_segment *segment = &s->seg[array_index_nospec(seg, SEG_COUNT)];
	enum x86_vector vector = seg == SEG_SS ? VEC_SS : VEC_GP;
	bool typed = emul_is_protected(s);

	if (insn_mode_of(s) == INSN_MODE_64) {
		*la = offset + (seg == SEG_FS || seg == SEG_GS ? segment->base : 0);
		if (!is_canonical(s, *la) || !is_canonical(s, *la + size - 1))
			return emul_raise(emul, vector);
		return EMUL_OK;
	}
	if (typed && !is_allowed(segment, access))
		return emul_raise(emul, vector);
	if (!is_within(segment, offset, size, typed))
		return emul_raise(emul, vector);
	*la = (uint32_t)(segment->base + offset);
	return EMUL_OK;
}

uint64_t emul_effective_address(const struct emul *emul, const struct insn *insn)
{
	const struct x86_state *s = emul->state;
	uint64_t address = (uint64_t)insn->disp;

	if (insn->base == INSN_REG_RIP)
		address += s->rip + insn->len;
	else if (insn->base != INSN_REG_NONE)
		address += s->gpr[insn->base & 15];
	if (insn->index != INSN_REG_NONE)
		address += s->gpr[insn->index & 15] << insn->scale;
	return insn_truncate(address, insn->asize);
}

enum emul_status emul_operand_address(struct emul *emul, const struct insn *insn, unsigned size,
				      uint32_t access, uint64_t *la)
{
	return emul_linear(emul, insn->seg, emul_effective_address(emul, insn), size, access, la);
}

/* How many of @size bytes at @la are before the end of its page. */
static unsigned first_part(uint64_t la, unsigned size)
{
	return (unsigned)MIN((uint64_t)size, PAGE_SIZE - (la & ~PAGE_MASK));
}

/* The linear address @n bytes after @la: it wraps at 4 GiB outside of 64-bit mode. */
static uint64_t linear_add(const struct emul *emul, uint64_t la, unsigned n)
{
	return insn_mode_of(emul->state) == INSN_MODE_64 ? la + n : (uint32_t)(la + n);
}

enum emul_status emul_read(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
			   uint64_t *value)
{
	unsigned n = first_part(la, size);
	enum emul_status status;
	uint64_t high = 0;

	status = emul->ops->read(emul, la, n, access, value);
	if (status != EMUL_OK)
		return status;
	*value = insn_truncate(*value, n);
	if (n == size)
		return EMUL_OK;
	status = emul->ops->read(emul, linear_add(emul, la, n), size - n, access, &high);
	*value |= insn_truncate(high, size - n) << (8 * n);
	return status;
}

enum emul_status emul_probe(struct emul *emul, uint64_t la, unsigned size, uint32_t access)
{
	unsigned n = first_part(la, size);
	enum emul_status status = emul->ops->probe(emul, la, n, access | EMUL_WRITE);

	if (status != EMUL_OK || n == size)
		return status;
	return emul->ops->probe(emul, linear_add(emul, la, n), size - n, access | EMUL_WRITE);
}

enum emul_status emul_write(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
			    uint64_t value)
{
	unsigned n = first_part(la, size);
	enum emul_status status;

	access |= EMUL_WRITE;
	value = insn_truncate(value, size);
	if (n == size)
		return emul->ops->write(emul, la, size, access, value);
	status = emul_probe(emul, la, size, access);
	if (status != EMUL_OK)
		return status;
	status = emul->ops->write(emul, la, n, access, insn_truncate(value, n));
	if (status != EMUL_OK)
		return status;
	return emul->ops->write(emul, linear_add(emul, la, n), size - n, access, value >> (8 * n));
}

/* Reads @len bytes of code, all in one page, at @la. */
static enum emul_status fetch_bytes(struct emul *emul, uint64_t la, uint8_t *bytes, unsigned len)
{
	for (unsigned done = 0; done < len;) {
		unsigned n = MIN(len - done, 8u);
		uint64_t value = 0;
		enum emul_status status = emul->ops->read(
			emul, la + done, n, EMUL_FETCH | emul_user(emul->state), &value);

		if (status != EMUL_OK)
			return status;
		for (unsigned i = 0; i < n; i++)
			bytes[done + i] = (uint8_t)(value >> (8 * i));
		done += n;
	}
	return EMUL_OK;
}

/* Code bytes left before the limit of CS, at most INSN_MAX_LEN. */
static unsigned code_left(const struct x86_state *s, enum insn_mode mode)
{
	uint32_t ip = (uint32_t)s->rip, limit = s->seg[SEG_CS].limit;

	if (mode == INSN_MODE_64)
		return INSN_MAX_LEN;
	if (ip > limit)
		return 0;
	return (unsigned)MIN((uint64_t)limit - ip + 1, (uint64_t)INSN_MAX_LEN);
}

enum emul_status emul_fetch(struct emul *emul, struct insn *insn)
{
	const struct x86_state *s = emul->state;
	enum insn_mode mode = insn_mode_of(s);
	unsigned left = code_left(s, mode), len;
	uint8_t bytes[INSN_MAX_LEN];
	enum insn_status decoded;
	enum emul_status status;
	uint64_t la = mode == INSN_MODE_64 ? s->rip : (uint32_t)(s->seg[SEG_CS].base + s->rip);

	if (left == 0 || (mode == INSN_MODE_64 && !is_canonical(s, la)))
		return emul_raise(emul, VEC_GP);
	len = first_part(la, left);
	status = fetch_bytes(emul, la, bytes, len);
	if (status != EMUL_OK)
		return status;
	decoded = insn_decode(insn, bytes, len, mode);
	if (decoded == INSN_MORE && len < left) {
		status = fetch_bytes(emul, linear_add(emul, la, len), bytes + len, left - len);
		if (status != EMUL_OK)
			return status;
		decoded = insn_decode(insn, bytes, left, mode);
	}
	switch (decoded) {
	case INSN_OK:
		return EMUL_OK;
	case INSN_UNDEFINED:
		return emul_raise(emul, VEC_UD);
	case INSN_UNSUPPORTED:
		return EMUL_UNSUPPORTED;
	default: /* too long, or it runs past the limit of CS */
		return emul_raise(emul, VEC_GP);
	}
}
