"""The lock of an environment: every file that goes into its image, by hash.

A lock is a ``pylock.toml`` (PEP 751, https://packaging.python.org/en/latest/specifications/pylock-toml/) that other
installers read as well.  What PEP 751 has no place for is in its table ``[tool.wherry]``: the base, the target, the
options of the image, and the digest of what the project asked for.  `write` and `read` are in `lock_file`.
"""

from __future__ import annotations

from wherry.env.debian.package import DebianBase
from wherry.record import Record

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""``platform_machine`` of PEP 508 by an architecture's name in images and in Debian."""


class LockedFile(Record):
    """A wheel or a source distribution.  ``url`` is as the index gave it, ``size`` in bytes, 0 where it gave none."""

    name: str
    url: str
    sha256: str
    size: int = 0


class LockedPackage(Record):
    """One version of a package.

    ``name`` is normalised.  ``wheels`` are those that suit the lock's Python on the architectures of ``marker``; where
    there are several for one, the installer takes the best of them.  ``marker`` is empty where the package is for all
    architectures.  ``requires`` are the names of the packages that it brought in, sorted.
    """

    name: str
    version: str
    wheels: tuple[LockedFile, ...] = ()
    sdist: LockedFile | None = None
    marker: str = ""
    requires: tuple[str, ...] = ()

    def is_for(self, architecture: str) -> bool:
        """Whether it goes into the image of an architecture ("amd64")."""
        return not self.marker or self.marker == marker_of(architecture)


class ImageBase(Record):
    """An image as the base: ``digest`` is that of its index where there is one, else of its manifest."""

    reference: str
    digest: str


class Options(Record):
    """What the image's configuration says beside the packages.

    ``user`` and ``workdir`` are empty where the image's defaults stand.  ``cuda`` is the version of CUDA ("12.6") that
    the packages were chosen for, or empty.
    """

    env: tuple[tuple[str, str], ...] = ()
    user: str = ""
    workdir: str = ""
    cuda: str = ""


class Lock(Record):
    """All of an environment.

    ``python`` is major and minor ("3.11"), ``architectures`` are sorted names as images have them, ``requirements`` are
    what the project asked for, sorted.  ``inputs`` is the digest of that and of all other options (`Spec.digest`): as
    long as it is the same, the lock is of its project.  ``exclude_newer`` is an RFC 3339 instant, or empty.
    """

    python: str
    architectures: tuple[str, ...]
    base: DebianBase | ImageBase
    packages: tuple[LockedPackage, ...]
    requirements: tuple[str, ...]
    inputs: str
    options: Options = Options()
    exclude_newer: str = ""

    def of(self, architecture: str) -> tuple[LockedPackage, ...]:
        """The packages for an architecture, by name; none where the lock is not for it."""
        if architecture not in self.architectures:
            return ()
        return tuple(package for package in self.packages if package.is_for(architecture))


def marker_of(architecture: str) -> str:
    """The marker of what is for one architecture alone."""
    return f"platform_machine == '{MACHINES[architecture]}'"
