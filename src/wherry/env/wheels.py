"""A wheel as the files that it becomes in an image: where each goes, and how it is packed in the wheel.

`installer` decides what a wheel's files are and which scripts there are (packaging.python.org, "Binary distribution
format"); here is where they go, and nothing is unpacked: a file keeps the compressed bytes that it has in the wheel.
"""

from __future__ import annotations

import mmap
import os
import struct
import warnings
import zipfile
import zlib

from wherry.env.deflate import Packed, stored
from wherry.errors import Corrupt, NotSupported
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, BinaryIO

PREFIX = "opt/venv"
"""The environment in the image, without the leading slash."""

_LOCAL = struct.Struct("<4s22xHH")  # of a local file header: signature, length of the name, length of the rest
_UNSAFE = frozenset(map(chr, range(32))) | {"\x7f", "\\"}
_SCRIPT = """\
#!/{prefix}/bin/python
import sys
from {module} import {first}
if __name__ == "__main__":
    if sys.argv[0].endswith(".exe"):
        sys.argv[0] = sys.argv[0][:-4]
    sys.exit({attribute}())
"""


class Item(Record):
    """A file of an image: ``path`` without the leading slash; ``source`` is a member of the wheel, or the content."""

    path: str
    mode: int
    source: zipfile.ZipInfo | bytes

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.file_size


def missing(library: str) -> NotSupported:
    """The error where a library of the extra is not installed."""
    return NotSupported(f"environments need the library {library}, which is not here", hint="pip install 'wherry[env]'")


class Wheel:
    """An opened wheel, whose hash has been verified; a context manager.  ``name`` is "numpy 2.4.6".

    ``items`` are its files in an image, sorted, without the one that lists them, which is to be at ``record``.
    ``python`` is the version of the image's, "3.11".  Raises `Corrupt` for what is no wheel, or a hostile one.
    """

    def __init__(self, path: str, name: str, python: str) -> None:
        self.name = name
        self.site = f"{PREFIX}/lib/python{python}/site-packages"
        self.record = ""
        self._path = path
        with open(path, "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            with _explained(name), zipfile.ZipFile(path) as archive:
                self.items = self._place(archive, python)
        except BaseException:
            self._bytes.close()
            raise

    def __enter__(self) -> Wheel:
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self._bytes.close()
        except BufferError:
            pass  # an error that is on its way still has a piece of it

    def _place(self, archive: zipfile.ZipFile, python: str) -> tuple[Item, ...]:
        try:
            from installer import install
        except ImportError:
            raise missing("installer") from None
        seen = set()
        for info in archive.infolist():
            if not info.filename.endswith("/"):
                _check(info, self.name)
                if info.filename in seen:
                    raise Corrupt(f"{self.name}: the wheel has two files {info.filename}")
                seen.add(info.filename)
        found = _Destination(self.name, python)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of byte code in wheels, which is left out
            install(_source(archive), found, {"INSTALLER": b"wherry\n"})  # type: ignore[arg-type]
        self.record = found.record
        return tuple(found.items[path] for path in sorted(found.items) if path != found.record)

    def packed(self, item: Item) -> Packed:
        """The content of an item, as it is in the wheel where that can be.  Raises `Corrupt`."""
        info = item.source
        if isinstance(info, bytes):
            return stored(info)
        at = info.header_offset
        head = self._bytes[at : at + _LOCAL.size]
        signature, name, rest = _LOCAL.unpack(head) if len(head) == _LOCAL.size else (b"", 0, 0)
        at += _LOCAL.size + name + rest
        if signature != b"PK\3\4" or at + info.compress_size > len(self._bytes):
            raise Corrupt(f"{self.name}: {info.filename} is cut short in the wheel")
        data = memoryview(self._bytes)[at : at + info.compress_size]
        if info.compress_type == zipfile.ZIP_DEFLATED:
            return Packed(data, info.file_size, info.CRC)
        return stored(bytes(data)).replace(check=info.CRC)

    def content(self, item: Item) -> bytes:
        """The content of an item, unpacked.  Raises `Corrupt`."""
        packed = self.packed(item)
        inflate = zlib.decompressobj(-15)
        try:
            found = inflate.decompress(packed.data, packed.size + 1)
        except zlib.error as error:
            raise Corrupt(f"{item.path}: damaged in its wheel: {error}") from None
        if len(found) != packed.size:
            raise Corrupt(f"{item.path}: its size in the wheel is not what the wheel says")
        return found

    def sources(self) -> Iterator[Item]:
        """The modules whose byte code belongs into the image: all but those of test suites."""
        for item in self.items:
            inside = item.path.removeprefix(self.site + "/")
            if inside != item.path and item.path.endswith(".py") and not {"tests", "test"} & set(inside.split("/")):
                yield item


class _explained:  # noqa: N801
    """What `installer` and `zipfile` raise, as `Corrupt`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        import configparser
        import csv

        if isinstance(error, AssertionError):
            raise Corrupt(f"{self._name}: a file of the wheel's metadata is malformed") from None
        known = (zipfile.BadZipFile, ValueError, KeyError, NotImplementedError, configparser.Error, csv.Error)
        if isinstance(error, known) or type(error).__module__.startswith("installer."):
            raise Corrupt(f"{self._name}: not a valid wheel: {error}") from None


def _source(archive: zipfile.ZipFile) -> Any:
    """The archive as a `installer.sources.WheelSource` that reads no file before it is asked to."""
    from installer.sources import WheelFile

    class Source(WheelFile):
        def get_contents(self) -> Iterator[tuple[tuple[str, str, str], BinaryIO, bool]]:
            for info in archive.infolist():
                path = info.filename
                if path.endswith("/"):
                    continue
                mode = info.external_attr >> 16
                stream: Any = _Unread(archive, info)
                yield (path, "", ""), stream, mode & 0o170000 in (0, 0o100000) and bool(mode & 0o111)

    return Source(archive)


def _check(info: zipfile.ZipInfo, name: str) -> None:
    parts = info.filename.split("/")
    if (
        {"", ".", ".."} & set(parts)
        or _UNSAFE & set(info.filename)
        or any(part.startswith(".wh.") or len(part.encode()) > 255 for part in parts)
    ):
        raise Corrupt(f"{name}: the wheel has a file with the hostile path {info.filename!r}")
    if info.external_attr >> 16 & 0o170000 not in (0, 0o100000):
        raise Corrupt(f"{name}: {info.filename} is not a regular file")
    if info.flag_bits & 1:
        raise NotSupported(f"{name}: {info.filename} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotSupported(
            f"{name}: {info.filename} is compressed by method {info.compress_type}, which wheels have not"
        )


class _Unread:
    """A file of the wheel that has not been opened; what a `WheelDestination` gets as a stream."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._archive = archive
        self.info = info

    def content(self) -> bytes:
        """All of it."""
        return self._archive.read(self.info)


class _Destination:
    """`installer.destinations.WheelDestination`: collects where everything is to be."""

    def __init__(self, name: str, python: str) -> None:
        self._name = name
        site = f"{PREFIX}/lib/python{python}/site-packages/"
        self._schemes = {
            "purelib": site, "platlib": site, "scripts": f"{PREFIX}/bin/", "data": f"{PREFIX}/",
            "headers": f"{PREFIX}/include/site/python{python}/{name.partition(' ')[0]}/",
        }  # fmt: skip
        self.items: dict[str, Item] = {}
        self.record = ""

    def _add(self, scheme: str, path: str, mode: int, source: zipfile.ZipInfo | bytes) -> Any:
        from installer.records import RecordEntry

        whole = self._schemes[scheme] + path
        if whole.startswith(f"{PREFIX}/lib64/"):  # a link, as in every virtual environment
            whole = f"{PREFIX}/lib/{whole.removeprefix(f'{PREFIX}/lib64/')}"
        if whole in self.items:
            raise Corrupt(f"{self._name}: the wheel installs two files as /{whole}")
        self.items[whole] = Item(whole, mode, source)
        return RecordEntry(path, None, None)

    def write_script(self, name: str, module: str, attr: str, section: str) -> Any:  # noqa: ARG002
        """An entry point: a script of our own, the same whatever version of `installer` is here."""
        if "/" in name or name in ("", ".", "..") or _UNSAFE & set(name):
            raise Corrupt(f"{self._name}: the wheel has an entry point with the hostile name {name!r}")
        first = attr.partition(".")[0]
        text = _SCRIPT.format(prefix=PREFIX, module=module, first=first, attribute=attr)
        return self._add("scripts", name, 0o755, text.encode())

    def write_file(self, scheme: str, path: str | os.PathLike[str], stream: Any, is_executable: bool) -> Any:
        """A file of the wheel, or of the installer's."""
        if not isinstance(stream, _Unread):
            self.items.pop(self._schemes["purelib"] + str(path), None)  # an INSTALLER that came along is another's
            return self._add("purelib", str(path), 0o644, stream.read())
        if scheme != "scripts":
            return self._add(scheme, str(path), 0o755 if is_executable else 0o644, stream.info)
        content = stream.content()
        if content.startswith(b"#!python"):
            content = f"#!/{PREFIX}/bin/python\n".encode() + content.partition(b"\n")[2]
        return self._add(scheme, str(path), 0o755, content)

    def finalize_installation(self, scheme: str, record_file_path: str, records: Iterable[Any]) -> None:  # noqa: ARG002
        """Where the list of files is to be; it is written when their hashes are known."""
        self.record = self._schemes[scheme] + record_file_path
