# SPDX-License-Identifier: BSD-2-Clause
"""A build that checks the order of locks, and that none is held at an entry, under load."""
import re

import pytest

from emulators import BOCHS_SKYLAKE_X_2, QEMU_MAX_4
from guests import all_guests, expected_on, image
from machine import BUILD, LINUX, LINUX_MODULES, Machine, conf, make_iso
from test_guest_suite import judge

NAMES = ["ipi_wake", "tlb_shootdown", "smp_memory", "smp_timers", "smp_mmio", "page_move",
         "smp_reset", "smp_stop", "virtio_hostile", "virtio_rng"]


def settings(guest):
    return {"kernel": f"{guest.name}.elf", "memory": f"{guest.memory}M", "cpus": guest.cpus,
            "autostart": "no", "console": "yes", "debug-exit": "0xf4",
            "cmdline": f"hosted {guest.cmdline}".strip(), **guest.settings}


@pytest.mark.parametrize("target", [QEMU_MAX_4, BOCHS_SKYLAKE_X_2], ids=lambda t: t.name)
def test_locks(target):
    guests = [expected_on(target.name, x) for x in all_guests() if x.name in NAMES]
    sections = [(x.name, settings(x)) for x in guests]
    modules = {f"{x.name}.elf": image(x.name) for x in guests}
    if target is QEMU_MAX_4:
        sections.append(("linux", {**LINUX, "cpus": 4, "autostart": "no", "rng": "yes",
                                   "console": "virtio", "cmdline": "console=hvc0"}))
        modules.update(LINUX_MODULES)
    iso = make_iso(conf(*sections), modules, elf=BUILD / "debug/socle.elf")
    with Machine.boot(iso, on=target) as machine:
        machine.to_prompt()
        for guest in guests:
            if guest.hosted is not None:
                judge(machine, guest)
        if target is QEMU_MAX_4:
            machine.command("vm start linux")
            machine.send("console linux\r")
            machine.login()
            assert machine.shell("nproc").strip() == "4"
            machine.send("poweroff -f\r")
            machine.expect(r"vm linux: stopped: [^\r\n]*", 60)
            machine.to_prompt()
        answer = machine.command("cpu")
        print("INFO: " + answer.strip().splitlines()[-1])
        assert re.search(r"longest that a lock was held: \d+ TSC ticks, \w", answer)
