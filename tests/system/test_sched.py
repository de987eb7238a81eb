# SPDX-License-Identifier: BSD-2-Clause
"""Shares of CPU time as the administrator sets them: weights, caps, and sets of CPUs."""
import re
import time
from dataclasses import replace

import pytest

from emulators import QEMU_MAX
from guests import image
from machine import ESCAPE, LINUX, LINUX_MODULES, PROMPT, Machine, conf, make_iso
from test_linux import BRIEF

# Two processors for guests: docs/support.md says why the first of several has none on QEMU.
QEMU_MAX_3 = replace(QEMU_MAX, name="qemu-max-3", patience=2, cpus=3)
WEIGHTS = {"light": 128, "middle": 256, "heavy": 512}
TOLERANCE = 0.1  # of what is expected, over SECONDS
SECONDS = 6
CATCH_UP = 3      # seconds after which nobody has anything to make up for from before
SPIN = {"kernel": "spin.elf", "memory": "16M", "debug-exit": "0xf4", "console": "yes",
        "autostart": "no", "cmdline": "hosted"}
LINE = re.compile(r"^(\w+)/(\d+): (\w+), cpu(\d+), (\d+) ms, (\d+) runs, (\d+) moves, (\w+)",
                  re.MULTILINE)


class Sample:
    """What `sched` says at one moment, by guest and vCPU."""

    def __init__(self, machine):
        before = time.monotonic()
        out = machine.command("sched", 20)
        self.when = (before + time.monotonic()) / 2
        self.cpu, self.ms, self.moves = {}, {}, {}
        for guest, vcpu, _, cpu, ms, _, moves, _ in LINE.findall(out):
            key = guest, int(vcpu)
            self.cpu[key], self.ms[key], self.moves[key] = int(cpu), int(ms), int(moves)
        assert self.ms, out
        self.idle = [int(x) for x in re.findall(r"^cpu\d+: .*, (\d+) ms idle", out, re.MULTILINE)]

    def of(self, guest):
        """Milliseconds that all vCPUs of @guest ran."""
        return sum(ms for (name, _), ms in self.ms.items() if name == guest)


def watch(machine, seconds=SECONDS):
    """Two samples, so far apart."""
    first = Sample(machine)
    time.sleep(seconds)
    return first, Sample(machine)


def close(what, found, expected, tolerance=TOLERANCE):
    print(f"{what}: {found:.4f}, expected {expected:.4f}")  # for -s, and for a failure
    assert abs(found - expected) <= tolerance * expected, f"{what}: {found:.4f}, not {expected:.4f}"


def check_shares(machine, guests, cpus):
    """The run times of @guests (name to weight) are as their weights, and use up all of @cpus."""
    time.sleep(CATCH_UP)
    first, last = watch(machine)
    ran = {guest: last.of(guest) - first.of(guest) for guest in guests}
    for guest, weight in guests.items():
        close(f"share of {guest}", ran[guest] / sum(ran.values()), weight / sum(guests.values()))
    close("CPUs in use", sum(ran.values()) / 1000 / (last.when - first.when), cpus)


def settle(machine, cpu, expected):
    """Waits until CPU @cpu has cleaned the memory that guests left, which is not idle time."""
    for _ in range(30):
        first, last = watch(machine, 1)
        idle = (last.idle[cpu] - first.idle[cpu]) / 1000 / (last.when - first.when)
        if abs(idle - expected) < TOLERANCE:
            break


def start_spin(machine, *guests):
    """Starts test guests and waits until they all run."""
    for guest in guests:
        machine.command(f"vm start {guest}", 20)
        machine.send(f"console {guest}\r")
        machine.expect("INFO: spin: running", 20)
        machine.send(ESCAPE)
        machine.expect(PROMPT)


def stop(machine, *guests):
    for guest in guests:
        machine.command(f"vm stop {guest}", 20)
    deadline = time.monotonic() + 10 * machine.patience
    while True:
        out = machine.command("vm list")
        if not [x for x in guests if not re.search(rf"^{x} +stopped", out, re.MULTILINE)]:
            return
        assert time.monotonic() < deadline, out
        time.sleep(0.1)


def spin_iso(sections):
    return make_iso(conf(*((name, {**SPIN, **more}) for name, more in sections.items())),
                    {"spin.elf": image("spin")})


@pytest.mark.xdist_group("sched")
def test_one_cpu():
    """Three that never wait share one CPU by weight; one alone gets what its cap says."""
    sections = {name: {"weight": weight} for name, weight in WEIGHTS.items()}
    sections["capped"] = {"cap": 25}
    with Machine.boot(spin_iso(sections)) as machine:
        machine.to_prompt()
        start_spin(machine, *WEIGHTS)
        check_shares(machine, WEIGHTS, 1)
        # With the capped one, the others share what it leaves: less than its weight is worth.
        stop(machine, "light", "heavy")
        start_spin(machine, "capped")
        first, last = watch(machine)
        passed = 1000 * (last.when - first.when)
        close("capped beside another", (last.of("capped") - first.of("capped")) / passed, 0.25)
        close("the other", (last.of("middle") - first.of("middle")) / passed, 0.75)
        stop(machine, "middle")
        settle(machine, 0, 0.75)
        first, last = watch(machine)
        passed = 1000 * (last.when - first.when)
        close("capped alone", (last.of("capped") - first.of("capped")) / passed, 0.25)
        close("idle", (last.idle[0] - first.idle[0]) / passed, 0.75)


@pytest.mark.xdist_group("sched")
def test_two_cpus():
    """More vCPUs than CPUs: whole guests get time by their weights, caps and sets of CPUs hold."""
    linux = {**LINUX, "cmdline": BRIEF, "memory": "128M", "cpus": 4}
    sections = [(name, {**linux, "weight": weight}) for name, weight in WEIGHTS.items()]
    sections.append(("limited", {**linux, "cap": 60, "autostart": "no"}))
    sections += [(f"pin{i}", {**SPIN, "cpuset": "1"}) for i in range(3)]
    iso = make_iso(conf(*sections), {**LINUX_MODULES, "spin.elf": image("spin")})
    with Machine.boot(iso, on=QEMU_MAX_3) as machine:
        machine.to_prompt()
        for guest in WEIGHTS:
            keep_busy(machine, guest)
        check_shares(machine, WEIGHTS, 2)
        stop(machine, *WEIGHTS)
        start_spin(machine, "pin0", "pin1", "pin2")
        check_pinned(machine)
        stop(machine, "pin0", "pin1", "pin2")
        machine.command("vm start limited", 20)
        keep_busy(machine, "limited")
        first, last = watch(machine)
        close("a cap over 4 vCPUs", (last.of("limited") - first.of("limited")) / 1000 /
              (last.when - first.when), 0.6)


def keep_busy(machine, guest):
    """Each vCPU of a Linux guest computes from now on."""
    machine.send(f"console {guest}\r")
    machine.expect(f"console of {guest},")
    machine.send("\r")
    machine.login(60)
    machine.shell("for i in 1 2 3 4; do while :; do :; done & done")
    machine.send(ESCAPE)
    machine.expect(PROMPT)


def check_pinned(machine):
    """Three on CPU 1 share it, though CPU 2 has nothing to do; none ever leaves it."""
    pins = [f"pin{i}" for i in range(3)]
    settle(machine, 2, 1)
    first = Sample(machine)
    for _ in range(10):
        time.sleep(0.3)
        sample = Sample(machine)
        assert all(sample.cpu[pin, 0] == 1 for pin in pins), sample.cpu
    time.sleep(2)
    last = Sample(machine)
    passed = 1000 * (last.when - first.when)
    for pin in pins:
        close(pin, (last.of(pin) - first.of(pin)) / passed, 1 / 3)
        assert last.moves[pin, 0] == first.moves[pin, 0], pin
    close("CPU 2 idle", (last.idle[2] - first.idle[2]) / passed, 1)
