"""Writes image archives: docker-archive as Docker writes it since version 25, and oci-archive.

Both are an OCI image layout in a tar; docker-archive has ``manifest.json`` and ``repositories`` as well, which
``docker load``, podman and skopeo read.  The same images make the same bytes: members are sorted and carry no time.
"""

from __future__ import annotations

from wherry import fastjson
from wherry.oci import digest as digests
from wherry.oci.manifest import OCI_INDEX, Descriptor, Manifest
from wherry.oci.platform import Platform
from wherry.oci.reference import Reference
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, BinaryIO, Protocol
else:
    Protocol = object

FORMATS = ("docker-archive", "oci-archive")
_BLOCK = 512
_RECORD = 20 * _BLOCK
_PIECE = 1 << 20


class Writable(Protocol):
    """Where an archive goes."""

    def write(self, data: bytes, /) -> object:
        """Writes all of ``data``."""


class Blobs(Protocol):
    """Where the blobs come from."""

    def open(self, digest: str) -> BinaryIO:
        """A blob, to read."""


class Saved(Record):
    """One image to write: its manifest, that manifest's digest and size, and the names it is to have."""

    manifest: Manifest
    digest: str
    size: int
    platform: Platform
    names: tuple[Reference, ...] = ()


def write(
    out: Writable,
    images: Iterable[Saved],
    blobs: Blobs,
    *,
    docker: bool = True,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Writes an archive of ``images``; with ``docker`` a docker-archive.  ``progress`` is told the bytes of each piece.

    Raises `NotFound` when a blob is not there, and what ``out.write`` raises.
    """
    saved = tuple(images)
    sizes: dict[str, int] = {}
    for one in saved:
        sizes[one.digest] = one.size
        for part in (one.manifest.config, *one.manifest.layers):
            sizes[part.digest] = part.size
    tables: dict[str, Any] = {"index.json": _index(saved)}
    if docker:
        tables |= {"manifest.json": [_entry(one) for one in saved], "repositories": _repositories(saved)}
    _write(out, sizes, tables, blobs, progress)


def write_graph(
    out: Writable,
    parts: Iterable[Descriptor],
    root: Descriptor,
    blobs: Blobs,
    *,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Writes an OCI image layout of all ``parts``, documents included; its index names ``root``.  Raises as `write`."""
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [root.to_json()]}
    _write(out, {part.digest: part.size for part in parts}, {"index.json": index}, blobs, progress)


def _write(
    out: Writable,
    sizes: dict[str, int],
    tables: dict[str, Any],
    blobs: Blobs,
    progress: Callable[[int], None] | None,
) -> None:
    """The blobs, then the tables, each in order of their names."""
    tables = tables | {"oci-layout": {"imageLayoutVersion": "1.0.0"}}
    directories = sorted({f"blobs/{digests.algorithm(digest)}/" for digest in sizes})
    for directory in ("blobs/", *directories):
        out.write(_header(directory, 0, directory=True))
    for digest in sorted(sizes):
        out.write(_header(_path(digest), sizes[digest]))
        for piece in _pieces(blobs, digest, sizes[digest]):
            out.write(piece)
            if progress is not None:
                progress(len(piece))
        out.write(bytes(-sizes[digest] % _BLOCK))
    for name in sorted(tables):
        body = fastjson.dumps(tables[name]).encode()
        block = _header(name, len(body)) + body + bytes(-len(body) % _BLOCK)
        out.write(block)
    out.write(bytes(_RECORD))


def _path(digest: str) -> str:
    return f"blobs/{digests.algorithm(digest)}/{digests.hex_part(digest)}"


def _pieces(blobs: Blobs, digest: str, size: int) -> Iterator[bytes]:
    from wherry.errors import Corrupt

    with blobs.open(digest) as file:
        while size:
            piece = file.read(min(_PIECE, size))
            if not piece:
                raise Corrupt(f"blob {digest} is cut short on disk")
            size -= len(piece)
            yield piece


def _header(name: str, size: int, *, directory: bool = False) -> bytes:
    """One ustar header (POSIX.1-2017, pax); a size of 8 GiB or more in base 256, as GNU tar writes it."""
    number = b"%011o\0" % size if size < 1 << 33 else b"\x80" + size.to_bytes(11, "big")
    mode, kind = (b"0000755\0", b"5") if directory else (b"0000644\0", b"0")
    fields = (name.encode().ljust(100, b"\0"), mode, b"0000000\0", b"0000000\0", number, b"%011o\0" % 0)
    rest = kind + bytes(100) + b"ustar\x0000" + bytes(80) + bytes(167)
    start = b"".join(fields)
    total = sum(start) + 8 * 32 + sum(rest)
    return (start + b"%06o\0 " % total + rest).ljust(_BLOCK, b"\0")


def _index(saved: tuple[Saved, ...]) -> dict[str, Any]:
    manifests = []
    for one in saved:
        plain = Descriptor(one.manifest.media_type, one.digest, one.size, one.platform)
        manifests += [
            plain.replace(
                annotations=(
                    ("io.containerd.image.name", str(name)),
                    ("org.opencontainers.image.ref.name", name.tag),
                )
            ).to_json()
            for name in one.names
        ] or [plain.to_json()]
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}


def _entry(one: Saved) -> dict[str, Any]:
    return {
        "Config": _path(one.manifest.config.digest),
        "RepoTags": [name.familiar() for name in one.names] or None,
        "Layers": [_path(layer.digest) for layer in one.manifest.layers],
    }


def _repositories(saved: tuple[Saved, ...]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for one in saved:
        top = digests.hex_part(one.manifest.layers[-1].digest if one.manifest.layers else one.digest)
        for name in one.names:
            found.setdefault(name.familiar_name(), {})[name.tag] = top
    return found
