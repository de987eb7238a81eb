/* SPDX-License-Identifier: BSD-2-Clause */
/* Executes a guest's instruction in software: its memory, its devices, and what it raises. */
#include "socle/cpu/regs.h"
#include "socle/guest/exits.h"
#include "socle/guest/walk.h"
#include "socle/kernel/log.h"

struct emulation {
	struct emul emul;
	struct x86_vcpu *v;
};

static enum emul_status translate(struct emul *emul, uint64_t la, uint32_t access, uint64_t *gpa)
{
	struct x86_vcpu *v = container_of(emul, struct emulation, emul)->v;

	return x86_walk(v, la, access, gpa, &emul->exception);
}

/* Device accesses come in powers of two; the rare others go byte by byte. */
static uint64_t device_read(struct x86_vcpu *v, uint64_t gpa, unsigned size)
{
	struct io_bus *bus = &v->base.vm->io;
	uint64_t value = 0;

	v->stats.mmio++;
	if ((size & (size - 1)) == 0)
		return io_mmio_read(bus, &v->base, gpa, size);
	for (unsigned i = 0; i < size; i++)
		value |= io_mmio_read(bus, &v->base, gpa + i, 1) << 8 * i;
	return value;
}

static void device_write(struct x86_vcpu *v, uint64_t gpa, unsigned size, uint64_t value)
{
	struct io_bus *bus = &v->base.vm->io;

	v->stats.mmio++;
	if ((size & (size - 1)) == 0) {
		io_mmio_write(bus, &v->base, gpa, size, value);
		return;
	}
	for (unsigned i = 0; i < size; i++)
		io_mmio_write(bus, &v->base, gpa + i, 1, value >> 8 * i & 0xff);
}

static enum emul_status read_memory(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
				    uint64_t *value)
{
	struct x86_vcpu *v = container_of(emul, struct emulation, emul)->v;
	struct guest_mem *mem = &v->base.vm->mem;
	enum emul_status status;
	uint64_t gpa;

	*value = 0;
	status = translate(emul, la, access, &gpa);
	if (status != EMUL_OK)
		return status;
	if (!guest_is_ram(mem, gpa, size)) {
		*value = device_read(v, gpa, size);
		return EMUL_OK;
	}
	return guest_read(mem, gpa, value, size) ? EMUL_FATAL : EMUL_OK;
}

static enum emul_status write_memory(struct emul *emul, uint64_t la, unsigned size, uint32_t access,
				     uint64_t value)
{
	struct x86_vcpu *v = container_of(emul, struct emulation, emul)->v;
	struct guest_mem *mem = &v->base.vm->mem;
	enum emul_status status;
	uint64_t gpa;

	status = translate(emul, la, access | EMUL_WRITE, &gpa);
	if (status != EMUL_OK)
		return status;
	if (!guest_is_ram(mem, gpa, size)) {
		device_write(v, gpa, size, value);
		return EMUL_OK;
	}
	return guest_write(mem, gpa, &value, size) ? EMUL_FATAL : EMUL_OK;
}

static enum emul_status probe_memory(struct emul *emul, uint64_t la, unsigned size,
				     uint32_t access)
{
	uint64_t gpa;

	return translate(emul, la, access, &gpa);
}

static enum emul_status port_in(struct emul *emul, uint16_t port, unsigned size, uint32_t *value)
{
	struct x86_vcpu *v = container_of(emul, struct emulation, emul)->v;

	v->stats.ports++;
	*value = io_port_read(&v->base.vm->io, &v->base, port, size);
	return EMUL_OK;
}

static enum emul_status port_out(struct emul *emul, uint16_t port, unsigned size, uint32_t value)
{
	struct x86_vcpu *v = container_of(emul, struct emulation, emul)->v;

	v->stats.ports++;
	io_port_write(&v->base.vm->io, &v->base, port, size, value);
	return EMUL_OK;
}

static const struct emul_ops ops = {read_memory, write_memory, probe_memory, port_in, port_out};

static void give_up(struct x86_vcpu *v, const char *what)
{
	x86_load(v, X86_RIP | X86_SEG);
	vm_kill(v->base.vm, "vCPU %u: %s at %04x:%#llx", v->base.id, what,
		v->state.seg[SEG_CS].selector, (unsigned long long)v->state.rip);
}

/* What follows from the outcome, for the guest. */
static void conclude(struct x86_vcpu *v, struct emul *emul, enum emul_status status)
{
	switch (status) {
	case EMUL_OK:
	case EMUL_AGAIN:
		x86_dirty(v, X86_RIP | X86_RSP | X86_RFLAGS);
		if (status == EMUL_OK && emul->single_step)
			x86_raise_exception(v, &(struct x86_exception){.vector = VEC_DB,
								       .has_payload = true,
								       .payload = BIT(14)});
		break;
	case EMUL_EXCEPTION:
		x86_dirty(v, X86_RIP | X86_RSP | X86_RFLAGS);
		x86_raise_exception(v, &emul->exception);
		break;
	case EMUL_UNSUPPORTED:
		give_up(v, "instruction on device memory that cannot be emulated");
		break;
	case EMUL_FATAL:
		give_up(v, "instruction uses page tables or code outside of memory");
		break;
	}
}

static void emulate_insn(struct x86_vcpu *v, const struct insn *insn)
{
	struct emulation e = {.emul = {.ops = &ops, .state = &v->state, .io_checked = true},
			      .v = v};

	x86_load(v, X86_ALL);
	conclude(v, &e.emul, emulate(&e.emul, insn));
}

/* Decodes at RIP; false if that raised or killed. */
static bool decode(struct x86_vcpu *v, struct insn *insn)
{
	struct x86_exception x;

	switch (x86_decode(v, insn, &x)) {
	case EMUL_OK:
	case EMUL_AGAIN:
		return true;
	case EMUL_EXCEPTION:
		x86_raise_exception(v, &x);
		return false;
	case EMUL_UNSUPPORTED:
		give_up(v, "instruction on device memory that cannot be decoded");
		return false;
	case EMUL_FATAL:
		give_up(v, "runs code outside of memory");
		return false;
	}
	return false;
}

void x86_emulate(struct x86_vcpu *v)
{
	struct insn insn;

	if (decode(v, &insn))
		emulate_insn(v, &insn);
}

__hot unsigned x86_emulate_mmio(struct x86_vcpu *v, const struct nested_fault *f, struct io_region *r)
{
	const struct insn *insn = f->flags & NESTED_TRACE ? NULL : x86_decode_fast(v, f->la, f->cr3, f->mode);
	bool write = f->flags & NESTED_WRITE;
	uint32_t offset;

	/* The short way: a plain move, whose address the CPU worked out for us. */
	if (unlikely(!insn || !r || insn->mov != (write ? INSN_MOV_STORE : INSN_MOV_LOAD))) {
		x86_emulate(v);
		return 0;
	}
	offset = f->gpa - r->base;
	if (unlikely(!(r->widths & insn->msize) || offset + insn->msize > r->len ||
		     insn->reg == GPR_RSP)) {
		x86_emulate(v);
		return 0;
	}
	v->stats.mmio++;
	r->accesses++;
	if (write)
		r->ops->write(r, &v->base, offset, insn->msize,
			      insn_mov_store_value(insn, &v->state));
	else
		insn_mov_load_result(insn, &v->state,
				     r->ops->read(r, &v->base, offset, insn->msize));
	return insn->len;
}
