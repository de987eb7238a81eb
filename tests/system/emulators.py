# SPDX-License-Identifier: BSD-2-Clause
"""The emulators that tests run on, and the machines that they can be."""
import os
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Target:
    """A machine to boot on."""
    name: str       # in the tests' ids
    emulator: type  # Qemu or Bochs
    cpu: str        # the emulator's name of the model
    vendor: str     # "svm" or "vmx": what virtualization that model has
    patience: int   # how many times longer than QEMU it may take
    memory: int     # in MiB, where a test does not say
    cpus: int = 1   # of the machine


def qemu(*args):
    return ["-accel", "tcg", "-M", "q35", "-nic", "none", "-display", "none", *map(str, args)]


class Qemu:
    """One run of QEMU; its files are in @work."""

    def __init__(self, work, *args):
        self.monitor = os.path.join(work, "monitor")
        self.command = ["qemu-system-x86_64", *qemu(
            "-monitor", f"unix:{self.monitor},server=on,wait=off",
            "-chardev", "stdio,id=con,signal=off", "-serial", "chardev:con", *args)]

    @classmethod
    def boot(cls, work, iso, *args, cpu, memory, cpus=1, uefi=False):
        more = ["-smp", cpus] if cpus > 1 else []
        if uefi:
            variables = os.path.join(work, "vars.fd")
            shutil.copy("/usr/share/OVMF/OVMF_VARS_4M.fd", variables)
            more += ["-drive", "if=pflash,format=raw,readonly=on,"
                     "file=/usr/share/OVMF/OVMF_CODE_4M.fd",
                     "-drive", f"if=pflash,format=raw,file={variables}"]
        return cls(work, "-cpu", cpu, "-m", memory, *more, "-cdrom", iso, "-boot", "d", *args)

    def hmp(self, command, seconds=5):
        """The answer of the emulator's monitor; None if it does not answer."""
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(seconds)
                s.connect(self.monitor)
                answer = b""
                while b"(qemu) " not in answer:
                    answer += s.recv(65536)
                s.sendall(command.encode() + b"\n")
                answer = b""
                while b"(qemu) " not in answer:
                    answer += s.recv(65536)
                return answer.decode(errors="replace")
        except OSError:
            return None

    def diagnosis(self):
        """Where the CPU is, for a failed test; None if the emulator itself is stuck."""
        registers = self.hmp("info registers")
        if registers is None:
            return None
        rip = re.search(r"[ER]IP=\w+", registers)
        return rip.group() if rip else "no RIP"

    def panic(self):
        return None


class Bochs:
    """One run of Bochs by tools/bochs; its log is in @work."""

    def __init__(self, work, *args):
        self.log = os.path.join(work, "bochs.log")
        self.command = [str(ROOT / "tools/bochs"), "--log", self.log, *map(str, args)]

    @classmethod
    def boot(cls, work, iso, *args, cpu, memory, cpus=1, uefi=False):
        assert not uefi, "OVMF hangs in Bochs"
        return cls(work, "--cpu", cpu, "--memory", memory, "--cpus", cpus, *args, iso)

    def complaints(self, kinds):
        """The last lines of the log of @kinds, without those that report a plain exit."""
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                lines = [x.rstrip() for x in file if re.match(rf"\d+[{kinds}]\[", x)]
        except OSError:
            return []
        return [x for x in lines if "SVM VMEXIT: I/O port" not in x][-10:]

    def diagnosis(self):
        return "Bochs: " + ("\n".join(self.complaints("ep")) or "no complaints")

    def panic(self):
        """What Bochs panicked of, None if it did not; a power-off looks like one in its log."""
        lines = [x for x in self.complaints("p") if "soft power off" not in x]
        return lines[-1] if lines else None


QEMU_MAX = Target("qemu-max", Qemu, "max", "svm", 1, 1024)
QEMU_MAX_4 = Target("qemu-max-4", Qemu, "max", "svm", 2, 1024, 4)
BOCHS_RYZEN = Target("bochs-ryzen", Bochs, "ryzen", "svm", 4, 512)
BOCHS_SKYLAKE_X = Target("bochs-skylake_x", Bochs, "skylake_x", "vmx", 4, 512)
# Intel's first with EPT and unrestricted guests, and without APIC virtualization.
BOCHS_IVY_BRIDGE = Target("bochs-ivy_bridge", Bochs, "ivy_bridge", "vmx", 4, 512)
BOCHS_HASWELL = Target("bochs-haswell", Bochs, "haswell", "vmx", 4, 512)
BOCHS_TIGERLAKE = Target("bochs-tigerlake", Bochs, "tigerlake", "vmx", 4, 512)
BOCHS_RYZEN_2 = Target("bochs-ryzen-2", Bochs, "ryzen", "svm", 8, 512, 2)
BOCHS_IVY_BRIDGE_2 = Target("bochs-ivy_bridge-2", Bochs, "ivy_bridge", "vmx", 8, 512, 2)
BOCHS_SKYLAKE_X_2 = Target("bochs-skylake_x-2", Bochs, "skylake_x", "vmx", 8, 512, 2)
