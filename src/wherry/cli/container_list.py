"""Containers as `ps` and `system df` show them, from Docker's documents."""

from __future__ import annotations

from wherry.cli import units
from wherry.cli.format import Listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from wherry.cli.format import Fields

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


def fields(document: Mapping[str, Any], *, whole: bool) -> Fields:
    """What templates and columns may ask for; ``whole`` cuts nothing off."""
    from wherry.cli.ports import display

    labels: dict[str, str] = document["Labels"]
    mounts = document["Mounts"]
    identity = document["Id"]
    return {
        "ID": lambda: identity if whole else identity[:12],
        "Names": lambda: ",".join([name[1:] for name in document["Names"] if whole or "/" not in name[1:]]),
        "Image": lambda: _image(document, whole),
        "Command": lambda: _command(document["Command"], whole),
        "CreatedAt": lambda: units.local_time(document["Created"]),
        "RunningFor": lambda: units.ago(document["Created"]),
        "Ports": lambda: display(document["Ports"]),
        "State": lambda: document["State"],
        "Status": lambda: document["Status"],
        "Size": lambda: _size(document),
        "Labels": lambda: ",".join([f"{key}={labels[key]}" for key in sorted(labels)]),
        "Label": lambda name: labels.get(name, ""),
        "Mounts": lambda: ",".join([_mount(mount, whole) for mount in mounts]),
        "LocalVolumes": lambda: str(sum(mount.get("Driver") == "local" for mount in mounts)),
        "Networks": lambda: ",".join(sorted(document["NetworkSettings"]["Networks"])),
        "Platform": lambda: None,
    }


def _image(document: Mapping[str, Any], whole: bool) -> str:
    name: str = document["Image"]
    if whole or not name:
        return name or "<no image>"
    if name == document["ImageID"]:
        return name.partition(":")[2][:12]
    return name.partition("@")[0] if "@" in name else name


def _command(text: str, whole: bool) -> str:
    from wherry.cli.quote import quote

    return quote(text if whole else units.ellipsis(text, 20))


def _size(document: Mapping[str, Any]) -> str:
    """Bytes that it has written; and those together with its image's.  Not measured: 0B."""
    virtual = document.get("SizeRootFs", 0)
    written = units.size(document.get("SizeRw", 0))
    return f"{written} (virtual {units.size(virtual)})" if virtual > 0 else written


def _mount(mount: Mapping[str, Any], whole: bool) -> str:
    name = mount.get("Name") or mount["Source"]
    return name if whole else units.ellipsis(name, 15)


def table(*, size: bool) -> Sequence[str]:
    """The columns of the usual table; () where they are the listing's own."""
    return (*LISTING.table, "Size") if size else ()
