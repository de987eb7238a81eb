# SPDX-License-Identifier: BSD-2-Clause
"""Sixteen Linux guests of two virtual CPUs each: some die, the others notice nothing of it."""
import re
import time
from dataclasses import replace

import pytest

from emulators import QEMU_MAX
from machine import ESCAPE, LINUX, LINUX_MODULES, PROMPT, Machine, conf, make_iso
from test_linux import BRIEF, bad_lines

# Two processors for guests: docs/support.md says why the first of several has none on QEMU.
MACHINE = replace(QEMU_MAX, name="qemu-max-3", patience=2, memory=3584, cpus=3)
GUESTS = 16
STOPPED = ["g1", "g6", "g11"]  # by the administrator
OFF = "g2"                     # turns itself off
TRIPLE = "g3"                  # a triple fault, which is how it was told to reboot
PANICS = "g4"                  # and resets itself then
BUSY = "g8"                    # all of its vCPUs compute meanwhile
DIE = [*STOPPED, OFF, TRIPLE, PANICS]
# What Linux says of a machine that does not run as it should, also when others keep it waiting.
ILL = re.compile(r"BUG:|WARNING:|Oops|rcu.*stall|lockup|Marking clocksource|self-detected|"
                 r"hung_task|blocked for more than|nobody cared|timed out")


def name(i):
    return f"g{i}"


def settings(i):
    more = {TRIPLE: " reboot=t", PANICS: " panic=1"}.get(name(i), "")
    return {**LINUX, "cmdline": BRIEF + more, "memory": "128M", "cpus": 2}


def to_shell(machine, guest, seconds=60):
    """From Socle's prompt to the shell of @guest; what it said meanwhile."""
    seen = len(machine.output())
    machine.send(f"console {guest}\r")
    machine.expect(rf"console of {guest},", seconds)
    time.sleep(0.3)
    machine.send("\r")
    machine.login(seconds)
    return machine.output()[seen:]


def to_socle(machine):
    machine.send(ESCAPE)
    machine.expect(PROMPT)


def visit(machine, guest, line, seconds=60):
    """One command in @guest's shell: what its console had in store, and the answer."""
    before = to_shell(machine, guest, seconds)
    answer = machine.shell(line, seconds)
    to_socle(machine)
    return before, answer


def uptime(machine, guest):
    _, answer = visit(machine, guest, "cat /proc/uptime")
    return time.monotonic(), float(answer.split()[0])


def states(machine):
    out = machine.command("vm list", 20)
    return dict(re.findall(r"^(g\d+) +(\w+)", out, re.MULTILINE)), out


def wait_state(machine, guest, state, seconds=20):
    end = time.monotonic() + seconds * machine.patience
    while True:
        found, out = states(machine)
        if found[guest] == state:
            return out
        assert time.monotonic() < end, f"{guest} is not {state}:\n{out}"
        time.sleep(0.2)


def boot_all(machine):
    """All reach their shells and can be used; no kernel complains of anything."""
    machine.to_prompt(60)
    for i in range(GUESTS):
        guest = name(i)
        _, answer = visit(machine, guest, f"echo {guest} > /tmp/me; nproc; dmesg | wc -l", 200)
        assert answer.split()[0] == "2" and int(answer.split()[1]) > 100, answer
        _, log = visit(machine, guest, "dmesg -c")
        found = [x for x in log.splitlines() if ILL.search(x)]
        assert not found, f"{guest}: {found}"


def kill_some(machine):
    """Each guest of DIE ends in its own way."""
    visit(machine, BUSY, "for i in 1 2 3; do while :; do :; done & done")
    for guest in STOPPED:
        machine.command(f"vm stop {guest}", 20)
    to_shell(machine, OFF)
    machine.send("poweroff -f\r")
    machine.expect(rf"vm {OFF}: stopped: powered off by the guest", 30)
    machine.to_prompt()
    to_shell(machine, TRIPLE)
    machine.send("reboot -f\r")
    machine.expect(rf"vm {TRIPLE}: stopped: killed: [^\r\n]*triple fault", 30)
    machine.to_prompt()
    to_shell(machine, PANICS)
    machine.send("echo c > /proc/sysrq-trigger\r")
    machine.expect("Kernel panic - not syncing: sysrq triggered crash", 30)
    machine.expect(rf"vm {PANICS}: reset", 30)
    to_socle(machine)
    for guest in [*STOPPED, OFF, TRIPLE]:
        wait_state(machine, guest, "stopped")


def undisturbed(machine, guest, before):
    """@guest is the one that it was, its clock went on, and neither it nor its kernel complains."""
    host, up = uptime(machine, guest)
    passed = host - before[0]
    assert abs((up - before[1]) - passed) < 2 + passed / 20, \
        f"{guest}: {up - before[1]:.1f} s instead of {passed:.1f}"
    stored, answer = visit(machine, guest, "nproc; cat /tmp/me; dmesg")
    assert answer.split()[:2] == ["2", guest], answer
    assert not bad_lines(answer), f"{guest}: {answer}"
    assert not [x for x in stored.splitlines() if ILL.search(x)], stored


@pytest.mark.xdist_group("many-guests")
def test_sixteen_guests():
    """All at once on two CPUs; then six end in different ways, and start again."""
    iso = make_iso(conf(*((name(i), settings(i)) for i in range(GUESTS))), LINUX_MODULES)
    with Machine.boot(iso, on=MACHINE) as machine:
        boot_all(machine)
        others = [name(i) for i in range(GUESTS) if name(i) not in DIE]
        before = {guest: uptime(machine, guest) for guest in others}
        kill_some(machine)
        found, out = states(machine)
        assert all(found[guest] == "running" for guest in others), out
        for guest in others:
            undisturbed(machine, guest, before[guest])
        for guest in DIE:
            if guest != PANICS:
                machine.command(f"vm start {guest}", 20)
        for guest in DIE:
            _, answer = visit(machine, guest, "nproc; ls /tmp; cut -d. -f1 /proc/uptime", 200)
            assert answer.split()[0] == "2" and len(answer.split()) == 2, f"{guest}: {answer}"
        _, out = states(machine)
        starts = dict(re.findall(r"^(g\d+) +running +2 +128M +(\d+)", out, re.MULTILINE))
        assert starts == {name(i): "2" if name(i) in DIE else "1" for i in range(GUESTS)}, out
        for guest in others:
            undisturbed(machine, guest, before[guest])
