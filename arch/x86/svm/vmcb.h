/* SPDX-License-Identifier: BSD-2-Clause */
/* The virtual machine control block and its encodings (APM vol. 2, appendices B and C). */
#ifndef SOCLE_SVM_VMCB_H
#define SOCLE_SVM_VMCB_H

#include "socle/base.h"
#include "socle/guest/state.h"

/* Intercepts of vector 3, offset 0x0c (APM vol. 2, table B-1). */
enum svm_intercept3 {
	INTERCEPT_INTR = BIT(0), INTERCEPT_NMI = BIT(1), INTERCEPT_SMI = BIT(2),
	INTERCEPT_INIT = BIT(3), INTERCEPT_VINTR = BIT(4), INTERCEPT_CR0_SEL = BIT(5),
	INTERCEPT_RDTSC = BIT(14), INTERCEPT_RDPMC = BIT(15), INTERCEPT_CPUID = BIT(18),
	INTERCEPT_RSM = BIT(19), INTERCEPT_IRET = BIT(20), INTERCEPT_INTN = BIT(21),
	INTERCEPT_INVD = BIT(22), INTERCEPT_PAUSE = BIT(23), INTERCEPT_HLT = BIT(24),
	INTERCEPT_INVLPG = BIT(25), INTERCEPT_INVLPGA = BIT(26), INTERCEPT_IOIO = BIT(27),
	INTERCEPT_MSR = BIT(28), INTERCEPT_TASK_SWITCH = BIT(29), INTERCEPT_FERR = BIT(30),
};
#define INTERCEPT_SHUTDOWN BIT(31)

/* Intercepts of vector 4, offset 0x10. */
enum svm_intercept4 {
	INTERCEPT_VMRUN = BIT(0), INTERCEPT_VMMCALL = BIT(1), INTERCEPT_VMLOAD = BIT(2),
	INTERCEPT_VMSAVE = BIT(3), INTERCEPT_STGI = BIT(4), INTERCEPT_CLGI = BIT(5),
	INTERCEPT_SKINIT = BIT(6), INTERCEPT_RDTSCP = BIT(7), INTERCEPT_ICEBP = BIT(8),
	INTERCEPT_WBINVD = BIT(9), INTERCEPT_MONITOR = BIT(10), INTERCEPT_MWAIT = BIT(11),
	INTERCEPT_MWAIT_ARMED = BIT(12), INTERCEPT_XSETBV = BIT(13), INTERCEPT_RDPRU = BIT(14),
};

/* Exit codes (APM vol. 2, appendix C). 64 bits wide. */
enum svm_exit_code {
	SVM_EXIT_CR0_READ = 0x00, SVM_EXIT_CR8_READ = 0x08, SVM_EXIT_CR0_WRITE = 0x10,
	SVM_EXIT_CR4_WRITE = 0x14,
	SVM_EXIT_CR8_WRITE = 0x18, SVM_EXIT_DR0_READ = 0x20, SVM_EXIT_DR0_WRITE = 0x30,
	SVM_EXIT_EXCP_BASE = 0x40, SVM_EXIT_EXCP_DB = 0x41, SVM_EXIT_EXCP_AC = 0x51,
	SVM_EXIT_EXCP_MC = 0x52, SVM_EXIT_INTR = 0x60, SVM_EXIT_NMI = 0x61, SVM_EXIT_SMI = 0x62,
	SVM_EXIT_INIT = 0x63, SVM_EXIT_VINTR = 0x64, SVM_EXIT_CR0_SEL = 0x65,
	SVM_EXIT_RDTSC = 0x6e, SVM_EXIT_RDPMC = 0x6f, SVM_EXIT_CPUID = 0x72, SVM_EXIT_RSM = 0x73,
	SVM_EXIT_IRET = 0x74, SVM_EXIT_INTN = 0x75, SVM_EXIT_INVD = 0x76, SVM_EXIT_PAUSE = 0x77,
	SVM_EXIT_HLT = 0x78, SVM_EXIT_INVLPG = 0x79, SVM_EXIT_INVLPGA = 0x7a,
	SVM_EXIT_IOIO = 0x7b, SVM_EXIT_MSR = 0x7c, SVM_EXIT_TASK_SWITCH = 0x7d,
	SVM_EXIT_FERR = 0x7e, SVM_EXIT_SHUTDOWN = 0x7f, SVM_EXIT_VMRUN = 0x80,
	SVM_EXIT_VMMCALL = 0x81, SVM_EXIT_VMLOAD = 0x82, SVM_EXIT_VMSAVE = 0x83,
	SVM_EXIT_STGI = 0x84, SVM_EXIT_CLGI = 0x85, SVM_EXIT_SKINIT = 0x86,
	SVM_EXIT_RDTSCP = 0x87, SVM_EXIT_ICEBP = 0x88, SVM_EXIT_WBINVD = 0x89,
	SVM_EXIT_MONITOR = 0x8a, SVM_EXIT_MWAIT = 0x8b, SVM_EXIT_MWAIT_ARMED = 0x8c,
	SVM_EXIT_XSETBV = 0x8d, SVM_EXIT_RDPRU = 0x8e, SVM_EXIT_CODES = 0xa8, SVM_EXIT_NPF = 0x400,
};
#define SVM_EXIT_INVALID UINT64_MAX

/* int_ctl, offset 0x60. */
enum svm_int_ctl {
	V_TPR = 0xff, V_IRQ = BIT(8), V_GIF = BIT(9), V_IGN_TPR = BIT(20),
	V_INTR_MASKING = BIT(24), V_GIF_ENABLE = BIT(25),
};
#define V_PRIO_MAX (0xfull << 16)

/* EVENTINJ and EXITINTINFO (APM vol. 2, 15.20): type in bits 10:8. */
enum svm_event {
	SVM_EVENT_VECTOR = 0xff, SVM_EVENT_TYPE_SHIFT = 8, SVM_EVENT_TYPE = 7 << 8,
	SVM_EVENT_HAS_ERROR = BIT(11),
	SVM_TYPE_INTR = 0, SVM_TYPE_NMI = 2, SVM_TYPE_EXCEPTION = 3, SVM_TYPE_SOFT = 4,
};
#define SVM_EVENT_VALID BIT(31)

enum svm_tlb_control { TLB_KEEP = 0, TLB_FLUSH_ALL = 1, TLB_FLUSH_ASID = 3 };

/* Clean bits, offset 0xc0 (APM vol. 2, 15.15.3). */
enum svm_clean {
	CLEAN_INTERCEPTS = BIT(0), CLEAN_PERMISSIONS = BIT(1), CLEAN_ASID = BIT(2),
	CLEAN_INT = BIT(3), CLEAN_NP = BIT(4), CLEAN_CR = BIT(5), CLEAN_DR = BIT(6),
	CLEAN_TABLES = BIT(7), CLEAN_SEG = BIT(8), CLEAN_CR2 = BIT(9), CLEAN_LBR = BIT(10),
	CLEAN_AVIC = BIT(11), CLEAN_CET = BIT(12),
	CLEAN_ALL = MASK(12, 0),
};

/* Decode assists: EXITINFO1 of MOV CR, and the number of instruction bytes (APM vol. 2, 15.8). */
enum svm_assists { CR_INFO_GPR = 0xf, INSN_LEN = 0xf };
#define CR_INFO_VALID BIT(63)

/* IOIO EXITINFO1 (APM vol. 2, 15.10.2). */
enum svm_ioio {
	IOIO_IN = BIT(0), IOIO_STRING = BIT(2), IOIO_REP = BIT(3), IOIO_SIZE_SHIFT = 4,
	IOIO_PORT_SHIFT = 16,
};

/* NPF EXITINFO1 (APM vol. 2, 15.25.6). */
enum svm_npf { NPF_P = BIT(0), NPF_WRITE = BIT(1), NPF_FETCH = BIT(4) };
#define NPF_FINAL BIT(32)
#define NPF_TABLE BIT(33)

enum svm_np_control { NP_ENABLE = BIT(0) };
enum svm_lbr_control { LBR_CONTROL_ENABLE = BIT(0) };
enum svm_int_state { INT_SHADOW = BIT(0) };

struct vmcb {
	/* Control area. */
	uint32_t intercept_cr;	/* 000: reads 15:0, writes 31:16 */
	uint32_t intercept_dr;	/* 004 */
	uint32_t intercept_exc; /* 008: by vector */
	uint32_t intercept3;	/* 00c: enum svm_intercept3 */
	uint32_t intercept4;	/* 010: enum svm_intercept4 */
	uint32_t intercept5;	/* 014 */
	uint8_t reserved018[0x24];
	uint16_t pause_threshold; /* 03c */
	uint16_t pause_count;	  /* 03e */
	uint64_t iopm_pa;	  /* 040 */
	uint64_t msrpm_pa;	  /* 048 */
	uint64_t tsc_offset;	  /* 050 */
	uint32_t asid;		  /* 058 */
	uint32_t tlb_control;	  /* 05c: enum svm_tlb_control */
	uint64_t int_ctl;	  /* 060: enum svm_int_ctl; vector in 39:32 */
	uint64_t int_state;	  /* 068: enum svm_int_state */
	uint64_t exit_code;	  /* 070: one 64-bit value */
	uint64_t exit_info1;	  /* 078 */
	uint64_t exit_info2;	  /* 080 */
	uint64_t exit_int_info;	  /* 088: enum svm_event, error code in 63:32 */
	uint64_t np_control;	  /* 090: enum svm_np_control */
	uint64_t avic_bar;	  /* 098 */
	uint64_t ghcb;		  /* 0a0 */
	uint64_t event_inj;	  /* 0a8: enum svm_event, error code in 63:32 */
	uint64_t ncr3;		  /* 0b0 */
	uint64_t lbr_control;	  /* 0b8: enum svm_lbr_control */
	uint64_t clean;		  /* 0c0: enum svm_clean */
	uint64_t next_rip;	  /* 0c8 */
	uint8_t insn_len;	  /* 0d0 */
	uint8_t insn[15];	  /* 0d1 */
	uint8_t reserved0e0[0x320];
	/* State save area, from 0x400. */
	struct x86_segment es, cs, ss, ds, fs, gs; /* 400 */
	struct x86_segment gdtr, ldtr, idtr, tr;   /* 460 */
	uint8_t reserved4a0[0x2b];
	uint8_t cpl; /* 4cb */
	uint32_t reserved4cc;
	uint64_t efer; /* 4d0 */
	uint8_t reserved4d8[0x70];
	uint64_t cr4, cr3, cr0; /* 548 */
	uint64_t dr7, dr6;	/* 560 */
	uint64_t rflags, rip;	/* 570 */
	uint8_t reserved580[0x58];
	uint64_t rsp;					     /* 5d8 */
	uint64_t s_cet, ssp, isst;			     /* 5e0 */
	uint64_t rax;					     /* 5f8 */
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base; /* 600 */
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;    /* 628 */
	uint64_t cr2;					     /* 640 */
	uint8_t reserved648[0x20];
	uint64_t g_pat;						       /* 668 */
	uint64_t dbgctl, br_from, br_to, last_excp_from, last_excp_to; /* 670 */
	uint8_t reserved698[0x48];
	uint64_t spec_ctrl; /* 6e0 */
	uint8_t reserved6e8[0x918];
};
_Static_assert(offsetof(struct vmcb, iopm_pa) == 0x40, "VMCB");
_Static_assert(offsetof(struct vmcb, asid) == 0x58, "VMCB");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "VMCB");
_Static_assert(offsetof(struct vmcb, event_inj) == 0xa8, "VMCB");
_Static_assert(offsetof(struct vmcb, next_rip) == 0xc8, "VMCB");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "VMCB");
_Static_assert(offsetof(struct vmcb, tr) == 0x490, "VMCB");
_Static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "VMCB");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "VMCB");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "VMCB");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "VMCB");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "VMCB");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "VMCB");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "VMCB");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "VMCB");
_Static_assert(offsetof(struct vmcb, last_excp_to) == 0x690, "VMCB");
_Static_assert(offsetof(struct vmcb, spec_ctrl) == 0x6e0, "VMCB");
_Static_assert(sizeof(struct vmcb) == 4096, "VMCB");
_Static_assert(sizeof(struct x86_segment) == 16, "segments are copied from and to the VMCB");

#endif
