/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports that end or restart the guest, and the port that only takes time. */
#include "socle/platform/reset.h"
#include "socle/kernel/vm.h"

enum reset_bit {
	CONTROL_SYS_RST = BIT(1), /* kind of reset: hard */
	CONTROL_RST_CPU = BIT(2), /* writing 1 resets */
	PORT92_RESET = BIT(0),	  /* rising: resets */
	PORT92_A20 = BIT(1),	  /* always on here */
	PORT92_KEPT = 0x08,	  /* the only other bit that reads as written (PIIX) */
	PULSE_RESET = BIT(0),	  /* keyboard controller, commands 0xf0 to 0xff: 0 pulses reset */
};

#define KEYBOARD_PULSE	0xf0 /* commands that pulse output pins */
#define NO_CONTROLLER	0xff /* status of an empty port */
#define DEBUG_EXIT_SIZE 4

uint8_t reset_control_read(const struct reset *reset)
{
	return reset->control;
}

void reset_control_write(struct reset *reset, uint8_t value)
{
	reset->control = value & CONTROL_SYS_RST;
	if (value & CONTROL_RST_CPU)
		vm_reset(reset->vm);
}

/* There is no keyboard: only the line that its controller pulls to reset a PC. */
static uint64_t keyboard_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset,
			      unsigned size)
{
	return NO_CONTROLLER;
}

static void keyboard_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
			   uint64_t value)
{
	if ((value & KEYBOARD_PULSE) == KEYBOARD_PULSE && !(value & PULSE_RESET))
		vm_reset(container_of(r, struct reset, keyboard)->vm);
}

static uint64_t fast_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	return container_of(r, struct reset, fast)->port92;
}

static void fast_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
		       uint64_t value)
{
	struct reset *reset = container_of(r, struct reset, fast);
	bool rising = (value & PORT92_RESET) && !(reset->port92 & PORT92_RESET);

	reset->port92 = (value & (PORT92_KEPT | PORT92_RESET)) | PORT92_A20;
	if (rising)
		vm_reset(reset->vm);
}

static uint64_t delay_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	return UINT64_MAX;
}

static void delay_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
			uint64_t value)
{
}

static uint64_t debug_read(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size)
{
	return 0;
}

static void debug_write(struct io_region *r, struct vcpu *vcpu, uint32_t offset, unsigned size,
			uint64_t value)
{
	vm_debug_exit(container_of(r, struct reset, debug)->vm, (int)(uint32_t)value);
}

static const struct io_ops keyboard_ops = {.read = keyboard_read, .write = keyboard_write};
static const struct io_ops fast_ops = {.read = fast_read, .write = fast_write};
static const struct io_ops delay_ops = {.read = delay_read, .write = delay_write};
static const struct io_ops debug_ops = {.read = debug_read, .write = debug_write};

status_t reset_init(struct reset *reset, struct io_bus *bus, struct vm *vm, uint16_t debug_exit)
{
	status_t status;

	reset->vm = vm;
	reset->keyboard = (struct io_region){
		.ops = &keyboard_ops, .name = "keyboard", .base = 0x64, .len = 1, .widths = IO_8};
	reset->fast = (struct io_region){
		.ops = &fast_ops, .name = "port92", .base = 0x92, .len = 1, .widths = IO_8};
	reset->delay = (struct io_region){
		.ops = &delay_ops, .name = "delay", .base = 0x80, .len = 1, .widths = IO_8};
	status = io_add_ports(bus, &reset->keyboard);
	if (!status)
		status = io_add_ports(bus, &reset->fast);
	if (!status)
		status = io_add_ports(bus, &reset->delay);
	if (status || !debug_exit)
		return status;
	if (debug_exit > UINT16_MAX - DEBUG_EXIT_SIZE + 1)
		return -S_INVAL;
	reset->debug = (struct io_region){
		.ops = &debug_ops,
		.name = "debug-exit",
		.base = debug_exit,
		.len = DEBUG_EXIT_SIZE,
		.widths = IO_8 | IO_16 | IO_32,
	};
	return io_add_ports(bus, &reset->debug);
}

void reset_reset(struct reset *reset)
{
	reset->control = 0;
	reset->port92 = PORT92_A20;
}
