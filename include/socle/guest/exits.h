/* SPDX-License-Identifier: BSD-2-Clause */
/* What exits mean, whatever the vendor: one handler per meaning. */
#ifndef SOCLE_GUEST_EXITS_H
#define SOCLE_GUEST_EXITS_H

#include "socle/guest/cpuid.h"
#include "socle/guest/msr.h"
#include "socle/guest/vcpu.h"

/*
 * All act on the general registers of @v. Those that return bool: true if the instruction is done
 * and is to be skipped, false if it raised an exception instead.
 */

/* CPUID; exit_cpuid_fast() is the frequent case, and returns false for the others. */
void exit_cpuid(struct x86_vcpu *v);

static __always_inline bool exit_cpuid_fast(struct x86_vcpu *v)
{
	const struct cpuid_entry *e = cpuid_guest_fast(v->cpuid, v->state.gpr[GPR_RAX]);

	if (unlikely(!e))
		return false;
	v->state.gpr[GPR_RAX] = e->value.eax;
	v->state.gpr[GPR_RBX] = e->value.ebx;
	v->state.gpr[GPR_RCX] = e->value.ecx;
	v->state.gpr[GPR_RDX] = e->value.edx;
	return true;
}

/* The #GP of an access that was refused. */
void exit_msr_fault(struct x86_vcpu *v);

/* RDMSR and WRMSR; if they return false, call exit_msr_fault(). */
static __always_inline bool exit_msr_read(struct x86_vcpu *v)
{
	uint64_t value;
	enum msr_result result = msr_guest_read(v, v->state.gpr[GPR_RCX], &value);

	if (unlikely(result != MSR_OK)) {
		v->stats.msr_refused[result]++;
		return false;
	}
	v->state.gpr[GPR_RAX] = (uint32_t)value;
	v->state.gpr[GPR_RDX] = value >> 32;
	return true;
}

static __always_inline bool exit_msr_write(struct x86_vcpu *v)
{
	uint64_t value = (uint32_t)v->state.gpr[GPR_RAX] | v->state.gpr[GPR_RDX] << 32;
	enum msr_result result = msr_guest_write(v, v->state.gpr[GPR_RCX], value);

	if (likely(result == MSR_OK))
		return true;
	v->stats.msr_refused[result]++;
	return false;
}

/* IN and OUT without REP or a string; the CPU has checked the permission. @size is 1, 2 or 4. */
void exit_port_in(struct x86_vcpu *v, uint16_t port, unsigned size);
void exit_port_out(struct x86_vcpu *v, uint16_t port, unsigned size);

/*
 * VMCALL or VMMCALL: number in RAX, result in RAX. No calls are offered yet: -1000, as the KVM
 * interface answers an unknown one.
 */
static __always_inline void exit_hypercall(struct x86_vcpu *v)
{
	enum { HYPERCALL_NOSYS = -1000 };

	v->state.gpr[GPR_RAX] = (uint64_t)(int64_t)HYPERCALL_NOSYS;
}

/* XSETBV. */
bool exit_xsetbv(struct x86_vcpu *v);

/*
 * May the guest, whose X86_CR is loaded, have @value in CR4? By its CPUID, and by SDM vol. 2, "MOV
 * - Move to/from Control Registers".
 */
static inline bool exit_cr4_valid(const struct x86_vcpu *v, uint64_t value)
{
	const struct x86_state *s = &v->state;
	bool long_mode = s->efer & EFER_LMA;

	if (value & ~v->cpuid->cr4)
		return false;
	if (long_mode && (!(value & CR4_PAE) || ((value ^ s->cr4) & CR4_LA57)))
		return false;
	/* CR0.WP cannot be cleared then, either (SDM vol. 3, 2.5): the CPU sees to that. */
	if ((value & CR4_CET) && !(s->cr0 & CR0_WP))
		return false;
	return !(value & ~s->cr4 & CR4_PCIDE) || (long_mode && !(s->cr3 & 0xfff));
}

/* MOV to CR4, where nothing but the check is needed; @gpr: enum x86_gpr. */
bool exit_cr4_write(struct x86_vcpu *v, unsigned gpr);

/* MOV from or to CR8, decoded here; skips or raises by itself. */
void exit_cr8(struct x86_vcpu *v);

/* The same where the CPU tells the direction and the register (enum x86_gpr). */
bool exit_cr8_access(struct x86_vcpu *v, bool write, unsigned gpr);

/* What kind of access met an unmapped address. Most are where SVM has them, too. */
enum nested_flags {
	NESTED_PRESENT = BIT(0), /* it is mapped after all: something is wrong */
	NESTED_WRITE = BIT(1),
	NESTED_FETCH = BIT(4), /* of an instruction */
	NESTED_TABLE = BIT(5), /* the CPU was reading the guest's page tables */
	NESTED_BYTES = BIT(9), /* the CPU tells the instruction: x86_vcpu.given */
	NESTED_TRACE = BIT(8) | BIT(16), /* TF or RF is set: no short cuts */
};

/* An access to a guest-physical address that is not mapped. */
struct nested_fault {
	uint64_t gpa;	     /* the address */
	uint64_t la;	     /* linear address of the instruction, CS base included */
	uint64_t cr3;	     /* guest's */
	uint32_t flags;	     /* enum nested_flags */
	enum insn_mode mode; /* of the code segment */
};

/*
 * Populates RAM, emulates devices, or ends the guest. Returns how many bytes RIP is to be moved on
 * by the caller; 0: nothing to do, or it is done in the register cache.
 */
unsigned exit_nested_fault(struct x86_vcpu *v, const struct nested_fault *f);

/* Where CR8 leads; bound at boot by the local APIC's room. */
struct cr8_ops {
	uint8_t (*read)(struct x86_vcpu *v);
	void (*write)(struct x86_vcpu *v, uint8_t value);
};
void exit_bind_cr8(const struct cr8_ops *ops);

#endif
