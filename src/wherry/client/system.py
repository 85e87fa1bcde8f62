"""The engine as a whole over an API: what it is, what happens in it, what it holds; and logs."""

from __future__ import annotations

from wherry.client import networks as of_networks
from wherry.client import volumes as of_volumes
from wherry.client.attached import Demultiplexer
from wherry.client.containers import complete, documents, of, prune
from wherry.client.images import list_images, prune_images
from wherry.monitor.protocol import STDERR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from wherry.client.http import Remote
    from wherry.engine.event_stream import Wanted as WantedEvents
    from wherry.engine.logs import Wanted
    from wherry.engine.prune import Pruned
    from wherry.store.events import Event

    Filters = Mapping[str, Sequence[str]]
    Document = dict[str, Any]

_CHUNK = 64 << 10
_BUILD_CACHE = (1, 39)


def info(remote: Remote) -> Document:
    """See `wherry.engine.info.info`."""
    found: Document = remote.call("GET", "/info")
    return found


def versions(remote: Remote) -> Document:
    """See `wherry.engine.info.versions`."""
    found: Document = remote.call("GET", "/version")
    return found


def disk_usage(remote: Remote) -> Document:
    """See `wherry.engine.disk_usage.disk_usage`."""
    found: Document = remote.call("GET", "/system/df")
    for kind in ("Images", "Containers", "Volumes", "BuildCache"):
        found[kind] = found.get(kind) or []
    found["Containers"] = [{"SizeRw": 0, **complete(one)} for one in found["Containers"]]
    for image in found["Images"]:
        image["SharedSize"] = max(image.get("SharedSize", 0), 0)
    return found


def stream(remote: Remote, wanted: WantedEvents) -> Iterator[list[Event]]:
    """See `wherry.engine.event_stream.stream`."""
    query = {"since": _seconds(wanted.since), "until": _seconds(wanted.until), "filters": dict(wanted.filters)}
    with remote.stream("GET", "/events", query) as answer:
        for number, one in enumerate(answer.documents()):
            yield [_event(number, one)]


def _event(number: int, one: Document) -> Event:
    from wherry.store.events import Event

    actor = one.get("Actor") or {}
    time = one.get("timeNano") or one.get("time", 0) * 1_000_000_000
    return Event(number, time, one["Type"], one["Action"], actor.get("ID", ""), actor.get("Attributes") or {})


def texts(
    remote: Remote, name: str, wanted: Wanted, *, details: bool = False, timestamps: bool = False
) -> Iterator[list[tuple[str, bytes]]]:
    """See `wherry.engine.logs.texts`."""
    terminal = remote.call("GET", f"{of(name)}/json")["Config"]["Tty"]
    query = {
        "stdout": True,
        "stderr": True,
        "since": _seconds(wanted.since),
        "until": _seconds(wanted.until),
        "tail": str(wanted.tail) if wanted.tail >= 0 else "all",
        "follow": wanted.follow,
        "details": details,
        "timestamps": timestamps,
    }
    demultiplexer = Demultiplexer()
    with remote.stream("GET", f"{of(name)}/logs", query) as answer:
        while data := answer.read(_CHUNK):
            if terminal:
                yield [("stdout", data)]
            else:
                found = demultiplexer.feed(data)
                yield [("stderr" if kind == STDERR else "stdout", text) for kind, text in found]


def prune_system(remote: Remote, filters: Filters, *, everything: bool, volumes: bool) -> Pruned:
    """See `wherry.engine.prune.prune_system`."""
    from wherry.engine.prune import Pruned

    containers, freed = prune(remote, filters)
    networks = of_networks.prune(remote, filters)
    gone, of_them = of_volumes.prune(remote, filters, everything=False) if volumes else ([], 0)
    images, of_images = prune_images(remote, filters, everything=everything)
    freed += of_them + of_images
    if remote.version >= _BUILD_CACHE:
        query = {"all": everything, "filters": dict(filters)}
        freed += remote.call("POST", "/build/prune", query).get("SpaceReclaimed") or 0
    return Pruned(tuple(containers), tuple(networks), tuple(gone), tuple(images), freed)


def _seconds(nanoseconds: int) -> str | None:
    """A time as the API has it, seconds with a fraction; None for none."""
    return f"{nanoseconds // 1_000_000_000}.{nanoseconds % 1_000_000_000:09d}" if nanoseconds else None


def container_names(remote: Remote, statuses: Sequence[str] = ()) -> list[str]:
    """See `wherry.engine.completions.container_names`."""
    filters = {"status": list(statuses)} if statuses else {}
    found = documents(remote, filters, everything=True)
    return sorted([name.removeprefix("/") for one in found for name in one["Names"] if "/" not in name[1:]])


def image_names(remote: Remote) -> list[str]:
    """See `wherry.engine.completions.image_names`."""
    return sorted([name for one in list_images(remote) for name in one.repo_tags])


def volume_names(remote: Remote) -> list[str]:
    """See `wherry.engine.completions.volume_names`."""
    return sorted([one["Name"] for one in of_volumes.documents(remote, {})])


def network_names(remote: Remote) -> list[str]:
    """See `wherry.engine.completions.network_names`."""
    return sorted([one["Name"] for one in of_networks.documents(remote, {})])
