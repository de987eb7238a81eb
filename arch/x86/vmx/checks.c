/* SPDX-License-Identifier: BSD-2-Clause */
/* Goes through the checks of a VM entry and says which one fails. */
#include "socle/format.h"
#include "checks.h"

uint64_t vmx_wrong_unless_clear(const struct vmx_view *v __unused, uint64_t value, uint64_t arg)
{
	return value & arg;
}

uint64_t vmx_wrong_unless_set(const struct vmx_view *v __unused, uint64_t value, uint64_t arg)
{
	return ~value & arg;
}

uint64_t vmx_wrong_if_zero(const struct vmx_view *v __unused, uint64_t value, uint64_t arg __unused)
{
	return value ? 0 : WRONG_VALUE;
}

uint64_t vmx_wrong_physical(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return value & ~MASK(v->r->caps->physical_bits - 1, 0);
}

/* IA32_VMX_BASIC[48] is 1 on processors without Intel 64 (appendix A.1). */
uint64_t vmx_wrong_vmx_address(const struct vmx_view *v, uint64_t value, uint64_t arg)
{
	if (v->r->caps->basic & VMX_BASIC_ADDRESS_32)
		return value & MASK(63, 32);
	return vmx_wrong_physical(v, value, arg);
}

uint64_t vmx_wrong_canonical(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t high = MASK(63, v->r->caps->linear_bits - 1);

	return (value & high) && ~value & high ? WRONG_VALUE : 0;
}

uint64_t vmx_wrong_linear(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	uint64_t high = MASK(63, v->r->caps->linear_bits);

	return (value & high) && ~value & high ? WRONG_VALUE : 0;
}

/* Each byte is one of 0 (UC), 1 (WC), 4 (WT), 5 (WP), 6 (WB) and 7 (UC-). */
uint64_t vmx_wrong_pat(const struct vmx_view *v __unused, uint64_t value, uint64_t arg __unused)
{
	uint64_t wrong = 0;

	for (unsigned i = 0; i < 64; i += 8) {
		uint8_t type = value >> i;

		if (type > 7 || type == 2 || type == 3)
			wrong |= 0xffull << i;
	}
	return wrong;
}

uint64_t vmx_wrong_cr3(const struct vmx_view *v, uint64_t value, uint64_t arg)
{
	return vmx_wrong_physical(v, value & ~v->r->caps->cr3_high, arg);
}

/* Bits 9:6 are reserved; SUPPRESS (10) and TRACKER (11) exclude each other (SDM vol. 1, 17.3). */
uint64_t vmx_wrong_s_cet(const struct vmx_view *v __unused, uint64_t value, uint64_t arg __unused)
{
	uint64_t state = BIT(10) | BIT(11);

	return (value & MASK(9, 6)) | ((value & state) == state ? state : 0);
}

uint64_t vmx_wrong_mask(const struct vmx_view *v, uint64_t value, uint64_t arg)
{
	return value & ~*(const uint64_t *)((const char *)v->r->caps + arg);
}

/* Those that are activated by others, in the order in which they are read. */
static const struct {
	uint8_t set, by; /* enum vmx_control_set */
	uint32_t field;	 /* enum vmcs_field */
	uint64_t bit;	 /* of @by */
} control_fields[] = {
	{CTL_PIN, CTL_NONE, VMCS_PIN_CONTROLS, 0},
	{CTL_PRIMARY, CTL_NONE, VMCS_PRIMARY_CONTROLS, 0},
	{CTL_SECONDARY, CTL_PRIMARY, VMCS_SECONDARY_CONTROLS, PRIMARY_SECONDARY},
	{CTL_TERTIARY, CTL_PRIMARY, VMCS_TERTIARY_CONTROLS, PRIMARY_TERTIARY},
	{CTL_EXIT, CTL_NONE, VMCS_EXIT_CONTROLS, 0},
	{CTL_EXIT2, CTL_EXIT, VMCS_EXIT_CONTROLS2, EXITCTL_SECONDARY},
	{CTL_ENTRY, CTL_NONE, VMCS_ENTRY_CONTROLS, 0},
};

/* A control field is only read if the CPU can have it: a bit that is not allowed fails earlier. */
static void read_controls(struct vmx_view *v)
{
	for (unsigned i = 0; i < ARRAY_SIZE(control_fields); i++) {
		unsigned by = control_fields[i].by;

		if (vmx_has(v, by, control_fields[i].bit) &&
		    (by == CTL_NONE || v->r->caps->controls[by] >> 32 & control_fields[i].bit))
			v->control[control_fields[i].set] =
				v->r->read(v->r->ctx, control_fields[i].field);
	}
}

uint64_t vmx_field(const struct vmx_view *v, enum vmcs_field field)
{
	for (unsigned i = 0; i < ARRAY_SIZE(control_fields); i++)
		if (field == control_fields[i].field)
			return v->control[control_fields[i].set];
	return v->r->read(v->r->ctx, field);
}

static const char *explain(const struct vmx_check *c, uint64_t value, uint64_t wrong, char *text,
			   size_t size)
{
	size_t len =
		format(text, size, "%s is %#llx: %s", c->what, (unsigned long long)value, c->must);

	if (len < size && wrong != WRONG_VALUE)
		len += format(text + len, size - len, "; wrong bits %#llx",
			      (unsigned long long)wrong);
	if (len < size)
		format(text + len, size - len, " (SDM vol. 3, %s)", c->section);
	return text;
}

const char *vmx_check(const struct vmx_reader *r, char *text, size_t size)
{
	static const struct vmx_check_list *const lists[] = {
		&vmx_control_checks, &vmx_host_checks,	&vmx_guest_checks,
		&vmx_segment_checks, &vmx_state_checks,
	};
	struct vmx_view v = {.r = r};

	read_controls(&v);
	for (unsigned i = 0; i < ARRAY_SIZE(lists); i++) {
		for (unsigned j = 0; j < lists[i]->count; j++) {
			const struct vmx_check *c = &lists[i]->checks[j];
			uint64_t value, wrong;

			if (!vmx_has(&v, c->when, c->bits))
				continue;
			value = vmx_field(&v, c->field);
			wrong = c->wrong(&v, value, c->arg);
			if (wrong)
				return explain(c, value, wrong, text, size);
		}
	}
	return NULL;
}
