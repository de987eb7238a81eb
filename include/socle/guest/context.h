/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers that stay in the CPU until another vCPU takes it: FPU and vector state, XCR0, DR0-3. */
#ifndef SOCLE_GUEST_CONTEXT_H
#define SOCLE_GUEST_CONTEXT_H

#include "socle/guest/vcpu.h"
#include "socle/status.h"

/* Finds out how much there is to save, and turns XSAVE on for us. Once per CPU. */
void context_cpu_on(void);

/*
 * Once, after context_cpu_on() on the boot CPU: has guests get XSAVEC and XSAVES only on request if
 * they have a fault (xsavec_trial.c).
 */
void xsavec_trial(void);

/* Gives @v its save area. Returns -S_NOMEM. */
status_t __must_check context_create(struct x86_vcpu *v);

/* Makes @v's registers those in the CPU, saving the former owner's. */
void context_load(struct x86_vcpu *v);

/* Takes them out of this CPU, if they are there: another CPU may load them then. */
void context_release(struct x86_vcpu *v);

/* PKRU of the vCPU whose registers are in this CPU, and that has protection keys. */
uint32_t context_pkru(void);

/* Sets @v's IA32_XSS, also in the CPU if its registers are there. @xss: bits of its cpuid->xss. */
void context_set_xss(struct x86_vcpu *v, uint64_t xss);

/* Resets what an INIT does of these registers: IA32_XSS, DR0 to DR3 (SDM vol. 3, table 10-1). */
void context_init(struct x86_vcpu *v);

/* Sets the power-on values and drops what the CPU may hold of @v. */
void context_reset(struct x86_vcpu *v);

#endif
