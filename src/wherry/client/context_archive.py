"""A context in one file: what `wherry context export` writes and `import` reads, as Docker's client does.

A tar of ``meta.json`` and ``tls/docker/{ca,cert,key}.pem``; a zip of the same can be read as well.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile

from wherry.client.contexts import FILES, Context, context_from
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_MOST = 10 << 20  # bytes, of a file and of all of them


def write(context: Context, out: BinaryIO) -> None:
    """The tar of a context."""
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.USTAR_FORMAT) as archive:
        _add(archive, "meta.json", json.dumps(context.document(), separators=(",", ":")).encode(), 0o644)
        for name in ("tls", "tls/docker") if context.tls else ():
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o700
            archive.addfile(directory)
        for name, content in context.tls:
            _add(archive, f"tls/docker/{name}", content, 0o600)


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def read(name: str, content: bytes) -> Context:
    """The context in an archive, as ``name``.  Raises `InvalidArgument` for what is none."""
    try:
        files = dict(_zip(content) if zipfile.is_zipfile(io.BytesIO(content)) else _tar(content))
        document = json.loads(files.pop("meta.json"))
        if not isinstance(document, dict):
            raise TypeError
    except KeyError:
        raise InvalidArgument("invalid context: no metadata found") from None
    except (tarfile.TarError, zipfile.BadZipFile, ValueError, TypeError, RecursionError, EOFError):
        raise InvalidArgument("invalid context: it is no archive of a context") from None
    tls = []
    for path, data in files.items():
        endpoint, _slash, file = path.removeprefix("tls/").partition("/")
        if not path.startswith("tls/") or endpoint != "docker" or file not in FILES:
            raise InvalidArgument(f"invalid context: unexpected file {path}")
        tls.append((file, data))
    return context_from(name, document, tuple(sorted(tls)))


def _tar(content: bytes) -> Iterator[tuple[str, bytes]]:
    left = _MOST
    whole = content + bytes(-len(content) % 512 + 1024)  # Docker's client does not write an archive's end
    with tarfile.open(fileobj=io.BytesIO(whole), mode="r:") as archive:
        for entry in archive:
            if entry.isdir():
                continue
            if not entry.isreg() or entry.size > left:
                raise InvalidArgument(f"invalid context: {entry.name} is no file, or too large")
            left -= entry.size
            file = archive.extractfile(entry)
            assert file is not None
            yield entry.name, file.read()


def _zip(content: bytes) -> Iterator[tuple[str, bytes]]:
    left = _MOST
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            if entry.file_size > left:
                raise InvalidArgument(f"invalid context: {entry.filename} is too large")
            left -= entry.file_size
            yield entry.filename, archive.read(entry)
