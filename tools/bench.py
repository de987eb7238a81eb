#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures what exits cost, in instructions, and writes build/bench.json.

Runs tests/bench/bench.c under Socle in QEMU with -icount shift=0,sleep=off, where the TSC counts
instructions, and prints one row for each kind of exit beside the floor: a bare VMRUN loop, which
Socle measures itself with its boot option `bench`. Then Linux boots to its shell for the count
of its exits. docs/performance.md explains the rows.
"""
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/system"))

from machine import (BUILD, ESCAPE, LINUX, LINUX_MODULES, PROMPT, Machine, conf,  # noqa: E402
                     make_iso, stopped)

ICOUNT = ["-icount", "shift=0,sleep=off", "-rtc", "base=2024-01-01,clock=vm", "-seed", "1"]
CPU = "max,-rdrand"
# What the rows are held against: the goals of this project, in instructions.
GOALS = {"cpuid": 120, "vmmcall": 100, "port_read": 200, "port_write": 200, "msr_read": 150,
         "msr_write": 150, "mmio_read_decode": 600, "mmio_read": 350, "mmio_write": 350,
         "apic_eoi": 350, "self_ipi": 950}


def measure():
    """Rows of the guest and of the hypervisor: name to ticks, and the floor."""
    settings = {"kernel": "bench.elf", "memory": "64M", "autostart": "yes", "console": "yes",
                "debug-exit": "0xf4", "cmdline": "hosted"}
    iso = make_iso(conf(("bench", settings)), {"bench.elf": BUILD / "tests/bench/bench.elf"},
                   options="bench")
    with Machine.boot(iso, *ICOUNT, cpu=CPU, seconds=300) as machine:
        machine.expect(stopped("bench"))
        status, out = machine.match(1), machine.output()
    if status != "0":
        sys.exit(f"bench: the guest failed:\n{out}")
    rows = {name: int(n) for name, n in re.findall(r"BENCH: (\w+) (\d+)", out)}
    floor = re.search(r"BENCH-FLOOR: (\d+)", out)
    boot = re.search(r"BENCH-BOOT: (\d+)", out)
    if boot:
        rows["boot_to_guest"] = int(boot.group(1))
    return rows, int(floor.group(1)) if floor else 0


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


def linux_exits():
    """Exits from the start of Linux to its shell, by `stats linux`; None if not printed."""
    iso = make_iso(conf(("linux", LINUX)), LINUX_MODULES)
    with Machine.boot(iso, *ICOUNT, cpu=CPU, seconds=600) as machine:
        machine.login(600)
        machine.send(ESCAPE)
        machine.expect(PROMPT)
        out = machine.command("stats linux")
    total = re.search(r"(?i)total\D*(\d+)", out)
    return int(total.group(1)) if total else None


def main():
    rows, floor = measure()
    table = [{"name": name, "ticks": ticks, "floor": floor,
              "ratio": round(ticks / floor, 2) if floor else None}
             for name, ticks in rows.items()]
    print(f"{'exit':18} {'instructions':>12} {'floor':>6} {'ratio':>7} {'goal':>6}")
    for row in table:
        ratio = f"{row['ratio']:.1f}" if row["ratio"] else "-"
        print(f"{row['name']:18} {row['ticks']:12} {floor:6} {ratio:>7} "
              f"{GOALS.get(row['name'], ''):>6}")
    for name, value in zip(("elf_bytes", "resident_bytes"), sizes()):
        table.append({"name": name, "ticks": value, "floor": 0, "ratio": None})
        print(f"{name:18} {value:12}")
    exits = linux_exits()
    if exits is not None:
        table.append({"name": "linux_boot_exits", "ticks": exits, "floor": 0, "ratio": None})
        print(f"{'linux_boot_exits':18} {exits:12}")
    version = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True, text=True,
                             check=True).stdout.splitlines()[0]
    result = {"machine": f"{version}, TCG, -cpu {CPU} -icount shift=0,sleep=off", "unit": "instructions",
              "rows": table}
    (BUILD / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    print("written: build/bench.json")


if __name__ == "__main__":
    main()
