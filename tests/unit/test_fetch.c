/* SPDX-License-Identifier: BSD-2-Clause */
/* Windows to the guest's code: in all paging modes with one CR3, and what makes them void. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "socle/cpu/regs.h"
#include "../../arch/x86/guest/walk.c"
#include "../../arch/x86/guest/insn.c"
#include "../../arch/x86/guest/insn_table.c"
#include "../../arch/x86/guest/fetch.c"

struct cpu_info cpu_info = {.phys_bits = 40};

/* Not used here: keys guard no fetches. */
uint32_t pks_rights(void)
{
	return 0;
}

uint32_t context_pkru(void)
{
	fail();
	return 0;
}

enum { PAGES = 16, RAM = 0x200000 };
static uint8_t ram[PAGES][PAGE_SIZE] __aligned(4096);
static unsigned ram_reads;

void *guest_ptr(struct guest_mem *mem __unused, uint64_t gpa)
{
	ram_reads++;
	if (gpa < RAM || gpa >= RAM + sizeof(ram))
		return NULL;
	return (uint8_t *)ram + (gpa - RAM);
}

status_t guest_read(struct guest_mem *mem __unused, uint64_t gpa __unused, void *dst __unused,
		    size_t len __unused)
{
	return -S_FAULT;
}

enum emul_status emul_fetch(struct emul *emul __unused, struct insn *insn __unused)
{
	return EMUL_FATAL;
}

static struct x86_state real; /* the guest's registers while they are in the CPU */

static void mock_load(struct x86_vcpu *vcpu, uint32_t groups)
{
	if (groups & X86_CR) {
		vcpu->state.cr0 = real.cr0;
		vcpu->state.cr3 = real.cr3;
		vcpu->state.cr4 = real.cr4;
		vcpu->state.efer = real.efer;
	}
	if (groups & X86_SEG)
		memcpy(vcpu->state.seg, real.seg, sizeof(real.seg));
	if (groups & X86_RIP)
		vcpu->state.rip = real.rip;
}

static const struct vendor mock_vendor = {.load = mock_load};
const struct vendor *vendor = &mock_vendor;

static struct vm vm;
static struct x86_vcpu v = {.base.vm = &vm};

static uint64_t table(unsigned n)
{
	return RAM + n * PAGE_SIZE;
}

static uint64_t *entry(unsigned n, unsigned index)
{
	return &((uint64_t *)ram[n])[index];
}

/*
 * Where the code is, in all modes; each finds another page there. They have the same root, of which
 * the first entry says the same in all formats of 8 bytes.
 */
enum { CODE = 8, LA = RAM + CODE * PAGE_SIZE + 0x123, LA_PTE = CODE, LA_PDE = 1 };

struct paging {
	uint64_t cr0, cr4, efer;
	enum insn_mode mode;
	unsigned page; /* what is found at LA; 0: no window is opened in this mode */
};

static const struct paging modes[] = {
	{0, 0, 0, INSN_MODE_32, CODE},
	{0, CR4_PAE, 0, INSN_MODE_32, CODE},
	{0, CR4_PAE, EFER_LME, INSN_MODE_32, CODE},
	{CR0_PG, 0, 0, INSN_MODE_32, 0},
	{CR0_PG, CR4_PAE, 0, INSN_MODE_32, CODE + 1},
	{CR0_PG, CR4_PAE, EFER_LME | EFER_LMA, INSN_MODE_32, CODE + 2},
	{CR0_PG, CR4_PAE, EFER_LME | EFER_LMA, INSN_MODE_16, CODE + 2},
	{CR0_PG, CR4_PAE, EFER_LME | EFER_LMA, INSN_MODE_64, CODE + 2},
	{CR0_PG, CR4_PAE | CR4_LA57, EFER_LME | EFER_LMA, INSN_MODE_32, CODE + 3},
	{CR0_PG, CR4_PAE | CR4_LA57, EFER_LME | EFER_LMA, INSN_MODE_64, CODE + 3},
};
#define UNPAGED	  (&modes[0])
#define LONG_MODE (&modes[7])

static int setup(void **state __unused)
{
	memset(ram, 0, sizeof(ram));
	memset(&v.state, 0, sizeof(v.state));
	memset(&v.stats, 0, sizeof(v.stats));
	memset(v.decode, 0xff, sizeof(v.decode));
	fetch_close(&v);
	/* mov (%rax),reg, the register by the page. */
	for (unsigned n = CODE; n < PAGES; n++) {
		ram[n][0x123] = 0x8b;
		ram[n][0x124] = (uint8_t)((n - CODE) << 3);
	}
	*entry(0, 0) = table(1) | P;
	*entry(1, LA_PDE) = table(4) | P; /* PAE */
	*entry(4, LA_PTE) = table(CODE + 1) | P;
	*entry(1, 0) = table(2) | P; /* long mode, four levels */
	*entry(2, LA_PDE) = table(3) | P;
	*entry(3, LA_PTE) = table(CODE + 2) | P;
	*entry(2, 0) = table(5) | P; /* five */
	*entry(5, LA_PDE) = table(6) | P;
	*entry(6, LA_PTE) = table(CODE + 3) | P;
	return 0;
}

/* An exit in mode @m: the instruction at @la. */
static const struct insn *decode_at(const struct paging *m, uint64_t la)
{
	real.cr0 = CR0_PE | m->cr0;
	real.cr3 = table(0);
	real.cr4 = m->cr4;
	real.efer = m->efer;
	v.avail = 0;
	ram_reads = 0;
	return x86_decode_fast(&v, la, real.cr3, m->mode);
}

static void check_page(const struct paging *m, unsigned page)
{
	const struct insn *insn = decode_at(m, LA);

	if (!page) {
		assert_null(insn);
		return;
	}
	assert_non_null(insn);
	assert_int_equal(insn->mode, m->mode);
	assert_int_equal(insn->reg, page - CODE);
}

static void found_in_each_mode(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		const struct paging *m = &modes[i];
		uint64_t hits;

		setup(state);
		check_page(m, m->page);
		if (!m->page)
			continue;
		/* And again, without a look at tables. */
		hits = v.stats.decode_hits;
		check_page(m, m->page);
		assert_int_equal(ram_reads, 0);
		assert_int_equal(v.stats.decode_hits, hits + 1);
		assert_int_equal(v.stats.decoded, 1);
	}
}

/* All switches between modes that leave CR3 alone, which make no exit. */
static void modes_change_behind_us(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		for (unsigned j = 0; j < ARRAY_SIZE(modes); j++) {
			const struct paging *a = &modes[i], *b = &modes[j];

			/* Not noticed: see window_key(). */
			if (a->mode == INSN_MODE_64 && b->mode == INSN_MODE_64 && a != b)
				continue;
			setup(state);
			check_page(a, a->page);
			check_page(b, b->page);
			/* Nor is what was decoded there believed without a look at the page. */
			check_page(a, a->page);
			check_page(b, b->page);
		}
	}
}

static void the_key_by_bit(void **state __unused)
{
	const struct x86_state s = {.cr0 = CR0_PG | CR0_PE,
				    .cr3 = table(0) | 0xfff,
				    .cr4 = CR4_PAE | CR4_LA57,
				    .efer = EFER_LMA | EFER_LME};
	uint64_t key = window_key(&s, INSN_MODE_32);
	struct x86_state other;

	/* All in the bits that CR3 does not have (SDM vol. 3, 2.5). */
	assert_int_equal((key ^ s.cr3) & ~MASK(60, 52), 0);
	assert_int_equal(window_key(&s, INSN_MODE_64), s.cr3);
	assert_int_equal(window_key(&s, INSN_MODE_16), key);
	assert_int_not_equal(key, s.cr3);
	other = s;
	other.cr0 = CR0_PE;
	assert_int_not_equal(window_key(&other, INSN_MODE_32), key);
	other = s;
	other.cr4 = CR4_PAE;
	assert_int_not_equal(window_key(&other, INSN_MODE_32), key);
	other.cr4 = CR4_LA57;
	assert_int_not_equal(window_key(&other, INSN_MODE_32), key);
	other = s;
	other.efer = EFER_LME;
	assert_int_not_equal(window_key(&other, INSN_MODE_32), key);
	other = s;
	other.cr3 += PAGE_SIZE;
	assert_int_not_equal(window_key(&other, INSN_MODE_32), key);
}

static void tables_and_code_change(void **state __unused)
{
	check_page(LONG_MODE, CODE + 2);
	*entry(3, LA_PTE) = table(CODE + 5) | P;
	check_page(LONG_MODE, CODE + 5);
	*entry(0, 0) = 0;
	check_page(LONG_MODE, 0);
	/* Other code in the same page. */
	check_page(UNPAGED, CODE);
	ram[CODE][0x124] = 3 << 3;
	check_page(UNPAGED, CODE + 3);
	assert_int_equal(ram_reads, 0);
	fetch_close(&v);
	check_page(UNPAGED, CODE + 3);
	assert_int_equal(ram_reads, 1);
}

static void what_the_short_way_is_not_for(void **state __unused)
{
	uint64_t end = LA - 0x123 + PAGE_SIZE;

	/* Too near to the end of the page; no memory; nothing that can be decoded. */
	memset(ram[CODE] + PAGE_SIZE - FETCH_MAX, 0x90, FETCH_MAX);
	assert_non_null(decode_at(UNPAGED, end - FETCH_MAX));
	assert_null(decode_at(UNPAGED, end - FETCH_MAX + 1));
	assert_null(decode_at(UNPAGED, 0x1000));
	ram[CODE][0x123] = 0x0f;
	ram[CODE][0x124] = 0x0b;
	assert_null(decode_at(UNPAGED, LA));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(found_in_each_mode, setup),
		cmocka_unit_test_setup(modes_change_behind_us, setup),
		cmocka_unit_test(the_key_by_bit),
		cmocka_unit_test_setup(tables_and_code_change, setup),
		cmocka_unit_test_setup(what_the_short_way_is_not_for, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
