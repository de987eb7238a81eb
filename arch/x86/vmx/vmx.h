/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the VMX room share. */
#ifndef SOCLE_VMX_VMX_H
#define SOCLE_VMX_VMX_H

#include "socle/guest/vcpu.h"
#include "socle/status.h"
#include "vmcs.h"

/* Exits are counted by basic reason; unknown ones together. */
enum { COUNT_OTHER = VMX_EXIT_REASONS, EXIT_COUNTS };

/* Registers that neither entries nor exits switch, and that we do not use: see switch.c. */
enum vmx_kept {
	KEPT_STAR, KEPT_LSTAR, KEPT_CSTAR, KEPT_SFMASK, KEPT_KERNEL_GS_BASE, KEPT_MSRS,
};

enum { LBR_RECORDS_MAX = 32, LBR_REGISTERS = 2 + 3 * LBR_RECORDS_MAX };

/* Last branch records of a vCPU: see lbr.c. */
struct vmx_lbr {
	bool on;		       /* it records: they are in its CPU, and direct */
	uint64_t depth;		       /* number of records that it uses */
	uint64_t value[LBR_REGISTERS]; /* while not in the CPU */
};

/* SPEC_CTRL of a vCPU: see spec_ctrl.c. The entries are areas of one MSR each. */
struct vmx_spec_ctrl {
	_Alignas(16) struct vmx_msr_entry guest;
	_Alignas(16) struct vmx_msr_entry host;
	bool on; /* entries and exits switch it */
};

struct vmx_vcpu {
	bool launched; /* at 0, for the entry code: VMRESUME, not VMLAUNCH */
	uint16_t vpid;
	uint32_t cpu; /* whose host state is in the VMCS */
	void *vmcs;
	uint64_t vmcs_pa;
	uint32_t ple_window;	  /* what VMCS_PLE_WINDOW holds, where PAUSE-loop exiting is on */
	uint32_t primary;	  /* what VMCS_PRIMARY_CONTROLS holds */
	uint32_t secondary;	  /* what VMCS_SECONDARY_CONTROLS holds */
	uint32_t entry;		  /* what VMCS_ENTRY_CONTROLS should hold, but for IA32E */
	uint64_t kept[KEPT_MSRS]; /* by enum vmx_kept, while not in the CPU */
	uint64_t cr2, dr6;	  /* likewise */
	struct x86_vcpu x;	  /* at 128: general registers for the entry code */

	/*
	 * Its VM's MSR bitmaps: + 1: in x2APIC mode with APIC virtualization, + 2: SPEC_CTRL is
	 * direct; while it records branches?
	 */
	uint64_t msr_bitmap_pa[4][2];

	/* APIC virtualization (apicv.c); all NULL and 0 without. */
	void *apic_page;       /* virtual-APIC page: its lapic's registers */
	void *apic_access;     /* vCPU 0: what is mapped where the guest's APICs are */
	bool apic_mapped;      /* vCPU 0: apic_access is mapped */
	uint32_t apic_mode;    /* controls that follow the APIC's mode */
	uint64_t eoi_exits[4]; /* what VMCS_EOI_EXIT_BITMAP0 and on hold */

	struct vmx_lbr lbr;
	struct vmx_spec_ctrl spec_ctrl;

	uint64_t count[EXIT_COUNTS];
#ifdef VMX_COUNT_ACCESSES
	uint64_t accesses[VMX_EXIT_REASONS]; /* VMREADs and VMWRITEs, by basic reason */
#endif
};
_Static_assert(offsetof(struct vmx_vcpu, launched) == 0, "entry.asm");
_Static_assert(offsetof(struct vmx_vcpu, x) == 128, "entry.asm");

static inline struct vmx_vcpu *vmx_vcpu(struct x86_vcpu *v)
{
	return container_of(v, struct vmx_vcpu, x);
}

/*
 * What the CPU can do, and the controls chosen from it (controls.c). Filled by vmx_probe_controls()
 * and vmx_use_apicv() at boot, then read-only.
 */
struct vmx_caps {
	uint64_t basic, misc, ept_vpid;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	uint32_t pin, primary, secondary, exit, entry;
	uint64_t eptp_bits; /* of an EPT pointer, beside the address */
	bool apicv;	    /* all that APIC virtualization needs is there, and it is used */
	uint32_t pmu_exit;  /* exit controls that switch IA32_PERF_GLOBAL_CTRL; 0: cannot be */
	bool cet;	    /* S_CET, SSP and INTERRUPT_SSP_TABLE can be switched */
};
extern struct vmx_caps vmx_caps;

/* Has the controls be those with, or without, APIC virtualization. */
void vmx_use_apicv(bool use);

/* Chooses the controls; false with the reason in @why if something that we need is missing. */
bool vmx_probe_controls(char *why, size_t size);

/* The I/O bitmaps, made at boot, and those for MSRs, made for each VM: see VENDOR_OPS. */
extern uint64_t vmx_io_bitmap_pa[2];
status_t __must_check vmx_maps_init(void);
status_t __must_check vmx_msr_maps(struct x86_vcpu *v);

/* Chooses the one for @s' current state, in its VMCS, which is current. */
void vmx_use_msr_bitmap(struct vmx_vcpu *s);

/* Makes the VMCS of @s the one that VMREAD and VMWRITE act on. */
void vmx_make_current(struct vmx_vcpu *s);
/* Forgets which one is current, as another was loaded behind vmx_make_current()'s back. */
void vmx_current_lost(void);

/* Writes the host-state area of the current VMCS, for this CPU. */
void vmx_write_host_state(void);

/* Has the registers of enum vmx_kept, CR2 and DR6 in the CPU be those of @s (switch.c). */
void vmx_switch_to(struct vmx_vcpu *s);
/* True if they are. */
bool vmx_is_resident(const struct vmx_vcpu *s);
/* Has them be in no CPU. */
void vmx_switch_release(struct vmx_vcpu *s);
/* Sets their power-on values. */
void vmx_switch_reset(struct vmx_vcpu *s, bool init);

/*
 * Last branch records (lbr.c): turning them off for us, on each CPU, and the probe on the first;
 * when @s takes a CPU or leaves it, is reset (@init: it keeps its records), writes DEBUGCTL (its
 * VMCS is current), or is delivered #DB.
 */
void vmx_lbr_cpu_on(bool boot);
void vmx_lbr_switch_to(struct vmx_vcpu *s);
void vmx_lbr_release(struct vmx_vcpu *s);
void vmx_lbr_reset(struct vmx_vcpu *s, bool init);
void vmx_lbr_set_debugctl(struct vmx_vcpu *s, uint64_t value);
void vmx_lbr_debug_exception(struct vmx_vcpu *s);
/* Is @index one of the registers that are direct while a guest records? */
bool vmx_lbr_direct(uint32_t index);

/*
 * SPEC_CTRL (spec_ctrl.c): the guest's value, and whether its accesses make no exit now; fields of
 * the VMCS, which is current, at a reset (@init: the value stays).
 */
uint64_t vmx_spec_ctrl(struct x86_vcpu *v);
void vmx_set_spec_ctrl(struct x86_vcpu *v, uint64_t value);
bool vmx_spec_ctrl_direct(const struct vmx_vcpu *s);
void vmx_spec_ctrl_reset(struct vmx_vcpu *s, bool init);

/*
 * entry.asm: runs the guest and vmx_exit() in turns until vmx_exit() returns nonzero; that value.
 */
int vmx_run_loop(struct vmx_vcpu *s);

/* Handles one exit. 0: enter again; else 1 + enum vcpu_leave. Called from entry.asm. */
int vmx_exit(struct vmx_vcpu *s);

/* VMLAUNCH or VMRESUME fell through. Called from entry.asm; returns as vmx_exit(). */
int vmx_entry_refused(struct vmx_vcpu *s);

/* Between any work and an entry: events, write-back, flushes. Returns as vmx_exit(). */
int vmx_prepare(struct vmx_vcpu *s);

/* Before a run, and when somebody begins to wait for this CPU: how long may it spin? */
void vmx_watch_spinning(struct vmx_vcpu *s);

/* Forgets what this CPU has cached of the guest's memory. */
void vmx_flush(struct vmx_vcpu *s);

/* Takes over an event whose delivery the last exit interrupted; @info is its vectoring info. */
void vmx_interrupted(struct vmx_vcpu *s, uint32_t info);

/* Copies from the VMCS into the register cache, and back. */
void vmx_load(struct x86_vcpu *v, uint32_t groups);
void vmx_write_back(struct vmx_vcpu *s);

/* Prints the VMCS. */
void vmx_dump(struct x86_vcpu *v);

/* Of CR0 and CR4: the bits that make an exit when the guest changes them (cr.c). */
#define VMX_CR0_HOST_OWNED (CR0_NE | CR0_NW | CR0_CD)
uint64_t vmx_cr4_host_owned(const struct x86_vcpu *v);
/* What the CPU's CR0 and CR4 must be for the guest to have @cr0 and @cr4. */
uint64_t vmx_real_cr0(uint64_t cr0);
uint64_t vmx_real_cr4(uint64_t cr4);
/* MOV to CR0 and CR4 that the CPU left to us. */
int vmx_exit_cr_access(struct vmx_vcpu *s);
/* Reads the guest's four PDPTEs into the VMCS. False if one has reserved bits set. */
bool vmx_load_pdptes(struct vmx_vcpu *s);

/* Moves RIP behind the instruction that exited. */
void vmx_advance(struct vmx_vcpu *s);

/*
 * APIC virtualization (apicv.c): whether these capabilities suffice, pages of a new vCPU, its
 * VMCS at reset, what changed before an entry, and the two exits that belong to it.
 */
bool vmx_apicv_offered(uint64_t primary, uint64_t secondary);
status_t __must_check vmx_apicv_create(struct vmx_vcpu *s);
void vmx_apicv_reset(struct vmx_vcpu *s);
void vmx_apicv_prepare(struct vmx_vcpu *s);
void vmx_apicv_eoi(struct vmx_vcpu *s);
void vmx_apicv_write(struct vmx_vcpu *s);
/*
 * False if this CPU delivers virtual interrupts while the guest has interrupts off
 * (apicv_trial.c). On the boot CPU, with interrupts off: one waits for it afterwards.
 */
bool vmx_apicv_trial(void);
/* Calls @allow for each x2APIC register that needs no exit. */
void vmx_apicv_msrs(void (*allow)(uint32_t index, bool read, bool write, void *map), void *map);

/*
 * Control-flow enforcement (cet.c): whether these capabilities of the entry and exit controls
 * suffice, the controls that @v's VMCS has, fields of the host-state area, and at a vCPU's reset
 * and INIT, and the MSR that exits.
 */
bool vmx_cet_usable(uint64_t entry, uint64_t exit);
uint32_t vmx_cet_entry_control(const struct x86_vcpu *v);
uint32_t vmx_cet_exit_control(const struct x86_vcpu *v);
void vmx_cet_write_host_state(void);
void vmx_cet_reset(struct vmx_vcpu *s);
uint64_t vmx_ssp_table(struct x86_vcpu *v);
void vmx_set_ssp_table(struct x86_vcpu *v, uint64_t address);

/*
 * Performance counters (pmu.c): exit controls for them, of those of the capabilities, 0 if they do
 * not suffice; the probe, on the boot CPU, and turning them off for us; the controls of @v's VMCS;
 * and a reset, its VMCS being current.
 */
uint32_t vmx_pmu_exit_controls(uint64_t entry, uint64_t exit);
void vmx_pmu_cpu_on(bool boot);
uint32_t vmx_pmu_entry_control(const struct x86_vcpu *v);
uint32_t vmx_pmu_exit_control(const struct x86_vcpu *v);
void vmx_pmu_reset(struct vmx_vcpu *s, bool init);

/* "cpuid" for reason 10; "" where there is none. */
const char *vmx_exit_name(uint32_t reason);

/*
 * A guest in our own text and address space, without EPT (bare.c). Makes one that begins at @start,
 * and its VMCS current; NULL without memory. vmx_bare_loop(), in entry.asm, lets it run until it
 * has executed VMCALL @rounds times or makes any other exit; once, then VMCLEAR is due.
 */
void *vmx_bare_create(const char *start);
void vmx_bare_free(void *vmcs);
void vmx_bare_loop(uint64_t rounds);

/* Measures the floor; 0 without memory. */
uint64_t vmx_floor(void);

#endif
