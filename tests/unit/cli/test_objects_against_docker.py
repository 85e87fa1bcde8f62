"""Volumes, disk usage and prunes, held to what the real docker client prints of the same documents (recorded by
tools/record_docker_client.py)."""

from __future__ import annotations

import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from wherry.cli import main as entry
from wherry.cli import parser
from wherry.cli.main import Call, load
from wherry.cli.ports import display
from wherry.engine.images import Removed
from wherry.engine.prune import Pruned
from wherry.errors import NotFound, WherryError

RECORDED = json.loads((Path(__file__).parents[2] / "golden/docker/objects.json").read_text())
RUNS = [one for one in RECORDED["runs"] if entry._find(one["arguments"])[0]]
DIFFERENT = {"system df -v --format {{.Images}}": "prints addresses in memory"}


def name(recorded: dict[str, Any]) -> str:
    return " ".join(recorded["arguments"])


@pytest.fixture(autouse=True)
def then(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is when the recording was made, in UTC; the store holds what the recorded daemon told."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: float(RECORDED["recorded"]))
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    volumes = {one["Name"]: one for one in RECORDED["volumes"]}
    pruned = RECORDED["pruned"]
    containers, freed = pruned["/containers/prune"]["ContainersDeleted"], pruned["/containers/prune"]["SpaceReclaimed"]
    gone, of_volumes = pruned["/volumes/prune"]["VolumesDeleted"], pruned["/volumes/prune"]["SpaceReclaimed"]
    images = [
        Removed(one.get("Untagged", ""), one.get("Deleted", "")) for one in pruned["/images/prune"]["ImagesDeleted"]
    ]
    of_images = pruned["/images/prune"]["SpaceReclaimed"]

    def inspect(_engine: object, wanted: str) -> dict[str, Any]:
        if wanted not in volumes:
            raise NotFound("volume", wanted)
        return {**volumes[wanted], "Labels": dict(sorted(volumes[wanted]["Labels"].items()))}

    def system(_engine: object, _filters: object, *, everything: bool, volumes: bool) -> Pruned:
        del everything
        found = tuple(gone) if volumes else ()
        total = freed + of_images + (of_volumes if volumes else 0)
        networks = tuple(pruned["/networks/prune"]["NetworksDeleted"])
        return Pruned(tuple(containers), networks, found, tuple(images), total)

    def reading(_engine: object, wanted: str) -> dict[str, Any]:
        for sample in RECORDED["samples"].values():
            if wanted in (sample["id"], sample["name"].removeprefix("/")):
                return dict(sample)
        raise NotFound("container", wanted)

    instead = {
        "engine.stats.reading": reading,
        "engine.stats.with_rates": lambda _before, now: now,
        "engine.stats.INTERVAL": 0,
        "engine.volume_objects.documents": lambda *_: [volumes[one] for one in sorted(volumes)],
        "engine.volume_objects.inspect": inspect,
        "engine.disk_usage.disk_usage": lambda _engine: RECORDED["disk usage"],
        "engine.prune.prune": lambda *_: (containers, freed),
        "engine.prune.prune_images": lambda *_, **_more: (images, of_images),
        "engine.prune.prune_system": system,
        "engine.networks.prune": lambda *_: pruned["/networks/prune"]["NetworksDeleted"],
        "engine.volume_objects.prune": lambda *_, **_more: (gone, of_volumes),
    }
    for path, function in instead.items():
        monkeypatch.setattr(f"wherry.{path}", function)
    monkeypatch.setattr(Call, "here", lambda _call: None)
    monkeypatch.setattr(Call, "remote", lambda _call: None)


def run(arguments: list[str]) -> str:
    path, rest = entry._find(arguments)
    module = load(path)
    values, words = parser.parse(module.COMMAND, path, rest, getattr(module, "CHECKS", None))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        module.main(Call(path, values, words, {}))
    return out.getvalue()


@pytest.mark.parametrize(("ports", "expected"), RECORDED["ports"])
def test_ports(ports: list[dict[str, Any]], expected: str) -> None:
    assert display(ports) == expected


@pytest.mark.parametrize("recorded", RUNS, ids=[name(one) for one in RUNS])
def test_prints_what_docker_prints(recorded: dict[str, Any]) -> None:
    if name(recorded) in DIFFERENT:
        pytest.xfail(DIFFERENT[name(recorded)])
    try:
        got = run(recorded["arguments"])
    except WherryError as error:
        assert recorded["status"]
        if "Nope" not in recorded["err"] and "nothere" not in recorded["err"]:  # Go's types, the made-up daemon's words
            assert error.message == recorded["err"].strip()
        return
    assert recorded["status"] == 0
    expected = recorded["out"]
    if "-v --format" in name(recorded) and not got.endswith("\n"):
        got, expected = got.rstrip("\n"), expected.rstrip("\n")
    assert got == expected
