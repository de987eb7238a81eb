/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest-physical memory used by several CPUs at once: populated, moved and taken away.
 * libs: -lpthread
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "panic_mock.h"
#include "memory_mock.h"
#include "smp_mock.h"
#include "frames_check.h"
#include "../../mm/pagetable.c"
#include "../../mm/pt_live.c"
#include "../../mm/pt_ept.c"
#include "../../mm/pt_x86.c"

/* Large frames are to be had now and then only, so that pages come to lie among them. */
static uint64_t scarce_frame(enum frame_level level, uint32_t owner)
{
	static unsigned asked;

	if (level == FRAME_2M && __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED) % 3)
		return 0;
	return frame_alloc(level, owner);
}

#define frame_alloc scarce_frame
#include "../../mm/guestmem.c"
#undef frame_alloc
#include "../../mm/guestmove.c"

enum { OWNER = OWNER_VM + 4, CPUS = 4, MEMORY_MIB = 160 };

static struct guest_mem mem;
static uint64_t free_before;

static void start(const struct pt_format *format)
{
	const struct mem_range range = {MiB, MEMORY_MIB * MiB - MiB};

	test_cpu_index = 0;
	machine_new(MEMORY_MIB * MiB);
	frames_init(&range, 1);
	frames_all_mapped();
	frames_use_stocks();
	pt_x86_init(false);
	pt_ept_init(true, false);
	free_before = held_by(OWNER_FREE);
	mem = (struct guest_mem){.owner = OWNER};
	/* Ends that are in the middle of large frames, and of tables. */
	mem.slot[mem.slots++] = (struct guest_slot){0, 0xa0000};
	mem.slot[mem.slots++] = (struct guest_slot){0xc0000, 20 * MiB - 0xc0000 + 3 * PAGE_SIZE};
	mem.slot[mem.slots++] = (struct guest_slot){30 * MiB + 7 * PAGE_SIZE, 34 * MiB};
	mem.slot[mem.slots++] = (struct guest_slot){4 * GiB - 5 * MiB, 11 * MiB};
	assert_int_equal(guest_mem_open(&mem, format), 0);
}

static int setup(void **state)
{
	start(*state);
	return 0;
}

static int teardown(void **state __unused)
{
	test_cpu_index = 0;
	guest_mem_close(&mem);
	check_account();
	assert_int_equal(held_by(OWNER), 0);
	assert_int_equal(held_by(OWNER + 1), 0);
	assert_int_equal(held_by(OWNER_FREE), free_before);
	return 0;
}

/* Each frame is mapped once, and all that is accounted is mapped. */
struct checker {
	struct pt_visitor visitor;
	uint64_t bytes;
	uint64_t used[MEMORY_MIB * MiB / PAGE_SIZE / 64];
};

static bool check_leaf(struct pt_visitor *v, uint64_t va, const struct pt_mapping *m)
{
	struct checker *c = container_of(v, struct checker, visitor);

	assert_true(guest_is_ram(&mem, va, frame_bytes(m->level)));
	c->bytes += frame_bytes(m->level);
	for (uint64_t pa = m->pa; pa < m->pa + frame_bytes(m->level); pa += PAGE_SIZE) {
		uint64_t page = pa / PAGE_SIZE;

		assert_false(c->used[page / 64] >> page % 64 & 1);
		c->used[page / 64] |= BIT(page % 64);
	}
	return true;
}

static uint64_t check_space(void)
{
	static struct checker c;

	c = (struct checker){.visitor = {check_leaf}};
	pt_visit(&mem.pt, &c.visitor);
	assert_int_equal(c.bytes, mem.populated);
	assert_int_equal(c.bytes, held_by(OWNER));
	assert_int_equal(held_by(OWNER + 1), mem.pt.table_bytes);
	check_account();
	return c.bytes;
}

static uint64_t ram_pages(void)
{
	uint64_t pages = 0;

	for (unsigned i = 0; i < mem.slots; i++)
		pages += mem.slot[i].size / PAGE_SIZE;
	return pages;
}

static uint64_t nth_page(uint64_t n)
{
	for (unsigned i = 0;; n -= mem.slot[i++].size / PAGE_SIZE)
		if (n < mem.slot[i].size / PAGE_SIZE)
			return mem.slot[i].base + n * PAGE_SIZE;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	return b ? gcd(b, a % b) : a;
}

/*
 * Each CPU touches all pages in an order of its own and leaves something of its own in each: a
 * frame that is mapped over another, or given back while it is used, loses that of some CPU.
 */
static void run_populate(struct smp_cpu *cpu)
{
	uint64_t pages = ram_pages(), at = smp_random(cpu, pages);
	uint64_t stride = smp_random(cpu, pages);

	while (gcd(stride, pages) != 1)
		stride++;
	for (uint64_t n = 0; n < pages; n++, at = (at + stride) % pages) {
		uint64_t gpa = nth_page(at), *p;

		switch (smp_random(cpu, 3)) {
		case 0:
			CHECK(!guest_populate(&mem, gpa + smp_random(cpu, PAGE_SIZE)));
			break;
		case 1:
			CHECK(guest_ptr(&mem, gpa));
			break;
		default:
			break;
		}
		p = guest_ptr(&mem, gpa + 8 * cpu->index);
		CHECK(p && *p == 0);
		*p = gpa + cpu->index;
	}
}

static void populates_each_page_once(void **state)
{
	static void (*const run[])(struct smp_cpu *) = {run_populate, run_populate, run_populate,
							run_populate, NULL};
	uint64_t large = 0;

	for (unsigned round = 0; round < 8; round++) {
		if (round) {
			teardown(state);
			start(*state);
		}
		smp_run(run, round);
		assert_int_equal(check_space(), ram_pages() * PAGE_SIZE);
		for (uint64_t n = 0; n < ram_pages(); n++) {
			const uint64_t *p = guest_ptr(&mem, nth_page(n));

			for (unsigned cpu = 0; cpu < CPUS; cpu++)
				assert_int_equal(p[cpu], nth_page(n) + cpu);
			large += pt_lookup(&mem.pt, nth_page(n)).level == FRAME_2M;
		}
	}
	/* Of each kind some, or it proves little. */
	assert_in_range(large, 1, 8 * ram_pages() - 30000);
}

/* The first touch of one page by all: one wins, and the others lose nothing. */
static void run_same_page(struct smp_cpu *cpu)
{
	for (unsigned n = 0; n < 400; n++) {
		uint64_t gpa = n % 2 ? 4 * GiB - PAGE_SIZE * n : 2 * MiB + n % 9 * 2 * MiB;

		pthread_barrier_wait(&smp_start);
		__atomic_add_fetch((uint64_t *)guest_ptr(&mem, gpa), 1, __ATOMIC_RELAXED);
		pthread_barrier_wait(&smp_start);
		if (!cpu->index) {
			CHECK(*(uint64_t *)guest_ptr(&mem, gpa) == CPUS);
			*(uint64_t *)guest_ptr(&mem, gpa) = 0;
		}
	}
}

static void first_touch_by_all(void **state __unused)
{
	static void (*const run[])(struct smp_cpu *) = {run_same_page, run_same_page, run_same_page,
							run_same_page, NULL};

	smp_run(run, 3);
	check_space();
}

/*
 * A CPU that runs a vCPU, in software: it enters the guest, which writes through translations
 * that it keeps, and leaves it when it is kicked, misses a translation, or now and then; then the
 * hypervisor uses the guest's memory for a while, and keeps pointers meanwhile.
 */
enum { PAGES = 12, TLB = PAGES };

static struct {
	unsigned kick;	/* atomic */
	unsigned in_vm; /* atomic */
} vcpus[CPU_MAX];

static unsigned writing;       /* CPUs that have not finished; atomic */
static uint64_t moves, denied; /* atomic */

/* Where the pages of the test are: two in one large frame, others far apart. */
static uint64_t page_gpa(unsigned n)
{
	return n < 6 ? 4 * MiB + n * PAGE_SIZE : 32 * MiB + n * 2 * MiB + 9 * PAGE_SIZE;
}

struct vcpu_model {
	struct smp_cpu *cpu;
	uint64_t *tlb[TLB];    /* the guest's translations */
	uint64_t *kept;	       /* a pointer that the hypervisor keeps across entries */
	unsigned kept_page;    /* of which page */
	uint64_t count[PAGES]; /* what this CPU's counter in each page must be */
};

static bool load_translation(struct vcpu_model *v, unsigned n)
{
	struct pt_mapping m = pt_lookup(&mem.pt, page_gpa(n));

	if (m.kind == PTE_LEAF)
		v->tlb[n] = phys_to_virt(m.pa);
	return m.kind == PTE_LEAF;
}

static void entry(struct vcpu_model *v)
{
	/* As guestmem.h wants it. */
	if (guest_mem_stale(&mem)) {
		uint64_t epoch = guest_mem_epoch(&mem);

		memset(v->tlb, 0, sizeof(v->tlb));
		v->kept = NULL;
		/* The CPU may load translations again as soon as it has forgotten them. */
		for (unsigned n = 0; n < PAGES; n++)
			load_translation(v, n);
		if (smp_random(v->cpu, 4) == 0)
			sched_yield();
		guest_mem_seen(&mem, epoch);
	}
}

static void come_in(struct vcpu_model *v)
{
	/* A full barrier, too. */
	(void)__atomic_exchange_n(&vcpus[v->cpu->index].in_vm, 1, __ATOMIC_SEQ_CST);
	v->kept = NULL;
	entry(v);
}

static void go_out(struct vcpu_model *v)
{
	v->kept = NULL;
	__atomic_store_n(&vcpus[v->cpu->index].in_vm, 0, __ATOMIC_SEQ_CST);
}

/* One more in this CPU's counter; nobody else writes it, so no increment may get lost. */
static void count_up(struct vcpu_model *v, uint64_t *page, unsigned n)
{
	uint64_t *counter = &page[v->cpu->index], value;

	value = __atomic_load_n(counter, __ATOMIC_RELAXED);
	CHECK(value == v->count[n]);
	__atomic_store_n(counter, value + 1, __ATOMIC_RELAXED);
	v->count[n]++;
}

/* Runs until something makes it exit. */
static void run_guest(struct vcpu_model *v)
{
	unsigned *kick = &vcpus[v->cpu->index].kick;

	for (unsigned step = 0; step < 64; step++) {
		unsigned n = smp_random(v->cpu, PAGES);

		if (__atomic_load_n(kick, __ATOMIC_RELAXED)) {
			__atomic_store_n(kick, 0, __ATOMIC_SEQ_CST);
			return;
		}
		if (!v->tlb[n]) {
			status_t status;

			if (load_translation(v, n))
				continue;
			status = guest_populate(&mem, page_gpa(n));
			CHECK(!status || status == -S_AGAIN);
			return;
		}
		count_up(v, v->tlb[n], n);
	}
}

/* What a device or the emulator does. */
static void handle_exit(struct vcpu_model *v)
{
	unsigned a = smp_random(v->cpu, PAGES), b = smp_random(v->cpu, PAGES);
	uint64_t *first, *second, buffer;

	if (v->kept)
		count_up(v, v->kept, v->kept_page);
	switch (smp_random(v->cpu, 8)) {
	case 0:
		/* Two pointers at once, the first of which is used at the end. */
		first = guest_ptr(&mem, page_gpa(a));
		second = guest_ptr(&mem, page_gpa(b));
		count_up(v, second, b);
		if (smp_random(v->cpu, 4) == 0)
			sched_yield();
		count_up(v, first, a);
		break;
	case 1:
		CHECK(!guest_read(&mem, page_gpa(a) + 8 * v->cpu->index, &buffer, 8));
		CHECK(buffer == v->count[a]++);
		buffer++;
		CHECK(!guest_write(&mem, page_gpa(a) + 8 * v->cpu->index, &buffer, 8));
		break;
	case 2:
		v->kept = guest_ptr(&mem, page_gpa(a));
		v->kept_page = a;
		break;
	default:
		break;
	}
}

static void flush(void *arg)
{
	struct vcpu_model *self = arg;

	for (unsigned cpu = 0; cpu < CPUS; cpu++) {
		if (cpu == self->cpu->index)
			continue;
		__atomic_store_n(&vcpus[cpu].kick, 1, __ATOMIC_SEQ_CST);
		while (__atomic_load_n(&vcpus[cpu].in_vm, __ATOMIC_SEQ_CST) &&
		       !guest_mem_seen_by(&mem, cpu))
			sched_yield();
	}
	for (unsigned cpu = 0; cpu < CPU_MAX; cpu++)
		while (guest_mem_visited(&mem, cpu))
			sched_yield();
}

/* From the hypervisor, as by a vCPU that asks for it. */
static void move_one(struct vcpu_model *v)
{
	status_t status = guest_replace(&mem, page_gpa(smp_random(v->cpu, PAGES)), flush, v);

	CHECK(!status || status == -S_BUSY || status == -S_AGAIN || status == -S_NOENT);
	v->kept = NULL;
	__atomic_add_fetch(status ? &denied : &moves, 1, __ATOMIC_RELAXED);
}

static void run_writer(struct smp_cpu *cpu)
{
	struct vcpu_model v = {.cpu = cpu};

	come_in(&v);
	for (unsigned round = 0; round < 60000; round++) {
		entry(&v);
		run_guest(&v);
		handle_exit(&v);
		if (smp_random(cpu, 4) == 0)
			move_one(&v);
		if (smp_random(cpu, 50) == 0) {
			go_out(&v);
			sched_yield();
			come_in(&v);
		}
	}
	for (unsigned n = 0; n < PAGES; n++)
		CHECK(((uint64_t *)guest_ptr(&mem, page_gpa(n)))[cpu->index] == v.count[n]);
	go_out(&v);
	__atomic_sub_fetch(&writing, 1, __ATOMIC_SEQ_CST);
}

/* Frames that nobody may write any more come to light here. */
static void run_frames(struct smp_cpu *cpu)
{
	while (__atomic_load_n(&writing, __ATOMIC_SEQ_CST)) {
		uint64_t pas[80];

		for (unsigned i = 0; i < ARRAY_SIZE(pas); i++) {
			pas[i] = frame_alloc(FRAME_4K, OWNER_CORE);
			CHECK(pas[i] && all_zero(phys_to_virt(pas[i]), PAGE_SIZE));
		}
		for (unsigned i = 0; i < ARRAY_SIZE(pas); i++) {
			CHECK(all_zero(phys_to_virt(pas[i]), PAGE_SIZE));
			frame_free_unused(pas[i], FRAME_4K, OWNER_CORE);
		}
		sched_yield();
	}
}

static void moving_loses_nothing(void **state __unused)
{
	static void (*const run[])(struct smp_cpu *) = {run_writer, run_writer, run_writer,
							run_writer, run_frames, NULL};

	writing = CPUS;
	moves = denied = 0;
	memset(vcpus, 0, sizeof(vcpus));
	smp_run(run, 4);
	check_space();
	assert_true(moves > 1000);
	assert_true(denied > 0);
}

/* A CPU that never runs the VM, and brings it something now and then: all of it arrives. */
static void run_visitor(struct smp_cpu *cpu)
{
	struct vcpu_model v = {.cpu = cpu};

	while (__atomic_load_n(&writing, __ATOMIC_SEQ_CST)) {
		unsigned a = smp_random(cpu, PAGES), b = smp_random(cpu, PAGES);
		uint64_t *first, *second;

		guest_mem_visit(&mem);
		first = guest_ptr(&mem, page_gpa(a));
		second = guest_ptr(&mem, page_gpa(b));
		count_up(&v, second, b);
		if (smp_random(cpu, 4) == 0)
			sched_yield();
		count_up(&v, first, a);
		guest_mem_leave(&mem);
		if (smp_random(cpu, 8) == 0)
			sched_yield();
	}
	guest_mem_visit(&mem);
	for (unsigned n = 0; n < PAGES; n++)
		CHECK(((uint64_t *)guest_ptr(&mem, page_gpa(n)))[cpu->index] == v.count[n]);
	guest_mem_leave(&mem);
}

static void moving_waits_for_visitors(void **state __unused)
{
	static void (*const run[])(struct smp_cpu *) = {run_writer,  run_writer, run_visitor,
							run_visitor, run_frames, NULL};

	writing = 2;
	moves = denied = 0;
	memset(vcpus, 0, sizeof(vcpus));
	smp_run(run, 6);
	check_space();
	assert_true(moves > 1000);
	for (unsigned cpu = 0; cpu < CPU_MAX; cpu++)
		assert_int_equal(mem.visit[cpu], 0);
}

/* Taken away at any time, a page holds zeroes, or what was written since. */
static void run_discard(struct smp_cpu *cpu)
{
	struct vcpu_model v = {.cpu = cpu};
	uint64_t gpa = 50 * MiB + cpu->index * PAGE_SIZE, value = 0;

	come_in(&v);
	for (unsigned round = 0; round < 40000; round++) {
		uint64_t *p;
		status_t status;

		entry(&v);
		if (__atomic_exchange_n(&vcpus[cpu->index].kick, 0, __ATOMIC_SEQ_CST))
			continue;
		p = guest_ptr(&mem, gpa);
		CHECK(p && *p == value);
		*p = value = round;
		if (smp_random(cpu, 3))
			continue;
		status = guest_discard(&mem, gpa, flush, &v);
		CHECK(!status || status == -S_BUSY || status == -S_AGAIN);
		if (!status)
			value = 0;
		__atomic_add_fetch(status ? &denied : &moves, 1, __ATOMIC_RELAXED);
	}
	go_out(&v);
	__atomic_sub_fetch(&writing, 1, __ATOMIC_SEQ_CST);
}

static void taken_away_and_touched(void **state __unused)
{
	static void (*const run[])(struct smp_cpu *) = {run_discard, run_discard, run_discard,
							run_discard, run_frames,  NULL};

	writing = CPUS;
	moves = denied = 0;
	memset(vcpus, 0, sizeof(vcpus));
	smp_run(run, 5);
	check_space();
	/* How many is up to the machine: one at a time may, and the others do not wait. */
	assert_true(moves > 0);
}

int main(void)
{
#define IN(format, f)                                                                           \
	{                                                                                       \
#f " (" #format ")", f, setup, teardown, (void *)(uintptr_t)&pt_format_##format \
	}
	const struct CMUnitTest tests[] = {
		IN(npt, populates_each_page_once),
		IN(ept, populates_each_page_once),
		IN(npt, first_touch_by_all),
		IN(npt, moving_loses_nothing),
		IN(ept, moving_loses_nothing),
		IN(npt, moving_waits_for_visitors),
		IN(npt, taken_away_and_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
