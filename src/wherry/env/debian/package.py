"""The values that a lock keeps of a Debian base."""

from __future__ import annotations

from wherry.record import Record


class DebPackage(Record):
    """One package file: ``path`` is relative to its archive ("debian" or "debian-security"), ``size`` in bytes."""

    name: str
    version: str
    architecture: str
    archive: str
    path: str
    sha256: str
    size: int


class DebianBase(Record):
    """The packages of a base, sorted by name, for each architecture as Debian names it ("amd64", "arm64").

    ``python`` is the version of the release's Python ("3.11"), ``date`` that of the newest of the archive's lists that
    they were chosen from ("2026-11-28T02:53:00Z"), ``system`` what was asked for besides.
    """

    release: str
    python: str
    date: str
    system: tuple[str, ...]
    packages: tuple[tuple[str, tuple[DebPackage, ...]], ...]

    def of(self, architecture: str) -> tuple[DebPackage, ...]:
        """The packages for an architecture; none where it was not locked."""
        return dict(self.packages).get(architecture, ())
