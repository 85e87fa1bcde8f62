"""Versions that another lock has decided: a ``pylock.toml`` of another program, or a ``uv.lock``.

Nothing is resolved.  What suits the target is chosen by the rules of PEP 751, as `packaging.pylock` has them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.env import resolve, uv, wheel_tags
from wherry.env.inputs.requirements import name_of, normal
from wherry.env.lock import MACHINES, LockedPackage
from wherry.env.resolve import Resolved, Wanted
from wherry.env.spec import Spec
from wherry.env.wheels import missing
from wherry.errors import Conflict, InvalidArgument

if TYPE_CHECKING:
    from packaging.pylock import Pylock

_LIBC_OF_IMAGES = "glibc 2.28"  # what uv takes "linux" for


def select(spec: Spec, wanted: Wanted) -> Resolved:
    """The packages of ``spec.pins`` for the architectures.

    Raises `InvalidArgument` for a lock that does not allow the target or lacks a file for it, `Conflict` for a
    ``uv.lock`` that is not of its project, `NotSupported` for a package without files of a known hash.
    """
    if wanted.upgrade or wanted.upgrade_all:
        raise InvalidArgument(f"the versions are those of {spec.pins}", hint="upgrade there, then lock again")
    path = Path(spec.folder) / spec.pins
    if path.name == "uv.lock":
        text = _exported(spec)
        requires = _requires(tomllib.loads(path.read_text("utf-8")))
    else:
        text, requires = path.read_text("utf-8"), {}
    document = _document(text, spec.pins)
    found = {each: _selected(document, spec, wanted, each, requires) for each in spec.architectures}
    return Resolved(resolve.merge(found), ())


def _document(text: str, name: str) -> Pylock:
    try:
        from packaging.pylock import Pylock, PylockValidationError
    except ImportError:
        raise missing("packaging") from None
    try:
        return Pylock.from_dict(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, PylockValidationError) as error:
        raise InvalidArgument(f"{name} is not a lock of PEP 751: {error}") from None


def _selected(
    document: Pylock, spec: Spec, wanted: Wanted, architecture: str, requires: dict[str, set[str]]
) -> dict[str, LockedPackage]:
    from packaging.pylock import PylockSelectError

    tags = wheel_tags.supported(spec.python, architecture, wanted.libc or _LIBC_OF_IMAGES)
    chosen: dict[str, LockedPackage] = {}
    try:
        for package, found in document.select(
            environment=_environment(wanted.python, architecture),  # type: ignore[arg-type]
            tags=tags,
            extras=spec.extras if not spec.uv_lock else (),
            dependency_groups=(spec.groups or None) if not spec.uv_lock else None,
        ):
            needs = {one["name"] for one in package.dependencies or () if "name" in one} | requires.get(
                package.name, set()
            )
            chosen[package.name] = _package(package, found, needs)
    except PylockSelectError as error:
        raise InvalidArgument(f"{spec.pins} is not for Python {wanted.python} on {architecture}: {error}") from None
    return {
        name: one.replace(requires=tuple(each for each in one.requires if each in chosen))
        for name, one in chosen.items()
    }


def _package(package: Any, found: Any, needs: set[str]) -> LockedPackage:
    table = {key: getattr(found, key, None) for key in ("name", "url", "path", "size")}
    table = {key: each for key, each in table.items() if each} | {"hashes": dict(getattr(found, "hashes", {}))}
    version = str(package.version or "")
    if not getattr(found, "hashes", None):
        return resolve.package({"name": package.name, "version": version}, {})  # raises
    kind = "sdist" if found is package.sdist else "archive" if found is package.archive else "wheels"
    content = [table] if kind == "wheels" else table
    made = resolve.package({"name": package.name, "version": version, kind: content}, {})
    return made.replace(requires=tuple(sorted(needs)))


def _environment(python: str, architecture: str) -> dict[str, str]:
    """The variables of PEP 508 in a container of the target."""
    full = python if python.count(".") == 2 else f"{python}.0"
    return {
        "implementation_name": "cpython", "implementation_version": full, "os_name": "posix",
        "platform_machine": MACHINES[architecture], "platform_python_implementation": "CPython",
        "platform_release": "", "platform_system": "Linux", "platform_version": "",
        "python_full_version": full, "python_version": ".".join(full.split(".")[:2]), "sys_platform": "linux",
    }  # fmt: skip


def _exported(spec: Spec) -> str:
    """A ``uv.lock`` as uv writes it in the form of PEP 751, without the project itself."""
    folder = Path(spec.folder)
    _check_of_project(folder)
    arguments = ["export", "--frozen", "--no-emit-project", "--no-default-groups", "--format", "pylock.toml"]
    for extra in spec.extras:
        arguments += ["--extra", extra]
    for group in spec.groups:
        arguments += ["--group", group]
    return uv.run([*arguments, "--no-header"], str(folder), "read uv.lock", offline=True).output


def _check_of_project(folder: Path) -> None:
    """Holds that a ``uv.lock`` was made for what ``pyproject.toml`` says now.  Raises `Conflict`."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("project", {})
    lock = tomllib.loads((folder / "uv.lock").read_text("utf-8"))
    name = normal(project.get("name", ""))
    own: dict[str, Any] = next((one for one in lock.get("package", []) if one.get("name") == name), {})
    locked = {one["name"] for one in own.get("metadata", {}).get("requires-dist", [])}
    has = list(project.get("dependencies", []))
    for each in project.get("optional-dependencies", {}).values():
        has += each
    names = {name_of(each) for each in has} - {name}
    changed = sorted(names ^ (locked - {name})) + _changed_ranges(has, own)
    if own and changed:
        raise Conflict(
            f"uv.lock is not of this pyproject.toml: it has another {', '.join(dict.fromkeys(changed))}",
            hint="'uv lock' makes it so",
        )


def _changed_ranges(has: list[str], own: dict[str, Any]) -> list[str]:
    """Names whose range of versions is another one in the lock."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.specifiers import SpecifierSet

    locked: dict[str, set[SpecifierSet]] = {}
    for one in own.get("metadata", {}).get("requires-dist", []):
        locked.setdefault(one["name"], set()).add(SpecifierSet(one.get("specifier", "")))
    changed = []
    for each in has:
        try:
            requirement = Requirement(each)
        except InvalidRequirement as error:
            raise InvalidArgument(f"pyproject.toml: {error}") from None
        name = normal(requirement.name)
        if name in locked and requirement.specifier not in locked[name]:
            changed.append(name)
    return changed


def _requires(lock: dict[str, Any]) -> dict[str, set[str]]:
    """What each package of a ``uv.lock`` depends on, by name."""
    found: dict[str, set[str]] = {}
    for one in lock.get("package", []):
        needs = found.setdefault(one["name"], set())
        for each in (one.get("dependencies", []), *one.get("optional-dependencies", {}).values()):
            needs.update(dependency["name"] for dependency in each)
    return found
