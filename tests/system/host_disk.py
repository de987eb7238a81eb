# SPDX-License-Identifier: BSD-2-Clause
"""Images of the machine's disks: partition tables, file systems in partitions, and their checks."""
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

MIB = 2**20
SECTOR = 512
LINUX_GUID = bytes.fromhex("af3dc60f838472478e793d69d8477de4")


def tool(name):
    """A program of e2fsprogs, which may lie where only root's PATH leads."""
    return shutil.which(name) or f"/sbin/{name}"


def gpt(sectors, partitions):
    """What an empty image has of @partitions, (first, last) sectors: {offset: bytes}."""
    entries = b"".join(struct.pack("<16s16sQQQ72s", LINUX_GUID, bytes([i + 1] * 16), first, last,
                                   0, b"") for i, (first, last) in enumerate(partitions))
    entries = entries.ljust(128 * 128, b"\0")

    def header(mine, other, table):
        fields = [b"EFI PART", 0x10000, 92, 0, 0, mine, other, 34, sectors - 34, b"\7" * 16,
                  table, 128, 128, zlib.crc32(entries)]
        packed = struct.pack("<8sIIIIQQQQ16sQIII", *fields)
        fields[3] = zlib.crc32(packed)
        return struct.pack("<8sIIIIQQQQ16sQIII", *fields).ljust(SECTOR, b"\0")

    return {0: mbr([(0xee, 1, sectors - 1)]), SECTOR: header(1, sectors - 1, 2),
            2 * SECTOR: entries, (sectors - 33) * SECTOR: entries,
            (sectors - 1) * SECTOR: header(sectors - 1, 1, sectors - 33)}


def mbr(partitions):
    """A first sector with (type, first sector, sectors) up to four times."""
    rows = b"".join(struct.pack("<B3sB3sII", 0, b"", kind, b"", first, n)
                    for kind, first, n in partitions)
    return bytes(446) + rows.ljust(64, b"\0") + b"\x55\xaa"


class Image:
    """A raw image with two partitions: one of 24 MiB with ext4, one of 8 MiB with a pattern."""
    FIRST, SIZE = 2048, 24 * MIB
    SECOND, OTHER = 2048 + SIZE // SECTOR, 8 * MIB

    def __init__(self, directory, table="gpt"):
        self.path = Path(directory) / "disk.img"
        self.pattern = bytes(range(256)) * (self.OTHER // 256)
        total = 40 * MIB
        first = (self.FIRST, self.FIRST + self.SIZE // SECTOR - 1)
        second = (self.SECOND, self.SECOND + self.OTHER // SECTOR - 1)
        if table == "gpt":
            parts = gpt(total // SECTOR, [first, second])
        else:
            parts = {0: mbr([(0x83, self.FIRST, self.SIZE // SECTOR),
                             (0x83, self.SECOND, self.OTHER // SECTOR)])}
        fs = Path(directory) / "fs.img"
        with open(fs, "wb") as f:
            f.truncate(self.SIZE)
        subprocess.run([tool("mke2fs"), "-q", "-t", "ext4", fs], check=True)
        with open(self.path, "wb") as f:
            f.truncate(total)
            for offset, data in parts.items():
                f.seek(offset)
                f.write(data)
            f.seek(self.FIRST * SECTOR)
            f.write(fs.read_bytes())
            f.seek(self.SECOND * SECTOR)
            f.write(self.pattern)

    def arguments(self, more=""):
        """For the emulator."""
        return ["-drive", f"file={self.path},if=none,id=d0,format=raw{more}",
                "-device", "virtio-blk-pci,disable-legacy=on,drive=d0"]

    def read(self, sector, size):
        with open(self.path, "rb") as f:
            f.seek(sector * SECTOR)
            return f.read(size)

    def outside(self):
        """All that the first partition has no part in."""
        return self.read(0, self.FIRST * SECTOR) + self.read(self.SECOND, 40 * MIB)

    def file_system(self):
        """The first partition as a file of its own."""
        fs = self.path.with_name("fs.img")
        fs.write_bytes(self.read(self.FIRST, self.SIZE))
        return fs


def fsck(fs, *options):
    """Checks and, unless the options say otherwise, repairs: e2fsck's exit status, and its words."""
    run = subprocess.run([tool("e2fsck"), "-f", *options, fs], capture_output=True, text=True,
                         check=False)
    return run.returncode, run.stdout + run.stderr


def file_in(fs, name):
    """The contents of a file in a file system."""
    return subprocess.run([tool("debugfs"), "-R", f"cat {name}", fs], capture_output=True,
                          check=True).stdout
