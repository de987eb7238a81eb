/* SPDX-License-Identifier: BSD-2-Clause */
/* The policy for model-specific registers: one table that everything else is made from. */
#ifndef SOCLE_GUEST_MSR_H
#define SOCLE_GUEST_MSR_H

#include "socle/base.h"
#include "socle/guest/vcpu.h"
#include "socle/section.h"

/* What an access does. */
enum msr_action {
	MSR_REJECT,   /* #GP */
	MSR_DIRECT,   /* the guest uses the CPU's own register, without an exit */
	MSR_STORED,   /* a value kept for the guest, without effect */
	MSR_EMULATED, /* a handler */
	MSR_CONSTANT, /* reads the reset value; as a write: ignored */
};

/* Outcome of an access; the guest sees #GP(0) for all but the first. */
enum msr_result {
	MSR_OK,
	MSR_INVALID,	 /* the value is not acceptable */
	MSR_UNSUPPORTED, /* no such register in this guest's CPU model */
	MSR_FILTERED,	 /* there, but refused by policy */
};

/* Handlers of emulated registers. @slot: the value kept for it, which a reset sets. */
typedef enum msr_result (*msr_read_fn)(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				       uint64_t *value);
typedef enum msr_result (*msr_write_fn)(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
					uint64_t value);

/* CPUID bit that must be on in the guest's model: leaf, register (0 to 3: EAX to EDX), bit. */
struct cpuid_bit {
	uint32_t leaf;
	uint8_t reg;
	uint8_t bit;
	bool used; /* false: always there */
};
#define NEEDS(l, r, b)                                            \
	{                                                         \
		.leaf = (l), .reg = (r), .bit = (b), .used = true \
	}
enum { REG_EAX, REG_EBX, REG_ECX, REG_EDX };

struct msr_policy {
	const char *name;
	uint32_t index;		/* first register */
	uint16_t count;		/* how many in a row */
	uint8_t read;		/* enum msr_action */
	uint8_t write;		/* enum msr_action */
	struct cpuid_bit needs; /* guest CPUID feature */
	uint64_t valid;		/* bits that may be set by a write; others: MSR_INVALID */
	uint64_t reset;		/* value at reset */
	msr_read_fn rd;		/* MSR_EMULATED */
	msr_write_fn wr;	/* MSR_EMULATED */
};

/* Rows of the simple kinds. */
#define MSR_ROW_DIRECT(n, i)                                                                   \
	{                                                                                      \
		.name = (n), .index = (i), .count = 1, .read = MSR_DIRECT, .write = MSR_DIRECT \
	}
#define MSR_ROW_CONSTANT(n, i, c, r)                                           \
	{                                                                      \
		.name = (n), .index = (i), .count = (c), .read = MSR_CONSTANT, \
		.write = MSR_CONSTANT, .reset = (r)                            \
	}
#define MSR_ROW_STORED(n, i, v, r)                                                              \
	{                                                                                       \
		.name = (n), .index = (i), .count = 1, .read = MSR_STORED, .write = MSR_STORED, \
		.valid = (v), .reset = (r)                                                      \
	}

/* Rows that one file adds to the table: MSR_POLICIES(rows) at file level, after the array. */
struct msr_rows {
	const struct msr_policy *row; /* first */
	unsigned count;
};
SECTION_TABLE(struct msr_rows, msr_policies);
#define MSR_POLICIES(rows)                                                   \
	static const struct msr_rows rows##_rows = {rows, ARRAY_SIZE(rows)}; \
	static const struct msr_rows *const rows##_entry SECTION_ENTRY(msr_policies) = &rows##_rows

/*
 * Checks the table (no overlaps, no missing handlers) and builds the index. Once, at boot;
 * panics on a mistake of ours.
 */
void msr_init(void);

/* The policy of @index, NULL if there is none. */
const struct msr_policy *msr_find(uint32_t index);

/* All rows in order of registration: [0, msr_policy_count()). */
const struct msr_policy *msr_policy(unsigned n);
unsigned msr_policy_count(void);

/* A guest's RDMSR and WRMSR; on anything but MSR_OK, *@value is 0. */
enum msr_result msr_guest_read(struct x86_vcpu *v, uint32_t index, uint64_t *value);
enum msr_result msr_guest_write(struct x86_vcpu *v, uint32_t index, uint64_t value);

/* Works out which registers @v's CPU model has. After v->cpuid is set. */
void msr_create(struct x86_vcpu *v);

/* Puts stored values back to their reset values. */
void msr_reset(struct x86_vcpu *v);

/* The value kept for a register that is stored or emulated. */
uint64_t *msr_stored(struct x86_vcpu *v, uint32_t index);

/* Calls @visit for every register with a direct action, for permission maps. */
void msr_visit_direct(void (*visit)(uint32_t index, bool read, bool write, void *map), void *map);

#endif
