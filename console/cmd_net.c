/* SPDX-License-Identifier: BSD-2-Clause */
/* The command that shows the networks. */
#include "shell.h"
#include "socle/drivers/net.h"

static void net_command(const struct command_call *call)
{
	net_print(call->out);
}
CONSOLE_COMMAND(net, .name = "net", .args = "", .run = net_command,
		.help = "show networks, their ports and addresses, and what was sent");
