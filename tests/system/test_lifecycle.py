# SPDX-License-Identifier: BSD-2-Clause
"""Guests that start and stop hundreds of times, in the middle of whatever their vCPUs do."""
import random
import re
import time

import pytest

from emulators import BOCHS_SKYLAKE_X_2, QEMU_MAX_4
from guests import image
from machine import ESCAPE, PROMPT, Machine, conf, make_iso, stopped

# Guests whose vCPUs are all busy, each in its own way, for at least some seconds.
BUSY = ("smp_spin", "tlb_shootdown", "smp_memory", "ipi_wake", "smp_mmio")
NEIGHBOUR = "spin"
PROMPTLY = 3  # seconds from the command to a guest that is off


def guests_iso(names, cpus, memory):
    common = {"debug-exit": "0xf4", "cmdline": "hosted", "console": "yes"}
    sections = [(name, {**common, "kernel": f"{name}.elf", "memory": memory, "cpus": cpus,
                        "autostart": "no"}) for name in names]
    sections.append((NEIGHBOUR, {**common, "kernel": "spin.elf", "memory": "16M",
                                 "autostart": "yes"}))
    return make_iso(conf(*sections), {f"{name}.elf": image(name) for name in (*names, NEIGHBOUR)})


def listed(machine):
    """State and number of starts of each guest."""
    out = machine.command("vm list", 20)
    found = re.findall(r"^(\w+) +(stopped|running|stopping|restarting) +\d+ +\d+M +(\d+)", out, re.MULTILINE)
    return {name: (state, int(starts)) for name, state, starts in found}


def wait_for(machine, name, wanted):
    """Waits until wanted(state, starts) of @name; how long that took, in the emulator's seconds."""
    start = time.monotonic()
    while True:
        if wanted(*listed(machine)[name]):
            return (time.monotonic() - start) / machine.patience
        assert time.monotonic() - start < PROMPTLY * machine.patience, \
            f"{name} takes too long\n{machine.tail()}"
        time.sleep(0.01)


def stop(machine, name):
    """Turns @name off, which may have ended by itself."""
    machine.command(f"vm stop {name}", PROMPTLY)
    return wait_for(machine, name, lambda state, _: state == "stopped")


def exits(machine, name):
    return int(re.search(r"vcpu0 total +(\d+)", machine.command(f"stats {name}", 20)).group(1))


def begin(machine):
    """To the prompt, with the neighbour at work."""
    machine.expect("INFO: spin: running", 60)
    machine.send(ESCAPE)
    machine.expect(PROMPT)


def check_neighbour(machine):
    """It is the same one, and still runs: whatever interrupts its CPU makes an exit."""
    assert listed(machine)[NEIGHBOUR] == ("running", 1)
    before = exits(machine, NEIGHBOUR)
    time.sleep(0.5)
    assert exits(machine, NEIGHBOUR) > before


def account(machine):
    """What `mem` says, in KiB by holder; all of it adds up, and is somebody's."""
    out = machine.command("mem", 20)
    held = {who.strip(): int(kib) for who, kib in
            re.findall(r"^  (.+?) +(-?\d+) KiB$", out, re.MULTILINE)}
    assert held["total"] == sum(held.values()) - held["total"], out
    assert "missing" not in held, out
    held["free"] = held.pop("free, zeroed") + held.pop("free, to be zeroed")
    return held


CYCLES = 200


def cycle(machine, name, seconds):
    """One life of @name; how much memory it had touched at its end."""
    machine.command(f"vm start {name}", 20)
    time.sleep(seconds)
    touched = account(machine)[f"{name}: RAM"]
    stop(machine, name)
    return touched


def test_no_page_leaks():
    """After 200 lives of guests that were stopped anywhere, every page is back."""
    # What the account does not see, pages that nobody holds and nobody can get, would be missed
    # here: there is little more memory than one guest needs.
    chance = random.Random(1)
    names = ("smp_memory", "tlb_shootdown")
    with Machine.boot(guests_iso(names, 2, "64M"), on=QEMU_MAX_4, memory=128) as machine:
        begin(machine)
        for name in names:
            for _ in range(3):
                cycle(machine, name, 0.3)
        before = account(machine)
        assert before["smp_memory: RAM"] == before["smp_memory: tables"] == 0
        touched = [cycle(machine, chance.choice(names),
                         0 if i % 4 else chance.uniform(0, 0.4)) for i in range(CYCLES)]
        assert account(machine) == before
        # It means little unless most had not ended yet, and some had taken much memory.
        caught = [kib for kib in touched if kib]
        assert len(caught) > CYCLES * 3 // 4 and max(caught) > 4 << 10, touched
        machine.send("vm start smp_memory\r")
        machine.expect(stopped("smp_memory"), 60)
        assert machine.match(1) == "0"
        machine.to_prompt()
        check_neighbour(machine)


@pytest.mark.parametrize("target, cpus, rounds", [(QEMU_MAX_4, 4, 60), (BOCHS_SKYLAKE_X_2, 4, 10)],
                         ids=lambda x: getattr(x, "name", str(x)))
def test_stop_running_elsewhere(target, cpus, rounds):
    """Four vCPUs that other processors run stop and restart at any moment, promptly."""
    chance = random.Random(2)
    with Machine.boot(guests_iso(BUSY, cpus, "64M"), on=target) as machine:
        begin(machine)
        took, caught = [], 0
        for i in range(rounds):
            name = BUSY[i % len(BUSY)]
            _, starts = listed(machine)[name]
            machine.command(f"vm start {name}", 20)
            time.sleep(chance.uniform(0, 0.5))
            running = listed(machine)[name][0] == "running"
            caught += running
            if running and i % 2:
                machine.command(f"vm reset {name}", PROMPTLY)
                wait_for(machine, name,
                         lambda state, n: state == "stopped" or n == starts + 2)
                time.sleep(chance.uniform(0, 0.3))
            took.append(stop(machine, name))
        assert caught > rounds // 2, f"only {caught} of {rounds} were still running"
        check_neighbour(machine)
        log = machine.output()
        assert "killed" not in log and "panic" not in log, machine.tail()
        print(f"{caught} of {rounds} running, stops took {max(took):.2f} s at most")


RESTING = 100  # ms between two lives of a guest that resets itself at once, at least


def lives_shortly(name, how):
    return (name, {"kernel": f"{how}.elf", "memory": "64M", "debug-exit": "0xf4",
                   "cmdline": "hosted fast at-once", "console": "no", "autostart": "no",
                   "on-exit": "restart"})


def test_restart_loop():
    """Guests that reset themselves or end at once, for ever: others have the boot CPU's time."""
    loops = {"reset": "reset", "ends": "hello"}
    spin = ("spin", {"kernel": "spin.elf", "memory": "16M", "cmdline": "hosted", "console": "yes",
                     "debug-exit": "0xf4", "autostart": "yes"})
    iso = make_iso(conf(spin, *(lives_shortly(*x) for x in loops.items())),
                   {f"{x}.elf": image(x) for x in ("spin", "reset", "hello")})
    with Machine.boot(iso) as machine:
        begin(machine)
        for name in loops:
            machine.command(f"vm start {name}")
        before, start = listed(machine), time.monotonic()
        time.sleep(4)
        after, seen = listed(machine), time.monotonic() - start
        check_neighbour(machine)
        for name in loops:
            lives = after[name][1] - before[name][1]
            assert 5 <= lives <= seen * 1000 / RESTING + 1, f"{name}: {lives} in {seen} s"
            print(f"{name}: {lives} in {seen:.1f} s")
        log = machine.command("log", 20)
        assert "lines not shown" not in log, log
        for name in loops:
            # Most of the time it rests; stopped then, it never comes back.
            wait_for(machine, name, lambda state, _: state == "restarting")
            machine.command(f"vm start {name}")
            stop(machine, name)
            starts = listed(machine)[name][1]
            time.sleep(3 * RESTING / 1000)
            assert listed(machine)[name] == ("stopped", starts)
        assert "busy: reset is restarting" in machine.output()
        # A life that is not so short needs no rest.
        machine.command("vm reset spin")
        assert listed(machine)["spin"] == ("running", 2)
