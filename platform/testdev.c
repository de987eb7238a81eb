/* SPDX-License-Identifier: BSD-2-Clause */
/* The test device: has pages of its guest moved to other memory while its vCPUs run. */
#include "socle/platform/testdev.h"
#include "socle/kernel/vm.h"
#include "socle/mm/frames.h"
#include "socle/status.h"

enum { TESTDEV_PORT = 0xe4, TESTDEV_SIZE = 4 };

struct testdev {
	struct io_region region;
	uint32_t moves; /* those done; atomic */
};

struct move {
	struct vm *vm;
	struct vcpu *self; /* who asked */
};

static void flush(void *arg)
{
	const struct move *m = arg;

	vm_flush(m->vm, m->self);
}

static uint64_t testdev_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	return __atomic_load_n(&container_of(r, struct testdev, region)->moves, __ATOMIC_RELAXED);
}

/* What cannot be moved now, or is no memory, stays where it is. */
static void testdev_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
			  uint64_t value)
{
	struct testdev *t = container_of(r, struct testdev, region);
	struct move m = {vcpu->vm, vcpu};

	if (!guest_replace(&vcpu->vm->mem, value & PAGE_MASK, flush, &m))
		__atomic_add_fetch(&t->moves, 1, __ATOMIC_RELAXED);
}

status_t testdev_add(struct vm *vm)
{
	static const struct io_ops ops = {testdev_read, testdev_write};
	struct testdev *t = pages_alloc(sizeof(*t), OWNER_VM_CORE);

	if (!t)
		return -S_NOMEM;
	/* Unlocked: it waits for vCPUs that may wait for the chips' lock. */
	t->region = (struct io_region){.ops = &ops,
				       .name = "testdev",
				       .base = TESTDEV_PORT,
				       .len = TESTDEV_SIZE,
				       .widths = IO_32,
				       .unlocked = true};
	return io_add_ports(&vm->io, &t->region);
}
