"""``docker stats``: what a container uses, in Docker's documents (Engine API, ``GET /containers/{id}/stats``).

Rates come of two readings: a document holds the one before as ``precpu_stats``.
"""

from __future__ import annotations

import os
import select
import time

from wherry.container.inspect import rfc3339
from wherry.engine.containers import ALIVE, find, list_containers
from wherry.errors import NotFound
from wherry.fastjson import JSONError, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from wherry.engine.engine import Engine
    from wherry.linux.cgroup import Cgroup
    from wherry.linux.cgroup.stats import Stats
    from wherry.store.containers import ContainerRow

INTERVAL = 1.0
"""Seconds between two readings."""

_CPU_FIELDS = 7  # user, nice, system, idle, iowait, irq and softirq of /proc/stat (proc(5)), as Docker adds them up
_NETWORK = ("bytes", "packets", "errors", "dropped")


def group_of(engine: Engine, identity: str) -> Cgroup | None:
    """The control group of a container that runs; None when it has no bundle."""
    from wherry.engine.execution import cgroup_of

    try:
        with open(f"{engine.layout.run_container(identity)}/config.json", "rb") as file:
            return cgroup_of(engine, loads(file.read()))
    except (OSError, JSONError, KeyError, TypeError):
        return None


def read(engine: Engine, row: ContainerRow) -> dict[str, Any]:
    """One reading, without a ``precpu_stats``; of a container that does not run there is nothing but its name."""
    document: dict[str, Any] = {"read": rfc3339(0)}
    group = group_of(engine, row.id) if row.status in ALIVE else None
    if group is None:
        return document | {
            "pids_stats": {},
            "blkio_stats": {"io_service_bytes_recursive": None, "io_serviced_recursive": None},
            "num_procs": 0,
            "storage_stats": {},
            "cpu_stats": _cpu(None),
            "memory_stats": {},
            "name": f"/{row.name}",
            "id": row.id,
        }
    from wherry.linux.cgroup.stats import collect

    figures = collect(group)
    document["read"] = rfc3339(time.time_ns())
    limit = {} if figures.pids_limit < 0 else {"limit": figures.pids_limit}
    document |= {
        "pids_stats": {"current": figures.pids, **limit},
        "blkio_stats": _blocks(figures),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _cpu(figures),
        "memory_stats": _memory(figures),
        "name": f"/{row.name}",
        "id": row.id,
    }
    networks = _networks(row.pid)
    return document | ({"networks": networks} if networks else {})


def with_rates(before: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """A reading with the one before it, as Docker sends it; without one its ``precpu_stats`` is empty."""
    head = {"read": now["read"], "preread": before["read"] if before else rfc3339(0)}
    document = head | {name: value for name, value in now.items() if name != "read"}
    document["precpu_stats"] = before["cpu_stats"] if before else _cpu(None)
    return document


def once(engine: Engine, name: str, *, one_shot: bool = False) -> dict[str, Any]:
    """One document: of two readings `INTERVAL` apart, or with ``one_shot`` of a single one.  Raises `NotFound`."""
    row = find(engine, name)
    before = None
    if not one_shot and row.status in ALIVE:
        before = read(engine, row)
        time.sleep(INTERVAL)
        row = find(engine, row.id)
    return with_rates(before, read(engine, row))


def reading(engine: Engine, name: str) -> dict[str, Any]:
    """A single reading.  Raises `NotFound`."""
    return read(engine, find(engine, name))


def watched(engine: Engine, *, everything: bool = False) -> list[str]:
    """The ids of the containers that run, or of all."""
    return [row.id for row in list_containers(engine) if everything or row.status in ALIVE]


def stream(engine: Engine, name: str, stop: int = -1) -> Iterator[dict[str, Any]]:
    """A document every `INTERVAL`, until the container is removed.

    ``stop`` is a descriptor that becomes readable when the caller wants no more.  Raises `NotFound`, at first.
    """
    return _stream(engine, find(engine, name), stop)


def _stream(engine: Engine, row: ContainerRow, stop: int) -> Iterator[dict[str, Any]]:
    poll = select.poll()
    if stop >= 0:
        poll.register(stop, select.POLLIN)
    before = None
    while True:
        now = read(engine, row)
        yield with_rates(before, now)
        before = now
        if poll.poll(int(INTERVAL * 1000)):
            return
        try:
            row = find(engine, row.id)
        except NotFound:
            return


def _cpu(figures: Stats | None) -> dict[str, Any]:
    usage: dict[str, Any] = {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}
    throttling = {"periods": 0, "throttled_periods": 0, "throttled_time": 0}
    if figures is None:
        return {"cpu_usage": usage, "throttling_data": throttling}
    usage = {"total_usage": figures.cpu_total}
    if figures.cpu_each:
        usage["percpu_usage"] = list(figures.cpu_each)
    usage |= {"usage_in_kernelmode": figures.cpu_system, "usage_in_usermode": figures.cpu_user}
    throttling = {
        "periods": figures.periods,
        "throttled_periods": figures.throttled_periods,
        "throttled_time": figures.throttled_time,
    }
    total, count = machine_cpu()
    return {"cpu_usage": usage, "system_cpu_usage": total, "online_cpus": count, "throttling_data": throttling}


def machine_cpu() -> tuple[int, int]:
    """Nanoseconds that all processors of the machine have spent, idle or not; and how many there are."""
    total = count = 0
    with open("/proc/stat") as file:
        for line in file:
            name, *fields = line.split()
            if name == "cpu":
                ticks = sum(int(field) for field in fields[:_CPU_FIELDS])
                total = ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
            elif name.startswith("cpu"):
                count += 1
    return total, count


def _memory(figures: Stats) -> dict[str, Any]:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = machine if figures.memory_limit < 0 else min(figures.memory_limit, machine)
    document: dict[str, Any] = {"usage": figures.memory}
    if figures.memory_peak and "total_inactive_file" in figures.memory_detail:  # cgroup v1, as in Docker's
        document["max_usage"] = figures.memory_peak
    document["stats"] = dict(figures.memory_detail)
    if figures.memory_failures:
        document["failcnt"] = figures.memory_failures
    return document | {"limit": limit}


def _blocks(figures: Stats) -> dict[str, Any]:
    entries = [(one.major, one.minor, one.operation, one.bytes, one.operations) for one in figures.block]
    return {
        "io_service_bytes_recursive": [_block(*entry[:3], entry[3]) for entry in entries] or None,
        "io_serviced_recursive": [_block(*entry[:3], entry[4]) for entry in entries] or None,
        "io_queue_recursive": None,
        "io_service_time_recursive": None,
        "io_wait_time_recursive": None,
        "io_merged_recursive": None,
        "io_time_recursive": None,
        "sectors_recursive": None,
    }


def _block(major: int, minor: int, operation: str, value: int) -> dict[str, Any]:
    return {"major": major, "minor": minor, "op": operation, "value": value}


def _networks(pid: int) -> dict[str, dict[str, int]]:
    """The interfaces in a container's network namespace, its loopback and the host's own left out (proc(5))."""
    try:
        if os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino:
            return {}
        with open(f"/proc/{pid}/net/dev") as file:
            return interfaces(file.read())
    except OSError:
        return {}


def interfaces(text: str) -> dict[str, dict[str, int]]:
    """The counters in the text of ``/proc/net/dev``, by interface."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _colon, figures = line.partition(":")
        values = [int(field) for field in figures.split()]
        if name.strip() != "lo" and len(values) >= 12:
            received = {f"rx_{key}": values[position] for position, key in enumerate(_NETWORK)}
            sent = {f"tx_{key}": values[8 + position] for position, key in enumerate(_NETWORK)}
            found[name.strip()] = received | sent
    return found
