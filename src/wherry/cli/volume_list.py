"""Volumes as `volume ls` and `system df` show them, from Docker's documents."""

from __future__ import annotations

from wherry.cli.format import Listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wherry.cli.format import Fields

LISTING = Listing(
    kind="*formatter.volumeContext",
    headers={
        "Name": "VOLUME NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "Availability": "AVAILABILITY",
        "Group": "GROUP",
        "Mountpoint": "MOUNTPOINT",
        "Labels": "LABELS",
        "Label": "",
        "Links": "LINKS",
        "Size": "SIZE",
        "Status": "STATUS",
    },
    table=("Driver", "Name"),
    raw="name: {{.Name}}\ndriver: {{.Driver}}\n",
)


def fields(document: Mapping[str, Any]) -> Fields:
    """What templates and columns may ask for."""
    from wherry.cli import units

    labels: dict[str, str] = document["Labels"] or {}
    usage = document.get("UsageData")
    return {
        "Name": lambda: document["Name"],
        "Driver": lambda: document["Driver"],
        "Scope": lambda: document["Scope"],
        "Availability": lambda: "N/A",
        "Group": lambda: "N/A",
        "Mountpoint": lambda: document["Mountpoint"],
        "Labels": lambda: ",".join([f"{key}={value}" for key, value in labels.items()]),
        "Label": lambda name: labels.get(name, ""),
        "Links": lambda: str(usage["RefCount"]) if usage else "N/A",
        "Size": lambda: units.size(usage["Size"], 4) if usage else "N/A",
        "Status": lambda: "N/A",
    }
