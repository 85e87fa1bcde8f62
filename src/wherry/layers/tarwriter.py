"""Tar headers written: ustar, with PAX records where ustar has no room (POSIX.1-2017 pax)."""

from __future__ import annotations

from collections.abc import Mapping

_MAGIC = b"ustar\x0000"


def _octal(value: int, width: int) -> bytes:
    """A number, or zeros where it has no room and a PAX record says it."""
    return b"%0*o\0" % (width - 1, value if 0 <= value < 8 ** (width - 1) else 0)


def _block(name: bytes, kind: bytes, size: int, mode: int, uid: int, gid: int, mtime: int, link: bytes = b"",
           device: tuple[int, int] = (0, 0)) -> bytes:  # fmt: skip
    head = name[:100].ljust(100, b"\0") + _octal(mode, 8) + _octal(uid, 8) + _octal(gid, 8)
    head += _octal(size, 12) + _octal(mtime, 12)
    tail = kind + link[:100].ljust(100, b"\0") + _MAGIC + bytes(64) + _octal(device[0], 8) + _octal(device[1], 8)
    tail = tail.ljust(512 - 156, b"\0")
    return head + b"%06o\0 " % (sum(head) + sum(tail) + 8 * 32) + tail


def _record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length = len(b"%d" % length) + len(body)
    return b"%d" % length + body


def padding(size: int) -> bytes:
    """What follows ``size`` bytes of data up to the next block."""
    return bytes(-size % 512)


def header(
    name: bytes,
    kind: bytes,
    *,
    size: int = 0,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    device: tuple[int, int] = (0, 0),
    xattrs: Mapping[str, bytes] | None = None,
) -> bytes:
    """The header blocks of one entry, ``mtime`` in whole seconds.  The same arguments give the same bytes."""
    records: dict[bytes, bytes] = {}
    if len(name) > 100 or not name.isascii():
        records[b"path"] = name
    if len(link) > 100 or not link.isascii():
        records[b"linkpath"] = link
    for key, value, width in ((b"uid", uid, 8), (b"gid", gid, 8), (b"size", size, 12), (b"mtime", mtime, 12)):
        if not 0 <= value < 8 ** (width - 1):
            records[key] = b"%d" % value
    for attribute, content in (xattrs or {}).items():
        records[b"SCHILY.xattr." + attribute.encode("utf-8", "surrogateescape")] = content
    if not records:
        return _block(name, kind, size, mode, uid, gid, mtime, link, device)
    data = b"".join(_record(key, records[key]) for key in sorted(records))
    before = _block(b"PaxHeaders/" + name[-80:], b"x", len(data), 0o644, 0, 0, 0) + data + padding(len(data))
    return before + _block(name, kind, size, mode, uid, gid, mtime, link, device)
