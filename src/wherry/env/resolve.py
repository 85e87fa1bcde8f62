"""From what was asked for to exact versions and files: one resolution by uv for each architecture, then one list."""

from __future__ import annotations

import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from wherry import fastjson
from wherry.env import toml, uv
from wherry.env.inputs.options import NO_CUDA
from wherry.env.inputs.requirements import normal
from wherry.env.lock import MACHINES, Lock, LockedFile, LockedPackage, marker_of
from wherry.env.spec import Spec
from wherry.errors import Corrupt, NotSupported
from wherry.record import Record

_NAME = "wherry-env"
_VIA = re.compile(r"\s+#(?: via)?\s+(\S.*)")
_GLIBC_OF_UV = 40  # the newest that uv knows


class Wanted(Record):
    """How to resolve.  ``python`` is as exact as it is known ("3.11.2"), ``libc`` "glibc 2.36", "musl" or empty.

    ``old`` is a lock whose versions stay where they can, but for the names in ``upgrade`` (all with ``upgrade_all``).
    """

    python: str
    libc: str
    old: Lock | None = None
    upgrade: tuple[str, ...] = ()
    upgrade_all: bool = False
    exclude_newer: str = ""
    offline: bool = False


class Resolved(Record):
    """The packages by name, and what uv warned of."""

    packages: tuple[LockedPackage, ...]
    warnings: tuple[str, ...]
    from_cache: bool = False


def resolve(spec: Spec, wanted: Wanted) -> Resolved:
    """The packages of a specification, for all of its architectures.

    Raises what `uv.run` does, `Corrupt` when no file has the hash that was asked for, `NotSupported` for a package
    without files of a known hash.
    """
    found: dict[str, dict[str, LockedPackage]] = {}
    warnings: dict[str, None] = {}
    from_cache = False
    with tempfile.TemporaryDirectory(prefix="wherry-lock-") as directory:
        _write_inputs(Path(directory), spec)
        for architecture in spec.architectures:
            pins = _pins(wanted, architecture, found)
            answer = _compile(directory, spec, wanted, architecture, pins)
            packages = read_packages((Path(directory) / f"pylock.{architecture}.toml").read_text(), spec)
            requires, second = _requires(directory, spec, wanted, architecture, packages)
            found[architecture] = {
                one.name: one.replace(requires=tuple(sorted(requires.get(one.name, ())))) for one in packages
            }
            warnings |= dict.fromkeys(answer.warnings)
            from_cache = from_cache or answer.from_cache or second.from_cache
    return Resolved(merge(found), tuple(warnings), from_cache)


def merge(found: dict[str, dict[str, LockedPackage]]) -> tuple[LockedPackage, ...]:
    """One list of the packages of all architectures; a marker says where a version is for one of them alone."""
    merged = []
    for name in sorted({name for packages in found.values() for name in packages}):
        having = {architecture: packages[name] for architecture, packages in found.items() if name in packages}
        if len(having) == len(found) and len({one.version for one in having.values()}) == 1:
            merged.append(_united(list(having.values())))
        else:
            merged += [one.replace(marker=marker_of(architecture)) for architecture, one in sorted(having.items())]
    return tuple(merged)


def _united(same: list[LockedPackage]) -> LockedPackage:
    wheels = {wheel.name: wheel for one in same for wheel in one.wheels}
    requires = {each for one in same for each in one.requires}
    return same[0].replace(
        wheels=tuple(wheels[name] for name in sorted(wheels)),
        sdist=next((one.sdist for one in same if one.sdist), None),
        requires=tuple(sorted(requires)),
    )


def _write_inputs(directory: Path, spec: Spec) -> None:
    """What uv reads: a list, beside a project that has the settings; where those say from where packages come, uv
    looks at that for the project's own requirements alone."""
    settings = fastjson.loads(spec.uv) if spec.uv else {}
    project = {"name": _NAME, "version": "0", "requires-python": f"=={spec.python}.*"}
    text = "[project]\n" + "".join(toml.entry(key, each) for key, each in project.items())
    text += toml.entry("dependencies", spec.requirements if "sources" in settings else ())
    text += "\n[tool.uv]\n" + "".join(toml.entry(key, each) for key, each in settings.items())
    (directory / "pyproject.toml").write_text(text)
    lines = [*(each for each in spec.lines if each != "--pre"), *(() if "sources" in settings else spec.requirements)]
    (directory / "requirements.txt").write_text("".join(f"{each}\n" for each in lines))
    (directory / "constraints.txt").write_text("".join(f"{each}\n" for each in spec.constraints))


def _pins(wanted: Wanted, architecture: str, found: dict[str, dict[str, LockedPackage]]) -> dict[str, LockedPackage]:
    """What is to stay: the old lock's versions, then those that another architecture has got already."""
    old = {} if wanted.old is None or wanted.upgrade_all else {one.name: one for one in wanted.old.of(architecture)}
    for name in wanted.upgrade:
        old.pop(normal(name), None)
    others: dict[str, LockedPackage] = {}
    for packages in found.values():
        others |= packages
    return others | old


def _arguments(spec: Spec, wanted: Wanted, architecture: str) -> list[str]:
    arguments = ["pip", "compile", *(["pyproject.toml"] if '"sources"' in spec.uv else []), "requirements.txt"]
    arguments += ["--python-version", wanted.python, "--python-platform", platform(wanted.libc, architecture)]
    arguments += [*uv.python(), "--no-header", "--generate-hashes"]
    if spec.constraints:
        arguments += ["--constraints", "constraints.txt"]
    if "--pre" in spec.lines:
        arguments += ["--prerelease", "allow"]
    if spec.options.cuda:
        arguments += ["--torch-backend", backend(spec.options.cuda)]
    if wanted.exclude_newer:
        arguments += ["--exclude-newer", wanted.exclude_newer]
    return arguments


def backend(cuda: str) -> str:
    """uv's word for the builds of the PyTorch family for a version of CUDA."""
    return "cpu" if cuda == NO_CUDA else f"cu{cuda.replace('.', '')}"


def platform(libc: str, architecture: str) -> str:
    """uv's word for Linux on an architecture; what is not known of the base is taken as any Linux of the last years."""
    machine = MACHINES[architecture]
    if libc == "musl":
        return f"{machine}-unknown-linux-musl"
    if not libc:
        return f"{machine}-unknown-linux-gnu"
    major, minor = map(int, libc.removeprefix("glibc ").split(".")[:2])
    return f"{machine}-manylinux_{major}_{min(minor, _GLIBC_OF_UV)}"


def _compile(
    directory: str, spec: Spec, wanted: Wanted, architecture: str, pins: dict[str, LockedPackage]
) -> uv.Answer:
    output = Path(directory) / f"pylock.{architecture}.toml"
    output.write_text(_pylock(pins))
    arguments = [*_arguments(spec, wanted, architecture), "--format", "pylock.toml", "--output-file", output.name]
    if wanted.upgrade_all:
        arguments.append("--refresh")
    for name in wanted.upgrade:
        arguments += ["--refresh-package", name]
    answer = uv.run(arguments, directory, f"lock {spec.source}", offline=wanted.offline)
    return answer.replace(warnings=tuple(each for each in answer.warnings if "requirements.txt` does not" not in each))


def _pylock(pins: dict[str, LockedPackage]) -> str:
    text = 'lock-version = "1.0"\ncreated-by = "wherry"\n' + ("" if pins else "packages = []\n")
    for one in pins.values():
        file = (*one.wheels, one.sdist)[0]
        assert file is not None
        wheel: dict[str, toml.Value] = {"name": file.name, "url": file.url, "hashes": {"sha256": file.sha256}}
        kind: dict[str, toml.Value] = {"wheels": [wheel]} if one.wheels else {"sdist": wheel}
        text += "\n[[packages]]\n"
        text += "".join(
            toml.entry(key, each) for key, each in {"name": one.name, "version": one.version, **kind}.items()
        )
    return text


def read_packages(text: str, spec: Spec) -> list[LockedPackage]:
    """The packages of a lock of uv's."""
    return [package(each, dict(spec.hashes)) for each in tomllib.loads(text).get("packages", [])]


def package(table: dict[str, Any], hashes: dict[str, tuple[str, ...]]) -> LockedPackage:
    """A package from its table of PEP 751.  Raises `Corrupt`, `NotSupported`."""
    name, version = table["name"], table.get("version", "")
    wheels, sdist = [file(each, name) for each in table.get("wheels", [])], table.get("sdist")
    source = file(sdist, name) if sdist else None
    if "archive" in table:
        archive = file(table["archive"], name)
        wheels, source = ([archive], None) if archive.name.endswith(".whl") else ([], archive)
    elif not wheels and source is None:
        raise NotSupported(
            f"{name} has no file that a lock can keep by hash: it comes from a folder or a version control system",
            hint="name a release of it, or a wheel by its URL",
        )
    if name in hashes:
        allowed = hashes[name]
        kept = [wheel for wheel in wheels if wheel.sha256 in allowed]
        if not kept and (source is None or source.sha256 not in allowed):
            raise Corrupt(
                f"{name} {version}: none of the index's files has a hash that was asked for",
                hint=f"asked for {', '.join(allowed[:3])}; found {', '.join(one.sha256 for one in wheels[:3])}",
            )
        wheels, source = kept, source if source and source.sha256 in allowed else None
    return LockedPackage(name, version, tuple(sorted(wheels, key=lambda one: one.name)), source)


def file(table: dict[str, Any], package: str) -> LockedFile:
    """One file of a package, from a table of PEP 751.  Raises `NotSupported` when it has no SHA-256 sum."""
    url = table.get("url") or "file://" + table.get("path", "")
    name = table.get("name") or unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    sha256 = table.get("hashes", {}).get("sha256", "")
    if not sha256:
        raise NotSupported(f"{package}: the index gives no SHA-256 sum of {name}", hint="use another index")
    return LockedFile(name=name, url=_without_secrets(url), sha256=sha256, size=table.get("size", 0))


def _without_secrets(url: str) -> str:
    """A lock is shared: user names and passwords stay where uv has them from."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl() if parts.netloc else url


def _requires(
    directory: str, spec: Spec, wanted: Wanted, architecture: str, packages: list[LockedPackage]
) -> tuple[dict[str, set[str]], uv.Answer]:
    """Who brought in whom, from the notes that uv writes into a requirements file of the same resolution."""
    output = Path(directory) / f"{architecture}.txt"
    output.write_text("".join(f"{one.name}=={one.version}\n" for one in packages if one.version))
    arguments = [*_arguments(spec, wanted, architecture), "--output-file", output.name, "--annotation-style", "split"]
    answer = uv.run(arguments, directory, f"lock {spec.source}", offline=wanted.offline)
    return parents(output.read_text()), answer


def parents(text: str) -> dict[str, set[str]]:
    """Names by the name of the package that requires them."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in text.splitlines():
        if line and not line[0].isspace() and line[0] not in "#-":
            name = normal(re.split(r"[=@ ;\[]", line, maxsplit=1)[0])
        elif (via := _VIA.fullmatch(line)) and re.fullmatch(r"[A-Za-z0-9._-]+", via.group(1)):
            found.setdefault(normal(via.group(1)), set()).add(name)
    return found
