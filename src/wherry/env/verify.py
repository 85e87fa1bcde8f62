"""``wherry env verify``: whether what is installed is what the lock says, file by file.

Which files there should be, and their hashes, say the ``RECORD`` files of the image, never those of a container, which
may have changed them.  A container's files are read as its own root sees them, mounts included, following no link.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import posixpath
import re
from functools import partial

from wherry import fastjson
from wherry.container.record import ContainerRecord
from wherry.engine.roots import image_root
from wherry.engine.unpack import in_store
from wherry.env import lock_file
from wherry.env.assemble import LOCK_LABEL
from wherry.env.root_files import FILE, content, named, names
from wherry.env.wheels import PREFIX
from wherry.errors import Corrupt, InvalidArgument, NotFound
from wherry.linux import openat2
from wherry.oci import platform as platforms
from wherry.record import Record
from wherry.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.engine.engine import Engine
    from wherry.env.lock import Lock
    from wherry.store.images import ImageRow

_PIECE = 1 << 20
_OWN = re.compile(rf"{PREFIX}/(bin/python[0-9.]*|lib64|pyvenv\.cfg)")


class Problem(Record):
    """``what`` is "changed", "missing", "added" for a path; "not installed", "not locked" for a package.

    ``package`` is "numpy 2.4.6", or empty for a file of none.
    """

    what: str
    path: str = ""
    package: str = ""


class Verified(Record):
    """What was looked at, and what is not as it should be, sorted."""

    packages: int
    files: int
    problems: tuple[Problem, ...]


class _Expected(Record):
    """Path → (digest, size, package), and the installed packages as (name, version)."""

    files: dict[str, tuple[str, int, str]]
    packages: tuple[tuple[str, str], ...]


def verify(engine: Engine, name: str, lock: Lock | None = None) -> Verified:
    """Compare a container (running or not) or an image with ``lock``, by default the one that the image carries.

    Raises `NotFound`; `InvalidArgument` when the image is not an environment's; `Corrupt` for a malformed RECORD.
    """
    from wherry.engine.containers import find, load

    try:
        container = load(find(engine, name))
    except NotFound:
        row = images.resolve_or_none(engine.db, name)
        if row is None:
            raise NotFound("object", name, f"No such container or image: {name}") from None
        wanted = lock or lock_of(row)
        found, files, expected = in_store(engine, partial(_image, engine, row))
    else:
        row = images.get(engine.db, container.image_id)
        if row is None:
            raise NotFound("image", container.image_id, f"the image of container {name} is not here any more")
        wanted = lock or lock_of(row)
        expected = in_store(engine, partial(_image, engine, row, check=False))[2]
        from wherry.engine.view import View

        with View(engine, container.id) as view:
            found, files = view.call(lambda root: _check(root, expected))
    problems = [*_packages(wanted, expected, platforms.parse(row.platform).architecture), *found]
    return Verified(len(expected.packages), files, tuple(sorted(problems, key=lambda one: (one.package, one.path))))


def lock_of(row: ImageRow) -> Lock:
    """The lock that an image carries.  Raises `InvalidArgument` when there is none."""
    text = ((fastjson.loads(row.config).get("config") or {}).get("Labels") or {}).get(LOCK_LABEL)
    if not text:
        raise InvalidArgument(
            f"image {row.id[7:19]} carries no lock", hint="only images that 'wherry env build' made have one"
        )
    return lock_file.read(text, f"the lock of image {row.id[7:19]}")


def _packages(lock: Lock, expected: _Expected, architecture: str) -> Iterator[Problem]:
    wanted = {(package.name, package.version) for package in lock.of(architecture)}
    for name, version in sorted(wanted - set(expected.packages)):
        yield Problem("not installed", "", f"{name} {version}")
    for name, version in sorted(set(expected.packages) - wanted):
        yield Problem("not locked", "", f"{name} {version}")


def _image(engine: Engine, row: ImageRow, *, check: bool = True) -> tuple[list[Problem], int, _Expected]:
    """What the image says of itself, and where that is not so."""
    root = image_root(engine, ContainerRecord("", "", 0, row.id, diff_ids=row.stack, snapshotter=row.snapshotter))
    try:
        expected = _read(root)
        return (*(_check(root, expected) if check else ([], 0)), expected)
    finally:
        os.close(root)


def _read(root: int) -> _Expected:
    """Everything that the RECORD files list."""
    files: dict[str, tuple[str, int, str]] = {}
    packages = []
    for site in _sites(root):
        for directory in names(root, site):
            if not directory.endswith(".dist-info"):
                continue
            packages.append(named(root, f"{site}/{directory}/METADATA"))
            record = f"{site}/{directory}/RECORD"
            for path, digest, size in _rows(content(root, record).decode(errors="replace"), record):
                whole = posixpath.normpath(f"{site}/{path}")
                if not whole.startswith(f"{PREFIX}/"):
                    raise Corrupt(f"/{record} lists /{whole}, which is not of the environment")
                files[whole] = (digest, size, " ".join(packages[-1]))
    return _Expected(files, tuple(packages))


def _rows(text: str, name: str) -> Iterator[tuple[str, str, int]]:
    for row in csv.reader(text.splitlines()):
        if len(row) != 3 or not (row[2].isdecimal() or not row[2]) or not (row[1].startswith("sha256=") or not row[1]):
            raise Corrupt(f"/{name} is malformed: {','.join(row)[:80]}")
        yield row[0], row[1].removeprefix("sha256="), int(row[2] or -1)


def _sites(root: int) -> list[str]:
    found = [name for name in names(root, f"{PREFIX}/lib") if re.fullmatch(r"python3\.[0-9]+", name)]
    return [f"{PREFIX}/lib/{name}/site-packages" for name in found]


def _check(root: int, expected: _Expected) -> tuple[list[Problem], int]:
    """The problems with the files below ``root``, and how many files there are to look at."""
    problems = []
    for path, (digest, size, package) in expected.files.items():
        what = _compare(root, path, digest, size)
        if what:
            problems.append(Problem(what, f"/{path}", package))
    problems += [
        Problem("added", f"/{path}")
        for path in _walk(root, PREFIX)
        if path not in expected.files and not _OWN.fullmatch(path)
    ]
    return problems, len(expected.files)


def _compare(root: int, path: str, digest: str, size: int) -> str:
    try:
        fd = openat2.open_in(root, path, FILE, openat2.IN_ROOT | openat2.NO_SYMLINKS)
    except FileNotFoundError:
        return "missing"
    except OSError:  # a link, or not to be read even by root
        return "changed"
    try:
        if not digest:
            return ""
        check = hashlib.sha256()
        if os.fstat(fd).st_size != size:
            return "changed"
        while piece := os.read(fd, _PIECE):
            check.update(piece)
    except OSError:
        return "changed"
    finally:
        os.close(fd)
    return "" if base64.urlsafe_b64encode(check.digest()).decode().rstrip("=") == digest else "changed"


def _walk(root: int, top: str) -> Iterator[str]:
    """Every path below ``top`` that is no directory."""
    try:
        fd = openat2.open_in(root, top, os.O_RDONLY | os.O_DIRECTORY, openat2.IN_ROOT | openat2.NO_SYMLINKS)
    except OSError:
        return
    try:
        for directory, _directories, files, at in os.fwalk(".", dir_fd=fd):
            for name in files:
                yield posixpath.normpath(f"{top}/{directory}/{name}")
            for name in _directories:
                if os.path.islink(f"/proc/self/fd/{at}/{name}"):
                    yield posixpath.normpath(f"{top}/{directory}/{name}")
    finally:
        os.close(fd)
