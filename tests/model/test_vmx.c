/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests and the host on modelled CPUs with VMX: whose branches does whom get to see? */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "../unit/panic_mock.h"
#include "vmx.h"
#include "../../lib/format.c"
#include "../../arch/x86/guest/msr.c"
#include "../../arch/x86/guest/msr_filter.c"
#include "../../arch/x86/guest/msr_model.c"
#include "../../arch/x86/guest/debugctl.c"
#include "../../arch/x86/guest/events.c"
#include "../../arch/x86/vmx/controls.c"
#include "../../arch/x86/vmx/lbr_models.c"
#include "../../arch/x86/vmx/lbr.c"
#include "../../arch/x86/vmx/maps.c"
#include "../../arch/x86/vmx/switch.c"
#include "../../arch/x86/vmx/state.c"

uintptr_t test_memory;

void cpu_model_withhold(enum guest_feature f __unused)
{
}

struct cpu_info cpu_info;
bool vendor_no_apicv;

/* CPUID leaves of the modelled CPU. */
static struct cpuid leaf_7, leaf_1c;
static uint64_t exits_lack; /* exit controls that it does not have */

static struct cpuid model_cpuid(uint32_t leaf, uint32_t subleaf __unused)
{
	switch (leaf) {
	case 0:
		return (struct cpuid){.eax = 0x1c};
	case 7:
		return leaf_7;
	case 0xa:
		return (struct cpuid){.eax = 4};
	case 0x1c:
		return leaf_1c;
	default:
		return (struct cpuid){0};
	}
}

/* The guest's CPUID has all that a row of the table may need. */
bool cpuid_guest_bit(const struct guest_cpuid *t __unused, uint32_t leaf __unused,
		     unsigned reg __unused, unsigned bit __unused)
{
	return true;
}

/* Memory for the permission maps, from the start again at each power-on. */
static _Alignas(PAGE_SIZE) uint8_t pages[64 * PAGE_SIZE];
static size_t pages_used;

void *pages_alloc(size_t bytes, uint32_t owner __unused)
{
	void *p = &pages[pages_used];

	pages_used += ALIGN_UP(bytes, (size_t)PAGE_SIZE);
	assert_true(pages_used <= sizeof(pages));
	return p;
}

/* Parts of the room that have nothing to do with it. */
bool vmx_apicv_offered(uint64_t primary __unused, uint64_t secondary __unused)
{
	return false;
}

void vmx_apicv_msrs(void (*allow_one)(uint32_t index, bool read, bool write, void *map) __unused,
		    void *map __unused)
{
}

uint64_t vmx_real_cr0(uint64_t cr0)
{
	return cr0;
}

uint64_t vmx_real_cr4(uint64_t cr4)
{
	return cr4;
}

bool vmx_load_pdptes(struct vmx_vcpu *s __unused)
{
	return true;
}

static const struct vendor vmx = {.load = vmx_load};
const struct vendor *vendor = &vmx;

enum { GUESTS = 3, ROUNDS = 40000, NO_CPU = -1 };
#define HOST	 0x7fff00000000ull /* addresses of ours */
#define FIRMWARE 0x7ffe00000000ull

/* A virtual CPU, and a real one that it would have to itself. */
static struct guest {
	struct vmx_vcpu s;
	struct model_vmcs vmcs;
	struct vm vm;
	struct model_cpu ideal;
	int cpu;	   /* where it is, in the guest; NO_CPU: not running */
	int home;	   /* whose registers may hold its own; NO_CPU: none's */
	uint64_t own;	   /* first of its addresses */
	uint64_t branches; /* that it made */
	uint64_t debugctl; /* as it wrote it */
} guests[GUESTS];

static struct guest *running[MODEL_CPUS]; /* which guest is on each */

void vmx_make_current(struct vmx_vcpu *s)
{
	struct guest *g = container_of(s, struct guest, s);

	assert_true(g->home == NO_CPU || g->home == (int)cpu_index());
	g->home = cpu_index();
	model_current[cpu_index()] = &g->vmcs;
}

static bool arch_lbr(void)
{
	return modelled.lbr == MODEL_LBR_ARCH;
}

static bool recording(const struct guest *g)
{
	return arch_lbr() ? g->ideal.lbr_ctl & MODEL_EN : g->debugctl & DEBUGCTL_LBR;
}

static void enter(struct guest *g)
{
	if (g->s.x.dirty)
		vmx_write_back(&g->s);
	assert_true(model_vmenter());
}

static void host_runs(void)
{
	assert_int_equal(model_cpu()->debugctl, 0);
	assert_int_equal(model_cpu()->lbr_ctl, 0);
	model_branch(model_cpu(), HOST, HOST + 1);
}

static void leave(struct guest *g)
{
	model_vmexit();
	g->s.x.avail = 0;
	host_runs();
}

/* vmx_release(), on the CPU where it ran. */
static void release(struct guest *g)
{
	unsigned here = test_cpu_index;

	if (g->home == NO_CPU)
		return;
	test_cpu_index = g->home;
	vmx_switch_release(&g->s);
	vmx_lbr_release(&g->s);
	if (model_current[g->home] == &g->vmcs)
		model_current[g->home] = NULL;
	g->home = NO_CPU;
	test_cpu_index = here;
}

/* vmx_vcpu_reset(), as far as it belongs here. */
static void reset(struct guest *g, bool init)
{
	if (!init)
		release(g);
	memset(&g->s.x.state, 0, sizeof(g->s.x.state));
	g->s.x.avail = g->s.x.dirty = 0;
	vmx_make_current(&g->s);
	vmx_lbr_reset(&g->s, init);
	vmwrite(VMCS_ENTRY_CONTROLS, vmx_caps.entry);
	vmwrite(VMCS_EXIT_CONTROLS, vmx_caps.exit);
	g->debugctl = g->ideal.debugctl = g->ideal.lbr_ctl = 0;
	if (init)
		return;
	memset(&g->ideal, 0, sizeof(g->ideal));
	g->ideal.depth = modelled.depth;
}

/* The scheduler gives @g the CPU: vmx_run(). */
static void schedule(struct guest *g, int cpu)
{
	if (g->home != cpu)
		release(g);
	g->cpu = cpu;
	running[cpu] = g;
	if (model_random(20) == 0)
		reset(g, model_random(2));
	vmx_make_current(&g->s);
	vmx_switch_to(&g->s);
	vmx_lbr_switch_to(&g->s);
	enter(g);
}

static void preempt(struct guest *g)
{
	leave(g);
	if (g->s.x.dirty)
		vmx_write_back(&g->s);
	running[g->cpu] = NULL;
	g->cpu = NO_CPU;
	if (model_random(4) == 0)
		release(g);
}

static void guest_branch(struct guest *g)
{
	/* Some come from the kernel's half. */
	uint64_t from = (g->own + g->branches) | (g->branches & 4 ? MASK(63, 47) : 0);

	model_branch(model_cpu(), from, g->own + g->branches + 1);
	model_branch(&g->ideal, from, g->own + g->branches + 1);
	g->branches += 2;
}

/* One of the registers of records, of this kind of CPU or of another. */
static uint32_t some_register(void)
{
	const uint32_t arch[] = {MSR_ARCH_LBR_FROM, MSR_ARCH_LBR_TO, MSR_ARCH_LBR_INFO};
	const uint32_t legacy[] = {modelled.from, modelled.to,
				   modelled.info ? MSR_LBR_INFO : MSR_LBR_TO};
	uint32_t n = model_random(modelled.depth + 1);

	if (model_random(8) == 0)
		return MSR_LBR_SELECT + model_random(2);
	return (arch_lbr() ? arch : legacy)[model_random(3)] + n;
}

static void guest_reads(struct guest *g, uint32_t index)
{
	uint64_t value = 0, ideal = 0;
	bool ok, ideal_ok = model_rdmsr(&g->ideal, index, &ideal);

	if (model_msr_exits(index, false)) {
		leave(g);
		ok = msr_guest_read(&g->s.x, index, &value) == MSR_OK;
		enter(g);
	} else {
		assert_true(recording(g));
		ok = model_rdmsr(model_cpu(), index, &value);
	}
	assert_int_equal(ok, ideal_ok);
	assert_int_equal(value, ideal);
}

static void guest_writes(struct guest *g, uint32_t index, uint64_t value)
{
	bool ok, ideal_ok = model_wrmsr(&g->ideal, index, value);

	if (model_msr_exits(index, true)) {
		leave(g);
		ok = msr_guest_write(&g->s.x, index, value) == MSR_OK;
		enter(g);
	} else {
		assert_true(recording(g));
		ok = model_wrmsr(model_cpu(), index, value);
	}
	assert_int_equal(ok, ideal_ok);
}

static void guest_writes_record(struct guest *g)
{
	const uint64_t values[] = {0, g->own + 7, 3, BIT(50), (g->own + 9) | MASK(63, 47)};

	guest_writes(g, some_register(), values[model_random(ARRAY_SIZE(values))]);
}

static void guest_uses_debugctl(struct guest *g)
{
	static const uint64_t values[] = {0, 0, 0, 1, 1, 1, 2, 3, 0x801, 4, 0x40, 0x4000};
	uint64_t value = values[model_random(ARRAY_SIZE(values))], read;
	uint64_t kept = 0x802 | (arch_lbr() ? 0 : 1);
	bool valid = !(value & ~0x803ull);

	assert_true(model_msr_exits(MSR_DEBUGCTL, false) && model_msr_exits(MSR_DEBUGCTL, true));
	leave(g);
	assert_int_equal(msr_guest_read(&g->s.x, MSR_DEBUGCTL, &read), MSR_OK);
	assert_int_equal(read, g->debugctl);
	assert_int_equal(msr_guest_write(&g->s.x, MSR_DEBUGCTL, value),
			 valid ? MSR_OK : MSR_INVALID);
	if (valid)
		g->debugctl = g->ideal.debugctl = value & kept;
	enter(g);
}

static void guest_uses_control(struct guest *g)
{
	static const uint64_t depths[] = {0, 8, 16, 24, 32, 12, 40};

	switch (arch_lbr() ? model_random(4) : 3) {
	case 0:
		assert_true(model_msr_exits(MSR_ARCH_LBR_CTL, true));
		guest_writes(g, MSR_ARCH_LBR_CTL, model_random(2) ? 0x7f0007 : 0);
		break;
	case 1:
		assert_true(model_msr_exits(MSR_ARCH_LBR_DEPTH, true));
		guest_writes(g, MSR_ARCH_LBR_DEPTH, depths[model_random(ARRAY_SIZE(depths))]);
		break;
	case 2:
		guest_reads(g, MSR_ARCH_LBR_CTL + model_random(2));
		break;
	default:
		guest_uses_debugctl(g);
	}
}

/* As inject() does for #DB: both kinds of control lose their bit. */
static void guest_debug_exception(struct guest *g)
{
	struct x86_event ev = {.vector = VEC_DB, .has_payload = true};

	leave(g);
	x86_load(&g->s.x, X86_CR | X86_DR);
	events_apply_payload(&g->s.x.state, &ev);
	vmx_lbr_debug_exception(&g->s);
	x86_dirty(&g->s.x, X86_DR);
	g->debugctl &= ~3ull;
	g->ideal.debugctl = g->debugctl;
	g->ideal.lbr_ctl &= ~(uint64_t)MODEL_EN;
	enter(g);
}

/* The last exception's: never direct, always 0; there are none with architectural records. */
static void guest_uses_ler(struct guest *g)
{
	uint32_t index = MSR_LASTBRANCHFROM + 2 + model_random(2);
	uint64_t value;

	assert_true(model_msr_exits(index, false) && model_msr_exits(index, true));
	leave(g);
	assert_int_equal(msr_guest_read(&g->s.x, index, &value),
			 arch_lbr() ? MSR_UNSUPPORTED : MSR_OK);
	assert_int_equal(value, 0);
	assert_int_not_equal(msr_guest_write(&g->s.x, index, 0), MSR_OK);
	enter(g);
}

static void guest_step(struct guest *g)
{
	switch (model_random(13)) {
	case 12:
		guest_uses_ler(g);
		break;
	case 0 ... 3:
		guest_branch(g);
		break;
	case 4 ... 6:
		guest_reads(g, some_register());
		break;
	case 7:
		guest_writes_record(g);
		break;
	case 8 ... 9:
		guest_uses_control(g);
		break;
	case 10:
		leave(g);
		enter(g);
		break;
	default:
		if (model_random(4) == 0)
			guest_debug_exception(g);
		else
			preempt(g);
	}
}

static void one_step(void)
{
	struct guest *g = &guests[model_random(GUESTS)];

	test_cpu_index = model_random(MODEL_CPUS);
	if (running[test_cpu_index]) {
		guest_step(running[test_cpu_index]);
		return;
	}
	host_runs();
	if (g->cpu == NO_CPU)
		schedule(g, test_cpu_index);
}

/* All that a capability MSR may allow, and nothing that must be. */
static void add_vmx(void)
{
	static const uint32_t msrs[] = {
		MSR_VMX_BASIC, MSR_VMX_PIN_CTLS, MSR_VMX_PRIMARY_CTLS, MSR_VMX_EXIT_CTLS,
		MSR_VMX_ENTRY_CTLS, MSR_VMX_MISC, MSR_VMX_CR0_FIXED0, MSR_VMX_CR0_FIXED1,
		MSR_VMX_CR4_FIXED0, MSR_VMX_CR4_FIXED1, MSR_VMX_SECONDARY_CTLS,
		MSR_VMX_EPT_VPID_CAP,
	};
	static const uint32_t switched[] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
					    MSR_KERNEL_GS_BASE};

	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++)
		model_has(msrs[i], msrs[i] == MSR_VMX_BASIC	     ? 0
				   : msrs[i] == MSR_VMX_EPT_VPID_CAP ? UINT64_MAX
				   : msrs[i] == MSR_VMX_EXIT_CTLS    ? ~exits_lack << 32
								     : MASK(63, 32));
	for (unsigned i = 0; i < ARRAY_SIZE(switched); i++)
		model_has(switched[i], 0);
}

/* A machine as Socle finds it, and its guests. */
static void power_on(void)
{
	char why[200] = "";

	memset(guests, 0, sizeof(guests));
	memset(running, 0, sizeof(running));
	memset(holders, 0, sizeof(holders));
	memset(residents, 0, sizeof(residents));
	memset(model_current, 0, sizeof(model_current));
	memset(&lbr_offer, 0, sizeof(lbr_offer));
	memset(&vmx_caps, 0, sizeof(vmx_caps));
	pages_used = 0;
	model_cpus_new(FIRMWARE);
	add_vmx();
	msr_init();
	assert_true(vmx_probe_controls(why, sizeof(why)));
	for (test_cpu_index = 0; test_cpu_index < MODEL_CPUS; test_cpu_index++)
		vmx_lbr_cpu_on(test_cpu_index == 0);
	test_cpu_index = 0;
	assert_int_equal(vmx_maps_init(), 0);
	for (unsigned i = 0; i < GUESTS; i++) {
		struct guest *g = &guests[i];

		g->s.x.base.vm = &g->vm;
		g->own = (uint64_t)(i + 1) << 40;
		g->cpu = g->home = NO_CPU;
		msr_create(&g->s.x);
		assert_int_equal(vmx_msr_maps(&g->s.x), 0);
		reset(g, false);
		release(g);
	}
}

static void play(void)
{
	power_on();
	assert_true(lbr_offered());
	for (unsigned i = 0; i < ROUNDS; i++)
		one_step();
	for (unsigned i = 0; i < GUESTS; i++)
		assert_true(guests[i].branches > 1000);
}

static void use_model(unsigned number, unsigned depth, bool info)
{
	cpu_info.family = 6;
	cpu_info.model = number;
	modelled.lbr = MODEL_LBR_STACK;
	modelled.depth = depth;
	modelled.from = depth == 8 ? MSR_LBR_FROM_ATOM : MSR_LBR_FROM;
	modelled.to = depth == 8 ? MSR_LBR_TO_ATOM : MSR_LBR_TO;
	modelled.info = info;
	modelled.select = true;
	modelled.capabilities = 5 | BIT(13);
}

static void use_architectural(void)
{
	cpu_info.feature[CPU_ARCH_LBR] = true;
	modelled.lbr = MODEL_LBR_ARCH;
	modelled.depth = 32;
	modelled.capabilities = 0x3f;
	leaf_1c = (struct cpuid){.eax = 0xf, .ebx = 7, .ecx = 7};
}

static int setup(void **state __unused)
{
	memset(&modelled, 0, sizeof(modelled));
	memset(&cpu_info, 0, sizeof(cpu_info));
	cpu_info.feature[CPU_PDCM] = true;
	leaf_7 = leaf_1c = (struct cpuid){0};
	exits_lack = 0;
	model_seed = 1;
	return 0;
}

static void skylake_has_32_with_info(void **state __unused)
{
	use_model(0x55, 32, true);
	play();
	assert_string_equal(lbr_offer.text, "offered: 32 records, BTF");
	/* Of the capabilities, the format alone. */
	assert_int_equal(lbr_offer.perf_capabilities, 5);
}

static void westmere_has_16(void **state __unused)
{
	use_model(0x2c, 16, false);
	play();
}

static void silvermont_has_8_elsewhere(void **state __unused)
{
	use_model(0x37, 8, false);
	play();
}

static void haswell_without_tsx_extends_signs(void **state __unused)
{
	use_model(0x3c, 16, false);
	modelled.tsx_off = true;
	modelled.capabilities = 4;
	play();
	assert_non_null(strstr(lbr_offer.text, "TSX off"));
}

static void architectural(void **state __unused)
{
	use_architectural();
	play();
	assert_string_equal(lbr_offer.text, "offered: 32 architectural records, BTF");
}

/* Not offered: DEBUGCTL keeps BTF, takes LBR without effect, and there are no records. */
static void check_not_offered(const char *why)
{
	static const uint32_t records[] = {
		MSR_LBR_FROM,	   MSR_LBR_TOS,	       MSR_LBR_SELECT,	     MSR_ARCH_LBR_CTL,
		MSR_ARCH_LBR_FROM, MSR_LASTBRANCHFROM, MSR_PERF_CAPABILITIES};
	struct x86_vcpu *v = &guests[0].s.x;
	uint64_t value;

	power_on();
	assert_false(lbr_offered());
	assert_non_null(strstr(lbr_offer.text, why));
	schedule(&guests[0], 0);
	leave(&guests[0]);
	assert_int_equal(msr_guest_write(v, MSR_DEBUGCTL, 3), MSR_OK);
	enter(&guests[0]);
	for (unsigned i = 0; i < ARRAY_SIZE(records); i++)
		assert_true(model_msr_exits(records[i], false) &&
			    model_msr_exits(records[i], true));
	assert_int_equal(model_cpu()->debugctl, 2);
	leave(&guests[0]);
	assert_int_equal(msr_guest_read(v, MSR_DEBUGCTL, &value), MSR_OK);
	assert_int_equal(value, 2);
	assert_int_equal(msr_guest_write(v, MSR_DEBUGCTL, BIT(11)), MSR_INVALID);
	for (unsigned i = 0; i < ARRAY_SIZE(records); i++)
		assert_int_equal(msr_guest_read(v, records[i], &value), MSR_UNSUPPORTED);
}

static void unknown_model(void **state __unused)
{
	use_model(0xff, 32, true);
	check_not_offered("model");
}

static void no_format(void **state __unused)
{
	use_model(0x55, 32, true);
	modelled.capabilities = 0;
	check_not_offered("format");
}

/* Bochs: a known model; unknown registers read 0 and take everything. */
static void emulator_without(void **state __unused)
{
	use_model(0x55, 32, true);
	modelled.lbr = MODEL_LBR_NONE;
	check_not_offered("registers");
}

/* Those of the model are not there: they must not be touched, either. */
static void architectural_without_depth(void **state __unused)
{
	use_architectural();
	cpu_info.family = 6;
	cpu_info.model = 0x6a;
	leaf_1c.eax = 0;
	check_not_offered("depth");
}

/* What an entry turned on would stay on: not with one control alone. */
static void architectural_without_control(void **state __unused)
{
	use_architectural();
	exits_lack = EXITCTL_CLEAR_LBR;
	check_not_offered("VMX");
	assert_false(vmx_caps.entry & ENTRYCTL_LOAD_LBR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(skylake_has_32_with_info, setup),
		cmocka_unit_test_setup(westmere_has_16, setup),
		cmocka_unit_test_setup(silvermont_has_8_elsewhere, setup),
		cmocka_unit_test_setup(haswell_without_tsx_extends_signs, setup),
		cmocka_unit_test_setup(architectural, setup),
		cmocka_unit_test_setup(unknown_model, setup),
		cmocka_unit_test_setup(no_format, setup),
		cmocka_unit_test_setup(emulator_without, setup),
		cmocka_unit_test_setup(architectural_without_depth, setup),
		cmocka_unit_test_setup(architectural_without_control, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
