"""What an address, a context or an engine somewhere else must not be able to do to the command line."""

from __future__ import annotations

import http.server
import io
import json
import tarfile
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command import Wherry
from support.remote import Far


@pytest.mark.parametrize(
    "host", ["-oProxyCommand=touch made", "me@-oProxyCommand=touch made", "-oProxyCommand=touch made@x"]
)
def test_cve_2017_1000117_a_host_is_no_option_of_ssh(wherry: Wherry, host: str) -> None:
    result = Far.of(wherry, "-H", f"ssh://{host}")("ps")
    assert result.code == 1 and "unable to parse docker host" in result.err
    assert not (wherry.directory / "made").exists()


@pytest.mark.parametrize("path", ["/x;touch made", "/$(touch made)", "/`touch made`", "/x' touch made '"])
def test_a_path_is_no_command_at_the_far_end(wherry: Wherry, path: str) -> None:
    """ssh(1) joins its arguments for a shell over there; here a shell stands for it."""
    programs = wherry.directory / "programs"
    programs.mkdir()
    (programs / "ssh").write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift 2\nexec sh -c "$*"\n')
    (programs / "ssh").chmod(0o755)
    (programs / "wherry").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {wherry.directory}/seen\nexit 1\n')
    (programs / "wherry").chmod(0o755)
    far = Far.of(wherry, "-H", f"ssh://host{path}")
    assert far("ps", env={"PATH": f"{programs}:/usr/bin:/bin"}).code == 1
    assert (wherry.directory / "seen").read_text() == f"--host\nunix://{path}\nsystem\ndial-stdio\n"
    assert not (wherry.directory / "made").exists()


class Hostile(http.server.BaseHTTPRequestHandler):
    """An engine that wants to get at its clients."""

    answers: dict[str, Any] = {}

    def do_HEAD(self) -> None:
        found = {"name": "x", "size": 1, "mode": 1 << 31 | 0o755, "mtime": "2020-01-01T00:00:00Z", "linkTarget": ""}
        self.send_response(200)
        self.send_header("X-Docker-Container-Path-Stat", b64encode(json.dumps(found).encode()).decode())
        self.end_headers()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/v1.41")
        body = self.answers.get(path, b"{}")
        self.send_response(400 if path == "/info" else 200)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def hostile(wherry: Wherry) -> Iterator[Far]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Far.of(wherry, "-H", f"tcp://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    server.server_close()


def test_an_engine_does_not_write_to_the_terminal(hostile: Far) -> None:
    Hostile.answers = {"/info": json.dumps({"message": "a\x1b]0;title\x07\x1b[2Jb"}).encode()}
    result = hostile("info")
    assert result.code == 1 and "\x1b" not in result.err and "\x07" not in result.err


def test_cp_does_not_leave_its_destination(hostile: Far, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, link in (
            ("x", tarfile.DIRTYPE, ""), ("x/out", tarfile.SYMTYPE, str(tmp_path)), ("x/out/made", tarfile.REGTYPE, ""),
            ("../made", tarfile.REGTYPE, ""), (f"{tmp_path}/made", tarfile.REGTYPE, ""),
        ):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = kind, link, 0o755
            archive.addfile(entry)
    Hostile.answers = {"/containers/c/archive": out.getvalue()}
    (tmp_path / "here").mkdir()
    hostile("cp", "c:/x", tmp_path / "here")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here"]
