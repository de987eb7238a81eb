# SPDX-License-Identifier: BSD-2-Clause
"""Networks between unmodified Debian Linux guests, with their own virtio_net."""
import re
from dataclasses import replace

import pytest

from emulators import BOCHS_RYZEN, BOCHS_SKYLAKE_X, QEMU_MAX
from machine import LINUX, LINUX_MODULES, Machine, conf, make_iso
from test_linux import BRIEF, bad_lines
from test_many_guests import to_shell, to_socle, visit

# Two processors for guests: docs/support.md says why the first of several has none on QEMU.
QEMU_MAX_3 = replace(QEMU_MAX, name="qemu-max-3", patience=2, cpus=3)
MIB = 32


def guest(number, *nets, memory="128M"):
    up = "; ".join(f"ip addr add 10.0.{i}.{number}/24 dev eth{i}; ip link set eth{i} up"
                   for i in range(len(nets)))
    return (f"g{number}", {**LINUX, "cmdline": f'{BRIEF} socle.run="{up}"', "memory": memory,
                           "net": list(nets)})


def boot(*guests, on=QEMU_MAX, **more):
    machine = Machine.boot(make_iso(conf(*guests), LINUX_MODULES), on=on, **more)
    machine.login()
    to_socle(machine)
    return machine


def ask(machine, name, line, seconds=120):
    return visit(machine, name, line, seconds)[1]


def counts(machine, name):
    """Exits of all vCPUs, and what the ports of a guest have counted."""
    out = machine.command(f"stats {name}")
    exits = sum(int(n) for n in re.findall(r"vcpu\d+ total +(\d+)", out))
    ports = re.findall(r"on (\S+), sent (\d+) frames, (\d+) bytes, (\d+) dropped \((\d+) spoofed\), "
                       r"received (\d+) frames, (\d+) bytes, (\d+) dropped", out)
    return exits, [(p[0], *map(int, p[1:])) for p in ports], out


def pings(machine, name, address, count=3):
    """Does it answer?"""
    out = ask(machine, name, f"ping -c {count} -W 2 {address}; true")
    return f"{count} packets received" in out


def send(machine, sender, receiver, address, mib=MIB):
    """Sends a file over TCP; what both guests' exits were for it, and the receiver's statistics."""
    ask(machine, sender, f"dd if=/dev/urandom of=/tmp/f bs=1M count={mib}; md5sum /tmp/f >/tmp/sum")
    ask(machine, receiver, "(nc -l -p 5000 >/tmp/f; md5sum /tmp/f >/tmp/sum) & sleep 1")
    before = [counts(machine, g)[0] for g in (sender, receiver)]
    ask(machine, sender, f"nc {address} 5000 </tmp/f")
    after = [counts(machine, g) for g in (sender, receiver)]
    sums = [ask(machine, g, "sleep 1; cat /tmp/sum").split()[0] for g in (receiver, sender)]
    assert len(sums[0]) == 32 and sums[0] == sums[1]
    return [a[0] - b for a, b in zip(after, before)], after[1][2]


@pytest.mark.parametrize("target", [QEMU_MAX, QEMU_MAX_3], ids=lambda t: t.name)
def test_networks(target):
    """Two guests of a network reach each other; a third one, of another network, does not."""
    with boot(guest(1, "lan0", memory="192M"), guest(2, "lan0", "other", memory="192M"),
              guest(3, "other mac 52:54:00:12:34:56"), on=target) as machine:
        assert pings(machine, "g1", "10.0.0.2")
        assert not pings(machine, "g1", "10.0.0.3")
        # The third one's only network is the other one; under the same address it is not there.
        ask(machine, "g3", "ip addr add 10.0.1.3/24 dev eth0")
        assert pings(machine, "g2", "10.0.1.3")
        assert not pings(machine, "g3", "10.0.0.1")
        assert "52:54:00:12:34:56" in ask(machine, "g3", "cat /sys/class/net/eth0/address")
        exits, stats = send(machine, "g1", "g2", "10.0.0.2")
        rate = MIB * 1024 / sum(exits)
        print(f"{exits} exits of sender and receiver for {MIB} MiB: {rate:.1f} KiB per exit\n{stats}")
        out = machine.command("net")
        print(out)
        assert re.search(r"g2/0: 02:.* on lan0, sent", out)
        assert re.search(r"g3/0: 52:54:00:12:34:56 on other, sent", out)
        for name in ("g1", "g2", "g3"):
            log = [x for x in bad_lines(ask(machine, name, "dmesg"))
                   if re.search(r"virtio_net|eth\d", x)]
            assert not log
