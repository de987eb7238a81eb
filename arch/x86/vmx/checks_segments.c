/* SPDX-License-Identifier: BSD-2-Clause */
/* The checks of a VM entry on the guest's segment registers (SDM vol. 3, 27.3.1.2). */
#include "socle/cpu/regs.h"
#include "socle/guest/state.h"
#include "checks.h"

/* Types of a descriptor (SDM vol. 3, tables 3-1 and 3-2). */
enum {
	DATA_RW_ACCESSED = 3, /* expand-up */
	DATA_DOWN_ACCESSED = 7,
	CODE_ACCESSED = 9,
	CODE_READ_ACCESSED = 11,
	CODE_CONFORMING_ACCESSED = 13,
	CODE_CONFORMING_READ_ACCESSED = 15,
	SYSTEM_LDT = 2,
	SYSTEM_BUSY_TSS_16 = 3,
	SYSTEM_BUSY_TSS = 11, /* 32 or 64 bits */

	TYPE_READABLE = BIT(1), /* of code */
	TYPE_CODE = BIT(3),

	SELECTOR_RPL = 3,
	SELECTOR_TI = BIT(2),

	VIRTUAL_8086_LIMIT = 0xffff,
	VIRTUAL_8086_ACCESS = 0xf3,
};

static uint64_t of_segment(const struct vmx_view *v, enum vmcs_field es, enum x86_seg seg)
{
	return vmx_field(v, es + seg * VMCS_SEGMENT_STEP);
}

static uint64_t access_of(const struct vmx_view *v, enum x86_seg seg)
{
	return of_segment(v, VMCS_GUEST_ES_ACCESS, seg);
}

static unsigned rpl_of(const struct vmx_view *v, enum x86_seg seg)
{
	return of_segment(v, VMCS_GUEST_ES_SELECTOR, seg) & SELECTOR_RPL;
}

static unsigned type_in(uint64_t access)
{
	return access & ACCESS_TYPE;
}

static unsigned dpl_in(uint64_t access)
{
	return (access & ACCESS_DPL) >> ACCESS_DPL_SHIFT;
}

static bool is_v8086(const struct vmx_view *v)
{
	return vmx_field(v, VMCS_GUEST_RFLAGS) & RFLAGS_VM;
}

static bool is_unrestricted(const struct vmx_view *v)
{
	return vmx_has(v, CTL_SECONDARY, SECONDARY_UNRESTRICTED);
}

static bool is_usable(const struct vmx_view *v, enum x86_seg seg)
{
	return !(access_of(v, seg) & ACCESS_UNUSABLE);
}

/* Whether the access rights of CS to GS are looked at part by part; CS counts as usable always. */
static bool by_parts(const struct vmx_view *v, enum x86_seg seg)
{
	return !is_v8086(v) && (seg == SEG_CS || is_usable(v, seg));
}

static uint64_t wrong_ldtr_ti(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return is_usable(v, SEG_LDTR) ? value & SELECTOR_TI : 0;
}

static uint64_t wrong_ss_rpl(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	if (is_v8086(v) || is_unrestricted(v))
		return 0;
	return (value ^ rpl_of(v, SEG_CS)) & SELECTOR_RPL;
}

static uint64_t wrong_v8086_base(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	if (!is_v8086(v))
		return 0;
	return value == of_segment(v, VMCS_GUEST_ES_SELECTOR, seg) << 4 ? 0 : WRONG_VALUE;
}

static uint64_t wrong_ldtr_base(const struct vmx_view *v, uint64_t value, uint64_t arg __unused)
{
	return is_usable(v, SEG_LDTR) ? vmx_wrong_canonical(v, value, 0) : 0;
}

static uint64_t wrong_base_high(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return seg == SEG_CS || is_usable(v, seg) ? value & MASK(63, 32) : 0;
}

static uint64_t wrong_v8086_limit(const struct vmx_view *v, uint64_t value, uint64_t seg __unused)
{
	return is_v8086(v) && value != VIRTUAL_8086_LIMIT ? WRONG_VALUE : 0;
}

static uint64_t wrong_v8086_access(const struct vmx_view *v, uint64_t value, uint64_t seg __unused)
{
	return is_v8086(v) ? value ^ VIRTUAL_8086_ACCESS : 0;
}

static uint64_t wrong_type_cs(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	if (!by_parts(v, seg))
		return 0;
	switch (type_in(value)) {
	case CODE_ACCESSED:
	case CODE_READ_ACCESSED:
	case CODE_CONFORMING_ACCESSED:
	case CODE_CONFORMING_READ_ACCESSED:
		return 0;
	case DATA_RW_ACCESSED:
		return is_unrestricted(v) ? 0 : ACCESS_TYPE;
	default:
		return ACCESS_TYPE;
	}
}

static uint64_t wrong_type_ss(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	unsigned type = type_in(value);

	if (!by_parts(v, seg))
		return 0;
	return type == DATA_RW_ACCESSED || type == DATA_DOWN_ACCESSED ? 0 : ACCESS_TYPE;
}

static uint64_t wrong_accessed(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return by_parts(v, seg) ? ~value & 1 : 0;
}

static uint64_t wrong_readable(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return by_parts(v, seg) && value & TYPE_CODE ? ~value & TYPE_READABLE : 0;
}

static uint64_t wrong_s(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return by_parts(v, seg) ? ~value & ACCESS_S : 0;
}

/* The DPL of SS counts even if SS is not usable: it is the CPL. */
static uint64_t wrong_dpl_cs(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	unsigned dpl = dpl_in(value), ss = dpl_in(access_of(v, SEG_SS));

	if (!by_parts(v, seg))
		return 0;
	switch (type_in(value)) {
	case DATA_RW_ACCESSED:
		return dpl == 0 ? 0 : ACCESS_DPL;
	case CODE_ACCESSED:
	case CODE_READ_ACCESSED:
		return dpl == ss ? 0 : ACCESS_DPL;
	default:
		return dpl <= ss ? 0 : ACCESS_DPL;
	}
}

static uint64_t wrong_dpl_ss_rpl(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	if (is_v8086(v) || is_unrestricted(v))
		return 0;
	return dpl_in(value) == rpl_of(v, seg) ? 0 : ACCESS_DPL;
}

static uint64_t wrong_dpl_ss_real(const struct vmx_view *v, uint64_t value, uint64_t seg __unused)
{
	if (is_v8086(v))
		return 0;
	if (type_in(access_of(v, SEG_CS)) != DATA_RW_ACCESSED &&
	    vmx_field(v, VMCS_GUEST_CR0) & CR0_PE)
		return 0;
	return value & ACCESS_DPL;
}

static uint64_t wrong_dpl_data(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	if (!by_parts(v, seg) || is_unrestricted(v) || type_in(value) > CODE_READ_ACCESSED)
		return 0;
	return dpl_in(value) < rpl_of(v, seg) ? ACCESS_DPL : 0;
}

static uint64_t wrong_p(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return by_parts(v, seg) ? ~value & ACCESS_P : 0;
}

static uint64_t wrong_reserved_low(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return by_parts(v, seg) ? value & MASK(11, 8) : 0;
}

static uint64_t wrong_db(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	bool is_64 = vmx_has(v, CTL_ENTRY, ENTRYCTL_IA32E) && value & ACCESS_L;

	return by_parts(v, seg) && is_64 ? value & ACCESS_DB : 0;
}

/* G is 0 if a bit of 11:0 of the limit is, and 1 if one of 31:20 is. */
static uint64_t granularity(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	uint64_t limit = of_segment(v, VMCS_GUEST_ES_LIMIT, seg);

	if (value & ACCESS_G)
		return (limit & MASK(11, 0)) == MASK(11, 0) ? 0 : ACCESS_G;
	return limit & MASK(31, 20) ? ACCESS_G : 0;
}

static uint64_t wrong_g(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return by_parts(v, seg) ? granularity(v, value, seg) : 0;
}

static uint64_t wrong_reserved_high(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return by_parts(v, seg) ? value & MASK(31, 17) : 0;
}

/* TR, and LDTR if it is usable. */
static uint64_t wrong_type_tr(const struct vmx_view *v, uint64_t value, uint64_t seg __unused)
{
	unsigned type = type_in(value);

	if (type == SYSTEM_BUSY_TSS_16 && !vmx_has(v, CTL_ENTRY, ENTRYCTL_IA32E))
		return 0;
	return type == SYSTEM_BUSY_TSS ? 0 : ACCESS_TYPE;
}

static uint64_t wrong_type_ldtr(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return is_usable(v, seg) && type_in(value) != SYSTEM_LDT ? ACCESS_TYPE : 0;
}

static bool is_system(const struct vmx_view *v, uint64_t seg)
{
	return seg == SEG_TR || is_usable(v, seg);
}

static uint64_t wrong_system_s(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return is_system(v, seg) ? value & ACCESS_S : 0;
}

static uint64_t wrong_system_p(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return is_system(v, seg) ? ~value & ACCESS_P : 0;
}

static uint64_t wrong_system_low(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return is_system(v, seg) ? value & MASK(11, 8) : 0;
}

static uint64_t wrong_system_g(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return is_system(v, seg) ? granularity(v, value, seg) : 0;
}

static uint64_t wrong_system_high(const struct vmx_view *v, uint64_t value, uint64_t seg)
{
	return is_system(v, seg) ? value & MASK(31, 17) : 0;
}

#define SEGMENT(part, seg, name, must, wrong)                                                     \
	{                                                                                         \
		"27.3.1.2", "guest " #seg " " name, must, VMCS_GUEST_##seg##_##part, CTL_NONE, 0, \
			wrong, SEG_##seg                                                          \
	}
#define RIGHTS(seg, must, wrong) SEGMENT(ACCESS, seg, "access rights", must, wrong)

/* All six, in the manual's order. */
#define SEGMENTS(part, name, must, wrong)                                                   \
	SEGMENT(part, CS, name, must, wrong), SEGMENT(part, SS, name, must, wrong),         \
		SEGMENT(part, DS, name, must, wrong), SEGMENT(part, ES, name, must, wrong), \
		SEGMENT(part, FS, name, must, wrong), SEGMENT(part, GS, name, must, wrong)
#define DATA_RIGHTS(must, wrong)                                                   \
	RIGHTS(DS, must, wrong), RIGHTS(ES, must, wrong), RIGHTS(FS, must, wrong), \
		RIGHTS(GS, must, wrong)
#define ALL_RIGHTS(must, wrong)	       SEGMENTS(ACCESS, "access rights", must, wrong)
#define SEGMENT_BASE(seg, must, wrong) SEGMENT(BASE, seg, "base", must, wrong)

static const struct vmx_check segment_checks[] = {
	{"27.3.1.2", "guest TR selector", "TI must be 0", VMCS_GUEST_TR_SELECTOR, CTL_NONE, 0,
	 vmx_wrong_unless_clear, SELECTOR_TI},
	SEGMENT(SELECTOR, LDTR, "selector", "TI must be 0", wrong_ldtr_ti),
	SEGMENT(SELECTOR, SS, "selector", "RPL must be that of CS", wrong_ss_rpl),

	SEGMENTS(BASE, "base", "must be 16 times the selector in virtual-8086 mode",
		 wrong_v8086_base),
	{"27.3.1.2", "guest TR base", "must be canonical", VMCS_GUEST_TR_BASE, CTL_NONE, 0,
	 vmx_wrong_canonical, 0},
	{"27.3.1.2", "guest FS base", "must be canonical", VMCS_GUEST_FS_BASE, CTL_NONE, 0,
	 vmx_wrong_canonical, 0},
	{"27.3.1.2", "guest GS base", "must be canonical", VMCS_GUEST_GS_BASE, CTL_NONE, 0,
	 vmx_wrong_canonical, 0},
	SEGMENT_BASE(LDTR, "must be canonical", wrong_ldtr_base),
	SEGMENT_BASE(CS, "bits 63:32 must be 0", wrong_base_high),
	SEGMENT_BASE(SS, "bits 63:32 must be 0", wrong_base_high),
	SEGMENT_BASE(DS, "bits 63:32 must be 0", wrong_base_high),
	SEGMENT_BASE(ES, "bits 63:32 must be 0", wrong_base_high),

	SEGMENTS(LIMIT, "limit", "must be 0xffff in virtual-8086 mode", wrong_v8086_limit),

	ALL_RIGHTS("must be 0xf3 in virtual-8086 mode", wrong_v8086_access),
	RIGHTS(CS, "the type must be accessed code, or 3 for an unrestricted guest",
	       wrong_type_cs),
	RIGHTS(SS, "the type must be 3 or 7", wrong_type_ss),
	DATA_RIGHTS("the type must be accessed", wrong_accessed),
	DATA_RIGHTS("code must be readable", wrong_readable),
	ALL_RIGHTS("S must be 1", wrong_s),
	RIGHTS(CS, "the DPL must be 0 for type 3, that of SS for 9 and 11, else not above SS's",
	       wrong_dpl_cs),
	RIGHTS(SS, "the DPL must be the selector's RPL", wrong_dpl_ss_rpl),
	RIGHTS(SS, "the DPL must be 0 in real mode or if CS has type 3", wrong_dpl_ss_real),
	DATA_RIGHTS("the DPL must not be below the selector's RPL", wrong_dpl_data),
	ALL_RIGHTS("P must be 1", wrong_p),
	ALL_RIGHTS("bits 11:8 must be 0", wrong_reserved_low),
	RIGHTS(CS, "D/B must be 0 in 64-bit mode", wrong_db),
	ALL_RIGHTS("G must fit the limit", wrong_g),
	ALL_RIGHTS("bits 31:17 must be 0", wrong_reserved_high),

	RIGHTS(TR, "the type must be a busy TSS (11, or 3 outside IA-32e mode)", wrong_type_tr),
	RIGHTS(TR, "S must be 0", wrong_system_s),
	RIGHTS(TR, "P must be 1", wrong_system_p),
	RIGHTS(TR, "bits 11:8 must be 0", wrong_system_low),
	RIGHTS(TR, "G must fit the limit", wrong_system_g),
	{"27.3.1.2", "guest TR access rights", "must be usable", VMCS_GUEST_TR_ACCESS, CTL_NONE,
	 0, vmx_wrong_unless_clear, ACCESS_UNUSABLE},
	RIGHTS(TR, "bits 31:17 must be 0", wrong_system_high),

	RIGHTS(LDTR, "the type must be an LDT (2)", wrong_type_ldtr),
	RIGHTS(LDTR, "S must be 0", wrong_system_s),
	RIGHTS(LDTR, "P must be 1", wrong_system_p),
	RIGHTS(LDTR, "bits 11:8 must be 0", wrong_system_low),
	RIGHTS(LDTR, "G must fit the limit", wrong_system_g),
	RIGHTS(LDTR, "bits 31:17 must be 0", wrong_system_high),
};

const struct vmx_check_list vmx_segment_checks = {segment_checks, ARRAY_SIZE(segment_checks)};
