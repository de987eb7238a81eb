# SPDX-License-Identifier: BSD-2-Clause
"""What MSRs do to a guest that tries all of them, against what `policy msr` says they do."""
import re

import pytest

from emulators import BOCHS_RYZEN, BOCHS_SKYLAKE_X, BOCHS_TIGERLAKE, QEMU_MAX
from guests import PASS, Guest, image
from machine import Machine, conf, make_iso
from test_guest_suite import verdict

# Guests with different filters, in one boot: what is direct, what is emulated, parts of rows, and
# nothing but a little.
FILTERS = {
    "plain": [],
    "some": ["deny star read", "deny 0xc0000082-0xc0000083 write", "deny sysenter_cs",
             "deny 0x200-0x207", "allow 0x204-0x205 read", "deny tsc_adjust write",
             "deny 0xc0011022 read", "deny mtrrcap", "deny 0x1200-0x1fff", "allow 0xc0010117"],
    "little": ["default deny", "allow efer", "allow star", "allow 0x277 read",
               "allow hwcr read-write"],
}
X2APIC = range(0x800, 0x900)  # none of the guests turns it on
CAREFUL = {0x1b, 0xc0000080, 0x4b564d00, 0x4b564d01}  # those that the guest does not write
MASK = 2 ** 64 - 1


def policy(machine, guest):
    """What `policy msr` says: index to (read, write, valid bits or None, reset or None)."""
    found = {}
    for line in machine.command(f"policy msr {guest}", 30).splitlines()[1:]:
        if not line.startswith("0x"):
            continue
        index, _, read, write, valid, reset, _, _ = line.split()
        first, last = (index.split("-") * 2)[:2]
        for i in range(int(first, 16), int(last, 16) + 1):
            assert i not in found, line
            found[i] = (read, write, None if valid == "-" else int(valid, 16),
                        None if reset == "-" else int(reset, 16))
    assert len(found) > 100
    return found


def walked(output):
    """What the guest saw: the values that it wrote, and index to (value or None, outcomes)."""
    values = re.search(r"VALUES: (.*)", output).group(1).split()
    rows = re.findall(r"MSR: (0x[0-9a-f]+|0) (\S+) (\S+)\n", output)
    return values, {int(i, 16): (None if v == "!" else int(v, 16), o) for i, v, o in rows}


def expected_write(how, valid, value, before):
    """The outcomes that a write of @value may have; @before: what it reads as."""
    if how in ("unsupported", "filtered", "rejected"):
        return "!"
    if how == "constant":
        return "?" if before is None else "=" if value == before else "~"
    if valid is not None and value & ~valid & MASK:
        return "!"
    if how == "stored":
        return "?" if before is None else "="
    # Handlers and CPUs have rules of their own, but for the value that was there.
    if before is not None and value == before:
        return "=~"
    return "!?" if before is None else "!=~"


def judge(rules, output):
    """Complaints about every register whose behaviour is not its policy."""
    values, seen = walked(output)
    wrong = []
    for index in sorted(set(rules) | set(seen)):
        read, write, valid, reset = rules.get(index, ("unsupported", "unsupported", None, None))
        value, outcomes = seen.get(index, (None, "!" * len(values)))
        if index in X2APIC and read == "emulated":
            read = write = "unsupported"
        if (value is not None) != (read not in ("unsupported", "filtered", "rejected")):
            wrong.append(f"{index:#x}: reading is {read}, and gives {value}")
        elif read in ("stored", "constant") and value != reset:
            wrong.append(f"{index:#x}: reads {value:#x} at first, not {reset:#x}")
        if index in CAREFUL and outcomes == "-":
            continue
        for text, outcome in zip(values, outcomes, strict=True):
            own = 0 if value is None else value
            number = own if text == "own" else int(text, 16)
            if outcome not in expected_write(write, valid, number, value):
                wrong.append(f"{index:#x}: writing is {write}, of {number:#x} gives {outcome}")
    return wrong


def section(lines, words):
    return {"kernel": "msr_walk.elf", "memory": "64M", "autostart": "no", "console": "yes",
            "debug-exit": "0xf4", "cmdline": f"hosted {words}", "msr": lines}


def counted(machine, guest):
    """Refused accesses by kind."""
    found = re.findall(r"vcpu0 msr-(\w+) +(\d+)", machine.command(f"stats {guest}"))
    return {name: int(n) for name, n in found}


@pytest.mark.parametrize("target", [QEMU_MAX, BOCHS_SKYLAKE_X, BOCHS_TIGERLAKE, BOCHS_RYZEN],
                         ids=lambda t: t.name)
def test_behaviour_is_policy(target):
    """Every register of every range does what the console says, with and without a filter."""
    iso = make_iso(conf(*((name, section(lines, "" if name == "plain" else "filtered"))
                          for name, lines in FILTERS.items())),
                   {"msr_walk.elf": image("msr_walk")})
    with Machine.boot(iso, on=target) as machine:
        machine.to_prompt()
        for guest in FILTERS:
            rules = policy(machine, guest)
            status, _, output = verdict(machine, Guest(guest, seconds=200))
            wrong = judge(rules, output)
            assert not wrong, "\n".join(wrong)
            assert status == PASS, output[-2000:]
            # The table is the same after the guest ran.
            assert policy(machine, guest) == rules
            kinds = counted(machine, guest)
            assert kinds["unsupported"] > 10000 and kinds["invalid"], kinds
            assert ("filtered" in kinds) == (guest != "plain"), kinds
        plain, some, little = (policy(machine, g) for g in FILTERS)
        # The filters had something to bite.
        assert plain[0xc0000081][:2] == ("direct", "direct")
        assert some[0xc0000081][:2] == ("filtered", "direct")
        assert some[0xc0000082][:2] == ("direct", "filtered")
        assert some[0x203][:2] == ("filtered", "filtered")
        assert some[0x204][:2] == ("emulated", "filtered")
        assert little[0x10][:2] == ("filtered", "filtered")
        assert little[0x277][:2] == ("emulated", "filtered")
        assert little[0x800] == plain[0x800]
        assert 0xc0010117 not in some
        one = machine.command("policy msr some 0xc0000082")
        assert re.search(r"^0xc0000082 +lstar +direct +filtered ", one, re.M), one
        one = machine.command("policy msr some 0x1234")
        assert "0x1234 is unsupported" in one, one


def test_many_starts():
    """Starting a guest again registers nothing and allows nothing that was denied."""
    iso = make_iso(conf(("some", {**section(FILTERS["some"], ""), "kernel": "hello.elf"})),
                   {"hello.elf": image("hello")})
    with Machine.boot(iso) as machine:
        machine.to_prompt()
        before, held = policy(machine, "some"), machine.command("mem")
        for _ in range(20):
            machine.command("vm start some")
            while "running" in machine.command("vm list"):
                pass
        assert re.search(r"some .* 20  exit status 0", machine.command("vm list"))
        assert policy(machine, "some") == before
        core = re.compile(r"guests' virtual machines +(\d+)")
        assert core.search(machine.command("mem")).group(1) == core.search(held).group(1)
