"""Limits as a list of writes: what the conversions for v1 and v2 produce and `group` carries out.

The words of errors are here too: a limit that cannot be set is reported by the option that asked for it.
"""

from __future__ import annotations

import errno

from wherry.errors import Conflict, InvalidArgument, NotSupported, SystemFailure, WherryError
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    #: ``linux.resources`` of the OCI runtime spec (config-linux.md, "Control groups").
    Resources = Mapping[str, Any]

#: Which option of ``run`` a member of ``linux.resources`` comes from.
OPTIONS = {
    "memory.limit": "--memory",
    "memory.reservation": "--memory-reservation",
    "memory.swap": "--memory-swap",
    "memory.swappiness": "--memory-swappiness",
    "memory.disableOOMKiller": "--oom-kill-disable",
    "cpu.shares": "--cpu-shares",
    "cpu.quota": "--cpus/--cpu-quota",
    "cpu.period": "--cpu-period",
    "cpu.burst": "cpu.burst",
    "cpu.idle": "cpu.idle",
    "cpu.realtimeRuntime": "--cpu-rt-runtime",
    "cpu.realtimePeriod": "--cpu-rt-period",
    "cpu.cpus": "--cpuset-cpus",
    "cpu.mems": "--cpuset-mems",
    "pids.limit": "--pids-limit",
    "blockIO.weight": "--blkio-weight",
    "blockIO.weightDevice": "--blkio-weight-device",
    "blockIO.throttleReadBpsDevice": "--device-read-bps",
    "blockIO.throttleWriteBpsDevice": "--device-write-bps",
    "blockIO.throttleReadIOPSDevice": "--device-read-iops",
    "blockIO.throttleWriteIOPSDevice": "--device-write-iops",
    "devices": "--device-cgroup-rule",
}


class Write(Record):
    """One value for one file of one controller.

    ``resource`` names the member of ``linux.resources`` it comes from.  ``otherwise`` are files and values to try in
    turn where the kernel does not have ``file``; ``optional`` writes are skipped when there is none at all.
    """

    controller: str
    file: str
    value: str
    resource: str
    otherwise: tuple[tuple[str, str], ...] = ()
    optional: bool = False


def option_of(resource: str, options: Mapping[str, str] | None = None) -> str:
    """What the person typed to get this resource; the OCI name itself where no option exists."""
    if options and resource in options:
        return options[resource]
    return OPTIONS.get(resource, resource)


def missing(write: Write, options: Mapping[str, str] | None = None) -> NotSupported:
    """The kernel or the host does not have the controller or the file."""
    return NotSupported(
        f"{option_of(write.resource, options)} cannot be set: this host has no {write.controller} cgroup "
        f"controller with {write.file}",
        hint="the kernel was built or started without it, or it is not mounted",
    )


def unprivileged(resource: str, options: Mapping[str, str] | None = None, why: str = "") -> NotSupported:
    """The caller may not set limits here."""
    return NotSupported(
        f"{option_of(resource, options)} cannot be set: {why or 'no cgroup is delegated to this user'}",
        hint="run it as root, or in a delegated cgroup: systemd-run --user --scope -p Delegate=yes wherry …",
    )


def failure(write: Write, error: OSError, options: Mapping[str, str] | None = None) -> WherryError:
    """What a failed write means for the person who asked."""
    option = option_of(write.resource, options)
    number = error.errno or 0
    if number in (errno.EINVAL, errno.ERANGE, errno.E2BIG, errno.ENODEV, errno.ENXIO):
        return InvalidArgument(f"{option}: the kernel refuses {write.value!r} for {write.file}")
    if number == errno.EBUSY:
        return Conflict(f"{option}: {write.file} cannot be set to {write.value}: in use")
    if number in (errno.EPERM, errno.EACCES, errno.EROFS):
        return unprivileged(write.resource, options, f"{write.file} is not writable")
    return SystemFailure(f"{option}: setting {write.file} to {write.value!r}", "write", number)


def rdma(device: str, limits: dict[str, Any]) -> Write:
    """rdma.max has one form in both versions."""
    parts = [
        f"{key}={limits[member]}"
        for member, key in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object"))
        if limits.get(member) is not None
    ]
    return Write("rdma", "rdma.max", " ".join([device, *parts]), "rdma")


def asked(resources: Resources) -> list[str]:
    """The members of ``linux.resources`` that ask for a limit, as ``group.member``; device rules do not count."""
    found = []
    for group, members in resources.items():
        if group == "devices" or not members:
            continue
        if group == "hugepageLimits" or not isinstance(members, dict):
            found.append(group)
            continue
        for member, value in members.items():
            name = f"{group}.{member}"
            if name not in _NO_LIMIT and value not in (None, 0, "", [], False) and value != _UNLIMITED.get(name):
                found.append(name)
    return found


_NO_LIMIT = frozenset(
    ("memory.kernel", "memory.kernelTCP", "memory.useHierarchy", "memory.checkBeforeUpdate", "cpu.period")
)
_UNLIMITED = {
    "memory.limit": -1,
    "memory.swap": -1,
    "memory.reservation": -1,
    "memory.swappiness": -1,
    "cpu.quota": -1,
    "pids.limit": -1,
}
