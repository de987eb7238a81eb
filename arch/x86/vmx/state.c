/* SPDX-License-Identifier: BSD-2-Clause */
/* Moves guest registers between the VMCS and the register cache, and prints the VMCS. */
#include "socle/cpu/regs.h"
#include "socle/report.h"
#include "vmx.h"
#include "vmx_insn.h"

/* The upper four attributes lie elsewhere than in enum x86_seg_attr (SDM vol. 3, 25.4.1). */
enum { ATTR_LOW = 0xff, ATTR_HIGH = 0xf00, HIGH_SHIFT = 4 };

static struct x86_segment read_segment(enum x86_seg n)
{
	unsigned at = n * VMCS_SEGMENT_STEP;
	uint32_t access = vmread(VMCS_GUEST_ES_ACCESS + at);

	return (struct x86_segment){
		.selector = vmread(VMCS_GUEST_ES_SELECTOR + at),
		/* An unusable segment is one that is not present. */
		.attr = ((access & ATTR_LOW) | (access >> HIGH_SHIFT & ATTR_HIGH)) &
			~(access & ACCESS_UNUSABLE ? (uint32_t)SEG_ATTR_P : 0),
		.limit = vmread(VMCS_GUEST_ES_LIMIT + at),
		.base = vmread(VMCS_GUEST_ES_BASE + at),
	};
}

static void write_segment(enum x86_seg n, const struct x86_segment *seg)
{
	unsigned at = n * VMCS_SEGMENT_STEP;
	uint32_t access = (seg->attr & ATTR_LOW) | (seg->attr & ATTR_HIGH) << HIGH_SHIFT;

	if (!(seg->attr & SEG_ATTR_P))
		access |= ACCESS_UNUSABLE;
	vmwrite(VMCS_GUEST_ES_ACCESS + at, access);
	vmwrite(VMCS_GUEST_ES_SELECTOR + at, seg->selector);
	vmwrite(VMCS_GUEST_ES_LIMIT + at, seg->limit);
	vmwrite(VMCS_GUEST_ES_BASE + at, seg->base);
}

static void load_segments(struct x86_state *st)
{
	for (unsigned i = 0; i < SEG_COUNT; i++)
		st->seg[i] = read_segment(i);
	st->gdtr.base = vmread(VMCS_GUEST_GDTR_BASE);
	st->gdtr.limit = vmread(VMCS_GUEST_GDTR_LIMIT);
	st->idtr.base = vmread(VMCS_GUEST_IDTR_BASE);
	st->idtr.limit = vmread(VMCS_GUEST_IDTR_LIMIT);
	/* The DPL of SS is the CPL, whatever else SS is (SDM vol. 3, 25.4.1). */
	st->cpl = (st->seg[SEG_SS].attr & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT;
}

static void write_segments(struct x86_state *st)
{
	struct x86_segment *ss = &st->seg[SEG_SS];

	ss->attr = (ss->attr & ~SEG_ATTR_DPL) | st->cpl << SEG_ATTR_DPL_SHIFT;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		write_segment(i, &st->seg[i]);
	vmwrite(VMCS_GUEST_GDTR_BASE, st->gdtr.base);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, st->gdtr.limit);
	vmwrite(VMCS_GUEST_IDTR_BASE, st->idtr.base);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, st->idtr.limit);
}

/* A masked bit is what the guest last wrote; the others are the CPU's. */
static uint64_t merge(enum vmcs_field real, enum vmcs_field shadow, uint64_t owned)
{
	return (vmread(real) & ~owned) | (vmread(shadow) & owned);
}

static void load_control(struct vmx_vcpu *s)
{
	struct x86_state *st = &s->x.state;

	st->cr0 = merge(VMCS_GUEST_CR0, VMCS_CR0_SHADOW, VMX_CR0_HOST_OWNED);
	st->cr3 = vmread(VMCS_GUEST_CR3);
	st->cr4 = merge(VMCS_GUEST_CR4, VMCS_CR4_SHADOW, vmread(VMCS_CR4_MASK));
	st->efer = vmread(VMCS_GUEST_EFER);
	st->cr2 = vmx_is_resident(s) ? cr2_read() : s->cr2;
}

static void write_control(struct vmx_vcpu *s)
{
	const struct x86_state *st = &s->x.state;
	uint64_t real0 = vmx_real_cr0(st->cr0), real4 = vmx_real_cr4(st->cr4);
	bool moved = st->cr3 != vmread(VMCS_GUEST_CR3) || real0 != vmread(VMCS_GUEST_CR0) ||
		     real4 != vmread(VMCS_GUEST_CR4);

	if (vmx_is_resident(s))
		cr2_write(st->cr2);
	else
		s->cr2 = st->cr2;
	vmwrite(VMCS_CR0_SHADOW, st->cr0);
	vmwrite(VMCS_CR4_SHADOW, st->cr4);
	vmwrite(VMCS_GUEST_EFER, st->efer);
	vmwrite(VMCS_ENTRY_CONTROLS, s->entry | (st->efer & EFER_LMA ? ENTRYCTL_IA32E : 0));
	if (!moved)
		return;
	vmwrite(VMCS_GUEST_CR0, real0);
	vmwrite(VMCS_GUEST_CR3, st->cr3);
	vmwrite(VMCS_GUEST_CR4, real4);
	/* Whoever changed these has checked them; else the entry says what is wrong. */
	if ((st->cr0 & CR0_PG) && (st->cr4 & CR4_PAE) && !(st->efer & EFER_LMA))
		(void)!vmx_load_pdptes(s);
}

void vmx_load(struct x86_vcpu *v, uint32_t groups)
{
	struct vmx_vcpu *s = vmx_vcpu(v);
	struct x86_state *st = &v->state;

	vmx_make_current(s);
	if (groups & X86_RIP)
		st->rip = vmread(VMCS_GUEST_RIP);
	if (groups & X86_RSP)
		st->gpr[GPR_RSP] = vmread(VMCS_GUEST_RSP);
	if (groups & X86_RFLAGS)
		st->rflags = vmread(VMCS_GUEST_RFLAGS);
	if (groups & X86_CR)
		load_control(s);
	if (groups & X86_DR) {
		st->dr6 = vmx_is_resident(s) ? dr6_read() : s->dr6;
		st->dr7 = vmread(VMCS_GUEST_DR7);
		st->debugctl = vmread(VMCS_GUEST_DEBUGCTL);
	}
	if (groups & X86_SEG)
		load_segments(st);
}

void vmx_write_back(struct vmx_vcpu *s)
{
	struct x86_state *st = &s->x.state;
	uint32_t groups = s->x.dirty;

	s->x.dirty = 0;
	if (groups & X86_RIP)
		vmwrite(VMCS_GUEST_RIP, st->rip);
	if (groups & X86_RSP)
		vmwrite(VMCS_GUEST_RSP, st->gpr[GPR_RSP]);
	if (groups & X86_RFLAGS)
		vmwrite(VMCS_GUEST_RFLAGS, st->rflags | RFLAGS_FIXED);
	if (groups & X86_CR)
		write_control(s);
	if (groups & X86_DR) {
		s->dr6 = st->dr6;
		if (vmx_is_resident(s))
			dr6_write(st->dr6);
		vmwrite(VMCS_GUEST_DR7, st->dr7);
		if (st->debugctl != vmread(VMCS_GUEST_DEBUGCTL))
			vmx_lbr_set_debugctl(s, st->debugctl);
	}
	if (groups & X86_SEG)
		write_segments(st);
}

static void dump_segment(const char *name, enum x86_seg n)
{
	struct x86_segment seg = read_segment(n);

	log_error("  %s %04x attr %03x limit %08x base %016llx", name, seg.selector, seg.attr,
		  seg.limit, (unsigned long long)seg.base);
}

static unsigned long long field(enum vmcs_field f)
{
	return vmread(f);
}

void vmx_dump(struct x86_vcpu *v)
{
	vmx_make_current(vmx_vcpu(v));
	log_error("  exit %#llx qualification %#llx gpa %#llx vectoring %#llx inject %#llx",
		  field(VMCS_EXIT_REASON), field(VMCS_EXIT_QUALIFICATION),
		  field(VMCS_GUEST_PHYSICAL_ADDRESS), field(VMCS_IDT_VECTORING_INFO),
		  field(VMCS_ENTRY_INTR_INFO));
	log_error("  rip %016llx rsp %016llx rflags %08llx", field(VMCS_GUEST_RIP),
		  field(VMCS_GUEST_RSP), field(VMCS_GUEST_RFLAGS));
	log_error("  cr0 %08llx (guest %08llx) cr3 %016llx cr4 %08llx (guest %08llx) efer %04llx",
		  field(VMCS_GUEST_CR0), field(VMCS_CR0_SHADOW), field(VMCS_GUEST_CR3),
		  field(VMCS_GUEST_CR4), field(VMCS_CR4_SHADOW), field(VMCS_GUEST_EFER));
	log_error("  dr7 %08llx pending debug %llx interruptibility %llx activity %llx",
		  field(VMCS_GUEST_DR7), field(VMCS_GUEST_PENDING_DEBUG),
		  field(VMCS_GUEST_INTERRUPTIBILITY), field(VMCS_GUEST_ACTIVITY));
	log_error("  pin %08llx primary %08llx secondary %08llx exit %08llx entry %08llx",
		  field(VMCS_PIN_CONTROLS), field(VMCS_PRIMARY_CONTROLS),
		  field(VMCS_SECONDARY_CONTROLS), field(VMCS_EXIT_CONTROLS),
		  field(VMCS_ENTRY_CONTROLS));
	log_error("  debugctl %llx lbr control %llx, records are %s", field(VMCS_GUEST_DEBUGCTL),
		  vmx_caps.entry & ENTRYCTL_LOAD_LBR ? field(VMCS_GUEST_LBR_CTL) : 0,
		  vmx_vcpu(v)->lbr.on ? "direct" : "kept");
	if (vmx_caps.cet)
		log_error("  s_cet %llx ssp %016llx interrupt ssp table %016llx",
			  field(VMCS_GUEST_S_CET), field(VMCS_GUEST_SSP), field(VMCS_GUEST_ISST));
	dump_segment("cs", SEG_CS);
	dump_segment("ss", SEG_SS);
	dump_segment("ds", SEG_DS);
	dump_segment("tr", SEG_TR);
	for (unsigned i = 0; i < GPR_COUNT; i += 4)
		log_error("  r%u %016llx %016llx %016llx %016llx", i,
			  (unsigned long long)v->state.gpr[i],
			  (unsigned long long)v->state.gpr[i + 1],
			  (unsigned long long)v->state.gpr[i + 2],
			  (unsigned long long)v->state.gpr[i + 3]);
}
