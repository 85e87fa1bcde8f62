"""``linux.resources`` as writes for cgroup v2 (admin-guide/cgroup-v2.rst).

The resources are v1's words; the conversions are those that OCI runtimes agree on.
"""

from __future__ import annotations

from wherry.errors import InvalidArgument, NotSupported
from wherry.linux.cgroup.resources import Write, option_of, rdma

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.linux.cgroup.resources import Resources

_THROTTLES = (
    ("throttleReadBpsDevice", "rbps"),
    ("throttleWriteBpsDevice", "wbps"),
    ("throttleReadIOPSDevice", "riops"),
    ("throttleWriteIOPSDevice", "wiops"),
)


def weight_from_shares(shares: int) -> int:
    """cpu.weight (1 to 10,000, default 100) for v1's cpu.shares (2 to 262,144, default 1,024); 0 stays 0, "not set".

    A quadratic in the logarithm that meets both ends and maps default to default.  The straight line that runtimes
    used before gave a default container 39, well below the host's own services.
    """
    if shares <= 0:
        return 0
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    from math import ceil, log2

    power = log2(shares)
    return ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def io_weight(weight: int) -> int:
    """io.weight (1 to 10,000) for v1's blkio.weight (10 to 1,000); 0 stays 0."""
    return 1 + (weight - 10) * 9999 // 990 if weight else 0


def swap_limit(swap: int, limit: int) -> int | None:
    """Swap alone, from memory+swap: None is "not set", -1 is unlimited."""
    if limit == -1 and not swap:
        return -1
    if swap in (0, -1):
        return swap or None
    if limit in (0, -1):
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit, see usage")
    if swap < limit:
        raise InvalidArgument("Minimum memoryswap limit should be larger than memory limit, see usage")
    return swap - limit


def _limit(value: int) -> str:
    return "max" if value == -1 else str(value)


def memory(wanted: dict[str, Any]) -> list[Write]:
    """memory.max, memory.swap.max, memory.low.  Kernel memory is part of memory.max and has no limit of its own."""
    limit, swap = wanted.get("limit") or 0, wanted.get("swap") or 0
    writes = []
    alone = swap_limit(swap, limit)
    if alone is not None:
        # Without a swap file in the kernel there is nothing to forbid, and nothing to lift.
        optional = alone in (0, -1) or swap == 2 * limit
        writes.append(Write("memory", "memory.swap.max", _limit(alone), "memory.swap", (), optional))
    if limit:
        writes.append(Write("memory", "memory.max", _limit(limit), "memory.limit"))
    reservation = wanted.get("reservation") or 0
    if reservation:
        writes.append(Write("memory", "memory.low", _limit(reservation), "memory.reservation"))
    if wanted.get("disableOOMKiller"):
        raise NotSupported(f"{option_of('memory.disableOOMKiller')}: cgroup v2 has no way to switch the OOM killer off")
    swappiness = wanted.get("swappiness")
    if swappiness is not None and swappiness != -1 and swappiness != 2**64 - 1:
        raise NotSupported(f"{option_of('memory.swappiness')}: cgroup v2 has no swappiness per group")
    return writes


def cpu(wanted: dict[str, Any]) -> list[Write]:
    """cpu.weight, cpu.max, cpu.max.burst, cpu.idle."""
    writes = []
    for member in ("realtimeRuntime", "realtimePeriod"):
        if wanted.get(member):
            raise NotSupported(f"{option_of('cpu.' + member)}: cgroup v2 has no real-time budget")
    if wanted.get("idle") is not None:
        writes.append(Write("cpu", "cpu.idle", str(wanted["idle"]), "cpu.idle"))
    weight = weight_from_shares(wanted.get("shares") or 0)
    if weight and not wanted.get("idle"):
        writes.append(Write("cpu", "cpu.weight", str(weight), "cpu.shares"))
    quota, period = wanted.get("quota") or 0, wanted.get("period") or 0
    if quota or period:
        value = f"{quota if quota > 0 else 'max'} {period or 100000}"
        writes.append(Write("cpu", "cpu.max", value, "cpu.quota" if quota else "cpu.period"))
    if wanted.get("burst") is not None:
        writes.append(Write("cpu", "cpu.max.burst", str(wanted["burst"]), "cpu.burst"))
    for member in ("cpus", "mems"):
        if wanted.get(member):
            writes.append(Write("cpuset", f"cpuset.{member}", wanted[member], f"cpu.{member}"))
    return writes


def block(wanted: dict[str, Any]) -> list[Write]:
    """BFQ takes v1's weight as it is; io.weight has a range of its own."""
    writes = []
    weight = wanted.get("weight")
    if weight:
        plain = ("io.weight", f"default {io_weight(weight)}")
        writes.append(Write("io", "io.bfq.weight", str(weight), "blockIO.weight", (plain,)))
    for device in wanted.get("weightDevice") or ():
        if device.get("weight"):
            number, resource = f"{device['major']}:{device['minor']}", "blockIO.weightDevice"
            writes.append(Write("io", "io.bfq.weight", f"{number} {device['weight']}", resource))
    for member, key in _THROTTLES:
        for device in wanted.get(member) or ():
            value = f"{device['major']}:{device['minor']} {key}={device['rate'] or 'max'}"
            writes.append(Write("io", "io.max", value, f"blockIO.{member}"))
    return writes


def other(resources: Resources) -> list[Write]:
    """Processes, huge pages, RDMA."""
    writes = []
    pids = (resources.get("pids") or {}).get("limit")
    if pids:
        writes.append(Write("pids", "pids.max", str(pids) if pids > 0 else "max", "pids.limit"))
    for huge in resources.get("hugepageLimits") or ():
        size, value = huge["pageSize"], str(huge["limit"])
        writes.append(Write("hugetlb", f"hugetlb.{size}.max", value, "hugepageLimits"))
        writes.append(Write("hugetlb", f"hugetlb.{size}.rsvd.max", value, "hugepageLimits", (), True))
    network = resources.get("network") or {}
    if network.get("classID") or network.get("priorities"):
        raise NotSupported("network.classID and network.priorities: cgroup v2 has no network classes")
    for device, limits in (resources.get("rdma") or {}).items():
        writes.append(rdma(device, limits))
    return writes


def unified(wanted: dict[str, str]) -> list[Write]:
    """Files given by name, after everything else so that they win; each line is one write."""
    writes = []
    for file, value in wanted.items():
        if "/" in file or "." not in file or file.startswith((".", "cgroup.")):
            raise InvalidArgument(f"unified resource {file!r} must be the name of a controller's file")
        for line in value.splitlines() or [value]:
            writes.append(Write(file.partition(".")[0], file, line, f"unified.{file}"))
    return writes


def writes(resources: Resources) -> list[Write]:
    """Everything but devices.  Raises `InvalidArgument`, and `NotSupported` for what only v1 has."""
    found: list[Write] = []
    if resources.get("memory"):
        found += memory(resources["memory"])
    if resources.get("cpu"):
        found += cpu(resources["cpu"])
    if resources.get("blockIO"):
        found += block(resources["blockIO"])
    found += other(resources)
    if resources.get("unified"):
        found += unified(resources["unified"])
    return found
