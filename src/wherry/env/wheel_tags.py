"""Which wheel suits an image (packaging.python.org, "Platform compatibility tags"; PEP 600, PEP 656)."""

from __future__ import annotations

from wherry.env.wheels import missing
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeVar

    from packaging.tags import Tag

    File = TypeVar("File")

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_OLD = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
_OLDEST = {"x86_64": 5, "aarch64": 17}
_MUSL = 2  # of 1.2, which is what there has been since 2020


def supported(python: str, architecture: str, libc: str) -> list[Tag]:
    """The tags that a Python can install, the best first; ``libc`` is "glibc 2.36", "musl", or empty.

    Raises `InvalidArgument` for an architecture that has no name here.
    """
    try:
        from packaging import tags
    except ImportError:
        raise missing("packaging") from None
    if architecture not in _MACHINES:
        raise InvalidArgument(f"no environments for {architecture}", hint="they are made for amd64 and arm64")
    platforms = list(_platforms(_MACHINES[architecture], libc))
    major, minor = map(int, python.split("."))
    found = list(tags.cpython_tags((major, minor), [f"cp{major}{minor}"], platforms))
    return found + list(tags.compatible_tags((major, minor), f"cp{major}{minor}", platforms))


def _platforms(machine: str, libc: str) -> Iterator[str]:
    if libc.startswith("glibc "):
        major, minor = map(int, libc.removeprefix("glibc ").split(".")[:2])
        if major == 2:
            for number in range(minor, _OLDEST[machine] - 1, -1):
                yield f"manylinux_2_{number}_{machine}"
                if (2, number) in _OLD:
                    yield f"{_OLD[2, number]}_{machine}"
    elif libc == "musl":
        for number in range(_MUSL, -1, -1):
            yield f"musllinux_1_{number}_{machine}"
    yield f"linux_{machine}"


def best(names: Iterable[str], ranks: dict[Tag, int]) -> str:
    """The best of the wheels with these file names for the tags ranked in ``ranks``; empty when none suits.

    Raises `InvalidArgument` for a name that is no wheel's.
    """
    found = []
    for name in names:
        _project, _version, tags, build = parsed(name)
        rank = min((ranks[tag] for tag in tags if tag in ranks), default=-1)
        if rank >= 0:
            found.append((-rank, build, name))
    return max(found)[2] if found else ""


def parsed(name: str) -> tuple[str, str, frozenset[Tag], tuple[int, str] | tuple[()]]:
    """(normal name, version, tags, build) of a wheel's file name.  Raises `InvalidArgument`."""
    from packaging import utils

    try:
        project, version, build, found = utils.parse_wheel_filename(name)
    except (utils.InvalidWheelFilename, ValueError) as error:
        raise InvalidArgument(f"{name} is not the name of a wheel: {error}") from None
    return str(project), str(version), found, build


def check(file: str, name: str, version: str) -> None:
    """Raises `InvalidArgument` when a wheel is not of the package that a lock has it for."""
    from packaging.utils import canonicalize_name, canonicalize_version

    found = parsed(file)
    if (found[0], canonicalize_version(found[1])) != (canonicalize_name(name), canonicalize_version(version)):
        raise InvalidArgument(
            f"the lock has {file} for {name} {version}, of which it is not", hint="lock again: the file was changed"
        )
