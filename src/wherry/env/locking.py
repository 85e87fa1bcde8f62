"""``wherry env lock``: from what a project asks for to its lock, and whether a lock is still of its project.

Reading order: `lock` is the story; `load` is what those call that build or run.
"""

from __future__ import annotations

import re
from pathlib import Path

from wherry.env import base_cache, lock_file, toml
from wherry.env.debian.package import DebianBase
from wherry.env.inputs import options, project
from wherry.env.lock import ImageBase, Lock
from wherry.env.spec import Spec, Wishes
from wherry.errors import Conflict, InvalidArgument, NotFound, NotSupported, StorageFull, Unavailable
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress

_SHOWN = 6


class Request(Record):
    """What to make anew of an old lock; see `wherry.env.resolve.Wanted`.  ``debian_mirrors`` go before a project's."""

    upgrade: tuple[str, ...] = ()
    upgrade_all: bool = False
    upgrade_base: bool = False
    exclude_newer: str = ""
    offline: bool = False
    debian_mirrors: tuple[str, ...] = ()


class Locked(Record):
    """A lock, and what its maker said.  ``from_cache``: without a network, from what was looked up before."""

    lock: Lock
    warnings: tuple[str, ...] = ()
    from_cache: bool = False


def lock(
    engine: Engine,
    spec: Spec,
    old: Lock | None = None,
    request: Request | None = None,
    progress: Progress | None = None,
) -> Locked:
    """Locks a specification: first the base, which says which Python and C library there are, then the packages.

    What ``old`` has stays where it can, unless ``request`` says otherwise.  Raises `Conflict` with uv's explanation
    when nothing satisfies the requirements, `Unavailable` for what needs a network, `NotFound`, `Corrupt`.
    """
    from wherry.engine.progress import Silent
    from wherry.env import pins, resolve, uv

    uv.find()  # before anything is downloaded
    request = request or Request()
    base, base_from_cache = _base(engine, spec, old, request, progress or Silent())
    newer = options.instant(request.exclude_newer, "--exclude-newer") or spec.exclude_newer
    wanted = resolve.Wanted(
        python=_python(spec, base),
        libc=libc(base),
        old=old,
        upgrade=request.upgrade,
        upgrade_all=request.upgrade_all,
        exclude_newer=newer,
        offline=request.offline,
    )
    found = pins.select(spec, wanted) if spec.pins else resolve.resolve(spec, wanted)
    requirements = spec.requirements or tuple(f"{one.name}=={one.version}" for one in found.packages if spec.pins)
    made = Lock(
        python=spec.python,
        architectures=spec.architectures,
        base=base,
        packages=found.packages,
        requirements=tuple(sorted({re.sub(r"://[^/@\s]+@", "://", each) for each in requirements})),  # no passwords
        inputs=spec.digest(),
        options=spec.options,
        exclude_newer=newer if not spec.pins else "",
    )
    return Locked(made, found.warnings, found.from_cache or base_from_cache)


def kept(engine: Engine, wishes: Wishes, request: Request, progress: Progress) -> Lock:
    """The lock of what the command line alone asks for: made once, and kept beside what environments are built from.

    Raises what `lock` does.
    """
    from wherry.env import cache

    spec = project.from_wishes(wishes)
    path = Path(cache.directory(engine)) / "locks" / f"{spec.digest().partition(':')[2]}.toml"
    try:
        return read(path)
    except (NotFound, InvalidArgument):
        made = lock(engine, spec, None, request, progress).lock
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write(path, made)
        return made


def load(folder: Path) -> tuple[Lock, Path]:
    """The lock of a folder, and its path.

    Raises `NotFound` when there is none, `Conflict` when the folder's files ask for something else by now.
    """
    path = project.lock_path(folder)
    if path is None:
        raise NotFound("lock", str(folder), f"{folder} has no lock", hint="'wherry env lock' makes one")
    found = read(path)
    if project.has_inputs(folder):
        check(found, project.read(folder, wishes_of(found, folder)), str(path))
    return found, path


def read(path: Path) -> Lock:
    """The lock in a file.  Raises `NotFound`, `InvalidArgument`."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise NotFound("lock", str(path), f"there is no {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"cannot read {path}: {error}") from None
    return lock_file.read(text, str(path))


def write(path: Path, made: Lock) -> bool:
    """Puts a lock into its file, whole or not at all; whether that changed anything.  Raises what `put` does."""
    return put(path, lock_file.write(made))


def put(path: Path, text: str) -> bool:
    """Puts a text into a file, whole or not at all; whether that changed anything.

    Raises `StorageFull`, `InvalidArgument` when the folder cannot be written.
    """
    import errno
    import os

    try:
        if path.exists() and path.read_bytes() == text.encode():
            return False
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            aside.write_bytes(text.encode())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageFull(f"no space left to write {path}") from None
        raise InvalidArgument(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None
    return True


def wishes_of(found: Lock, folder: Path) -> Wishes:
    """The target of a lock, where the folder's own options leave it open: it stays as it was first chosen."""
    own = project.own_options(folder)
    if isinstance(found.base, ImageBase):
        base = "" if own.base else found.base.reference
    else:
        base = "" if own.base or own.python else f"debian:{found.base.release}"
    return Wishes(python="" if own.python or base.startswith("debian:") else found.python, base=base)


def check(found: Lock, spec: Spec, name: str) -> None:
    """Raises `Conflict` that says what changed when a lock is not of a specification."""
    if found.inputs == spec.digest():
        return
    raise Conflict(
        f"{name} does not match {spec.source}: {'; '.join(_changes(found, spec)[:_SHOWN])}",
        hint="'wherry env lock' makes it so",
    )


def _changes(found: Lock, spec: Spec) -> list[str]:
    changes = [f"{each} is new" for each in sorted(set(spec.requirements) - set(found.requirements))]
    if spec.requirements:
        changes += [f"{each} is gone" for each in found.requirements if each not in spec.requirements]
    if spec.python != found.python:
        changes.append(f"Python {found.python} became {spec.python}")
    base = found.base
    before = base.reference if isinstance(base, ImageBase) else f"debian:{base.release}"
    if spec.base != before:
        changes.append(f"base {before} became {spec.base}")
    if isinstance(base, DebianBase) and spec.system != base.system:
        changes.append(
            f"system packages {' '.join(base.system) or '(none)'} became {' '.join(spec.system) or '(none)'}"
        )
    if spec.architectures != found.architectures:
        changes.append(f"architectures {' '.join(found.architectures)} became {' '.join(spec.architectures)}")
    if spec.options != found.options:
        changes.append("the options of the image changed")
    return changes or [
        f"{spec.pins} changed" if spec.pins else "constraints, hashes, indexes or settings of uv changed"
    ]


def _base(
    engine: Engine, spec: Spec, old: Lock | None, request: Request, progress: Progress
) -> tuple[DebianBase | ImageBase, bool]:
    """The base, and whether it is one of an earlier day for want of a network."""
    keep = old is not None and not (request.upgrade_base or request.upgrade_all)
    if keep and old is not None and _same_base(old, spec):
        return old.base, False
    if spec.release:
        return base_cache.debian(engine, spec, request.offline, lambda: _debian(engine, spec, request, progress))
    if request.offline:
        raise Unavailable(f"cannot pin the base {spec.base} without a network", hint="its registry says what it is now")
    return _image(engine, spec), False


def _same_base(old: Lock, spec: Spec) -> bool:
    if isinstance(old.base, ImageBase):
        return old.base.reference == spec.base and old.architectures == spec.architectures
    has = tuple(architecture for architecture, _packages in old.base.packages)
    return (old.base.release, old.base.system, has) == (spec.release, spec.system, spec.architectures)


def _debian(engine: Engine, spec: Spec, request: Request, progress: Progress) -> DebianBase:
    from wherry.env.debian import archive, mirrors
    from wherry.env.debian.base import lock_base

    source = archive.Source(mirrors.find(request.debian_mirrors or spec.mirror))
    return lock_base(engine, spec.release, spec.system, spec.architectures, source, progress)


def _image(engine: Engine, spec: Spec) -> ImageBase:
    """The base by the digest that its registry names now.  Raises `NotSupported` when it lacks an architecture."""
    from wherry.engine.distribution import describe

    try:
        found = describe(engine, spec.base)
    except Unavailable as error:
        raise Unavailable(f"cannot pin the base {spec.base}: {error.message}", hint=error.hint) from None
    has = {one["architecture"] for one in found["Platforms"] if one["os"] == "linux"}
    lacking = [each for each in spec.architectures if each not in has]
    if lacking:
        raise NotSupported(
            f"the base {spec.base} is not there for {' and '.join(lacking)}",
            hint=f"say for which it is: architectures = {toml.value(sorted(has & set(spec.architectures)))}",
        )
    return ImageBase(spec.base, found["Descriptor"]["digest"])


def _python(spec: Spec, base: DebianBase | ImageBase) -> str:
    """The version as far as it is known: markers may ask for more than major and minor."""
    return _version_in(base, f"python{spec.python}-minimal", 3) or spec.python


def libc(base: DebianBase | ImageBase) -> str:
    """The C library of a base, as far as its name tells: "glibc 2.36", "musl", or empty."""
    if isinstance(base, ImageBase):
        return "musl" if "alpine" in base.reference.rpartition(":")[2] else ""
    version = _version_in(base, "libc6", 2)
    return f"glibc {version}" if version else ""


def _version_in(base: DebianBase | ImageBase, name: str, parts: int) -> str:
    """The upstream version of a Debian package of a base."""
    if isinstance(base, ImageBase):
        return ""
    for _architecture, packages in base.packages:
        for package in packages:
            found = re.match(rf"(?:\d+:)?(\d+(?:\.\d+){{{parts - 1}}})", package.version)
            if package.name == name and found:
                return found.group(1)
    return ""
