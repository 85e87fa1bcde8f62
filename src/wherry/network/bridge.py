"""The bridge of a network: made when its first container starts, with the addresses that containers take for gateways.

Forwarding between interfaces is switched on as Docker does it; that it was off before is remembered by `forward`, so
that the firewall keeps forwarding to the networks alone.
"""

from __future__ import annotations

import os

from wherry.errors import Conflict, NotSupported
from wherry.linux import links, netlink
from wherry.linux.netlink import NetlinkFailure
from wherry.network.addresses import Range

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.linux.netlink import Socket
    from wherry.network.model import Network, Subnet

DEFAULT_NAME = "wherry0"
_EEXIST = 17


def name_for(network_id: str, *, is_default: bool) -> str:
    """The interface name of a network's bridge: unique on the host, and at most 15 characters.

    ``is_default``: the network "bridge" of the store in the usual place, whose bridge people know by name.
    """
    return DEFAULT_NAME if is_default else f"wh-{network_id[:12]}"


def is_up(socket: Socket, network: Network) -> int:
    """The index of its bridge, 0 when there is none, or one that was not finished.

    Raises `Conflict` for an interface that is no bridge.
    """
    link = links.find(socket, network.bridge)
    if link is None:
        return 0
    if link.kind != "bridge":
        raise Conflict(
            f"the interface {network.bridge} is not a bridge", hint="remove or rename it, or name another bridge"
        )
    return link.index if link.up else 0


def taken(socket: Socket) -> list[str]:
    """The subnets that the host uses: routes and addresses, default routes excepted."""
    found = {route.destination for route in links.routes(socket) if route.destination}
    found |= {address.address for address in links.addresses(socket)}
    return [subnet for subnet in found if not subnet.startswith(("fe80:", "ff")) and not subnet.endswith("/0")]


def check_free(subnets: Iterable[Subnet], used: Iterable[str]) -> None:
    """Raises `Conflict` when a subnet overlaps one of ``used``."""
    ranges = [Range(text) for text in used]
    for subnet in subnets:
        own = Range(subnet.subnet)
        for other in ranges:
            if own.overlaps(other):
                raise Conflict(
                    "Pool overlaps with other one on this address space",
                    hint=f"{subnet.subnet} overlaps {other.text}, which this host uses",
                )


def make(socket: Socket, network: Network) -> None:
    """Make the bridge, with its addresses and parameters.  Nothing is left when something fails.

    Raises `Conflict` when an interface has its name, `NotSupported` for IPv6 where the host has none.
    """
    if network.enable_ipv6 and not has_ipv6():
        raise NotSupported(
            "the host has no IPv6, which the network asks for",
            hint="enable it (sysctl net.ipv6.conf.all.disable_ipv6=0), or leave out --ipv6",
        )
    try:
        socket.do(links.bridge(network.bridge, mac=_mac(network), mtu=network.mtu))
    except NetlinkFailure as error:
        if error.errno == _EEXIST:
            raise Conflict(f"an interface named {network.bridge} is there already") from None
        raise
    try:
        _set_parameters(network)
        link = links.find(socket, network.bridge)
        index = link.index if link is not None else 0
        own = [
            links.address(index, f"{subnet.gateway}/{subnet.prefix_length}")
            for subnet in network.subnets
            if subnet.gateway
        ]
        socket.do(*own, links.up(index))  # being up says that it is complete
    except BaseException:
        remove(socket, network)
        raise


def is_ours(network: Network) -> bool:
    """Whether nobody else can have given an interface the name of its bridge."""
    return network.bridge in (DEFAULT_NAME, name_for(network.id, is_default=False))


def remove(socket: Socket, network: Network) -> None:
    """Remove the bridge; no error when it is gone.  Takes the kernel tens of milliseconds."""
    if links.find(socket, network.bridge) is not None:
        try:
            socket.do(links.delete(network.bridge))
        except NetlinkFailure:
            if links.find(socket, network.bridge) is not None:
                raise


def has_ipv6() -> bool:
    """Whether interfaces of this host may have IPv6 addresses."""
    return _read("/proc/sys/net/ipv6/conf/all/disable_ipv6") == "0"


def forward(marker: str, *, ipv6: bool) -> bool:
    """Have the kernel forward packets between interfaces; whether it does so for the networks' sake alone.

    ``marker`` is a path that is made when forwarding was off; a reboot takes it away, and the setting with it.
    """
    families = [("/proc/sys/net/ipv4/ip_forward", "1")]
    if ipv6:
        families += [
            ("/proc/sys/net/ipv6/conf/default/forwarding", "1"),
            ("/proc/sys/net/ipv6/conf/all/forwarding", "1"),
        ]
    for path, value in families:
        if _read(path) == "0":
            os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            write(path, value)
    return os.path.exists(marker)


def write(path: str, value: str) -> None:
    """Set a kernel parameter, unless it has that value.  Raises `NotSupported` when that is not allowed."""
    if _read(path) == value:
        return
    try:
        descriptor = netlink.open_parameter(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NotSupported(
            f"{path} cannot be set to {value}: {(error.strerror or '').lower()}",
            hint="bridge networks need it; use --network host or none",
        ) from None


def _set_parameters(network: Network) -> None:
    """What makes a published port on 127.0.0.1 work, and keeps others' router advertisements away."""
    write(f"/proc/sys/net/ipv4/conf/{network.bridge}/route_localnet", "1")
    ipv6 = f"/proc/sys/net/ipv6/conf/{network.bridge}"
    if netlink.has_parameters(ipv6):
        write(f"{ipv6}/accept_ra", "0")
        write(f"{ipv6}/disable_ipv6", "0" if network.enable_ipv6 else "1")


def _mac(network: Network) -> str:
    """An address of its own: else the bridge would take the lowest of its ports', and change with them."""
    return "02:42:" + ":".join(network.id[place : place + 2] for place in range(0, 8, 2))


def _read(path: str) -> str:
    try:
        descriptor = netlink.open_parameter(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, 64).decode().strip()
    finally:
        os.close(descriptor)
