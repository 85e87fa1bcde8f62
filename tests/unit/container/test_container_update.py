"""What `update` makes of a container's options, and the limits that follow."""

from __future__ import annotations

import pytest

from wherry.container.options import ContainerOptions
from wherry.container.update import ContainerUpdate, changed, check, limits
from wherry.errors import Conflict, InvalidArgument

M = 1 << 20


def test_only_what_is_named_changes() -> None:
    options = ContainerOptions(memory=100 * M, cpu_shares=5, pids_limit=9, restart_policy="always")
    update = ContainerUpdate(memory=150 * M)
    new = changed(options, update)
    assert (new.memory, new.cpu_shares, new.pids_limit, new.restart_policy) == (150 * M, 5, 9, "always")
    assert (new.memory_swap, new.shm_size) == (200 * M, 100 * M)  # what followed from the limit stays
    assert limits(update, new) == {"memory": {"limit": 150 * M, "swap": 200 * M}}


def test_limits_that_go_together() -> None:
    update = ContainerUpdate(cpu_quota=5000, cpuset_cpus="0")
    found = limits(update, changed(ContainerOptions(cpu_period=10_000), update))
    assert found == {"cpu": {"quota": 5000, "period": 10_000, "cpus": "0"}}
    update = ContainerUpdate(pids_limit=0)
    assert limits(update, changed(ContainerOptions(pids_limit=7), update)) == {"pids": {"limit": -1}}
    update = ContainerUpdate(restart_policy="no")
    assert limits(update, changed(ContainerOptions(restart_policy="always"), update)) == {}


def test_restart_policies() -> None:
    options = ContainerOptions(restart_policy="on-failure", restart_retries=3)
    assert changed(options, ContainerUpdate(restart_policy="no")).restart_policy == ""
    new = changed(options, ContainerUpdate(restart_policy="always"))
    assert (new.restart_policy, new.restart_retries) == ("always", 0)


@pytest.mark.parametrize(
    ("options", "update", "words"),
    [({"memory": 10 * M}, {"memory": 30 * M}, "smaller than already set memoryswap limit"),
     ({}, {"memory": 30 * M}, "smaller than already set memoryswap limit"),
     ({"nano_cpus": 5}, {"cpu_quota": 5000}, "CPU Quota cannot be updated as NanoCPUs"),
     ({"cpu_period": 5000}, {"nano_cpus": 5}, "Nano CPUs cannot be updated as CPU Period"),
     ({"auto_remove": True}, {"restart_policy": "always"}, "because AutoRemove is enabled")],
)  # fmt: skip
def test_what_stands_in_the_way(options: dict[str, int], update: dict[str, int], words: str) -> None:
    with pytest.raises(Conflict, match=words):
        changed(ContainerOptions(**options), ContainerUpdate(**update))


@pytest.mark.parametrize(
    ("update", "words"),
    [({"memory": 1024}, "Minimum memory limit"), ({"cpuset_cpus": "9"}, "Requested CPUs are not available"),
     ({"restart_policy": "x"}, "unknown policy"), ({"blkio_weight": 5}, "Range of blkio weight")],
)  # fmt: skip
def test_what_no_container_can_be(update: dict[str, int], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        check(ContainerUpdate(**update), ContainerOptions(), cpus=2, cpuset="0-1", mems="0")
