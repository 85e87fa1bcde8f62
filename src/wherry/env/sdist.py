"""Wheels out of source distributions, built in a throw-away container without a network (PEP 517, PEP 518).

What a build requires is an environment like any other: it is resolved, and its image is built from the same base, then
the container of the build runs from that image.  The wheel is kept by the hash of the source, the base and what built
it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
import zipfile

from wherry import fastjson
from wherry.env import cache, inside, throwaway, wheel_tags
from wherry.env.lock import Lock, Options
from wherry.errors import Corrupt, InvalidArgument, NotSupported, WherryError
from wherry.layers import compression, tar
from wherry.layers.source import Source as TarSource
from wherry.oci import platform as platforms
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from packaging.tags import Tag

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.env.interpreter import Interpreter
    from wherry.env.lock import LockedPackage
    from wherry.layers.compression import Readable

_FORM = "1"
_LEGACY = ("setuptools.build_meta:__legacy__", ("setuptools>=40.8.0",))
_LIMIT = 1 << 20  # bytes of a pyproject.toml
_ENTRIES = 200_000
_SHOWN = 40  # lines of a log
_TOOLS = r"(?:[\w-]+-)?(?:gcc|cc|g\+\+|c\+\+|clang|cargo|rustc|gfortran)"
_COMPILER = re.compile(
    rf"(?:command|execute) '?{_TOOLS}'?.*: No such file|{_TOOLS}: (?:command )?not found"
    rf"|No such file or directory: '{_TOOLS}'|Unknown compiler\(s\)|can't find Rust compiler"
)
_ADVICE = 'it needs a compiler: system = ["gcc", "libc6-dev", "python3-dev"] in [tool.wherry.env], or a base with one'
_HEADERS = re.compile(r"fatal error: (\S+\.h): No such file")


class Source(Record):
    """A source distribution that is here and verified.  ``title`` is "six 1.16.0"."""

    title: str
    name: str
    version: str
    path: str
    sha256: str


class Build(Record):
    """How it is built: the hook object of the backend, where that lies in the source, and what it requires."""

    backend: str
    path: tuple[str, ...]
    requires: tuple[str, ...]


class Builder:
    """Builds wheels for one environment.

    ``image`` gives the id of an image with some requirements installed on the environment's base, for this machine.
    """

    def __init__(
        self, engine: Engine, lock: Lock, interpreter: Interpreter, ranks: dict[Tag, int], architecture: str,
        image: Callable[[tuple[str, ...]], str], progress: Progress,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._interpreter = interpreter
        self._ranks = ranks
        self._native = architecture == platforms.host().architecture
        self._architecture = architecture
        self._image = image
        self._progress = progress
        self._key = f"{_FORM} {interpreter.identity} {lock.exclude_newer}"

    def wheel(self, source: Source) -> str:
        """The path of the wheel, built when it is not here.

        Raises `WherryError` with the end of the log when the build fails, `Corrupt`, `InvalidArgument` for a malformed
        source, `NotSupported` where this machine cannot build for another; nothing of it is kept then.
        """
        directory = cache.directory(self._engine)
        key = hashlib.sha256(f"{self._key} {source.sha256}".encode()).hexdigest()
        place = f"{directory}/wheels/{key}"
        known = [name for name in os.listdir(place) if name.endswith(".whl")] if os.path.isdir(place) else []
        if known and cache.has(f"{place}/{known[0]}"):
            return self._suitable(source, f"{place}/{known[0]}")
        how = read(source)
        self._progress.start(source.title, "Building a wheel")
        with cache.scratch(directory) as work:
            for name in ("in", "out"):
                os.mkdir(f"{work}/{name}", 0o755)
            os.link(source.path, f"{work}/in/{os.path.basename(source.path)}")
            more = self._hook(source, how, work, "requires", how.requires)
            self._hook(source, how, work, "wheel", (*how.requires, *more))
            found = [name for name in os.listdir(f"{work}/out") if name.endswith(".whl")]
            if len(found) != 1:
                raise Corrupt(f"{source.title}: building its wheel made {len(found)} wheels, not one")
            wheel_tags.check(found[0], source.name, source.version)
            self._suitable(source, found[0])
            os.makedirs(place, 0o700, exist_ok=True)
            with open(f"{work}/out/{found[0]}", "rb") as file:
                cache.write(f"{place}/{found[0]}", file.read())
        self._progress.done(source.title, "Built a wheel")
        return f"{place}/{found[0]}"

    def _suitable(self, source: Source, path: str) -> str:
        name = os.path.basename(path)
        if wheel_tags.best([name], self._ranks):
            return path
        if not self._native:
            raise NotSupported(
                f"{source.title} has no wheel for {self._architecture}, and this machine cannot build one",
                hint=f"build on a machine of {self._architecture}",
            )
        raise Corrupt(f"{source.title}: the wheel that was built of its source is not for its own Python: {name}")

    def _hook(self, source: Source, how: Build, work: str, wanted: str, requires: tuple[str, ...]) -> tuple[str, ...]:
        settings = fastjson.dumps({"backend": how.backend, "path": how.path})
        name = os.path.basename(source.path)
        command = ("/opt/venv/bin/python", "-B", "-c", inside.BUILD, name, wanted, settings)
        mounts = ((f"{work}/in", "/run/in", False), (f"{work}/out", "/run/out", True))
        ran = throwaway.run(self._engine, self._image(requires), command, mounts)
        if ran.status:
            raise _failure(source, ran)
        if wanted != "requires":
            return ()
        path = f"{work}/out/requires.json"
        try:
            with open(path, "rb") as file:
                found = fastjson.loads(file.read(_LIMIT).decode())
        except (OSError, ValueError) as error:
            raise Corrupt(f"{source.title}: its build does not say what it requires: {error}") from None
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise Corrupt(f"{source.title}: its build does not say what it requires")
        return tuple(found)


def _failure(source: Source, ran: throwaway.Ran) -> WherryError:
    """The error with the end of the log, and what to do where that is plain."""
    log = (ran.out + ran.err).decode(errors="replace").rstrip()
    header = _HEADERS.search(log)
    advice = ""
    if _COMPILER.search(log):
        advice = _ADVICE
    elif header:
        advice = f"it needs the header {header[1]}: add the package that has it to system in [tool.wherry.env]"
    shown = "\n".join(f"  {line}" for line in log.splitlines()[-_SHOWN:])
    return WherryError(
        f"{source.title} has no wheel for this Python, and building one failed with exit status {ran.status}",
        hint="\n".join(part for part in (shown, advice) if part),
    )


def read(source: Source) -> Build:
    """What the source says of its build.  Raises `Corrupt`, `InvalidArgument`."""
    text = _pyproject(source)
    if text is None:
        return Build(_LEGACY[0], (), _LEGACY[1])
    try:
        table = tomllib.loads(text).get("build-system")
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgument(f"{source.title}: its pyproject.toml is not TOML: {error}") from None
    if table is None:
        return Build(_LEGACY[0], (), _LEGACY[1])
    requires, path = table.get("requires"), table.get("backend-path", [])
    backend = table.get("build-backend", _LEGACY[0])
    lists = [one for one in (requires, path) if isinstance(one, list) and all(isinstance(each, str) for each in one)]
    if len(lists) != 2 or not isinstance(backend, str):
        raise InvalidArgument(f"{source.title}: the table [build-system] of its pyproject.toml is malformed")
    return Build(backend, tuple(path), tuple(lists[0]))


def _pyproject(source: Source) -> str | None:
    """The text of the source's pyproject.toml, without unpacking anything."""
    try:
        if source.path.endswith(".zip"):
            with zipfile.ZipFile(source.path) as archive:
                for info in archive.infolist():
                    if _is_pyproject(info.filename):
                        return archive.open(info).read(_LIMIT).decode()
            return None
        with open(source.path, "rb", buffering=0) as file:
            found = _in_tar(file)
        return found.decode() if found is not None else None
    except (zipfile.BadZipFile, Corrupt, OSError, NotImplementedError, UnicodeDecodeError) as error:
        raise Corrupt(f"{source.title}: its source cannot be read: {error}") from None


def _in_tar(file: Readable) -> bytes | None:
    """The same in a tar, read by the engine's own reader, which no tar of anybody leads astray."""
    with TarSource(compression.reader(file, archive=True)) as stream:
        for entry in tar.entries(stream, _ENTRIES):
            if entry.kind == tar.FILE and entry.map is None and _is_pyproject(os.fsdecode(entry.name)):
                if entry.size > _LIMIT:
                    raise Corrupt(f"its pyproject.toml has {entry.size:,} bytes")
                return stream.take(entry.size)
    return None


def _is_pyproject(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return len(parts) == 2 and parts[1] == "pyproject.toml"


def build_lock(lock: Lock, architecture: str, libc: str, requirements: tuple[str, ...]) -> Lock:
    """The lock of the environment that a build needs, resolved as the environment itself was.

    Raises what `wherry.env.resolve.resolve` raises.
    """
    from wherry.env.resolve import Wanted, resolve
    from wherry.env.spec import Spec

    packages: tuple[LockedPackage, ...] = ()
    if requirements:
        spec = Spec(lock.python, "", requirements, architectures=(architecture,), source="what a build requires")
        packages = resolve(spec, Wanted(lock.python, libc, exclude_newer=lock.exclude_newer)).packages
    return Lock(lock.python, (architecture,), lock.base, packages, requirements, "0" * 64, Options())
