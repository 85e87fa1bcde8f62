"""Why a package is in an environment: who requires it, up to what was asked for."""

from __future__ import annotations

from wherry.env.debian.package import DebianBase
from wherry.env.inputs.requirements import name_of, normal
from wherry.env.lock import Lock
from wherry.errors import NotFound
from wherry.record import Record


class Reason(Record):
    """A package; ``asked`` says what people have asked for it, ``by`` are the packages that require it.

    A package that is shown in full elsewhere in the same tree is ``repeated`` and has no ``by`` of its own.
    """

    name: str
    version: str
    asked: tuple[str, ...]
    by: tuple[Reason, ...]
    repeated: bool = False


def why(lock: Lock, name: str, architecture: str) -> Reason:
    """The tree of reasons, or for a package of Debian's what there is to say.  Raises `NotFound`."""
    packages = {one.name: one for one in lock.of(architecture)}
    wanted = normal(name)
    if wanted in packages:
        parents: dict[str, list[str]] = {}
        for one in packages.values():
            for child in one.requires:
                parents.setdefault(child, []).append(one.name)
        return _tree(lock, {one.name: one.version for one in packages.values()}, parents, wanted, set())
    if isinstance(lock.base, DebianBase):
        for deb in lock.base.of(architecture):
            if deb.name == name:
                return Reason(name, deb.version, (_of_base(lock.base, name),), ())
    raise NotFound(
        "package", name, f"{name} is not in the environment for {architecture}", hint=_hint(wanted, list(packages))
    )


def lines(reason: Reason, indent: str = "") -> list[str]:
    """The tree as text."""
    found = [f"{reason.name} {reason.version}"]
    children: list[list[str]] = [[each] for each in reason.asked]
    children += [lines(each) for each in reason.by]
    if reason.repeated:
        found[0] += " (see above)"
    for number, child in enumerate(children):
        last = number == len(children) - 1
        found.append(f"{'└── ' if last else '├── '}{child[0]}")
        found += [f"{'    ' if last else '│   '}{line}" for line in child[1:]]
    return [indent + line for line in found]


def _tree(lock: Lock, versions: dict[str, str], parents: dict[str, list[str]], name: str, seen: set[str]) -> Reason:
    asked = tuple(f"asked for: {each}" for each in lock.requirements if name_of(each) == name)
    if name in seen:
        return Reason(name, versions[name], (), (), repeated=True)
    seen.add(name)
    by = tuple(_tree(lock, versions, parents, each, seen) for each in sorted(parents.get(name, [])))
    return Reason(name, versions[name], asked, by)


def _of_base(base: DebianBase, name: str) -> str:
    if name in base.system:
        return f"asked for: {name}, under system"
    more = f", {', '.join(base.system)}" if base.system else ""
    return f"of the base debian:{base.release}: one of what Python and the least system need{more}"


def _hint(name: str, names: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, names, 3)
    return f"there is {', '.join(close)}" if close else ""
