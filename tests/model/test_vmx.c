/* SPDX-License-Identifier: BSD-2-Clause */
/* Guests and the host on modelled CPUs with VMX: whose branches does whom get to see? */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "vmx_room.h"

enum { ROUNDS = 40000 };

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
		assert_true(recording(g) || model_other(&g->ideal, index));
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
		assert_true(recording(g) || model_other(&g->ideal, index));
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

/* One of those that are always direct. */
static void guest_uses_direct(struct guest *g)
{
	uint32_t index = direct[model_random(ARRAY_SIZE(direct))].index;

	assert_false(model_msr_exits(index, false) || model_msr_exits(index, true));
	guest_reads(g, index);
	guest_writes(g, index, g->own + g->branches);
}

static void guest_step(struct guest *g)
{
	switch (model_random(14)) {
	case 13:
		guest_uses_direct(g);
		break;
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

/* Each model once; nothing that shares a number with one of another family. */
static void table_of_models(void **state __unused)
{
	for (unsigned i = 0; i < ARRAY_SIZE(models); i++) {
		const struct lbr_stack *s = lbr_stack_of_model(6, models[i].model);

		assert_ptr_equal(s, models[i].stack);
		assert_null(lbr_stack_of_model(15, models[i].model));
		assert_true(s->depth == 8 || s->depth == 16 || s->depth == 32);
		assert_true(s->depth <= LBR_RECORDS_MAX && s->from && s->to && s->tos);
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(models[k].model, models[i].model);
	}
	/* Too old for unrestricted guests, and with architectural records alone. */
	assert_null(lbr_stack_of_model(6, 0x17));
	assert_null(lbr_stack_of_model(6, 0x8f));
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
		cmocka_unit_test(table_of_models),
		cmocka_unit_test_setup(unknown_model, setup),
		cmocka_unit_test_setup(no_format, setup),
		cmocka_unit_test_setup(emulator_without, setup),
		cmocka_unit_test_setup(architectural_without_depth, setup),
		cmocka_unit_test_setup(architectural_without_control, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
