"""One package as what it adds to an image: the entries of a tar, and what has to be known of it for the others.

Times are 0, owners are Debian's fixed ids or root, paths are those below a merged /usr; the same package always gives
the same bytes.
"""

from __future__ import annotations

import base64
import re

from wherry import fastjson
from wherry.env.debian import alternatives, elf, paths
from wherry.env.debian.alternatives import Alternative, Link
from wherry.env.debian.deb import Deb, fields
from wherry.errors import Corrupt
from wherry.layers import tar
from wherry.layers.tarwriter import header, padding
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any, BinaryIO

    from wherry.env.debian.package import DebPackage
    from wherry.layers.source import Source

FORM = "1"  # changes when what is written or known of the same package does
STATUS = "var/lib/dpkg/status.d"
_FIXED_IDS = 100  # Debian's static ids are below (Policy, 9.2.2); others are given by scripts
_PIECE = 1 << 20
_KEPT = re.compile(
    r"usr/share/base-passwd/(passwd|group)\.master|usr/share/base-files/(dot\.bashrc|dot\.profile|profile|motd)"
    r"|usr/share/libc-bin/nsswitch\.conf|usr/share/base-files/nsswitch\.conf|usr/share/ca-certificates/.*\.crt"
    r"|etc/ld\.so\.conf\.d/[^/]+\.conf"
)
_MAX_KEPT = 1 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_MODULE = re.compile(r"usr/lib/python3(\.\d+)?/.*\.py")


class Facts(Record):
    """``files`` are paths with the kind of each (as in tar: "0" a file, "2" a symbolic link, "5" a directory); ``kept``
    is the content of files that others are made of, ``sonames`` are those of libraries; ``replaces`` are the packages
    whose files this one may have as well."""

    package: str
    files: tuple[tuple[str, str], ...]
    kept: tuple[tuple[str, bytes], ...]
    sonames: tuple[tuple[str, str], ...]
    alternatives: tuple[Alternative, ...]
    replaces: tuple[str, ...]

    def dump(self) -> bytes:
        """As text, for `load`."""
        kept = [[path, base64.b64encode(data).decode()] for path, data in self.kept]
        offers = [
            [[*one.link.as_dict().values()], one.priority, [[*slave.as_dict().values()] for slave in one.slaves]]
            for one in self.alternatives
        ]
        parts = [self.package, self.files, kept, self.sonames, offers, self.replaces]
        return fastjson.dumps(parts).encode()


def load(text: bytes) -> Facts:
    """What `Facts.dump` gave."""
    package, files, kept, sonames, offers, replaces = fastjson.loads(text)
    return Facts(
        package,
        tuple([(path, kind) for path, kind in files]),
        tuple([(path, base64.b64decode(data)) for path, data in kept]),
        tuple([(path, name) for path, name in sonames]),
        tuple([Alternative(Link(*link), priority, tuple([Link(*one) for one in slaves]))
               for link, priority, slaves in offers]),
        tuple(replaces),
    )  # fmt: skip


def unpack(
    path: str, package: DebPackage, architecture: str, out: BinaryIO, without: Container[bytes] = (),
    sources: dict[str, bytes] | None = None,
) -> Facts:  # fmt: skip
    """Write the entries of a package file, whose hash has been verified, to ``out``, but for the paths ``without``.

    ``sources`` gets the Python modules that are to be compiled, by path.  Raises `Corrupt` for a damaged or hostile
    package.
    """
    what = f"{package.name} {package.version}"
    if not _NAME.fullmatch(package.name):  # it becomes a path
        raise Corrupt(f"{package.name[:80]!r} is no name of a package")
    with Deb(path, what) as deb:
        control = deb.control()
        writer = _Writer(what, architecture, out, without, sources)
        for entry, source in deb.entries():
            writer.add(entry, source)
    stanza = control["control"].strip() + b"\n"
    about = fields(stanza)
    if about.get("Package") != package.name or about.get("Version") != package.version:
        raise Corrupt(f"package {what} says that it is {about.get('Package')} {about.get('Version')}")
    status = stanza.replace(b"\n", b"\nStatus: install ok installed\n", 1)
    writer.file(f"{STATUS}/{package.name}".encode(), status)
    if control.get("md5sums"):
        writer.file(f"{STATUS}/{package.name}.md5sums".encode(), control["md5sums"])
    return Facts(
        package=package.name,
        files=tuple(writer.files.items()),
        kept=tuple(writer.kept.items()),
        sonames=tuple(writer.sonames.items()),
        alternatives=alternatives.parse(control.get("postinst", b"").decode("utf-8", "replace")),
        replaces=tuple(re.findall(r"(?:^|,)\s*([a-z0-9][a-z0-9+.-]*)", about.get("Replaces", ""))),
    )


class _Writer:
    def __init__(
        self, what: str, architecture: str, out: BinaryIO, without: Container[bytes], sources: dict[str, bytes] | None
    ) -> None:  # fmt: skip
        self._what = what
        self._architecture = architecture
        self._out = out
        self._without = without
        self._sources = sources
        self.files: dict[str, str] = {}
        self.kept: dict[str, bytes] = {}
        self.sonames: dict[str, str] = {}

    def file(self, path: bytes, data: bytes) -> None:
        """A file of our own."""
        self._out.write(header(path, tar.FILE, size=len(data)) + data + padding(len(data)))
        self.files[_text(path)] = "0"

    def add(self, entry: tar.Entry, source: Source) -> None:
        """One entry of the package."""
        path = paths.place(entry.name, self._what)
        link = entry.kind == tar.SYMLINK
        if not path or (link and entry.name.removeprefix(b"./") in paths.MERGED) or path in self._without:
            return
        if not paths.is_wanted(path, directory=entry.kind == tar.DIRECTORY, link=link):
            return
        options: dict[str, Any] = {"mode": entry.mode, "uid": _fixed(entry.uid), "gid": _fixed(entry.gid)}
        self.files[_text(path)] = entry.kind.decode()
        if entry.kind == tar.FILE:
            self._regular(path, entry, source, options)
        elif entry.kind == tar.DIRECTORY:
            self._out.write(header(path + b"/", tar.DIRECTORY, **options))
        elif link:
            self._out.write(header(path, tar.SYMLINK, link=entry.linkname, **options | {"mode": 0o777}))
        elif entry.kind == tar.LINK:
            target = paths.place(entry.linkname, self._what)
            if self.files.get(_text(target)) not in ("0", "1"):
                raise Corrupt(f"package {self._what} has a link to what is not in it: {_text(path)[:200]!r}")
            self._out.write(header(path, tar.LINK, link=target, **options))
            if _text(target) in self.sonames:
                self.sonames[_text(path)] = self.sonames[_text(target)]
        else:
            raise Corrupt(f"package {self._what} has a device or a fifo: {_text(path)[:200]!r}")

    def _regular(self, path: bytes, entry: tar.Entry, source: Source, options: dict[str, Any]) -> None:
        if entry.map is not None:
            raise Corrupt(f"package {self._what} has a sparse file: {_text(path)[:200]!r}")
        self._out.write(header(path, tar.FILE, size=entry.size, **options))
        kept = _KEPT.fullmatch(_text(path)) is not None and entry.size <= _MAX_KEPT
        library = elf.is_library(path)
        module = self._sources is not None and is_module(_text(path))
        pieces, left = [], entry.size
        while left:
            piece = source.take(min(left, _PIECE))
            left -= len(piece)
            self._out.write(piece)
            if kept or library or module:
                pieces.append(piece)
        self._out.write(padding(entry.size))
        if self._sources is not None and module:
            self._sources[_text(path)] = b"".join(pieces)
        if kept:
            self.kept[_text(path)] = b"".join(pieces)
        if library:
            name = elf.soname(b"".join(pieces), self._architecture)
            if name:
                self.sonames[_text(path)] = name


def is_module(path: str) -> bool:
    """Whether a file is one of those that Debian's packages compile when they are installed; no test suites."""
    return _MODULE.fullmatch(path) is not None and not {"tests", "test"} & set(path.split("/"))


def _fixed(number: int) -> int:
    return number if number < _FIXED_IDS else 0


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
