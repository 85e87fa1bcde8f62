"""The docker command line against `wherry serve`: the page's commands, and what is around them."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path

import pytest

from support.command import Wherry
from support.registry import Registry
from support.serving import Served, eventually
from support.terminal import Terminal

pytestmark = pytest.mark.needs("docker-client")


def name() -> str:
    return "a-" + uuid.uuid4().hex[:12]


def test_version_and_info(served: Served) -> None:
    assert served.ok("version", "-f", "{{.Server.APIVersion}} {{.Server.MinAPIVersion}}") == "1.50 1.24\n"
    facts = json.loads(served.ok("info", "-f", "{{json .}}"))
    assert facts["Driver"] and facts["NCPU"] == os.cpu_count() and not facts.get("ServerErrors")
    assert served.ok("images", "-q", "busybox").strip()


@pytest.mark.parametrize(
    ("command", "code", "out"),
    [
        (["echo", "hello"], 0, "hello\n"),
        (["sh", "-c", "echo out; echo err >&2; exit 7"], 7, "out\n"),
        (["nothere"], 127, ""),
        (["/etc/passwd"], 126, ""),
    ],
)
def test_run_in_the_foreground(served: Served, command: list[str], code: int, out: str) -> None:
    result = served.docker("run", "--rm", "busybox", *command)
    assert (result.code, result.out) == (code, out), str(result)
    assert "Error waiting" not in result.err


def test_run_takes_input_until_its_end(served: Served) -> None:
    assert served.ok("run", "--rm", "-i", "busybox", "sort", input="b\na\n") == "a\nb\n"


def test_many_lines_arrive_whole(served: Served) -> None:
    out = served.ok("run", "--rm", "busybox", "seq", "1", "200000")
    assert out == "".join([f"{number}\n" for number in range(1, 200001)])


def test_the_life_of_a_container(served: Served) -> None:
    web = name()
    identity = served.ok("run", "-d", "--name", web, "-m", "64m", "--cpus", ".5", "busybox", "sleep", "1000").strip()
    assert served.ok("ps", "-q", "--no-trunc", "-f", f"name={web}").strip() == identity
    assert served.ok("exec", web, "cat", "/proc/1/comm") == "sleep\n"
    assert served.docker("exec", "-i", web, "sh", "-c", "cat; exit 3", input="typed").code == 3
    assert web in served.ok("top", web) or "sleep 1000" in served.ok("top", web)
    document = json.loads(served.ok("inspect", web))[0]
    assert (document["HostConfig"]["Memory"], document["HostConfig"]["NanoCpus"]) == (64 << 20, 500_000_000)
    served.ok("pause", web)
    assert "(Paused)" in served.ok("ps", "-f", f"name={web}")
    served.ok("unpause", web)
    other = name()
    served.ok("rename", web, other)
    assert served.ok("update", "-m", "96m", "--memory-swap", "96m", other).strip() == other
    assert json.loads(served.ok("inspect", other))[0]["HostConfig"]["Memory"] == 96 << 20
    served.ok("stop", "-t", "0", other)
    assert served.ok("wait", other) == "137\n"
    assert served.docker("kill", other).code == 1
    served.ok("start", other)
    served.ok("restart", "-t", "0", other)
    result = served.docker("rm", other)
    assert result.code == 1 and "stop the container before removing or force remove" in result.err
    assert served.ok("rm", "-f", other).strip() == other
    assert "No such container" in served.docker("inspect", "--type", "container", other).err


def test_a_terminal_in_a_container(served: Served) -> None:
    web = name()
    served.ok("run", "-d", "--name", web, "busybox", "sleep", "1000")
    with DockerTerminal(served, "container", "exec", "-it", web, "sh") as terminal:
        terminal.type("stty size; tty\n")
        terminal.expect("24 80")
        terminal.expect("/dev/pts/")
        terminal.resize(40, 100)
        terminal.type("sleep 0.2; stty size\n")
        terminal.expect("40 100")
        terminal.type("exit 5\n")
        assert terminal.end() == 5
    with DockerTerminal(served, "run", "-it", "--name", web + "t", "busybox", "sh") as terminal:
        terminal.expect("/ #")
        terminal.type("\x10\x11")  # the detach keys
        assert terminal.end() == 0
    with DockerTerminal(served, "attach", web + "t") as terminal:
        terminal.type("exit 4\n")
        assert terminal.end() == 4
    served.ok("rm", "-f", web, web + "t")


class DockerTerminal(Terminal):
    """The docker command at a terminal."""

    def __init__(self, served: Served, *arguments: str) -> None:
        class Command:
            user = None

            @staticmethod
            def popen(*arguments: str, env: dict[str, str], **more: object) -> object:
                import subprocess

                return subprocess.Popen(served.argv(*arguments), env=served.env | env, **more)  # type: ignore[call-overload]

        super().__init__(Command, *arguments)  # type: ignore[arg-type]


def test_logs_also_while_they_are_written(served: Served) -> None:
    web = name()
    served.ok("run", "-d", "--name", web, "busybox", "sh", "-c", "echo one; echo two >&2; sleep 0.5; echo three")
    result = served.docker("logs", "-f", web)
    assert (result.code, result.out, result.err) == (0, "one\nthree\n", "two\n")
    assert served.ok("logs", "-n", "1", "-t", web).endswith("Z three\n")
    served.ok("rm", web)


def test_files_go_both_ways(served: Served, tmp_path: Path) -> None:
    web = name()
    served.ok("create", "--name", web, "busybox", "true")
    (tmp_path / "in").write_text("content")
    served.ok("cp", tmp_path / "in", f"{web}:/tmp/in")
    served.ok("cp", f"{web}:/tmp/in", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "content"
    assert "Could not find the file /nothere" in served.docker("cp", f"{web}:/nothere", tmp_path).err
    assert "A /tmp/in\n" in served.ok("diff", web)
    served.ok("export", "-o", tmp_path / "all.tar", web)
    import tarfile

    with tarfile.open(tmp_path / "all.tar") as archive:
        found = archive.extractfile("tmp/in")
        assert found is not None and found.read() == b"content"
    served.ok("rm", web)


def test_images_are_saved_loaded_tagged_and_removed(served: Served, tmp_path: Path) -> None:
    tag = f"kept:{uuid.uuid4().hex[:8]}"
    served.ok("tag", "busybox", tag)
    served.ok("save", "-o", tmp_path / "image.tar", tag)
    assert f"Untagged: {tag}" in served.ok("rmi", tag)
    assert served.ok("load", "-i", tmp_path / "image.tar") == f"Loaded image: {tag}\n"
    assert json.loads(served.ok("image", "inspect", tag))[0]["RepoTags"].count(tag) == 1
    assert "CREATED BY" in served.ok("history", tag)
    served.ok("rmi", tag)
    result = served.docker("rmi", "nothere:1")
    assert result.code == 1 and "No such image: nothere:1" in result.err


@pytest.mark.needs("registry")
def test_pull_and_push(served: Served, registry: Registry) -> None:
    target = f"{registry.host}/api/{uuid.uuid4().hex[:8]}:1"
    served.ok("tag", "busybox", target)
    pushed = served.ok("push", target)
    assert "digest: sha256:" in pushed
    served.ok("rmi", target)
    pulled = served.ok("pull", target)
    assert "Status: Downloaded newer image for" in pulled or "Status: Image is up to date" in pulled
    assert pushed.partition("digest: ")[2].split()[0] in pulled
    assert "Status: Image is up to date" in served.ok("pull", target)
    assert "manifest unknown" in served.docker("pull", target + "x").err
    served.ok("rmi", target)


@pytest.mark.needs("registry", "htpasswd")
def test_login_shows_credentials_that_go_with_each_request(served: Served, registry_with: object) -> None:
    registry: Registry = registry_with(auth="htpasswd")  # type: ignore[operator]
    target = f"{registry.host}/private:1"
    served.ok("tag", "busybox", target)
    assert served.docker("push", target).code == 1
    bad = served.docker("login", "-u", "alice", "--password-stdin", registry.host, input="wrong")
    assert bad.code == 1
    login = ("login", "-u", "alice", "--password-stdin", registry.host)
    assert "Login Succeeded" in served.ok(*login, input="wonderland")
    served.ok("push", target)
    served.ok("rmi", target)
    served.ok("pull", target)
    served.ok("logout", registry.host)
    served.ok("rmi", target)


def test_volumes(served: Served) -> None:
    volume = name()
    assert served.ok("volume", "create", "--label", "a=b", volume).strip() == volume
    served.ok("run", "--rm", "-v", f"{volume}:/data", "busybox", "sh", "-c", "echo kept >/data/file")
    assert served.ok("run", "--rm", "-v", f"{volume}:/data:ro", "busybox", "cat", "/data/file") == "kept\n"
    assert volume in served.ok("volume", "ls", "-q", "-f", "label=a=b")
    assert json.loads(served.ok("volume", "inspect", volume))[0]["Labels"] == {"a": "b"}
    assert served.ok("volume", "rm", volume).strip() == volume
    assert "no such volume" in served.docker("volume", "rm", volume).err


def test_networks_and_published_ports(served: Served) -> None:
    net, web = name(), name()
    served.ok("network", "create", "--label", "x=y", net)
    assert net in served.ok("network", "ls", "-f", "label=x=y", "--format", "{{.Name}}")
    served.ok("run", "-d", "--name", web, "--network", net, "--network-alias", "www", "-p", "127.0.0.1::80", "busybox",
              "httpd", "-f", "-p", "80", "-h", "/etc")  # fmt: skip
    port = served.ok("port", web, "80").strip()
    assert port.startswith("127.0.0.1:")
    import urllib.request

    with urllib.request.urlopen(f"http://{port}/hostname", timeout=20) as answer:
        assert answer.status == 200
    assert "root:" in served.ok("run", "--rm", "--network", net, "busybox", "wget", "-qO-", "http://www/passwd")
    assert web in served.ok("network", "inspect", net)
    served.ok("network", "connect", "bridge", web)
    served.ok("network", "disconnect", net, web)
    served.ok("rm", "-f", web)
    assert served.ok("network", "rm", net).strip() == net


def test_events_stats_and_room(served: Served) -> None:
    web = name()
    served.ok("run", "-d", "--name", web, "busybox", "sleep", "1000")
    figures = json.loads(served.ok("stats", "--no-stream", "--format", "json", web))
    assert figures["Name"] == web and figures["PIDs"] == "1"
    served.ok("rm", "-f", web)
    told = served.ok(
        "events", "--since", "10m", "--until", f"{time.time():.9f}", "-f", f"container={web}", "--format", "{{.Action}}"
    )
    assert {"create", "start", "kill", "die", "destroy"} <= set(told.split())
    assert "Images" in served.ok("system", "df")


def test_what_is_not_there_is_said_so(served: Served) -> None:
    assert "not a swarm manager" in served.docker("node", "ls").err
    assert served.ok("plugin", "ls", "-q") == ""
    assert served.docker("build", "-", input="FROM busybox\n").code != 0


def test_prune_leaves_nothing(wherry: Wherry, tmp_path: Path) -> None:
    from support import images

    wherry.load(images.busybox().docker_archive(tmp_path / "b.tar", "busybox:latest"))
    served = Served(wherry)
    try:
        served.ok("run", "--name", "one", "busybox", "true")
        served.ok("system", "prune", "-a", "-f")
        assert served.ok("ps", "-aq") == "" and served.ok("images", "-q") == ""
    finally:
        served.close()


def test_a_killed_server_is_nothing_to_containers(served: Served) -> None:
    web = name()
    served.ok("run", "-d", "--name", web, "busybox", "sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.1; done")
    served.kill()
    assert served.wherry.ok("ps", "-q", "--filter", f"name={web}").strip()
    served.restart()
    assert served.ok("inspect", "-f", "{{.State.Status}}", web) == "running\n"
    served.ok("stop", web)
    assert served.ok("inspect", "-f", "{{.State.ExitCode}}", web) == "9\n"
    served.ok("rm", web)


def test_it_ends_when_nobody_asks(wherry: Wherry) -> None:
    served = Served(wherry, "--idle-timeout", "1s")
    assert served.ok("ps", "-q") == ""
    eventually(lambda: served.process.poll() is not None)
    assert not served.socket.exists()
    served.close()


def test_without_root(as_user: Wherry) -> None:
    served = Served(as_user)
    try:
        assert "uid=0(root)" in served.ok("run", "--rm", "busybox", "id")
        web = name()
        served.ok("run", "-d", "--name", web, "busybox", "sleep", "1000")
        assert served.ok("exec", "-i", web, "cat", input="typed") == "typed"
        served.ok("cp", f"{web}:/etc/passwd", "-")
        assert served.ok("rm", "-f", web).strip() == web
    finally:
        served.close()
