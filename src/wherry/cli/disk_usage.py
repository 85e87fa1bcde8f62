"""`system df` as Docker's client sets it, from Docker's document."""

from __future__ import annotations

import sys

from wherry.cli import container_list, units, volume_list
from wherry.cli.format import Listing, render, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from wherry.cli.format import Fields

    Document = Mapping[str, Any]

LISTING = Listing(
    kind="*formatter.diskUsageContext",
    headers={
        "Type": "TYPE",
        "TotalCount": "TOTAL",
        "Active": "ACTIVE",
        "Size": "SIZE",
        "Reclaimable": "RECLAIMABLE",
    },
    table=("Type", "TotalCount", "Active", "Size", "Reclaimable"),
)
IMAGES = Listing(
    kind="*formatter.imageContext",
    headers={
        "Repository": "REPOSITORY",
        "Tag": "TAG",
        "Digest": "DIGEST",
        "ID": "IMAGE ID",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "Size": "SIZE",
        "VirtualSize": "SIZE",
        "SharedSize": "SHARED SIZE",
        "UniqueSize": "UNIQUE SIZE",
        "Containers": "CONTAINERS",
    },
    table=("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"),
)
_CONTAINER_COLUMNS = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
_VOLUME_COLUMNS = ("Name", "Links", "Size")
_CACHE_HEADER = "CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED\n"
_ACTIVE = ("running", "paused", "restarting")


def show(document: Document, form: str, *, verbose: bool) -> None:
    """Prints the document as ``--format`` and ``--verbose`` ask."""
    if not verbose:
        text = render(LISTING, _summary(document), form)
    elif form in ("", "table"):
        text = _tables(document)
    else:
        text = _details(document, form)
    sys.stdout.write(visible(text) if sys.stdout.isatty() else text)


def _summary(document: Document) -> list[Fields]:
    images, layers = document["Images"], document["LayersSize"]
    in_use = [one for one in images if one["Containers"] != 0]
    used = sum(one["Size"] - one["SharedSize"] for one in in_use)
    containers = document["Containers"]
    running = [one for one in containers if one["State"] in _ACTIVE]
    written = sum(one["SizeRw"] for one in containers)
    idle = written - sum(one["SizeRw"] for one in running)
    volumes = [one["UsageData"] for one in document["Volumes"]]
    held = [one for one in volumes if one["RefCount"] > 0]
    size = sum(one["Size"] for one in volumes)
    free = size - sum(one["Size"] for one in held)
    return [
        _line("Images", len(images), len(in_use), layers, layers - used),
        _line("Containers", len(containers), len(running), written, idle),
        _line("Local Volumes", len(volumes), len(held), size, free),
        _line("Build Cache", 0, 0, 0, 0),
    ]


def _line(kind: str, total: int, active: int, size: int, reclaimable: int) -> Fields:
    share = f" ({reclaimable * 100 // size}%)" if size > 0 else ""
    return {
        "Type": lambda: kind,
        "TotalCount": lambda: str(total),
        "Active": lambda: str(active),
        "Size": lambda: units.size(size, 4),
        "Reclaimable": lambda: units.size(reclaimable, 4) + share,
    }


def _image(one: Document, *, whole: bool) -> Fields:
    repository, _colon, tag = one["RepoTags"][0].rpartition(":") if one["RepoTags"] else ("<none>", "", "<none>")
    return {
        "Repository": lambda: repository,
        "Tag": lambda: tag,
        "Digest": lambda: "",
        "ID": lambda: one["Id"] if whole else one["Id"].partition(":")[2][:12],
        "CreatedSince": lambda: units.ago(one["Created"]),
        "CreatedAt": lambda: units.local_time(one["Created"]),
        "Size": lambda: units.size(one["Size"]),
        "VirtualSize": lambda: units.size(one["Size"], 4),
        "SharedSize": lambda: units.size(one["SharedSize"], 4),
        "UniqueSize": lambda: units.size(one["Size"] - one["SharedSize"], 4),
        "Containers": lambda: str(one["Containers"]),
    }


def _container(one: Document, *, whole: bool) -> Fields:
    return container_list.fields({**one, "SizeRootFs": 0}, whole=whole)  # what it shares is the image's


def _tables(document: Document) -> str:
    images = [_image(one, whole=False) for one in document["Images"]]
    containers = [_container(one, whole=False) for one in document["Containers"]]
    volumes = [volume_list.fields(one) for one in document["Volumes"]]
    return (
        f"Images space usage:\n\n{render(IMAGES, images, '')}\n"
        f"Containers space usage:\n\n{render(container_list.LISTING, containers, '', _CONTAINER_COLUMNS)}\n"
        f"Local Volumes space usage:\n\n{render(volume_list.LISTING, volumes, '', _VOLUME_COLUMNS)}\n"
        f"Build cache usage: 0B\n\n{_CACHE_HEADER}{_compressed(document)}"
    )


def _compressed(document: Document) -> str:
    """A line that Docker has not; none for an engine that does not say."""
    found = document.get("CompressedLayers")
    if found is None:
        return ""
    sizes = units.size(found["KeptSize"], 4), units.size(found["DroppedSize"], 4)
    dropped = f", and {found['Dropped']} of {sizes[1]} not kept" if found["Dropped"] else ""
    return f"\nCompressed layers: {found['Kept']} of {sizes[0]}{dropped}\n"


def _details(document: Document, form: str) -> str:
    from wherry.cli.format import FormatError
    from wherry.cli.template import Row, Struct, TemplateError, compile

    def rows(listing: Listing, found: Sequence[Fields]) -> list[Row]:
        return [Row(listing.kind, fields) for fields in found]

    whole = Struct(
        Images=rows(IMAGES, [_image(one, whole=True) for one in document["Images"]]),
        Containers=rows(container_list.LISTING, [_container(one, whole=True) for one in document["Containers"]]),
        Volumes=rows(volume_list.LISTING, [volume_list.fields(one) for one in document["Volumes"]]),
        BuildCache=[],
    )
    try:
        return compile("{{json .}}" if form == "json" else form).render(whole)
    except TemplateError as error:
        raise FormatError(f"template parsing error: {error.message}") from None
