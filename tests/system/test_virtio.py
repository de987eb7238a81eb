# SPDX-License-Identifier: BSD-2-Clause
"""Paravirtual devices in an unmodified Debian Linux, with its own drivers."""
import hashlib
import re
import time

import pytest

from emulators import BOCHS_RYZEN, BOCHS_SKYLAKE_X, QEMU_MAX
from guests import image
from machine import ESCAPE, LINUX, LINUX_MODULES, PROMPT, Machine, conf, make_iso
from test_linux import BRIEF, bad_lines, boot


def looks_random(data):
    """The monobit, poker and run tests of FIPS 140-1 (4.11.1), for 20000 bits; '' or which failed."""
    bits = "".join(f"{byte:08b}" for byte in data)
    assert len(bits) == 20000
    if not 9654 < bits.count("1") < 10346:
        return f"{bits.count('1')} ones"
    nibbles = [x for byte in data for x in (byte >> 4, byte & 15)]
    counts = [nibbles.count(n) for n in range(16)]
    poker = 16 / 5000 * sum(n * n for n in counts) - 5000
    if not 1.03 < poker < 57.4:
        return f"poker {poker}"
    limits = [(2267, 2733), (1079, 1421), (502, 748), (223, 402), (90, 223), (90, 223)]
    for bit in "01":
        runs = [len(m) for m in re.findall(f"{bit}+", bits)]
        for length, (low, high) in enumerate(limits, 1):
            n = sum(r == length or (length == 6 and r > 6) for r in runs)
            if not low <= n <= high:
                return f"{n} runs of {length} times {bit}"
        if max(runs) >= 34:
            return f"a run of {max(runs)}"
    return ""


def entropy(machine):
    """20000 bits from /dev/hwrng."""
    out = machine.shell("dd if=/dev/hwrng bs=2500 count=1 iflag=fullblock 2>/dev/null | "
                        "hexdump -v -e '/1 \"%02x\"'", 60)
    return bytes.fromhex(re.sub(r"\s", "", out))


@pytest.mark.parametrize("target", [QEMU_MAX, BOCHS_RYZEN], ids=lambda t: t.name)
def test_rng(target):
    """Linux' virtio_rng takes the device, and what it gives looks random."""
    cmdline = LINUX["cmdline"] if target is QEMU_MAX else BRIEF
    with boot("128M", cmdline, {"rng": "yes"}, on=target) as machine:
        machine.login()
        assert machine.shell("cat /sys/class/misc/hw_random/rng_current").strip() == "virtio_rng.0"
        first, second = entropy(machine), entropy(machine)
        assert first != second
        # One in ten thousand good sequences fails.
        assert not looks_random(first) or not looks_random(second)
        assert re.search(r"MSI.*virtio0-input", machine.shell("grep virtio /proc/interrupts"))
        assert "1af4" in machine.shell("cat /sys/bus/pci/devices/0000:00:01.0/vendor")
        machine.to_prompt()
        stats = machine.command("stats linux")
        counts = re.search(r"virtio-rng queue 0: (\d+) notifications, (\d+) requests, "
                           r"(\d+) interrupts", stats)
        assert counts and all(int(n) >= 2 for n in counts.groups()), stats


def test_rng_by_line():
    """The same without messages: by INTx. And the device survives that its driver goes and comes."""
    with boot("128M", LINUX["cmdline"] + " pci=nomsi", {"rng": "yes"}) as machine:
        machine.login()
        assert "virtio" in machine.shell("grep IO-APIC.*17-fasteoi /proc/interrupts")
        assert not looks_random(entropy(machine)) or not looks_random(entropy(machine))
        for _ in range(3):
            machine.shell("rmmod virtio-rng && insmod /lib/modules/virtio-rng.ko", 30)
            assert len(entropy(machine)) == 2500
        assert not [x for x in bad_lines(machine.shell("dmesg")) if "virtio" in x]


DISK_MIB = 8


def disk_image():
    """8 MiB and a bit, in which no two pages are alike."""
    numbers = range(DISK_MIB * 2**20 // 512)
    return b"".join(n.to_bytes(4, "little") * 128 for n in numbers) + b"too few for a sector"


def disk_counts(machine, disk):
    """Notifications, requests and interrupts of all queues of a disk."""
    machine.to_prompt()
    rows = re.findall(rf"{disk} queue \d+: (\d+) notifications, (\d+) requests, (\d+) interrupts",
                      machine.command("stats linux"))
    machine.send("console linux\r")
    return [sum(int(row[i]) for row in rows) for i in range(3)]


def with_disks(cpus, *disks, on=QEMU_MAX):
    cmdline = LINUX["cmdline"] if on is QEMU_MAX else BRIEF
    iso = make_iso(conf(("linux", {**LINUX, "memory": "128M", "cmdline": cmdline, "cpus": cpus,
                                   "disk": list(disks)})),
                   {**LINUX_MODULES, "image": disk_image()})
    return Machine.boot(iso, on=on)


@pytest.mark.parametrize("target", [QEMU_MAX, BOCHS_RYZEN], ids=lambda t: t.name)
def test_disks(target):
    """Linux' virtio_blk: a file system on memory, a module to be written and one to be read."""
    def md5(path):
        return machine.shell(f"dd if={path} bs=64k iflag=direct 2>/dev/null | md5sum", 120).split()[0]

    with with_disks(1, "memory 16M", "image", "image ro", on=target) as machine:
        machine.login()
        machine.shell("dmesg -n 1")  # the kernel's lines would be taken for a command's output
        assert machine.shell("cat /sys/block/vd?/size").split() == ["32768", "16384", "16384"]
        assert machine.shell("cat /sys/block/vd?/ro").split() == ["0", "0", "1"]
        assert machine.shell("cat /sys/block/vdb/serial").strip() == "image"
        image = hashlib.md5(disk_image()[:DISK_MIB * 2**20]).hexdigest()
        zeroes = hashlib.md5(bytes(16 * 2**20)).hexdigest()
        assert md5("/dev/vda") == zeroes
        assert md5("/dev/vdb") == md5("/dev/vdc") == image
        machine.shell("mkdir /mnt; mke2fs /dev/vda && mount -t ext4 /dev/vda /mnt", 60)
        machine.shell("dd if=/dev/urandom of=/tmp/f bs=1M count=4; cp /tmp/f /mnt/f; sync", 60)
        machine.shell("umount /mnt; echo 3 > /proc/sys/vm/drop_caches", 60)
        machine.shell("mount -t ext4 /dev/vda /mnt", 60)
        sums = machine.shell("md5sum </mnt/f; md5sum </tmp/f", 60).split()
        assert sums[0] == sums[2] and len(sums[0]) == 32
        # What is written over the module stays beside it, and another disk's as it was.
        machine.shell("dd if=/dev/zero of=/dev/vdb bs=512 seek=9 count=1 oflag=direct")
        written = bytearray(disk_image()[:DISK_MIB * 2**20])
        written[9 * 512:10 * 512] = bytes(512)
        assert md5("/dev/vdb") == hashlib.md5(written).hexdigest()
        assert md5("/dev/vdc") == image
        # Linux lets nobody write to it; and so does Socle, see tests/unit/test_virtio_blk.c.
        assert "0" != machine.shell("dd if=/dev/zero of=/dev/vdc bs=512 count=1; echo $?").split()[-1]
        machine.shell("umount /mnt; blkdiscard -o 4096 -l 65536 /dev/vdb", 60)
        written[4096:4096 + 65536] = bytes(65536)
        assert md5("/dev/vdb") == hashlib.md5(written).hexdigest()
        machine.shell("blkdiscard /dev/vda", 60)
        assert md5("/dev/vda") == zeroes
        # BRIEF leaves out the certificates that modules are signed with.
        assert not [x for x in bad_lines(machine.shell("dmesg")) if re.search("virtio_blk|I/O|vd[abc]", x)]


def test_disk_batches():
    """Under load, eight requests of 64 KiB and more for a notification and for an interrupt."""
    with with_disks(1, "image ro") as machine:
        machine.login()
        machine.shell("echo 64 > /sys/block/vda/queue/max_sectors_kb; "
                      "echo 1024 > /sys/block/vda/queue/read_ahead_kb")
        before = disk_counts(machine, "virtio-blk0")
        machine.shell("dd if=/dev/vda of=/dev/null bs=64k", 60)
        used = [b - a for a, b in zip(before, disk_counts(machine, "virtio-blk0"))]
        print("notifications, requests, interrupts:", used)
        notifications, requests, interrupts = used
        assert requests >= 128
        assert requests >= 8 * notifications and requests >= 8 * interrupts, used


def test_disk_of_a_new_start():
    """What a guest wrote is gone when it starts anew, and its memory given back."""
    with with_disks(1, "image", "memory 16M") as machine:
        for _ in range(2):
            machine.login()
            machine.shell("dmesg -n 1")
            image = hashlib.md5(disk_image()[:DISK_MIB * 2**20]).hexdigest()
            assert image in machine.shell("md5sum /dev/vda", 60)
            assert hashlib.md5(bytes(16 * 2**20)).hexdigest() in machine.shell("md5sum /dev/vdb", 60)
            machine.shell("dd if=/dev/urandom of=/dev/vda bs=1M count=4; "
                          "dd if=/dev/urandom of=/dev/vdb bs=1M count=4; sync", 60)
            machine.shell("echo 3 > /proc/sys/vm/drop_caches")
            assert image not in machine.shell("md5sum /dev/vda", 60)
            machine.to_prompt()
            machine.command("vm stop linux")
            machine.command("vm start linux")
            machine.send("console linux\r")


def test_no_device():
    """Without the key there is none."""
    with boot("128M") as machine:
        machine.login()
        assert machine.shell("ls /sys/bus/pci/devices").split() == ["0000:00:00.0"]


HVC = {"console": "virtio"}


@pytest.mark.parametrize("target", [QEMU_MAX, BOCHS_SKYLAKE_X], ids=lambda t: t.name)
def test_console(target):
    """A shell on Linux' hvc0, and what is pasted comes as it is: more than anybody has room for."""
    cmdline = (LINUX["cmdline"] if target is QEMU_MAX else BRIEF).replace("ttyS0,115200", "hvc0")
    with boot("128M", cmdline, HVC, on=target) as machine:
        machine.login()
        assert machine.shell("tty").strip() == "/dev/hvc0"
        assert "hvc0" in machine.shell("cat /proc/consoles")
        assert machine.shell("stty size").split() == ["24", "80"]
        lines = 600 if target is QEMU_MAX else 90
        text = "".join(f"{i:04} of the lines that are pasted all at once\n" for i in range(lines))
        machine.shell("stty -echo")
        machine.send("cat >/tmp/pasted\r")
        time.sleep(machine.patience)
        machine.send(text)
        machine.send("\x04")
        out = machine.shell("md5sum /tmp/pasted")
        assert hashlib.md5(text.encode()).hexdigest() in out, out
        machine.shell("stty echo")
        assert not [x for x in bad_lines(machine.shell("dmesg"))
                    if "virtio" in x and "module verification" not in x]
        machine.to_prompt()
        assert re.search(r"virtio-console queue 0: [1-9]", machine.command("stats linux"))
        machine.command("terminal 132 43")
        machine.send("console linux\r")
        assert machine.shell("stty size").split() == ["43", "132"]


def sent(machine):
    """How many requests of output there were."""
    return int(re.search(r"virtio-console queue 1: .*, (\d+) requests",
                         machine.command("stats linux"))[1])


def test_console_flood():
    """Output in front of the user is complete; behind another guest it does not wait."""
    other = {"kernel": "spin.elf", "memory": "32M", "cmdline": "hosted", "debug-exit": "0xf4"}
    linux = {**LINUX, **HVC, "memory": "128M", "cmdline": "console=hvc0"}
    iso = make_iso(conf(("linux", linux), ("other", {**other, "autostart": "no"})),
                   {**LINUX_MODULES, "spin.elf": image("spin")})
    with Machine.boot(iso) as machine:
        machine.login()
        out = machine.shell("seq 1 10000", 120)
        assert out.split() == [str(i) for i in range(1, 10001)]
        machine.shell("(sleep 4; seq 1 10000; echo done >/tmp/done) & true")
        machine.send(ESCAPE)
        machine.expect(PROMPT)
        machine.command("vm start other")
        machine.send("console other\r")
        machine.expect("console of other")
        time.sleep(8)
        machine.send(ESCAPE)
        machine.expect(PROMPT)
        before, counts = 0, sent(machine)
        while counts > before:
            time.sleep(3)
            before, counts = counts, sent(machine)
        machine.command("vm stop other")
        machine.send("console linux\r")
        machine.expect(r"(\d+) bytes of its output were lost")
        assert int(machine.match(1)) >= 58894 - 16384
        machine.expect("10000\r*\n")
        assert machine.shell("cat /tmp/done").split()[-1] == "done"


def test_console_comes_and_goes():
    """Input goes to the serial port while hvc0 has no driver, also when that was unloaded."""
    with boot("128M", LINUX["cmdline"] + " socle.run=\"rmmod virtio_console\"", HVC) as machine:
        machine.login()
        assert machine.shell("tty").strip() == "/dev/ttyS0"
        machine.shell("(insmod /lib/modules/virtio_console.ko; sleep 1; read line </dev/hvc0; "
                      "rmmod virtio_console; echo \"$line\" >/tmp/line) & sleep 3")
        machine.send("this is for hvc0\r")
        time.sleep(5)
        assert "this is for hvc0" in machine.shell("cat /tmp/line")
