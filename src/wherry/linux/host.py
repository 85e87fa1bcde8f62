"""Facts about this host and this process that decide how a container is made."""

from __future__ import annotations

import os

from wherry.linux import capabilities as caps
from wherry.linux.syscall import MACHINE
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.linux.cgroup import Layout


class Host(Record):
    """A host as one process sees it.

    ``privileged``: root (with CAP_SYS_ADMIN) of the initial user namespace.  ``capabilities`` is the permitted and
    ``bounding`` the bounding set as bit masks.  ``interpreter_owner`` owns the file of the running interpreter.
    """

    euid: int
    egid: int
    kernel: tuple[int, int]
    machine: str
    privileged: bool
    capabilities: int
    bounding: int
    interpreter_owner: int
    apparmor: bool
    selinux: bool
    cgroups: Layout


def probe() -> Host:
    """Look at the host.  Cheap (under half a millisecond) and never raises for what is merely missing."""
    from wherry.linux import cgroup

    permitted = caps.own_permitted()
    euid = os.geteuid()
    return Host(
        euid=euid,
        egid=os.getegid(),
        kernel=kernel_version(os.uname().release),
        machine=MACHINE,
        privileged=euid == 0 and bool(permitted >> caps.NUMBERS["CAP_SYS_ADMIN"] & 1) and _initial_user_namespace(),
        capabilities=permitted,
        bounding=caps.bounding(),
        interpreter_owner=_owner("/proc/self/exe"),
        apparmor=_first("/sys/module/apparmor/parameters/enabled") == "Y",
        selinux=os.path.exists("/sys/fs/selinux/enforce"),
        cgroups=cgroup.detect(),
    )


def kernel_version(release: str) -> tuple[int, int]:
    """``6.18.1-custom`` → (6, 18); (0, 0) for what does not look like a release."""
    major, _, rest = release.partition(".")
    minor = ""
    for character in rest:
        if not character.isdecimal():
            break
        minor += character
    return (int(major), int(minor or 0)) if major.isdecimal() else (0, 0)


def _initial_user_namespace() -> bool:
    return _first("/proc/self/uid_map").split() == ["0", "0", "4294967295"]


def _owner(path: str) -> int:
    try:
        return os.stat(path).st_uid
    except OSError:
        return 0


def _first(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, 256).decode("ascii", "replace").strip()
    finally:
        os.close(descriptor)
