/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUs that use different chips, and different registers of one chip, at once do not disturb them.
 */
#include "smp.h"
#include "socle/guest/state.h"

const char test_name[] = "smp_mmio";

enum {
	ROUNDS = 1500,
	UART_SCRATCH = 0x3ff,
	UART_LSR = 0x3fd,
	PIT_CHANNEL_2 = 0x42,
	PIT_CONTROL = 0x43,
	PIT_STATUS_2 = 0xe8, /* read back the status of channel 2 */
	PIC_MASK_1 = 0x21,
	PIC_MASK_2 = 0xa1,
	PCI_ADDRESS = 0xcf8,
	CMOS_INDEX = 0x70,
	CMOS_DATA = 0x71,
	CMOS_FREE = 0x40, /* bytes that mean nothing to the firmware of a restart */
	ENTRY_MASKED = 1 << 16,
};

/* Registers behind an index: a guest has to guard the pair. */
static volatile uint32_t ioapic_lock, cmos_lock;
static struct meeting meeting;

static void use_scratch(uint8_t value)
{
	outb(UART_SCRATCH, value);
	check(inb(UART_SCRATCH) == value, "scratch register: %#x was written", value);
	check(inb(UART_LSR) & 0x40, "the transmitter is not empty");
}

static void use_pic(uint16_t port, uint8_t value)
{
	outb(port, value);
	check(inb(port) == value, "PIC mask at %#x: %#x was written", port, value);
}

/* The mode and the way of access come back in the status. */
static void use_pit(uint8_t value)
{
	static const uint8_t modes[] = {0, 1, 2, 3, 4, 5};
	uint8_t control = (uint8_t)(0xb0 | modes[value % 6] << 1), status;

	outb(PIT_CONTROL, control);
	outb(PIT_CHANNEL_2, value);
	outb(PIT_CHANNEL_2, 1);
	outb(PIT_CONTROL, PIT_STATUS_2);
	status = inb(PIT_CHANNEL_2);
	check((status & 0x3f) == (control & 0x3f), "PIT: status %#x after control %#x", status,
	      control);
}

static void use_pci(uint8_t value)
{
	uint32_t address = BIT(31) | (uint32_t)value << 8;

	outl(PCI_ADDRESS, address);
	check(inl(PCI_ADDRESS) == address, "PCI address: %#x was written", address);
}

static void use_cmos(uint8_t value)
{
	uint8_t at = (uint8_t)(CMOS_FREE + cpu_id()), read;

	spin_lock(&cmos_lock);
	outb(CMOS_INDEX, at);
	outb(CMOS_DATA, value);
	spin_unlock(&cmos_lock);
	spin_lock(&cmos_lock);
	outb(CMOS_INDEX, at);
	read = inb(CMOS_DATA);
	spin_unlock(&cmos_lock);
	check(read == value, "CMOS byte %#x: %#x was written, %#x is read", at, value, read);
}

static void use_ioapic(uint8_t value)
{
	uint8_t at = (uint8_t)(0x10 + 2 * (16 + cpu_id()));
	uint32_t entry = ENTRY_MASKED | (value | 0x10u), low, high;

	spin_lock(&ioapic_lock);
	ioapic_write(at, entry);
	ioapic_write((uint8_t)(at + 1), (uint32_t)value << 24);
	spin_unlock(&ioapic_lock);
	spin_lock(&ioapic_lock);
	low = ioapic_read(at);
	high = ioapic_read((uint8_t)(at + 1));
	spin_unlock(&ioapic_lock);
	check(low == entry && high == (uint32_t)value << 24,
	      "I/O APIC %#x: %#x and %#x were written, %#x and %#x are read", at, entry,
	      (uint32_t)value << 24, low, high);
}

static void use_lapic(uint8_t value)
{
	uint32_t tpr = value & 0xf0u;

	apic_write(LAPIC_TPR, tpr);
	apic_write(LAPIC_LVTT, ENTRY_MASKED | value);
	check(apic_read(LAPIC_TPR) == tpr && read_cr8() == tpr >> 4, "CPU %u: TPR %#x is %#x",
	      cpu_id(), tpr, apic_read(LAPIC_TPR));
	check(apic_read(LAPIC_LVTT) == (ENTRY_MASKED | value), "CPU %u: LVT is %#x", cpu_id(),
	      apic_read(LAPIC_LVTT));
	check(apic_id() == smp_cpus[cpu_id()].apic_id, "CPU %u: APIC ID is %u", cpu_id(),
	      apic_id());
	apic_write(LAPIC_TPR, 0);
}

/* What has no guard belongs to one CPU at a time, another one after each meeting. */
static void use_own(unsigned owner, uint8_t value)
{
	switch (owner) {
	case 0:
		use_scratch(value);
		break;
	case 1:
		use_pic(PIC_MASK_1, value | 4);
		use_pci(value);
		break;
	case 2:
		use_pic(PIC_MASK_2, value);
		break;
	default:
		use_pit(value);
		break;
	}
}

static void hammer(void *unused)
{
	unsigned id = cpu_id();

	(void)unused;
	for (unsigned turn = 0; turn < 4; turn++) {
		smp_meet(&meeting);
		for (unsigned i = 0; i < ROUNDS; i++) {
			uint8_t value = (uint8_t)(i * 7 + id * 13);

			if (id < 4)
				use_own((id + turn) % 4, value);
			switch (i % 4) {
			case 0:
				use_cmos(value);
				break;
			case 1:
				use_ioapic(value);
				break;
			default:
				use_lapic(value);
				break;
			}
		}
	}
}

void test_main(void)
{
	uint64_t start;

	smp_init(4, 8);
	smp_start_others();
	start = rdtsc();
	smp_run_all(hammer, NULL);
	info("%lu ms", (rdtsc() - start) / tsc_per_ms);
	outb(PIC_MASK_1, 0xff);
	outb(PIC_MASK_2, 0xff);
}
