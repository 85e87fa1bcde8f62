"""Which of a folder's files counts, and what it asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from wherry.env.debian import releases
from wherry.env.inputs import conda, options, pyproject, requirements
from wherry.env.inputs.table import Table
from wherry.env.lock import MACHINES
from wherry.env.spec import Spec, Wishes
from wherry.errors import Conflict, InvalidArgument, NotFound
from wherry.oci import digest

LOCK_NAMES = ("pylock.wherry.toml", "pylock.toml")
INPUTS = ("uv.lock", "pyproject.toml", "requirements.txt", "environment.yml", "environment.yaml", "pylock.toml")
_KINDS = {"uv.lock": "uv.lock", "pyproject.toml": "pyproject", "environment.yml": "conda", "environment.yaml": "conda"}
_IMAGE_PYTHON = re.compile(r"(?:.*/)?python:(3\.\d+)(?![\d])")


def from_wishes(wishes: Wishes) -> Spec:
    """What the command line asks for alone: ``--with`` and its companions.  Raises `InvalidArgument`."""
    for each in wishes.packages:
        requirements.check(each, "--with")
    for each in wishes.architectures:
        if each not in MACHINES:
            raise InvalidArgument(f"--platform: {each} is not known", hint=f"known are {' and '.join(MACHINES)}")
    table = Table({"cuda": wishes.cuda} if wishes.cuda else {}, "command line")
    python, base = target(wishes.python, wishes.base, "", "command line")
    return _checked(Spec(
        python=python,
        base=base,
        requirements=tuple(sorted(dict.fromkeys(" ".join(each.split()) for each in wishes.packages))),
        system=options.system(wishes.system, "--system"),
        architectures=wishes.architectures,
        lines=options.index_lines(wishes.index),
        options=options.image({}, "", "", wishes.cuda, table),
        source="--with",
    ))  # fmt: skip


def read(folder: Path, wishes: Wishes) -> Spec:
    """What the files of a folder ask for.

    Raises `NotFound` when there is none that says it, `InvalidArgument`, `NotSupported`, and `Conflict` when the
    command line wants another Python or base than the project's own options.
    """
    document, own = _pyproject(folder), own_options(folder)
    for name, wanted, has in (("python", wishes.python, own.python), ("base", wishes.base, own.base)):
        if wanted and has and wanted != has:
            raise Conflict(f"--{name} {wanted}: {document.file} says {has}", hint=f"change it there: {name} = ...")
    source = _source(folder, own, document)
    kind = _kind(source)
    if kind not in ("uv.lock", "pyproject") and (own.extras or own.groups):
        raise InvalidArgument(f"{document.file}: extras and groups are of pyproject.toml, and {source} is read")
    fields = _READERS[kind](folder, source, document, own)
    asked = fields.pop("python", "")
    exact = _exact(asked)
    asked = f"=={exact}.*" if exact else asked
    inherited = dict(fields.pop("env", ()))
    python, base = target(own.python or wishes.python or exact, own.base or wishes.base, asked, source)
    image = own.image.replace(env=tuple(sorted((inherited | dict(own.image.env)).items())))
    return _checked(Spec(
        python=python,
        base=base,
        system=own.system,
        architectures=own.architectures,
        lines=own.lines + fields.pop("lines", ()),
        options=image,
        exclude_newer=own.exclude_newer,
        folder=str(folder),
        source=source,
        mirror=own.mirror,
        **fields,
    ))  # fmt: skip


def has_inputs(folder: Path) -> bool:
    """Whether a folder has files that say what is needed.  Raises `NotFound` for one that is named and not there."""
    try:
        _source(folder, own_options(folder), _pyproject(folder))
    except NotFound as error:
        if error.kind != "project":
            raise
        return False
    return True


def own_options(folder: Path) -> options.ProjectOptions:
    """``[tool.wherry.env]`` of a folder's ``pyproject.toml``.  Raises `InvalidArgument`."""
    return options.read(_pyproject(folder).table("tool").table("wherry").table("env"))


def is_ours(path: Path) -> bool:
    """Whether a file is a lock of Wherry's."""
    try:
        return "\n[tool.wherry]\n" in path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def lock_path(folder: Path) -> Path | None:
    """The folder's lock, if it has one."""
    return next((folder / name for name in LOCK_NAMES if is_ours(folder / name)), None)


def new_lock_path(folder: Path) -> Path:
    """Where a lock of the folder goes: beside a ``pylock.toml`` of another program, never over it."""
    theirs = (folder / "pylock.toml").exists() and not is_ours(folder / "pylock.toml")
    return lock_path(folder) or folder / (LOCK_NAMES[0] if theirs else LOCK_NAMES[1])


def target(python: str, base: str, asked: str, source: str) -> tuple[str, str]:
    """(Python, base) in full; ``asked`` is a ``requires-python``.  Raises `InvalidArgument`, `NotSupported`."""
    if python:
        options.python(python, source)
    name, _, release = base.partition(":")
    if name == "debian" and release:
        has = releases.find(release).python
        if python and python != has:
            raise InvalidArgument(f"{source}: {base} has Python {has}, not {python}", hint="leave out the base")
        python = has
    elif name == "debian" or not base:
        python = python or _newest(asked, source)
        base = f"debian:{releases.with_python(python).name}"
    elif not python:
        found = _IMAGE_PYTHON.match(base)
        if not found:
            raise InvalidArgument(f"{source}: which Python {base} has is not known", hint='say it: python = "3.11"')
        python = found.group(1)
    if asked and not _allows(asked, python, source):
        raise InvalidArgument(f"{source}: the project requires Python {asked}, and the environment has {python}")
    return python, base


def _checked(spec: Spec) -> Spec:
    if spec.system and not spec.release:
        raise InvalidArgument(
            f"system packages are for a base from the Debian archive, and the base is {spec.base}",
            hint="use base = \"debian\", or an image that has them",
        )  # fmt: skip
    return spec


def _newest(asked: str, source: str) -> str:
    """The newest Python of Debian's that ``requires-python`` allows."""
    for release in reversed(releases.RELEASES):
        if not asked or _allows(asked, release.python, source):
            return release.python
    known = ", ".join(release.python for release in releases.RELEASES)
    raise InvalidArgument(
        f"{source}: the project requires Python {asked}, and Debian has {known}",
        hint='name an image as the base: base = "python:3.12-slim"',
    )


def _allows(asked: str, python: str, source: str) -> bool:
    """Whether some release of this Python is allowed."""
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
    except ImportError:
        from wherry.env.wheels import missing

        raise missing("packaging") from None
    try:
        allowed = SpecifierSet(asked)
    except InvalidSpecifier:
        raise InvalidArgument(f'{source}: requires-python "{asked}" is not a range of versions') from None
    return any(allowed.contains(f"{python}.{patch}") for patch in range(40))


def _exact(asked: str) -> str:
    return asked if re.fullmatch(r"3\.\d+", asked) else ""


def _pyproject(folder: Path) -> Table:
    path = folder / "pyproject.toml"
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"cannot read {path}: {error}") from None
    try:
        return Table(tomllib.loads(text), "pyproject.toml")
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgument(f"{path} is not TOML: {error}") from None


def _source(folder: Path, own: options.ProjectOptions, document: Table) -> str:
    if own.source:
        if not (folder / own.source).is_file():
            raise NotFound("file", own.source, f"pyproject.toml: tool.wherry.env.from: there is no {own.source}")
        return own.source
    for name in INPUTS:
        if not (folder / name).is_file() or (name == "pylock.toml" and is_ours(folder / name)):
            continue
        if name in ("uv.lock", "pyproject.toml") and not pyproject.has_packages(document):
            continue
        return name
    if not folder.is_dir():
        raise NotFound("folder", str(folder))
    raise NotFound(
        "project", str(folder), f"{folder} has no file that says which packages it needs",
        hint=f"looked for {', '.join(INPUTS)}; 'wherry env init' begins one",
    )  # fmt: skip


def _kind(source: str) -> str:
    name = Path(source).name
    if name in _KINDS:
        return _KINDS[name]
    if re.fullmatch(r"pylock(\.[^.]+)?\.toml", name):
        return "pylock"
    if name.endswith((".yml", ".yaml")):
        return "conda"
    if name.endswith((".txt", ".in")):
        return "requirements"
    raise InvalidArgument(
        f"pyproject.toml: tool.wherry.env.from: {source} is of no known kind", hint=f"known are {', '.join(INPUTS)}"
    )


def _read_pyproject(_folder: Path, _source: str, document: Table, own: options.ProjectOptions) -> dict[str, Any]:
    found = pyproject.read(document, own.extras, own.groups)
    return {"requirements": found.requirements, "python": found.python, "uv": found.uv}


def _read_uv_lock(folder: Path, source: str, document: Table, own: options.ProjectOptions) -> dict[str, Any]:
    found = pyproject.read(document, own.extras, own.groups)
    pins = {"extras": own.extras, "groups": own.groups} | _pins(folder, source)
    return pins | {"requirements": found.requirements, "python": found.python}


def _read_pylock(folder: Path, source: str, _document: Table, _own: options.ProjectOptions) -> dict[str, Any]:
    return _pins(folder, source) | {"requirements": ()}


def _pins(folder: Path, source: str) -> dict[str, Any]:
    return {"pins": source, "pins_digest": digest.of((folder / source).read_bytes())}


def _read_requirements(folder: Path, source: str, _document: Table, _own: options.ProjectOptions) -> dict[str, Any]:
    return requirements.read(folder / source, source).as_dict()


def _read_conda(folder: Path, source: str, _document: Table, _own: options.ProjectOptions) -> dict[str, Any]:
    found = conda.read(folder / source, source)
    return {"requirements": found.requirements, "python": found.python, "env": found.env}


_READERS = {
    "pyproject": _read_pyproject,
    "uv.lock": _read_uv_lock,
    "pylock": _read_pylock,
    "requirements": _read_requirements,
    "conda": _read_conda,
}
