# SPDX-License-Identifier: BSD-2-Clause
"""What each test guest of tests/guest is expected to do, bare on the emulator and under Socle.

Exit statuses are those of tests/guest/rt/rt.h. A difference between bare and hosted is a
documented one here, or a bug.
"""
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PASS, SKIP = 0, 77


@dataclass
class Guest:
    """One test guest; None as a status: it does not end by the debug-exit port there."""
    name: str
    bare: int | None = PASS    # status bare
    hosted: int | None = PASS  # status under Socle
    log: str = ""              # what Socle's log says, where it does not end by the port
    cmdline: str = ""          # further words on the command line
    seconds: int = 30          # limit
    why: str = ""              # reason for a difference


SPECIAL = [
    Guest("x2apic", bare=SKIP, why="QEMU's TCG has no x2APIC, Socle offers it on any host"),
    Guest("cr_bad", SKIP, SKIP, why="QEMU's TCG checks no bits of the control registers"),
    Guest("cr_kill", None, None, log=r".*", why="a fault, or VMRUN refuses the state"),
    Guest("triple_fault", None, None, log=r"triple fault", why="resets bare, is killed hosted"),
    Guest("runoff", None, None, log=r"(?i)(unmapped|no memory|outside|fetch|memory)",
          why="loops for ever on ones bare, is killed hosted"),
    Guest("garbage", None, None, log=r".*", why="random code: only the host must live"),
    Guest("reset", None, None, why="ends the emulator bare, starts again hosted"),
    Guest("poweroff", None, None, log=r"(?i)power", why="ends the emulator bare"),
    Guest("spin", None, None, why="never ends: tests of the console stop it"),
    Guest("debug_status", 42, 42),
    Guest("memory", seconds=60),
    Guest("msr_scan", seconds=60),
    Guest("port_scan", seconds=90),
]


def all_guests():
    """Every guest there is a source of, with its expectations."""
    special = {g.name: g for g in SPECIAL}
    names = sorted(p.stem for p in (ROOT / "tests/guest").glob("*.c"))
    unknown = set(special) - set(names)
    assert not unknown, f"no such guests: {unknown}"
    return [special.get(n, Guest(n)) for n in names]


def image(name):
    return ROOT / f"build/tests/guest/{name}.elf"
