"""Locks as text: ``pylock.toml`` with the table ``[tool.wherry]``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from wherry.env import toml
from wherry.env.debian.package import DebianBase, DebPackage
from wherry.env.lock import MACHINES, ImageBase, Lock, LockedFile, LockedPackage, Options, marker_of
from wherry.errors import InvalidArgument, NotSupported

VERSION = 1
"""Of the table ``[tool.wherry]``; another one is refused."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PYTHON = re.compile(r"3\.\d{1,2}")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # as PEP 503 writes names
_VERSION = re.compile(r"[A-Za-z0-9.!+_-]+")
_AGAIN = "the file was changed by hand or by another program: lock again"


def write(lock: Lock) -> str:
    """The text of a lock; the same for equal locks."""
    return "".join(_lines(lock))


def _lines(lock: Lock) -> Iterator[str]:
    yield 'lock-version = "1.0"\n'
    environments = [
        f"python_version == '{lock.python}' and sys_platform == 'linux' and {marker_of(architecture)}"
        for architecture in lock.architectures
    ]
    yield toml.entry("environments", environments)
    yield toml.entry("requires-python", f"=={lock.python}.*")
    yield 'created-by = "wherry"\n'
    if not lock.packages:
        yield "packages = []\n"
    for package in lock.packages:
        yield "\n[[packages]]\n"
        yield from _package(package)
    yield "\n[tool.wherry]\n"
    yield toml.entry("version", VERSION)
    yield toml.entry("inputs", lock.inputs)
    yield toml.entry("python", lock.python)
    yield toml.entry("architectures", lock.architectures)
    yield toml.entry("requirements", lock.requirements)
    if lock.exclude_newer:
        yield toml.entry("exclude-newer", lock.exclude_newer)
    yield "\n[tool.wherry.options]\n"
    options = lock.options
    yield toml.entry("env", dict(options.env))
    for name in ("user", "workdir", "cuda"):
        if getattr(options, name):
            yield toml.entry(name, getattr(options, name))
    yield "\n[tool.wherry.base]\n"
    yield from _base(lock.base)


def _package(package: LockedPackage) -> Iterator[str]:
    yield toml.entry("name", package.name)
    yield toml.entry("version", package.version)
    if package.marker:
        yield toml.entry("marker", package.marker)
    if package.requires:
        yield toml.entry("dependencies", [{"name": name} for name in package.requires])
    if package.sdist:
        yield toml.entry("sdist", _file(package.sdist))
    if package.wheels:
        yield toml.entry("wheels", [_file(wheel) for wheel in package.wheels])


def _file(file: LockedFile) -> dict[str, toml.Value]:
    size: dict[str, toml.Value] = {"size": file.size} if file.size else {}
    return {"name": file.name, "url": file.url, **size, "hashes": {"sha256": file.sha256}}


def _base(base: DebianBase | ImageBase) -> Iterator[str]:
    if isinstance(base, ImageBase):
        yield toml.entry("image", base.reference)
        yield toml.entry("digest", base.digest)
        return
    yield toml.entry("debian", base.release)
    yield toml.entry("python", base.python)
    yield toml.entry("date", base.date)
    yield toml.entry("system", base.system)
    yield "\n[tool.wherry.base.packages]\n"
    for architecture, packages in base.packages:
        rows = [{name: each for name, each in one.as_dict().items() if name != "architecture"} for one in packages]
        for row, one in zip(rows, packages):
            if one.architecture != architecture:
                row["architecture"] = one.architecture
        yield toml.entry(architecture, rows)


def read(text: str, name: str) -> Lock:
    """A lock from its text; ``name`` is what errors call it.

    Raises `InvalidArgument` for what is not a lock of Wherry's, `NotSupported` for one of a later version.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgument(f"{name} is not TOML: {error}") from None
    top = _Table(document, name, "")
    if not top.text("lock-version").startswith("1."):
        raise NotSupported(f"{name}: lock-version {document['lock-version']} is not known", hint="known is 1.0")
    if "wherry" not in document.get("tool", {}):
        raise InvalidArgument(
            f"{name} was not written by wherry: it has no table [tool.wherry]",
            hint="'wherry env lock' makes a lock out of it, with a base and the files of its packages",
        )
    own = top.table("tool").table("wherry")
    if own.number("version") != VERSION:
        raise NotSupported(
            f"{name}: version {own.number('version')} of [tool.wherry] is not known",
            hint="a later wherry wrote it: use that one",
        )
    architectures = own.texts("architectures")
    if not architectures or not set(architectures) <= set(MACHINES):
        own.wrong("architectures")
    options = own.table("options")
    python = own.match("python", _PYTHON)
    return Lock(
        python=python,
        architectures=architectures,
        base=_read_base(own.table("base"), python),
        packages=tuple(_read_package(each) for each in top.tables("packages")),
        requirements=own.texts("requirements"),
        inputs=own.text("inputs"),
        options=Options(
            env=_variables(options.table("env")),
            user=options.text("user", ""),
            workdir=options.text("workdir", ""),
            cuda=options.text("cuda", ""),
        ),
        exclude_newer=own.text("exclude-newer", ""),
    )


def _variables(table: _Table) -> tuple[tuple[str, str], ...]:
    for name in table.content:
        if not name or "=" in name or "\0" in name + table.text(name):
            table.wrong(name)
    return tuple((name, table.text(name)) for name in table.content)


def _read_package(table: _Table) -> LockedPackage:
    marker = table.text("marker", "")
    if marker and marker not in [marker_of(architecture) for architecture in MACHINES]:
        table.wrong("marker")
    wheels = tuple(_read_file(each) for each in table.tables("wheels")) if "wheels" in table.content else ()
    sdist = _read_file(table.table("sdist")) if "sdist" in table.content else None
    if not wheels and sdist is None:
        raise InvalidArgument(f"{table.file}: {table.place} has neither wheels nor an sdist", hint=_AGAIN)
    requires = table.tables("dependencies") if "dependencies" in table.content else ()
    return LockedPackage(
        name=table.match("name", _NAME),
        version=table.match("version", _VERSION),
        wheels=wheels,
        sdist=sdist,
        marker=marker,
        requires=tuple(each.text("name") for each in requires),
    )


def _read_file(table: _Table) -> LockedFile:
    name = table.text("name")
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        table.wrong("name")
    size = table.number("size") if "size" in table.content else 0
    return LockedFile(name=name, url=table.text("url"), sha256=_sha256(table.table("hashes")), size=size)


def _sha256(table: _Table) -> str:
    return table.match("sha256", _SHA256)


def _read_base(table: _Table, python: str) -> DebianBase | ImageBase:
    if "image" in table.content:
        return ImageBase(reference=table.text("image"), digest=table.text("digest"))
    packages = table.table("packages")
    return DebianBase(
        release=table.text("debian"),
        python=table.text("python", python),
        date=table.text("date"),
        system=table.texts("system"),
        packages=tuple(
            (architecture, tuple(_read_deb(each, architecture) for each in packages.tables(architecture)))
            for architecture in packages.content
        ),
    )


def _read_deb(table: _Table, architecture: str) -> DebPackage:
    path = table.text("path")
    if path.startswith("/") or ".." in path.split("/"):
        table.wrong("path")
    return DebPackage(
        name=table.text("name"),
        version=table.text("version"),
        architecture=table.text("architecture", architecture),
        archive=table.text("archive"),
        path=path,
        sha256=_sha256(table),
        size=table.number("size"),
    )


class _Table:
    """A table of a document, with the place it has there; a value of another type than it is read as is an error."""

    def __init__(self, content: Mapping[str, Any], file: str, place: str) -> None:
        self.content = content
        self.file = file
        self.place = place

    def wrong(self, key: str) -> NoReturn:
        """Raises `InvalidArgument` about one value."""
        where = f"{self.place}.{key}" if self.place else key
        found = f"is {repr(self.content[key])[:80]}" if key in self.content else "is missing"
        raise InvalidArgument(f"{self.file}: {where} {found}", hint=_AGAIN)

    def _get(self, key: str, kind: type) -> Any:
        found = self.content.get(key)
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            self.wrong(key)
        return found

    def text(self, key: str, default: str | None = None) -> str:
        if default is not None and key not in self.content:
            return default
        found: str = self._get(key, str)
        return found

    def match(self, key: str, pattern: re.Pattern[str]) -> str:
        found = self.text(key)
        if not pattern.fullmatch(found):
            self.wrong(key)
        return found

    def number(self, key: str) -> int:
        found: int = self._get(key, int)
        if found < 0:
            self.wrong(key)
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        found = self._get(key, list)
        if not all(isinstance(each, str) for each in found):
            self.wrong(key)
        return tuple(found)

    def table(self, key: str) -> _Table:
        return _Table(self._get(key, dict), self.file, f"{self.place}.{key}".lstrip("."))

    def tables(self, key: str) -> tuple[_Table, ...]:
        found = self._get(key, list)
        if not all(isinstance(each, dict) for each in found):
            self.wrong(key)
        place = f"{self.place}.{key}".lstrip(".")
        return tuple(_Table(each, self.file, f"{place}[{number}]") for number, each in enumerate(found))
