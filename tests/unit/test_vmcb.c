/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers and layouts of SVM and of the KVM clock against the public headers; the clock's scale. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

/* The installed headers use some of our names, so their values are taken before ours come. */
#include <asm/svm.h>
#include <asm/kvm_para.h>
static const struct {
	const char *name;
	uint64_t value;
} public_codes[] = {
#define CODE(n) {#n, SVM_EXIT_##n},
	CODE(READ_CR0) CODE(READ_CR8) CODE(WRITE_CR0) CODE(WRITE_CR8) CODE(READ_DR0)
	CODE(WRITE_DR0) CODE(EXCP_BASE) CODE(INTR) CODE(NMI) CODE(SMI) CODE(INIT) CODE(VINTR)
	CODE(CR0_SEL_WRITE) CODE(RDTSC) CODE(RDPMC) CODE(CPUID) CODE(RSM) CODE(IRET) CODE(SWINT)
	CODE(INVD) CODE(PAUSE) CODE(HLT) CODE(INVLPG) CODE(INVLPGA) CODE(IOIO) CODE(MSR)
	CODE(TASK_SWITCH) CODE(FERR_FREEZE) CODE(SHUTDOWN) CODE(VMRUN) CODE(VMMCALL) CODE(VMLOAD)
	CODE(VMSAVE) CODE(STGI) CODE(CLGI) CODE(SKINIT) CODE(RDTSCP) CODE(ICEBP) CODE(WBINVD)
	CODE(MONITOR) CODE(MWAIT) CODE(MWAIT_COND) CODE(XSETBV) CODE(RDPRU) CODE(NPF)
#undef CODE
};
enum {
	PUBLIC_SYSTEM_TIME = MSR_KVM_SYSTEM_TIME_NEW,
	PUBLIC_WALL_CLOCK = MSR_KVM_WALL_CLOCK_NEW,
	PUBLIC_NOP_IO_DELAY = 1 << KVM_FEATURE_NOP_IO_DELAY,
	PUBLIC_CLOCKSOURCE2 = 1 << KVM_FEATURE_CLOCKSOURCE2,
	PUBLIC_STABLE = 1 << KVM_FEATURE_CLOCKSOURCE_STABLE_BIT,
	PUBLIC_SIGNATURE = KVM_CPUID_SIGNATURE,
	PUBLIC_FEATURES = KVM_CPUID_FEATURES,
};
#undef KVM_FEATURE_NOP_IO_DELAY
#undef KVM_FEATURE_CLOCKSOURCE2
#undef SVM_EXIT_EXCP_BASE
#undef SVM_EXIT_INTR
#undef SVM_EXIT_NMI
#undef SVM_EXIT_SMI
#undef SVM_EXIT_INIT
#undef SVM_EXIT_VINTR
#undef SVM_EXIT_RDTSC
#undef SVM_EXIT_RDPMC
#undef SVM_EXIT_CPUID
#undef SVM_EXIT_RSM
#undef SVM_EXIT_IRET
#undef SVM_EXIT_INVD
#undef SVM_EXIT_PAUSE
#undef SVM_EXIT_HLT
#undef SVM_EXIT_INVLPG
#undef SVM_EXIT_INVLPGA
#undef SVM_EXIT_IOIO
#undef SVM_EXIT_MSR
#undef SVM_EXIT_TASK_SWITCH
#undef SVM_EXIT_SHUTDOWN
#undef SVM_EXIT_VMRUN
#undef SVM_EXIT_VMMCALL
#undef SVM_EXIT_VMLOAD
#undef SVM_EXIT_VMSAVE
#undef SVM_EXIT_STGI
#undef SVM_EXIT_CLGI
#undef SVM_EXIT_SKINIT
#undef SVM_EXIT_RDTSCP
#undef SVM_EXIT_ICEBP
#undef SVM_EXIT_WBINVD
#undef SVM_EXIT_MONITOR
#undef SVM_EXIT_MWAIT
#undef SVM_EXIT_XSETBV
#undef SVM_EXIT_RDPRU
#undef SVM_EXIT_NPF
#undef MSR_KVM_WALL_CLOCK
#undef MSR_KVM_SYSTEM_TIME

#include "socle/kernel/time.h"
#include "../../arch/x86/svm/vmcb.h"
#include "../../arch/x86/guest/pvclock.c"

/* What pvclock.c stands on. */
static uint8_t ram[4096];
static uint64_t now_ns = 5 * NS_PER_SEC, now_tsc = 700, wall = 1700000000;
static unsigned writes;	     /* calls of guest_write() */
static bool saw_odd_version; /* the time was only written under an odd version */
uint64_t tsc_hz = 2000000000;

uint64_t time_now(void)
{
	return now_ns;
}

uint64_t time_wall(void)
{
	return wall;
}

uint64_t x86_guest_tsc(const struct x86_vcpu *v __unused)
{
	return now_tsc;
}

status_t guest_read(struct guest_mem *mem __unused, uint64_t gpa, void *dst, size_t len)
{
	if (gpa > sizeof(ram) || len > sizeof(ram) - gpa)
		return -S_FAULT;
	memcpy(dst, &ram[gpa], len);
	return 0;
}

status_t guest_write(struct guest_mem *mem __unused, uint64_t gpa, const void *src, size_t len)
{
	uint32_t version;

	if (gpa > sizeof(ram) || len > sizeof(ram) - gpa)
		return -S_FAULT;
	memcpy(&version, &ram[gpa], 4);
	if (len > 4)
		saw_odd_version = version & 1;
	memcpy(&ram[gpa], src, len);
	writes++;
	return 0;
}

static uint64_t public_code(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(public_codes); i++)
		if (strcmp(public_codes[i].name, name) == 0)
			return public_codes[i].value;
	fail_msg("no public exit code %s", name);
	return 0;
}

static void exit_codes(void **state __unused)
{
#define SAME(ours, theirs) assert_int_equal(SVM_EXIT_##ours, public_code(#theirs))
	SAME(CR0_READ, READ_CR0);
	SAME(CR8_READ, READ_CR8);
	SAME(CR0_WRITE, WRITE_CR0);
	SAME(CR8_WRITE, WRITE_CR8);
	SAME(DR0_READ, READ_DR0);
	SAME(DR0_WRITE, WRITE_DR0);
	SAME(EXCP_BASE, EXCP_BASE);
	SAME(INTR, INTR);
	SAME(NMI, NMI);
	SAME(SMI, SMI);
	SAME(INIT, INIT);
	SAME(VINTR, VINTR);
	SAME(CR0_SEL, CR0_SEL_WRITE);
	SAME(RDTSC, RDTSC);
	SAME(RDPMC, RDPMC);
	SAME(CPUID, CPUID);
	SAME(RSM, RSM);
	SAME(IRET, IRET);
	SAME(INTN, SWINT);
	SAME(INVD, INVD);
	SAME(PAUSE, PAUSE);
	SAME(HLT, HLT);
	SAME(INVLPG, INVLPG);
	SAME(INVLPGA, INVLPGA);
	SAME(IOIO, IOIO);
	SAME(MSR, MSR);
	SAME(TASK_SWITCH, TASK_SWITCH);
	SAME(FERR, FERR_FREEZE);
	SAME(SHUTDOWN, SHUTDOWN);
	SAME(VMRUN, VMRUN);
	SAME(VMMCALL, VMMCALL);
	SAME(VMLOAD, VMLOAD);
	SAME(VMSAVE, VMSAVE);
	SAME(STGI, STGI);
	SAME(CLGI, CLGI);
	SAME(SKINIT, SKINIT);
	SAME(RDTSCP, RDTSCP);
	SAME(ICEBP, ICEBP);
	SAME(WBINVD, WBINVD);
	SAME(MONITOR, MONITOR);
	SAME(MWAIT, MWAIT);
	SAME(MWAIT_ARMED, MWAIT_COND);
	SAME(XSETBV, XSETBV);
	SAME(RDPRU, RDPRU);
	SAME(NPF, NPF);
	assert_int_equal(SVM_EXIT_EXCP_DB, public_code("EXCP_BASE") + VEC_DB);
	assert_int_equal(SVM_EXIT_EXCP_AC, public_code("EXCP_BASE") + VEC_AC);
	assert_int_equal(SVM_EXIT_EXCP_MC, public_code("EXCP_BASE") + VEC_MC);
}

/* Intercept bits and exit codes go in step: vector 3 from 0x60 on, vector 4 from 0x80 on. */
static void intercepts(void **state __unused)
{
#define BIT3(n) assert_int_equal(INTERCEPT_##n, BIT(SVM_EXIT_##n - 0x60))
#define BIT4(n) assert_int_equal(INTERCEPT_##n, BIT(SVM_EXIT_##n - 0x80))
	BIT3(INTR);
	BIT3(NMI);
	BIT3(SMI);
	BIT3(INIT);
	BIT3(VINTR);
	BIT3(CR0_SEL);
	BIT3(RDTSC);
	BIT3(RDPMC);
	BIT3(CPUID);
	BIT3(RSM);
	BIT3(IRET);
	BIT3(INTN);
	BIT3(INVD);
	BIT3(PAUSE);
	BIT3(HLT);
	BIT3(INVLPG);
	BIT3(INVLPGA);
	BIT3(IOIO);
	BIT3(MSR);
	BIT3(TASK_SWITCH);
	BIT3(FERR);
	BIT3(SHUTDOWN);
	BIT4(VMRUN);
	BIT4(VMMCALL);
	BIT4(VMLOAD);
	BIT4(VMSAVE);
	BIT4(STGI);
	BIT4(CLGI);
	BIT4(SKINIT);
	BIT4(RDTSCP);
	BIT4(ICEBP);
	BIT4(WBINVD);
	BIT4(MONITOR);
	BIT4(MWAIT);
	BIT4(MWAIT_ARMED);
	BIT4(XSETBV);
	BIT4(RDPRU);
}

/* APM vol. 2, appendix B, tables B-1 and B-2: every field that we name. */
static void layout(void **state __unused)
{
	static const struct {
		size_t ours, manual;
	} fields[] = {
#define AT(field, offset) {offsetof(struct vmcb, field), offset},
		AT(intercept_cr, 0x000) AT(intercept_dr, 0x004) AT(intercept_exc, 0x008)
		AT(intercept3, 0x00c) AT(intercept4, 0x010) AT(intercept5, 0x014)
		AT(pause_threshold, 0x03c) AT(pause_count, 0x03e) AT(iopm_pa, 0x040)
		AT(msrpm_pa, 0x048) AT(tsc_offset, 0x050) AT(asid, 0x058) AT(tlb_control, 0x05c)
		AT(int_ctl, 0x060) AT(int_state, 0x068) AT(exit_code, 0x070)
		AT(exit_info1, 0x078) AT(exit_info2, 0x080) AT(exit_int_info, 0x088)
		AT(np_control, 0x090) AT(avic_bar, 0x098) AT(ghcb, 0x0a0) AT(event_inj, 0x0a8)
		AT(ncr3, 0x0b0) AT(lbr_control, 0x0b8) AT(clean, 0x0c0) AT(next_rip, 0x0c8)
		AT(insn_len, 0x0d0) AT(insn, 0x0d1) AT(es, 0x400) AT(cs, 0x410) AT(ss, 0x420)
		AT(ds, 0x430) AT(fs, 0x440) AT(gs, 0x450) AT(gdtr, 0x460) AT(ldtr, 0x470)
		AT(idtr, 0x480) AT(tr, 0x490) AT(cpl, 0x4cb) AT(efer, 0x4d0) AT(cr4, 0x548)
		AT(cr3, 0x550) AT(cr0, 0x558) AT(dr7, 0x560) AT(dr6, 0x568) AT(rflags, 0x570)
		AT(rip, 0x578) AT(rsp, 0x5d8) AT(s_cet, 0x5e0) AT(ssp, 0x5e8) AT(isst, 0x5f0)
		AT(rax, 0x5f8) AT(star, 0x600) AT(lstar, 0x608) AT(cstar, 0x610)
		AT(sfmask, 0x618) AT(kernel_gs_base, 0x620) AT(sysenter_cs, 0x628)
		AT(sysenter_esp, 0x630) AT(sysenter_eip, 0x638) AT(cr2, 0x640) AT(g_pat, 0x668)
		AT(dbgctl, 0x670) AT(br_from, 0x678) AT(br_to, 0x680) AT(last_excp_from, 0x688)
		AT(last_excp_to, 0x690)
#undef AT
	};

	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
		assert_int_equal(fields[i].ours, fields[i].manual);
	assert_int_equal(sizeof(struct vmcb), 4096);
	assert_int_equal(offsetof(struct x86_segment, attr), 2);
	assert_int_equal(offsetof(struct x86_segment, limit), 4);
	assert_int_equal(offsetof(struct x86_segment, base), 8);
}

static void kvm_interface(void **state __unused)
{
	assert_int_equal(MSR_KVM_SYSTEM_TIME, PUBLIC_SYSTEM_TIME);
	assert_int_equal(MSR_KVM_WALL_CLOCK, PUBLIC_WALL_CLOCK);
	assert_int_equal(KVM_FEATURE_NOP_IO_DELAY, PUBLIC_NOP_IO_DELAY);
	assert_int_equal(KVM_FEATURE_CLOCKSOURCE2, PUBLIC_CLOCKSOURCE2);
	assert_int_equal(KVM_FEATURE_CLOCKSOURCE_STABLE, PUBLIC_STABLE);
	/* Leaf numbers are offsets to the base, here the second place where guests look. */
	assert_int_equal(PVCLOCK_CPUID_BASE, PUBLIC_SIGNATURE + 0x100);
	assert_int_equal(PVCLOCK_CPUID_FEATURES, PUBLIC_FEATURES + 0x100);
	/* asm/pvclock-abi.h is not exported: the layout is in Linux's documentation. */
	assert_int_equal(offsetof(struct pvclock_time, tsc_timestamp), 8);
	assert_int_equal(offsetof(struct pvclock_time, system_time), 16);
	assert_int_equal(offsetof(struct pvclock_time, tsc_to_system_mul), 24);
	assert_int_equal(offsetof(struct pvclock_time, tsc_shift), 28);
	assert_int_equal(offsetof(struct pvclock_time, flags), 29);
	assert_int_equal(sizeof(struct pvclock_wall), 12);
}

/* What a guest computes, in its arithmetic. */
static uint64_t guest_ns(uint64_t ticks, uint32_t mul, int8_t shift)
{
	if (shift >= 0)
		ticks <<= shift;
	else
		ticks >>= -shift;
	return (uint64_t)((unsigned __int128)ticks * mul >> 32);
}

static void scale_is_exact(void **state __unused)
{
	for (uint64_t hz = 100000000; hz <= 5000000000ull; hz += 1234567) {
		uint32_t mul;
		int8_t shift;

		pvclock_scale(hz, &mul, &shift);
		for (uint64_t seconds = 1; seconds <= 1000; seconds *= 10) {
			uint64_t ns = guest_ns(hz * seconds, mul, shift);
			int64_t error = (int64_t)(ns - seconds * NS_PER_SEC);

			/* Less than one part in a million: 1000 ns in a second. */
			assert_true(error > -1000 * (int64_t)seconds &&
				    error < 1000 * (int64_t)seconds);
		}
	}
}

static void time_in_memory(void **state __unused)
{
	static struct vm vm;
	static struct x86_vcpu v = {.base.vm = &vm};
	struct pvclock_time t;
	struct pvclock_wall w;
	uint64_t slot = 0;

	vm.started_at = 2 * NS_PER_SEC;
	memset(ram, 0xff, sizeof(ram));
	/* The version found there goes on, odd while it is written, even after. */
	memcpy(&ram[0x100], &(uint32_t){6}, 4);
	assert_int_equal(system_time_write(&v, MSR_KVM_SYSTEM_TIME, &slot, 0x101), MSR_OK);
	assert_true(saw_odd_version);
	memcpy(&t, &ram[0x100], sizeof(t));
	assert_int_equal(t.version, 8);
	assert_int_equal(t.system_time, 3 * NS_PER_SEC);
	assert_int_equal(t.tsc_timestamp, 700);
	assert_int_equal(t.flags, 1);
	assert_int_equal(guest_ns(2000000000, t.tsc_to_system_mul, t.tsc_shift), NS_PER_SEC);
	now_ns += NS_PER_SEC;
	now_tsc = 999;
	pvclock_update(&v);
	memcpy(&t, &ram[0x100], sizeof(t));
	assert_int_equal(t.version, 10);
	assert_int_equal(t.system_time, 4 * NS_PER_SEC);
	assert_int_equal(t.tsc_timestamp, 999);
	/* Not aligned, or not in memory: refused, nothing changed. */
	assert_int_equal(system_time_write(&v, MSR_KVM_SYSTEM_TIME, &slot, 0x103), MSR_INVALID);
	assert_int_equal(system_time_write(&v, MSR_KVM_SYSTEM_TIME, &slot, 0xff1), MSR_INVALID);
	assert_int_equal(slot, 0x101);
	/* Off: no more writes. */
	assert_int_equal(system_time_write(&v, MSR_KVM_SYSTEM_TIME, &slot, 0x100), MSR_OK);
	writes = 0;
	pvclock_update(&v);
	assert_int_equal(writes, 0);
	/* Wall time at the guest's time 0. */
	now_ns = 6 * NS_PER_SEC + 5;
	assert_int_equal(wall_clock_write(&v, MSR_KVM_WALL_CLOCK, &slot, 0x200), MSR_OK);
	memcpy(&w, &ram[0x200], sizeof(w));
	assert_int_equal(w.version & 1, 0);
	assert_int_equal(w.sec, 1700000000 - 4);
	assert_int_equal(w.nsec, 0);
	assert_int_equal(wall_clock_write(&v, MSR_KVM_WALL_CLOCK, &slot, 0x202), MSR_INVALID);
	assert_int_equal(wall_clock_write(&v, MSR_KVM_WALL_CLOCK, &slot, 0x10000), MSR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exit_codes),	  cmocka_unit_test(intercepts),
		cmocka_unit_test(layout),	  cmocka_unit_test(kvm_interface),
		cmocka_unit_test(scale_is_exact), cmocka_unit_test(time_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
