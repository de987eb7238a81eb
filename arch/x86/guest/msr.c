/* SPDX-License-Identifier: BSD-2-Clause */
/* Looks up, checks and carries out a guest's accesses to model-specific registers. */
#include "socle/guest/cpuid.h"
#include "socle/guest/msr.h"
#include "socle/report.h"
#include "socle/string.h"

/* The ranges in which registers may lie: three of the architecture, one of KVM's interface. */
enum { WINDOWS = 4, WINDOW_SIZE = 0x2000, NONE = 0xff };
static const uint32_t window_base[WINDOWS] = {0, 0xc0000000, 0xc0010000, 0x4b564d00};

/* What an access needs of a row, in one cache line. */
struct __aligned(64) row
{
	const struct msr_policy *policy;
	msr_read_fn rd;
	msr_write_fn wr;
	uint64_t invalid; /* bits that may not be written */
	uint32_t slot;	  /* of the first register's value in x86_vcpu.msr[], less its index */
	bool keeps_value; /* has slots */
};

/* Made by msr_init() from the table, then read-only. */
static struct row row[NONE + 1];	     /* the last is never used */
static uint8_t row_of[WINDOWS][WINDOW_SIZE]; /* row number, or NONE */
static unsigned rows;

unsigned msr_policy_count(void)
{
	return rows;
}

const struct msr_policy *msr_policy(unsigned n)
{
	return row[n].policy;
}

/* Window of @index in [0, WINDOWS), or WINDOWS. */
static inline unsigned window_of(uint32_t index)
{
	for (unsigned w = 0; w < WINDOWS; w++)
		if (index - window_base[w] < WINDOW_SIZE)
			return w;
	return WINDOWS;
}

static inline unsigned find_row(uint32_t index)
{
	unsigned w;

	if (likely(index < WINDOW_SIZE))
		return row_of[0][array_index_mask(index, WINDOW_SIZE)];
	w = window_of(index);
	if (w == WINDOWS)
		return NONE;
	return row_of[array_index_mask(w, WINDOWS)]
		     [array_index_mask(index - window_base[w], WINDOW_SIZE)];
}

const struct msr_policy *msr_find(uint32_t index)
{
	unsigned n = find_row(index);

	return n == NONE ? NULL : row[n].policy;
}

static void check_row(const struct msr_policy *p)
{
	bool handlers = (p->read != MSR_EMULATED || p->rd) && (p->write != MSR_EMULATED || p->wr);

	if (!p->count || !handlers || window_of(p->index) == WINDOWS ||
	    window_of(p->index) != window_of(p->index + p->count - 1))
		panic("msr table: row %s is wrong", p->name);
}

/* Handlers of the simple actions. */
static enum msr_result read_stored(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				   uint64_t *value)
{
	*value = *slot;
	return MSR_OK;
}

static enum msr_result write_stored(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				    uint64_t value)
{
	*slot = value;
	return MSR_OK;
}

static enum msr_result read_constant(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				     uint64_t *value)
{
	*value = msr_find(index)->reset;
	return MSR_OK;
}

static enum msr_result write_constant(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				      uint64_t value)
{
	return MSR_OK;
}

static enum msr_result read_refused(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				    uint64_t *value)
{
	return MSR_FILTERED;
}

static enum msr_result write_refused(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				     uint64_t value)
{
	return MSR_FILTERED;
}

/* An exit although it is direct: only for a register that no permission map reaches. */
static const msr_read_fn readers[] = {
	[MSR_REJECT] = read_refused,
	[MSR_DIRECT] = read_refused,
	[MSR_STORED] = read_stored,
	[MSR_CONSTANT] = read_constant,
};
static const msr_write_fn writers[] = {
	[MSR_REJECT] = write_refused,
	[MSR_DIRECT] = write_refused,
	[MSR_STORED] = write_stored,
	[MSR_CONSTANT] = write_constant,
};

/* Whose writes are checked for invalid bits. */
static bool takes_values(const struct msr_policy *p)
{
	return p->write == MSR_EMULATED || p->write == MSR_STORED;
}

static bool keeps_value(const struct msr_policy *p)
{
	return p->read == MSR_STORED || p->write == MSR_STORED || p->read == MSR_EMULATED;
}

/* Enters row @n into the index. */
static void map_row(unsigned n)
{
	const struct msr_policy *p = row[n].policy;
	unsigned w = window_of(p->index);

	for (unsigned i = 0; i < p->count; i++) {
		uint8_t *cell = &row_of[w][p->index - window_base[w] + i];

		if (*cell != NONE)
			panic("msr table: %s and %s overlap", p->name, row[*cell].policy->name);
		*cell = n;
	}
}

void msr_init(void)
{
	const struct msr_rows *const *t;
	unsigned slots = 0;

	rows = 0;
	memset(row_of, NONE, sizeof(row_of));
	section_for_each (t, msr_policies) {
		for (unsigned i = 0; i < (*t)->count; i++) {
			const struct msr_policy *p = &(*t)->row[i];

			if (rows == NONE)
				panic("msr table: more than %u rows", NONE);
			check_row(p);
			row[rows] = (struct row){
				.policy = p,
				.rd = p->read == MSR_EMULATED ? p->rd : readers[p->read],
				.wr = p->write == MSR_EMULATED ? p->wr : writers[p->write],
				.invalid = takes_values(p) ? ~p->valid : 0,
				.slot = slots - p->index,
				.keeps_value = keeps_value(p),
			};
			if (row[rows].keeps_value)
				slots += p->count;
			map_row(rows++);
		}
	}
	if (slots > MSR_SLOTS)
		panic("msr table: %u stored values, room for %u", slots, MSR_SLOTS);
}

/* Registers without a value get some slot, which is never used; the mask keeps it in bounds. */
static __always_inline uint64_t *slot_for(struct x86_vcpu *v, const struct row *r, uint32_t index)
{
	return &v->msr[(r->slot + index) & (MSR_SLOTS - 1)];
}

uint64_t *msr_stored(struct x86_vcpu *v, uint32_t index)
{
	unsigned n = find_row(index);

	ASSERT(n != NONE && row[n].keeps_value);
	return slot_for(v, &row[n], index);
}

void msr_reset(struct x86_vcpu *v)
{
	for (unsigned n = 0; n < rows; n++) {
		const struct msr_policy *p = row[n].policy;

		for (unsigned i = 0; row[n].keeps_value && i < p->count; i++)
			*slot_for(v, &row[n], p->index + i) = p->reset;
	}
}

void msr_create(struct x86_vcpu *v)
{
	for (unsigned n = 0; n < rows; n++) {
		const struct cpuid_bit *needs = &row[n].policy->needs;

		v->msr_offered[n] = !needs->used ||
				    cpuid_guest_bit(v->cpuid, needs->leaf, needs->reg, needs->bit);
	}
}

/* Finds the @r of @index; false if the guest's CPU model does not have it. */
#define FIND_ROW(v, index, r)                                                    \
	({                                                                       \
		unsigned n_ = find_row(index);                                   \
                                                                                 \
		(r) = &row[n_];                                                  \
		/* Or the compiler works out the address of each member anew. */ \
		__asm__("" : "+r"(r));                                           \
		likely((v)->msr_offered[n_]); /* NONE never is */                \
	})

__hot enum msr_result msr_guest_read(struct x86_vcpu *v, uint32_t index, uint64_t *value)
{
	const struct row *r = NULL;

	*value = 0;
	if (!FIND_ROW(v, index, r))
		return MSR_UNSUPPORTED;
	return r->rd(v, index, slot_for(v, r, index), value);
}

__hot enum msr_result msr_guest_write(struct x86_vcpu *v, uint32_t index, uint64_t value)
{
	const struct row *r = NULL;

	if (!FIND_ROW(v, index, r))
		return MSR_UNSUPPORTED;
	if (unlikely(value & r->invalid))
		return MSR_INVALID;
	return r->wr(v, index, slot_for(v, r, index), value);
}

void msr_visit_direct(void (*visit)(uint32_t index, bool read, bool write, void *map), void *map)
{
	for (unsigned n = 0; n < rows; n++) {
		const struct msr_policy *p = row[n].policy;

		for (unsigned i = 0; i < p->count; i++)
			if (p->read == MSR_DIRECT || p->write == MSR_DIRECT)
				visit(p->index + i, p->read == MSR_DIRECT, p->write == MSR_DIRECT,
				      map);
	}
}
