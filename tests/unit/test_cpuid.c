/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPU model of a guest: what never shows, what depends on state, sizes, and empty leaves. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "cpuid_mock.h"
#include "../../arch/x86/guest/cpuid.c"

struct lbr_offer lbr_offer;

uint64_t tsc_hz = 2400000000;

static void mock_load(struct x86_vcpu *v __unused, uint32_t groups __unused)
{
}

static const struct vendor mock_vendor = {.load = mock_load};
const struct vendor *vendor = &mock_vendor;

static struct guest_cpuid model;
static struct x86_vcpu v;

static struct vm_cpu features;
static bool counters; /* the guest is to have them */

static void build_model(unsigned cpus)
{
	cpuid_build(&model, &features, cpus, counters);
	v = (struct x86_vcpu){.cpuid = &model};
}

static void build(uint32_t fill, unsigned cpus)
{
	host_fill = fill;
	cpu_model_host(&features);
	build_model(cpus);
}

static int setup(void **state __unused)
{
	mock_reset();
	counters = false;
	lbr_offer = (struct lbr_offer){0};
	pmu_offer = (struct pmu_offer){0};
	build(UINT32_MAX, 1);
	return 0;
}

static struct cpuid get(uint32_t leaf, uint32_t subleaf)
{
	return cpuid_guest(&v, leaf, subleaf);
}

static void is_zero(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid r = get(leaf, subleaf);

	if (r.eax | r.ebx | r.ecx | r.edx)
		fail_msg("leaf %#x, subleaf %#x is not empty", leaf, subleaf);
}

/* On a host that has everything, and on one that has nothing. */
static void every_feature_shows(void **state __unused)
{
	counters = true;
	lbr_offer.perf_capabilities = 5;
	build(UINT32_MAX, 1);
	for (enum guest_feature f = 1; f < GUEST_FEATURE_COUNT; f++) {
		const struct guest_feature_row *r = &guest_features[f];
		struct cpuid c = get(r->leaf, r->subleaf);

		if (!((uint32_t[]){c.eax, c.ebx, c.ecx, c.edx}[r->reg] >> r->bit & 1))
			fail_msg("%s does not show", r->name);
	}
}

static void hidden_features(void **state __unused)
{
	static const struct {
		uint32_t leaf;
		unsigned reg, bit;
		const char *name;
	} hidden[] = {
		{1, 2, 2, "DTES64"},
		{1, 2, 3, "MONITOR"},
		{1, 2, 4, "DS-CPL"},
		{1, 2, 5, "VMX"},
		{1, 2, 6, "SMX"},
		{1, 2, 7, "EIST"},
		{1, 2, 8, "TM2"},
		{1, 2, 17, "PCID"},
		{1, 2, 18, "DCA"},
		{1, 3, 7, "MCE"},
		{1, 3, 14, "MCA"},
		{1, 3, 18, "PSN"},
		{1, 3, 21, "DS"},
		{1, 3, 22, "ACPI"},
		{1, 3, 29, "TM"},
		{7, 1, 2, "SGX"},
		{7, 1, 4, "HLE"},
		{7, 1, 11, "RTM"},
		{7, 1, 12, "RDT-M"},
		{7, 1, 14, "MPX"},
		{7, 1, 15, "RDT-A"},
		{7, 1, 25, "PT"},
		{7, 2, 5, "WAITPKG"},
		{7, 2, 22, "RDPID"},
		{7, 2, 29, "ENQCMD"},
		{7, 3, 30, "CORE_CAP"},
		{0x80000001, 2, 2, "SVM"},
		{0x80000001, 2, 10, "IBS"},
		{0x80000001, 2, 12, "SKINIT"},
		{0x80000001, 2, 13, "WDT"},
		{0x80000001, 2, 23, "PERFCTR_CORE"},
		{0x80000001, 2, 29, "MWAITX"},
		{0x80000008, 1, 4, "RDPRU"},
		{0x80000008, 1, 13, "INT_WBINVD"},
		{0x80000008, 1, 25, "VIRT_SSBD"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(hidden); i++) {
		struct cpuid r = get(hidden[i].leaf, 0);
		uint32_t reg = hidden[i].reg == 1 ? r.ebx : hidden[i].reg == 2 ? r.ecx : r.edx;

		if (reg >> hidden[i].bit & 1)
			fail_msg("%s shows", hidden[i].name);
		assert_false(cpuid_guest_bit(&model, hidden[i].leaf, hidden[i].reg, hidden[i].bit));
	}
	/* Leaves of things that no guest has: MONITOR, performance counters, SGX, PT, SVM, SEV. */
	for (uint32_t leaf = 0; leaf < 0x20; leaf++)
		for (uint32_t sub = 0; sub < 4; sub++)
			if (leaf > 1 && leaf != 4 && leaf != 7 && leaf != 0xb && leaf != 0xd &&
			    leaf != 0x1c)
				is_zero(leaf, sub);
	for (uint32_t leaf = 0x80000009; leaf < 0x80000100; leaf++)
		if (leaf != 0x8000001d && leaf != 0x8000001e)
			is_zero(leaf, 0);
}

/* Their leaves and features, and PERF_CAPABILITIES for their sake, come and go with them. */
static void with_counters(void **state __unused)
{
	pmu_offer.intel = (struct cpuid){.eax = 0x07300804, .edx = 0x8603};
	pmu_offer.amd.ebx = 6;
	pmu_offer.perf_capabilities = BIT(13);
	build(UINT32_MAX, 1);
	is_zero(0xa, 0);
	is_zero(0x80000022, 0);
	assert_false(cpuid_guest_bit(&model, 1, REG_ECX, 15));
	assert_int_equal(get(0x80000000, 0).eax, 0x8000001e);
	counters = true;
	build_model(1);
	assert_int_equal(get(0xa, 0).eax, 0x07300804);
	assert_int_equal(get(0xa, 3).edx, 0x8603);
	assert_int_equal(get(0x80000022, 0).eax, 1);
	assert_int_equal(get(0x80000022, 0).ebx, 6);
	assert_int_equal(get(0x80000022, 0).ecx | get(0x80000022, 0).edx, 0);
	assert_int_equal(get(0x80000000, 0).eax, 0x80000022);
	assert_true(cpuid_guest_bit(&model, 0x80000001, REG_ECX, 23));
	assert_true(cpuid_guest_bit(&model, 1, REG_ECX, 15));
	/* As any feature, the model may lack it. */
	cpu_model_drop(&features, GUEST_perfctr_core);
	build_model(1);
	is_zero(0x80000022, 0);
	assert_false(cpuid_guest_bit(&model, 0x80000001, REG_ECX, 23));
	/* For the branch records alone. */
	counters = false;
	lbr_offer.perf_capabilities = 5;
	build_model(1);
	assert_true(cpuid_guest_bit(&model, 1, REG_ECX, 15));
}

static void provided_whatever_the_host_has(void **state __unused)
{
	build(0, 1);
	assert_int_equal(get(1, 0).ecx, 1u << 21 | 1u << 24 | 1u << 31);
	assert_int_equal(get(1, 0).edx, 1u << 9 | 1u << 12);
	assert_int_equal(get(7, 0).ebx, 1u << 1);
	assert_int_equal(get(0x80000001, 0).ecx | get(0x80000001, 0).edx, 0);
	assert_true(cpuid_guest_bit(&model, 1, 2, 31));
	assert_false(cpuid_guest_bit(&model, 0x20, 2, 31));
	assert_false(cpuid_guest_bit(&model, 0x12345678, 0, 0));
	/* An old host: leaves that it does not have must not show its last one. */
	max_basic = 6;
	max_extended = 0x80000004;
	build(0, 1);
	assert_int_equal(get(7, 0).ebx, 1u << 1);
	is_zero(0xd, 0);
	is_zero(0x80000008, 0);
	assert_int_equal(get(0x80000000, 0).eax, 0x80000004);
}

static void limits(void **state __unused)
{
	assert_int_equal(get(0, 0).eax, 0x1c);
	assert_int_equal(get(0x1c, 0).eax, 0xc000000f);
	assert_int_equal(get(0x1c, 0).ebx, 7);
	host_lacks(GUEST_arch_lbr);
	build(UINT32_MAX, 1);
	is_zero(0x1c, 0);
	assert_int_equal(get(0, 0).eax, 0xd);
	assert_int_equal(get(0, 0).ebx, 0x68747541);
	assert_int_equal(get(0x80000000, 0).eax, 0x8000001e);
	assert_true(model.entries <= CPUID_ENTRIES);
	host_lacks(GUEST_xsave);
	build(UINT32_MAX, 1);
	assert_int_equal(get(0, 0).eax, 0xb);
}

static void hypervisor_leaves(void **state __unused)
{
	struct cpuid r = get(0x40000000, 0);

	assert_int_equal(r.eax, 0x40000010);
	assert_memory_equal(&r.ebx, "SocleSocle\0", 12);
	for (uint32_t leaf = 0x40000001; leaf < 0x40000010; leaf++)
		is_zero(leaf, 0);
	r = get(0x40000010, 0);
	assert_int_equal(r.eax, 2400000);
	assert_int_equal(r.ebx, 1000000);
	r = get(0x40000100, 0);
	assert_int_equal(r.eax, 0x40000101);
	assert_memory_equal(&r.ebx, "KVMKVMKVM\0\0", 12);
	assert_int_equal(get(0x40000101, 0).eax, 1u << 1 | 1u << 3 | 1u << 24);
	is_zero(0x40000102, 0);
	/* Nothing of the host's own hypervisor shines through. */
	for (uint32_t base = 0x40000200; base < 0x40010000; base += 0x100)
		is_zero(base, 0);
}

static void out_of_range(void **state __unused)
{
	static const uint32_t leaves[] = {
		0x20,	    0xff,	0x100,	    0x3fffffff, 0x40000020, 0x400000ff, 0x40000120,
		0x7fffffff, 0x80000020, 0x800000ff, 0x80000100, 0x80860000, 0xc0000000, 0xffffffff};
	uint64_t seed = 1;

	for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++)
		for (uint32_t sub = 0; sub < 3; sub++)
			is_zero(leaves[i], sub);
	for (unsigned i = 0; i < 100000; i++) {
		uint32_t leaf;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		leaf = seed >> 32;
		if (leaf > 0x20 && (leaf & ~0x11fu) != 0x40000000 && (leaf & ~0x1fu) != 0x80000000)
			is_zero(leaf, (uint32_t)seed);
		else
			(void)get(leaf, (uint32_t)seed);
	}
}

static void subleaves(void **state __unused)
{
	/* Leaves without meaning in ECX ignore it. */
	for (uint32_t sub = 0; sub < 3; sub++) {
		assert_int_equal(get(1, sub * 0x40000000u).ecx, get(1, 0).ecx);
		assert_int_equal(get(0x80000001, sub).edx, get(0x80000001, 0).edx);
		assert_int_equal(get(0x40000010, sub).eax, 2400000);
	}
	is_zero(7, 1);
	is_zero(7, 3);
	is_zero(7, UINT32_MAX);
	/* The second subleaf only has controls of speculation. */
	assert_int_equal(get(7, 0).eax, 2);
	assert_int_equal(get(7, 2).eax | get(7, 2).ebx | get(7, 2).ecx, 0);
	assert_int_equal(get(7, 2).edx, 0x1f);
	is_zero(0xd, 10);
	is_zero(0xd, 63);
	is_zero(0xd, UINT32_MAX);
	is_zero(0xd, 3); /* MPX */
	is_zero(0xd, 8);
}

static void depends_on_state(void **state __unused)
{
	v.state.cr4 = 0;
	assert_int_equal(get(1, 0).ecx >> 27 & 1, 0);
	v.state.cr4 = CR4_OSXSAVE;
	assert_int_equal(get(1, 0).ecx >> 27 & 1, 1);
	v.state.cr4 = 0;
	assert_int_equal(get(7, 0).ecx >> 4 & 1, 0);
	v.state.cr4 = CR4_PKE;
	assert_int_equal(get(7, 0).ecx >> 4 & 1, 1);
	/* Not where the feature itself is missing. */
	build(0, 1);
	v.state.cr4 = CR4_OSXSAVE | CR4_PKE;
	assert_int_equal(get(1, 0).ecx >> 27 & 1, 0);
	assert_int_equal(get(7, 0).ecx >> 4 & 1, 0);
}

/* How many bits number @cpus cores: more APIC IDs than that are possible. */
static unsigned id_bits(unsigned cpus)
{
	unsigned bits = 0;

	while (1u << bits < cpus)
		bits++;
	return bits;
}

/* What both vendors' processors say, of the last vCPU of @cpus. */
static void check_common(unsigned cpus)
{
	unsigned id = cpus - 1;

	v.base.id = id;
	assert_int_equal(get(1, 0).ebx >> 24, id);
	assert_int_equal(get(1, 0).ebx >> 16 & 0xff, cpus);
	assert_int_equal(get(1, 0).edx >> 28 & 1, cpus > 1);
	assert_int_equal(get(0xb, 0).eax, 0);
	assert_int_equal(get(0xb, 0).ebx, 1);
	assert_int_equal(get(0xb, 0).ecx, 0x100);
	assert_int_equal(get(0xb, 1).eax, id_bits(cpus));
	assert_int_equal(get(0xb, 1).ebx, cpus);
	assert_int_equal(get(0xb, 1).ecx, 0x201);
	/* Invalid levels: only the subleaf and the ID. */
	assert_int_equal(get(0xb, 2).ecx, 2);
	assert_int_equal(get(0xb, 2).eax | get(0xb, 2).ebx, 0);
	for (uint32_t sub = 0; sub < 4; sub++)
		assert_int_equal(get(0xb, sub).edx, id);
	is_zero(0x1f, 0);
}

static const unsigned cpu_counts[] = {1, 2, 3, 4, 6, 63, 64};

/* SDM vol. 2, CPUID, leaf 04H: what a cache is stays, who shares it does not. */
static void processors_intel(void **state __unused)
{
	cpu_info.vendor = CPU_VENDOR_INTEL;
	max_extended = 0x80000008;
	for (unsigned i = 0; i < ARRAY_SIZE(cpu_counts); i++) {
		unsigned cpus = cpu_counts[i], ids = 1u << id_bits(cpus);

		build(UINT32_MAX, cpus);
		check_common(cpus);
		for (uint32_t sub = 0; sub < 4; sub++) {
			struct cpuid host = mock_cpuid(4, sub), r = get(4, sub);

			assert_int_equal(r.eax & 0x3ff, host.eax & 0x3ff);
			assert_int_equal(r.eax >> 14 & 0xfff, sub == 3 ? ids - 1 : 0);
			assert_int_equal(r.eax >> 26, ids - 1);
			assert_int_equal(r.ebx, host.ebx);
			assert_int_equal(r.ecx, host.ecx);
			assert_int_equal(r.edx, host.edx & 7);
		}
		for (uint32_t sub = 4; sub < 8; sub++)
			is_zero(4, sub);
		assert_int_equal(get(0x80000008, 0).ecx, 0);
		assert_int_equal(get(0x80000001, 0).ecx >> 1 & 1, 0);
		assert_int_equal(get(0x80000001, 0).ecx >> 22 & 1, 0);
		assert_int_equal(get(0x80000000, 0).eax, 0x80000008);
		is_zero(0x8000001d, 0);
		is_zero(0x8000001e, 0);
	}
}

static void processors_amd(void **state __unused)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cpu_counts); i++) {
		unsigned cpus = cpu_counts[i];
		struct cpuid r;

		build(UINT32_MAX, cpus);
		check_common(cpus);
		assert_int_equal(get(0x80000008, 0).ecx, id_bits(cpus) << 12 | (cpus - 1));
		assert_int_equal(get(0x80000001, 0).ecx >> 1 & 1, cpus > 1);
		assert_int_equal(get(0x80000001, 0).ecx >> 22 & 1, 1);
		for (uint32_t sub = 0; sub < 4; sub++) {
			struct cpuid host = mock_cpuid(0x8000001d, sub);

			r = get(0x8000001d, sub);
			assert_int_equal(r.eax & 0x3ff, host.eax & 0x3ff);
			assert_int_equal(r.eax >> 14 & 0xfff, sub == 3 ? cpus - 1 : 0);
			assert_int_equal(r.eax >> 26, 0);
			assert_int_equal(r.ebx, host.ebx);
			assert_int_equal(r.ecx, host.ecx);
			assert_int_equal(r.edx, host.edx & 3);
		}
		is_zero(0x8000001d, 4);
		r = get(0x8000001e, 0);
		assert_int_equal(r.eax, cpus - 1);
		assert_int_equal(r.ebx, cpus - 1); /* the core; bits 15:8, threads less one, are 0 */
		assert_int_equal(r.ecx | r.edx, 0);
	}
}

/* Of AMD's topology extensions the guest sees all or nothing. */
static void no_topology_extensions(void **state __unused)
{
	max_extended = 0x8000001d;
	build(UINT32_MAX, 6);
	assert_int_equal(get(0x80000001, 0).ecx >> 22 & 1, 0);
	assert_int_equal(get(0x80000000, 0).eax, 0x80000008);
	max_extended = 0x80000020;
	build(~(1u << 22), 6);
	v.base.id = 5;
	assert_int_equal(get(0x80000000, 0).eax, 0x80000008);
	is_zero(0x8000001d, 0);
	is_zero(0x8000001e, 0);
	/* The older leaves do without. */
	check_common(6);
	assert_int_equal(get(0x80000008, 0).ecx, 3 << 12 | 5);
	assert_int_equal(get(0x80000001, 0).ecx >> 1 & 1, 1);
}

/* SDM vol. 1, 13.4.2 and 13.4.3: the area reaches to the end of the last part that is on. */
static void xsave_sizes(void **state __unused)
{
	static const struct {
		uint64_t xcr0;
		uint32_t standard, compact;
	} sizes[] = {
		{0x1, 576, 576},	{0x3, 576, 576},
		{0x7, 832, 832},	{0xe7, 2688, 832 + 64 + 512 + 1024},
		{0x203, 2696, 576 + 8},	{0x2e7, 2696, 832 + 64 + 512 + 1024 + 8},
	};

	assert_int_equal(get(0xd, 0).eax, 0x2e7);
	assert_int_equal(get(0xd, 0).ecx, 2696);
	assert_int_equal(get(0xd, 0).edx, 0);
	assert_int_equal(model.xcr0, 0x2e7);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		mock_xcr0 = sizes[i].xcr0;
		assert_int_equal(get(0xd, 0).ebx, sizes[i].standard);
		assert_int_equal(get(0xd, 1).ebx, sizes[i].compact);
	}
	assert_int_equal(get(0xd, 1).ecx | get(0xd, 1).edx, 0);
	assert_int_equal(get(0xd, 9).eax, 8); /* PKRU */
	cpu_model_drop(&features, GUEST_pku);
	build_model(1);
	is_zero(0xd, 9);
	assert_int_equal(get(0xd, 0).eax, 0xe7);
	build(0, 1);
	assert_int_equal(model.xcr0, 0);
}

/* Supervisor components add to the compacted size, and to that alone, when IA32_XSS has them. */
static void xsave_supervisor(void **state __unused)
{
	static const struct {
		uint64_t xcr0, xss;
		uint32_t size;
	} sizes[] = {
		{0x1, 0, 576},		     {0x1, 0x800, 576 + 16},
		{0x1, 0x1000, 576 + 24},     {0x3, 0x1800, 576 + 16 + 24},
		{0x7, 0, 832},		     {0x7, 0x1800, 832 + 16 + 24},
		{0xe7, 0x1800, 832 + 64 + 512 + 1024 + 16 + 24},
	};

	assert_int_equal(get(0xd, 1).eax, 0xf);
	assert_int_equal(model.xss, 0);
	is_zero(0xd, 11);
	/* What is offered is what the host has and what is switched. */
	host_xss = 0x1900;
	build(UINT32_MAX, 1);
	assert_int_equal(model.xss, 0);
	mock_xss_virtualized = 0x1800 | BIT(40);
	build(UINT32_MAX, 1);
	assert_int_equal(model.xss, 0x1800);
	host_no_size = 11;
	build(UINT32_MAX, 1);
	assert_int_equal(model.xss, 0x1000);
	host_no_size = 0;
	build(UINT32_MAX, 1);
	assert_int_equal(get(0xd, 1).ecx, 0x1800);
	assert_int_equal(get(0xd, 1).edx, 0);
	assert_int_equal(get(0xd, 11).eax, 16);
	assert_int_equal(get(0xd, 12).eax, 24);
	assert_int_equal(get(0xd, 12).ecx, 1);
	is_zero(0xd, 8);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint32_t standard;

		v.xss = 0;
		mock_xcr0 = sizes[i].xcr0;
		standard = get(0xd, 0).ebx;
		v.xss = sizes[i].xss;
		assert_int_equal(get(0xd, 1).ebx, sizes[i].size);
		assert_int_equal(get(0xd, 0).ebx, standard);
		assert_int_equal(get(0xd, 0).ecx, 2696);
	}
	/* XSAVEC alone has a size, too; without both there is none. */
	cpu_model_drop(&features, GUEST_xsaves);
	build_model(1);
	mock_xcr0 = 7;
	assert_int_equal(model.xss | get(0xd, 1).ecx, 0);
	assert_int_equal(get(0xd, 1).ebx, 832);
	is_zero(0xd, 11);
	cpu_model_drop(&features, GUEST_xsavec);
	build_model(1);
	assert_int_equal(get(0xd, 1).ebx, 0);
	/* Without CET, they are not offered; with it, they are, whether the host lists them or not.
	 */
	host_lacks(GUEST_shstk);
	build(UINT32_MAX, 1);
	assert_int_equal(model.xss, 0x1800);
	host_lacks(GUEST_ibt);
	build(UINT32_MAX, 1);
	assert_int_equal(model.xss, 0);
	is_zero(0xd, 11);
	is_zero(0xd, 12);
	memset(&lacks, 0, sizeof(lacks));
	host_xss = 0;
	host_lacks(GUEST_ibt);
	build(UINT32_MAX, 1);
	assert_int_equal(model.xss, 0x1800);
	memset(&lacks, 0, sizeof(lacks));
	build(UINT32_MAX, 1);
	assert_int_equal(model.xss, 0x1800);
	assert_int_equal(get(0xd, 11).eax | get(0xd, 11).ecx << 8, 16 | 1 << 8);
	assert_int_equal(get(0xd, 12).eax | get(0xd, 12).ecx << 8, 24 | 1 << 8);
}

/* Leaf 0xD has the components of the model's features that the host can save, and no others. */
static void xsave_components(void **state __unused)
{
	cpu_model_drop(&features, GUEST_avx512f);
	cpu_model_drop(&features, GUEST_pku);
	build_model(1);
	assert_int_equal(get(0xd, 0).eax, 7);
	assert_int_equal(get(0xd, 0).ecx, 832);
	assert_int_equal(get(0xd, 2).eax, 256);
	for (uint32_t sub = 3; sub < 16; sub++)
		is_zero(0xd, sub);
	cpu_model_drop(&features, GUEST_avx);
	build_model(1);
	assert_int_equal(get(0xd, 0).eax, 3);
	assert_int_equal(get(0xd, 0).ecx, 576);
	is_zero(0xd, 2);
	/* Without XSAVE, leaf 0xD is empty, and is not the highest. */
	cpu_model_drop(&features, GUEST_xsave);
	cpu_model_drop(&features, GUEST_arch_lbr);
	build_model(1);
	for (uint32_t sub = 0; sub < 16; sub++)
		is_zero(0xd, sub);
	assert_int_equal(model.xcr0 | model.xss, 0);
	assert_int_equal(get(0, 0).eax, 0xb);
	/* A host that cannot save AVX-512 gives none of it. */
	host_xcr0 = 7;
	build(UINT32_MAX, 1);
	assert_int_equal(model.xcr0, 7);
	assert_int_equal(get(7, 0).ebx >> 16 & 1, 0);
	assert_int_equal(get(7, 0).ebx >> 5 & 1, 1);
}

/* What the model has not reads as 0, wherever it is. */
static void follows_the_model(void **state __unused)
{
	for (enum guest_feature f = 1; f < GUEST_FEATURE_COUNT; f++) {
		const struct guest_feature_row *r = &guest_features[f];
		struct cpuid c;
		uint32_t reg;

		cpu_model_host(&features);
		cpu_model_drop(&features, f);
		build_model(1);
		assert_false(cpuid_guest_has(&model, f));
		c = get(r->leaf, r->subleaf);
		reg = (uint32_t[]){c.eax, c.ebx, c.ecx, c.edx}[r->reg];
		if (reg >> r->bit & 1)
			fail_msg("%s shows", r->name);
	}
	/* Nothing but the baseline, on a host that has everything. */
	cpu_model_baseline(&features);
	build_model(1);
	assert_int_equal(get(1, 0).ecx, 0x81b82201);
	assert_int_equal(get(1, 0).edx, 0x078bbb7d);
	assert_int_equal(get(7, 0).ebx, 0x2042); /* TSC_ADJUST, and two facts */
	assert_int_equal(get(7, 0).eax | get(7, 0).ecx | get(7, 0).edx | get(7, 2).edx, 0);
	assert_int_equal(get(0x80000001, 0).ecx, 1);
	assert_int_equal(get(0x80000001, 0).edx, 0x2193a97d);
	assert_int_equal(get(0x80000000, 0).eax, 0x80000008);
	assert_int_equal(get(0x80000007, 0).edx | get(0x80000008, 0).ebx, 0);
	is_zero(0x8000001d, 0);
	is_zero(0x8000001e, 0);
	is_zero(0xd, 0);
}

/* The short way of the exit path says the same as the long one. */
static void fast_path(void **state __unused)
{
	unsigned taken = 0;

	for (uint32_t leaf = 0; leaf < 0x40; leaf++) {
		const struct cpuid_entry *fast = cpuid_guest_fast(&model, leaf);
		struct cpuid slow = get(leaf, 5);

		if (!fast)
			continue;
		assert_memory_equal(&fast->value, &slow, sizeof(slow));
		taken++;
	}
	assert_true(taken > 20);
	assert_null(cpuid_guest_fast(&model, 0x80000001));
	assert_null(cpuid_guest_fast(&model, 1));
	assert_null(cpuid_guest_fast(&model, 4));
	assert_null(cpuid_guest_fast(&model, 0xb));
	assert_null(cpuid_guest_fast(&model, 0xd));
	assert_null(cpuid_guest_fast(&model, UINT32_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_feature_shows, setup),
		cmocka_unit_test_setup(hidden_features, setup),
		cmocka_unit_test_setup(with_counters, setup),
		cmocka_unit_test_setup(provided_whatever_the_host_has, setup),
		cmocka_unit_test_setup(limits, setup),
		cmocka_unit_test_setup(hypervisor_leaves, setup),
		cmocka_unit_test_setup(out_of_range, setup),
		cmocka_unit_test_setup(subleaves, setup),
		cmocka_unit_test_setup(depends_on_state, setup),
		cmocka_unit_test_setup(processors_intel, setup),
		cmocka_unit_test_setup(processors_amd, setup),
		cmocka_unit_test_setup(no_topology_extensions, setup),
		cmocka_unit_test_setup(xsave_sizes, setup),
		cmocka_unit_test_setup(xsave_supervisor, setup),
		cmocka_unit_test_setup(xsave_components, setup),
		cmocka_unit_test_setup(follows_the_model, setup),
		cmocka_unit_test_setup(fast_path, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
