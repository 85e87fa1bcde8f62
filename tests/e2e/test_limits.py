"""Limits as the kernel enforces them."""

from __future__ import annotations

import uuid

import pytest

from support import leaks
from support.command import Wherry


@pytest.mark.needs("root", "cgroup-v1")
def test_limits_are_in_force_on_v1(as_root: Wherry) -> None:
    """Read inside, through the container's own view of its cgroups."""
    script = (
        "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us"
        " cpu/cpu.shares pids/pids.max cpuset/cpuset.cpus memory/memory.soft_limit_in_bytes"
    )
    out = as_root.ok("run", "--rm", "-m", "256m", "--cpus", ".5", "--cpu-shares", "512", "--pids-limit", "77",
                     "--cpuset-cpus", "0", "--memory-reservation", "128m", "busybox", "sh", "-c", script)  # fmt: skip
    assert out.split() == ["268435456", "50000", "100000", "512", "77", "0", "134217728"]


@pytest.mark.needs("root")
def test_an_out_of_memory_kill_is_seen_as_one(as_root: Wherry) -> None:
    container = "t-" + uuid.uuid4().hex[:12]
    result = as_root("run", "--name", container, "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c",
                     "exec tail /dev/zero")  # fmt: skip
    assert result.code == 137
    assert as_root.ok("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", container) == "true 137\n"
    as_root.ok("rm", container)


@pytest.mark.needs("root")
def test_the_number_of_processes_is_limited(as_root: Wherry) -> None:
    result = as_root("run", "--rm", "--pids-limit", "5", "busybox", "sh", "-c",
                     "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait")  # fmt: skip
    assert "fork" in result.err


@pytest.mark.needs("root")
def test_shm_has_the_size_of_the_memory_limit(as_root: Wherry) -> None:
    out = as_root.ok("run", "--rm", "-m", "256m", "busybox", "sh", "-c", "df -k /dev/shm | awk 'NR==2{print $2}'")
    assert out.strip() == "262144"


@pytest.mark.needs("root")
def test_a_cgroup_parent(as_root: Wherry) -> None:
    parent = "wherry-test-" + uuid.uuid4().hex[:8]
    out = as_root.ok(
        "run", "--rm", "--cgroupns", "host", "--cgroup-parent", f"/{parent}", "busybox", "cat", "/proc/self/cgroup"
    )
    assert f"/{parent}/" in out
    leaks.remove_cgroups(parent)  # Docker leaves a parent, too


def test_a_limit_that_cannot_be_set_rootless_is_refused_by_name(as_user: Wherry) -> None:
    """Nobody has delegated a cgroup to the tests' user."""
    before = as_user.ok("ps", "-a", "-q")
    result = as_user("run", "--rm", "-m", "64m", "busybox", "true")
    assert result.code == 125
    assert "--memory" in result.err
    assert as_user.ok("ps", "-a", "-q") == before


@pytest.mark.needs("root")
def test_device_rules(as_root: Wherry) -> None:
    """The device cgroup, seen where it alone decides: a node made in a container that may make nodes."""
    options = ("--userns", "host", "--cap-add", "MKNOD")
    script = "mknod /x c 1 9 && cat /x | head -c 1 | wc -c; mknod /y c 10 229; cat /y"
    result = as_root("run", "--rm", *options, "busybox", "sh", "-c", script)
    assert result.out.split()[0] == "1"
    assert "Operation not permitted" in result.err
