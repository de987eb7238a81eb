/* SPDX-License-Identifier: BSD-2-Clause */
/* Last branch records of a guest: whose are in the CPU, and when they are direct. */
#include "lbr.h"
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/format.h"
#include "socle/guest/cpuid_model.h"
#include "socle/guest/lbr.h"
#include "socle/report.h"
#include "socle/string.h"
#include "vmx.h"
#include "vmx_insn.h"

/*
 * Entries load the guest's DEBUGCTL or LBR_CTL and exits turn off the CPU's (SDM vol. 3, 27.3.2.1
 * and 28.5.1), so nothing of ours is ever recorded. The records themselves stay in the CPU: they
 * change hands when a vCPU that records takes it, or leaves for another CPU. They are direct only
 * while their vCPU records. Register by register, not by XSAVES: that exists for architectural
 * ones alone, and would need their component in IA32_XSS.
 */

enum { LER_FROM = MSR_LASTBRANCHFROM + 2, LER_TO };
enum { FORMAT = 0x3f, FORMAT_TSX = 4, PERFMON_FREEZES = 2 };
enum arch_lbr_ctl { ARCH_LBR_EN = BIT(0) };

/* What this CPU has. Filled by the probe, then read-only; depth 0: nothing that is offered. */
static struct {
	struct lbr_stack stack;
	uint32_t msr[LBR_REGISTERS]; /* all registers of the stack but its depth */
	unsigned count;
	bool arch;	  /* architectural records */
	uint64_t ctl;	  /* of those: bits of the control that may be set */
	uint32_t depths;  /* likewise: bit n: depth 8 * (n + 1) may be chosen */
	bool extend_sign; /* see put_record() */
} own;

/* Whose records are in each CPU; NULL: nobody's. Only its CPU looks at it. */
static struct vmx_vcpu *holders[CPU_MAX];

/* Number in own.msr[] of @index, or own.count. */
static unsigned find(uint32_t index)
{
	unsigned i;

	for (i = 0; i < own.count && own.msr[i] != index; i++)
		;
	return i;
}

static bool in_row(uint32_t index, uint32_t first)
{
	return first && index - first < own.stack.depth;
}

/* Records beyond the chosen depth do not exist (SDM vol. 3, 19.1.2). */
static bool exists(const struct vmx_vcpu *s, uint32_t index)
{
	return !own.arch || (index & (LBR_RECORDS_MAX - 1)) < s->lbr.depth;
}

/*
 * A CPU of a format with TSX's flags in the upper bits of FROM, whose TSX is off, shows them as 0
 * and takes them only as copies of the sign (Intel's specification updates: HSD14 and the like).
 */
static void put_record(uint32_t index, uint64_t value)
{
	if (own.extend_sign && in_row(index, own.stack.from))
		value |= (value & (BIT(59) | BIT(60))) << 2;
	/* What is there must not stay, and the probe wrote zeroes. */
	if (!msr_write_ns_safe(index, value) && !msr_write_ns_safe(index, 0))
		panic("the CPU refuses its record %#x of branches", index);
}

static void save_records(struct vmx_vcpu *s)
{
	for (unsigned i = 0; i < own.count; i++)
		if (exists(s, own.msr[i]))
			s->lbr.value[i] = msr_read(own.msr[i]);
}

/* Has the registers in the CPU be those of @s. */
static void take(struct vmx_vcpu *s)
{
	struct vmx_vcpu **holder = &holders[cpu_index()];

	if (*holder == s)
		return;
	if (*holder)
		save_records(*holder);
	if (own.arch)
		msr_write(own.stack.depth_msr, s->lbr.depth);
	for (unsigned i = 0; i < own.count; i++)
		if (exists(s, own.msr[i]))
			put_record(own.msr[i], s->lbr.value[i]);
	*holder = s;
}

/* After every change of DEBUGCTL or LBR_CTL: does the guest record, and is it direct? */
static void update(struct vmx_vcpu *s)
{
	bool on = false;

	if (own.arch)
		on = vmread(VMCS_GUEST_LBR_CTL) & ARCH_LBR_EN;
	else if (own.count)
		on = vmread(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_LBR;
	if (on)
		take(s);
	s->lbr.on = on;
	vmx_use_msr_bitmap(s);
}

void vmx_lbr_set_debugctl(struct vmx_vcpu *s, uint64_t value)
{
	vmwrite(VMCS_GUEST_DEBUGCTL, value & lbr_offer.debugctl);
	update(s);
}

void vmx_lbr_debug_exception(struct vmx_vcpu *s)
{
	uint64_t ctl;

	if (!own.arch)
		return;
	ctl = vmread(VMCS_GUEST_LBR_CTL);
	if (!(ctl & ARCH_LBR_EN))
		return;
	vmwrite(VMCS_GUEST_LBR_CTL, ctl & ~(uint64_t)ARCH_LBR_EN);
	update(s);
}

void vmx_lbr_switch_to(struct vmx_vcpu *s)
{
	if (unlikely(s->lbr.on))
		take(s);
}

void vmx_lbr_release(struct vmx_vcpu *s)
{
	struct vmx_vcpu **holder = &holders[cpu_index()];

	if (*holder != s)
		return;
	save_records(s);
	*holder = NULL;
}

void vmx_lbr_reset(struct vmx_vcpu *s, bool init)
{
	vmwrite(VMCS_GUEST_DEBUGCTL, 0);
	if (vmx_caps.entry & ENTRYCTL_LOAD_LBR)
		vmwrite(VMCS_GUEST_LBR_CTL, 0);
	update(s);
	if (init)
		return;
	if (holders[cpu_index()] == s)
		holders[cpu_index()] = NULL;
	s->lbr.depth = own.stack.depth;
	for (unsigned i = 0; i < own.count; i++)
		s->lbr.value[i] = 0;
}

bool vmx_lbr_direct(uint32_t index)
{
	return find(index) < own.count;
}

static bool has(uint32_t index)
{
	if (own.arch && (index == MSR_ARCH_LBR_CTL || index == MSR_ARCH_LBR_DEPTH))
		return true;
	return vmx_lbr_direct(index) || (!own.arch && (index == LER_FROM || index == LER_TO));
}

static enum msr_result read(struct x86_vcpu *v, uint32_t index, uint64_t *value)
{
	struct vmx_vcpu *s = vmx_vcpu(v);
	unsigned i = find(index);

	vmx_make_current(s);
	if (index == MSR_ARCH_LBR_CTL)
		*value = vmread(VMCS_GUEST_LBR_CTL);
	else if (index == MSR_ARCH_LBR_DEPTH)
		*value = s->lbr.depth;
	else if (i ==
		 own.count) /* the last exception's: it would be ours as often as the guest's */
		*value = 0;
	else if (!exists(s, index))
		return MSR_INVALID;
	else
		*value = holders[cpu_index()] == s
				 ? msr_read(own.msr[array_index_nospec(i, LBR_REGISTERS)])
				 : s->lbr.value[array_index_nospec(i, LBR_REGISTERS)];
	return MSR_OK;
}

static enum msr_result write_ctl(struct vmx_vcpu *s, uint64_t value)
{
	if (value & ~own.ctl)
		return MSR_INVALID;
	vmwrite(VMCS_GUEST_LBR_CTL, value);
	update(s);
	return MSR_OK;
}

/* SDM vol. 3, 19.1.2: clears all records, whatever the new depth is. */
static enum msr_result write_depth(struct vmx_vcpu *s, uint64_t value)
{
	uint64_t n = value / 8 - 1;

	if (value % 8 || n >= LBR_RECORDS_MAX / 8 || !(own.depths >> n & 1))
		return MSR_INVALID;
	take(s);
	s->lbr.depth = value;
	msr_write(own.stack.depth_msr, value);
	return MSR_OK;
}

/* The CPU itself tells which values are good. */
static enum msr_result write(struct x86_vcpu *v, uint32_t index, uint64_t value)
{
	struct vmx_vcpu *s = vmx_vcpu(v);

	vmx_make_current(s);
	if (index == MSR_ARCH_LBR_CTL)
		return write_ctl(s, value);
	if (index == MSR_ARCH_LBR_DEPTH)
		return write_depth(s, value);
	if (!vmx_lbr_direct(index) || !exists(s, index))
		return MSR_INVALID;
	take(s);
	return msr_write_safe(index, value) ? MSR_OK : MSR_INVALID;
}

static void add_row(uint32_t first, unsigned length)
{
	for (unsigned i = 0; first && i < length; i++)
		own.msr[own.count++] = first + i;
}

static void list_registers(void)
{
	add_row(own.stack.select, 1);
	add_row(own.stack.tos, 1);
	add_row(own.stack.from, own.stack.depth);
	add_row(own.stack.to, own.stack.depth);
	add_row(own.stack.info, own.stack.depth);
}

/* CPUID leaf 1Ch (SDM vol. 3, 19.1.1). */
static const char *choose_architectural(void)
{
	struct cpuid r = cpuid(0x1c, 0);
	uint64_t levels = BIT(1) | BIT(2), call_stack = BIT(3), kinds = MASK(22, 16);

	if (!(vmx_caps.entry & ENTRYCTL_LOAD_LBR))
		return "VMX cannot switch the control of the architectural ones";
	own.depths = r.eax & MASK(LBR_RECORDS_MAX / 8 - 1, 0);
	if (!own.depths)
		return "CPUID tells no depth";
	own.arch = true;
	own.ctl = ARCH_LBR_EN | (r.ebx & BIT(0) ? levels : 0) | (r.ebx & BIT(1) ? kinds : 0) |
		  (r.ebx & BIT(2) ? call_stack : 0);
	own.stack = (struct lbr_stack){
		.from = MSR_ARCH_LBR_FROM,
		.to = MSR_ARCH_LBR_TO,
		.info = MSR_ARCH_LBR_INFO,
		.depth_msr = MSR_ARCH_LBR_DEPTH,
	};
	for (unsigned n = 0; n < LBR_RECORDS_MAX / 8; n++)
		if (own.depths >> n & 1)
			own.stack.depth = 8 * (n + 1);
	return NULL;
}

static const char *choose_by_model(uint64_t format)
{
	struct cpuid seven = cpuid(0, 0).eax >= 7 ? cpuid(7, 0) : (struct cpuid){0};
	const struct lbr_stack *stack = lbr_stack_of_model(cpu_info.family, cpu_info.model);

	if (!stack)
		return "this model's are not known";
	if (!format)
		return "the CPU tells no format of them (PERF_CAPABILITIES)";
	own.stack = *stack;
	/* HLE and RTM. */
	own.extend_sign = format == FORMAT_TSX && !(seven.ebx & (BIT(4) | BIT(11)));
	return NULL;
}

/* Are the registers there, and do they take and keep values? Emulators' may not. */
static bool registers_work(void)
{
	const uint64_t pattern = 0x123450;
	uint64_t value = 0;

	if (own.arch && !(msr_write_safe(MSR_ARCH_LBR_CTL, 0) &&
			  msr_write_safe(MSR_ARCH_LBR_DEPTH, own.stack.depth)))
		return false;
	for (unsigned i = 0; i < own.count; i++)
		if (!msr_read_safe(own.msr[i], &value) || !msr_write_safe(own.msr[i], 0))
			return false;
	if (!msr_write_safe(own.stack.from, pattern) || !msr_read_safe(own.stack.from, &value))
		return false;
	return value == pattern && msr_write_safe(own.stack.from, 0);
}

/* Finds out what there is, into own; NULL, or why it is not offered. */
static const char *probe(uint64_t format)
{
	const char *why = cpu_has(CPU_ARCH_LBR) ? choose_architectural() : choose_by_model(format);

	if (why)
		return why;
	list_registers();
	return registers_work() ? NULL : "the CPU lacks the registers";
}

void vmx_lbr_cpu_on(bool boot)
{
	static char text[96];
	uint64_t capabilities = 0;
	const char *why;

	/* The firmware may have left something; from here on only guests record. */
	(void)!msr_write_safe(MSR_DEBUGCTL, 0);
	if (cpu_has(CPU_ARCH_LBR))
		(void)!msr_write_safe(MSR_ARCH_LBR_CTL, 0);
	if (!boot)
		return;
	memset(&own, 0, sizeof(own));
	lbr_offer =
		(struct lbr_offer){.text = text, .debugctl = DEBUGCTL_BTF, .ignored = DEBUGCTL_LBR};
	if (cpu_has(CPU_PDCM))
		(void)!msr_read_safe(MSR_PERF_CAPABILITIES, &capabilities);
	why = probe(capabilities & FORMAT);
	if (why || !own.arch)
		cpu_model_withhold(GUEST_arch_lbr);
	if (why) {
		memset(&own, 0, sizeof(own));
		format(text, sizeof(text), "not offered: %s", why);
		return;
	}
	/* DEBUGCTL.LBR is nothing where they are architectural (SDM vol. 3, 19.1.3). */
	if (!own.arch) {
		lbr_offer.debugctl |= DEBUGCTL_LBR;
		lbr_offer.ignored = 0;
	}
	if (cpuid(0, 0).eax >= 0xa && (cpuid(0xa, 0).eax & 0xff) >= PERFMON_FREEZES)
		lbr_offer.debugctl |= DEBUGCTL_FREEZE_LBRS_ON_PMI;
	if (!own.arch)
		lbr_offer.perf_capabilities = capabilities & FORMAT;
	lbr_offer.has = has;
	lbr_offer.read = read;
	lbr_offer.write = write;
	format(text, sizeof(text), "offered: %u %srecords%s, BTF", own.stack.depth,
	       own.arch ? "architectural " : "", own.extend_sign ? ", TSX off" : "");
}
