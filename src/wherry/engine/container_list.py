"""``docker ps``: containers as lists show them, in Docker's documents (Engine API, ``GET /containers/json``)."""

from __future__ import annotations

import time

from wherry.container.record import mount_points
from wherry.container.state import status_text
from wherry.engine import links, network_settings
from wherry.engine.containers import find, glance, list_containers, load, state, written
from wherry.errors import InvalidArgument
from wherry.store import images, networks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from wherry.container.record import ContainerRecord, Glance
    from wherry.container.state import State
    from wherry.engine.engine import Engine
    from wherry.network.model import Network
    from wherry.store.containers import ContainerRow
    from wherry.store.networks import EndpointRow

    Filters = Mapping[str, Sequence[str]]

STATES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
FILTERS = (
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network",
    "publish", "since", "status", "volume",
)  # fmt: skip
_HEALTH = ("none", "starting", "healthy", "unhealthy")
_PROTOCOLS = ("tcp", "udp", "sctp")


class Seen:
    """What the containers of one list have in common is looked up once."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {}  # names and what they mean now, "" for nothing
        self.networks: dict[str, Network | None] = {}
        self._endpoints: dict[str, list[EndpointRow]] | None = None
        self._links: dict[str, list[str]] | None = None

    def endpoints(self, engine: Engine) -> dict[str, list[EndpointRow]]:
        """Those of each container."""
        if self._endpoints is None:
            self._endpoints = networks.endpoints_by_container(engine.db)
        return self._endpoints

    def links(self, engine: Engine) -> dict[str, list[str]]:
        """What each container is called by links to it."""
        if self._links is None:
            self._links = links.names(engine, self.endpoints(engine))
        return self._links


class Listed:
    """One container with what its line needs."""

    def __init__(self, engine: Engine, row: ContainerRow, seen: Seen) -> None:
        self.engine = engine
        self.row = row
        self.state: State = state(row)
        self.line: Glance = glance(row)
        self._seen = seen
        self._record: ContainerRecord | None = None

    @property
    def record(self) -> ContainerRecord:
        """All of it, which most lists do not need."""
        if self._record is None:
            self._record = load(self.row)
        return self._record

    def document(self, *, size: bool = False) -> dict[str, Any]:
        """Docker's JSON; ``size`` measures what the container has written."""
        row, line = self.row, self.line
        words = [f"'{word}'" if " " in word else word for word in line.args]
        shown: dict[str, Any] = {
            "Id": row.id,
            "Names": [f"/{row.name}", *self._seen.links(self.engine).get(row.id, ())],
            "Image": self._image(),
            "ImageID": line.image_id,
            "Command": " ".join([line.path, *words]),
            "Created": row.created // 1_000_000_000,
            "Ports": self.ports(),
        }
        if size:
            shown |= self._sizes()
        return shown | {
            "Labels": dict(line.labels),
            "State": self.state.status,
            "Status": status_text(self.state, time.time_ns()),
            "HostConfig": {"NetworkMode": line.network_mode} | _annotations(line),
            "NetworkSettings": {"Networks": self.networks()},
            "Mounts": mount_points(line.mounts),
        }

    def networks(self) -> dict[str, dict[str, Any]]:
        """Its networks by name: Docker's ``EndpointSettings``."""
        rows = self._seen.endpoints(self.engine).get(self.row.id, ())
        return network_settings.places(self.engine, rows, lambda: self.record, self._seen.networks)

    def ports(self) -> list[dict[str, Any]]:
        """What it publishes, and what it only exposes: Docker's ``Port``."""
        found: list[dict[str, Any]] = []
        if not self.state.running:
            return []
        for text, places in network_settings.ports(self.engine, self.record, self.state).items():
            port, _slash, protocol = text.partition("/")
            known: dict[str, Any] = {"PrivatePort": int(port), "Type": protocol or "tcp"}
            for place in places or ():
                found.append({"IP": place["HostIp"], **known, "PublicPort": int(place["HostPort"])})
            if not places:
                found.append(known)
        return found

    def _image(self) -> str:
        """The name it was made from, unless that now means another image; then the id."""
        line, known = self.line, self._seen.images
        if line.image_name not in known:
            row = images.resolve_or_none(self.engine.db, line.image_name)
            known[line.image_name] = row.id if row is not None else ""
        return line.image_name if known[line.image_name] == line.image_id else line.image_id

    def _sizes(self) -> dict[str, int]:
        """Bytes that it has written; and those together with its image's."""
        used = written(self.engine, self.row.id)
        image = images.get(self.engine.db, self.line.image_id)
        return {"SizeRw": used, "SizeRootFs": used + (image.size if image else 0)}


def select(engine: Engine, filters: Filters, *, everything: bool = False, last: int = 0) -> list[Listed]:
    """Containers, the newest first: the running ones, or all, or the ``last`` few, as far as ``filters`` let them be.

    Filters of one name are alternatives, those of ``label`` must all hold (docker-ps(1)); one for ``status`` means all.
    Raises `InvalidArgument`, `NotFound` for a container that ``before`` or ``since`` names.
    """
    for name in filters:
        if name not in FILTERS:
            raise InvalidArgument(f"invalid filter '{name}'", hint=f"known are {', '.join(FILTERS)}")
    seen = Seen()
    found = [Listed(engine, row, seen) for row in list_containers(engine)]
    found.sort(key=lambda one: one.row.created, reverse=True)
    if not (everything or last > 0 or "status" in filters):
        found = [one for one in found if one.state.running]
    for text in filters.get("before", ()):
        limit = find(engine, text).created
        found = [one for one in found if one.row.created < limit]
    for text in filters.get("since", ()):
        limit = find(engine, text).created
        found = [one for one in found if one.row.created > limit]
    for check, texts in _checks(engine, filters):
        found = [one for one in found if any(check(one, text) for text in texts)]
    found = [one for one in found if all(_has_label(one, text) for text in filters.get("label", ()))]
    return found[:last] if last > 0 else found


def documents(
    engine: Engine, filters: Filters, *, everything: bool = False, last: int = 0, size: bool = False
) -> list[dict[str, Any]]:
    """Docker's JSON of what `select` finds."""
    return [one.document(size=size) for one in select(engine, filters, everything=everything, last=last)]


def _checks(engine: Engine, filters: Filters) -> list[tuple[Callable[[Listed, str], bool], Sequence[str]]]:
    known: dict[str, Callable[[Listed, str], bool]] = {
        "id": lambda one, text: _matches(text, one.row.id),
        "name": lambda one, text: _matches(text, one.row.name) or _matches(text, f"/{one.row.name}"),
        "status": lambda one, text: one.state.status == text,
        "exited": lambda one, text: one.state.status == "exited" and one.state.exit_code == int(text),
        "health": lambda one, text: text == (one.state.health or "none"),
        "network": lambda one, text: any(text in (name, net["NetworkID"]) for name, net in one.networks().items()),
        "publish": lambda one, text: _has_port(
            text, [port for port in one.ports() if "PublicPort" in port], "PublicPort"
        ),
        "expose": lambda one, text: _has_port(text, one.ports(), "PrivatePort"),
        "volume": lambda one, text: any(text in (m.name, m.destination, m.source) for m in one.line.mounts),
        "ancestor": lambda one, text: _descends(engine, one, text),
        "isolation": lambda _one, _text: True,  # Linux has one, and Docker leaves out nobody here
        "is-task": lambda _one, text: not _truth(text),  # there is no swarm
    }
    _check_values(filters)
    return [(check, filters[name]) for name, check in known.items() if name in filters]


def _check_values(filters: Filters) -> None:
    for text in filters.get("status", ()):
        if text not in STATES:
            raise InvalidArgument(f"invalid filter 'status={text}'", hint=f"known are {', '.join(STATES)}")
    for text in filters.get("health", ()):
        if text not in _HEALTH:
            raise InvalidArgument(
                f"Unrecognised filter value for health: {text}", hint=f"known are {', '.join(_HEALTH)}"
            )
    for text in filters.get("exited", ()):
        if not text.lstrip("-").isdigit():
            raise InvalidArgument(f"invalid filter 'exited={text}'")
    for text in (*filters.get("publish", ()), *filters.get("expose", ())):
        _ports(text)
    for text in filters.get("is-task", ()):
        _truth(text)


def _annotations(line: Glance) -> dict[str, Any]:
    return {"Annotations": dict(line.annotations)} if line.annotations else {}


def _matches(pattern: str, text: str) -> bool:
    import re

    try:
        return re.search(pattern, text) is not None
    except re.error:
        raise InvalidArgument(f"invalid filter: {pattern!r} is not a regular expression") from None


def _truth(text: str) -> bool:
    if text.lower() not in ("1", "t", "true", "0", "f", "false"):
        raise InvalidArgument(f"invalid filter 'is-task={text}'")
    return text.lower() in ("1", "t", "true")


def _ports(text: str) -> tuple[range, str]:
    """``80``, ``80/udp``, ``8000-8080/tcp``."""
    numbers, _slash, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    last = last if dash else first
    if not (first.isdigit() and last.isdigit()) or (protocol or "tcp") not in _PROTOCOLS or int(last) < int(first):
        raise InvalidArgument(f"invalid filter: {text!r} is not a port", hint="write PORT[-PORT][/tcp|udp|sctp]")
    return range(int(first), int(last) + 1), protocol or "tcp"


def _has_port(text: str, ports: Sequence[Mapping[str, Any]], field: str) -> bool:
    wanted, protocol = _ports(text)
    return any(port[field] in wanted and port["Type"] == protocol for port in ports)


def _descends(engine: Engine, one: Listed, text: str) -> bool:
    """Made from the image ``text``, or from one that has all its layers below its own."""
    ancestor = images.resolve_or_none(engine.db, text)
    if ancestor is None:
        return False
    if one.line.image_id == ancestor.id:
        return True
    return bool(ancestor.diff_ids) and one.record.diff_ids[: len(ancestor.diff_ids)] == ancestor.diff_ids


def _has_label(one: Listed, text: str) -> bool:
    name, equals, value = text.partition("=")
    return any(key == name and (not equals or found == value) for key, found in one.line.labels)
