# SPDX-License-Identifier: BSD-2-Clause
"""Several processors: Linux under load on four of them, and how Socle brings up its own."""
import hashlib
import re

import pytest

from emulators import BOCHS_SKYLAKE_X, BOCHS_SKYLAKE_X_2, QEMU_MAX, QEMU_MAX_4
from guests import image
from machine import (BUILD, ESCAPE, LINUX, LINUX_MODULES, PROMPT, Machine, conf, make_iso, stopped)
from test_lifecycle import account
from test_linux import BRIEF, bad_lines

BOCHS_TURN = 16  # ticks of its TSC that one CPU may be ahead of another

HELLO = ("hello", {"kernel": "hello.elf", "memory": "16M", "debug-exit": "0xf4",
                   "autostart": "yes", "cmdline": "hosted"})
# What Linux says of CPUs that stand still, or whose clocks differ.
ILL = re.compile(r"BUG|WARNING|rcu|stall|lockup|Marking|clocksource|watchdog|Oops|hung|"
                 r"did not come|failed|unexpected", re.IGNORECASE)


def boot_linux(cpus, on, memory="256M", seconds=60):
    iso = make_iso(conf(("linux", {**LINUX, "memory": memory, "cmdline": BRIEF, "cpus": cpus})),
                   LINUX_MODULES)
    return Machine.boot(iso, on=on, seconds=seconds)


@pytest.fixture(scope="module")
def four():
    """Linux with four virtual CPUs on four processors, at its shell."""
    with boot_linux(4, QEMU_MAX_4) as machine:
        machine.login()
        yield machine


@pytest.fixture(scope="module")
def bare_four_log():
    """The kernel log of the same kernel on the bare emulator."""
    with Machine("-cpu", "max", "-m", 256, "-smp", 4, "-kernel", BUILD / "guest/vmlinuz", "-initrd",
                 BUILD / "guest/initrd", "-append", BRIEF, patience=2) as machine:
        machine.login()
        return machine.shell("dmesg")


def to_prompt(machine):
    machine.send(ESCAPE)
    machine.expect(PROMPT)


def fields(machine, name):
    """The values of a line of /proc/cpuinfo, one for each CPU."""
    out = machine.shell(f"grep '^{name}[[:space:]]*:' /proc/cpuinfo")
    return [int(x) for x in re.findall(r": (\d+)$", out, re.MULTILINE)]


@pytest.mark.xdist_group("smp-linux")
def test_topology(four):
    """One package of four cores with a thread each, in every place that tells."""
    assert four.shell("nproc").strip() == "4"
    assert fields(four, "processor") == [0, 1, 2, 3]
    assert fields(four, "apicid") == fields(four, "initial apicid") == [0, 1, 2, 3]
    assert fields(four, "core id") == [0, 1, 2, 3]
    assert fields(four, "physical id") == [0] * 4
    assert fields(four, "siblings") == fields(four, "cpu cores") == [4] * 4
    cpus = "/sys/devices/system/cpu"
    for file, expected in {"package_cpus_list": ["0-3"] * 4,
                           "thread_siblings_list": ["0", "1", "2", "3"]}.items():
        out = four.shell(f"cat {cpus}/cpu[0-3]/topology/{file}")
        assert out.split()[-4:] == expected, out
    assert four.shell(f"cat {cpus}/online").split()[-1] == "0-3"
    log = four.shell("dmesg")
    assert "smp: Brought up 1 node, 4 CPUs" in log
    assert "Total of 4 processors activated" in log


@pytest.mark.xdist_group("smp-linux")
def test_log_clean(four, bare_four_log):
    """No suspicious line that a bare boot on four processors does not have."""
    extra = bad_lines(four.shell("dmesg")) - bad_lines(bare_four_log)
    assert not extra, "\n".join(sorted(extra))


HASH_MIB, HASH_JOBS, HASH_ROUNDS = 4, 8, 3
PIPE_LINES, PIPE_PAIRS = 6000, 12
SWITCHES = 6  # times that each of the CPUs 1 to 3 goes and comes, while the load runs
LOAD = (
    # Compilers and such: processes that compute, and pass a lot of data on.
    f"for j in $(seq {HASH_JOBS}); do (for r in $(seq {HASH_ROUNDS}); do "
    f"head -c {HASH_MIB << 20} /dev/zero | gzip -1 | gzip -d | sha256sum; done > /tmp/hash$j) & "
    "done\n",
    # Pairs of processes that wake each other for each line.
    f"for j in $(seq {PIPE_PAIRS}); do (seq {PIPE_LINES} | while read x; do echo $x; done | "
    "while read x; do echo $x; done | md5sum > /tmp/pipe$j) & done\n",
    "jobs=$!\n",
)
HOTPLUG = (f"for r in $(seq {SWITCHES}); do for v in 0 1; do for c in 1 2 3; do "
           "echo $v > /sys/devices/system/cpu/cpu$c/online || touch /tmp/bad; done; done; done")


@pytest.mark.xdist_group("smp-linux")
def test_stress(four):
    """Computing, pipes, and CPUs that go and come: right results, and a silent kernel."""
    clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    before = four.shell(f"cat {clock}").split()[-1]
    four.shell("dmesg -c > /dev/null")
    for line in LOAD:
        four.shell(line.strip())
    four.shell(HOTPLUG, 120)
    four.shell("test ! -e /tmp/bad")
    four.shell("wait", 180)
    out = four.shell("cat /tmp/hash* | sort | uniq -c", 60).split()
    zeros = hashlib.sha256(bytes(HASH_MIB << 20)).hexdigest()
    assert out[-3:] == [str(HASH_JOBS * HASH_ROUNDS), zeros, "-"], out
    lines = "".join(f"{i}\n" for i in range(1, PIPE_LINES + 1)).encode()
    out = four.shell("cat /tmp/pipe* | sort | uniq -c", 60).split()
    assert out[-3:] == [str(PIPE_PAIRS), hashlib.md5(lines).hexdigest(), "-"], out
    assert four.shell(f"cat {clock}").split()[-1] == before
    assert four.shell("nproc").split()[-1] == "4"
    log = four.shell("dmesg")
    assert log.count("is now offline") == log.count("Booting Node 0 Processor") == 3 * SWITCHES
    found = [x for x in log.splitlines() if x.startswith("[") and ILL.search(x)]
    assert not found, "\n".join(found)


def test_linux_bochs():
    """Two virtual CPUs on two processors with VMX."""
    with boot_linux(2, BOCHS_SKYLAKE_X_2, "128M", seconds=10) as machine:
        machine.login(20)
        assert machine.shell("nproc").split()[-1] == "2"
        assert fields(machine, "core id") == [0, 1]
        found = [x for x in machine.shell("dmesg").splitlines()
                 if re.search(r"BUG:|WARNING: CPU|stall|lockup", x)]
        assert not found, found
        machine.send("poweroff -f\r")
        machine.expect(r"vm linux: stopped: powered off by the guest", 10)
        machine.to_prompt()
        machine.send("poweroff\r")
        machine.expect_end(10)
        assert machine.emulator.panic() is None


@pytest.mark.quick
def test_option_cpus():
    """`cpus=` leaves the others alone, and guests run on the one that is left."""
    iso = make_iso(conf(HELLO), {"hello.elf": image("hello")}, options="cpus=1")
    with Machine.boot(iso, on=QEMU_MAX_4) as machine:
        machine.expect(r"cpu: 1 of 4 processors in use, as cpus= asks")
        machine.expect(stopped("hello"))
        assert machine.match(1) == "0"
        machine.to_prompt(20)
        out = machine.command("cpu")
        assert re.findall(r"^cpu(\d+):", out, re.MULTILINE) == ["0"], out


def test_tsc_corrected():
    """A TSC that is off by a millisecond is put right, as guests see it; TCG's cannot be set."""
    guest = ("smp_tsc", {**HELLO[1], "kernel": "smp_tsc.elf", "memory": "64M", "cpus": 4,
                         "console": "yes"})
    iso = make_iso(conf(guest), {"smp_tsc.elf": image("smp_tsc")}, options="selftest=tsc")
    how = r"cpu1: its TSC (agrees|was off by (-?\d+) ticks, corrected|is off[^\r\n]*)"
    with Machine.boot(iso, on=BOCHS_SKYLAKE_X_2) as machine:
        machine.expect(r"time: TSC at (\d+) kHz", 60)
        khz = int(machine.match(1))
        machine.expect(how)
        assert machine.match(2) and abs(int(machine.match(2)) - khz) < 100, machine.match()
        machine.expect(stopped("smp_tsc"), 90)
        status = machine.match(1)
        machine.to_prompt()
        failed = re.findall(r"FAIL: smp_tsc: (.*)", machine.output())
        # Bochs runs its CPUs in turn, some instructions each: nobody can measure any better.
        left = [re.search(r"(\d+) less than another did", x) for x in failed]
        assert all(x and int(x.group(1)) <= BOCHS_TURN for x in left), failed
        assert status == "0" or failed, machine.tail()


def test_64_vcpus():
    """One guest has 64 virtual CPUs on one processor: all come up, and each one works."""
    with boot_linux(64, QEMU_MAX) as machine:
        machine.login()
        assert machine.shell("nproc").split()[-1] == "64"
        assert "Brought up 1 node, 64 CPUs" in machine.shell("dmesg | grep 'Brought up'")
        assert fields(machine, "apicid") == list(range(64))
        out = machine.shell("for c in $(seq 0 63); do taskset -p $(printf %x $((1 << c))) $$ "
                            "> /dev/null && cut -d' ' -f39 /proc/self/stat; done", 60)
        assert [int(x) for x in re.findall(r"^\d+$", out, re.MULTILINE)] == list(range(64)), out
        to_prompt(machine)
        out = machine.command("sched", 20)
        ran = re.findall(r"^linux/\d+: \w+, cpu0, [1-9]\d* ms", out, re.MULTILINE)
        assert len(ran) == 64, out


CROWD = 64


def crowd_iso(memory, count=CROWD):
    """As many guests as there can be, each with as many vCPUs as it can have."""
    settings = {"kernel": "hello.elf", "memory": memory, "cpus": 64, "debug-exit": "0xf4",
                "autostart": "no", "cmdline": "hosted"}
    return make_iso(conf(*((f"g{i}", settings) for i in range(count))),
                    {"hello.elf": image("hello")})


@pytest.mark.quick
@pytest.mark.parametrize("memory", [4096, 64])
def test_crowd(memory):
    """64 guests of 64 vCPUs are made while memory lasts; what there is none for is named."""
    with Machine.boot(crowd_iso("2M"), memory=memory) as machine:
        machine.to_prompt(60)
        out = machine.command("vm list", 60)
        made = re.findall(r"^(g\d+) +stopped +64", out, re.MULTILINE)
        refused = re.findall(r"vm (g\d+): not created: ([^\r\n]*)", machine.output())
        assert "socle.conf:" not in machine.output(), machine.output()
        assert {*made, *(name for name, _ in refused)} == {f"g{i}" for i in range(CROWD)}
        assert len(made) + len(refused) == CROWD
        assert all("memory" in why for _, why in refused), refused
        assert bool(refused) == (memory == 64), refused
        held = account(machine)
        for guest in (made[0], made[-1]):
            machine.send(f"vm start {guest}\r")
            end = machine.expect([stopped(guest) + r"\b",
                                  r"cannot start: needs 2 MiB, [01] MiB are left"], 30)
            assert refused if end == 1 else machine.match(1) == "0", machine.tail()
            machine.expect(PROMPT)
    if not refused:
        return
    # Nothing is left of those that could not be made: all is as if they had not been asked for.
    with Machine.boot(crowd_iso("2M", len(made)), memory=memory) as machine:
        machine.to_prompt(60)
        alone = account(machine)
        for who in ("core", "guests' virtual machines"):
            assert held[who] == alone[who], f"{who}: {held[who]} KiB, without them {alone[who]}"


@pytest.mark.quick
def test_duplicate():
    """A second guest of a name is refused, with the line of the first; that one runs."""
    iso = make_iso(conf(HELLO, ("hello", {"kernel": "hello.elf", "memory": "99M"})),
                   {"hello.elf": image("hello")})
    with Machine.boot(iso) as machine:
        machine.expect(r"socle\.conf:\d+: there is a \[vm hello\] in line 1 already")
        machine.expect(stopped("hello"))
        machine.to_prompt(20)
        out = machine.command("vm list")
        assert re.findall(r"^hello +\w+ +1 +(\d+)M", out, re.MULTILINE) == ["16"], out
