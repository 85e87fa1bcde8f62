"""The options ``[tool.wherry.env]`` of a ``pyproject.toml``."""

from __future__ import annotations

import re

from wherry.env.inputs.table import Table
from wherry.env.lock import MACHINES, Options
from wherry.env.spec import ARCHITECTURES
from wherry.errors import InvalidArgument
from wherry.record import Record

KEYS = (
    "python", "base", "system", "architectures", "from", "extras", "groups", "index", "extra-index", "exclude-newer",
    "env", "user", "workdir", "cuda", "mirror",
)  # fmt: skip
NO_CUDA = "none"

_PYTHON = re.compile(r"3\.\d{1,2}")
_CUDA = re.compile(r"\d{1,2}\.\d{1,2}|none")
_DEBIAN = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NVIDIA = (("NVIDIA_DRIVER_CAPABILITIES", "compute,utility"), ("NVIDIA_VISIBLE_DEVICES", "all"))


class ProjectOptions(Record):
    """What the table says; empty where it says nothing.  ``source`` is "from"."""

    python: str = ""
    base: str = ""
    system: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ARCHITECTURES
    source: str = ""
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    exclude_newer: str = ""
    mirror: tuple[str, ...] = ()
    image: Options = Options()


def read(table: Table) -> ProjectOptions:
    """The options of a table.  Raises `InvalidArgument` that names the key."""
    table.known(KEYS)
    architectures = tuple(sorted(set(table.texts("architectures")))) or ARCHITECTURES
    for each in architectures:
        if each not in MACHINES:
            table.wrong("architectures", f"a list of {' and '.join(MACHINES)}")
    workdir = table.text("workdir")
    if workdir and not workdir.startswith("/"):
        table.wrong("workdir", "an absolute path")
    cuda = table.content.get("cuda", "")
    if cuda is False:
        cuda = NO_CUDA
    mirror = (table.content["mirror"],) if isinstance(table.content.get("mirror"), str) else table.texts("mirror")
    return ProjectOptions(
        python=_python(table),
        base=table.text("base"),
        system=system(table.texts("system"), f"{table.file}: {table.place}.system"),
        architectures=architectures,
        source=table.text("from"),
        extras=tuple(sorted(set(table.texts("extras")))),
        groups=tuple(sorted(set(table.texts("groups")))),
        lines=index_lines(table.text("index"), table.texts("extra-index")),
        exclude_newer=instant(table.text("exclude-newer"), f"{table.file}: {table.place}.exclude-newer"),
        mirror=mirror,
        image=image(_variables(table), table.text("user"), workdir, cuda if cuda else "", table),
    )


def image(variables: dict[str, str], user: str, workdir: str, cuda: object, table: Table) -> Options:
    """The image's options; for CUDA, the variables with which container engines hand out GPUs as well."""
    if cuda and not (isinstance(cuda, str) and _CUDA.fullmatch(cuda)):
        table.wrong("cuda", 'a version such as "12.6", or false')
    chosen = str(cuda) if cuda else ""
    if chosen and chosen != NO_CUDA:
        variables = dict(_NVIDIA) | {"NVIDIA_REQUIRE_CUDA": f"cuda>={chosen}"} | variables
    return Options(env=tuple(sorted(variables.items())), user=user, workdir=workdir, cuda=chosen)


def index_lines(index: str, more: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The lines of a requirements file that name indexes."""
    return ((f"--index-url {index}",) if index else ()) + tuple(f"--extra-index-url {each}" for each in more)


def system(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Names of Debian packages, sorted.  Raises `InvalidArgument`."""
    for name in names:
        if not _DEBIAN.fullmatch(name):
            raise InvalidArgument(f'{where}: "{name}" is not the name of a Debian package')
    return tuple(sorted(set(names)))


def python(text: str, where: str) -> str:
    """Major and minor of a version of Python.  Raises `InvalidArgument`."""
    if not _PYTHON.fullmatch(text):
        raise InvalidArgument(f'{where}: "{text}" is not a version of Python such as 3.11')
    return text


def instant(text: str, where: str) -> str:
    """An RFC 3339 instant in UTC; a date stands for its end, in UTC wherever it is read.  Raises `InvalidArgument`."""
    from datetime import UTC, datetime, timedelta

    if not text:
        return ""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(f'{where}: "{text}" is not a date such as 2026-11-28 or 2026-11-28T12:00:00Z') from None
    if _DATE.fullmatch(text):
        found = found.replace(tzinfo=UTC) + timedelta(days=1)
    if found.tzinfo is None:
        raise InvalidArgument(f'{where}: "{text}" has no time zone', hint=f"write {text}Z for UTC")
    return found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _python(table: Table) -> str:
    found = table.content.get("python", "")
    if isinstance(found, float):
        table.wrong("python", 'a string such as "3.11"')
    text = table.text("python")
    return python(text, f"{table.file}: {table.place}.python") if text else ""


def _variables(table: Table) -> dict[str, str]:
    found = table.table("env")
    for name in found.content:
        if not name or "=" in name or "\0" in name:
            raise InvalidArgument(f'{table.file}: {table.place}.env: "{name}" is not the name of a variable')
    return {name: found.text(name) for name in found.content}
