"""Answers that are given again, on a unix socket, with a database that others write to."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from wherry.api.again import Again, First, Truth, is_whole
from wherry.container.state import State, same_until, status_text
from wherry.store.db import Database

S = 1_000_000_000
ASK = b"GET /thing HTTP/1.1\r\nHost: here\r\n\r\n"


class Server:
    """Tells how often it was asked in earnest; ``word`` is what an answer's truth rests on besides the database."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "db")
        self.socket = str(directory / "s")
        Database(self.path).execute("CREATE TABLE t (n INTEGER)")
        self.again = Again(self.path)
        self.asked = 0
        self.word = "a"
        self.until = 0
        self.meanwhile: Callable[[], object] = lambda: None

    def used(self) -> None:
        """What `First` tells."""

    async def thing(self, request: web.Request) -> web.Response:
        self.asked += 1
        number, stamp = self.asked, self.again.now()
        await request.read()
        self.meanwhile()
        self.again.remember(request, stamp, Truth(((lambda _none: self.word, None, self.word),), self.until))
        return web.Response(text=f"<{number}>")

    async def keep(self, request: web.Request, response: web.StreamResponse) -> None:
        self.again.keep(request, response)

    def write(self) -> None:
        """In another process, as commands do."""
        program = (
            "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('INSERT INTO t VALUES (1)'); d.commit()"
        )
        subprocess.run([sys.executable, "-c", program, self.path], check=True)

    async def run(self, body: Callable[[Server], Awaitable[None]]) -> None:
        app = web.Application()
        app.router.add_route("*", "/thing", self.thing)
        app.on_response_prepare.append(self.keep)
        runner = web.AppRunner(app)
        await runner.setup()
        api: Any = self
        server = await asyncio.get_running_loop().create_unix_server(lambda: First(api, runner.server()), self.socket)  # type: ignore[misc]
        try:
            await asyncio.wait_for(body(self), 30)
        finally:
            server.close()
            await runner.cleanup()

    async def client(self) -> Client:
        return Client(*await asyncio.open_unix_connection(self.socket))


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, body: bool = True) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
        assert head.count(b"\r\nDate: ") == head.count(b"\r\nContent-Length: 3\r\n") == 1, head
        return await self.reader.readexactly(3) if body else b""

    async def ask(self, data: bytes = ASK) -> bytes:
        await self.send(data)
        return await self.answer()


@pytest.fixture
def server(tmp_path: Path) -> Server:
    directory = Path(os.path.relpath(tmp_path))  # the path of a unix socket has 107 bytes
    return Server(directory if len(str(directory)) < len(str(tmp_path)) else tmp_path)


def test_the_same_words_are_answered_again_until_somebody_writes(server: Server) -> None:
    async def body(server: Server) -> None:
        one, other = await server.client(), await server.client()
        assert [await one.ask(), await one.ask(), await other.ask()] == [b"<1>"] * 3
        server.write()
        assert [await one.ask(), await other.ask()] == [b"<2>"] * 2
        assert await one.ask(ASK.replace(b"here", b"there")) == b"<3>"
        assert [await one.ask(), await one.ask()] == [b"<2>"] * 2

    asyncio.run(server.run(body))


def test_whatever_else_an_answer_rests_on_is_looked_at(server: Server) -> None:
    async def body(server: Server) -> None:
        one = await server.client()
        assert [await one.ask(), await one.ask()] == [b"<1>"] * 2
        server.word = "b"
        assert [await one.ask(), await one.ask()] == [b"<2>"] * 2
        server.again.changed()
        server.until = time.time_ns() - 1
        assert [await one.ask(), await one.ask()] == [b"<3>", b"<4>"]

    asyncio.run(server.run(body))


def test_an_answer_that_was_overtaken_is_not_kept(server: Server) -> None:
    async def body(server: Server) -> None:
        one = await server.client()
        server.meanwhile = server.write
        assert [await one.ask(), await one.ask()] == [b"<1>", b"<2>"]
        server.meanwhile = server.again.changed
        assert [await one.ask(), await one.ask()] == [b"<3>", b"<4>"]

    asyncio.run(server.run(body))


def test_answers_keep_their_order_and_their_requests(server: Server) -> None:
    async def body(server: Server) -> None:
        one = await server.client()
        assert await one.ask() == b"<1>"
        other = ASK.replace(b"here", b"there")
        await one.send(other + ASK)  # together
        assert [await one.answer(), await one.answer()] == [b"<2>", b"<3>"]
        two = await server.client()
        assert [await two.ask(), await two.ask(other)] == [b"<1>", b"<4>"]  # neither was kept for the other
        three = await server.client()
        await three.send(b"GET /thing HTTP/1.1\r\nFirst: ")
        await asyncio.sleep(0.05)
        await three.send(ASK)  # the rest of that one
        assert await three.answer() == b"<5>"

    asyncio.run(server.run(body))


def test_a_request_inside_another_is_not_taken_for_one(server: Server) -> None:
    """A body that looks like a request that was answered before."""

    async def body(server: Server) -> None:
        one = await server.client()
        assert await one.ask() == b"<1>"
        await one.send(b"POST /thing HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(ASK))
        await asyncio.sleep(0.05)
        await one.send(ASK)
        assert await one.answer() == b"<2>"
        await one.send(b"POST /thing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(ASK))
        await asyncio.sleep(0.05)
        await one.send(ASK)
        await asyncio.sleep(0.05)
        await one.send(b"\r\n0\r\n\r\n")
        assert await one.answer() == b"<3>"

    asyncio.run(server.run(body))


def test_a_head_has_no_body(server: Server) -> None:
    async def body(server: Server) -> None:
        one = await server.client()
        for _ in range(3):
            await one.send(ASK.replace(b"GET", b"HEAD"))
            await one.answer(body=False)
        assert server.asked == 1
        assert await one.ask() == b"<2>"

    asyncio.run(server.run(body))


def test_who_does_not_read_is_not_answered_more_and_more(server: Server) -> None:
    async def body(server: Server) -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(one, server.socket)
            await loop.sock_sendall(one, ASK)
            sent = 0
            try:
                while sent < 64 << 20:
                    await asyncio.wait_for(loop.sock_sendall(one, ASK), 0.5)
                    sent += len(ASK)
            except TimeoutError:
                pass
            assert sent < 8 << 20

    asyncio.run(server.run(body))


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (ASK, True),
        (ASK[:-1], False),
        (ASK + b"G", False),
        (b"POST / HTTP/1.1\r\ncontent-length: 2 \r\n\r\nab", True),
        (b"POST / HTTP/1.1\r\nContent-Length:2\r\nHost: x\r\n\r\nab", True),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabc", False),
        (b"POST / HTTP/1.1\r\nContent-Length: -2\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", False),
        (b"", False),
    ],
)
def test_whole_requests(data: bytes, whole: bool) -> None:
    assert is_whole(data) == whole


@pytest.mark.parametrize("status", ["running", "paused", "restarting", "exited", "created"])
def test_a_status_says_the_same_until_then(status: str) -> None:
    state = State(status=status, started_at=1000 * S + 7, finished_at=1000 * S + 7)
    for age in (
        0,
        1,
        S - 1,
        S,
        5 * S + 3,
        59 * S,
        60 * S,
        61 * S,
        3599 * S,
        5400 * S,
        86399 * S,
        90000 * S,
        10**7 * S,
        -5,
    ):
        now = 1000 * S + 7 + age
        until = same_until(state, now)
        assert until > now and status_text(state, until - 1) == status_text(state, now)
