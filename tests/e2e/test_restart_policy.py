"""Containers that are started again by themselves, as people type it."""

from __future__ import annotations

import os
import uuid

from support.command import Wherry, kill_and_wait, wait_for

FAILS = ("busybox", "sh", "-c", "echo again; exit 3")


def name() -> str:
    return "r-" + uuid.uuid4().hex[:12]


def inspected(box: Wherry, container: str, form: str) -> str:
    return box.ok("inspect", "-f", form, container).strip()


def count(box: Wherry, container: str) -> int:
    return int(inspected(box, container, "{{.RestartCount}}"))


def wait_for_status(box: Wherry, container: str, status: str) -> None:
    wait_for(lambda: inspected(box, container, "{{.State.Status}}") == status)


def test_whoever_ran_it_sees_its_first_life(box: Wherry) -> None:
    container = name()
    result = box("run", "--name", container, "--restart", "always", *FAILS)
    assert (result.code, result.out) == (3, "again\n")
    wait_for(lambda: count(box, container) >= 2)
    wait_for_status(box, container, "restarting")
    status = box.ok("ps", "--filter", f"name={container}", "--format", "{{.State}} {{.Status}}")
    assert status.startswith(("restarting Restarting (3)", "running Up"))
    wait_for(lambda: box.ok("logs", container).count("again\n") >= 3)
    box.ok("rm", "-f", container)
    assert box("inspect", container).code == 1


def test_a_number_of_retries(box: Wherry) -> None:
    container = name()
    box.ok("run", "-d", "--name", container, "--restart", "on-failure:2", *FAILS)
    wait_for_status(box, container, "exited")
    form = "{{.RestartCount}} {{.State.ExitCode}} {{json .HostConfig.RestartPolicy}}"
    assert inspected(box, container, form) == '2 3 {"Name":"on-failure","MaximumRetryCount":2}'
    assert box.ok("logs", container) == "again\n" * 3
    box.ok("start", container)  # somebody wants it: counted from the beginning
    wait_for(lambda: box.ok("logs", container) == "again\n" * 6)
    wait_for_status(box, container, "exited")
    box.ok("rm", container)


def test_success_is_no_failure(box: Wherry) -> None:
    container = name()
    assert box.ok("run", "--name", container, "--restart", "on-failure", "busybox", "echo", "once") == "once\n"
    assert inspected(box, container, "{{.State.Status}} {{.RestartCount}}") == "exited 0"
    box.ok("rm", container)


def test_what_may_be_done_with_one_that_is_restarting(box: Wherry) -> None:
    container = name()
    box.ok("run", "-d", "--name", container, "--restart", "always", *FAILS)
    wait_for(lambda: count(box, container) >= 3)  # the pauses are long enough to look now
    wait_for_status(box, container, "restarting")

    def is_refused(*command: str) -> bool:
        result = box(*command)  # it runs for a moment now and then
        if command[0] == "pause" and result.code == 0:
            box("unpause", container)
        return "restarting" in result.err

    for command in (("exec", container, "true"), ("pause", container), ("attach", container), ("top", container)):
        wait_for(lambda command=command: is_refused(*command))
    words = "container is restarting: stop the container before removing or force remove"
    wait_for(lambda: words in box("rm", container).err)
    assert box.ok("start", container) == f"{container}\n"
    assert box.ok("wait", container) == "3\n"  # the next time that it ends
    renamed = name()
    box.ok("rename", container, renamed)
    wait_for_status(box, renamed, "restarting")
    box.ok("stop", renamed)
    assert inspected(box, renamed, "{{.State.Status}} {{.State.ExitCode}}") == "exited 3"
    box.ok("rm", renamed)


def test_what_was_stopped_stays_so(box: Wherry) -> None:
    containers = [name() for _ in range(3)]
    for container, policy in zip(containers, ("always", "unless-stopped", "on-failure"), strict=True):
        box.ok("run", "-d", "--name", container, "--restart", policy, "busybox", "sleep", "60")
    box.ok("stop", "-t", "0", containers[0])
    box.ok("kill", *containers[1:])
    for container in containers:
        wait_for_status(box, container, "exited")
        assert inspected(box, container, "{{.State.ExitCode}} {{.RestartCount}}") == "137 0"
    box.ok("restart", "-t", "0", containers[0])
    assert inspected(box, containers[0], "{{.State.Status}}") == "running"
    pid = int(inspected(box, containers[0], "{{.State.Pid}}"))
    if box.user is None:
        os.kill(pid, 9)  # not by us: so it goes on
        wait_for(lambda: inspected(box, containers[0], "{{.State.Status}} {{.RestartCount}}") == "running 1")
    box.ok("rm", "-f", *containers)


def test_a_monitor_that_is_killed_between_two_lives(box: Wherry) -> None:
    """It is seen as ended, and can be started."""
    container = name()
    box.ok("run", "-d", "--name", container, "--restart", "always", *FAILS)
    wait_for(lambda: count(box, container) >= 3)
    wait_for_status(box, container, "restarting")
    identity = inspected(box, container, "{{.Id}}")
    kill_and_wait(lock_holder(box, identity))
    assert (
        inspected(box, container, "{{.State.Status}} {{.State.Error}}") == "exited the container's monitor was killed"
    )
    box.ok("start", container)
    wait_for(lambda: count(box, container) >= 1)
    box.ok("rm", "-f", container)


def lock_holder(box: Wherry, identity: str) -> int:
    """The monitor of a container: the process that has its lock."""
    status = (box.run_root / "locks" / identity).stat()
    with open("/proc/locks") as file:
        for line in file:
            words = line.split()
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(status.st_ino):
                return int(words[4])
    raise AssertionError("nobody has the lock")


def test_a_restart_that_fails_is_the_last(box: Wherry) -> None:
    container = name()
    spoil = "echo again; rm /bin/sh; exit 1"
    box.ok("run", "-d", "--name", container, "--restart", "always", "busybox", "/bin/sh", "-c", spoil)
    wait_for_status(box, container, "exited")
    code, text = inspected(box, container, "{{.State.ExitCode}} {{.State.Error}}").split(" ", 1)
    assert code == "127"
    assert "no such file" in text.lower()
    box.ok("rm", container)


def test_policies_that_cannot_be(box: Wherry) -> None:
    result = box("run", "--rm", "--restart", "always", "busybox", "true")
    assert (result.code, "cannot specify both --restart and --rm" in result.err) == (125, True)
    result = box("create", "--restart", "always:2", "busybox", "true")
    assert result.code == 1
    assert "maximum retry count can only be used with 'on-failure'" in result.err
    assert box("run", "--restart", "sometimes", "busybox", "true").code == 125
    assert box.ok("run", "--rm", "--restart", "no", "busybox", "echo", "fine") == "fine\n"
