/* SPDX-License-Identifier: BSD-2-Clause */
/* Looks up, checks and carries out a guest's accesses to model-specific registers. */
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
static struct row row[MSR_ROWS];	     /* the last, NONE, is never used */
static uint8_t row_of[WINDOWS][WINDOW_SIZE]; /* row number, or NONE */
static unsigned rows;
static unsigned slots; /* of x86_vcpu.msr[] that are in use */

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

const struct msr_policy *msr_find_name(const char *name, size_t len)
{
	for (unsigned n = 0; n < rows; n++) {
		const struct msr_policy *p = row[n].policy;

		if (strlen(p->name) == len && !memcmp(p->name, name, len))
			return p;
	}
	return NULL;
}

static bool has_handler(uint8_t action)
{
	return action == MSR_EMULATED || action == MSR_WHILE_LBR || action == MSR_COUNTER ||
	       action == MSR_SWITCHED;
}

static bool is_sound(const struct msr_policy *p)
{
	bool handlers = (!has_handler(p->read) || p->rd) && (!has_handler(p->write) || p->wr);

	return p->count && handlers && window_of(p->index) != WINDOWS &&
	       window_of(p->index) == window_of(p->index + p->count - 1);
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

static enum msr_result read_rejected(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				     uint64_t *value)
{
	return MSR_INVALID;
}

static enum msr_result write_rejected(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				      uint64_t value)
{
	return MSR_INVALID;
}

/* An exit although it is direct: only for a register that the vendor's map does not reach. */
static enum msr_result read_unreached(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				      uint64_t *value)
{
	return MSR_UNSUPPORTED;
}

static enum msr_result write_unreached(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				       uint64_t value)
{
	return MSR_UNSUPPORTED;
}

static const msr_read_fn readers[] = {
	[MSR_REJECT] = read_rejected,
	[MSR_DIRECT] = read_unreached,
	[MSR_STORED] = read_stored,
	[MSR_CONSTANT] = read_constant,
};
static const msr_write_fn writers[] = {
	[MSR_REJECT] = write_rejected,
	[MSR_DIRECT] = write_unreached,
	[MSR_STORED] = write_stored,
	[MSR_CONSTANT] = write_constant,
};

/* Whose writes are checked for invalid bits. */
static bool takes_values(const struct msr_policy *p)
{
	return has_handler(p->write) || p->write == MSR_STORED;
}

static bool keeps_value(const struct msr_policy *p)
{
	return p->read == MSR_STORED || p->write == MSR_STORED || p->read == MSR_EMULATED;
}

static bool same_need(const struct cpuid_bit *a, const struct cpuid_bit *b)
{
	return a->used == b->used && a->counters == b->counters &&
	       (!a->used || (a->leaf == b->leaf && a->reg == b->reg && a->bit == b->bit));
}

static bool same_row(const struct msr_policy *a, const struct msr_policy *b)
{
	return !strcmp(a->name, b->name) && a->index == b->index && a->count == b->count &&
	       a->read == b->read && a->write == b->write && same_need(&a->needs, &b->needs) &&
	       a->valid == b->valid && a->reset == b->reset && a->at_init == b->at_init &&
	       a->rd == b->rd && a->wr == b->wr;
}

/* A row that has one of the registers of @p, the first of them; NULL: none. */
static const struct msr_policy *row_in_the_way(const struct msr_policy *p)
{
	const struct msr_policy *other = NULL;

	for (unsigned i = 0; i < p->count && !other; i++)
		other = msr_find(p->index + i);
	return other;
}

status_t msr_register(const struct msr_policy *p)
{
	const struct msr_policy *other;
	unsigned w = window_of(p->index), more = keeps_value(p) ? p->count : 0;

	if (!is_sound(p))
		return -S_INVAL;
	other = row_in_the_way(p);
	if (other)
		return same_row(p, other) ? 0 : -S_EXIST;
	if (rows == NONE || slots + more > MSR_SLOTS)
		return -S_NOSPC;
	row[rows] = (struct row){
		.policy = p,
		.rd = has_handler(p->read) ? p->rd : readers[p->read],
		.wr = has_handler(p->write) ? p->wr : writers[p->write],
		.invalid = takes_values(p) ? ~p->valid : 0,
		.slot = slots - p->index,
		.keeps_value = keeps_value(p),
	};
	memset(&row_of[w][p->index - window_base[w]], (int)rows, p->count);
	slots += more;
	rows++;
	return 0;
}

void msr_init(void)
{
	const struct msr_rows *const *t;

	rows = slots = 0;
	memset(row_of, NONE, sizeof(row_of));
	section_for_each (t, msr_policies) {
		for (unsigned i = 0; i < (*t)->count; i++) {
			const struct msr_policy *p = &(*t)->row[i];
			status_t status = msr_register(p);

			if (status == -S_EXIST)
				panic("msr table: %s and %s overlap", p->name,
				      row_in_the_way(p)->name);
			if (status)
				panic("msr table: %s row %s",
				      status == -S_NOSPC ? "no room for" : "wrong", p->name);
		}
	}
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

static void reset_row(struct x86_vcpu *v, const struct row *r)
{
	const struct msr_policy *p = r->policy;

	for (unsigned i = 0; r->keeps_value && i < p->count; i++)
		*slot_for(v, r, p->index + i) = p->reset;
}

void msr_reset(struct x86_vcpu *v)
{
	for (unsigned n = 0; n < rows; n++)
		reset_row(v, &row[n]);
}

void msr_reset_by_init(struct x86_vcpu *v)
{
	for (unsigned n = 0; n < rows; n++)
		if (row[n].policy->at_init == MSR_INIT_RESETS)
			reset_row(v, &row[n]);
}

/* Finds the @r of @index; false unless @access to all of it is free. */
#define FIND_ROW(v, index, r, access)                                            \
	({                                                                       \
		unsigned n_ = find_row(index);                                   \
                                                                                 \
		(r) = &row[n_];                                                  \
		/* Or the compiler works out the address of each member anew. */ \
		__asm__("" : "+r"(r));                                           \
		likely((v)->msr_access[n_] & (access)); /* NONE never has it */  \
	})

/* Why an access is not free: the register is not in the model, or the filter has to be asked. */
static enum msr_result refusal(struct x86_vcpu *v, uint32_t index, uint8_t access)
{
	if (!(v->msr_access[find_row(index)] & MSR_OFFERED))
		return MSR_UNSUPPORTED;
	return msr_filter_denies(&v->base.vm->settings.msr, index, access) ? MSR_FILTERED : MSR_OK;
}

static __noinline __cold enum msr_result read_slowly(struct x86_vcpu *v, uint32_t index,
						     uint64_t *value)
{
	const struct row *r = &row[find_row(index)];
	enum msr_result result = refusal(v, index, VM_MSR_READ);

	return result ? result : r->rd(v, index, slot_for(v, r, index), value);
}

static __noinline __cold enum msr_result write_slowly(struct x86_vcpu *v, uint32_t index,
						      uint64_t value)
{
	const struct row *r = &row[find_row(index)];
	enum msr_result result = refusal(v, index, VM_MSR_WRITE);

	if (!result && (value & r->invalid))
		result = MSR_INVALID;
	return result ? result : r->wr(v, index, slot_for(v, r, index), value);
}

__hot enum msr_result msr_guest_read(struct x86_vcpu *v, uint32_t index, uint64_t *value)
{
	const struct row *r = NULL;

	*value = 0;
	if (!FIND_ROW(v, index, r, MSR_MAY_READ))
		return read_slowly(v, index, value);
	return r->rd(v, index, slot_for(v, r, index), value);
}

__hot enum msr_result msr_guest_write(struct x86_vcpu *v, uint32_t index, uint64_t value)
{
	const struct row *r = NULL;

	if (!FIND_ROW(v, index, r, MSR_MAY_WRITE))
		return write_slowly(v, index, value);
	if (unlikely(value & r->invalid))
		return MSR_INVALID;
	return r->wr(v, index, slot_for(v, r, index), value);
}
