/* SPDX-License-Identifier: BSD-2-Clause */
/* Extended state on CPUs of the test's making: each vCPU finds its own again, and nobody else's. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define SOCLE_CPU_XSTATE_H /* what is in that header is below */
enum { XSTATE_BV = 512, XCOMP_BV = 520, XSTATE_HEADER_END = 576 };
#define XCOMP_BV_COMPACTED BIT(63)

#include "socle/cpu/cpu.h"
#include "cpuid_mock.h"
#undef xgetbv
#define xgetbv(index)	     ((void)(index), machine()->xcr0)
#define xsetbv(index, value) mock_xsetbv(value)
#undef msr_read
#undef msr_write
#define msr_read(index)		mock_msr_read(index)
#define msr_write(index, value) mock_msr_write(index, value)
#define msr_write_ns		msr_write
#define cr0_read()		0ull
#define cr4_read()		mock_cr4
#define cr0_write(value)	((void)(value))
#define cr4_write(value)	(mock_cr4 = (value))
static uint64_t mock_cr4;

enum { COMPONENTS = 13, CPUS = 2 };

/* One CPU: a value stands for all of a component's registers; 0 is its initial state. */
static struct machine {
	uint64_t xcr0, xss, value[COMPONENTS], dr[4], tsc_aux;
	const void *restored_from; /* by the last XRSTOR or XRSTORS */
	uint64_t modified;	   /* since then */
	unsigned saves, xsetbvs;
} machines[CPUS];

uint64_t tsc_hz = 2400000000;

static struct machine *machine(void)
{
	return &machines[test_cpu_index];
}

static void mock_xsetbv(uint64_t value)
{
	assert_true(value & 1);
	assert_false(value & ~host_xcr0);
	machine()->xcr0 = value;
	machine()->xsetbvs++;
}

static uint64_t mock_msr_read(uint32_t index)
{
	assert_int_equal(index, MSR_TSC_AUX);
	return machine()->tsc_aux;
}

static void mock_msr_write(uint32_t index, uint64_t value)
{
	assert_true(index == MSR_TSC_AUX || index == MSR_XSS);
	if (index == MSR_XSS)
		assert_false(value & ~host_xss);
	*(index == MSR_XSS ? &machine()->xss : &machine()->tsc_aux) = value;
}

/* Where component @i is in an area, and how large it is (SDM vol. 1, 13.4). */
static size_t place_of(unsigned i, uint64_t xcomp_bv, size_t *size)
{
	size_t at = 576;

	if (i < 2) {
		*size = i ? 256 : 128;
		return i ? 160 : 32;
	}
	*size = mock_cpuid(0xd, i).eax;
	if (!(xcomp_bv & XCOMP_BV_COMPACTED))
		return mock_cpuid(0xd, i).ebx;
	for (unsigned k = 2; k <= i; k++) {
		struct cpuid c = mock_cpuid(0xd, k);

		if (!(xcomp_bv & BIT(k)))
			continue;
		if (c.ecx & 2)
			at = ALIGN_UP(at, 64ull);
		if (k < i)
			at += c.eax;
	}
	return at;
}

static uint64_t get64(const void *area, size_t at)
{
	uint64_t x;

	memcpy(&x, (const char *)area + at, sizeof(x));
	return x;
}

static void set64(void *area, size_t at, uint64_t x)
{
	memcpy((char *)area + at, &x, sizeof(x));
}

enum { PLAIN, OPTIMIZED, SUPERVISOR };

static void save_components(void *area, uint64_t which, int how)
{
	struct machine *m = machine();
	uint64_t rfbm = which & (m->xcr0 | (how == SUPERVISOR ? m->xss : 0)), bv;
	uint64_t xcomp_bv = how == SUPERVISOR ? XCOMP_BV_COMPACTED | rfbm : 0;

	/* What is asked for is there, and is all that is not initial and was reached. */
	assert_true(rfbm == which);
	bv = how == SUPERVISOR ? 0 : get64(area, XSTATE_BV) & ~rfbm;
	for (unsigned i = 0; i < COMPONENTS; i++) {
		size_t size, at = place_of(i, xcomp_bv, &size);

		if (!(rfbm & BIT(i)))
			continue;
		if (m->value[i])
			bv |= BIT(i);
		if (how != PLAIN &&
		    (!m->value[i] || (m->restored_from == area && !(m->modified & BIT(i)))))
			continue;
		for (size_t k = 0; k < size; k += 8)
			set64(area, at + k, m->value[i]);
	}
	set64(area, XSTATE_BV, bv);
	if (how == SUPERVISOR)
		set64(area, XCOMP_BV, xcomp_bv);
	m->saves++;
}

static void restore_components(const void *area, uint64_t which, int how)
{
	struct machine *m = machine();
	uint64_t enabled = m->xcr0 | (how == SUPERVISOR ? m->xss : 0);
	uint64_t bv = get64(area, XSTATE_BV), xcomp_bv = get64(area, XCOMP_BV);

	/* What would fault. */
	assert_true((how == SUPERVISOR) == (xcomp_bv >> 63));
	assert_false((xcomp_bv & ~XCOMP_BV_COMPACTED) & ~enabled);
	assert_false(bv & ~(how == SUPERVISOR ? xcomp_bv : enabled));
	assert_true((which & enabled) == which);
	for (unsigned i = 0; i < COMPONENTS; i++) {
		size_t size, at = place_of(i, xcomp_bv, &size);

		if (!(which & BIT(i)))
			continue;
		m->value[i] = bv & BIT(i) ? get64(area, at + size - 8) : 0;
	}
	m->restored_from = area;
	m->modified = ~which;
}

static void xsave(void *area, uint64_t which)
{
	save_components(area, which, PLAIN);
}

static void xsaveopt(void *area, uint64_t which)
{
	save_components(area, which, OPTIMIZED);
}

static void xsaves(void *area, uint64_t which)
{
	save_components(area, which, SUPERVISOR);
}

static void xrstor(const void *area, uint64_t which)
{
	restore_components(area, which, PLAIN);
}

static void xrstors(const void *area, uint64_t which)
{
	restore_components(area, which, SUPERVISOR);
}

static void fxsave(void *area)
{
	set64(area, 32, machine()->value[0]);
	set64(area, 504, machine()->value[1]);
}

static void fxrstor(const void *area)
{
	machine()->value[0] = get64(area, 32);
	machine()->value[1] = get64(area, 504);
}

static uint32_t rdpkru(void)
{
	assert_true(mock_cr4 & CR4_PKE);
	return (uint32_t)machine()->value[9];
}

static void breakpoints_read(uint64_t dr[4])
{
	memcpy(dr, machine()->dr, sizeof(machine()->dr));
}

static void breakpoints_write(const uint64_t dr[4])
{
	memcpy(machine()->dr, dr, sizeof(machine()->dr));
}

#include "../../arch/x86/guest/cpuid.c"

struct lbr_offer lbr_offer;
#include "../../arch/x86/guest/context.c"

/* Control-flow enforcement is moved by others: who is told what. */
struct cet_caps cet_caps = {.shadow_stacks = true};
static const struct x86_vcpu *cet_saved, *cet_restored, *cet_was_reset, *cet_initialized;
static bool cet_here;
static unsigned cet_cpus;

void cet_cpu_on(void)
{
	cet_cpus++;
}

void cet_save(struct x86_vcpu *v)
{
	cet_saved = v;
}

void cet_restore(const struct x86_vcpu *v)
{
	cet_restored = v;
}

void cet_reset(struct x86_vcpu *v)
{
	cet_was_reset = v;
}

void cet_init(struct x86_vcpu *v, bool here)
{
	cet_initialized = v;
	cet_here = here;
}

const struct vendor *vendor;

/* Exactly as large as asked, so that ASan sees what goes beyond. */
void *pages_alloc(size_t bytes, uint32_t owner __unused)
{
	return calloc(1, bytes);
}

/* IA32_PKRS and leaks are others', too. */
static const struct x86_vcpu *pks_saved, *pks_restored, *pks_was_reset;

void pks_save(struct x86_vcpu *v)
{
	pks_saved = v;
}

void pks_restore(const struct x86_vcpu *v)
{
	pks_restored = v;
}

void pks_reset(struct x86_vcpu *v)
{
	pks_was_reset = v;
}

static unsigned announced[16], announcements; /* numbers of guests that come to a CPU */

void mitigations_before_guest(unsigned number)
{
	/* Between the former guest's registers and this one's. */
	assert_null(holder()->vcpu);
	announced[announcements++ % ARRAY_SIZE(announced)] = number;
}

/* Models: all, AVX at most, no XSAVE at all, and as the first but without supervisor state. */
enum { ALL_OF_IT, AVX_ONLY, NO_XSAVE, NO_XSAVES, MODELS };
static struct guest_cpuid models[MODELS];
static struct x86_vcpu vcpus[2 * MODELS];
static struct vm vms[2 * MODELS];

static void boot(void)
{
	memset(machines, 0, sizeof(machines));
	machine_xcr0 = machine_xss = 0;
	for (test_cpu_index = 0; test_cpu_index < CPUS; test_cpu_index++) {
		machine()->xcr0 = 1;
		/* Left by firmware. */
		for (unsigned i = 0; i < COMPONENTS; i++)
			if ((host_xcr0 | host_xss) & BIT(i))
				machine()->value[i] = 0xf1f1 + i;
		context_cpu_on();
	}
	test_cpu_index = 0;
	for (unsigned i = 0; i < MODELS; i++) {
		struct vm_cpu m;

		cpu_model_host(&m);
		if (i == AVX_ONLY) {
			cpu_model_drop(&m, GUEST_avx2);
			cpu_model_drop(&m, GUEST_pku);
		}
		if (i == NO_XSAVE)
			cpu_model_drop(&m, GUEST_xsave);
		if (i != ALL_OF_IT)
			cpu_model_drop(&m, GUEST_xsaves);
		cpuid_build(&models[i], &m, 1, false);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(vcpus); i++) {
		free(vcpus[i].fpu);
		memset(&vcpus[i], 0xee, sizeof(vcpus[i]));
		vcpus[i].cpuid = &models[i % MODELS];
		vms[i].id = i / 2;
		vcpus[i].base.vm = &vms[i];
		assert_int_equal(context_create(&vcpus[i]), 0);
		context_reset(&vcpus[i]);
	}
}

static int setup(void **state __unused)
{
	mock_reset();
	host_xcr0 = 0x2e7;
	host_xss = mock_xss_virtualized = 0x1800;
	cpu_info.feature[CPU_XSAVE] = cpu_info.feature[CPU_RDTSCP] = true;
	cpu_info.vendor = CPU_VENDOR_INTEL;
	boot();
	return 0;
}

static uint64_t components_of_vcpu(const struct x86_vcpu *v)
{
	return v->cpuid->xcr0 | v->cpuid->xss | 3;
}

/* What the vCPU that is loaded does: XSETBV and changes of @which. */
static void paint(uint64_t which, uint64_t value)
{
	struct machine *m = machine();

	for (unsigned i = 0; i < COMPONENTS; i++)
		if (which & BIT(i))
			m->value[i] = value ? value + i : 0;
	m->modified |= which;
}

/* That they are there, and all others are initial. */
static void is_painted(uint64_t which, uint64_t value)
{
	for (unsigned i = 0; i < COMPONENTS; i++) {
		uint64_t expected = which & BIT(i) ? value + i : 0;

		if (i > 1 && machine()->value[i] != expected)
			fail_msg("component %u is %#lx, not %#lx", i, machine()->value[i],
				 expected);
		if (i <= 1 && (which & BIT(i)))
			assert_int_equal(machine()->value[i], expected);
	}
}

static void everybody_has_their_own(void **state __unused)
{
	for (unsigned i = 0; i < ARRAY_SIZE(vcpus); i++) {
		uint64_t all = components_of_vcpu(&vcpus[i]);

		context_load(&vcpus[i]);
		/* At first there is nothing, neither of others nor of the firmware. */
		is_painted(0, 0);
		assert_int_equal(machine()->xcr0, 1);
		assert_int_equal(machine()->xss, 0);
		if (vcpus[i].cpuid->xcr0)
			mock_xsetbv(vcpus[i].cpuid->xcr0);
		context_set_xss(&vcpus[i], vcpus[i].cpuid->xss);
		assert_true(machine()->xss == vcpus[i].cpuid->xss);
		paint(all, 0x1000 * (i + 1));
		machine()->dr[2] = i;
		machine()->tsc_aux = 10 + i;
	}
	for (unsigned round = 0; round < 20; round++) {
		unsigned i = round * 3 % ARRAY_SIZE(vcpus);
		struct x86_vcpu *v = &vcpus[i];

		context_load(v);
		is_painted(components_of_vcpu(v), 0x1000 * (i + 1));
		assert_int_equal(machine()->dr[2], i);
		assert_int_equal(machine()->tsc_aux, 10 + i);
		assert_true(machine()->xcr0 == (v->cpuid->xcr0 ?: 1));
		assert_true(machine()->xss == v->cpuid->xss);
		if (round % 3 == 0) { /* to the other CPU */
			context_release(v);
			test_cpu_index ^= 1;
			context_load(v);
			is_painted(components_of_vcpu(v), 0x1000 * (i + 1));
			context_release(v);
			test_cpu_index ^= 1;
		}
	}
}

static void loaded_already(void **state __unused)
{
	context_load(&vcpus[0]);
	paint(7, 0x5000);
	context_load(&vcpus[0]);
	is_painted(7, 0x5000);
	assert_int_equal(machine()->saves, 0);
	context_release(&vcpus[1]); /* not there */
	assert_int_equal(machine()->saves, 0);
	context_release(&vcpus[0]);
	context_release(&vcpus[0]);
	assert_int_equal(machine()->saves, 1);
}

/* State that was painted before XCR0 shrank is still the vCPU's. */
static void xcr0_shrinks(void **state __unused)
{
	context_load(&vcpus[AVX_ONLY]);
	mock_xsetbv(7);
	paint(7, 0x7000);
	mock_xsetbv(1);
	context_load(&vcpus[NO_XSAVE]);
	is_painted(0, 0);
	context_load(&vcpus[AVX_ONLY]);
	assert_int_equal(machine()->xcr0, 1);
	is_painted(7, 0x7000);
}

/* Nothing is written that is there: below another hypervisor, XSETBV makes an exit. */
static void xcr0_stays(void **state __unused)
{
	struct x86_vcpu *a = &vcpus[NO_XSAVES], *b = &vcpus[NO_XSAVES + MODELS];

	context_load(a);
	/* That is what all of it is saved and restored with. */
	mock_xsetbv(a->cpuid->xcr0);
	context_load(b);
	mock_xsetbv(b->cpuid->xcr0);
	machine()->xsetbvs = 0;
	context_load(a);
	context_load(b);
	assert_int_equal(machine()->xsetbvs, 0);
	/* What one leaves behind that is reset is not taken for what is known. */
	mock_xsetbv(1);
	context_reset(b);
	context_load(a);
	assert_true(machine()->xcr0 == a->cpuid->xcr0);
	context_load(b);
	assert_int_equal(machine()->xcr0, 1);
}

/* WRPKRU needs no bit of XCR0: a guest may reach PKRU without having it. */
static void pkru_without_protection_keys(void **state __unused)
{
	context_load(&vcpus[NO_XSAVE]);
	paint(XCR0_PKRU, 0x9000);
	context_load(&vcpus[NO_XSAVE + MODELS]);
	is_painted(0, 0);
	paint(XCR0_PKRU, 0x9000);
	context_release(&vcpus[NO_XSAVE + MODELS]);
	context_load(&vcpus[AVX_ONLY]);
	is_painted(0, 0);
}

static void pkru_is_read(void **state __unused)
{
	context_load(&vcpus[NO_XSAVES]);
	paint(XCR0_PKRU, 0x9000);
	assert_int_equal(context_pkru(), 0x9009);
	assert_false(mock_cr4 & CR4_PKE);
	assert_true(mock_cr4 & CR4_OSXSAVE);
}

static void sizes(void **state __unused)
{
	/* To the end of its last component; compacted with supervisor state. */
	assert_int_equal(area_size(&vcpus[NO_XSAVES]), 2696);
	assert_int_equal(area_size(&vcpus[AVX_ONLY]), 832);
	assert_int_equal(area_size(&vcpus[NO_XSAVE]), 576);
	models[ALL_OF_IT].xcr0 = 7;
	assert_int_equal(area_size(&vcpus[ALL_OF_IT]), 832 + 16 + 24);
}

static void initialized(void **state __unused)
{
	for (unsigned i = 0; i < MODELS; i++) {
		struct x86_vcpu *v = &vcpus[i];

		context_load(v);
		paint(components_of_vcpu(v), 0x3000);
		context_set_xss(v, v->cpuid->xss);
		/* INIT leaves all but XSS and the breakpoints alone. */
		machine()->dr[0] = machine()->dr[3] = machine()->tsc_aux = 5;
		context_init(v);
		assert_int_equal(v->xss | machine()->xss, 0);
		assert_int_equal(machine()->dr[0] | machine()->dr[3], 0);
		assert_int_equal(machine()->tsc_aux, 5);
		is_painted(components_of_vcpu(v), 0x3000);
		machine()->dr[0] = machine()->tsc_aux = 5;
		context_reset(v);
		context_load(v);
		is_painted(0, 0);
		assert_int_equal(machine()->dr[0] | machine()->tsc_aux, 0);
		assert_int_equal(((uint16_t *)v->fpu)[0], 0x37f);
		assert_int_equal(((uint32_t *)v->fpu)[6], 0x1f80);
	}
	/* While another has the CPU, it is left alone. */
	context_set_xss(&vcpus[ALL_OF_IT], 0x800);
	assert_int_equal(machine()->xss, 0);
	context_load(&vcpus[ALL_OF_IT]);
	assert_int_equal(machine()->xss, 0x800);
	machine()->dr[1] = 5;
	context_load(&vcpus[NO_XSAVES]);
	assert_int_equal(machine()->xss, 0);
	machine()->dr[1] = 6;
	context_init(&vcpus[ALL_OF_IT]);
	assert_int_equal(machine()->dr[1], 6);
	context_load(&vcpus[ALL_OF_IT]);
	assert_int_equal(machine()->dr[1] | machine()->xss, 0);
}

/* Any order of loads, moves, changes and resets, against what each vCPU should have. */
static void at_random(void **state __unused)
{
	static uint64_t expected[ARRAY_SIZE(vcpus)][COMPONENTS];
	struct x86_vcpu *on[CPUS] = {NULL};
	uint64_t seed = 7;

	memset(expected, 0, sizeof(expected));
	for (unsigned i = 0; i < ARRAY_SIZE(vcpus); i++)
		expected[i][0] = expected[i][1] = UINT64_MAX; /* not painted yet */
	for (unsigned step = 0; step < 50000; step++) {
		unsigned n, c;
		struct x86_vcpu *v;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		n = (seed >> 33) % ARRAY_SIZE(vcpus);
		v = &vcpus[n];
		test_cpu_index = seed >> 50 & 1;
		if (on[test_cpu_index ^ 1] == v) {
			test_cpu_index ^= 1;
			context_release(v);
			on[test_cpu_index] = NULL;
			test_cpu_index ^= 1;
		}
		context_load(v);
		on[test_cpu_index] = v;
		for (c = 0; c < COMPONENTS; c++)
			if (expected[n][c] != UINT64_MAX && machine()->value[c] != expected[n][c])
				fail_msg("step %u: component %u of %u", step, c, n);
		c = (seed >> 40) % COMPONENTS;
		if (!(components_of_vcpu(v) & BIT(c)))
			continue;
		expected[n][c] = seed >> 60 ? seed : 0;
		machine()->value[c] = expected[n][c];
		machine()->modified |= BIT(c);
		if (v->cpuid->xcr0)
			mock_xsetbv((seed >> 55 & v->cpuid->xcr0) | 1);
		context_set_xss(v, seed >> 20 & v->cpuid->xss);
	}
}

static void at_random_without_options(void **state)
{
	at_random(state);
	/* No XSAVES; no XSAVEOPT either. */
	host_lacks(GUEST_xsaves);
	host_xss = 0;
	boot();
	at_random(state);
	host_lacks(GUEST_xsaveopt);
	boot();
	at_random(state);
}

static void without_xsave(void **state __unused)
{
	cpu_info.feature[CPU_XSAVE] = false;
	host_lacks(GUEST_xsave);
	host_xcr0 = 0;
	boot();
	assert_int_equal(area_size(&vcpus[0]), 512);
	context_load(&vcpus[0]);
	paint(3, 0x6000);
	context_load(&vcpus[1]);
	paint(3, 0x8000);
	context_load(&vcpus[0]);
	assert_int_equal(machine()->value[0], 0x6000);
	assert_int_equal(machine()->value[1], 0x6001);
}

/* Its registers come and go with the rest, and never by XSAVES. */
static void cet_goes_along(void **state __unused)
{
	struct x86_vcpu *a = &vcpus[ALL_OF_IT], *b = &vcpus[AVX_ONLY];

	mock_xss_by_msr = 0x1800;
	cet_cpus = 0;
	boot();
	assert_int_equal(cet_cpus, CPUS);
	assert_ptr_equal(cet_was_reset, &vcpus[ARRAY_SIZE(vcpus) - 1]);
	assert_int_equal(a->cpuid->xss, 0x1800);
	assert_int_equal(area_size(a), area_size(&vcpus[NO_XSAVES]));
	cet_saved = NULL;
	context_load(a);
	assert_ptr_equal(cet_restored, a);
	assert_null(cet_saved);
	/* What is in the CPU of these components is not touched, not even what firmware left. */
	assert_int_equal(machine()->value[11], 0xf1f1 + 11);
	assert_int_equal(machine()->value[12], 0xf1f1 + 12);
	machine()->value[11] = 0x1111;
	machine()->value[12] = 0x2222;
	context_load(b);
	assert_ptr_equal(cet_saved, a);
	assert_ptr_equal(cet_restored, b);
	assert_int_equal(machine()->value[11], 0x1111);
	assert_int_equal(machine()->value[12], 0x2222);
	assert_int_equal(get64(a->fpu, XCOMP_BV), 0);
	context_load(b);
	assert_ptr_equal(cet_saved, a);
	context_release(b);
	assert_ptr_equal(cet_saved, b);
	/* Where no guest has any of it, there is nothing to move. */
	cet_caps.shadow_stacks = false;
	context_load(a);
	context_load(b);
	assert_ptr_equal(cet_saved, b);
	assert_ptr_equal(cet_restored, b);
	cet_caps.tracking = true;
	context_load(a);
	assert_ptr_equal(cet_saved, b);
	assert_ptr_equal(cet_restored, a);
	cet_caps = (struct cet_caps){.shadow_stacks = true};
	/* IA32_XSS is the guest's all the same. */
	context_load(a);
	context_set_xss(a, 0x1800);
	assert_int_equal(machine()->xss, 0x1800);
	context_init(a);
	assert_true(cet_initialized == a && cet_here);
	context_init(b);
	assert_true(cet_initialized == b && !cet_here);
}

/* So does IA32_PKRS; and each guest is announced before its registers are loaded. */
static void guests_are_announced(void **state __unused)
{
	struct x86_vcpu *a = &vcpus[ALL_OF_IT], *b = &vcpus[AVX_ONLY], *c = &vcpus[NO_XSAVE];

	assert_ptr_equal(pks_was_reset, &vcpus[ARRAY_SIZE(vcpus) - 1]);
	announcements = 0;
	context_load(a);
	assert_ptr_equal(pks_restored, a);
	context_load(a);
	assert_int_equal(announcements, 1);
	context_load(b);
	assert_true(pks_saved == a && pks_restored == b);
	context_release(b);
	assert_ptr_equal(pks_saved, b);
	context_load(c);
	assert_int_equal(announcements, 3);
	assert_int_equal(announced[0], a->base.vm->id);
	assert_int_equal(announced[1], b->base.vm->id);
	assert_int_equal(announced[2], c->base.vm->id);
	assert_int_not_equal(announced[1], announced[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(everybody_has_their_own, setup),
		cmocka_unit_test_setup(loaded_already, setup),
		cmocka_unit_test_setup(xcr0_shrinks, setup),
		cmocka_unit_test_setup(xcr0_stays, setup),
		cmocka_unit_test_setup(pkru_without_protection_keys, setup),
		cmocka_unit_test_setup(pkru_is_read, setup),
		cmocka_unit_test_setup(guests_are_announced, setup),
		cmocka_unit_test_setup(sizes, setup),
		cmocka_unit_test_setup(initialized, setup),
		cmocka_unit_test_setup(at_random_without_options, setup),
		cmocka_unit_test_setup(without_xsave, setup),
		cmocka_unit_test_setup(cet_goes_along, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
