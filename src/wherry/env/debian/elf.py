"""Shared libraries: their sonames, and the cache in which ``ld.so`` and ctypes look for them (ldconfig(8), elf(5)).

The cache is written as glibc's ldconfig does since 2.32 (sysdeps/generic/dl-cache.h); every glibc since 2.2 reads it.
"""

from __future__ import annotations

import re
import struct
from functools import cmp_to_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CACHE = "etc/ld.so.cache"
CONFIGURATION = "etc/ld.so.conf.d/"
_LIBRARY = re.compile(rb"(?:lib|ld-)[^/]*\.so[^/]*")
_MAGIC = b"glibc-ld.so.cache1.1"
_LITTLE_ENDIAN = 2
_FLAGS = {"amd64": 0x0303, "arm64": 0x0A03}  # an ELF library of libc 6, for this machine
_MACHINES = {"amd64": 62, "arm64": 183}
_HEAD, _ENTRY = 48, 24
_DYNAMIC, _LOAD = 2, 1
_STRTAB, _SONAME = 5, 14


def is_library(path: bytes) -> bool:
    """Whether ldconfig looks at a file of this name."""
    return _LIBRARY.fullmatch(path.rpartition(b"/")[2]) is not None


def soname(data: bytes, architecture: str) -> str:
    """The soname of a library for this architecture; empty for what is none, or has none."""
    try:
        if data[:6] != b"\x7fELF\2\1" or int.from_bytes(data[18:20], "little") != _MACHINES[architecture]:
            return ""
        start, size, count = struct.unpack_from("<Q14xHH", data, 32)
        headers = [struct.unpack_from("<IIQQQQ", data, start + number * size) for number in range(count)]
        return _soname(data, headers)
    except (struct.error, OverflowError, ValueError, KeyError):
        return ""


def _soname(data: bytes, headers: Sequence[tuple[int, ...]]) -> str:
    loads = [(offset, address, size) for kind, _, offset, address, _, size in headers if kind == _LOAD]
    for kind, _, offset, _address, _, size in headers:
        if kind != _DYNAMIC:
            continue
        tags = dict(struct.iter_unpack("<QQ", data[offset : offset + size - size % 16]))
        if _SONAME not in tags or _STRTAB not in tags:
            return ""
        for base, address, length in loads:
            if address <= tags[_STRTAB] < address + length:
                at = base + tags[_STRTAB] - address + tags[_SONAME]
                return data[at : data.index(b"\0", at)].decode("ascii")
    return ""


def directories(configurations: Mapping[str, bytes]) -> list[str]:
    """Where ldconfig looks, as it names them: what files of /etc/ld.so.conf.d say, in order, then the usual places."""
    found: list[str] = []
    for path in sorted(configurations):
        for line in configurations[path].decode("utf-8", "replace").splitlines():
            directory = line.partition("#")[0].strip().rstrip("/")
            if directory.startswith("/") and directory not in found:
                found.append(directory)
    return [*found, "/lib", "/usr/lib"]


def cache(libraries: Mapping[str, str], where: Iterable[str], architecture: str) -> tuple[bytes, dict[str, str]]:
    """The cache for libraries (path below a merged /usr → soname) in the directories ``where``, and the links by which
    they are found (path → target) where their files have other names."""
    seen: set[str] = set()
    entries: set[tuple[str, str]] = set()
    links: dict[str, str] = {}
    for directory in where:
        real = directory.strip("/")
        real = real if real.startswith("usr/") else f"usr/{real}"
        if real in seen:
            continue
        seen.add(real)
        for path in sorted(libraries):
            if path.rpartition("/")[0] == real:
                name, file = libraries[path], path.rpartition("/")[2]
                if name != file:
                    links.setdefault(f"{real}/{name}", file)
                entries.add((name, f"{directory}/{name}"))
    return _write(sorted(sorted(entries), key=cmp_to_key(_order), reverse=True), _FLAGS[architecture]), links


def _write(entries: Sequence[tuple[str, str]], flags: int) -> bytes:
    base = _HEAD + _ENTRY * len(entries)
    table, strings = bytearray(), bytearray()
    for name, path in entries:
        key, value = base + len(strings), base + len(strings) + len(name) + 1
        strings += name.encode() + b"\0" + path.encode() + b"\0"
        table += struct.pack("<iIIIQ", flags, key, value, 0, 0)
    head = _MAGIC + struct.pack("<IIB3xI12x", len(entries), len(strings), _LITTLE_ENDIAN, 0)
    return head + bytes(table) + bytes(strings)


def _order(one: tuple[str, str], other: tuple[str, str]) -> int:
    """How ld.so compares names while it searches: numbers as numbers, and after all that are no digits."""
    a, b = re.findall(r"\d+|\D", one[0]), re.findall(r"\d+|\D", other[0])
    for left, right in zip(a, b):
        if left == right:
            continue
        if left[0].isdigit() and right[0].isdigit():
            if int(left) != int(right):
                return int(left) - int(right)
            continue
        if left[0].isdigit() or right[0].isdigit():
            return 1 if left[0].isdigit() else -1
        return ord(left) - ord(right)
    return len(a) - len(b)
