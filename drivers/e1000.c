/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intel's 82540EM gigabit controller ("e1000"), by its legacy descriptors. Sections are those of
 * the manual of the family: PCI/PCI-X Family of Gigabit Ethernet Controllers (317453).
 *
 * The chip has no MSI that works everywhere, so it is polled, with all of its interrupts masked.
 *
 * Four descriptors share a cache line, and the chip writes to them. Lines change hands as a whole:
 * received ones go back four at a time, and of those that are sent only the last of a line asks for
 * a report, when we are done with that line. So neither side writes to a line that the other has.
 */
#include "nic_driver.h"
#include "socle/cpu/mmio.h"
#include "socle/cpu/regs.h"
#include "socle/cpu/tsc.h"
#include "socle/drivers/pci.h"
#include "socle/format.h"
#include "socle/mm/frames.h"
#include "socle/report.h"
#include "socle/string.h"

/* Registers, by their offsets in BAR 0 (13.4). */
enum e1000_register {
	CTRL = 0x0000, STATUS = 0x0008, EERD = 0x0014, FCAL = 0x0028, FCAH = 0x002c, FCT = 0x0030,
	IMC = 0x00d8, RCTL = 0x0100, FCTTV = 0x0170, TCTL = 0x0400, TIPG = 0x0410,
	RDBAL = 0x2800, RDBAH = 0x2804, RDLEN = 0x2808, RDH = 0x2810, RDT = 0x2818, RDTR = 0x2820,
	RADV = 0x282c,
	TDBAL = 0x3800, TDBAH = 0x3804, TDLEN = 0x3808, TDH = 0x3810, TDT = 0x3818,
	MTA = 0x5200, RAL0 = 0x5400, RAH0 = 0x5404,
	REGISTERS = 0x20000, /* bytes */
};

enum {
	MTA_WORDS = 128,
	CTRL_ASDE = BIT(5), CTRL_SLU = BIT(6), CTRL_RST = BIT(26),
	STATUS_LU = BIT(1),
	EERD_START = BIT(0), EERD_DONE = BIT(4), EERD_ADDRESS = 8, EERD_DATA = 16, /* shifts */
	/* All addresses, without the check sum at the end, 2048 bytes for a buffer. */
	RCTL_EN = BIT(1), RCTL_UPE = BIT(3), RCTL_MPE = BIT(4), RCTL_BAM = BIT(15), RCTL_SECRC = BIT(26),
	/* Padded to 64 bytes; collisions as the manual advises for full duplex (14.5). */
	TCTL_EN = BIT(1), TCTL_PSP = BIT(3), TCTL_CT = 0x0f << 4, TCTL_COLD = 0x40 << 12,
	TIPG_COPPER = 10 | 8 << 10 | 6 << 20,
	RESET_MS = 20,
};
#define RAH_AV BIT(31)

/* Legacy descriptors (3.2.3, 3.3.3). */
struct rx_descriptor {
	uint64_t address;
	uint16_t length; /* the rest is the chip's */
	uint16_t checksum;
	uint8_t status;
	uint8_t errors;
	uint16_t special;
};
struct tx_descriptor {
	uint64_t address;
	uint16_t length;
	uint8_t checksum_offset;
	uint8_t command;
	uint8_t status; /* the chip's, where TX_RS is set */
	uint8_t checksum_start;
	uint16_t special;
};
enum {
	RX_DD = BIT(0), RX_EOP = BIT(1),
	RX_BAD = 0x97, /* errors: check sum, symbol, sequence, carrier, data; not those of IP and TCP */
	TX_EOP = BIT(0), TX_IFCS = BIT(1), TX_RS = BIT(3),
	TX_DD = BIT(0),
	LINE = CACHE_LINE / sizeof(struct rx_descriptor), /* descriptors that share a line */
	RING = PAGE_SIZE / sizeof(struct rx_descriptor),
	BUFFERS = RING * NIC_BUFFER, /* bytes */
};
_Static_assert(sizeof(struct rx_descriptor) == 16 && sizeof(struct tx_descriptor) == 16, "3.2.3");
_Static_assert(RING % LINE == 0 && RING >= 2 * LINE, "the ring is made of whole lines");

struct e1000 {
	struct nic nic;
	volatile uint8_t *registers;
	struct rx_descriptor *rx; /* the boot CPU's, as are the next three */
	uint8_t *rx_buffers;
	uint32_t rx_next;	  /* place that is looked at next */
	bool rx_inside;		  /* in a frame that began in an earlier place */
	struct tx_descriptor *tx; /* nic.lock guards the rest */
	uint8_t *tx_buffers;
	uint32_t tx_next; /* place that is filled next */
	uint32_t tx_done; /* the chip has sent what is before; the beginning of a line */
};

static struct e1000 *e1000(struct nic *nic)
{
	return container_of(nic, struct e1000, nic);
}

static uint32_t get(struct e1000 *e, unsigned reg)
{
	return mmio_read32(e->registers + reg);
}

static void set(struct e1000 *e, unsigned reg, uint32_t value)
{
	mmio_write32(e->registers + reg, value);
}

static void wait_ms(unsigned ms)
{
	uint64_t end = rdtsc() + tsc_hz / 1000 * ms;

	while (rdtsc() < end)
		cpu_pause();
}

/* Waits until register @reg has @bits as @want, for RESET_MS. */
static bool becomes(struct e1000 *e, unsigned reg, uint32_t bits, uint32_t want)
{
	for (unsigned ms = 0; ms < RESET_MS; ms++) {
		if ((get(e, reg) & bits) == want)
			return true;
		wait_ms(1);
	}
	return false;
}

/* Whatever the firmware did with it (14.7); false: it does not come back. */
static bool reset(struct e1000 *e)
{
	set(e, IMC, UINT32_MAX);
	set(e, RCTL, 0);
	set(e, TCTL, 0);
	wait_ms(1); /* a transfer under way ends */
	set(e, CTRL, get(e, CTRL) | CTRL_RST);
	wait_ms(1);
	if (!becomes(e, CTRL, CTRL_RST, 0))
		return false;
	wait_ms(5); /* it reads its EEPROM */
	set(e, IMC, UINT32_MAX);
	return true;
}

/* Word @index of the EEPROM; false: there is none. */
static bool eeprom(struct e1000 *e, unsigned index, uint8_t bytes[2])
{
	uint32_t word;

	set(e, EERD, EERD_START | index << EERD_ADDRESS);
	if (!becomes(e, EERD, EERD_DONE, EERD_DONE))
		return false;
	word = get(e, EERD) >> EERD_DATA;
	bytes[0] = (uint8_t)word;
	bytes[1] = (uint8_t)(word >> 8);
	return true;
}

/* From where the reset put it, or from where it would have come from. */
static bool read_address(struct e1000 *e)
{
	uint8_t *mac = e->nic.mac;
	uint32_t low = get(e, RAL0), high = get(e, RAH0), any = 0;

	if (high & RAH_AV) {
		for (unsigned i = 0; i < NIC_MAC; i++)
			mac[i] = (uint8_t)(i < 4 ? low >> 8 * i : high >> 8 * (i - 4));
	} else {
		for (unsigned i = 0; i < NIC_MAC; i += 2)
			if (!eeprom(e, i / 2, mac + i))
				return false;
	}
	for (unsigned i = 0; i < NIC_MAC; i++)
		any |= mac[i];
	return any && !(mac[0] & 1);
}

/* A place is the chip's from now on, once the tail moves behind it. */
static void empty(struct e1000 *e, uint32_t i)
{
	e->rx[i] = (struct rx_descriptor){.address = virt_to_phys(e->rx_buffers + i * NIC_BUFFER)};
}

static status_t start(struct nic *nic)
{
	struct e1000 *e = e1000(nic);

	for (unsigned i = 0; i < MTA_WORDS; i++)
		set(e, MTA + 4 * i, 0);
	/* No pause frames: who floods us must not stop the others of the line. */
	set(e, FCAL, 0);
	set(e, FCAH, 0);
	set(e, FCT, 0);
	set(e, FCTTV, 0);
	for (uint32_t i = 0; i < RING; i++)
		empty(e, i);
	set(e, RDTR, 0);
	set(e, RADV, 0);
	set(e, RDBAL, (uint32_t)virt_to_phys(e->rx));
	set(e, RDBAH, virt_to_phys(e->rx) >> 32);
	set(e, RDLEN, RING * sizeof(*e->rx));
	set(e, RDH, 0);
	set(e, TDBAL, (uint32_t)virt_to_phys(e->tx));
	set(e, TDBAH, virt_to_phys(e->tx) >> 32);
	set(e, TDLEN, RING * sizeof(*e->tx));
	set(e, TDH, 0);
	set(e, TDT, 0);
	set(e, TIPG, TIPG_COPPER);
	set(e, TCTL, TCTL_EN | TCTL_PSP | TCTL_CT | TCTL_COLD);
	set(e, CTRL, get(e, CTRL) | CTRL_SLU | CTRL_ASDE);
	set(e, RCTL, RCTL_EN | RCTL_UPE | RCTL_MPE | RCTL_BAM | RCTL_SECRC);
	/* All lines but one: full and empty must differ (3.2.6). */
	set(e, RDT, RING - LINE);
	return 0;
}

/* Takes back the lines that the chip is done with. */
static void reap(struct e1000 *e)
{
	while ((e->tx_next - e->tx_done) % RING >= LINE) {
		if (!(READ_ONCE(e->tx[e->tx_done + LINE - 1].status) & TX_DD))
			return;
		e->tx_done = (e->tx_done + LINE) % RING;
	}
}

static uint8_t *tx_buffer(struct nic *nic)
{
	struct e1000 *e = e1000(nic);

	/* The last place stays empty. */
	if ((e->tx_next + 1 - e->tx_done) % RING == 0)
		reap(e);
	if ((e->tx_next + 1 - e->tx_done) % RING == 0)
		return NULL;
	return e->tx_buffers + e->tx_next * NIC_BUFFER;
}

static void tx_queue(struct nic *nic, uint32_t len)
{
	struct e1000 *e = e1000(nic);
	uint32_t i = e->tx_next;

	e->tx[i] = (struct tx_descriptor){
		.address = virt_to_phys(e->tx_buffers + i * NIC_BUFFER),
		.length = (uint16_t)len,
		.command = TX_EOP | TX_IFCS | (i % LINE == LINE - 1 ? TX_RS : 0),
	};
	e->tx_next = (i + 1) % RING;
}

static void tx_kick(struct nic *nic)
{
	struct e1000 *e = e1000(nic);

	set(e, TDT, e->tx_next);
}

/* Looks at one place, of which the chip says that it is done with it. */
static void take(struct e1000 *e, uint32_t i)
{
	const struct rx_descriptor *d = &e->rx[i];
	bool whole = READ_ONCE(d->status) & RX_EOP, first = !e->rx_inside;
	uint32_t len = READ_ONCE(d->length);

	e->rx_inside = !whole;
	/* None that we want is longer than a buffer. */
	if (!first)
		return;
	if (!whole || (READ_ONCE(d->errors) & RX_BAD) || len > NIC_BUFFER)
		nic_receive(&e->nic, NULL, 0);
	else
		nic_receive(&e->nic, e->rx_buffers + i * NIC_BUFFER, len);
}

static unsigned receive(struct nic *nic, unsigned most)
{
	struct e1000 *e = e1000(nic);
	uint32_t tail = RING;
	unsigned n;

	for (n = 0; n < most; n++) {
		uint32_t i = e->rx_next;

		if (!(READ_ONCE(e->rx[i].status) & RX_DD))
			break;
		barrier(); /* the rest was written before; the CPU keeps loads in order */
		take(e, i);
		e->rx_next = (i + 1) % RING;
		if (e->rx_next % LINE)
			continue;
		for (uint32_t k = i + 1 - LINE; k <= i; k++)
			empty(e, k);
		tail = i + 1 - LINE;
	}
	/* The line that was emptied last is the one that stays ours. */
	if (tail != RING)
		set(e, RDT, tail);
	return n;
}

static bool has_link(struct nic *nic)
{
	uint32_t status = get(e1000(nic), STATUS);

	if (status == UINT32_MAX)
		nic_fail(nic, "it is gone");
	return status != UINT32_MAX && (status & STATUS_LU);
}

static bool alloc(struct e1000 *e)
{
	e->rx = pages_alloc(RING * sizeof(*e->rx), OWNER_CORE);
	e->tx = pages_alloc(RING * sizeof(*e->tx), OWNER_CORE);
	e->rx_buffers = pages_alloc(BUFFERS, OWNER_CORE);
	e->tx_buffers = pages_alloc(BUFFERS, OWNER_CORE);
	return e->rx && e->tx && e->rx_buffers && e->tx_buffers;
}

static void release(struct e1000 *e)
{
	pages_free(e->rx, RING * sizeof(*e->rx), OWNER_CORE);
	pages_free(e->tx, RING * sizeof(*e->tx), OWNER_CORE);
	pages_free(e->rx_buffers, BUFFERS, OWNER_CORE);
	pages_free(e->tx_buffers, BUFFERS, OWNER_CORE);
	pages_free(e, sizeof(*e), OWNER_CORE);
}

/* Sets it up as far as nic_open() needs it; what is wrong, or NULL. */
static const char *bring_up(struct e1000 *e, struct host_pci *fn)
{
	uint64_t size;

	e->registers = host_pci_map(fn, 0, &size);
	if (!e->registers || size < REGISTERS)
		return "its registers cannot be mapped";
	if (get(e, STATUS) == UINT32_MAX || !reset(e))
		return "it does not answer to a reset";
	if (!read_address(e))
		return "it has no address";
	return alloc(e) ? NULL : "out of memory";
}

static const struct nic_ops ops = {
	.driver = "e1000",
	.start = start,
	.tx_buffer = tx_buffer,
	.tx_queue = tx_queue,
	.tx_kick = tx_kick,
	.receive = receive,
	.link = has_link,
};

static bool probe(struct host_pci *fn)
{
	struct e1000 *e = pages_alloc(sizeof(*e), OWNER_CORE);
	const char *wrong = e ? bring_up(e, fn) : "out of memory";

	if (!wrong) {
		e->nic.ops = &ops;
		format(e->nic.where, sizeof(e->nic.where), "%02x:%02x.%u", fn->bus, fn->slot,
		       fn->function);
		wrong = nic_add(&e->nic) ? "too many network cards" : NULL;
	}
	if (wrong) {
		log_error("e1000 at %02x:%02x.%u: %s", fn->bus, fn->slot, fn->function, wrong);
		if (e)
			release(e);
		return false;
	}
	host_pci_master(fn, true);
	return true;
}
HOST_PCI_DRIVER(e1000, .name = "e1000", .vendor = 0x8086, .device = 0x100e, .probe = probe);
