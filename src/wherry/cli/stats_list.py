"""What containers use, as `stats` shows it: the arithmetic of Docker's client on Docker's documents."""

from __future__ import annotations

from wherry.cli import units
from wherry.cli.format import Listing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wherry.cli.format import Fields

    Document = Mapping[str, Any]

LISTING = Listing(
    kind="*container.statsContext",
    headers={
        "Container": "CONTAINER",
        "ID": "CONTAINER ID",
        "Name": "NAME",
        "CPUPerc": "CPU %",
        "MemUsage": "MEM USAGE / LIMIT",
        "MemPerc": "MEM %",
        "NetIO": "NET I/O",
        "BlockIO": "BLOCK I/O",
        "PIDs": "PIDS",
    },
    table=("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"),
)


def fields(asked: str, document: Document | None, *, whole: bool) -> Fields:
    """A line; ``asked`` is the name or id by which the container was asked for, no ``document`` that it cannot be
    read any more."""
    if document is None:
        return dict.fromkeys(LISTING.headers, lambda: "--") | {"Container": lambda: asked}
    used, limit = memory(document["memory_stats"])
    received, sent = _sum(document, "rx_bytes"), _sum(document, "tx_bytes")
    read, written = _blocks(document, "r"), _blocks(document, "w")
    share = used / limit * 100 if limit else 0.0
    name = document["name"].removeprefix("/")
    return {
        "Container": lambda: asked,
        "ID": lambda: document["id"] if whole else document["id"][:12],
        "Name": lambda: name or "--",
        "CPUPerc": lambda: f"{cpu_percent(document):.2f}%",
        "MemUsage": lambda: f"{units.binary_size(used)} / {units.binary_size(limit)}",
        "MemPerc": lambda: f"{share:.2f}%",
        "NetIO": lambda: f"{units.size(received)} / {units.size(sent)}",
        "BlockIO": lambda: f"{units.size(read)} / {units.size(written)}",
        "PIDs": lambda: str(document["pids_stats"].get("current", 0)),
    }


def cpu_percent(document: Document) -> float:
    """100 is one processor, busy all the time between the two readings."""
    now, before = document["cpu_stats"], document["precpu_stats"]
    spent = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    count = now.get("online_cpus", 0) or len(now["cpu_usage"].get("percpu_usage") or ())
    return spent / passed * count * 100 if passed > 0 and spent > 0 else 0.0


def memory(figures: Document) -> tuple[int, int]:
    """Bytes in use, without the page cache that can go at once; and the limit."""
    used, detail = figures.get("usage", 0), figures.get("stats") or {}
    for name in ("total_inactive_file", "inactive_file"):  # cgroup v1, v2
        if name in detail and detail[name] < used:
            return used - detail[name], figures.get("limit", 0)
    return used, figures.get("limit", 0)


def _sum(document: Document, name: str) -> int:
    return sum(interface[name] for interface in (document.get("networks") or {}).values())


def _blocks(document: Document, letter: str) -> int:
    entries = document["blkio_stats"].get("io_service_bytes_recursive") or ()
    return sum(one["value"] for one in entries if one["op"][:1].lower() == letter)
