"""What ``--driver`` and ``--opt`` of `network create` mean (Docker's network drivers and their options)."""

from __future__ import annotations

from wherry.errors import InvalidArgument, NotFound, NotSupported
from wherry.linux.links import IPVLAN_FLAGS, IPVLAN_MODES, MACVLAN_MODES, NAME_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wherry.network.model import Network, Pairs

_BRIDGE = "com.docker.network.bridge."
_DRIVER = "com.docker.network.driver."
_TRUE, _FALSE = ("1", "t", "true", "TRUE", "True"), ("0", "f", "false", "FALSE", "False")
_MODES = ("nat", "routed", "isolated", "nat-unprotected")


def configured(network: Network) -> Network:
    """The network with what its options say.  Raises `InvalidArgument` or `NotSupported` for one that is unknown or
    wrong, `NotFound` for a driver that does not exist."""
    if network.driver in ("host", "null", "none"):
        shown = "null" if network.driver == "none" else network.driver
        raise InvalidArgument(
            f'only one instance of "{shown}" network is allowed',
            hint=f"it is there already: use --network {'host' if shown == 'host' else 'none'}",
        )
    readers = {"bridge": _bridge, "macvlan": _macvlan, "ipvlan": _ipvlan}
    if network.driver not in readers:
        raise NotFound(
            "driver",
            network.driver,
            f"could not find plugin {network.driver} in v1 plugin registry: plugin not found",
            hint="the drivers are bridge, macvlan and ipvlan; there are no plugins",
        )
    fields: dict[str, Any] = {}
    for name, value in network.options:
        if name == _DRIVER + "mtu" or name == "mtu":
            fields["mtu"] = _number(name, value)
        elif name == "com.docker.network.container_iface_prefix":
            fields["container_prefix"] = _interface(name, value, most=10)
        elif not readers[network.driver](name, value, fields):
            raise NotSupported(f"--opt {name} is not supported by the driver {network.driver}")
    return network.replace(**fields)


def _bridge(name: str, value: str, fields: dict[str, Any]) -> bool:
    short = name.removeprefix(_BRIDGE)
    if name == short:
        return False
    if short == "name":
        fields["bridge"] = _interface(name, value)
    elif short == "enable_ip_masquerade":
        fields["masquerade"] = _flag(name, value)
    elif short == "enable_icc":
        fields["icc"] = _flag(name, value)
    elif short == "host_binding_ipv4":
        from wherry.network.addresses import normal

        fields["host_binding"] = normal(value)
    elif short in ("gateway_mode_ipv4", "gateway_mode_ipv6"):
        if value not in _MODES:
            raise InvalidArgument(f"unknown gateway mode {value}", hint=f"known are {', '.join(_MODES)}")
        fields[short] = value
    else:
        return False
    return True


def _macvlan(name: str, value: str, fields: dict[str, Any]) -> bool:
    return _parent(name, value, fields, "macvlan") or _one_of("macvlan_mode", MACVLAN_MODES, name, value, fields)


def _ipvlan(name: str, value: str, fields: dict[str, Any]) -> bool:
    return (
        _parent(name, value, fields, "ipvlan")
        or _one_of("ipvlan_mode", IPVLAN_MODES, name, value, fields)
        or _one_of("ipvlan_flag", IPVLAN_FLAGS, name, value, fields)
    )


def _parent(name: str, value: str, fields: dict[str, Any], driver: str) -> bool:
    if name != "parent":
        return False
    if value == "lo":
        raise InvalidArgument(
            f"loopback interface is not a valid {driver} parent link", hint="name another --opt parent="
        )
    fields["parent"] = _interface(name, value) if value else ""
    return True


def _one_of(option: str, known: dict[str, int], name: str, value: str, fields: dict[str, Any]) -> bool:
    """``driver_mode`` and ``driver_flag``; "" is the driver's own choice."""
    if name != option:
        return False
    if value and value not in known:
        raise InvalidArgument(f"unknown {option} {value}", hint=f"known are {', '.join(known)}")
    fields[option.rpartition("_")[2]] = value
    return True


def _flag(name: str, value: str) -> bool:
    if value not in _TRUE + _FALSE:
        raise InvalidArgument(f"--opt {name}={value}: write true or false")
    return value in _TRUE


def _number(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and 68 <= int(value) <= 65535):
        raise InvalidArgument(f"--opt {name}={value}: write a number from 68 to 65535")
    return int(value)


def _interface(name: str, value: str, *, most: int = NAME_BYTES) -> str:
    """A name that an interface may have (dev_valid_name in Linux's net/core/dev.c)."""
    if not 0 < len(value.encode()) <= most or value in (".", "..") or set(value) & set("/: \t\n"):
        raise InvalidArgument(
            f"--opt {name}={value}: not the name of an interface", hint=f"at most {most} characters, no / : or blanks"
        )
    return value


def options_of(network: Network) -> Pairs:
    """The options as `network inspect` shows them: those given, and for the default bridge what holds for it."""
    if network.name != "bridge":
        return network.options
    return (
        (_BRIDGE + "default_bridge", "true"),
        (_BRIDGE + "enable_icc", str(network.icc).lower()),
        (_BRIDGE + "enable_ip_masquerade", str(network.masquerade).lower()),
        (_BRIDGE + "host_binding_ipv4", network.host_binding),
        (_BRIDGE + "name", network.bridge),
        (_DRIVER + "mtu", str(network.mtu or 1500)),
    )
