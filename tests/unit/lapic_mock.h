/* SPDX-License-Identifier: BSD-2-Clause */
/* Local APICs of some vCPUs, with the chips around them as variables, and ways to get at them. */
#ifndef TESTS_UNIT_LAPIC_MOCK_H
#define TESTS_UNIT_LAPIC_MOCK_H

#include <string.h>

#define MOCK_REAL_BUS
#include "platform_mock.h"
#include "pmu_mock.h"
#include "../../kernel/iobus.c"
#include "socle/guest/cpuid.h"
#include "../../platform/lapic.c"
#ifdef MOCK_JITTER
/* Other threads come in between everywhere. */
static void jitter(void);
#define __atomic_fetch_or(p, v, order)	 (jitter(), __atomic_fetch_or(p, v, order))
#define __atomic_store_n(p, v, order)	 (jitter(), __atomic_store_n(p, v, order))
#define __atomic_load_n(p, order)	 (jitter(), __atomic_load_n(p, order))
#define __atomic_exchange_n(p, v, order) (jitter(), __atomic_exchange_n(p, v, order))
#endif
#include "../../platform/lapic_inbox.c"
#ifdef MOCK_JITTER
#undef __atomic_fetch_or
#undef __atomic_store_n
#undef __atomic_load_n
#undef __atomic_exchange_n
#endif
#include "../../platform/lapic_ipi.c"
#include "../../platform/lapic_lvt.c"
#include "../../platform/lapic_msr.c"
#include "../../platform/lapic_page.c"
#include "../../platform/lapic_reset.c"
/* Each file has helpers of its own under these names. */
#define mode timer_mode_of
#include "../../platform/lapic_timer.c"
#undef mode

#ifndef MOCK_CPUS
#define MOCK_CPUS 4
#endif
enum { CPUS = MOCK_CPUS };
static struct x86_vcpu cpu[CPUS];
static struct lapic apic[CPUS];
static struct board board;
static struct vm vm;
static const struct x86_irq_source *source_bound;
static const struct cr8_ops *cr8_bound;
static unsigned requests_of[CPUS]; /* calls of vcpu_request() with VCPU_REQ_EVENT: from others */
static unsigned nmis_of[CPUS];
static bool away;	 /* the vCPUs' CPUs do not look at their requests */
static bool pic_output;	 /* atomic */
static bool pic_again;	 /* when acknowledged, the PIC has another one at once */
static unsigned eois;	 /* calls of ioapic_eoi() */
static uint8_t eoi_last; /* its vector */
static uint32_t pages[CPUS][PAGE_SIZE / 4];
static unsigned next_apic, next_page; /* for pages_alloc() */
static bool no_memory;

void events_bind(const struct x86_irq_source *s)
{
	source_bound = s;
}

void exit_bind_cr8(const struct cr8_ops *ops)
{
	cr8_bound = ops;
}

void events_nmi(struct x86_events *e)
{
	nmis_of[container_of(e, struct x86_vcpu, events)->base.id]++;
}

/* What a vCPU's CPU does about its requests, but for those that tests look at. */
static void serve(struct vcpu *v)
{
	const uint32_t served = VCPU_REQ_TIMER | VCPU_REQ_NMI;
	uint32_t requests = __atomic_fetch_and(&v->requests, ~served, __ATOMIC_SEQ_CST);

	if (requests & VCPU_REQ_TIMER)
		source_bound->timer(x86_vcpu(v));
	if (requests & VCPU_REQ_NMI)
		nmis_of[v->id]++;
}

/* Did the APIC ask its own CPU to look for events? */
static __unused bool asked(unsigned c)
{
	uint32_t old = __atomic_fetch_and(&cpu[c].base.requests, ~(uint32_t)VCPU_REQ_AGAIN,
					  __ATOMIC_SEQ_CST);

	return old & VCPU_REQ_AGAIN;
}

void vcpu_request(struct vcpu *v, uint32_t requests)
{
	__atomic_fetch_or(&v->requests, requests, __ATOMIC_SEQ_CST);
	if (requests & VCPU_REQ_EVENT)
		__atomic_fetch_add(&requests_of[v->id], 1, __ATOMIC_RELAXED);
	if (!away)
		serve(v);
}

bool pic_pending(const struct pic *pic)
{
	assert_ptr_equal(pic, &board.pic);
	return __atomic_load_n(&pic_output, __ATOMIC_RELAXED);
}

uint8_t pic_acknowledge(struct pic *pic)
{
	assert_ptr_equal(pic, &board.pic);
	assert_true(board.vm->chips.held);
	__atomic_store_n(&pic_output, false, __ATOMIC_RELAXED);
	if (pic_again)
		lapic_extint_changed(board.vm);
	return 0x28;
}

void pic_take_back(struct pic *pic, uint8_t vector)
{
	assert_ptr_equal(pic, &board.pic);
	assert_true(board.vm->chips.held);
	assert_int_equal(vector, 0x28);
	pic_output = true;
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
	assert_ptr_equal(ioapic, &board.ioapic);
	assert_true(board.vm->chips.held);
	eois++;
	eoi_last = vector;
}

void *pages_alloc(size_t bytes, uint32_t owner)
{
	static struct io_region region;
	static uint8_t map[65536];

	assert_int_equal(owner, OWNER_VM_CORE);
	if (no_memory)
		return NULL;
	if (bytes == sizeof(struct lapic))
		return &apic[next_apic++];
	if (bytes == PAGE_SIZE)
		return pages[next_page++];
	return bytes == sizeof(region) ? (void *)&region : map;
}

void pages_free(void *va __unused, size_t bytes __unused, uint32_t owner __unused)
{
}

/* A TSC of 2 GHz, 0 at boot. */
uint64_t x86_guest_tsc(const struct x86_vcpu *v)
{
	return mock_now * 2 + v->tsc_offset;
}

uint64_t tsc_hz = 2000000000;

static int setup(void **state __unused)
{
	mock_reset();
	memset(cpu, 0, sizeof(cpu));
	memset(apic, 0, sizeof(apic));
	memset(&board, 0, sizeof(board));
	vm = (struct vm){.board = &board, .settings.cpus = CPUS};
	board.vm = &vm;
	memset(pages, 0, sizeof(pages));
	next_apic = next_page = 0;
	no_memory = pic_output = pic_again = away = false;
	lapic_bind();
	assert_int_equal(io_bus_init(&vm.io, &vm.chips), 0);
	assert_int_equal(lapic_add_region(&vm), 0);
	for (unsigned i = 0; i < CPUS; i++) {
		cpu[i].base = (struct vcpu){.vm = &vm, .id = i};
		vm.vcpu[i] = &cpu[i].base;
		assert_int_equal(lapic_create(&cpu[i]), 0);
		assert_ptr_equal(cpu[i].lapic, &apic[i]);
	}
	for (unsigned i = 0; i < CPUS; i++)
		assert_true(asked(i)); /* at reset */
	memset(requests_of, 0, sizeof(requests_of));
	memset(nmis_of, 0, sizeof(nmis_of));
	eois = 0;
	return 0;
}

static __unused uint32_t rd(unsigned c, uint32_t reg)
{
	return (uint32_t)io_mmio_read(&vm.io, &cpu[c].base, LAPIC_GPA + reg, 4);
}

static __unused void wr(unsigned c, uint32_t reg, uint32_t value)
{
	io_mmio_write(&vm.io, &cpu[c].base, LAPIC_GPA + reg, 4, value);
	/* As whoever emulates the access does. */
	if (apic[c].page)
		lapic_page_refresh(&apic[c]);
}

/* An MSR access through the row of the policy that it belongs to. */
static const struct msr_policy *row_of(uint32_t index)
{
	for (unsigned i = 0; i < ARRAY_SIZE(lapic_msrs); i++)
		if (index - lapic_msrs[i].index < lapic_msrs[i].count)
			return &lapic_msrs[i];
	fail_msg("no row for %#x", index);
	return NULL;
}

static __unused enum msr_result rdmsr(unsigned c, uint32_t index, uint64_t *value)
{
	uint64_t slot = 0;

	*value = 0;
	return row_of(index)->rd(&cpu[c], index, &slot, value);
}

static __unused enum msr_result wrmsr(unsigned c, uint32_t index, uint64_t value)
{
	uint64_t slot = 0;

	return row_of(index)->wr(&cpu[c], index, &slot, value);
}

static __unused void enable(unsigned c)
{
	wr(c, 0xf0, 0x1ff);
}

static __unused void x2apic(unsigned c)
{
	assert_int_equal(wrmsr(c, MSR_APIC_BASE, cpu[c].lapic->base | BIT(10)), MSR_OK);
}

static __unused int take(unsigned c)
{
	int pend = source_bound->pending(&cpu[c]);

	return pend < 0 ? -1 : source_bound->accept(&cpu[c], pend);
}

/* setup() with vCPU 1 on a page of a CPU that delivers interrupts itself. */
static __unused int setup_page(void **state)
{
	setup(state);
	lapic_use_page(&apic[1], pages[1]);
	enable(1);
	requests_of[1] = 0;
	cpu[1].base.requests = 0;
	return 0;
}

/* Bits of vCPU 1's page: @reg is the offset of IRR, ISR or TMR. */
static __unused bool page_bit(uint32_t reg, unsigned vector)
{
	return pages[1][(reg + vector / 32 * 0x10) / 4] >> vector % 32 & 1;
}

static __unused void set_page_bit(uint32_t reg, unsigned vector, bool value)
{
	uint32_t *word = &pages[1][(reg + vector / 32 * 0x10) / 4];

	*word = (*word & ~(1u << vector % 32)) | (uint32_t)value << vector % 32;
}

static __unused int page_top(uint32_t reg)
{
	for (int vector = 255; vector >= 0; vector--)
		if (page_bit(reg, vector))
			return vector;
	return -1;
}

/* Before an entry of vCPU 1. */
static __unused unsigned post(bool *changed)
{
	bool ignored;

	return lapic_page_post(&apic[1], changed ? changed : &ignored);
}

#endif
