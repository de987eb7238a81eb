/* SPDX-License-Identifier: BSD-2-Clause */
/* Explains a failed VM entry: the processor's checks once more, in software, with names. */
#ifndef SOCLE_VMX_CHECKS_H
#define SOCLE_VMX_CHECKS_H

#include "socle/base.h"
#include "vmcs.h"

/* The fields of controls, for conditions and for what the CPU allows. */
enum vmx_control_set {
	CTL_NONE, /* a check without a condition */
	CTL_PIN, CTL_PRIMARY, CTL_SECONDARY, CTL_TERTIARY, CTL_EXIT, CTL_EXIT2, CTL_ENTRY,
	CTL_SETS,
};

/* What the checks need to know of the CPU. */
struct vmx_check_caps {
	uint64_t basic, misc, ept_vpid;	     /* IA32_VMX_BASIC, _MISC, _EPT_VPID_CAP */
	uint64_t vmfunc;		     /* IA32_VMX_VMFUNC; 0 where there is none */
	uint64_t cr0_fixed0, cr0_fixed1;     /* IA32_VMX_CR0_FIXED0 and 1 */
	uint64_t cr4_fixed0, cr4_fixed1;     /* likewise for CR4 */
	uint64_t controls[CTL_SETS];	     /* capability MSRs, the TRUE ones where they exist */
	uint64_t cr3_high;		     /* bits of CR3 beside the address: LAM's 62:61 or 0 */
	uint64_t efer, debugctl;	     /* bits of these MSRs that are not reserved */
	uint64_t perf_global, rtit, lbr_ctl; /* likewise: IA32_PERF_GLOBAL_CTRL, _RTIT_CTL */
	uint8_t physical_bits, linear_bits;  /* largest address widths */
	bool rtm, sgx, bus_lock;	     /* CPUID: RTM, SGX, OS bus-lock detection */
};

/* Where fields and the rest come from. */
struct vmx_reader {
	/* Only called for fields that exist if the controls in the VMCS are allowed. */
	uint64_t (*read)(void *ctx, enum vmcs_field field);
	/*
	 * 4 bytes of physical memory, for what the CPU looks at there: VTPR, the linked VMCS,
	 * PDPTEs without EPT. False, or none at all: those checks are left out.
	 */
	bool (*read_memory)(void *ctx, uint64_t pa, uint32_t *value);
	void *ctx;
	const struct vmx_check_caps *caps;
	uint64_t current;   /* physical address of the VMCS */
	bool trace_enabled; /* IA32_RTIT_CTL.TraceEn at the time of the entry */
};

/*
 * Makes the checks of SDM vol. 3, 27.2 and 27.3.1 in the order of the manual, for a CPU in IA-32e
 * mode outside SMM. NULL if all pass; else @text, which names the first that does not, with field,
 * value and section.
 */
const char *vmx_check(const struct vmx_reader *r, char *text, size_t size);

/*
 * The same for the current VMCS, at @vmcs_pa, after its entry failed or was refused, on the same
 * CPU. What lies in memory is not looked at.
 */
const char *vmx_check_current(uint64_t vmcs_pa, char *text, size_t size);

/*
 * The rest is for the tables of checks. A table says what holds for which field under which
 * control; what is not as simple is a function.
 */
struct vmx_view {
	const struct vmx_reader *r;
	uint64_t control[CTL_SETS]; /* as they take effect: 0 if not activated */
};

struct vmx_check {
	const char *section; /* of SDM vol. 3 */
	const char *what;    /* "guest CR4" */
	const char *must;    /* "must ..." */
	uint32_t field;	     /* enum vmcs_field, whose value is tested and shown */
	uint8_t when;	     /* enum vmx_control_set: made only if ... */
	uint64_t bits;	     /* ... all of these are set there */
	/* Bits of @value that are wrong, WRONG_VALUE if it is as a whole; 0: passes. */
	uint64_t (*wrong)(const struct vmx_view *v, uint64_t value, uint64_t arg);
	uint64_t arg;
};
#define WRONG_VALUE (~0ull)

struct vmx_check_list {
	const struct vmx_check *checks;
	unsigned count;
};

/* In the order of the manual. */
extern const struct vmx_check_list vmx_control_checks; /* 27.2.1 */
extern const struct vmx_check_list vmx_host_checks;    /* 27.2.2 to 27.2.4 */
extern const struct vmx_check_list vmx_guest_checks;   /* 27.3.1.1 */
extern const struct vmx_check_list vmx_segment_checks; /* 27.3.1.2 */
extern const struct vmx_check_list vmx_state_checks;   /* 27.3.1.3 to 27.3.1.6 */

/* The value of a field; controls as they take effect. */
uint64_t vmx_field(const struct vmx_view *v, enum vmcs_field field);

static inline bool vmx_has(const struct vmx_view *v, enum vmx_control_set set, uint64_t bits)
{
	return (v->control[set] & bits) == bits;
}

/* Functions for tables: the bits of @arg are 0, are 1; the value is not 0. */
uint64_t vmx_wrong_unless_clear(const struct vmx_view *v, uint64_t value, uint64_t arg);
uint64_t vmx_wrong_unless_set(const struct vmx_view *v, uint64_t value, uint64_t arg);
uint64_t vmx_wrong_if_zero(const struct vmx_view *v, uint64_t value, uint64_t arg);

/* A physical address within the CPU's width, and within what VMX may use. */
uint64_t vmx_wrong_physical(const struct vmx_view *v, uint64_t value, uint64_t arg);
uint64_t vmx_wrong_vmx_address(const struct vmx_view *v, uint64_t value, uint64_t arg);

/* A canonical address; the same, but bit N-1 of N may differ from those above. */
uint64_t vmx_wrong_canonical(const struct vmx_view *v, uint64_t value, uint64_t arg);
uint64_t vmx_wrong_linear(const struct vmx_view *v, uint64_t value, uint64_t arg);

/* IA32_PAT; CR3; IA32_S_CET. */
uint64_t vmx_wrong_pat(const struct vmx_view *v, uint64_t value, uint64_t arg);
uint64_t vmx_wrong_cr3(const struct vmx_view *v, uint64_t value, uint64_t arg);
uint64_t vmx_wrong_s_cet(const struct vmx_view *v, uint64_t value, uint64_t arg);

/* Bits that @arg, the offset of a mask in struct vmx_check_caps, does not allow. */
uint64_t vmx_wrong_mask(const struct vmx_view *v, uint64_t value, uint64_t arg);

#endif
