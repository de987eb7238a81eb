# SPDX-License-Identifier: BSD-2-Clause
"""What each test guest of tests/guest is expected to do, bare on the emulator and under Socle.

Exit statuses are those of tests/guest/rt/rt.h. A difference between bare and hosted is a
documented one here, or a bug; so is one between machines.
"""
import re
from dataclasses import dataclass, field, replace
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
    bare_fails: list = ()      # likewise, bare on another emulator than QEMU
    cpus: int = 1              # virtual CPUs, or the emulator's own
    memory: int = 64           # in MiB
    settings: dict = field(default_factory=dict)  # further keys of socle.conf
    devices: list = ()         # further options of QEMU, bare


SPECIAL = [
    Guest("x2apic", bare=SKIP, why="QEMU's TCG has no x2APIC, Socle offers it on any host"),
    Guest("lbr", SKIP, SKIP, why="no emulator records branches"),
    Guest("pmu", SKIP, SKIP, why="no emulator has counters that count"),
    Guest("pks", hosted=SKIP, why="this model of CPU has no protection keys of supervisor pages"),
    Guest("spec_ctrl", SKIP, SKIP, why="this model of CPU has no SPEC_CTRL"),
    Guest("cr_bad", SKIP, SKIP, why="QEMU's TCG checks no bits of the control registers"),
    Guest("cr_kill", None, None, log=r".*", why="a fault, or VMRUN refuses the state"),
    Guest("cpu_model", SKIP, settings={"cpu": "baseline"}, why="Socle's CPU models"),
    Guest("pku", hosted=SKIP, why="no protection keys, or no size of PKRU in leaf 0xD (Bochs)"),
    Guest("triple_fault", None, None, log=r"triple fault", why="resets bare, is killed hosted"),
    Guest("runoff", None, None, log=r"(?i)(unmapped|no memory|outside|fetch|memory)",
          why="loops for ever on ones bare, is killed hosted"),
    Guest("garbage", None, None, log=r".*", why="random code: only the host must live"),
    Guest("reset", None, None, why="ends the emulator bare, starts again hosted"),
    Guest("poweroff", None, None, log=r"(?i)power", why="ends the emulator bare"),
    Guest("spin", None, None, why="never ends: tests of the console stop it"),
    Guest("debug_status", 42, 42),
    Guest("memory", seconds=60),
    Guest("msr_walk", seconds=60),
    Guest("paint", seconds=60),
    Guest("port_scan", seconds=90),
    Guest("smp_start", cpus=4, seconds=60),
    Guest("ipi_modes", cpus=4, seconds=60),
    Guest("ipi_wake", cpus=4, seconds=90),
    Guest("ioapic_route", cpus=4, seconds=60),
    Guest("tlb_shootdown", cpus=4, seconds=90),
    Guest("smp_memory", cpus=4, memory=128, seconds=90),
    Guest("smp_timers", cpus=4, seconds=60),
    Guest("smp_tsc", cpus=4, seconds=60),
    Guest("smp_spin", cpus=4, seconds=120),
    Guest("smp_mmio", cpus=4, seconds=60),
    Guest("smp_stop", cpus=4),
    Guest("smp_triple", None, None, cpus=4, log=r"triple fault",
          why="resets bare, is killed hosted"),
    Guest("smp_reset", None, None, cpus=4, why="ends the emulator bare, starts again hosted"),
    *[Guest(f"cet_{part}", SKIP, SKIP, why="this model of CPU has no shadow stacks")
      for part in ("user", "super", "ibt", "xsaves", "msr")],
    Guest("cet_init", SKIP, SKIP, cpus=2, why="this model of CPU has no shadow stacks"),
    Guest("virtio_rng", settings={"rng": "yes"},
          devices=["-device", "virtio-rng-pci,disable-legacy=on"]),
    Guest("virtio_blk", settings={"disk": "memory 1M"},
          devices=["-drive", "if=none,id=disk,driver=null-co,size=1M,read-zeroes=on,snapshot=on",
                   "-device", "virtio-blk-pci,disable-legacy=on,drive=disk,serial=bare"]),
    Guest("virtio_hostile", SKIP, cpus=2, seconds=90, why="the devices that must stand it are Socle's",
          settings={"rng": "yes", "disk": "memory 1M", "console": "virtio"}),
    Guest("page_move", SKIP, cpus=4, seconds=90, settings={"test-device": "yes"},
          why="the device that moves pages is Socle's"),
]

# What differs on another machine than QEMU: fields of Guest by machine and guest.
PAGED_REAL_MODE = {"panic": r"EFER.LMA is set when CR0.PE=0", "hosted": PASS,
                   "why": "Bochs panics when a guest of SVM in long mode clears CR0.PE"}
NO_KICKS = {"cmdline": "opens", "why": "Bochs interrupts no guest that has interrupts off"}
BOCHS_SVM = {  # all of it faults of Bochs 2.7
    "page_move": NO_KICKS,
    "smp_spin": NO_KICKS,
    "smp_start": NO_KICKS,
    "cr_bad": PAGED_REAL_MODE,
    "cr_kill": PAGED_REAL_MODE,
    "exceptions": {"fails": [r"DR6 is 0xffff0ff0 without BS", r"DR6 is 0xffff0ff0 without B0"],
                   "why": "Bochs drops the causes in DR6 where SVM intercepts #DB"},
    "realmode": {"cmdline": "touch-stack", "why": "Bochs reports an old event where a nested page "
                 "fault interrupts INT n, which reports none"},
    "triple_fault": {"panic": r"3rd .* exception with no resolution",
                     "why": "Bochs ignores SVM's shutdown intercept, and panics"},
    # The CPU that is to fault may wait for that of the one that spins.
    "smp_triple": {**NO_KICKS, "panic": r"3rd .* exception with no resolution",
                   "why": "Bochs ignores SVM's shutdown intercept, and panics"},
}
BOCHS_VMX = {
    "page_move": NO_KICKS,
    "smp_spin": NO_KICKS,
    "smp_start": NO_KICKS,
    "cr_bad": {"hosted": PASS, "why": "Bochs checks the control registers"},
    "cr_kill": {"hosted": PASS, "why": "the guest gets #GP"},
}
# Where Socle offers them only on request (xsavec_trial.c).
BOCHS_XSAVEC = {"xstate": {"settings": {"cpu": "host +xsavec +xsaves"}}}
CET = {"settings": {"cpu": "host +shstk +ibt"}}
# Faults of Bochs 2.7's control-flow enforcement, bare as under Socle.
CLRSSBSY = [r"CLRSSBSY: flags 0x3", r"CLRSSBSY of a free one: flags 0x2"]
XSAVES = [r"saving both: header 0x1000 ", r"saving both: they are not where they should be",
          r"saving CET_S: it is not behind the header", r"saving initial states: header 0x800 ",
          r"saving initial states: they were written", r"saving PL1_SSP: header 0x800",
          r"U_CET with bit 6: vector -1", r"SUPPRESS and TRACKER: vector -1",
          r"PL3_SSP misaligned: vector -1", r"PL0_SSP not canonical: vector -1"]
UNLISTED = [r"XSS takes 0", r"leaf 0xd.11: 0 0 0 0", r"leaf 0xd.12: 0 0 0 0", r"sizes 0, 0, 0, 0"]
ON_TIGERLAKE = {
    "spec_ctrl": {"bare": PASS, "hosted": PASS},
    "cet_user": {**CET, "bare": PASS, "hosted": PASS},
    "cet_super": {**CET, "bare": FAIL, "bare_fails": CLRSSBSY, "hosted": FAIL, "fails": CLRSSBSY,
                  "why": "Bochs' CLRSSBSY sets CF where it should be clear, and clears it else"},
    "cet_ibt": {**CET, "bare": PASS, "hosted": PASS},
    "cet_msr": {**CET, "bare": PASS, "hosted": PASS},
    "cet_init": {**CET, "bare": PASS, "hosted": PASS},
    "cet_xsaves": {**CET, "bare": FAIL, "bare_fails": UNLISTED + XSAVES, "hosted": FAIL,
                   "fails": XSAVES,
                   "why": "Bochs' XSAVES has the states of shadow stacks wrong, see testing.md"},
}
QEMU_TCG = {
    "pku": {"hosted": PASS},
    "pks": {"hosted": PASS},
    "cpu_model": {"cmdline": "rdtscp-works", "why": "TCG has no intercept of RDTSCP"},
}
DIFFERENT = {"qemu-max": QEMU_TCG, "bochs-ryzen": {**BOCHS_SVM, **BOCHS_XSAVEC},
             "bochs-ivy_bridge": BOCHS_VMX, "bochs-haswell": BOCHS_VMX,
             "bochs-skylake_x": {**BOCHS_VMX, **BOCHS_XSAVEC},
             "bochs-tigerlake": {**BOCHS_VMX, **BOCHS_XSAVEC, **ON_TIGERLAKE}}


def expected_on(target, guest):
    """@guest as it is expected on the machine of that name."""
    machine = re.sub(r"-\d+$", "", target)  # however many processors it has
    return replace(guest, **DIFFERENT.get(machine, {}).get(guest.name, {}))


def all_guests():
    """Every guest there is a source of, with its expectations."""
    special = {g.name: g for g in SPECIAL}
    names = sorted(p.stem for p in (ROOT / "tests/guest").glob("*.c"))
    unknown = set(special) - set(names)
    assert not unknown, f"no such guests: {unknown}"
    return [special.get(n, Guest(n)) for n in names]


def image(name):
    return ROOT / f"build/tests/guest/{name}.elf"
