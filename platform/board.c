/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's board: creates, resets and frees its chips. */
#include "socle/platform/board.h"
#include "socle/kernel/log.h"
#include "socle/kernel/vm.h"
#include "socle/mm/frames.h"
#include "socle/platform/irq.h"

static status_t init_chips(struct board *board, struct vm *vm)
{
	struct io_bus *bus = &vm->io;
	status_t status = irq_init(board, bus);

	if (!status)
		status = pit_init(&board->pit, bus, board);
	if (!status)
		status = rtc_init(&board->rtc, bus, board);
	if (!status)
		status = uart_init(&board->uart, bus, board);
	if (!status)
		status = acpi_pm_init(&board->acpi_pm, bus, board, vm);
	if (!status)
		status = pci_init(&board->pci, bus, board, &board->reset);
	/* Last: the port of the debug-exit device is the administrator's choice. */
	if (!status)
		status = reset_init(&board->reset, bus, vm, vm->settings.debug_exit);
	return status;
}

status_t board_create(struct vm *vm)
{
	struct board *board = pages_alloc(sizeof(*board), OWNER_VM_CORE);
	status_t status;

	if (!board)
		return -S_NOMEM;
	board->vm = vm;
	status = init_chips(board, vm);
	if (status) {
		vm_log(vm, LOG_ERROR, "cannot add the board's devices (debug-exit = 0x%x?): %s",
		       vm->settings.debug_exit, status_text(status));
		pages_free(board, sizeof(*board), OWNER_VM_CORE);
		return status;
	}
	vm->board = board;
	board_reset(vm);
	return 0;
}

void board_reset(struct vm *vm)
{
	struct board *board = vm->board;

	pci_reset(&board->pci);
	spin_lock(&vm->chips);
	/* No chip drives a line here: the interrupt controllers see all inputs low. */
	pit_reset(&board->pit);
	rtc_reset(&board->rtc, &vm->settings);
	uart_reset(&board->uart);
	acpi_pm_reset(&board->acpi_pm);
	reset_reset(&board->reset);
	pic_reset(&board->pic);
	ioapic_reset(&board->ioapic);
	spin_unlock(&vm->chips);
}

void board_destroy(struct vm *vm)
{
	struct board *board = vm->board;

	if (!board)
		return;
	board_reset(vm);
	vm->board = NULL;
	pages_free(board, sizeof(*board), OWNER_VM_CORE);
}
