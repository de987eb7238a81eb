# SPDX-License-Identifier: BSD-2-Clause
"""What `make run` starts, and a guest whose root is a disk."""
import re

import pytest

from emulators import BOCHS_SKYLAKE_X, QEMU_MAX
from machine import BUILD, LINUX, LINUX_MODULES, Machine, conf, make_iso
from test_linux import BRIEF


def test_make_run():
    """Two guests: with a disk, a network between them, entropy and sockets, shown at boot."""
    with Machine.boot(BUILD / "socle.iso") as machine:
        machine.login()
        out = machine.output()
        assert "disk:    /dev/vda, ext4, " in out and " on /mnt" in out
        assert re.search(r"network: eth0, 02:(..:){4}00, 10\.0\.0\.1/24", out)
        assert "entropy: /dev/hwrng, virtio_rng" in out
        assert "sockets: AF_VSOCK" in out
        machine.shell("until ping -c 1 -W 1 10.0.0.2; do sleep 1; done", 60)
        assert machine.shell("ls /mnt/etc/inittab").strip() == "/mnt/etc/inittab"
        machine.to_prompt()
        settings = machine.command("vm show linux")
        for line in ("rng = yes", "disk = disk", "net = lan0", "vsock = global cid 3"):
            assert f"\n{line}\n" in settings, settings
        assert len(re.findall(r"^(?:linux|peer) +running", machine.command("vm list"), re.M)) == 2


@pytest.mark.parametrize("target", [QEMU_MAX, BOCHS_SKYLAKE_X], ids=lambda t: t.name)
def test_root_on_disk(target):
    """Linux with its root, an ext4, on virtio-blk; what it writes there is found again."""
    cmdline = (LINUX["cmdline"] if target is QEMU_MAX else BRIEF) + " root=/dev/vda"
    iso = make_iso(conf(("linux", {**LINUX, "memory": "128M", "cmdline": cmdline, "disk": "disk"})),
                   {**LINUX_MODULES, "disk": BUILD / "guest/disk"})
    with Machine.boot(iso, on=target) as machine:
        machine.login()
        assert re.search("^/dev/vda / ext4 rw", machine.shell("cat /proc/mounts"), re.M)
        machine.shell("cat /bin/busybox >/root/copy && sync", 60)
        machine.shell("echo 3 >/proc/sys/vm/drop_caches")
        sums = machine.shell("md5sum </bin/busybox; md5sum </root/copy", 60).split()
        assert sums[0] == sums[2]
