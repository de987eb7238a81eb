# SPDX-License-Identifier: BSD-2-Clause
"""A machine in the emulator: boots ISOs made on the fly, talks over the serial port, watches."""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pexpect

from emulators import QEMU_MAX, ROOT, Qemu

BUILD = ROOT / "build"
PROMPT = r"socle> "
ESCAPE = "\x1d"  # Ctrl-]
FREEZES = BUILD / "results/freezes.txt"


class Freeze(Exception):
    """The emulator itself stopped answering: not Socle's doing, and counted."""


class Ended(AssertionError):
    """The emulator ended where it should not."""


def make_iso(conf, modules, options="", conf_module=True, elf=BUILD / "socle.elf"):
    """The ISO with socle.conf of text @conf and @modules (name to path or bytes); cached."""
    digest = hashlib.sha256()
    for part in ("1", conf, options, str(conf_module)):
        digest.update(part.encode() + b"\0")
    work = BUILD / "tests/iso"
    work.mkdir(parents=True, exist_ok=True)
    items = [("socle.elf", elf)]
    blobs = []
    for name, content in modules.items():
        if isinstance(content, (bytes, bytearray)):
            blob = work / ("blob-" + hashlib.sha256(content).hexdigest()[:16])
            if not blob.exists():
                part = Path(f"{blob}.{os.getpid()}")
                part.write_bytes(content)
                part.rename(blob)
            content = blob
            blobs.append(blob)
        items.append((name, Path(content)))
    for name, path in items:
        stat = path.stat()
        digest.update(f"{name} {path} {stat.st_size} {stat.st_mtime_ns}\0".encode())
    iso = work / f"{digest.hexdigest()[:16]}.iso"
    if iso.exists():
        return iso
    with tempfile.TemporaryDirectory(dir=work) as tmp:
        cfg, conf_file = Path(tmp) / "grub.cfg", Path(tmp) / "socle.conf"
        conf_file.write_text(conf)
        lines = ["set timeout=0", "set default=0", "menuentry test {",
                 f"\tmultiboot2 /boot/socle.elf {options}"]
        if conf_module:
            items.insert(1, ("socle.conf", conf_file))
        lines += [f"\tmodule2 /boot/{n} {n}" for n, _ in items[1:]]
        cfg.write_text("\n".join(lines + ["}", ""]))
        out = Path(tmp) / "out.iso"
        subprocess.run([ROOT / "tools/iso", out, cfg, *(f"{n}={p}" for n, p in items)],
                       check=True, cwd=ROOT)
        out.rename(iso)
    return iso


class Machine:
    """An emulator process. Use it with `with`; it never outlives the block."""

    def __init__(self, *args, seconds=60, start=Qemu, patience=1, **more):
        self.dir = tempfile.mkdtemp(prefix="socle-")
        self.emulator = start(self.dir, *args, **more)
        self.seconds, self.patience = seconds, patience
        self.marks = 0
        self.log = open(os.path.join(self.dir, "serial"), "wb")
        self.child = pexpect.spawn(
            self.emulator.command[0], self.emulator.command[1:], timeout=seconds * patience,
            maxread=65536, echo=False, cwd=str(ROOT))
        self.child.logfile_read = self.log
        self.child.delaybeforesend = None
        # An emulator under load takes its time to die.
        self.child.ptyproc.delayafterterminate = 5

    @classmethod
    def boot(cls, iso, *args, on=QEMU_MAX, memory=None, uefi=False, cpu=None, seconds=60):
        """Boots an ISO; @args are further arguments for the emulator."""
        return cls(iso, *args, start=on.emulator.boot, patience=on.patience, seconds=seconds,
                   cpu=cpu or on.cpu, memory=memory or on.memory, cpus=on.cpus, uefi=uefi)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.child.close(force=True)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def alive(self):
        return self.child.isalive()

    def output(self):
        """Everything that came over the serial port so far."""
        self.log.flush()
        with open(self.log.name, "rb") as f:
            return clean(f.read().decode(errors="replace"))

    def tail(self):
        return "\n".join(self.output().splitlines()[-40:])

    def expect(self, pattern, seconds=None):
        """Waits for @pattern (a regular expression or a list); the watchdog of every test."""
        seconds = (seconds or self.seconds) * self.patience
        try:
            return self.child.expect(pattern, timeout=seconds)
        except pexpect.TIMEOUT:
            where = self.emulator.diagnosis()
            if where is None and self.alive():
                FREEZES.parent.mkdir(parents=True, exist_ok=True)
                with open(FREEZES, "a", encoding="utf-8") as f:
                    f.write(f"{time.time():.0f} waiting for {pattern!r}\n")
                raise Freeze(f"the emulator froze, waiting for {pattern!r}\n"
                             f"{self.tail()}") from None
            raise AssertionError(f"no {pattern!r} within {seconds} s ({where or 'ended'}):\n"
                                 f"{self.tail()}") from None
        except pexpect.EOF:
            raise Ended(f"the emulator ended, no {pattern!r} ({self.emulator.diagnosis()}):\n"
                        f"{self.tail()}") from None

    def expect_end(self, seconds=None):
        """Waits until the machine is off."""
        seconds = (seconds or self.seconds) * self.patience
        try:
            self.child.expect(pexpect.EOF, timeout=seconds)
        except pexpect.TIMEOUT:
            raise AssertionError(f"still on after {seconds} s:\n{self.tail()}") from None

    def before(self):
        """What came before the last match."""
        return clean((self.child.before or b"").decode(errors="replace"))

    def match(self, group=0):
        return clean(self.child.match.group(group).decode(errors="replace"))

    def send(self, text):
        self.child.send(text)

    # Socle's prompt.

    def to_prompt(self, seconds=None):
        """Waits for Socle's prompt; asks for it once if it does not come by itself."""
        try:
            self.child.expect(PROMPT, timeout=3 * self.patience)
        except pexpect.TIMEOUT:
            self.send(ESCAPE)
            self.expect(PROMPT, seconds)

    def command(self, line, seconds=None):
        """Runs one command at Socle's prompt and returns its output.

        Log lines may come at any time and draw the prompt anew, so a mark says where it ends.
        """
        self.marks += 1
        mark = f"END-MARK-{self.marks}"
        self.send(f"{line}\r")
        self.send(f"echo {mark}\r")
        self.expect(rf"[\r\n]{mark}\r*\n", seconds)
        out = self.before()
        self.expect(PROMPT)
        return "".join(x + "\n" for x in out.splitlines() if not x.startswith("socle> "))

    # A Linux shell on the serial port.

    def login(self, seconds=120):
        self.expect(r"guest:/root# ", seconds)

    def shell(self, line, seconds=None):
        """Runs a command in the guest's shell; its output, and fails on another exit status."""
        self.send(f"{line}; echo END''MARK=$?\r")
        self.expect(r"ENDMARK=(\d+)\s", seconds)
        status, out = int(self.match(1)), self.before()
        self.expect(r"guest:[^\r\n]*# ")
        out = out.split("MARK=$?", 1)[-1].lstrip("\n")
        assert status == 0, f"{line}: exit status {status}: {out}"
        return out


def clean(text):
    """Without carriage returns and terminal control sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


def conf(*sections):
    """Text of a socle.conf: each section is a (name, settings) pair."""
    text = ""
    for name, settings in sections:
        text += f"[vm {name}]\n"
        for key, value in settings.items():
            for one in value if isinstance(value, list) else [value]:
                text += f"{key} = {one}\n"
        text += "\n"
    return text


LINUX = {"kernel": "vmlinuz", "initrd": "initrd", "cmdline": "console=ttyS0,115200",
         "memory": "256M", "console": "yes", "autostart": "yes"}
LINUX_MODULES = {"vmlinuz": BUILD / "guest/vmlinuz", "initrd": BUILD / "guest/initrd"}


def stopped(name, how=r"debug-exit, status (\d+)"):
    """Pattern of the log line for a guest that ended."""
    return rf"vm {name}: stopped: {how}"
