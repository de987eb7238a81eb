/* SPDX-License-Identifier: BSD-2-Clause */
/* Switches the registers that the hypervisor never uses, and only when another vCPU needs them. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/guest/context.h"
#include "socle/mm/frames.h"
#include "socle/string.h"

enum { FXSAVE_SIZE = 512, FCW_RESET = 0x37f, MXCSR_RESET = 0x1f80, XSTATE_BV = 512 };

/* Whose registers are in each CPU; NULL: nobody's. Only its CPU looks at it. */
static struct x86_vcpu *owners[CPU_MAX];
static uint64_t xcr0_all; /* everything that the CPU can save; 0: no XSAVE */
static uint32_t area_size = FXSAVE_SIZE;

void context_cpu_on(void)
{
	cr0_write((cr0_read() & ~(uint64_t)(CR0_TS | CR0_EM)) | CR0_MP | CR0_NE);
	cr4_write(cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	if (!cpu_has(CPU_XSAVE))
		return;
	cr4_write(cr4_read() | CR4_OSXSAVE);
	xcr0_all = cpuid(0xd, 0).eax | (uint64_t)cpuid(0xd, 0).edx << 32;
	area_size = cpuid(0xd, 0).ecx;
}

status_t context_create(struct x86_vcpu *v)
{
	v->fpu = pages_alloc(area_size, OWNER_VM_CORE);
	return v->fpu ? 0 : -S_NOMEM;
}

static void save(struct x86_vcpu *v)
{
	if (xcr0_all) {
		v->xcr0 = xgetbv(0);
		xsetbv(0, xcr0_all);
		__asm__ volatile("xsave64 (%0)" ::"r"(v->fpu), "a"(-1), "d"(-1) : "memory");
	} else {
		__asm__ volatile("fxsave64 (%0)" ::"r"(v->fpu) : "memory");
	}
	if (cpu_has(CPU_RDTSCP))
		v->tsc_aux = msr_read(MSR_TSC_AUX);
	__asm__ volatile("mov %%db0,%0" : "=r"(v->dr[0]));
	__asm__ volatile("mov %%db1,%0" : "=r"(v->dr[1]));
	__asm__ volatile("mov %%db2,%0" : "=r"(v->dr[2]));
	__asm__ volatile("mov %%db3,%0" : "=r"(v->dr[3]));
}

/*
 * AMD's FXRSTOR and XRSTOR leave the last x87 instruction's addresses alone unless an exception is
 * pending, so the former owner's would shine through: load others (CVE-2006-1056).
 */
static void forget_x87_addresses(void)
{
	static const uint32_t zero;

	if (cpu_info.vendor == CPU_VENDOR_AMD)
		__asm__ volatile("fnclex; emms; fildl %0" ::"m"(zero));
}

static void restore(const struct x86_vcpu *v)
{
	forget_x87_addresses();
	if (xcr0_all) {
		xsetbv(0, xcr0_all);
		__asm__ volatile("xrstor64 (%0)" ::"r"(v->fpu), "a"(-1), "d"(-1) : "memory");
		xsetbv(0, v->xcr0);
	} else {
		__asm__ volatile("fxrstor64 (%0)" ::"r"(v->fpu) : "memory");
	}
	if (cpu_has(CPU_RDTSCP))
		msr_write(MSR_TSC_AUX, v->tsc_aux);
	__asm__ volatile("mov %0,%%db0" ::"r"(v->dr[0]));
	__asm__ volatile("mov %0,%%db1" ::"r"(v->dr[1]));
	__asm__ volatile("mov %0,%%db2" ::"r"(v->dr[2]));
	__asm__ volatile("mov %0,%%db3" ::"r"(v->dr[3]));
}

void context_load(struct x86_vcpu *v)
{
	struct x86_vcpu **owner = &owners[cpu_index()];

	if (likely(*owner == v))
		return;
	if (*owner)
		save(*owner);
	restore(v);
	*owner = v;
}

void context_release(struct x86_vcpu *v)
{
	struct x86_vcpu **owner = &owners[cpu_index()];

	if (*owner != v)
		return;
	save(v);
	*owner = NULL;
}

void context_reset(struct x86_vcpu *v)
{
	uint16_t fcw = FCW_RESET;
	uint32_t mxcsr = MXCSR_RESET;
	uint64_t bv = 3; /* x87 and SSE are in the area; all else is initial */

	if (owners[cpu_index()] == v)
		owners[cpu_index()] = NULL;
	memset(v->fpu, 0, area_size);
	memcpy(v->fpu, &fcw, sizeof(fcw));
	memcpy((char *)v->fpu + 24, &mxcsr, sizeof(mxcsr));
	if (xcr0_all)
		memcpy((char *)v->fpu + XSTATE_BV, &bv, sizeof(bv));
	v->xcr0 = 1;
	v->tsc_aux = 0;
	memset(v->dr, 0, sizeof(v->dr));
}
