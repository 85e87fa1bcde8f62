"""Choosing the packages of a base, for a lock."""

from __future__ import annotations

import time

from wherry.engine import build_cache
from wherry.env.debian import archive, releases
from wherry.env.debian.package import DebianBase
from wherry.env.debian.solve import solve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.env.debian.archive import Source

BASE = (
    "base-files", "base-passwd", "bash", "ca-certificates", "coreutils", "dash", "grep", "libc-bin", "libc6",
    "libstdc++6", "netbase", "python3", "sed", "tzdata",
)  # fmt: skip
"""What every base has (docs/decisions/0180-debian-base.md), besides what these depend on."""


def lock_base(
    engine: Engine, release: str, system: Sequence[str], architectures: Sequence[str], source: Source,
    progress: Progress,
) -> DebianBase:  # fmt: skip
    """The packages of a base of the Debian ``release``, with Python and the packages in ``system``.

    The same archive gives the same packages.  Raises `NotSupported` for a release that is not known, `NotFound` for a
    package that it does not have, `Conflict` for packages that cannot be together, and what `archive.load` raises.
    """
    known = releases.find(release)
    with build_cache.using(engine.layout):
        lists = archive.load(engine, known, architectures, source, progress)
    wanted = (*BASE, *known.also, *sorted(set(system)))
    packages = []
    for architecture, universe in lists.universes:
        chosen = solve(universe, wanted, f"{release} for {architecture}")
        packages.append((architecture, tuple([one.package for one in chosen])))
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(lists.date))
    return DebianBase(release, known.python, date, tuple(sorted(set(system))), tuple(packages))
