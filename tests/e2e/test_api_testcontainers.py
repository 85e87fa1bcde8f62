"""Testcontainers for Python on `wherry serve`, as tests of a project use it, without its reaper and with it."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import ryuk
from support.command import Wherry
from support.serving import Served, eventually


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


CRASHING = """
import os, signal
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.labels import create_labels

net = Network()
net.create()
one = DockerContainer("busybox").with_command("sh -c 'echo up; sleep 1000'").with_network(net).start()
client = one.get_docker_client().client
labels = create_labels("busybox", {})
volume = client.volumes.create(labels=labels)
image = one.get_wrapped_container().commit("reaped", conf={"Labels": labels})
print(one.get_wrapped_container().id, net.id, volume.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("privileged", ["false", "true"])
def test_the_reaper_removes_what_a_killed_test_has_left(as_root: Wherry, privileged: str, tmp_path: Path) -> None:
    """The reaper that Testcontainers starts is root of a container that has the server's socket mounted."""
    as_root.load(ryuk.image(tmp_path / "ryuk").docker_archive(tmp_path / "ryuk.tar", "reaper:test"))
    served = Served(as_root)
    try:
        env = served.env | {"RYUK_CONTAINER_IMAGE": "reaper:test", "RYUK_RECONNECTION_TIMEOUT": "0.3s"}
        env["TESTCONTAINERS_RYUK_PRIVILEGED"] = privileged
        done = subprocess.run([sys.executable, "-c", CRASHING], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == -9, done.stderr
        container, network, volume = done.stdout.split()
        session = ("label=org.testcontainers.session-id",)
        watching = [("ps", "-aq", "-f", f"id={container}"), ("network", "ls", "-q", "-f", f"id={network}")]
        watching += [("volume", "ls", "-q", "-f", f"name={volume}"), ("images", "-q", "-f", *session)]
        watching += [("ps", "-aq", "-f", *session), ("ps", "-aq", "-f", "ancestor=reaper:test")]
        eventually(lambda: not any(served.ok(*one).strip() for one in watching))
        assert served.ok("images", "-q", "reaper:test").strip()
    finally:
        served.close()
        as_root("rmi", "-f", "reaper:test")
