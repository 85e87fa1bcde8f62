"""The grammars of ``--device``, ``--device-cgroup-rule`` and ``--gpus``."""

from __future__ import annotations

import os

from wherry.container.options import DeviceMapping, DeviceRequest
from wherry.container.parse_mount import csv_fields
from wherry.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def device(text: str) -> tuple[DeviceMapping, ...]:
    """``HOST[:CONTAINER][:rwm]``; a HOST that ends in ``*`` is every path that begins so."""
    parts = text.split(":")
    if not parts[0] or len(parts) > 3:
        raise InvalidArgument(f"bad format for path: {text}")
    source, target, access = parts[0], "", "rwm"
    if len(parts) == 2:
        if is_access(parts[1]):
            access = parts[1]
        else:
            target = parts[1]
    elif len(parts) == 3:
        target, access = parts[1], parts[2]
        if not is_access(access):
            raise InvalidArgument(f"bad mode specified: {access}", hint="some of r, w and m")
    if not source.startswith("/"):
        raise InvalidArgument(f"{source} is not an absolute path")
    if target and not target.startswith("/"):
        raise InvalidArgument(f"{target} is not an absolute path")
    if not source.endswith("*"):
        source = os.path.normpath(source)
        return (DeviceMapping(source, os.path.normpath(target) if target else source, access),)
    if target:
        raise InvalidArgument(f"device with * suffix can't have dst: {text}")
    directory, _slash, prefix = source[:-1].rpartition("/")
    try:
        names = sorted(os.listdir(directory or "/"))
    except OSError:
        names = []
    paths = [f"{directory}/{name}" for name in names if name.startswith(prefix)]
    return tuple([DeviceMapping(path, path, access) for path in paths])


def is_access(text: str) -> bool:
    """Whether ``text`` is made of r, w and m, each at most once."""
    return 0 < len(text) <= 3 and len(set(text)) == len(text) and set(text) <= set("rwm")


def is_cdi(text: str) -> bool:
    """Whether ``--device`` names a CDI device (``vendor/class=name``) rather than a path."""
    return not text.startswith("/") and "=" in text and "/" in text.partition("=")[0]


def cdi_request(texts: tuple[str, ...]) -> DeviceRequest:
    """The request for all CDI devices named by ``--device``."""
    return DeviceRequest(driver="cdi", device_ids=texts)


def cgroup_rule(text: str) -> str:
    """``--device-cgroup-rule``: ``c 13:* rwm``."""
    words = text.split(" ")
    numbers = words[1].split(":") if len(words) == 3 else []
    valid = (
        len(numbers) == 2
        and words[0] in ("a", "b", "c")
        and all(number == "*" or (number.isascii() and number.isdigit()) for number in numbers)
        and 1 <= len(words[2]) <= 3
        and set(words[2]) <= set("rwm")
    )
    if not valid:
        raise InvalidArgument(
            f"invalid device cgroup format '{text}'", hint="write TYPE MAJOR:MINOR MODE: 'c 13:* rwm'"
        )
    return text


def gpus(text: str) -> DeviceRequest:
    """``--gpus``: ``all``, a number, or fields: ``"device=0,1",capabilities=utility``."""
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for field in csv_fields(text):
        key, equals, value = field.partition("=")
        if not equals:
            key, value = "count", field
        if key in seen:
            raise InvalidArgument(f"gpu request key '{key}' can be specified only once")
        seen.add(key)
        if key == "driver":
            found["driver"] = value
        elif key == "count":
            found["count"] = _count(value)
        elif key == "device":
            found["device_ids"] = tuple(value.split(","))
        elif key == "capabilities":
            found["capabilities"] = ((*value.split(","), "gpu"),)
        elif key == "options":
            found["options"] = tuple([_option(part) for part in csv_fields(value)])
        else:
            raise InvalidArgument(f"unexpected key '{key}' in '{field}'")
    if "count" in seen and "device" in seen:
        raise InvalidArgument("cannot set both Count and DeviceIDs on device request")
    if "count" not in seen and "device" not in seen:
        found["count"] = 1
    found.setdefault("capabilities", (("gpu",),))
    return DeviceRequest(**found)


def _count(text: str) -> int:
    if text == "all":
        return -1
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidArgument(f'invalid count ({text}): value must be either "all" or an integer: invalid syntax')
    return int(text)


def _option(text: str) -> tuple[str, str]:
    name, _equals, value = text.partition("=")
    return name, value
