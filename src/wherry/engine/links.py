"""The links of the default network (Docker's legacy ``--link``): as they are shown, and taken away.

They are kept with a container's place in that network, as "container:alias"; what a container has of them is made when
it starts (`wherry.engine.names.linked`).
"""

from __future__ import annotations

import os

from wherry.engine.containers import ALIVE, find
from wherry.errors import Conflict, NotFound
from wherry.network.model import settings_from, to_json
from wherry.store import containers, networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.store.containers import ContainerRow
    from wherry.store.networks import EndpointRow

_DEFAULT = "bridge"


def described(engine: Engine, record: ContainerRecord) -> tuple[str, ...]:
    """``HostConfig.Links``: "/container:/name/alias", with the names that both have now."""
    found = []
    for _place, link in _links(engine, networks.endpoints_of(engine.db, record.id)):
        target, alias = _names(engine, link)
        found.append(f"/{target}:/{record.name}/{alias}")
    return tuple(found)


def names(engine: Engine, places: Mapping[str, Sequence[EndpointRow]]) -> dict[str, list[str]]:
    """What containers are called by those that are linked to them, "/name/alias", by id; ``places`` are everybody's."""
    found: dict[str, list[str]] = {}
    for place, link in _links(engine, [row for rows in places.values() for row in rows]):
        target, source = _row(engine, link.partition(":")[0]), _row(engine, place.container_id)
        if target is not None and source is not None:
            found.setdefault(target.id, []).append(f"/{source.name}/{_names(engine, link)[1]}")
    return found


def unlink(engine: Engine, name: str) -> None:
    """``docker rm --link``: take away the link NAME/ALIAS, of a running container from its hosts file as well.

    Raises `NotFound`, `Conflict` for the name of a container.
    """
    source, slash, alias = name.strip("/").rpartition("/")
    row = find(engine, source if slash else alias)
    if not slash:
        raise Conflict("Conflict, cannot remove the default link name of the container")
    with engine.db.transaction():
        for place, link in _links(engine, networks.endpoints_of(engine.db, row.id)):
            if _names(engine, link)[1] == alias:
                settings = settings_from(place.settings)
                rest = settings.replace(links=tuple([one for one in settings.links if one != link]))
                networks.settle(engine.db, place.id, to_json(rest))
                break
        else:
            raise NotFound("container", name)
    target = _row(engine, link.partition(":")[0])
    if target is not None and row.status in ALIVE:
        _forget(f"{engine.layout.container(row.id)}/hosts", alias, target.id[:12])


def _links(engine: Engine, places: Iterable[EndpointRow]) -> list[tuple[EndpointRow, str]]:
    """The links among these places, each with its place."""
    linked = [place for place in places if '"links"' in place.settings]
    default = networks.find(engine.db, _DEFAULT).id if linked else ""
    return [
        (place, link) for place in linked if place.network_id == default for link in settings_from(place.settings).links
    ]


def _names(engine: Engine, link: str) -> tuple[str, str]:
    """The name that the container of a link has now, and what it is called by the link."""
    target, _colon, alias = link.partition(":")
    row = _row(engine, target)
    name = row.name if row is not None else target
    return name, alias or name


def _row(engine: Engine, name: str) -> ContainerRow | None:
    try:
        return containers.get(engine.db, name)
    except NotFound:
        return None


def _forget(path: str, alias: str, short_id: str) -> None:
    """Take a link's line out of a hosts file, in place: it is mounted in the container."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        lines = os.read(fd, 1 << 20).splitlines(keepends=True)
        kept = b"".join([line for line in lines if line.split()[1:3] != [alias.encode(), short_id.encode()]])
        os.pwrite(fd, kept, 0)
        os.ftruncate(fd, len(kept))
    finally:
        os.close(fd)
