/* SPDX-License-Identifier: BSD-2-Clause */
/* Bad values of CR0, CR3 and CR4 fault and change nothing; good ones are read back. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "cr_bad";

void test_main(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4(), cr3 = read_cr3();

	/* Socle leaves the control registers to the CPU; QEMU's TCG checks nothing in them. */
	if (EXCEPTION_OF(write_cr0(cr0 | BIT(35))) != VEC_GP)
		skip("the CPU does not check control registers");
	check(EXCEPTION_OF(write_cr0(cr0 | BIT(35))) == VEC_GP, "CR0 takes bit 35");
	check(EXCEPTION_OF(write_cr0(cr0 & ~BIT(0))) == VEC_GP, "CR0 takes PG without PE");
	check(EXCEPTION_OF(write_cr0((cr0 | BIT(29)) & ~BIT(30))) == VEC_GP, "CR0: NW without CD");
	check(EXCEPTION_OF(write_cr0(cr0 & ~BIT(31))) == VEC_GP, "CR0: PG off in 64-bit code");
	check(read_cr0() == cr0, "CR0 is %#lx, was %#lx", read_cr0(), cr0);
	check(EXCEPTION_OF(write_cr4(cr4 | BIT(31))) == VEC_GP, "CR4 takes bit 31");
	check(EXCEPTION_OF(write_cr4(cr4 | BIT(63))) == VEC_GP, "CR4 takes bit 63");
	check(EXCEPTION_OF(write_cr4(cr4 & ~BIT(5))) == VEC_GP, "CR4: PAE off in long mode");
	check(EXCEPTION_OF(write_cr4(cr4 ^ BIT(12))) == VEC_GP, "CR4: LA57 changed while paging");
	check(EXCEPTION_OF(write_cr4(cr4 | BIT(13))) == VEC_GP, "CR4 takes VMXE");
	check(read_cr4() == cr4, "CR4 is %#lx, was %#lx", read_cr4(), cr4);
	check(EXCEPTION_OF(write_cr8(16)) == VEC_GP, "CR8 takes 16");
	write_cr0(cr0 | BIT(30));
	check(read_cr0() & BIT(30), "CR0.CD does not read back");
	write_cr0(cr0);
	write_cr0(cr0 & ~BIT(16));
	check(read_cr0() == (cr0 & ~BIT(16)), "CR0.WP does not go off");
	write_cr0(cr0);
	write_cr4(cr4 | BIT(7));
	check(read_cr4() == (cr4 | BIT(7)), "CR4.PGE does not read back");
	write_cr4(cr4);
	write_cr3(cr3);
	check(read_cr3() == cr3, "CR3 is %#lx, was %#lx", read_cr3(), cr3);
}
