"""Package lists: of the many fields of a ``Packages`` file those that choose packages, in a form that is quick to read.

A release's list is 50 MB; the compact one of it is kept by the hash of what it was made of.
"""

from __future__ import annotations

import re

from wherry.env.debian import relations, version
from wherry.env.debian.package import DebPackage
from wherry.errors import Corrupt
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.env.debian.relations import Relation

FORM = "1"  # changes when the compact form does
_FIELDS = (
    "Package", "Version", "Architecture", "Pre-Depends", "Depends", "Provides", "Conflicts", "Breaks", "Priority",
    "Filename", "SHA256", "Size",
)  # fmt: skip
_FIELD = re.compile(rf"^({'|'.join(_FIELDS)}):[ \t]*(.*)$".encode(), re.MULTILINE)
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_PATH = re.compile(r"pool/[A-Za-z0-9+._~:-]+(?:/[A-Za-z0-9+._~:-]+)*\.deb")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PRIORITIES = {"required": 0, "important": 1, "standard": 2, "optional": 3}


def compact(packages: bytes) -> bytes:
    """The compact form of a ``Packages`` file (deb-control(5), one stanza for each package): a line for each.

    Raises `Corrupt` for one without its name, version, file name, hash or size.
    """
    lines = []
    for stanza in packages.replace(b"\n ", b" ").replace(b"\n\t", b" ").split(b"\n\n"):
        fields = dict(_FIELD.findall(stanza))
        if not fields:
            continue
        values = [fields.get(name.encode(), b"").strip().replace(b"\t", b" ") for name in _FIELDS]
        if not all((values[0], values[1], values[9], values[10], values[11])):
            raise Corrupt(f"malformed package list: {stanza[:80]!r}")
        lines.append(b"\t".join(values))
    return b"\n".join(lines)


class Candidate(Record):
    """A package that may be taken.  ``priority`` 0 is the highest."""

    package: DebPackage
    depends: tuple[tuple[Relation, ...], ...]
    provides: tuple[Relation, ...]
    conflicts: tuple[Relation, ...]
    priority: int

    @property
    def name(self) -> str:
        """The package's name."""
        return self.package.name

    def meets(self, relation: Relation) -> bool:
        """Whether this is what ``relation`` asks for, by its name or by what it provides (Policy, 7.5)."""
        if self.name == relation.name:
            return version.satisfies(self.package.version, relation.operator, relation.version)
        for provided in self.provides:
            if provided.name == relation.name and (
                not relation.operator
                or (provided.version and version.satisfies(provided.version, relation.operator, relation.version))
            ):
                return True
        return False


class Universe:
    """All packages of several lists: of each name the highest version."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[str, str]] = {}  # name → archive, line
        self._known: dict[str, Candidate] = {}
        self._providers: dict[str, list[str]] | None = None

    def add(self, archive: str, lines: Iterable[str]) -> None:
        """The packages of one compact list."""
        for line in lines:
            name = line[: line.find("\t")]
            there = self._lines.get(name)
            if there is None or version.key(_version(line)) > version.key(_version(there[1])):
                self._lines[name] = archive, line

    def find(self, name: str) -> Candidate | None:
        """The package with this name."""
        if name not in self._known:
            if name not in self._lines:
                return None
            self._known[name] = _candidate(*self._lines[name])
        return self._known[name]

    def providers(self, name: str) -> list[Candidate]:
        """The packages that provide a name, the most important first, then in order of their names."""
        if self._providers is None:
            self._providers = {}
            for owner, (_archive, line) in self._lines.items():
                provides = line.split("\t", 6)[5]
                if provides:  # a hundred thousand names: they are read in full where one is asked for
                    for part in provides.split(","):
                        provided = part.partition("(")[0].partition(":")[0].strip()
                        self._providers.setdefault(provided, []).append(owner)
        found = [self.find(owner) for owner in dict.fromkeys(self._providers.get(name, ()))]
        return sorted([one for one in found if one], key=lambda one: (one.priority, one.name))

    def alike(self, name: str) -> list[str]:
        """Names that a person may have meant."""
        import difflib

        near = difflib.get_close_matches(name, self._lines, 3, 0.75)
        return near or sorted(one for one in self._lines if one.startswith(name))[:3]


def _version(line: str) -> str:
    return line.split("\t", 2)[1]


def _candidate(archive: str, line: str) -> Candidate:
    values = dict(zip(_FIELDS, line.split("\t"), strict=True))
    name, path, sha256, size = (values[field] for field in ("Package", "Filename", "SHA256", "Size"))
    good = _NAME.fullmatch(name) and _PATH.fullmatch(path) and _SHA256.fullmatch(sha256) and size.isascii()
    if not good or not size.isdigit() or any(part in (".", "..") for part in path.split("/")):
        raise Corrupt(f"malformed package list: {line[:80]!r}")
    version.key(values["Version"])
    both = ", ".join(filter(None, (values["Pre-Depends"], values["Depends"])))
    conflicts = ", ".join(filter(None, (values["Conflicts"], values["Breaks"])))
    return Candidate(
        package=DebPackage(name, values["Version"], values["Architecture"], archive, path, sha256, int(size)),
        depends=relations.parse(both),
        provides=relations.flat(values["Provides"]),
        conflicts=relations.flat(conflicts),
        priority=_PRIORITIES.get(values["Priority"], 4),
    )
