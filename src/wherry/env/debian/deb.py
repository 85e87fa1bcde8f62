"""Package files read: ar(5) around a control and a data tar (deb(5)).  Nothing of them is trusted to be harmless."""

from __future__ import annotations

import io
import re

from wherry.errors import Corrupt, NotSupported
from wherry.layers import compression, tar
from wherry.layers.source import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import BinaryIO

_MAGIC = b"!<arch>\n"
_HEAD = 60
_MAX_CONTROL = 16 << 20
_MAX_ENTRIES = 1_000_000
_FORMS = (".tar", ".tar.gz", ".tar.xz", ".tar.zst")
_FIELD = re.compile(r"^([A-Za-z0-9-]+):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)


class Deb:
    """An open package file, read once from front to end: `control`, then `entries`.  A context manager.

    Errors name the package as ``what``.
    """

    def __init__(self, path: str, what: str) -> None:
        self._what = what
        self._file = open(path, "rb")
        self._source: Source | None = None

    def __enter__(self) -> Deb:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._source is not None:
            self._source.close()
        self._file.close()

    def control(self) -> dict[str, bytes]:
        """The files of the control tar: "control", "postinst" and so on.  Raises `Corrupt`."""
        if self._file.read(len(_MAGIC)) != _MAGIC:
            raise self._bad("it is no ar archive")
        name, size = self._member()
        if name != "debian-binary" or not self._file.read(size).startswith(b"2."):
            raise self._bad("it is not of format 2")
        self._file.seek(size % 2, io.SEEK_CUR)
        name, size = self._member()
        if not name.startswith("control.tar") or size > _MAX_CONTROL:
            raise self._bad("it has no control archive")
        found = {}
        data = self._file.read(size + size % 2)[:size]
        for entry, source in self._entries(name.removeprefix("control"), io.BytesIO(data)):
            if entry.kind == tar.FILE and entry.size <= _MAX_CONTROL:
                found[entry.name.decode("utf-8", "replace").removeprefix("./")] = source.take(entry.size)
        if "control" not in found:
            raise self._bad("it has no control file")
        return found

    def entries(self) -> Iterator[tuple[tar.Entry, Source]]:
        """The entries of the data tar; the content of one is taken from the source before the next is asked for.

        Raises `Corrupt`.
        """
        name, size = self._member()
        if not name.startswith("data.tar"):
            raise self._bad("it has no data archive")
        yield from self._entries(name.removeprefix("data"), _Part(self._file, size))

    def _entries(self, form: str, stream: io.BytesIO | _Part) -> Iterator[tuple[tar.Entry, Source]]:
        if form not in _FORMS:
            raise NotSupported(f"package {self._what} is compressed in an unknown way: {form[:20]!r}")
        try:
            with Source(compression.reader(stream, archive=True)) as source:
                self._source = source
                for entry in tar.entries(source, _MAX_ENTRIES):
                    yield entry, source
        except Corrupt as error:
            raise self._bad(error.message.removeprefix("layer ")) from None

    def _member(self) -> tuple[str, int]:
        head = self._file.read(_HEAD)
        size = head[48:58].strip()
        if len(head) != _HEAD or head[58:] != b"`\n" or not size.isdigit():
            raise self._bad("its ar archive is damaged")
        return head[:16].decode("ascii", "replace").rstrip().rstrip("/"), int(size)

    def _bad(self, reason: str) -> Corrupt:
        return Corrupt(f"package {self._what} is damaged: {reason}")


class _Part:
    """So many bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int, /) -> bytes:
        piece = self._file.read(min(size, self._left))
        self._left -= len(piece)
        return piece


def fields(stanza: bytes) -> dict[str, str]:
    """The fields of a control file (deb822(5))."""
    return dict(_FIELD.findall(stanza.decode("utf-8", "replace")))
