/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest registers between VMCS, register cache and CPU: each group, there and back. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "panic_mock.h"
#include "vmx_cpu_mock.h"
#include "socle/cpu/features.h"
#include "../../arch/x86/vmx/state.c"
#include "../../arch/x86/vmx/switch.c"
#include "../../arch/x86/vmx/cr.c"

struct cpu_info cpu_info = {.phys_bits = 40};
struct vmx_caps vmx_caps;
const struct vendor *vendor;

static struct vmx_vcpu other;	       /* takes the CPU away */
static const struct vmx_vcpu *current; /* of vmx_make_current() */
static uint64_t pdpt[4];	       /* what lies at PDPT in the guest's memory */
static unsigned pdpt_reads;
static bool pdpt_in_memory;
enum { PDPT = 0x12345660, MASKED = CR4_VMXE | CR4_MCE };

void vmx_make_current(struct vmx_vcpu *s)
{
	current = s;
}

status_t guest_read(struct guest_mem *mem, uint64_t gpa, void *dst, size_t len)
{
	assert_ptr_equal(mem, &guest_vm.mem);
	assert_int_equal(gpa, PDPT);
	assert_int_equal(len, sizeof(pdpt));
	pdpt_reads++;
	memcpy(dst, pdpt, len);
	return pdpt_in_memory ? 0 : -S_FAULT;
}

/* Not used here: MOV to CR has a test of its own. */
bool exit_cr8_access(struct x86_vcpu *v __unused, bool write __unused, unsigned gpr __unused)
{
	return true;
}

void vmx_advance(struct vmx_vcpu *s __unused)
{
}

void x86_raise_error(struct x86_vcpu *v __unused, uint8_t vector __unused, uint32_t error __unused)
{
}

static unsigned debugctl_sets; /* calls of it */

void vmx_lbr_set_debugctl(struct vmx_vcpu *s, uint64_t value)
{
	assert_ptr_equal(s, &guest);
	vmcs[VMCS_GUEST_DEBUGCTL] = value;
	debugctl_sets++;
}

static int setup(void **state __unused)
{
	static const uint32_t kept[] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
					MSR_KERNEL_GS_BASE};

	cpu_new();
	memset(&other, 0, sizeof(other));
	test_cpu_index = 0;
	memset(residents, 0, sizeof(residents));
	current = NULL;
	vmx_caps = (struct vmx_caps){.cr0_fixed0 = CR0_PE | CR0_NE | CR0_PG,
				     .cr0_fixed1 = UINT32_MAX,
				     .cr4_fixed0 = CR4_VMXE,
				     .cr4_fixed1 = UINT32_MAX};
	for (unsigned i = 0; i < ARRAY_SIZE(kept); i++)
		*cpu_msr(kept[i]) = 0;
	vmcs[VMCS_CR4_MASK] = MASKED;
	pdpt_in_memory = true;
	pdpt_reads = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(pdpt); i++)
		pdpt[i] = 0x1000 * (i + 1) | 1;
	return 0;
}

static void write_back(uint32_t groups)
{
	x86_dirty(&guest.x, groups);
	forget_vmwrites();
	vmx_write_back(&guest);
	assert_int_equal(guest.x.dirty, 0);
}

static const struct {
	enum vmcs_field selector, limit, access, base;
} segment_fields[SEG_COUNT] = {
#define SEGMENT(n)                                                       \
	[SEG_##n] = {VMCS_GUEST_##n##_SELECTOR, VMCS_GUEST_##n##_LIMIT, \
		     VMCS_GUEST_##n##_ACCESS, VMCS_GUEST_##n##_BASE}
	SEGMENT(ES), SEGMENT(CS), SEGMENT(SS),	 SEGMENT(DS),
	SEGMENT(FS), SEGMENT(GS), SEGMENT(LDTR), SEGMENT(TR),
#undef SEGMENT
};

/* Values of their own in all fields of the groups. */
static void fill_vmcs(void)
{
	vmcs[VMCS_GUEST_RIP] = 0x1111222233334444;
	vmcs[VMCS_GUEST_RSP] = 0x5555666677778888;
	vmcs[VMCS_GUEST_RFLAGS] = 0x246;
	vmcs[VMCS_GUEST_DR7] = 0x403;
	vmcs[VMCS_GUEST_GDTR_BASE] = 0xffff800000001000;
	vmcs[VMCS_GUEST_GDTR_LIMIT] = 0x7f;
	vmcs[VMCS_GUEST_IDTR_BASE] = 0xffff800000002000;
	vmcs[VMCS_GUEST_IDTR_LIMIT] = 0xfff;
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		vmcs[segment_fields[i].selector] = 8 * i + 8;
		vmcs[segment_fields[i].limit] = 0xfffff000 + i;
		vmcs[segment_fields[i].access] = 0xc093;
		vmcs[segment_fields[i].base] = 0xffff900000000000 + i;
	}
}

static void each_group_alone(void **state __unused)
{
	static const uint32_t groups[] = {X86_RIP, X86_RSP, X86_RFLAGS, X86_CR, X86_SEG, X86_DR};
	struct x86_state poison, *st = &guest.x.state;

	memset(&poison, 0xa5, sizeof(poison));
	fill_vmcs();
	vmcs[VMCS_GUEST_CR3] = 0x77000;
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++) {
		uint32_t g = groups[i];

		current = NULL;
		*st = poison;
		vmx_load(&guest.x, g);
		assert_ptr_equal(current, &guest);
		assert_int_equal(st->rip, g == X86_RIP ? 0x1111222233334444 : poison.rip);
		assert_int_equal(st->gpr[GPR_RSP],
				 g == X86_RSP ? 0x5555666677778888 : poison.gpr[GPR_RSP]);
		assert_int_equal(st->rflags, g == X86_RFLAGS ? 0x246 : poison.rflags);
		assert_int_equal(st->cr3, g == X86_CR ? 0x77000 : poison.cr3);
		assert_int_equal(st->dr7, g == X86_DR ? 0x403 : poison.dr7);
		assert_int_equal(st->seg[SEG_TR].selector,
				 g == X86_SEG ? 0x40 : poison.seg[SEG_TR].selector);
		assert_int_equal(st->gpr[GPR_RAX], poison.gpr[GPR_RAX]);
	}
	assert_int_equal(vmwrites, 0);
}

/* A group that is not dirty is not written: not one VMWRITE more than its fields. */
static void only_what_is_dirty(void **state __unused)
{
	struct x86_state *st = &guest.x.state;

	st->rip = 0x1234;
	st->gpr[GPR_RSP] = 0x5678;
	st->rflags = RFLAGS_ZF;
	st->dr7 = 0x455;
	write_back(0);
	assert_int_equal(vmwrites, 0);
	write_back(X86_RIP);
	assert_int_equal(vmwrites, 1);
	assert_int_equal(vmcs[VMCS_GUEST_RIP], 0x1234);
	write_back(X86_RSP);
	assert_int_equal(vmwrites, 1);
	assert_int_equal(vmcs[VMCS_GUEST_RSP], 0x5678);
	/* Bit 1 must be 1 (SDM vol. 3, 27.3.1.4). */
	write_back(X86_RFLAGS);
	assert_int_equal(vmwrites, 1);
	assert_int_equal(vmcs[VMCS_GUEST_RFLAGS], RFLAGS_ZF | BIT(1));
	write_back(X86_DR);
	assert_int_equal(vmwrites, 1);
	assert_int_equal(vmcs[VMCS_GUEST_DR7], 0x455);
	write_back(X86_SEG);
	assert_int_equal(vmwrites, 4 * SEG_COUNT + 4);
	assert_int_equal(vmwrites_of[VMCS_GUEST_CR3], 0);
}

/* DEBUGCTL goes with DR7, but only a new value makes work. */
static void debugctl(void **state __unused)
{
	struct x86_state *st = &guest.x.state;

	vmcs[VMCS_GUEST_DEBUGCTL] = DEBUGCTL_LBR;
	vmx_load(&guest.x, X86_DR);
	assert_int_equal(st->debugctl, DEBUGCTL_LBR);
	debugctl_sets = 0;
	write_back(X86_DR);
	assert_int_equal(debugctl_sets, 0);
	st->debugctl = DEBUGCTL_BTF;
	write_back(X86_RIP);
	assert_int_equal(debugctl_sets, 0);
	write_back(X86_DR);
	assert_int_equal(debugctl_sets, 1);
	assert_int_equal(vmcs[VMCS_GUEST_DEBUGCTL], DEBUGCTL_BTF);
}

static void segments_there_and_back(void **state __unused)
{
	struct x86_state *st = &guest.x.state;

	fill_vmcs();
	vmx_load(&guest.x, X86_SEG);
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		assert_int_equal(st->seg[i].selector, 8 * i + 8);
		assert_int_equal(st->seg[i].limit, 0xfffff000 + i);
		assert_int_equal(st->seg[i].base, 0xffff900000000000 + i);
		st->seg[i].selector += 0x100;
		st->seg[i].limit -= 0x1000;
		st->seg[i].base += 0x1000;
	}
	assert_int_equal(st->gdtr.base, 0xffff800000001000);
	assert_int_equal(st->gdtr.limit, 0x7f);
	assert_int_equal(st->idtr.base, 0xffff800000002000);
	assert_int_equal(st->idtr.limit, 0xfff);
	st->gdtr = (struct x86_table){0x1000, 0x2f};
	st->idtr = (struct x86_table){0x2000, 0x3f};
	write_back(X86_SEG);
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		assert_int_equal(vmcs[segment_fields[i].selector], 8 * i + 0x108);
		assert_int_equal(vmcs[segment_fields[i].limit], 0xffffe000 + i);
		assert_int_equal(vmcs[segment_fields[i].base], 0xffff900000001000 + i);
	}
	assert_int_equal(vmcs[VMCS_GUEST_GDTR_BASE], 0x1000);
	assert_int_equal(vmcs[VMCS_GUEST_GDTR_LIMIT], 0x2f);
	assert_int_equal(vmcs[VMCS_GUEST_IDTR_BASE], 0x2000);
	assert_int_equal(vmcs[VMCS_GUEST_IDTR_LIMIT], 0x3f);
}

/* SDM vol. 3, table 25-2: AVL, L, D/B and G at 15:12, with reserved bits below; 16: unusable. */
static void access_rights(void **state __unused)
{
	for (unsigned attr = 0; attr < 0x1000; attr++) {
		uint64_t access = (attr & 0xff) | (attr & 0xf00) << 4 | (attr & 0x80 ? 0 : 0x10000);

		for (unsigned i = 0; i < SEG_COUNT; i++)
			guest.x.state.seg[i].attr = attr;
		guest.x.state.cpl = attr >> 5 & 3;
		write_back(X86_SEG);
		for (unsigned i = 0; i < SEG_COUNT; i++)
			assert_int_equal(vmcs[segment_fields[i].access], access);
		memset(guest.x.state.seg, 0x5a, sizeof(guest.x.state.seg));
		vmx_load(&guest.x, X86_SEG);
		for (unsigned i = 0; i < SEG_COUNT; i++)
			assert_int_equal(guest.x.state.seg[i].attr, attr);
	}
	/* What a CPU leaves in an unusable one may well look present. */
	vmcs[VMCS_GUEST_DS_ACCESS] = 0x1c0f3;
	vmx_load(&guest.x, X86_SEG);
	assert_int_equal(guest.x.state.seg[SEG_DS].attr, 0xc73);
	/* Reserved bits do not become attributes. */
	vmcs[VMCS_GUEST_DS_ACCESS] = 0xf93;
	vmx_load(&guest.x, X86_SEG);
	assert_int_equal(guest.x.state.seg[SEG_DS].attr, 0x93);
}

/* SDM vol. 3, 25.4.1: the DPL of SS is the CPL, also if SS is not usable. */
static void privilege_level(void **state __unused)
{
	for (unsigned cpl = 0; cpl < 4; cpl++) {
		vmcs[VMCS_GUEST_SS_ACCESS] = 0x10000 | cpl << 5;
		vmcs[VMCS_GUEST_CS_ACCESS] = 0xa09b | (3 - cpl) << 5;
		vmx_load(&guest.x, X86_SEG);
		assert_int_equal(guest.x.state.cpl, cpl);
		guest.x.state.cpl = 3 - cpl;
		write_back(X86_SEG);
		assert_int_equal(vmcs[VMCS_GUEST_SS_ACCESS], 0x10000 | (3 - cpl) << 5);
		assert_int_equal(vmcs[VMCS_GUEST_CS_ACCESS], 0xa09b | (3 - cpl) << 5);
	}
}

/* A masked bit comes from the shadow, all others from the register. */
static void control_registers_are_merged(void **state __unused)
{
	const uint64_t owned0 = CR0_NE | CR0_NW | CR0_CD;

	for (unsigned bit = 0; bit < 32; bit++) {
		vmcs[VMCS_GUEST_CR0] = vmcs[VMCS_GUEST_CR4] = BIT(bit);
		vmcs[VMCS_CR0_SHADOW] = vmcs[VMCS_CR4_SHADOW] = 0;
		vmx_load(&guest.x, X86_CR);
		assert_int_equal(guest.x.state.cr0, BIT(bit) & ~owned0);
		assert_int_equal(guest.x.state.cr4, BIT(bit) & ~(uint64_t)MASKED);
		vmcs[VMCS_GUEST_CR0] = vmcs[VMCS_GUEST_CR4] = 0;
		vmcs[VMCS_CR0_SHADOW] = vmcs[VMCS_CR4_SHADOW] = BIT(bit);
		vmx_load(&guest.x, X86_CR);
		assert_int_equal(guest.x.state.cr0, BIT(bit) & owned0);
		assert_int_equal(guest.x.state.cr4, BIT(bit) & MASKED);
	}
	vmcs[VMCS_GUEST_EFER] = EFER_SCE | EFER_NXE;
	vmx_load(&guest.x, X86_CR);
	assert_int_equal(guest.x.state.efer, EFER_SCE | EFER_NXE);
}

static void control_registers_written(void **state __unused)
{
	struct x86_state *st = &guest.x.state;

	mock_cr4 = CR4_MCE | CR4_PGE;
	st->cr0 = CR0_PE | CR0_PG | CR0_CD | CR0_NW | CR0_WP;
	st->cr3 = 0x5000;
	st->cr4 = CR4_PAE;
	st->efer = EFER_LME | EFER_LMA | EFER_SCE;
	guest.entry = ENTRYCTL_LOAD_EFER | ENTRYCTL_LOAD_PAT;
	write_back(X86_CR);
	assert_int_equal(vmcs[VMCS_CR0_SHADOW], CR0_PE | CR0_PG | CR0_CD | CR0_NW | CR0_WP);
	assert_int_equal(vmcs[VMCS_GUEST_CR0], CR0_PE | CR0_PG | CR0_WP | CR0_NE | CR0_ET);
	assert_int_equal(vmcs[VMCS_GUEST_CR3], 0x5000);
	assert_int_equal(vmcs[VMCS_CR4_SHADOW], CR4_PAE);
	assert_int_equal(vmcs[VMCS_GUEST_CR4], CR4_PAE | CR4_MCE | CR4_VMXE);
	assert_int_equal(vmcs[VMCS_GUEST_EFER], EFER_LME | EFER_LMA | EFER_SCE);
	/* The control follows LMA (SDM vol. 3, 27.3.1.1). */
	assert_int_equal(vmcs[VMCS_ENTRY_CONTROLS],
			 ENTRYCTL_LOAD_EFER | ENTRYCTL_LOAD_PAT | ENTRYCTL_IA32E);
	st->efer = EFER_LME;
	st->cr0 &= ~CR0_PG;
	write_back(X86_CR);
	assert_int_equal(vmcs[VMCS_ENTRY_CONTROLS], ENTRYCTL_LOAD_EFER | ENTRYCTL_LOAD_PAT);
	/* Without a machine check of the host's the guest's MCE is not real, either. */
	mock_cr4 = 0;
	st->cr4 |= CR4_MCE;
	write_back(X86_CR);
	assert_int_equal(vmcs[VMCS_GUEST_CR4], CR4_PAE | CR4_VMXE);
	assert_int_equal(vmcs[VMCS_CR4_SHADOW], CR4_PAE | CR4_MCE);
}

/* PE and PG may be 0 in an unrestricted guest, whatever the CPU fixes (SDM vol. 3, 27.3.1.1). */
static void fixed_bits(void **state __unused)
{
	assert_int_equal(vmx_real_cr0(0), CR0_NE | CR0_ET);
	vmx_caps.cr0_fixed0 |= BIT(7);
	vmx_caps.cr0_fixed1 &= ~BIT(18);
	assert_int_equal(vmx_real_cr0(CR0_AM | CR0_PE), CR0_PE | CR0_NE | CR0_ET | BIT(7));
	vmx_caps.cr4_fixed0 |= BIT(9);
	assert_int_equal(vmx_real_cr4(CR4_PGE), CR4_PGE | CR4_VMXE | BIT(9));
}

static void cr2_and_dr6_where_they_are(void **state __unused)
{
	struct x86_state *st = &guest.x.state;

	guest.cr2 = 0x1000;
	guest.dr6 = 0xffff0ff1;
	mock_cr2 = 0xbad;
	mock_dr6 = 0xbad;
	vmx_load(&guest.x, X86_CR | X86_DR);
	assert_int_equal(st->cr2, 0x1000);
	assert_int_equal(st->dr6, 0xffff0ff1);
	st->cr2 = 0x2000;
	st->dr6 = 0xffff0ff2;
	write_back(X86_CR | X86_DR);
	assert_int_equal(guest.cr2, 0x2000);
	assert_int_equal(guest.dr6, 0xffff0ff2);
	assert_int_equal(mock_cr2, 0xbad);
	assert_int_equal(mock_dr6, 0xbad);
	/* In the CPU: what is kept is old. */
	vmx_switch_to(&guest);
	assert_int_equal(mock_cr2, 0x2000);
	assert_int_equal(mock_dr6, 0xffff0ff2);
	mock_cr2 = 0x3000;
	mock_dr6 = 0xffff0ff4;
	vmx_load(&guest.x, X86_CR | X86_DR);
	assert_int_equal(st->cr2, 0x3000);
	assert_int_equal(st->dr6, 0xffff0ff4);
	st->cr2 = 0x4000;
	st->dr6 = 0xffff0ff8;
	write_back(X86_CR | X86_DR);
	assert_int_equal(mock_cr2, 0x4000);
	assert_int_equal(mock_dr6, 0xffff0ff8);
	/* Another takes the CPU: they are kept as the guest left them, and its own come. */
	mock_cr2 = 0x5000;
	mock_dr6 = 0xffff4ff0;
	other.cr2 = 0x9000;
	other.dr6 = 0xffff0ff0;
	vmx_switch_to(&other);
	assert_int_equal(guest.cr2, 0x5000);
	assert_int_equal(guest.dr6, 0xffff4ff0);
	assert_int_equal(mock_cr2, 0x9000);
	assert_int_equal(mock_dr6, 0xffff0ff0);
}

static void kept_registers_change_hands(void **state __unused)
{
	static const uint32_t msr[KEPT_MSRS] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
						MSR_KERNEL_GS_BASE};

	vmx_switch_reset(&guest, false);
	vmx_switch_reset(&other, false);
	assert_int_equal(guest.dr6, 0xffff0ff0);
	vmx_switch_to(&guest);
	assert_true(vmx_is_resident(&guest));
	assert_false(vmx_is_resident(&other));
	for (unsigned i = 0; i < KEPT_MSRS; i++)
		*cpu_msr(msr[i]) = 0x100 + i;
	/* The same again moves nothing. */
	msr_writes = 0;
	vmx_switch_to(&guest);
	assert_int_equal(msr_writes, 0);
	vmx_switch_to(&other);
	for (unsigned i = 0; i < KEPT_MSRS; i++) {
		assert_int_equal(*cpu_msr(msr[i]), 0);
		assert_int_equal(guest.kept[i], 0x100 + i);
	}
	vmx_switch_to(&guest);
	for (unsigned i = 0; i < KEPT_MSRS; i++)
		assert_int_equal(*cpu_msr(msr[i]), 0x100 + i);
	/* On another CPU they are nobody's yet, and the first one's stay. */
	test_cpu_index = 2;
	assert_false(vmx_is_resident(&guest));
	vmx_switch_to(&other);
	assert_true(vmx_is_resident(&other));
	for (unsigned i = 0; i < KEPT_MSRS; i++)
		assert_int_equal(*cpu_msr(msr[i]), 0);
	test_cpu_index = 0;
	assert_true(vmx_is_resident(&guest));
	for (unsigned i = 0; i < KEPT_MSRS; i++)
		*cpu_msr(msr[i]) = 0x100 + i;
	/* An INIT leaves the MSRs (SDM vol. 3, table 10-1), in the CPU or not, and them alone. */
	mock_cr2 = 0x9000;
	vmx_switch_reset(&guest, true);
	assert_false(vmx_is_resident(&guest));
	for (unsigned i = 0; i < KEPT_MSRS; i++)
		*cpu_msr(msr[i]) = 0;
	vmx_switch_reset(&guest, true);
	assert_int_equal(guest.cr2, 0);
	vmx_switch_to(&guest);
	for (unsigned i = 0; i < KEPT_MSRS; i++)
		assert_int_equal(*cpu_msr(msr[i]), 0x100 + i);
	/* A reset takes them out of the CPU: what is there is nobody's. */
	vmx_switch_reset(&guest, false);
	assert_false(vmx_is_resident(&guest));
	vmx_switch_to(&guest);
	for (unsigned i = 0; i < KEPT_MSRS; i++)
		assert_int_equal(*cpu_msr(msr[i]), 0);
}

/* Released, they are in no CPU, and go along to the next one. */
static void released(void **state __unused)
{
	static const uint32_t msr[] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
				       MSR_KERNEL_GS_BASE};

	vmx_switch_reset(&guest, false);
	vmx_switch_reset(&other, false);
	vmx_switch_to(&guest);
	for (unsigned i = 0; i < KEPT_MSRS; i++)
		*cpu_msr(msr[i]) = 0x200 + i;
	mock_cr2 = 0x9000;
	mock_dr6 = 0xffff4ff0;
	/* Who is not there leaves those there alone. */
	vmx_switch_release(&other);
	assert_true(vmx_is_resident(&guest));
	assert_int_equal(other.kept[0], 0);
	vmx_switch_release(&guest);
	assert_false(vmx_is_resident(&guest));
	test_cpu_index = 1;
	for (unsigned i = 0; i < KEPT_MSRS; i++)
		*cpu_msr(msr[i]) = 0;
	mock_cr2 = mock_dr6 = 0;
	vmx_switch_to(&guest);
	assert_true(vmx_is_resident(&guest));
	for (unsigned i = 0; i < KEPT_MSRS; i++)
		assert_int_equal(*cpu_msr(msr[i]), 0x200 + i);
	assert_int_equal(mock_cr2, 0x9000);
	assert_int_equal(mock_dr6, 0xffff4ff0);
}

/* Writes these back; were the PDPTEs loaded from memory? */
static bool loads_pdptes(uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer)
{
	guest.x.state.cr0 = cr0;
	guest.x.state.cr3 = cr3;
	guest.x.state.cr4 = cr4;
	guest.x.state.efer = efer;
	pdpt_reads = 0;
	write_back(X86_CR);
	assert_true(pdpt_reads <= 1);
	assert_int_equal(vmwrites_of[VMCS_GUEST_PDPTE0], pdpt_reads);
	return pdpt_reads;
}

/* SDM vol. 3, 4.4.1 and 27.3.2.4: with EPT, entries take them from the VMCS. */
static void pdptes_follow_pae_paging(void **state __unused)
{
	const uint64_t paging = CR0_PE | CR0_PG;

	assert_true(loads_pdptes(paging, PDPT, CR4_PAE, 0));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(vmcs[VMCS_GUEST_PDPTE0 + 2 * i], 0x1000 * (i + 1) | 1);
	/* Nothing moved: the CPU's are newer than memory. */
	assert_false(loads_pdptes(paging, PDPT, CR4_PAE, 0));
	assert_false(loads_pdptes(paging, PDPT, CR4_PAE, EFER_NXE));
	assert_int_equal(vmwrites_of[VMCS_GUEST_CR3], 0);
	/* Each of the three registers by itself; the upper half of CR3 and its low bits are no
	 * part. */
	assert_true(loads_pdptes(paging | CR0_WP, PDPT, CR4_PAE, 0));
	assert_true(loads_pdptes(paging | CR0_WP, PDPT | 0x18, CR4_PAE, 0));
	assert_true(loads_pdptes(paging | CR0_WP, PDPT | BIT(32), CR4_PAE, 0));
	assert_true(loads_pdptes(paging | CR0_WP, PDPT | BIT(32), CR4_PAE | CR4_PGE, 0));
	/* Other kinds of paging have none. */
	assert_false(loads_pdptes(CR0_PE, PDPT, CR4_PAE, 0));
	assert_false(loads_pdptes(paging, PDPT, CR4_PSE, 0));
	assert_false(loads_pdptes(paging | CR0_WP, PDPT, CR4_PAE, EFER_LME | EFER_LMA));
	assert_true(loads_pdptes(paging, PDPT, CR4_PAE, 0));
}

static void bad_pdptes(void **state __unused)
{
	const uint64_t reserved = MASK(2, 1) | MASK(8, 5) | MASK(63, 40);

	guest.x.state.cr3 = PDPT;
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned bit = 1; bit < 64; bit++) {
			setup(NULL);
			guest.x.state.cr3 = PDPT;
			pdpt[i] |= BIT(bit);
			assert_int_equal(vmx_load_pdptes(&guest), !(reserved >> bit & 1));
			/* All or nothing. */
			assert_int_equal(vmwrites, reserved >> bit & 1 ? 0 : 4);
			/* Not present: nothing is reserved. */
			pdpt[i] &= ~BIT(0);
			assert_true(vmx_load_pdptes(&guest));
			assert_int_equal(vmcs[VMCS_GUEST_PDPTE0 + 2 * i], pdpt[i]);
		}
	}
	pdpt_in_memory = false;
	forget_vmwrites();
	assert_false(vmx_load_pdptes(&guest));
	assert_int_equal(vmwrites, 0);
}

static void dump_is_of_that_vcpu(void **state __unused)
{
	logged_lines = 0;
	vmx_dump(&other.x);
	assert_ptr_equal(current, &other);
	assert_true(logged_lines > 8);
	assert_int_equal(vmwrites, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_group_alone, setup),
		cmocka_unit_test_setup(only_what_is_dirty, setup),
		cmocka_unit_test_setup(segments_there_and_back, setup),
		cmocka_unit_test_setup(debugctl, setup),
		cmocka_unit_test_setup(access_rights, setup),
		cmocka_unit_test_setup(privilege_level, setup),
		cmocka_unit_test_setup(control_registers_are_merged, setup),
		cmocka_unit_test_setup(control_registers_written, setup),
		cmocka_unit_test_setup(fixed_bits, setup),
		cmocka_unit_test_setup(cr2_and_dr6_where_they_are, setup),
		cmocka_unit_test_setup(kept_registers_change_hands, setup),
		cmocka_unit_test_setup(released, setup),
		cmocka_unit_test_setup(pdptes_follow_pae_paging, setup),
		cmocka_unit_test_setup(bad_pdptes, setup),
		cmocka_unit_test_setup(dump_is_of_that_vcpu, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
