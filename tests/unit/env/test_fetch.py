"""Downloads from an index on loopback: whole or not there, taken up where they broke off, each by its hash."""

from __future__ import annotations

import base64
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wherry.engine.progress import Silent
from wherry.env.fetch import Remote, fetch_all
from wherry.errors import Corrupt, NotFound, Unauthorized, Unavailable

DATA = os.urandom(3_000_000)


class Server(http.server.ThreadingHTTPServer):
    """Serves `DATA` under any name; ``cut`` is after how many bytes the next answers break off."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cut: list[int] = []
        self.asked: list[tuple[str, str]] = []
        self.ranges = True
        self.password = ""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append((self.path, wanted))
        expected = "Basic " + base64.b64encode(f"me:{self.server.password}".encode()).decode()
        if self.server.password and self.headers.get("Authorization") != expected:
            self.send_error(401)
            return
        if self.path == "/gone":
            self.send_error(404)
            return
        start = int(wanted[6:-1]) if wanted and self.server.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        end = start + self.server.cut.pop(0) if self.server.cut else len(DATA)
        self.wfile.write(DATA[start:end])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.shutdown()
    one.server_close()


@pytest.fixture
def engine() -> Any:
    return SimpleNamespace(paths=SimpleNamespace(proxies=()))


def remote(server: Server, directory: Path, path: str = "/x.whl", **more: Any) -> Remote:
    digest = hashlib.sha256(DATA).hexdigest()
    fields = {"item": "x 1.0", "url": server.url + path, "sha256": digest, "size": len(DATA)}
    return Remote(**(fields | {"path": str(directory / "x.whl")} | more))


def test_broken_off_and_taken_up(server: Server, engine: Any, tmp_path: Path) -> None:
    server.cut = [1_000_000, 500_000]
    fetch_all(engine, [remote(server, tmp_path)], Silent())
    assert (tmp_path / "x.whl").read_bytes() == DATA
    first, second, third = [int(wanted[6:-1] or 0) for _path, wanted in server.asked]
    assert first == 0
    assert 900_000 <= second <= 1_000_000
    assert second + 400_000 <= third <= second + 500_000
    assert [path.name for path in tmp_path.iterdir()] == ["x.whl"]
    fetch_all(engine, [remote(server, tmp_path)], Silent())
    assert len(server.asked) == 3


def test_another_day_goes_on(server: Server, engine: Any, tmp_path: Path) -> None:
    server.cut = [400_000, 0, 0]
    with pytest.raises(Unavailable, match=r"cannot download x 1\.0 from 127\.0\.0\.1"):
        fetch_all(engine, [remote(server, tmp_path)], Silent())
    assert not (tmp_path / "x.whl").exists()
    server.ranges = False  # a server that begins again from the start
    fetch_all(engine, [remote(server, tmp_path)], Silent())
    assert (tmp_path / "x.whl").read_bytes() == DATA


@pytest.mark.parametrize("more", [{"sha256": "0" * 64}, {"size": 100}, {"size": 0, "sha256": "1" * 64}])
def test_something_else_than_was_locked(server: Server, engine: Any, tmp_path: Path, more: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match=r"x 1\.0: what the index has is not what was locked") as caught:
        fetch_all(engine, [remote(server, tmp_path, **more)], Silent())
    assert "lock again" in caught.value.hint
    assert not list(tmp_path.iterdir()), "nothing of it stays"


def test_without_a_size(server: Server, engine: Any, tmp_path: Path) -> None:
    fetch_all(engine, [remote(server, tmp_path, size=0)], Silent())
    assert (tmp_path / "x.whl").read_bytes() == DATA


def test_gone(server: Server, engine: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"x 1\.0 is not in the index any more"):
        fetch_all(engine, [remote(server, tmp_path, "/gone")], Silent())
    with pytest.raises(Unavailable):
        fetch_all(engine, [remote(server, tmp_path).replace(url="http://127.0.0.1:1/x.whl")], Silent())


def test_credentials_of_netrc(server: Server, engine: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.password = "secret"
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = remote(server, tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(Unauthorized) as caught:
        fetch_all(engine, [wanted], Silent())
    assert ".netrc" in caught.value.hint
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    fetch_all(engine, [wanted], Silent())
    assert Path(wanted.path).read_bytes() == DATA
