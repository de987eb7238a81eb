/* SPDX-License-Identifier: BSD-2-Clause */
/* MOV to CR0 and CR4 on VMX: what is refused, what is accepted, and what changes with it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "vmx_cpu_mock.h"
#include "socle/cpu/features.h"
#include "../../arch/x86/vmx/cr.c"

struct cpu_info cpu_info = {.phys_bits = 40};
struct vmx_caps vmx_caps;

static unsigned advanced, faults, cr8_accesses, loads, pdpt_reads;
static uint64_t pdpte;		 /* all four are this */
static struct guest_cpuid model; /* of which only CR4's bits matter */

void vmx_advance(struct vmx_vcpu *s)
{
	assert_ptr_equal(s, &guest);
	advanced++;
}

void x86_raise_error(struct x86_vcpu *v, uint8_t vector, uint32_t error)
{
	assert_ptr_equal(v, &guest.x);
	assert_int_equal(vector, VEC_GP);
	assert_int_equal(error, 0);
	faults++;
}

static bool cr8_write, cr8_done;
static unsigned cr8_gpr;

bool exit_cr8_access(struct x86_vcpu *v, bool write, unsigned gpr)
{
	assert_ptr_equal(v, &guest.x);
	cr8_accesses++;
	cr8_write = write;
	cr8_gpr = gpr;
	return cr8_done;
}

status_t guest_read(struct guest_mem *mem __unused, uint64_t gpa, void *dst, size_t len)
{
	assert_int_equal(gpa, guest.x.state.cr3 & 0xffffffe0);
	for (size_t i = 0; i < len; i += sizeof(pdpte))
		memcpy((char *)dst + i, &pdpte, sizeof(pdpte));
	pdpt_reads++;
	return 0;
}

static void mock_load(struct x86_vcpu *v, uint32_t groups)
{
	assert_ptr_equal(v, &guest.x);
	assert_int_equal(groups, X86_ALL);
	loads++;
}

static const struct vendor mock_vendor = {.load = mock_load};
const struct vendor *vendor = &mock_vendor;

#define PROTECTED (CR0_PE | CR0_ET | CR0_NE)
#define PAGED	  (PROTECTED | CR0_PG)

static int setup(void **state __unused)
{
	cpu_new();
	advanced = faults = cr8_accesses = loads = pdpt_reads = 0;
	pdpte = 0x1001;
	model.cr4 = MASK(12, 0) | MASK(18, 16) | MASK(21, 20);
	guest.x.cpuid = &model;
	guest.x.state.cr0 = PROTECTED;
	guest.x.state.cr3 = 0x3000;
	return 0;
}

/* A mode to start from. */
static void mode(uint64_t cr0, uint64_t cr4, uint64_t efer, uint16_t cs)
{
	setup(NULL);
	guest.x.state.cr0 = cr0;
	guest.x.state.cr4 = cr4;
	guest.x.state.efer = efer;
	guest.x.state.seg[SEG_CS].attr = cs;
	guest.x.state.seg[SEG_TR].attr = 0x8b;
}

enum { CODE_32 = 0xc9b, CODE_64 = 0xa9b };

static void compatibility(void)
{
	mode(PAGED, CR4_PAE, EFER_LME | EFER_LMA, CODE_32);
}

static void long_mode(void)
{
	mode(PAGED, CR4_PAE, EFER_LME | EFER_LMA, CODE_64);
}

static void execute(unsigned number, unsigned type, unsigned gpr)
{
	vmcs[VMCS_EXIT_QUALIFICATION] = number | type << 4 | gpr << 8;
	guest.x.avail = 0;
	assert_int_equal(vmx_exit_cr_access(&guest), 0);
}

/* MOV to CR@number; true if it was carried out, false if it raised #GP(0) and did nothing else. */
static bool mov(unsigned number, uint64_t value)
{
	const struct x86_state before = guest.x.state;
	bool ok;

	advanced = faults = 0;
	guest.x.dirty = guest.x.base.requests = 0;
	guest.x.state.gpr[GPR_RSI] = value;
	execute(number, CR_TYPE_MOV_TO, GPR_RSI);
	assert_int_equal(advanced + faults, 1);
	assert_string_equal(killed, "");
	ok = advanced;
	if (!ok) {
		guest.x.state.gpr[GPR_RSI] = before.gpr[GPR_RSI];
		assert_memory_equal(&guest.x.state, &before, sizeof(before));
		assert_int_equal(guest.x.dirty, 0);
		assert_int_equal(guest.x.base.requests, 0);
		assert_int_equal(vmwrites, 0);
	} else {
		assert_int_equal(guest.x.dirty, X86_CR);
	}
	return ok;
}

static bool flushed(void)
{
	return guest.x.base.requests & VCPU_REQ_FLUSH;
}

static void the_named_register_is_the_source(void **state __unused)
{
	for (unsigned i = 0; i < GPR_COUNT; i++)
		guest.x.state.gpr[i] = PROTECTED | BIT(62); /* refused */
	for (unsigned i = 0; i < GPR_COUNT; i++) {
		advanced = 0;
		guest.x.state.gpr[i] = PROTECTED | CR0_CD;
		execute(0, CR_TYPE_MOV_TO, i);
		assert_int_equal(advanced, 1);
		guest.x.state.gpr[i] = PROTECTED | BIT(62);
	}
	assert_int_equal(loads, GPR_COUNT);
}

/* What the CPU does by itself or never lets out: a bug, and the end of that guest alone. */
static void unexpected_accesses(void **state __unused)
{
	for (unsigned number = 0; number < 16; number++) {
		for (unsigned type = CR_TYPE_MOV_TO; type <= CR_TYPE_LMSW; type++) {
			char name[8];

			if (number == 8 || (type == CR_TYPE_MOV_TO && (number == 0 || number == 4)))
				continue;
			setup(NULL);
			execute(number, type, GPR_RAX);
			assert_int_equal(advanced + faults, 0);
			snprintf(name, sizeof(name), "CR%u", number);
			assert_non_null(strstr(killed, name));
		}
	}
	/* CR8 goes to its handler, in either direction; skipped unless that raised something. */
	for (unsigned type = CR_TYPE_MOV_TO; type <= CR_TYPE_MOV_FROM; type++) {
		for (unsigned done = 0; done < 2; done++) {
			setup(NULL);
			cr8_done = done;
			execute(8, type, GPR_RBX);
			assert_int_equal(cr8_accesses, 1);
			assert_int_equal(cr8_gpr, GPR_RBX);
			assert_int_equal(cr8_write, type == CR_TYPE_MOV_TO);
			assert_int_equal(advanced, done);
			assert_int_equal(faults + loads, 0);
			assert_string_equal(killed, "");
		}
	}
}

/* SDM vol. 2, "MOV - Move to/from Control Registers". */
static void cr0_refused(void **state __unused)
{
	for (unsigned bit = 32; bit < 64; bit++)
		assert_false(mov(0, PROTECTED | BIT(bit)));
	/* PG without PE, NW without CD. */
	assert_false(mov(0, CR0_PG));
	assert_false(mov(0, PROTECTED | CR0_NW));
	/* Into IA-32e mode without PAE, or from a 64-bit code segment. */
	mode(PROTECTED, 0, EFER_LME, CODE_32);
	assert_false(mov(0, PAGED));
	mode(PROTECTED, CR4_PAE, EFER_LME, CODE_64);
	assert_false(mov(0, PAGED));
	/* Out of it from 64-bit code; with PCIDs. */
	long_mode();
	assert_false(mov(0, PROTECTED));
	compatibility();
	guest.x.state.cr4 |= CR4_PCIDE;
	assert_false(mov(0, PROTECTED));
}

static void cr0_accepted(void **state __unused)
{
	assert_true(mov(0, PROTECTED | CR0_CD | CR0_NW));
	assert_int_equal(guest.x.state.cr0, PROTECTED | CR0_CD | CR0_NW);
	assert_true(mov(0, PROTECTED | CR0_CD));
	/* NE is the guest's to see; ET is always 1; undefined bits are dropped. */
	assert_true(mov(0, CR0_PE));
	assert_int_equal(guest.x.state.cr0, CR0_PE | CR0_ET);
	assert_true(mov(0, 0x7fffffff));
	assert_int_equal(guest.x.state.cr0, 0x6005003f);
	/* Real mode. */
	assert_true(mov(0, CR0_CD));
	assert_int_equal(guest.x.state.cr0, CR0_CD | CR0_ET);
	assert_int_equal(pdpt_reads, 0);
}

/* SDM vol. 3, 10.8.5: LMA follows PG where LME is 1. */
static void into_long_mode_and_out(void **state __unused)
{
	mode(PROTECTED, CR4_PAE, EFER_LME, CODE_32);
	guest.x.state.seg[SEG_TR].attr = 0x83; /* a TSS of 16 bits */
	assert_false(mov(0, PAGED));
	mode(PROTECTED, CR4_PAE, EFER_LME, CODE_32);
	assert_true(mov(0, PAGED));
	assert_int_equal(guest.x.state.efer, EFER_LME | EFER_LMA);
	assert_true(flushed());
	assert_true(mov(0, PAGED | CR0_CD));
	assert_int_equal(guest.x.state.efer, EFER_LME | EFER_LMA);
	assert_int_equal(pdpt_reads, 0);
	assert_true(mov(0, PROTECTED));
	assert_int_equal(guest.x.state.efer, EFER_LME);
	assert_true(flushed());
	/* In 64-bit mode, everything but PG may change. */
	long_mode();
	assert_true(mov(0, PAGED | CR0_CD));
	assert_false(flushed());
	/* Without LME: no LMA, whatever the segment looks like. */
	mode(PROTECTED, 0, 0, CODE_64);
	assert_true(mov(0, PAGED));
	assert_int_equal(guest.x.state.efer, 0);
	assert_true(mov(0, PROTECTED));
}

/* SDM vol. 3, 4.4.1: reserved bits in PDPTEs raise #GP, and nothing is loaded. */
static void pdptes_are_checked(void **state __unused)
{
	mode(PROTECTED, CR4_PAE, 0, CODE_32);
	guest.x.state.cr3 = 0x100003fe0;
	pdpte = 0x1003;
	assert_false(mov(0, PAGED));
	assert_int_equal(pdpt_reads, 1);
	pdpte = 0x1001;
	assert_true(mov(0, PAGED));
	assert_int_equal(vmcs[VMCS_GUEST_PDPTE0], 0x1001);
	assert_int_equal(vmcs[VMCS_GUEST_PDPTE3], 0x1001);
	/* Nothing changes, nothing is loaded. */
	pdpt_reads = 0;
	pdpte = 0x1003;
	assert_true(mov(0, PAGED));
	assert_true(mov(4, CR4_PAE));
	assert_int_equal(pdpt_reads, 0);
	forget_vmwrites();
	assert_false(mov(4, CR4_PAE | CR4_PGE));
	assert_false(mov(0, PAGED | CR0_CD));
	assert_int_equal(pdpt_reads, 2);
	/* Two-level paging and none have no PDPTEs. */
	assert_true(mov(4, CR4_PSE));
	assert_true(mov(0, PROTECTED));
	assert_true(mov(4, CR4_PAE));
	assert_int_equal(pdpt_reads, 2);
}

/* What the CPU model lacks raises #GP, and belongs to us; so do VMXE and MCE. */
static void cr4_goes_by_cpuid(void **state __unused)
{
	const uint64_t vmxe = BIT(13), mce = BIT(6), pcide = BIT(17);
	uint64_t all = model.cr4;

	for (unsigned allowed = 0; allowed < 64; allowed++) {
		for (unsigned bit = 0; bit < 64; bit++) {
			setup(NULL);
			model.cr4 = BIT(allowed);
			guest.x.state.cr0 |= CR0_WP; /* CET wants it */
			/* PCIDs need more than CPUID. */
			assert_int_equal(mov(4, BIT(bit)), bit == allowed && BIT(bit) != pcide);
		}
		assert_int_equal(vmx_cr4_host_owned(&guest.x), ~BIT(allowed) | vmxe | mce);
	}
	model.cr4 = all;
	assert_int_equal(vmx_cr4_host_owned(&guest.x), ~all | vmxe | mce);
	assert_true(mov(4, all & ~pcide));
	assert_int_equal(guest.x.state.cr4, all & ~pcide);
	assert_true(mov(4, 0));
}

/* SDM vol. 2, "MOV - Move to/from Control Registers". */
static void cr4_in_long_mode(void **state __unused)
{
	long_mode();
	assert_false(mov(4, 0));
	assert_false(mov(4, CR4_PAE | CR4_LA57));
	assert_true(mov(4, CR4_PAE | CR4_MCE));
	/* Nor may LA57 be cleared. */
	guest.x.state.cr4 = CR4_PAE | CR4_LA57;
	assert_false(mov(4, CR4_PAE));
	assert_true(mov(4, CR4_PAE | CR4_LA57 | CR4_MCE));
	/* Outside, both are free. */
	mode(PROTECTED, CR4_PAE, EFER_LME, CODE_32);
	assert_true(mov(4, CR4_PAE | CR4_LA57));
	assert_true(mov(4, 0));
	assert_int_equal(guest.x.state.cr4, 0);
}

static void pcids(void **state __unused)
{
	long_mode();
	guest.x.state.cr3 = 0x3001;
	assert_false(mov(4, CR4_PAE | CR4_PCIDE));
	guest.x.state.cr3 = 0x3800;
	assert_false(mov(4, CR4_PAE | CR4_PCIDE));
	guest.x.state.cr3 = 0x3000;
	assert_true(mov(4, CR4_PAE | CR4_PCIDE));
	/* Once on, CR3 holds one. */
	guest.x.state.cr3 = 0x3123;
	assert_true(mov(4, CR4_PAE | CR4_PCIDE | CR4_MCE));
	assert_true(mov(4, CR4_PAE));
	mode(PROTECTED, CR4_PAE, 0, CODE_32);
	assert_false(mov(4, CR4_PAE | CR4_PCIDE));
}

/* SDM vol. 3, 4.10.4.1. */
static void what_flushes(void **state __unused)
{
	const uint64_t flushing = CR4_PGE | CR4_PSE | CR4_SMEP;

	for (unsigned bit = 0; bit < 32; bit++) {
		setup(NULL);
		if (BIT(bit) & (CR4_PAE | CR4_PCIDE) || !mov(4, BIT(bit)))
			continue;
		assert_int_equal(flushed(), (flushing >> bit & 1));
		assert_true(mov(4, 0));
		assert_int_equal(flushed(), (flushing >> bit & 1));
	}
	setup(NULL);
	assert_true(mov(4, CR4_PAE));
	assert_true(flushed());
	long_mode();
	assert_true(mov(4, CR4_PAE | CR4_PCIDE));
	assert_true(flushed());
	assert_true(mov(4, CR4_PAE));
	assert_true(flushed());
	mode(PROTECTED, 0, 0, CODE_32);
	assert_true(mov(0, PROTECTED | CR0_CD | CR0_WP));
	assert_false(flushed());
	assert_true(mov(0, PAGED | CR0_CD | CR0_WP));
	assert_true(flushed());
}

/* CR4.CET and CR0.WP: neither without the other, where the write comes to us (SDM vol. 3, 2.5). */
static void cet_and_write_protection(void **state __unused)
{
	const uint64_t wp = BIT(16), cet = BIT(23);

	model.cr4 |= cet;
	assert_false(mov(4, cet));
	assert_true(mov(0, PROTECTED | wp));
	assert_true(mov(4, cet));
	assert_false(mov(0, PROTECTED));
	assert_false(mov(0, PROTECTED | CR0_CD));
	assert_true(mov(0, PROTECTED | wp | CR0_CD));
	assert_true(mov(4, cet | CR4_TSD));
	assert_true(mov(4, 0));
	assert_true(mov(0, PROTECTED));
	/* Neither costs an exit by itself: they are the guest's own. */
	assert_int_equal(VMX_CR0_HOST_OWNED & wp, 0);
	assert_int_equal(vmx_cr4_host_owned(&guest.x) & cet, 0);
	model.cr4 &= ~cet;
	assert_int_equal(vmx_cr4_host_owned(&guest.x) & cet, cet);
	assert_true(mov(0, PROTECTED | wp));
	assert_false(mov(4, cet));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_named_register_is_the_source, setup),
		cmocka_unit_test_setup(unexpected_accesses, setup),
		cmocka_unit_test_setup(cr0_refused, setup),
		cmocka_unit_test_setup(cr0_accepted, setup),
		cmocka_unit_test_setup(into_long_mode_and_out, setup),
		cmocka_unit_test_setup(pdptes_are_checked, setup),
		cmocka_unit_test_setup(cr4_goes_by_cpuid, setup),
		cmocka_unit_test_setup(cet_and_write_protection, setup),
		cmocka_unit_test_setup(cr4_in_long_mode, setup),
		cmocka_unit_test_setup(pcids, setup),
		cmocka_unit_test_setup(what_flushes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
