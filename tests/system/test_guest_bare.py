# SPDX-License-Identifier: BSD-2-Clause
"""The test guests on the bare emulator: the reference for what they do under Socle."""
import subprocess

import pytest

from emulators import ROOT, qemu
from guests import SKIP, all_guests, image
from machine import clean

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
               "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-serial", "stdio",
               "-no-reboot")],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=guest.seconds + 30,
        check=False)
    out = clean((run.stdout + run.stderr).decode(errors="replace"))
    assert run.returncode == guest.bare << 1 & 0xff | 1, out
    if guest.bare == SKIP:
        pytest.skip(guest.why)
