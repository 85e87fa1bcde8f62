"""``wherry env build``: from a lock to an image.

Reading order: `build` is the story.  Nothing is resolved here: the lock says which files there are, and each is checked
against its hash.  The same lock gives the same image, whoever builds it, wherever and whenever.
"""

from __future__ import annotations

import hashlib
import os

from wherry.engine.images import tag
from wherry.env import cache, lock_file
from wherry.env.lock import Lock
from wherry.errors import InvalidArgument
from wherry.oci import platform as platforms
from wherry.oci import reference as references
from wherry.record import Record
from wherry.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.env.debian.mirrors import Mirrors
    from wherry.env.interpreter import Interpreter
    from wherry.env.layering import Part
    from wherry.env.lock import LockedFile, LockedPackage
    from wherry.oci.reference import Reference
    from wherry.store.images import ImageRow

_FORM = "1"  # changes when the same lock becomes another image


class Built(Record):
    """``image_id`` is the image, ``digest`` that of its manifest, ``new`` False when it was here already."""

    image_id: str
    digest: str
    new: bool


def build(
    engine: Engine,
    lock: Lock,
    names: tuple[str, ...] = (),
    *,
    architecture: str = "",
    debian_mirrors: Sequence[str] = (),
    progress: Progress | None = None,
) -> Built:
    """Make the image of a lock for an architecture ("arm64"; empty: this machine's), and give it ``names``.

    ``debian_mirrors`` is where packages of a Debian base come from (`wherry.env.debian.mirrors.find`).

    Raises `InvalidArgument` when the lock is not for that, or the base has another Python; `Corrupt` when a file is
    not what was locked; `Unavailable` naming what cannot be downloaded; `Conflict` for two packages that own one file;
    `StorageFull`.  Nothing of the image is there then; what has been downloaded stays for the next attempt.
    """
    from wherry.engine.progress import Silent
    from wherry.env.debian.mirrors import find as find_mirrors

    architecture = architecture or platforms.host().architecture
    if architecture not in lock.architectures:
        raise InvalidArgument(
            f"the lock is not for {architecture}, but for {' and '.join(lock.architectures)}",
            hint="lock again with this architecture",
        )
    wanted = tuple([new_name(name) for name in names])
    text = lock_file.write(lock)
    place = f"{cache.directory(engine)}/images/{_key(text, architecture)}"
    known = _known(engine, place)
    if known is not None:
        for name in wanted:
            if images.by_name(engine.db, name) != known:
                tag(engine, known.id, str(name))
        return Built(known.id, known.manifest, False)
    row = _build(engine, lock, text, wanted, architecture, find_mirrors(debian_mirrors), progress or Silent())
    cache.write(place, row.id.encode())
    return Built(row.id, row.manifest, True)


def new_name(text: str) -> Reference:
    """A name that an image is to have.  Raises `InvalidArgument`."""
    reference = references.parse(text)
    if reference.digest:
        raise InvalidArgument(f"{text}: an image cannot be given a digest", hint="use a tag: team/env:1")
    return reference.tagged()


def _key(text: str, architecture: str) -> str:
    return hashlib.sha256(f"{_FORM} {architecture} {text}".encode()).hexdigest()


def _known(engine: Engine, place: str) -> ImageRow | None:
    """The image that the lock became before, while it is here."""
    text = cache.read(place)
    row = images.get(engine.db, text.decode()) if text else None
    return row if row is not None and engine.content.has(row.manifest) else None


def _build(
    engine: Engine, lock: Lock, text: str, names: tuple[Reference, ...], architecture: str, mirrors: Mirrors,
    progress: Progress,
) -> ImageRow:  # fmt: skip
    from wherry.env.assemble import Settings, assemble
    from wherry.env.debian.image import forget
    from wherry.env.debian.package import DebianBase

    base, interpreter = _base(engine, lock, architecture, mirrors, progress)
    parts = _fetched(engine, lock, interpreter, architecture, progress)
    options = lock.options
    settings = Settings(text, tuple([f"{name}={value}" for name, value in options.env]), options.user, options.workdir)
    row = images.resolve(engine.db, assemble(engine, base, interpreter, parts, settings, names, progress))
    if isinstance(lock.base, DebianBase):  # its image was made for this one, and is made of the same layers again
        for made in {base.id, interpreter.image_id}:
            forget(engine, made)
    return row


def _base(
    engine: Engine, lock: Lock, architecture: str, mirrors: Mirrors, progress: Progress
) -> tuple[ImageRow, Interpreter]:  # fmt: skip
    """The base image, and its Python; for another architecture than this machine's, that of its twin for this one."""
    from wherry.env import base, interpreter
    from wherry.env.debian.image import base_image
    from wherry.env.lock import ImageBase

    def get(machine: str) -> ImageRow:
        if isinstance(lock.base, ImageBase):
            return base.from_registry(engine, lock.base, machine, progress)
        return base_image(engine, lock.base, machine, mirrors, progress)

    here = platforms.host().architecture
    twin = get(here)
    found = interpreter.find(engine, cache.directory(engine), twin, lock.python)
    return twin if architecture == here else get(architecture), found


def _fetched(engine: Engine, lock: Lock, interpreter: Interpreter, architecture: str, progress: Progress) -> list[Part]:
    """The wheels of the lock's packages, here and verified."""
    from wherry.env import wheel_tags
    from wherry.env.fetch import Remote, fetch_all
    from wherry.env.layering import Part

    tags = wheel_tags.supported(lock.python, architecture, interpreter.libc)
    ranks = {tag: number for number, tag in reversed(list(enumerate(tags)))}
    chosen: list[tuple[LockedPackage, LockedFile]] = []
    for package in lock.of(architecture):
        name = wheel_tags.best([wheel.name for wheel in package.wheels], ranks)
        if not name:
            raise _unsuitable(package, interpreter, architecture)
        file = next(wheel for wheel in package.wheels if wheel.name == name)
        wheel_tags.check(file.name, package.name, package.version)
        chosen.append((package, file))
    directory = cache.directory(engine)
    files = []
    for package, file in chosen:
        os.makedirs(f"{directory}/wheels/{file.sha256}", 0o700, exist_ok=True)
        path = f"{directory}/wheels/{file.sha256}/{file.name}"
        files.append(Remote(f"{package.name} {package.version}", file.url, file.sha256, file.size, path))
    fetch_all(engine, files, progress)
    return [
        Part(package.name, package.version, remote.path, file.sha256, os.stat(remote.path).st_size)
        for (package, file), remote in zip(chosen, files, strict=True)
    ]


def _unsuitable(package: LockedPackage, interpreter: Interpreter, architecture: str) -> InvalidArgument:
    libc = interpreter.libc or "an unknown C library"
    names: Sequence[str] = [wheel.name for wheel in package.wheels] or ["there are none"]
    return InvalidArgument(
        f"no wheel of {package.name} {package.version} is for Python {interpreter.version} on {architecture} "
        f"with {libc}: {', '.join(names)}",
        hint="choose another base, or another version of the package",
    )
