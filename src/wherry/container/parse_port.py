"""``--publish`` and ``--network`` in Docker's grammar (docker/go-connections ``nat.ParsePortSpec``, docker/cli
``opts.NetworkOpt``).  Raises `InvalidArgument` in the words of Docker's client."""

from __future__ import annotations

from wherry.container.options import NetworkOption, PortBinding
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROTOCOLS = ("tcp", "udp", "sctp")


def publish(text: str) -> tuple[PortBinding, ...]:
    """``[IP:][HOST]:CONTAINER[/PROTOCOL]``, where both ports may be ranges, or the long form with ``target=``."""
    if "=" in text.partition(",")[0]:
        return _long(text)
    address, host, container = _parts(text)
    spec, _, protocol = container.partition("/")
    protocol = (protocol or "tcp").lower()
    if not spec:
        raise InvalidArgument(f"no port specified: {text}<empty>")
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid proto: {protocol}", hint="tcp, udp or sctp")
    if address:
        address = _address(address)
    first, last = _range(spec, "containerPort")
    if not host:
        return tuple([PortBinding(f"{port}/{protocol}", address) for port in range(first, last + 1)])
    low, high = (0, 0) if host == "0" else _range(host, "hostPort")  # 0: any
    if last - first != high - low:
        if first != last:
            raise InvalidArgument(f"invalid ranges specified for container and host Ports: {spec} and {host}")
        return (PortBinding(f"{first}/{protocol}", address, f"{low}-{high}"),)
    return tuple(
        [PortBinding(f"{first + more}/{protocol}", address, str(low + more)) for more in range(last - first + 1)]
    )


def check_binding(binding: PortBinding) -> PortBinding:
    """A binding that did not come as text.  Raises `InvalidArgument`, in the words of Docker's daemon."""
    port, _slash, protocol = binding.port.partition("/")
    for text in (port, binding.host_port.partition("/")[0]):
        try:
            if text not in ("", "0") or text is port:
                _range(text, "port")
        except InvalidArgument:
            raise InvalidArgument(f'invalid port specification: "{text}"') from None
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid proto: {protocol}", hint="tcp, udp or sctp")
    return binding


def _parts(text: str) -> tuple[str, str, str]:
    """(address, host port, container port) as they are written."""
    before, _, container = text.rpartition(":")
    if before.startswith("["):
        address, bracket, host = before[1:].partition("]")
        if not bracket or host[:1] not in ("", ":"):
            raise InvalidArgument(f"invalid IP address: {before}", hint="write for example [::1]:8080:80")
        return address, host[1:], container
    address, _, host = before.rpartition(":")
    return address, host, container


def _address(text: str) -> str:
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            return _socket.inet_ntop(family, _socket.inet_pton(family, text))
        except (OSError, ValueError):
            continue
    raise InvalidArgument(f"invalid IP address: {text}")


def _range(text: str, what: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = [first, last if dash else first]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) < 65536 for part in numbers):
        raise InvalidArgument(f"invalid {what}: {text}")
    if int(numbers[0]) > int(numbers[1]):
        raise InvalidArgument(f"invalid {what}: {text}", hint="a range goes from the lower port to the higher")
    return int(numbers[0]), int(numbers[1])


def _long(text: str) -> tuple[PortBinding, ...]:
    """``target=80,published=8080,protocol=tcp,mode=host``, as services have it."""
    fields: dict[str, str] = {"protocol": "tcp", "published": "", "target": ""}
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key not in ("target", "published", "protocol", "mode", "name", "app_protocol"):
            raise InvalidArgument(f"invalid field key {key}")
        fields[key] = value
    if fields["protocol"] not in _PROTOCOLS:
        raise InvalidArgument(f"invalid protocol value '{fields['protocol']}'")
    if not fields["target"]:
        raise InvalidArgument("missing mandatory field 'target'")
    return publish(f"{fields['published']}:{fields['target']}/{fields['protocol']}")


def network(text: str) -> NetworkOption:
    """``NAME``, or ``name=NAME`` with ``alias ip ip6 mac-address link-local-ip driver-opt gw-priority``."""
    if "=" not in text:
        return NetworkOption(text)
    from wherry.container.parse_mount import csv_fields

    single = {"name": "name", "ip": "ipv4", "ip6": "ipv6", "mac-address": "mac"}
    found: dict[str, Any] = {"aliases": [], "link_local": [], "driver_options": [], "links": []}
    for part in csv_fields(text):
        key, equals, value = part.partition("=")
        key = key.strip().lower()
        value = value.strip()
        if not equals:
            raise InvalidArgument(f"invalid field {part}")
        if key in single:
            found[single[key]] = value
        elif key == "alias":
            found["aliases"].append(value)
        elif key == "link-local-ip":
            found["link_local"].append(value)
        elif key == "driver-opt":
            name, _, setting = value.partition("=")
            found["driver_options"].append((name.strip().lower(), setting.strip()))
        elif key == "gw-priority":
            try:
                found["gateway_priority"] = int(value)
            except ValueError:
                raise InvalidArgument(f"invalid gw-priority ({value}): invalid syntax") from None
        else:
            raise InvalidArgument(f"invalid field key {key}")
    if not found.get("name"):
        raise InvalidArgument("network name/id is not specified")
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return NetworkOption(**fields)


def mac_address(text: str) -> str:
    """A hardware address in its usual form."""
    digits = text.lower().replace("-", ":")
    parts = digits.split(":")
    if len(parts) != 6 or not all(len(part) == 2 and set(part) <= set("0123456789abcdef") for part in parts):
        raise InvalidArgument(f"{text} is not a valid mac address")
    return digits
