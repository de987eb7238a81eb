/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSR accesses: byte for byte in each form, patched where they are, and executed here, where each
 * faults. RIP tells the form, and the fix-up is that of the exception handler.
 * libs: -lZydis -lZycore
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <Zydis/Zydis.h>

#include "panic_mock.h"
#include "../../arch/x86/cpu/msr_patch.c"
#include "../../arch/x86/cpu/traps.c"

/* What the files under test stand on. */
struct cpu_info cpu_info;
unsigned cpu_count = 1;

void apic_eoi(void)
{
}

void apic_nmi_others(void)
{
}

/* One access of each sort; those with a constant index have one of their own. */
enum { READ = 0x48, READ_SAFE = 0xc0000103, WRITE_NS = 0xc0000102, WRITE_NS_SAFE = 0x830 };
#define VALUE 0x1122334455667788

static __noinline uint64_t read_const(void)
{
	return msr_read(READ);
}

static __noinline bool read_safe_const(uint64_t *value)
{
	return msr_read_safe(READ_SAFE, value);
}

static __noinline bool read_safe(uint32_t index, uint64_t *value)
{
	return msr_read_safe(index, value);
}

static __noinline void write_ns_const(uint64_t value)
{
	msr_write_ns(WRITE_NS, value);
}

static __noinline bool write_ns_safe_const(uint64_t value)
{
	return msr_write_ns_safe(WRITE_NS_SAFE, value);
}

static __noinline void write_ns(uint32_t index, uint64_t value)
{
	msr_write_ns(index, value);
}

static __noinline bool write_ns_safe(uint32_t index, uint64_t value)
{
	return msr_write_ns_safe(index, value);
}

static __noinline bool write_safe(uint32_t index, uint64_t value)
{
	return msr_write_safe(index, value);
}

/* What the CPU has. */
static const struct {
	bool wrmsrns, msr_imm;
} cpus[] = {{false, false}, {true, false}, {false, true}, {true, true}};

static void have(unsigned cpu)
{
	cpu_info.feature[CPU_WRMSRNS] = cpus[cpu].wrmsrns;
	cpu_info.feature[CPU_MSR_IMM] = cpus[cpu].msr_imm;
}

/* The bytes of each site in each form, by hand. */
static const struct {
	enum msr_site_kind kind;
	uint32_t index;
	size_t length;
	uint8_t base[15], ns[15], imm[15];
} expected[] = {
	{MSR_SITE_WRITE, 0, 3, {0x0f, 0x30, 0x90}, {0x0f, 0x01, 0xc6}, {0x0f, 0x30, 0x90}},
	{MSR_SITE_WRITE_CONST, WRITE_NS, 15,
	 {0xb9, 0x02, 0x01, 0x00, 0xc0, 0x48, 0x89, 0xc2, 0x48, 0xc1, 0xea, 0x20, 0x0f, 0x30, 0x90},
	 {0xb9, 0x02, 0x01, 0x00, 0xc0, 0x48, 0x89, 0xc2, 0x48, 0xc1, 0xea, 0x20, 0x0f, 0x01, 0xc6},
	 {0xc4, 0xe7, 0x7a, 0xf6, 0xc0, 0x02, 0x01, 0x00, 0xc0, 0x66, 0x0f, 0x1f, 0x44, 0, 0}},
	{MSR_SITE_WRITE_CONST, WRITE_NS_SAFE, 15,
	 {0xb9, 0x30, 0x08, 0x00, 0x00, 0x48, 0x89, 0xc2, 0x48, 0xc1, 0xea, 0x20, 0x0f, 0x30, 0x90},
	 {0xb9, 0x30, 0x08, 0x00, 0x00, 0x48, 0x89, 0xc2, 0x48, 0xc1, 0xea, 0x20, 0x0f, 0x01, 0xc6},
	 {0xc4, 0xe7, 0x7a, 0xf6, 0xc0, 0x30, 0x08, 0x00, 0x00, 0x66, 0x0f, 0x1f, 0x44, 0, 0}},
	{MSR_SITE_READ_CONST, READ, 14,
	 {0xb9, 0x48, 0x00, 0x00, 0x00, 0x0f, 0x32, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0},
	 {0xb9, 0x48, 0x00, 0x00, 0x00, 0x0f, 0x32, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0},
	 {0xc4, 0xe7, 0x7b, 0xf6, 0xc0, 0x48, 0x00, 0x00, 0x00, 0x0f, 0x1f, 0x44, 0, 0}},
	{MSR_SITE_READ_CONST, READ_SAFE, 14,
	 {0xb9, 0x03, 0x01, 0x00, 0xc0, 0x0f, 0x32, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0},
	 {0xb9, 0x03, 0x01, 0x00, 0xc0, 0x0f, 0x32, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0},
	 {0xc4, 0xe7, 0x7b, 0xf6, 0xc0, 0x03, 0x01, 0x00, 0xc0, 0x0f, 0x1f, 0x44, 0, 0}},
};

enum { SITES = 6 }; /* of this program: two of the first kind */

/* The bytes that row @e should have on @cpu. */
static const uint8_t *bytes_on(unsigned e, unsigned cpu)
{
	if (cpus[cpu].msr_imm && expected[e].kind != MSR_SITE_WRITE)
		return expected[e].imm;
	return cpus[cpu].wrmsrns ? expected[e].ns : expected[e].base;
}

static uint8_t *code_of(const struct msr_site *site)
{
	return (uint8_t *)((uintptr_t)&site->code + site->code);
}

static unsigned row_of(const struct msr_site *site)
{
	for (unsigned e = 0; e < ARRAY_SIZE(expected); e++)
		if (expected[e].kind == site->kind && expected[e].index == site->index)
			return e;
	fail_msg("a site of kind %u, MSR %#x", site->kind, site->index);
	return 0;
}

static void check_all(unsigned cpu)
{
	const struct msr_site *site = SECTION_START(msr_sites);

	assert_int_equal(SECTION_END(msr_sites) - site, SITES);
	for (; site < SECTION_END(msr_sites); site++) {
		unsigned e = row_of(site);

		assert_memory_equal(code_of(site), bytes_on(e, cpu), expected[e].length);
	}
}

/* This program's text may be patched; afterwards it is as the compiler made it. */
static int make_writable(void **state __unused)
{
	const struct msr_site *site;

	for (site = SECTION_START(msr_sites); site < SECTION_END(msr_sites); site++) {
		uintptr_t page = ALIGN_DOWN((uintptr_t)code_of(site), PAGE_SIZE);

		if (mprotect((void *)page, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC))
			return -1;
	}
	return 0;
}

static int restore(void **state __unused)
{
	const struct msr_site *site;

	for (site = SECTION_START(msr_sites); site < SECTION_END(msr_sites); site++)
		memcpy(code_of(site), expected[row_of(site)].base, expected[row_of(site)].length);
	return 0;
}

static void compiler_makes_the_base(void **state __unused)
{
	check_all(0);
}

static void each_form(void **state __unused)
{
	uint8_t buffer[1 + SITE_MAX + 1];

	for (unsigned e = 0; e < ARRAY_SIZE(expected); e++) {
		struct msr_site site = {0, expected[e].index, expected[e].kind};
		size_t length = expected[e].length;

		for (unsigned cpu = 0; cpu < ARRAY_SIZE(cpus); cpu++) {
			have(cpu);
			memset(buffer, 0xcc, sizeof(buffer));
			memcpy(buffer + 1, expected[e].base, length);
			for (unsigned time = 1; time <= 2; time++) {
				patch(&site, buffer + 1, choose(site.kind));
				assert_memory_equal(buffer + 1, bytes_on(e, cpu), length);
				assert_int_equal(buffer[0], 0xcc);
				assert_int_equal(buffer[1 + length], 0xcc);
			}
		}
	}
}

static __noinline void patch_panics(const struct msr_site *site, uint8_t *code)
{
	assert_panics(patch(site, code, choose(site->kind)));
}

/* Anything unexpected in the place is not written over. */
static void foreign_code_is_noticed(void **state __unused)
{
	for (unsigned e = 0; e < ARRAY_SIZE(expected); e++) {
		struct msr_site site = {0, expected[e].index, expected[e].kind};

		for (size_t i = 0; i < expected[e].length; i++) {
			uint8_t code[SITE_MAX], before[SITE_MAX];

			memcpy(code, expected[e].base, SITE_MAX);
			code[i] ^= 0x40;
			memcpy(before, code, SITE_MAX);
			for (unsigned cpu = 0; cpu < ARRAY_SIZE(cpus); cpu++) {
				have(cpu);
				patch_panics(&site, code);
				assert_memory_equal(code, before, SITE_MAX);
			}
		}
	}
	assert_panics(patch(&(struct msr_site){0, 0, ARRAY_SIZE(codes)}, NULL, MSR_FORM_BASE));
}

/* Zydis, which knows neither WRMSRNS nor the immediate forms, about the rest. */
static void another_decoder(const uint8_t *bytes, size_t length, const ZydisMnemonic *want)
{
	ZydisDecoder decoder;
	ZydisDecodedInstruction z;
	size_t at = 0;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (; at < length; at += z.length, want++) {
		assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes + at,
								       length - at, &z)));
		assert_int_equal(z.mnemonic, *want);
	}
	assert_int_equal(at, length);
	assert_int_equal(*want, ZYDIS_MNEMONIC_INVALID);
}

static void zydis_agrees(void **state __unused)
{
	enum { IMM_LENGTH = 9 };
#define SEQUENCE(...) ((const ZydisMnemonic[]){__VA_ARGS__, ZYDIS_MNEMONIC_INVALID})
#define M(name)	      ZYDIS_MNEMONIC_##name
	const ZydisMnemonic *const base[] = {
		[MSR_SITE_WRITE] = SEQUENCE(M(WRMSR), M(NOP)),
		[MSR_SITE_WRITE_CONST] = SEQUENCE(M(MOV), M(MOV), M(SHR), M(WRMSR), M(NOP)),
		[MSR_SITE_READ_CONST] = SEQUENCE(M(MOV), M(RDMSR), M(SHL), M(OR)),
	};

	for (unsigned e = 0; e < ARRAY_SIZE(expected); e++) {
		another_decoder(expected[e].base, expected[e].length, base[expected[e].kind]);
		if (expected[e].kind != MSR_SITE_WRITE)
			another_decoder(expected[e].imm + IMM_LENGTH,
					expected[e].length - IMM_LENGTH, SEQUENCE(M(NOP)));
	}
}

/* What the execution of an access leads to. */
static uintptr_t fault_at;
static uint64_t fault_rax, fault_rcx, fault_rdx;
static unsigned faults;
static sigjmp_buf unexpected;

/* #GP, or #UD where the form is newer than this machine, becomes a #GP of ours. */
static void on_signal(int number __unused, siginfo_t *info __unused, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	struct trap_frame frame = {.vector = VECTOR_GP, .rip = regs[REG_RIP]};

	faults++;
	fault_at = frame.rip;
	fault_rax = regs[REG_RAX];
	fault_rcx = regs[REG_RCX];
	fault_rdx = regs[REG_RDX];
	trap_handle(&frame);
	regs[REG_RIP] = frame.rip;
}

static void no_fixup(struct trap_frame *frame __unused)
{
	siglongjmp(unexpected, 1);
}

/* For the test that runs: cmocka puts handlers of its own in place for each. */
static void catch_faults(void)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	trap_bind_fatal(no_fixup);
	assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
	assert_int_equal(sigaction(SIGILL, &action, NULL), 0);
}

static void access_read(void)
{
	read_const();
}

static void access_write(void)
{
	write_ns_const(VALUE);
}

static void access_write_any(void)
{
	write_ns(READ, VALUE);
}

static __noinline bool has_no_fixup(void (*access)(void))
{
	faults = 0;
	if (sigsetjmp(unexpected, 1))
		return true;
	access();
	return false;
}

static const struct msr_site *site_of(uint32_t index)
{
	const struct msr_site *site = SECTION_START(msr_sites);

	while (site->index != index)
		site++;
	return site;
}

/* How far into a site with constant index the access is, on @cpu. */
static unsigned access_at(unsigned cpu, enum msr_site_kind kind)
{
	if (cpus[cpu].msr_imm)
		return 0;
	return kind == MSR_SITE_READ_CONST ? 5 : 12;
}

static void faults_are_fixed_up(void **state)
{
	catch_faults();
	for (unsigned cpu = 0; cpu < ARRAY_SIZE(cpus); cpu++) {
		uint64_t value = VALUE;
		const struct msr_site *site = site_of(READ_SAFE);

		have(cpu);
		msr_patch();
		check_all(cpu);
		faults = 0;
		assert_false(read_safe_const(&value));
		assert_int_equal(value, 0);
		assert_int_equal(fault_at, code_of(site) + access_at(cpu, site->kind));

		site = site_of(WRITE_NS_SAFE);
		assert_false(write_ns_safe_const(VALUE));
		assert_int_equal(fault_at, code_of(site) + access_at(cpu, site->kind));
		if (cpus[cpu].msr_imm) {
			assert_int_equal(fault_rax, VALUE);
		} else {
			assert_int_equal(fault_rcx, WRITE_NS_SAFE);
			assert_int_equal((uint32_t)fault_rax, (uint32_t)VALUE);
			assert_int_equal((uint32_t)fault_rdx, VALUE >> 32);
		}

		value = VALUE;
		assert_false(read_safe(READ, &value));
		assert_int_equal(value, 0);
		assert_int_equal(fault_rcx, READ);
		assert_false(write_ns_safe(READ, VALUE));
		assert_int_equal(fault_rcx, READ);
		assert_int_equal((uint32_t)fault_rdx, VALUE >> 32);
		assert_memory_equal((void *)fault_at, bytes_on(0, cpu), expected[0].length);
		assert_false(write_safe(READ, VALUE));
		assert_int_equal((uint32_t)fault_rax, (uint32_t)VALUE);
		assert_memory_equal((void *)fault_at, expected[0].base,
				    2); /* serializes for good */
		assert_int_equal(faults, 5);
		restore(state);
	}
}

/* The others must not fault; if they do, that is not passed over. */
static void others_have_no_fixup(void **state)
{
	catch_faults();
	for (unsigned cpu = 0; cpu < ARRAY_SIZE(cpus); cpu++) {
		have(cpu);
		msr_patch();
		assert_true(has_no_fixup(access_read));
		assert_int_equal(fault_at,
				 code_of(site_of(READ)) + access_at(cpu, MSR_SITE_READ_CONST));
		assert_true(has_no_fixup(access_write));
		assert_int_equal(fault_at,
				 code_of(site_of(WRITE_NS)) + access_at(cpu, MSR_SITE_WRITE_CONST));
		assert_true(has_no_fixup(access_write_any));
		assert_memory_equal((void *)fault_at, bytes_on(0, cpu), expected[0].length);
		assert_int_equal(faults, 1);
		restore(state);
	}
}

static void patched_twice(void **state)
{
	for (unsigned cpu = 0; cpu < ARRAY_SIZE(cpus); cpu++) {
		have(cpu);
		logged_lines = 0;
		for (unsigned time = 1; time <= 2; time++) {
			msr_patch();
			check_all(cpu);
			assert_int_equal(logged_lines, time);
		}
		restore(state);
	}
}

/* The raw accesses compile alone, for 32-bit code too, and are these instructions. */
static void raw_in_both_modes(void **state __unused)
{
	static const char *const modes[] = {"-m32", "-m64"};

	for (unsigned m = 0; m < ARRAY_SIZE(modes); m++) {
		char command[512], bytes[4096];
		size_t size;
		FILE *f;

		snprintf(command, sizeof(command),
			 "echo 'uint64_t f(uint32_t i, uint64_t v)"
			 " { msr_raw_write(i, v); return msr_raw_read(i); }' | "
			 "gcc %s -std=c17 -O2 -ffreestanding -fcf-protection=none -Wall -Wextra "
			 "-Werror -include include/socle/cpu/msr_raw.h -x c -c -o "
			 "build/unit/raw%s.o "
			 "- && objcopy -O binary -j .text build/unit/raw%s.o /dev/stdout",
			 modes[m], modes[m], modes[m]);
		f = popen(command, "r");
		assert_non_null(f);
		size = fread(bytes, 1, sizeof(bytes), f);
		assert_int_equal(pclose(f), 0);
		assert_non_null(memmem(bytes, size, "\x0f\x30", 2));
		assert_non_null(memmem(bytes, size, "\x0f\x32", 2));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compiler_makes_the_base),
		cmocka_unit_test(each_form),
		cmocka_unit_test(foreign_code_is_noticed),
		cmocka_unit_test(zydis_agrees),
		cmocka_unit_test_setup_teardown(patched_twice, make_writable, restore),
		cmocka_unit_test_setup_teardown(faults_are_fixed_up, make_writable, restore),
		cmocka_unit_test_setup_teardown(others_have_no_fixup, make_writable, restore),
		cmocka_unit_test(raw_in_both_modes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
