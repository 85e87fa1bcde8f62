"""The layer of one or several packages: a tar, compressed while it is written, whose bytes depend on nothing but the
wheels and the byte code.

Owners are 0:0, times 0, modes 0644 and 0755.  Packages come in the order given, their files sorted by path, and the
``RECORD`` of each last, because it has the hashes of all others, byte code included: `verify` needs no other source.
"""

from __future__ import annotations

import base64
import hashlib
import zlib

from wherry.env.deflate import Packed, member, stored
from wherry.env.wheels import Item, Wheel
from wherry.errors import Corrupt
from wherry.layers.tarwriter import header, padding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from wherry.env.bytecode import Compiled

_BATCH = 1 << 18
_PIECE = 1 << 20


def _inflater() -> tuple[Any, Any]:
    """A maker of raw DEFLATE decompressors, and CRC-32: isal's, which are three times as fast, or zlib's."""
    try:
        from isal import isal_zlib
    except ImportError:
        return (lambda: zlib.decompressobj(-15)), zlib.crc32
    return (lambda: isal_zlib.decompressobj(-15)), isal_zlib.crc32


class PackageLayer:
    """A `wherry.layers.compression.Readable` of the compressed layer; ``diff_id`` once it has been read.

    Raises `Corrupt` where a wheel is damaged inside.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._hash = hashlib.sha256()
        self._make, self._crc = _inflater()
        self._before = b""  # the padding after the file before
        self._known: set[str] = set()
        self._pieces = self._write(entries)

    def read(self, _size: int, /) -> bytes:
        """The next bytes, a few hundred kilobytes; nothing at the end."""
        ready = bytearray()
        for piece in self._pieces:
            ready += piece
            if len(ready) >= _BATCH:
                break
        return bytes(ready)

    @property
    def diff_id(self) -> str:
        """The digest of the tar."""
        return "sha256:" + self._hash.hexdigest()

    def _write(self, entries: Iterable[Entry]) -> Iterator[bytes | memoryview]:
        for entry in entries:
            head = b"".join(self._directories(entry.path))
            head += header(entry.path.encode(), entry.kind, size=entry.packed.size, mode=entry.mode, link=entry.link)
            yield from self._member(head, entry)
        yield from self._member(bytes(1024), Entry("", 0, stored(b"")))

    def _directories(self, path: str) -> Iterator[bytes]:
        """The entries of the directories of ``path`` that have not come yet."""
        for at in [at for at, letter in enumerate(path) if letter == "/"]:
            if path[:at] not in self._known:
                self._known.add(path[:at])
                yield header(path[:at].encode() + b"/", b"5", mode=0o755)

    def _member(self, head: bytes, entry: Entry) -> Iterator[bytes | memoryview]:
        """A gzip member: ``head`` and the content of ``entry``."""
        head = self._before + head
        self._hash.update(head)
        check = self._crc(head)
        for piece in self._content(entry):
            self._hash.update(piece)
            check = self._crc(piece, check)
            if entry.hash is not None:
                entry.hash.update(piece)
        self._before = padding(entry.packed.size)
        yield from member(head, entry.packed, check)

    def _content(self, entry: Entry) -> Iterator[bytes]:
        """The bytes of a file; raises `Corrupt` unless they are what the wheel says, to the end of the stream."""
        packed = entry.packed
        inflate, total, check, data = self._make(), 0, 0, packed.data
        try:
            for start in range(0, len(data), _PIECE):
                piece = data[start : start + _PIECE]
                while True:
                    found = inflate.decompress(piece, _PIECE)
                    total += len(found)
                    if total > packed.size:
                        break
                    check = self._crc(found, check)
                    yield found
                    piece = inflate.unconsumed_tail
                    if not piece and len(found) < _PIECE:
                        break
        except Exception as error:  # zlib.error and isal's own class
            raise Corrupt(f"/{entry.path}: damaged in its wheel: {error}") from None
        if total != packed.size or not inflate.eof or inflate.unused_data:
            raise Corrupt(f"/{entry.path}: its size in the wheel is not what the wheel says")
        if packed.check not in (None, check):
            raise Corrupt(f"/{entry.path}: damaged in its wheel: its checksum is another one")


class Entry:
    """One entry of a layer; ``hash`` takes the content along when its digest is wanted."""

    __slots__ = ("hash", "kind", "link", "mode", "packed", "path")

    def __init__(self, path: str, mode: int, packed: Packed, *, kind: bytes = b"0", link: bytes = b"",
                 hashed: bool = False) -> None:  # fmt: skip
        self.path = path
        self.mode = mode
        self.packed = packed
        self.kind = kind
        self.link = link
        self.hash = hashlib.sha256() if hashed else None


def entries(wheel: Wheel, compiled: Compiled) -> Iterator[Entry]:
    """The files of a wheel with their byte code, then the list of them."""
    items: dict[str, Item | Packed] = {item.path: item for item in wheel.items}
    items |= compiled.read()
    rows = []
    for path in sorted(items):
        item = items[path]
        packed, mode = (wheel.packed(item), item.mode) if isinstance(item, Item) else (item, 0o644)
        entry = Entry(path, mode, packed, hashed=True)
        yield entry
        assert entry.hash is not None
        digest = base64.urlsafe_b64encode(entry.hash.digest()).decode().rstrip("=")
        rows.append(f"{_quoted(_relative(path, wheel.site))},sha256={digest},{packed.size}\n")
    rows.append(f"{_quoted(_relative(wheel.record, wheel.site))},,\n")
    yield Entry(wheel.record, 0o644, stored("".join(rows).encode()))


def _relative(path: str, site: str) -> str:
    import posixpath

    return path[len(site) + 1 :] if path.startswith(site + "/") else posixpath.relpath(path, site)


def _quoted(path: str) -> str:
    """A field of RECORD, which is CSV."""
    return '"' + path.replace('"', '""') + '"' if set(path) & set('",') else path
