"""``docker port``: where the ports of a container are published."""

from __future__ import annotations

from wherry.container.parse import expose
from wherry.engine.containers import find
from wherry.errors import NotFound
from wherry.store import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.engine.engine import Engine


def published(engine: Engine, name: str, port: str = "") -> list[str]:
    """Lines ``80/tcp -> 0.0.0.0:8080``; with ``port``, its places alone.  Raises `NotFound`, `InvalidArgument`."""
    row = find(engine, name)
    wanted = expose(port)[0] if port else ""
    lines = []
    for one in networks.ports_of(engine.db, row.id):
        own = f"{one.container_port}/{one.protocol}"
        place = host_place(one.host_ip, one.host_port)
        if wanted in ("", own):
            lines.append(place if wanted else f"{own} -> {place}")
    if wanted and not lines:
        raise NotFound("port", port, f"no public port '{wanted}' published for {name}")
    return lines


def host_place(host_ip: str, port: int | str) -> str:
    """An address and a port, the address in brackets where it has colons."""
    return f"[{host_ip}]:{port}" if ":" in host_ip else f"{host_ip}:{port}"
