"""From a profile in Docker's format to ``linux.seccomp`` of the OCI runtime spec.

Docker's format adds to OCI's that a rule can depend on the container's capabilities, the architecture and the
kernel's version (``includes``, ``excludes``), and ``archMap``.  The default profile is Docker's own, as data
(``wherry/data/seccomp.json``, from github.com/moby/profiles, Apache-2.0).
"""

from __future__ import annotations

import os

from wherry import fastjson
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any

    #: ``linux.seccomp`` of the OCI runtime spec.
    Profile = dict[str, Any]
    #: A kernel's version, ``(6, 12)`` or longer.
    Version = tuple[int, ...]

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "data")

#: `uname -m` → the name in ``archMap``, the name in ``includes.arches``.
ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "amd64"),
    "i386": ("SCMP_ARCH_X86", "x86"),
    "i686": ("SCMP_ARCH_X86", "x86"),
    "aarch64": ("SCMP_ARCH_AARCH64", "arm64"),
    "armv7l": ("SCMP_ARCH_ARM", "arm"),
    "armv8l": ("SCMP_ARCH_ARM", "arm"),
    "riscv64": ("SCMP_ARCH_RISCV64", "riscv64"),
    "ppc64le": ("SCMP_ARCH_PPC64LE", "ppc64le"),
    "s390x": ("SCMP_ARCH_S390X", "s390x"),
    "loongarch64": ("SCMP_ARCH_LOONGARCH64", "loongarch64"),
}

_COMMON = ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")
_CALL = ("action", "errnoRet", "args")


def docker_default(capabilities: Iterable[str], arch: str = "", kernel: Version | None = None) -> Profile:
    """Docker's default profile for a container whose bounding set is ``capabilities`` (``CAP_CHOWN`` ...).

    ``arch`` is as `uname -m` says it and ``kernel`` the running version; both are this machine's by default.
    """
    fd = os.open(os.path.join(DATA, "seccomp.json"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(fd, 1 << 20)
    finally:
        os.close(fd)
    found = resolve(fastjson.loads(content), frozenset(capabilities), arch, kernel)
    assert found is not None
    return found


def load_profile(
    text: str | bytes, capabilities: Iterable[str], arch: str = "", kernel: Version | None = None
) -> Profile | None:
    """A profile file in Docker's format (OCI's is a subset of it).  None: the profile asks for no filter at all.

    Raises `InvalidArgument` in Docker's words.
    """
    try:
        document = fastjson.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"Decoding seccomp profile failed: {error}") from error
    if not isinstance(document, dict):
        raise InvalidArgument("Decoding seccomp profile failed: it is not a JSON object")
    _check(document)
    return resolve(document, frozenset(capabilities), arch, kernel)


def resolve(
    document: dict[str, Any], capabilities: Collection[str], arch: str, kernel: Version | None
) -> Profile | None:
    """Apply conditions: the rules that hold for this container on this machine, in order."""
    if not document.get("defaultAction") and not document.get("syscalls"):
        return None
    if document.get("architectures") and document.get("archMap"):
        raise InvalidArgument(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or "
            "'archMap'"
        )
    if not arch or kernel is None:
        names = os.uname()
        arch = arch or names.machine
        kernel = kernel or version(names.release)
    official, native = ARCHITECTURES.get(arch, ("", arch))
    found: Profile = {key: document[key] for key in _COMMON if document.get(key) is not None}
    architectures = list(document.get("architectures") or ())
    for entry in document.get("archMap") or ():
        if entry.get("architecture") == official:
            architectures = [official, *(entry.get("subArchitectures") or ())]
    if architectures:
        found["architectures"] = architectures
    calls = []
    for rule in document.get("syscalls") or ():
        if _holds(rule, capabilities, native, kernel):
            names_given = rule.get("names") or ([rule["name"]] if rule.get("name") else [])
            call = {"names": names_given}
            for key in _CALL:
                if rule.get(key) is not None and rule[key] != []:
                    call[key] = rule[key]
            calls.append(call)
    found["syscalls"] = calls
    return found


def _holds(rule: dict[str, Any], capabilities: Collection[str], native: str, kernel: Version) -> bool:
    """All of ``includes`` and none of ``excludes``."""
    unless, when = rule.get("excludes"), rule.get("includes")
    if unless:
        if native in (unless.get("arches") or ()):
            return False
        for name in unless.get("caps") or ():
            if name in capabilities:
                return False
        if unless.get("minKernel") and kernel >= version(unless["minKernel"]):
            return False
    if when:
        if when.get("arches") and native not in when["arches"]:
            return False
        for name in when.get("caps") or ():
            if name not in capabilities:
                return False
        if when.get("minKernel") and kernel < version(when["minKernel"]):
            return False
    return True


def version(text: str) -> Version:
    """``6.12.3-cloud`` → (6, 12).  Raises `InvalidArgument`."""
    major, _, rest = text.partition(".")
    digits = 0
    while digits < len(rest) and rest[digits].isdigit():
        digits += 1
    if not major.isdigit() or not digits:
        raise InvalidArgument(f"invalid kernel version: {text}, it must be <kernel>.<major>")
    return int(major), int(rest[:digits])


def _check(document: dict[str, Any]) -> None:
    """The shapes that the rest relies on: documents come from people."""
    _want(document, "", {"defaultAction": str, "defaultErrnoRet": int, "syscalls": list, "archMap": list})
    _want(document, "", {"architectures": list, "flags": list, "listenerPath": str, "listenerMetadata": str})
    for place, entry in enumerate(document.get("archMap") or ()):
        _want(entry, f"archMap[{place}].", {"architecture": str, "subArchitectures": list})
    for place, rule in enumerate(document.get("syscalls") or ()):
        where = f"syscalls[{place}]."
        _want(rule, where, {"names": list, "name": str, "action": str, "errnoRet": int, "args": list})
        _want(rule, where, {"includes": dict, "excludes": dict})
        if rule.get("name") and rule.get("names"):
            raise InvalidArgument(
                "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'"
            )
        for name in rule.get("names") or ():
            if not isinstance(name, str):
                raise InvalidArgument(f"Decoding seccomp profile failed: {where}names holds something not a string")
        for index, argument in enumerate(rule.get("args") or ()):
            _want(argument, f"{where}args[{index}].", {"index": int, "value": int, "valueTwo": int, "op": str})
        for key in ("includes", "excludes"):
            if rule.get(key):
                _want(rule[key], f"{where}{key}.", {"caps": list, "arches": list, "minKernel": str})


def _want(value: Any, where: str, kinds: dict[str, type]) -> None:
    if not isinstance(value, dict):
        raise InvalidArgument(f"Decoding seccomp profile failed: {where.rstrip('.')} is not an object")
    for key, kind in kinds.items():
        found = value.get(key)
        if found is not None and (not isinstance(found, kind) or isinstance(found, bool)):
            raise InvalidArgument(f"Decoding seccomp profile failed: {where}{key} is not of type {kind.__name__}")
