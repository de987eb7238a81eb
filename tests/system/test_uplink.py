# SPDX-License-Identifier: BSD-2-Clause
"""Network cards of the machine, and networks of guests that have one as uplink."""
import hashlib
import http.server
import random
import re
import threading
from contextlib import contextmanager

import pytest

from emulators import BOCHS_RYZEN
from machine import LINUX, LINUX_MODULES, Machine, conf, make_iso
from test_linux import BRIEF
from test_many_guests import visit

# QEMU's user network: 10.0.2.2 is the machine on which QEMU runs, and answers to ping.
CARDS = {"e1000": ["-device", "e1000,netdev=n0,mac=52:54:00:00:00:01"],
         "virtio-net": ["-device", "virtio-net-pci,disable-legacy=on,netdev=n0,mac=52:54:00:00:00:01"]}
HOST = "10.0.2.2"
FILE_MIB = 4


def card(name):
    return ["-netdev", "user,id=n0", *CARDS[name]]


def guest(number, *nets):
    """A Linux with 10.0.2.10 + @number on its first network."""
    up = f"ip addr add 10.0.2.{10 + number}/24 dev eth0; ip link set eth0 up"
    return (f"g{number}", {**LINUX, "cmdline": f'{BRIEF} socle.run="{up}"', "memory": "128M",
                           "net": list(nets)})


def uplink(name, nic="eth0"):
    return f"[network {name}]\nuplink = {nic}\n\n"


def ask(machine, name, line, seconds=120):
    return visit(machine, name, line, seconds)[1]


def pings(machine, name, address, count=3):
    return f"{count} packets received" in ask(machine, name, f"ping -c {count} -W 2 {address}; true")


@contextmanager
def web_server():
    """A file on the host's loopback, where the user network finds it, that can be written anew."""
    content = random.Random(1).randbytes(FILE_MIB * 2**20)
    posted = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self):
            posted[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, hashlib.md5(content).hexdigest(), posted
    finally:
        server.shutdown()
        server.server_close()


def counts(machine):
    """Of each card: frames sent, without room, received, damaged."""
    out = machine.command("nic")
    return [tuple(map(int, x)) for x in re.findall(
        r"sent +(\d+) frames, \d+ bytes, (\d+) without room\s+"
        r"received +(\d+) frames, \d+ bytes, (\d+) damaged", out)]


def test_cards_are_found():
    """Those that nobody uses are shown, and left alone."""
    both = [*card("e1000"), "-netdev", "user,id=n1", "-device",
            "virtio-net-pci,disable-legacy=on,netdev=n1,mac=52:54:00:00:00:02"]
    with Machine.boot(make_iso("", {}), *both) as machine:
        machine.to_prompt()
        out = machine.command("nic")
        assert re.search(r"eth0: e1000, 52:54:00:00:00:01, not used", out), out
        assert re.search(r"eth1: virtio-net, 52:54:00:00:00:02, not used", out), out


def test_no_card():
    with Machine.boot(make_iso(uplink("lan0"), {})) as machine:
        machine.expect(r"socle.conf:2: there is no network card \"eth0\", this machine has no card")
        machine.to_prompt()
        assert "no network card" in machine.command("nic")


@pytest.mark.parametrize("name", CARDS)
def test_uplink(name):
    """Two guests behind an uplink reach the world and each other, a third on another network none."""
    iso = make_iso(uplink("lan0") + conf(guest(1, "lan0"), guest(2, "lan0"), guest(3, "other")),
                   LINUX_MODULES)
    with web_server() as (port, md5, posted), Machine.boot(iso, *card(name)) as machine:
        machine.expect(r"eth0: link up")
        machine.to_prompt(60)
        for one in ("g1", "g2"):
            assert pings(machine, one, HOST)
        assert pings(machine, "g1", "10.0.2.12")
        assert not pings(machine, "g3", HOST)
        assert not pings(machine, "g3", "10.0.2.11")
        out = ask(machine, "g2", f"wget -q -O /tmp/f http://{HOST}:{port}/f; md5sum /tmp/f")
        assert md5 in out
        # From the guest: large segments without check sums, which leave as plain frames.
        ask(machine, "g1", f"wget -q -O /tmp/f http://{HOST}:{port}/f; "
                           f"(printf 'POST /up HTTP/1.0\\r\\nContent-Length: {FILE_MIB << 20}\\r\\n\\r\\n';"
                           f" cat /tmp/f; sleep 3) | nc {HOST} {port} >/dev/null")
        assert hashlib.md5(posted["/up"]).hexdigest() == md5
        [(sent, full, received, damaged)] = counts(machine)
        print(f"{sent} frames sent, {full} without room, {received} received; TCP saw:",
              ask(machine, "g1", "grep Tcp /proc/net/snmp"))
        assert sent > 3000 and received > 6000 and not damaged
        # Somebody pulls the cable: frames are lost, and nothing else.
        machine.emulator.hmp("set_link n0 off")
        machine.expect(r"eth0: link down")
        machine.to_prompt()
        assert not pings(machine, "g1", HOST)
        assert pings(machine, "g1", "10.0.2.12")
        machine.emulator.hmp("set_link n0 on")
        machine.expect(r"eth0: link up")
        machine.to_prompt()
        assert pings(machine, "g1", HOST)


@pytest.mark.parametrize("target", [BOCHS_RYZEN], ids=lambda t: t.name)
def test_uplink_on_bochs(target):
    """Bochs' own e1000, on its own user network. TCP is left out: its clock waits for nobody."""
    iso = make_iso(uplink("lan0") + conf(guest(1, "lan0")), LINUX_MODULES)
    with Machine.boot(iso, "--nic", "slirp", on=target) as machine:
        machine.expect(r"eth0: e1000 at [0-9a-f:.]+, address 52:54:00:00:00:01")
        machine.expect(r"eth0: link up")
        machine.to_prompt(60)
        assert pings(machine, "g1", HOST)
        [(sent, full, received, damaged)] = counts(machine)
        assert sent >= 4 and received >= 4 and not full and not damaged
