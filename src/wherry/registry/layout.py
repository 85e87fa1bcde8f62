"""OCI image layouts on disk (image-spec, image-layout.md): directories that skopeo, umoci, crane and buildah share.

A layout may come from a stranger: blobs are opened by their digests, which are no paths, and are files or nothing.
"""

from __future__ import annotations

import json
import os
import stat
from typing import Any, BinaryIO

from wherry.errors import Corrupt, InvalidArgument, NotFound, SystemFailure
from wherry.oci import digest as digests
from wherry.oci.manifest import MAX_MANIFEST, OCI_INDEX, Descriptor, Index
from wherry.registry.archive import read_index

REF_NAME = "org.opencontainers.image.ref.name"
_PIECE = 1 << 20


def choose(index: Index, name: str, what: str) -> Descriptor:
    """The entry of a layout's index that has the name, or the only one when ``name`` is empty.

    Raises `NotFound`, `InvalidArgument` when it is not clear which is meant.
    """
    if not name:
        if len(index.manifests) == 1:
            return index.manifests[0]
        raise InvalidArgument(
            f"{what} has {len(index.manifests)} images", hint=f"name one: {', '.join(sorted(names(index)))[:300]}"
        )
    for entry in index.manifests:
        annotations = dict(entry.annotations)
        if name in (annotations.get(REF_NAME), annotations.get("io.containerd.image.name")):
            return entry
    if digests.is_digest(name):
        for entry in index.manifests:
            if entry.digest == name:
                return entry
    raise NotFound("image", name, f"{what} has no image {name!r}")


def names(index: Index) -> tuple[str, ...]:
    """What the images of a layout are called; one without a name by its digest."""
    return tuple(dict(entry.annotations).get(REF_NAME, "") or entry.digest for entry in index.manifests)


class Layout:
    """One layout in the directory ``path``."""

    def __init__(self, path: str) -> None:
        self.path = path

    def index(self) -> Index:
        """Its index.  Raises `NotFound` when it is no layout, `Corrupt`."""
        with self._open("index.json") as file:
            body = file.read(MAX_MANIFEST + 1)
        return read_index(body)

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        return os.path.isfile(os.path.join(self.path, _blob(digest)))

    def open(self, digest: str) -> BinaryIO:
        """A blob, to read; not verified.  Raises `NotFound`."""
        return self._open(_blob(digest))

    def _open(self, name: str) -> BinaryIO:
        path = os.path.join(self.path, name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError as error:
            why = (error.strerror or "cannot be read").lower()
            raise NotFound("file", path, f"open {path}: {why}", hint="it is not an OCI image layout") from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise Corrupt(f"{path} is not a regular file")
        return open(fd, "rb", buffering=0)

    def prepare(self) -> None:
        """Makes it when it is not there.  Raises `InvalidArgument` for a directory with other things in it."""
        try:
            os.makedirs(os.path.join(self.path, "blobs"), exist_ok=True)
            inside = set(os.listdir(self.path)) - {"blobs"}
            if inside and "oci-layout" not in inside:
                raise InvalidArgument(f"{self.path} has other things in it than an OCI image layout")
            self._put("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        except OSError as error:
            raise self._failed(error) from error

    def put_blob(self, digest: str, source: BinaryIO) -> None:
        """Copies a blob there, whole or not at all, unless it is there."""
        if self.has(digest):
            return
        path = os.path.join(self.path, _blob(digest))
        aside = f"{path}.{os.getpid()}.part"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(aside, "xb", buffering=0) as file:
                while piece := source.read(_PIECE):
                    file.write(piece)
            os.rename(aside, path)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            if os.path.lexists(aside):
                os.unlink(aside)

    def put_image(self, entry: Descriptor) -> None:
        """Lists an image in the index, in place of the one of the same name."""
        name = dict(entry.annotations).get(REF_NAME, "")
        try:
            with self._open("index.json") as file:
                document: dict[str, Any] = json.loads(file.read(MAX_MANIFEST))
        except NotFound:
            document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
        except ValueError as error:
            raise Corrupt(f"{self.path}/index.json is not valid JSON: {error}") from None
        kept = [
            one
            for one in document.get("manifests") or []
            if (one.get("annotations") or {}).get(REF_NAME, "") != name or (not name and one["digest"] != entry.digest)
        ]
        try:
            self._put("index.json", json.dumps(document | {"manifests": [*kept, entry.to_json()]}).encode())
        except OSError as error:
            raise self._failed(error) from error

    def _put(self, name: str, data: bytes) -> None:
        path = os.path.join(self.path, name)
        aside = f"{path}.{os.getpid()}.part"
        with open(aside, "xb") as file:
            file.write(data)
        os.rename(aside, path)

    def _failed(self, error: OSError) -> SystemFailure:
        return SystemFailure(f"write {self.path}", f"file {error.filename or ''}".rstrip(), error.errno or 5)


def _blob(digest: str) -> str:
    algorithm, _, encoded = digests.parse(digest).partition(":")
    return f"blobs/{algorithm}/{encoded}"
