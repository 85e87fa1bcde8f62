"""Commands in containers whose server is killed: the next one knows them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command import Wherry
from support.serving import Served, eventually, everything, has_ended, raw

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def served(as_root: Wherry) -> Iterator[Served]:
    one = Served(as_root)
    yield one
    one.close()


@pytest.fixture
def container(served: Served) -> Iterator[str]:
    identity = served.wherry.ok("run", "-d", "--network", "none", "busybox", "sleep", "1000").strip()
    yield identity
    served.wherry("rm", "-f", identity)


def make(served: Served, container: str, program: str, **more: Any) -> str:
    body = json.dumps({"Cmd": ["sh", "-c", program], "AttachStdout": True, **more}).encode()
    status, answer = served.ask("POST", f"/containers/{container}/exec", body, JSON)
    assert status == 201, answer
    return str(json.loads(answer)["Id"])


def look(served: Served, identity: str) -> dict[str, Any]:
    status, answer = served.ask("GET", f"/exec/{identity}/json")
    assert status == 200, answer
    return dict(json.loads(answer))


def ids(served: Served, container: str) -> set[str]:
    return set(json.loads(served.ask("GET", f"/containers/{container}/json")[1])["ExecIDs"] or ())


def test_the_next_server_knows_every_command(served: Served, container: str) -> None:
    wait = "until [ -e /go ]; do sleep 0.05; done;"
    attached = make(served, container, f"{wait} stty size >/size; exit 7", Tty=True, DetachKeys="ctrl-x")
    detached = make(served, container, f"{wait} exit 8")
    ended = make(served, container, "exit 9")
    unstarted = make(served, container, "exit 10")
    client = raw(served, f"/exec/{attached}/start")
    for one in (detached, ended):
        assert served.ask("POST", f"/exec/{one}/start", b'{"Detach": true}', JSON)[0] == 200
    eventually(lambda: look(served, ended)["ExitCode"] == 9)
    before = {one: look(served, one) for one in (attached, detached, unstarted)}

    served.kill()
    assert everything(client) == b""  # the end of the connection
    client.close()
    served.restart()

    assert {one: look(served, one) for one in before} == before
    assert before[attached]["Running"] and before[attached]["Pid"] > 0 and before[attached]["DetachKeys"] == "ctrl-x"
    assert os.path.exists(f"/proc/{before[detached]['Pid']}")
    assert (look(served, ended)["Running"], look(served, ended)["ExitCode"]) == (False, 9)
    assert ids(served, container) == set(before)
    for one in (attached, ended):
        assert served.ask("POST", f"/exec/{one}/start", b"{}", JSON)[0] == 409
    assert served.ask("POST", f"/exec/{attached}/resize?h=33&w=77")[0] == 200
    served.wherry.ok("exec", container, "touch", "/go")
    eventually(lambda: not look(served, attached)["Running"] and not look(served, detached)["Running"])
    assert (look(served, attached)["ExitCode"], look(served, detached)["ExitCode"]) == (7, 8)
    assert served.wherry.ok("exec", container, "cat", "/size").split() == ["33", "77"]
    assert served.ask("POST", f"/exec/{attached}/resize?h=1&w=1")[0] == 409
    assert served.ask("POST", f"/exec/{unstarted}/start", b'{"Detach": true}', JSON)[0] == 200
    eventually(lambda: look(served, unstarted)["ExitCode"] == 10)
    assert ids(served, container) == set()

    served.wherry.ok("rm", "-f", container)
    assert served.ask("GET", f"/exec/{ended}/json")[0] == 404
    assert not os.listdir(served.wherry.run_root / "execs")


def test_a_command_whose_monitor_was_killed_has_ended(served: Served, container: str) -> None:
    one = make(served, container, "sleep 1000")
    assert served.ask("POST", f"/exec/{one}/start", b'{"Detach": true}', JSON)[0] == 200
    assert ids(served, container) == {one}
    status = Path(f"/proc/{look(served, one)['Pid']}/status").read_text().splitlines()
    monitor = int(next(line.split()[1] for line in status if line.startswith("PPid:")))
    served.kill()
    os.kill(monitor, signal.SIGKILL)
    eventually(lambda: has_ended(monitor))
    served.restart()
    found = look(served, one)
    assert (found["Running"], found["ExitCode"], ids(served, container)) == (False, 137, set())
    assert not os.listdir(served.wherry.run_root / "execs")


def test_one_that_cannot_start_is_remembered_with_its_status(served: Served, container: str) -> None:
    body = json.dumps({"Cmd": ["nothere"]}).encode()
    one = json.loads(served.ask("POST", f"/containers/{container}/exec", body, JSON)[1])["Id"]
    assert served.ask("POST", f"/exec/{one}/start", b'{"Detach": true}', JSON)[0] >= 400
    served.kill()
    served.restart()
    eventually(lambda: not look(served, one)["Running"])
    assert (look(served, one)["ExitCode"], ids(served, container)) == (127, set())


def test_events_name_the_command(served: Served, container: str) -> None:
    one = make(served, container, "exit 3")
    assert served.ask("POST", f"/exec/{one}/start", b'{"Detach": true}', JSON)[0] == 200

    def told() -> list[tuple[str, str]]:
        until = ("--since", "1m", "--until", "0s", "--filter", f"container={container}", "--format", "{{json .}}")
        found = [json.loads(line) for line in served.wherry.ok("events", *until).splitlines()]
        return [(event["Action"], event["Actor"]["Attributes"].get("exitCode", "")) for event in found
                if event["Actor"]["Attributes"].get("execID") == one]  # fmt: skip

    words = "sh -c exit 3"
    eventually(lambda: told() == [(f"exec_create: {words}", ""), (f"exec_start: {words}", ""), ("exec_die", "3")])
