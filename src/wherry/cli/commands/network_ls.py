"""`wherry network ls`."""

from __future__ import annotations

from wherry.cli.commands.images import CHECKS, FORMAT, filters
from wherry.cli.format import Listing
from wherry.cli.parser import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wherry.cli.format import Fields
    from wherry.cli.main import Call

__all__ = ["CHECKS", "COMMAND", "main"]

# fmt: off
COMMAND = Command(
    paths=("network ls", "network list"),
    usage="[OPTIONS]",
    summary="List networks",
    description="Filters are **dangling**, **driver**, **id**, **label**, **name**, **scope** and **type**.",
    most=0,
    options=(
        ("filter", "f", "filter", "", 'Provide filter values (e.g. "driver=bridge")'),
        ("format", "", "string", "", FORMAT),
        ("no-trunc", "", "bool", "", "Do not truncate the output"),
        ("quiet", "q", "bool", "", "Only display network IDs"),
    ),
)
LISTING = Listing(
    kind="*network.networkContext",
    headers={
        "ID": "NETWORK ID",
        "Name": "NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "IPv4": "IPV4",
        "IPv6": "IPV6",
        "Internal": "INTERNAL",
        "Labels": "LABELS",
        "Label": "",
        "CreatedAt": "CREATED AT",
    },
    table=("ID", "Name", "Driver", "Scope"),
    raw="network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n",
)
# fmt: on


def main(call: Call) -> int:
    """Lists networks."""
    from wherry.cli.format import show
    from wherry.engine.networks import documents

    whole = call.get("no-trunc", False)
    rows = [fields(one, whole=whole) for one in call.verb(documents)(filters(call))]
    show(LISTING, rows, "{{.ID}}" if call.get("quiet") else call.get("format", ""))
    return 0


def fields(document: Mapping[str, Any], *, whole: bool) -> Fields:
    """What templates and columns may ask for."""
    labels: dict[str, str] = document["Labels"]

    def flag(name: str) -> str:
        return "true" if document[name] else "false"

    return {
        "ID": lambda: document["Id"] if whole else document["Id"][:12],
        "Name": lambda: document["Name"],
        "Driver": lambda: document["Driver"],
        "Scope": lambda: document["Scope"],
        "IPv4": lambda: flag("EnableIPv4"),
        "IPv6": lambda: flag("EnableIPv6"),
        "Internal": lambda: flag("Internal"),
        "Labels": lambda: ",".join([f"{key}={value}" for key, value in labels.items()]),
        "Label": lambda name: labels.get(name, ""),
        "CreatedAt": lambda: _created(document["Created"]),
    }


def _created(text: str) -> str:
    """Go's ``Time.String()`` of an RFC 3339 time in UTC."""
    return text.replace("T", " ").replace("Z", " +0000 UTC")
