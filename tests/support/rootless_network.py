"""The command line of a user whose host is a network namespace, with another host outside of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import images, leaks
from support.command import Wherry
from support.netns import Namespace, several
from support.tun import Place
from support.users import User


@dataclass
class Hosted(Wherry):
    """``prefix`` makes the command the user's, there."""

    def popen(self, *arguments: object, **more: object) -> object:  # type: ignore[override]
        return super().popen(*arguments, **({"user": None, "group": None, "extra_groups": None} | more))  # type: ignore[arg-type]


@dataclass
class World:
    """``host`` is 10.9.0.1, ``outside`` 10.9.0.2 and the host's way out."""

    wherry: Hosted
    host: Namespace
    outside: Namespace

    def programs(self) -> list[int]:
        """Who of the host's network namespace is pasta or slirp4netns."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                command = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")[0]
                same = os.stat(f"/proc/{name}/ns/net").st_ino == os.fstat(self.host.fd).st_ino
            except OSError:
                continue
            if same and command in (b"pasta", b"slirp4netns"):
                found.append(int(name))
        return found


def fetch(space: Namespace, address: str, port: int, path: str = "/page") -> bytes:
    """The body of a page, from inside a namespace."""
    with space.connect(address, port) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        data = b""
        while piece := connection.recv(4096):
            data += piece
    return data.partition(b"\r\n\r\n")[2]


@contextmanager
def loaded(user: User, busybox: images.Built) -> Iterator[World]:
    """A world whose user has the image busybox, and leaves nothing."""
    with world(user) as one:
        load(one.wherry, busybox)
        yield one
        found = leaks.settled(one.wherry.directory)
        assert not found, "left behind:\n" + "\n".join(found)


def load(wherry: Wherry, busybox: images.Built) -> None:
    """Have the image busybox."""
    archive = busybox.docker_archive(wherry.directory / "busybox.tar", "busybox")
    archive.chmod(0o644)
    wherry.load(archive)


@contextmanager
def world(user: User) -> Iterator[World]:
    """One, for a user; what its containers leave is the caller's to look for."""
    with several(2) as (host, outside):
        host.cable("wan0", outside, "wan0")
        host.ip("address add 10.9.0.1/24 dev wan0", "route add default via 10.9.0.2")
        outside.ip("address add 10.9.0.2/24 dev wan0")
        with Place(host, user.uid) as place:
            made = Wherry.make(user)
            wherry = Hosted(made.directory, user, {}, place.prefix)
            try:
                yield World(wherry, host, outside)
            finally:
                wherry.close()
