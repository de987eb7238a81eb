# SPDX-License-Identifier: BSD-2-Clause
"""Paravirtual devices in an unmodified Debian Linux, with its own drivers."""
import re

import pytest

from emulators import BOCHS_RYZEN, BOCHS_SKYLAKE_X, QEMU_MAX
from machine import LINUX
from test_linux import BRIEF, bad_lines, boot


def looks_random(data):
    """The monobit, poker and run tests of FIPS 140-1 (4.11.1), for 20000 bits; '' or which failed."""
    bits = "".join(f"{byte:08b}" for byte in data)
    assert len(bits) == 20000
    if not 9654 < bits.count("1") < 10346:
        return f"{bits.count('1')} ones"
    nibbles = [x for byte in data for x in (byte >> 4, byte & 15)]
    counts = [nibbles.count(n) for n in range(16)]
    poker = 16 / 5000 * sum(n * n for n in counts) - 5000
    if not 1.03 < poker < 57.4:
        return f"poker {poker}"
    limits = [(2267, 2733), (1079, 1421), (502, 748), (223, 402), (90, 223), (90, 223)]
    for bit in "01":
        runs = [len(m) for m in re.findall(f"{bit}+", bits)]
        for length, (low, high) in enumerate(limits, 1):
            n = sum(r == length or (length == 6 and r > 6) for r in runs)
            if not low <= n <= high:
                return f"{n} runs of {length} times {bit}"
        if max(runs) >= 34:
            return f"a run of {max(runs)}"
    return ""


def entropy(machine):
    """20000 bits from /dev/hwrng."""
    out = machine.shell("dd if=/dev/hwrng bs=2500 count=1 iflag=fullblock 2>/dev/null | "
                        "hexdump -v -e '/1 \"%02x\"'", 60)
    return bytes.fromhex(re.sub(r"\s", "", out))


@pytest.mark.parametrize("target", [QEMU_MAX, BOCHS_RYZEN, BOCHS_SKYLAKE_X], ids=lambda t: t.name)
def test_rng(target):
    """Linux' virtio_rng takes the device, and what it gives looks random."""
    cmdline = LINUX["cmdline"] if target is QEMU_MAX else BRIEF
    with boot("128M", cmdline, {"rng": "yes"}, on=target) as machine:
        machine.login()
        assert machine.shell("cat /sys/class/misc/hw_random/rng_current").strip() == "virtio_rng.0"
        first, second = entropy(machine), entropy(machine)
        assert first != second
        # One in ten thousand good sequences fails.
        assert not looks_random(first) or not looks_random(second)
        assert re.search(r"MSI.*virtio0-input", machine.shell("grep virtio /proc/interrupts"))
        assert "1af4" in machine.shell("cat /sys/bus/pci/devices/0000:00:01.0/vendor")
        machine.to_prompt()
        stats = machine.command("stats linux")
        counts = re.search(r"virtio-rng queue 0: (\d+) notifications, (\d+) requests, "
                           r"(\d+) interrupts", stats)
        assert counts and all(int(n) >= 2 for n in counts.groups()), stats


def test_rng_by_line():
    """The same without messages: by INTx. And the device survives that its driver goes and comes."""
    with boot("128M", LINUX["cmdline"] + " pci=nomsi", {"rng": "yes"}) as machine:
        machine.login()
        assert "virtio" in machine.shell("grep IO-APIC.*17-fasteoi /proc/interrupts")
        assert not looks_random(entropy(machine)) or not looks_random(entropy(machine))
        for _ in range(3):
            machine.shell("rmmod virtio-rng && insmod /lib/modules/virtio-rng.ko", 30)
            assert len(entropy(machine)) == 2500
        assert not [x for x in bad_lines(machine.shell("dmesg")) if "virtio" in x]


def test_no_device():
    """Without the key there is none."""
    with boot("128M") as machine:
        machine.login()
        assert machine.shell("ls /sys/bus/pci/devices").split() == ["0000:00:00.0"]
