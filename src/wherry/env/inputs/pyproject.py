"""``pyproject.toml``: PEP 621 with extras, dependency groups (PEP 735), and what ``[tool.uv]`` says of a resolution."""

from __future__ import annotations

import re

from wherry import fastjson
from wherry.env.inputs.requirements import check, name_of, normal
from wherry.env.inputs.table import Table
from wherry.errors import InvalidArgument, NotFound, NotSupported
from wherry.record import Record

_UV = (
    "sources", "index", "index-url", "extra-index-url", "find-links", "no-index", "index-strategy",
    "constraint-dependencies", "override-dependencies", "exclude-dependencies", "resolution", "prerelease",
    "exclude-newer", "exclude-newer-package", "no-build", "no-build-package", "no-binary", "no-binary-package",
    "dependency-metadata", "config-settings", "build-constraint-dependencies", "extra-build-dependencies",
)  # fmt: skip
_SOURCES = ("index", "url", "marker", "extra", "group")
_SELF = re.compile(r"([A-Za-z0-9._-]+)\s*\[([^\]]*)\]\s*$")


class Wanted(Record):
    """What a project needs.  ``python`` is its ``requires-python``, ``uv`` JSON."""

    requirements: tuple[str, ...]
    python: str
    uv: str


def has_packages(document: Table) -> bool:
    """Whether the file says what is needed, and is not only about tools."""
    return "project" in document.content or "dependency-groups" in document.content


def read(document: Table, extras: tuple[str, ...], groups: tuple[str, ...]) -> Wanted:
    """The requirements of the project with some of its extras and groups.

    Raises `InvalidArgument`, `NotFound` for an extra or a group that is not there, `NotSupported` for what a lock
    cannot have.
    """
    project = document.table("project")
    if "dependencies" in project.texts("dynamic"):
        raise NotSupported(
            f"{document.file}: the project's dependencies are dynamic: only its build back end knows them",
            hint='name the file that has them: [tool.wherry.env] from = "requirements.txt"',
        )
    found = list(project.texts("dependencies"))
    for extra in extras:
        found += _extra(project, extra, ())
    for group in groups:
        found += _group(document.table("dependency-groups"), group, ())
    requirements = tuple(dict.fromkeys(" ".join(each.split()) for each in found))
    own = normal(project.text("name"))
    requirements = tuple(each for each in requirements if name_of(each) != own)
    for each in requirements:
        check(each, document.file)
    return Wanted(requirements, project.text("requires-python"), _uv(document, requirements))


def _extra(project: Table, extra: str, inside: tuple[str, ...]) -> list[str]:
    known = {normal(name): name for name in project.table("optional-dependencies").content}
    name = normal(extra)
    if name not in known:
        raise NotFound(
            "extra", extra, f"{project.file} has no extra {extra}", hint=f"it has {', '.join(sorted(known)) or 'none'}"
        )
    if name in inside:
        raise InvalidArgument(f"{project.file}: extra {extra} includes itself")
    found = []
    for each in project.table("optional-dependencies").texts(known[name]):
        more = _SELF.fullmatch(each.strip())
        if more and normal(more.group(1)) == normal(project.text("name")):
            for one in more.group(2).split(","):
                found += _extra(project, one.strip(), (*inside, name))
        else:
            found.append(each)
    return found


def _group(table: Table, group: str, inside: tuple[str, ...]) -> list[str]:
    known = {normal(name): name for name in table.content}
    name = normal(group)
    if name not in known:
        raise NotFound(
            "group", group, f"{table.file} has no dependency group {group}",
            hint=f"it has {', '.join(sorted(known)) or 'none'}",
        )  # fmt: skip
    if name in inside:
        raise InvalidArgument(f"{table.file}: dependency group {group} includes itself")
    found = []
    content = table.content[known[name]]
    if not isinstance(content, list):
        table.wrong(known[name], "a list")
    for each in content:
        if isinstance(each, str):
            found.append(each)
        elif isinstance(each, dict) and list(each) == ["include-group"] and isinstance(each["include-group"], str):
            found += _group(table, each["include-group"], (*inside, name))
        else:
            table.wrong(known[name], "a list of requirements and { include-group = NAME }")
    return found


def _uv(document: Table, requirements: tuple[str, ...]) -> str:
    """What a resolution looks at, as JSON; "" when there is nothing."""
    table = document.table("tool").table("uv")
    kept = {key: table.content[key] for key in _UV if key in table.content}
    names = {name_of(each) for each in requirements}
    sources = {name: each for name, each in table.table("sources").content.items() if normal(name) in names}
    for name, source in sources.items():
        for each in source if isinstance(source, list) else [source]:
            unknown = [key for key in each if key not in _SOURCES] if isinstance(each, dict) else ["?"]
            if unknown:
                raise NotSupported(
                    f"{document.file}: tool.uv.sources.{name} is what a lock cannot keep by hash: {unknown[0]}",
                    hint="name a release of it, or a wheel by its URL",
                )
    kept.pop("sources", None)
    if sources:
        kept["sources"] = sources
    if not kept:
        return ""
    try:
        return fastjson.dumps(kept, sort_keys=True)
    except TypeError:
        raise InvalidArgument(
            f"{document.file}: tool.uv has a date or a number where a resolution needs text"
        ) from None
