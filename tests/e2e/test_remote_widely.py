"""Every verb over an API, once on our own server and once on a Docker daemon: the same test for both."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tarfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import images, needs
from support.command import Wherry, wait_for
from support.dockerd import Dockerd, NotHere
from support.registry import PASSWORD, USER, Registry
from support.remote import Far
from support.serving import Served
from support.terminal import Terminal

pytestmark = [pytest.mark.needs("root", "debian", "busybox"), pytest.mark.xdist_group("dockerd")]


@pytest.fixture(scope="module", params=["wherry", "dockerd"])
def far(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    """The command line that speaks to the one engine or the other, which has the image busybox."""
    archive = images.busybox().docker_archive(tmp_path_factory.mktemp("wide") / "busybox.tar", "busybox:latest")
    wherry = Wherry.make()
    engine: Served | Dockerd
    try:
        if request.param == "wherry":
            wherry.ok("info")
            engine = Served(wherry)
        else:
            if not needs.present("dockerd"):
                pytest.skip(needs.reason("dockerd"))
            try:
                engine = Dockerd()
            except NotHere:
                pytest.skip(needs.reason("dockerd"))
        one = Far.of(wherry, "-H", f"unix://{engine.socket}")
        assert one.ok("load", "-i", archive) == "Loaded image: busybox:latest\n"
        yield one
        engine.close()
    finally:
        wherry.close()


def name() -> str:
    return "w-" + uuid.uuid4().hex[:12]


@pytest.fixture
def web(far: Far) -> Iterator[str]:
    """The name of a container that sleeps; removed at the end."""
    found = name()
    far.ok("run", "-d", "--name", found, "--network", "none", "-m", "64m", "busybox", "sleep", "1000")
    yield found
    far("rm", "-f", "-v", found)


def test_a_life(far: Far, web: str) -> None:
    def state() -> str:
        return far.ok("inspect", "-f", "{{.State.Status}}", web).strip()

    assert web in far.ok("ps", "--format", "{{.Names}}")
    assert far.ok("pause", web) == f"{web}\n" and state() == "paused"
    assert "(Paused)" in far.ok("ps", "-f", f"name={web}")
    assert far.ok("unpause", web) == f"{web}\n" and state() == "running"
    assert far.ok("update", "-m", "96m", "--memory-swap", "96m", "--restart", "no", web) == f"{web}\n"
    assert far.ok("inspect", "-f", "{{.HostConfig.Memory}}", web) == f"{96 << 20}\n"
    other = name()
    assert far.ok("rename", web, other) == "" and far.ok("rename", other, web) == ""
    assert "sleep 1000" in far.ok("top", web) and "PID" in far.ok("top", web, "-o", "pid,args")
    assert far.ok("restart", "-t", "0", web) == f"{web}\n" and state() == "running"
    waiting = far.popen("wait", web)
    assert far.ok("kill", "-s", "KILL", web) == f"{web}\n"
    assert waiting.communicate(timeout=20)[0] == b"137\n"
    assert far.ok("start", web) == f"{web}\n"
    assert far.ok("stop", "-t", "0", web, web) == f"{web}\n{web}\n" and state() == "exited"
    assert far.ok("container", "prune", "-f").startswith("Deleted Containers:\n")
    result = far("inspect", web)
    assert (result.code, result.out) == (1, "[]\n") and web in result.err


def test_numbers_and_events(far: Far, web: str) -> None:
    figures = json.loads(far.ok("stats", "--no-stream", "--format", "json", web))
    assert (figures["Container"], figures["Name"]) == (web, web) and figures["MemUsage"].endswith(" / 64MiB")
    assert web in far.ok("stats", "--no-stream", "-a")
    since = f"{time.time():.9f}"
    follower = far.popen("events", "--since", since, "-f", f"container={web}", "--format", "{{.Action}}")
    far.ok("rm", "-f", web)
    assert follower.stdout is not None
    seen = [follower.stdout.readline().decode().strip()]
    while seen[-1] != "destroy":
        seen.append(follower.stdout.readline().decode().strip())
    follower.terminate()
    follower.communicate()
    assert {"kill", "die"} <= set(seen)
    lines = far.ok("events", "--since", since, "--until", "0s", "-f", f"container={web}").splitlines()
    assert any(" container destroy " in line and f"name={web}" in line for line in lines)


def test_files(far: Far, web: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_text("content")
    (tree / "link").symlink_to("sub/file")
    far.ok("cp", tree, f"{web}:/made")  # under a new name
    far.ok("cp", tree, f"{web}:/made")  # into what is there now
    far.ok("cp", f"{tree}/.", f"{web}:/tmp")
    for path in ("/made/sub/file", "/made/tree/sub/file", "/tmp/sub/file", "/made/link"):
        assert far.ok("exec", web, "cat", path) == "content"
    far.ok("cp", f"{web}:/made", tmp_path / "back")
    assert (tmp_path / "back/tree/sub/file").read_text() == "content" and (tmp_path / "back/link").is_symlink()
    far.ok("cp", "-L", f"{web}:/made/link", tmp_path / "followed")
    assert (tmp_path / "followed").read_text() == "content"
    data = far("cp", f"{web}:/made/sub", "-").raw
    (tmp_path / "sub.tar").write_bytes(data)
    with tarfile.open(tmp_path / "sub.tar") as archive:
        assert archive.getnames() == ["sub", "sub/file"]
    far.ok("exec", web, "mkdir", "/from-tar")
    assert far("cp", "-", f"{web}:/from-tar", input=data).code == 0
    assert far.ok("exec", web, "cat", "/from-tar/sub/file") == "content"
    assert "A /made\n" in far.ok("diff", web) and "C /tmp\n" in far.ok("diff", web)
    missing = far("cp", f"{web}:/nosuch", tmp_path)
    assert missing.code == 1 and f"Could not find the file /nosuch in container {web}" in missing.err
    far.ok("export", "-o", tmp_path / "all.tar", web)
    with tarfile.open(tmp_path / "all.tar") as archive:
        assert {"made/sub/file", "usr/bin/busybox"} <= set(archive.getnames())


def test_images_that_are_made(far: Far, web: str, tmp_path: Path) -> None:
    far.ok("exec", web, "sh", "-c", "echo kept > /kept")
    made, imported = f"{name()}:1", f"{name()}:2"
    identity = far.ok("commit", "-m", "words", "-c", 'CMD ["cat", "/kept"]', web, made).strip()
    assert far.ok("run", "--rm", "--network", "none", made) == "kept\n"
    assert far.ok("image", "inspect", "-f", "{{.Id}} {{.Comment}}", made) == f"{identity} words\n"
    assert "words" in far.ok("history", made) and made.partition(":")[0] in far.ok("images")
    far.ok("save", "-o", tmp_path / "made.tar", made)
    assert f"Untagged: {made}\n" in far.ok("rmi", made)
    assert far.ok("load", "-i", tmp_path / "made.tar") == f"Loaded image: {made}\n"
    process = far.popen("save", made)
    out, _err = process.communicate(timeout=60)
    assert process.returncode == 0 and far("load", input=out).out == f"Loaded image: {made}\n"
    far.ok("export", "-o", tmp_path / "all.tar", web)
    text = far.ok("import", "-m", "came", "-c", "ENV A=1", tmp_path / "all.tar", imported)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", text)
    assert far.ok("run", "--rm", "--network", "none", imported, "sh", "-c", "cat /kept; echo $A") == "kept\n1\n"
    far.ok("tag", imported, f"{imported}x")
    assert far("rmi", made, imported, f"{imported}x").code == 0
    assert "Total reclaimed space:" in far.ok("image", "prune", "-f")


@pytest.mark.needs("registry", "htpasswd")
def test_registries(far: Far, registry_with: Callable[..., Registry]) -> None:
    """With the credentials that are kept here."""
    registry = registry_with(auth="htpasswd")
    target = f"{registry.host}/far/{name()}:1"
    far.ok("tag", "busybox", target)
    refused = far("push", target)
    assert refused.code == 1 and len(refused.err.splitlines()) <= 2
    far.ok("login", "-u", USER, "--password-stdin", registry.host, input=PASSWORD)
    pushed = far.ok("push", target)
    digest = re.search(r"^1: digest: (sha256:[0-9a-f]{64}) size: \d+$", pushed, re.MULTILINE)
    assert digest and pushed.startswith(f"The push refers to repository [{target.removesuffix(':1')}]\n")
    far.ok("rmi", target)
    lines = far.ok("pull", target).splitlines()
    assert lines[-3] == f"Digest: {digest[1]}" and lines[-1] == target
    assert re.fullmatch(f"Status: (Downloaded newer image|Image is up to date) for {target}", lines[-2])
    assert lines.count(f"1: Pulling from {target.partition('/')[2].removesuffix(':1')}") == 1
    far.ok("rmi", target)
    result = far("run", "--rm", "--network", "none", target, "echo", "pulled")
    assert result.out == "pulled\n" and result.err.startswith(f"Unable to find image '{target}' locally\n")
    missing = far("pull", f"{target}nosuch")
    assert missing.code == 1 and "manifest unknown" in missing.err
    far.ok("rmi", target)
    far.ok("logout", registry.host)
    assert far("pull", target).code == 1


def test_networks_and_ports(far: Far) -> None:
    net, web = name(), name()
    far.ok("network", "create", "--label", "x=y", "--subnet", "10.213.7.0/24", "--gateway", "10.213.7.1", net)
    try:
        assert far.ok("network", "ls", "-f", "label=x=y", "--format", "{{.Name}}") == f"{net}\n"
        form = "{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}"
        assert far.ok("network", "inspect", "-f", form, net) == "10.213.7.0/24 10.213.7.1\n"
        options = ["--network-alias", "www", "--ip", "10.213.7.9", "-p", "127.0.0.1::80"]
        far.ok(
            "run", "-d", "--name", web, "--network", net, *options, "busybox", "httpd", "-f", "-p", "80", "-h", "/etc"
        )
        form = f'{{{{(index .NetworkSettings.Networks "{net}").IPAddress}}}}'
        assert far.ok("inspect", "-f", form, web) == "10.213.7.9\n"
        place = far.ok("port", web, "80").strip()
        assert far.ok("port", web) == f"80/tcp -> {place}\n" and place.startswith("127.0.0.1:")
        assert f"{place}->80/tcp" in far.ok("ps", "-f", f"name={web}")
        with urllib.request.urlopen(f"http://{place}/hostname", timeout=20) as answer:
            assert answer.status == 200
        found = far.ok("run", "--rm", "--network", net, "busybox", "wget", "-qO-", "http://www/passwd")
        assert found.startswith("root:")
        far.ok("network", "disconnect", net, web)
        far.ok("network", "connect", "--ip", "10.213.7.10", "--alias", "other", net, web)
        assert '"10.213.7.10"' in far.ok("inspect", web)
    finally:
        far("rm", "-f", web)
        assert far.ok("network", "rm", net) == f"{net}\n"
    two = [name(), name()]
    try:
        for one in two:
            far.ok("network", "create", one)
        far.ok("create", "--name", web, "--network", two[0], "--network", f"name={two[1]},alias=www", "busybox")
        assert sorted(json.loads(far.ok("inspect", "-f", "{{json .NetworkSettings.Networks}}", web))) == sorted(two)
    finally:
        far("rm", "-f", web)
        far("network", "rm", *two)


def test_volumes_and_what_takes_room(far: Far) -> None:
    volume, web = name(), name()
    assert far.ok("volume", "create", "--label", "a=b", volume) == f"{volume}\n"
    far.ok("run", "--name", web, "--network", "none", "-v", f"{volume}:/v", "busybox", "sh", "-c", "echo kept > /v/f")
    assert far.ok("volume", "ls", "-q", "-f", "label=a=b") == f"{volume}\n"
    assert far.ok("volume", "inspect", "-f", "{{.Name}} {{.Labels.a}}", volume) == f"{volume} b\n"
    lines = far.ok("system", "df").splitlines()
    assert [line.split("  ")[0] for line in lines] == ["TYPE", "Images", "Containers", "Local Volumes", "Build Cache"]
    assert volume in far.ok("system", "df", "-v")
    used = far("volume", "rm", volume)
    assert used.code == 1 and "volume is in use" in used.err
    identity = far.ok("ps", "-aqf", f"name={web}", "--no-trunc")
    assert f"Deleted Containers:\n{identity}" in far.ok("system", "prune", "-f")
    assert far.ok("volume", "rm", volume) == f"{volume}\n" and far("volume", "rm", "-f", volume).code == 0


def test_a_life_that_ends_itself(far: Far, tmp_path: Path) -> None:
    """--rm, --cidfile, the exit status, and no container where its command is not there."""
    web, cidfile = name(), tmp_path / "cid"
    far.ok("run", "-d", "--rm", "--name", web, "--cidfile", cidfile, "--network", "none", "busybox", "sleep", "1000")
    assert far.ok("inspect", "-f", "{{.Id}}", web).strip() == cidfile.read_text()
    again = far("run", "--cidfile", cidfile, "--network", "none", "busybox", "true")
    assert again.code == 125 and "container ID file found" in again.err
    far.ok("stop", "-t", "0", web)
    wait_for(lambda: not far.ok("ps", "-aqf", f"name={web}"))
    result = far("run", "--rm", "--name", web, "--network", "none", "busybox", "nosuch")
    assert result.code == 127 and "executable file not found" in result.err
    assert not far.ok("ps", "-aqf", f"name={web}")
    assert far("run", "-d", "--rm", "--name", web, "--network", "none", "busybox", "nosuch").code == 127
    assert not far.ok("ps", "-aqf", f"name={web}")


def test_what_is_not_there_is_said(far: Far) -> None:
    for command in (["boot"], ["system", "check"], ["debug", "plan", "busybox"], ["serve"], ["env", "ls"]):
        result = far(*command)
        assert result.code in (1, 125) and not result.out
        first, hint = result.err.splitlines()
        shown = " ".join(command[: 2 if command[0] in ("system", "debug", "env") else 1])
        assert first.startswith(f"wherry: 'wherry {shown}' works on this machine's own") and "(-H)" in first
        assert "wherry --context default" in hint
    for command in (["pull", "--all-platforms", "x"], ["push", "--compression", "zstd", "x"], ["images", "--tree"]):
        result = far(*command)
        assert result.code == 1 and "not" in result.err


def test_words_are_completed(far: Far, web: str) -> None:
    host = far.options
    done = subprocess.run(
        [*Far.of(far).argv("__complete"), *host, "stop", web[:6]],
        env=far.environment(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert web in done.stdout.split()


def test_who_answers(far: Far) -> None:
    assert re.search(r"^ Endpoint: +unix://\S+ \(-H\)$", far.ok("info"), re.MULTILINE)
    assert re.search(r"^  API version: +1\.\d+ \(minimum version 1\.\d+\)$", far.ok("version"), re.MULTILINE)
    client, server = far.ok("version", "-f", "{{.Client.APIVersion}} {{.Server.APIVersion}}").split()
    assert client == server
    assert json.loads(far.ok("info", "-f", "json"))["ClientInfo"]["Context"] == "default"


def test_a_terminal_that_is_left_and_joined_again(far: Far, web: str) -> None:
    other = f"{web}t"
    with Terminal(far, "run", "-it", "--rm", "--name", other, "--network", "none", "busybox", "sh") as terminal:
        terminal.expect("# ")
        terminal.resize(40, 100)
        terminal.type("while [ \"$(stty size)\" != '40 100' ]; do usleep 10000; done; echo re''sized\n")
        terminal.expect("resized")
        terminal.type("\x10\x11")
        assert terminal.end() == 0
    with Terminal(far, "attach", "--detach-keys", "ctrl-x,x", other) as terminal:
        terminal.expect("# ")  # drawn anew
        terminal.type("echo st''ill\n")
        terminal.expect("still")
        terminal.type("\x18x")
        assert terminal.end() == 1
    with Terminal(far, "attach", other) as terminal:
        terminal.type("exit 4\n")
        assert terminal.end() == 4
    with Terminal(far, "exec", "-it", web, "sh") as terminal:
        terminal.expect("# ")
        terminal.type("stty size; exit 6\n")
        terminal.expect("24 80")
        assert terminal.end() == 6


def test_input_output_and_signals(far: Far, web: str) -> None:
    result = far("exec", "-i", web, "sh", "-c", "cat; echo err >&2; exit 3", input="typed\n")
    assert (result.code, result.out, result.err) == (3, "typed\n", "err\n")
    data = bytes(range(256)) * 8_000
    command = ("run", "--rm", "-i", "--network", "none", "busybox", "cat")
    process = far.popen(*command, stdin=subprocess.PIPE)
    out, err = process.communicate(data, timeout=60)
    assert (process.returncode, err) == (0, b"") and out == data
    script = "trap 'echo got; exit 9' TERM; echo ready; while :; do usleep 10000; done"
    process = far.popen("run", "--rm", "--network", "none", "busybox", "sh", "-c", script)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (9, b"got\n", b"")
