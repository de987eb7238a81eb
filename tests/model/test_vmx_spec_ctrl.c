/* SPDX-License-Identifier: BSD-2-Clause */
/* SPEC_CTRL on modelled CPUs with VMX, whose entries and exits switch it by areas of MSRs. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "vmx.h"

struct room_vcpu {
	struct vmx_vcpu s;
	struct model_vmcs vmcs;
};

#include "spec_ctrl.h"
#include "../../arch/x86/vmx/maps.c"
#include "../../arch/x86/vmx/spec_ctrl.c"

struct vmx_caps vmx_caps;

static const struct vendor vmx = {.spec_ctrl = vmx_spec_ctrl, .set_spec_ctrl = vmx_set_spec_ctrl};
const struct vendor *vendor = &vmx;

/* Parts of the room that have nothing to do with it. */
void vmx_apicv_msrs(void (*allow_one)(uint32_t index, bool read, bool write, void *map) __unused,
		    void *map __unused)
{
}

bool vmx_lbr_direct(uint32_t index __unused)
{
	return false;
}

void vmx_make_current(struct vmx_vcpu *s)
{
	model_current[cpu_index()] = &container_of(s, struct room_vcpu, s)->vmcs;
}

static struct x86_vcpu *room_x86(struct guest *g)
{
	return &g->room.s.x;
}

static void room_enter(struct guest *g)
{
	vmx_make_current(&g->room.s);
	assert_true(model_vmenter());
}

static void room_exit(struct guest *g, void (*work)(struct guest *g), bool leave)
{
	model_vmexit();
	check_in_host();
	work(g);
	if (!leave)
		room_enter(g);
}

static void room_release(struct guest *g)
{
	if (model_current[cpu_index()] == &g->room.vmcs)
		model_current[cpu_index()] = NULL;
}

/* vmx_vcpu_reset(), as far as it belongs here. */
static void room_reset(struct guest *g, bool init)
{
	struct vmx_vcpu *s = &g->room.s;

	vmx_make_current(s);
	vmwrite(VMCS_ENTRY_CONTROLS, 0);
	vmwrite(VMCS_EXIT_CONTROLS, 0);
	vmx_spec_ctrl_reset(s, init);
	room_release(g);
}

static void play_on(bool eibrs)
{
	memset(model_current, 0, sizeof(model_current));
	model_seed = 1;
	power_on_common(eibrs);
	for (unsigned i = 0; i < GUESTS; i++) {
		struct guest *g = &guests[i];

		/* Old contents of the page. */
		memset(&g->room.vmcs, 0x5a, sizeof(g->room.vmcs));
		guest_create(g, i);
		assert_int_equal(vmx_msr_maps(room_x86(g)), 0);
		reset(g, false);
	}
	play();
}

static void each_has_its_own(void **state __unused)
{
	play_on(false);
	play_on(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
