/* SPDX-License-Identifier: BSD-2-Clause */
/* The model of VMRUN and #VMEXIT: what is switched, and what a CPU remembers of a VMCB. */
#ifndef TESTS_MODEL_SVM_H
#define TESTS_MODEL_SVM_H

#include "cpu.h"
#include "../../arch/x86/svm/svm.h"
#include "../../arch/x86/svm/svm_insn.h"

/* Of the CPU beside struct model_cpu. */
static struct model_svm {
	const struct vmcb *cached; /* whose fields are in @copy: the one that ran last */
	struct vmcb copy;
	struct model_cpu host; /* the host save area: what VMRUN put away */
	bool lbr;	       /* the control was set at VMRUN */
	const uint8_t *msrpm;  /* in use */
} model_svms[MODEL_CPUS];

static struct model_svm *model_svm(void)
{
	return &model_svms[cpu_index()];
}

/*
 * APM vol. 2, 15.15.3: fields under a clean bit may come from what the CPU remembers, if the same
 * VMCB ran there last. This CPU remembers all it may.
 */
static void model_fetch(struct model_svm *m, const struct vmcb *c)
{
	static const struct {
		uint32_t bit;
		size_t offset, size;
	} groups[] = {
#define GROUP(bit, first, last)               \
	{                                     \
		bit, offsetof(struct vmcb, first), \
			offsetof(struct vmcb, last) + 8 - offsetof(struct vmcb, first) \
	}
		GROUP(CLEAN_PERMISSIONS, iopm_pa, msrpm_pa),
		GROUP(CLEAN_LBR, dbgctl, last_excp_to),
		GROUP(CLEAN_CET, s_cet, isst),
#undef GROUP
	};
	bool same = m->cached == c;

	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++)
		if (!same || !(c->clean & groups[i].bit))
			memcpy((uint8_t *)&m->copy + groups[i].offset,
			       (const uint8_t *)c + groups[i].offset, groups[i].size);
	/* Never remembered. */
	m->copy.lbr_control = c->lbr_control;
	m->cached = c;
}

/* 15.5.1 and 15.23.1. The caller is the host, on this CPU. */
static void model_vmrun(struct vmcb *c)
{
	struct model_svm *m = model_svm();
	struct model_cpu *cpu = model_cpu();

	assert_false(cpu->in_guest);
	model_fetch(m, c);
	m->host = *cpu;
	m->lbr = m->copy.lbr_control & LBR_CONTROL_ENABLE;
	if (m->lbr) {
		cpu->debugctl = m->copy.dbgctl;
		memcpy(cpu->last, &m->copy.br_from, sizeof(cpu->last));
	}
	/* Without a control of its own, on every CPU that has them. */
	if (modelled.cet) {
		cpu->s_cet = m->copy.s_cet;
		cpu->ssp = m->copy.ssp;
		cpu->isst = m->copy.isst;
	}
	/* Appendix B, SPEC_CTRL; not under a clean bit. */
	if (modelled.v_spec_ctrl) {
		cpu->spec_under = cpu->spec_ctrl;
		cpu->spec_ctrl = c->spec_ctrl;
	}
	m->msrpm = phys_to_virt(m->copy.msrpm_pa);
	cpu->in_guest = true;
}

static void model_vmexit(struct vmcb *c)
{
	struct model_svm *m = model_svm();
	struct model_cpu *cpu = model_cpu();

	assert_true(cpu->in_guest && m->cached == c);
	cpu->in_guest = false;
	if (modelled.v_spec_ctrl) {
		c->spec_ctrl = cpu->spec_ctrl;
		cpu->spec_ctrl = m->host.spec_ctrl;
		cpu->spec_under = 0;
	}
	if (m->lbr) {
		m->copy.dbgctl = c->dbgctl = cpu->debugctl;
		memcpy(&m->copy.br_from, cpu->last, sizeof(cpu->last));
		memcpy(&c->br_from, cpu->last, sizeof(cpu->last));
		cpu->debugctl = m->host.debugctl;
		memcpy(cpu->last, m->host.last, sizeof(cpu->last));
	}
	if (modelled.cet) {
		m->copy.s_cet = c->s_cet = cpu->s_cet;
		m->copy.ssp = c->ssp = cpu->ssp;
		m->copy.isst = c->isst = cpu->isst;
		cpu->s_cet = m->host.s_cet;
		cpu->ssp = m->host.ssp;
		cpu->isst = m->host.isst;
	}
}

/* 15.11: does this access of the guest that runs here make an exit? */
static bool model_msr_exits(uint32_t index, bool write)
{
	static const uint32_t bases[] = {0, 0xc0000000, 0xc0010000};
	const uint8_t *map = model_svm()->msrpm;

	for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
		uint32_t n = index - bases[i];

		if (n < 0x2000)
			return map[0x800 * i + n / 4] >> (n % 4 * 2 + write) & 1;
	}
	return true;
}

/* Nothing of these is modelled. */
#define vmload(pa)   ((void)(pa))
#define vmsave(pa)   ((void)(pa))
#define cr2_write(v) ((void)(v))
#define branch_to_next()                                     \
	({                                                   \
		uint64_t here_ = (uintptr_t)model_cpus;      \
		model_branch(model_cpu(), here_ - 2, here_); \
		here_;                                       \
	})

#endif
