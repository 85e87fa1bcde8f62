"""What an archive has: its signed Release files, and the package lists that these name by hash.

The way of trust: a key that this package ships → InRelease → the hash of a package list → the hash of a package.
"""

from __future__ import annotations

import calendar
import os
import re
import time

from wherry.engine.import_image import open_url
from wherry.env import cache
from wherry.env.debian import index, signature
from wherry.env.fetch import Remote, fetch_all
from wherry.errors import Corrupt, NotSupported, Unavailable
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.env.debian.mirrors import Mirrors
    from wherry.env.debian.releases import Release

_MAX_RELEASE = 4 << 20
_SKEW = 24 * 3600  # a clock here may be wrong by this much
_FIELD = re.compile(r"^([A-Za-z0-9-]+):[ \t]*(.*)$", re.MULTILINE)
_LIST = re.compile(r"main/binary-\w+/Packages(\.xz)?")
_HASH = re.compile(r"^ ([0-9a-f]{64})\s+(\d+)\s+(\S+)$", re.MULTILINE)


class Source(Record):
    """Where lists come from and how far they are trusted: ``keys`` is a file of certificates, "" for Debian's own;
    without ``valid_until`` a list may be older than its archive wants, as those of a snapshot are."""

    mirrors: Mirrors
    keys: str = ""
    valid_until: bool = True


class Lists(Record):
    """The packages of each architecture, and the ``date`` of the newest list, in seconds."""

    universes: tuple[tuple[str, index.Universe], ...]
    date: int


class Suite(Record):
    """One Release file that is in order: what it names, by path → (hash, size)."""

    archive: str
    name: str
    date: int
    by_hash: bool
    architectures: tuple[str, ...]
    files: tuple[tuple[str, tuple[str, int]], ...]


def load(
    engine: Engine, release: Release, architectures: Sequence[str], source: Source, progress: Progress
) -> Lists:  # fmt: skip
    """The packages of a release with its updates, for each architecture.

    Raises `Unavailable` without the network, `Corrupt` for what is not signed, out of date or not what was signed,
    `NotSupported` for an architecture that the release does not have.
    """
    directory = _directory(engine)
    suites = [_suite(engine, release, archive, name, source) for archive, name in release.suites]
    for architecture in architectures:
        if architecture not in suites[0].architectures:
            raise NotSupported(f"debian:{release.name} has no packages for {architecture}")
    wanted = []
    for architecture in architectures:
        for suite in suites:
            path = f"main/binary-{architecture}/Packages"
            found = dict(suite.files)
            if architecture in suite.architectures and f"{path}.xz" in found:
                wanted.append((architecture, suite, path, found[f"{path}.xz"], found.get(path, ("", 0))[1]))
    todo = [
        Remote(f"packages of {suite.name}, {architecture}", _address(source.mirrors, suite, path, sha256),
               sha256, size, f"{directory}/{sha256}.xz")
        for architecture, suite, path, (sha256, size), _whole in wanted
        if not os.path.exists(_compact(directory, sha256))
    ]  # fmt: skip
    fetch_all(engine, todo, progress)
    universes = {architecture: index.Universe() for architecture in architectures}
    for architecture, suite, _path, (sha256, _size), whole in wanted:
        universes[architecture].add(suite.archive, _lines(directory, sha256, whole))
    return Lists(tuple(universes.items()), max(suite.date for suite in suites))


def _directory(engine: Engine) -> str:
    path = f"{cache.directory(engine)}/debian/lists"
    os.makedirs(path, 0o700, exist_ok=True)
    return path


def _address(mirrors: Mirrors, suite: Suite, path: str, sha256: str) -> str:
    parent = path.rpartition("/")[0]
    name = f"{parent}/by-hash/SHA256/{sha256}" if suite.by_hash else f"{path}.xz"
    return mirrors.url(suite.archive, f"dists/{suite.name}/{name}")


def _compact(directory: str, sha256: str) -> str:
    return f"{directory}/{sha256}.{index.FORM}"


def _lines(directory: str, sha256: str, whole: int) -> list[str]:
    """A compact list, made of what was downloaded where it is not here.  ``whole``: the size of the list, unpacked."""
    place = _compact(directory, sha256)
    text = cache.read(place)
    if text is None:
        import lzma

        packed = f"{directory}/{sha256}.xz"
        with open(packed, "rb") as file:
            data = file.read()
        unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=256 << 20)
        try:
            text = index.compact(unpacker.decompress(data, whole or (1 << 30)))
        except (lzma.LZMAError, EOFError, MemoryError) as error:
            raise Corrupt(f"a package list cannot be unpacked: {error}") from None
        cache.write(place, text)
        os.unlink(packed)
    return text.decode("utf-8", "replace").split("\n") if text else []


def _suite(engine: Engine, release: Release, archive: str, name: str, source: Source) -> Suite:
    url = source.mirrors.url(archive, f"dists/{name}/InRelease")
    text = signature.signed_text(_get(engine, url, name), f"the Release file of {name}", source.keys)
    return check(text, release.name, archive, name, time.time(), valid_until=source.valid_until)


def _get(engine: Engine, url: str, name: str) -> bytes:
    try:
        answer = open_url(engine, url)
        pieces, size = [], 0
        while piece := answer.read(64 << 10):
            size += len(piece)
            if size > _MAX_RELEASE:
                raise Corrupt(f"the Release file of {name} is larger than {_MAX_RELEASE} bytes")
            pieces.append(piece)
    except Unavailable as error:
        raise Unavailable(
            f"cannot read the packages of {name}: {error.message}",
            hint="a lock needs the network, or name another mirror; what is locked builds without",
        ) from None
    return b"".join(pieces)


def check(text: str, release: str, archive: str, name: str, now: float, *, valid_until: bool = True) -> Suite:
    """A Release file that is of this suite, and of a time that can be (wiki.debian.org/DebianRepository/Format).

    Raises `Corrupt`.
    """
    fields = dict(_FIELD.findall(text))
    codename = fields.get("Codename", "")
    if codename not in (name, release):
        raise Corrupt(f"the Release file of {name} is that of {codename or 'another suite'}")
    date = _time(fields, "Date", name)
    if date > now + _SKEW:
        raise Corrupt(f"the Release file of {name} is of {fields['Date']}, which is not yet",
                      hint="set this machine's clock")  # fmt: skip
    if valid_until and "Valid-Until" in fields and _time(fields, "Valid-Until", name) < now:
        raise Corrupt(
            f"the Release file of {name} was valid until {fields['Valid-Until']}",
            hint="the mirror is not kept up to date: use another one",
        )
    block = text.partition("\nSHA256:")[2]
    files = {path: (sha256, int(size)) for sha256, size, path in _HASH.findall(block)}
    if not files:
        raise Corrupt(f"the Release file of {name} names no file by its SHA-256")
    return Suite(
        archive=archive,
        name=name,
        date=date,
        by_hash=fields.get("Acquire-By-Hash", "") == "yes",
        architectures=tuple(fields.get("Architectures", "").split()),
        files=_chosen(files),
    )


def _chosen(files: Mapping[str, tuple[str, int]]) -> tuple[tuple[str, tuple[str, int]], ...]:
    return tuple([(path, files[path]) for path in sorted(files) if _LIST.fullmatch(path)])


def _time(fields: Mapping[str, str], name: str, suite: str) -> int:
    try:
        return calendar.timegm(time.strptime(fields[name], "%a, %d %b %Y %H:%M:%S UTC"))
    except (KeyError, ValueError):
        raise Corrupt(f"the Release file of {suite} has no valid {name}") from None
