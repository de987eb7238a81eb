/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The policy for model-specific registers: one table, a guest's CPUID and its filter, and from
 * these what each access does, the permission maps, and what the console and docs/msr.md show.
 */
#ifndef SOCLE_GUEST_MSR_H
#define SOCLE_GUEST_MSR_H

#include "socle/base.h"
#include "socle/guest/vcpu.h"
#include "socle/section.h"
#include "socle/status.h"

/* What an access does. */
enum msr_action {
	MSR_REJECT,   /* #GP */
	MSR_DIRECT,   /* the guest uses the CPU's own register, without an exit */
	MSR_STORED,   /* a value kept for the guest, without effect */
	MSR_EMULATED, /* a handler */
	MSR_CONSTANT, /* reads the reset value; as a write: ignored */
	MSR_WHILE_LBR, /* direct while the guest records branches, else a handler; no value is kept */
	MSR_COUNTER, /* with `pmu = on` direct where it can be, else a handler; without: 0, ignored */
	MSR_SWITCHED, /* direct while entries and exits switch it, else a handler; likewise */
};

/* What becomes of a value that is kept for the guest when its vCPU gets an INIT. */
enum msr_at_init {
	MSR_INIT_KEEPS,	 /* nothing: as most (SDM vol. 3, table 10-1, "all other MSRs") */
	MSR_INIT_RESETS, /* the reset value again */
};

/* Outcome of an access; the guest sees #GP(0) for all but the first. Each is counted. */
enum msr_result {
	MSR_OK,
	MSR_INVALID,	 /* the register is there and does not take this: value, or direction */
	MSR_UNSUPPORTED, /* no such register in this guest's CPU model */
	MSR_FILTERED,	 /* there, but refused by the guest's filter */
};
_Static_assert(MSR_FILTERED + 1 == MSR_RESULTS, "x86_stats.msr_refused has one for each");

/* Bits of x86_vcpu.msr_access[], by row of the table. */
enum msr_access {
	MSR_MAY_READ = VM_MSR_READ,   /* every register of the row, nothing more to look at */
	MSR_MAY_WRITE = VM_MSR_WRITE, /* likewise */
	MSR_OFFERED = BIT(2),	      /* in the CPU model; without the other bit: ask the filter */
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
	bool used;	 /* false: always there */
	uint8_t feature; /* enum guest_feature: needed instead of the above; 0: none */
	bool counters;	 /* needed besides: `pmu = on` */
};
#define NEEDS(l, r, b)                                            \
	{                                                         \
		.leaf = (l), .reg = (r), .bit = (b), .used = true \
	}
#define NEEDS_FEATURE(f)                     \
	{                                    \
		.feature = (f), .used = true \
	}
enum { REG_EAX, REG_EBX, REG_ECX, REG_EDX };

struct msr_policy {
	const char *name;
	uint32_t index;		     /* first register */
	uint16_t count;		     /* how many in a row */
	uint8_t read;		     /* enum msr_action */
	uint8_t write;		     /* enum msr_action */
	struct cpuid_bit needs;	     /* guest CPUID feature */
	struct cpuid_bit or_needs;   /* another that does as well */
	uint64_t valid;		     /* bits that may be set by a write; others: MSR_INVALID */
	uint64_t reset;		     /* value at reset */
	uint8_t at_init;	     /* enum msr_at_init */
	bool (*has)(uint32_t index); /* which of the registers this CPU has; NULL: all */
	msr_read_fn rd;		     /* MSR_EMULATED, MSR_WHILE_LBR, MSR_COUNTER, MSR_SWITCHED */
	msr_write_fn wr;	     /* likewise */
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
 * The table of all CPUs and guests. Made at boot, before the first guest, then read-only.
 *
 * msr_init() empties it and registers all rows; panics on a mistake of ours. msr_register() adds
 * one row, which must stay: 0, also if the same row is there already, which changes nothing;
 * -S_EXIST if another one has one of its registers; -S_INVAL if a handler lacks, or it lies in no
 * range that MSRs have; -S_NOSPC if the table, or the room for values, is full.
 */
void msr_init(void);
status_t __must_check msr_register(const struct msr_policy *row);

/* The policy of @index, NULL if there is none. */
const struct msr_policy *msr_find(uint32_t index);

/* The row named by the @len bytes at @name, NULL if there is none. */
const struct msr_policy *msr_find_name(const char *name, size_t len);

/* All rows in order of registration: [0, msr_policy_count()). */
const struct msr_policy *msr_policy(unsigned n);
unsigned msr_policy_count(void);

/* A guest's RDMSR and WRMSR; on anything but MSR_OK, *@value is 0. */
enum msr_result msr_guest_read(struct x86_vcpu *v, uint32_t index, uint64_t *value);
enum msr_result msr_guest_write(struct x86_vcpu *v, uint32_t index, uint64_t value);

/* Puts stored values back: all at power-on; those that do not survive it at an INIT. */
void msr_reset(struct x86_vcpu *v);
void msr_reset_by_init(struct x86_vcpu *v);

/* The value kept for a register that is stored or emulated. */
uint64_t *msr_stored(struct x86_vcpu *v, uint32_t index);

/* x2APIC registers are never filtered: APIC virtualization serves some of them by itself. */
enum { MSR_X2APIC_FIRST = 0x800, MSR_X2APIC_LAST = 0x8ff };

/* True if the filter refuses this access, of one direction (enum vm_msr_access). */
bool msr_filter_denies(const struct vm_msr_filter *filter, uint32_t index, uint8_t access);

/*
 * Works out which registers @v's CPU model has and its VM's filter lets through. Once, after
 * v->cpuid is set and before the VM first runs: neither it nor the filter nor the maps made of it
 * change any more.
 */
void msr_create(struct x86_vcpu *v);

/*
 * Calls @visit for every register that @v may use in the CPU itself, for the permission map: direct
 * by the table, in its CPU model, and not denied by the filter in that direction.
 */
void msr_visit_direct(const struct x86_vcpu *v,
		      void (*visit)(uint32_t index, bool read, bool write, void *map), void *map);

/* What an access to register @index of row @n does to @v's guest: "direct" ... "filtered". */
const char *msr_behaviour(const struct x86_vcpu *v, unsigned n, uint32_t index, bool write);

/* The same for those that are direct while a guest records branches. */
void msr_visit_lbr(const struct x86_vcpu *v,
		   void (*visit)(uint32_t index, bool read, bool write, void *map), void *map);

/* The same for those that are direct while entries and exits switch them. */
void msr_visit_switched(const struct x86_vcpu *v,
			void (*visit)(uint32_t index, bool read, bool write, void *map), void *map);

#endif
