/* SPDX-License-Identifier: BSD-2-Clause */
/* The command about the machine's network cards. */
#include "socle/console/command.h"
#include "socle/drivers/nic.h"

static void print(const struct nic_state *s, struct format_sink *out)
{
	const struct nic_counts *c = &s->counts;
	const uint8_t *m = s->mac;

	format_sink(out, "%s: %s, %02x:%02x:%02x:%02x:%02x:%02x, %s\n", s->name, s->driver, m[0],
		    m[1], m[2], m[3], m[4], m[5],
		    s->dead    ? "failed"
		    : !s->open ? "not used"
		    : s->link  ? "link up"
			       : "link down");
	if (!s->open)
		return;
	format_sink(out, "  sent     %llu frames, %llu bytes, %llu without room\n",
		    (unsigned long long)c->sent, (unsigned long long)c->sent_bytes,
		    (unsigned long long)c->full);
	format_sink(out, "  received %llu frames, %llu bytes, %llu damaged\n",
		    (unsigned long long)c->received, (unsigned long long)c->received_bytes,
		    (unsigned long long)c->damaged);
}

static void nic(const struct command_call *call)
{
	struct nic *pos = nic_next(NULL);
	struct nic_state state;

	if (!pos)
		format_sink(call->out, "no network card was found\n");
	for (; pos; pos = nic_next(pos)) {
		nic_look(pos, &state);
		print(&state, call->out);
	}
}
CONSOLE_COMMAND(nic, .name = "nic", .args = "", .run = nic,
		.help = "show the machine's network cards, and what they sent and received");
