/* SPDX-License-Identifier: BSD-2-Clause */
/* APIC virtualization: its pages, modes and MSRs, and what the VMCS hears of the local APIC. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "vmx_cpu_mock.h"
#include "../../arch/x86/vmx/apicv.c"
#include "lapic_mock.h"

uintptr_t test_memory;
struct vmx_caps vmx_caps;

static unsigned maps, unmaps;
static bool map_fails, unmap_fails;

status_t pt_map(struct pagetable *pt, uint64_t va, uint64_t pa, uint64_t size, unsigned prot,
		enum pt_memtype type)
{
	assert_ptr_equal(pt, &guest_vm.mem.pt);
	assert_int_equal(va, 0xfee00000);
	assert_int_equal(pa, virt_to_phys(guest.apic_access));
	assert_int_equal(size, PAGE_SIZE);
	assert_int_equal(prot, PT_READ | PT_WRITE);
	assert_int_equal(type, PT_WB);
	maps++;
	return map_fails ? -S_NOMEM : 0;
}

status_t pt_unmap(struct pagetable *pt, uint64_t va, uint64_t size)
{
	assert_ptr_equal(pt, &guest_vm.mem.pt);
	assert_int_equal(va, 0xfee00000);
	assert_int_equal(size, PAGE_SIZE);
	unmaps++;
	return unmap_fails ? -S_NOMEM : 0;
}

static unsigned changes; /* calls of guest_mem_changed() */

void guest_mem_changed(struct guest_mem *mem)
{
	assert_ptr_equal(mem, &guest_vm.mem);
	/* Afterwards: who flushes because of it must not find the page again. */
	assert_int_equal(unmaps, changes + 1);
	changes++;
}

static unsigned flushes; /* calls of vmx_flush() */

void vmx_flush(struct vmx_vcpu *s)
{
	assert_ptr_equal(s, &guest);
	/* Not before the page is gone. */
	assert_int_equal(changes, unmaps);
	flushes++;
}

enum { OTHERS = 0x100090ea };

static struct x86_vcpu others[2]; /* of the same VM, in some tests */

/* A CPU that can, and one vCPU just reset: its APIC is in xAPIC mode. */
/* The choice of maps.c, by the mode of the APIC alone. */
void vmx_use_msr_bitmap(struct vmx_vcpu *s)
{
	vmwrite(VMCS_MSR_BITMAP, s->apic_mode & SECONDARY_X2APIC ? 0x222000 : 0x111000);
}

static int setup_guest(void **state)
{
	setup(state);
	cpu_new();
	vmx_caps.apicv = true;
	maps = unmaps = changes = flushes = 0;
	others[0].base = (struct vcpu){.vm = &guest_vm, .id = 1};
	others[1].base = (struct vcpu){.vm = &guest_vm, .id = 2};
	map_fails = unmap_fails = false;
	guest_vm.board = &board;
	board.vm = &guest_vm;
	next_apic = next_page = 0;
	guest.secondary = OTHERS;
	assert_int_equal(lapic_create(&guest.x), 0);
	assert_int_equal(vmx_apicv_create(&guest), 0);
	vmx_apicv_reset(&guest);
	forget_vmwrites();
	return 0;
}

/* Enables the APIC, and has the first entry behind it. */
static int setup_running(void **state)
{
	setup_guest(state);
	lapic_write(guest.x.lapic, APIC_SVR, 0x1ff);
	vmx_apicv_prepare(&guest);
	guest.x.stats = (struct x86_stats){0};
	flushes = 0;
	forget_vmwrites();
	return 0;
}

/* SDM vol. 3, 25.6.2: TPR shadow, and five secondary controls. */
static void all_or_nothing(void **state __unused)
{
	const uint64_t primary = BIT(32 + 21), secondary = MASK(32 + 9, 32 + 8) | BIT(36) | BIT(32);

	assert_true(vmx_apicv_offered(primary, secondary));
	assert_true(vmx_apicv_offered(UINT64_MAX, UINT64_MAX));
	assert_false(vmx_apicv_offered(UINT64_MAX & ~primary, UINT64_MAX));
	for (unsigned bit = 32; bit < 64; bit++)
		assert_int_equal(vmx_apicv_offered(UINT64_MAX, ~BIT(bit)), !(secondary >> bit & 1));
	/* The low halves are what must be 1. */
	assert_false(vmx_apicv_offered(UINT32_MAX, UINT32_MAX));
}

static void pages_of_a_vcpu(void **state __unused)
{
	assert_ptr_equal(guest.apic_page, pages[0]);
	assert_ptr_equal(guest.apic_access, pages[1]);
	/* One page for accesses is enough for all of a VM. */
	guest.apic_page = guest.apic_access = NULL;
	guest.x.base.id = 1;
	assert_int_equal(vmx_apicv_create(&guest), 0);
	assert_non_null(guest.apic_page);
	assert_null(guest.apic_access);
	no_memory = true;
	assert_int_equal(vmx_apicv_create(&guest), -S_NOMEM);
	vmx_caps.apicv = false;
	assert_int_equal(vmx_apicv_create(&guest), 0);
	/* And nothing is written where the CPU has no such fields. */
	vmx_apicv_reset(&guest);
	assert_int_equal(vmwrites, 0);
	assert_int_equal(maps, 1);
}

static void after_reset(void **state __unused)
{
	memset(vmcs, 0xee, sizeof(vmcs));
	memset(guest.eoi_exits, 0xee, sizeof(guest.eoi_exits));
	memset(guest.apic_page, 0xee, PAGE_SIZE);
	guest.apic_mode = SECONDARY_X2APIC;
	vmx_apicv_reset(&guest);
	assert_int_equal(vmcs[VMCS_VIRTUAL_APIC_ADDR], virt_to_phys(guest.apic_page));
	assert_int_equal(vmcs[VMCS_APIC_ACCESS_ADDR], virt_to_phys(guest.apic_access));
	assert_int_equal(vmcs[VMCS_TPR_THRESHOLD], 0);
	assert_int_equal(vmcs[VMCS_GUEST_INTR_STATUS], 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(vmcs[VMCS_EOI_EXIT_BITMAP0 + 2 * i], 0);
		assert_int_equal(guest.eoi_exits[i], 0);
	}
	assert_int_equal(guest.apic_mode, 0);
	assert_int_equal(lapic_page_requested(guest.x.lapic), 0);
	assert_true(lapic_is_virtualized(guest.x.lapic));
	assert_int_equal(maps, 2);
	assert_true(guest.apic_mapped);
	/* Accesses are emulated without the page. */
	map_fails = true;
	vmx_apicv_reset(&guest);
	assert_false(guest.apic_mapped);
	guest.x.base.id = 1;
	vmx_apicv_reset(&guest);
	assert_int_equal(maps, 3);
}

static void is_in_mode(uint32_t controls, uint64_t bitmap)
{
	assert_int_equal(guest.secondary, OTHERS | controls);
	assert_int_equal(vmcs[VMCS_SECONDARY_CONTROLS], OTHERS | controls);
	assert_int_equal(vmcs[VMCS_MSR_BITMAP], bitmap);
	/* Translations know of the page and the mode (SDM vol. 3, 29.4.3 and 30.4). */
	assert_int_equal(flushes, 1);
	assert_int_equal(vmwrites_of[VMCS_SECONDARY_CONTROLS], 1);
	forget_vmwrites();
	vmx_apicv_prepare(&guest);
	assert_int_equal(vmwrites, 0);
	assert_int_equal(flushes, 1);
	flushes = 0;
}

static void set_base(uint64_t bits)
{
	uint64_t slot = 0;

	assert_int_equal(base_write(&guest.x, MSR_APIC_BASE, &slot, LAPIC_GPA | bits), MSR_OK);
	vmx_apicv_prepare(&guest);
}

/* By number: virtualized accesses (0) or x2APIC (4), registers (8) and interrupts (9). */
static void controls_follow_the_mode(void **state __unused)
{
	vmx_apicv_prepare(&guest);
	is_in_mode(0x301, 0x111000);
	assert_int_equal(unmaps, 0);
	/* In x2APIC mode nothing is at the APIC's address. */
	set_base(BIT(11) | BIT(10));
	is_in_mode(0x310, 0x222000);
	assert_int_equal(unmaps, 1);
	assert_int_equal(changes, 1);
	set_base(0);
	is_in_mode(0, 0x111000);
	assert_int_equal(unmaps, 1);
	assert_int_equal(changes, 1);
	set_base(BIT(11));
	is_in_mode(0x301, 0x111000);
	assert_string_equal(killed, "");
}

/*
 * All others are asked to flush, once. This one has taken its requests, and flushes here: one that
 * stayed over the entry would make the next who asks believe that it had been interrupted.
 */
static void others_flush_later(void **state __unused)
{
	guest_vm.settings.cpus = 3;
	guest_vm.vcpu[1] = &others[0].base;
	guest_vm.vcpu[2] = &others[1].base;
	guest.x.base.requests = 0;
	vmx_apicv_prepare(&guest);
	assert_int_equal(others[0].base.requests | others[1].base.requests, 0);
	assert_int_equal(flushes, 1);
	set_base(BIT(11) | BIT(10));
	assert_int_equal(flushes, 2);
	assert_int_equal(guest.x.base.requests & VCPU_REQ_FLUSH, 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(others[i].base.requests, VCPU_REQ_FLUSH);
		others[i].base.requests = 0;
	}
	/* The page is gone: nothing for them to forget when the mode changes again. */
	set_base(0);
	set_base(BIT(11));
	set_base(BIT(11) | BIT(10));
	assert_int_equal(flushes, 5);
	assert_int_equal(others[0].base.requests | others[1].base.requests, 0);
}

static void unmapping_fails(void **state __unused)
{
	vmx_apicv_prepare(&guest);
	unmap_fails = true;
	set_base(BIT(11) | BIT(10));
	assert_non_null(strstr(killed, "cannot unmap"));
}

/* RVI in bits 7:0 and SVI in 15:8 of the guest's interrupt status (SDM vol. 3, 25.4.2). */
static void requests_reach_the_vmcs(void **state __unused)
{
	struct lapic *l = guest.x.lapic;

	lapic_request(l, 0x51, false);
	lapic_request(l, 0x93, false);
	vmx_apicv_prepare(&guest);
	assert_int_equal(vmcs[VMCS_GUEST_INTR_STATUS], 0x93);
	assert_int_equal(guest.x.stats.injected, 2);
	assert_int_equal(vmwrites, 1);
	/* What the CPU made of it since is not written over. */
	lapic_page_set(l, APIC_IRR, 0x93, false);
	lapic_page_set(l, APIC_ISR, 0x93, true);
	l->page_changed = false;
	vmcs[VMCS_GUEST_INTR_STATUS] = 0x9351;
	vmx_apicv_prepare(&guest);
	assert_int_equal(vmwrites, 1);
	lapic_request(l, 0xa0, false);
	vmx_apicv_prepare(&guest);
	assert_int_equal(vmcs[VMCS_GUEST_INTR_STATUS], 0x93a0);
	assert_int_equal(guest.x.stats.injected, 3);
	/* An EOI that was emulated, an interrupt that goes back. */
	lapic_write(l, APIC_EOI, 0);
	vmx_apicv_prepare(&guest);
	assert_int_equal(vmcs[VMCS_GUEST_INTR_STATUS], 0xa0);
	lapic_page_set(l, APIC_IRR, 0xa0, false);
	lapic_page_set(l, APIC_ISR, 0xa0, true);
	source_bound->requeue(&guest.x, 0xa0);
	vmx_apicv_prepare(&guest);
	assert_int_equal(vmcs[VMCS_GUEST_INTR_STATUS], 0xa0);
}

static void wanted_ends_reach_the_vmcs(void **state __unused)
{
	static const uint8_t vectors[] = {0x21, 0x61, 0xa1, 0xe1};

	for (unsigned i = 0; i < 4; i++) {
		forget_vmwrites();
		lapic_request(guest.x.lapic, vectors[i], true);
		vmx_apicv_prepare(&guest);
		assert_int_equal(vmcs[VMCS_EOI_EXIT_BITMAP0 + 2 * i], BIT(0x21));
		/* That and the interrupt status alone. */
		assert_int_equal(vmwrites, 2);
	}
	lapic_request(guest.x.lapic, 0x61, false);
	vmx_apicv_prepare(&guest);
	assert_int_equal(vmcs[VMCS_EOI_EXIT_BITMAP1], 0);
	assert_int_equal(vmcs[VMCS_EOI_EXIT_BITMAP2], BIT(0x21));
}

static void exits_that_follow(void **state __unused)
{
	struct lapic *l = guest.x.lapic;

	lapic_request(l, 0x61, true);
	vmcs[VMCS_EXIT_QUALIFICATION] = 0x61;
	vmx_apicv_eoi(&guest);
	assert_int_equal(eois, 1);
	assert_int_equal(eoi_last, 0x61);
	l->page[APIC_LDR / 4] = 0x10ffffff;
	/* Bits 11:0 are the offset of the access, wherever within the register. */
	vmcs[VMCS_EXIT_QUALIFICATION] = 0xf0d2;
	vmx_apicv_write(&guest);
	assert_int_equal(l->ldr, 0x10000000);
	assert_int_equal(l->page[APIC_LDR / 4], 0x10000000);
}

static bool may_read[0x1000], may_write[0x1000];

static void collect(uint32_t index, bool read, bool write, void *map)
{
	assert_ptr_equal(map, may_read);
	assert_in_range(index, 0x800, 0x8ff);
	may_read[index] = read;
	may_write[index] = write;
}

/* SDM vol. 3, table 11-6 and 30.5: by number, TPR, EOI and SELF IPI can be written without exit. */
static void x2apic_msrs(void **state __unused)
{
	vmx_apicv_msrs(collect, may_read);
	for (uint32_t i = 0x800; i <= 0x8ff; i++) {
		bool readable = i == 0x802 || i == 0x803 || i == 0x808 || i == 0x80a ||
				i == 0x80d || i == 0x80f || (i >= 0x810 && i <= 0x828) ||
				i == 0x830 || (i >= 0x832 && i <= 0x838) || i == 0x83e;
		uint64_t value, slot = 0;

		if (may_read[i] != readable)
			fail_msg("read of %#x", i);
		assert_int_equal(may_write[i], i == 0x808 || i == 0x80b || i == 0x83f);
		/* What needs no exit reads the same with one; the current count always needs one.
		 */
		if (i == 0x839)
			assert_false(may_read[i]);
		set_base(BIT(11) | BIT(10));
		if (readable && i != 0x80a)
			assert_int_equal(x2apic_read(&guest.x, i, &slot, &value), MSR_OK);
		if (readable && i != 0x80a && i != 0x830)
			assert_int_equal(value, guest.x.lapic->page[(i - 0x800) * 4]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_or_nothing),
		cmocka_unit_test_setup(pages_of_a_vcpu, setup_guest),
		cmocka_unit_test_setup(after_reset, setup_guest),
		cmocka_unit_test_setup(controls_follow_the_mode, setup_guest),
		cmocka_unit_test_setup(others_flush_later, setup_guest),
		cmocka_unit_test_setup(unmapping_fails, setup_guest),
		cmocka_unit_test_setup(requests_reach_the_vmcs, setup_running),
		cmocka_unit_test_setup(wanted_ends_reach_the_vmcs, setup_running),
		cmocka_unit_test_setup(exits_that_follow, setup_running),
		cmocka_unit_test_setup(x2apic_msrs, setup_running),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
