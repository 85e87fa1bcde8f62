"""What another process does to a container is in the next answer, whatever was answered before."""

from __future__ import annotations

import http.client
import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.serving import Served, eventually, has_ended


class Asking:
    """One connection, and the same words each time."""

    def __init__(self, served: Served, identity: str) -> None:
        self.connection = http.client.HTTPConnection("localhost")
        self.connection.sock = served.connect()
        self.identity = identity

    def get(self, path: str) -> tuple[int, Any]:
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def inspect(self) -> dict[str, Any]:
        status, found = self.get(f"/containers/{self.identity}/json")
        assert status == 200, found
        return dict(found)

    def listed(self) -> dict[str, Any] | None:
        return next((one for one in self.get("/containers/json?all=1")[1] if one["Id"] == self.identity), None)

    def settled(self) -> None:
        """Both answers are kept, and right."""
        for _ in range(3):
            self.inspect()
            self.listed()


@pytest.fixture
def asking(served: Served) -> Iterator[Asking]:
    run = ("run", "-d", "--health-cmd", "test ! -e /ill", "--health-interval", "100ms")
    identity = served.wherry.ok(*run, "--health-retries", "1", "busybox", "sleep", "1000").strip()
    one = Asking(served, identity)
    yield one
    one.connection.close()
    served.wherry("rm", "-f", identity)


def test_every_change_is_in_the_next_answer(served: Served, asking: Asking) -> None:
    wherry, identity, name = served.wherry, asking.identity, f"again-{uuid.uuid4().hex[:8]}"
    network = f"{name}-net"
    wherry.ok("network", "create", network)

    def status(inspected: str, listed: str) -> Callable[[], bool]:
        def same() -> bool:
            found, line = asking.inspect(), asking.listed()
            return found["State"]["Status"] == inspected and line is not None and line["State"] == listed

        return same

    def networks() -> set[str]:
        line = asking.listed()
        assert (
            line is not None
            and line["NetworkSettings"]["Networks"].keys() == asking.inspect()["NetworkSettings"]["Networks"].keys()
        )
        return set(line["NetworkSettings"]["Networks"])

    steps: list[tuple[tuple[str, ...], Callable[[], bool]]] = [
        (("pause", identity), status("paused", "paused")),
        (("unpause", identity), status("running", "running")),
        (
            ("rename", identity, name),
            lambda: asking.inspect()["Name"] == f"/{name}" and (asking.listed() or {})["Names"] == [f"/{name}"],
        ),
        (("update", "--pids-limit", "77", identity), lambda: asking.inspect()["HostConfig"]["PidsLimit"] == 77),
        (("stop", "-t", "0", identity), status("exited", "exited")),
        (("network", "disconnect", "bridge", identity), lambda: networks() == set()),
        (("network", "connect", network, identity), lambda: networks() == {network}),
        (("start", identity), status("running", "running")),
        (("network", "disconnect", network, identity), lambda: networks() == set()),
        (("network", "connect", network, identity), lambda: networks() == {network}),
    ]
    for command, seen in steps:
        asking.settled()
        wherry.ok(*command)
        assert seen(), command
    asking.settled()
    wherry.ok("rm", "-f", identity)
    assert asking.get(f"/containers/{identity}/json")[0] == 404
    assert asking.listed() is None
    wherry.ok("network", "rm", network)


def test_health_is_as_it_is(served: Served, asking: Asking) -> None:
    for word, command in (("healthy", "true"), ("unhealthy", "touch /ill"), ("healthy", "rm /ill")):
        served.wherry.ok("exec", asking.identity, "sh", "-c", command)
        eventually(lambda word=word: asking.inspect()["State"]["Health"]["Status"] == word)
        assert f"({word})" in (asking.listed() or {})["Status"]


def test_the_end_of_a_killed_monitor_is_seen(asking: Asking) -> None:
    """The database says that the container runs, and nobody writes to it."""
    asking.settled()
    pid = asking.inspect()["State"]["Pid"]
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    monitor = int(next(line.split()[1] for line in status if line.startswith("PPid:")))
    os.kill(monitor, signal.SIGKILL)
    eventually(lambda: has_ended(monitor))
    line = asking.listed()
    assert line is not None and line["State"] == "exited"
    assert asking.inspect()["State"]["ExitCode"] == 137


def test_commands_of_a_container_come_and_go(served: Served, asking: Asking) -> None:
    asking.settled()
    body = json.dumps({"Cmd": ["sh", "-c", "until [ -e /go ]; do sleep 0.01; done"]}).encode()
    typed = {"Content-Type": "application/json"}
    made = json.loads(served.ask("POST", f"/containers/{asking.identity}/exec", body, typed)[1])["Id"]
    assert asking.inspect()["ExecIDs"] == [made]
    asking.settled()
    assert served.ask("POST", f"/exec/{made}/start", b'{"Detach": true}', typed)[0] == 200
    assert asking.inspect()["ExecIDs"] == [made]
    asking.settled()
    served.wherry.ok("exec", asking.identity, "touch", "/go")
    eventually(lambda: not json.loads(served.ask("GET", f"/exec/{made}/json")[1])["Running"])
    assert asking.inspect()["ExecIDs"] is None
