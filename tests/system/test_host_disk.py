# SPDX-License-Identifier: BSD-2-Clause
"""A guest's disk that is a partition of the machine's disk. QEMU alone: Bochs has no virtio."""
import hashlib
import re
import time

import pytest

from guests import image as guest_image
from host_disk import Image, file_in, fsck
from machine import LINUX, LINUX_MODULES, Machine, conf, make_iso, stopped
from test_linux import bad_lines

# Another guest, which need not run.
OTHER = {"kernel": "hello.elf", "memory": "8M", "autostart": "no", "debug-exit": "0xf4"}


def boot(disk, linux, *others, more=""):
    """A Linux guest with the disks @linux, and others (name, disks), on a machine with @disk."""
    iso = make_iso(conf(("linux", {**LINUX, "memory": "128M", "disk": linux}),
                        *((name, {**OTHER, "disk": disks}) for name, disks in others)),
                   {**LINUX_MODULES, "hello.elf": guest_image("hello")})
    return Machine.boot(iso, *disk.arguments(more))


@pytest.mark.parametrize("table", ["gpt", "mbr"])
def test_partition(tmp_path, table):
    """What Linux writes to its partition is there on the machine's disk, and nowhere else."""
    disk = Image(tmp_path, table)
    before = disk.outside()
    with boot(disk, ["host vda1", "host vda2 ro"]) as machine:
        machine.expect(rf"host: virtio-blk vda 40 MiB, 2 partitions by {table.upper()}")
        machine.login()
        assert machine.shell("cat /sys/block/vd?/size").split() == ["49152", "16384"]
        assert machine.shell("cat /sys/block/vd?/ro").split() == ["0", "1"]
        assert machine.shell("cat /sys/block/vda/serial").strip() == "vda1"
        assert hashlib.md5(disk.pattern).hexdigest() in machine.shell("md5sum </dev/vdb", 60)
        machine.shell("mkdir /mnt; mount -t ext4 /dev/vda /mnt", 60)
        machine.shell("dd if=/dev/urandom of=/tmp/f bs=1M count=8; cp /tmp/f /mnt/f; sync", 60)
        machine.shell("umount /mnt; echo 3 > /proc/sys/vm/drop_caches", 60)
        machine.shell("mount -t ext4 /dev/vda /mnt", 60)
        sums = machine.shell("md5sum </mnt/f; md5sum </tmp/f", 60).split()
        assert sums[0] == sums[2] and len(sums[0]) == 32
        machine.shell("umount /mnt")
        assert "0" != machine.shell("dd if=/dev/zero of=/dev/vdb bs=512 count=1; echo $?").split()[-1]
        assert not [x for x in bad_lines(machine.shell("dmesg"))
                    if re.search("virtio_blk|I/O|vd[abc]|EXT4", x)]
        machine.to_prompt()
        shown = machine.command("disks")
        assert re.search(r"vda1 +24 MiB  from sector 2048: linux\n", shown), shown
        assert re.search(r"vda2 +8 MiB  from sector \d+: linux \(ro\)\n", shown), shown
    assert disk.outside() == before
    fs = disk.file_system()
    status, words = fsck(fs, "-n")
    assert status == 0, words
    assert hashlib.md5(file_in(fs, "/f")).hexdigest() == sums[0]


def test_killed_while_it_writes(tmp_path):
    """What a guest has flushed is there when it is stopped in the middle of writing."""
    disk = Image(tmp_path)
    before = disk.outside()
    with boot(disk, ["host vda1"]) as machine:
        machine.login()
        machine.shell("mkdir /mnt; mount -t ext4 /dev/vda /mnt", 60)
        machine.send("i=0; while i=$((i+1)); do dd if=/dev/urandom of=/tmp/f bs=64k count=4 "
                     "2>/dev/null; n=/mnt/f$((i%40)); dd if=/tmp/f of=$n bs=64k conv=fsync "
                     "2>/dev/null && echo SAFE $i $(md5sum </tmp/f); done\r")
        machine.expect(r"SAFE 12 \w+")
        time.sleep(0.37)
        machine.to_prompt()
        machine.command("vm stop linux")
        safe = re.findall(r"SAFE (\d+) (\w{32})", machine.output())
        # The next life has the disk as it was left, and it is not the last one's any more.
        machine.send("vm start linux\r")
        machine.send("console linux\r")
        machine.login()
        machine.shell("mkdir /mnt; mount -t ext4 /dev/vda /mnt", 60)
        last, md5 = safe[-1]
        assert md5 in machine.shell(f"md5sum </mnt/f{int(last) % 40}", 60)
        machine.to_prompt()
        machine.command("vm stop linux")
    assert disk.outside() == before
    fs = disk.file_system()
    status, words = fsck(fs, "-y")  # which replays the journal
    assert status in (0, 1), words
    assert fsck(fs, "-n")[0] == 0
    newest = {int(i) % 40: md5 for i, md5 in safe}
    # The one behind the last may have been under way.
    newest.pop((int(safe[-1][0]) + 1) % 40, None)
    for i, md5 in newest.items():
        assert hashlib.md5(file_in(fs, f"/f{i}")).hexdigest() == md5, i


def test_who_may_have_it(tmp_path):
    """No two guests have the same sectors if one of them writes; the message names both."""
    disk = Image(tmp_path)
    with boot(disk, ["host vda1"], ("second", "host vda1"), ("whole", "host vda ro"),
              ("reader", "host vda2 ro"), ("reader2", "host vda2 ro"), ("writer", "host vda2"),
              ("absent", "host vda3"), ("elsewhere", "host vdb")) as machine:
        machine.login()
        machine.to_prompt()
        log = machine.output()
        for name, place in (("second", "vda1"), ("whole", "vda")):
            assert re.search(rf"vm {name}: disk = host {place}: vm linux has it, or a part of it, "
                             "and writes to it", log), log
        assert re.search(r"vm writer: disk = host vda2: vm reader2? has it, or a part of it, "
                         "and reads it", log), log
        for place in ("vda3", "vdb"):
            assert f'the machine has no disk or partition "{place}"' in log
        names = re.findall(r"^ *(\w+) +(?:stopped|running)", machine.command("vm list"), re.M)
        assert sorted(names) == ["linux", "reader", "reader2"], machine.command("vm list")
        shown = machine.command("disks")
        assert re.search(r"vda2 .*: reader2 \(ro\) reader \(ro\)\n", shown), shown
        machine.command("vm start reader")
        machine.expect(stopped("reader"))


def test_read_only_disk(tmp_path):
    """A disk of the machine that can only be read is nothing to write to."""
    disk = Image(tmp_path)
    with boot(disk, ["host vda2 ro"], ("writer", "host vda1"), more=",readonly=on") as machine:
        machine.login()
        assert hashlib.md5(disk.pattern).hexdigest() in machine.shell("md5sum </dev/vda", 60)
        log = machine.output()
        assert "host: virtio-blk vda 40 MiB, read-only, 2 partitions by GPT" in log
        assert 'the disk "vda1" can only be read, add "ro"' in log
