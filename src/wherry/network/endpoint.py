"""A container's end of a network: an interface in its network namespace, with addresses and routes.

All is made from inside the namespace, in two sends, and one more on the host's side; when the namespace ends the
interfaces end with it, on both sides.
"""

from __future__ import annotations

import os

from wherry.errors import Conflict, InvalidArgument, NotSupported, SystemFailure
from wherry.linux import links, namespaces, netlink
from wherry.linux.netlink import NetlinkFailure, Socket
from wherry.network.bridge import write
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from wherry.linux.netlink import Message
    from wherry.linux.netns import Agent
    from wherry.network.model import Endpoint, Network

_EBUSY, _EOPNOTSUPP = 16, 95
_FIRST_INDEX = 100  # of the interfaces: tunnels of the kernel's own may have the lowest


class Place(Record):
    """A network and what the container is in it."""

    network: Network
    endpoint: Endpoint


class Inside:
    """``with Inside(namespace) as socket:`` this thread is in a network namespace, and speaks netlink there.

    ``namespace`` is a path or a descriptor; ``host`` is a descriptor of the namespace that the thread comes from.
    Entering it takes privileges over its owner, which the host's root has; where the host is a namespace that this
    process works in from outside, it does the same with this one (`wherry.linux.netns`).
    """

    __slots__ = ("_agent", "_namespace", "_socket", "host")

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._socket: Socket | None = None
        self._agent: Agent | None = None
        self.host = -1

    def __enter__(self) -> Self:
        try:
            inner = os.open(self._namespace, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SystemFailure("enter the container's network", "open", error.errno or 0) from None
        try:
            if netlink.elsewhere is not None:
                from wherry.linux import netns

                self._agent, self.host = netns.further(inner)
            else:
                self.host = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                namespaces.enter(inner, namespaces.CLONE_NEWNET)
        except OSError as error:
            raise SystemFailure("enter the container's network", "setns", error.errno or 0) from None
        finally:
            os.close(inner)
        self._socket = Socket()
        return self

    @property
    def socket(self) -> Socket:
        """Speaks for the namespace."""
        assert self._socket is not None
        return self._socket

    def __exit__(self, *_error: object) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._agent is not None:
            self._agent.close()
        else:
            namespaces.enter(self.host, namespaces.CLONE_NEWNET)
        os.close(self.host)


def plug(namespace: str, places: Sequence[Place], gateways: tuple[Place | None, Place | None], host: Socket) -> None:
    """Give the namespace an interface in every network.  ``gateways`` have the default routes, IPv4 and IPv6; ``host``
    speaks for the host.  What was made is removed when something fails."""
    made: list[Place] = []
    try:
        with Inside(namespace) as inside:
            indices: dict[str, int] = {}
            for place in places:
                made.append(place)
                indices[place.endpoint.interface] = _make(inside, place, host)
            inside.socket.do(links.up("lo"), *_default_routes(gateways, indices))
        for place in places:
            if place.endpoint.host_interface:
                _join(host, place)
    except BaseException:
        for place in made:
            unplug(place.endpoint, host)
        raise


def reroute(namespace: str, gateways: tuple[Place | None, Place | None]) -> None:
    """Set the default routes after a container was connected to a network, or disconnected."""
    with Inside(namespace) as inside:
        indices = {link.name: link.index for link in links.links(inside.socket)}
        for place, ipv6 in zip(gateways, (False, True), strict=True):
            wanted = _default_routes((None, place) if ipv6 else (place, None), indices)
            if wanted:
                inside.socket.do(*wanted)
            elif any(not route.destination and route.is_ipv6 == ipv6 for route in links.routes(inside.socket)):
                inside.socket.do(links.no_route(ipv6=ipv6))


def _make(inside: Inside, place: Place, host: Socket) -> int:
    network, endpoint = place.network, place.endpoint
    interface = endpoint.interface
    if network.driver == "bridge":
        number = interface.removeprefix(network.container_prefix)
        # the kernel's choice for an interface that has the name that somebody asked for
        index = _FIRST_INDEX + int(number) if number.isdigit() else 0
        pair = (interface, index, endpoint.host_interface, inside.host)
        inside.socket.do(links.veth(*pair, mac=endpoint.mac, mtu=network.mtu))
        index = index or _index_of(inside.socket, interface)
    else:
        index = _make_child(inside, place, host)
    try:
        _set_up(inside.socket, place, index)
    except BaseException:
        if network.driver != "bridge":  # that goes with its other end
            inside.socket.do(links.delete(interface))
        raise
    return index


def _set_up(socket: Socket, place: Place, index: int) -> None:
    """Bring an interface up with its parameters and addresses."""
    endpoint = place.endpoint
    interface = endpoint.interface
    ipv6 = f"/proc/sys/net/ipv6/conf/{interface}"
    if netlink.has_parameters(ipv6):
        write(f"{ipv6}/disable_ipv6", "0" if endpoint.ipv6 else "1")
        if endpoint.ipv6:
            write(f"{ipv6}/accept_ra", "0")
    for name, value in endpoint.sysctls:
        _set(name, value)
    wanted: list[Message] = [links.up(index)]
    own = (endpoint.ipv4, endpoint.ipv6, *endpoint.link_local)
    wanted += [links.address(index, address) for address in own if address]
    socket.do(*wanted)


def _make_child(inside: Inside, place: Place, host: Socket) -> int:
    """A macvlan or ipvlan: made on the host, where its parent is, and born in the namespace."""
    network, endpoint = place.network, place.endpoint
    parent = links.find(host, network.lower)
    if parent is None:
        raise NotSupported(f"the parent interface {network.lower} of network {network.name} was removed meanwhile")
    inner = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if network.driver == "macvlan":
            mode = network.mode or "bridge"
            made = links.macvlan(endpoint.interface, parent.index, mode, inner, mac=endpoint.mac, mtu=network.mtu)
        else:
            mode = network.mode or "l2"
            made = links.ipvlan(endpoint.interface, parent.index, mode, inner, flag=network.flag, mtu=network.mtu)
        host.do(made)
    except NetlinkFailure as error:
        if error.errno == _EBUSY:
            raise Conflict(
                f"the parent interface {network.lower} of network {network.name} is in use by another kind of network",
                hint="macvlan, ipvlan and bridge networks each need a parent of their own; so does the mode passthru",
            ) from None
        if error.errno != _EOPNOTSUPP:
            raise
        raise NotSupported(
            f"this kernel has no {network.driver} interfaces, which network {network.name} needs",
            hint=f"load them with `modprobe {network.driver}`, or use a network with a bridge",
        ) from None
    finally:
        os.close(inner)
    return _index_of(inside.socket, endpoint.interface)


def _index_of(socket: Socket, interface: str) -> int:
    found = links.find(socket, interface)
    if found is None:
        raise SystemFailure(f"find the interface {interface}", "netlink", 19)
    return found.index


def _set(name: str, value: str) -> None:
    """A parameter of an interface, which somebody asked for."""
    try:
        descriptor = netlink.open_parameter(f"/proc/sys/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InvalidArgument(
            f"unable to set sysctl {name} to {value}: {(error.strerror or '').lower()}",
            hint="see com.docker.network.endpoint.sysctls of this container's network",
        ) from None


def _default_routes(gateways: tuple[Place | None, Place | None], indices: dict[str, int]) -> list[Message]:
    found: list[Message] = []
    for place, ipv6 in zip(gateways, (False, True), strict=True):
        if place is None:
            continue
        index = indices[place.endpoint.interface]
        gateway = place.endpoint.gateway6 if ipv6 else place.endpoint.gateway
        if gateway:
            found.append(links.route(gateway, index=index))
        elif place.network.driver == "ipvlan" and place.network.mode.startswith("l3"):
            found.append(links.device_route("::/0" if ipv6 else "0.0.0.0/0", index))
    return found


def _join(host: Socket, place: Place) -> None:
    link = links.find(host, place.network.bridge)
    if link is None:
        raise NotSupported(f"the bridge {place.network.bridge} of network {place.network.name} was removed meanwhile")
    name = place.endpoint.host_interface
    host.do(links.join(name, link.index), links.port(name, hairpin=True, isolated=not place.network.icc))


def unplug(endpoint: Endpoint, host: Socket) -> None:
    """Remove an interface of a bridge network from both sides; no error when it is gone."""
    if not endpoint.host_interface:
        return
    try:
        host.do(links.delete(endpoint.host_interface))
    except NetlinkFailure as error:
        if error.errno != 19:
            raise
