"""`stats` on containers that do known things."""

from __future__ import annotations

import json
import signal
import uuid
from typing import Any

import pytest

from support.command import Wherry, wait_for
from support.terminal import Terminal


def name() -> str:
    return "s-" + uuid.uuid4().hex[:12]


def measured(box: Wherry, *containers: str) -> dict[str, dict[str, Any]]:
    lines = box.ok("stats", "--no-stream", "--format", "json", *containers).splitlines()
    return {one["Name"]: one for one in map(json.loads, lines)}


def test_what_is_used_is_seen(as_root: Wherry) -> None:
    """One that computes in two processes and holds 20 MB in memory, one that sleeps, one that has ended."""
    box, busy, idle, ended = as_root, name(), name(), name()
    box.ok("create", "--name", ended, "busybox")
    box.ok("run", "-d", "--name", idle, "--network", "none", "busybox", "sleep", "99")
    work = "dd if=/dev/zero of=/dev/shm/f bs=1M count=20; touch /ready; while :; do :; done & while :; do :; done"
    box.ok("run", "-d", "--name", busy, "-m", "100m", "busybox", "sh", "-c", work)
    try:
        wait_for(lambda: box("exec", busy, "test", "-e", "/ready").code == 0)
        found = measured(box, busy, idle, ended)
        assert list(found) == [busy, idle, ended]
        assert float(found[busy]["CPUPerc"].removesuffix("%")) > 5 > float(found[idle]["CPUPerc"].removesuffix("%"))
        used, _slash, limit = found[busy]["MemUsage"].partition(" / ")
        assert limit == "100MiB" and 20 <= float(used.removesuffix("MiB")) < 40
        assert 20 <= float(found[busy]["MemPerc"].removesuffix("%")) < 40
        assert (found[busy]["PIDs"], found[idle]["PIDs"]) == ("2", "1")
        assert (found[ended]["PIDs"], found[ended]["MemUsage"], found[ended]["CPUPerc"]) == ("0", "0B / 0B", "0.00%")
        assert found[idle]["NetIO"] == "0B / 0B"
        running = set(measured(box))
        assert {busy, idle} <= running and ended not in running
        assert {busy, idle, ended} <= set(measured(box, "-a"))
    finally:
        box.ok("rm", "-f", busy, idle, ended)


def test_traffic_is_counted(as_root: Wherry) -> None:
    box, container = as_root, name()
    box.ok("run", "-d", "--name", container, "busybox", "sleep", "99")
    try:
        gateway = box.ok("inspect", "-f", "{{.NetworkSettings.Gateway}}", container).strip()
        box.ok("exec", container, "ping", "-c", "3", "-i", "0.1", "-s", "1400", gateway)
        received, _slash, sent = measured(box, container)[container]["NetIO"].partition(" / ")
        assert received.endswith("kB") and 4.2 < float(received[:-2]) < 100
        assert sent.endswith("kB") and 4.2 < float(sent[:-2]) < 100
    finally:
        box.ok("rm", "-f", container)


def test_a_table_that_lives(box: Wherry) -> None:
    container = name()
    box.ok("run", "-d", "--name", container, "busybox", "sleep", "99")
    with Terminal(box, "stats", container, rows=24, columns=120) as terminal:
        terminal.expect("\x1b[H")
        terminal.expect("MEM USAGE / LIMIT")
        terminal.expect(container)
        box.ok("rm", "-f", container)
        terminal.expect(f"\n{'--':<15}")  # it has gone; its line stays
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130


@pytest.mark.parametrize("options", [["--no-stream"], []])
def test_one_that_is_not_there(as_root: Wherry, options: list[str]) -> None:
    result = as_root("stats", *options, "nowhere")
    assert result.code == 1 and "No such container: nowhere" in result.err
