"""How a container finds others by name: its resolv.conf, and the name server that its monitor holds the sockets of."""

from __future__ import annotations

import os

from wherry.container import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.container.links import Link
    from wherry.container.record import ContainerRecord
    from wherry.engine.engine import Engine
    from wherry.monitor.ondemand import OnDemand
    from wherry.network.model import Network
    from wherry.network.names import Sockets

SERVER = "127.0.0.11"
_DEFAULT = "bridge"
_RESOLVED = "/run/systemd/resolve/resolv.conf"


def host_resolv_conf() -> str:
    """The host's resolvers; behind systemd-resolved's local one, those that it asks itself."""
    text = read_text("/etc/resolv.conf")
    if "nameserver 127.0.0.53" in text and os.path.exists(_RESOLVED):
        return read_text(_RESOLVED)
    return text


def needs_server(record: ContainerRecord, used: Iterable[Network]) -> bool:
    """Whether a container of these networks is given a name server: where they have names, and where the resolvers
    of the host are all on its loopback, which nobody else reaches."""
    networks = list(used)
    if any(network.name != _DEFAULT for network in networks):
        return True
    return bool(networks) and not record.options.dns and not files.reachable(host_resolv_conf())


def resolv_conf(record: ContainerRecord, used: Iterable[Network] = (), server: str = "") -> str:
    """The content of the container's resolv.conf.  ``server`` is the one that a user-mode network brings."""
    options = record.options
    networks = list(used)
    if needs_server(record, networks):
        named = any(network.name != _DEFAULT for network in networks)
        return files.resolv_conf(
            host_resolv_conf(),
            servers=(SERVER,),
            search=options.dns_search,
            options=options.dns_options,
            dots="ndots:0" if named else "",  # so that the container's names are asked before search domains are tried
        )
    return files.resolv_conf(
        host_resolv_conf(),
        servers=options.dns or ((server,) if server else ()),
        search=options.dns_search,
        options=options.dns_options,
        host_network=options.network_mode == "host",
    )


def linked(engine: Engine, record: ContainerRecord) -> tuple[Link, ...]:
    """``--link`` on the default network, which has no name server.

    Raises `Conflict` for a container that does not run, or is not on that network; `NotSupported` without root.
    """
    from wherry.container.links import Link
    from wherry.engine.containers import find, load
    from wherry.errors import Conflict, NotSupported
    from wherry.network.model import endpoint_from, settings_from
    from wherry.store import networks

    default = networks.find(engine.db, _DEFAULT).id
    own = [row for row in networks.endpoints_of(engine.db, record.id) if row.network_id == default]
    links = settings_from(own[0].settings).links if own else ()
    if links and engine.rootless:
        raise NotSupported("links are not supported without root", hint="publish a port of the other container")
    found: list[Link] = []
    for link in links:
        target, _colon, alias = link.partition(":")
        other = find(engine, target)
        there = [row for row in networks.endpoints_of(engine.db, other.id) if row.network_id == default and row.active]
        address = endpoint_from(there[0].record).ipv4.partition("/")[0] if there else ""
        if not address:
            raise Conflict(
                f"Cannot link to a non running container: /{other.name} AS /{record.name}/{alias or other.name}",
                hint="it must run, and be on the default network",
            )
        options = load(other).options
        found.append(
            Link(record.name, alias or other.name, other.name, other.id, address, options.exposed_ports, options.env)
        )
    return tuple(found)


def rewrite(engine: Engine, record: ContainerRecord, used: Iterable[Network]) -> None:
    """Bring a running container's resolv.conf up to date, in place: it is mounted there."""
    fd = os.open(f"{engine.layout.container(record.id)}/resolv.conf", os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        content = resolv_conf(record, used).encode()
        os.pwrite(fd, content, 0)
        os.ftruncate(fd, len(content))
    finally:
        os.close(fd)


def server(engine: Engine, record: ContainerRecord, sockets: Sockets) -> OnDemand:
    """What answers at the sockets: a process that runs while somebody asks."""
    from wherry.monitor.ondemand import OnDemand

    given = (engine, record, sockets)
    descriptors = [socket.fileno() for socket in sockets]
    return OnDemand(f"names {record.short_id}", descriptors, _serve, given, engine.will_fork)


def _serve(engine: Engine, record: ContainerRecord, sockets: Sockets) -> None:
    from wherry.network import names
    from wherry.network.known import Names

    upstreams = names.upstreams(read_text("/etc/resolv.conf"), record.options.dns)
    names.serve(sockets, Names(engine.db, record.id), upstreams)


def read_text(path: str) -> str:
    """The beginning of a file of the host's, "" when it cannot be read; never waits, as a FIFO would have one do."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return os.read(fd, 1 << 20).decode("utf-8", "replace")
    finally:
        os.close(fd)
