"""``requirements.txt`` as pip reads it (pip.pypa.io, "Requirements File Format").

What decides the result becomes part of the spec; what this cannot honour is an error, so that nothing is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from wherry.errors import InvalidArgument, NotFound, NotSupported
from wherry.record import Record

_COMMENT = re.compile(r"(^|\s+)#.*$")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_HASH = re.compile(r"\s--hash[= ]\s*(\S+)")
_OPTION = re.compile(r"(-[a-z]|--[a-z-]+)(?:[= ]\s*|(?<=^-[a-z]))?(.*)")
_INDEXES = ("--index-url", "--extra-index-url", "--find-links", "--no-index")
_SHORT = {"-i": "--index-url", "-f": "--find-links", "-r": "--requirement", "-c": "--constraint", "-e": "--editable"}
_DEPTH = 16


class Wanted(Record):
    """The content of a requirements file and of those it includes; see `wherry.env.spec.Spec`."""

    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    hashes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    lines: tuple[str, ...] = ()


def normal(name: str) -> str:
    """A project's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """The normalised name that a requirement of PEP 508 begins with, or ""."""
    found = _NAME.match(requirement)
    return normal(found.group()) if found else ""


def read(path: Path, shown: str) -> Wanted:
    """Reads a file; ``shown`` is what errors call it.

    Raises `InvalidArgument` and `NotSupported` that name file and line, `NotFound` for an included file.
    """
    reading = _Reading()
    reading.file(path, shown, constraint=False, depth=0)
    return Wanted(
        requirements=tuple(dict.fromkeys(reading.requirements)),
        constraints=tuple(dict.fromkeys(reading.constraints)),
        hashes=tuple(sorted((name, tuple(sorted(sums))) for name, sums in reading.hashes.items())),
        lines=tuple(dict.fromkeys(reading.lines)),
    )


class _Reading:
    def __init__(self) -> None:
        self.requirements: list[str] = []
        self.constraints: list[str] = []
        self.hashes: dict[str, set[str]] = {}
        self.lines: list[str] = []

    def file(self, path: Path, shown: str, *, constraint: bool, depth: int) -> None:
        if depth > _DEPTH:
            raise InvalidArgument(f"{shown} is included by itself")
        try:
            text = path.read_text("utf-8-sig")
        except OSError as error:
            raise NotFound("file", shown, f"cannot read {shown}: {(error.strerror or str(error)).lower()}") from None
        except UnicodeDecodeError:
            raise InvalidArgument(f"{shown} is not UTF-8") from None
        for number, line in _logical(text):
            where = f"{shown}:{number}"
            if line.startswith("-"):
                self._option(line, where, path, constraint=constraint, depth=depth)
            else:
                self._requirement(line, where, constraint=constraint)

    def _option(self, line: str, where: str, path: Path, *, constraint: bool, depth: int) -> None:
        found = _OPTION.fullmatch(line)
        name, value = (found.group(1), found.group(2).strip()) if found else (line, "")
        name = _SHORT.get(name, name)
        if name in ("--requirement", "--constraint"):
            if "://" in value:
                raise NotSupported(f"{where}: {value} is not a file", hint="fetch it, and include the file")
            included = path.parent / value
            shown = str(Path(where.rpartition(":")[0]).parent / value)
            self.file(included, shown, constraint=constraint or name == "--constraint", depth=depth + 1)
        elif name in _INDEXES:
            if name == "--find-links" and not value.startswith(("https://", "http://", "file:///")):
                raise NotSupported(
                    f"{where}: --find-links {value}: a lock cannot name files of this machine",
                    hint="put them into an index, or give a URL",
                )
            self.lines.append(f"{name} {value}".strip())
        elif name in ("--no-binary", "--only-binary"):
            self.lines += [f"{name} {each.strip()}" for each in value.split(",")]
        elif name == "--pre":
            self.lines.append("--pre")
        elif name == "--require-hashes":  # every file of a lock has one
            pass
        elif name == "--editable":
            raise NotSupported(
                f"{where}: {value} is a folder to be installed in place",
                hint="the project itself is mounted at /workspace and need not be installed; of others, name a release",
            )
        else:
            raise NotSupported(f"{where}: {name} is not supported")

    def _requirement(self, line: str, where: str, *, constraint: bool) -> None:
        sums = set()
        for each in _HASH.findall(line):
            kind, _, value = each.partition(":")
            if kind != "sha256":
                raise NotSupported(f"{where}: hashes by {kind} are not supported", hint="give those by sha256")
            if not re.fullmatch(r"[0-9a-f]{64}", value):
                raise InvalidArgument(f"{where}: {each} is not a SHA-256 sum")
            sums.add(value)
        requirement = " ".join(_HASH.sub("", line).split())
        if re.search(r"\s--[a-z]", requirement):
            raise NotSupported(f"{where}: options of one requirement are not supported: {requirement}")
        check(requirement, where)
        if sums:
            self.hashes.setdefault(name_of(requirement), set()).update(sums)
        (self.constraints if constraint else self.requirements).append(requirement)


def check(requirement: str, where: str) -> None:
    """Holds what a lock can have.  Raises `InvalidArgument`, `NotSupported`."""
    name = name_of(requirement)
    rest = requirement[len(_NAME.match(requirement).group()) :].lstrip() if name else ""  # type: ignore[union-attr]
    if "://" in requirement.partition(" @ ")[0] or requirement.startswith((".", "/")) or rest[:1] in ("/", "\\"):
        raise NotSupported(
            f'{where}: "{requirement}" is not a release of a package',
            hint="name a release (name==version), or a wheel by its URL (name @ https://…)",
        )
    if not name or rest[:1] not in ("", "[", "=", "<", ">", "!", "~", ";", "@", "("):
        raise InvalidArgument(f'{where}: "{requirement}" is not a requirement such as numpy>=1.26')
    if rest[:1] == "@":
        url = rest[1:].strip()
        if not url.startswith(("https://", "http://", "file:///")):
            what = "a version control system" if url.startswith(("git+", "hg+", "svn+", "bzr+")) else "a place"
            raise NotSupported(
                f"{where}: {name} comes from {what} that a lock cannot keep by hash: {url}",
                hint="name a release, or a wheel or source archive by its https:// URL",
            )


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, joined where they go on, with the number of their first."""
    joined, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if joined else number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            joined += line[:-1] + " "
            continue
        whole = _COMMENT.sub("", joined + line).strip()
        joined = ""
        if whole:
            yield first, whole
    if joined.strip():
        yield first, joined.strip()
