"""Testcontainers for Python on `wherry serve`, as tests of a project use it; without its reaper: no such image here."""

from __future__ import annotations

import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command import Wherry
from support.serving import Served


@pytest.fixture
def served(as_root: Wherry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    one = Served(as_root)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{one.socket}")
    monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
    from testcontainers.core.config import testcontainers_config

    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    yield one
    one.close()


def get(url: str) -> str:
    """As soon as the server in the container answers."""
    end = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@pytest.mark.timeout(120)
def test_containers_networks_volumes_and_waits(served: Served, tmp_path: Path) -> None:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.network import Network
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    (tmp_path / "page").write_text("from the host")
    tmp_path.chmod(0o755)
    command = "sh -c 'echo serving $WHAT; exec httpd -f -p 80 -h /www'"
    with Network() as net:
        web: Any = DockerContainer("busybox").with_command(command).with_env("WHAT", "pages").with_exposed_ports(80)
        web = web.with_volume_mapping(str(tmp_path), "/www", "ro").with_network(net).with_network_aliases("www")
        name = f"t-{uuid.uuid4().hex[:8]}"
        with web.with_name(name).waiting_for(LogMessageWaitStrategy("serving pages")) as running:
            port = running.get_exposed_port(80)
            assert get(f"http://{running.get_container_host_ip()}:{port}/page") == "from the host"
            assert running.exec(["sh", "-c", "echo $WHAT; exit 3"]) == (3, b"pages\n")
            out, err = running.get_logs()
            assert (out, err) == (b"serving pages\n", b"")
            with DockerContainer("busybox").with_network(net).with_command("sleep 1000") as other:
                assert other.exec("wget -qO- http://www/page") == (0, b"from the host")
            assert served.ok("ps", "-q", "-f", f"name={name}").strip()
        assert not served.ok("ps", "-aq", "-f", f"name={name}").strip()
    assert net.name not in served.ok("network", "ls", "--format", "{{.Name}}").split()
