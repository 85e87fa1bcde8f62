"""Which version of control groups each limit goes to on this host."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.linux.cgroup.layout import Layout
    from wherry.linux.cgroup.resources import Resources, Write

_GROUP_CONTROLLERS = {
    "memory": ("memory",),
    "pids": ("pids",),
    "hugepageLimits": ("hugetlb",),
    "rdma": ("rdma",),
    "blockIO": ("blkio", "io"),
    "network": ("net_cls", "net_prio"),
}


def plan(layout: Layout, resources: Resources, current_memory: int | None = None) -> list[Write]:
    """The writes for this host, each limit in the words of the version that carries its controller.  Pure."""
    if layout.version == "v2":
        from wherry.linux.cgroup import v2

        return v2.writes(resources)
    from wherry.linux.cgroup import v1

    if layout.version == "v1":
        v1.refuse_unified(resources)
        return v1.writes(resources, current_memory)
    old: dict[str, object] = {}
    new: dict[str, object] = {}
    for group, members in resources.items():
        if group in ("devices", "cpu"):
            continue
        carriers = [layout.carrier(name) for name in _GROUP_CONTROLLERS.get(group, ())]
        (new if group == "unified" or "v2" in carriers else old)[group] = members
    for member, value in (resources.get("cpu") or {}).items():
        part = new if layout.carrier("cpuset" if member in ("cpus", "mems") else "cpu") == "v2" else old
        part["cpu"] = {**part.get("cpu", {}), member: value}  # type: ignore[dict-item]
    if not new:
        return v1.writes(old, current_memory)
    from wherry.linux.cgroup import v2

    return v1.writes(old, current_memory) + v2.writes(new)
