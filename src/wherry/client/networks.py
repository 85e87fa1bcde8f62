"""Networks over an API."""

from __future__ import annotations

from wherry.client import request as bodies
from wherry.client.http import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from wherry.client.http import Remote
    from wherry.container.options import NetworkOption
    from wherry.network.request import NetworkRequest

    Filters = Mapping[str, Sequence[str]]
    Document = dict[str, Any]


def _of(name: str) -> str:
    return f"/networks/{named('network', name)}"


def create(remote: Remote, request: NetworkRequest) -> str:
    """See `wherry.engine.networks.create`."""
    from wherry.network.addresses import normal
    from wherry.network.request import subnets

    gateways = {normal(text) for text in request.gateways}
    body: Document = {
        "Name": request.name,
        "CheckDuplicate": True,
        "Driver": request.driver,
        "Internal": request.internal,
        "Attachable": request.attachable,
        "EnableIPv6": request.enable_ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": {},
            "Config": [_subnet(one.as_dict(), gateways) for one in subnets(request)],
        },
        "Options": dict(request.options),
        "Labels": dict(request.labels),
    }
    if not request.enable_ipv4:
        remote.needs((1, 48), "--ipv4=false")
        body["EnableIPv4"] = False
    return str(remote.call("POST", "/networks/create", body=body)["Id"])


def _subnet(one: Document, gateways: Collection[str]) -> Document:
    """What was said of a subnet: a gateway that nobody named is the engine's to choose."""
    found = {"Subnet": one["subnet"], "IPRange": one["ip_range"]}
    if one["gateway"] in gateways:
        found["Gateway"] = one["gateway"]
    found["AuxiliaryAddresses"] = dict(one["aux_addresses"])
    return {name: value for name, value in found.items() if value}


def documents(remote: Remote, filters: Filters) -> list[Document]:
    """See `wherry.engine.networks.documents`."""
    found = remote.call("GET", "/networks", {"filters": dict(filters)})
    return [{"EnableIPv4": True, **one, "Labels": one.get("Labels") or {}} for one in found]


def inspect(remote: Remote, text: str) -> Document:
    """See `wherry.engine.networks.inspect`."""
    found: Document = remote.call("GET", _of(text))
    return found


def remove(remote: Remote, text: str) -> None:
    """See `wherry.engine.networks.remove`."""
    remote.call("DELETE", _of(text))


def prune(remote: Remote, filters: Filters) -> list[str]:
    """See `wherry.engine.networks.prune`."""
    return remote.call("POST", "/networks/prune", {"filters": dict(filters)}).get("NetworksDeleted") or []


def connect(remote: Remote, option: NetworkOption, container: str) -> None:
    """See `wherry.engine.connections.connect`."""
    body = {"Container": container, "EndpointConfig": bodies.endpoint(option)}
    remote.call("POST", f"{_of(option.name)}/connect", body=body)


def disconnect(remote: Remote, name: str, container: str, *, force: bool = False) -> None:
    """See `wherry.engine.connections.disconnect`."""
    remote.call("POST", f"{_of(name)}/disconnect", body={"Container": container, "Force": force})
