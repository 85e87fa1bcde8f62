"""OCI resources in the words of both versions of control groups."""

from __future__ import annotations

from typing import Any

import pytest

from wherry.errors import InvalidArgument, NotSupported
from wherry.linux.cgroup import Layout, v1, v2
from wherry.linux.cgroup.plan import plan
from wherry.linux.cgroup.resources import Write, asked

M = 1 << 20


def pairs(writes: list[Write]) -> list[tuple[str, str]]:
    return [(write.file, write.value) for write in writes]


@pytest.mark.parametrize(
    ("shares", "weight"),
    # The quadratic of opencontainers/cgroups and crun: both ends and the default meet.
    [
        (0, 0),
        (1, 1),
        (2, 1),
        (3, 2),
        (10, 4),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (262143, 10000),
        (262144, 10000),
        (1 << 20, 10000),
    ],
)
def test_weight_from_shares(shares: int, weight: int) -> None:
    assert v2.weight_from_shares(shares) == weight


def test_weight_grows_with_shares() -> None:
    weights = [v2.weight_from_shares(shares) for shares in range(1, 262146, 7)]
    assert weights == sorted(weights)
    assert (weights[0], weights[-1]) == (1, 10000)


@pytest.mark.parametrize(("weight", "converted"), [(0, 0), (10, 1), (500, 4950), (1000, 10000)])
def test_io_weight(weight: int, converted: int) -> None:
    assert v2.io_weight(weight) == converted


@pytest.mark.parametrize(
    ("limit", "swap", "alone"),
    [(0, 0, None), (M, 0, None), (M, M, 0), (M, 3 * M, 2 * M), (M, -1, -1), (-1, -1, -1), (0, -1, -1), (-1, 0, -1)],
)
def test_swap_alone(limit: int, swap: int, alone: int | None) -> None:
    assert v2.swap_limit(swap, limit) == alone


@pytest.mark.parametrize(("limit", "swap"), [(2 * M, M), (0, M), (-1, M)])
def test_swap_that_makes_no_sense(limit: int, swap: int) -> None:
    with pytest.raises(InvalidArgument, match="emory"):
        v2.swap_limit(swap, limit)


V2_CASES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"memory": {"limit": M, "swap": 2 * M}}, [("memory.swap.max", str(M)), ("memory.max", str(M))]),
    ({"memory": {"limit": M, "swap": M}}, [("memory.swap.max", "0"), ("memory.max", str(M))]),
    ({"memory": {"limit": M, "swap": -1}}, [("memory.swap.max", "max"), ("memory.max", str(M))]),
    ({"memory": {"limit": -1}}, [("memory.swap.max", "max"), ("memory.max", "max")]),
    ({"memory": {"reservation": M, "kernel": M, "kernelTCP": M, "swappiness": -1}}, [("memory.low", str(M))]),
    ({"memory": {"reservation": -1, "disableOOMKiller": False}}, [("memory.low", "max")]),
    ({"cpu": {"shares": 1024}}, [("cpu.weight", "100")]),
    ({"cpu": {"shares": 0, "quota": 0, "period": 0}}, []),
    ({"cpu": {"quota": 50000, "period": 100000}}, [("cpu.max", "50000 100000")]),
    ({"cpu": {"quota": 50000}}, [("cpu.max", "50000 100000")]),
    ({"cpu": {"quota": -1}}, [("cpu.max", "max 100000")]),
    ({"cpu": {"period": 20000}}, [("cpu.max", "max 20000")]),
    ({"cpu": {"quota": 1000, "burst": 500}}, [("cpu.max", "1000 100000"), ("cpu.max.burst", "500")]),
    ({"cpu": {"idle": 1, "shares": 512}}, [("cpu.idle", "1")]),
    ({"cpu": {"cpus": "0-1", "mems": "0"}}, [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")]),
    ({"pids": {"limit": 50}}, [("pids.max", "50")]),
    ({"pids": {"limit": -1}}, [("pids.max", "max")]),
    ({"pids": {"limit": 0}}, []),
    ({"pids": None, "memory": None, "cpu": {}}, []),
    ({"blockIO": {"weight": 500}}, [("io.bfq.weight", "500")]),
    ({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 300}]}}, [("io.bfq.weight", "8:0 300")]),
    (
        {
            "blockIO": {
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}],
                "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 2000}],
                "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 30}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}],
            }
        },
        [
            ("io.max", "8:0 rbps=1000"),
            ("io.max", "8:0 wbps=2000"),
            ("io.max", "8:0 riops=30"),
            ("io.max", "8:16 wiops=max"),
        ],
    ),
    (
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * M}]},
        [("hugetlb.2MB.max", str(4 * M)), ("hugetlb.2MB.rsvd.max", str(4 * M))],
    ),
    ({"rdma": {"mlx5_0": {"hcaHandles": 2, "hcaObjects": 0}}}, [("rdma.max", "mlx5_0 hca_handle=2 hca_object=0")]),
    (
        {"pids": {"limit": 5}, "unified": {"pids.max": "9", "io.max": "8:0 rbps=1\n8:16 rbps=2"}},
        [("pids.max", "5"), ("pids.max", "9"), ("io.max", "8:0 rbps=1"), ("io.max", "8:16 rbps=2")],
    ),
]


@pytest.mark.parametrize(("resources", "wanted"), V2_CASES)
def test_v2(resources: dict[str, Any], wanted: list[tuple[str, str]]) -> None:
    assert pairs(v2.writes(resources)) == wanted


def test_v2_io_weight_falls_back() -> None:
    (write,) = v2.writes({"blockIO": {"weight": 500}})
    assert write.otherwise == (("io.weight", "default 4950"),)


@pytest.mark.parametrize(
    ("resources", "word"),
    [
        ({"memory": {"disableOOMKiller": True}}, "--oom-kill-disable"),
        ({"memory": {"swappiness": 10}}, "--memory-swappiness"),
        ({"cpu": {"realtimeRuntime": 5}}, "--cpu-rt-runtime"),
        ({"network": {"classID": 1}}, "classID"),
    ],
)
def test_v2_has_no_such_thing(resources: dict[str, Any], word: str) -> None:
    with pytest.raises(NotSupported, match=word):
        v2.writes(resources)


@pytest.mark.parametrize("file", ["../memory.max", "cgroup.procs", "memory", ".hidden", "a/b.c"])
def test_unified_names_files_of_controllers_only(file: str) -> None:
    with pytest.raises(InvalidArgument):
        v2.writes({"unified": {file: "1"}})


V1_CASES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    (
        {"memory": {"limit": M, "swap": 2 * M}},
        [("memory.limit_in_bytes", str(M)), ("memory.memsw.limit_in_bytes", str(2 * M))],
    ),
    ({"memory": {"limit": -1}}, [("memory.limit_in_bytes", "-1"), ("memory.memsw.limit_in_bytes", "-1")]),
    ({"memory": {"reservation": M, "kernel": M}}, [("memory.soft_limit_in_bytes", str(M))]),
    (
        {"memory": {"disableOOMKiller": True, "swappiness": 0}},
        [("memory.oom_control", "1"), ("memory.swappiness", "0")],
    ),
    (
        {"cpu": {"shares": 512, "quota": 5, "period": 10}},
        [("cpu.shares", "512"), ("cpu.cfs_period_us", "10"), ("cpu.cfs_quota_us", "5")],
    ),
    ({"cpu": {"quota": -1, "cpus": "0"}}, [("cpuset.cpus", "0"), ("cpu.cfs_quota_us", "-1")]),
    ({"cpu": {"realtimePeriod": 9, "realtimeRuntime": 3}}, [("cpu.rt_period_us", "9"), ("cpu.rt_runtime_us", "3")]),
    ({"pids": {"limit": -1}}, [("pids.max", "max")]),
    (
        {"blockIO": {"weight": 500, "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 9}]}},
        [("blkio.weight", "500"), ("blkio.throttle.read_bps_device", "8:1 9")],
    ),
    (
        {"network": {"classID": 7, "priorities": [{"name": "eth0", "priority": 3}]}},
        [("net_cls.classid", "7"), ("net_prio.ifpriomap", "eth0 3")],
    ),
    (
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]},
        [("hugetlb.2MB.limit_in_bytes", "1"), ("hugetlb.2MB.rsvd.limit_in_bytes", "1")],
    ),
]


@pytest.mark.parametrize(("resources", "wanted"), V1_CASES)
def test_v1(resources: dict[str, Any], wanted: list[tuple[str, str]]) -> None:
    assert pairs(v1.writes(resources)) == wanted


@pytest.mark.parametrize(
    ("current", "swap", "first"),
    [
        (M, 8 * M, "memory.memsw.limit_in_bytes"),
        (100 * M, 8 * M, "memory.limit_in_bytes"),
        (M, -1, "memory.memsw.limit_in_bytes"),
    ],
)
def test_v1_memory_is_never_above_memory_and_swap(current: int, swap: int, first: str) -> None:
    assert v1.memory({"limit": 4 * M, "swap": swap}, current)[0].file == first


def test_v1_swap_below_memory() -> None:
    with pytest.raises(InvalidArgument, match="memoryswap"):
        v1.memory({"limit": 2 * M, "swap": M})


def test_v1_swappiness_range() -> None:
    with pytest.raises(InvalidArgument, match="0-100"):
        v1.memory({"swappiness": 101})


def test_what_nobody_asked_for_is_optional() -> None:
    """Docker's implied memory+swap limit must not fail a run on a kernel without swap accounting."""
    for conversion in (v1.memory, v2.memory):
        for swap, optional in ((2 * M, True), (-1, True), (3 * M, False)):
            (write,) = [write for write in conversion({"limit": M, "swap": swap}) if write.resource == "memory.swap"]
            assert write.optional is optional


def test_hybrid_goes_where_the_controller_is() -> None:
    controllers = {"memory": "/m", "cpu": "/c", "cpuset": "/u", "hugetlb": "/u", "io": "/u", "pids": "/p"}
    layout = Layout("hybrid", controllers, "/u", frozenset(("cpuset", "hugetlb", "io")))
    resources = {
        "memory": {"limit": M},
        "cpu": {"shares": 1024, "cpus": "0"},
        "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
        "unified": {"io.latency": "8:0 target=5"},
        "devices": [{"allow": False}],
    }
    assert pairs(plan(layout, resources)) == [
        ("memory.limit_in_bytes", str(M)),
        ("cpu.shares", "1024"),
        ("cpuset.cpus", "0"),
        ("io.max", "8:0 rbps=1"),
        ("hugetlb.2MB.max", "1"),
        ("hugetlb.2MB.rsvd.max", "1"),
        ("io.latency", "8:0 target=5"),
    ]


def test_unified_on_v1() -> None:
    with pytest.raises(NotSupported, match="cgroup v1"):
        plan(Layout("v1", {"memory": "/m"}), {"unified": {"memory.max": "1"}})


@pytest.mark.parametrize(
    ("resources", "names"),
    [
        ({}, []),
        ({"devices": [{"allow": False}]}, []),
        ({"memory": {"limit": -1, "swap": -1, "kernel": 5, "disableOOMKiller": False}, "pids": {"limit": -1}}, []),
        ({"memory": {"limit": 1, "swap": 2}, "cpu": {"cpus": ""}}, ["memory.limit", "memory.swap"]),
        ({"blockIO": {"weightDevice": []}, "hugepageLimits": [], "unified": {"io.max": "1"}}, ["unified.io.max"]),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}, ["hugepageLimits"]),
    ],
)
def test_what_counts_as_a_limit(resources: dict[str, Any], names: list[str]) -> None:
    assert asked(resources) == names
