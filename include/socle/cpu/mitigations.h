/* SPDX-License-Identifier: BSD-2-Clause */
/* What is done against leaks by speculation: for the hypervisor itself, and between guests. */
#ifndef SOCLE_CPU_MITIGATIONS_H
#define SOCLE_CPU_MITIGATIONS_H

#include "socle/base.h"

/* IA32_SPEC_CTRL and the commands (SDM vol. 4, table 2-2; APM vol. 2, 3.2.9). */
enum spec_ctrl_bits {
	SPEC_CTRL_IBRS = BIT(0), SPEC_CTRL_STIBP = BIT(1), SPEC_CTRL_SSBD = BIT(2),
	SPEC_CTRL_IPRED_DIS = BIT(3) | BIT(4), SPEC_CTRL_RRSBA_DIS = BIT(5) | BIT(6),
	SPEC_CTRL_PSFD = BIT(7), SPEC_CTRL_DDPD = BIT(8), SPEC_CTRL_BHI_DIS = BIT(10),
};
enum pred_cmd { PRED_CMD_IBPB = BIT(0) };
enum flush_cmd { FLUSH_CMD_L1D = BIT(0) };

/* IA32_ARCH_CAPABILITIES: what a CPU need not be kept from, mostly. */
enum arch_capabilities {
	ARCH_CAP_RDCL_NO = BIT(0), ARCH_CAP_IBRS_ALL = BIT(1), ARCH_CAP_RSBA = BIT(2),
	ARCH_CAP_SKIP_L1DFL = BIT(3), ARCH_CAP_SSB_NO = BIT(4), ARCH_CAP_MDS_NO = BIT(5),
	ARCH_CAP_PSCHANGE_MC_NO = BIT(6), ARCH_CAP_TAA_NO = BIT(8),
	ARCH_CAP_SBDR_SSDP_NO = BIT(13), ARCH_CAP_FBSDP_NO = BIT(14), ARCH_CAP_PSDP_NO = BIT(15),
	ARCH_CAP_FB_CLEAR = BIT(17), ARCH_CAP_RRSBA = BIT(19), ARCH_CAP_BHI_NO = BIT(20),
	ARCH_CAP_PBRSB_NO = BIT(24), ARCH_CAP_GDS_NO = BIT(26), ARCH_CAP_RFDS_NO = BIT(27),
	ARCH_CAP_RFDS_CLEAR = BIT(28),
};

/* Filled on the boot CPU by mitigations_cpu_on(), then read-only. */
struct mitigations {
	uint64_t spec_ctrl;	    /* IA32_SPEC_CTRL while we run; 0 also where there is none */
	uint64_t spec_ctrl_takes;   /* its bits that this CPU keeps; 0: no such register */
	uint64_t arch_capabilities; /* IA32_ARCH_CAPABILITIES; 0: no such register */
	bool auto_ibrs;		    /* EFER does for us what IBRS would */
	/* When a CPU goes from one guest to another: */
	bool ibpb;	    /* nothing that one trained predicts the other's branches */
	bool flush_l1d;	    /* nothing that one loaded is in the first-level cache */
	bool clear_buffers; /* nor in the buffers that VERW overwrites */
};
extern struct mitigations mitigations;

/* None of it, as the administrator wishes. Set before mitigations_cpu_on(). */
extern bool mitigations_off;

/*
 * Turns on what works for us all the time. Once on each CPU, the boot CPU first, which also probes;
 * before any guest runs, and with exceptions handled.
 */
void mitigations_cpu_on(void);

/*
 * This CPU is about to run guest @number, a number that no other guest ever has: if another's ran
 * here last, however long ago, what that left in the CPU goes. Interrupts off.
 */
void mitigations_before_guest(unsigned number);

/* What is on, for people, as the log has it: formatted into the @size bytes at @text. */
void mitigations_text(char *text, size_t size);

#endif
