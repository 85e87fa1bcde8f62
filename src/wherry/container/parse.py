"""Text to values in Docker's grammar: sizes, times, numbers, signals, users, limits, ports, labels.

Mounts are in `parse_mount`, devices in `parse_device`, files of variables in `parse_file`; each is imported by the
command that was given the option.  Everything raises `InvalidArgument` with the words that the docker command prints
after "invalid argument ... for ... flag:".
"""

from __future__ import annotations

from wherry.container.options import DeviceRate, Ulimit
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wherry.container.options import Pairs

_BINARY = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_DECIMAL = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_MAX = (1 << 63) - 1
_TIME = {"ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_ULIMITS = (
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
)


def boolean(text: str) -> bool:
    """What Go's strconv.ParseBool takes."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise InvalidArgument(f'strconv.ParseBool: parsing "{text}": invalid syntax', hint="write true or false")


def integer(text: str, *, minimum: int = -_MAX - 1, maximum: int = _MAX) -> int:
    """A whole number in base 10, 16 (``0x``), 8 (``0``) or 2 (``0b``), as Go's flags take them."""
    cleaned = text.replace("_", "") if "__" not in text else "?"
    try:
        digits = cleaned.lstrip("+-")
        old_octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
        value = int(cleaned, 8 if old_octal else 0)
    except ValueError:
        raise InvalidArgument(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if not minimum <= value <= maximum:
        raise InvalidArgument(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def size(text: str) -> int:
    """Bytes from ``256m``, ``1.5g``, ``1GiB`` or ``1024``; every unit is a power of 1024."""
    return _size(text, _BINARY)


def decimal_size(text: str) -> int:
    """Bytes from text whose units are powers of 1000."""
    return _size(text, _DECIMAL)


def _size(text: str, units: dict[str, int]) -> int:
    body = text.lower()
    suffix = body.lstrip("0123456789.")
    number, unit = body[: len(body) - len(suffix)], suffix.lstrip(" ")
    if len(suffix) - len(unit) > 1 or not number[:1].isdigit():
        raise InvalidArgument(f"invalid size: '{text}'", hint="write for example 512m or 2g")
    if unit.endswith("b"):
        unit = unit[:-1]
    if unit.endswith("i"):
        unit = unit[:-1]
    whole, point, fraction = number.partition(".")
    if unit not in units or "." in fraction or (point and not fraction):
        raise InvalidArgument(f"invalid size: '{text}'", hint="write for example 512m or 2g")
    value = int(whole) * units[unit]
    if fraction:
        value += int(fraction) * units[unit] // 10 ** len(fraction)
    if value > _MAX:
        raise InvalidArgument(f"invalid size: '{text}'")
    return value


def swap_size(text: str) -> int:
    """As `size`, and -1 for no limit."""
    return -1 if text == "-1" else size(text)


def nano_cpus(text: str) -> int:
    """Billionths of a CPU from ``--cpus`` text such as ``1.5``."""
    whole, _point, fraction = text.removeprefix("+").partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit()):
        return _rational_cpus(text)
    fraction = fraction.rstrip("0")
    if len(fraction) > 9:
        raise InvalidArgument("value is too precise")
    value = int(whole or 0) * 10**9 + int(fraction.ljust(9, "0") or 0)
    if value > _MAX:
        raise InvalidArgument(f"failed to parse {text} as a rational number")
    return value


def _rational_cpus(text: str) -> int:
    """The rarer forms that Go's big.Rat reads: ``1/2``, ``5e-1``, ``-1`` (refused later, for its range)."""
    from fractions import Fraction

    exponent = text.lower().rpartition("e")[2] if "e" in text.lower() else "0"
    try:
        if "_" in text or text != text.strip() or len(text) > 40 or len(exponent) > 3:
            raise ValueError(text)
        value = Fraction(text) * 10**9
    except (ValueError, ZeroDivisionError):
        raise InvalidArgument(f"failed to parse {text} as a rational number", hint="write for example 1.5") from None
    if value.denominator != 1:
        raise InvalidArgument("value is too precise")
    if abs(value.numerator) > _MAX:
        raise InvalidArgument(f"failed to parse {text} as a rational number")
    return value.numerator


def duration(text: str) -> int:
    """Nanoseconds from Go's durations: ``300ms``, ``1h10m``, ``0``."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total = 0
    while rest:
        after = rest.lstrip("0123456789.")
        number = rest[: len(rest) - len(after)]
        unit = next((unit for unit in sorted(_TIME, key=len, reverse=True) if after.startswith(unit)), "")
        whole, _point, fraction = number.partition(".")
        if not unit or not (whole + fraction).isdigit():
            raise InvalidArgument(f'time: invalid duration "{text}"', hint="write for example 30s or 1m30s")
        total += int(whole or 0) * _TIME[unit]
        if fraction:
            total += int(fraction) * _TIME[unit] // 10 ** len(fraction)
        rest = after[len(unit) :]
    if not text or total > _MAX:
        raise InvalidArgument(f'time: invalid duration "{text}"', hint="write for example 30s or 1m30s")
    return sign * total


def signal(text: str) -> int:
    """The number of a signal given by number or name, with or without ``SIG``, ``RTMIN+3`` and ``RTMAX-1`` included."""
    import _signal  # type: ignore[import-not-found]

    if text.isascii() and text.isdigit():
        number = int(text[:9])
        if 0 < number <= int(_signal.SIGRTMAX):
            return number
        raise InvalidArgument(f"invalid signal: {text}")
    name = text.upper().removeprefix("SIG")
    base, sign, offset = name[:5], name[5:6], name[6:]
    if base in ("RTMIN", "RTMAX"):
        first, last = int(_signal.SIGRTMIN), int(_signal.SIGRTMAX)
        number = first if base == "RTMIN" else last
        if sign:
            if sign not in "+-" or not (offset.isascii() and offset.isdigit()):
                raise InvalidArgument(f"invalid signal: {text}")
            number += int(offset[:9]) if sign == "+" else -int(offset[:9])
        if first <= number <= last:
            return number
        raise InvalidArgument(f"invalid signal: {text}")
    value = getattr(_signal, f"SIG{name}", None) if name.isalnum() else None
    if not isinstance(value, int) or value <= 0 or f"SIG{name}" in ("SIG_DFL", "SIG_IGN"):
        raise InvalidArgument(f"invalid signal: {text}", hint="kill -l lists the names")
    return int(value)


def ulimit(text: str) -> Ulimit:
    """``nofile=1024:2048``; one value is both limits, -1 and ``infinity`` are none."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidArgument(f"invalid ulimit argument: {text}", hint="write NAME=SOFT[:HARD]")
    if name not in _ULIMITS:
        raise InvalidArgument(f"invalid ulimit type: {name}", hint="known are " + ", ".join(_ULIMITS))
    parts = value.split(":")
    if len(parts) > 2:
        raise InvalidArgument(f"too many limit value arguments - {value}, can only have up to two, `soft[:hard]`")
    limits = [-1 if part == "infinity" else _plain_integer(part) for part in parts]
    soft, hard = limits[0], limits[-1]
    if hard != -1 and soft == -1:
        raise InvalidArgument(
            f"ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: {hard}"
        )
    if hard != -1 and soft > hard:
        raise InvalidArgument(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return Ulimit(name, soft, hard)


def _plain_integer(text: str) -> int:
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidArgument(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    value = int(text)
    if not -_MAX - 1 <= value <= _MAX:
        raise InvalidArgument(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def label(text: str) -> tuple[str, str]:
    """``name=value`` or a bare name, which holds no blanks."""
    name, _equals, value = text.partition("=")
    bare = name.lstrip(" \t")
    if not bare:
        raise InvalidArgument(f"invalid label '{text}': empty name")
    if " " in bare or "\t" in bare:
        raise InvalidArgument(f"label '{bare}' contains whitespaces")
    return name, value


def annotation(text: str) -> tuple[str, str]:
    """``name=value``."""
    name, _equals, value = text.partition("=")
    if not name:
        raise InvalidArgument(f"invalid annotation '{text}': empty name")
    return name, value


def pairs(entries: tuple[tuple[str, str], ...]) -> Pairs:
    """Each name once, with the value given last, where it was given first."""
    return tuple(dict(entries).items())


def sysctl(text: str) -> tuple[str, str]:
    """``net.ipv4.ip_forward=1``; whether it is allowed depends on its namespaces (`wherry.container.check`)."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidArgument(f"sysctl '{text}' is not allowed", hint="write NAME=VALUE")
    return name, value


def attach(text: str) -> str:
    """One of stdin, stdout and stderr, in any case."""
    stream = text.lower()
    if stream not in ("stdin", "stdout", "stderr"):
        raise InvalidArgument("valid streams are STDIN, STDOUT and STDERR")
    return stream


def expose(text: str) -> tuple[str, ...]:
    """``80``, ``80/udp`` or ``7000-7010`` as ("7000/tcp", …)."""
    if ":" in text:
        raise InvalidArgument(f"invalid port format for --expose: {text}")
    ports, _slash, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    first, dash, last = ports.partition("-")
    last = last if dash else first
    valid = first.isascii() and first.isdigit() and last.isascii() and last.isdigit()
    if not valid or not 1 <= int(first) <= int(last) <= 65535:
        raise InvalidArgument(f"invalid range format for --expose: {text}")
    if protocol not in ("tcp", "udp", "sctp"):
        raise InvalidArgument(f"invalid range format for --expose: {text}, error: invalid proto '{protocol}'")
    return tuple([f"{port}/{protocol}" for port in range(int(first), int(last) + 1)])


def extra_host(text: str) -> str:
    """``--add-host`` as "name:address"; ``host-gateway`` stands for the host's address on the container's network."""
    separator = "=" if "=" in text.partition(":")[0] else ":"
    name, found, address = text.partition(separator)
    if not found or not name:
        raise InvalidArgument(f'bad format for add-host: "{text}"', hint="write NAME:ADDRESS")
    bare = address[1:-1] if address[:1] == "[" and address[-1:] == "]" else address
    if bare != "host-gateway":
        _address(bare, f'invalid IP address in add-host: "{bare}"')
    return f"{name}:{bare}"


def dns_server(text: str) -> str:
    """An address for ``--dns``."""
    text = text.strip()
    _address(text, f"IP address is not correctly formatted: {text}")
    return text


def _address(text: str, message: str) -> None:
    import _socket

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
            return
        except OSError:
            continue
    raise InvalidArgument(message)


def dns_search(text: str) -> str:
    """A domain for ``--dns-search``; "." for none at all."""
    text = text.strip()
    if text == ".":
        return text
    labels = text.rstrip(".").split(".")
    for part in labels:
        ends = part[:1].isalnum() and part[-1:].isalnum()
        if not ends or len(part) > 63 or not part.replace("-", "").replace("_", "").isalnum() or not part.isascii():
            raise InvalidArgument(f"{text} is not a valid domain")
    return text


def device_rate(text: str, *, operations: bool = False) -> DeviceRate:
    """``/dev/sda:1mb``, or with ``operations`` a plain number per second."""
    path, colon, amount = text.rpartition(":")
    if not colon or not amount:
        raise InvalidArgument(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise InvalidArgument(f"bad format for device path: {text}")
    message = f"invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]"
    try:
        rate = integer(amount, minimum=0) if operations else size(amount)
    except InvalidArgument:
        raise InvalidArgument(message) from None
    return DeviceRate(path, rate)


def device_weight(text: str) -> DeviceRate:
    """``/dev/sda:300``."""
    path, colon, amount = text.rpartition(":")
    if not colon:
        raise InvalidArgument(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise InvalidArgument(f"bad format for device path: {text}")
    if not amount.isdigit() or (int(amount) and not 10 <= int(amount) <= 1000):
        raise InvalidArgument(f"invalid weight for device: {text}")
    return DeviceRate(path, int(amount))
