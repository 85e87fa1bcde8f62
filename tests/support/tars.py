"""Tar streams byte by byte, for what no honest writer makes, and trees on disk as values to compare."""

from __future__ import annotations

import hashlib
import io
import os
import random
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

END = bytes(1024)


def octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def base256(value: int, width: int) -> bytes:
    """A number as GNU tar writes it when octal has no room, or it is negative."""
    if value >= 0:
        return bytes([0x80]) + value.to_bytes(width - 1, "big")
    return (value & ((1 << (8 * width)) - 1)).to_bytes(width, "big")


def number(value: int, width: int) -> bytes:
    return octal(value, width) if 0 <= value < 8 ** (width - 1) else base256(value, width)


def header(
    name: bytes | str, kind: bytes = b"0", *, size: int = 0, mode: int = 0o644, uid: int = 0, gid: int = 0,
    mtime: int = 1_700_000_000, link: bytes | str = b"", prefix: bytes = b"", device: tuple[int, int] = (0, 0),
    magic: bytes = b"ustar\x0000", patch: dict[int, bytes] | None = None,
) -> bytes:  # fmt: skip
    """512 bytes; ``patch`` overwrites what is at an offset before the checksum is taken."""
    block = bytearray(512)

    def put(offset: int, value: bytes) -> None:
        block[offset : offset + len(value)] = value

    put(0, os.fsencode(name)[:100])
    for offset, value, width in ((100, mode, 8), (108, uid, 8), (116, gid, 8), (124, size, 12), (136, mtime, 12)):
        put(offset, number(value, width))
    put(156, kind)
    put(157, os.fsencode(link)[:100])
    put(257, magic)
    if kind in b"34":
        put(329, number(device[0], 8) + number(device[1], 8))
    put(345, prefix)
    for offset, value in (patch or {}).items():
        put(offset, value)
    put(148, b" " * 8)
    put(148, b"%06o\0 " % sum(block))
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def member(name: bytes | str, data: bytes = b"", kind: bytes = b"0", **more: Any) -> bytes:
    """A header and its data; ``size`` in ``more`` lies about it."""
    return header(name, kind, **({"size": len(data)} | more)) + padded(data)


def directory(name: str, mode: int = 0o755, **more: Any) -> bytes:
    return header(name, b"5", mode=mode, **more)


def symlink(name: str, target: bytes | str, **more: Any) -> bytes:
    return header(name, b"2", link=target, mode=0o777, **more)


def hardlink(name: str, target: bytes | str, **more: Any) -> bytes:
    return header(name, b"1", link=target, **more)


def record(key: str | bytes, value: str | bytes) -> bytes:
    """One PAX record with its length."""
    body = b" " + os.fsencode(key) + b"=" + os.fsencode(value) + b"\n"
    length = len(body)
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def pax(
    records: Mapping[str, str | bytes] | Mapping[str, str] | Iterable[tuple[str, str | bytes]], kind: bytes = b"x"
) -> bytes:
    pairs = records.items() if isinstance(records, Mapping) else records
    return member("PaxHeaders/x", b"".join(record(key, value) for key, value in pairs), kind)


class Dribble(io.RawIOBase):
    """A stream that comes in pieces of arbitrary sizes, as a network's does."""

    def __init__(self, data: bytes, seed: int = 1, most: int = 3000) -> None:
        self._data = io.BytesIO(data)
        self._random = random.Random(seed)
        self._most = most

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(min(self._random.randint(1, self._most), size if size >= 0 else 1 << 30))


def tree(
    root: Path | str, *, times: bool = True, owners: bool = True, skip: Callable[[str], bool] | None = None
) -> Any:
    """What is below ``root``: name → everything about it; names of one inode share a number."""
    found: dict[str, Any] = {}
    groups: dict[tuple[int, int], int] = {}
    for top, directories, files in os.walk(root):
        for name in sorted([*directories, *files]):
            path = os.path.join(top, name)
            relative = os.path.relpath(path, root)
            if skip and skip(relative):
                continue
            found[relative] = describe(path, groups, times=times, owners=owners)
        directories[:] = sorted(name for name in directories if not os.path.islink(os.path.join(top, name)))
    return found


def describe(path: str, groups: dict[tuple[int, int], int], *, times: bool = True, owners: bool = True) -> Any:
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    result: dict[str, Any] = {"mode": oct(status.st_mode)}
    if owners:
        result["owner"] = (status.st_uid, status.st_gid)
    if times:
        result["mtime"] = status.st_mtime_ns
    if kind == stat.S_IFREG:
        result["data"] = (status.st_size, hashlib.sha256(Path(path).read_bytes()).hexdigest())
    elif kind == stat.S_IFLNK:
        result["target"] = os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        result["device"] = (os.major(status.st_rdev), os.minor(status.st_rdev))
    if kind != stat.S_IFDIR and status.st_nlink > 1:
        result["inode"] = groups.setdefault((status.st_dev, status.st_ino), len(groups))
    xattrs = {
        name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
    }
    if xattrs:
        result["xattrs"] = xattrs
    return result
