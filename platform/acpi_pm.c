/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI fixed hardware: PM1 event and control registers, and the power management timer. */
#include "socle/platform/acpi_pm.h"
#include "socle/platform/board.h"
#include "socle/platform/irq.h"

/* Bits of PM1 status and enable (ACPI 6.4, tables 4.13 and 4.14). */
enum acpi_pm1_event {
	PM1_TMR = BIT(0),
	PM1_GBL = BIT(5),
	PM1_PWRBTN = BIT(8),
	PM1_SLPBTN = BIT(9),
	PM1_RTC = BIT(10),
	PM1_WAK = BIT(15),
	PM1_ENABLE_BITS = PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_SLPBTN | PM1_RTC,
};

/* Bits of PM1 control (ACPI 6.4, table 4.15). */
enum acpi_pm1_control {
	PM1_SCI_EN = BIT(0), /* always: there is no other mode */
	PM1_BM_RLD = BIT(1),
	PM1_SLP_TYP_SHIFT = 10,
	PM1_SLP_TYP = 7 << 10,
	PM1_SLP_EN = BIT(13), /* write-only */
	PM1_CONTROL_KEPT = PM1_BM_RLD | PM1_SLP_TYP,
};

#define TIMER_TOP_BIT 31 /* the timer has 32 bits: TMR_VAL_EXT in the FADT */

/* Byte offsets in the region, as shifts in its image of three registers. */
enum { STATUS_SHIFT = 0, ENABLE_SHIFT = 16, CONTROL_SHIFT = 32 };

/* Never before what another CPU has seen. */
static uint64_t ticks(struct acpi_pm *pm)
{
	pm->ticks = MAX(pm->ticks, mul_div(time_now(), ACPI_PM_HZ, NS_PER_SEC));
	return pm->ticks;
}

/* Notes whether the timer's top bit has changed since the guest last cleared TMR_STS. */
static void account_carry(struct acpi_pm *pm)
{
	uint64_t carries = ticks(pm) >> TIMER_TOP_BIT;

	if (carries != pm->carries) {
		pm->carries = carries;
		pm->status |= PM1_TMR;
	}
}

/* Drives the SCI, and arms the timer if its next carry would raise it. */
static void pm_update(struct acpi_pm *pm)
{
	bool irq = pm->status & pm->enable;
	uint64_t next;

	if (irq != pm->irq) {
		pm->irq = irq;
		irq_line_set(pm->board, IRQ_SCI, irq);
	}
	if (!(pm->enable & PM1_TMR) || (pm->status & PM1_TMR)) {
		timer_cancel(&pm->timer);
		return;
	}
	next = (pm->carries + 1) << TIMER_TOP_BIT;
	timer_set(&pm->timer, mul_div(next, NS_PER_SEC, ACPI_PM_HZ) + 1);
}

static void carry(struct timer *timer)
{
	struct acpi_pm *pm = container_of(timer, struct acpi_pm, timer);

	if (!board_timer_begin(pm->board, timer))
		return;
	account_carry(pm);
	pm_update(pm);
	board_timer_end(pm->board);
}

static uint64_t pm1_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	struct acpi_pm *pm = container_of(r, struct acpi_pm, pm1);
	uint64_t image;

	account_carry(pm);
	pm_update(pm);
	image = (uint64_t)pm->status << STATUS_SHIFT | (uint64_t)pm->enable << ENABLE_SHIFT |
		(uint64_t)pm->control << CONTROL_SHIFT;
	return image >> 8 * offset & MASK(8 * size - 1, 0);
}

static void pm_write_control(struct acpi_pm *pm, uint16_t value)
{
	unsigned type = (value & PM1_SLP_TYP) >> PM1_SLP_TYP_SHIFT;

	pm->control = (value & PM1_CONTROL_KEPT) | PM1_SCI_EN;
	/* Other sleep states are not offered in the DSDT, so there is nothing to do for them. */
	if ((value & PM1_SLP_EN) && type == ACPI_SLP_TYP_S5)
		vm_poweroff(pm->vm);
}

static void pm1_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
		      uint64_t value)
{
	struct acpi_pm *pm = container_of(r, struct acpi_pm, pm1);
	uint64_t written = MASK(8 * size - 1, 0) << 8 * offset;
	uint16_t mask;

	value = value << 8 * offset & written;
	account_carry(pm);
	pm->status &= ~(uint16_t)(value >> STATUS_SHIFT);
	mask = (uint16_t)(written >> ENABLE_SHIFT);
	pm->enable = ((pm->enable & ~mask) | (uint16_t)(value >> ENABLE_SHIFT)) & PM1_ENABLE_BITS;
	mask = (uint16_t)(written >> CONTROL_SHIFT);
	if (mask)
		pm_write_control(pm, (pm->control & ~mask) | (uint16_t)(value >> CONTROL_SHIFT));
	pm_update(pm);
}

static uint64_t tick_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	struct acpi_pm *pm = container_of(r, struct acpi_pm, tick);

	return (ticks(pm) & 0xffffffff) >> 8 * offset & MASK(8 * size - 1, 0);
}

static void tick_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
		       uint64_t value)
{
}

static const struct io_ops pm1_ops = {.read = pm1_read, .write = pm1_write};
static const struct io_ops tick_ops = {.read = tick_read, .write = tick_write};

status_t acpi_pm_init(struct acpi_pm *pm, struct io_bus *bus, struct board *board, struct vm *vm)
{
	status_t status;

	pm->vm = vm;
	pm->board = board;
	timer_init(&pm->timer, carry);
	pm->pm1 = (struct io_region){
		.ops = &pm1_ops,
		.name = "acpi",
		.base = ACPI_PM1_EVENT,
		.len = 6,
		.widths = IO_8 | IO_16 | IO_32,
	};
	pm->tick = (struct io_region){
		.ops = &tick_ops,
		.name = "pmtimer",
		.base = ACPI_PM_TIMER,
		.len = 4,
		.widths = IO_8 | IO_16 | IO_32,
	};
	status = io_add_ports(bus, &pm->pm1);
	return status ? status : io_add_ports(bus, &pm->tick);
}

void acpi_pm_reset(struct acpi_pm *pm)
{
	timer_cancel(&pm->timer);
	pm->status = 0;
	pm->enable = 0;
	pm->control = PM1_SCI_EN;
	pm->irq = false;
	pm->carries = ticks(pm) >> TIMER_TOP_BIT;
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
	pm->status |= PM1_PWRBTN;
	pm_update(pm);
}
