/* SPDX-License-Identifier: BSD-2-Clause */
/* Shadow stacks of guests on modelled CPUs with SVM, which switches S_CET, SSP and the table. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "svm.h"

struct room_vcpu {
	struct svm_vcpu s;
	_Alignas(PAGE_SIZE) struct vmcb vmcb;
};

#include "cet.h"
#include "../../arch/x86/svm/cet.c"
#include "../../arch/x86/svm/maps.c"

static const struct vendor svm = {
	.ssp_table = svm_ssp_table, .set_ssp_table = svm_set_ssp_table};
const struct vendor *vendor = &svm;

static struct x86_vcpu *room_x86(struct guest *g)
{
	return &g->room.s.x;
}

static void room_enter(struct guest *g)
{
	model_vmrun(&g->room.vmcb);
}

/* As svm_exit() begins. */
static void room_leave(struct guest *g)
{
	model_vmexit(&g->room.vmcb);
	g->room.vmcb.clean = CLEAN_ALL;
}

static void room_release(struct guest *g)
{
	g->room.vmcb.clean = 0;
}

/* svm_vcpu_reset(): these fields are among those that become 0. */
static void room_reset(struct guest *g, bool init __unused)
{
	memset(&g->room.vmcb, 0, sizeof(g->room.vmcb));
	g->room.vmcb.msrpm_pa = g->room.s.msrpm_pa[0];
}

static void each_has_its_own(void **state __unused)
{
	memset(model_svms, 0, sizeof(model_svms));
	model_seed = 1;
	power_on_common();
	for (unsigned i = 0; i < GUESTS; i++) {
		struct guest *g = &guests[i];

		g->room.s.vmcb = &g->room.vmcb;
		guest_create(g, i);
		assert_int_equal(svm_msr_maps(room_x86(g)), 0);
		reset(g, false);
	}
	play();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
