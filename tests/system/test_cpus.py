# SPDX-License-Identifier: BSD-2-Clause
"""Processors that lack something, and what differs between those that do not."""
import re
from dataclasses import replace

import pytest

from emulators import BOCHS_IVY_BRIDGE, BOCHS_RYZEN, BOCHS_SKYLAKE_X, QEMU_MAX
from guests import image
from machine import ESCAPE, PROMPT, Machine, conf, make_iso, stopped

HELLO = ("hello", {"kernel": "hello.elf", "memory": "32M", "debug-exit": "0xf4",
                   "autostart": "yes", "cmdline": "hosted"})
SPIN = ("spin", {"kernel": "spin.elf", "memory": "32M", "debug-exit": "0xf4", "autostart": "yes",
                 "console": "yes", "cmdline": "hosted"})

LACKING = {
    # Bochs' model: what the one message says
    "core2_penryn_t9600": r"lacks extended page tables \(EPT\), which is needed",
    "corei5_lynnfield_750": r"lacks unrestricted guests, which is needed",
    "p4_prescott_celeron_336": r"does not offer Intel VMX: turn on [^\r\n]* firmware setup",
    "athlon64_venice": r"does not offer AMD SVM: turn on [^\r\n]* firmware setup",
    "atom_n270": r"(?i)64-bit|long mode",
}


@pytest.mark.parametrize("cpu", LACKING)
def test_lacking(cpu):
    """A CPU that cannot run guests is refused with one clear line, and stops safely."""
    iso = make_iso(conf(HELLO), {"hello.elf": image("hello")})
    with Machine.boot(iso, on=replace(BOCHS_SKYLAKE_X, cpu=cpu)) as machine:
        machine.expect(LACKING[cpu])
        if cpu != "atom_n270":
            machine.expect(r"guests cannot run on this machine as it is set up: stopped")


FEATURES = {
    # what the log says, and `stats` of interrupts
    BOCHS_SKYLAKE_X: (r"vmx with nested paging, VPID, preemption timer", "emulated"),
    BOCHS_IVY_BRIDGE: (r"vmx with nested paging, VPID, preemption timer", "emulated"),
    BOCHS_RYZEN: (r"svm with nested paging, next RIP, flush by ASID", "emulated"),
    QEMU_MAX: (r"svm with nested paging, itself below a hypervisor or emulator", "emulated"),
}


@pytest.mark.parametrize("target", FEATURES, ids=lambda t: t.name)
def test_features(target):
    """The log and the counters tell which optional features are in use."""
    line, apic = FEATURES[target]
    with Machine.boot(make_iso(conf(HELLO), {"hello.elf": image("hello")}), on=target) as machine:
        # None of these emulators has WRMSRNS or immediate forms: the code stays as it is.
        machine.expect(r"MSR accesses: [1-9]\d* by RDMSR and WRMSR, 0 by WRMSRNS, 0 immediate")
        machine.expect(line)
        machine.expect(stopped("hello"))
        machine.to_prompt()
        stats = machine.command("stats hello", 20)
        assert re.search(rf"apic\s+{apic}", stats), stats
        # None of them has branch records; ryzen says that it has.
        why = {"bochs-ryzen": "does not keep DEBUGCTL", "qemu-max": "LBRV"}.get(target.name, "format")
        shown = machine.command("features")
        assert re.search(rf"branch records of guests: not offered: [^\r\n]*{why}", shown), shown


FAULTY = r"warning: apicv: off: this CPU delivers virtual interrupts to guests that have"
APICV = {
    # option: whether Bochs' fault is found, and what the guest has
    "": (True, "emulated"), "apicv=on": (False, "virtualized"), "apicv=off": (False, "emulated"),
}


@pytest.mark.parametrize("option", APICV)
def test_apicv_trial(option):
    """APIC virtualization that has a fault is used only on request."""
    found, apic = APICV[option]
    iso = make_iso(conf(HELLO), {"hello.elf": image("hello")}, options=option)
    with Machine.boot(iso, on=BOCHS_SKYLAKE_X) as machine:
        machine.expect(stopped("hello"))
        assert machine.match(1) == "0"
        machine.to_prompt()
        stats = machine.command("stats hello", 20)
        assert re.search(rf"apic\s+{apic}", stats), stats
        log = machine.output()
        assert bool(re.search(FAULTY, log)) == found, log
        assert ("VPID, APIC virtualization," in log) == (apic == "virtualized"), log


@pytest.mark.parametrize("target", [QEMU_MAX, BOCHS_SKYLAKE_X, BOCHS_IVY_BRIDGE],
                         ids=lambda t: t.name)
def test_guest_never_leaves(target):
    """A guest without interrupts and without an exit neither stops the prompt nor survives it."""
    with Machine.boot(make_iso(conf(SPIN), {"spin.elf": image("spin")}), on=target) as machine:
        machine.expect("vm spin: started")
        machine.send(ESCAPE)
        machine.expect(PROMPT)
        if target.vendor == "vmx":
            stats = machine.command("stats spin", 20)
            assert re.search(r"preempt\s+[1-9]", stats), stats
        machine.command("vm stop spin", 20)
        assert re.search(r"spin\s+stopped", machine.command("vm list"))


@pytest.mark.parametrize("target", [QEMU_MAX, BOCHS_SKYLAKE_X], ids=lambda t: t.name)
def test_refused_entry(target):
    """A guest whose state no CPU enters dies with the reason; another one runs."""
    iso = make_iso(conf(("bad", dict(HELLO[1])), HELLO), {"hello.elf": image("hello")},
                   options="selftest=entry")
    why = {"vmx": r"VM entry failed: guest CR4 is 0x8[0-9a-f]{7}: [^\r\n]*wrong bits 0x80000000",
           "svm": r"VMRUN refused: "}[target.vendor]
    with Machine.boot(iso, on=target) as machine:
        machine.expect(r"vm bad: stopped: killed: vCPU 0: " + why)
        machine.expect(stopped("hello"))
        assert machine.match(1) == "0"
        machine.to_prompt(20)
