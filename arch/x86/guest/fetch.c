/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's current instruction: its bytes without a walk where possible, and its decoding. */
#include "socle/cpu/regs.h"
#include "socle/guest/walk.h"
#include "socle/string.h"

void fetch_close(struct x86_vcpu *v)
{
	for (unsigned i = 0; i < FETCH_WINDOWS; i++)
		v->fetch[i] = (struct fetch_window){.page = FETCH_NOWHERE};
}

/*
 * What a window is known by: CR3 and, in bits that it does not have, the paging mode, which a guest
 * changes without an exit and maybe with the same CR3. For 64-bit code, which has to be quick, CR3
 * says all but whether there are 4 or 5 levels of tables: nobody has the same root for both who
 * does not mean to confuse.
 */
enum { KEY_LEGACY = 52, KEY_PG, KEY_PAE, KEY_LA57, KEY_LMA };

static uint64_t window_key(const struct x86_state *s, enum insn_mode mode)
{
	if (mode == INSN_MODE_64)
		return s->cr3;
	return s->cr3 | BIT(KEY_LEGACY) | (s->cr0 & CR0_PG ? BIT(KEY_PG) : 0) |
	       (s->cr4 & CR4_PAE ? BIT(KEY_PAE) : 0) | (s->cr4 & CR4_LA57 ? BIT(KEY_LA57) : 0) |
	       (s->efer & EFER_LMA ? BIT(KEY_LMA) : 0);
}

static bool refill(struct x86_vcpu *v, uint64_t la, enum insn_mode mode)
{
	struct fetch_window *f = fetch_window(v, la);
	struct walk_trail trail;
	uint32_t access = EMUL_FETCH;
	uint64_t gpa;
	void *host;

	x86_load(v, X86_CR | X86_SEG | X86_RFLAGS);
	if (v->state.cpl == 3)
		access |= EMUL_USER;
	f->page = FETCH_NOWHERE;
	if (!x86_walk_trail(v, la & PAGE_MASK, access, &gpa, &trail))
		return false;
	host = guest_ptr(&v->base.vm->mem, gpa);
	if (!host)
		return false;
	*f = (struct fetch_window){
		.page = la & PAGE_MASK,
		.cr3 = window_key(&v->state, mode),
		.host = host,
		.trail = trail,
	};
	return true;
}

/* The low @n bytes. */
static uint64_t low_bytes(unsigned n)
{
	return n >= 8 ? UINT64_MAX : BIT(8 * n) - 1;
}

const struct insn *x86_decode_far(struct x86_vcpu *v, uint64_t la, enum insn_mode mode)
{
	uint64_t offset = la & (PAGE_SIZE - 1);

	if (offset > PAGE_SIZE - FETCH_MAX || !refill(v, la, mode))
		return NULL;
	return x86_decode_anew(v, la, mode, fetch_window(v, la)->host + offset);
}

const struct insn *x86_decode_legacy(struct x86_vcpu *v, uint64_t la, enum insn_mode mode)
{
	x86_load(v, X86_CR);
	return x86_decode_near(v, la, window_key(&v->state, mode), mode);
}

const struct insn *x86_decode_anew(struct x86_vcpu *v, uint64_t la, enum insn_mode mode,
				   const uint8_t *p)
{
	struct decode_entry *e = &v->decode[la % DECODE_CACHE_SIZE];
	uint64_t bytes[2];
	struct insn insn;

	/* One copy, so that bytes which another vCPU changes meanwhile cannot mix. */
	memcpy(bytes, p, sizeof(bytes));
	v->stats.decoded++;
	if (insn_decode(&insn, (const uint8_t *)bytes, FETCH_MAX, mode) != INSN_OK)
		return NULL;
	*e = (struct decode_entry){
		.la = la,
		.bytes = {bytes[0], bytes[1]},
		.mask = {low_bytes(insn.len), insn.len > 8 ? low_bytes(insn.len - 8u) : 0},
		.mode = mode,
		.insn = insn,
	};
	return &e->insn;
}

const struct insn *x86_decode_given(struct x86_vcpu *v, uint64_t la, enum insn_mode mode,
				    const uint8_t *given, unsigned count)
{
	const struct decode_entry *e = &v->decode[la % DECODE_CACHE_SIZE];
	const struct insn *insn = &e->insn;
	uint64_t bytes[2] = {0};

	memcpy(bytes, given, MIN(count, (unsigned)FETCH_MAX));
	if (e->la == la && e->mode == mode &&
	    !(((bytes[0] ^ e->bytes[0]) & e->mask[0]) | ((bytes[1] ^ e->bytes[1]) & e->mask[1])))
		v->stats.decode_hits++;
	else
		insn = x86_decode_anew(v, la, mode, (const uint8_t *)bytes);
	/* Bytes that were not given are no zeroes. */
	return insn && insn->len <= count ? insn : NULL;
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
	const struct insn *fast;
	enum emul_status status;
	enum insn_mode mode;
	uint64_t la;

	x86_load(v, X86_RIP | X86_CR | X86_SEG | X86_RFLAGS);
	mode = insn_mode_of(&v->state);
	la = v->state.rip;
	if (mode != INSN_MODE_64)
		la = (uint32_t)(la + v->state.seg[SEG_CS].base);
	fast = x86_decode_fast(v, la, v->state.cr3, mode);
	if (fast) {
		*insn = *fast;
		return EMUL_OK;
	}
	x86_load(v, X86_ALL);
	status = emul_fetch(&slow.emul, insn);
	if (status == EMUL_EXCEPTION)
		*x = slow.emul.exception;
	return status;
}
