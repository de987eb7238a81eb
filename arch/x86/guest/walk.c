/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's own page tables, walked in software. */
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/guest/context.h"
#include "socle/guest/cpuid.h"
#include "socle/guest/pks.h"
#include "socle/guest/walk.h"

/* Entry bits in all formats (SDM vol. 3, 4.3 to 4.5). */
enum {
	P = BIT(0), RW = BIT(1), US = BIT(2), ACCESSED = BIT(5), DIRTY = BIT(6), PS = BIT(7),
};
#define NX BIT(63)

enum pf_error { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16, PF_PK = 32 };

/* How often a walk starts anew because another vCPU changes the tables. */
enum { ATTEMPTS = 16 };

/* One paging mode: how many levels, and how its entries look. */
struct mode {
	unsigned levels;
	unsigned index_bits;
	unsigned entry_size;
	bool pae; /* the top level is the four entries of PDPTE registers */
	bool la;  /* long mode: NX, canonical addresses */
};

struct walk {
	struct x86_vcpu *v;
	struct mode m;
	uint32_t access; /* enum emul_access */
	uint64_t rights; /* AND of RW and US of all levels so far */
	bool no_exec;
	struct walk_trail *trail; /* NULL: not wanted */
};

static const uint64_t no_entry;
static const struct walk_trail no_trail = {
	.entry = {&no_entry, &no_entry, &no_entry, &no_entry, &no_entry}};

static struct mode paging_mode(const struct x86_state *s)
{
	if (s->efer & EFER_LMA)
		return (struct mode){s->cr4 & CR4_LA57 ? 5 : 4, 9, 8, false, true};
	if (s->cr4 & CR4_PAE)
		return (struct mode){3, 9, 8, true, false};
	return (struct mode){2, 10, 4, false, false};
}

static enum emul_status fault(const struct walk *w, uint64_t la, uint32_t error,
			      struct x86_exception *x)
{
	const struct x86_state *s = &w->v->state;

	if (w->access & EMUL_WRITE)
		error |= PF_W;
	if (w->access & EMUL_USER)
		error |= PF_U;
	if ((w->access & EMUL_FETCH) &&
	    ((s->cr4 & CR4_SMEP) || ((s->efer & EFER_NXE) && (w->m.la || (s->cr4 & CR4_PAE)))))
		error |= PF_I;
	*x = (struct x86_exception){
		.vector = VEC_PF,
		.has_error = true,
		.error = error,
		.has_payload = true,
		.payload = la,
	};
	return EMUL_EXCEPTION;
}

static uint64_t reserved_bits(const struct walk *w, unsigned level, uint64_t pte)
{
	const struct x86_state *s = &w->v->state;
	uint64_t bits;

	if (w->m.entry_size == 4) /* PSE-36: a 4 MiB page's bit 21 (SDM vol. 3, table 4-4) */
		return level == 2 && (pte & PS) && (s->cr4 & CR4_PSE) ? BIT(21) : 0;
	bits = MASK(51, 0) & ~MASK(cpu_info.phys_bits - 1, 0);
	if (!(s->efer & EFER_NXE))
		bits |= NX;
	if (!w->m.la)
		bits |= MASK(62, 52);
	/* Accessed is reserved in a PDPTE, too, but QEMU's TCG sets it. */
	if (w->m.pae && level == 3)
		return bits | NX | MASK(8, 6) | MASK(2, 1);
	if (level > 3)
		bits |= PS;
	else if (level > 1 && (pte & PS))
		bits |= MASK(12 + 9 * (level - 1) - 1, 13);
	return bits;
}

static bool is_leaf(const struct walk *w, unsigned level, uint64_t pte)
{
	const struct x86_state *s = &w->v->state;

	if (level == 1)
		return true;
	if (!(pte & PS))
		return false;
	if (w->m.entry_size == 4)
		return level == 2 && (s->cr4 & CR4_PSE);
	return level == 2 || (level == 3 && !w->m.pae);
}

/* Permissions of the whole walk (SDM vol. 3, 4.6.1). */
static bool allowed(const struct walk *w)
{
	const struct x86_state *s = &w->v->state;
	bool user_page = w->rights & US;

	if (w->access & EMUL_USER) {
		if (!user_page)
			return false;
		if ((w->access & EMUL_WRITE) && !(w->rights & RW))
			return false;
	} else {
		if ((w->access & EMUL_WRITE) && !(w->rights & RW) && (s->cr0 & CR0_WP))
			return false;
		if (user_page && (w->access & EMUL_FETCH) && (s->cr4 & CR4_SMEP))
			return false;
		if (user_page && !(w->access & EMUL_FETCH) && (s->cr4 & CR4_SMAP) &&
		    !(s->rflags & RFLAGS_AC))
			return false;
	}
	return !((w->access & EMUL_FETCH) && w->no_exec);
}

/*
 * Protection keys guard pages from accesses to data, user pages by PKRU and supervisor pages by
 * IA32_PKRS (SDM vol. 3, 4.6.2).
 */
static bool key_denies(const struct walk *w, uint64_t pte)
{
	enum { KEY_SHIFT = 59, KEY = 15, NO_ACCESS = 1, NO_WRITE = 2 };
	const struct x86_state *s = &w->v->state;
	bool user = w->rights & US;
	uint32_t denied;

	if (!(s->cr4 & (user ? CR4_PKE : CR4_PKS)) || !w->m.la || (w->access & EMUL_FETCH))
		return false;
	denied = (user ? context_pkru() : pks_rights()) >> 2 * (pte >> KEY_SHIFT & KEY);
	if (denied & NO_ACCESS)
		return true;
	return (denied & NO_WRITE) && (w->access & EMUL_WRITE) &&
	       ((w->access & EMUL_USER) || (s->cr0 & CR0_WP));
}

/*
 * Sets accessed, and dirty in a leaf that is written. False if the entry is not @pte any more: the
 * CPU sets these bits only in what it has used (SDM vol. 3, 4.8).
 */
static bool mark(const struct walk *w, void *slot, uint64_t *pte, bool dirty)
{
	uint64_t old = *pte;
	uint32_t old32 = (uint32_t)old;

	*pte |= ACCESSED | (dirty ? DIRTY : 0);
	if (*pte == old)
		return true;
	if (w->m.entry_size == 8)
		return __atomic_compare_exchange_n((uint64_t *)slot, &old, *pte, false,
						   __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n((uint32_t *)slot, &old32, (uint32_t)*pte, false,
					   __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* What the walk went by, which another vCPU may have changed in memory since. */
static void note(const struct walk *w, unsigned level, const uint64_t *slot, uint64_t pte)
{
	if (!w->trail)
		return;
	w->trail->entry[level - 1] = slot;
	w->trail->value[level - 1] = pte;
}

static uint64_t leaf_address(const struct walk *w, unsigned level, unsigned shift, uint64_t pte,
			     uint64_t la)
{
	uint64_t offset = la & (BIT(shift) - 1);

	if (w->m.entry_size == 4 && level == 2) /* PSE-36: bits 20:13 are address bits 39:32 */
		return (pte & MASK(31, 22)) | (pte & MASK(20, 13)) << 19 | offset;
	return (pte & MASK(51, 12) & ~(BIT(shift) - 1)) | offset;
}

/*
 * One attempt; EMUL_RETRY if an entry changed between its use and its mark. In the last attempt an
 * accessed bit may be missing, which is a hint; but a page whose dirty bit is missing may be lost.
 */
static enum emul_status attempt(struct walk *w, uint64_t la, uint64_t *gpa,
				struct x86_exception *x, bool last)
{
	const struct x86_state *s = &w->v->state;
	bool write = w->access & EMUL_WRITE;
	uint64_t table = s->cr3 & (w->m.la ? MASK(51, 12) : w->m.pae ? MASK(31, 5) : MASK(31, 12));

	for (unsigned level = w->m.levels;; level--) {
		unsigned shift = PAGE_SHIFT + w->m.index_bits * (level - 1);
		uint64_t index = la >> shift & (BIT(w->m.index_bits) - 1);
		void *slot = guest_ptr(&w->v->base.vm->mem, table + index * w->m.entry_size);
		uint64_t pte;

		if (!slot)
			return EMUL_FATAL;
		pte = w->m.entry_size == 8 ? READ_ONCE(*(uint64_t *)slot)
					   : READ_ONCE(*(uint32_t *)slot);
		if (!(pte & P))
			return fault(w, la, 0, x);
		if (pte & reserved_bits(w, level, pte))
			return fault(w, la, PF_P | PF_RSVD, x);
		if (!(w->m.pae && level == 3)) {
			w->rights &= pte;
			w->no_exec |= (s->efer & EFER_NXE) && w->m.entry_size == 8 && (pte & NX);
		}
		if (is_leaf(w, level, pte)) {
			bool denied = key_denies(w, pte);

			if (denied || !allowed(w))
				return fault(w, la, PF_P | (denied ? PF_PK : 0), x);
			if (!mark(w, slot, &pte, write) && (write || !last))
				return EMUL_RETRY;
			note(w, level, slot, pte);
			*gpa = leaf_address(w, level, shift, pte, la);
			return EMUL_OK;
		}
		if (!(w->m.pae && level == 3) && !mark(w, slot, &pte, false) && !last)
			return EMUL_RETRY;
		note(w, level, slot, pte);
		table = pte & (w->m.entry_size == 8 ? MASK(51, 12) : MASK(31, 12));
	}
}

static enum emul_status walk(struct walk *w, uint64_t la, uint64_t *gpa, struct x86_exception *x)
{
	enum emul_status status = EMUL_RETRY;

	for (unsigned i = 1; status == EMUL_RETRY && i <= ATTEMPTS; i++) {
		w->rights = RW | US;
		w->no_exec = false;
		if (w->trail)
			*w->trail = no_trail;
		status = attempt(w, la, gpa, x, i == ATTEMPTS);
	}
	return status;
}

enum emul_status x86_walk(struct x86_vcpu *v, uint64_t la, uint32_t access, uint64_t *gpa,
			  struct x86_exception *x)
{
	struct walk w = {.v = v, .access = access};

	if (!(v->state.cr0 & CR0_PG)) {
		*gpa = la;
		return EMUL_OK;
	}
	w.m = paging_mode(&v->state);
	return walk(&w, la, gpa, x);
}

bool x86_walk_trail(struct x86_vcpu *v, uint64_t la, uint32_t access, uint64_t *gpa,
		    struct walk_trail *trail)
{
	struct walk w = {.v = v, .access = access, .trail = trail};
	struct x86_exception x;

	*trail = no_trail;
	*gpa = la;
	if (!(v->state.cr0 & CR0_PG))
		return true;
	w.m = paging_mode(&v->state);
	if (w.m.levels > WALK_LEVELS || w.m.entry_size != sizeof(uint64_t))
		return false;
	return walk(&w, la, gpa, &x) == EMUL_OK;
}
