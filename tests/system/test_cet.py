# SPDX-License-Identifier: BSD-2-Clause
"""Control-flow enforcement of several guests that share a CPU."""
import pytest

from emulators import BOCHS_TIGERLAKE
from guests import CET, image
from machine import Machine, conf, make_iso, stopped


@pytest.mark.parametrize("second", ["look", "paint2"])
def test_neighbours(second):
    """Two guests at once on one CPU: neither sees nor changes the other's registers."""
    common = {"kernel": "cet_msr.elf", "memory": "64M", "autostart": "yes", "console": "yes",
              "debug-exit": "0xf4", **CET["settings"]}
    iso = make_iso(conf(("first", {**common, "cmdline": "hosted paint"}),
                        ("second", {**common, "cmdline": f"hosted {second}"})),
                   {"cet_msr.elf": image("cet_msr")})
    with Machine.boot(iso, on=BOCHS_TIGERLAKE) as machine:
        ends = [stopped(name) for name in ("first", "second")]
        first = machine.expect(ends)
        assert machine.match(1) == "0", machine.tail()
        machine.expect(ends[1 - first])
        assert machine.match(1) == "0", machine.tail()


def test_init():
    """Two virtual CPUs on one real one: an INIT clears the registers of one."""
    iso = make_iso(conf(("init", {"kernel": "cet_init.elf", "memory": "64M", "cpus": 2,
                                  "autostart": "yes", "console": "yes", "debug-exit": "0xf4",
                                  "cmdline": "hosted opens", **CET["settings"]})),
                   {"cet_init.elf": image("cet_init")})
    with Machine.boot(iso, on=BOCHS_TIGERLAKE) as machine:
        machine.expect(stopped("init"))
        assert machine.match(1) == "0", machine.tail()


@pytest.mark.parametrize("guest", ["cet_user", "cet_super", "cet_ibt"])
def test_beside_another(guest):
    """A guest that uses its shadow stacks, beside one that only has values in the registers."""
    common = {"memory": "64M", "autostart": "yes", "console": "yes", "debug-exit": "0xf4",
              **CET["settings"]}
    iso = make_iso(conf(("paint", {**common, "kernel": "cet_msr.elf", "cmdline": "hosted paint"}),
                        (guest, {**common, "kernel": f"{guest}.elf", "cmdline": "hosted"})),
                   {"cet_msr.elf": image("cet_msr"), f"{guest}.elf": image(guest)})
    with Machine.boot(iso, on=BOCHS_TIGERLAKE) as machine:
        for _ in range(2):
            machine.expect(stopped(r"(paint|cet_\w+)", r"debug-exit, status (\d+)"))
            # Two checks of cet_super fail on Bochs, see guests.py.
            expected = "1" if machine.match(1) == "cet_super" else "0"
            assert machine.match(2) == expected, machine.tail()
