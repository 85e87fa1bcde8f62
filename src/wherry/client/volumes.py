"""Volumes over an API."""

from __future__ import annotations

from wherry.client.http import named
from wherry.store.volumes import VolumeRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from wherry.client.http import Remote
    from wherry.engine.volume_objects import NewVolume

    Filters = Mapping[str, Sequence[str]]
    Document = dict[str, Any]

_ANONYMOUS_ALONE = (1, 42)
"""Since this version of the API a prune leaves the volumes that somebody named."""


def _of(name: str) -> str:
    return f"/volumes/{named('volume', name)}"


def create(remote: Remote, new: NewVolume) -> VolumeRow:
    """See `wherry.engine.volume_objects.create`."""
    body = {"Name": new.name, "Driver": new.driver, "DriverOpts": dict(new.options), "Labels": dict(new.labels)}
    made = remote.call("POST", "/volumes/create", body=body)
    return VolumeRow(made["Name"], made["Driver"], new.options, new.labels, 0)


def documents(remote: Remote, filters: Filters) -> list[Document]:
    """See `wherry.engine.volume_objects.documents`."""
    return remote.call("GET", "/volumes", {"filters": dict(filters)}).get("Volumes") or []


def inspect(remote: Remote, name: str) -> Document:
    """See `wherry.engine.volume_objects.inspect`."""
    found: Document = remote.call("GET", _of(name))
    return found


def remove(remote: Remote, name: str) -> None:
    """See `wherry.engine.volume_objects.remove`."""
    remote.call("DELETE", _of(name))


def prune(remote: Remote, filters: Filters, *, everything: bool) -> tuple[list[str], int]:
    """See `wherry.engine.volume_objects.prune`."""
    wanted = dict(filters)
    if remote.version >= _ANONYMOUS_ALONE:
        wanted |= {"all": ["true"]} if everything else {}
    elif not everything:
        remote.needs(_ANONYMOUS_ALONE, "removing only the volumes that nobody named (use --all)")
    found = remote.call("POST", "/volumes/prune", {"filters": wanted})
    return found.get("VolumesDeleted") or [], found.get("SpaceReclaimed") or 0
