"""The options of `run` and `create` about networks and ports, where they say more than one network's name."""

from __future__ import annotations

from wherry.container.options import NetworkOption
from wherry.container.parse_port import mac_address, network
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ALONE = ("none", "host", "bridge", "default")
_SINGLE = (("ip", "ipv4", "ip"), ("ip6", "ipv6", "ip6"), ("mac-address", "mac", "mac-address"))


def add(values: dict[str, Any], texts: list[str], fields: dict[str, Any]) -> None:
    """Put networks and ports into ``fields``.  Raises `InvalidArgument` in the words of Docker's client."""
    networks = [network(text) for text in texts] or [NetworkOption("")]
    modes = [one.name for one in networks]
    if len(networks) > 1 and any(mode in _ALONE[:2] or mode.startswith("container:") for mode in modes):
        raise InvalidArgument("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    for mode in modes:
        if modes.count(mode) > 1:
            raise InvalidArgument(f'network "{mode}" is specified multiple times')
    networks[0] = _first(networks[0], values)
    for one in networks:
        if one.mac:
            mac_address(one.mac)
    fields["network_mode"] = networks[0].name
    fields["networks"] = tuple([one for one in networks if one != NetworkOption(one.name) or len(networks) > 1])
    if "publish" in values:
        fields["port_bindings"] = tuple(dict.fromkeys([one for found in values["publish"] for one in found]))
        exposed = fields.get("exposed_ports", ())
        fields["exposed_ports"] = tuple(dict.fromkeys([*exposed, *[one.port for one in fields["port_bindings"]]]))
    if values.get("publish-all"):
        fields["publish_all"] = True


def _first(first: NetworkOption, values: dict[str, Any]) -> NetworkOption:
    """The options that name no network are about the first one."""
    aliases = tuple(values.get("net-alias", []) + values.get("network-alias", []))
    if aliases and first.aliases:
        raise InvalidArgument("conflicting options: cannot specify both --network-alias and per-network alias")
    changes: dict[str, Any] = {}
    for option, field, shown in _SINGLE:
        given = values.get(option, "")
        if given and getattr(first, field):
            raise InvalidArgument(f"conflicting options: cannot specify both --{option} and per-network {shown}")
        if given:
            changes[field] = given
    if aliases:
        changes["aliases"] = aliases
    if "link" in values:
        changes["links"] = tuple([link(text) for text in values["link"]])
    if "link-local-ip" in values:
        changes["link_local"] = tuple(values["link-local-ip"])
    return first.replace(**changes) if changes else first


def link(text: str) -> str:
    """``container:alias``; the alias is the name where none is given."""
    name, colon, alias = text.partition(":")
    if not name or ":" in alias or (colon and not alias):
        raise InvalidArgument(f"bad format for links: {text}")
    return f"{name}:{alias or name}"
