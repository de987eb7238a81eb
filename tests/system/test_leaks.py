# SPDX-License-Identifier: BSD-2-Clause
"""Nothing of one guest can be seen by another: not after its end, and not on the same processor."""
import re

import pytest

from emulators import BOCHS_RYZEN, BOCHS_SKYLAKE_X, BOCHS_TIGERLAKE, QEMU_MAX
from guests import PASS, Guest, image
from machine import ESCAPE, PROMPT, Machine, conf, make_iso, stopped
from test_guest_suite import verdict

# Guests of one boot; each pair has a pattern of its own, and the last is its own neighbour.
GUESTS = {"painter": "paint 11", "after": "look 11",
          "stayer": "paint 23 stay", "beside": "look 23", "second": "paint 37",
          "again": "again look 41"}


def section(words):
    return {"kernel": "paint.elf", "memory": "16M", "autostart": "no", "console": "yes",
            "debug-exit": "0xf4", "cmdline": f"hosted {words}"}


def passes(machine, name):
    """@name runs to its end and finds nothing wrong."""
    status, _, output = verdict(machine, Guest(name, seconds=40))
    assert status == PASS, "\n".join(re.findall(r"FAIL: paint: .*", output)) or output[-2000:]
    return output


@pytest.mark.parametrize("target", [QEMU_MAX, BOCHS_SKYLAKE_X, BOCHS_TIGERLAKE, BOCHS_RYZEN],
                         ids=lambda t: t.name)
def test_nothing_leaks(target):
    """One guest paints its registers and memory, others look, later and at the same time."""
    iso = make_iso(conf(*((name, section(words)) for name, words in GUESTS.items())),
                   {"paint.elf": image("paint")})
    # Memory for little more than two guests: the next one gets what the last one had.
    with Machine.boot(iso, on=target, memory=128) as machine:
        machine.to_prompt()
        passes(machine, "painter")
        passes(machine, "after")
        machine.command("vm start stayer", 20)
        machine.send("console stayer\r")
        machine.expect("INFO: paint: all is painted", 40)
        machine.send(ESCAPE)
        machine.expect(PROMPT)
        passes(machine, "beside")
        passes(machine, "second")
        assert re.search(r"^stayer +running", machine.command("vm list", 20), re.M)
        machine.send("console stayer\r")
        machine.expect("console of stayer,", 20)
        machine.send("x")
        machine.expect(stopped("stayer"), 40)
        assert machine.match(1) == "0", machine.tail()
        rounds = re.search(r"INFO: paint: (\d+) rounds, (\d+) ticks", machine.output())
        assert int(rounds.group(1)) > 3, "it had no time to look after its registers"
        machine.to_prompt()
        passes(machine, "again")
        assert "vm again: reset" in machine.output()
