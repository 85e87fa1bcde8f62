"""An application of three services under Compose v2."""

from __future__ import annotations

import json
import subprocess
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.command import Wherry, wait_for
from support.compose import compose
from support.images import Built
from support.rootless_network import fetch, loaded
from support.serving import Served
from support.users import User

pytestmark = pytest.mark.needs("root", "compose")

APPLICATION = """
services:
  db:
    image: busybox
    command: ["sh", "-c", "echo ready >/data/state; exec httpd -f -p 5432 -h /data"]
    volumes: ["data:/data"]
    networks: [back]
    healthcheck:
      test: ["CMD-SHELL", "wget -qO- http://127.0.0.1:5432/state"]
      interval: 500ms
      timeout: 5s
      retries: 40
  worker:
    image: busybox
    command: ["sh", "-c", "while :; do wget -qO- http://db:5432/state; sleep 0.5; done"]
    stop_signal: SIGKILL
    depends_on: {db: {condition: service_healthy}}
    networks: [back]
  web:
    image: busybox
    command: ["httpd", "-f", "-p", "80", "-h", "/srv"]
    volumes: ["data:/srv:ro"]
    depends_on: {db: {condition: service_healthy}}
    networks: [front, back]
    ports: ["127.0.0.1::80"]
    environment: {MODE: test}
    stop_signal: SIGKILL
  debug:
    image: busybox
    profiles: [debug]
    command: ["echo", "only when asked"]
volumes: {data: {}}
networks: {front: {}, back: {}}
"""


@pytest.fixture
def application(as_root: Wherry, tmp_path: Path) -> Iterator[Callable[..., str]]:
    with composed(as_root, tmp_path) as run:
        yield run


@contextmanager
def composed(wherry: Wherry, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Compose's command line for the application, on a server of its own."""
    served = Served(wherry)
    (tmp_path / "compose.yaml").write_text(APPLICATION)
    command = [compose(), "-p", "p" + uuid.uuid4().hex[:8], "--progress", "plain"]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments],
            cwd=tmp_path,
            env=served.env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout

    yield run
    run("down", "-v", "-t", "0")
    assert run("ps", "-a", "-q") == ""
    served.close()


def test_an_application_comes_up_scales_and_goes(application: Callable[..., str]) -> None:
    application("up", "-d")
    shown = [json.loads(line) for line in application("ps", "--format", "json").splitlines()]
    assert {one["Service"]: one["State"] for one in shown} == {"db": "running", "worker": "running", "web": "running"}
    assert [one["Health"] for one in shown if one["Service"] == "db"] == ["healthy"]
    port = application("port", "web", "80").strip()
    with urllib.request.urlopen(f"http://{port}/state", timeout=20) as answer:
        assert answer.read() == b"ready\n"
    assert application("exec", "-T", "web", "sh", "-c", "echo $MODE") == "test\n"
    application("up", "-d", "--scale", "worker=3", "--no-recreate")
    assert len(application("ps", "-q", "worker").split()) == 3
    assert "ready" in application("logs", "worker")
    assert "only when asked" in application("--profile", "debug", "run", "--rm", "debug")
    application("restart", "-t", "0", "web")
    application("stop", "-t", "0")
    assert application("ps", "-q") == ""


@pytest.mark.needs("user-namespaces", "uidmap", "pasta", "slirp4netns")
def test_the_same_without_root(rootless: User, busybox: Built, tmp_path: Path) -> None:
    with loaded(rootless, busybox) as there, composed(there.wherry, tmp_path) as application:
        application("up", "-d")
        assert application("ps", "-q").count("\n") == 3
        port = int(application("port", "web", "80").rpartition(":")[2])
        assert fetch(there.host, "127.0.0.1", port, "/state") == b"ready\n"
        wait_for(lambda: "ready" in application("logs", "worker"))
