/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's current instruction: its bytes without a walk where possible, and its decoding. */
#include "socle/guest/walk.h"
#include "socle/string.h"

enum { FETCH_MAX = 16 };

static bool refill(struct x86_vcpu *v, uint64_t la)
{
	struct fetch_window *f = &v->fetch;
	struct x86_exception x;
	uint32_t access = EMUL_FETCH;
	uint64_t gpa;
	void *host;

	x86_load(v, X86_CR | X86_SEG | X86_RFLAGS);
	if (v->state.cpl == 3)
		access |= EMUL_USER;
	f->page = UINT64_MAX;
	if (x86_walk(v, la & PAGE_MASK, access, &gpa, &x) != EMUL_OK)
		return false;
	host = guest_ptr(&v->base.vm->mem, gpa);
	if (!host)
		return false;
	*f = (struct fetch_window){
		.page = la & PAGE_MASK,
		.cr3 = v->state.cr3,
		.generation = v->base.vm->mem.generation,
		.host = host,
	};
	return true;
}

const uint8_t *x86_fetch(struct x86_vcpu *v, uint64_t la, uint64_t cr3, size_t *len)
{
	const struct fetch_window *f = &v->fetch;
	uint64_t offset = la & (PAGE_SIZE - 1);

	*len = 0;
	if (unlikely(f->page != (la & PAGE_MASK) || f->cr3 != cr3 ||
		     f->generation != v->base.vm->mem.generation) &&
	    !refill(v, la))
		return NULL;
	*len = MIN(PAGE_SIZE - offset, (uint64_t)FETCH_MAX);
	return f->host + offset;
}

static struct decode_entry *cached(struct x86_vcpu *v, uint64_t la, enum insn_mode mode,
				   const uint8_t *bytes)
{
	struct decode_entry *e = &v->decode[la % DECODE_CACHE_SIZE];
	uint64_t now[2];

	/* One copy, so that bytes which another vCPU changes meanwhile cannot mix. */
	memcpy(now, bytes, sizeof(now));
	if (e->la != la || e->mode != mode || ((now[0] ^ e->bytes[0]) & e->mask[0]) ||
	    ((now[1] ^ e->bytes[1]) & e->mask[1]))
		return NULL;
	return e->insn.len ? e : NULL;
}

static void remember(struct x86_vcpu *v, uint64_t la, enum insn_mode mode, const uint8_t *copy,
		     const struct insn *insn)
{
	struct decode_entry *e = &v->decode[la % DECODE_CACHE_SIZE];
	uint8_t *mask = (uint8_t *)e->mask;

	e->la = la;
	e->mode = mode;
	e->insn = *insn;
	memcpy(e->bytes, copy, sizeof(e->bytes));
	for (unsigned i = 0; i < sizeof(e->mask); i++)
		mask[i] = i < insn->len ? 0xff : 0;
}

/* Fetches byte by byte across pages, with all faults that a fetch can have. */
struct slow_fetch {
	struct emul emul;
	struct x86_vcpu *v;
};

static enum emul_status slow_read(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
				  uint64_t *value)
{
	struct x86_vcpu *v = container_of(emul, struct slow_fetch, emul)->v;
	enum emul_status status;
	uint64_t gpa;

	status = x86_walk(v, la, access, &gpa, &emul->exception);
	if (status != EMUL_OK)
		return status;
	*value = 0;
	return guest_read(&v->base.vm->mem, gpa, value, size) ? EMUL_FATAL : EMUL_OK;
}

enum emul_status x86_decode(struct x86_vcpu *v, struct insn *insn, struct x86_exception *x)
{
	static const struct emul_ops ops = {.read = slow_read};
	struct slow_fetch slow = {.emul = {.ops = &ops, .state = &v->state}, .v = v};
	uint8_t copy[FETCH_MAX];
	enum emul_status status;
	enum insn_mode mode;
	const uint8_t *bytes;
	uint64_t la;
	size_t len;

	x86_load(v, X86_RIP | X86_CR | X86_SEG | X86_RFLAGS);
	mode = insn_mode_of(&v->state);
	la = v->state.rip;
	if (mode != INSN_MODE_64)
		la = (uint32_t)(la + v->state.seg[SEG_CS].base);
	bytes = x86_fetch(v, la, v->state.cr3, &len);
	if (bytes && len == FETCH_MAX) {
		const struct decode_entry *e = cached(v, la, mode, bytes);

		if (e) {
			v->stats.decode_hits++;
			*insn = e->insn;
			return EMUL_OK;
		}
		memcpy(copy, bytes, sizeof(copy));
		v->stats.decoded++;
		if (insn_decode(insn, copy, sizeof(copy), mode) == INSN_OK) {
			remember(v, la, mode, copy, insn);
			return EMUL_OK;
		}
	}
	x86_load(v, X86_ALL);
	status = emul_fetch(&slow.emul, insn);
	if (status == EMUL_EXCEPTION)
		*x = slow.emul.exception;
	return status;
}
