"""What an environment is asked to be, before anything was looked up."""

from __future__ import annotations

from wherry import fastjson
from wherry.env.lock import Options
from wherry.oci import digest
from wherry.record import Record

ARCHITECTURES = ("amd64", "arm64")

_ASIDE = ("folder", "source", "mirror")
_GENERATION = "1"


class Wishes(Record):
    """What the command line asks for; empty where it leaves it to the project.

    ``python`` and ``base`` may only be given where the project does not say.  With ``packages`` there is no project.
    """

    packages: tuple[str, ...] = ()
    python: str = ""
    base: str = ""
    system: tuple[str, ...] = ()
    index: str = ""
    cuda: str = ""
    architectures: tuple[str, ...] = ARCHITECTURES


class Spec(Record):
    """A project's wishes, from whatever file has them.

    ``python`` is major and minor.  ``base`` is "debian:RELEASE", put together from the Debian archive with the packages
    ``system``, or the name of an image.  ``requirements`` and ``constraints`` are lines of PEP 508.  ``hashes`` are
    (name, SHA-256 sums that its files may have).  ``lines`` are further lines of a requirements file (indexes and the
    like), ``uv`` is the JSON of what of ``[tool.uv]`` a resolution looks at.  Where another lock decides the versions,
    ``pins`` is its name in ``folder`` and ``pins_digest`` its content; ``extras`` and ``groups`` are then still to be
    chosen in it.  ``folder``, ``source`` (for messages) and ``mirror`` do not change the result.
    """

    python: str
    base: str
    requirements: tuple[str, ...]
    system: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ARCHITECTURES
    constraints: tuple[str, ...] = ()
    hashes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    lines: tuple[str, ...] = ()
    uv: str = ""
    pins: str = ""
    pins_digest: str = ""
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    options: Options = Options()
    exclude_newer: str = ""
    folder: str = ""
    source: str = ""
    mirror: tuple[str, ...] = ()

    @property
    def uv_lock(self) -> bool:
        """Whether a ``uv.lock`` decides the versions."""
        return self.pins.rpartition("/")[2] == "uv.lock"

    @property
    def release(self) -> str:
        """The Debian release of the base, or "" where that is an image."""
        name, _, release = self.base.partition(":")
        return release if name == "debian" else ""

    def digest(self) -> str:
        """Changes whenever a lock of this would be another one; the same in every folder and on every machine."""
        values = {name: each for name, each in self.as_dict().items() if name not in _ASIDE}
        values["options"] = self.options.as_dict()
        values["generation"] = _GENERATION
        return digest.of(fastjson.dumps(values, sort_keys=True).encode())
