"""The interface of the host that a macvlan or ipvlan network lies on, where Docker would make it.

That is a VLAN of an interface (``--opt parent=eth0.10``), or an interface that leads nowhere for a network without a
parent.  Whose it is is noted on the interface itself, where `ip link` shows it and a reboot takes both away.
"""

from __future__ import annotations

from wherry.errors import Conflict, InvalidArgument, NotSupported
from wherry.linux import links
from wherry.linux.netlink import NetlinkFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.linux.links import Link
    from wherry.linux.netlink import Socket
    from wherry.network.model import Network

KINDS = ("vlan", "dummy")
_EEXIST, _ENODEV, _EOPNOTSUPP, _ENETDOWN = 17, 19, 95, 100


def make(socket: Socket, network: Network, label: str) -> None:
    """Make it, up and with ``label`` on it, unless it is there.  Nothing is left when something fails.

    Raises `InvalidArgument` for a name that is no VLAN's, or one of an interface that is missing or has no VLANs,
    `Conflict` for a VLAN that is there by another name or whose interface is down, `NotSupported` where the kernel has
    none.
    """
    name = network.lower
    if links.find(socket, name) is not None:
        return
    try:
        if network.parent:
            master, number = _vlan(socket, name)
            wanted = links.vlan(name, master.index, number)
        else:
            wanted = links.dummy(name)
        socket.do(wanted)
    except NetlinkFailure as error:
        raise _failure(error, network) from None
    try:
        socket.do(links.label(name, label))
    except BaseException:
        socket.do(links.delete(name))
        raise


def remove(socket: Socket, name: str, label: str) -> None:
    """Remove it if it has this label; no error when it is gone."""
    link = links.find(socket, name)
    if link is None or link.kind not in KINDS or link.alias != label:
        return
    try:
        socket.do(links.delete(name))
    except NetlinkFailure as error:
        if error.errno != _ENODEV:
            raise


def _vlan(socket: Socket, name: str) -> tuple[Link, int]:
    """The interface and the number in ``eth0.10`` (802.1Q: 0 and 4095 are reserved)."""
    parts = name.split(".")
    if len(parts) == 1:
        raise InvalidArgument(
            f"invalid subinterface vlan name {name}: the interface does not exist",
            hint="--opt parent= names an interface of this host, or a VLAN of one: eth0.10",
        )
    if len(parts) > 2:
        raise InvalidArgument(
            f"required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received {name}"
        )
    master, number = parts
    if not (number.isascii() and number.isdigit()):
        raise InvalidArgument(f"unable to parse a valid vlan id from: {number} (ex. eth0.10 for vlan 10)")
    if not 1 <= int(number) <= 4094:
        raise InvalidArgument(f"vlan id must be between 1-4094, received: {int(number)}")
    found = links.find(socket, master) if master else None
    if found is None:
        raise InvalidArgument(
            f"-o parent interface was not found on the host: {master or name}", hint="`ip link` lists the interfaces"
        )
    return found, int(number)


def _failure(error: NetlinkFailure, network: Network) -> Exception:
    name, (master, _, number) = network.lower, network.lower.partition(".")
    if error.errno == _EOPNOTSUPP and "on device" in error.reason:
        return InvalidArgument(f"the interface {master} cannot have VLANs", hint="name another --opt parent=")
    if error.errno == _EOPNOTSUPP:
        kind, module = ("VLAN", "8021q") if network.parent else ("dummy", "dummy")
        return NotSupported(
            f"this kernel has no {kind} interfaces, and network {network.name} needs {name}",
            hint=f"load them with `modprobe {module}`, or name an interface that is there with --opt parent=",
        )
    if error.errno == _EEXIST:
        return Conflict(
            f"VLAN {number} of {master} is there by another name",
            hint="`ip -d link` shows it: name it with --opt parent=",
        )
    if error.errno == _ENETDOWN:
        return Conflict(
            f"the interface {master} is down, and so would its VLAN {number} be", hint=f"ip link set {master} up"
        )
    return error
