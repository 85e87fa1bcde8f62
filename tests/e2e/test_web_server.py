"""The commands that everybody types first, one after the other at a terminal, with Debian's nginx."""

from __future__ import annotations

import re
import socket
import urllib.request

import pytest

from support import images
from support.command import Wherry, wait_for
from support.registry import Registry
from support.terminal import Terminal


def typed(box: Wherry, *arguments: str, code: int = 0) -> str:
    """What a command shows at a terminal, without the terminal's carriage returns."""
    with Terminal(box, *arguments, columns=200) as terminal:
        assert terminal.end(60) == code, terminal.screen
        terminal.drain()
        assert terminal.mode_is_restored()
        return terminal.screen.decode().replace("\r\n", "\n")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def page(port: int) -> str:
    """What the server shows; nothing while it does not listen yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@pytest.mark.needs("registry", "debian", "busybox")
def test_the_first_hour(anyone: Wherry, registry: Registry) -> None:
    box = anyone
    assert "Server Version" in typed(box, "info")
    assert re.search(r"Version: +[0-9]", typed(box, "version"))
    name = registry.push(images.nginx(), "library/nginx:latest")
    shown = typed(box, "pull", name)
    assert "Status: Downloaded newer image for" in shown
    typed(box, "tag", name, "nginx")
    assert re.search(r"^nginx +latest +[0-9a-f]{12}", typed(box, "images"), re.MULTILINE)
    assert '"80/tcp": {}' in typed(box, "image", "inspect", "nginx")

    assert typed(box, "run", "nginx", "echo", "hello") == "hello\n"
    with Terminal(box, "run", "--rm", "-it", "nginx", "bash") as terminal:
        terminal.expect("# ")
        terminal.type("echo $((6*7)); exit 3\n")
        terminal.expect("42")
        assert terminal.end() == 3
        assert terminal.mode_is_restored()
    _limits(box)

    port = free_port()
    publish = () if box.user else ("--publish", f"127.0.0.1:{port}:80")
    identity = typed(box, "run", "-d", "--name", "webserver", *publish, "nginx").strip()
    assert re.fullmatch("[0-9a-f]{64}", identity)
    if box.user:  # whose containers have no ports on the host
        inside = ("exec", "webserver", "wget", "-q", "-O", "-", "http://127.0.0.1/")
        wait_for(lambda: "Welcome to nginx" in box(*inside).out)
    else:
        wait_for(lambda: "Welcome to nginx" in page(port))
    assert re.search(rf"^{identity[:12]} +nginx .* Up .* webserver", typed(box, "ps"), re.MULTILINE)
    assert box.user or f"127.0.0.1:{port}->80/tcp" in typed(box, "ps")
    wait_for(lambda: "GET / HTTP/1." in typed(box, "logs", "webserver"))
    with Terminal(box, "container", "exec", "-it", "webserver", "bash") as terminal:
        terminal.expect("# ")
        terminal.type("cat /proc/1/comm; stty size\n")
        terminal.expect("nginx")
        terminal.expect("24 80")
        if box.user is None:  # the tests' terminal signals only to root's processes
            terminal.resize(40, 100)
            wait_for(lambda: _size(terminal) == "40 100")
        terminal.type("exit\n")
        assert terminal.end() == 0
    _end(box)


def _size(terminal: Terminal) -> str:
    terminal.type("echo size: $(stty size) .\n")
    terminal.expect("size: $")
    terminal.expect("size: ")
    return terminal.expect(" .").removesuffix(" .")


def _limits(box: Wherry) -> None:
    """Root has them; who has no cgroup of his own is told so, by the name of the option's limit."""
    for option, files, value in (
        ("--memory=256m", "/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
        ("--cpus=.5", "/sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000"),
    ):
        command = ("run", "--rm", option, "nginx", "sh", "-c", f"cat {files} 2>/dev/null || true")
        if box.user is None:
            assert value in typed(box, *command)
        else:
            assert "cgroup" in typed(box, *command, code=125)


def _end(box: Wherry) -> None:
    assert typed(box, "stop", "webserver") == "webserver\n"
    assert "webserver" not in typed(box, "ps")
    assert re.search(r"Exited \(0\) .* webserver", typed(box, "ps", "-a"))
    assert typed(box, "start", "webserver") == "webserver\n"
    assert typed(box, "kill", "webserver") == "webserver\n"
    assert typed(box, "wait", "webserver") == "137\n"
    assert "Exited (137)" in typed(box, "ps", "-a")
    assert typed(box, "rm", "webserver") == "webserver\n"
    left = typed(box, "ps", "-a", "-q").split()
    assert len(left) == 1
    assert typed(box, "rm", *left).split() == left
    assert "Untagged: nginx:latest" in typed(box, "rmi", "nginx")
    with Terminal(box, "system", "prune", "-a", columns=200) as terminal:
        terminal.expect("[y/N] ")
        terminal.type("y\n")
        terminal.expect("Total reclaimed space: ")
        assert terminal.end() == 0
    assert typed(box, "images", "-q") == ""
