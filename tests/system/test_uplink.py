# SPDX-License-Identifier: BSD-2-Clause
"""Network cards of the machine, and networks of guests that have one as uplink."""
import re

from machine import Machine, make_iso

E1000 = ["-netdev", "user,id=n0", "-device", "e1000,netdev=n0,mac=52:54:00:00:00:01"]
VIRTIO = ["-netdev", "user,id=n1",
          "-device", "virtio-net-pci,disable-legacy=on,netdev=n1,mac=52:54:00:00:00:02"]


def test_cards_are_found():
    """Those that nobody uses are shown, and left alone."""
    with Machine.boot(make_iso("", {}), *E1000, *VIRTIO) as machine:
        machine.to_prompt()
        out = machine.command("nic")
        assert re.search(r"e1000, 52:54:00:00:00:01, not used", out), out
        assert re.search(r"virtio-net, 52:54:00:00:00:02, not used", out), out


def test_no_card():
    with Machine.boot(make_iso("", {})) as machine:
        machine.to_prompt()
        assert "no network card" in machine.command("nic")
