# SPDX-License-Identifier: BSD-2-Clause
"""The test guests under Socle: many in one boot, each started and judged from the prompt."""
import re

import pytest

from emulators import (BOCHS_HASWELL, BOCHS_IVY_BRIDGE, BOCHS_IVY_BRIDGE_2, BOCHS_RYZEN,
                       BOCHS_RYZEN_2, BOCHS_SKYLAKE_X, BOCHS_SKYLAKE_X_2, BOCHS_TIGERLAKE, QEMU_MAX,
                       QEMU_MAX_4)
from guests import FAIL, SKIP, all_guests, expected_on, image
from machine import ESCAPE, PROMPT, Ended, Machine, conf, make_iso, stopped

GUESTS = [g for g in all_guests() if g.hosted is not None or g.log]
TARGETS = [QEMU_MAX, BOCHS_RYZEN, BOCHS_IVY_BRIDGE, BOCHS_HASWELL, BOCHS_SKYLAKE_X,
           BOCHS_TIGERLAKE, QEMU_MAX_4, BOCHS_RYZEN_2, BOCHS_IVY_BRIDGE_2, BOCHS_SKYLAKE_X_2]
BATCHES = 3  # a boot takes 32 modules
QUICK = {"hello", "cpuid", "cpu_model", "exceptions", "msr", "apic_timer", "self_ipi", "realmode", "mmio_insns",
         "string_io", "mb_info"}


def guests_on(target):
    """Guests with several vCPUs are for machines with several processors, and for QEMU with one."""
    if target is QEMU_MAX:
        return GUESTS
    return [g for g in GUESTS if (g.cpus > 1) == (target.cpus > 1)]


def batch_iso(target, number):
    """One ISO with every BATCHES-th guest, as that machine wants it."""
    sections, modules = [], {"one.txt": b"first module", "two.txt": b"second module"}
    for guest in guests_on(target)[number::BATCHES]:
        guest = expected_on(target.name, guest)
        words = f"hosted {guest.cmdline}"
        settings = {"kernel": f"{guest.name}.elf", "memory": f"{guest.memory}M",
                    "cpus": guest.cpus, "autostart": "no", "console": "yes",
                    "debug-exit": "0xf4", **guest.settings}
        if guest.name == "mb_info":
            words += " modules"
            settings["module"] = ["one.txt one", "two.txt two words"]
        settings["cmdline"] = words.strip()
        sections.append((guest.name, settings))
        modules[f"{guest.name}.elf"] = image(guest.name)
    # Bochs' APIC virtualization has a fault (docs/testing.md), which does not harm these.
    return make_iso(conf(*sections), modules,
                    options="apicv=on" if target.vendor == "vmx" else "")


class Batch:
    """A running machine with one batch; booted again after a test that left it unusable."""

    def __init__(self):
        self.machine, self.what = None, None

    def get(self, target, number):
        if self.machine and (self.what != (target, number) or not self.machine.alive()):
            self.drop()
        if not self.machine:
            self.machine = Machine.boot(batch_iso(target, number), on=target)
            self.what = target, number
            self.machine.to_prompt()
        return self.machine

    def drop(self):
        if self.machine:
            self.machine.close()
        self.machine = None


@pytest.fixture(scope="module")
def batch():
    batch = Batch()
    yield batch
    batch.drop()


def cases():
    for target in TARGETS:
        for index, guest in enumerate(guests_on(target)):
            guest, number = expected_on(target.name, guest), index % BATCHES
            marks = [pytest.mark.xdist_group(f"{target.name}-{number}")]
            if target is QEMU_MAX and guest.name in QUICK:
                marks.append(pytest.mark.quick)
            yield pytest.param(target, guest, number, id=f"{target.name}-{guest.name}",
                               marks=marks)


def verdict(machine, guest):
    """Starts the guest, follows its console, and returns (status or None, log text, output)."""
    seen = len(machine.output())
    end = stopped(guest.name, r"([^\r\n]*)[\r\n]")
    machine.send(f"vm start {guest.name}\r")
    if machine.expect([end, PROMPT], guest.seconds + 30) == 1:
        machine.send(f"console {guest.name}\r")
        machine.expect(end, guest.seconds + 30)
    text = machine.match(1)
    machine.to_prompt(10)
    if f"console of {guest.name}," not in machine.output()[seen:]:
        # It ended before its console was in front: what it said is kept there.
        machine.send(f"console {guest.name}\r")
        machine.expect(rf"\[socle\] {guest.name} is stopped", 10)
        machine.send(ESCAPE)
        machine.expect(PROMPT, 10)
    status = re.search(r"status (\d+)", text)
    return int(status.group(1)) if status else None, text, machine.output()[seen:]


def judge(machine, guest):
    """One guest from its start to the proof that the host lives."""
    if guest.name == "garbage":
        # Anything may happen to the guest, nothing to the host.
        machine.command(f"vm start {guest.name}")
        machine.send("version\r")
        machine.expect(PROMPT, 20)
        machine.command(f"vm stop {guest.name}", 20)
    else:
        status, text, output = verdict(machine, guest)
        if guest.fails:
            # Exactly these and no others: the rest of the guest's checks still counts.
            failed = re.findall(rf"FAIL: {guest.name}: (.*)", output)
            assert status == FAIL and len(failed) == len(guest.fails) and all(
                re.search(*x) for x in zip(guest.fails, failed)), f"{text}\n{output}"
        elif guest.hosted is None:
            assert status is None and re.search(guest.log, text), f"{text}\n{output}"
        else:
            assert status == guest.hosted, f"{text}\n{output}"
    assert guest.name in machine.command("vm list", 10)


def judge_panic(machine, guest):
    """A guest that the emulator itself does not survive, which says nothing of Socle."""
    try:
        judge(machine, guest)
    except Ended:
        panic = machine.emulator.panic()
        assert panic and re.search(guest.panic, panic), f"{panic}\n{machine.tail()}"
        return
    pytest.fail(f"no panic of the emulator any more: {guest.panic}")


@pytest.mark.parametrize("target, guest, number", cases())
def test_guest(batch, target, guest, number):
    machine = batch.get(target, number)
    try:
        (judge_panic if guest.panic else judge)(machine, guest)
    except BaseException:
        batch.drop()
        raise
    # An emulator that idles keeps a CPU busy.
    if guest.name == GUESTS[number::BATCHES][-1].name:
        batch.drop()
    if guest.panic or guest.fails or guest.hosted == SKIP:
        pytest.skip(guest.why)


on_both_vendors = pytest.mark.parametrize("target", [QEMU_MAX, BOCHS_SKYLAKE_X],
                                          ids=lambda t: t.name)


@pytest.mark.parametrize("target, way, guest", [
    pytest.param(target, way, guest, id=f"{target.name}-{guest}-{way}")
    for target in (QEMU_MAX, BOCHS_SKYLAKE_X) for way in ("keyboard", "cf9", "fast")
    for guest in ("reset", "smp_reset") if target is QEMU_MAX or way == "keyboard"])
def test_reset(target, way, guest):
    """A guest that resets itself starts again, from clean memory; the administrator ends it."""
    iso = make_iso(conf((guest, {"kernel": f"{guest}.elf", "memory": "64M", "autostart": "yes",
                                 "console": "yes", "debug-exit": "0xf4",
                                 "cpus": 1 if guest == "reset" else 4,
                                 "cmdline": f"hosted {way}"})),
                   {f"{guest}.elf": image(guest)})
    with Machine.boot(iso, on=target) as machine:
        for _ in range(3):
            assert machine.expect([f"INFO: {guest}: started", f"FAIL: {guest}: [^\r\n]*"]) == 0, \
                machine.match()
        machine.send(ESCAPE)
        machine.expect(PROMPT)
        machine.command(f"vm stop {guest}")
        assert guest in machine.command("vm list")


@on_both_vendors
def test_on_exit_poweroff(target):
    """on-exit = poweroff ends the whole run."""
    iso = make_iso(conf(("hello", {"kernel": "hello.elf", "memory": "64M", "autostart": "yes",
                                   "console": "yes", "debug-exit": "0xf4", "cmdline": "hosted",
                                   "on-exit": "poweroff"})),
                   {"hello.elf": image("hello")})
    with Machine.boot(iso, on=target) as machine:
        machine.expect("PASS: hello")
        machine.expect_end(20)


@pytest.mark.parametrize("target", [QEMU_MAX, BOCHS_RYZEN, BOCHS_SKYLAKE_X, BOCHS_TIGERLAKE],
                         ids=lambda t: t.name)
def test_extended_state(target):
    """Guests of different CPU models take turns on one CPU, and find all of their registers again."""
    models = {"one": "host", "two": "host", "three": "host -avx2", "four": "baseline +avx"}
    iso = make_iso(conf(*((name, {"kernel": "xstate.elf", "memory": "32M", "debug-exit": "0xf4",
                                  "cpu": cpu, "cmdline": f"hosted seed={number}"})
                          for number, (name, cpu) in enumerate(models.items(), 1))),
                   {"xstate.elf": image("xstate")})
    with Machine.boot(iso, on=target) as machine:
        ends = {}
        while len(ends) < len(models):
            machine.expect(stopped(r"(\w+)", r"([^\r\n]*)[\r\n]"), 60)
            ends[machine.match(1)] = machine.match(2)
        assert set(ends.values()) == {"debug-exit, status 0"}, f"{ends}\n{machine.tail()}"


@on_both_vendors
def test_neighbour_survives(target):
    """A guest that dies of a triple fault leaves another one running."""
    common = {"memory": "64M", "debug-exit": "0xf4", "autostart": "yes"}
    iso = make_iso(conf(("spin", {**common, "kernel": "spin.elf", "cmdline": "hosted"}),
                        ("bad", {**common, "kernel": "triple_fault.elf", "cmdline": "hosted"})),
                   {"spin.elf": image("spin"), "triple_fault.elf": image("triple_fault")})
    with Machine.boot(iso, on=target) as machine:
        machine.expect(stopped("bad", r"[^\r\n]*triple fault"))
        machine.to_prompt(20)
        line = [x for x in machine.command("vm list").splitlines() if "spin" in x]
        assert line and "running" in line[0], line
        machine.command("vm stop spin", 20)
