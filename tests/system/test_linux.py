# SPDX-License-Identifier: BSD-2-Clause
"""An unmodified Debian Linux under Socle: boot, clean log, work, time, power-off, restart."""
import re
import time

import pytest

from emulators import BOCHS_HASWELL, BOCHS_RYZEN, BOCHS_SKYLAKE_X, BOCHS_TIGERLAKE
from machine import (BUILD, ESCAPE, LINUX, LINUX_MODULES, PROMPT, Machine, conf, make_iso)

BOCHS_TARGETS = [BOCHS_RYZEN, BOCHS_HASWELL, BOCHS_SKYLAKE_X, BOCHS_TIGERLAKE]
# What takes Linux longest on a slow machine: self-tests, certificates, tables of trace events.
BRIEF = ("console=ttyS0,115200 quiet cryptomgr.notests initcall_blacklist="
         "load_system_certificate_list,trace_eval_init,init_kprobe_trace,cubictcp_register")
# Lines of a kernel log that tell of something wrong.
BAD = re.compile(r"warn|oops|bug|unchecked msr|unable to handle|call trace|rip:|error|fail|"
                 r"spurious|bogus|broken|lockup|stall|unstable|nobody cared|mp-bios|timed out",
                 re.IGNORECASE)


def boot(memory="256M", cmdline=LINUX["cmdline"], settings=None, **more):
    iso = make_iso(conf(("linux", {**LINUX, "memory": memory, "cmdline": cmdline,
                                   **(settings or {})})), LINUX_MODULES)
    return Machine.boot(iso, **more)


def bad_lines(log):
    """The suspicious lines of a kernel log, without time stamps and numbers."""
    found = set()
    for line in log.splitlines():
        line = re.sub(r"^\[ *[\d.]+\] ", "", line)
        if BAD.search(line):
            found.add(re.sub(r"0x[0-9a-f]+|\d+", "N", line).strip())
    return found


# How Linux says that there are no performance counters; on AMD it has to try them.
NO_PMU = {"svm": "PMU not available due to virtualization, using software events only.",
          "vmx": "no PMU driver, software events only."}


@pytest.fixture(scope="module")
def bare_log():
    """The kernel log of the same kernel on the bare emulator."""
    with Machine("-cpu", "max", "-m", 256, "-kernel", BUILD / "guest/vmlinuz", "-initrd",
                 BUILD / "guest/initrd", "-append", LINUX["cmdline"]) as machine:
        machine.login()
        return machine.shell("dmesg")


@pytest.fixture(scope="module")
def linux():
    """A Linux guest at its shell, shared by the tests that leave it so."""
    with boot() as machine:
        machine.login()
        yield machine


@pytest.mark.quick
def test_boot_bios():
    with boot() as machine:
        machine.login()
        assert "x86_64" in machine.shell("uname -a")
        assert machine.shell("tty").strip() == "/dev/ttyS0"
        machine.send("poweroff\r")
        machine.expect(r"vm linux: stopped: [^\r\n]*", 60)
        machine.to_prompt()
        assert "linux" in machine.command("vm list")


@pytest.mark.quick
def test_boot_baseline():
    """With the lowest CPU model, whose features alone show."""
    with boot(settings={"cpu": "baseline"}) as machine:
        machine.login()
        flags = set(machine.shell("grep -m1 ^flags /proc/cpuinfo").split())
        assert {"lm", "sse4_2", "popcnt", "cx16", "x2apic", "hypervisor"} <= flags, flags
        assert not {"xsave", "avx", "avx2", "smep", "smap", "fsgsbase", "aes", "rdtscp"} & flags


@pytest.mark.parametrize("target", BOCHS_TARGETS, ids=lambda t: t.name)
def test_boot_bochs(target):
    """The same on another machine: to the shell, back to the prompt, and off."""
    with boot(memory="128M", cmdline=BRIEF, on=target) as machine:
        machine.login()
        for _ in range(3):  # busy with what uses AVX and sleeps
            machine.shell("dmesg | grep -c . > /dev/null")
        assert "x86_64" in machine.shell("uname -a")
        assert NO_PMU[target.vendor] in machine.shell("dmesg | grep PMU")
        machine.send("poweroff\r")
        machine.expect(r"vm linux: stopped: powered off by the guest", 60)
        machine.to_prompt()
        machine.send("poweroff\r")
        machine.expect_end(20)
        assert machine.emulator.panic() is None


def test_boot_uefi():
    with boot(uefi=True) as machine:
        machine.login(180)
        assert "Linux" in machine.shell("uname -a")


@pytest.mark.xdist_group("linux")
def test_log_clean(linux, bare_log):
    """No suspicious line that a bare boot of the same kernel does not have."""
    extra = bad_lines(linux.shell("dmesg")) - bad_lines(bare_log)
    assert not extra, "\n".join(sorted(extra))


@pytest.mark.xdist_group("linux")
def test_no_counters(linux):
    """The kernel finds no performance counters, and says so."""
    assert NO_PMU["svm"] in linux.shell("dmesg | grep PMU")


@pytest.mark.xdist_group("linux")
def test_memory(linux):
    """Random bytes in much of the memory are copied and compared, twice."""
    for _ in range(2):
        linux.shell("dd if=/dev/urandom of=/tmp/x bs=1M count=45 2>/dev/null", 180)
        linux.shell("cp /tmp/x /tmp/y && cmp /tmp/x /tmp/y", 180)
        first = linux.shell("md5sum < /tmp/x", 180)
        assert first == linux.shell("md5sum < /tmp/y", 180)
    linux.shell("rm /tmp/x /tmp/y")


@pytest.mark.xdist_group("linux")
def test_cpu_heavy(linux):
    """A long computation ends with the right result."""
    out = linux.shell("i=0 s=0; while [ $i -lt 300000 ]; do i=$((i+1)); s=$(((s*31+i)%1000003));"
                      " done; echo sum $s", 180)
    expected = 0
    for i in range(1, 300001):
        expected = (expected * 31 + i) % 1000003
    assert f"sum {expected}" in out


@pytest.mark.xdist_group("linux")
def test_processes(linux):
    """Many processes and signals."""
    out = linux.shell("for i in $(seq 100); do (echo $i > /tmp/p$i) & done; wait; "
                      "cat /tmp/p* | wc -l", 60)
    assert out.strip().endswith("100")


@pytest.mark.xdist_group("linux")
def test_clock(linux):
    """The clock is right, and keeps time within 1 % over a minute."""
    def uptime():
        out = linux.shell("cat /proc/uptime")
        return time.monotonic(), float(out.split()[0])

    guest_now = int(linux.shell("date +%s").split()[0])
    assert abs(guest_now - time.time()) < 5, "wall clock"
    host0, guest0 = uptime()
    time.sleep(60)
    host1, guest1 = uptime()
    rate = (guest1 - guest0) / (host1 - host0)
    assert 0.99 < rate < 1.01, f"guest's time runs at {rate:.4f}"
    start = time.monotonic()
    linux.shell("sleep 10")
    assert 9.8 < time.monotonic() - start < 11


@pytest.mark.xdist_group("linux")
def test_console_switch(linux):
    """Ctrl-] goes to Socle and back without harm to the shell."""
    linux.send(ESCAPE)
    linux.expect(PROMPT)
    out = linux.command("vm list")
    assert re.search(r"linux.*running", out), out
    assert linux.command("stats linux").strip()
    linux.send("console linux\r")
    linux.send("\r")
    linux.expect(r"guest:[^\r\n]*# ")
    assert "here" in linux.shell("echo he''re")


def test_poweroff_and_start_again():
    with boot() as machine:
        machine.login()
        machine.shell("echo left > /tmp/left")
        machine.send("poweroff\r")
        machine.expect(r"vm linux: stopped: [^\r\n]*", 60)
        machine.to_prompt()
        machine.send("vm start linux\r")
        machine.expect(PROMPT)
        machine.send("console linux\r")
        machine.login()
        assert machine.shell("ls /tmp; true").strip() == ""
        machine.send("reboot\r")
        machine.expect(r"Linux version", 60)
        machine.login()
        assert float(machine.shell("cat /proc/uptime").split()[0]) < 60
        machine.send("poweroff -f\r")
        machine.expect(r"vm linux: stopped: [^\r\n]*", 60)
