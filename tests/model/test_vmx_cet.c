/* SPDX-License-Identifier: BSD-2-Clause */
/* Shadow stacks of guests on modelled CPUs with VMX, which switches them by its controls. */
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

#include "cet.h"
#include "../../arch/x86/vmx/cet.c"
#include "../../arch/x86/vmx/maps.c"

struct vmx_caps vmx_caps;

static const struct vendor vmx = {
	.ssp_table = vmx_ssp_table, .set_ssp_table = vmx_set_ssp_table};
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
	struct room_vcpu *r = container_of(s, struct room_vcpu, s);

	if (model_current[cpu_index()] == &r->vmcs)
		return;
	model_current[cpu_index()] = &r->vmcs;
	vmx_cet_write_host_state();
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

static void room_leave(struct guest *g __unused)
{
	model_vmexit();
}

static void room_release(struct guest *g)
{
	if (model_current[cpu_index()] == &g->room.vmcs)
		model_current[cpu_index()] = NULL;
}

/* vmx_vcpu_reset(), as far as it belongs here. */
static void room_reset(struct guest *g, bool init __unused)
{
	struct vmx_vcpu *s = &g->room.s;

	vmx_make_current(s);
	vmwrite(VMCS_ENTRY_CONTROLS, ENTRYCTL_LOAD_DEBUG | vmx_cet_entry_control(&s->x));
	vmwrite(VMCS_EXIT_CONTROLS, EXITCTL_SAVE_DEBUG | vmx_cet_exit_control(&s->x));
	vmwrite(VMCS_GUEST_DEBUGCTL, 0);
	vmx_use_msr_bitmap(s);
	vmx_cet_reset(s);
	room_release(g);
}

static void each_has_its_own(void **state __unused)
{
	memset(model_current, 0, sizeof(model_current));
	model_seed = 1;
	vmx_caps.cet = true;
	power_on_common();
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
