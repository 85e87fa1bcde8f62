"""Networks and containers in them, as root's commands make them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest

from support.command import Wherry

SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture
def net(as_root: Wherry) -> Iterator[Callable[..., str]]:
    """``net("--internal")``: a network of the test's own, by its name."""
    made: list[str] = []

    def create(*options: str) -> str:
        name = f"n{os.getpid()}-{len(made)}"
        as_root.ok("network", "create", *options, name)
        made.append(name)
        return name

    yield create
    for name in made:
        as_root("network", "rm", "-f", name)


@pytest.fixture
def up(as_root: Wherry) -> Iterator[Callable[..., str]]:
    """``up("--network", "x")``: a container that sleeps; its id."""
    started: list[str] = []

    def run(*options: str) -> str:
        started.append(as_root.ok("run", "-d", *options, *SLEEP).strip())
        return started[-1]

    yield run
    if started:
        as_root("rm", "-f", *started)


def subnet() -> str:
    """The beginning of 254 addresses that are this process's own."""
    return f"10.{64 + os.getpid() // 256 % 64}.{os.getpid() % 256}"


def place(wherry: Wherry, container: str, network: str) -> dict[str, object]:
    (document,) = json.loads(wherry.ok("inspect", container))
    found: dict[str, object] = document["NetworkSettings"]["Networks"][network]
    return found


def ips(wherry: Wherry, container: str) -> list[str]:
    """The IPv4 addresses of a running container's interfaces, with prefixes, loopback excepted."""
    lines = wherry.ok("exec", container, "ip", "-o", "addr").splitlines()
    return [line.split()[3] for line in lines if line.split()[2] == "inet" and line.split()[1] != "lo"]


def reaches(wherry: Wherry, container: str, address: str) -> bool:
    return wherry("exec", container, "ping", "-c", "1", "-W", "1", address).code == 0
