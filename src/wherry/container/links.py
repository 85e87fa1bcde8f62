"""What ``--link`` on the default network gives a container: entries of /etc/hosts, and variables.  Pure.

docs.docker.com, "Legacy container links".
"""

from __future__ import annotations

from wherry.record import Record

_LEFT_OUT = ("HOME", "PATH")  # variables of the other container that say nothing about its service


class Link(Record):
    """``container`` calls the container ``target`` ``alias``; ``exposed`` are its ports ("80/tcp")."""

    container: str
    alias: str
    target: str
    id: str
    address: str
    exposed: tuple[str, ...] = ()
    env: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """An entry of /etc/hosts, as ``--add-host`` has it."""
        return f"{' '.join(dict.fromkeys((self.alias, self.id[:12], self.target)))}:{self.address}"

    @property
    def variables(self) -> tuple[str, ...]:
        """``ALIAS_PORT`` and so on: where its first port is, each one, and where three or more in a row
        begin and end.  Some are there twice; the first place counts."""
        alias = self.alias.upper().replace("-", "_")
        ports = sorted([_port(text) for text in self.exposed], key=lambda port: (port[1], port[0] != "tcp"))
        found: list[str] = []
        if ports:
            protocol, number = ports[0]
            found.append(f"{alias}_PORT={protocol}://{self.address}:{number}")
        for first, last in _runs(ports):
            protocol, number = first
            name, place = f"{alias}_PORT_{number}_{protocol.upper()}", f"{protocol}://{self.address}"
            found += [f"{name}_START={place}:{number}", f"{name}_ADDR={self.address}", f"{name}_PROTO={protocol}"]
            found += [f"{name}_PORT_START={number}", f"{name}_END={place}:{last[1]}", f"{name}_PORT_END={last[1]}"]
        for protocol, number in ports:
            name = f"{alias}_PORT_{number}_{protocol.upper()}"
            found += [f"{name}={protocol}://{self.address}:{number}", f"{name}_ADDR={self.address}"]
            found += [f"{name}_PORT={number}", f"{name}_PROTO={protocol}"]
        found.append(f"{alias}_NAME=/{self.container}/{self.alias}")
        for entry in self.env:
            name, equals, value = entry.partition("=")
            if equals and name not in _LEFT_OUT:
                found.append(f"{alias}_ENV_{name}={value}")
        return tuple(found)


def _runs(ports: list[tuple[str, int]]) -> list[tuple[tuple[str, int], tuple[str, int]]]:
    """(first, last) of three or more ports in a row of one protocol."""
    found = []
    for protocol in dict.fromkeys([protocol for protocol, _number in ports]):
        numbers = [number for one, number in ports if one == protocol]
        first = 0
        for place in range(1, len(numbers) + 1):
            if place < len(numbers) and numbers[place] == numbers[place - 1] + 1:
                continue
            if place - first > 2:
                found.append(((protocol, numbers[first]), (protocol, numbers[place - 1])))
            first = place
    return found


def _port(text: str) -> tuple[str, int]:
    number, _slash, protocol = text.partition("/")
    return protocol or "tcp", int(number)
