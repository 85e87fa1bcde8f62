"""`update`, with limits as the kernel sees them; and what `wait` waits for."""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path

import pytest

from support.command import Wherry, wait_for


def name() -> str:
    return "u-" + uuid.uuid4().hex[:12]


def inspected(box: Wherry, container: str, form: str) -> str:
    return box.ok("inspect", "-f", form, container).strip()


def limit(box: Wherry, container: str, *files: str) -> str:
    """A limit of the container's control group, by its name in v2 or v1."""
    identity = inspected(box, container, "{{.Id}}")
    for directory, _names, found in os.walk("/sys/fs/cgroup"):
        if Path(directory).name == identity:
            for file in files:
                if file in found:
                    return (Path(directory) / file).read_text().strip()
    raise AssertionError(f"no {files} of {identity}")


@pytest.mark.needs("root")
def test_limits_of_a_container_that_runs(as_root: Wherry) -> None:
    container = name()
    as_root.ok("run", "-d", "--name", container, "-m", "64m", "busybox", "sleep", "60")
    out = as_root.ok(
        "update", "-m", "96m", "--memory-swap", "192m", "--cpu-quota", "20000", "--pids-limit", "33", container
    )
    assert out == f"{container}\n"
    assert limit(as_root, container, "memory.limit_in_bytes", "memory.max") == str(96 << 20)
    assert limit(as_root, container, "cpu.cfs_quota_us", "cpu.max").split()[0] == "20000"
    assert limit(as_root, container, "pids.max") == "33"
    form = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.CpuQuota}} {{.HostConfig.PidsLimit}}"
    assert inspected(as_root, container, form) == f"{96 << 20} {192 << 20} 20000 33"
    as_root.ok("container", "update", "-m", "72m", container)
    assert limit(as_root, container, "memory.limit_in_bytes", "memory.max") == str(72 << 20)
    result = as_root("update", "-m", "1g", container)
    assert result.code == 1
    assert "Memory limit should be smaller than already set memoryswap limit" in result.err
    as_root.ok("restart", "-t", "0", container)
    assert limit(as_root, container, "memory.limit_in_bytes", "memory.max") == str(72 << 20)
    as_root.ok("rm", "-f", container)


def test_the_restart_policy(box: Wherry) -> None:
    running, stopped = name(), name()
    box.ok(
        "run", "-d", "--name", running, "busybox", "sh", "-c", "until test -e /tmp/go; do sleep 0.05; done; rm /tmp/go"
    )
    box.ok("create", "--name", stopped, "busybox", "true")
    assert box.ok("update", "--restart", "on-failure:3", running, stopped) == f"{running}\n{stopped}\n"
    for container in (running, stopped):
        assert inspected(box, container, "{{.HostConfig.RestartPolicy.MaximumRetryCount}}") == "3"
    box.ok("update", "--restart", "always", running)
    box.ok("exec", running, "touch", "/tmp/go")
    wait_for(lambda: inspected(box, running, "{{.RestartCount}} {{.State.Status}}") == "1 running")
    box.ok("update", "--restart", "no", running)
    box.ok("exec", running, "touch", "/tmp/go")
    wait_for(lambda: inspected(box, running, "{{.State.Status}}") == "exited")
    result = box("update", "--restart", "always", "nosuch", stopped)
    assert (result.code, result.out) == (1, f"{stopped}\n")
    assert "No such container: nosuch" in result.err
    result = box("update", running)
    assert (result.code, "you must provide one or more flags" in result.err) == (1, True)
    box.ok("rm", running, stopped)


def test_a_container_that_is_removed_at_its_end_is_not_restarted(box: Wherry) -> None:
    container = name()
    box.ok("run", "-d", "--rm", "--name", container, "busybox", "sleep", "60")
    result = box("update", "--restart", "always", container)
    assert result.code == 1
    assert "Restart policy cannot be updated because AutoRemove is enabled for the container" in result.err
    box.ok("rm", "-f", container)


@pytest.mark.needs("root")
def test_what_is_waited_for(as_root: Wherry) -> None:
    """The conditions of the Engine API, in this process."""
    from wherry.engine.engine import Engine
    from wherry.engine.paths import find
    from wherry.engine.wait import wait
    from wherry.errors import InvalidArgument

    container = name()
    paths = find({}, root=str(as_root.root), run=str(as_root.run_root), config="")
    assert as_root("run", "--name", container, "busybox", "sh", "-c", "exit 4").code == 4
    found: dict[str, int] = {}

    def waiting(condition: str) -> threading.Thread:
        def until() -> None:
            found[condition] = wait(Engine(paths), container, condition)

        thread = threading.Thread(target=until)
        thread.start()
        return thread

    assert wait(Engine(paths), container) == 4
    next_exit, removed = waiting("next-exit"), waiting("removed")
    while next_exit.is_alive():  # it may begin to wait only after an end
        assert as_root("start", "-a", container).code == 4
    assert found == {"next-exit": 4}
    as_root.ok("rm", container)
    removed.join(20)
    assert found == {"next-exit": 4, "removed": 4}
    with pytest.raises(InvalidArgument):
        wait(Engine(paths), container, "someday")
