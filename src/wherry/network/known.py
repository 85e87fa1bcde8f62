"""The names that a container's networks give it: read from the database, kept until that changes."""

from __future__ import annotations

from wherry.network.model import endpoint_from, from_row, settings_from
from wherry.network.nameserver import Known
from wherry.store import networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.network.model import Network
    from wherry.store.db import Database

    ByName = dict[str, tuple[str, ...]]
    Member = tuple[list[str], tuple[str, ...]]  # what it is called, the first first, and its addresses

DEFAULT = "bridge"  # which knows no names, as in Docker


class Names:
    """What one container finds by name, as the database has it now."""

    def __init__(self, db: Database, container_id: str) -> None:
        self._db = db
        self._container = container_id
        self._version = -1
        self._known = Known()

    def __call__(self) -> Known:
        """Costs one question to SQLite when nothing has changed.  Raises what the database does."""
        row = self._db.row("PRAGMA data_version")
        version = int(row[0]) if row else 0
        if version != self._version:
            self._known = read(self._db, self._container)
            self._version = version
        return self._known


def read(db: Database, container_id: str) -> Known:
    """The names of all running containers that share a network with this one; by way of the network that is also the
    way out where there are several, and of internal ones last, as in Docker."""
    addresses: list[ByName] = []
    names: dict[str, str] = {}
    forwards = False
    active = [place for place in networks.endpoints_of(db, container_id) if place.active]
    found = [(from_row(networks.find(db, place.network_id)), place) for place in active]
    found.sort(key=lambda one: (one[0].internal, -endpoint_from(one[1].record).gateway_priority, one[0].name))
    for network, place in found:
        forwards = forwards or not network.internal
        if network.name == DEFAULT:
            continue
        members = _members(db, network)
        addresses.append(_by_name(network, members, settings_from(place.settings).links))
        for called, own in members:
            for address in own:
                names.setdefault(address, f"{called[0]}.{network.name}")
    return Known(tuple(addresses), names, forwards)


def _members(db: Database, network: Network) -> list[Member]:
    found: list[Member] = []
    for row, name in networks.members(db, network.id):
        own = endpoint_from(row.record)
        called = [name, *[one for one in own.names if one != name], *settings_from(row.settings).aliases]
        found.append((called, tuple([one.partition("/")[0] for one in (own.ipv4, own.ipv6) if one])))
    return found


def _by_name(network: Network, members: list[Member], links: tuple[str, ...]) -> ByName:
    """By name, and by name and network ("web.frontend"); a link is one more name, for this container alone."""
    found: ByName = {}
    for called, own in members:
        for name in {name.lower() for name in called}:
            for one in (name, f"{name}.{network.name.lower()}"):
                found[one] = found.get(one, ()) + own
    for link in links:
        target, _colon, alias = link.partition(":")
        if target.lower() in found and alias:
            found[alias.lower()] = found[target.lower()]
    return found
