/* SPDX-License-Identifier: BSD-2-Clause */
/* Looks up, checks and carries out a guest's accesses to model-specific registers. */
#include "socle/guest/cpuid.h"
#include "socle/guest/exits.h"
#include "socle/guest/msr.h"
#include "socle/report.h"

/* The ranges in which registers may lie: three of the architecture, one of KVM's interface. */
enum { WINDOWS = 4, WINDOW_SIZE = 0x2000, NONE = 0xff };
static const uint32_t window_base[WINDOWS] = {0, 0xc0000000, 0xc0010000, 0x4b564d00};

/* Made by msr_init() from the table, then read-only. */
static const struct msr_policy *row_at[NONE];
static uint8_t row_of[WINDOWS][WINDOW_SIZE]; /* row number, or NONE */
static uint8_t slot_of_row[NONE];	     /* first slot in x86_vcpu.msr[], or NONE */
static unsigned rows;

unsigned msr_policy_count(void)
{
	return rows;
}

const struct msr_policy *msr_policy(unsigned n)
{
	return row_at[n];
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
		return row_of[0][array_index_nospec(index, WINDOW_SIZE)];
	w = window_of(index);
	if (w == WINDOWS)
		return NONE;
	return row_of[w][array_index_nospec(index - window_base[w], WINDOW_SIZE)];
}

const struct msr_policy *msr_find(uint32_t index)
{
	unsigned row = find_row(index);

	return row == NONE ? NULL : row_at[row];
}

static void check_row(const struct msr_policy *p)
{
	bool handlers = (p->read != MSR_EMULATED || p->rd) && (p->write != MSR_EMULATED || p->wr);

	if (!p->count || !handlers || window_of(p->index) == WINDOWS)
		panic("msr table: row %s is wrong", p->name);
}

static bool keeps_value(const struct msr_policy *p)
{
	return p->read == MSR_STORED || p->write == MSR_STORED || p->read == MSR_EMULATED;
}

void msr_init(void)
{
	const struct msr_rows *const *t;
	unsigned slots = 0;

	rows = 0;
	section_for_each (t, msr_policies) {
		for (unsigned i = 0; i < (*t)->count; i++) {
			if (rows == NONE)
				panic("msr table: more than %u rows", NONE);
			row_at[rows++] = &(*t)->row[i];
		}
	}
	for (unsigned w = 0; w < WINDOWS; w++)
		for (unsigned i = 0; i < WINDOW_SIZE; i++)
			row_of[w][i] = NONE;
	for (unsigned row = 0; row < rows; row++) {
		const struct msr_policy *p = msr_policy(row);
		unsigned w = window_of(p->index);

		check_row(p);
		slot_of_row[row] = NONE;
		if (keeps_value(p)) {
			slot_of_row[row] = slots;
			slots += p->count;
		}
		for (unsigned i = 0; i < p->count; i++) {
			uint8_t *cell = &row_of[w][p->index - window_base[w] + i];

			if (*cell != NONE)
				panic("msr table: %s and %s overlap", p->name,
				      msr_policy(*cell)->name);
			*cell = row;
		}
	}
	if (slots > MSR_SLOTS)
		panic("msr table: %u stored values, room for %u", slots, MSR_SLOTS);
}

uint64_t *msr_stored(struct x86_vcpu *v, uint32_t index)
{
	unsigned row = find_row(index);
	const struct msr_policy *p;

	ASSERT(row != NONE && slot_of_row[row] != NONE);
	p = row_at[row];
	return &v->msr[slot_of_row[row] + array_index_nospec(index - p->index, p->count)];
}

void msr_reset(struct x86_vcpu *v)
{
	for (unsigned row = 0; row < rows; row++) {
		const struct msr_policy *p = msr_policy(row);

		for (unsigned i = 0; slot_of_row[row] != NONE && i < p->count; i++)
			v->msr[slot_of_row[row] + i] = p->reset;
	}
}

void msr_create(struct x86_vcpu *v)
{
	for (unsigned row = 0; row < rows; row++) {
		const struct cpuid_bit *n = &row_at[row]->needs;

		if (!n->used || cpuid_guest_bit(v->cpuid, n->leaf, n->reg, n->bit))
			v->msr_offered[row / 64] |= BIT(row % 64);
	}
}

/* The row of @index if the guest's CPU model has it, with the register's own slot. */
static __always_inline const struct msr_policy *row_for(struct x86_vcpu *v, uint32_t index,
							uint64_t **slot)
{
	unsigned row = find_row(index);
	const struct msr_policy *p;

	if (unlikely(row == NONE || !(v->msr_offered[row / 64] >> row % 64 & 1)))
		return NULL;
	p = row_at[row];
	/* Rows without a value have NONE here, which is never used; the clamp keeps it harmless. */
	*slot = &v->msr[(slot_of_row[row] + (index - p->index)) & (MSR_SLOTS - 1)];
	return p;
}

static __always_inline enum msr_result read_one(struct x86_vcpu *v, uint32_t index, uint64_t *value)
{
	const struct msr_policy *p;
	uint64_t *slot;

	*value = 0;
	v->stats.msr_reads++;
	p = row_for(v, index, &slot);
	if (unlikely(!p))
		return MSR_UNSUPPORTED;
	switch ((enum msr_action)p->read) {
	case MSR_EMULATED:
		return p->rd(v, index, slot, value);
	case MSR_STORED:
		*value = *slot;
		return MSR_OK;
	case MSR_CONSTANT:
		*value = p->reset;
		return MSR_OK;
	case MSR_DIRECT: /* an exit although it is direct: only for a register out of the map */
	case MSR_REJECT:
		break;
	}
	return MSR_FILTERED;
}

static __always_inline enum msr_result write_one(struct x86_vcpu *v, uint32_t index, uint64_t value)
{
	const struct msr_policy *p;
	uint64_t *slot;

	v->stats.msr_writes++;
	p = row_for(v, index, &slot);
	if (unlikely(!p))
		return MSR_UNSUPPORTED;
	switch ((enum msr_action)p->write) {
	case MSR_EMULATED:
		if (value & ~p->valid)
			return MSR_INVALID;
		return p->wr(v, index, slot, value);
	case MSR_STORED:
		if (value & ~p->valid)
			return MSR_INVALID;
		*slot = value;
		return MSR_OK;
	case MSR_CONSTANT:
		return MSR_OK;
	case MSR_DIRECT:
	case MSR_REJECT:
		break;
	}
	return MSR_FILTERED;
}

enum msr_result msr_guest_read(struct x86_vcpu *v, uint32_t index, uint64_t *value)
{
	return read_one(v, index, value);
}

enum msr_result msr_guest_write(struct x86_vcpu *v, uint32_t index, uint64_t value)
{
	return write_one(v, index, value);
}

static bool msr_fault(struct x86_vcpu *v)
{
	v->stats.msr_faults++;
	x86_raise_error(v, VEC_GP, 0);
	return false;
}

__hot bool exit_msr_read(struct x86_vcpu *v)
{
	uint64_t *gpr = v->state.gpr, value;

	if (unlikely(read_one(v, gpr[GPR_RCX], &value) != MSR_OK))
		return msr_fault(v);
	gpr[GPR_RAX] = (uint32_t)value;
	gpr[GPR_RDX] = value >> 32;
	return true;
}

__hot bool exit_msr_write(struct x86_vcpu *v)
{
	uint64_t *gpr = v->state.gpr;
	uint64_t value = (uint32_t)gpr[GPR_RAX] | gpr[GPR_RDX] << 32;

	if (unlikely(write_one(v, gpr[GPR_RCX], value) != MSR_OK))
		return msr_fault(v);
	return true;
}

void msr_visit_direct(void (*visit)(uint32_t index, bool read, bool write, void *map), void *map)
{
	for (unsigned row = 0; row < rows; row++) {
		const struct msr_policy *p = msr_policy(row);

		for (unsigned i = 0; i < p->count; i++)
			if (p->read == MSR_DIRECT || p->write == MSR_DIRECT)
				visit(p->index + i, p->read == MSR_DIRECT, p->write == MSR_DIRECT,
				      map);
	}
}
