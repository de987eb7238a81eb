# SPDX-License-Identifier: BSD-2-Clause
"""Wrong input: the message names what is wrong and where, and the other guest still starts."""
import re

import pytest

from guests import image
from machine import BUILD, Machine, conf, make_iso, stopped

GOOD = ("good", {"kernel": "hello.elf", "memory": "32M", "debug-exit": "0xf4",
                 "autostart": "yes", "cmdline": "hosted"})
LINUX = {"kernel": "vmlinuz", "initrd": "initrd", "cmdline": "console=ttyS0", "memory": "64M"}


def run(text, modules=None, **more):
    """Boots, waits for the good guest's end, and returns all output at the prompt."""
    iso = make_iso(text, {"hello.elf": image("hello"), **(modules or {})}, **more)
    with Machine.boot(iso) as machine:
        machine.expect(stopped("good") + r"\b")
        assert machine.match(1) == "0"
        machine.to_prompt(20)
        machine.command("version")
        return machine.output()


def kernel_bytes():
    return (BUILD / "guest/vmlinuz").read_bytes()


def with_bad(settings):
    return conf(("bad", {"autostart": "yes", **settings}), GOOD)


SYNTAX = {
    # name: (text, line number of the complaint, what it must mention)
    "unknown_key": ("[vm bad]\nkernel = hello.elf\ncolour = red\n", 3, "colour"),
    "bad_memory": ("[vm bad]\nkernel = hello.elf\nmemory = lots\n", 3, "lots|memory"),
    "bad_yes_no": ("[vm bad]\nkernel = hello.elf\nautostart = perhaps\n", 3, "perhaps|autostart"),
    "bad_cpus": ("[vm bad]\nkernel = hello.elf\ncpus = 0\n", 3, "cpus"),
    # No emulator has counters that count: the reason comes from the probe at boot.
    "no_counters": ("[vm bad]\nkernel = hello.elf\ncpuset = 1\npmu = on\n", 4,
                    r'"pmu" must be off here, performance counters are not offered: .*the CPU'),
    "bad_on_exit": ("[vm bad]\nkernel = hello.elf\non-exit = explode\n", 3, "explode|on-exit"),
    "no_equals": ("[vm bad]\nkernel hello.elf\n", 2, "="),
    "bad_section": ("[virtual bad]\nkernel = hello.elf\n", 1, "vm"),
    "open_section": ("[vm bad\nkernel = hello.elf\n", 1, r"\]"),
    "no_section": ("kernel = hello.elf\n", 1, "section|vm"),
    "duplicate_key": ("[vm bad]\nkernel = hello.elf\nmemory = 32M\nmemory = 64M\n", 4, "memory"),
    "duplicate_vm": ("[vm bad]\nkernel = hello.elf\nautostart = no\n[vm bad]\n"
                     "kernel = hello.elf\n", 4, "bad"),
    "missing_module": ("[vm bad]\nkernel = nowhere.elf\n", 2, "nowhere.elf"),
    "binary": ("[vm bad]\n\x01\x02\x7f = \x03\n", 2, "."),
    "long_line": ("[vm bad]\nkernel = " + "x" * 5000 + "\n", 2, "."),
}


@pytest.mark.parametrize("name", SYNTAX)
def test_configuration(name):
    text, line, mention = SYNTAX[name]
    out = run(text + "\n" + conf(GOOD))
    found = re.findall(rf"socle\.conf:{line}: (.*)", out)
    assert found, out
    assert any(re.search(mention, x) for x in found), found


def complaint(out, pattern):
    """The lines about the guest `bad` or its line of the configuration."""
    lines = [x for x in out.splitlines() if re.search(r"vm bad|socle\.conf:\d+", x)]
    assert any(re.search(pattern, x, re.IGNORECASE) for x in lines), "\n".join(lines) or out


def test_no_bzimage():
    complaint(run(with_bad({**LINUX, "initrd": "junk", "kernel": "junk"}),
                  {"junk": b"this is no kernel" * 1000}), "junk|kernel|image")


def test_truncated_kernel():
    data = kernel_bytes()
    complaint(run(with_bad({**LINUX, "kernel": "short", "initrd": "junk"}),
                  {"short": data[:len(data) // 2], "junk": b"x" * 4096}), "truncated|short|large")


def test_tiny_kernel():
    complaint(run(with_bad({"kernel": "tiny", "memory": "32M"}), {"tiny": kernel_bytes()[:600]}),
              "truncated|tiny|image|kernel")


def test_truncated_elf():
    complaint(run(with_bad({"kernel": "short.elf", "memory": "32M"}),
                  {"short.elf": image("hello").read_bytes()[:3000]}), "truncated|short|image")


def test_initrd_too_large():
    complaint(run(with_bad({**LINUX, "initrd": "big"}),
                  {"vmlinuz": BUILD / "guest/vmlinuz", "big": b"\0" * (80 << 20)}),
              "initrd|large|memory")


def test_too_much_memory():
    complaint(run(with_bad({"kernel": "hello.elf", "memory": "64G"})), "memory")


def test_too_many_cpus():
    complaint(run(with_bad({"kernel": "hello.elf", "memory": "32M", "cpus": "65"})), "cpu")


def test_no_configuration():
    """Without socle.conf the prompt comes, and says what is missing."""
    with Machine.boot(make_iso("", {"hello.elf": image("hello")}, conf_module=False)) as machine:
        machine.expect(r"socle\.conf")
        machine.to_prompt(20)


@pytest.mark.quick
def test_no_svm():
    """Without SVM: one message that says which feature is missing and where to turn it on."""
    with Machine.boot(make_iso(conf(GOOD), {"hello.elf": image("hello")}),
                      cpu="max,-svm") as machine:
        machine.expect(r"(?i)(svm|virtualization)[^\r\n]*")
        machine.expect(r"(?i)(firmware|bios)[^\r\n]*", 20)


def test_no_npt():
    with Machine.boot(make_iso(conf(GOOD), {"hello.elf": image("hello")}),
                      cpu="max,-npt") as machine:
        machine.expect(r"(?i)nested paging[^\r\n]*")


def test_stack_overflow():
    """The page below a stack is not mapped: running into it is a double fault, told in full."""
    iso = make_iso(conf(GOOD), {"hello.elf": image("hello")}, options="selftest=stack")
    with Machine.boot(iso) as machine:
        machine.expect(r"none writable and executable")
        machine.expect(r"socle: exception 8,")
        machine.expect(r"socle: panic on CPU 0: exception 8 in the hypervisor")
        machine.expect(r"socle: stopped")
