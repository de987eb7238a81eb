# SPDX-License-Identifier: BSD-2-Clause
"""SPEC_CTRL of several guests that share a CPU, and what the host does against leaks."""
import pytest

from emulators import BOCHS_TIGERLAKE
from guests import image
from machine import Machine, conf, make_iso, stopped


@pytest.mark.parametrize("words", ["", "mitigations=off"])
def test_neighbours(words):
    """One guest has its own value, one that of reset; the host's is another, or none."""
    common = {"kernel": "spec_ctrl.elf", "memory": "64M", "autostart": "yes", "console": "yes",
              "debug-exit": "0xf4"}
    iso = make_iso(conf(("paint", {**common, "cmdline": "hosted paint"}),
                        ("look", {**common, "cmdline": "hosted look"})),
                   {"spec_ctrl.elf": image("spec_ctrl")}, options=words)
    with Machine.boot(iso, on=BOCHS_TIGERLAKE) as machine:
        # This CPU has eIBRS and no L1TF, and does not say that it has no MDS.
        machine.expect("mitigations: " + ("off" if words else "IBRS; between guests IBPB VERW"))
        ends = [stopped(name) for name in ("paint", "look")]
        first = machine.expect(ends)
        assert machine.match(1) == "0", machine.tail()
        machine.expect(ends[1 - first])
        assert machine.match(1) == "0", machine.tail()
