/* SPDX-License-Identifier: BSD-2-Clause */
/* MSRs that are switched lazily: a static table of them, and what each CPU holds. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/msr.h"
#include "socle/cpu/msr_lazy.h"
#include "socle/report.h"
#include "socle/string.h"

static struct {
	uint32_t index;
	bool direct; /* guests write it without an exit */
} slots[MSR_LAZY_MAX];
static unsigned count; /* of slots in use; constant while a CPU uses the table */
static bool running;   /* a CPU uses the table */

/* What a CPU holds; it alone looks at it. */
struct __aligned(64) lazy_cpu
{
	bool on; /* it uses the table */
	struct {
		uint64_t host; /* our own value */
		uint64_t held; /* what the register holds, if known */
		bool known;
	} value[MSR_LAZY_MAX];
};
static struct lazy_cpu cpus[CPU_MAX];

status_t msr_lazy_add(uint32_t index, bool direct, unsigned *slot)
{
	uint64_t value;

	if (running) {
		log_warn("cpu: MSR %#x comes too late to be switched lazily", index);
		return -S_BUSY;
	}
	for (*slot = 0; *slot < count; (*slot)++)
		if (slots[*slot].index == index)
			return slots[*slot].direct == direct ? 0 : -S_INVAL;
	if (count == MSR_LAZY_MAX)
		return -S_NOSPC;
	if (!msr_read_safe(index, &value) || !msr_write_safe(index, value))
		return -S_NOTSUP;
	slots[count].index = index;
	slots[count++].direct = direct;
	return 0;
}

status_t msr_lazy_cpu_on(void)
{
	struct lazy_cpu *cpu = &cpus[cpu_index()];

	if (cpu->on)
		return 0;
	for (unsigned i = 0; i < count; i++) {
		if (!msr_read_safe(slots[i].index, &cpu->value[i].host))
			return -S_NOTSUP;
		cpu->value[i].held = cpu->value[i].host;
		cpu->value[i].known = true;
	}
	cpu->on = running = true;
	return 0;
}

uint64_t msr_lazy_get(unsigned slot)
{
	struct lazy_cpu *cpu = &cpus[cpu_index()];

	ASSERT(cpu->on && slot < count);
	cpu->value[slot].held = msr_read(slots[slot].index);
	cpu->value[slot].known = true;
	return cpu->value[slot].held;
}

void msr_lazy_set(unsigned slot, uint64_t value)
{
	struct lazy_cpu *cpu = &cpus[cpu_index()];

	ASSERT(cpu->on && slot < count);
	if (!cpu->value[slot].known || cpu->value[slot].held != value)
		msr_write_ns(slots[slot].index, value);
	cpu->value[slot].held = value;
	/* From here on a guest may write it unseen. */
	cpu->value[slot].known = !slots[slot].direct;
}

void msr_lazy_restore(void)
{
	struct lazy_cpu *cpu = &cpus[cpu_index()];

	if (!cpu->on)
		return;
	for (unsigned i = 0; i < count; i++) {
		msr_lazy_set(i, cpu->value[i].host);
		cpu->value[i].known = true; /* no guest runs */
	}
}

void msr_lazy_reset(void)
{
	memset(cpus, 0, sizeof(cpus));
	count = 0;
	running = false;
}
