/* SPDX-License-Identifier: BSD-2-Clause */
/* The I/O bus: who answers where, overlaps, and accesses that are wider than a device or cross it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "socle/mm/frames.h"
#include "../../kernel/iobus.c"

static uint8_t map[PORTS];
static bool no_memory, freed;

void *pages_alloc(size_t bytes, uint32_t owner)
{
	assert_int_equal(bytes, PORTS);
	assert_int_equal(owner, OWNER_VM_CORE);
	memset(map, 0, sizeof(map));
	return no_memory ? NULL : map;
}

void pages_free(void *va, size_t bytes, uint32_t owner)
{
	assert_ptr_equal(va, map);
	assert_int_equal(bytes, PORTS);
	assert_int_equal(owner, OWNER_VM_CORE);
	freed = true;
}

/* A device that remembers: bytes that read as their own address, and the last write. */
struct device {
	struct io_region region;
	unsigned reads, writes;
	uint32_t offset, size;
	uint64_t value;
};

static struct vcpu *const vcpu = (struct vcpu *)0x1234;

static void check_call(struct io_region *r, struct vcpu *v, uint32_t offset, unsigned size)
{
	assert_ptr_equal(v, vcpu);
	assert_true(r->widths & size);
	assert_true(offset + size <= r->len);
}

static struct spinlock chips;
static unsigned locked; /* calls of a device with the lock held */

static uint64_t device_read(struct io_region *r, struct vcpu *v, uint32_t offset, unsigned size)
{
	struct device *d = container_of(r, struct device, region);
	uint64_t value = 0;

	check_call(r, v, offset, size);
	locked += chips.held;
	d->reads++;
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)((r->base + offset + i) & 0xff) << 8 * i;
	return value;
}

static void device_write(struct io_region *r, struct vcpu *v, uint32_t offset, unsigned size,
			 uint64_t value)
{
	struct device *d = container_of(r, struct device, region);

	check_call(r, v, offset, size);
	locked += chips.held;
	d->writes++;
	d->offset = offset;
	d->size = size;
	d->value = value;
}

static const struct io_ops ops = {device_read, device_write};
static struct io_bus bus;

static struct device make(uint64_t base, uint32_t len, uint32_t widths)
{
	return (struct device){
		.region = {
			.ops = &ops, .name = "device", .base = base, .len = len, .widths = widths}};
}

static int setup(void **state __unused)
{
	no_memory = freed = false;
	locked = 0;
	spinlock_init(&chips, "chips", LOCK_CHIPS);
	assert_int_equal(io_bus_init(&bus, &chips), 0);
	return 0;
}

static void life(void **state __unused)
{
	io_bus_free(&bus);
	assert_true(freed);
	no_memory = true;
	assert_int_equal(io_bus_init(&bus, &chips), -S_NOMEM);
}

static void nobody_answers(void **state __unused)
{
	for (unsigned size = 1; size <= 4; size *= 2) {
		uint32_t ones = (uint32_t)MASK(8 * size - 1, 0);

		for (uint32_t port = 0; port < PORTS; port += 0xfff) {
			assert_int_equal(io_port_read(&bus, vcpu, port, size) & ones, ones);
			io_port_write(&bus, vcpu, port, size, 0);
		}
	}
	assert_int_equal(io_mmio_read(&bus, vcpu, 0xfee00000, 8), UINT64_MAX);
	assert_int_equal(io_mmio_read(&bus, vcpu, UINT64_MAX, 8), UINT64_MAX);
	io_mmio_write(&bus, vcpu, UINT64_MAX - 3, 8, 0);
	assert_null(io_find_mmio(&bus, 0));
}

static void overlaps(void **state __unused)
{
	struct device a = make(0x100, 16, IO_8), b = make(0x10f, 1, IO_8), c = make(0x110, 4, IO_8),
		      high = make(0xfffe, 2, IO_8), over = make(0xffff, 2, IO_8),
		      outside = make(0x10000, 1, IO_8);
	struct device m = make(0x1000, 0x1000, IO_32), n = make(0x1fff, 2, IO_32),
		      o = make(0x2000, 0x10, IO_32), p = make(0xff0, 0x10, IO_32);

	assert_int_equal(io_add_ports(&bus, &a.region), 0);
	assert_int_equal(io_add_ports(&bus, &b.region), -S_EXIST);
	assert_int_equal(io_add_ports(&bus, &a.region), -S_EXIST);
	assert_int_equal(io_add_ports(&bus, &c.region), 0);
	assert_int_equal(io_add_ports(&bus, &high.region), 0);
	assert_int_equal(io_add_ports(&bus, &over.region), -S_RANGE);
	assert_int_equal(io_add_ports(&bus, &outside.region), -S_RANGE);
	assert_int_equal(io_add_mmio(&bus, &m.region), 0);
	assert_int_equal(io_add_mmio(&bus, &n.region), -S_EXIST);
	assert_int_equal(io_add_mmio(&bus, &o.region), 0);
	assert_int_equal(io_add_mmio(&bus, &p.region), 0);
	assert_ptr_equal(io_find_mmio(&bus, 0xfff), &p.region);
	assert_ptr_equal(io_find_mmio(&bus, 0x1000), &m.region);
	assert_ptr_equal(io_find_mmio(&bus, 0x1fff), &m.region);
	assert_ptr_equal(io_find_mmio(&bus, 0x2000), &o.region);
	assert_null(io_find_mmio(&bus, 0x2010));
	for (unsigned i = 1; i < bus.mmios; i++)
		assert_true(bus.mmio[i - 1]->base < bus.mmio[i]->base);
}

static void tables_fill_up(void **state __unused)
{
	static struct device d[IO_MAX_PORT_REGIONS + 1], m[IO_MAX_MMIO_REGIONS + 1];
	unsigned n = 0;

	while (n < ARRAY_SIZE(d)) {
		d[n] = make(n, 1, IO_8);
		if (io_add_ports(&bus, &d[n].region))
			break;
		n++;
	}
	assert_int_equal(n, IO_MAX_PORT_REGIONS - 1);
	assert_int_equal(io_add_ports(&bus, &d[n].region), -S_NOSPC);
	assert_int_equal(io_port_read(&bus, vcpu, n - 1, 1), n - 1);
	for (n = 0; n < ARRAY_SIZE(m); n++) {
		m[n] = make(0x10000 - n * 0x100, 0x100, IO_32);
		if (io_add_mmio(&bus, &m[n].region))
			break;
	}
	assert_int_equal(n, IO_MAX_MMIO_REGIONS);
}

static void whole_accesses(void **state __unused)
{
	struct device d = make(0x40, 8, IO_8 | IO_16 | IO_32);
	uint32_t offset;

	assert_int_equal(io_add_ports(&bus, &d.region), 0);
	for (unsigned size = 1; size <= 4; size *= 2) {
		d.reads = d.writes = 0;
		assert_int_equal(io_port_read(&bus, vcpu, 0x44, size),
				 0x47464544 & MASK(8 * size - 1, 0));
		io_port_write(&bus, vcpu, 0x43, size, 0x11223344);
		assert_true(d.reads == 1 && d.writes == 1);
		assert_true(d.offset == 3 && d.size == size);
	}
	assert_ptr_equal(io_port_region(&bus, 0x44, 4, &offset), &d.region);
	assert_int_equal(offset, 4);
	assert_null(io_port_region(&bus, 0x45, 4, &offset));
}

static void split_accesses(void **state __unused)
{
	struct device bytes = make(0x10, 2, IO_8), next = make(0x12, 1, IO_8),
		      words = make(0x20, 4, IO_16), last = make(0xffff, 1, IO_8);

	assert_int_equal(io_add_ports(&bus, &bytes.region), 0);
	assert_int_equal(io_add_ports(&bus, &next.region), 0);
	assert_int_equal(io_add_ports(&bus, &words.region), 0);
	assert_int_equal(io_add_ports(&bus, &last.region), 0);
	/* Two bytes of one device, one of the next, one of nobody. */
	assert_int_equal(io_port_read(&bus, vcpu, 0x10, 4), 0xff121110);
	assert_true(bytes.reads == 2 && next.reads == 1);
	io_port_write(&bus, vcpu, 0x10, 4, 0xddccbbaa);
	assert_true(bytes.writes == 2 && bytes.offset == 1 && bytes.value == 0xbb);
	assert_true(next.writes == 1 && next.value == 0xcc);
	/* A byte of a device that has none: read through a word, written not at all. */
	assert_int_equal(io_port_read(&bus, vcpu, 0x23, 1), 0x23);
	assert_int_equal(io_port_read(&bus, vcpu, 0x20, 4), 0x23222120);
	io_port_write(&bus, vcpu, 0x21, 1, 0);
	assert_int_equal(words.writes, 0);
	/* Around the end of the ports. */
	assert_int_equal(io_port_read(&bus, vcpu, 0xffff, 4), 0xffffffff);
	assert_int_equal(last.reads, 1);
}

static void memory_accesses(void **state __unused)
{
	struct device d = make(0xfec00000, 0x100, IO_32 | IO_64), e = make(0xfec00100, 4, IO_8);

	assert_int_equal(io_add_mmio(&bus, &d.region), 0);
	assert_int_equal(io_add_mmio(&bus, &e.region), 0);
	assert_int_equal(io_mmio_read(&bus, vcpu, 0xfec00010, 8), 0x1716151413121110);
	assert_int_equal(d.reads, 1);
	assert_int_equal(io_mmio_read(&bus, vcpu, 0xfec000fc, 8), 0x03020100fffefdfc);
	assert_int_equal(io_mmio_read(&bus, vcpu, 0xfec00102, 4), 0xffff0302);
	/* Before a region. */
	assert_int_equal(io_mmio_read(&bus, vcpu, 0xfebffffe, 4), 0x0100ffff);
	io_mmio_write(&bus, vcpu, 0xfec000fc, 4, 0x12345678);
	assert_true(d.writes == 1 && d.offset == 0xfc && d.value == 0x12345678);
	io_mmio_write(&bus, vcpu, 0xfec000fe, 4, 0xddccbbaa);
	assert_int_equal(d.writes, 1); /* halves of a register are dropped */
	assert_true(e.writes == 2 && e.offset == 1 && e.value == 0xdd);
}

/* Each call of a device has its bus's lock but for those that need none; it is given back. */
static void locks(void **state __unused)
{
	struct device port = make(0x40, 4, IO_8), own = make(0x50, 4, IO_8),
		      page = make(0x1000, 16, IO_32), own_page = make(0x2000, 16, IO_32);

	own.region.unlocked = own_page.region.unlocked = true;
	/* Left over from a former life. */
	own.region.lock = own_page.region.lock = &chips;
	assert_int_equal(io_add_ports(&bus, &port.region), 0);
	assert_int_equal(io_add_ports(&bus, &own.region), 0);
	assert_int_equal(io_add_mmio(&bus, &page.region), 0);
	assert_int_equal(io_add_mmio(&bus, &own_page.region), 0);
	io_port_read(&bus, vcpu, 0x40, 1);
	io_port_write(&bus, vcpu, 0x40, 1, 0);
	io_mmio_read(&bus, vcpu, 0x1000, 4);
	io_mmio_write(&bus, vcpu, 0x1000, 4, 0);
	assert_int_equal(locked, 4);
	/* Bytes of a wider access: each by itself, so that two devices' locks never nest. */
	io_port_read(&bus, vcpu, 0x40, 4);
	io_port_write(&bus, vcpu, 0x40, 4, 0);
	assert_int_equal(locked, 12);
	io_port_read(&bus, vcpu, 0x50, 1);
	io_port_write(&bus, vcpu, 0x50, 2, 0);
	io_mmio_read(&bus, vcpu, 0x2000, 4);
	io_mmio_write(&bus, vcpu, 0x2000, 4, 0);
	assert_int_equal(locked, 12);
	assert_true(own.reads == 1 && own.writes == 2 && own_page.reads == 1);
	assert_int_equal(chips.held, 0);
	/* Nobody is no device of the VM, so it takes no lock. */
	chips.held = 1;
	assert_int_equal((uint8_t)io_port_read(&bus, vcpu, 0x99, 1), 0xff);
}

/* Any access anywhere: check_call() sees that devices get only what they take. */
static void random_accesses(void **state __unused)
{
	static struct device d[20];
	uint64_t seed = 23;

	for (unsigned i = 0; i < ARRAY_SIZE(d); i++) {
		static const uint32_t widths[] = {1, 2, 4, 3, 5, 6, 7, 15};

		d[i] = make(0x100 + i * 8, i % 2 ? 8 : 4, widths[i % 8]);
		assert_int_equal(i < 10 ? io_add_ports(&bus, &d[i].region)
					: io_add_mmio(&bus, &d[i].region),
				 0);
	}
	for (unsigned step = 0; step < 100000; step++) {
		uint32_t at;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		at = 0xf0 + (seed >> 40) % 0xd0;
		switch (seed >> 62) {
		case 0:
			io_port_read(&bus, vcpu, at, 1u << (seed >> 33) % 3);
			break;
		case 1:
			io_port_write(&bus, vcpu, at, 1u << (seed >> 33) % 3, (uint32_t)seed);
			break;
		case 2:
			io_mmio_read(&bus, vcpu, at, 1u << (seed >> 33) % 4);
			break;
		default:
			io_mmio_write(&bus, vcpu, at, 1u << (seed >> 33) % 4, seed);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(life, setup),
		cmocka_unit_test_setup(nobody_answers, setup),
		cmocka_unit_test_setup(overlaps, setup),
		cmocka_unit_test_setup(tables_fill_up, setup),
		cmocka_unit_test_setup(whole_accesses, setup),
		cmocka_unit_test_setup(split_accesses, setup),
		cmocka_unit_test_setup(memory_accesses, setup),
		cmocka_unit_test_setup(locks, setup),
		cmocka_unit_test_setup(random_accesses, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
