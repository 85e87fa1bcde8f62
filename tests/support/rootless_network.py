"""The command line of a user whose host is a network namespace, with another host outside of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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
