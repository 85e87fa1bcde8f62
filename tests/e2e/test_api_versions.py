"""What answers of older versions of the API have, and newer ones have not (Docker, api/docs/CHANGELOG.md)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from support.serving import Served

pytestmark = pytest.mark.timeout(90)

Ask = Callable[[str, str], Any]


@pytest.fixture(scope="module")
def ask(served: Served) -> Ask:
    def get(version: str, path: str) -> Any:
        status, body = served.ask("GET", f"/v{version}{path}")
        assert status == 200, body
        return json.loads(body)

    return get


def test_a_committed_image(served: Served, ask: Ask) -> None:
    made = served.ok("run", "-d", "--hostname", "here", "busybox", "touch", "/x").strip()
    served.ok("wait", made)
    image = served.ok("commit", made).strip()
    base = ask("1.50", "/images/busybox/json")["Id"]
    try:
        old = ask("1.44", f"/images/{image}/json")
        assert old["Container"] == made and old["Parent"] == base
        config = old["ContainerConfig"]
        assert (config["Image"], config["Hostname"], config["Cmd"]) == ("busybox", "here", ["touch", "/x"])
        assert {"Container", "ContainerConfig"} & set(ask("1.45", f"/images/{image}/json")) == set()
        plain = ask("1.44", "/images/busybox/json")
        assert plain["Container"] == "" and plain["ContainerConfig"]["Cmd"] is None and plain["Parent"] == ""
        (listed,) = [one for one in ask("1.50", "/images/json") if one["Id"] == image]
        assert listed["ParentId"] == base and listed["RepoTags"] == []
        (listed,) = [one for one in ask("1.42", "/images/json") if one["Id"] == image]
        assert (listed["RepoTags"], listed["RepoDigests"]) == (["<none>:<none>"], ["<none>@<none>"])
        assert served.ok("save", image)  # the archive has a configuration that is read again
    finally:
        served.ok("rm", made)
        served.ok("rmi", image)


def test_sizes_of_images(ask: Ask) -> None:
    for path, several in (("/images/json", True), ("/images/busybox/json", False), ("/system/df", True)):
        for version, there in (("1.43", True), ("1.44", False)):
            found = ask(version, path)
            images = (found["Images"] if path == "/system/df" else found) if several else [found]
            assert images and all(("VirtualSize" in one) == there for one in images)
            assert all(one.get("VirtualSize", one["Size"]) == one["Size"] for one in images)


def test_the_configuration_of_an_image(ask: Ask) -> None:
    """What only containers have left it with 1.50."""
    old, new = ask("1.49", "/images/busybox/json")["Config"], ask("1.50", "/images/busybox/json")["Config"]
    assert old["Hostname"] == "" and old["AttachStdin"] is False and old["Image"] == ""
    assert set(new) & {"Hostname", "AttachStdin", "Image", "Tty"} == set() and new["Cmd"] == old["Cmd"]


def test_aliases_and_annotations(served: Served, ask: Ask) -> None:
    net = f"v-{uuid.uuid4().hex[:8]}"
    served.ok("network", "create", net)
    options = ("--network", net, "--network-alias", "www", "--hostname", "web", "--annotation", "a=b")
    made = served.ok("run", "-d", *options, "busybox", "sleep", "1000").strip()
    try:
        for version, aliases in (("1.44", ["www", made[:12], "web"]), ("1.45", ["www"])):
            place = ask(version, f"/containers/{made}/json")["NetworkSettings"]["Networks"][net]
            assert place["Aliases"] == aliases
        served.ok("stop", "-t", "0", made)
        assert ask("1.44", f"/containers/{made}/json")["NetworkSettings"]["Networks"][net]["Aliases"] == ["www"]
        served.ok("start", made)
        (listed,) = [one for one in ask("1.46", "/containers/json") if one["Id"] == made]
        assert listed["HostConfig"] == {"NetworkMode": net, "Annotations": {"a": "b"}}
    finally:
        served.ok("rm", "-f", made)
        served.ok("network", "rm", net)


def test_prune_of_volumes(served: Served) -> None:
    """Named ones were pruned as well until 1.41."""
    name = f"v-{uuid.uuid4().hex[:8]}"
    served.ok("volume", "create", "--label", f"of={name}", name)
    mine = quote(json.dumps({"label": [f"of={name}"]}))
    for version, filters, gone in (("1.42", mine, []), ("1.41", mine, [name])):
        status, body = served.ask("POST", f"/v{version}/volumes/prune?filters={filters}")
        assert (status, json.loads(body)["VolumesDeleted"]) == (200, gone)
    status, body = served.ask("POST", "/v1.50/volumes/prune?filters=" + quote('{"all":["zz"]}'))
    assert status == 400 and b"invalid filter 'all=zz'" in body
