"""What is configured about networks: ``networks.toml`` (docs/networks.md), keys as in Docker's ``daemon.json``."""

from __future__ import annotations

from wherry.errors import InvalidArgument
from wherry.network.addresses import DEFAULT_POOLS, Pool, Range
from wherry.network.model import ANY_IPV4
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class NetworkConfig(Record):
    """``keep_bridge`` is for how many seconds the default bridge outlives its last container."""

    bip: str = ""  # the default bridge's address: "192.168.1.1/24"
    fixed_cidr: str = ""  # the part of its subnet that containers get addresses from
    mtu: int = 0
    ip: str = ANY_IPV4  # where ports are published when --publish names no address
    icc: bool = True
    keep_bridge: float = 1.0
    pools: tuple[Pool, ...] = DEFAULT_POOLS


_KEYS: dict[str, tuple[str, tuple[type, ...]]] = {
    "bip": ("bip", (str,)),
    "fixed-cidr": ("fixed_cidr", (str,)),
    "mtu": ("mtu", (int,)),
    "ip": ("ip", (str,)),
    "icc": ("icc", (bool,)),
    "keep-bridge": ("keep_bridge", (int, float)),
}


def load(directories: Sequence[str]) -> NetworkConfig:
    """Read ``networks.toml`` of each directory, later ones win.  Raises `InvalidArgument` with the file and the key."""
    fields: dict[str, Any] = {}
    for directory in directories:
        path = f"{directory}/networks.toml"
        try:
            with open(path, "rb") as file:
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise InvalidArgument(f"{path}: {(error.strerror or '').lower()}") from None
        fields |= _parse(path, data)
    return NetworkConfig(**fields)


def _parse(path: str, data: bytes) -> dict[str, Any]:
    import tomllib

    try:
        document = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"{path}: {error}") from None
    fields: dict[str, Any] = {}
    for key, value in document.items():
        if key == "default-address-pools":
            fields["pools"] = _pools(path, value)
            continue
        if key not in _KEYS:
            raise InvalidArgument(f"{path}: unknown key {key!r}", hint=f"known are {', '.join(sorted(_KEYS))}")
        field, kinds = _KEYS[key]
        if type(value) not in kinds:
            raise InvalidArgument(f"{path}: {key}: {value!r} is not of the right type")
        fields[field] = value
    try:
        for field in ("bip", "fixed_cidr"):
            if fields.get(field):
                Range(fields[field])
    except InvalidArgument as error:
        raise InvalidArgument(f"{path}: {error}") from None
    return fields


def _pools(path: str, value: Any) -> tuple[Pool, ...]:
    found: list[Pool] = []
    for entry in value if isinstance(value, list) else [None]:
        if not isinstance(entry, dict) or set(entry) != {"base", "size"} or not isinstance(entry["size"], int):
            raise InvalidArgument(f'{path}: default-address-pools: write [{{base = "10.0.0.0/8", size = 24}}]')
        base = Range(str(entry["base"]))
        if not base.prefix <= entry["size"] <= base.bits:
            raise InvalidArgument(f"{path}: default-address-pools: size {entry['size']} does not divide {base.text}")
        found.append(Pool(base.text, entry["size"]))
    return tuple(found)
