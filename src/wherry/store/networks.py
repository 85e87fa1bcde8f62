"""Networks, the places of containers in them, and published ports.

The networks of `BUILT_IN` are in the database from the start.  A row of ``endpoints`` is made when a container is
created or connected, and goes with it; it holds addresses only while the container runs (``active``).  What must not be
given twice is unique: addresses in a network, ports of the host.  Values of higher levels travel as JSON text.

``active`` is 0, or 1, or while a command connects a running container or disconnects it `JOINING` or `LEAVING`: so that
what a command that was killed has half done is known.
"""

from __future__ import annotations

from wherry.errors import Conflict, InvalidArgument, NotFound
from wherry.oci.digest import is_hex
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.store.db import Database, Row

BUILT_IN = ("bridge", "host", "none")
JOINING, LEAVING = 2, 3


class NetworkRow(Record):
    """``record`` is JSON of what the columns do not hold; ``created`` is epoch nanoseconds."""

    id: str
    name: str
    record: str
    created: int = 0


class EndpointRow(Record):
    """``settings`` is JSON of what was asked for, ``record`` of what the endpoint is while ``active``.

    ``ipv4`` and ``ipv6`` are its addresses without prefix while it has them, else "".
    """

    id: str
    network_id: str
    container_id: str
    settings: str = "{}"
    active: int = 0
    ipv4: str = ""
    ipv6: str = ""
    record: str = ""


class PortRow(Record):
    """One published port; the fields of `wherry.network.model.PublishedPort`."""

    protocol: str
    host_ip: str
    host_port: int
    container_ip: str
    container_port: int
    bridge: str
    network_id: str
    container_id: str


def create(db: Database, row: NetworkRow) -> None:
    """Add a network.  Raises `Conflict` when there is one of that name."""
    with db.transaction():
        if db.row("SELECT 1 FROM networks WHERE name = ?", (row.name,)):
            raise Conflict(f"network with name {row.name} already exists")
        db.execute("INSERT INTO networks VALUES (?, ?, ?, ?)", tuple(row.as_dict().values()))


def update(db: Database, network_id: str, record: str) -> None:
    """Change what a network is."""
    db.execute("UPDATE networks SET record = ? WHERE id = ?", (record, network_id))


def delete(db: Database, network_id: str) -> None:
    """Forget a network."""
    db.execute("DELETE FROM networks WHERE id = ?", (network_id,))


def find(db: Database, text: str) -> NetworkRow:
    """The network with this full id, this name, or this beginning of an id.

    Raises `NotFound`, or `InvalidArgument` when the beginning fits several.
    """
    found = db.row("SELECT * FROM networks WHERE id = ?", (text,))
    if found is None:
        found = db.row("SELECT * FROM networks WHERE name = ?", (text,))
    if found is None and is_hex(text):
        beginning = db.rows("SELECT * FROM networks WHERE id >= ? AND id < ? LIMIT 2", (text, text + "g"))
        if len(beginning) > 1:
            raise InvalidArgument(f"network {text} is ambiguous (2 matches found based on ID prefix)")
        found = beginning[0] if beginning else None
    if found is None:
        raise NotFound("network", text, f"network {text} not found")
    return NetworkRow(*found)


def list_all(db: Database) -> list[NetworkRow]:
    """Every network, by name."""
    return [NetworkRow(*row) for row in db.rows("SELECT * FROM networks ORDER BY name, id")]


def add_endpoint(db: Database, row: EndpointRow) -> None:
    """Add a container's place in a network.  Raises `Conflict` when it has one there."""
    with db.transaction():
        there = "SELECT 1 FROM endpoints WHERE container_id = ? AND network_id = ?"
        if db.row(there, (row.container_id, row.network_id)):
            raise Conflict("the container is connected to the network already")
        db.execute("INSERT INTO endpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?)", tuple(row.as_dict().values()))


def remove_endpoint(db: Database, container_id: str, network_id: str) -> None:
    """Forget a container's place in a network, and free its addresses."""
    values = (container_id, network_id)
    db.execute("DELETE FROM endpoints WHERE container_id = ? AND network_id = ?", values)


def activate(db: Database, endpoint_id: str, ipv4: str, ipv6: str, record: str) -> None:
    """Give an endpoint its addresses, which must be free: the caller looked in the same transaction."""
    db.execute(
        "UPDATE endpoints SET active = 1, ipv4 = ?, ipv6 = ?, record = ? WHERE id = ?",
        (ipv4, ipv6, record, endpoint_id),
    )


def settle(db: Database, endpoint_id: str, settings: str) -> None:
    """Change what is asked for in an endpoint."""
    db.execute("UPDATE endpoints SET settings = ? WHERE id = ?", (settings, endpoint_id))


def change(db: Database, endpoint_id: str, active: int) -> bool:
    """Note how far an endpoint is that has addresses; False when it has none any more: its container has ended."""
    statement = "UPDATE endpoints SET active = ? WHERE id = ? AND active != 0"
    return bool(db.execute(statement, (active, endpoint_id)))


def changing(db: Database) -> list[EndpointRow]:
    """The endpoints that somebody connects or disconnects, or was killed over."""
    return [EndpointRow(*row) for row in db.rows("SELECT * FROM endpoints WHERE active > 1 ORDER BY rowid")]


def deactivate(db: Database, container_id: str) -> None:
    """Free the addresses and ports of a container that has ended."""
    with db.transaction():
        db.execute(
            "UPDATE endpoints SET active = 0, ipv4 = '', ipv6 = '', record = '' WHERE container_id = ?", (container_id,)
        )
        db.execute("DELETE FROM ports WHERE container_id = ?", (container_id,))


def remove_ports(db: Database, container_id: str, network_id: str) -> None:
    """Free the ports that a container has published by way of one network."""
    db.execute("DELETE FROM ports WHERE container_id = ? AND network_id = ?", (container_id, network_id))


def endpoints_of(db: Database, container_id: str) -> list[EndpointRow]:
    """The places of a container, in the order in which they were made."""
    query = "SELECT * FROM endpoints WHERE container_id = ? ORDER BY rowid"
    return [EndpointRow(*row) for row in db.rows(query, (container_id,))]


def endpoints_by_container(db: Database) -> dict[str, list[EndpointRow]]:
    """`endpoints_of` every container."""
    found: dict[str, list[EndpointRow]] = {}
    for row in db.rows("SELECT * FROM endpoints ORDER BY rowid"):
        endpoint = EndpointRow(*row)
        found.setdefault(endpoint.container_id, []).append(endpoint)
    return found


def endpoints_in(db: Database, network_id: str) -> list[EndpointRow]:
    """The containers that have a place in a network."""
    query = "SELECT * FROM endpoints WHERE network_id = ? ORDER BY rowid"
    return [EndpointRow(*row) for row in db.rows(query, (network_id,))]


def members(db: Database, network_id: str) -> list[tuple[EndpointRow, str]]:
    """The containers that use a network now, with the names that they have now."""
    query = """SELECT e.*, c.name FROM endpoints e JOIN containers c ON c.id = e.container_id
               WHERE e.network_id = ? AND e.active != 0 ORDER BY e.rowid"""
    return [(EndpointRow(*row[:-1]), str(row[-1])) for row in db.rows(query, (network_id,))]


def active_count(db: Database, network_id: str) -> int:
    """How many containers use a network now."""
    row = db.row("SELECT count(*) FROM endpoints WHERE network_id = ? AND active != 0", (network_id,))
    return int(row[0]) if row else 0


def addresses_in(db: Database, network_id: str) -> set[str]:
    """Every address that is given in a network."""
    rows = db.rows("SELECT ipv4, ipv6 FROM endpoints WHERE network_id = ? AND active != 0", (network_id,))
    return {address for row in rows for address in row if address}


def add_ports(db: Database, rows: list[PortRow]) -> None:
    """Take ports of the host.  Raises `Conflict` in Docker's words for one that another container has."""
    with db.transaction():
        for row in rows:
            for other in conflicting(db, row.protocol, row.host_ip, row.host_port):
                if other.container_id != row.container_id:
                    raise allocated(row.host_ip, row.host_port)
            db.execute("INSERT OR REPLACE INTO ports VALUES (?, ?, ?, ?, ?, ?, ?, ?)", tuple(row.as_dict().values()))


def allocated(host_ip: str, host_port: int) -> Conflict:
    """The error, in Docker's words, for a port that another container has."""
    shown = f"[{host_ip}]" if ":" in host_ip else host_ip
    return Conflict(f"Bind for {shown}:{host_port} failed: port is already allocated")


def conflicting(db: Database, protocol: str, host_ip: str, host_port: int) -> list[PortRow]:
    """Published ports that would answer for the same packets."""
    everywhere = "::" if ":" in host_ip else "0.0.0.0"
    found = []
    for row in db.rows("SELECT * FROM ports WHERE protocol = ? AND host_port = ?", (protocol, host_port)):
        other = PortRow(*row)
        same_family = (":" in other.host_ip) == (":" in host_ip)
        if other.host_ip in (host_ip, everywhere) or (host_ip == everywhere and same_family):
            found.append(other)
    return found


def ports_of(db: Database, container_id: str) -> list[PortRow]:
    """The published ports of a container, by its own port."""
    query = "SELECT * FROM ports WHERE container_id = ? ORDER BY container_port, protocol, host_ip, host_port"
    return [PortRow(*row) for row in db.rows(query, (container_id,))]


def ports(db: Database) -> list[PortRow]:
    """Every published port."""
    return [PortRow(*row) for row in db.rows("SELECT * FROM ports")]


def in_use(db: Database) -> list[Row]:
    """(network, container) of everything that runs now."""
    return db.rows("SELECT network_id, container_id FROM endpoints WHERE active != 0")
