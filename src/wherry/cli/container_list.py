"""Containers as `ps` shows and filters them."""

from __future__ import annotations

import time

from wherry.cli import units
from wherry.cli.format import Listing
from wherry.container.state import status_text
from wherry.engine.containers import find, list_containers, load, state
from wherry.errors import InvalidArgument
from wherry.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wherry.cli.format import Fields
    from wherry.container.record import ContainerRecord, MountPoint
    from wherry.engine.engine import Engine
    from wherry.store.containers import ContainerRow

LISTING = Listing(
    kind="*formatter.ContainerContext",
    headers={
        "ID": "CONTAINER ID",
        "Names": "NAMES",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "CreatedAt": "CREATED AT",
        "RunningFor": "CREATED",
        "Ports": "PORTS",
        "State": "STATE",
        "Status": "STATUS",
        "Size": "SIZE",
        "Labels": "LABELS",
        "Label": "",
        "Mounts": "MOUNTS",
        "LocalVolumes": "LOCAL VOLUMES",
        "Networks": "NETWORKS",
        "Platform": "PLATFORM",
    },
    table=("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"),
    raw="container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n"
    "state: {{.State}}\nstatus: {{.Status}}\nnames: {{.Names}}\nlabels:{{pad .Labels 1 0}}\nports:{{pad .Ports 1 0}}\n",
)
STATES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
FILTERS = (
    "ancestor",
    "before",
    "exited",
    "health",
    "id",
    "label",
    "name",
    "network",
    "since",
    "status",
    "volume",
)


class Listed:
    """One container with what its line needs."""

    def __init__(self, engine: Engine, row: ContainerRow) -> None:
        self.engine = engine
        self.row = row
        self.record: ContainerRecord = load(row)
        self.state = state(row)

    def fields(self, *, whole: bool, size: bool = True) -> Fields:
        """What templates and columns may ask for; without ``size`` that is not measured and shown as 0B."""
        record, options = self.record, self.record.options
        labels = dict(options.labels)
        mounts = [mount for mount in record.mounts if mount.type != "tmpfs" or mount.listed]
        created = record.created / 1e9
        return {
            "ID": lambda: record.id if whole else record.short_id,
            "Names": lambda: self.record.name,
            "Image": lambda: self._image(whole),
            "Command": lambda: self._command(whole),
            "CreatedAt": lambda: units.local_time(created),
            "RunningFor": lambda: units.ago(created),
            "Ports": lambda: "",
            "State": lambda: self.state.status,
            "Status": lambda: status_text(self.state, time.time_ns()),
            "Size": self._size if size else lambda: "0B",
            "Labels": lambda: ",".join([f"{key}={labels[key]}" for key in sorted(labels)]),
            "Label": lambda name: labels.get(name, ""),
            "Mounts": lambda: ",".join([_mount(mount, whole) for mount in mounts]),
            "LocalVolumes": lambda: str(
                sum(mount.type == "volume" and mount.driver in ("", "local") for mount in mounts)
            ),
            "Networks": lambda: options.network_mode or "none",
            "Platform": lambda: None,
        }

    def _image(self, whole: bool) -> str:
        """The name it was made from, unless that now means another image; then the id."""
        record = self.record
        row = images.resolve_or_none(self.engine.db, record.image_name)
        name = record.image_name if row is not None and row.id == record.image_id else record.image_id
        if whole or not name:
            return name or "<no image>"
        if name == record.image_id:
            return name.partition(":")[2][:12]
        return name.partition("@")[0] if "@" in name else name

    def _command(self, whole: bool) -> str:
        from wherry.cli.quote import quote

        words = [f"'{word}'" if " " in word else word for word in self.record.args]
        text = " ".join([self.record.path, *words])
        return quote(text if whole else units.ellipsis(text, 20))

    def _size(self) -> str:
        """Bytes that it has written; and those together with its image's."""
        written, _files = self.engine.snapshotter.usage(self.record.id)
        image = images.get(self.engine.db, self.record.image_id)
        return f"{units.size(written)} (virtual {units.size(written + (image.size if image else 0))})"


def _mount(mount: MountPoint, whole: bool) -> str:
    name = mount.name or mount.source
    return name if whole else units.ellipsis(name, 15)


def select(
    engine: Engine, filters: Mapping[str, Sequence[str]], *, everything: bool = False, last: int = 0
) -> list[Listed]:
    """Containers, the newest first: the running ones, or all, or the ``last`` few, as far as ``filters`` let them be.

    Filters of one name are alternatives, those of ``label`` must all hold (docker-ps(1)).  Raises `InvalidArgument`.
    """
    for name in filters:
        if name not in FILTERS:
            raise InvalidArgument(f"invalid filter '{name}'", hint=f"known are {', '.join(FILTERS)}")
    found = [Listed(engine, row) for row in list_containers(engine)]
    found.sort(key=lambda one: one.record.created, reverse=True)
    if not (everything or last > 0 or "status" in filters or "exited" in filters):
        found = [one for one in found if one.state.running]
    for text in filters.get("before", ()):
        limit = find(engine, text).created
        found = [one for one in found if one.record.created < limit]
    for text in filters.get("since", ()):
        limit = find(engine, text).created
        found = [one for one in found if one.record.created > limit]
    checks = _checks(engine, filters)
    found = [one for one in found if all(any(check(one, text) for text in texts) for check, texts in checks)]
    found = [one for one in found if all(_has_label(one, text) for text in filters.get("label", ()))]
    return found[:last] if last > 0 else found


def _checks(
    engine: Engine, filters: Mapping[str, Sequence[str]]
) -> list[tuple[Callable[[Listed, str], bool], Sequence[str]]]:
    import re

    def pattern(text: str) -> re.Pattern[str]:
        try:
            return re.compile(text)
        except re.error:
            raise InvalidArgument(f"invalid filter: {text!r} is not a regular expression") from None

    known: dict[str, Callable[[Listed, str], bool]] = {
        "id": lambda one, text: pattern(text).search(one.record.id) is not None,
        "name": lambda one, text: bool(
            pattern(text).search(one.record.name) or pattern(text).search("/" + one.record.name)
        ),
        "status": lambda one, text: one.state.status == text,
        "exited": lambda one, text: one.state.status == "exited" and one.state.exit_code == int(text),
        "health": lambda _one, text: text == "none",
        "network": lambda one, text: (one.record.options.network_mode or "none") == text,
        "volume": lambda one, text: any(text in (m.name, m.destination, m.source) for m in one.record.mounts),
        "ancestor": lambda one, text: _descends(engine, one, text),
    }
    for text in filters.get("status", ()):
        if text not in STATES:
            raise InvalidArgument(f"invalid filter 'status={text}'", hint=f"known are {', '.join(STATES)}")
    for text in filters.get("exited", ()):
        if not text.lstrip("-").isdigit():
            raise InvalidArgument(f"invalid filter 'exited={text}'")
    return [(check, filters[name]) for name, check in known.items() if name in filters]


def _descends(engine: Engine, one: Listed, text: str) -> bool:
    """Made from the image ``text``, or from one that has all its layers below its own."""
    ancestor = images.resolve_or_none(engine.db, text)
    if ancestor is None:
        return False
    if one.record.image_id == ancestor.id:
        return True
    return bool(ancestor.diff_ids) and one.record.diff_ids[: len(ancestor.diff_ids)] == ancestor.diff_ids


def _has_label(one: Listed, text: str) -> bool:
    name, equals, value = text.partition("=")
    return any(key == name and (not equals or found == value) for key, found in one.record.options.labels)
