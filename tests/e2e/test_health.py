"""Health checks as people see them."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import pytest

from support import images
from support.command import Wherry, wait_for

OFTEN = ("--health-interval", "100ms")


def name() -> str:
    return "h-" + uuid.uuid4().hex[:12]


def inspected(box: Wherry, container: str, form: str) -> str:
    return box.ok("inspect", "-f", form, container).strip()


def wait_for_health(box: Wherry, container: str, status: str) -> None:
    wait_for(lambda: inspected(box, container, "{{.State.Health.Status}}") == status)


def status(box: Wherry, container: str) -> str:
    return box.ok("ps", "-a", "--filter", f"name={container}", "--format", "{{.Status}}").strip()


def test_a_container_falls_ill_and_recovers(box: Wherry) -> None:
    container = name()
    check = "echo seen; whoami; test -e /tmp/well"
    box.ok("run", "-d", "--name", container, "-u", "alice", "--health-cmd", check, "--health-interval", "300ms",
           "--health-retries", "2", "busybox", "sleep", "60")  # fmt: skip
    assert status(box, container).endswith("(health: starting)")
    wait_for_health(box, container, "unhealthy")
    assert status(box, container).endswith("(unhealthy)")
    assert box.ok("ps", "-q", "--filter", "health=unhealthy", "--filter", f"name={container}")
    box.ok("exec", container, "touch", "/tmp/well")
    wait_for_health(box, container, "healthy")
    assert status(box, container).endswith("(healthy)")
    assert box.ok("ps", "-q", "--filter", "health=unhealthy", "--filter", f"name={container}") == ""
    found = json.loads(inspected(box, container, "{{json .State.Health}}"))
    assert (found["FailingStreak"], found["Log"][-1]["ExitCode"]) == (0, 0)
    assert found["Log"][-1]["Output"] == "seen\nalice\n"
    assert set(found["Log"][-1]) == {"Start", "End", "ExitCode", "Output"}
    told = box.ok("events", "--since", "1h", "--until", "0s", "--filter", f"container={container}")
    assert told.index("health_status: unhealthy") < told.index("health_status: healthy")
    box.ok("stop", "-t", "0", container)
    assert inspected(box, container, "{{.State.Health.Status}}") == "unhealthy"
    assert "healthy" not in status(box, container)
    box.ok("rm", container)


def test_checks_that_say_too_much_or_never_end(box: Wherry) -> None:
    loud, slow, missing = name(), name(), name()
    box.ok("run", "-d", "--name", loud, *OFTEN, "--health-cmd", "yes | head -c 100000", "busybox", "sleep", "60")
    box.ok("run", "-d", "--name", slow, *OFTEN, "--health-timeout", "300ms", "--health-cmd", "sleep 50", "busybox",
           "sleep", "60")  # fmt: skip
    box.ok("run", "-d", "--name", missing, *OFTEN, "--health-retries", "1", "--health-cmd", "rm /bin/sh", "busybox",
           "sleep", "60")  # fmt: skip
    wait_for_health(box, loud, "healthy")
    assert len(json.loads(inspected(box, loud, "{{json .State.Health}}"))["Log"][0]["Output"]) == 4096 + len("...")
    wait_for_health(box, slow, "unhealthy")
    last = json.loads(inspected(box, slow, "{{json .State.Health}}"))["Log"][-1]
    assert (last["ExitCode"], last["Output"]) == (-1, "Health check exceeded timeout (300ms)")
    wait_for_health(box, missing, "unhealthy")
    last = json.loads(inspected(box, missing, "{{json .State.Health}}"))["Log"][-1]
    assert last["ExitCode"] == -1
    assert "no such file" in last["Output"].lower()
    box.ok("rm", "-f", loud, slow, missing)


def test_the_image_says_how(box: Wherry, tmp_path: Path) -> None:
    tag = name()
    config = {"Cmd": ["sleep", "60"], "Env": [images.PATH]}
    config["Healthcheck"] = {"Test": ["CMD", "true"], "Interval": 100_000_000, "Retries": 4}  # type: ignore[assignment]
    built = images.Image([images.Layer().file("one", "1")], config).build(tmp_path / "image", base=images.busybox())
    archive = built.docker_archive(box.directory / f"{tag}.tar", f"{tag}:latest")
    os.chmod(archive, 0o644)
    box.load(archive)
    container, other = name(), name()
    box.ok("run", "-d", "--name", container, "--health-retries", "1", tag)
    wait_for_health(box, container, "healthy")
    shown = json.loads(inspected(box, container, "{{json .Config.Healthcheck}}"))
    assert shown == {"Test": ["CMD", "true"], "Interval": 100_000_000, "Retries": 1}
    box.ok("run", "-d", "--name", other, "--no-healthcheck", tag)
    assert inspected(box, other, "{{json .Config.Healthcheck.Test}}") == '["NONE"]'
    assert "Health" not in json.loads(inspected(box, other, "{{json .State}}"))
    box.ok("rm", "-f", container, other)
    box.ok("rmi", tag)
    archive.unlink()


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--health-interval", "-1s"), "--health-interval cannot be negative"),
     (("--health-retries", "-1"), "--health-retries cannot be negative"),
     (("--health-timeout", "1us"), "Timeout in Healthcheck cannot be less than 1ms"),
     (("--no-healthcheck", "--health-cmd", "x"), "--no-healthcheck conflicts with --health-* options"),
     (("--health-timeout", "x"), 'time: invalid duration "x"')],
)  # fmt: skip
def test_options_that_cannot_be(as_root: Wherry, options: tuple[str, ...], words: str) -> None:
    result = as_root("run", *options, "busybox", "true")
    assert (result.code, words in result.err) == (125, True), str(result)


@pytest.mark.needs("root")
def test_a_paused_container_is_not_checked_and_a_restarted_one_begins_anew(as_root: Wherry) -> None:
    container = name()
    as_root.ok("run", "-d", "--name", container, *OFTEN, "--health-cmd", "true", "--restart", "always", "busybox",
               "sleep", "60")  # fmt: skip
    wait_for_health(as_root, container, "healthy")
    as_root.ok("pause", container)
    paused = inspected(as_root, container, "{{json .State.Health.Log}}")
    assert status(as_root, container).endswith("(Paused)")
    as_root.ok("unpause", container)
    wait_for(lambda: inspected(as_root, container, "{{json .State.Health.Log}}") != paused)
    os.kill(int(inspected(as_root, container, "{{.State.Pid}}")), 9)
    wait_for(lambda: inspected(as_root, container, "{{.RestartCount}} {{.State.Health.Status}}") == "1 healthy")
    as_root.ok("rm", "-f", container)
