/* SPDX-License-Identifier: BSD-2-Clause */
/* The pair of 8259A interrupt controllers: priorities, acknowledge cycle, command words. */
#include "socle/platform/pic.h"
#include "socle/platform/irq.h"

enum { MASTER, SLAVE };

/* Fields of the command words, named as in the 8259A data sheet. */
enum pic_command {
	ICW1_SELECT = BIT(4),
	ICW1_SNGL = BIT(1),
	ICW1_IC4 = BIT(0),
	ICW2_BASE = 0xf8,
	ICW4_SFNM = BIT(4),
	ICW4_AEOI = BIT(1),
	OCW2_ROTATE = BIT(7),
	OCW2_SPECIFIC = BIT(6),
	OCW2_EOI = BIT(5),
	OCW2_LEVEL = 7,
	OCW3_SELECT = BIT(3),
	OCW3_ESMM = BIT(6),
	OCW3_SMM = BIT(5),
	OCW3_POLL = BIT(2),
	OCW3_RR = BIT(1),
	OCW3_RIS = BIT(0),
	POLL_REQUEST = BIT(7),
	SPURIOUS = 7,
};

/* Inputs that ELCR may switch: not the timer, keyboard, cascade, clock and coprocessor. */
static const uint8_t elcr_mask[2] = {0xf8, 0xde};

static int highest(const struct pic *pic, unsigned n);

/* The interrupt request register: latched edges, level inputs, and the slave's output. */
static uint8_t requests(const struct pic *pic, unsigned n)
{
	const struct pic_chip *chip = &pic->chip[n];
	uint8_t irr = (chip->irr & ~chip->elcr) | (chip->lines & chip->elcr);

	if (n == MASTER) {
		irr &= ~BIT(IRQ_CASCADE);
		if (highest(pic, SLAVE) >= 0)
			irr |= BIT(IRQ_CASCADE);
	}
	return irr;
}

/* The input that may interrupt now, or -1: the highest request above all that is in service. */
static int highest(const struct pic *pic, unsigned n)
{
	const struct pic_chip *chip = &pic->chip[n];
	uint8_t request, serving = chip->isr;

	/* With all masked, as under an operating system that uses the I/O APIC, that is quick. */
	if (chip->imr == 0xff)
		return -1;
	request = requests(pic, n) & ~chip->imr;
	if (!request)
		return -1;
	if (chip->special_mask)
		serving &= ~chip->imr;
	if (chip->nested && n == MASTER)
		serving &= ~BIT(IRQ_CASCADE);
	for (unsigned i = 1; i <= 8; i++) {
		unsigned irq = (chip->lowest + i) & 7;

		if (serving & BIT(irq))
			return -1;
		if (request & BIT(irq))
			return (int)irq;
	}
	return -1;
}

bool pic_pending(const struct pic *pic)
{
	return __atomic_load_n(&pic->intr, __ATOMIC_RELAXED);
}

static void set_intr(struct pic *pic, bool intr)
{
	__atomic_store_n(&pic->intr, intr, __ATOMIC_RELAXED);
}

static __noinline void update_output(struct pic *pic)
{
	bool intr = highest(pic, MASTER) >= 0;

	if (intr != pic->intr) {
		set_intr(pic, intr);
		pic->output(pic);
	}
}

static inline void pic_update(struct pic *pic)
{
	/* The most frequent case: all is masked, and was. */
	if (pic->chip[MASTER].imr != 0xff || pic->intr)
		update_output(pic);
}

void pic_set_line(struct pic *pic, unsigned irq, bool level)
{
	struct pic_chip *chip = &pic->chip[irq >= 8 ? SLAVE : MASTER];
	uint8_t bit = (uint8_t)BIT(irq & 7);

	if (irq >= IRQ_ISA_LINES || irq == IRQ_CASCADE || !!(chip->lines & bit) == level)
		return;
	chip->lines ^= bit;
	/* An edge stays latched even if the input falls again before it is acknowledged. */
	if (level)
		chip->irr |= bit;
	pic_update(pic);
}

/* Takes the highest request of one chip into service, IR7 standing in for one that went away. */
static unsigned acknowledge(struct pic *pic, unsigned n)
{
	struct pic_chip *chip = &pic->chip[n];
	int irq = highest(pic, n);

	if (irq < 0)
		return SPURIOUS;
	chip->irr &= ~BIT(irq);
	if (!chip->auto_eoi)
		chip->isr |= BIT(irq);
	else if (chip->rotate_auto)
		chip->lowest = (uint8_t)irq;
	return (unsigned)irq;
}

uint8_t pic_acknowledge(struct pic *pic)
{
	/* The slave's request goes away when it is acknowledged: the master comes first. */
	unsigned irq = acknowledge(pic, MASTER);
	uint8_t vector = (uint8_t)(pic->chip[MASTER].base + irq);

	if (irq == IRQ_CASCADE)
		vector = (uint8_t)(pic->chip[SLAVE].base + acknowledge(pic, SLAVE));
	set_intr(pic, false); /* INT falls with the acknowledge, and rises again for the next */
	pic_update(pic);
	return vector;
}

void pic_take_back(struct pic *pic, uint8_t vector)
{
	unsigned n = (vector & ICW2_BASE) == pic->chip[MASTER].base ? MASTER : SLAVE;
	struct pic_chip *chip = &pic->chip[n];
	uint8_t bit = (uint8_t)BIT(vector & 7);

	if ((vector & ICW2_BASE) != chip->base)
		return;
	/* In service, or ended by the acknowledge itself; a spurious one is neither. */
	if ((chip->isr & bit) || chip->auto_eoi)
		chip->irr |= bit & ~chip->elcr;
	chip->isr &= ~bit;
	if (n == SLAVE && !chip->isr)
		pic->chip[MASTER].isr &= ~BIT(IRQ_CASCADE);
	pic_update(pic);
}

static void write_icw1(struct pic_chip *chip, uint8_t value)
{
	chip->icw = 2;
	chip->icw4 = value & ICW1_IC4;
	chip->single = value & ICW1_SNGL;
	chip->irr = 0;
	chip->isr = 0;
	chip->imr = 0;
	chip->lowest = 7;
	chip->special_mask = false;
	chip->read_isr = false;
	chip->poll = false;
	chip->rotate_auto = false;
	chip->auto_eoi = false;
	chip->nested = false;
}

/* Ends the interrupt in service with the highest priority; returns it, or -1 if there is none. */
static int end_highest(struct pic_chip *chip)
{
	uint8_t serving = chip->isr;

	/* Data sheet, "end of interrupt": what the special mask hides is not ended. */
	if (chip->special_mask)
		serving &= ~chip->imr;
	for (unsigned i = 1; i <= 8; i++) {
		unsigned irq = (chip->lowest + i) & 7;

		if (serving & BIT(irq)) {
			chip->isr &= ~BIT(irq);
			return (int)irq;
		}
	}
	return -1;
}

static void write_ocw2(struct pic_chip *chip, uint8_t value)
{
	uint8_t irq = value & OCW2_LEVEL;
	int ended;

	switch (value & (OCW2_ROTATE | OCW2_SPECIFIC | OCW2_EOI)) {
	case 0:
		chip->rotate_auto = false;
		break;
	case OCW2_ROTATE:
		chip->rotate_auto = true;
		break;
	case OCW2_EOI:
		end_highest(chip);
		break;
	case OCW2_ROTATE | OCW2_EOI:
		ended = end_highest(chip);
		if (ended >= 0)
			chip->lowest = (uint8_t)ended;
		break;
	case OCW2_SPECIFIC | OCW2_EOI:
		chip->isr &= ~BIT(irq);
		break;
	case OCW2_ROTATE | OCW2_SPECIFIC | OCW2_EOI:
		chip->isr &= ~BIT(irq);
		chip->lowest = irq;
		break;
	case OCW2_ROTATE | OCW2_SPECIFIC:
		chip->lowest = irq;
		break;
	}
}

static void write_ocw3(struct pic_chip *chip, uint8_t value)
{
	if (value & OCW3_POLL)
		chip->poll = true;
	if (value & OCW3_RR)
		chip->read_isr = value & OCW3_RIS;
	if (value & OCW3_ESMM)
		chip->special_mask = value & OCW3_SMM;
}

/* The second port during an initialization: what that expects next. */
static void write_data(struct pic_chip *chip, uint8_t value)
{
	switch (chip->icw) {
	case 2:
		chip->base = value & ICW2_BASE;
		chip->icw = !chip->single ? 3 : chip->icw4 ? 4 : 0;
		break;
	case 3: /* which input cascades is a matter of wiring */
		chip->icw = chip->icw4 ? 4 : 0;
		break;
	case 4:
		chip->nested = value & ICW4_SFNM;
		chip->auto_eoi = value & ICW4_AEOI;
		chip->icw = 0;
		break;
	}
}

static __noinline void write_command(struct pic_chip *chip, uint32_t offset, uint8_t value)
{
	if (offset == 1)
		write_data(chip, value);
	else if (value & ICW1_SELECT)
		write_icw1(chip, value);
	else if (value & OCW3_SELECT)
		write_ocw3(chip, value);
	else
		write_ocw2(chip, value);
}

static void chip_write(struct pic *pic, unsigned n, uint32_t offset, uint8_t value)
{
	struct pic_chip *chip = &pic->chip[n];

	if (likely(offset == 1 && !chip->icw))
		chip->imr = value;
	else
		write_command(chip, offset, value);
	pic_update(pic);
}

static uint8_t chip_read(struct pic *pic, unsigned n, uint32_t offset)
{
	struct pic_chip *chip = &pic->chip[n];
	uint8_t value = 0;

	if (chip->poll) {
		chip->poll = false;
		if (highest(pic, n) >= 0)
			value = (uint8_t)(POLL_REQUEST | acknowledge(pic, n));
		pic_update(pic);
		return value;
	}
	if (offset == 1)
		return chip->imr;
	return chip->read_isr ? chip->isr : requests(pic, n);
}

static uint64_t master_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	return chip_read(container_of(r, struct pic, master), MASTER, offset);
}

static void master_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
			 uint64_t value)
{
	chip_write(container_of(r, struct pic, master), MASTER, offset, (uint8_t)value);
}

static uint64_t slave_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	return chip_read(container_of(r, struct pic, slave), SLAVE, offset);
}

static void slave_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
			uint64_t value)
{
	chip_write(container_of(r, struct pic, slave), SLAVE, offset, (uint8_t)value);
}

static uint64_t elcr_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	return container_of(r, struct pic, elcr)->chip[offset & 1].elcr;
}

static void elcr_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
		       uint64_t value)
{
	struct pic *pic = container_of(r, struct pic, elcr);
	struct pic_chip *chip = &pic->chip[offset & 1];

	chip->elcr = (uint8_t)value & elcr_mask[offset & 1];
	chip->irr &= ~chip->elcr;
	pic_update(pic);
}

static const struct io_ops master_ops = {.read = master_read, .write = master_write};
static const struct io_ops slave_ops = {.read = slave_read, .write = slave_write};
static const struct io_ops elcr_ops = {.read = elcr_read, .write = elcr_write};

status_t pic_init(struct pic *pic, struct io_bus *bus, void (*output)(struct pic *pic))
{
	status_t status;

	pic->output = output;
	pic->master = (struct io_region){
		.ops = &master_ops, .name = "pic", .base = 0x20, .len = 2, .widths = IO_8};
	pic->slave = (struct io_region){
		.ops = &slave_ops, .name = "pic2", .base = 0xa0, .len = 2, .widths = IO_8};
	pic->elcr = (struct io_region){
		.ops = &elcr_ops, .name = "elcr", .base = 0x4d0, .len = 2, .widths = IO_8};
	status = io_add_ports(bus, &pic->master);
	if (!status)
		status = io_add_ports(bus, &pic->slave);
	if (!status)
		status = io_add_ports(bus, &pic->elcr);
	return status;
}

void pic_reset(struct pic *pic)
{
	for (unsigned n = 0; n < ARRAY_SIZE(pic->chip); n++)
		pic->chip[n] = (struct pic_chip){.imr = 0xff, .lowest = 7};
	set_intr(pic, false);
}
