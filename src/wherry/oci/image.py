"""The configuration of an image (OCI image spec, config.md, and what Docker adds to it).

The document comes from strangers.  `parse` checks the type of everything that Wherry acts on and refuses the rest of
the image when one is wrong; what it does not know it keeps in ``raw``, which `inspect` shows and `save` writes.
"""

from __future__ import annotations

from wherry.errors import Corrupt
from wherry.oci import digest as digests
from wherry.oci.manifest import MAX_CONFIG, MAX_LAYERS, parse_object
from wherry.oci.platform import Platform
from wherry.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_ITEMS = 10_000


class Healthcheck(Record):
    """``test`` is ("NONE",), ("CMD", …) or ("CMD-SHELL", text); times in nanoseconds, 0 for the default."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class History(Record):
    """How one layer, or none of its own (``empty_layer``), came to be."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(Record):
    """What an image says about the containers made from it.

    ``env`` holds only well-formed ``NAME=value`` entries: one without a value would ask for a variable of whoever
    runs the container, and an image has no say in that (CVE-2026-57231).  ``diff_ids`` are the layers, lowest first.
    ``raw`` is the document as it came.
    """

    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    diff_ids: tuple[str, ...] = ()
    architecture: str = ""
    os: str = ""
    variant: str = ""
    created: str = ""
    author: str = ""
    history: tuple[History, ...] = ()
    raw: str = "{}"

    @property
    def platform(self) -> Platform:
        """What it was built for; Linux when it does not say."""
        return Platform(self.os or "linux", self.architecture, self.variant)


def parse(body: bytes) -> ImageConfig:
    """The configuration in ``body``.  Raises `Corrupt` when it is too large, malformed or has no layers listed."""
    value = parse_object(body, MAX_CONFIG, "image configuration")
    rootfs = value.get("rootfs")
    if not isinstance(rootfs, dict) or rootfs.get("type", "layers") != "layers":
        raise Corrupt("image configuration has no rootfs of type layers")
    diff_ids = _strings(rootfs, "diff_ids")
    if len(diff_ids) > MAX_LAYERS:
        raise Corrupt(f"{len(diff_ids)} layers: more than {MAX_LAYERS}")
    if not all(digests.is_digest(diff_id) for diff_id in diff_ids):
        raise Corrupt("image configuration has a malformed layer digest")
    settings = _object(value, "config")
    return ImageConfig(
        env=tuple(entry for entry in _strings(settings, "Env") if _is_assignment(entry)),
        entrypoint=_strings(settings, "Entrypoint"),
        cmd=_strings(settings, "Cmd"),
        user=_text(settings, "User"),
        working_dir=_text(settings, "WorkingDir"),
        volumes=_keys(settings, "Volumes"),
        exposed_ports=_keys(settings, "ExposedPorts"),
        labels=_labels(settings),
        stop_signal=_text(settings, "StopSignal"),
        healthcheck=_healthcheck(settings),
        diff_ids=diff_ids,
        architecture=_text(value, "architecture"),
        os=_text(value, "os"),
        variant=_text(value, "variant"),
        created=_text(value, "created"),
        author=_text(value, "author"),
        history=_history(value),
        raw=body.decode(),
    )


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The chain ids of a stack of layers, lowest first (config.md#layer-chainid)."""
    found: list[str] = []
    for diff_id in diff_ids:
        found.append(digests.of(f"{found[-1]} {diff_id}".encode()) if found else diff_id)
    return tuple(found)


def _is_assignment(entry: str) -> bool:
    name, equals, _value = entry.partition("=")
    return bool(name and equals) and "\0" not in entry


def _text(value: dict[str, Any], key: str) -> str:
    found = value.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise Corrupt(f"image configuration: {key} is not a string")
    return found


def _number(value: dict[str, Any], key: str) -> int:
    found = value.get(key)
    if found is None:
        return 0
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found < 1 << 63:
        raise Corrupt(f"image configuration: {key} is not a number")
    return found


def _strings(value: dict[str, Any], key: str) -> tuple[str, ...]:
    found = value.get(key)
    if found is None:
        return ()
    if isinstance(found, str) and key in ("Entrypoint", "Cmd"):
        return (found,)  # Docker's strslice accepts it
    if not isinstance(found, list) or len(found) > _MAX_ITEMS or not all(isinstance(item, str) for item in found):
        raise Corrupt(f"image configuration: {key} is not a list of strings")
    return tuple(found)


def _object(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict) or len(found) > _MAX_ITEMS:
        raise Corrupt(f"image configuration: {key} is not an object")
    return found


def _keys(value: dict[str, Any], key: str) -> tuple[str, ...]:
    return tuple(_object(value, key))


def _labels(value: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    found = _object(value, "Labels")
    if not all(isinstance(text, str) for text in found.values()):
        raise Corrupt("image configuration: Labels are not strings")
    return tuple(found.items())


def _healthcheck(value: dict[str, Any]) -> Healthcheck | None:
    found = _object(value, "Healthcheck")
    if not found:
        return None
    return Healthcheck(
        _strings(found, "Test"),
        _number(found, "Interval"),
        _number(found, "Timeout"),
        _number(found, "StartPeriod"),
        _number(found, "StartInterval"),
        _number(found, "Retries"),
    )


def _history(value: dict[str, Any]) -> tuple[History, ...]:
    found = value.get("history")
    if found is None:
        return ()
    if not isinstance(found, list) or len(found) > _MAX_ITEMS:
        raise Corrupt("image configuration: history is not a list")
    steps = []
    for step in found:
        if not isinstance(step, dict):
            raise Corrupt("image configuration: history is malformed")
        created, created_by = _text(step, "created"), _text(step, "created_by")
        author, comment = _text(step, "author"), _text(step, "comment")
        steps.append(History(created, created_by, author, comment, step.get("empty_layer") is True))
    return tuple(steps)
