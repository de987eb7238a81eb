/* SPDX-License-Identifier: BSD-2-Clause */
/* How the board's interrupt controllers are wired to its devices and to the local APICs. */
#include "socle/platform/irq.h"
#include "socle/platform/board.h"

#define TIMER_PIN 2 /* pin 0 of the I/O APIC would be the PIC's output, the timer moves to 2 */

/* Address and data of an MSI (SDM vol. 3, 11.11.1 and 11.11.2). */
enum msi_field {
	MSI_DEST_SHIFT = 12,
	MSI_LOGICAL = BIT(2),
	MSI_DELIVERY_SHIFT = 8,
};
#define MSI_ADDRESS	 0xfee00000ull
#define MSI_ADDRESS_MASK 0xfffffffffff00000ull

void irq_line_set(struct board *board, unsigned line, bool asserted)
{
	if (line >= IRQ_LINES || line == IRQ_CASCADE)
		return;
	if (line < IRQ_ISA_LINES)
		pic_set_line(&board->pic, line, asserted);
	ioapic_set_line(&board->ioapic, line == IRQ_TIMER ? TIMER_PIN : line, asserted);
}

void irq_msi(struct vm *vm, uint64_t address, uint32_t data)
{
	struct irq_message msg = {
		.dest = (uint8_t)(address >> MSI_DEST_SHIFT),
		.vector = (uint8_t)data,
		.delivery = data >> MSI_DELIVERY_SHIFT & 7,
		.logical = address & MSI_LOGICAL,
	};

	/* Level-triggered messages need a deassert message that nobody sends: taken as edges. */
	if ((address & MSI_ADDRESS_MASK) == MSI_ADDRESS)
		lapic_deliver(vm, &msg);
}

static void ioapic_to_lapic(struct ioapic *ioapic, const struct irq_message *msg)
{
	lapic_deliver(container_of(ioapic, struct board, ioapic)->vm, msg);
}

static void pic_to_lapic(struct pic *pic)
{
	lapic_extint_changed(container_of(pic, struct board, pic)->vm);
}

status_t irq_init(struct board *board, struct io_bus *bus)
{
	status_t status = pic_init(&board->pic, bus, pic_to_lapic);

	return status ? status : ioapic_init(&board->ioapic, bus, ioapic_to_lapic);
}
