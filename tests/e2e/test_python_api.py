"""``import wherry``: the verbs and environments as functions, in programs with threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import wherry as library
from support import environments, images, wheels
from support.command import ROOT, Wherry, wait_for
from wherry.errors import Conflict, Corrupt, InvalidArgument, NotFound


@pytest.fixture
def client(wherry: Wherry, busybox: images.Built, scratch: Path) -> library.Client:
    wherry.load(busybox.docker_archive(scratch / "image.tar", "busybox:latest"))
    return library.Client(root=str(wherry.root), run_root=str(wherry.run_root), config=str(wherry.directory / "config"))


def python(code: str, *arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": os.environ["PATH"], "HOME": "/nonexistent"}, timeout=120, **more,  # type: ignore[call-overload]
    )  # fmt: skip


def test_importing_costs_nothing() -> None:
    done = python("""
        import sys
        before = set(sys.modules)
        import wherry
        print(sorted(set(sys.modules) - before))
        assert {"Env", "run", "ps", "pull"} <= set(dir(wherry))
        wherry.Env, wherry.run, wherry.Completed
        try:
            wherry.nothing
        except AttributeError as error:
            print(error)
    """)
    assert done.stdout == "['wherry']\nmodule 'wherry' has no attribute 'nothing'\n", done.stderr


@pytest.mark.needs("root", "busybox")
def test_commands(client: library.Client, scratch: Path) -> None:
    done = client.run(
        "busybox", ["sh", "-c", "cat; echo $A $(pwd) >&2; exit 3"], capture=True, input=b"given", env={"A": "b"},
        workdir="/tmp", network="none", memory="64m", cpus=1.5,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (3, b"given", b"b /tmp\n")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        client.run("busybox", ["sh", "-c", "echo x; false"], capture=True, check=True, network="none")
    assert caught.value.stdout == b"x\n"
    (scratch / "data").mkdir()
    client.run("busybox", ["touch", "/data/x"], volumes=[f"{scratch}/data:/data"], network="none", check=True)
    assert (scratch / "data" / "x").exists()
    with pytest.raises(NotFound) as missing:
        client.exec("nothing", "true")
    assert (missing.value.message, missing.value.kind) == ("No such container: nothing", "container")
    with pytest.raises(InvalidArgument):
        client.run("busybox", "true", memory="much")
    with pytest.raises(TypeError):
        client.run("busybox", "true", capture=True, hostname_=1)  # type: ignore[call-arg]


@pytest.mark.needs("root", "busybox")
def test_containers_and_images(client: library.Client) -> None:
    identity = client.run_detached(
        "busybox",
        ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"],
        name="mine",
        network="none",
        labels={"a": "b"},
    )
    assert [one["Id"] for one in client.ps(filters={"label": ["a=b"]})] == [identity]
    assert client.inspect("mine")["State"]["Running"] is True
    assert client.exec("mine", ["sh", "-c", "cat; exit 4"], capture=True, input=b"x").stdout == b"x"
    wait_for(lambda: client.logs("mine") == (b"out\n", b"err\n"))
    client.stop("mine", timeout=0)
    assert client.ps() == [] and len(client.ps(all=True)) == 1
    with pytest.raises(Conflict):
        client.exec("mine", "true")
    client.rm("mine")
    client.tag("busybox", "other:1")
    assert any("other:1" in one.repo_tags for one in client.images())
    client.rmi("other:1")
    assert client.inspect("busybox")["RepoTags"] == ["busybox:latest"]
    with pytest.raises(NotFound):
        client.inspect("other:1")


@pytest.mark.needs("root", "busybox")
def test_any_thread_may_call(client: library.Client) -> None:
    done = threading.Event()
    busy = [threading.Thread(target=lambda: [sum(range(100)) for _ in iter(done.is_set, True)]) for _ in range(3)]
    for thread in busy:
        thread.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            found = pool.map(
                lambda number: client.run("busybox", ["echo", str(number)], capture=True, network="none").stdout,
                range(8),
            )
            assert list(found) == [b"%d\n" % number for number in range(8)]
    finally:
        done.set()
        for thread in busy:
            thread.join()
    assert client.ps(all=True) == []


@pytest.mark.needs("root", "busybox")
def test_an_interrupt_ends_the_container(client: library.Client) -> None:
    place = client.place
    code = f"""
        import wherry, sys
        client = wherry.Client(root={place.root!r}, run_root={place.run!r}, config={place.config!r})
        try:
            client.run("busybox", ["sh", "-c", "echo ready; exec sleep 1000"], network="none", init=True)
        except KeyboardInterrupt:
            print("interrupted", client.ps(all=True))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT / "src")}
    )
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 6) == b"ready\n"
    time.sleep(0.1)  # until the call waits; either way it ends
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert out == b"interrupted []\n"


@pytest.mark.needs("root", "busybox", "registry", "debian")
def test_an_environment(
    client: library.Client, env_project: Path, env_base: tuple[str, str], scratch: Path
) -> None:  # fmt: skip
    env = library.Env.from_lock(env_project / "pylock.toml", client=client)
    assert env.packages() == {"alpha": "1.0", "beta": "1.0", "big": "1.0"} and env.folder == str(env_project)
    lines: list[str] = []
    built = env.build("team/env:1", progress=lines.append)
    assert built.new and built.digest.startswith("sha256:") and any("beta" in line for line in lines)
    again = library.Env.from_folder(env_project, client=client).build()
    assert (again.new, again.digest) == (False, built.digest)
    code = "import beta, os; open('made', 'w'); print(os.getcwd(), sorted(beta.VALUE))"
    done = env.run(["python", "-c", code], capture=True, check=True, network="none")
    assert done.stdout == b"/workspace ['a', 'b', 'c']\n"
    assert (env_project / "made").stat().st_uid == os.geteuid()
    with pytest.raises(NotFound, match="there is no"):
        library.Env.from_lock(scratch / "none.toml", client=client)
    with pytest.raises(NotFound, match="there is no folder"):
        library.Env.from_folder(scratch / "none", client=client)
    lie = environments.locked(wheels.make(scratch / "index", "delta", files={"delta.py": ""}), sha256="1" * 64)
    environments.write(env_project, env_base, [lie])
    with pytest.raises(Corrupt, match="delta"):
        env.run(["true"], network="none")
