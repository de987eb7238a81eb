/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver of the 82540EM, on a model of the chip that watches the rules, and breaks them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>

#include "nic_mock.h"
#include "socle/cpu/mmio.h"

static uint32_t chip_read(const volatile void *at);
static void chip_write(volatile void *at, uint32_t value);
#define mmio_read32  chip_read
#define mmio_write32 chip_write
#include "../../lib/format.c"
#include "../../drivers/nic.c"
#include "../../drivers/e1000.c"

static struct {
	uint32_t regs[REGISTERS / 4];
	uint64_t bar_size;
	uint8_t eeprom[6];
	bool no_eeprom, stuck_reset, gone, babbles;
	bool lazy;		/* sends only when told to, by chip_send() */
	unsigned resets, sent, missed, doorbells;
	struct tx_descriptor shadow[RING]; /* as they were when the chip saw them last */
} chip;

static const uint8_t ADDRESS[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

static uint32_t *reg(unsigned r)
{
	return &chip.regs[r / 4];
}

static void chip_reset(void)
{
	memset(chip.regs, 0, sizeof(chip.regs));
	*reg(STATUS) = STATUS_LU;
	*reg(IMC) = 0xdead; /* nothing is masked */
	memcpy(reg(RAL0), ADDRESS, 6);
	*reg(RAH0) |= (uint32_t)RAH_AV;
	if (!memcmp(chip.eeprom, ADDRESS, 6))
		*reg(RAL0) = *reg(RAH0) = 0;
	chip.resets++;
}

/* Sends at most @most of what is queued. */
static void chip_send(unsigned most)
{
	struct tx_descriptor *ring = dma(*reg(TDBAL), RING * sizeof(*ring));

	assert_true(mastered && (*reg(TCTL) & TCTL_EN));
	for (; most && *reg(TDH) != *reg(TDT); most--) {
		uint32_t i = *reg(TDH);
		struct tx_descriptor *d = &ring[i];

		assert_memory_equal(d, &chip.shadow[i], sizeof(*d));
		assert_int_equal(d->command & (TX_EOP | TX_IFCS), TX_EOP | TX_IFCS);
		assert_int_equal(d->address % NIC_BUFFER, 0);
		frame_check(chip.sent++, dma(d->address, d->length), d->length);
		*reg(TDH) = (i + 1) % RING;
		if (!(d->command & TX_RS))
			continue;
		/* The driver is not about to write to the line that we write to. */
		assert_true((*reg(TDT) - (i - i % LINE)) % RING >= LINE);
		d->status = TX_DD;
		chip.shadow[i] = *d;
	}
}

/* Only places from the old tail to the new one may have changed. */
static void chip_new_tail(uint32_t tail)
{
	struct tx_descriptor *ring = dma(*reg(TDBAL), RING * sizeof(*ring));

	assert_true(tail < RING);
	for (uint32_t i = 0; i < RING; i++) {
		bool fresh = (i - *reg(TDT)) % RING < (tail - *reg(TDT)) % RING;

		if (!fresh)
			assert_memory_equal(&ring[i], &chip.shadow[i], sizeof(*ring));
		chip.shadow[i] = ring[i];
	}
	*reg(TDT) = tail;
	chip.doorbells++;
	if (!chip.lazy)
		chip_send(RING);
}

/* Descriptors come in whole lines, empty, with the place's own buffer. */
static void chip_new_rx_tail(uint32_t tail)
{
	struct rx_descriptor *ring = dma(*reg(RDBAL), RING * sizeof(*ring));

	assert_true(tail < RING && tail % LINE == 0);
	for (uint32_t i = *reg(RDT); i != tail; i = (i + 1) % RING) {
		if (chip.babbles)
			continue;
		assert_int_equal(ring[i].status, 0);
		assert_int_equal(ring[i].address % NIC_BUFFER, 0);
		dma(ring[i].address, NIC_BUFFER);
	}
	*reg(RDT) = tail;
}

/* Something comes over the line: what the descriptor says of it, true or not. False: no room. */
static bool chip_receive(const void *data, uint32_t real, uint16_t len, uint8_t status,
			 uint8_t errors)
{
	uint32_t i = *reg(RDH);
	struct rx_descriptor *d;

	if (!(*reg(RCTL) & RCTL_EN) || i == *reg(RDT)) {
		chip.missed++;
		return false;
	}
	assert_true(mastered);
	d = (struct rx_descriptor *)dma(*reg(RDBAL), RING * sizeof(*d)) + i;
	memcpy(dma(d->address, NIC_BUFFER), data, real);
	d->length = len;
	d->errors = errors;
	d->status = status;
	*reg(RDH) = (i + 1) % RING;
	return true;
}

static bool receive_frame(unsigned n)
{
	uint8_t data[NIC_FRAME_MAX];
	uint32_t len = frame_make(n, data);

	return chip_receive(data, len, (uint16_t)len, RX_DD | RX_EOP, 0);
}

static uint32_t chip_read(const volatile void *at)
{
	unsigned r = (unsigned)((uintptr_t)at - (uintptr_t)chip.regs);

	assert_true(r < REGISTERS && r % 4 == 0);
	if (chip.gone)
		return UINT32_MAX;
	if (r == CTRL && (*reg(CTRL) & CTRL_RST) && !chip.stuck_reset)
		chip_reset();
	return *reg(r);
}

static void chip_write(volatile void *at, uint32_t value)
{
	unsigned r = (unsigned)((uintptr_t)at - (uintptr_t)chip.regs);

	assert_true(r < REGISTERS && r % 4 == 0);
	if (chip.gone)
		return;
	switch (r) {
	case TDT:
		if (*reg(TCTL) & TCTL_EN)
			chip_new_tail(value);
		break;
	case RDT:
		chip_new_rx_tail(value);
		break;
	case EERD:
		if (!chip.no_eeprom)
			memcpy((char *)reg(EERD) + 2, chip.eeprom + 2 * (value >> 8 & 0xff), 2);
		*reg(EERD) |= chip.no_eeprom ? 0 : EERD_DONE;
		break;
	case STATUS:
		fail();
		break;
	default:
		*reg(r) = value;
	}
}

volatile uint8_t *host_pci_map(struct host_pci *fn __unused, unsigned index, uint64_t *size)
{
	assert_int_equal(index, 0);
	*size = chip.bar_size;
	return chip.bar_size ? (volatile uint8_t *)chip.regs : NULL;
}

static int setup(void **state __unused)
{
	mock_reset();
	memset(&chip, 0, sizeof(chip));
	chip.bar_size = REGISTERS;
	chip_reset();
	chip.resets = 0;
	count = 0;
	return 0;
}

/* A card that is open. */
static struct nic *opened(void)
{
	struct nic *nic;

	assert_true(probe(&function));
	nic = nic_find("eth0");
	assert_non_null(nic);
	assert_int_equal(nic_open(nic, &test_sink), 0);
	logged = 0;
	return nic;
}

static void finds(void **state __unused)
{
	struct nic *nic;

	assert_true(probe(&function));
	assert_int_equal(chip.resets, 1);
	assert_int_equal(*reg(IMC), UINT32_MAX);
	assert_int_equal(*reg(RCTL) | *reg(TCTL), 0); /* nobody uses it yet */
	nic = nic_next(NULL);
	assert_ptr_equal(nic, nic_find("eth0"));
	assert_null(nic_next(nic));
	assert_null(nic_find("eth1"));
	assert_memory_equal(state_of(nic).mac, ADDRESS, 6);
	assert_string_equal(logged_text, "eth0: e1000 at 00:00.0, address 52:54:00:12:34:56");
	assert_true(mastered);
}

static void address_of_the_eeprom(void **state __unused)
{
	memcpy(chip.eeprom, ADDRESS, 6);
	assert_true(probe(&function));
	assert_memory_equal(state_of(nic_find("eth0")).mac, ADDRESS, 6);
}

/* What cannot be driven is left alone, without bus mastering, and costs no memory. */
static void refuses(void **state)
{
	for (unsigned i = 0; i < 11; i++) {
		setup(state);
		chip.bar_size = i == 0 ? 0 : i == 1 ? REGISTERS / 2 : REGISTERS;
		chip.stuck_reset = i == 2;
		chip.gone = i == 3;
		memcpy(chip.eeprom, ADDRESS, i == 4 ? 6 : 0);
		chip.no_eeprom = i == 4;
		count = i == 5 ? NIC_MAX : 0;
		if (i >= 6)
			memory_left = i - 6;
		assert_false(probe(&function));
		assert_false(mastered);
		assert_int_equal(memory_held, 0);
		assert_int_equal(logged, 1);
	}
}

static void opens(void **state __unused)
{
	struct nic *nic = opened();

	assert_int_equal(nic_open(nic, &test_sink), -S_BUSY);
	assert_int_equal(*reg(RCTL), 0x400801a);
	assert_int_equal(*reg(TCTL), 0x400fa);
	assert_int_equal(*reg(TIPG), 0x60200a);
	assert_int_equal(*reg(RDLEN), PAGE_SIZE);
	assert_int_equal(*reg(RDT), RING - LINE);
	assert_true(*reg(CTRL) & CTRL_SLU);
	assert_int_equal(*reg(IMC), UINT32_MAX);
}

static void sends(void **state __unused)
{
	struct nic *nic = opened();

	for (unsigned n = 0; n < 5 * RING; n++)
		assert_true(send_frame(nic, n, false));
	assert_int_equal(chip.sent, 5 * RING);
	assert_int_equal(chip.doorbells, 5 * RING);
	assert_int_equal(state_of(nic).counts.sent, 5 * RING);
	assert_int_equal(state_of(nic).counts.full, 0);
}

/* The chip is told once for many; and nothing that was taken back is sent. */
static void sends_batches(void **state __unused)
{
	struct nic *nic = opened();

	for (unsigned n = 0; n < 10; n++)
		assert_true(send_frame(nic, n, true));
	assert_non_null(nic_send_begin(nic));
	nic_send(nic, 0, true);
	assert_int_equal(chip.doorbells, 0);
	nic_send_flush(nic);
	nic_send_flush(nic);
	assert_int_equal(chip.doorbells, 1);
	assert_int_equal(chip.sent, 10);
}

/* A chip that takes its time, always another one: each frame is sent once, in order, or refused. */
static void sends_slowly(void **state __unused)
{
	struct nic *nic = opened();
	unsigned n = 0, full = 0;

	chip.lazy = true;
	srandom(1);
	for (unsigned i = 0; i < 20000; i++) {
		if (random() % 2)
			chip_send((unsigned)random() % 3);
		else if (send_frame(nic, n, random() % 4))
			n++;
		else
			full++;
	}
	nic_send_flush(nic);
	for (unsigned i = 0; i < 2 * RING; i++)
		chip_send(1);
	assert_int_equal(chip.sent, n);
	assert_true(n > 8 * RING);
	assert_int_equal(state_of(nic).counts.full, full);
}

static void gets_stuck(void **state __unused)
{
	struct nic *nic = opened();
	unsigned n = 0;

	nic_poll(nic, 0);
	logged = 0;
	chip.lazy = true;
	while (n < 2 * RING && send_frame(nic, n, false))
		n++;
	assert_int_equal(n, RING - 1);
	for (unsigned s = 1; s < 10; s++) {
		assert_false(send_frame(nic, n, false));
		assert_int_equal(nic_poll(nic, s * LOOK_EVERY), NIC_IDLE);
		assert_int_equal(logged, s >= 2);
	}
	assert_int_equal(state_of(nic).counts.full, 10);
	assert_false(state_of(nic).dead);
	/* It comes back. */
	chip_send(RING);
	assert_true(send_frame(nic, n, false));
	chip_send(RING);
	assert_int_equal(chip.sent, n + 1);
}

static void receives(void **state __unused)
{
	struct nic *nic = opened();
	unsigned n = 0;

	srandom(2);
	for (unsigned i = 0; i < 2000; i++) {
		unsigned before = taken;
		bool idle;

		for (unsigned k = (unsigned)random() % 100; k; k--)
			n += receive_frame(n);
		idle = nic_poll(nic, 0) == NIC_IDLE;
		assert_int_equal(idle, taken == before);
	}
	while (nic_poll(nic, 0) != NIC_IDLE)
		;
	assert_int_equal(taken, n);
	assert_true(n > 20 * RING);
	assert_int_equal(state_of(nic).counts.received, n);
	assert_int_equal(state_of(nic).counts.damaged, 0);
}

/* A turn is bounded, and the chip has room for all but four of the ring. */
static void receives_many(void **state __unused)
{
	struct nic *nic = opened();
	unsigned n = 0;

	while (receive_frame(n))
		n++;
	assert_int_equal(n, RING - LINE);
	assert_int_equal(nic_poll(nic, 0), NIC_MORE);
	assert_int_equal(taken, NIC_POLL_MAX);
	assert_int_equal(nic_poll(nic, 0), NIC_MORE);
	assert_int_equal(nic_poll(nic, 0), NIC_MORE);
	assert_int_equal(nic_poll(nic, 0), NIC_BUSY);
	assert_int_equal(nic_poll(nic, 0), NIC_IDLE);
	assert_int_equal(taken, n);
	assert_false(nic_wait(nic)); /* it has no interrupt */
}

/* What the chip says is not believed. */
static void damaged(void **state __unused)
{
	static const struct {
		uint16_t len;
		uint8_t status, errors;
	} bad[] = {
		{100, RX_DD | RX_EOP, 1},     {100, RX_DD | RX_EOP, 2},
		{100, RX_DD | RX_EOP, 4},     {100, RX_DD | RX_EOP, 0x10},
		{100, RX_DD | RX_EOP, 0x80},  {0, RX_DD | RX_EOP, 0},
		{13, RX_DD | RX_EOP, 0},      {1519, RX_DD | RX_EOP, 0},
		{2049, RX_DD | RX_EOP, 0},    {UINT16_MAX, RX_DD | RX_EOP, 0},
	};
	struct nic *nic = opened();
	uint8_t data[NIC_BUFFER] = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_true(
			chip_receive(data, sizeof(data), bad[i].len, bad[i].status, bad[i].errors));
		nic_poll(nic, 0);
		assert_int_equal(taken, 0);
		assert_int_equal(state_of(nic).counts.damaged, i + 1);
	}
	/* One in three pieces counts once; the next is whole. */
	for (unsigned i = 0; i < 3; i++)
		chip_receive(data, sizeof(data), 100, i < 2 ? RX_DD : RX_DD | RX_EOP, 0);
	receive_frame(0);
	nic_poll(nic, 0);
	assert_int_equal(taken, 1);
	assert_int_equal(state_of(nic).counts.damaged, ARRAY_SIZE(bad) + 1);
	assert_false(state_of(nic).dead);
}

/* It writes to all descriptors, always: turns stay bounded, and nothing leaves its buffer. */
static void babbles(void **state __unused)
{
	struct nic *nic = opened();

	chip.babbles = true;
	for (unsigned i = 0; i < 100; i++) {
		memset(dma(*reg(RDBAL), PAGE_SIZE), 0xff, PAGE_SIZE);
		assert_int_equal(nic_poll(nic, 0), NIC_MORE);
	}
	assert_int_equal(taken, 0);
}

static void disappears(void **state __unused)
{
	struct nic *nic = opened();

	nic_poll(nic, 0);
	assert_true(state_of(nic).link);
	logged = 0;
	chip.gone = true;
	for (unsigned s = 1; s < 5; s++) {
		assert_int_equal(nic_poll(nic, s * LOOK_EVERY), NIC_IDLE);
		assert_int_equal(logged, 1);
	}
	assert_true(state_of(nic).dead);
	assert_false(state_of(nic).link);
	assert_false(send_frame(nic, 0, false));
	assert_int_equal(state_of(nic).counts.full, 1);
	nic_send_flush(nic);
	assert_true(nic_wait(nic)); /* not to be polled */
	assert_int_equal(logged, 1);
}

static void link_changes(void **state __unused)
{
	struct nic *nic = opened();

	for (unsigned s = 0; s < 6; s++) {
		*reg(STATUS) = s & 2 ? 0 : STATUS_LU;
		nic_poll(nic, s * LOOK_EVERY);
		assert_int_equal(state_of(nic).link, !(s & 2));
		assert_int_equal(logged, s / 2 + 1);
		/* In between it is not looked at. */
		*reg(STATUS) ^= STATUS_LU;
		nic_poll(nic, s * LOOK_EVERY + 1);
		assert_int_equal(logged, s / 2 + 1);
	}
	assert_string_equal(logged_text, "eth0: link up");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(finds, setup),
		cmocka_unit_test_setup(address_of_the_eeprom, setup),
		cmocka_unit_test_setup(refuses, setup),
		cmocka_unit_test_setup(opens, setup),
		cmocka_unit_test_setup(sends, setup),
		cmocka_unit_test_setup(sends_batches, setup),
		cmocka_unit_test_setup(sends_slowly, setup),
		cmocka_unit_test_setup(gets_stuck, setup),
		cmocka_unit_test_setup(receives, setup),
		cmocka_unit_test_setup(receives_many, setup),
		cmocka_unit_test_setup(damaged, setup),
		cmocka_unit_test_setup(babbles, setup),
		cmocka_unit_test_setup(disappears, setup),
		cmocka_unit_test_setup(link_changes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
