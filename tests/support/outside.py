"""Other hosts: network namespaces on a link of their own, from which the tests look at this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """Another host in the namespace ``name`` with the address ``own``; ``peer`` is this host's on the link to it."""

    name: str
    own: str
    peer: str
    own6: str
    peer6: str

    def run(self, *command: str, timeout: float = 30, input: str | None = None) -> subprocess.CompletedProcess[str]:
        argv = ["ip", "netns", "exec", self.name, *command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False, input=input)

    def popen(self, *command: str, **more: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["ip", "netns", "exec", self.name, *command], **more)  # type: ignore[call-overload,no-any-return]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def host(number: int) -> Iterator[Host]:
    """One; ``number`` tells those of one test apart.  Its link is 198.18.x.0/30 (RFC 2544), by the process's number."""
    tag = f"{os.getpid() % 4096:x}-{number}"
    part = f"198.{18 + os.getpid() % 2}.{os.getpid() // 2 % 256}"
    base = number * 4
    one = Host(
        f"wt-{tag}", f"{part}.{base + 2}", f"{part}.{base + 1}",
        f"fd77:{os.getpid() % 65536:x}:{number}::2", f"fd77:{os.getpid() % 65536:x}:{number}::1",
    )  # fmt: skip
    _ip("netns", "add", one.name)
    try:
        _ip("link", "add", f"wto{tag}", "type", "veth", "peer", "name", "eth0", "netns", one.name)
        _ip("address", "add", f"{one.peer}/30", "dev", f"wto{tag}")
        _ip("-6", "address", "add", f"{one.peer6}/64", "dev", f"wto{tag}", "nodad")
        _ip("link", "set", f"wto{tag}", "up")
        _ip("-n", one.name, "link", "set", "lo", "up")
        _ip("-n", one.name, "address", "add", f"{one.own}/30", "dev", "eth0")
        _ip("-n", one.name, "-6", "address", "add", f"{one.own6}/64", "dev", "eth0", "nodad")
        _ip("-n", one.name, "link", "set", "eth0", "up")
        _ip("-n", one.name, "route", "add", "default", "via", one.peer)
        _ip("-n", one.name, "-6", "route", "add", "default", "via", one.peer6)
        yield one
    finally:
        _ip("netns", "delete", one.name)
        subprocess.run(["ip", "link", "delete", f"wto{tag}"], check=False, capture_output=True)
