"""What is made of the kernel's figures: Docker's documents, and the percentages that its client shows."""

from __future__ import annotations

import os

import pytest

from wherry.cli.stats_list import cpu_percent, memory
from wherry.engine import stats
from wherry.engine.engine import Engine
from wherry.errors import NotFound
from wherry.linux.cgroup.stats import BlockIO, Stats
from wherry.store import containers
from wherry.store.containers import ContainerRow

ZEROS = " 0" * 4
DEV = f"""\
Inter-|   Receive
 face |bytes    packets errs drop fifo frame compressed multicast|bytes
    lo: 1000 10 0 0{ZEROS} 1000 10 0 0{ZEROS}
  eth0:    5338      36    1    2{ZEROS}      648       8    3    4{ZEROS}
"""


def test_interfaces() -> None:
    assert stats.interfaces(DEV) == {
        "eth0": {
            "rx_bytes": 5338, "rx_packets": 36, "rx_errors": 1, "rx_dropped": 2,
            "tx_bytes": 648, "tx_packets": 8, "tx_errors": 3, "tx_dropped": 4,
        }
    }  # fmt: skip


def test_one_that_does_not_run(engine: Engine) -> None:
    document = stats.with_rates(None, stats.read(engine, ContainerRow("a" * 64, "web", status="exited")))
    assert list(document)[:2] == ["read", "preread"] and document["read"] == "0001-01-01T00:00:00Z"
    assert (document["name"], document["pids_stats"], document["memory_stats"]) == ("/web", {}, {})
    assert cpu_percent(document) == 0


def test_memory_and_blocks() -> None:
    figures = Stats(memory=10_000, memory_limit=-1, memory_detail={"inactive_file": 4000}, block=(
        BlockIO(8, 0, "read", 512, 1), BlockIO(8, 0, "write", 1024, 2),
    ))  # fmt: skip
    document = stats._memory(figures)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert (document["limit"], memory(document)) == (machine, (6000, machine))
    assert memory({"usage": 5, "stats": {"total_inactive_file": 9, "inactive_file": 1}, "limit": 9}) == (4, 9)
    assert stats._memory(figures.replace(memory_limit=4096))["limit"] == 4096
    blocks = stats._blocks(figures)
    assert [one["value"] for one in blocks["io_service_bytes_recursive"]] == [512, 1024]
    assert [one["value"] for one in blocks["io_serviced_recursive"]] == [1, 2]


def test_percentages_are_of_one_processor() -> None:
    total, count = stats.machine_cpu()
    assert total > 0 and count == len([name for name in os.listdir("/sys/devices/system/cpu") if name[3:].isdigit()])
    before = {"cpu_usage": {"total_usage": 10}, "system_cpu_usage": 1000, "online_cpus": 2}
    now = {"cpu_usage": {"total_usage": 110}, "system_cpu_usage": 1200, "online_cpus": 2}
    assert cpu_percent({"cpu_stats": now, "precpu_stats": before}) == 100.0
    assert cpu_percent({"cpu_stats": before, "precpu_stats": now}) == 0.0


def test_a_stream_ends_when_its_reader_or_the_container_goes(engine: Engine) -> None:
    containers.insert(engine.db, ContainerRow("a" * 64, "web", record="{}", status="exited"))
    assert stats.once(engine, "web")["id"] == "a" * 64
    reader, writer = os.pipe()
    found = stats.stream(engine, "web", reader)
    assert next(found)["name"] == "/web"
    os.close(writer)
    assert list(found) == []
    os.close(reader)
    found = stats.stream(engine, "web")
    next(found)
    containers.delete(engine.db, "a" * 64)
    assert list(found) == []
    with pytest.raises(NotFound):
        stats.stream(engine, "web")
