"""The Debian releases that are known, by their Python."""

from __future__ import annotations

from wherry.errors import InvalidArgument, NotSupported
from wherry.record import Record


class Release(Record):
    """``suites`` are (archive, suite) pairs, ``also`` what its Python takes from packages beside ``python3``."""

    name: str
    python: str
    suites: tuple[tuple[str, str], ...]
    also: tuple[str, ...] = ()


def _release(name: str, python: str, also: tuple[str, ...] = ()) -> Release:
    suites = (("debian", name), ("debian", f"{name}-updates"), ("debian-security", f"{name}-security"))
    return Release(name, python, suites, also)


RELEASES = (
    _release("bullseye", "3.9", ("python3-distutils",)),
    _release("bookworm", "3.11", ("python3-distutils",)),
    _release("trixie", "3.13"),
)
ARCHITECTURES = ("amd64", "arm64")


def find(name: str) -> Release:
    """A release by its name.  Raises `NotSupported`."""
    for release in RELEASES:
        if release.name == name:
            return release
    known = ", ".join(f"debian:{release.name} (Python {release.python})" for release in RELEASES)
    raise NotSupported(f"base debian:{name} is not known", hint=f"known are {known}")


def with_python(version: str) -> Release:
    """The release that has a version of Python ("3.11").  Raises `InvalidArgument`."""
    for release in RELEASES:
        if release.python == version:
            return release
    known = ", ".join(release.python for release in RELEASES)
    raise InvalidArgument(
        f"no Debian release has Python {version}: there are {known}",
        hint=f'name an image as the base, such as base = "python:{version}-slim"',
    )
