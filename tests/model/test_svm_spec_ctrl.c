/* SPDX-License-Identifier: BSD-2-Clause */
/* SPEC_CTRL on modelled CPUs with SVM that virtualize it, and that do not. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "svm.h"

struct room_vcpu {
	struct svm_vcpu s;
	_Alignas(PAGE_SIZE) struct vmcb vmcb;
	bool switched_loop; /* it runs in the loop that switches */
};

#include "spec_ctrl.h"
#include "../../arch/x86/svm/maps.c"
#include "../../arch/x86/svm/spec_ctrl.c"

static const struct vendor svm = {.spec_ctrl = svm_spec_ctrl, .set_spec_ctrl = svm_set_spec_ctrl};
const struct vendor *vendor = &svm;

static struct x86_vcpu *room_x86(struct guest *g)
{
	return &g->room.s.x;
}

/* What is to be done at the exit that is handled, and whether the guest's turn ends with it. */
static void (*exit_work)(struct guest *g);
static bool exit_leaves;

/* The handler of exits: whichever loop it is, we run with our own value here. */
int svm_exit(struct svm_vcpu *s)
{
	check_in_host();
	exit_work(container_of(s, struct guest, room.s));
	return exit_leaves || (s->x.base.requests & VCPU_REQ_LEAVE);
}

/* run_loop(). */
static void room_enter(struct guest *g)
{
	struct svm_vcpu *s = &g->room.s;

	s->x.base.requests = 0;
	g->room.switched_loop = s->switches_spec_ctrl;
	if (g->room.switched_loop)
		svm_spec_ctrl_enter(s);
	model_vmrun(&g->room.vmcb);
}

/* entry.asm. */
static void room_exit(struct guest *g, void (*work)(struct guest *g), bool leave)
{
	struct svm_vcpu *s = &g->room.s;

	model_vmexit(&g->room.vmcb);
	g->room.vmcb.clean = CLEAN_ALL;
	exit_work = work;
	exit_leaves = leave;
	if (!(g->room.switched_loop ? svm_exit_switched(s) : svm_exit(s)))
		model_vmrun(&g->room.vmcb);
	else if (!leave)
		room_enter(g);
}

static void room_release(struct guest *g)
{
	g->room.vmcb.clean = 0;
}

/* svm_vcpu_reset(), as far as it belongs here. */
static void room_reset(struct guest *g, bool init)
{
	uint64_t spec_ctrl = init ? svm_spec_ctrl(room_x86(g)) : 0;

	memset(&g->room.vmcb, 0, sizeof(g->room.vmcb));
	svm_spec_ctrl_reset(&g->room.s, spec_ctrl);
	svm_use_msr_map(&g->room.s);
}

static void each_has_its_own(bool virtualized, bool eibrs)
{
	memset(model_svms, 0, sizeof(model_svms));
	model_seed = 1;
	modelled.v_spec_ctrl = cpu_info.feature[CPU_SVM_SPEC_CTRL] = virtualized;
	power_on_common(eibrs);
	for (unsigned i = 0; i < GUESTS; i++) {
		struct guest *g = &guests[i];

		g->room.s.vmcb = &g->room.vmcb;
		guest_create(g, i);
		assert_int_equal(svm_msr_maps(room_x86(g)), 0);
		reset(g, false);
	}
	play();
}

static void virtualized(void **state __unused)
{
	each_has_its_own(true, false);
	each_has_its_own(true, true);
}

static void switched_by_us(void **state __unused)
{
	each_has_its_own(false, false);
	each_has_its_own(false, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtualized),
		cmocka_unit_test(switched_by_us),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
