/* SPDX-License-Identifier: BSD-2-Clause */
/* MOV to CR4 and XSETBV: what the CPU model lets a guest set, and what never goes together. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "socle/cpu/regs.h"

static uint64_t xcr0;
#define xsetbv(index, value) ((void)(index), xcr0 = (value))
#include "../../arch/x86/guest/exits.c"

static struct guest_cpuid model;
static struct x86_vcpu v;
static unsigned faults;

static void mock_load(struct x86_vcpu *vcpu, uint32_t groups __unused)
{
	assert_ptr_equal(vcpu, &v);
}

static const struct vendor mock_vendor = {.load = mock_load};
const struct vendor *vendor = &mock_vendor;

void x86_raise_error(struct x86_vcpu *vcpu, uint8_t vector, uint32_t error)
{
	assert_ptr_equal(vcpu, &v);
	assert_int_equal(vector, VEC_GP);
	assert_int_equal(error, 0);
	faults++;
}

#define UNUSED_HERE(ret, name, args, ...) \
	ret name args                     \
	{                                 \
		fail();                   \
		return __VA_ARGS__;       \
	}
UNUSED_HERE(void, x86_raise, (struct x86_vcpu * x __unused, uint8_t n __unused))
UNUSED_HERE(void, x86_raise_exception,
	    (struct x86_vcpu * x __unused, const struct x86_exception *e __unused))
UNUSED_HERE(struct cpuid, cpuid_guest,
	    (struct x86_vcpu * x __unused, uint32_t leaf __unused, uint32_t sub __unused),
	    (struct cpuid){0})
UNUSED_HERE(uint32_t, io_port_read,
	    (struct io_bus * bus __unused, struct vcpu *x __unused, uint16_t port __unused,
	     unsigned size __unused),
	    0)
UNUSED_HERE(void, io_port_write,
	    (struct io_bus * bus __unused, struct vcpu *x __unused, uint16_t port __unused,
	     unsigned size __unused, uint32_t value __unused))
UNUSED_HERE(enum emul_status, x86_decode,
	    (struct x86_vcpu * x __unused, struct insn *insn __unused,
	     struct x86_exception *e __unused),
	    EMUL_FATAL)

static int setup(void **state __unused)
{
	v = (struct x86_vcpu){.cpuid = &model};
	v.state.efer = EFER_LME | EFER_LMA;
	v.state.cr4 = CR4_PAE;
	v.state.cr3 = 0x3000;
	v.state.seg[SEG_CS].attr = SEG_ATTR_L;
	model.cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_SMEP | CR4_UMIP;
	model.xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU;
	faults = 0;
	xcr0 = 0;
	return 0;
}

/* MOV to CR4 by way of @gpr; true if it was carried out, false if it raised #GP(0) only. */
static bool mov(uint64_t value, unsigned gpr)
{
	uint64_t before = v.state.cr4;
	bool done;

	v.dirty = v.base.requests = faults = 0;
	v.state.gpr[gpr] = value;
	done = exit_cr4_write(&v, gpr);
	assert_int_equal(faults, !done);
	assert_int_equal(v.dirty, done ? X86_CR : 0);
	if (!done)
		assert_int_equal(v.state.cr4, before);
	return done;
}

static void cr4_by_model(void **state __unused)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		v.state.cr4 = CR4_PAE;
		assert_int_equal(mov(CR4_PAE | BIT(bit), GPR_RAX), model.cr4 >> bit & 1);
	}
	for (unsigned gpr = 0; gpr < GPR_COUNT; gpr++) {
		assert_true(mov(CR4_PAE | CR4_PGE, gpr));
		assert_int_equal(v.state.cr4, CR4_PAE | CR4_PGE);
		assert_true(mov(CR4_PAE, gpr));
		assert_int_equal(v.state.cr4, CR4_PAE);
	}
}

static void cr4_by_mode(void **state __unused)
{
	assert_false(mov(CR4_PGE, GPR_RAX)); /* PAE in long mode */
	model.cr4 |= CR4_LA57 | CR4_PCIDE;
	assert_false(mov(CR4_PAE | CR4_LA57, GPR_RAX));
	assert_true(mov(CR4_PAE | CR4_PCIDE, GPR_RAX));
	assert_true(mov(CR4_PAE, GPR_RAX));
	v.state.cr3 = 0x3001;
	assert_false(mov(CR4_PAE | CR4_PCIDE, GPR_RAX));
	/* Only 64-bit code moves 64 bits. */
	assert_false(mov(BIT(32) | CR4_PAE, GPR_RAX));
	v.state.seg[SEG_CS].attr = SEG_ATTR_DB;
	assert_true(mov(BIT(32) | CR4_PAE, GPR_RAX));
	v.state.efer = 0;
	v.state.seg[SEG_CS].attr = SEG_ATTR_L;
	assert_true(mov(~0ull << 32 | CR4_LA57, GPR_RAX));
	assert_int_equal(v.state.cr4, CR4_LA57);
	assert_false(mov(CR4_PAE | CR4_PCIDE, GPR_RAX));
}

static void cr4_flushes(void **state __unused)
{
	assert_true(mov(CR4_PAE | CR4_OSFXSR, GPR_RAX));
	assert_false(v.base.requests & VCPU_REQ_FLUSH);
	assert_true(mov(CR4_PAE | CR4_PGE, GPR_RAX));
	assert_true(v.base.requests & VCPU_REQ_FLUSH);
	assert_true(mov(CR4_PAE | CR4_PGE | CR4_SMEP, GPR_RAX));
	assert_true(v.base.requests & VCPU_REQ_FLUSH);
	assert_true(mov(CR4_PAE | CR4_PGE | CR4_SMEP, GPR_RAX));
	assert_false(v.base.requests & VCPU_REQ_FLUSH);
}

static bool set(uint32_t index, uint64_t value)
{
	bool done;

	faults = 0;
	xcr0 = 0;
	v.state.gpr[GPR_RCX] = index | 0xbad00000000;
	v.state.gpr[GPR_RAX] = (uint32_t)value | 0xbad00000000;
	v.state.gpr[GPR_RDX] = value >> 32 | 0xbad00000000;
	done = exit_xsetbv(&v);
	assert_int_equal(faults, !done);
	assert_true(xcr0 == (done ? value : 0));
	return done;
}

/* SDM vol. 1, 13.3: which values the components of leaf 0xD allow, by trying all of them. */
static void xcr0_values(void **state __unused)
{
	static const uint64_t offers[] = {0, 0x3, 0x7, 0xe7, 0x203, 0x207, 0x2e7};

	for (unsigned i = 0; i < ARRAY_SIZE(offers); i++) {
		model.xcr0 = offers[i];
		for (uint64_t value = 0; value < 0x800; value++) {
			bool zmm = (value & 0xe0) == 0xe0;
			bool good = (value & 1) && !(value & ~offers[i]) &&
				    (!(value & 4) || (value & 2)) &&
				    (!(value & 0xe0) || (zmm && (value & 4)));

			assert_int_equal(set(0, value), good);
		}
	}
	assert_false(set(0, BIT(63) | 3));
	assert_false(set(1, 3));
	assert_true(set(0, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(cr4_by_model, setup),
		cmocka_unit_test_setup(cr4_by_mode, setup),
		cmocka_unit_test_setup(cr4_flushes, setup),
		cmocka_unit_test_setup(xcr0_values, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
