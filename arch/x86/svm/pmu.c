/* SPDX-License-Identifier: BSD-2-Clause */
/* Performance counters of a guest on AMD: which there are, and that they count only in guests. */
#include "socle/guest/pmu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/regs.h"
#include "socle/format.h"
#include "svm.h"

/*
 * With GuestOnly in its event select, a counter counts between VMRUN and #VMEXIT alone, as
 * EFER.SVME is always set here (APM vol. 2, 13.2.1). So writes of event selects make an exit, which
 * adds that bit; counters and global registers are direct, and entries and exits have nothing to
 * do.
 */

enum { LEGACY = 4, CORE_MAX = 6 };
enum { CORE_CTL = 0, CORE_REGISTERS = 2 }; /* event select, counter, event select, ... */
enum { SELECT_OS = BIT(17), SELECT_ENABLE = BIT(22), RETIRED_INSTRUCTIONS = 0xc0 };
#define SELECT_GUEST_ONLY BIT(40)
#define SELECT_VALID	  0x0000000fffd7ffffull /* the guest's own; the others read as 0 */

enum { PROBE_ROUNDS = 1000 };

/* What this CPU has. Filled by the probe, then read-only. */
static struct {
	unsigned counters;
	bool core, v2; /* the extended registers; the global ones */
} own;

static uint32_t select_of(unsigned n)
{
	return own.core ? MSR_PERF_CORE_CTL0 + CORE_REGISTERS * n : MSR_PERFEVTSEL0 + n;
}

static uint32_t counter_of(unsigned n)
{
	return own.core ? MSR_PERF_CORE_CTL0 + CORE_REGISTERS * n + 1 : MSR_PERFCTR0 + n;
}

static bool is_select(uint32_t index)
{
	uint32_t core = index - MSR_PERF_CORE_CTL0;

	return index - MSR_PERFEVTSEL0 < LEGACY ||
	       (core < CORE_REGISTERS * CORE_MAX && core % CORE_REGISTERS == CORE_CTL);
}

/* The legacy ones are the first four of the others, where there are both. */
static bool has(uint32_t index)
{
	if (index - MSR_PERFEVTSEL0 < LEGACY || index - MSR_PERFCTR0 < LEGACY)
		return true;
	if (own.v2 && index - MSR_AMD_GLOBAL_STATUS <= MSR_AMD_GLOBAL_SET - MSR_AMD_GLOBAL_STATUS)
		return true;
	return own.core && index - MSR_PERF_CORE_CTL0 < CORE_REGISTERS * own.counters;
}

static bool direct(uint32_t index, bool write)
{
	return !is_select(index) && !(write && index == MSR_AMD_GLOBAL_STATUS);
}

static enum msr_result read(struct x86_vcpu *v, uint32_t index, uint64_t *value)
{
	*value = msr_read(index);
	if (is_select(index))
		*value &= SELECT_VALID;
	return MSR_OK;
}

/*
 * What is reserved is ignored, and so is a write of the status. Which of the other bits are good
 * is up to the CPU: older ones have shorter event numbers.
 */
static enum msr_result write(struct x86_vcpu *v, uint32_t index, uint64_t value)
{
	if (is_select(index) && !msr_write_safe(index, (value & SELECT_VALID) | SELECT_GUEST_ONLY))
		return MSR_INVALID;
	return MSR_OK;
}

/* True if the first counter counts us, with this added to its event select. */
static bool counts_us(uint64_t more)
{
	msr_write(counter_of(0), 0);
	msr_write(select_of(0), RETIRED_INSTRUCTIONS | SELECT_OS | SELECT_ENABLE | more);
	pmu_loop(PROBE_ROUNDS);
	msr_write(select_of(0), 0);
	return msr_read(counter_of(0)) >= PROBE_ROUNDS;
}

/* Are the registers there, and do they keep values? Emulators' may not. */
static bool registers_work(void)
{
	uint64_t value;

	for (unsigned i = 0; i < pmu_offer.count; i++) {
		const uint64_t pattern = i == 0 ? RETIRED_INSTRUCTIONS : 1;

		if (!msr_write_safe(pmu_offer.msr[i], pattern) ||
		    !msr_read_safe(pmu_offer.msr[i], &value) || value != pattern ||
		    !msr_write_safe(pmu_offer.msr[i], 0))
			return false;
	}
	return !own.v2 || (msr_read_safe(MSR_AMD_GLOBAL_STATUS, &value) &&
			   msr_write_safe(MSR_AMD_GLOBAL_CLR, value));
}

static void list_registers(void)
{
	for (unsigned n = 0; n < own.counters; n++) {
		pmu_offer.msr[pmu_offer.count++] = select_of(n);
		pmu_offer.msr[pmu_offer.count++] = counter_of(n);
	}
	if (!own.v2)
		return;
	/* The last, so that all else is in place when it lets them count. */
	pmu_offer.msr[pmu_offer.count++] = pmu_offer.enable = MSR_AMD_GLOBAL_CTL;
	pmu_offer.enabled = MASK(own.counters - 1, 0);
	pmu_offer.status = MSR_AMD_GLOBAL_STATUS;
	pmu_offer.clear = MSR_AMD_GLOBAL_CLR;
	pmu_offer.set = MSR_AMD_GLOBAL_SET;
	pmu_offer.amd.ebx = own.counters;
}

/* CPUID 8000_0001 ECX and 8000_0022 EAX, EBX (APM vol. 3, E.4.2 and E.4.23). */
static void look(void)
{
	enum { PERF_CTR_EXT_CORE = BIT(23), PERF_MON_V2 = BIT(0), COUNTERS = 0xf };
	uint32_t highest = cpuid(0x80000000, 0).eax;
	struct cpuid v2 = highest >= 0x80000022 ? cpuid(0x80000022, 0) : (struct cpuid){0};

	own.core = highest >= 0x80000001 && (cpuid(0x80000001, 0).ecx & PERF_CTR_EXT_CORE);
	own.v2 = own.core && (v2.eax & PERF_MON_V2) && (v2.ebx & COUNTERS);
	own.counters = !own.core ? (unsigned)LEGACY
		       : own.v2	 ? MIN(v2.ebx & COUNTERS, (uint32_t)CORE_MAX)
				 : (unsigned)CORE_MAX;
}

static const char *probe(void)
{
	bool counts, apart;

	if (!registers_work())
		return "the CPU lacks the registers";
	if (own.v2)
		msr_write(MSR_AMD_GLOBAL_CTL, pmu_offer.enabled);
	counts = counts_us(0);
	apart = !counts_us(SELECT_GUEST_ONLY);
	if (own.v2)
		msr_write(MSR_AMD_GLOBAL_CTL, 0);
	if (!counts)
		return "the CPU's counters do not count";
	return apart ? NULL : "the CPU's counters do not tell guests from the host";
}

void svm_pmu_cpu_on(bool boot)
{
	static char text[96];
	unsigned counters = own.counters;
	bool core = own.core, v2 = own.v2;
	const char *why;

	look();
	if (boot) {
		pmu_offer = (struct pmu_offer){
			.text = text, .has = has, .direct = direct, .read = read, .write = write};
		list_registers();
		why = probe();
		if (why) {
			pmu_offer = (struct pmu_offer){.text = text};
			format(text, sizeof(text), "not offered: %s", why);
			return;
		}
		format(text, sizeof(text), "offered: %u%s", own.counters,
		       own.v2 ? ", with global control" : "");
	}
	pmu_cpu_on(boot || (counters == own.counters && core == own.core && v2 == own.v2));
}
