"""The PORTS column: published and exposed ports, neighbours joined to ranges, as Docker's client writes them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def display(ports: Sequence[Mapping[str, Any]]) -> str:
    """``0.0.0.0:8080->80/tcp, 9000-9002/udp``: DisplayablePorts of Docker's client."""
    groups: dict[str, tuple[int, int]] = {}
    results: list[str] = []
    mappings: list[str] = []
    keys: list[str] = []
    for port in sorted(ports, key=_order):
        private, public = port["PrivatePort"], port.get("PublicPort", 0)
        current, key = private, port["Type"]
        if port.get("IP"):
            if public != private:
                mappings.append(f"{_host(port)}->{private}/{port['Type']}")
                continue
            current, key = public, f"{port['IP']}/{port['Type']}"
        if key not in groups:
            groups[key] = (current, current)
            keys.append(key)
        elif current == groups[key][1] + 1:
            groups[key] = (groups[key][0], current)
        else:
            results.append(_group(key, *groups[key]))
            groups[key] = (current, current)
    results += [_group(key, *groups[key]) for key in keys]
    return ", ".join(results + mappings)


def _order(port: Mapping[str, Any]) -> tuple[Any, ...]:
    return (port["PrivatePort"], port.get("IP", ""), port.get("PublicPort", 0), port["Type"])


def _host(port: Mapping[str, Any]) -> str:
    address = port["IP"]
    return f"[{address}]:{port['PublicPort']}" if ":" in address else f"{address}:{port['PublicPort']}"


def _group(key: str, first: int, last: int) -> str:
    address, slash, protocol = key.rpartition("/")
    text = str(first) if first == last else f"{first}-{last}"
    if slash:
        text = f"{'[' + address + ']' if ':' in address else address}:{text}->{text}"
    return f"{text}/{protocol}"
