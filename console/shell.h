/* SPDX-License-Identifier: BSD-2-Clause */
/* The prompt: edited lines, and the commands that they call. */
#ifndef SOCLE_CONSOLE_SHELL_H
#define SOCLE_CONSOLE_SHELL_H

#include "socle/console/command.h"

struct vm;

/* The guest that the first argument names; NULL after a message. */
struct vm *command_vm(const struct command_call *call);

/* The command after @command by name, the first for NULL; NULL at the end. */
const struct console_command *command_next(const struct console_command *command);

/* Shows the prompt with the line that is being edited, on a line of its own. */
void shell_show(void);

/* Removes it from the screen, so that something else can be printed there. */
void shell_hide(void);

/* True while a command runs: there is no prompt to be hidden. */
bool shell_busy(void);

/*
 * Takes a byte. Returns true if a line ended and the prompt is to be shown again, unless the
 * command put a guest in front.
 */
bool shell_input(uint8_t byte);

#endif
