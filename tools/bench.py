#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures what exits cost, in instructions, on AMD SVM and on Intel VMX.

usage: tools/bench.py [svm] [vmx]
Runs tests/bench/bench.c under Socle where the TSC counts instructions: for SVM in QEMU with
-icount shift=0,sleep=off, for VMX in Bochs. Prints one row for each kind of exit beside the floor,
a bare loop of entries and exits that Socle measures itself with its boot option `bench`. Then
Linux boots to its shell for the count of its exits. Writes build/bench.json (SVM) and
build/bench-vmx.json. docs/performance.md explains the rows.
"""
import json
import re
import struct
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))

from emulators import BOCHS_SKYLAKE_X, BOCHS_TIGERLAKE, QEMU_MAX, Target  # noqa: E402
from machine import (BUILD, ESCAPE, LINUX, LINUX_MODULES, PROMPT, Machine, conf,  # noqa: E402
                     make_iso, stopped)


@dataclass
class Bench:
    """One machine to measure on."""
    target: Target
    args: list      # further arguments of the emulator
    cpu: str        # its model there
    machine: str    # for the result
    version: list   # command that tells the emulator's version
    result: str     # file name
    goals: dict     # what the rows are held against: the goals of this project, in instructions
    counting: bool  # there is a build that counts accesses to the control structure
    several: bool   # its clock counts with several processors, too
    more: list      # other machines, which have MSRs that the first lacks


ICOUNT = ["-icount", "shift=0,sleep=off", "-rtc", "base=2024-01-01,clock=vm", "-seed", "1"]
BENCHES = {
    "svm": Bench(
        QEMU_MAX, ICOUNT, "max,-rdrand", "TCG, -cpu max,-rdrand -icount shift=0,sleep=off",
        ["qemu-system-x86_64", "--version"], "bench.json",
        {"cpuid": 120, "vmmcall": 100, "port_read": 200, "port_write": 200, "msr_read": 150,
         "msr_write": 150, "mmio_read_decode": 600, "mmio_read": 350, "mmio_write": 350,
         "apic_eoi": 350, "self_ipi": 950, "ipi_spinning": 3550, "ipi_halted": 3240},
        False, False, []),
    "vmx": Bench(
        BOCHS_SKYLAKE_X, [], "skylake_x", "corei7_skylake_x", ["bochs-bin", "--help"],
        "bench-vmx.json",
        {"cpuid": 100, "vmcall": 90, "port_read": 150, "port_write": 150, "msr_read": 120,
         "msr_write": 120, "apic_eoi": 10}, True, True, [BOCHS_TIGERLAKE]),
}


def run(bench, elf=None, command=None, guest="bench", cpus=1, vcpus=1, idle=0, more=None):
    """The output of the bench guest @guest, and that of @command at the prompt afterwards.

    The machine has @cpus processors, the guest @vcpus and the settings @more; @idle guests that do
    nothing run beside it.
    """
    settings = {"kernel": f"{guest}.elf", "memory": "160M", "cpus": vcpus, "autostart": "yes",
                "console": "yes", "debug-exit": "0xf4", "cmdline": "hosted", **(more or {})}
    still = {"kernel": "bench.elf", "memory": "16M", "autostart": "yes", "console": "no",
             "cmdline": "idle"}
    guests = [(f"idle{i}", still) for i in range(idle)] + [("bench", settings)]
    modules = {f"{x}.elf": BUILD / f"tests/bench/{x}.elf" for x in {guest, "bench"}}
    # As a real machine has it; Bochs' fault there (docs/testing.md) does not harm the bench guests.
    iso = make_iso(conf(*guests), modules, options="bench apicv=on",
                   **({"elf": elf} if elf else {}))
    with Machine.boot(iso, *bench.args, on=replace(bench.target, cpus=cpus, memory=1024),
                      cpu=bench.cpu, seconds=300) as machine:
        machine.expect(stopped("bench"))
        status, out = machine.match(1), machine.output()
        if status != "0":
            sys.exit(f"bench: the guest failed:\n{out}")
        if command:
            machine.to_prompt()
            machine.command(command)
        return machine.output()


def measure(bench):
    """Rows of the guest and of the hypervisor: name to ticks, and the floor."""
    out = run(bench)
    rows = {name: int(n) for name, n in re.findall(r"BENCH: (\w+) (\d+)", out)}
    floor = re.search(r"BENCH-FLOOR: (\d+)", out)
    boot = re.search(r"BENCH-BOOT: (\d+)", out)
    if boot:
        rows["boot_to_guest"] = int(boot.group(1))
    return rows, int(floor.group(1)) if floor else 0


def measure_smp(bench):
    """Rows of the guest with several vCPUs on one processor and, where ticks count, on two."""
    rows = {}
    for cpus, suffix in ((1, ""), (2, "_on_2"))[:2 if bench.several else 1]:
        out = run(bench, guest="bench_smp", cpus=cpus, vcpus=4)
        rows.update({name + suffix: int(n)
                     for name, n in re.findall(r"BENCH: (\w+) (\d+)", out)})
    return rows


def policies(out):
    """What `policy msr` said of each register: index to the actions of reads and writes."""
    found = {}
    for first, last, read, write in re.findall(
            r"^(0x[0-9a-f]+)(?:-(0x[0-9a-f]+))? +\S+ +([a-z]+) +([a-z]+) ", out, re.M):
        for index in range(int(first, 16), int(last or first, 16) + 1):
            found[index] = read, write
    return found


def measure_msrs(bench, floor):
    """Accesses to MSRs: rows of name, action, ticks and exits; on all machines of @bench.

    An exit cannot cost less than the floor, and what is direct must cost less than that. The guest
    has had switched ones be switched.
    """
    rows = {}
    for target in [bench.target, *bench.more]:
        cpu = bench.cpu if target is bench.target else target.cpu
        out = run(replace(bench, target=target, cpu=cpu), guest="bench_msr",
                  command="policy msr bench")
        policy = policies(out)
        for name, index, *ticks in re.findall(
                r"BENCH-MSR: (\w+) (0x[0-9a-f]+) (\d+) (\d+|-)", out):
            for how, action, n in zip(("read", "write"), policy[int(index, 16)], ticks):
                if n == "-" or f"{name}_{how}" in rows:
                    continue
                exits = int(int(n) >= floor)
                if exits != int(action not in ("direct", "switched")):
                    sys.exit(f"bench: {name} is {action}, but a {how} takes {n} instructions")
                rows[f"{name}_{how}"] = action, int(n), exits
    return rows


def measure_virtio(bench):
    """Paravirtual devices under load: name to what one request costs, and how many share an exit."""
    rows = {}
    out = run(bench, guest="bench_virtio", more={"disk": "memory 16M"})
    for name, *numbers in re.findall(r"BENCH-VIRTIO: (\w+) (\d+) (\d+) (\d+) (\d+) (\d+)", out):
        requests, size, notifications, interrupts, ticks = map(int, numbers)
        rows[name] = {"requests": requests, "bytes": size, "notifications": notifications,
                      "interrupts": interrupts, "ticks": round(ticks / requests),
                      "kib_per_million": round(requests * size * 1000000 / 1024 / ticks)}
    return rows


def lost_exits(bench):
    """Exits that the guest gets in a fixed time, alone and beside 31 idle ones."""
    found = {}
    for idle, name in ((0, "exits_alone"), (31, "exits_beside_31_idle")):
        out = run(bench, idle=idle)
        found[name] = int(re.search(r"BENCH: exits_in_time (\d+)", out).group(1))
    return found


def accesses(bench):
    """VMREADs and VMWRITEs of one exit: row name to their number."""
    names = {"cpuid": "cpuid", "vmcall": "vmcall", "io": "port", "rdmsr": "msr_read",
             "wrmsr": "msr_write", "ept-violation": "mmio"}
    out = run(bench, elf=BUILD / "count/socle.elf", command="stats bench")
    out = out.split("per exit", 1)[-1]
    found = dict(re.findall(r"^\s*([\w-]+)\s+(\d+\.\d+)\s*$", out, re.M))
    return {f"{row}_vmcs_accesses": float(found[name])
            for name, row in names.items() if name in found}


def sizes():
    """Size of the stripped ELF file, and of the memory that it occupies, in bytes."""
    elf = BUILD / "socle.elf"
    stripped = BUILD / "socle.stripped.elf"
    subprocess.run(["strip", "-o", stripped, elf], check=True)
    data = stripped.read_bytes()
    offset, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    resident = 0
    for i in range(count):
        kind, = struct.unpack_from("<I", data, offset + i * size)
        if kind == 1:
            resident += struct.unpack_from("<Q", data, offset + i * size + 40)[0]
    return len(data), resident


def linux_exits(bench):
    """Exits from the start of Linux to its shell, by `stats linux`; None if not printed."""
    iso = make_iso(conf(("linux", LINUX)), LINUX_MODULES)
    with Machine.boot(iso, *bench.args, on=bench.target, cpu=bench.cpu, seconds=600) as machine:
        machine.login(600)
        machine.send(ESCAPE)
        machine.expect(PROMPT)
        out = machine.command("stats linux")
    total = re.search(r"(?i)total\D*(\d+)", out)
    return int(total.group(1)) if total else None


def version_of(bench):
    """First line of what the emulator says of itself that has a number in it."""
    out = subprocess.run(bench.version, capture_output=True, text=True, check=False)
    lines = [x.strip() for x in (out.stdout + out.stderr).splitlines() if re.search(r"\d\.\d", x)]
    return lines[0] if lines else bench.version[0]


def report(name, bench):
    """Measures on one machine, prints the table and writes the result."""
    machine = f"{version_of(bench)}, {bench.machine}"
    print(f"{name}: {machine}")
    rows, floor = measure(bench)
    rows.update(measure_smp(bench))
    counts = {x: rows.pop(x) for x in list(rows) if x.startswith("demand_pages")}
    rows.pop("exits_in_time")
    table = [{"name": row, "ticks": ticks, "floor": floor,
              "ratio": round(ticks / floor, 2) if floor else None}
             for row, ticks in rows.items()]
    print(f"{'exit':24} {'instructions':>12} {'floor':>6} {'ratio':>7} {'goal':>6}")
    for row in table:
        ratio = f"{row['ratio']:.1f}" if row["ratio"] else "-"
        print(f"{row['name']:24} {row['ticks']:12} {floor:6} {ratio:>7} "
              f"{bench.goals.get(row['name'], ''):>6}")
    msrs = measure_msrs(bench, floor)
    print(f"{'MSR access':24} {'instructions':>12} {'exits':>6}  policy")
    for row, (action, ticks, exits) in msrs.items():
        print(f"{row:24} {ticks:12} {exits:6}  {action}")
        table.append({"name": f"msr_{row}", "ticks": ticks, "floor": floor,
                      "ratio": round(ticks / floor, 2), "exits": exits})
    print(f"{'virtio, under load':24} {'instructions':>12} {'requests for one':>29}  KiB for")
    print(f"{'':24} {'per request':>12} {'notification':>17} {'interrupt':>11}  a million")
    for row, x in measure_virtio(bench).items():
        print(f"{row:24} {x['ticks']:12} {x['requests'] / x['notifications']:17.1f} "
              f"{x['requests'] / x['interrupts']:11.1f} {x['kib_per_million']:10}")
        table.append({"name": row, "ratio": None, "floor": 0, **x})
    more = {**counts, **lost_exits(bench)}
    more.update(zip(("elf_bytes", "resident_bytes"), sizes()))
    if bench.counting:
        more.update(accesses(bench))
    exits = linux_exits(bench)
    if exits is not None:
        more["linux_boot_exits"] = exits
    for row, value in more.items():
        table.append({"name": row, "ticks": value, "floor": 0, "ratio": None})
        print(f"{row:24} {value:12}")
    result = {"machine": machine, "unit": "instructions", "rows": table}
    (BUILD / bench.result).write_text(json.dumps(result, indent=1) + "\n")
    print(f"written: build/{bench.result}")


def main():
    for name in sys.argv[1:] or BENCHES:
        if name not in BENCHES:
            sys.exit(f"bench: unknown machine {name}: {' or '.join(BENCHES)}")
        report(name, BENCHES[name])


if __name__ == "__main__":
    main()
