/* SPDX-License-Identifier: BSD-2-Clause */
/* Turning the whole machine off, resetting it, or stopping it safely. */
#include "socle/cpu/cpu.h"
#include "socle/cpu/regs.h"
#include "socle/drivers/acpi.h"
#include "socle/kernel/log.h"
#include "socle/kernel/machine.h"
#include "socle/kernel/time.h"

enum {
	KBC_COMMAND = 0x64, KBC_INPUT_FULL = 2, KBC_PULSE_RESET = 0xfe,
	RESET_CONTROL = 0xcf9, RESET_HARD = 0x02, RESET_CPU = 0x04,
	PM1_SLP_TYP_SHIFT = 10, PM1_SLP_EN = 1 << 13,
	SHORT_WAIT = 100000,
};

static uint16_t debug_exit_port;
static void (*flush)(void);

void machine_set_debug_exit(uint16_t port)
{
	debug_exit_port = port;
}

void machine_bind_flush(void (*drain)(void))
{
	flush = drain;
}

static void drain(void)
{
	if (flush)
		flush();
}

void machine_halt(void)
{
	drain();
	for (;;)
		__asm__ volatile("cli; hlt" ::: "memory");
}

void machine_reboot(void)
{
	drain();
	if (acpi_info.has_reset)
		out8(acpi_info.reset_port, acpi_info.reset_value);
	for (unsigned i = 0; i < SHORT_WAIT; i++)
		cpu_pause();
	out8(RESET_CONTROL, RESET_HARD);
	out8(RESET_CONTROL, RESET_HARD | RESET_CPU);
	for (unsigned i = 0; i < SHORT_WAIT && (in8(KBC_COMMAND) & KBC_INPUT_FULL); i++)
		cpu_pause();
	out8(KBC_COMMAND, KBC_PULSE_RESET);
	for (unsigned i = 0; i < SHORT_WAIT; i++)
		cpu_pause();
	cpu_triple_fault();
}

void machine_poweroff(unsigned status)
{
	drain();
	if (debug_exit_port)
		out32(debug_exit_port, status);
	if (acpi_info.has_s5 && acpi_info.pm1a_control) {
		out16(acpi_info.pm1a_control,
		      acpi_info.s5_type_a << PM1_SLP_TYP_SHIFT | PM1_SLP_EN);
		if (acpi_info.pm1b_control)
			out16(acpi_info.pm1b_control,
			      acpi_info.s5_type_b << PM1_SLP_TYP_SHIFT | PM1_SLP_EN);
	}
	/* An emulator or a slow embedded controller takes a while to carry it out. */
	for (uint64_t start = time_now(); time_now() - start < NS_PER_SEC;)
		cpu_pause();
	log_info("power-off is not possible through ACPI here: halted, it is safe to turn it off");
	machine_halt();
}
