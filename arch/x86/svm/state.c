/* SPDX-License-Identifier: BSD-2-Clause */
/* Moves guest registers between the VMCB and the register cache, and prints the VMCB. */
#include "socle/cpu/regs.h"
#include "socle/report.h"
#include "svm.h"
#include "svm_insn.h"

static void load_segments(struct svm_vcpu *s)
{
	struct x86_state *st = &s->x.state;
	struct vmcb *c = s->vmcb;

	/* FS, GS, LDTR and TR are still in the CPU while the guest's turn lasts. */
	if (s->loaded)
		vmsave(s->vmcb_pa);
	st->seg[SEG_ES] = c->es;
	st->seg[SEG_CS] = c->cs;
	st->seg[SEG_SS] = c->ss;
	st->seg[SEG_DS] = c->ds;
	st->seg[SEG_FS] = c->fs;
	st->seg[SEG_GS] = c->gs;
	st->seg[SEG_LDTR] = c->ldtr;
	st->seg[SEG_TR] = c->tr;
	st->gdtr = (struct x86_table){c->gdtr.base, c->gdtr.limit};
	st->idtr = (struct x86_table){c->idtr.base, c->idtr.limit};
	st->cpl = c->cpl;
}

void svm_load(struct x86_vcpu *v, uint32_t groups)
{
	struct svm_vcpu *s = svm_vcpu(v);
	struct x86_state *st = &v->state;
	struct vmcb *c = s->vmcb;

	if (groups & X86_RIP)
		st->rip = c->rip;
	if (groups & X86_RSP)
		st->gpr[GPR_RSP] = c->rsp;
	if (groups & X86_RFLAGS)
		st->rflags = c->rflags;
	if (groups & X86_CR) {
		st->cr0 = c->cr0;
		st->cr2 = c->cr2;
		st->cr3 = c->cr3;
		st->cr4 = c->cr4;
		st->efer = c->efer & ~(uint64_t)EFER_SVME;
	}
	if (groups & X86_DR) {
		st->dr6 = c->dr6;
		st->dr7 = c->dr7;
		st->debugctl = c->dbgctl;
	}
	if (groups & X86_SEG)
		load_segments(s);
}

static void write_segments(struct svm_vcpu *s)
{
	const struct x86_state *st = &s->x.state;
	struct vmcb *c = s->vmcb;

	/* The rest of what VMLOAD takes must not be older than what the CPU holds. */
	if (s->loaded)
		vmsave(s->vmcb_pa);
	c->es = st->seg[SEG_ES];
	c->cs = st->seg[SEG_CS];
	c->ss = st->seg[SEG_SS];
	c->ds = st->seg[SEG_DS];
	c->fs = st->seg[SEG_FS];
	c->gs = st->seg[SEG_GS];
	c->ldtr = st->seg[SEG_LDTR];
	c->tr = st->seg[SEG_TR];
	c->gdtr.base = st->gdtr.base;
	c->gdtr.limit = st->gdtr.limit;
	c->idtr.base = st->idtr.base;
	c->idtr.limit = st->idtr.limit;
	c->cpl = st->cpl;
	if (s->loaded)
		vmload(s->vmcb_pa);
	svm_touch(c, CLEAN_SEG | CLEAN_TABLES);
}

void svm_write_back(struct svm_vcpu *s)
{
	const struct x86_state *st = &s->x.state;
	uint32_t groups = s->x.dirty;
	struct vmcb *c = s->vmcb;

	s->x.dirty = 0;
	if (groups & X86_RIP)
		c->rip = st->rip;
	if (groups & X86_RSP)
		c->rsp = st->gpr[GPR_RSP];
	if (groups & X86_RFLAGS)
		c->rflags = st->rflags | RFLAGS_FIXED;
	if (groups & X86_CR) {
		c->cr0 = st->cr0 | CR0_ET;
		c->cr2 = st->cr2;
		c->cr3 = st->cr3;
		c->cr4 = st->cr4;
		c->efer = st->efer | EFER_SVME;
		svm_touch(c, CLEAN_CR | CLEAN_CR2);
		if (s->loaded)
			cr2_write(st->cr2); /* see svm_run() */
	}
	if (groups & X86_DR) {
		c->dr6 = st->dr6;
		c->dr7 = st->dr7;
		svm_touch(c, CLEAN_DR);
		if (st->debugctl != c->dbgctl)
			svm_lbr_set_debugctl(s, st->debugctl);
	}
	if (groups & X86_SEG)
		write_segments(s);
}

static void dump_segment(const char *name, const struct x86_segment *seg)
{
	log_error("  %s %04x attr %03x limit %08x base %016llx", name, seg->selector, seg->attr,
		  seg->limit, (unsigned long long)seg->base);
}

void svm_dump(struct x86_vcpu *v)
{
	const struct svm_vcpu *s = svm_vcpu(v);
	const struct vmcb *c = s->vmcb;

	log_error("  exit %#llx info1 %#llx info2 %#llx intinfo %#llx inject %#llx",
		  (unsigned long long)c->exit_code, (unsigned long long)c->exit_info1,
		  (unsigned long long)c->exit_info2, (unsigned long long)c->exit_int_info,
		  (unsigned long long)c->event_inj);
	log_error("  rip %016llx rsp %016llx rflags %08llx cpl %u", (unsigned long long)c->rip,
		  (unsigned long long)c->rsp, (unsigned long long)c->rflags, c->cpl);
	log_error("  cr0 %08llx cr2 %016llx cr3 %016llx cr4 %08llx efer %04llx",
		  (unsigned long long)c->cr0, (unsigned long long)c->cr2,
		  (unsigned long long)c->cr3, (unsigned long long)c->cr4,
		  (unsigned long long)c->efer);
	log_error("  dr6 %08llx dr7 %08llx intctl %llx intstate %llx asid %u",
		  (unsigned long long)c->dr6, (unsigned long long)c->dr7,
		  (unsigned long long)c->int_ctl, (unsigned long long)c->int_state, c->asid);
	log_error("  lbr control %llx debugctl %llx branch %016llx to %016llx, exception %016llx "
		  "to %016llx",
		  (unsigned long long)c->lbr_control, (unsigned long long)c->dbgctl,
		  (unsigned long long)c->br_from, (unsigned long long)c->br_to,
		  (unsigned long long)c->last_excp_from, (unsigned long long)c->last_excp_to);
	log_error("  s_cet %llx ssp %016llx interrupt ssp table %016llx",
		  (unsigned long long)c->s_cet, (unsigned long long)c->ssp,
		  (unsigned long long)c->isst);
	dump_segment("cs", &c->cs);
	dump_segment("ss", &c->ss);
	dump_segment("ds", &c->ds);
	dump_segment("tr", &c->tr);
	for (unsigned i = 0; i < GPR_COUNT; i += 4)
		log_error("  r%u %016llx %016llx %016llx %016llx", i,
			  (unsigned long long)v->state.gpr[i],
			  (unsigned long long)v->state.gpr[i + 1],
			  (unsigned long long)v->state.gpr[i + 2],
			  (unsigned long long)v->state.gpr[i + 3]);
}
