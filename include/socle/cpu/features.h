/* SPDX-License-Identifier: BSD-2-Clause */
/* Which features the physical CPU has, probed once at boot. */
#ifndef SOCLE_CPU_FEATURES_H
#define SOCLE_CPU_FEATURES_H

#include "socle/base.h"

/* X(name, leaf, subleaf, register, bit): every CPU feature that our own code asks for. */
#define CPU_FEATURES(X)                             \
	X(X2APIC, 1, 0, ecx, 21)                    \
	X(TSC_DEADLINE, 1, 0, ecx, 24)              \
	X(XSAVE, 1, 0, ecx, 26)                     \
	X(RDRAND, 1, 0, ecx, 30)                    \
	X(HYPERVISOR, 1, 0, ecx, 31)                \
	X(VMX, 1, 0, ecx, 5)                        \
	X(PDCM, 1, 0, ecx, 15)                      \
	X(SMEP, 7, 0, ebx, 7)                       \
	X(RDSEED, 7, 0, ebx, 18)                    \
	X(SMAP, 7, 0, ebx, 20)                      \
	X(UMIP, 7, 0, ecx, 2)                       \
	X(SHSTK, 7, 0, ecx, 7)                      \
	X(LA57, 7, 0, ecx, 16)                      \
	X(MD_CLEAR, 7, 0, edx, 10)                  \
	X(ARCH_LBR, 7, 0, edx, 19)                  \
	X(IBT, 7, 0, edx, 20)                       \
	X(SPEC_CTRL, 7, 0, edx, 26)                 \
	X(FLUSH_L1D, 7, 0, edx, 28)                 \
	X(ARCH_CAPABILITIES, 7, 0, edx, 29)         \
	X(WRMSRNS, 7, 1, eax, 19)                   \
	X(MSR_IMM, 7, 1, ecx, 5)                    \
	X(XSAVES, 0xd, 1, eax, 3)                   \
	X(SVM, 0x80000001, 0, ecx, 2)               \
	X(NX, 0x80000001, 0, edx, 20)               \
	X(PAGE_1G, 0x80000001, 0, edx, 26)          \
	X(RDTSCP, 0x80000001, 0, edx, 27)           \
	X(INVARIANT_TSC, 0x80000007, 0, edx, 8)     \
	X(AMD_IBPB, 0x80000008, 0, ebx, 12)         \
	X(AMD_IBRS, 0x80000008, 0, ebx, 14)         \
	X(AMD_IBRS_ALWAYS, 0x80000008, 0, ebx, 16)  \
	X(AUTO_IBRS, 0x80000021, 0, eax, 8)         \
	X(SVM_NPT, 0x8000000a, 0, edx, 0)           \
	X(SVM_LBRV, 0x8000000a, 0, edx, 1)          \
	X(SVM_NRIPS, 0x8000000a, 0, edx, 3)         \
	X(SVM_TSC_RATIO, 0x8000000a, 0, edx, 4)     \
	X(SVM_CLEAN, 0x8000000a, 0, edx, 5)         \
	X(SVM_FLUSH_ASID, 0x8000000a, 0, edx, 6)    \
	X(SVM_DECODE, 0x8000000a, 0, edx, 7)        \
	X(SVM_PAUSE_FILTER, 0x8000000a, 0, edx, 10) \
	X(SVM_AVIC, 0x8000000a, 0, edx, 13)         \
	X(SVM_VGIF, 0x8000000a, 0, edx, 16)         \
	X(SVM_SPEC_CTRL, 0x8000000a, 0, edx, 20)

enum cpu_feature {
#define X(name, leaf, subleaf, reg, bit) CPU_##name,
	CPU_FEATURES(X)
#undef X
	CPU_FEATURE_COUNT,
};

enum cpu_vendor { CPU_VENDOR_OTHER, CPU_VENDOR_INTEL, CPU_VENDOR_AMD };

struct cpu_info {
	enum cpu_vendor vendor;
	char vendor_text[13]; /* "AuthenticAMD" */
	char brand[49];	      /* processor brand string, trimmed */
	unsigned family, model, stepping;
	unsigned phys_bits;   /* width of physical addresses */
	unsigned linear_bits; /* width of linear addresses */
	uint32_t asids;	      /* SVM address-space identifiers, 0 without SVM */
	bool feature[CPU_FEATURE_COUNT];
	bool tcg; /* it is emulated by QEMU's TCG */
};

/* Filled by cpu_probe(), then read-only. */
extern struct cpu_info cpu_info;

/* Reads CPUID into cpu_info. Once, on the boot CPU. */
void cpu_probe(void);

/* "svm-npt" for CPU_SVM_NPT. */
const char *cpu_feature_name(enum cpu_feature f);

static inline bool cpu_has(enum cpu_feature f)
{
	return cpu_info.feature[f];
}

#endif
