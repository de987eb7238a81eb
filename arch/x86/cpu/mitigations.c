/* SPDX-License-Identifier: BSD-2-Clause */
/* Leaks by speculation: which the CPU has a remedy for, turning it on, and a clean CPU between
 * guests.
 */
#include "socle/cpu/cpu.h"
#include "socle/cpu/features.h"
#include "socle/cpu/mitigations.h"
#include "socle/cpu/regs.h"
#include "socle/format.h"

struct mitigations mitigations;
bool mitigations_off;

/* One more than the number of the guest that ran last on each CPU; 0: none. Only its CPU looks. */
static struct __aligned(64)
{
	unsigned guest;
}
last[CPU_MAX];

/*
 * Which bits of SPEC_CTRL does this CPU keep? Asked of the register: CPUID tells of some of them
 * only, and a CPU may ignore STIBP rather than refuse it.
 */
static uint64_t probe_spec_ctrl(void)
{
	uint64_t takes = 0, value = 0;

	if (!cpu_has(CPU_SPEC_CTRL) && !cpu_has(CPU_AMD_IBRS))
		return 0;
	for (unsigned i = 0; i < 64; i++)
		if (msr_write_safe(MSR_SPEC_CTRL, BIT(i)) && msr_read_safe(MSR_SPEC_CTRL, &value))
			takes |= value & BIT(i);
	if (takes)
		msr_write(MSR_SPEC_CTRL, 0);
	return takes;
}

/* L1TF and MDS are Intel's; a CPU that has neither says so (SDM vol. 4, table 2-2). */
static bool affected(uint64_t unless)
{
	return cpu_info.vendor == CPU_VENDOR_INTEL && !(mitigations.arch_capabilities & unless);
}

static void probe(void)
{
	struct mitigations *m = &mitigations;
	bool ibrs;

	*m = (struct mitigations){.spec_ctrl_takes = probe_spec_ctrl()};
	if (cpu_has(CPU_ARCH_CAPABILITIES))
		(void)!msr_read_safe(MSR_ARCH_CAPABILITIES, &m->arch_capabilities);
	if (mitigations_off)
		return;
	m->auto_ibrs = cpu_has(CPU_AUTO_IBRS);
	/* Where it may be on all the time; older CPUs would want a write at each exit. */
	ibrs = (m->arch_capabilities & ARCH_CAP_IBRS_ALL) || cpu_has(CPU_AMD_IBRS_ALWAYS);
	if (ibrs && !m->auto_ibrs)
		m->spec_ctrl = SPEC_CTRL_IBRS & m->spec_ctrl_takes;
	m->ibpb = cpu_has(CPU_SPEC_CTRL) || cpu_has(CPU_AMD_IBPB);
	m->flush_l1d = cpu_has(CPU_FLUSH_L1D) && affected(ARCH_CAP_RDCL_NO | ARCH_CAP_SKIP_L1DFL);
	m->clear_buffers = cpu_has(CPU_MD_CLEAR) && affected(ARCH_CAP_MDS_NO);
}

void mitigations_cpu_on(void)
{
	if (cpu_index() == 0)
		probe();
	last[cpu_index()].guest = 0;
	/* Whatever the firmware left there. */
	if (mitigations.spec_ctrl_takes)
		msr_write(MSR_SPEC_CTRL, mitigations.spec_ctrl);
	if (mitigations.auto_ibrs)
		msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_AUTO_IBRS);
}

void mitigations_before_guest(unsigned number)
{
	unsigned *guest = &last[cpu_index()].guest;

	if (likely(*guest == number + 1))
		return;
	*guest = number + 1;
	if (mitigations.ibpb)
		msr_write(MSR_PRED_CMD, PRED_CMD_IBPB);
	if (mitigations.flush_l1d)
		msr_write(MSR_FLUSH_CMD, FLUSH_CMD_L1D);
	if (mitigations.clear_buffers)
		verw(GDT_DATA);
}

void mitigations_text(char *text, size_t size)
{
	const struct mitigations *m = &mitigations;

	if (mitigations_off) {
		format(text, size, "off");
		return;
	}
	format(text, size, "%s; between guests%s%s%s%s",
	       m->auto_ibrs   ? "automatic IBRS"
	       : m->spec_ctrl ? "IBRS"
			      : "no IBRS",
	       m->ibpb ? " IBPB" : "", m->flush_l1d ? " L1D" : "", m->clear_buffers ? " VERW" : "",
	       m->ibpb || m->flush_l1d || m->clear_buffers ? "" : " nothing");
}
