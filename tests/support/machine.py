"""A machine of the test's own: a network namespace that Wherry takes for the host, with another host beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from support import leaks
from support.command import Wherry
from support.netns import Namespace, several


@dataclass
class Machine:
    """``host`` is 10.9.0.1, ``outside`` 10.9.0.2 and the host's way out; ``wherry`` works on ``host``, which does
    not forward until somebody asks it to."""

    wherry: Wherry
    host: Namespace
    outside: Namespace


@contextmanager
def machine() -> Iterator[Machine]:
    """One, without any container; none may be left."""
    with several(2) as (host, outside):
        host.cable("wan0", outside, "wan0")
        host.ip("address add 10.9.0.1/24 dev wan0", "route add default via 10.9.0.2")
        outside.ip("address add 10.9.0.2/24 dev wan0")
        outside.write("ipv4/ip_forward", "1")  # so that it says what it has no route to
        host.write("ipv4/ip_forward", "0")  # else the first namespace's
        wherry = Wherry.make()
        wherry.prefix = ("nsenter", f"--net={host.path}", "--")
        try:
            yield Machine(wherry, host, outside)
            found = leaks.settled(wherry.directory)
        finally:
            wherry.close()
        assert not found, "left behind:\n" + "\n".join(found)
