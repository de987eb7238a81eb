/* SPDX-License-Identifier: BSD-2-Clause */
/* The paravirtual clock: two MSRs through which a guest asks for its time in memory. */
#include "socle/cpu/regs.h"
#include "socle/cpu/tsc.h"
#include "socle/guest/msr.h"
#include "socle/guest/pvclock.h"
#include "socle/kernel/time.h"

enum { ENABLE = 1, TSC_STABLE = 1 };

void pvclock_scale(uint64_t hz, uint32_t *mul, int8_t *shift)
{
	int8_t s = 0;

	/* mul must stay below 2^32: a slow TSC is shifted left first. */
	while (hz << s <= NS_PER_SEC)
		s++;
	*shift = s;
	*mul = (NS_PER_SEC << 32) / (hz << s);
}

/* ns since the VM was started, when its TSC was 0 unless it changed it since. */
static uint64_t guest_time(const struct x86_vcpu *v)
{
	return time_now() - v->base.vm->started_at;
}

/* The guest sees an odd version while the rest is being written. */
static status_t publish(struct x86_vcpu *v, uint64_t gpa, void *data, size_t size)
{
	struct guest_mem *mem = &v->base.vm->mem;
	uint32_t *version = data;
	status_t status = guest_read(mem, gpa, version, sizeof(*version));

	*version |= 1;
	if (!status)
		status = guest_write(mem, gpa, version, sizeof(*version));
	if (!status)
		status = guest_write(mem, gpa, data, size);
	++*version;
	return status ? status : guest_write(mem, gpa, version, sizeof(*version));
}

static status_t write_time(struct x86_vcpu *v, uint64_t gpa)
{
	struct pvclock_time t = {.flags = TSC_STABLE};

	pvclock_scale(tsc_hz, &t.tsc_to_system_mul, &t.tsc_shift);
	t.tsc_timestamp = x86_guest_tsc(v);
	t.system_time = guest_time(v);
	return publish(v, gpa, &t, sizeof(t));
}

void pvclock_update(struct x86_vcpu *v)
{
	/* The address was checked when it was written; the guest alone suffers if it is gone. */
	if ((v->pvclock & ENABLE) && write_time(v, v->pvclock & ~(uint64_t)ENABLE))
		v->pvclock = 0;
}

static enum msr_result stored_read(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
				   uint64_t *value)
{
	*value = *slot;
	return MSR_OK;
}

static enum msr_result system_time_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
					 uint64_t value)
{
	uint64_t gpa = value & ~(uint64_t)ENABLE;

	if ((value & ENABLE) && ((gpa & 3) || write_time(v, gpa)))
		return MSR_INVALID;
	*slot = v->pvclock = value;
	return MSR_OK;
}

static enum msr_result wall_clock_write(struct x86_vcpu *v, uint32_t index, uint64_t *slot,
					uint64_t value)
{
	uint64_t now = time_wall() * NS_PER_SEC + time_now() % NS_PER_SEC;
	uint64_t start = now - guest_time(v);
	struct pvclock_wall w = {.sec = start / NS_PER_SEC, .nsec = start % NS_PER_SEC};

	if ((value & 3) || publish(v, value, &w, sizeof(w)))
		return MSR_INVALID;
	*slot = value;
	return MSR_OK;
}

static const struct msr_policy rows[] = {
	{.name = "kvm_wall_clock",
	 .index = MSR_KVM_WALL_CLOCK,
	 .count = 1,
	 .read = MSR_EMULATED,
	 .write = MSR_EMULATED,
	 NEEDS(PVCLOCK_CPUID_FEATURES, REG_EAX, 3),
	 .valid = UINT64_MAX,
	 .rd = stored_read,
	 .wr = wall_clock_write},
	{.name = "kvm_system_time",
	 .index = MSR_KVM_SYSTEM_TIME,
	 .count = 1,
	 .read = MSR_EMULATED,
	 .write = MSR_EMULATED,
	 NEEDS(PVCLOCK_CPUID_FEATURES, REG_EAX, 3),
	 .valid = UINT64_MAX,
	 .rd = stored_read,
	 .wr = system_time_write},
};
MSR_POLICIES(rows);
