# SPDX-License-Identifier: BSD-2-Clause
"""Sockets (virtio-vsock) of unmodified Debian Linux guests: with Socle, and with each other."""
import gzip
import re
import subprocess
import time

import pytest

from emulators import BOCHS_SKYLAKE_X, QEMU_MAX, ROOT
from machine import BUILD, LINUX, LINUX_MODULES, Machine, conf, make_iso
from test_linux import BRIEF, bad_lines

TOOL = ROOT / "tests/system/vsock_tool.c"
ECHO, DISCARD, STATUS = 7, 9, 13
REFUSED = r"connect: Connection reset by peer"


def cpio(name, content):
    """An archive of one executable file in /bin, as Linux takes it behind another."""
    def entry(path, mode, data):
        path = path.encode() + b"\0"
        head = b"070701" + b"".join(b"%08x" % x for x in (
            0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0))
        out = head + path
        out += bytes(-len(out) % 4) + data
        return out + bytes(-len(out) % 4)
    return entry(f"bin/{name}", 0o100755, content) + entry("TRAILER!!!", 0, b"")


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """A kernel, and an initial RAM disk that has the tool, too."""
    tool = tmp_path_factory.mktemp("vsock") / "vsock"
    subprocess.run(["gcc", "-static", "-O2", "-s", "-o", tool, TOOL], check=True)
    initrd = gzip.decompress((BUILD / "guest/initrd").read_bytes())
    both = initrd + bytes(-len(initrd) % 4) + cpio("vsock", tool.read_bytes())
    return {**LINUX_MODULES, "initrd": gzip.compress(both, mtime=0)}


def guests(modules, *sections, on=QEMU_MAX, memory=None):
    """A machine with guests of these names and settings."""
    base = {**LINUX, "memory": "96M", "cmdline": BRIEF if on is not QEMU_MAX else LINUX["cmdline"]}
    iso = make_iso(conf(*((name, {**base, **more}) for name, more in sections)), modules)
    return Machine.boot(iso, on=on, memory=memory)


def front(machine, name):
    """Brings a guest's console to the front, at its shell."""
    machine.to_prompt()
    machine.send(f"console {name}\r")
    time.sleep(machine.patience)
    machine.send("\r")
    machine.expect(r"guest:[^\r\n]*# ", 120)


def md5(machine, command, seconds=60):
    """Of what a command prints in the guest."""
    return re.search(r"\b[0-9a-f]{32}\b", machine.shell(f"{command} | md5sum", seconds))[0]


def make_file(machine, mib):
    """A file of random bytes; its MD5 sum."""
    machine.shell(f"dd if=/dev/urandom of=/tmp/f bs=1M count={mib} 2>/dev/null", 120)
    return md5(machine, "cat /tmp/f")


def counts(machine, name):
    machine.to_prompt()
    return machine.command(f"stats {name}")


@pytest.mark.parametrize("target", [QEMU_MAX, BOCHS_SKYLAKE_X], ids=lambda t: t.name)
def test_with_socle(modules, target):
    """The services of CID 2, and what is refused."""
    with guests(modules, ("linux", {"vsock": "global cid 77"}), on=target) as machine:
        machine.login()
        for word in ("guest: linux", "cid: 77", r"socle: \d", r"uptime: \d+ s"):
            assert re.search(word, machine.shell(f"vsock hold 2 {STATUS}", 60))
        total = make_file(machine, 1)
        assert total == md5(machine, f"vsock talk 2 {ECHO} </tmp/f", 120)
        machine.shell(f"vsock talk 2 {DISCARD} </tmp/f | md5sum", 120)
        # No such port, guest, or type of socket; nor is it itself.
        for cid, port in ((2, 8), (1234, 7), (77, 7), (0, 7), (1, 7)):
            out = machine.shell(f"vsock talk {cid} {port} </dev/null 2>&1; true")
            assert re.search(r"connect: (?!Connection timed out)", out), (cid, port, out)
        assert re.search(REFUSED, machine.shell("vsock talk 2 8 </dev/null 2>&1; true"))
        assert "connect: " in machine.shell(f"vsock -s talk 2 {ECHO} </dev/null 2>&1; true")
        assert not [x for x in bad_lines(machine.shell("dmesg")) if "vsock" in x
                    and "module verification" not in x]
        stats = counts(machine, "linux")
        assert re.search(r"cid 77, global", stats)
        assert re.search(r"bytes: \d{7} sent, \d{7} received; connections: [1-9]", stats), stats
        assert re.search(r"packets: [1-9]\d* refused, 0 spoofed, 0 given up", stats), stats


def listen(machine, what, port):
    """Starts the tool in the background; its MD5 sum and exit status will be in /tmp/got."""
    machine.shell(f"(vsock {what} {port} 2>/tmp/err >/tmp/out; echo $? >/tmp/status) & sleep 1")


def test_between_guests(modules):
    """4 MiB there and back at once, messages, a port where nobody listens, a peer that is gone."""
    with guests(modules, ("one", {"vsock": "local:x"}), ("two", {"vsock": "local:x"}),
                ("three", {"vsock": "local:y"}), ("four", {"vsock": "global cid 9"})) as machine:
        machine.login()
        front(machine, "two")
        listen(machine, "echo", 5000)
        front(machine, "one")
        total = make_file(machine, 4)
        assert total == md5(machine, "vsock talk 4 5000 </tmp/f", 180)
        # Each sends what it has, both at once.
        front(machine, "two")
        other = make_file(machine, 4)
        assert other != total
        machine.shell("(vsock give 5001 </tmp/f | md5sum >/tmp/sum) & sleep 1")
        front(machine, "one")
        assert other == md5(machine, "vsock talk 4 5001 </tmp/f", 180)
        front(machine, "two")
        assert total in machine.shell("sleep 1; cat /tmp/sum")
        listen(machine, "-s take", 5002)
        front(machine, "one")
        machine.shell("dd if=/tmp/f bs=100000 count=3 2>/dev/null | vsock -s talk 4 5002", 60)
        third = md5(machine, "dd if=/tmp/f bs=100000 count=3 2>/dev/null")
        front(machine, "two")
        assert third == md5(machine, "sleep 1; cat /tmp/out")
        # Nobody listens; other groups, and guests of all, are out of reach.
        front(machine, "one")
        for cid in (4, 5, 9):
            out = machine.shell(f"time vsock talk {cid} 6000 </dev/null 2>&1; true")
            assert re.search(REFUSED, out) and "0m 0" in out, (cid, out)
        front(machine, "four")
        for cid in (3, 4, 5):
            assert re.search(REFUSED, machine.shell(f"vsock talk {cid} 5000 </dev/null 2>&1; true"))
        assert "cid: 9" in machine.shell(f"vsock hold 2 {STATUS}")
        # One stops in the middle.
        front(machine, "two")
        machine.shell("(vsock take 5003 >/dev/null) & sleep 1")
        front(machine, "one")
        machine.shell("(vsock talk 4 5003 </dev/zero 2>/tmp/err; echo $? >/tmp/status) & sleep 2")
        machine.to_prompt()
        machine.command("vm stop two")
        machine.send("console one\r")
        assert machine.shell("sleep 2; cat /tmp/status").split() == ["1"]
        assert re.search(r"(Connection reset|Broken pipe|not connected)", machine.shell("cat /tmp/err"))
        assert not [x for x in bad_lines(machine.shell("dmesg")) if "vsock" in x
                    and "module verification" not in x]
        # It comes back under its address.
        machine.to_prompt()
        machine.command("vm start two")
        machine.send("console two\r")
        machine.login()
        listen(machine, "echo", 5000)
        front(machine, "one")
        assert total == md5(machine, "vsock talk 4 5000 </tmp/f", 180)
        stats = counts(machine, "one")
        assert re.search(r"cid 3, local:x", stats)
        assert re.search(r" 0 spoofed, 0 given up", stats), stats
