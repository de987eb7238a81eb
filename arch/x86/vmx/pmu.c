/* SPDX-License-Identifier: BSD-2-Clause */
/* Performance counters of a guest on Intel: which there are, and that none counts in exits. */
#include "socle/guest/pmu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/format.h"
#include "vmx.h"
#include "vmx_insn.h"

/*
 * Entries load the guest's IA32_PERF_GLOBAL_CTRL from its VMCS, and exits load ours, which is 0
 * (SDM vol. 3, 27.3.2.1 and 28.5.1): so nothing counts outside of the guest, whatever is in the
 * other registers, which are direct. Where no exit saves it, writes of it exit, and the VMCS has
 * it.
 */

enum {
	VERSION_NEEDED = 2, VERSION_MAX = 5,
	VERSION_SET = 4, /* overflows can be set; version 4 freezes branch records by a status bit */
	GENERAL_MAX = 8, FIXED_MAX = 4,
};
enum { CAP_FULL_WIDTH = BIT(13), CAP_METRICS = BIT(15) };
enum { SELECT_OS = BIT(17), SELECT_ANY = BIT(21), SELECT_ENABLE = BIT(22), FIXED_ANY = 0x4444 };
enum { RETIRED_INSTRUCTIONS = 0xc0, NO_RETIRED_INSTRUCTIONS = BIT(1) /* of EBX */ };
enum { ANY_DEPRECATED = BIT(15) /* of EDX */, PROBE_ROUNDS = 1000 };
#define RESET_OTHERS (BIT(61) | BIT(62) | BIT(63))

/* What this CPU has. Filled by the probe, then read-only. */
static struct {
	unsigned version, general; /* how many counters that count any event */
	uint32_t fixed;		   /* bit n: fixed counter n is there */
	bool any;		   /* a counter can count the other thread of its core, too */
	uint64_t counters;	   /* their bits in the global registers */
} perfmon;

uint32_t vmx_pmu_exit_controls(uint64_t entry, uint64_t exit)
{
	uint32_t may_exit = exit >> 32;

	if (!(entry >> 32 & ENTRYCTL_LOAD_PERF_GLOBAL) || !(may_exit & EXITCTL_LOAD_PERF_GLOBAL))
		return 0;
	return may_exit & (EXITCTL_LOAD_PERF_GLOBAL | EXITCTL_SAVE_PERF_GLOBAL);
}

uint32_t vmx_pmu_entry_control(const struct x86_vcpu *v)
{
	return v->pmu ? ENTRYCTL_LOAD_PERF_GLOBAL : 0;
}

uint32_t vmx_pmu_exit_control(const struct x86_vcpu *v)
{
	return v->pmu ? vmx_caps.pmu_exit : 0;
}

void vmx_pmu_reset(struct vmx_vcpu *s, bool init)
{
	if (!s->x.pmu)
		return;
	vmwrite(VMCS_HOST_PERF_GLOBAL_CTRL, 0);
	if (!init)
		vmwrite(VMCS_GUEST_PERF_GLOBAL_CTRL, MASK(perfmon.general - 1, 0));
}

static bool is_select(uint32_t index)
{
	return index - MSR_P6_EVNTSEL0 < GENERAL_MAX;
}

static bool has(uint32_t index)
{
	if (index - MSR_FIXED_CTR0 < FIXED_MAX)
		return perfmon.fixed >> (index - MSR_FIXED_CTR0) & 1;
	if (index == MSR_PERF_GLOBAL_SET || index == MSR_PERF_GLOBAL_INUSE)
		return perfmon.version >= VERSION_SET;
	return index - MSR_P6_EVNTSEL0 < perfmon.general ||
	       index - MSR_P6_PERFCTR0 < perfmon.general || index - MSR_PMC0 < perfmon.general ||
	       index - MSR_FIXED_CTR_CTRL <= MSR_PERF_GLOBAL_RESET - MSR_FIXED_CTR_CTRL;
}

/*
 * Without a way to set overflows, a vCPU that comes back to a CPU keeps them in x86_pmu.status. A
 * counter that could count the other thread of its core would tell of others: such writes exit.
 */
static bool direct(uint32_t index, bool write)
{
	switch (index) {
	case MSR_PERF_GLOBAL_CTRL:
		return !write || (vmx_caps.pmu_exit & EXITCTL_SAVE_PERF_GLOBAL);
	case MSR_PERF_GLOBAL_STATUS:
		return !write && pmu_offer.set;
	case MSR_PERF_GLOBAL_RESET:
		return pmu_offer.set;
	case MSR_PERF_GLOBAL_INUSE:
		return !write;
	default:
		return !write || !perfmon.any || !(is_select(index) || index == MSR_FIXED_CTR_CTRL);
	}
}

static enum msr_result read(struct x86_vcpu *v, uint32_t index, uint64_t *value)
{
	if (index == MSR_PERF_GLOBAL_RESET)
		*value = 0;
	else if (index == MSR_PERF_GLOBAL_CTRL)
		*value = vmread(VMCS_GUEST_PERF_GLOBAL_CTRL);
	else
		*value = msr_read(index);
	if (index == MSR_PERF_GLOBAL_STATUS)
		*value |= v->pmu->status;
	return MSR_OK;
}

static bool write_valid(uint32_t index, uint64_t value)
{
	if (index == MSR_PERF_GLOBAL_CTRL)
		return !(value & ~perfmon.counters);
	if (index == MSR_PERF_GLOBAL_RESET)
		return !(value & ~(perfmon.counters | RESET_OTHERS));
	if (index == MSR_FIXED_CTR_CTRL)
		return !(value & FIXED_ANY);
	return is_select(index) && !(value & SELECT_ANY);
}

static enum msr_result write(struct x86_vcpu *v, uint32_t index, uint64_t value)
{
	if (!write_valid(index, value))
		return MSR_INVALID;
	if (index == MSR_PERF_GLOBAL_CTRL) {
		vmwrite(VMCS_GUEST_PERF_GLOBAL_CTRL, value);
		return MSR_OK;
	}
	/* The CPU itself tells which other values are good. */
	if (!msr_write_safe(index, value))
		return MSR_INVALID;
	if (index == MSR_PERF_GLOBAL_RESET)
		v->pmu->status &= ~value;
	return MSR_OK;
}

static void list(uint32_t first, unsigned length)
{
	for (unsigned i = 0; i < length; i++)
		pmu_offer.msr[pmu_offer.count++] = first + i;
}

/* PERF_METRICS is offered to nobody, but RDPMC would read it. */
static void list_registers(uint64_t capabilities)
{
	list(MSR_P6_EVNTSEL0, perfmon.general);
	list(MSR_PMC0, perfmon.general);
	list(MSR_FIXED_CTR_CTRL, 1);
	for (unsigned n = 0; n < FIXED_MAX; n++)
		list(MSR_FIXED_CTR0 + n, perfmon.fixed >> n & 1);
	list(MSR_PERF_METRICS, capabilities & CAP_METRICS ? 1 : 0);
	pmu_offer.status = MSR_PERF_GLOBAL_STATUS;
	pmu_offer.clear = MSR_PERF_GLOBAL_RESET;
	pmu_offer.set = perfmon.version >= VERSION_SET ? MSR_PERF_GLOBAL_SET : 0;
}

static struct cpuid leaf(void)
{
	return cpuid(0, 0).eax >= 0xa ? cpuid(0xa, 0) : (struct cpuid){0};
}

/* CPUID leaf 0xA (SDM vol. 2, CPUID), and what of it a guest sees. */
static void look(struct cpuid a)
{
	enum {
		VERSION = 0xff,
		COUNT = 0xff,
		COUNT_SHIFT = 8,
		FIXED_COUNT = 0x1f,
		FIXED_BITMAP = 5
	};
	enum { FIXED_WIDTH = 0xff << 5 };
	unsigned fixed = MIN(a.edx & FIXED_COUNT, (uint32_t)FIXED_MAX);

	perfmon.version = MIN(a.eax & VERSION, (uint32_t)VERSION_MAX);
	perfmon.general = MIN(a.eax >> COUNT_SHIFT & COUNT, (uint32_t)GENERAL_MAX);
	perfmon.fixed = (1u << fixed) - 1;
	if (perfmon.version >= FIXED_BITMAP)
		perfmon.fixed |= a.ecx & ((1u << FIXED_MAX) - 1);
	perfmon.any = !(perfmon.version >= VERSION_MAX && (a.edx & ANY_DEPRECATED));
	perfmon.counters = (perfmon.general ? MASK(perfmon.general - 1, 0) : 0) |
			   (uint64_t)perfmon.fixed << 32;
	pmu_offer.intel = (struct cpuid){
		.eax = (a.eax & ~(uint32_t)(VERSION | COUNT << COUNT_SHIFT)) | perfmon.version |
		       perfmon.general << COUNT_SHIFT,
		.ebx = a.ebx,
		.ecx = perfmon.version >= FIXED_BITMAP ? perfmon.fixed : 0,
		.edx = fixed | (a.edx & FIXED_WIDTH) | ANY_DEPRECATED,
	};
}

/* Are the registers there, and do they take and keep values? Emulators' may not. */
static bool registers_work(void)
{
	const uint64_t pattern = 0x123456789;
	uint64_t value;

	for (unsigned i = 0; i < pmu_offer.count; i++)
		if (!msr_read_safe(pmu_offer.msr[i], &value) ||
		    !msr_write_safe(pmu_offer.msr[i], 0))
			return false;
	if (!msr_read_safe(pmu_offer.status, &value) || !msr_write_safe(pmu_offer.clear, value) ||
	    !msr_read_safe(MSR_PERF_GLOBAL_CTRL, &value))
		return false;
	return msr_write_safe(MSR_PMC0, pattern) && msr_read_safe(MSR_PMC0, &value) &&
	       value == pattern && msr_write_safe(MSR_PMC0, 0);
}

/* Do they count, and only with the bit of the global control? */
static bool count_us(uint64_t global)
{
	msr_write(MSR_PMC0, 0);
	msr_write(MSR_P6_EVNTSEL0, RETIRED_INSTRUCTIONS | SELECT_OS | SELECT_ENABLE);
	msr_write(MSR_PERF_GLOBAL_CTRL, global);
	pmu_loop(PROBE_ROUNDS);
	msr_write(MSR_PERF_GLOBAL_CTRL, 0);
	msr_write(MSR_P6_EVNTSEL0, 0);
	return msr_read(MSR_PMC0) >= PROBE_ROUNDS;
}

static const char *probe(uint64_t capabilities)
{
	if (perfmon.version < VERSION_NEEDED || !perfmon.general)
		return "the CPU has no architectural ones of version 2 or later";
	if (!vmx_caps.pmu_exit)
		return "VMX cannot switch IA32_PERF_GLOBAL_CTRL";
	if (!(capabilities & CAP_FULL_WIDTH))
		return "the CPU's take no writes of their full width";
	if (pmu_offer.intel.ebx & NO_RETIRED_INSTRUCTIONS)
		return "the CPU's cannot be tried: they do not count instructions";
	list_registers(capabilities);
	if (!registers_work())
		return "the CPU lacks the registers";
	if (!count_us(BIT(0)))
		return "the CPU's counters do not count";
	return count_us(0) ? "the CPU's counters cannot be stopped" : NULL;
}

static void offer(struct cpuid a)
{
	static char text[96];
	uint64_t capabilities = 0;
	const char *why;

	pmu_offer = (struct pmu_offer){.text = text,
				       .masks_lvt = true,
				       .has = has,
				       .direct = direct,
				       .read = read,
				       .write = write};
	if (cpu_has(CPU_PDCM))
		(void)!msr_read_safe(MSR_PERF_CAPABILITIES, &capabilities);
	look(a);
	why = probe(capabilities);
	if (why) {
		pmu_offer = (struct pmu_offer){.text = text};
		format(text, sizeof(text), "not offered: %s", why);
		return;
	}
	pmu_offer.perf_capabilities = CAP_FULL_WIDTH;
	pmu_offer.stops_lbr = perfmon.version < VERSION_SET;
	format(text, sizeof(text), "offered: version %u, %u and %u fixed", perfmon.version,
	       perfmon.general, cpuset_count(perfmon.fixed));
}

void vmx_pmu_cpu_on(bool boot)
{
	static struct cpuid first;
	struct cpuid a = leaf();

	/* The firmware may have left something; from here on it is 0 in all exits. */
	if ((a.eax & 0xff) >= VERSION_NEEDED)
		(void)!msr_write_safe(MSR_PERF_GLOBAL_CTRL, 0);
	if (boot) {
		first = a;
		offer(a);
	}
	pmu_cpu_on(a.eax == first.eax && a.ebx == first.ebx && a.ecx == first.ecx &&
		   a.edx == first.edx);
}
