/* SPDX-License-Identifier: BSD-2-Clause */
/* One page-table walker for the hypervisor's own tables, NPT and EPT, told apart by a descriptor.
 */
#ifndef SOCLE_MM_PAGETABLE_H
#define SOCLE_MM_PAGETABLE_H

#include "socle/base.h"
#include "socle/status.h"
#include "socle/mm/frames.h"

/* An entry of some table: a type of its own, so that no plain integer is taken for one. */
typedef struct {
	uint64_t raw;
} pte_t;

/* What an entry is. Each caller tests exactly the kind that it means. */
enum pte_kind {
	PTE_NONE,     /* all bits clear: nothing mapped */
	PTE_TABLE,    /* points to the next table */
	PTE_LEAF,     /* maps memory */
	PTE_FROZEN,   /* being changed by another CPU: wait or retry */
	PTE_RESERVED, /* anything else: damage, or of a kind that we never make */
};

enum pt_prot { PT_READ = 1, PT_WRITE = 2, PT_EXEC = 4 };
enum pt_memtype { PT_WB, PT_UC };

/* How one format encodes its entries. */
struct pt_format {
	const char *name;	  /* "npt" */
	unsigned levels;	  /* 4 */
	const unsigned *max_leaf; /* largest enum frame_level of a leaf; probed at boot */
	uint64_t address_mask;	  /* bits of an entry that hold the address */
	enum pte_kind (*kind)(pte_t pte, unsigned level);
	pte_t (*table)(uint64_t pa); /* entry that points to a table */
	pte_t (*leaf)(uint64_t pa, unsigned level, unsigned prot, enum pt_memtype type);
	unsigned (*prot)(pte_t pte); /* enum pt_prot bits of a leaf */
	pte_t (*child)(pte_t leaf, unsigned level, unsigned index); /* part of a leaf being split */
	uint64_t frozen; /* bits of a frozen entry besides the address that its leaf had */
};

/*
 * A tree of tables. Any number of CPUs may look up, fill and walk it in hardware at once. The
 * owner of the object that embeds it sees to it that while they do
 *  - pt_map() and pt_unmap() replace or remove leaves only, not tables, which they would free;
 *  - no two CPUs map or unmap the same address;
 *  - those that may have the translation of what is removed or replaced flush.
 */
struct pagetable {
	const struct pt_format *format;
	uint64_t root;	      /* host-physical address of the top table; 0: none */
	uint32_t owner;	      /* enum frame_owner of its tables */
	uint64_t table_bytes; /* memory that the tables take; atomic */
};

/* A mapping found by pt_lookup(). */
struct pt_mapping {
	enum pte_kind kind; /* PTE_LEAF, PTE_FROZEN or PTE_NONE */
	unsigned level;	    /* of the entry: enum frame_level */
	uint64_t pa;   /* host-physical address that the looked-up address maps, or mapped, to */
	unsigned prot; /* leaf: enum pt_prot bits */
};

/* Allocates the top table. Returns -S_NOMEM. */
status_t __must_check pt_init(struct pagetable *pt, const struct pt_format *format, uint32_t owner);

/* Frees all tables, not what they map. */
void pt_destroy(struct pagetable *pt);

/*
 * Maps [va, va + size) to @pa on, page-aligned all, with the largest leaves that fit. What is
 * mapped there already is replaced; large leaves that straddle an end are split. -S_NOMEM and
 * -S_BUSY (a frozen entry is in the way) leave a part mapped.
 */
status_t __must_check pt_map(struct pagetable *pt, uint64_t va, uint64_t pa, uint64_t size,
			     unsigned prot, enum pt_memtype type);

/*
 * Removes whatever is mapped in [va, va + size). The caller flushes. -S_NOMEM if a split fails,
 * -S_BUSY if an entry is frozen.
 */
status_t __must_check pt_unmap(struct pagetable *pt, uint64_t va, uint64_t size);

struct pt_mapping pt_lookup(const struct pagetable *pt, uint64_t va);

/*
 * Maps one leaf at @level, to whose size @va and @pa are aligned, where nothing is mapped. Any
 * number of CPUs at once: of those that fill the same address one succeeds. -S_EXIST: something
 * is there already, a leaf, a table or a frozen entry; -S_NOMEM.
 */
status_t __must_check pt_fill(struct pagetable *pt, uint64_t va, uint64_t pa, unsigned level,
			      unsigned prot, enum pt_memtype type);

/* A leaf that is being changed; its entry is frozen: absent to hardware, and not to be filled. */
struct pt_frozen {
	pte_t *slot;
	pte_t leaf;	   /* what it was */
	unsigned level;	   /* its enum frame_level */
	uint64_t va;	   /* the page to be changed */
	uint64_t pa;	   /* which this page maps to */
	uint64_t table[2]; /* 2 MiB and more: tables to split it with, by level - 1 */
};

/*
 * Freezes the leaf that maps the page at @va, and tells of it in @f. CPUs may still have its
 * translation: the caller makes them flush, and then changes the page by pt_thaw(), or nothing by
 * pt_unfreeze(). A large leaf is frozen whole and split by pt_thaw(), so that no CPU ever sees two
 * sizes of the same page, which some take badly (SDM vol. 3, 4.10.2.3). One CPU at a time.
 * -S_NOENT: nothing is mapped; -S_BUSY: frozen already; -S_NOMEM: no table to split it.
 */
status_t __must_check pt_freeze(struct pagetable *pt, uint64_t va, struct pt_frozen *f);

/* Makes the page map to @pa, as it did before otherwise; to nothing if @pa is 0. Cannot fail. */
void pt_thaw(struct pagetable *pt, struct pt_frozen *f, uint64_t pa);

/* Puts the leaf back as it was. */
void pt_unfreeze(struct pagetable *pt, struct pt_frozen *f);

/*
 * Calls @visit for each leaf in ascending order; stops when it returns false. For accounts,
 * freeing what is mapped, and checks such as "no page is writable and executable".
 */
struct pt_visitor {
	bool (*visit)(struct pt_visitor *v, uint64_t va, const struct pt_mapping *m);
};
void pt_visit(const struct pagetable *pt, struct pt_visitor *v);

/* x86-64 tables: the hypervisor's own, and nested ones for SVM (APM vol. 2, 15.25). */
extern const struct pt_format pt_format_host;
extern const struct pt_format pt_format_npt;

/* To be called once before use: 1 GiB leaves only where the CPU has them. */
void pt_x86_init(bool pages_1g);

/* Nested tables for VMX (SDM vol. 3, 29.3). */
extern const struct pt_format pt_format_ept;

/*
 * To be called once before use, with what IA32_VMX_EPT_VPID_CAP offers: 1 GiB leaves are made only
 * where there are those of 2 MiB.
 */
void pt_ept_init(bool pages_2m, bool pages_1g);

#endif
