/* SPDX-License-Identifier: BSD-2-Clause */
/* What exits mean, whatever the vendor. */
#include "socle/cpu/regs.h"
#include "socle/guest/cpuid.h"
#include "socle/guest/exits.h"
#include "socle/guest/msr.h"
#include "socle/guest/walk.h"
#include "socle/kernel/log.h"

static const struct cr8_ops *cr8;

void exit_bind_cr8(const struct cr8_ops *ops)
{
	cr8 = ops;
}

void exit_cpuid(struct x86_vcpu *v)
{
	uint64_t *gpr = v->state.gpr;
	struct cpuid r = cpuid_guest(v, gpr[GPR_RAX], gpr[GPR_RCX]);

	gpr[GPR_RAX] = r.eax;
	gpr[GPR_RBX] = r.ebx;
	gpr[GPR_RCX] = r.ecx;
	gpr[GPR_RDX] = r.edx;
}

__hot void exit_port_in(struct x86_vcpu *v, uint16_t port, unsigned size)
{
	uint64_t *rax = &v->state.gpr[GPR_RAX];
	uint32_t offset, value;
	struct io_region *r = io_port_region(&v->base.vm->io, port, size, &offset);

	if (likely(r))
		value = io_region_read(r, &v->base, offset, size);
	else
		value = io_port_read(&v->base.vm->io, &v->base, port, size);
	v->stats.ports++;
	if (size == 1)
		*rax = (*rax & ~0xffull) | (uint8_t)value;
	else if (size == 2)
		*rax = (*rax & ~0xffffull) | (uint16_t)value;
	else
		*rax = value;
}

__hot void exit_port_out(struct x86_vcpu *v, uint16_t port, unsigned size)
{
	uint64_t rax = v->state.gpr[GPR_RAX];
	uint32_t value = size == 1 ? (uint8_t)rax : size == 2 ? (uint16_t)rax : (uint32_t)rax;
	uint32_t offset;
	struct io_region *r = io_port_region(&v->base.vm->io, port, size, &offset);

	if (likely(r))
		io_region_write(r, &v->base, offset, size, value);
	else
		io_port_write(&v->base.vm->io, &v->base, port, size, value);
	v->stats.ports++;
}

void exit_msr_fault(struct x86_vcpu *v)
{
	x86_raise_error(v, VEC_GP, 0);
}

bool exit_xsetbv(struct x86_vcpu *v)
{
	const uint64_t *gpr = v->state.gpr;
	uint64_t value = (uint32_t)gpr[GPR_RAX] | gpr[GPR_RDX] << 32;
	uint64_t avx = BIT(2), avx512 = MASK(7, 5), sse = BIT(1);

	/* SDM vol. 1, 13.3: x87 always; AVX needs SSE; the AVX-512 bits go together, with AVX. */
	if ((uint32_t)gpr[GPR_RCX] != 0 || !(value & 1) || (value & ~v->cpuid->xcr0) ||
	    ((value & avx) && !(value & sse)) ||
	    ((value & avx512) && ((value & avx512) != avx512 || !(value & avx)))) {
		x86_raise_error(v, VEC_GP, 0);
		return false;
	}
	xsetbv(0, value);
	return true;
}

bool exit_cr4_write(struct x86_vcpu *v, unsigned gpr)
{
	/* With which translations change, or what they allow. */
	const uint64_t paging =
		CR4_PSE | CR4_PAE | CR4_PGE | CR4_LA57 | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE;
	uint64_t value;

	x86_load(v, X86_CR | X86_RSP | X86_SEG);
	value = v->state.gpr[gpr & (GPR_COUNT - 1)];
	if (!(v->state.efer & EFER_LMA) || !(v->state.seg[SEG_CS].attr & SEG_ATTR_L))
		value = (uint32_t)value;
	if (!exit_cr4_valid(v, value)) {
		x86_raise_error(v, VEC_GP, 0);
		return false;
	}
	if ((value ^ v->state.cr4) & paging)
		vcpu_request_self(&v->base, VCPU_REQ_FLUSH);
	v->state.cr4 = value;
	x86_dirty(v, X86_CR);
	return true;
}

bool exit_cr8_access(struct x86_vcpu *v, bool write, unsigned gpr)
{
	uint64_t *value = &v->state.gpr[gpr & (GPR_COUNT - 1)];

	if (gpr == GPR_RSP)
		x86_load(v, X86_RSP);
	if (write && *value > 0xf) {
		x86_raise_error(v, VEC_GP, 0);
		return false;
	}
	if (write) {
		cr8->write(v, *value);
	} else {
		*value = cr8->read(v);
		if (gpr == GPR_RSP)
			x86_dirty(v, X86_RSP);
	}
	return true;
}

void exit_cr8(struct x86_vcpu *v)
{
	struct x86_exception x;
	struct insn insn;

	if (x86_decode(v, &insn, &x) != EMUL_OK || insn.reg != 8 ||
	    (insn.op != INSN_MOV_FROM_CR && insn.op != INSN_MOV_TO_CR)) {
		x86_raise(v, VEC_UD);
		return;
	}
	if (!exit_cr8_access(v, insn.op == INSN_MOV_TO_CR, insn.rm & 15))
		return;
	x86_load(v, X86_RIP | X86_RFLAGS | X86_DR);
	if ((v->state.rflags & RFLAGS_TF) && !x86_steps_branches(v))
		x86_raise_exception(v, &(struct x86_exception){.vector = VEC_DB,
							       .has_payload = true,
							       .payload = BIT(14)});
	insn_skip(&v->state, insn.mode, insn.len);
	x86_dirty(v, X86_RIP | X86_RFLAGS);
}
