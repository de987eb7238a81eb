/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU models: the table of all features that a guest may be offered, and sets of them. */
#ifndef SOCLE_GUEST_CPUID_MODEL_H
#define SOCLE_GUEST_CPUID_MODEL_H

#include "socle/base.h"
#include "socle/cpu/regs.h"
#include "socle/kernel/config.h"

/*
 * State components that are switched with the guests that have them (arch/x86/guest/context.c), if
 * the CPU has them: of XCR0 and of IA32_XSS.
 */
#define XCR0_VIRTUALIZED (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU)
#define XSS_VIRTUALIZED	 ((uint64_t)XSS_CET_U | XSS_CET_S)
/* Of these, moved register by register (cet.c): XSAVES of Bochs 2.7 loses them. */
#define XSS_BY_MSR ((uint64_t)XSS_CET_U | XSS_CET_S)

/* What else is to be said of a feature. */
enum guest_feature_flags {
	GF_BASE = BIT(0),  /* in the model `baseline` */
	GF_FIXED = BIT(1), /* part of every model: cannot be taken away */
	GF_OWN = BIT(2),   /* provided by Socle, whatever the CPU has */
	GF_FACT = BIT(3),  /* how the CPU behaves, rather than what it has: passed on as it is */
};

/*
 * X(name, leaf, subleaf, register, bit, flags, what it needs): names are those of the flags in
 * Linux's /proc/cpuinfo. A feature is listed only if it works in a guest to the last bit; what is
 * not listed reads as 0. Sources: SDM vol. 2, CPUID; APM vol. 3, appendix E; for the needs, SDM
 * vol. 1, 11.6.2 and 12.1 to 15.3.
 */
#define GUEST_FEATURES(X)                                                 \
	X(fpu, 1, 0, EDX, 0, GF_BASE | GF_FIXED)                          \
	X(vme, 1, 0, EDX, 1, 0)                                           \
	X(de, 1, 0, EDX, 2, GF_BASE | GF_FIXED)                           \
	X(pse, 1, 0, EDX, 3, GF_BASE | GF_FIXED)                          \
	X(tsc, 1, 0, EDX, 4, GF_BASE | GF_FIXED)                          \
	X(msr, 1, 0, EDX, 5, GF_BASE | GF_FIXED)                          \
	X(pae, 1, 0, EDX, 6, GF_BASE | GF_FIXED)                          \
	X(cx8, 1, 0, EDX, 8, GF_BASE | GF_FIXED)                          \
	X(apic, 1, 0, EDX, 9, GF_BASE | GF_FIXED | GF_OWN)                \
	X(sep, 1, 0, EDX, 11, GF_BASE | GF_FIXED)                         \
	X(mtrr, 1, 0, EDX, 12, GF_BASE | GF_FIXED | GF_OWN)               \
	X(pge, 1, 0, EDX, 13, GF_BASE | GF_FIXED)                         \
	X(cmov, 1, 0, EDX, 15, GF_BASE | GF_FIXED)                        \
	X(pat, 1, 0, EDX, 16, GF_BASE | GF_FIXED)                         \
	X(pse36, 1, 0, EDX, 17, GF_BASE | GF_FIXED)                       \
	X(clflush, 1, 0, EDX, 19, GF_BASE | GF_FIXED)                     \
	X(mmx, 1, 0, EDX, 23, GF_BASE | GF_FIXED)                         \
	X(fxsr, 1, 0, EDX, 24, GF_BASE | GF_FIXED)                        \
	X(sse, 1, 0, EDX, 25, GF_BASE | GF_FIXED)                         \
	X(sse2, 1, 0, EDX, 26, GF_BASE | GF_FIXED)                        \
	X(ss, 1, 0, EDX, 27, 0)                                           \
	X(pni, 1, 0, ECX, 0, GF_BASE)                                     \
	X(pclmulqdq, 1, 0, ECX, 1, 0)                                     \
	X(ssse3, 1, 0, ECX, 9, GF_BASE, GUEST_pni)                        \
	X(fma, 1, 0, ECX, 12, 0, GUEST_avx)                               \
	X(cx16, 1, 0, ECX, 13, GF_BASE)                                   \
	X(pdcm, 1, 0, ECX, 15, 0)                                         \
	X(sse4_1, 1, 0, ECX, 19, GF_BASE, GUEST_ssse3)                    \
	X(sse4_2, 1, 0, ECX, 20, GF_BASE, GUEST_sse4_1)                   \
	X(x2apic, 1, 0, ECX, 21, GF_BASE | GF_FIXED | GF_OWN)             \
	X(movbe, 1, 0, ECX, 22, 0)                                        \
	X(popcnt, 1, 0, ECX, 23, GF_BASE)                                 \
	X(tsc_deadline_timer, 1, 0, ECX, 24, GF_BASE | GF_FIXED | GF_OWN) \
	X(aes, 1, 0, ECX, 25, 0)                                          \
	X(xsave, 1, 0, ECX, 26, 0)                                        \
	X(avx, 1, 0, ECX, 28, 0, GUEST_xsave)                             \
	X(f16c, 1, 0, ECX, 29, 0, GUEST_avx)                              \
	X(rdrand, 1, 0, ECX, 30, 0)                                       \
	X(hypervisor, 1, 0, ECX, 31, GF_BASE | GF_FIXED | GF_OWN)         \
	X(fsgsbase, 7, 0, EBX, 0, 0)                                      \
	X(tsc_adjust, 7, 0, EBX, 1, GF_BASE | GF_OWN)                     \
	X(bmi1, 7, 0, EBX, 3, 0)                                          \
	X(avx2, 7, 0, EBX, 5, 0, GUEST_avx)                               \
	X(fdp_excptn_only, 7, 0, EBX, 6, GF_FACT)                         \
	X(smep, 7, 0, EBX, 7, 0)                                          \
	X(bmi2, 7, 0, EBX, 8, 0)                                          \
	X(erms, 7, 0, EBX, 9, 0)                                          \
	X(invpcid, 7, 0, EBX, 10, 0)                                      \
	X(zero_fcs_fds, 7, 0, EBX, 13, GF_FACT)                           \
	X(avx512f, 7, 0, EBX, 16, 0, GUEST_avx2)                          \
	X(avx512dq, 7, 0, EBX, 17, 0, GUEST_avx512f)                      \
	X(rdseed, 7, 0, EBX, 18, 0)                                       \
	X(adx, 7, 0, EBX, 19, 0)                                          \
	X(smap, 7, 0, EBX, 20, 0)                                         \
	X(avx512ifma, 7, 0, EBX, 21, 0, GUEST_avx512f)                    \
	X(clflushopt, 7, 0, EBX, 23, 0)                                   \
	X(clwb, 7, 0, EBX, 24, 0)                                         \
	X(avx512pf, 7, 0, EBX, 26, 0, GUEST_avx512f)                      \
	X(avx512er, 7, 0, EBX, 27, 0, GUEST_avx512f)                      \
	X(avx512cd, 7, 0, EBX, 28, 0, GUEST_avx512f)                      \
	X(sha_ni, 7, 0, EBX, 29, 0)                                       \
	X(avx512bw, 7, 0, EBX, 30, 0, GUEST_avx512f)                      \
	X(avx512vl, 7, 0, EBX, 31, 0, GUEST_avx512f)                      \
	X(avx512vbmi, 7, 0, ECX, 1, 0, GUEST_avx512f)                     \
	X(umip, 7, 0, ECX, 2, 0)                                          \
	X(pku, 7, 0, ECX, 3, 0, GUEST_xsave)                              \
	X(avx512_vbmi2, 7, 0, ECX, 6, 0, GUEST_avx512f)                   \
	X(shstk, 7, 0, ECX, 7, 0, GUEST_xsaves)                           \
	X(gfni, 7, 0, ECX, 8, 0)                                          \
	X(vaes, 7, 0, ECX, 9, 0, GUEST_avx, GUEST_aes)                    \
	X(vpclmulqdq, 7, 0, ECX, 10, 0, GUEST_avx, GUEST_pclmulqdq)       \
	X(avx512_vnni, 7, 0, ECX, 11, 0, GUEST_avx512f)                   \
	X(avx512_bitalg, 7, 0, ECX, 12, 0, GUEST_avx512f)                 \
	X(avx512_vpopcntdq, 7, 0, ECX, 14, 0, GUEST_avx512f)              \
	X(la57, 7, 0, ECX, 16, 0)                                         \
	X(pks, 7, 0, ECX, 31, 0)                                          \
	X(avx512_4vnniw, 7, 0, EDX, 2, 0, GUEST_avx512f)                  \
	X(avx512_4fmaps, 7, 0, EDX, 3, 0, GUEST_avx512f)                  \
	X(avx512_vp2intersect, 7, 0, EDX, 8, 0, GUEST_avx512f)            \
	X(md_clear, 7, 0, EDX, 10, 0)                                     \
	X(arch_lbr, 7, 0, EDX, 19, 0)                                     \
	X(ibt, 7, 0, EDX, 20, 0, GUEST_xsaves)                            \
	X(spec_ctrl, 7, 0, EDX, 26, 0)                                    \
	X(intel_stibp, 7, 0, EDX, 27, 0, GUEST_spec_ctrl)                 \
	X(flush_l1d, 7, 0, EDX, 28, 0)                                    \
	X(arch_capabilities, 7, 0, EDX, 29, 0)                            \
	X(spec_ctrl_ssbd, 7, 0, EDX, 31, 0, GUEST_spec_ctrl)              \
	X(intel_psfd, 7, 2, EDX, 0, 0, GUEST_spec_ctrl)                   \
	X(ipred_ctrl, 7, 2, EDX, 1, 0, GUEST_spec_ctrl)                   \
	X(rrsba_ctrl, 7, 2, EDX, 2, 0, GUEST_spec_ctrl)                   \
	X(ddpd_u, 7, 2, EDX, 3, 0, GUEST_spec_ctrl)                       \
	X(bhi_ctrl, 7, 2, EDX, 4, 0, GUEST_spec_ctrl)                     \
	X(xsaveopt, 0xd, 1, EAX, 0, 0, GUEST_xsave)                       \
	X(xsavec, 0xd, 1, EAX, 1, 0, GUEST_xsave)                         \
	X(xsaves, 0xd, 1, EAX, 3, 0, GUEST_xsave)                         \
	X(xgetbv1, 0xd, 1, EAX, 2, 0, GUEST_xsave)                        \
	X(lahf_lm, 0x80000001, 0, ECX, 0, GF_BASE)                        \
	X(abm, 0x80000001, 0, ECX, 5, 0)                                  \
	X(sse4a, 0x80000001, 0, ECX, 6, 0, GUEST_pni)                     \
	X(misalignsse, 0x80000001, 0, ECX, 7, 0)                          \
	X(3dnowprefetch, 0x80000001, 0, ECX, 8, 0)                        \
	X(xop, 0x80000001, 0, ECX, 11, 0, GUEST_avx)                      \
	X(fma4, 0x80000001, 0, ECX, 16, 0, GUEST_avx)                     \
	X(tbm, 0x80000001, 0, ECX, 21, 0)                                 \
	X(topoext, 0x80000001, 0, ECX, 22, 0)                             \
	X(perfctr_core, 0x80000001, 0, ECX, 23, 0)                        \
	X(syscall, 0x80000001, 0, EDX, 11, GF_BASE | GF_FIXED)            \
	X(nx, 0x80000001, 0, EDX, 20, GF_BASE | GF_FIXED)                 \
	X(mmxext, 0x80000001, 0, EDX, 22, 0)                              \
	X(fxsr_opt, 0x80000001, 0, EDX, 25, 0)                            \
	X(pdpe1gb, 0x80000001, 0, EDX, 26, 0)                             \
	X(rdtscp, 0x80000001, 0, EDX, 27, 0)                              \
	X(lm, 0x80000001, 0, EDX, 29, GF_BASE | GF_FIXED)                 \
	X(3dnowext, 0x80000001, 0, EDX, 30, 0, GUEST_3dnow)               \
	X(3dnow, 0x80000001, 0, EDX, 31, 0)                               \
	X(constant_tsc, 0x80000007, 0, EDX, 8, 0)                         \
	X(clzero, 0x80000008, 0, EBX, 0, 0)                               \
	X(amd_ibpb, 0x80000008, 0, EBX, 12, 0)                            \
	X(amd_ibrs, 0x80000008, 0, EBX, 14, 0)                            \
	X(amd_stibp, 0x80000008, 0, EBX, 15, 0, GUEST_amd_ibrs)           \
	X(amd_ibrs_always, 0x80000008, 0, EBX, 16, 0, GUEST_amd_ibrs)     \
	X(amd_stibp_always, 0x80000008, 0, EBX, 17, 0, GUEST_amd_stibp)   \
	X(amd_ibrs_preferred, 0x80000008, 0, EBX, 18, 0, GUEST_amd_ibrs)  \
	X(amd_ibrs_same_mode, 0x80000008, 0, EBX, 19, 0, GUEST_amd_ibrs)  \
	X(amd_ssbd, 0x80000008, 0, EBX, 24, 0, GUEST_amd_ibrs)            \
	X(amd_psfd, 0x80000008, 0, EBX, 28, 0, GUEST_amd_ibrs)            \
	X(perfmon_v2, 0x80000022, 0, EAX, 0, 0, GUEST_perfctr_core)

enum guest_feature {
	GUEST_none,
#define X(name, ...) GUEST_##name,
	GUEST_FEATURES(X)
#undef X
	GUEST_FEATURE_COUNT,
};

enum { FEATURE_NEEDS = 2 };

/* A row of the table; @reg is 0 to 3: EAX to EDX. */
struct guest_feature_row {
	const char *name; /* as in socle.conf */
	uint32_t leaf;
	uint8_t subleaf, reg, bit;
	uint8_t flags;		      /* enum guest_feature_flags */
	uint8_t needs[FEATURE_NEEDS]; /* enum guest_feature; GUEST_none: no more */
};

/* By enum guest_feature; the first row, GUEST_none, is empty. */
extern const struct guest_feature_row guest_features[GUEST_FEATURE_COUNT];

_Static_assert((unsigned)GUEST_FEATURE_COUNT <= 64 * VM_CPU_WORDS, "sets have a bit for each");

static inline bool cpu_model_has(const struct vm_cpu *m, enum guest_feature f)
{
	return m->feature[f / 64] >> f % 64 & 1;
}

/* All features that this machine can give a guest. After vendor_probe() and cpu_on. */
void cpu_model_host(struct vm_cpu *m);

/* Those of the model `host`: the same, but for what guests get only on request. */
void cpu_model_default(struct vm_cpu *m);

/* Those of the model `baseline`, whether this machine has them or not. */
void cpu_model_baseline(struct vm_cpu *m);

/* Puts @f into the set, with all that it needs. */
void cpu_model_add(struct vm_cpu *m, enum guest_feature f);

/* Takes @f out of the set, with all that needs it. */
void cpu_model_drop(struct vm_cpu *m, enum guest_feature f);

/* True if @f needs @other, itself or through others, or is @other. */
bool cpu_feature_needs(enum guest_feature f, enum guest_feature other);

/* The feature of that name; GUEST_none if there is none. */
enum guest_feature cpu_feature_find(const char *name, size_t len);

/* No guest can have @f on this machine although its CPU has it. Called by vendors, at boot. */
void cpu_model_withhold(enum guest_feature f);

/* This CPU has a fault there: guests get @f, and what needs it, only by +NAME. At boot. */
void cpu_model_only_on_request(enum guest_feature f);

/* What of @m register @reg (0 to 3) of a leaf holds. */
uint32_t cpu_model_bits(const struct vm_cpu *m, uint32_t leaf, uint32_t subleaf, unsigned reg);

/* User state components (bits of XCR0) that @m comes with, as far as this machine has them. */
uint64_t cpu_model_xcr0(const struct vm_cpu *m);

/* Likewise supervisor state components (bits of IA32_XSS). */
uint64_t cpu_model_xss(const struct vm_cpu *m);

/* Bits of CR4 that a guest with @m may set. */
uint64_t cpu_model_cr4(const struct vm_cpu *m);

#endif
