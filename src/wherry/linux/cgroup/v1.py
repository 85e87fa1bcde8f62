"""``linux.resources`` as writes for the v1 controllers (admin-guide/cgroup-v1/)."""

from __future__ import annotations

from wherry.errors import InvalidArgument, NotSupported
from wherry.linux.cgroup.resources import Write, option_of, rdma

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.linux.cgroup.resources import Resources

_THROTTLES = (
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
)


def memory(wanted: dict[str, Any], current: int | None = None) -> list[Write]:
    """Limits of memory, in an order that the kernel takes.

    ``current`` is the present memory.limit_in_bytes when a group is updated: memory must never be above
    memory+swap, so that growing writes memory+swap first and shrinking writes it last.  Kernel memory limits are
    deprecated in every supported kernel and are ignored, as runc does.
    """
    limit, swap = wanted.get("limit") or 0, wanted.get("swap") or 0
    implied = not swap or swap == 2 * limit
    if limit == -1 and not swap:
        swap = -1
    if limit > 0 and 0 < swap < limit:
        raise InvalidArgument("Minimum memoryswap limit should be larger than memory limit, see usage")
    writes = []
    if limit:
        writes.append(Write("memory", "memory.limit_in_bytes", str(limit), "memory.limit"))
    if swap:
        optional = swap == -1 or implied
        line = Write("memory", "memory.memsw.limit_in_bytes", str(swap), "memory.swap", (), optional)
        first = limit and current is not None and (swap == -1 or current < swap)
        writes.insert(0 if first else len(writes), line)
    reservation = wanted.get("reservation") or 0
    if reservation:
        writes.append(Write("memory", "memory.soft_limit_in_bytes", str(reservation), "memory.reservation"))
    if wanted.get("disableOOMKiller"):
        writes.append(Write("memory", "memory.oom_control", "1", "memory.disableOOMKiller"))
    swappiness = wanted.get("swappiness")
    if swappiness is not None and swappiness != -1 and swappiness != 2**64 - 1:
        if not 0 <= swappiness <= 100:
            raise InvalidArgument(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
        writes.append(Write("memory", "memory.swappiness", str(swappiness), "memory.swappiness"))
    return writes


def cpu(wanted: dict[str, Any]) -> list[Write]:
    """Shares, quota, period, real-time budget; the period comes before the quota that is measured in it."""
    writes = []
    for member, file in (
        ("shares", "cpu.shares"),
        ("realtimePeriod", "cpu.rt_period_us"),
        ("realtimeRuntime", "cpu.rt_runtime_us"),
        ("period", "cpu.cfs_period_us"),
        ("quota", "cpu.cfs_quota_us"),
        ("burst", "cpu.cfs_burst_us"),
    ):
        value = wanted.get(member)
        if value:
            writes.append(Write("cpu", file, str(value), f"cpu.{member}"))
    if wanted.get("idle") is not None:
        writes.append(Write("cpu", "cpu.idle", str(wanted["idle"]), "cpu.idle"))
    return writes


def cpuset(wanted: dict[str, Any]) -> list[Write]:
    """CPUs and memory nodes; what is not given is inherited when the group is made."""
    return [
        Write("cpuset", f"cpuset.{member}", wanted[member], f"cpu.{member}")
        for member in ("cpus", "mems")
        if wanted.get(member)
    ]


def block(wanted: dict[str, Any]) -> list[Write]:
    """Weights (BFQ's file where the kernel has no other) and throttles."""
    writes = []
    if wanted.get("weight"):
        resource, value = "blockIO.weight", str(wanted["weight"])
        writes.append(Write("blkio", "blkio.weight", value, resource, (("blkio.bfq.weight", value),)))
    if wanted.get("leafWeight"):
        writes.append(Write("blkio", "blkio.leaf_weight", str(wanted["leafWeight"]), "blockIO.leafWeight"))
    for device in wanted.get("weightDevice") or ():
        number, resource = f"{device['major']}:{device['minor']}", "blockIO.weightDevice"
        for member, file in (("weight", "blkio.weight_device"), ("leafWeight", "blkio.leaf_weight_device")):
            if device.get(member):
                value = f"{number} {device[member]}"
                others = (("blkio.bfq.weight_device", value),) if member == "weight" else ()
                writes.append(Write("blkio", file, value, resource, others))
    for member, file in _THROTTLES:
        for device in wanted.get(member) or ():
            value = f"{device['major']}:{device['minor']} {device['rate']}"
            writes.append(Write("blkio", file, value, f"blockIO.{member}"))
    return writes


def other(resources: Resources) -> list[Write]:
    """Processes, huge pages, network classes, RDMA."""
    writes = []
    pids = (resources.get("pids") or {}).get("limit")
    if pids:
        writes.append(Write("pids", "pids.max", str(pids) if pids > 0 else "max", "pids.limit"))
    for huge in resources.get("hugepageLimits") or ():
        size, value = huge["pageSize"], str(huge["limit"])
        writes.append(Write("hugetlb", f"hugetlb.{size}.limit_in_bytes", value, "hugepageLimits"))
        writes.append(Write("hugetlb", f"hugetlb.{size}.rsvd.limit_in_bytes", value, "hugepageLimits", (), True))
    network = resources.get("network") or {}
    if network.get("classID"):
        writes.append(Write("net_cls", "net_cls.classid", str(network["classID"]), "network.classID"))
    for priority in network.get("priorities") or ():
        value = f"{priority['name']} {priority['priority']}"
        writes.append(Write("net_prio", "net_prio.ifpriomap", value, "network.priorities"))
    for device, limits in (resources.get("rdma") or {}).items():
        writes.append(rdma(device, limits))
    return writes


def writes(resources: Resources, current_memory: int | None = None) -> list[Write]:
    """Everything but devices.  Raises `InvalidArgument`, and `NotSupported` for what only v2 has."""
    found: list[Write] = []
    if resources.get("memory"):
        found += memory(resources["memory"], current_memory)
    if resources.get("cpu"):
        found += cpuset(resources["cpu"]) + cpu(resources["cpu"])
    if resources.get("blockIO"):
        found += block(resources["blockIO"])
    return found + other(resources)


def refuse_unified(resources: Resources) -> None:
    """``unified`` names files of cgroup v2.  Raises `NotSupported`."""
    if resources.get("unified"):
        raise NotSupported(f"{option_of('unified')}: settings of cgroup v2 on a host with cgroup v1")
