"""The layers of a base: which packages share one, and the tars of those that are not here.

A large package shares a layer with those few that its name decides, the small ones with more: what one package is
changes one layer, and no other moves (docs/decisions/0181-layers-of-a-base.md).
"""

from __future__ import annotations

import hashlib
import os
import shutil

from wherry.env import cache
from wherry.env.debian import install, unpacked
from wherry.env.fetch import Remote, fetch_all
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.engine.engine import Engine
    from wherry.engine.progress import Progress
    from wherry.env.debian.mirrors import Mirrors
    from wherry.env.debian.package import DebianBase, DebPackage
    from wherry.env.debian.unpacked import Facts

LARGE = 1 << 20
"""Bytes of a package file that counts as large."""
_LARGE_LAYERS, _SMALL_LAYERS = 16, 8
_END = bytes(1024)
_PIECE = 1 << 20


class Group(Record):
    """The packages of one layer, by name; ``key`` is the same for the same layer."""

    key: str
    packages: tuple[DebPackage, ...]

    @property
    def title(self) -> str:
        """For a person."""
        names = [package.name for package in self.packages]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def groups(packages: Sequence[DebPackage], lost: dict[str, set[bytes]]) -> list[Group]:
    """The layers of packages, in their order; ``lost`` are the files that packages do not get."""
    shares: dict[tuple[int, int], list[DebPackage]] = {}
    for package in sorted(packages, key=lambda one: one.name):
        large = package.size >= LARGE
        number = hashlib.sha256(package.name.encode()).digest()[0] % (_LARGE_LAYERS if large else _SMALL_LAYERS)
        shares.setdefault((int(large), number), []).append(package)
    return [_group(tuple(shares[key]), lost) for key in sorted(shares)]


def _group(packages: tuple[DebPackage, ...], lost: dict[str, set[bytes]]) -> Group:
    text = ["debian", unpacked.FORM]
    for package in packages:
        text += [package.name, package.sha256, *map(repr, sorted(lost.get(package.name, ())))]
    return Group(hashlib.sha256(" ".join(text).encode()).hexdigest(), packages)


def setup_key(packages: Sequence[DebPackage]) -> str:
    """The key of the layer that `install.finish` makes."""
    text = ["setup", install.FORM, unpacked.FORM, *(package.sha256 for package in packages)]
    return hashlib.sha256(" ".join(text).encode()).hexdigest()


class Packages:
    """The package files of a base for one architecture, here and verified; ``scratch`` is a directory for tars."""

    def __init__(
        self, engine: Engine, base: DebianBase, architecture: str, mirrors: Mirrors, progress: Progress, scratch: str
    ) -> None:  # fmt: skip
        self._directory = f"{cache.directory(engine)}/debian"
        self._mirrors = mirrors
        self._engine = engine
        self._progress = progress
        self._architecture = architecture
        self._scratch = scratch
        self.all = base.of(architecture)
        for part in ("packages", "facts"):
            os.makedirs(f"{self._directory}/{part}", 0o700, exist_ok=True)

    def _path(self, package: DebPackage) -> str:
        return f"{self._directory}/packages/{package.sha256}.deb"

    def fetch(self, packages: Sequence[DebPackage]) -> None:
        """Bring those that are not here.  Raises what `wherry.env.fetch.fetch_all` raises."""
        remotes = [
            Remote(f"{one.name} {one.version}", self._mirrors.url(one.archive, one.path), one.sha256, one.size,
                   self._path(one))
            for one in packages
        ]  # fmt: skip
        fetch_all(self._engine, remotes, self._progress)

    def facts(self) -> list[Facts]:
        """What is known of each package; those of which nothing is known yet are fetched and read."""
        places = [f"{self._directory}/facts/{one.sha256}.{unpacked.FORM}" for one in self.all]
        texts = [cache.read(place) for place in places]
        self.fetch([one for one, text in zip(self.all, texts) if text is None])
        found = []
        for one, place, text in zip(self.all, places, texts):
            if text is None:
                with open(f"{self._scratch}/{one.sha256}", "wb") as out:
                    text = unpacked.unpack(self._path(one), one, self._architecture, out).dump()
                cache.write(place, text)
            found.append(unpacked.load(text))
        return found

    def write(self, group: Group, path: str, lost: dict[str, set[bytes]]) -> None:
        """The tar of a layer.  Raises `Corrupt`."""
        self.fetch(group.packages)
        with open(path, "xb") as out:
            for one in group.packages:
                without = lost.get(one.name, ())
                try:
                    piece = open(f"{self._scratch}/{one.sha256}", "rb")  # of `facts`
                except FileNotFoundError:
                    piece = None
                if piece is None or without:
                    unpacked.unpack(self._path(one), one, self._architecture, out, without)
                else:
                    with piece:
                        shutil.copyfileobj(piece, out, _PIECE)
            out.write(_END)

    def sources(self, packages: Sequence[DebPackage]) -> dict[str, bytes]:
        """The Python modules of packages, by path."""
        self.fetch(packages)
        found: dict[str, bytes] = {}
        for one in packages:
            with open(os.devnull, "wb") as out:
                unpacked.unpack(self._path(one), one, self._architecture, out, sources=found)
        return found
