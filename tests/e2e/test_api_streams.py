"""Raw streams of the API, byte by byte: upgrades, half-closed connections, slow clients, many clients."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.serving import Served, eventually, everything, frames, raw

ATTACH = "stream=1&stdout=1&stderr=1"
THREADS = 16 * 3
"""Descriptors that the server may open at any time: each thread that reads the store has a database of its own."""


@pytest.fixture
def created(served: Served) -> Iterator[str]:
    identity = create(served, ["sh", "-c", "cat; echo error >&2"], OpenStdin=True, StdinOnce=True)
    yield identity
    served.ask("DELETE", f"/containers/{identity}?force=1")


def create(served: Served, cmd: list[str], **more: object) -> str:
    body = json.dumps({"Image": "busybox", "Cmd": cmd, **more}).encode()
    name = "s-" + uuid.uuid4().hex[:12]
    status, answer = served.ask(
        "POST", f"/v1.50/containers/create?name={name}", body, {"Content-Type": "application/json"}
    )
    assert status == 201, answer
    identity: str = json.loads(answer)["Id"]
    return identity


def start(served: Served, identity: str) -> None:
    status, answer = served.ask("POST", f"/containers/{identity}/start")
    assert status == 204, answer


@pytest.mark.parametrize("upgraded", [True, False])
def test_a_client_may_end_its_half(served: Served, created: str, upgraded: bool) -> None:
    """The end of the client's bytes is the end of the container's input; its output still comes."""
    with raw(served, f"/containers/{created}/attach?{ATTACH}&stdin=1", upgraded=upgraded) as one:
        start(served, created)
        one.sendall(b"typed")
        one.shutdown(socket.SHUT_WR)
        assert list(frames(everything(one))) == [(1, b"typed"), (2, b"error\n")]


def test_who_waits_is_answered_at_once_and_told_later(served: Served, created: str) -> None:
    with served.connect() as one:
        one.sendall(f"POST /containers/{created}/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        assert one.recv(65536).startswith(b"HTTP/1.1 200 OK")
        with raw(served, f"/containers/{created}/attach?{ATTACH}&stdin=1") as client:
            start(served, created)
            client.shutdown(socket.SHUT_WR)
            everything(client)
        assert b'{"StatusCode": 0}' in one.recv(65536)


def test_a_terminal_has_no_frames(served: Served) -> None:
    identity = create(served, ["sh", "-c", "stty size; echo done"], Tty=True)
    with raw(served, f"/containers/{identity}/attach?{ATTACH}") as one:
        start(served, identity)
        assert everything(one).endswith(b"done\r\n")
    served.ask("DELETE", f"/containers/{identity}")


def test_several_clients_see_everything_from_the_first_byte(served: Served) -> None:
    identity = create(served, ["seq", "1", "1000"])
    clients = [raw(served, f"/containers/{identity}/attach?{ATTACH}") for _ in range(5)]
    start(served, identity)
    wanted = "".join([f"{number}\n" for number in range(1, 1001)]).encode()
    for one in clients:
        assert b"".join([payload for _kind, payload in frames(everything(one))]) == wanted
        one.close()
    served.ask("DELETE", f"/containers/{identity}")


def test_a_slow_client_costs_no_memory_and_loses_nothing(served: Served) -> None:
    size = 64 << 20
    identity = create(served, ["sh", "-c", f"head -c {size} /dev/zero"], HostConfig={"LogConfig": {"Type": "none"}})
    with raw(served, f"/containers/{identity}/attach?{ATTACH}") as one:
        before = served.resident()
        start(served, identity)
        time.sleep(1)  # the client does nothing: whoever sends has to wait
        assert served.resident() - before < 16 << 20
        received = sum([len(payload) for _kind, payload in frames(everything(one))])
    assert received == size
    served.ask("DELETE", f"/containers/{identity}")


def test_five_hundred_clients(served: Served) -> None:
    identity = create(served, ["sh", "-c", "read line; echo $line"], OpenStdin=True)
    start(served, identity)
    clients = [raw(served, f"/containers/{identity}/attach?{ATTACH}") for _ in range(499)]
    with raw(served, f"/containers/{identity}/attach?{ATTACH}&stdin=1") as typing:
        typing.sendall(b"to all\n")
        for one in clients:
            assert list(frames(everything(one))) == [(1, b"to all\n")]
            one.close()
    served.ask("DELETE", f"/containers/{identity}?force=1")


def test_a_thousand_attachments_leave_nothing(served: Served) -> None:
    """CVE-2025-64329: each one used to leave something behind in containerd."""
    identity = create(served, ["sleep", "1000"], OpenStdin=True)
    start(served, identity)

    def attach(times: int) -> None:
        for number in range(times):
            one = raw(served, f"/containers/{identity}/attach?{ATTACH}&stdin=1")
            if number % 2:
                one.shutdown(socket.SHUT_WR)
            one.close()

    attach(100)
    eventually(lambda: served.descriptors() < 100)
    descriptors, memory = served.descriptors(), served.resident()
    attach(1000)
    eventually(lambda: served.descriptors() < descriptors + THREADS)
    assert served.resident() - memory < 8 << 20
    served.ask("DELETE", f"/containers/{identity}?force=1")


def test_a_client_that_leaves_before_the_start_is_forgotten(served: Served, created: str) -> None:
    descriptors = served.descriptors()
    for _ in range(100):
        raw(served, f"/containers/{created}/attach?{ATTACH}&stdin=1").close()
    eventually(lambda: served.descriptors() < descriptors + THREADS)
    start(served, created)


def test_exec_goes_on_without_its_client(served: Served) -> None:
    identity = create(served, ["sleep", "1000"])
    start(served, identity)
    body = json.dumps({"Cmd": ["sh", "-c", "sleep 0.5; exit 6"], "AttachStdout": True}).encode()
    json_body = {"Content-Type": "application/json"}
    one = json.loads(served.ask("POST", f"/containers/{identity}/exec", body, json_body)[1])["Id"]
    raw(served, f"/exec/{one}/start").close()

    def found() -> dict[str, object]:
        document: dict[str, object] = json.loads(served.ask("GET", f"/exec/{one}/json")[1])
        return document

    eventually(lambda: not found()["Running"])
    assert found()["ExitCode"] == 6
    assert served.ask("POST", f"/exec/{one}/start", b"{}", json_body)[0] == 409
    served.ask("DELETE", f"/containers/{identity}?force=1")


def test_a_web_socket(served: Served, created: str) -> None:
    import asyncio

    import aiohttp

    async def talk() -> bytes:
        connector = aiohttp.UnixConnector(path=str(served.socket))
        async with aiohttp.ClientSession(connector=connector) as session:
            path = f"http://docker/containers/{created}/attach/ws?{ATTACH}&stdin=1"
            async with session.ws_connect(path) as channel:
                await asyncio.to_thread(start, served, created)
                await channel.send_bytes(b"over a web socket\n")
                message = await channel.receive(30)
                return bytes(message.data)

    assert asyncio.run(talk()) == b"over a web socket\n"


def test_a_wait_that_comes_at_the_very_end_is_answered(served: Served) -> None:
    """Between the moment when a monitor listens to nobody any more and the moment when the database has the end."""
    identity = create(served, ["sleep", "1000"])
    start(served, identity)
    pid = json.loads(served.ask("GET", f"/containers/{identity}/json")[1])["State"]["Pid"]
    (served.wherry.run_root / "containers" / identity / "monitor.sock").unlink()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(served.ask, "POST", f"/containers/{identity}/wait")
        time.sleep(0.2)
        assert not waiting.done()
        os.kill(pid, signal.SIGKILL)
        assert json.loads(waiting.result(30)[1]) == {"StatusCode": 137}
    served.ask("DELETE", f"/containers/{identity}?force=1")
