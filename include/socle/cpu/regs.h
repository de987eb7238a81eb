/* SPDX-License-Identifier: BSD-2-Clause */
/* Control registers, model-specific registers and CPUID of the processor we run on. */
#ifndef SOCLE_CPU_REGS_H
#define SOCLE_CPU_REGS_H

#include "socle/base.h"
#include "socle/cpu/msr.h"

/* SDM vol. 3, 2.5; APM vol. 2, 3.1. */
enum cr0_bits {
	CR0_PE = BIT(0), CR0_MP = BIT(1), CR0_EM = BIT(2), CR0_TS = BIT(3), CR0_ET = BIT(4),
	CR0_NE = BIT(5), CR0_WP = BIT(16), CR0_AM = BIT(18), CR0_NW = BIT(29), CR0_CD = BIT(30),
};
#define CR0_PG BIT(31)

enum cr4_bits {
	CR4_VME = BIT(0), CR4_PVI = BIT(1), CR4_TSD = BIT(2), CR4_DE = BIT(3), CR4_PSE = BIT(4),
	CR4_PAE = BIT(5), CR4_MCE = BIT(6), CR4_PGE = BIT(7), CR4_PCE = BIT(8),
	CR4_OSFXSR = BIT(9), CR4_OSXMMEXCPT = BIT(10), CR4_UMIP = BIT(11), CR4_LA57 = BIT(12),
	CR4_VMXE = BIT(13), CR4_FSGSBASE = BIT(16), CR4_PCIDE = BIT(17), CR4_OSXSAVE = BIT(18),
	CR4_SMEP = BIT(20), CR4_SMAP = BIT(21), CR4_PKE = BIT(22), CR4_CET = BIT(23),
	CR4_PKS = BIT(24),
};

/* State components by their bits in XCR0 and IA32_XSS (SDM vol. 1, 13.1 and 13.3). */
enum xcr0_bits {
	XCR0_X87 = BIT(0), XCR0_SSE = BIT(1), XCR0_AVX = BIT(2), XCR0_AVX512 = MASK(7, 5),
	XCR0_PKRU = BIT(9), XSS_CET_U = BIT(11), XSS_CET_S = BIT(12),
};

/* APM vol. 2, 3.1.7. */
enum efer_bits {
	EFER_SCE = BIT(0), EFER_LME = BIT(8), EFER_LMA = BIT(10), EFER_NXE = BIT(11),
	EFER_SVME = BIT(12), EFER_LMSLE = BIT(13), EFER_FFXSR = BIT(14), EFER_TCE = BIT(15),
	EFER_AUTO_IBRS = BIT(21),
};

/* Indices as in SDM vol. 4 and APM vol. 2, appendix A. */
enum msr_index {
	MSR_P5_MC_ADDR = 0x0, MSR_P5_MC_TYPE = 0x1, MSR_TSC = 0x10, MSR_PLATFORM_ID = 0x17,
	MSR_APIC_BASE = 0x1b, MSR_FEATURE_CONTROL = 0x3a, MSR_TSC_ADJUST = 0x3b,
	MSR_SPEC_CTRL = 0x48, MSR_PRED_CMD = 0x49, MSR_UCODE_REV = 0x8b, MSR_MTRRCAP = 0xfe,
	MSR_ARCH_CAPABILITIES = 0x10a, MSR_FLUSH_CMD = 0x10b, MSR_MISC_FEATURES = 0x140, MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175, MSR_SYSENTER_EIP = 0x176, MSR_MCG_CAP = 0x179,
	MSR_MCG_STATUS = 0x17a, MSR_MCG_CTL = 0x17b, MSR_P6_EVNTSEL0 = 0x186,
	MSR_MISC_ENABLE = 0x1a0, MSR_DEBUGCTL = 0x1d9, MSR_LASTBRANCHFROM = 0x1db,
	MSR_LASTBRANCHTO = 0x1dc, MSR_LASTINTFROM = 0x1dd, MSR_LASTINTTO = 0x1de,
	MSR_MTRR_PHYSBASE0 = 0x200, MSR_MTRR_FIX64K = 0x250, MSR_MTRR_FIX16K_80000 = 0x258,
	MSR_MTRR_FIX16K_A0000 = 0x259, MSR_MTRR_FIX4K_C0000 = 0x268, MSR_PAT = 0x277,
	MSR_MTRR_DEF_TYPE = 0x2ff, MSR_PERF_CAPABILITIES = 0x345, MSR_MC0_CTL = 0x400, MSR_TSC_DEADLINE = 0x6e0,
	MSR_PKRS = 0x6e1,
	MSR_U_CET = 0x6a0, MSR_S_CET = 0x6a2, MSR_PL0_SSP = 0x6a4, MSR_PL1_SSP = 0x6a5,
	MSR_PL2_SSP = 0x6a6, MSR_PL3_SSP = 0x6a7, MSR_INT_SSP_TAB = 0x6a8,
	MSR_X2APIC = 0x800, MSR_XSS = 0xda0,
	MSR_KVM_WALL_CLOCK = 0x4b564d00, MSR_KVM_SYSTEM_TIME = 0x4b564d01,
	MSR_EFER = 0xc0000080, MSR_STAR = 0xc0000081, MSR_LSTAR = 0xc0000082,
	MSR_CSTAR = 0xc0000083, MSR_SFMASK = 0xc0000084, MSR_FS_BASE = 0xc0000100,
	MSR_GS_BASE = 0xc0000101, MSR_KERNEL_GS_BASE = 0xc0000102, MSR_TSC_AUX = 0xc0000103,
	MSR_TSC_RATIO = 0xc0000104, MSR_PERFEVTSEL0 = 0xc0010000, MSR_PERFCTR0 = 0xc0010004,
	MSR_SYSCFG = 0xc0010010, MSR_HWCR = 0xc0010015, MSR_TOP_MEM = 0xc001001a,
	MSR_TOP_MEM2 = 0xc001001d, MSR_INT_PENDING = 0xc0010055, MSR_NB_CFG = 0xc001001f,
	MSR_PATCH_LEVEL = 0x8b, MSR_MMIO_CFG_BASE = 0xc0010058, MSR_VM_CR = 0xc0010114,
	MSR_VM_HSAVE_PA = 0xc0010117, MSR_OSVW_LENGTH = 0xc0010140, MSR_OSVW_STATUS = 0xc0010141,
	MSR_DC_CFG = 0xc0011022, MSR_DE_CFG = 0xc0011029,

	/* Performance counters: Intel's, AMD's; CTR0 and the like are the first of a row. */
	MSR_P6_PERFCTR0 = 0xc1, MSR_FIXED_CTR0 = 0x309, MSR_PERF_METRICS = 0x329,
	MSR_FIXED_CTR_CTRL = 0x38d, MSR_PERF_GLOBAL_STATUS = 0x38e, MSR_PERF_GLOBAL_CTRL = 0x38f,
	MSR_PERF_GLOBAL_RESET = 0x390, MSR_PERF_GLOBAL_SET = 0x391, MSR_PERF_GLOBAL_INUSE = 0x392,
	MSR_PMC0 = 0x4c1,
	MSR_AMD_GLOBAL_STATUS = 0xc0000300, MSR_AMD_GLOBAL_CTL = 0xc0000301,
	MSR_AMD_GLOBAL_CLR = 0xc0000302, MSR_AMD_GLOBAL_SET = 0xc0000303,
	MSR_PERF_CORE_CTL0 = 0xc0010200,

	/* Last branch records of Intel's: FROM and the like are the first of a row. */
	MSR_LBR_FROM_ATOM = 0x40, MSR_LBR_TO_ATOM = 0x60, MSR_LBR_SELECT = 0x1c8,
	MSR_LBR_TOS = 0x1c9, MSR_LBR_FROM = 0x680, MSR_LBR_TO = 0x6c0, MSR_LBR_INFO = 0xdc0,
	MSR_ARCH_LBR_INFO = 0x1200, MSR_ARCH_LBR_CTL = 0x14ce, MSR_ARCH_LBR_DEPTH = 0x14cf,
	MSR_ARCH_LBR_FROM = 0x1500, MSR_ARCH_LBR_TO = 0x1600,
};

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static __always_inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

#define CR_ACCESSORS(n)                                                    \
	static __always_inline uint64_t cr##n##_read(void)                 \
	{                                                                  \
		uint64_t v;                                                \
		__asm__ volatile("mov %%cr" #n ",%0" : "=r"(v)::"memory"); \
		return v;                                                  \
	}                                                                  \
	static __always_inline void cr##n##_write(uint64_t v)              \
	{                                                                  \
		__asm__ volatile("mov %0,%%cr" #n ::"r"(v) : "memory");    \
	}
CR_ACCESSORS(0)
CR_ACCESSORS(2)
CR_ACCESSORS(3)
CR_ACCESSORS(4)

static __always_inline uint64_t dr6_read(void)
{
	uint64_t v;

	__asm__ volatile("mov %%db6,%0" : "=r"(v));
	return v;
}

static __always_inline void dr6_write(uint64_t v)
{
	__asm__ volatile("mov %0,%%db6" ::"r"(v));
}

static __always_inline uint64_t xgetbv(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index));
	return lo | (uint64_t)hi << 32;
}

static __always_inline void xsetbv(uint32_t index, uint64_t value)
{
	__asm__ volatile("xsetbv" ::"c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

/* Where CPUID says so, overwrites buffers beside (SDM vol. 2, VERW). @selector: data, writable. */
static __always_inline void verw(uint16_t selector)
{
	__asm__ volatile("verw %0" ::"m"(selector) : "cc", "memory");
}

static __always_inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return lo | (uint64_t)hi << 32;
}

static __always_inline void cpu_pause(void)
{
	__asm__ volatile("pause" ::: "memory");
}

static __always_inline void interrupts_disable(void)
{
	__asm__ volatile("cli" ::: "memory");
}

static __always_inline void interrupts_enable(void)
{
	__asm__ volatile("sti" ::: "memory");
}

/* Takes those that wait; they are disabled before and after. */
static __always_inline void interrupts_take(void)
{
	__asm__ volatile("sti; nop; cli" ::: "memory");
}

/* Calls our NMI handler, whose IRET unblocks the next: for an NMI that was taken from a guest. */
static __always_inline void nmi_handle(void)
{
	__asm__ volatile("int $2" ::: "memory");
}

/* Port accesses. */
#define IO_ACCESSORS(bits, type, suffix)                                                  \
	static __always_inline type in##bits(uint16_t port)                               \
	{                                                                                 \
		type v;                                                                   \
		__asm__ volatile("in" suffix " %1,%0" : "=a"(v) : "Nd"(port) : "memory"); \
		return v;                                                                 \
	}                                                                                 \
	static __always_inline void out##bits(uint16_t port, type v)                      \
	{                                                                                 \
		__asm__ volatile("out" suffix " %0,%1" ::"a"(v), "Nd"(port) : "memory");  \
	}
IO_ACCESSORS(8, uint8_t, "b")
IO_ACCESSORS(16, uint16_t, "w")
IO_ACCESSORS(32, uint32_t, "l")

#endif
