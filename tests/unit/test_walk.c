/* SPDX-License-Identifier: BSD-2-Clause */
/* The walk of a guest's page tables: all paging modes, permissions, A and D bits, error codes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "socle/cpu/regs.h"
#include "socle/guest/walk.h"

/* Another vCPU may come in behind each read of an entry. */
static void come_in(const volatile void *entry);
#undef READ_ONCE
#define READ_ONCE(x)                                                   \
	({                                                             \
		__typeof__(x) read_ = *(volatile __typeof__(x) *)&(x); \
		come_in(&(x));                                         \
		read_;                                                 \
	})
#include "../../arch/x86/guest/walk.c"

struct cpu_info cpu_info = {.phys_bits = 40};

/* The guest's memory: a few pages at 2 MiB, and nothing else. */
enum { PAGES = 8, RAM = 0x200000 };
static uint8_t ram[PAGES][PAGE_SIZE] __aligned(4096);
static unsigned ram_reads, change_at; /* another vCPU changes an entry before that read; 0: none */
static uint64_t *change_slot, change_by = MASK(51, 12);

void *guest_ptr(struct guest_mem *mem __unused, uint64_t gpa)
{
	ram_reads++;
	if (ram_reads == change_at)
		*change_slot ^= change_by;
	if (gpa < RAM || gpa >= RAM + sizeof(ram))
		return NULL;
	return (uint8_t *)ram + (gpa - RAM);
}

static const volatile void *raced; /* the entry that it changes; NULL: none */
static uint64_t race_becomes;	   /* to what, in turn with what was there; as often as: */
static unsigned races, race_size = sizeof(uint64_t);

static void come_in(const volatile void *entry)
{
	uint64_t old;

	if (entry != raced || !races)
		return;
	races--;
	if (race_size == sizeof(uint64_t)) {
		old = *(uint64_t *)entry;
		*(uint64_t *)entry = race_becomes;
	} else {
		old = *(uint32_t *)entry;
		*(uint32_t *)entry = (uint32_t)race_becomes;
	}
	race_becomes = old;
}

static struct vm vm;
static struct x86_vcpu v = {.base.vm = &vm};
static struct x86_exception x;
static uint64_t gpa;

static uint32_t pkru;

static uint32_t pkrs;

uint32_t pks_rights(void)
{
	assert_true(v.state.cr4 & CR4_PKS);
	return pkrs;
}

uint32_t context_pkru(void)
{
	assert_true(v.state.cr4 & CR4_PKE);
	return pkru;
}

/* Guest-physical address of table @n. */
#define TABLE(n)   (RAM + (uint64_t)(n)*PAGE_SIZE)
#define ALL_RIGHTS (P | RW | US)

static uint64_t *entry(unsigned table, unsigned index)
{
	return &((uint64_t *)ram[table])[index];
}

static uint32_t *entry32(unsigned table, unsigned index)
{
	return &((uint32_t *)ram[table])[index];
}

static void mode(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	memset(ram, 0, sizeof(ram));
	memset(&x, 0, sizeof(x));
	v.state =
		(struct x86_state){.cr0 = cr0 | CR0_PE, .cr3 = TABLE(0), .cr4 = cr4, .efer = efer};
	cpu_info.phys_bits = 40;
}

static void mode_long(uint64_t cr4)
{
	mode(CR0_PG | CR0_WP, CR4_PAE | cr4, EFER_LME | EFER_LMA | EFER_NXE);
}

static void translates(uint64_t la, uint32_t access, uint64_t want)
{
	assert_int_equal(x86_walk(&v, la, access, &gpa, &x), EMUL_OK);
	assert_int_equal(gpa, want);
}

static void faults(uint64_t la, uint32_t access, uint32_t error)
{
	assert_int_equal(x86_walk(&v, la, access, &gpa, &x), EMUL_EXCEPTION);
	assert_int_equal(x.vector, VEC_PF);
	assert_true(x.has_error && x.has_payload);
	assert_int_equal(x.error, error);
	assert_int_equal(x.payload, la);
}

/* 511, 7, 42, 300 and offset 0x123 in four levels. */
#define LA (0xffffff8000000000ull | 7ull << 30 | 42ull << 21 | 300ull << 12 | 0x123)

static void long_tables(void)
{
	*entry(0, 511) = TABLE(1) | ALL_RIGHTS;
	*entry(1, 7) = TABLE(2) | ALL_RIGHTS;
	*entry(2, 42) = TABLE(3) | ALL_RIGHTS;
	*entry(3, 300) = 0x9876543000ull | ALL_RIGHTS;
}

static void no_paging(void **state __unused)
{
	mode(0, 0, 0);
	v.state.cr3 = 0xdead0000;
	translates(0x12345678, EMUL_WRITE, 0x12345678);
}

static void four_levels(void **state __unused)
{
	mode_long(0);
	long_tables();
	translates(LA, 0, 0x9876543123ull);
	/* CR3's low and high bits are no address: PCID, PWT, PCD, the no-flush bit. */
	v.state.cr3 |= 0xfff | BIT(63);
	translates(LA, 0, 0x9876543123ull);
	v.state.cr3 = TABLE(0);
	/* 2 MiB */
	*entry(2, 42) = 0x8000200000ull | ALL_RIGHTS | PS;
	translates(LA, EMUL_WRITE, 0x8000200000ull + (300 << 12) + 0x123);
	/* PAT's bit in a large entry is no address bit, nor reserved. */
	*entry(2, 42) |= BIT(12);
	translates(LA, EMUL_WRITE, 0x8000200000ull + (300 << 12) + 0x123);
	/* 1 GiB */
	*entry(1, 7) = 0x8040000000ull | ALL_RIGHTS | PS;
	translates(LA, 0, 0x8040000000ull + (42 << 21) + (300 << 12) + 0x123);
	/* None at the top. */
	*entry(0, 511) |= PS;
	faults(LA, 0, PF_P | PF_RSVD);
}

static void five_levels(void **state __unused)
{
	uint64_t la = 0x0123ull << 48 | (LA & MASK(47, 0));

	mode_long(CR4_LA57);
	*entry(0, 0x123) = TABLE(4) | ALL_RIGHTS;
	*entry(4, 511) = TABLE(1) | ALL_RIGHTS;
	*entry(1, 7) = TABLE(2) | ALL_RIGHTS;
	*entry(2, 42) = TABLE(3) | ALL_RIGHTS;
	*entry(3, 300) = 0x55000 | ALL_RIGHTS;
	translates(la, 0, 0x55123);
	assert_true(*entry(0, 0x123) & ACCESSED);
	*entry(0, 0x123) |= PS;
	faults(la, 0, PF_P | PF_RSVD);
}

static void pae(void **state __unused)
{
	uint32_t la = 3u << 30 | 511 << 21 | 17 << 12 | 0xabc;

	mode(CR0_PG | CR0_WP, CR4_PAE, EFER_NXE);
	v.state.cr3 = TABLE(0) + 0x20; /* 32-byte alignment */
	*entry(0, 4 + 3) = TABLE(1) | P;
	*entry(1, 511) = TABLE(2) | ALL_RIGHTS;
	*entry(2, 17) = 0x7fffff000ull | ALL_RIGHTS;
	translates(la, EMUL_WRITE | EMUL_USER, 0x7fffffabcull);
	/* A PDPTE has no rights and no accessed bit. */
	assert_int_equal(*entry(0, 4 + 3), TABLE(1) | P);
	*entry(1, 511) = 0x600200000ull | ALL_RIGHTS | PS;
	translates(la, 0, 0x600200000ull + (17 << 12) + 0xabc);
	for (unsigned bit = 0; bit < 64; bit++) {
		bool reserved = bit == 1 || bit == 2 || (bit >= 6 && bit <= 8) || bit >= 40;

		*entry(0, 4 + 3) = TABLE(1) | P | BIT(bit);
		if (reserved)
			faults(la, 0, PF_P | PF_RSVD);
	}
	/* Bits 62:52 of the others are reserved here, unlike in long mode. */
	*entry(0, 4 + 3) = TABLE(1) | P;
	*entry(1, 511) = TABLE(2) | ALL_RIGHTS | BIT(52);
	faults(la, 0, PF_P | PF_RSVD);
}

static void legacy(void **state __unused)
{
	uint32_t la = 1023u << 22 | 1022 << 12 | 0xffc;

	mode(CR0_PG | CR0_WP, CR4_PSE, 0);
	*entry32(0, 1023) = TABLE(1) | ALL_RIGHTS;
	*entry32(1, 1022) = 0xfffff000 | ALL_RIGHTS;
	translates(la, EMUL_WRITE, 0xfffffffcu);
	assert_int_equal(*entry32(0, 1023), TABLE(1) | ALL_RIGHTS | ACCESSED);
	assert_int_equal(*entry32(1, 1022), 0xfffff000 | ALL_RIGHTS | ACCESSED | DIRTY);
	/* 4 MiB, with address bits 39:32 in 20:13. */
	*entry32(0, 1023) = 0x00c00000 | ALL_RIGHTS | PS;
	translates(la, 0, 0x00c00000 + (1022 << 12) + 0xffc);
	*entry32(0, 1023) = 0x00c00000 | ALL_RIGHTS | PS | 0xa5u << 13;
	translates(la, 0, 0xa500c00000ull + (1022 << 12) + 0xffc);
	*entry32(0, 1023) = 0x00c00000 | ALL_RIGHTS | PS | BIT(21);
	faults(la, 0, PF_P | PF_RSVD);
	/* Without PSE, PS means nothing. */
	v.state.cr4 = 0;
	*entry32(0, 1023) = TABLE(1) | ALL_RIGHTS | PS;
	translates(la, 0, 0xfffffffcu);
	/* No NX in entries of 32 bits, whatever EFER says. */
	v.state.efer = EFER_NXE;
	*entry32(1, 1022) = 0x80000000 | ALL_RIGHTS;
	translates(la, EMUL_FETCH, 0x80000ffcu);
}

/*
 * Every mix of rights at the leaf and above, of access and of CR0.WP, SMEP, SMAP and AC, against
 * the rules of SDM vol. 3, 4.6.1, put the other way around: what is allowed.
 */
static bool may(unsigned flags, uint32_t access, bool user, bool writable, bool executable)
{
	bool wp = flags & 1, smep = flags & 2, smap = flags & 4, ac = flags & 8;

	if (access & EMUL_FETCH) {
		if (!executable)
			return false;
		return access & EMUL_USER ? user : !(user && smep);
	}
	if (access & EMUL_USER)
		return user && (writable || !(access & EMUL_WRITE));
	if (user && smap && !ac)
		return false;
	return writable || !wp || !(access & EMUL_WRITE);
}

static void check_rights(unsigned flags, uint32_t access, unsigned rights)
{
	/* Rights may be missing at the top, the middle or the leaf. */
	for (unsigned where = 0; where < 3; where++) {
		uint64_t *e = where == 0   ? entry(0, 511)
			      : where == 1 ? entry(2, 42)
					   : entry(3, 300);
		uint32_t error = PF_P | (access & EMUL_WRITE ? PF_W : 0) |
				 (access & EMUL_USER ? PF_U : 0) | (access & EMUL_FETCH ? PF_I : 0);

		long_tables();
		*e &= ~(uint64_t)(RW | US);
		*e |= (rights & 1 ? RW : 0) | (rights & 2 ? US : 0) | (rights & 4 ? 0 : NX);
		if (may(flags, access, rights & 2, rights & 1, rights & 4)) {
			translates(LA, access, 0x9876543123ull);
			assert_int_equal(*entry(3, 300) & (ACCESSED | DIRTY),
					 ACCESSED | (access & EMUL_WRITE ? DIRTY : 0));
		} else {
			faults(LA, access, error);
			assert_int_equal(*entry(3, 300) & DIRTY, 0);
		}
	}
}

static void permissions(void **state __unused)
{
	static const uint32_t accesses[] = {0,
					    EMUL_WRITE,
					    EMUL_FETCH,
					    EMUL_USER,
					    EMUL_USER | EMUL_WRITE,
					    EMUL_USER | EMUL_FETCH};

	for (unsigned flags = 0; flags < 16; flags++) {
		mode_long((flags & 2 ? CR4_SMEP : 0) | (flags & 4 ? CR4_SMAP : 0));
		if (!(flags & 1))
			v.state.cr0 &= ~(uint64_t)CR0_WP;
		v.state.rflags = flags & 8 ? RFLAGS_AC : 0;
		for (unsigned a = 0; a < ARRAY_SIZE(accesses); a++)
			for (unsigned rights = 0; rights < 8; rights++)
				check_rights(flags, accesses[a], rights);
	}
}

static void not_present_at_each_level(void **state __unused)
{
	uint64_t *path[4];

	mode_long(0);
	for (unsigned i = 0; i < 4; i++) {
		long_tables();
		path[0] = entry(0, 511);
		path[1] = entry(1, 7);
		path[2] = entry(2, 42);
		path[3] = entry(3, 300);
		/* Whatever else is set, reserved bits too. */
		*path[i] = ~(uint64_t)P;
		faults(LA, 0, 0);
		faults(LA, EMUL_WRITE, PF_W);
		faults(LA, EMUL_USER | EMUL_FETCH, PF_U | PF_I);
		/* Those above it were used, the one at fault was not touched. */
		for (unsigned above = 0; above < i; above++)
			assert_true(*path[above] & ACCESSED);
		assert_int_equal(*path[i], ~(uint64_t)P);
	}
}

static void fetch_bit_of_the_error(void **state __unused)
{
	/* SDM vol. 3, 4.7: only with SMEP, or with NXE in PAE and long mode. */
	mode(CR0_PG, 0, 0);
	faults(0, EMUL_FETCH, 0);
	mode(CR0_PG, CR4_SMEP, 0);
	faults(0, EMUL_FETCH, PF_I);
	mode(CR0_PG, 0, EFER_NXE);
	faults(0, EMUL_FETCH, 0);
	mode(CR0_PG, CR4_PAE, EFER_NXE);
	*entry(0, 0) = TABLE(1) | P;
	faults(0, EMUL_FETCH, PF_I);
	mode(CR0_PG, CR4_PAE, EFER_LMA);
	faults(0, EMUL_FETCH, 0);
}

static void reserved_bits_in_long_mode(void **state __unused)
{
	static const unsigned widths[] = {36, 40, 48, 52};

	mode_long(0);
	for (unsigned w = 0; w < ARRAY_SIZE(widths); w++) {
		cpu_info.phys_bits = widths[w];
		for (unsigned bit = 12; bit < 63; bit++) {
			bool reserved = bit >= widths[w] && bit < 52;

			long_tables();
			*entry(3, 300) = 0x1000 | ALL_RIGHTS;
			*entry(3, 300) |= BIT(bit);
			if (reserved)
				faults(LA, EMUL_USER, PF_P | PF_RSVD | PF_U);
			else
				assert_int_equal(x86_walk(&v, LA, 0, &gpa, &x), EMUL_OK);
			/* A large page: bits between the frame's and PAT's. */
			*entry(2, 42) = ALL_RIGHTS | PS | BIT(bit);
			reserved |= bit >= 13 && bit < 21;
			assert_int_equal(x86_walk(&v, LA, 0, &gpa, &x),
					 reserved ? EMUL_EXCEPTION : EMUL_OK);
			*entry(1, 7) = ALL_RIGHTS | PS | BIT(bit);
			reserved |= bit >= 13 && bit < 30;
			assert_int_equal(x86_walk(&v, LA, 0, &gpa, &x),
					 reserved ? EMUL_EXCEPTION : EMUL_OK);
		}
	}
	/* NX is reserved while EFER.NXE is clear. */
	long_tables();
	cpu_info.phys_bits = 40;
	*entry(1, 7) |= NX;
	translates(LA, 0, 0x9876543123ull);
	v.state.efer &= ~(uint64_t)EFER_NXE;
	faults(LA, 0, PF_P | PF_RSVD);
}

static void accessed_and_dirty(void **state __unused)
{
	mode_long(0);
	long_tables();
	translates(LA, 0, 0x9876543123ull);
	assert_int_equal(*entry(0, 511), TABLE(1) | ALL_RIGHTS | ACCESSED);
	assert_int_equal(*entry(1, 7), TABLE(2) | ALL_RIGHTS | ACCESSED);
	assert_int_equal(*entry(2, 42), TABLE(3) | ALL_RIGHTS | ACCESSED);
	assert_int_equal(*entry(3, 300), 0x9876543000ull | ALL_RIGHTS | ACCESSED);
	translates(LA, EMUL_WRITE, 0x9876543123ull);
	assert_int_equal(*entry(2, 42), TABLE(3) | ALL_RIGHTS | ACCESSED);
	assert_int_equal(*entry(3, 300), 0x9876543000ull | ALL_RIGHTS | ACCESSED | DIRTY);
}

/* What is remembered is what the walk went by, whatever another vCPU makes of it. */
static void trail_has_what_was_read(void **state __unused)
{
	struct walk_trail trail;

	for (unsigned marked = 0; marked < 2; marked++) {
		mode_long(0);
		long_tables();
		ram_reads = 0;
		change_at = marked ? 0 : 3; /* marks those above on the first round */
		change_slot = entry(1, 7);
		assert_true(x86_walk_trail(&v, LA, EMUL_FETCH, &gpa, &trail));
		change_at = 0;
		assert_int_equal(gpa, 0x9876543123ull);
		assert_int_equal(trail.value[0], 0x9876543000ull | ALL_RIGHTS | ACCESSED);
		assert_int_equal(trail.value[1], TABLE(3) | ALL_RIGHTS | ACCESSED);
		assert_int_equal(trail.value[2], TABLE(2) | ALL_RIGHTS | ACCESSED);
		assert_int_equal(trail.value[3], TABLE(1) | ALL_RIGHTS | ACCESSED);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(*trail.entry[i] == trail.value[i], marked || i != 2);
	}
}

/* From now on, @count reads of @slot find there what it is, and @other, in turn. */
static void race(void *slot, unsigned size, uint64_t other, unsigned count)
{
	raced = slot;
	race_size = size;
	race_becomes = other;
	races = count;
}

static void entry_changes_before_its_mark(void **state __unused)
{
	mode_long(0);
	long_tables();
	/* Another page: the bits are set where it is, and in nothing that was not used. */
	race(entry(3, 300), 8, 0x1111000 | ALL_RIGHTS, 1);
	translates(LA, EMUL_WRITE, 0x1111123);
	assert_int_equal(*entry(3, 300), 0x1111000 | ALL_RIGHTS | ACCESSED | DIRTY);
	/* No page any more. What is not present is the guest's, all of it. */
	long_tables();
	race(entry(3, 300), 8, 0xabcde0, 1);
	faults(LA, EMUL_WRITE, PF_W);
	assert_int_equal(*entry(3, 300), 0xabcde0);
	/* Another table. */
	long_tables();
	*entry(4, 300) = 0x2222000 | ALL_RIGHTS;
	race(entry(2, 42), 8, TABLE(4) | ALL_RIGHTS, 1);
	translates(LA, 0, 0x2222123);
	assert_int_equal(*entry(2, 42), TABLE(4) | ALL_RIGHTS | ACCESSED);
	assert_int_equal(*entry(3, 300) & ACCESSED, 0);
	/* The rights are those of what was used at last. */
	long_tables();
	*entry(1, 7) = TABLE(2) | P | NX;
	race(entry(1, 7), 8, TABLE(2) | ALL_RIGHTS, 1);
	translates(LA, EMUL_USER | EMUL_WRITE, 0x9876543123ull);
	long_tables();
	*entry(1, 7) = TABLE(2) | P | NX;
	race(entry(1, 7), 8, TABLE(2) | ALL_RIGHTS, 1);
	translates(LA, EMUL_FETCH, 0x9876543123ull);
	/* What has its bits is not looked at again. */
	long_tables();
	*entry(3, 300) |= ACCESSED | DIRTY;
	race(entry(3, 300), 8, 0, 1);
	translates(LA, EMUL_WRITE, 0x9876543123ull);
	assert_int_equal(*entry(3, 300), 0);
	/* A few times. */
	long_tables();
	race(entry(0, 511), 8, TABLE(1) | ALL_RIGHTS | BIT(9), 5);
	translates(LA, EMUL_WRITE, 0x9876543123ull);
	assert_int_equal(*entry(0, 511), TABLE(1) | ALL_RIGHTS | BIT(9) | ACCESSED);
	assert_int_equal(races, 0);
}

static void short_entry_changes_before_its_mark(void **state __unused)
{
	mode(CR0_PG | CR0_WP, CR4_PSE, 0);
	*entry32(0, 0) = TABLE(1) | ALL_RIGHTS;
	*entry32(1, 6) = 0x3333000 | ALL_RIGHTS;
	*entry32(1, 7) = 0x4444000 | ALL_RIGHTS;
	race(entry32(1, 7), 4, 0x5555000 | ALL_RIGHTS, 1);
	translates(0x7abc, EMUL_WRITE, 0x5555abc);
	assert_int_equal(*entry32(1, 7), 0x5555000 | ALL_RIGHTS | ACCESSED | DIRTY);
	assert_int_equal(*entry32(1, 6), 0x3333000 | ALL_RIGHTS);
	/* A neighbour's change is none. */
	race(entry32(1, 7), 4, 0x5555000 | ALL_RIGHTS, 1);
	translates(0x6abc, EMUL_WRITE, 0x3333abc);
	assert_int_equal(races, 1);
	race(entry32(0, 0), 4, 0, 1);
	*entry32(0, 0) = TABLE(1) | ALL_RIGHTS;
	faults(0x7abc, 0, 0);
	assert_int_equal(*entry32(0, 0), 0);
}

/* It ends, and no page that is written is left without its dirty bit. */
static void entry_changes_all_the_time(void **state __unused)
{
	const uint64_t page = 0x9876543000ull | ALL_RIGHTS, other = 0x1111000 | ALL_RIGHTS;

	mode_long(0);
	long_tables();
	race(entry(3, 300), 8, other, 1000);
	assert_int_equal(x86_walk(&v, LA, EMUL_WRITE, &gpa, &x), EMUL_RETRY);
	assert_in_range(races, 900, 999);
	assert_true(*entry(3, 300) == page || *entry(3, 300) == other);
	/* The table above it, which has no such bit. */
	long_tables();
	race(entry(2, 42), 8, TABLE(3) | ALL_RIGHTS | BIT(9), 1000);
	translates(LA, EMUL_WRITE, 0x9876543123ull);
	assert_int_equal(*entry(2, 42) & ACCESSED, 0);
	assert_int_equal(*entry(3, 300), page | ACCESSED | DIRTY);
	/* What is read or fetched. */
	for (unsigned i = 0; i < 2; i++) {
		long_tables();
		race(entry(3, 300), 8, other, 1000);
		assert_int_equal(x86_walk(&v, LA, i ? EMUL_FETCH : EMUL_USER, &gpa, &x), EMUL_OK);
		assert_true(gpa == 0x9876543123ull || gpa == 0x1111123);
		assert_true(*entry(3, 300) == page || *entry(3, 300) == other);
	}
	races = 0;
}

/* Of attempts that failed nothing is left in a trail. */
static void trail_of_the_last_attempt(void **state __unused)
{
	struct walk_trail trail;

	mode_long(0);
	long_tables();
	race(entry(3, 300), 8, 0x1111000 | ALL_RIGHTS, 1);
	/* Between the attempts, which read 4 entries each, the table becomes a page of 1 GiB. */
	ram_reads = 0;
	change_at = 5;
	change_slot = entry(1, 7);
	change_by = (TABLE(2) | ALL_RIGHTS | ACCESSED) ^ (0x8040000000ull | ALL_RIGHTS | PS);
	assert_true(x86_walk_trail(&v, LA, EMUL_FETCH, &gpa, &trail));
	change_at = 0;
	change_by = MASK(51, 12);
	assert_int_equal(gpa, 0x8040000000ull + (42 << 21) + (300 << 12) + 0x123);
	assert_true(walk_trail_holds(&trail));
	*entry(2, 42) = *entry(3, 300) = 0;
	assert_true(walk_trail_holds(&trail));
	*entry(1, 7) ^= BIT(30);
	assert_false(walk_trail_holds(&trail));
	/* What was not marked is not what a trail holds by. */
	long_tables();
	race(entry(3, 300), 8, 0x1111000 | ALL_RIGHTS, 1000);
	assert_true(x86_walk_trail(&v, LA, EMUL_FETCH, &gpa, &trail));
	races = 0;
	assert_false(walk_trail_holds(&trail));
}

static void tables_outside_memory(void **state __unused)
{
	static const uint64_t outside[] = {0, RAM - PAGE_SIZE, RAM + sizeof(ram), 0xfee00000,
					   MASK(39, 12)};

	for (unsigned i = 0; i < ARRAY_SIZE(outside); i++) {
		mode_long(0);
		long_tables();
		*entry(1, 7) = outside[i] | ALL_RIGHTS;
		assert_int_equal(x86_walk(&v, LA, 0, &gpa, &x), EMUL_FATAL);
		v.state.cr3 = outside[i];
		assert_int_equal(x86_walk(&v, LA, 0, &gpa, &x), EMUL_FATAL);
	}
}

/* Tables of noise, that point to themselves: the walk ends, and reads a table per level at most. */
static void hostile_tables(void **state __unused)
{
	uint64_t seed = 3;

	for (unsigned round = 0; round < 200000; round++) {
		enum emul_status status;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		if (round % 500 == 0) {
			mode(CR0_PG | (seed >> 60 & 1 ? CR0_WP : 0),
			     seed >> 40 & (CR4_PAE | CR4_PSE | CR4_LA57 | CR4_SMEP | CR4_SMAP),
			     seed >> 61 & 1 ? EFER_LMA | EFER_NXE : 0);
			if (v.state.efer)
				v.state.cr4 |= CR4_PAE;
			for (unsigned i = 0; i < sizeof(ram) / 8; i++) {
				seed = seed * 6364136223846793005ull + 1442695040888963407ull;
				*entry(0, i) = TABLE(seed >> 61) | (seed >> 52 & 0xff) | P;
				if (seed >> 44 & 1) /* two entries of 32 bits */
					*entry(0, i) |= *entry(0, i) << 32;
			}
		}
		ram_reads = 0;
		status = x86_walk(&v, seed >> (v.state.efer ? 7 : 32), seed >> 20 & 7, &gpa, &x);
		assert_true(ram_reads <= 5);
		assert_true(status == EMUL_OK || status == EMUL_FATAL || x.vector == VEC_PF);
	}
}

/* SDM vol. 3, 4.6.2 and 4.7: for each key, right, privilege and kind of access. */
static void protection_keys(void **state __unused)
{
	const uint64_t la = 0x123;

	for (unsigned key = 0; key < 16; key++) {
		mode_long(CR4_PKE);
		*entry(0, 0) = TABLE(1) | ALL_RIGHTS;
		*entry(1, 0) = TABLE(2) | ALL_RIGHTS | 0xfull << 59; /* keys are in leaves only */
		*entry(2, 0) = TABLE(3) | ALL_RIGHTS;
		*entry(3, 0) = 0x8000 | ALL_RIGHTS | (uint64_t)key << 59;
		pkru = ~(3u << 2 * key); /* all others are denied everything */
		translates(la, 0, 0x8123);
		translates(la, EMUL_USER | EMUL_WRITE, 0x8123);
		pkru = 1u << 2 * key; /* no access */
		faults(la, 0, 0x21);
		faults(la, EMUL_USER, 0x25);
		faults(la, EMUL_WRITE, 0x23);
		faults(la, EMUL_USER | EMUL_WRITE, 0x27);
		translates(la, EMUL_USER | EMUL_FETCH, 0x8123);
		pkru = 2u << 2 * key; /* no write */
		translates(la, 0, 0x8123);
		translates(la, EMUL_USER, 0x8123);
		faults(la, EMUL_WRITE, 0x23);
		faults(la, EMUL_USER | EMUL_WRITE, 0x27);
		v.state.cr0 &= ~(uint64_t)CR0_WP;
		translates(la, EMUL_WRITE, 0x8123);
		faults(la, EMUL_USER | EMUL_WRITE, 0x27);
		v.state.cr0 |= CR0_WP;
		/* The key counts also where something else denies it. */
		*entry(3, 0) &= ~(uint64_t)RW;
		faults(la, EMUL_USER | EMUL_WRITE, 0x27);
		pkru = 0;
		faults(la, EMUL_USER | EMUL_WRITE, 0x7);
		/* Supervisor pages have none. */
		pkru = UINT32_MAX;
		*entry(3, 0) = 0x8000 | P | RW | (uint64_t)key << 59;
		translates(la, EMUL_WRITE, 0x8123);
		*entry(3, 0) |= US;
		*entry(0, 0) &= ~(uint64_t)US;
		translates(la, EMUL_WRITE, 0x8123);
		/* Nor has anything while they are off. */
		*entry(0, 0) |= US;
		v.state.cr4 &= ~(uint64_t)CR4_PKE;
		translates(la, EMUL_USER | EMUL_WRITE, 0x8123);
	}
}

/* The same for supervisor pages: no user access reaches them anyway. */
static void supervisor_keys(void **state __unused)
{
	const uint64_t la = 0x123;

	for (unsigned key = 0; key < 16; key++) {
		mode_long(CR4_PKS);
		*entry(0, 0) = TABLE(1) | P | RW;
		*entry(1, 0) = TABLE(2) | ALL_RIGHTS | 0xfull << 59;
		*entry(2, 0) = TABLE(3) | ALL_RIGHTS;
		*entry(3, 0) = 0x8000 | ALL_RIGHTS | (uint64_t)key << 59;
		pkrs = ~(3u << 2 * key);
		translates(la, EMUL_WRITE, 0x8123);
		pkrs = 1u << 2 * key; /* no access */
		faults(la, 0, 0x21);
		faults(la, EMUL_WRITE, 0x23);
		translates(la, EMUL_FETCH, 0x8123);
		faults(la, EMUL_USER, 0x25);
		pkrs = 2u << 2 * key; /* no write */
		translates(la, 0, 0x8123);
		faults(la, EMUL_USER, 0x5);
		faults(la, EMUL_WRITE, 0x23);
		v.state.cr0 &= ~(uint64_t)CR0_WP;
		translates(la, EMUL_WRITE, 0x8123);
		v.state.cr0 |= CR0_WP;
		/* User pages have others. */
		pkrs = UINT32_MAX;
		*entry(0, 0) |= US;
		translates(la, EMUL_WRITE, 0x8123);
		v.state.cr4 |= CR4_PKE;
		pkru = 2u << 2 * key;
		faults(la, EMUL_USER | EMUL_WRITE, 0x27);
		translates(la, EMUL_USER, 0x8123);
		*entry(0, 0) &= ~(uint64_t)US;
		v.state.cr4 &= ~(uint64_t)CR4_PKS;
		translates(la, EMUL_WRITE, 0x8123);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_paging),
		cmocka_unit_test(four_levels),
		cmocka_unit_test(five_levels),
		cmocka_unit_test(pae),
		cmocka_unit_test(legacy),
		cmocka_unit_test(permissions),
		cmocka_unit_test(not_present_at_each_level),
		cmocka_unit_test(fetch_bit_of_the_error),
		cmocka_unit_test(reserved_bits_in_long_mode),
		cmocka_unit_test(accessed_and_dirty),
		cmocka_unit_test(trail_has_what_was_read),
		cmocka_unit_test(entry_changes_before_its_mark),
		cmocka_unit_test(short_entry_changes_before_its_mark),
		cmocka_unit_test(entry_changes_all_the_time),
		cmocka_unit_test(trail_of_the_last_attempt),
		cmocka_unit_test(tables_outside_memory),
		cmocka_unit_test(hostile_tables),
		cmocka_unit_test(protection_keys),
		cmocka_unit_test(supervisor_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
