"""What is different between two environments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wherry.env.debian.package import DebianBase
from wherry.env.lock import ImageBase, Lock
from wherry.record import Record


class Content(Record):
    """What an environment has, whatever it was read from.

    ``python`` is major and minor; ``packages`` and ``system`` are versions by name, ``sizes`` bytes by the name of a
    package where they are known: of what is downloaded, or of what is ``installed``.  ``base`` is its name and what
    pins it.
    """

    python: str
    base: str
    packages: Mapping[str, str]
    system: Mapping[str, str]
    sizes: Mapping[str, int]
    installed: bool


class Change(Record):
    """``kind`` is "python", "base", "package" or "system"; a version is empty where the thing is not there.

    ``sizes`` are bytes before and after, 0 where they are not known.
    """

    kind: str
    name: str
    before: str
    after: str
    sizes: tuple[int, int] = (0, 0)


def of_lock(lock: Lock, architecture: str) -> Content:
    """What a lock says of an architecture; sizes are those of downloads."""
    packages = lock.of(architecture)
    system: dict[str, str] = {}
    if isinstance(lock.base, DebianBase):
        system = {one.name: one.version for one in lock.base.of(architecture)}
    sizes = {one.name: max((wheel.size for wheel in one.wheels), default=0) for one in packages}
    return Content(lock.python, base_name(lock.base), {one.name: one.version for one in packages}, system, sizes, False)


def base_name(base: DebianBase | ImageBase) -> str:
    """ "debian:bookworm of 2026-11-28", "python:3.9-slim@sha256:..."."""
    if isinstance(base, ImageBase):
        return f"{base.reference.partition('@')[0]}@{base.digest}"
    return f"debian:{base.release} of {base.date[:10]}"


def compare(before: Content, after: Content) -> tuple[Change, ...]:
    """The changes, in the order python, base, packages, system packages; each by name."""
    found = []
    for kind in ("python", "base"):
        values = getattr(before, kind), getattr(after, kind)
        if values[0] != values[1]:
            found.append(Change(kind, kind, *values))
    for kind, one, other in (
        ("package", before.packages, after.packages),
        ("system", before.system, after.system),
    ):
        for name in sorted({*one, *other}):
            if one.get(name) != other.get(name):
                known = kind == "package" and before.installed == after.installed
                sizes = (before.sizes.get(name, 0), after.sizes.get(name, 0)) if known else (0, 0)
                found.append(Change(kind, name, one.get(name, ""), other.get(name, ""), sizes))
    return tuple(found)


def locks(before: Lock, after: Lock) -> tuple[Change, ...]:
    """The changes between two locks, on the first architecture that both have."""
    both = [each for each in after.architectures if each in before.architectures] or list(after.architectures)
    return compare(of_lock(before, both[0]), of_lock(after, both[0]))


def lines(changes: tuple[Change, ...]) -> Iterator[str]:
    """A line for each change: "+ numpy 2.0.2", "- six 1.17.0", "~ pandas 2.2.3 -> 2.3.3"."""
    for one in changes:
        what = {"package": one.name, "system": f"{one.name} (Debian)"}.get(one.kind, one.name)
        if not one.before:
            yield f"+ {what} {one.after}"
        elif not one.after:
            yield f"- {what} {one.before}"
        else:
            yield f"~ {what} {one.before} -> {one.after}"
