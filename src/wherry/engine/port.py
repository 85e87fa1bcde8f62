"""``docker port``: where the ports of a container are published.

A container has the host's network, another container's or none in this version: nothing is ever published.
"""

from __future__ import annotations

from wherry.container.parse import expose
from wherry.engine.containers import find
from wherry.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine


def published(engine: Engine, name: str, port: str = "") -> list[str]:
    """Lines ``80/tcp -> 0.0.0.0:8080``; with ``port``, of that one.  Raises `NotFound`, `InvalidArgument`."""
    find(engine, name)
    if not port:
        return []
    raise NotFound("port", port, f"no public port '{expose(port)[0]}' published for {name}")
