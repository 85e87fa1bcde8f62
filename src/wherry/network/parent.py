"""The interface of the host that a macvlan or ipvlan network lies on, where Docker would make it.

That is a VLAN of an interface (``--opt parent=eth0.10``), or an interface that leads nowhere for a network without a
parent.  Which stores use one that one of them has made is noted on the interface itself, where `ip link` shows it and a
reboot takes both away; it goes with the last of them.  Callers hold the host's lock of whoever changes such notes.
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
_FIRST, _LAST, _BETWEEN = "wherry", " network", ", "  # of a label; between several
_EEXIST, _ENODEV, _EOPNOTSUPP, _ENETDOWN = 17, 19, 95, 100


def label_of(table: str) -> str:
    """What is noted for the store with this table of rules."""
    return f"{table}{_LAST}"


def labels(link: Link) -> list[str]:
    """Whose an interface is that was made here; none for one that was there."""
    found = link.alias.split(_BETWEEN) if link.kind in KINDS else []
    return found if all(one.startswith(_FIRST) and one.endswith(_LAST) for one in found) else []


def is_ready(socket: Socket, network: Network, label: str) -> bool:
    """Whether it is there, and with ``label`` on it if it was made here."""
    link = links.find(socket, network.lower)
    return link is not None and (label in (found := labels(link)) or not found)


def make(socket: Socket, network: Network, label: str) -> None:
    """Make it, up and with ``label`` on it, or add that to the labels of one that was made here for others.

    One that was there stays as it is.  Nothing is left when something fails, or somebody is killed meanwhile.

    Raises `InvalidArgument` for a name that is no VLAN's, or one of an interface that is missing or has no VLANs,
    `Conflict` for a VLAN that is there by another name or whose interface is down, `NotSupported` where the kernel has
    none.
    """
    name = network.lower
    link = links.find(socket, name)
    if link is not None:
        others = labels(link)
        if others and label not in others:
            socket.do(links.label(name, _BETWEEN.join([*others, label])))
        return
    if network.parent:
        master, number = _vlan(socket, name)
        wanted = links.vlan(name, master.index, number)
    else:
        wanted = links.dummy(name)
    try:
        # the kernel goes through one send to its end, whatever becomes of the sender: there is none without the label
        socket.do(wanted, links.label(name, label))
    except NetlinkFailure as error:
        if error.operation != wanted.does:
            socket.do(links.delete(name))
            raise
        link = links.find(socket, name)
        if link is not None and link.alias == label:  # somebody else made it in this moment
            socket.do(links.label(name, ""))
        raise _failure(error, network) from None


def remove(socket: Socket, name: str, label: str) -> None:
    """Take the label off it, and remove it with the last one; no error when it is gone."""
    link = links.find(socket, name)
    found = labels(link) if link is not None else []
    if label not in found:
        return
    found.remove(label)
    try:
        socket.do(links.label(name, _BETWEEN.join(found)) if found else links.delete(name))
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
