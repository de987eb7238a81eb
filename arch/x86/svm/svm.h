/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the SVM room share. */
#ifndef SOCLE_SVM_SVM_H
#define SOCLE_SVM_SVM_H

#include "socle/guest/vcpu.h"
#include "vmcb.h"

#define NOWHERE UINT64_MAX /* no RIP of ours */

/* Exits are counted by code; WRMSR, codes from 0x400 on and unknown ones have their own places. */
enum { COUNT_NPF = SVM_EXIT_CODES, COUNT_WRMSR, COUNT_OTHER, EXIT_COUNTS };

struct svm_vcpu {
	struct vmcb *vmcb;	  /* at 0: for the entry code */
	uint64_t vmcb_pa;	  /* at 8: likewise */
	uint64_t asid_generation; /* in which vmcb->asid was handed out; 0: never */
	unsigned asid_cpu;	  /* by which CPU */
	uint64_t memory_epoch; /* of the guest's memory, when its translations were last flushed */
	bool loaded;	       /* VMLOAD state is in the CPU, not in the VMCB */
	bool next_rip;	       /* the CPU saves it at exits */
	bool stepping;	       /* TF is ours: see step_over_iret() */
	bool guest_tf;	       /* what it was before; while stepping */
	uint64_t guest_dr6;    /* likewise */
	bool watches;	       /* one of these was set since the vCPU's reset */
	uint64_t nmi_iret;     /* where an NMI's handler is about to return; or NOWHERE */
	uint64_t hlt_rip;      /* where a HLT in the shadow of STI was last seen */
	struct x86_vcpu x;     /* at 128: general registers for the entry code */
	/* Its VM's MSR permission maps; + 1: while it records branches, + 2: SPEC_CTRL is direct */
	uint64_t msrpm_pa[4];
	bool switches_spec_ctrl; /* around each exit: see spec_ctrl.c */
	uint64_t spec_ctrl;	 /* the guest's, where the CPU does not virtualize it */
	uint64_t guest_debugctl; /* while stepping: what DEBUGCTL was before */
	uint64_t count[EXIT_COUNTS];
};
_Static_assert(offsetof(struct svm_vcpu, vmcb) == 0, "entry.asm");
_Static_assert(offsetof(struct svm_vcpu, vmcb_pa) == 8, "entry.asm");
_Static_assert(offsetof(struct svm_vcpu, x) == 128, "entry.asm");

static inline struct svm_vcpu *svm_vcpu(struct x86_vcpu *v)
{
	return container_of(v, struct svm_vcpu, x);
}

/* Clean mask to set after an exit: nothing where the CPU has no clean bits. */
extern uint64_t svm_clean;

/* Marks parts of the VMCB (enum svm_clean) as changed by us. */
static __always_inline void svm_touch(struct vmcb *c, uint32_t parts)
{
	c->clean &= ~(uint64_t)parts;
}

/* entry.asm: runs the guest and svm_exit() in turns until svm_exit() returns nonzero; that value.
 */
int svm_run_loop(struct svm_vcpu *s);
/* The same with svm_exit_switched(). */
int svm_run_loop_switched(struct svm_vcpu *s);

/* Handles one exit. 0: enter again; else 1 + enum vcpu_leave. Called from entry.asm. */
int svm_exit(struct svm_vcpu *s);

/* The same for a vCPU whose SPEC_CTRL we switch (spec_ctrl.c): it is the guest's outside of it. */
int svm_exit_switched(struct svm_vcpu *s);

/* Between any work and an entry: events, write-back, flushes. Returns as svm_exit(). */
int svm_prepare(struct svm_vcpu *s);

/* Before a run, and when somebody begins to wait for this CPU: shall PAUSE exit? */
void svm_intercept_pause(struct svm_vcpu *s);

/* Remembers a HLT in the shadow of STI, after an exit that came in between. */
void svm_note_shadow(struct svm_vcpu *s);

/* Unblocks NMIs if the handler of the last one has returned. Its note is kept if s->watches. */
void svm_look_for_iret(struct svm_vcpu *s);

/* At #DB: true if it was only the single step over an NMI handler's IRET, which is done then. */
bool svm_stepped(struct svm_vcpu *s);

/* Takes over an event whose delivery the last exit interrupted. */
void svm_interrupted(struct svm_vcpu *s);

/* entry.asm: @rounds entries and exits of the guest in @vmcb_pa, all registers saved. */
void svm_floor_loop(uint64_t vmcb_pa, uint64_t rounds, struct vmcb *vmcb);
extern const char svm_floor_guest[];

/* Copies from the VMCB into the register cache, and back. */
void svm_load(struct x86_vcpu *v, uint32_t groups);
void svm_write_back(struct svm_vcpu *s);

/* Prints the VMCB. */
void svm_dump(struct x86_vcpu *v);

/*
 * Shadow stacks (cet.c): the MSR that exits, fields at power-on and at an INIT, and which of
 * VMRUN's checks fails; NULL: none.
 */
uint64_t svm_ssp_table(struct x86_vcpu *v);
void svm_set_ssp_table(struct x86_vcpu *v, uint64_t address);
void svm_cet_reset(struct vmcb *c);
const char *svm_cet_invalid(const struct vmcb *c);

/* The I/O permission map, made at boot, and those for MSRs, made for each VM: see VENDOR_OPS. */
extern uint64_t svm_iopm_pa;
status_t __must_check svm_maps_init(void);
status_t __must_check svm_msr_maps(struct x86_vcpu *v);
/* Chooses the one for @s' current state, in its VMCB. */
void svm_use_msr_map(struct svm_vcpu *s);

/*
 * Last branch records (lbr.c): turning them off for us, on each CPU, and the probe on the first; a
 * new value of the guest's DEBUGCTL, which turns them on or off for it; the records of a vCPU; and
 * a reset, which leaves it with those of @kept, or none.
 */
struct svm_lbr {
	uint64_t record[4]; /* from, to; those before the last exception or interrupt */
};
void svm_lbr_cpu_on(bool boot);
void svm_lbr_set_debugctl(struct svm_vcpu *s, uint64_t value);
struct svm_lbr svm_lbr_get(struct svm_vcpu *s);
void svm_lbr_reset(struct svm_vcpu *s, const struct svm_lbr *kept);

/* Performance counters (pmu.c): the probe, on the boot CPU, and turning them off for us. */
void svm_pmu_cpu_on(bool boot);

/*
 * SPEC_CTRL (spec_ctrl.c): the guest's value, and whether its accesses make no exit now; a reset,
 * which leaves it with @value; and before svm_run_loop_switched(): from here on it is the guest's.
 */
uint64_t svm_spec_ctrl(struct x86_vcpu *v);
void svm_set_spec_ctrl(struct x86_vcpu *v, uint64_t value);
bool svm_spec_ctrl_direct(const struct svm_vcpu *s);
void svm_spec_ctrl_reset(struct svm_vcpu *s, uint64_t value);
void svm_spec_ctrl_enter(struct svm_vcpu *s);

/* "cpuid" for exit code 0x72; "" where there is none. */
const char *svm_exit_name(uint64_t code);

/* Measures the floor; 0 without memory. */
uint64_t svm_floor(void);

#endif
