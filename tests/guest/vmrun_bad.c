/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtualization instructions are undefined for a guest that is not offered them. */
#include "rt.h"
#include "socle/guest/state.h"

const char test_name[] = "vmrun_bad";

#define UD(text)                                                                                   \
	do {                                                                                       \
		int v_ = EXCEPTION_OF(__asm__ volatile(text ::"a"(0), "c"(0), "d"(0) : "memory")); \
		check(v_ == VEC_UD, text ": vector %d", v_);                                       \
	} while (0)

void test_main(void)
{
	uint64_t m = 0;

	UD("vmrun");
	UD("vmload");
	UD("vmsave");
	UD("stgi");
	UD("clgi");
	UD("invlpga");
	UD("skinit");
	check(EXCEPTION_OF(__asm__ volatile("vmxon %0" ::"m"(m))) == VEC_UD, "vmxon");
	check(EXCEPTION_OF(__asm__ volatile("vmlaunch")) == VEC_UD, "vmlaunch");
	if (hosted()) {
		check(EXCEPTION_OF(__asm__ volatile("rdpmc" ::"c"(0)
						    : "rax", "rdx")) == VEC_GP,
		      "rdpmc: vector %d", last_trap.vector);
		check(EXCEPTION_OF(wrmsr(0xc0010114, 0)) != -1 || !(rdmsr(0xc0010114) & 1),
		      "VM_CR");
		/* VMMCALL with an unknown number must come back, or be undefined. */
		int v = EXCEPTION_OF(
			__asm__ volatile("vmmcall" ::"a"(0xffff), "b"(0), "c"(0), "d"(0)
					 : "memory"));
		check(v == -1 || v == VEC_UD, "vmmcall: vector %d", v);
	}
}
