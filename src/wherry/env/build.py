"""``wherry env build``: from a lock to an image.

Reading order: `build` is the story.  Nothing is resolved here: the lock says which files there are, and each is checked
against its hash.  The same lock gives the same image, whoever builds it, wherever and whenever.
"""

from __future__ import annotations

import hashlib
import os

from wherry.engine import build_cache
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
    from collections.abc import Callable, Sequence

    from packaging.tags import Tag

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.env.debian.mirrors import Mirrors
    from wherry.env.fetch import Remote
    from wherry.env.interpreter import Interpreter
    from wherry.env.layering import Part
    from wherry.env.lock import LockedFile, LockedPackage
    from wherry.oci.reference import Reference
    from wherry.store.images import ImageRow

_FORM = "2"  # changes when the same lock becomes another image


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
    from wherry.engine.progress import Silent
    from wherry.env.debian.image import forget
    from wherry.env.debian.mirrors import find as find_mirrors

    unneeded: set[str] = set()
    try:
        making = _Making(engine, lock, architecture, find_mirrors(debian_mirrors), progress or Silent(), unneeded)
        with build_cache.using(engine.layout):
            row = making.image(text, wanted)
    finally:
        for image_id in unneeded:
            forget(engine, image_id)
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


class _Making:
    """One image to be made.  ``unneeded`` gets the ids of images that come about on the way, which nobody asked for."""

    def __init__(
        self, engine: Engine, lock: Lock, architecture: str, mirrors: Mirrors, progress: Progress, unneeded: set[str]
    ) -> None:  # fmt: skip
        self._engine = engine
        self._lock = lock
        self._architecture = architecture
        self._mirrors = mirrors
        self._progress = progress
        self._unneeded = unneeded
        self._directory = cache.directory(engine)

    def image(self, text: str, names: tuple[Reference, ...]) -> ImageRow:
        """The image, made or found; ``text`` is the lock's."""
        from wherry.env.assemble import Settings, assemble

        base, interpreter = self._base()
        parts = self._parts(interpreter)
        options = self._lock.options
        env = tuple([f"{name}={value}" for name, value in options.env])
        settings = Settings(text, env, options.user, options.workdir)
        made = assemble(self._engine, base, interpreter, parts, settings, names, self._progress)
        return images.resolve(self._engine.db, made)

    def _base(self) -> tuple[ImageRow, Interpreter]:
        """The base image, and its Python; for another architecture than this machine's, that of its twin for this."""
        from wherry.env import interpreter

        here = platforms.host().architecture
        twin = self._base_for(here)
        found = interpreter.find(self._engine, self._directory, twin, self._lock.python)
        return twin if self._architecture == here else self._base_for(self._architecture), found

    def _base_for(self, architecture: str) -> ImageRow:
        from wherry.env import base
        from wherry.env.debian.image import base_image
        from wherry.env.lock import ImageBase

        wanted = self._lock.base
        if isinstance(wanted, ImageBase):
            return base.from_registry(self._engine, wanted, architecture, self._progress)
        row = base_image(self._engine, wanted, architecture, self._mirrors, self._progress)
        self._unneeded.add(row.id)  # the image that is built on it is made of the same layers
        return row

    def _parts(self, interpreter: Interpreter) -> list[Part]:
        """The wheels of the lock's packages, here and verified; those of sources are built."""
        from wherry.env import wheel_tags
        from wherry.env.fetch import fetch_all
        from wherry.env.layering import Part

        tags = wheel_tags.supported(self._lock.python, self._architecture, interpreter.libc)
        ranks = {tag: number for number, tag in reversed(list(enumerate(tags)))}
        chosen: list[tuple[LockedPackage, LockedFile]] = []
        for package in self._lock.of(self._architecture):
            name = wheel_tags.best([wheel.name for wheel in package.wheels], ranks)
            file = next((wheel for wheel in package.wheels if wheel.name == name), package.sdist)
            if file is None:
                raise _unsuitable(package, interpreter, self._architecture)
            if file is not package.sdist:
                wheel_tags.check(file.name, package.name, package.version)
            chosen.append((package, file))
        files = [self._remote(package, file) for package, file in chosen]
        fetch_all(self._engine, files, self._progress)
        sources = [package for package, file in chosen if file is package.sdist]
        built = self._built(interpreter, ranks, sources) if sources else {}
        parts = []
        for (package, file), remote in zip(chosen, files, strict=True):
            path, digest = built.get(package.name, (remote.path, file.sha256))
            parts.append(Part(package.name, package.version, path, digest, os.stat(path).st_size))
        return parts

    def _remote(self, package: LockedPackage, file: LockedFile) -> Remote:
        from wherry.env.fetch import Remote

        place = f"{self._directory}/wheels/{file.sha256}"
        os.makedirs(place, 0o700, exist_ok=True)
        return Remote(f"{package.name} {package.version}", file.url, file.sha256, file.size, f"{place}/{file.name}")

    def _built(
        self, interpreter: Interpreter, ranks: dict[Tag, int], packages: Sequence[LockedPackage]
    ) -> dict[str, tuple[str, str]]:
        """The wheels built of source distributions, by the packages' names, and their hashes."""
        from wherry.env.sdist import Builder, Source

        builder = Builder(
            self._engine,
            self._lock,
            interpreter,
            ranks,
            self._architecture,
            self._environment(interpreter.libc),
            self._progress,
        )
        found = {}
        for package in packages:
            assert package.sdist is not None
            remote = self._remote(package, package.sdist)
            source = Source(remote.item, package.name, package.version, remote.path, remote.sha256)
            path = builder.wheel(source)
            with open(path, "rb") as wheel:
                found[package.name] = path, hashlib.file_digest(wheel, "sha256").hexdigest()
        return found

    def _environment(self, libc: str) -> Callable[[tuple[str, ...]], str]:
        """A function that gives the image in which a build has what it requires, on the same base."""
        from wherry.env.sdist import build_lock

        here = platforms.host().architecture
        known: dict[tuple[str, ...], str] = {}

        def image(requirements: tuple[str, ...]) -> str:
            if requirements not in known:
                lock = build_lock(self._lock, here, libc, requirements)
                making = _Making(self._engine, lock, here, self._mirrors, self._progress, self._unneeded)
                known[requirements] = making.image(lock_file.write(lock), ()).id
                self._unneeded.add(known[requirements])
            return known[requirements]

        return image


def _unsuitable(package: LockedPackage, interpreter: Interpreter, architecture: str) -> InvalidArgument:
    libc = interpreter.libc or "an unknown C library"
    names: Sequence[str] = [wheel.name for wheel in package.wheels] or ["there are none"]
    return InvalidArgument(
        f"no wheel of {package.name} {package.version} is for Python {interpreter.version} on {architecture} "
        f"with {libc}: {', '.join(names)}",
        hint="choose another base, or another version of the package",
    )
