/* SPDX-License-Identifier: BSD-2-Clause */
/* Nested faults: RAM to be populated, or an instruction on a device, executed in software. */
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

static enum emul_status probe_memory(struct emul *emul, uint64_t la, unsigned size, uint32_t access)
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
		if (status == EMUL_OK && emul->single_step && !x86_steps_branches(v))
			x86_raise_exception(v, &(struct x86_exception){.vector = VEC_DB,
								       .has_payload = true,
								       .payload = BIT(14)});
		break;
	case EMUL_RETRY: /* the guest does it again */
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

static void emulate_insn(struct x86_vcpu *v, const struct insn *insn, bool io_checked)
{
	struct emulation e = {.emul = {.ops = &ops, .state = &v->state, .io_checked = io_checked},
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
	case EMUL_RETRY:
		return false;
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

/* Only what the CPU has checked the permission of: the guest may have changed the bytes since. */
static bool is_port_insn(const struct x86_vcpu *v, const struct insn *insn, uint16_t port,
			 unsigned size)
{
	uint16_t dx = v->state.gpr[GPR_RDX];

	switch (insn->op) {
	case INSN_INS:
	case INSN_OUTS:
		return dx == port && insn->osize == size;
	case INSN_IN:
	case INSN_OUT:
		return (dx == port || insn->imm == port) && insn->osize == size;
	default:
		return false;
	}
}

void x86_emulate_io(struct x86_vcpu *v, uint16_t port, unsigned size)
{
	struct insn insn;

	if (decode(v, &insn) && is_port_insn(v, &insn, port, size))
		emulate_insn(v, &insn, true);
}

void x86_emulate(struct x86_vcpu *v)
{
	struct insn insn;

	if (decode(v, &insn))
		emulate_insn(v, &insn, false);
}

/* The access @f to device @r, with the short way first. Returns as exit_nested_fault(). */
static __always_inline unsigned device_access(struct x86_vcpu *v, const struct nested_fault *f,
					      struct io_region *r, const struct insn *insn)
{
	bool write = f->flags & NESTED_WRITE;
	uint32_t offset = f->gpa - r->base;

	/* The short way: a plain move, whose address the CPU worked out for us. */
	if (unlikely(!insn || insn->mov != (write ? INSN_MOV_STORE : INSN_MOV_LOAD) ||
		     !(r->widths & insn->msize) || offset + insn->msize > r->len ||
		     insn->reg == GPR_RSP)) {
		x86_emulate(v);
		return 0;
	}
	v->stats.mmio++;
	if (write)
		io_region_write(r, &v->base, offset, insn->msize,
				insn_mov_store_value(insn, &v->state));
	else
		insn_mov_load_result(insn, &v->state,
				     io_region_read(r, &v->base, offset, insn->msize));
	return insn->len;
}

static __noinline __cold void no_memory(struct x86_vcpu *v, const char *what, uint64_t gpa)
{
	x86_load(v, X86_RIP | X86_SEG);
	vm_kill(v->base.vm, "vCPU %u: %s at %#llx (rip %04x:%#llx)", v->base.id, what,
		(unsigned long long)gpa, v->state.seg[SEG_CS].selector,
		(unsigned long long)v->state.rip);
}

/* Not a plain access of a device: RAM to be populated, a hole, single step, the guest's end. */
static __noinline unsigned other_fault(struct x86_vcpu *v, const struct nested_fault *f)
{
	switch (guest_populate(&v->base.vm->mem, f->gpa)) {
	case 0:
		if (f->flags & NESTED_PRESENT)
			no_memory(v, "a nested fault on memory that is mapped", f->gpa);
		v->stats.populated++;
		return 0;
	case -S_AGAIN: /* it is being moved */
		return 0;
	case -S_NOMEM:
		no_memory(v, "the machine has no memory left for the page", f->gpa);
		return 0;
	default:
		break;
	}
	if (f->flags & NESTED_TABLE)
		no_memory(v, "page tables outside of memory", f->gpa);
	else if (f->flags & NESTED_FETCH)
		no_memory(v, "runs code outside of memory", f->gpa);
	else if (v->events.retry_valid)
		no_memory(v, "stack or descriptor table outside of memory for an event", f->gpa);
	else
		x86_emulate(v);
	return 0;
}

/* With the bytes that the CPU has fetched. */
static __noinline unsigned given_access(struct x86_vcpu *v, const struct nested_fault *f,
					struct io_region *r)
{
	return device_access(v, f, r,
			     x86_decode_given(v, f->la, f->mode, v->given, v->given_count));
}

__hot unsigned exit_nested_fault(struct x86_vcpu *v, const struct nested_fault *f)
{
	struct io_region *r = v->last_mmio;

	/* Most often the same device as last time. */
	if (!r || f->gpa - r->base >= r->len)
		v->last_mmio = r = io_find_mmio(&v->base.vm->io, f->gpa);
	if (unlikely(!r ||
		     (f->flags & (NESTED_FETCH | NESTED_TABLE | NESTED_TRACE | NESTED_BYTES)) ||
		     v->events.retry_valid)) {
		if (!r || v->events.retry_valid ||
		    (f->flags & (NESTED_FETCH | NESTED_TABLE | NESTED_TRACE)))
			return other_fault(v, f);
		return given_access(v, f, r);
	}
	return device_access(v, f, r, x86_decode_fast(v, f->la, f->cr3, f->mode));
}
