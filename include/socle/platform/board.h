/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's board: all the chips of its machine except the CPUs' local APICs. */
#ifndef SOCLE_PLATFORM_BOARD_H
#define SOCLE_PLATFORM_BOARD_H

#include "socle/base.h"
#include "socle/status.h"
#include "socle/kernel/vm.h"
#include "socle/platform/acpi_pm.h"
#include "socle/platform/ioapic.h"
#include "socle/platform/pci.h"
#include "socle/platform/pic.h"
#include "socle/platform/pit.h"
#include "socle/platform/reset.h"
#include "socle/platform/rtc.h"
#include "socle/platform/uart.h"

/* Guest-physical addresses with fixed meaning. RAM above the hole goes on at 4 GiB. */
#define BOARD_LOW_RAM_END 0xc0000000ull /* RAM below 4 GiB ends here; PCI's window begins */
#define BOARD_PCI_END	  PCI_ECAM	/* end of PCI's window */
#define BOARD_HIGH_RAM	  0x100000000ull

/*
 * Guarded by vm.chips: the bus takes it around a guest's accesses, board_timer_begin() in a chip's
 * timer, and whoever else calls a function of a chip has taken it.
 */
struct board {
	struct vm *vm;		    /* whose board it is */
	struct pic pic;		    /* interrupt controllers of the PC */
	struct ioapic ioapic;	    /* and of its successors */
	struct pit pit;		    /* interval timer */
	struct rtc rtc;		    /* clock and CMOS memory */
	struct uart uart;	    /* first serial port */
	struct acpi_pm acpi_pm;	    /* events, sleep, timer */
	struct reset reset;	    /* reset and debug-exit ports */
	struct pci pci;		    /* configuration ports and host bridge */
	struct vcpu *acknowledging; /* takes the PIC's vector right now; NULL: none */
	uint32_t lowest_turn;	    /* local APIC that goes first among equals; atomic, no lock */
};

/*
 * Creates @vm's board from vm->settings and adds its regions to vm->io, which must be empty of
 * them; sets vm->board. Returns -S_NOMEM, or the bus's error, logged, with nothing kept but
 * regions on the bus: then the bus is of no more use. The chips are in their power-on state.
 */
status_t __must_check board_create(struct vm *vm);

/* All chips to their power-on state, no timer armed. Before each start of the VM; takes vm.chips.
 */
void board_reset(struct vm *vm);

/*
 * Disarms the timers and frees the board. Nobody may use the VM's bus any more, and none of its
 * timers be firing on another CPU.
 */
void board_destroy(struct vm *vm);

/*
 * At the beginning of a chip's @timer's fire(): takes vm.chips, for board_timer_end() to give back.
 * False, and it is given back already, if the timer was set anew or cancelled meanwhile.
 */
static inline bool board_timer_begin(struct board *board, struct timer *timer)
{
	spin_lock(&board->vm->chips);
	if (timer_claim(timer))
		return true;
	spin_unlock(&board->vm->chips);
	return false;
}

static inline void board_timer_end(struct board *board)
{
	spin_unlock(&board->vm->chips);
}

#endif
