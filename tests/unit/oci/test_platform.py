"""Platforms: parsing, and the choice from an index."""

from __future__ import annotations

import pytest

from wherry.errors import InvalidArgument, NotFound
from wherry.oci import platform
from wherry.oci.manifest import Descriptor
from wherry.oci.platform import Platform


def entry(text: str, number: int) -> Descriptor:
    return Descriptor("m", f"sha256:{number:064x}", 1, platform.parse(text) if text else None)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64/v8"),
        ("linux/arm64/8", "linux/arm64/v8"),
        ("linux/arm/v7", "linux/arm/v7"),
        ("linux/arm", "linux/arm"),
        ("armhf", "linux/arm/v7"),
        ("Linux/AMD64", "linux/amd64"),
        ("i386", "linux/386"),
        ("riscv64", "linux/riscv64"),
    ],
)
def test_parse(text: str, shown: str) -> None:
    assert str(platform.parse(text)) == shown


@pytest.mark.parametrize("text", ["", "linux/", "/amd64", "a/b/c/d", "linux/am d64", "strange", "linux//v8"])
def test_refuses(text: str) -> None:
    with pytest.raises(InvalidArgument):
        platform.parse(text)


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/amd64", ["linux/386", "linux/amd64"], 1),
        ("linux/amd64", ["linux/386"], 0),
        ("linux/amd64", ["linux/amd64/v2", "linux/amd64"], 1),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], 1),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], 1),
        ("linux/arm64/v8", ["linux/arm64"], 0),
        ("linux/arm64", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/arm/v7", ["linux/arm/v6", "linux/arm/v5"], 0),
        ("linux/arm", ["linux/arm/v7"], 0),
        ("linux/amd64", ["windows/amd64", ""], 1),
    ],
)
def test_best(wanted: str, offered: list[str], chosen: int) -> None:
    entries = tuple(entry(text, number) for number, text in enumerate(offered))
    assert platform.best(entries, platform.parse(wanted)) == entries[chosen]


@pytest.mark.parametrize("wanted", ["linux/arm64/v8", "linux/arm/v6", "linux/amd64"])
def test_none(wanted: str) -> None:
    offered = (entry("linux/s390x", 1), entry("linux/arm/v7", 2), entry("linux/arm64/v9", 3))[: 1 + (wanted[-1] == "6")]
    with pytest.raises(NotFound, match=f"^no matching manifest for {wanted} in the manifest list entries$"):
        platform.best(offered, platform.parse(wanted))


def test_an_attestation_is_no_image() -> None:
    unknown = Descriptor("m", "sha256:" + "1" * 64, 1, Platform("unknown", "unknown"))
    bare = Descriptor("m", "sha256:" + "2" * 64, 1, None, (), (("vnd.docker.reference.type", "attestation-manifest"),))
    with pytest.raises(NotFound):
        platform.best((unknown, bare), platform.parse("amd64"))


def test_the_host_can_run_itself() -> None:
    assert platform.matches(platform.host(), platform.host())
