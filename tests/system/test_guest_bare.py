# SPDX-License-Identifier: BSD-2-Clause
"""The test guests on the bare emulator: the reference for what they do under Socle."""
import re
import subprocess
from dataclasses import replace

import pexpect
import pytest

from emulators import BOCHS_TIGERLAKE, ROOT, qemu
from guests import FAIL, SKIP, all_guests, expected_on, image
from machine import Machine, clean

GUESTS = [g for g in all_guests() if g.bare is not None]


@pytest.mark.parametrize("guest", GUESTS, ids=lambda g: g.name)
def test_bare(guest, tmp_path):
    modules = []
    if guest.name == "mb_info":
        (tmp_path / "a").write_text("first module")
        (tmp_path / "b").write_text("second module")
        modules = ["-initrd", f"{tmp_path}/a one,{tmp_path}/b two words"]
    words = " ".join(["bare", guest.cmdline, "modules" if modules else ""])
    run = subprocess.run(
        ["qemu-system-x86_64",
         *qemu("-cpu", "max", "-m", guest.memory, "-smp", guest.cpus, "-kernel", image(guest.name), "-append", words, *modules,
               *guest.devices,
               "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-serial", "stdio",
               "-no-reboot")],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=guest.seconds + 30,
        check=False)
    out = clean((run.stdout + run.stderr).decode(errors="replace"))
    assert run.returncode == guest.bare << 1 & 0xff | 1, out
    if guest.bare == SKIP:
        pytest.skip(guest.why)


# What QEMU does not have; Bochs boots a guest by GRUB only, and has no debug-exit port.
ON_BOCHS = [g for g in (expected_on(BOCHS_TIGERLAKE.name, g) for g in GUESTS)
            if g.name.startswith("cet_") or g.name == "spec_ctrl"]


@pytest.mark.parametrize("guest", ON_BOCHS, ids=lambda g: g.name)
def test_bare_bochs(guest, tmp_path):
    cfg, iso = tmp_path / "grub.cfg", tmp_path / "bare.iso"
    cfg.write_text("set timeout=0\nset default=0\nmenuentry bare {\n"
                   "\tmultiboot /boot/guest.elf bare\n}\n")
    subprocess.run([ROOT / "tools/iso", iso, cfg, f"guest.elf={image(guest.name)}"], check=True,
                   cwd=ROOT)
    target = replace(BOCHS_TIGERLAKE, cpus=guest.cpus)
    with Machine.boot(iso, on=target, memory=guest.memory) as machine:
        machine.expect([f"(PASS|FAIL|SKIP): {guest.name}"], guest.seconds)
        if machine.match(1) == "FAIL":
            for _ in guest.bare_fails[1:]:
                machine.expect(f"FAIL: {guest.name}", guest.seconds)
        # And no others.
        machine.child.expect([f"FAIL: {guest.name}", pexpect.TIMEOUT], timeout=1)
        failed = re.findall(rf"FAIL: {guest.name}: (.*)", machine.output())
        assert (guest.bare == FAIL) == bool(failed), machine.tail()
        assert len(failed) == len(guest.bare_fails) and all(
            re.search(*x) for x in zip(guest.bare_fails, failed)), machine.tail()
    if guest.bare_fails:
        pytest.skip(guest.why)
