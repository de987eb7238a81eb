/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual CPU without a vendor: registers, events, caches, counters; and the vendor's table. */
#ifndef SOCLE_GUEST_VCPU_H
#define SOCLE_GUEST_VCPU_H

#include "socle/base.h"
#include "socle/guest/events.h"
#include "socle/guest/insn.h"
#include "socle/guest/state.h"
#include "socle/kernel/sched.h"
#include "socle/kernel/vm.h"

struct lapic;
struct x86_pmu;
struct msr_policy;

/*
 * Registers in x86_vcpu.state are a cache: a group is valid while its bit is in @avail, and is
 * written back before the next entry if its bit is in @dirty. General registers but RSP are always
 * valid.
 */
enum x86_group {
	X86_RIP = BIT(0),    /* rip */
	X86_RSP = BIT(1),    /* gpr[GPR_RSP] */
	X86_RFLAGS = BIT(2), /* rflags */
	X86_CR = BIT(3),     /* cr0, cr2, cr3, cr4, efer */
	X86_SEG = BIT(4),    /* seg[], gdtr, idtr, cpl */
	X86_DR = BIT(5),     /* dr6, dr7, debugctl */
	X86_ALL = MASK(5, 0),
};

enum { FETCH_MAX = 16, FETCH_WINDOWS = 8, DECODE_CACHE_SIZE = 64, MSR_SLOTS = 128 };
enum { CET_REGISTERS = 5 };
enum { MSR_ROWS = 256, MSR_RESULTS = 4 }; /* see guest/msr.h */

/*
 * A page that instructions were fetched from, to look at their bytes without a walk. It holds as
 * long as the guest's CR3, its paging mode and the page-table entries that led there are the same.
 * Closed by VCPU_REQ_FLUSH, which whoever takes a page away from a guest must send to all its
 * vCPUs.
 */
#define FETCH_NOWHERE BIT(62) /* not canonical: no instruction lies there */
enum { WALK_LEVELS = 5 };

/* The entries through which a walk went; unused ones point to a zero. */
struct walk_trail {
	const uint64_t *entry[WALK_LEVELS];
	uint64_t value[WALK_LEVELS];
};

struct __aligned(128) fetch_window
{
	uint64_t page;		 /* linear address of the page, or FETCH_NOWHERE */
	uint64_t cr3;		 /* guest CR3 that it was found with; bits 60:52: see fetch.c */
	const uint8_t *host;	 /* where the page is mapped for us */
	struct walk_trail trail; /* of the walk that found it */
};

/* Decoded instructions by linear address; an entry counts only if the bytes are the same. */
struct decode_entry {
	uint64_t la;	   /* linear address of the instruction */
	uint64_t bytes[2]; /* its bytes, zero-padded */
	uint64_t mask[2];  /* which bits of them count */
	uint32_t mode;	   /* enum insn_mode */
	struct insn insn;
};

/* What the console shows per vCPU; each counted where it happens. */
struct x86_stats {
	uint64_t exits;	      /* all exits */
	uint64_t injected;    /* interrupts injected */
	uint64_t exceptions;  /* exceptions injected */
	uint64_t nmis;	      /* NMIs injected */
	uint64_t reinjected;  /* deliveries that had to be repeated */
	uint64_t decoded;     /* instructions decoded in full */
	uint64_t decode_hits; /* found in the decode cache */
	uint64_t ports, mmio, populated;

	uint64_t msr_refused[MSR_RESULTS]; /* accesses that raised #GP, by enum msr_result */
};

/* Owned by the CPU that runs it; others only set request bits in @base. */
struct x86_vcpu {
	struct x86_state state; /* first: the entry code addresses gpr[] by offset */
	struct vcpu base;
	uint32_t avail; /* enum x86_group: valid in @state */
	uint32_t dirty; /* enum x86_group: to be written back */
	struct x86_events events;
	struct lapic *lapic;			  /* its local APIC (platform/) */
	const struct guest_cpuid *cpuid;	  /* its VM's CPUID table */
	struct fetch_window fetch[FETCH_WINDOWS]; /* by page number modulo their number */
	const uint8_t *given;			  /* with NESTED_BYTES: those of the instruction */
	unsigned given_count;			  /* their number */
	struct io_region *last_mmio;		  /* device of the last access; NULL: none */
	struct decode_entry decode[DECODE_CACHE_SIZE];
	uint64_t msr[MSR_SLOTS];       /* values of stored MSRs, by slot of the policy */
	uint8_t msr_access[MSR_ROWS];  /* by row of the MSR table: enum msr_access */
	uint64_t tsc_adjust;	       /* IA32_TSC_ADJUST */
	uint64_t pvclock;	       /* where the guest wants its time, and bit 0: it does */
	uint64_t tsc_offset;	       /* guest TSC = host TSC + this */
	uint64_t xcr0, tsc_aux, dr[4]; /* while not loaded in the CPU: see context.h */
	uint64_t xss;		       /* IA32_XSS: also in the CPU while it is loaded there */
	uint64_t cet[CET_REGISTERS];   /* likewise, by enum cet_kept: see cet.h */
	uint32_t pkrs;		       /* IA32_PKRS, while not loaded in the CPU */
	void *fpu;		       /* XSAVE or FXSAVE area, used while not loaded */
	struct x86_pmu *pmu;	       /* performance counters; NULL: it has none; see pmu.h */
	bool waits_for_sipi;	       /* after INIT */
	bool halted;		       /* executed HLT, and no event has come since */
	bool halted_if;		       /* with interrupts enabled */
	struct x86_stats stats;
};
_Static_assert(offsetof(struct x86_vcpu, state.gpr) == 0, "the entry code relies on it");

static inline struct x86_vcpu *x86_vcpu(struct vcpu *v)
{
	return container_of(v, struct x86_vcpu, base);
}

/* What to do after an exit was handled. */
enum exit_action {
	EXIT_RESUME, /* enter the guest again */
	EXIT_LEAVE,  /* back to the scheduler: vcpu.state says why */
	EXIT_HALT,   /* the guest waits for an event */
};

/*
 * The operations of a vendor room, declared, bound and checked once: X(return, name, arguments).
 * All but probe, cpu_on, vcpu_create and exit_count act on a vCPU that this CPU owns.
 */
#define VENDOR_OPS(X)                                                                              \
	/* Does the CPU have what we need? If not, @why says what and what to turn on. */          \
	X(bool, probe, (char *why, size_t size))                                                   \
	/* Turns virtualization on, on this CPU; the boot CPU is first. */                         \
	X(status_t, cpu_on, (void))                                                                \
	/* What of the optional features is in use, for people: "" or ", a, b". After cpu_on. */   \
	X(const char *, features, (void))                                                          \
	/* Allocates a vCPU of @vm. NULL: out of memory. */                                        \
	X(struct x86_vcpu *, vcpu_create, (struct vm * vm, unsigned id))                           \
	/* Makes the MSR permission maps of @v's VM, after msr_create(). vCPU 0 is first. */       \
	X(status_t, msr_maps, (struct x86_vcpu * v))                                               \
	/* Sets power-on state (SDM vol. 3, 10.1), all but what the rooms above hold. After an */  \
	/* INIT, which keeps the MSRs that the guest uses directly: @init; not during a run. */    \
	X(void, vcpu_reset, (struct x86_vcpu * v, bool init))                                      \
	/* Fills @groups of the register cache. */                                                 \
	X(void, load, (struct x86_vcpu * v, uint32_t groups))                                      \
	/* Runs the vCPU until it leaves. */                                                       \
	X(enum vcpu_leave, run, (struct vcpu * v))                                                 \
	/* Takes it out of this CPU, where it ran last: another may run it then. */                \
	X(void, release, (struct vcpu * v))                                                        \
	/* Prints the control structure through log_line(), after a failed entry or on request. */ \
	X(void, dump, (struct x86_vcpu * v))                                                       \
	/* The guest's PAT changed to @pat. */                                                     \
	X(void, set_pat, (struct x86_vcpu * v, uint64_t pat))                                      \
	/* v->tsc_offset changed. */                                                               \
	X(void, set_tsc_offset, (struct x86_vcpu * v))                                             \
	/* IA32_INTERRUPT_SSP_TABLE_ADDR; of guests that have shadow stacks. */                    \
	X(uint64_t, ssp_table, (struct x86_vcpu * v))                                              \
	X(void, set_ssp_table, (struct x86_vcpu * v, uint64_t address))                            \
	/* IA32_SPEC_CTRL, as the guest has it; a new value, whose bits the guest's model has. */  \
	X(uint64_t, spec_ctrl, (struct x86_vcpu * v))                                              \
	X(void, set_spec_ctrl, (struct x86_vcpu * v, uint64_t value))                              \
	/* Name of an exit counter, its count in @n; NULL at the end. Some names may be "". */     \
	X(const char *, exit_count, (struct x86_vcpu * v, unsigned index, uint64_t *n))            \
	/* Measures the bare entry-and-exit loop, in TSC ticks per round trip. */                  \
	X(uint64_t, floor, (void))

struct vendor {
	const char *name;		/* "svm" */
	const struct pt_format *format; /* of second-level tables */
#define X(ret, op, args) ret(*op) args;
	VENDOR_OPS(X)
#undef X
};

/* Registers a vendor room; the first whose probe succeeds is bound at boot. */
#define VENDOR_REGISTER(v) static const struct vendor *const v##_ref __section(".vendors") = &(v)

/* The one in use. Set once, at boot. */
extern const struct vendor *vendor;

/*
 * Whether to use Intel's APIC virtualization where it is there: if a trial shows no fault of it,
 * not at all, or without a trial. Set before vendor_probe().
 */
enum apicv { APICV_TRY, APICV_OFF, APICV_ON };
extern enum apicv vendor_apicv;

/* Finds the vendor whose probe succeeds; NULL if none, @why then tells all reasons. */
const struct vendor *vendor_probe(char *why, size_t size);

/* Makes @groups of v->state valid. */
static inline void x86_load(struct x86_vcpu *v, uint32_t groups)
{
	groups &= ~v->avail;
	if (groups) {
		vendor->load(v, groups);
		v->avail |= groups;
	}
}

/* Marks @groups, which must be valid, to be written back. */
static inline void x86_dirty(struct x86_vcpu *v, uint32_t groups)
{
	v->dirty |= groups;
}

/* Does RFLAGS.TF trap at branches only? No other instruction that we carry out traps then. */
static inline bool x86_steps_branches(struct x86_vcpu *v)
{
	x86_load(v, X86_DR);
	return v->state.debugctl & DEBUGCTL_BTF;
}

/* The window in which linear address @la would be. */
static __always_inline struct fetch_window *fetch_window(struct x86_vcpu *v, uint64_t la)
{
	return &v->fetch[la >> PAGE_SHIFT & (FETCH_WINDOWS - 1)];
}

/* Closes all windows: a page may have been taken away, or its mapping changed. */
void fetch_close(struct x86_vcpu *v);

/* What the owner does about VCPU_REQ_PMI. May change DEBUGCTL in the register cache. */
void pmu_deliver(struct x86_vcpu *v);

/* Puts the vendor-neutral part of @v into its power-on state. */
void x86_vcpu_reset(struct x86_vcpu *v);

/*
 * Before a run: serves INIT and start-up IPIs, and tells whether @v has anything to do. If not, it
 * is to sleep until another request.
 */
bool x86_vcpu_awake(struct x86_vcpu *v);

/*
 * HLT was executed, with @interrupts enabled or not, and RIP is behind it; events.nmi_blocked must
 * be as the CPU has it now. False: @v is to leave the guest, and sleep unless there are requests.
 */
bool x86_vcpu_halt(struct x86_vcpu *v, bool interrupts);

/*
 * Before an entry: takes what is requested into @requests. False if something is to be done between
 * two runs first: then nothing but VCPU_REQ_LEAVE is taken. VCPU_REQ_WORK, INIT and start-up IPIs
 * never are: an INIT takes back start-ups from before it, which it must find where they were put.
 */
static __always_inline bool x86_take_requests(struct x86_vcpu *v, uint32_t *requests)
{
	const uint32_t leaving = VCPU_REQ_LEAVE | VCPU_REQ_INIT | VCPU_REQ_STARTUP | VCPU_REQ_WORK;

	*requests = __atomic_load_n(&v->base.requests, __ATOMIC_RELAXED);
	if (unlikely(*requests & leaving)) {
		__atomic_and_fetch(&v->base.requests, ~(uint32_t)VCPU_REQ_LEAVE, __ATOMIC_ACQUIRE);
		return false;
	}
	/* What is asked for once more before this is served by the same look. */
	__atomic_and_fetch(&v->base.requests, ~*requests, __ATOMIC_ACQUIRE);
	return true;
}

/* What of @requests, which were just taken, is served before events are looked for. */
static __always_inline uint32_t x86_collect(struct x86_vcpu *v, uint32_t requests)
{
	if (unlikely(requests & (VCPU_REQ_NMI | VCPU_REQ_TIMER | VCPU_REQ_AGAIN | VCPU_REQ_PMI))) {
		if (requests & VCPU_REQ_NMI)
			events_nmi(&v->events);
		if (requests & VCPU_REQ_TIMER)
			events_timer(v);
		if (requests & VCPU_REQ_PMI)
			pmu_deliver(v);
		requests |= VCPU_REQ_EVENT;
	}
	return requests;
}

/* Raises an exception in the guest before its next instruction. */
void x86_raise(struct x86_vcpu *v, uint8_t vector);
void x86_raise_error(struct x86_vcpu *v, uint8_t vector, uint32_t error);

void x86_raise_exception(struct x86_vcpu *v, const struct x86_exception *x);

/* The guest's TSC now. */
uint64_t x86_guest_tsc(const struct x86_vcpu *v);

#endif
