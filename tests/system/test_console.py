# SPDX-License-Identifier: BSD-2-Clause
"""The administrator's prompt: every command, bad commands, and the way out."""
import pytest

from guests import image
from machine import ESCAPE, PROMPT, Machine, conf, make_iso

COMMANDS = ("help", "vm", "console", "log", "stats", "version", "reboot", "poweroff")


def boot():
    common = {"memory": "32M", "debug-exit": "0xf4", "cmdline": "hosted"}
    return Machine.boot(make_iso(
        conf(("spin", {**common, "kernel": "spin.elf", "autostart": "yes", "console": "yes"}),
             ("hello", {**common, "kernel": "hello.elf", "autostart": "no"})),
        {"spin.elf": image("spin"), "hello.elf": image("hello")}))


@pytest.fixture(scope="module")
def socle():
    with boot() as machine:
        machine.expect("INFO: spin: running")
        machine.send(ESCAPE)
        machine.expect(PROMPT)
        yield machine


pytestmark = pytest.mark.xdist_group("console")


@pytest.mark.quick
def test_help(socle):
    out = socle.command("help")
    for command in COMMANDS:
        assert command in out, out


def test_version(socle):
    assert "Socle" in socle.command("version")


def test_unknown(socle):
    assert "frobnicate" in socle.command("frobnicate")
    assert socle.command("vm").strip()
    assert socle.command("vm start").strip()
    assert "nobody" in socle.command("vm start nobody")
    assert socle.command("stats").strip()
    socle.command("")
    socle.command("x" * 3000)
    assert "Socle" in socle.command("version")


def test_vm_list(socle):
    out = socle.command("vm list")
    assert any("spin" in x and "running" in x for x in out.splitlines()), out
    assert any("hello" in x and "stopped" in x for x in out.splitlines()), out


def test_stats(socle):
    out = socle.command("stats spin")
    assert any(c.isdigit() for c in out), out


def test_log(socle):
    assert "spin" in socle.command("log")


def test_start_and_stop(socle):
    socle.command("vm start hello")
    out = ""
    for _ in range(20):
        out = socle.command("vm list")
        if any("hello" in x and "stopped" in x for x in out.splitlines()):
            break
    assert "status 0" in socle.command("log"), out
    socle.command("vm stop spin")
    out = socle.command("vm list")
    assert any("spin" in x and "stopped" in x for x in out.splitlines()), out
    socle.command("vm start spin")
    socle.send("console spin\r")
    socle.expect("INFO: spin: running")
    socle.send(ESCAPE)
    socle.expect(PROMPT)
    socle.command("vm reset spin")
    socle.send("console spin\r")
    socle.expect("INFO: spin: running")
    socle.send(ESCAPE)
    socle.expect(PROMPT)


def test_poweroff():
    with boot() as machine:
        machine.expect("INFO: spin: running")
        machine.send(ESCAPE)
        machine.expect(PROMPT)
        machine.send("poweroff\r")
        machine.expect_end(20)


def test_reboot():
    with boot() as machine:
        machine.expect("INFO: spin: running")
        machine.send(ESCAPE)
        machine.expect(PROMPT)
        machine.send("reboot\r")
        machine.expect("INFO: spin: running", 60)
