# SPDX-License-Identifier: BSD-2-Clause
"""What each test guest of tests/guest is expected to do, bare on the emulator and under Socle.

Exit statuses are those of tests/guest/rt/rt.h. A difference between bare and hosted is a
documented one here, or a bug; so is one between machines.
"""
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PASS, FAIL, SKIP = 0, 1, 77


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
    panic: str = ""            # what the emulator itself dies of, under Socle
    fails: list = ()           # checks that fail by the emulator's fault, under Socle


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

# What differs on another machine than QEMU: fields of Guest by machine and guest.
PAGED_REAL_MODE = {"panic": r"EFER.LMA is set when CR0.PE=0", "hosted": PASS,
                   "why": "Bochs panics when a guest of SVM in long mode clears CR0.PE"}
BOCHS_SVM = {  # all of it faults of Bochs 2.7
    "cr_bad": PAGED_REAL_MODE,
    "cr_kill": PAGED_REAL_MODE,
    "exceptions": {"fails": [r"DR6 is 0xffff0ff0 without BS", r"DR6 is 0xffff0ff0 without B0"],
                   "why": "Bochs drops the causes in DR6 where SVM intercepts #DB"},
    "realmode": {"cmdline": "touch-stack", "why": "Bochs reports an old event where a nested page "
                 "fault interrupts INT n, which reports none"},
    "triple_fault": {"panic": r"3rd .* exception with no resolution",
                     "why": "Bochs ignores SVM's shutdown intercept, and panics"},
}
BOCHS_VMX = {
    "cr_bad": {"hosted": PASS, "why": "Bochs checks the control registers"},
    "cr_kill": {"hosted": PASS, "why": "the guest gets #GP"},
}
DIFFERENT = {"bochs-ryzen": BOCHS_SVM, "bochs-ivy_bridge": BOCHS_VMX,
             "bochs-haswell": BOCHS_VMX, "bochs-skylake_x": BOCHS_VMX,
             "bochs-tigerlake": BOCHS_VMX}


def expected_on(target, guest):
    """@guest as it is expected on the machine of that name."""
    return replace(guest, **DIFFERENT.get(target, {}).get(guest.name, {}))


def all_guests():
    """Every guest there is a source of, with its expectations."""
    special = {g.name: g for g in SPECIAL}
    names = sorted(p.stem for p in (ROOT / "tests/guest").glob("*.c"))
    unknown = set(special) - set(names)
    assert not unknown, f"no such guests: {unknown}"
    return [special.get(n, Guest(n)) for n in names]


def image(name):
    return ROOT / f"build/tests/guest/{name}.elf"
